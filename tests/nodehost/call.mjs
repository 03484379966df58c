// What calls of both roles share: a place on an instance, content that is held, payloads that are sent (ABI.md, 3 to 5).
import { Instance, compress, decompress, isNative, pairUp } from "./module.mjs";

const CARRIED = 16 * 1024; // bytes of content that the guest gets without asking
export const DEFAULTS = { codings: [], compress_min: 1024 }; // of a configuration
let current; // the instance that new calls get

export class RPCError extends Error {
  constructor(code, message, details = []) {
    Object.assign(super(message), { code, details }); // gRPC's number, and [type name, bytes]
  }
}

// A subclass sets `configuration`, `opening` (the command), `codec`, `procedure`, `sending` (the event `request`, or what a
// client has in its place) and `output`. Events are obeyed by the methods of their names; those without one need nothing.
export class Call {
  over = false;
  leading = []; // metadata of the response
  trailing = [];
  #events = []; // to be obeyed
  #obeying = false;
  #held = Buffer.alloc(0); // content from the offset #from on
  #from = 0;
  #name = (coding) => this.configuration.codings[coding - 1];
  done = () => clearTimeout(this.timer);

  // Opens the call, and says in the same batch what `also` returns.
  open(also = () => []) {
    if (!current || current.broken) current = new Instance();
    const configured = current.configure(this.configuration);
    Object.assign(this, { instance: current, handle: 0 });
    this.say({ ...this.opening, handle: configured.handle }, ...also(configured));
  }

  // Tells the guest what happened, in one batch. What it answers is done when its answers before have been.
  say(...commands) {
    if (this.over) return;
    const events = this.instance.step(commands.map((command) => ({ handle: this.handle, ...command })));
    if (this.instance.broken) return this.open(() => [{ kind: "reject", reason: 5 }]); // lost, and opened on another one
    const sent = commands.find(({ payload }) => payload)?.payload; // one message in a batch is the most
    this.#events.push(...events.map((event) => ({ ...event, sent })));
    if (events.length) Object.assign(this, { handle: events[0].handle, over: events.at(-1).kind === "done" });
    this.#obey();
  }

  #obey() {
    for (let event; !this.#obeying && (event = this.#events.shift()); ) {
      this.#obeying = true;
      this[event.kind]?.(event);
      this.#obeying = event.kind === "stop"; // what follows has to wait
      if (this.#obeying) setTimeout(() => { this.#obeying = false; this.#obey(); }, event.grace_us / 1000);
    }
  }

  // The command that sends a message.
  send(message) {
    const { coding, compress_min, "send-inline": inline } = this.sending;
    const payload = this.codec.encode(this.procedure, message);
    const packs = isNative(this.#name(coding)) && payload.length >= compress_min;
    const data = packs ? compress(this.#name(coding), payload).data : payload;
    return { kind: "send", lengths: [data.length | (packs << 31)], inline, ...(inline ? { data } : { payload: data }) };
  }

  "http-body"({ count, prefix, data, end, sent }) {
    const content = count ? [data.subarray(0, prefix), sent, data.subarray(prefix)] : [data];
    this.output[end ? "end" : "write"](Buffer.concat(content));
  }

  // Content came. None comes between a `more` and its answer, so that the guest has read all that it had with the bytes.
  content(data) {
    if (this.inline) this.#at(this.#from + this.#held.length);
    this.#held = Buffer.concat([this.#held, data]);
    this.say({ kind: "content", length: data.length, data: this.inline ? data : data.subarray(0, CARRIED) });
  }

  // Content from an offset on. What comes before is dropped.
  #at(offset) {
    this.#held = this.#held.subarray(offset - this.#from);
    this.#from = offset;
    return this.#held;
  }

  more({ offset, want }) {
    this.ready(() => {
      const data = this.#at(Number(offset)).subarray(0, want);
      this.say({ kind: "content", resume: true, length: data.length, data });
    });
  }

  messages({ base, coding, limit, spans, data, inline }) {
    for (const [start, length] of pairUp(spans)) {
      const payload = (inline ? data.subarray(start) : this.#at(Number(base) + start)).subarray(0, length & 0x7fff_ffff);
      const { data: content, reason } = length >>> 31 ? decompress(this.#name(coding), payload, limit) : { data: payload };
      if (reason) return this.say({ kind: "reject", reason });
      try {
        this.message(this.codec.decode(this.procedure, content));
      } catch ({ message: text }) {
        return this.say({ kind: "reject", reason: 1, text });
      }
    }
  }

  decompress({ coding, limit, data: packed }) {
    const { data, reason } = decompress(this.#name(coding), packed, limit);
    this.say(reason ? { kind: "reject", reason } : { kind: "decompressed", data });
  }

  // Tells the guest when this many microseconds have passed; no timer takes more than 24 days.
  expire(us) {
    if (us < 2 ** 31 * 1000) this.timer = setTimeout(() => this.say({ kind: "deadline" }), Number(us) / 1000);
  }
}

export const fieldsOf = (raw) => pairUp(raw).map(([name, value]) => [name.toLowerCase(), value]);
// The metadata among fields of which the guest may hide some, and binary metadata as text.
export const metadata = (fields, { hidden = [], binary }) =>
  fields
    .filter((_, i) => !((hidden[i >> 3] >> (i & 7)) & 1))
    .concat(binary.map(([name, value]) => [`${name}`, value.toString("base64").replace(/=+$/, "")]));
