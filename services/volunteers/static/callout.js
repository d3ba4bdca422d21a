// The coordinator's board, asked for again every two seconds; what stays the same keeps its element.

import { h, keyed, put, s } from "./dom.js";

const { address, words, language, zone } = JSON.parse(document.getElementById("page").textContent);
const EVERY_MS = 2_000;
const at = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(language === "en" ? "en-GB" : `${language}-BE`, { day: "2-digit", month: "2-digit", hour: "2-digit", minute: "2-digit", timeZone: zone });
let seenAt = new Date();

const say = (word, values = {}) => words[word].replace(/\{(\w+)\}/g, (_, name) => values[name]);
const time = (text) => clock.format(new Date(text));

function replyOf(one) {
  const asked = one.asked;
  if (!asked) return ["waiting", say("callout_standby")];
  if (asked.reply) return [asked.reply, say(`help_said_${asked.reply}`, { at: asked.from ? time(asked.from) : "" })];
  return asked.not_needed ? ["idle", say("callout_not_needed")] : ["waiting", say("callout_waiting")];
}

function row(one) {
  const asked = one.asked;
  const told = one.message ? one.message.channels.map((channel) => `${channel.kind ?? "–"}: ${channel.state}`).join(", ") : "";
  const why = asked?.chosen_for.length ? say("callout_for", { what: asked.chosen_for.map((what) => what.replace(/^skill:/, "").replaceAll("_", " ")).join(", ") }) : asked ? say("callout_nearest") : "";
  return h(
    "tr",
    { class: replyOf(one)[0] },
    h("th", { scope: "row" }, one.name ?? say("callout_forgotten")),
    h("td", {}, replyOf(one)[1]),
    h("td", {}, asked ? `${asked.distance_km} km` : ""),
    h("td", {}, why),
    h("td", {}, told),
  );
}

function showMap(board) {
  const placed = board.people.filter((one) => one.position);
  const far = Math.max(10, ...placed.map((one) => Math.hypot(one.position.east_km, one.position.north_km)));
  const size = far * 1.15;
  at("map").setAttribute("viewBox", `${-size} ${-size} ${2 * size} ${2 * size}`);
  const rings = [5, 10, 25, 50, 100, 200].filter((km) => km <= far * 1.1).slice(-3);
  put(at("rings"), rings.map((km) => s("g", {}, s("circle", { r: km }), s("text", { x: 0, y: -km, "font-size": size / 18 }, `${km} km`))));
  keyed(at("dots"), [{ volunteer_id: "meeting" }, ...placed], (one) => one.volunteer_id, (one) => JSON.stringify([one.position, one.asked, size]), (one) =>
    one.position
      ? s("circle", { cx: one.position.east_km, cy: -one.position.north_km, r: size / 45, class: replyOf(one)[0] }, s("title", {}, `${one.name}: ${replyOf(one)[1]}`))
      : s("circle", { r: size / 30, class: "meeting" }),
  );
}

function photo(poster) {
  const address = `${location.pathname}/posters/${poster.poster_id}/photo`;
  return h("a", { href: address, "aria-label": `${say("callout_photo")}: ${poster.place}` }, say("callout_photo"));
}

function show(board) {
  put(at("state"), say(`callout_${board.state}`));
  at("sandbox").hidden = !board.sandbox;
  put(at("sum"), say("callout_sum", { coming: board.coming, people: board.need?.people ?? 0, waiting: board.waiting_for }));
  keyed(at("people"), board.people, (one) => one.volunteer_id, JSON.stringify, row);
  const up = board.posters.filter((one) => one.up);
  keyed(at("posters"), up.length ? up : [{ poster_id: "none" }], (one) => one.poster_id, JSON.stringify, (one) =>
    h("li", {}, one.place ? `${one.place} (${time(one.placed_at)})` : say("callout_no_posters"), one.photo ? " " : "", one.photo ? photo(one) : ""));
  showMap(board);
}

async function again() {
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
    seenAt = new Date();
    at("stale").hidden = true;
  } catch {
    at("stale").hidden = false;
    put(at("stale"), say("callout_stale", { at: clock.format(seenAt) }));
  }
  setTimeout(again, EVERY_MS);
}

again();
