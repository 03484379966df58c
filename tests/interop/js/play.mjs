// How cases are played, under Node and in a browser. The result of a case is {responses, header, trailer, error}. An error has its
// call's metadata; only the service's own metadata counts, binary values in padded base64.

// Plays the cases one after the other. call makes one call: (one, signal, arrived) => result, where arrived is called for each
// response.
export async function playAll(call, cases) {
  const results = [];
  for (const one of cases) {
    results.push(await play(call, one));
  }
  return results;
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

export const padded = (base64) => base64.replace(/=+$/, "").padEnd(Math.ceil(base64.replace(/=+$/, "").length / 4) * 4, "=");

export const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
