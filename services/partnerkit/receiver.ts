/** Reference receiver in TypeScript on Node >= 22.18 and nothing else: copy this file, let your screens follow `shown`.
 *
 *     ZOEKLICHT_SECRET=whsec_… ZOEKLICHT_TOKEN=… node receiver.ts 8080 displays.json
 *
 * `POST` takes messages, `GET` tells what is on display. During a rotation ZOEKLICHT_SECRET holds both secrets with a
 * space between them. With ZOEKLICHT_PUBLIC_KEY=whpk_… the ed25519 signature (v1a) is enough, and no secret is needed.
 */
import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";

const TOLERANCE_S = 300, MOST_BYTES = 1024 * 1024, TICK_MS = 250, RETRY_S = 5, TRIES = 5000;
const NO_USE = new Set([400, 401, 403, 404, 410, 413, 422]); // answers to a receipt that repeating does not change
const [port, file] = [Number(process.argv[2]), process.argv[3]];
const words = (name: string) => (process.env[name] ?? "").split(" ").filter(Boolean);
const secrets = words("ZOEKLICHT_SECRET").map((one) => Buffer.from(one.replace("whsec_", ""), "base64"));
const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex"); // RFC 8410: what stands before the 32 bytes
const publics = words("ZOEKLICHT_PUBLIC_KEY").map((one) => Buffer.from(one.replace("whpk_", ""), "base64"))
  .map((raw) => createPublicKey({ key: Buffer.concat([ED25519_SPKI, raw]), format: "der", type: "spki" }));

type Data = { alert_id: string; revision: number; display_for_s?: number; expires_at?: string; receipts_url?: string };
type Message = { type: string; data: Data & { alerts: { alert_id: string; revision: number; display_for_s: number }[] } };
type Alert = { revision: number; until: number | null; data: Data | null; url?: string; told: string };
type Receipt = { alert_id: string; revision: number; state: "displayed" | "removed"; at: string };
type Due = { url: string; body: Receipt; due: number; left: number };
type State = { alerts: Record<string, Alert>; receipts: Due[] };

const state: State = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : { alerts: {}, receipts: [] };
const seconds = () => Date.now() / 1000;

/** Whether a message is who it says it is from, at most five minutes off; `body` as it came, not parsed. */
function authentic(headers: IncomingMessage["headers"], body: Buffer): boolean {
  const stamp = String(headers["webhook-timestamp"]);
  if (!/^[0-9]+$/.test(stamp) || Math.abs(seconds() - Number(stamp)) > TOLERANCE_S) return false;
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${stamp}.`), body]);
  const macs = secrets.map((secret) => createHmac("sha256", secret).update(signed).digest());
  return String(headers["webhook-signature"]).split(" ").some((one) => {
    const [version, text] = one.split(",", 2);
    const given = Buffer.from(text ?? "", "base64");
    if (version === "v1a") return publics.some((key) => verify(null, signed, key, given));
    return version === "v1" && macs.some((mac) => mac.length === given.length && timingSafeEqual(mac, given));
  });
}

/** When it goes dark by itself: its lease counts from the signed time, not from its arrival. */
function end(stamp: number, lease: number | undefined, expires_at: string | undefined): number | null {
  const ends = [lease ? stamp + lease : Infinity, expires_at ? Date.parse(expires_at) / 1000 : Infinity];
  return Math.min(...ends) === Infinity ? null : Math.min(...ends); // JSON knows no infinity
}

const lit = (one: Alert, now: number) => one.data !== null && (one.until === null || now < one.until);

/** What the screens show now; whatever is not in it is dark. */
const shown = (now: number) => Object.values(state.alerts).filter((one) => lit(one, now)).map((one) => one.data);

/** Works on an authentic message. `stamp` is its signed webhook-timestamp. */
function take({ type, data }: Message, stamp: number): void {
  if (type === "display.renewed") {
    for (const one of data.alerts) {
      const known = state.alerts[one.alert_id];
      if (!known?.data || known.revision !== one.revision || known.until === null) continue;
      known.until = Math.max(known.until, end(stamp, one.display_for_s, known.data.expires_at) ?? 0);
    }
  } else if (["alert.issued", "alert.updated", "alert.withdrawn"].includes(type)) {
    const { revision = 0, told = "" } = state.alerts[data.alert_id] ?? {};
    if (data.revision <= revision) return; // not news, whatever it says
    state.alerts[data.alert_id] = {
      revision: data.revision, told, url: data.receipts_url, until: end(stamp, data.display_for_s, data.expires_at),
      data: type === "alert.withdrawn" ? null : data, // who was found is forgotten
    };
  } // any other type, such as ping, is acknowledged and changes nothing
}

/** Notes a receipt for each change, also for a lease that has run out; whether there was one. */
function refresh(now: number): boolean {
  let changed = false;
  for (const [alert_id, one] of Object.entries(state.alerts)) {
    const { revision } = one, told = lit(one, now) ? "displayed" : "removed";
    if (one.told === `${revision} ${told}`) continue;
    [one.told, changed] = [`${revision} ${told}`, true];
    const body: Receipt = { alert_id, revision, state: told, at: new Date(now * 1000).toISOString() };
    if (one.url) state.receipts.push({ url: one.url, body, due: 0, left: TRIES });
  }
  return changed;
}

/** Replaces the file as a whole: what was acknowledged survives a crash. */
function save(): void {
  writeFileSync(`${file}.new`, JSON.stringify(state));
  renameSync(`${file}.new`, file);
}

/** Sends a receipt until it is taken; one that fails lets the others go on. */
async function confirm(one: Due): Promise<void> {
  [one.due, one.left] = [seconds() + RETRY_S + 10, one.left - 1];
  const headers = { Authorization: `Bearer ${process.env.ZOEKLICHT_TOKEN}`, "Content-Type": "application/json" };
  const wish = { method: "POST", headers, body: JSON.stringify(one.body), signal: AbortSignal.timeout(10_000) };
  const answer = await fetch(one.url, wish).catch(() => undefined);
  if (one.left && !answer?.ok && !NO_USE.has(answer?.status ?? 0)) {
    one.due = seconds() + RETRY_S;
    return;
  }
  state.receipts = state.receipts.filter((other) => other !== one);
  save();
}

setInterval(() => {
  if (refresh(seconds())) save();
  for (const one of state.receipts) if (one.due < seconds()) void confirm(one);
}, TICK_MS);

createServer(async (request, response) => {
  if (request.method === "GET") {
    response.end(JSON.stringify({ alerts: shown(seconds()) }, null, 1));
    return;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) if ((size += chunk.length) <= MOST_BYTES) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  if (!authentic(request.headers, body)) {
    response.writeHead(401).end("not authentic: wrong secret, clock, or bytes");
    return;
  }
  take(JSON.parse(body.toString()), Number(request.headers["webhook-timestamp"]));
  refresh(seconds());
  save();
  response.end();
}).listen(port, "127.0.0.1");
