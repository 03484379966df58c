// What calls of both roles share: a place on an instance, content that is held, payloads that are sent: sections 3 to 5.
import { Instance, compress, decompress, isNative, pairUp } from "./module.mjs";

const [WHOLE, FIRST] = [16 * 1024, 4 * 1024]; // content of up to the one size is carried whole, of more the first so much
const LONGEST = 2 ** 31 - 1; // milliseconds, 24 days: no timer takes more, and no deadline beyond that is kept
const LOST = () => [{ kind: "reject", reason: 5 }];
let current;

export class RPCError extends Error {
  // `code` is gRPC's number, `details` are [type name, bytes].
  constructor(code, message, details = []) {
    super(message);
    Object.assign(this, { code, details });
  }
}

// A configuration: made on each instance when the first call needs it there.
export class Configuration {
  #answers = new WeakMap();

  constructor(record, codings) {
    this.codings = codings;
    this.record = { ...record, codings: codings.join("\0"), native: Buffer.from(codings.map(isNative).map(Number)) };
  }

  on(instance) {
    if (!this.#answers.has(instance)) this.#answers.set(instance, instance.step([this.record])[0]);
    const answer = this.#answers.get(instance);
    if (answer.kind === "fault") throw new Error(`connectcore: ${answer.text}`);
    return answer;
  }
}

export class Call {
  over = false;
  sending = { coding: 0, least: 0, inline: false };
  #held = Buffer.alloc(0); // content from the offset #from on
  #from = 0;
  #obeying = false;
  #unsaid = []; // batches for when all events have been obeyed

  constructor(configuration, opening) {
    Object.assign(this, { configuration, opening });
  }

  // Opens the call, and says in the same batch what `also` returns. Where the instance fails, on another one.
  open(also = () => []) {
    if (!current || current.broken) current = new Instance();
    this.instance = current;
    this.handle = 0;
    const configured = this.configuration.on(current);
    this.#step([{ ...this.opening, handle: configured.handle }, ...also(configured)]);
  }

  // Tells the guest what happened, in one batch, and does what it says.
  say(...commands) {
    if (this.over) return;
    if (this.#obeying) this.#unsaid.push(commands);
    else if (this.instance.broken) this.open(LOST);
    else this.#step(commands.map((command) => ({ ...command, handle: this.handle })));
  }

  #step(commands) {
    const events = this.instance.step(commands);
    if (this.instance.broken) this.open(LOST);
    else this.#obey(events, commands.flatMap(({ payloads = [] }) => payloads));
  }

  #obey(events, payloads) {
    this.#obeying = true;
    for (let event; (event = events.shift()); ) {
      this.handle = event.handle;
      if (event.kind === "fault") throw new Error(`connectcore: ${event.text}`);
      if (event.kind === "http-body") this.write(laidOut(event, payloads), event.end);
      else this[event.kind]?.(event); // a subclass's, or one of those below
      if (event.kind === "stop") return void setTimeout(() => this.#obey(events, payloads), event.grace_us / 1000);
    }
    this.#obeying = false;
    while (this.#unsaid.length) this.say(...this.#unsaid.shift());
  }

  // A command that sends these payloads.
  send(...payloads) {
    const { coding, least, inline } = this.sending;
    const name = this.configuration.codings[coding - 1];
    const packs = ({ length }) => coding && isNative(name) && length >= least;
    const sent = payloads.map((data) => (packs(data) ? compress(name, data).data : data));
    const lengths = sent.map(({ length }, i) => (packs(payloads[i]) ? (length | (1 << 31)) >>> 0 : length));
    return { kind: "send", lengths, payloads: sent, inline, data: inline ? Buffer.concat(sent) : undefined };
  }

  // Content came.
  content(data) {
    if (!this.inline) this.#held = Buffer.concat([this.#held, data]);
    const carried = this.inline || data.length <= WHOLE ? data : data.subarray(0, FIRST);
    this.say({ kind: "content", length: data.length, data: carried });
  }

  #drop(offset) {
    this.#held = this.#held.subarray(Math.max(0, offset - this.#from));
    this.#from = Math.max(this.#from, offset);
  }

  more({ offset, want }) {
    this.#drop(Number(offset));
    this.ready(() => {
      const data = this.#held.subarray(0, want);
      this.say({ kind: "content", resume: true, length: data.length, data });
    });
  }

  decompress({ coding, limit, data: packed }) {
    const { data, reason } = this.#unpack(coding, packed, limit);
    this.say(reason ? { kind: "reject", reason } : { kind: "decompressed", data });
  }

  messages({ base, coding, limit, spans, data, inline }) {
    for (const [start, length] of pairUp(spans)) {
      const size = length & 0x7fff_ffff;
      if (!inline) this.#drop(Number(base) + start);
      const payload = inline ? data.subarray(start, start + size) : this.#held.subarray(0, size);
      const unpacked = length >>> 31 ? this.#unpack(coding, payload, limit) : { data: payload };
      if (unpacked.reason) return this.say({ kind: "reject", reason: unpacked.reason });
      this.message(unpacked.data);
      if (!inline) this.#drop(Number(base) + start + size);
    }
  }

  #unpack = (coding, data, limit) => decompress(this.configuration.codings[coding - 1], data, limit);

  // Tells the guest when this many microseconds have passed.
  expire(us) {
    if (us <= LONGEST * 1000) this.timer = setTimeout(() => this.say({ kind: "deadline" }), Number(us) / 1000);
  }

  done() {
    this.over = true;
    clearTimeout(this.timer);
  }
}

export const microseconds = (ms) => (ms === undefined ? 2n ** 64n - 1n : BigInt(ms) * 1000n); // the one is for ever
export const fieldsOf = (raw) => pairUp(raw).map(([name, value]) => [name.toLowerCase(), value]);
export const asText = (binary) => binary.map(([name, value]) => [name, value.toString("base64").replace(/=+$/, "")]);
// The metadata among fields of which the guest hides some.
export const shown = (fields, { hidden, binary }) =>
  fields.filter((_, i) => !((hidden[i >> 3] >> (i & 7)) & 1)).concat(asText(binary));

function laidOut({ count, prefix, data }, payloads) {
  const parts = payloads.splice(0, count).flatMap((payload, i) => [data.subarray(i * prefix, (i + 1) * prefix), payload]);
  return Buffer.concat([...parts, data.subarray(count * prefix)]);
}
