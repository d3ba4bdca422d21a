// The board as it changes: by a stream of events, and by asking every few seconds where streams do not get through.

const SILENT_MS = 25_000; // two heartbeats and a half: the stream is dead, whatever the browser thinks
const POLL_MS = 3_000;
const TRY_STREAM_MS = 30_000;
const OPEN_WITHIN_MS = 8_000;
const PATIENCE = 4; // streams that broke in a row, while asking works

/**
 * Holds the newest value of each key in `values`. Events: `change` (detail: the Set of changed keys) and `state`
 * (connecting, live, polling, offline, signed_out).
 */
export class Live extends EventTarget {
  constructor(address = "/v1/live") {
    super();
    this.address = address;
    this.values = new Map();
    this.id = null;
    this.state = "connecting";
    this.seenAt = Date.now();
    this.source = null;
    this.broken = 0;
    this.timers = {};
  }

  start() {
    this.openStream();
    return this;
  }

  openStream() {
    clearTimeout(this.timers.stream);
    this.source?.close();
    const source = (this.source = new EventSource(this.address + this.query()));
    source.onmessage = (event) => {
      this.take(JSON.parse(event.data));
      this.streaming();
    };
    source.addEventListener("heartbeat", () => this.streaming());
    source.addEventListener("signed-out", () => this.signOut());
    source.onerror = () => this.streamBroke(source);
    this.watch(OPEN_WITHIN_MS);
  }

  query() {
    return this.id ? `?after=${encodeURIComponent(this.id)}` : "";
  }

  streaming() {
    this.seenAt = Date.now();
    this.broken = 0;
    clearTimeout(this.timers.poll);
    this.timers.poll = null;
    this.become("live");
    this.watch(SILENT_MS);
  }

  /** A stream that says nothing for so long is no stream. */
  watch(within) {
    clearTimeout(this.timers.silence);
    this.timers.silence = setTimeout(() => this.streamBroke(this.source), within);
  }

  streamBroke(source) {
    if (source !== this.source || this.state === "signed_out") return;
    source?.close();
    this.source = null;
    clearTimeout(this.timers.silence);
    // Streams come back quickly after a short break, and are tried now and then where they never got through.
    const never = ++this.broken > PATIENCE && this.state === "polling";
    const wait = never ? TRY_STREAM_MS : 1000 + Math.random() * 1000;
    if (this.state === "live") this.become("connecting");
    if (!this.timers.poll) this.poll();
    clearTimeout(this.timers.stream);
    this.timers.stream = setTimeout(() => this.openStream(), wait);
  }

  async poll() {
    this.timers.poll = setTimeout(() => this.poll(), POLL_MS);
    try {
      const answer = await fetch(`${this.address}/changes${this.query()}`, { signal: AbortSignal.timeout(POLL_MS * 2) });
      if (answer.status === 401) return this.signOut();
      if (!answer.ok) throw new Error(String(answer.status));
      this.take(await answer.json());
      this.seenAt = Date.now();
      if (this.state !== "live") this.become("polling");
    } catch {
      if (this.state !== "live") this.become("offline");
    }
  }

  take({ id, whole, put, drop }) {
    const changed = new Set([...Object.keys(put), ...drop]);
    if (whole) {
      for (const key of this.values.keys()) if (!(key in put)) changed.add(key);
      this.values = new Map();
    }
    for (const [key, value] of Object.entries(put)) this.values.set(key, value);
    for (const key of drop) this.values.delete(key);
    this.id = id;
    this.dispatchEvent(new CustomEvent("change", { detail: changed }));
  }

  signOut() {
    this.source?.close();
    this.source = null;
    Object.values(this.timers).forEach(clearTimeout);
    this.become("signed_out");
  }

  become(state) {
    if (state === this.state || this.state === "signed_out") return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
