// What the programs share. Each reads {url, speech, cases} as JSON from standard input, plays the cases one after the
// other with its client, and prints the list of their results as JSON: {responses, header, trailer, error}. An error has
// its call's metadata; only the service's own metadata counts, binary values in padded base64.
import { text } from "node:stream/consumers";

// connect(url, speech) makes a function that makes one call: (one, signal, arrived) => result, where arrived is called
// for each response.
export async function main(connect) {
  const { url, speech, cases } = JSON.parse(await text(process.stdin));
  const call = connect(url, speech);
  const results = [];
  for (const one of cases) {
    results.push(await play(call, one));
  }
  // Connections that are kept open would keep the process, too.
  process.stdout.write(JSON.stringify(results), () => process.exit());
}

async function play(call, one) {
  if (one.atOnce) {
    return await Promise.all(one.atOnce.map((value) => call({ ...one, requests: [value] })));
  }
  if (!one.sleeps) {
    return await call(one);
  }
  // The server tells when the call's handler has begun to sleep, and what has ended that.
  const abort = new AbortController();
  const { promise: enough, resolve } = Promise.withResolvers();
  let count = 0;
  const result = call(one, abort.signal, () => ++count === one.cancelAfter && resolve());
  const ask = async (value) => (await call({ procedure: "unary", requests: [value], timeoutMs: 20_000 })).responses[0];
  const began = await ask("began");
  if (one.cancelAfter) {
    await enough;
  }
  if (one.cancelAfter !== undefined) {
    abort.abort();
  }
  return { ...(await result), began, ended: await ask("ended") };
}

// The service's metadata among these fields.
export function metadata(fields) {
  const found = Object.entries(fields).filter(([name]) => /^x-(lead|trail|error)/.test(name));
  return Object.fromEntries(found.map(([name, value]) => [name, name.endsWith("-bin") ? padded(value) : value]));
}

export const padded = (base64) => Buffer.from(base64, "base64").toString("base64");
