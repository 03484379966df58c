// What the conformance suite cannot see: an instance that fails takes its calls with it, and only those.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import test from "node:test";
import { setImmediate } from "node:timers/promises";
import { RPCError } from "./call.mjs";
import { caller } from "./client.mjs";
import { listener } from "./server.mjs";

const codec = { name: "proto", decode: (_, data) => data, encode: (_, data) => Buffer.from(data) };
const ECHO = { path: "/test.Service/Echo", attributes: 0 };
const COUNT = { path: "/test.Service/Count", attributes: 2 };
const BREAK = { path: "/test.Service/Break", attributes: 0 };
const [CANCELED, INTERNAL] = [1, 13];

async function main(use, { together, ...columns } = { codings: ["zstd"], send_coding: 1 }) {
  const server = http.createServer();
  const calls = [];
  const procedures = [
    { ...ECHO, handler: async (message) => message },
    { ...COUNT, handler: async function* (count) { for (let i = 0; i < +count; i++) yield Buffer.alloc(1000, i); } },
    { ...BREAK, handler: async () => ((calls[0].instance.broken = true), "never seen") },
  ];
  const serve = listener({ procedures, codecs: [codec], codings: ["gzip", "zstd"], compress_min: 500 });
  server.on("request", (request, response) => serve(request, together ? heldBack(response) : response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const agent = new http.Agent({ keepAlive: true });
  const call = caller({ options: { host: "127.0.0.1", port: server.address().port, agent }, codec, ...columns });
  const start = (...args) => (calls.unshift(call(...args)), calls[0]);
  try {
    await use(start);
  } finally {
    agent.destroy();
    server.close();
  }
}

// A response whose content goes out in one piece.
function heldBack(response) {
  const [held, end] = [[], response.end.bind(response)];
  return Object.assign(response, { write: (data) => held.push(data), end: (data) => end(Buffer.concat([...held, data])) });
}

test("a large message and many small ones", () =>
  main(async (start) => {
    const large = Buffer.alloc(3_000_000, "0123456789");
    for await (const reply of start(ECHO, large)) assert.equal(Buffer.compare(reply, large), 0);
    let count = 0;
    for await (const reply of start(COUNT, "200")) assert.deepEqual(reply, Buffer.alloc(1000, count++));
    assert.equal(count, 200);
  }));

test("more messages than a step brings, which the guest decompresses", () =>
  main(async (start) => {
    let count = 0;
    for await (const reply of start(COUNT, "5000")) assert.deepEqual(reply, Buffer.alloc(1000, count++));
    assert.equal(count, 5000);
  }, { codings: ["gzip"], together: true }));

test("calls of an instance that failed are lost, the next one is served", () =>
  main(async (start) => {
    const failed = async () => { for await (const reply of start(BREAK, "")) assert.fail(reply); };
    await assert.rejects(failed, (error) => error instanceof RPCError && error.code === INTERNAL);
    for await (const reply of start(ECHO, "good")) assert.equal(String(reply), "good");
  }));

test("a call that is canceled says so, whatever has come", () =>
  main(async (start) => {
    const some = start(COUNT, "200");
    const canceled = async () => { for await (const _ of some) some.cancel(); };
    await assert.rejects(canceled, (error) => error instanceof RPCError && error.code === CANCELED);
    const all = start(ECHO, "good");
    while (all.outcome === undefined) await setImmediate();
    all.cancel();
    await assert.rejects(async () => { for await (const reply of all) assert.fail(reply); }, { code: CANCELED });
  }));
