// Plays tapes: the host's side of the contract, written from wasm/ABI.md. The
// schemas of the records come from abi.json.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { TapeError, fail, here, same, show } from "./tape_format.mjs";

export const abi = JSON.parse(readFileSync(join(here, "abi.json"), "utf8"));
const commands = new Map(abi.records.filter((r) => !r.event).map((r) => [r.name, r]));
const events = new Map(abi.records.filter((r) => r.event).map((r) => [r.kind, r]));
const noTimeout = 2n ** 64n - 1n;
const compressedBit = 0x80000000;

const words = {
  code: (
    "ok canceled unknown invalid_argument deadline_exceeded not_found already_exists permission_denied " +
    "resource_exhausted failed_precondition aborted out_of_range unimplemented internal unavailable data_loss " +
    "unauthenticated"
  ).split(" "),
  protocol: ["", "connect", "grpc", "grpc-web"],
  fault: ["", "record", "handle", "state", "config", "busy", "panic", "argument"],
  stream_type: ["unary", "client", "server", "bidi"],
  "peer-gone": ["", "closed", "refused", "reset", "broken", "large"],
  reject: ["", "decode", "decompress", "too-large", "encode", "lost", "busy", "kind"],
};
const wordsOf = (kind, column) => words[column === "reason" ? kind : column] ?? [];

// A mode is one way to replay: how content is cut, and how much is carried.
export const modes = [
  { name: "whole", cut: "whole", carry: "all" },
  { name: "whole-announced", cut: "whole", carry: "none" },
  { name: "bytes", cut: "bytes", carry: "all" },
  { name: "bytes-announced", cut: "bytes", carry: "none" },
  ...[1, 2, 3, 4].map((n) => ({ name: `random-${n}`, cut: "random", carry: "random" })),
].map((mode, number) => ({ ...mode, number }));

// Xorshift32, seeded by the tape's name and the mode.
class Chance {
  constructor(tape, mode) {
    let x = 0x811c9dc5;
    for (const byte of Buffer.from(tape)) x = Math.imul(x ^ byte, 0x01000193);
    this.x = (x ^ Math.imul(mode, 0x9e3779b9)) >>> 0 || 1;
  }

  below(n) {
    let { x } = this;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.x = x >>> 0;
    return this.x % n;
  }
}

function toNumber(kind, column, text) {
  if (column === "timeout_us") return text === "none" ? noTimeout : BigInt(text);
  const index = text === "" ? -1 : wordsOf(kind, column).indexOf(text);
  const number = index >= 0 ? index : Number(text || NaN);
  return Number.isInteger(number) ? number : fail(`${column}=${text} is neither a number nor a word for one`);
}

// What a procedure is, in words, as bits.
const attributesOf = (text) =>
  text.split(" ").reduce((bits, w) => bits | (w === "no-side-effects" ? 4 : w ? toNumber("", "stream_type", w) : 0), 0);

const toWord = (kind, column, number) => wordsOf(kind, column)[Number(number)] || String(number);
const list = (text) => (text ? text.split(",") : []);
const textOf = (value) => value?.data.toString("latin1");
const asText = (string) => ({ data: Buffer.from(String(string), "latin1"), pattern: false });

function le(size, ...numbers) {
  const out = Buffer.alloc(size * numbers.length);
  numbers.forEach((n, i) => {
    if (size === 8) out.writeBigUInt64LE(BigInt(n), 8 * i);
    else out.writeUIntLE(n, size * i, size);
  });
  return out;
}

// encode encodes a command. Columns that are not given are zero, or empty; a
// timeout is none.
function encode(record, flags, handle, columns) {
  const fixed = [];
  const tail = [];
  for (const { name, type } of record.columns) {
    const value = columns[name];
    if (type === "u32") fixed.push(le(4, value ?? 0));
    else if (type === "u64") fixed.push(le(8, value ?? (name === "timeout_us" ? noTimeout : 0)));
    else if (type === "bytes") {
      fixed.push(le(4, value?.length ?? 0));
      tail.push(value ?? Buffer.alloc(0));
    } else if (type === "words") {
      fixed.push(le(4, value?.length ?? 0));
      tail.push(le(4, ...(value ?? [])));
    } else {
      const pairs = value ?? [];
      const data =
        type === "fields"
          ? Buffer.from(pairs.flat().map((part) => part.toString("latin1")).join("\0"), "latin1")
          : Buffer.concat(pairs.flatMap(([a, b]) => [le(4, a.length, b.length), a, b]));
      fixed.push(le(4, pairs.length, data.length));
      tail.push(data);
    }
  }
  const body = Buffer.concat([...fixed, ...tail]);
  return Buffer.concat([le(2, record.kind, flags), le(4, 12 + body.length, handle), body]);
}

