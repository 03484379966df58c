// Reads tapes: the format that README.md describes. Shares no code with the Go
// and Python runners: that the three agree is part of what the tapes prove.
// Everything is bytes; text is read as latin-1, a character per byte.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const here = dirname(fileURLToPath(import.meta.url));

export class TapeError extends Error {}

export const fail = (message) => {
  throw new TapeError(message);
};

const latin = (text) => Buffer.from(text, "latin1");

// The names of the tapes, without those that are there to be used by others.
export function names(contains = "") {
  return readdirSync(here, { recursive: true })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".tape") && !/^(presets|selftest)\//.test(path))
    .map((path) => path.slice(0, -".tape".length))
    .filter((name) => name.includes(contains))
    .sort();
}

// load reads the tape of this name: {name, headers, steps: [{commands, events}]}.
export function load(name) {
  const tape = { name, headers: {}, steps: [] };
  const source = readFileSync(join(here, `${name}.tape`), "latin1");
  let joins = false;
  let last = null;
  source.split("\n").forEach((full, index) => {
    const line = full.replace(/[ \t\r]+$/, "");
    const word = line.replace(/^[ \t]+/, "");
    try {
      if (word === "") joins = false;
      else if (word[0] === "#") return;
      else if (line[0] === " " || line[0] === "\t") {
        if (!last) fail("an indented line belongs to no command or event");
        last.lines.push(...parseLine(word));
      } else if (line[0] === ">") {
        last = parseEntry(line.slice(1), index + 1);
        if (!joins) tape.steps.push({ commands: [], events: [] });
        joins = true;
        tape.steps.at(-1).commands.push(last);
      } else if (line[0] === "<") {
        last = parseEntry(line.slice(1), index + 1);
        joins = false;
        let count = 1;
        if (last.kind === "repeat") [count, last.kind, ...last.flags] = last.flags;
        for (let i = 0; i < Number(count); i++) tape.steps.at(-1).events.push(last);
      } else if (line.startsWith("use ")) {
        tape.steps.push(...use(parseEntry(line.slice(4), index + 1)));
        joins = false;
        last = null;
      } else {
        const [, key, value] = /^(title|spec|fails): (.*)$/.exec(line) ?? fail(`cannot read ${line}`);
        if (tape.steps.length) fail("a header after the first command");
        tape.headers[key] = value;
      }
    } catch (error) {
      throw new TapeError(`${name}.tape:${index + 1}: ${error.message}`);
    }
  });
  return tape;
}

function use(over) {
  const { steps } = load(`presets/${over.kind}`);
  for (const command of steps.flatMap((step) => step.commands)) {
    if (!command.kind.startsWith("configure-")) continue;
    command.flags.push(...over.flags);
    for (const [key, value] of over.args) command.args.set(key, value);
  }
  return steps;
}

const functions = ["hex", "repeat", "envelope", "u32be", "file", "base64", "gzip", "deflate", "snappy"];
const escapes = { n: "\n", r: "\r", t: "\t", 0: "\0", "\\": "\\", '"': '"' };

class Scanner {
  constructor(source) {
    this.s = source;
    this.i = 0;
  }

  peek() {
    return this.s[this.i] ?? "";
  }

  space() {
    while (this.peek() === " " || this.peek() === "\t") this.i++;
  }

  take(pattern) {
    pattern.lastIndex = this.i;
    const [match] = pattern.exec(this.s);
    this.i += match.length;
    return match;
  }

  word() {
    return this.take(/[A-Za-z0-9_-]*/y);
  }

  expect(char) {
    this.space();
    if (this.peek() !== char) fail(`expected ${char} at ${this.s.slice(this.i)}`);
    this.i++;
  }

  // Whether a value begins here, rather than a bare word.
  starts() {
    if (this.peek() && "\"'~".includes(this.peek())) return true;
    const at = this.i;
    const word = this.word();
    const open = this.peek() === "(";
    this.i = at;
    return functions.includes(word) && open;
  }

  text() {
    const pattern = this.peek() === "~";
    if (pattern) this.i++;
    return { data: this.sum(), pattern };
  }

