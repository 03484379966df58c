// The conformance suite's programs on this host: `suite.mjs server` and `suite.mjs client`; tests/conformance/run.py runs them.
// Messages come and go behind their size; see server_compat.proto, client_compat.proto and service.proto of the suite.
import { readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { RPCError } from "./call.mjs";
import { caller } from "./client.mjs";
import { compress } from "./module.mjs";
import { listener } from "./server.mjs";

// The library that the JavaScript interop tests have.
const require = createRequire(new URL("../interop/js/package.json", import.meta.url));
const pb = require("@bufbuild/protobuf");
const { FileDescriptorSetSchema, anyPack, anyUnpack } = require("@bufbuild/protobuf/wkt");
const described = readFileSync(new URL("../conformance/gen/suite.binpb", import.meta.url));
const registry = pb.createFileRegistry(pb.fromBinary(FileDescriptorSetSchema, described));
const PACKAGE = "connectrpc.conformance.v1";
const message = (name) => registry.getMessage(`${PACKAGE}.${name}`);
const service = registry.getService(`${PACKAGE}.ConformanceService`);

const CODECS = {
  1: { name: "proto", read: pb.fromBinary, write: pb.toBinary },
  2: {
    name: "json",
    read: (schema, data) => pb.fromJsonString(schema, new TextDecoder("utf-8", { fatal: true }).decode(data), { registry }),
    write: (schema, value) => Buffer.from(pb.toJsonString(schema, value, { registry })),
  },
};
// In the order of the suite's numbers, of which 1 is identity.
const CODINGS = ["gzip", "br", "zstd", "deflate", "snappy"];
const TYPES = { unary: 0, client_streaming: 1, server_streaming: 2, bidi_streaming: 3 };

function procedureOf(method) {
  const safe = method.idempotency === 1 ? 4 : 0;
  return { path: `/${service.typeName}/${method.name}`, attributes: TYPES[method.methodKind] | safe, method };
}

function codec({ name, read, write }, [reads, writes]) {
  const decode = ({ method }, data) => read(method[reads], data);
  return { name, decode, encode: ({ method }, value) => write(method[writes], value) };
}

// --- the service --------------------------------------------------------------------------------------------------

const flat = (headers) => headers.flatMap(({ name, value }) => value.map((each) => [name.toLowerCase(), each]));
const grouped = (fields) =>
  [...Map.groupBy(fields, ([name]) => name)].map(([name, all]) => ({ name, value: all.map(([, each]) => each) }));

// What a request asks for, in the form of its response's payloads.
function asked(method, request, context) {
  const definition = request.responseDefinition ?? {};
  context.leading.push(...flat(definition.responseHeaders ?? []));
  context.trailing.push(...flat(definition.responseTrailers ?? []));
  const requestInfo = pb.create(message("ConformancePayload.RequestInfo"), {
    requestHeaders: grouped(context.metadata),
    timeoutMs: context.timeout_us === 2n ** 64n - 1n ? undefined : context.timeout_us / 1000n,
    requests: [anyPack(method.input, request)],
    connectGetInfo: context.get ? {} : undefined,
  });
  const fail = (error, info) => {
    const details = [...error.details, ...(info ? [anyPack(message("ConformancePayload.RequestInfo"), info)] : [])];
    throw new RPCError(error.code, error.message, details.map(({ typeUrl, value }) => [typeUrl.split("/").at(-1), value]));
  };
  const reply = (data, info) => pb.create(method.output, { payload: { data, requestInfo: info } });
  return { definition, requestInfo, fail, reply };
}

const unary = (method) => async (request, context) => {
  const { definition, requestInfo, fail, reply } = asked(method, request, context);
  await sleep(definition.responseDelayMs ?? 0);
  const { case: kind, value } = definition.response ?? {};
  return kind === "error" ? fail(value, requestInfo) : reply(value, requestInfo);
};

const serverStream = (method) =>
  async function* (request, context) {
    const { definition, requestInfo, fail, reply } = asked(method, request, context);
    const replies = definition.responseData ?? [];
    for (const [i, data] of replies.entries()) {
      await sleep(definition.responseDelayMs);
      yield reply(data, i ? undefined : requestInfo);
    }
    if (definition.error) fail(definition.error, replies.length ? undefined : requestInfo);
  };

async function serve() {
  const { value: asked } = await read("ServerCompatRequest").next();
  const methods = service.methods.filter(({ name, methodKind }) => name !== "Unimplemented" && !(TYPES[methodKind] & 1));
  const handlerOf = { unary, server_streaming: serverStream };
  const procedures = methods.map((method) => ({ ...procedureOf(method), handler: handlerOf[method.methodKind](method) }));
  const codecs = Object.values(CODECS).map((each) => codec(each, ["input", "output"]));
  const serves = listener({ procedures, codecs, codings: CODINGS, compress_min: 0, read_max: asked.messageReceiveLimit });
  const server = http.createServer({ maxHeaderSize: 1 << 17, keepAliveTimeout: 0 }, serves);
  server.listen(0, "127.0.0.1", () => {
    say("ServerCompatResponse", { host: "127.0.0.1", port: server.address().port });
  });
}

// --- the client ---------------------------------------------------------------------------------------------------

const AT_ONCE = 16;
const callers = new Map();

function callerOf(request) {
  const { host, port, protocol, codec: codecs, compression, messageReceiveLimit: read_max } = request;
  const key = JSON.stringify([host, port, protocol, codecs, compression, read_max]);
  if (!callers.has(key)) {
    const codings = compression > 1 ? [CODINGS[compression - 2]] : [];
    const columns = { protocol, read_max, codings, send_coding: codings.length, compress_min: 0 };
    const options = { host, port, agent: new http.Agent({ keepAlive: true }), maxHeaderSize: 1 << 17 };
    callers.set(key, caller({ options, codec: codec(CODECS[codecs], ["output", "input"]), ...columns }));
  }
  return callers.get(key);
}

async function play(request) {
  const method = service.methods.find(({ name }) => name === request.method);
  const result = { payloads: [] };
  const timeout_us = request.timeoutMs === undefined ? undefined : BigInt(request.timeoutMs) * 1000n;
  const how = { metadata: flat(request.requestHeaders), timeout_us, get: request.useGetHttpMethod };
  await sleep(request.requestDelayMs);
  const call = callerOf(request)(procedureOf(method), anyUnpack(request.requestMessages[0], registry), how);
  const { case: timing, value } = request.cancel?.cancelTiming ?? {};
  if (request.cancel && timing !== "afterNumResponses") setTimeout(() => call.cancel(), value ?? 0);
  if (timing === "afterNumResponses" && !value) call.cancel();
  try {
    for await (const reply of call) {
      if (method.output.field.payload) result.payloads.push(reply.payload ?? {});
      if (timing === "afterNumResponses" && result.payloads.length === value) call.cancel();
    }
  } catch (error) {
    if (!(error instanceof RPCError)) throw error;
    const details = error.details.map(([name, data]) => ({ typeUrl: `type.googleapis.com/${name}`, value: data }));
    result.error = { code: error.code, message: error.message, details };
  }
  return { ...result, responseHeaders: grouped(call.leading), responseTrailers: grouped(call.trailing) };
}

async function call() {
  const requests = read("ClientCompatRequest");
  const work = async () => {
    for await (const request of requests) {
      const result = await play(request).then(
        (value) => ({ case: "response", value }),
        (error) => ({ case: "error", value: { message: error.stack } }),
      );
      say("ClientCompatResponse", { testName: request.testName, result });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  process.exit();
}

// --- what the runner says and hears -------------------------------------------------------------------------------

async function* read(name) {
  let data = Buffer.alloc(0);
  for await (const more of process.stdin) {
    data = Buffer.concat([data, more]);
    for (let end; data.length >= 4 && data.length >= (end = 4 + data.readUInt32BE()); data = data.subarray(end)) {
      yield pb.fromBinary(message(name), data.subarray(4, end));
    }
  }
}

function say(name, value) {
  const data = pb.toBinary(message(name), pb.create(message(name), value));
  const size = Buffer.alloc(4);
  size.writeUInt32BE(data.length);
  process.stdout.write(Buffer.concat([size, data]));
}

compress("br", Buffer.alloc(0)); // compiles the module now, not within a call's deadline
await { server: serve, client: call }[process.argv[2]]();
