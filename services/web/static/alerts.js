// Alerts and how far each has come with each recipient; and who may still show a child that was found.

import { h, keyed, put, shape } from "./dom.js";
import { ago, announce, count, exactTime, exerciseBadge, live, named, say, timeOf } from "./room.js";

const UP = ["waiting", "trying", "delivered", "shown", "not_shown"];
const DOWN = ["going_dark", "still_trying_dark", "told_dark", "dark"];
const ARRIVED = new Set(["delivered", "shown", "told_dark", "dark"]);
const areas = new Map([...document.querySelectorAll(".area")].map((one) => [one.id.slice(5), one.textContent.trim()]));

const seatsOf = (alert) =>
  alert.recipients.map((id) => ({ id, ...live.values.get(`seat/${alert.alert_id}/${id}`) })).filter((seat) => seat.step);

/** Shows every alert in `place`: a card each, with a tile for each recipient. */
export function showAlerts(place, names) {
  const found = (live.values.get("alerts") ?? []).map((id) => live.values.get(`alert/${id}`)).filter(Boolean);
  const empty = place.querySelector(":scope > .nothing");
  if (!found.length) {
    if (!empty) place.replaceChildren(h("p", { class: "nothing sheet quiet", "data-key": "nothing" }, say("no_alerts")));
    return;
  }
  empty?.remove();
  // A card stays while its alert stays; what is inside changes, tile by tile.
  keyed(place, found, (alert) => alert.alert_id, () => "", (alert) => card(alert));
  found.forEach((alert) => showAlert(place.querySelector(`[data-key="${alert.alert_id}"]`), alert, names));
}

function card(alert) {
  const title = `alert-${alert.alert_id}`;
  return h(
    "article",
    { class: "alert sheet", "aria-labelledby": title },
    h("header", {}, h("h3", { id: title }), h("p", { class: "facts quiet" })),
    h("p", { class: "progress" }),
    h("ul", { class: "tiles", "aria-label": say("partners") }),
  );
}

function showAlert(element, alert, names) {
  const seats = seatsOf(alert);
  element.dataset.kind = alert.kind;
  element.dataset.over = alert.over;
  put(element.querySelector("h3"), shape(alert.kind), say(`alert_${alert.kind}`), " ", exerciseBadge(alert.mode), h("span", { class: "where" }, where(alert, names)));
  put(element.querySelector(".facts"), facts(alert).join(" · "));
  put(element.querySelector(".progress"), ...progress(alert, seats));
  keyed(element.querySelector(".tiles"), seats, (seat) => seat.id, (seat) => JSON.stringify([seat, nameOf(seat.id)]), tile);
}

function where(alert, names) {
  const slugs = alert.arrondissements;
  if (slugs.length >= names.length) return say("whole_country");
  const said = slugs.slice(0, 3).map((slug) => names.find((one) => one.slug === slug)?.names).map(named);
  return said.join(", ") + (slugs.length > 3 ? ` ${say("and_more", { count: slugs.length - 3 })}` : "");
}

function facts(alert) {
  const number = live.values.get(`case/${alert.case_id}`)?.number;
  const end = alert.dark_at ? say("dark_since", { time: exactTime(alert.dark_at) }) : alert.over ? say("is_over") : null;
  return [
    number,
    alert.revision > 1 && !end ? say("revision", { number: alert.revision }) : null,
    say("issued_at", { time: timeOf(alert.issued_at) }),
    end ?? (alert.expires_at ? say("expires_at", { time: timeOf(alert.expires_at) }) : null),
  ].filter(Boolean);
}

/** How many are how far: a bar in the order of the steps, and in words. */
function progress(alert, seats) {
  const steps = [...UP, ...DOWN].reverse();
  const counted = steps.map((step) => [step, seats.filter((seat) => seat.step === step).length]).filter(([, many]) => many);
  const displays = seats.some((seat) => seat.audience === "display");
  const dark = seats.some((seat) => DOWN.includes(seat.step));
  const word = dark ? "dark_of" : displays ? "lit_of" : "told_of";
  const done = { dark_of: ["dark", "told_dark"], lit_of: ["shown"], told_of: ["delivered", "shown"] }[word];
  const many = seats.filter((seat) => done.includes(seat.step)).length;
  return [
    h("strong", {}, say(word, { count: count(many), all: count(seats.length) })),
    h("span", { class: "bar", "aria-hidden": "true" }, counted.map(([step, here]) => part(step, here))),
    h("span", { class: "steps" }, counted.map(([step, here]) => h("span", { class: `step ${step}` }, shape(step), `${count(here)} ${say(`step_${step}`)}`))),
  ];
}

function part(step, here) {
  const element = h("span", { class: `part ${step}` });
  element.style.flexGrow = here;
  return element;
}

const numbers = new Map();

function nameOf(id) {
  const known = live.values.get(`partner/${id}`);
  if (known) return known.name;
  if (!numbers.has(id)) numbers.set(id, numbers.size + 1);
  return say("partner_number", { number: numbers.get(id) });
}

function tile(seat, isNews) {
  const more = [
    exactTime(seat.since),
    seat.screens ? say("screens", { count: count(seat.screens) }) : null,
    seat.attempts > 1 ? say("tries", { count: count(seat.attempts) }) : null,
  ].filter(Boolean);
  return h(
    "li",
    { class: `tile ${seat.step}${isNews ? " news" : ""}`, title: [nameOf(seat.id), say(`step_${seat.step}`), ...more].join(", ") },
    shape(seat.step),
    h("span", { class: "name" }, nameOf(seat.id)),
    h("span", { class: "step-word" }, say(`step_${seat.step}`)),
    h("span", { class: "more" }, more.join(" · ")),
  );
}

/** Who may still show a child that was found. The section is absent for those who may not know. */
export function showStill(section, list) {
  const found = live.values.get("still_showing");
  section.hidden = !found;
  if (!found) return;
  section.classList.toggle("alarm", found.length > 0);
  if (!found.length) return put(list, h("p", { class: "quiet" }, shape("ready"), say("still_none")));
  if (!list.querySelector("ul")) put(list, h("ul", { class: "still" }));
  keyed(list.querySelector("ul"), found, (one) => `${one.alert_id}/${one.recipient_id}`, (one) => JSON.stringify([one, ago(one.since)]), (one) =>
    h(
      "li",
      {},
      shape(one.reason === "unanswered" ? "still_trying_dark" : "told_dark"),
      h("strong", {}, one.name),
      h("span", { class: "contact" }, one.contact),
      h("span", {}, say(`still_${one.reason}`, { count: count(one.attempts) }), " · ", ago(one.since)),
      h("span", { class: "quiet" }, one.lease_over ? say("lease_over") : say("dark_by", { time: timeOf(one.dark_by) })),
    ),
  );
}

const told = new Map();

/** Has the great steps of each alert read out, once each; nothing of what was there when the page came. */
export function announceAlerts(first) {
  for (const id of live.values.get("alerts") ?? []) {
    const alert = live.values.get(`alert/${id}`);
    if (!alert) continue;
    const seats = seatsOf(alert);
    const kind = say(`alert_${alert.kind}`);
    const arrived = seats.length > 0 && seats.every((seat) => ARRIVED.has(seat.step));
    const step = alert.over ? "over" : arrived ? "everywhere" : "new";
    const before = told.get(id);
    told.set(id, step);
    if (first || before === step || (before === "everywhere" && step === "new")) continue;
    if (step === "new") announce(say("say_alert", { kind }));
    if (step === "everywhere") announce(say("say_everywhere", { kind, all: count(seats.length) }));
    if (step === "over") announce(say("say_dark", { kind }));
  }
}