const fixedSizes = { u32: 4, u64: 8, bytes: 4, fields: 8, pairs: 8, words: 4 };

// decode takes a batch of events apart and complains of what the contract does
// not allow.
function decode(batch) {
  const out = [];
  for (let at = 0; at < batch.length; ) {
    const [kind, bits] = [batch.readUInt16LE(at), batch.readUInt16LE(at + 2)];
    const [size, handle] = [batch.readUInt32LE(at + 4), batch.readUInt32LE(at + 8)];
    const record = events.get(kind);
    if (!record || size < 12 || at + size > batch.length) fail(`no event: kind ${kind}, size ${size}`);
    if (bits >> record.flags.length) fail(`${record.name} has unnamed flags ${bits}`);
    let fixed = at + 12;
    let tail = record.columns.reduce((sum, { type }) => sum + fixedSizes[type], fixed);
    const take = (length) => {
      if (tail + length > at + size) fail(`${record.name} is cut short`);
      tail += length;
      return batch.subarray(tail - length, tail);
    };
    const columns = {};
    for (const { name, type } of record.columns) {
      const first = batch.readUInt32LE(fixed);
      if (type === "u32") columns[name] = first;
      else if (type === "u64") columns[name] = batch.readBigUInt64LE(fixed);
      else if (type === "bytes") columns[name] = take(first);
      else if (type === "words") {
        const data = take(4 * first);
        columns[name] = Array.from({ length: first }, (_, i) => data.readUInt32LE(4 * i));
      } else if (type === "fields") {
        const data = take(batch.readUInt32LE(fixed + 4));
        const parts = first ? data.toString("latin1").split("\0") : [];
        if (parts.length !== 2 * first || (!first && data.length)) fail(`${record.name}: ${first} fields, ${parts.length} parts`);
        columns[name] = Array.from({ length: first }, (_, i) =>
          [parts[2 * i], parts[2 * i + 1]].map((part) => Buffer.from(part, "latin1")),
        );
      } else {
        const data = take(batch.readUInt32LE(fixed + 4));
        columns[name] = [];
        let here = 0;
        for (let i = 0; i < first; i++) {
          const [a, b] = [data.readUInt32LE(here), data.readUInt32LE(here + 4)];
          here += 8;
          columns[name].push([data.subarray(here, here + a), data.subarray(here + a, here + a + b)]);
          here += a + b;
        }
        if (here !== data.length) fail(`${record.name}: ${name} has the wrong size`);
      }
      fixed += fixedSizes[type];
    }
    if (tail !== at + size) fail(`${record.name} does not hold exactly its columns`);
    out.push({ record, flags: record.flags.filter((_, i) => (bits >> i) & 1), handle, columns });
    at += size;
  }
  return out;
}

// Player plays to one guest: a function from a batch to its events.
export class Player {
  constructor(step) {
    this.guest = step;
    this.hash = createHash("sha256");
    this.batch = [];
    this.pending = [];
    this.opens = [];
    this.opened = null;
  }

  digest() {
    return this.hash.copy().digest("hex");
  }

  // play plays a whole tape; it throws a TapeError where it does not go as it says.
  play(tape, mode) {
    this.mode = mode;
    this.chance = new Chance(tape.name, mode.number);
    this.configs = [];
    this.names = new Map();
    this.handles = new Map();
    this.current = null;
    for (const step of tape.steps) {
      this.got = [];
      try {
        this.step(step);
        this.got.forEach(unzip);
        this.compare(step.events);
      } catch (error) {
        if (!(error instanceof TapeError)) throw error;
        throw new TapeError(`${tape.name}.tape:${step.commands[0].number}: ${mode.name}: ${error.message}`);
      }
    }
  }

  compare(want) {
    for (let i = 0; i < Math.max(want.length, this.got.length); i++) {
      if (i >= want.length) fail(`event ${i} is not in the tape:\n${show(this.got[i])}`);
      if (i >= this.got.length) fail(`event ${i} did not come:\n${show(want[i])}`);
      if (!same(want[i], this.got[i])) {
        fail(`event ${i} is not as in the tape:\nwant ${show(want[i])}\ngot  ${show(this.got[i])}`);
      }
    }
  }

