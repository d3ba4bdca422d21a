// Every alert, large: to be read from the other side of the room.

import { announceAlerts, showAlerts, showStill } from "./alerts.js";
import { keepShowing, live } from "./room.js";

const { arrondissements } = JSON.parse(document.getElementById("page").textContent);
const at = (id) => document.getElementById(id);
let first = true;

keepShowing(() => {
  if (live.id === null) return;
  showStill(at("still"), at("still-list"));
  showAlerts(at("alerts"), arrondissements);
  announceAlerts(first);
  first = false;
});
