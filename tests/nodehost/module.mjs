// The two modules under Node's own WebAssembly and WASI, and the records that the first one speaks (ABI.md, 1, 2, 11).
import { readFileSync } from "node:fs";
import { WASI } from "node:wasi";

export const abi = JSON.parse(readFileSync(new URL("../tapes/abi.json", import.meta.url)));
const schemas = new Map(abi.records.flatMap((schema) => [[schema.name, schema], [schema.kind, schema]]));
const FAILED = 6; // the fault of an instance that is damaged
const compiled = {};

function instantiate(name) {
  compiled[name] ??= new WebAssembly.Module(readFileSync(new URL(`../../hostgo/${name}.wasm`, import.meta.url)));
  const wasi = new WASI({ version: "preview1" });
  const instance = new WebAssembly.Instance(compiled[name], wasi.getImportObject());
  wasi.initialize(instance);
  return instance.exports;
}

// Writes data to the guest's arena, calls an export, and copies its result, which holds only until the next call.
function hand(guest, prefix, data, name, ...rest) {
  const place = guest[`${prefix}_reserve`](data.length) >>> 0;
  if (!place) throw new Error("the guest has no room");
  new Uint8Array(guest.memory.buffer, place).set(data);
  const result = BigInt.asUintN(64, guest[`${prefix}_${name}`](...rest, data.length));
  const [address, size] = [Number(result >> 32n), Number(result & 0xffff_ffffn)];
  return { address, size, data: Buffer.from(new Uint8Array(guest.memory.buffer, address, size)) };
}

export class Instance {
  broken = false;
  closing = []; // `close` commands, for the next batch
  #configured = new WeakMap();
  #guest = instantiate("connectcore");

  constructor() {
    const version = this.#guest[abi.exports.version]?.();
    const fits = version >> 16 === abi.major && (version & 0xffff) >= abi.minor;
    if (!fits) throw new Error(`connectcore.wasm has version ${version}, this host needs ${abi.major}.${abi.minor}`);
  }

  // The guest's answer to a configuration, which it is told once.
  configure(record) {
    const told = () => this.step([{ ...record, native: Buffer.from(record.codings.map(isNative)) }])[0];
    if (!this.#configured.has(record)) this.#configured.set(record, told());
    return this.#configured.get(record);
  }

  // The events of one batch of commands; none where the instance is `broken`, or becomes so.
  step(commands) {
    if (this.broken) return [];
    const batch = Buffer.concat([...this.closing.splice(0), ...commands].map(encode));
    let fault = { fault: FAILED }; // if it traps
    try {
      const events = [...decode(hand(this.#guest, "connectcore", batch, "step").data)];
      fault = events.find(({ kind }) => kind === "fault");
      if (!fault) return events;
    } catch {}
    if (fault.fault !== FAILED) throw new Error(`connectcore: ${fault.text}`); // of the host's author, or user
    this.broken = true;
    return [];
  }
}

// What the second module does. Both return {data}, or {reason}: why not, as `reject` says it.
const CODINGS = { br: 1, zstd: 2 };
let codings;
export const isNative = (name) => name in CODINGS;
export const compress = (name, data) => transform("compress", name, data, 4); // a level
export const decompress = (name, data, limit) => transform("decompress", name, data, limit);

function transform(verb, name, data, argument) {
  let answer = { size: 4 }; // as if the guest had failed, until it has answered
  try {
    codings ??= instantiate("connectcore-codings");
    answer = hand(codings, "connectcore_codings", data, verb, CODINGS[name], argument);
  } catch {} // a trap
  if (answer.address) return { data: answer.data };
  if (answer.size > 2) codings = undefined;
  return { reason: answer.size === 1 ? 3 : 2 };
}

// A column is numbers in its fixed part, and the bytes that these announce. Each character of a field stands for a byte.
const words = (numbers) => Buffer.concat(numbers.map((n) => Buffer.of(n, n >>> 8, n >>> 16, n >>> 24)));
const sized = (count, ...parts) => [[...count, Buffer.concat(parts).length], ...parts];
const writers = {
  u32: (value = 0) => [[value]],
  u64: (value = 0n) => [[Number(value & 0xffff_ffffn), Number(value >> 32n)]],
  bytes: (value = "") => sized([], Buffer.from(Array.isArray(value) ? value.join("\0") : value)), // a list: names
  fields: (value = []) => sized([value.length], Buffer.from(value.flat().join("\0"), "latin1")),
  pairs: (value = []) =>
    sized([value.length], ...value.flatMap(([a, b]) => [words([Buffer.byteLength(a), b.length]), Buffer.from(a), b])),
  words: (value = []) => [[value.length], words(value)],
};

const listOf = (count, each) => Array.from({ length: count }, (_, i) => each(i));
export const pairUp = (list) => listOf(list.length / 2, (i) => [list[2 * i], list[2 * i + 1]]);
const NUMBERS = { u32: 1, u64: 2, bytes: 1, fields: 2, pairs: 2, words: 1 }; // in the fixed part
const readers = {
  u32: ([value]) => value,
  u64: ([low, high]) => (BigInt(high) << 32n) | BigInt(low),
  bytes: ([size], { take }) => take(size),
  fields: ([count, size], { take }) => pairUp(count ? take(size).toString("latin1").split("\0") : []),
  pairs: ([count], { take, word }) => listOf(count, () => [word(), word()].map((size) => take(size))),
  words: ([count], { word }) => listOf(count, word),
};

function encode(command) {
  const { kind, flags, columns } = schemas.get(command.kind);
  const parts = columns.map(({ name, type }) => writers[type](command[name]));
  const body = Buffer.concat([words(parts.flatMap(([fixed]) => fixed)), ...parts.flatMap(([, ...bytes]) => bytes)]);
  const bits = flags.reduce((sum, flag, i) => sum | (command[flag] ? 1 << i : 0), 0);
  return Buffer.concat([words([kind | (bits << 16), 12 + body.length, command.handle ?? 0]), body]);
}

function* decode(data) {
  for (let start = 0; start < data.length; start += data.readUInt32LE(start + 4)) {
    const { name: kind, flags, columns } = schemas.get(data.readUInt16LE(start)) ?? {};
    if (!kind) continue; // of a later version
    const event = { kind, handle: data.readUInt32LE(start + 8) };
    flags.forEach((flag, i) => (event[flag] = Boolean((data.readUInt16LE(start + 2) >> i) & 1)));
    let at = start + 12;
    const take = (size) => data.subarray(at, (at += size));
    const word = () => take(4).readUInt32LE();
    const fixed = columns.map(({ type }) => listOf(NUMBERS[type], word));
    columns.forEach(({ name, type }, i) => (event[name] = readers[type](fixed[i], { take, word })));
    yield event;
  }
}
