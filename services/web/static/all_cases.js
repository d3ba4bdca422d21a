// The list of all cases, page by page; it is asked for again whenever cases changed.

import { h, keyed, put, shape } from "./dom.js";
import { exerciseBadge, keepShowing, live, say, timeOf } from "./room.js";

const at = (id) => document.getElementById(id);
const LIMIT = 100;
let cursor = null;
let following = null;
let asked = 0;

function address() {
  const which = at("which").value;
  const query = new URLSearchParams({ limit: LIMIT });
  if (which !== "all") query.set("open", "true");
  if (which === "worrying") query.set("worrying", "true");
  if (at("q").value.trim()) query.set("q", at("q").value.trim());
  if (cursor) query.set("cursor", cursor);
  return `/v1/cases?${query}`;
}

async function load() {
  const mine = ++asked;
  try {
    const answer = await fetch(address());
    if (!answer.ok) throw new Error(String(answer.status));
    const { items, next_cursor } = await answer.json();
    if (mine !== asked) return; // a newer question is on its way
    following = next_cursor;
    show(items);
  } catch {
    if (mine === asked) put(at("rows"), h("tr", {}, h("td", { colspan: 6 }, say("cases_not_loaded"))));
  }
  at("first").disabled = cursor === null;
  at("next").disabled = following === null;
}

function show(items) {
  delete at("rows").dataset.print;
  keyed(at("rows"), items.length ? items : [{ case_id: "nothing" }], (one) => one.case_id, JSON.stringify, (one) =>
    one.case_number ? row(one) : h("tr", {}, h("td", { colspan: 6, class: "quiet" }, say("no_cases"))),
  );
}

function row(one) {
  return h(
    "tr",
    { class: one.worrying && one.state === "open" ? "worrying" : null },
    h("th", { scope: "row" }, one.case_number, " ", exerciseBadge(one.mode)),
    h("td", {}, shape(one.worrying ? "worrying" : "case"), say(one.worrying ? "is_worrying" : "not_worrying")),
    h("td", {}, say(`kind_${one.kind}`)),
    h("td", {}, one.postal_code ?? "–"),
    h("td", {}, say(`state_${one.state}`)),
    h("td", {}, h("time", { datetime: one.opened_at }, timeOf(one.opened_at))),
  );
}

function again(event) {
  event?.preventDefault();
  cursor = null;
  load();
}

at("filters").addEventListener("submit", again);
at("which").addEventListener("change", again);
at("first").addEventListener("click", () => again());
at("next").addEventListener("click", () => {
  cursor = following;
  load();
});

let waiting = null;
keepShowing((changed) => {
  if (live.id === null) return;
  const news = [...changed].some((key) => key === "totals" || key === "cases" || key.startsWith("case/"));
  // Two hundred screens do not ask in the same instant.
  if (news) waiting ??= setTimeout(() => ((waiting = null), load()), Math.random() * 300);
});