  sum() {
    const parts = [this.atom()];
    for (;;) {
      const at = this.i;
      this.space();
      if (this.peek() !== "+") {
        this.i = at;
        return Buffer.concat(parts);
      }
      this.i++;
      this.space();
      parts.push(this.atom());
    }
  }

  until(char) {
    const end = this.s.indexOf(char, this.i);
    if (end < 0) fail(`no ${char} in ${this.s.slice(this.i)}`);
    const inner = this.s.slice(this.i, end);
    this.i = end;
    return inner;
  }

  atom() {
    if (this.peek() === "'") {
      this.i++;
      const inner = this.until("'");
      this.i++;
      return latin(inner);
    }
    if (this.peek() === '"') return this.quoted();
    const name = this.word();
    if (!functions.includes(name)) fail(`not a value: ${this.s.slice(this.i)}`);
    this.expect("(");
    this.space();
    const value = this.call(name);
    this.expect(")");
    return value;
  }

  quoted() {
    let out = "";
    for (this.i++; ; ) {
      let char = this.s[this.i++] ?? fail("no closing quote");
      if (char === '"') return latin(out);
      if (char === "\\") {
        char = this.s[this.i++];
        if (char === "x") {
          char = String.fromCharCode(parseInt(this.s.slice(this.i, this.i + 2), 16));
          this.i += 2;
        } else {
          char = escapes[char] ?? fail(`unknown escape \\${char}`);
        }
      }
      out += char;
    }
  }

  call(name) {
    switch (name) {
      case "hex":
        return Buffer.from(this.until(")").replaceAll(" ", ""), "hex");
      case "file":
        return readFileSync(join(here, "data", this.until(")")));
      case "repeat": {
        const data = this.sum();
        this.expect(",");
        const count = this.number();
        return Buffer.alloc(data.length * count, data);
      }
      case "envelope": {
        const flags = this.number();
        this.expect(",");
        this.space();
        const data = this.sum();
        return Buffer.concat([Buffer.from([flags]), u32be(data.length), data]);
      }
      case "u32be":
        return u32be(this.number());
      case "base64":
        return latin(this.sum().toString("base64"));
      case "deflate":
        return storedZlib(this.sum());
      case "snappy":
        return storedSnappy(this.sum());
      default:
        return storedGzip(this.sum());
    }
  }

  number() {
    this.space();
    const word = this.word();
    const number = Number(word);
    return word !== "" && Number.isInteger(number) ? number : fail(`not a number: ${word}`);
  }
}

function u32be(number) {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(number);
  return out;
}

function crc32(data, polynomial = 0xedb88320) {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
  }
  return ~crc >>> 0;
}

function u32le(...numbers) {
  const out = Buffer.alloc(4 * numbers.length);
  numbers.forEach((number, i) => out.writeUInt32LE(number >>> 0, 4 * i));
  return out;
}

// A gzip member (RFC 1952).
function storedGzip(data) {
  const head = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
  return Buffer.concat([head, storedBlocks(data), u32le(crc32(data), data.length)]);
}

// A zlib stream (RFC 1950).
function storedZlib(data) {
  let a = 1;
  let b = 0;
  for (const byte of data) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return Buffer.concat([Buffer.from([0x78, 0x01]), storedBlocks(data), u32be(b * 65536 + a)]);
}

// Stored blocks of DEFLATE (RFC 1951, 3.2.4).
function storedBlocks(data) {
  const parts = [];
  for (let at = 0; at === 0 || at < data.length; at += 65535) {
    const block = data.subarray(at, at + 65535);
    const head = Buffer.alloc(5);
    head[0] = at + 65535 >= data.length ? 1 : 0;
    head.writeUInt16LE(block.length, 1);
    head.writeUInt16LE(block.length ^ 0xffff, 3);
    parts.push(head, block);
  }
  return Buffer.concat(parts);
}

// A stream of uncompressed chunks (framing_format.txt of snappy).
function storedSnappy(data) {
  const parts = [latin("\xff\x06\0\0sNaPpY")];
  for (let at = 0; at < data.length; at += 65536) {
    const block = data.subarray(at, at + 65536);
    const sum = crc32(block, 0x82f63b78);
    parts.push(u32le(1 | ((block.length + 4) << 8), ((sum >>> 15) | (sum << 17)) + 0xa282ead8), block);
  }
  return Buffer.concat(parts);
}

