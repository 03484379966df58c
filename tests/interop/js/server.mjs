// The interop service on connect-es under Node: `server.mjs 1.1` or `2`, the version of HTTP, without TLS. It does what service.go
// says. It prints its URL, and ends with its standard input.
import { Code, ConnectError } from "@connectrpc/connect";
import { compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import { Int64ValueSchema } from "@bufbuild/protobuf/wkt";
import * as http from "node:http";
import * as http2 from "node:http2";

import { Interop } from "./gen/interop_pb.js";

const LARGE_SIZE = 300_000;

// What each call that sleeps tells, once, to whoever asks.
const told = { began: channel(), ended: channel() };

function channel() {
  const [words, waiting] = [[], []];
  return {
    tell: (word) => (waiting.length ? waiting.shift()(word) : words.push(word)),
    hear: async () => (words.length ? words.shift() : new Promise((resolve) => waiting.push(resolve))),
  };
}

// Answers the peer's metadata with metadata of both kinds.
function answerMetadata(context) {
  for (const kind of ["", "-bin"]) {
    const value = context.requestHeader.get(`x-ask${kind}`);
    if (value !== null) {
      context.responseHeader.set(`x-lead${kind}`, value);
      context.responseTrailer.set(`x-trail${kind}`, value);
    }
  }
}

async function act(ask, context) {
  if (ask === "fail") {
    const detail = { desc: Int64ValueSchema, value: { value: 42n } };
    throw new ConnectError("not now: é", Code.FailedPrecondition, { "x-error": "why" }, [detail]);
  }
  if (ask === "panic") {
    throw new Error("secret");
  }
  if (ask === "sleep") {
    told.began.tell("began");
    const { signal } = context;
    await new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener("abort", resolve)));
    told.ended.tell(ConnectError.from(signal.reason).code === Code.DeadlineExceeded ? "deadline" : "canceled");
    throw signal.reason;
  }
  if (told[ask]) {
    return told[ask].hear();
  }
  if (ask === "deadline") {
    return String(context.timeoutMs() ?? "none");
  }
  if (ask === "method") {
    return context.requestMethod;
  }
  return ask === "large" ? "l".repeat(LARGE_SIZE) : ask.toUpperCase();
}

async function unary({ value }, context) {
  answerMetadata(context);
  return { value: await act(value, context) };
}

const service = {
  unary,
  safe: unary,
  async client(requests, context) {
    const all = await Array.fromAsync(requests, ({ value }) => value);
    return unary({ value: all.join("+") }, context);
  },
  async *server({ value }, context) {
    answerMetadata(context);
    for (let number = 0; number < 3; number++) {
      yield { value: `${value} ${number}` };
    }
    await act(value, context);
  },
  async *bidi(requests, context) {
    answerMetadata(context);
    for await (const { value } of requests) {
      yield { value: await act(value, context) };
    }
  },
};

const listener = connectNodeAdapter({
  routes: (router) => router.service(Interop, service),
  acceptCompression: [compressionGzip],
  readMaxBytes: 4 << 20,
});
const server = process.argv[2] === "2" ? http2.createServer(listener) : http.createServer(listener);
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.stdin.on("end", () => process.exit()).resume();