  // --- commands ---

  step(step) {
    step.commands.forEach((command, i) => {
      const { kind } = command;
      if (kind === "raw") this.batch.push(...command.payloads.map((text) => text.data));
      else if (kind === "content" && !command.flags.includes("resume") && this.callOf(command)) {
        this.content(command, step.commands[i + 1]?.kind);
      } else if (!(kind === "content-end" && this.callOf(command)?.done)) this.command(command);
    });
    this.flush();
  }

  callOf(command) {
    if (command.args.has("handle")) return null;
    const name = textOf(command.args.get("call"));
    return name === undefined ? this.current : (this.names.get(name) ?? fail(`no call ${name}`));
  }

  handleOf(call) {
    if (call === this.opened) return 0;
    return call.handle || fail("the guest has not told this call's handle yet");
  }

  chunks(data) {
    if (this.mode.cut === "whole" || !data.length) return [data];
    const out = [];
    while (data.length) {
      let n = 1;
      if (out.length >= 1024) n = Math.floor(data.length / 8) + 1;
      else if (this.mode.cut === "random") {
        const whole = this.chance.below(2) === 0;
        n = 1 + this.chance.below(whole ? data.length : Math.min(data.length, 16));
      }
      out.push(data.subarray(0, n));
      data = data.subarray(n);
    }
    return out;
  }

  carried(length, inline) {
    if (this.mode.carry === "all" || inline) return length;
    if (this.mode.carry === "none") return 0;
    const choice = this.chance.below(3);
    return choice === 0 ? length : choice === 1 ? 0 : this.chance.below(length + 1);
  }

  content(command, follows) {
    const call = this.callOf(command);
    const chunks = this.chunks(Buffer.concat(command.payloads.map((text) => text.data)));
    const end = command.flags.includes("end");
    if (end && (this.mode.cut === "bytes" || (this.mode.cut === "random" && this.chance.below(2) === 1))) {
      chunks.push(Buffer.alloc(0));
    }
    for (const [i, chunk] of chunks.entries()) {
      if (call.done) return;
      const last = i === chunks.length - 1;
      const carried = this.carried(chunk.length, call.inline);
      call.content = Buffer.concat([call.content, chunk]);
      const columns = { length: chunk.length, data: chunk.subarray(0, carried) };
      this.batch.push(encode(commands.get("content"), end && last ? 1 : 0, this.handleOf(call), columns));
      if (!last || (this.mode.name !== "whole" && follows !== "content-end")) this.flush();
    }
  }

  command(command) {
    const record = commands.get(command.kind) ?? fail(`unknown command ${command.kind}`);
    let flags = 0;
    let mark = 0;
    for (const name of command.flags) {
      const bit = record.flags.indexOf(name);
      if (bit >= 0) flags |= 1 << bit;
      else if (name === "compressed" && command.kind === "send") mark = compressedBit;
      else fail(`${command.kind} has no flag ${name}`);
    }
    const columns = this.columns(command, record);
    const payloads = command.payloads.map((text) => text.data);
    if (command.kind === "send") {
      columns.lengths = payloads.map((payload) => payload.length + mark);
      if (command.flags.includes("inline")) columns.data = Buffer.concat(payloads);
    } else if (command.kind === "content") {
      columns.data = Buffer.concat(payloads);
      columns.length ??= columns.data.length;
    } else if (command.kind === "decompressed") columns.data = Buffer.concat(payloads);
    else if (payloads.length) fail(`${command.kind} takes no payload`);
    const handle = this.target(command);
    const call = this.callOf(command);
    if (call && command.kind === "send" && !command.flags.includes("inline")) call.sends.push(...payloads);
    if (call && command.kind === "response-head") call.head = command.lines;
    if (call && command.kind === "close") call.done = true;
    this.batch.push(encode(record, flags, handle, columns));
  }