function parseEntry(source, number) {
  const scan = new Scanner(source);
  scan.space();
  const entry = { kind: scan.word(), flags: [], args: new Map(), payloads: [], lines: [], number };
  if (!entry.kind) fail(`no kind in ${source}`);
  for (;;) {
    scan.space();
    if (!scan.peek()) return entry;
    if (scan.starts()) {
      entry.payloads.push(scan.text());
      continue;
    }
    const word = scan.word() || fail(`cannot read ${source.slice(scan.i)}`);
    if (scan.peek() !== "=") {
      entry.flags.push(word);
      continue;
    }
    scan.i++;
    entry.args.set(word, scan.starts() ? scan.text() : { data: latin(scan.take(/[^ \t]*/y)), pattern: false });
  }
}

function parseLine(source) {
  if (source.startsWith("repeat ")) {
    const [, count, rest] = /^repeat (\d+) (.*)$/.exec(source);
    const one = parseLine(rest);
    return Array.from({ length: Number(count) }, () => one).flat();
  }
  for (const kind of ["binary", "detail", "procedure"]) {
    if (!source.startsWith(`${kind} `)) continue;
    const at = source.indexOf(" = ");
    if (at < 0) fail(`expected ${kind} NAME = VALUE`);
    return [{ kind, name: latin(source.slice(kind.length + 1, at)), value: fieldValue(source.slice(at + 1)) }];
  }
  const scan = new Scanner(source);
  let name;
  if (scan.peek() === '"') {
    name = scan.quoted();
  } else {
    const end = source.indexOf(":");
    if (end <= 0) fail(`expected name: value in ${source}`);
    name = latin(source.slice(0, end));
    scan.i = end;
  }
  scan.expect(":");
  return [{ kind: "", name, value: fieldValue(source.slice(scan.i).replace(/^[ \t]+/, "")) }];
}

function fieldValue(source) {
  if (!source.startsWith("= ")) return { data: latin(source), pattern: false };
  const scan = new Scanner(source.slice(2));
  scan.space();
  const text = scan.text();
  scan.space();
  if (scan.peek()) fail(`cannot read ${scan.s.slice(scan.i)}`);
  return text;
}

// matches compares bytes; in a pattern each '*' takes one byte or more.
function matches(want, data) {
  if (!want.pattern) return want.data.equals(data);
  const parts = want.data.toString("latin1").split("*");
  const source = parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")).join("[^]+");
  return new RegExp(`^${source}$`).test(data.toString("latin1"));
}

// Fields in the order of their names; details keep theirs.
function sorted(lines) {
  const key = (line) => (line.kind === "detail" ? "\xff" : `${line.kind}\0${line.name.toString("latin1")}`);
  return lines.map((line) => [key(line), line]).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, line]) => line);
}

// same compares an event of a tape with one that came.
export function same(want, got) {
  const lines = sorted(got.lines);
  return (
    want.kind === got.kind &&
    // A tape that names no flags of a configuration leaves them open.
    ((want.kind === "configured" && !want.flags.length) ||
      [...want.flags].sort().join() === [...got.flags].sort().join()) &&
    want.args.size === got.args.size &&
    [...want.args].every(([key, value]) => got.args.has(key) && matches(value, got.args.get(key).data)) &&
    want.payloads.length === got.payloads.length &&
    want.payloads.every((text, i) => matches(text, got.payloads[i].data)) &&
    want.lines.length === got.lines.length &&
    sorted(want.lines).every(
      (line, i) => line.kind === lines[i].kind && line.name.equals(lines[i].name) && matches(line.value, lines[i].value.data),
    )
  );
}

// show writes an event for a person.
export function show(entry) {
  const quote = (data) => JSON.stringify(data.toString("latin1").slice(0, 400));
  const words = [entry.kind, ...entry.flags];
  for (const [key, value] of entry.args) words.push(`${key}=${value.data.toString("latin1")}`);
  words.push(...entry.payloads.map((text) => quote(text.data)));
  const rows = sorted(entry.lines).map((line) => `    ${line.kind} ${quote(line.name)}: ${quote(line.value.data)}`);
  return [`< ${words.join(" ")}`, ...rows].join("\n");
}
