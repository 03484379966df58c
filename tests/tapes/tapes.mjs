// Replays the tapes to the module under Node's own WebAssembly and WASI.
//
//	node tapes.mjs [--dump FILE] [--tapes PART]
//
// It exits with 1 if a tape does not go as it says. --dump writes the digests
// of the event bytes.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { TapeError, fail, here, load, names } from "./tape_format.mjs";
import { Player, abi, modes } from "./tape_player.mjs";

process.removeAllListeners("warning"); // node:wasi says that it is experimental
process.on("warning", (warning) => warning.name === "ExperimentalWarning" || console.warn(warning));
const { WASI } = await import("node:wasi");

const path = process.env.TAPES_MODULE || join(here, "../../hostgo/connectcore.wasm");
const module = await WebAssembly.compile(readFileSync(path));

// A fresh instance, as a function from a batch to its events.
async function fresh() {
  const wasi = new WASI({ version: "preview1" });
  const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
  wasi.initialize(instance);
  const { memory, [abi.exports.reserve]: reserve, [abi.exports.step]: step, [abi.exports.version]: version } = instance.exports;
  if (version() !== ((abi.major << 16) | abi.minor)) fail(`the module has version ${version()}`);
  return (batch) => {
    const at = reserve(batch.length) >>> 0;
    new Uint8Array(memory.buffer, at, batch.length).set(batch);
    const result = BigInt.asUintN(64, step(batch.length));
    return Buffer.from(new Uint8Array(memory.buffer, Number(result >> 32n), Number(result & 0xffffffffn)));
  };
}

const { values: options } = parseArgs({ options: { dump: { type: "string" }, tapes: { type: "string", default: "" } } });
const digests = {};
const failures = [];
const goodCall = load("presets/good-call");

for (const name of names(options.tapes)) {
  try {
    const tape = load(name);
    for (const mode of modes) {
      const player = new Player(await fresh());
      player.play(tape, mode);
      player.play(goodCall, modes[0]);
      digests[`${name} ${mode.name}`] = player.digest();
    }
  } catch (error) {
    if (!(error instanceof TapeError)) throw error;
    failures.push(error.message);
  }
}

// The tapes that must fail.
for (const file of readdirSync(join(here, "selftest")).filter((file) => file.endsWith(".tape"))) {
  const name = `selftest/${file.slice(0, -".tape".length)}`;
  const tape = load(name);
  try {
    new Player(await fresh()).play(tape, modes[0]);
    failures.push(`${name} should fail`);
  } catch (error) {
    if (!(error instanceof TapeError)) throw error;
    if (!tape.headers.fails || !error.message.includes(tape.headers.fails)) failures.push(`${name}: ${error.message}`);
  }
}

failures.forEach((failure) => console.error(failure));
if (options.dump) writeFileSync(options.dump, JSON.stringify(digests));
console.log(`node: ${Object.keys(digests).length} replays, ${failures.length} failed`);
process.exitCode = failures.length ? 1 : 0;