  columns(command, record) {
    const types = Object.fromEntries(record.columns.map(({ name, type }) => [name, type]));
    const out = {};
    for (const [key, value] of command.args) {
      if (["config", "call", "as", "handle"].includes(key)) continue;
      const text = textOf(value);
      if (key === "attributes" && types[key] === "u32") out[key] = attributesOf(text);
      else if (types[key] === "u32" || types[key] === "u64") out[key] = toNumber(command.kind, key, text);
      else if (key === "codecs" || key === "codings") out[key] = Buffer.from(list(text).join("\0"), "latin1");
      else if (key === "native") out[key] = Buffer.from(list(text).map(Number));
      else if (types[key] === "bytes") out[key] = value.data;
      else fail(`${command.kind} has no column ${key} that can be given like this`);
    }
    const attributes = [];
    for (const { kind, name, value } of command.lines) {
      if (kind === "procedure") {
        attributes.push(attributesOf(textOf(value)));
        continue;
      }
      const column = { "": "fields", binary: "binary", detail: "details" }[kind];
      if (!(column in types)) fail(`${command.kind} has no ${column}`);
      (out[column] ??= []).push([name, value.data]);
    }
    if (attributes.length) {
      out.procedures = Buffer.from(command.lines.map(({ name }) => name.toString("latin1")).join("\0"), "latin1");
      out.attributes ??= Buffer.from(attributes);
    }
    return out;
  }

  target(command) {
    const { kind, args } = command;
    const explicit = args.has("handle") ? Number(textOf(args.get("handle"))) : null;
    if (kind.startsWith("configure-")) {
      this.pending.push({
        procedures: command.lines.map(({ name }) => name.toString("latin1")),
        codecs: list(textOf(args.get("codecs"))),
        codings: list(textOf(args.get("codings"))),
      });
      return explicit ?? 0;
    }
    const config = args.has("config") ? this.configs[Number(textOf(args.get("config")))] : this.configs.at(-1);
    const opens = kind === "open-server" || kind === "open-client";
    if (opens) {
      const call = {
        name: textOf(args.get("as")) ?? "",
        config,
        head: command.lines,
        handle: 0,
        content: Buffer.alloc(0),
        released: 0,
        inline: false,
        sends: [],
        done: false,
      };
      this.names.set(call.name, call);
      this.current = this.opened = call;
      this.opens.push(call);
    }
    if (explicit !== null) return explicit;
    if (opens || kind === "close-config" || args.has("config")) return (config ?? fail("no configuration")).handle;
    return this.handleOf(this.callOf(command) ?? fail("no call is open"));
  }

  flush() {
    for (let round = 0; round < 1000; round++) {
      if (!this.batch.length) return;
      const out = this.guest(Buffer.concat(this.batch));
      this.hash.update(le(4, out.length)).update(out);
      this.batch = [];
      this.more = [];
      const { opens } = this;
      for (const event of decode(out)) this.event(event);
      [this.opens, this.opened, this.pending] = [[], null, []];
      for (const call of [...this.handles.values(), ...opens]) call.sends = [];
      this.more.forEach((event) => this.resume(event));
    }
    fail("the guest asks for more without an end");
  }

  resume({ handle, columns }) {
    const call = this.handles.get(handle);
    const from = Number(columns.offset);
    if (call.done) return;
    if (from < call.released || from > call.content.length) {
      fail(`more: asks for offset ${from} of ${call.released}..${call.content.length}`);
    }
    const data = call.content.subarray(from, from + columns.want);
    if (data.length) this.batch.push(encode(commands.get("content"), 2, call.handle, { length: data.length, data }));
  }

  // --- events ---

  event(event) {
    const { name } = event.record;
    if (name === "configured") {
      const config = this.pending.shift() ?? fail("configured: nothing was configured");
      config.handle = event.handle;
      this.configs.push(config);
      this.got.push(entry(name, event.flags));
      return;
    }
    let call = this.handles.get(event.handle);
    if (name === "fault") {
      this.fault(event, call);
      return;
    }
    if (!call || call.done) {
      call = this.opens.shift() ?? fail(`${name}: for handle ${event.handle}, which is no open call`);
      call.handle = event.handle;
      this.handles.set(event.handle, call);
    }
    if (name === "more") this.more.push(event);
    else if (name === "messages") this.messages(event, call);
    else if (name === "http-body") this.body(event, call);
    else {
      if (name === "done") call.done = true;
      if (name === "request" || name === "response") call.inline = event.flags.includes("content-inline");
      this.plain(event, call);
    }
  }

