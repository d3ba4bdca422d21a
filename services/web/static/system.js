// How the system itself is doing.

import { h, keyed, put, shape } from "./dom.js";
import { ago, count, keepShowing, live, say, showTotals, timeOf } from "./room.js";

const at = (id) => document.getElementById(id);

function showParts() {
  const services = Object.entries(live.values.get("services") ?? {});
  keyed(at("parts"), services, ([name]) => name, ([, up]) => String(up), ([name, up]) =>
    h("li", { class: `tile ${up ? "shown" : "not_shown"}` }, shape(up ? "ready" : "away"), h("span", { class: "name" }, name), h("span", { class: "step-word" }, say(up ? "ready" : "away"))),
  );
}

function showLags() {
  const backlog = live.values.get("backlog") ?? {};
  const rows = [[say("relay_lag"), backlog.relay ?? 0], ...Object.entries(live.values.get("lags") ?? {})];
  const most = Math.max(100, ...rows.map(([, lag]) => lag));
  put(
    at("lags"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, say("consumer")), h("th", { scope: "col" }, say("messages")), h("td", {}))),
    h("tbody", {}, rows.map(([name, lag]) =>
      h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, count(lag)), h("td", { class: "gauge" }, h("meter", { min: 0, max: most, value: lag, "aria-label": `${name}: ${count(lag)}` }))),
    )),
  );
  const wait = backlog.oldest_delivery_at ? `, ${say("oldest_waits", { time: ago(backlog.oldest_delivery_at) })}` : "";
  if (!at("waiting")) at("lags").parentElement.after(h("p", { id: "waiting" }));
  put(at("waiting"), say("deliveries_waiting", { count: count(backlog.deliveries ?? 0) }) + wait);
}

function showPages() {
  const place = at("pages");
  if (!place) return;
  const found = live.values.get("pages") ?? [];
  keyed(place, found.length ? found : [{ page_id: 0 }], (one) => String(one.page_id), JSON.stringify, (one) =>
    one.page_id
      ? h(
          "li",
          {},
          shape(one.acknowledged_by ? "ready" : "trying"),
          h("span", { lang: "en" }, one.text),
          h("span", { class: "quiet" }, timeOf(one.opened_at), one.acknowledged_by ? ` · ${say("taken_by", { name: one.acknowledged_by })}` : ""),
        )
      : h("li", { class: "quiet" }, say("no_pages")),
  );
}

keepShowing(() => {
  if (live.id === null) return;
  showTotals(at("totals"));
  showParts();
  showLags();
  showPages();
});
