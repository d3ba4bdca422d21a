// What one would rather see than read: the map of the country, and small charts of the last days.

import { h, put, s, shape } from "./dom.js";
import { count, dayOf, live, named, say, shortCount } from "./room.js";

const KINDS = ["child_alert", "public", "vignette"];

/** Colours the arrondissements by their campaigns, and writes worrying / open cases into them. */
export function showMap(names) {
  const places = live.values.get("places") ?? {};
  const campaigns = live.values.get("campaigns") ?? {};
  const lines = [];
  for (const { slug, names: said } of names) {
    const here = { open: 0, worrying: 0, ...places[slug] };
    const lit = campaigns[slug] ?? {};
    const kind = KINDS.find((one) => lit[one]);
    const area = document.getElementById(`area-${slug}`);
    area.dataset.kind = kind ?? "";
    if (kind) area.setAttribute("fill", `url(#p-${kind})`);
    else area.removeAttribute("fill");
    const sum = Object.values(lit).reduce((a, b) => a + b, 0);
    const line = say("map_line", { place: named(said), open: count(here.open), worrying: count(here.worrying), campaigns: count(sum) });
    area.querySelector("title").textContent = line;
    const label = document.getElementById(`label-${slug}`);
    put(label, here.open ? [s("tspan", { class: here.worrying ? "some" : "none" }, shortCount(here.worrying)), s("tspan", {}, `/${shortCount(here.open)}`)] : "");
    if (here.open || sum) lines.push(line);
  }
  put(document.getElementById("map-text"), h("ul", {}, lines.map((line) => h("li", {}, line))));
  put(
    document.getElementById("map-legend"),
    KINDS.map((kind) => h("li", {}, shape(kind), h("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), say(`alert_${kind}`))),
    h("li", {}, h("span", { class: "area-label some" }, "3"), h("span", { class: "area-label" }, "/12"), h("span", { class: "gap" }, say("map_numbers"))),
  );
}

const CHARTS = [
  { name: "cases", above: "worrying" },
  { name: "calls" },
  { name: "people" },
];

/** A small chart for each figure, and all of them as a table. */
export function showTrends() {
  const days = live.values.get("trends");
  if (!days) return;
  put(document.getElementById("charts"), CHARTS.map((one) => chart(days, one)));
  put(
    document.getElementById("trends-table"),
    h("thead", {}, h("tr", {}, ["day", "chart_cases", "is_worrying", "chart_calls", "chart_people", "interactions"].map((word) => h("th", { scope: "col" }, say(word))))),
    h("tbody", {}, [...days].reverse().map((day) =>
      h("tr", {}, h("th", { scope: "row" }, dayOf(day.day)), ["cases", "worrying", "calls", "people", "interactions"].map((name) => h("td", {}, count(day[name])))),
    )),
  );
}

function chart(days, { name, above }) {
  const title = say(`chart_${name}`);
  const values = days.map((day) => day[name]);
  const most = Math.max(...values);
  const sum = values.reduce((a, b) => a + b, 0);
  const today = values.at(-1);
  const text = say("chart_says", { name: title, today: count(today), sum: count(sum), most: count(most), day: dayOf(days[values.indexOf(most)].day) });
  const height = (value) => (most ? Math.max(value ? 1.5 : 0, (value / most) * 44) : 0);
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("span", {}, title), h("strong", {}, shortCount(today)), h("span", { class: "quiet" }, say("today"))),
    s(
      "svg",
      { viewBox: "0 0 240 48", preserveAspectRatio: "none", role: "img", "aria-label": text },
      days.map((day, index) => [
        s("rect", { class: "column", x: index * 8 + 1, width: 6, y: 46 - height(day[name]), height: height(day[name]) }),
        above ? s("rect", { class: "column above", x: index * 8 + 1, width: 6, y: 46 - height(day[above]), height: height(day[above]) }) : null,
      ]),
    ),
    h("p", { class: "ticks quiet", "aria-hidden": "true" }, h("span", {}, dayOf(days[0].day)), h("span", {}, dayOf(days.at(-1).day))),
    h("p", { class: "quiet" }, `${shortCount(sum)} ${say("in_30_days")}`),
  );
}
