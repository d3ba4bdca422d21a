// Open cases, worrying ones first and all others below: less worrying is not less visible.

import { h, keyed, shape } from "./dom.js";
import { ago, announce, count, exerciseBadge, live, named, say } from "./room.js";

const many = (list) => list.map((id) => ({ id, ...live.values.get(`case/${id}`) })).filter((one) => one.number);
const byUrgency = (a, b) => (b.overdue > 0) - (a.overdue > 0);

/** Fills the two lists, and says how many more there are. */
export function showCases() {
  const lists = live.values.get("cases") ?? { worrying: [], others: [] };
  const totals = live.values.get("totals") ?? { open: 0, worrying: 0 };
  const worrying = many(lists.worrying).sort(byUrgency);
  const others = many(lists.others);
  show("worrying", worrying, totals.worrying);
  show("others", others, totals.open - totals.worrying);
  const shown = [...worrying, ...others].filter((one) => one.mode === "actual").length;
  const more = Math.max(0, totals.open - shown);
  const link = document.getElementById("more-cases");
  link.hidden = more === 0;
  link.textContent = say("more_cases", { count: count(more) });
}

function show(name, cases, all) {
  document.getElementById(`${name}-count`).textContent = count(all);
  const nothing = [{ id: "nothing" }];
  keyed(
    document.getElementById(name),
    cases.length ? cases : nothing,
    (one) => one.id,
    (one) => (one.number ? JSON.stringify([one, ago(one.opened_at)]) : ""),
    (one, known) => (one.number ? row(one, known) : h("li", { class: "quiet nothing" }, say("no_cases"))),
  );
}

function row(one, known) {
  return h(
    "li",
    { class: `case${one.worrying ? " worrying" : ""}${one.overdue ? " overdue" : ""}${known ? "" : " news"}` },
    shape(one.worrying ? "worrying" : "case"),
    h("span", { class: "number" }, one.number, " ", exerciseBadge(one.mode)),
    h("span", { class: "what" }, say(`kind_${one.kind}`), h("span", { class: "place" }, " · ", named(one.place))),
    h("time", { class: "since", datetime: one.opened_at }, ago(one.opened_at)),
    one.reasons.length || one.overdue || one.questions ? h("span", { class: "why" }, why(one)) : null,
  );
}

function why(one) {
  return [
    one.overdue ? h("strong", { class: "badge overdue" }, shape("overdue"), say("medication_overdue")) : null,
    ...one.reasons.map((reason) => h("span", { class: "badge" }, say(`reason_${reason.replace(/^.*:/, "")}`))),
    one.questions ? h("span", { class: "badge quiet" }, say("open_questions", { count: count(one.questions) })) : null,
  ];
}

const known = new Set();

/** Has new worrying cases read out; nothing of those that were there when the page came. */
export function announceCases(first) {
  for (const id of live.values.get("cases")?.worrying ?? []) {
    const one = live.values.get(`case/${id}`);
    if (!one || known.has(id)) continue;
    known.add(id);
    if (!first) announce(say("say_worrying", { number: one.number, place: named(one.place) }));
  }
}
