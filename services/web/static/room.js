// What every page of the operations room does: words, times, the state of the connection, and what is read out.

import { h, keyed, put, shape } from "./dom.js";
import { Live } from "./live.js";

const page = JSON.parse(document.getElementById("page").textContent);
const READ_OUT_EVERY_MS = 4_000;

const { language, zone } = page;
// In Belgium nobody reads a.m. and p.m., in no language.
const locale = language === "en" ? "en-GB" : `${language}-BE`;
export const live = new Live();

/** A text in the reader's language; `{name}` in it becomes the value of that name. */
export function say(word, values = {}) {
  const text = page.words[word];
  if (text === undefined) throw new Error(`no word ${word}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", timeZone: zone });
const minute = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", timeZone: zone });
const moment = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: zone });
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
const number = new Intl.NumberFormat(language);
const compact = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });

export const count = (value) => number.format(value);
export const shortCount = (value) => compact.format(value);
export const dayOf = (text) => day.format(new Date(text));
export const exactTime = (text) => clock.format(new Date(text));

/** A moment: the time alone when it is near, else with its day. */
export function timeOf(text) {
  const at = new Date(text);
  return (Math.abs(Date.now() - at) < 12 * 3600e3 ? minute : moment).format(at);
}

const units = ["day", "hour", "minute"].map((unit) => new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short" }));

/** How long ago, in the largest unit that fits. */
export function ago(text) {
  const minutes = Math.max(0, Math.floor((Date.now() - new Date(text)) / 60e3));
  if (minutes >= 2880) return units[0].format(Math.floor(minutes / 1440));
  if (minutes >= 120) return units[1].format(Math.floor(minutes / 60));
  return units[2].format(minutes);
}

/** A name in the reader's language. */
export const named = (names) => (names ? names[language] : say("place_unknown"));

export function exerciseBadge(mode) {
  return mode === "exercise" ? h("strong", { class: "badge exercise" }, say("exercise")) : null;
}

const toSay = [];
let saidAt = 0;
let saying = null;

/** Has something read out: what comes close together is read as one, and never more often than every few seconds. */
export function announce(text) {
  toSay.push(text);
  saying ??= setTimeout(() => {
    const last = toSay.splice(0).slice(-3);
    document.getElementById("announcer").textContent = last.join(". ");
    saidAt = Date.now();
    saying = null;
  }, Math.max(500, saidAt + READ_OUT_EVERY_MS - Date.now()));
}

function showConnection() {
  const place = document.getElementById("connection");
  const { state } = live;
  const words = { signed_out: "signed_out", offline: "offline" };
  place.dataset.state = state;
  const text = words[state] ? say("connecting") : say(state);
  put(place, shape(state === "signed_out" ? "offline" : state), h("span", {}, text));
  const banner = document.getElementById("banner");
  const old = (live.values.get("stale") ?? []).map((part) => say(`section_${part}`));
  if (state === "signed_out") {
    put(banner, h("p", { class: "banner alarm" }, say("signed_out"), " ", h("a", { href: `/login?next=${encodeURIComponent(location.pathname)}` }, say("sign_in"))));
  } else if (state === "offline") {
    put(banner, h("p", { class: "banner alarm" }, shape("offline"), say("offline", { time: exactTime(live.seenAt) })));
  } else if (old.length) {
    put(banner, h("p", { class: "banner care" }, shape("trying"), say("stale", { parts: old.join(", ") })));
  } else {
    put(banner);
  }
}

/** Runs `render(changed)` once now and then whenever something changed, all that came meanwhile at once. */
export function keepShowing(render) {
  let changed = new Set();
  let planned = null;
  const run = () => {
    planned = null;
    const all = changed;
    changed = new Set();
    render(all);
    document.documentElement.dataset.shown = live.id ?? "";
    if (live.id && !performance.getEntriesByName("shown").length) performance.mark("shown");
  };
  live.addEventListener("change", ({ detail }) => {
    detail.forEach((key) => changed.add(key));
    if (detail.has("stale")) showConnection();
    planned ??= setTimeout(run, 20);
  });
  let before = live.state;
  live.addEventListener("state", ({ detail }) => {
    if (before === "offline" && detail !== "signed_out") announce(say("back_online"));
    before = detail;
    showConnection();
  });
  setInterval(() => {
    document.getElementById("clock").textContent = clock.format(Date.now());
  }, 1000);
  setInterval(run, 20_000); // what says how long ago something was
  live.start();
}

/** A big number with what it counts. */
function total(word, value, icon, tone) {
  return { word, value, icon, tone };
}

/** The totals on top of a page. */
export function showTotals(place) {
  const totals = live.values.get("totals") ?? { open: 0, worrying: 0 };
  const lit = (live.values.get("alerts") ?? []).map((id) => live.values.get(`alert/${id}`)).filter((one) => one && !one.over && one.kind !== "standby" && one.mode === "actual");
  const still = live.values.get("still_showing");
  const found = [
    total("worrying_cases", totals.worrying, "worrying", "alarm"),
    total("open_cases", totals.open, "case", "plain"),
    total("lit_campaigns", lit.length, "public", lit.length ? "care" : "plain"),
    still && total("still_showing_count", still.length, "still_trying_dark", still.length ? "alarm" : "plain"),
  ].filter(Boolean);
  keyed(place, found, (one) => one.word, (one) => `${one.value}${one.tone}`, (one) =>
    h("li", { class: `total ${one.tone}` }, shape(one.icon), h("strong", {}, count(one.value)), " ", h("span", {}, say(one.word))),
  );
}

/** The health of the system in one line. */
export function showHealth(place) {
  const services = live.values.get("services") ?? {};
  const backlog = live.values.get("backlog") ?? { relay: 0, deliveries: 0, pages: 0 };
  const lags = Object.values(live.values.get("lags") ?? {});
  const missing = Object.keys(services).filter((name) => !services[name]);
  const lag = Math.max(0, backlog.relay, ...lags);
  put(
    place,
    h("span", { class: missing.length ? "chip alarm" : "chip good" }, shape(missing.length ? "away" : "ready"), missing.length ? say("not_ready", { names: missing.join(", ") }) : say("all_well")),
    h("span", { class: lag > 500 ? "chip care" : "chip" }, say("lag_of", { count: count(lag) })),
    h("span", { class: "chip" }, say("deliveries_waiting", { count: count(backlog.deliveries) })),
    h("span", { class: backlog.pages ? "chip care" : "chip" }, backlog.pages ? shape("trying") : null, say("pages_open", { count: count(backlog.pages) })),
  );
}