  plain({ record, flags, columns }, call) {
    const out = entry(record.name, flags);
    for (const { name, type } of record.columns) {
      const value = columns[name];
      if (type === "u32" || type === "u64") {
        const absent = name === "timeout_us" ? noTimeout : name === "procedure" || name === "codec" ? -1 : 0;
        if (value != absent) out.args.set(name, asText(callWord(call, record.name, name, value)));
      } else if (name === "hidden") out.lines.push(...visible(call.head, value));
      else if (type === "bytes") {
        if (value.length) out.args.set(name, { data: value });
      } else {
        const kind = { binary: "binary", details: "detail" }[name] ?? "";
        out.lines.push(...value.map(([a, b]) => ({ kind, name: a, value: { data: b } })));
      }
    }
    this.note(call, out);
  }

  messages({ flags, columns }, call) {
    const inline = flags.includes("inline");
    const data = inline ? columns.data : call.content;
    const base = inline ? 0 : Number(columns.base);
    if (columns.spans.length % 2 || (!inline && columns.data.length)) fail("messages: odd spans, or data without inline");
    for (let i = 0; i < columns.spans.length; i += 2) {
      const start = base + columns.spans[i];
      const compressed = columns.spans[i + 1] >= compressedBit;
      const size = columns.spans[i + 1] - (compressed ? compressedBit : 0);
      if (start + size > data.length) fail(`span ${start}+${size} in content of ${data.length}`);
      if (!inline) {
        if (start < call.released) fail(`span at ${start}, and ${call.released} were given up`);
        call.released = start + size;
      }
      const out = entry("message", compressed ? ["compressed"] : []);
      out.payloads.push({ data: Buffer.from(data.subarray(start, start + size)) });
      if (compressed) {
        out.args.set("coding", asText(callWord(call, "message", "coding", columns.coding)));
        out.args.set("limit", asText(columns.limit));
      }
      this.note(call, out);
    }
  }

  body({ flags, columns: { count, prefix, data } }, call) {
    if (count > call.sends.length || count * prefix > data.length) {
      fail(`http-body: ${count} payloads of ${call.sends.length} with prefixes of ${prefix} in ${data.length} bytes`);
    }
    const parts = call.sends.splice(0, count).flatMap((payload, i) => [data.subarray(i * prefix, (i + 1) * prefix), payload]);
    const out = entry("http-body", flags);
    out.payloads.push({ data: Buffer.concat([...parts, data.subarray(count * prefix)]) });
    this.note(call, out);
  }

  fault({ handle, columns }, call) {
    const out = entry("fault");
    out.args.set("fault", asText(toWord("", "fault", columns.fault)));
    if (!call && handle) out.args.set("handle", asText(handle));
    if (!columns.text.length) fail("fault: without a text");
    out.args.set("text", { data: columns.text });
    this.pending = []; // what a fault answers has configured nothing
    if (call) this.note(call, out);
    else this.got.push(out);
  }

  note(call, out) {
    if (call.name) out.args.set("call", asText(call.name));
    const last = this.got.at(-1);
    if (out.kind === "http-body" && last?.kind === "http-body" && !last.flags.includes("end")) {
      if ((textOf(last.args.get("call")) ?? "") === call.name) {
        last.payloads[0] = { data: Buffer.concat([last.payloads[0].data, out.payloads[0].data]) };
        last.flags = out.flags;
        return;
      }
    }
    this.got.push(out);
  }
}

const entry = (kind, flags = []) => ({ kind, flags, args: new Map(), payloads: [], lines: [] });

function callWord(call, kind, column, number) {
  const { procedures, codecs, codings } = call.config ?? {};
  const named = { procedure: procedures, codec: codecs, coding: codings && ["", ...codings] }[column];
  return named?.[Number(number)] || toWord(kind, column, number);
}

function visible(head, hidden) {
  if (hidden.length !== Math.ceil(head.length / 8)) fail(`hidden has ${hidden.length} bytes for ${head.length} fields`);
  const bit = (i) => (hidden[i >> 3] >> (i & 7)) & 1;
  for (let i = head.length; i < 8 * hidden.length; i++) if (bit(i)) fail(`hidden has bit ${i} for ${head.length} fields`);
  return head.filter((_, i) => !bit(i));
}

function unzip(out) {
  if (out.kind !== "http-body" || out.payloads[0].data.toString("hex", 0, 3) !== "1f8b08") return;
  try {
    out.payloads[0] = { data: gunzipSync(out.payloads[0].data) };
  } catch {
    return;
  }
  out.flags.push("gzip");
}
