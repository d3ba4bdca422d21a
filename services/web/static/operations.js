// The operations room at a glance.

import { announceAlerts, showAlerts, showStill } from "./alerts.js";
import { announceCases, showCases } from "./cases.js";
import { showMap, showTrends } from "./picture.js";
import { keepShowing, live, showHealth, showTotals } from "./room.js";

const { arrondissements } = JSON.parse(document.getElementById("page").textContent);
const at = (id) => document.getElementById(id);
let first = true;

keepShowing(() => {
  if (live.id === null) return;
  showTotals(at("totals"));
  showHealth(at("health"));
  showStill(at("still"), at("still-list"));
  showAlerts(at("alerts"), arrondissements);
  showCases();
  showMap(arrondissements);
  showTrends();
  announceCases(first);
  announceAlerts(first);
  first = false;
});
