// The two modules under Node's own WebAssembly and WASI, and the records that one of them speaks: wasm/ABI.md, sections 1, 2
// and 11.
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

const abi = JSON.parse(readFileSync(new URL("../tapes/abi.json", import.meta.url)));
const byName = new Map(abi.records.map((record) => [record.name, record]));
const byKind = new Map(abi.records.map((record) => [record.kind, record]));
const compiled = new Map();
export const { codes } = abi;

function instantiate(name) {
  const path = new URL(`../../hostgo/${name}.wasm`, import.meta.url);
  if (!compiled.has(name)) compiled.set(name, new WebAssembly.Module(readFileSync(path)));
  const wasi = new WASI({ version: "preview1" });
  const instance = new WebAssembly.Instance(compiled.get(name), wasi.getImportObject());
  wasi.initialize(instance);
  return instance.exports;
}

// What a result names in the guest's memory: copied, because it holds only until the next call.
const copied = ({ memory }, at) => Buffer.from(new Uint8Array(memory.buffer, Number(at >> 32n), Number(at & 0xffff_ffffn)));

export class Instance {
  broken = false;
  closing = []; // `close` commands, for the next batch
  #guest = instantiate("connectcore");

  constructor() {
    const version = this.#guest[abi.exports.version]?.();
    const fits = version >> 16 === abi.major && (version & 0xffff) >= abi.minor;
    if (!fits) throw new Error(`connectcore.wasm has version ${version}, this host needs ${abi.major}.${abi.minor}`);
  }

  // The events of one batch of commands; or none, and the instance is `broken`.
  step(commands) {
    const batch = Buffer.concat([...this.closing.splice(0), ...commands].map(encode));
    const { memory, [abi.exports.reserve]: reserve, [abi.exports.step]: step } = this.#guest;
    try {
      const place = reserve(batch.length) >>> 0;
      new Uint8Array(memory.buffer, place).set(batch);
      const events = decode(copied(this.#guest, BigInt.asUintN(64, step(batch.length))));
      this.broken = events.some(({ kind, fault }) => kind === "fault" && fault === 6);
      return events;
    } catch {
      this.broken = true;
    }
  }
}

// The codings that the second module does: number and level.
const CODINGS = { br: [1, 4], zstd: [2, 3] };
let codings;

export const isNative = (name) => name in CODINGS;
// Both return {data}, or {reason}: why not, as `reject` says it.
export const compress = (name, data) => transform("compress", name, CODINGS[name][1], data);
export const decompress = (name, data, limit) => transform("decompress", name, limit, data);

function transform(verb, name, argument, data) {
  let result = 4n; // as if the guest had failed, until it has answered
  try {
    codings ??= instantiate("connectcore-codings");
    const place = codings.connectcore_codings_reserve(data.length) >>> 0;
    if (place) new Uint8Array(codings.memory.buffer, place).set(data);
    if (place) result = BigInt.asUintN(64, codings[`connectcore_codings_${verb}`](CODINGS[name][0], argument, data.length));
  } catch {} // a trap
  if (result >> 32n) return { data: copied(codings, result) };
  if (result > 2n) codings = undefined;
  return { reason: result === 1n ? 3 : 2 };
}

const u32 = (value = 0) => Buffer.of(value, value >>> 8, value >>> 16, value >>> 24);
const EMPTY = Buffer.alloc(0);
const counted = (value, parts) => [Buffer.concat([u32(value.length), u32(Buffer.concat(parts).length)]), Buffer.concat(parts)];
// For each type: its fixed part, and the bytes that it announces. Each character of a field stands for a byte.
const writers = {
  u32: (value) => [u32(value)],
  u64: (value = 0n) => [Buffer.from(BigUint64Array.of(value).buffer)],
  bytes: (value = EMPTY) => [u32(Buffer.byteLength(value)), Buffer.from(value)],
  fields: (value = []) => counted(value, [Buffer.from(value.flat().join("\0"), "latin1")]),
  pairs: (value = []) =>
    counted(value, value.flatMap(([a, b]) => [u32(Buffer.byteLength(a)), u32(b.length), Buffer.from(a), b])),
  words: (value = []) => [u32(value.length), Buffer.concat(value.map(u32))],
};

function encode(command) {
  const { kind, flags, columns } = byName.get(command.kind);
  const parts = columns.map(({ name, type }) => writers[type](command[name]));
  const body = Buffer.concat([...parts.map(([fixed]) => fixed), ...parts.map(([, bytes = EMPTY]) => bytes)]);
  const bits = flags.reduce((sum, flag, i) => sum | (command[flag] ? 1 << i : 0), 0);
  return Buffer.concat([u32(kind | (bits << 16)), u32(12 + body.length), u32(command.handle), body]);
}

const WIDTHS = { u32: 4, u64: 8, bytes: 4, fields: 8, pairs: 8, words: 4 };
export const pairUp = (list) => Array.from({ length: list.length / 2 }, (_, i) => [list[2 * i], list[2 * i + 1]]);
const number = (data, at) => data.readUInt32LE((at.fixed += 4) - 4);
const take = (data, at, size) => data.subarray(at.bytes, (at.bytes += size));
const readers = {
  u32: number,
  u64: (data, at) => data.readBigUInt64LE((at.fixed += 8) - 8),
  bytes: (data, at) => take(data, at, number(data, at)),
  fields(data, at) {
    const count = number(data, at);
    const text = take(data, at, number(data, at)).toString("latin1");
    return count ? pairUp(text.split("\0")) : [];
  },
  pairs(data, at) {
    const pair = ([a, b]) => [take(data, at, a).toString(), take(data, at, b)];
    const sizes = () => [take(data, at, 4).readUInt32LE(), take(data, at, 4).readUInt32LE()];
    const count = number(data, at);
    at.fixed += 4; // the size of all
    return Array.from({ length: count }, () => pair(sizes()));
  },
  words: (data, at) => Array.from({ length: number(data, at) }, () => take(data, at, 4).readUInt32LE()),
};

function decode(data) {
  const events = [];
  for (let start = 0; start < data.length; start += data.readUInt32LE(start + 4)) {
    const { name: kind, flags, columns } = byKind.get(data.readUInt16LE(start)) ?? {};
    if (!kind) continue; // of a later version
    const event = { kind, handle: data.readUInt32LE(start + 8) };
    flags.forEach((flag, i) => (event[flag] = Boolean((data.readUInt16LE(start + 2) >> i) & 1)));
    const at = { fixed: start + 12, bytes: columns.reduce((sum, { type }) => sum + WIDTHS[type], start + 12) };
    for (const { name, type } of columns) event[name] = readers[type](data, at);
    events.push(event);
  }
  return events;
}
