// Calls the interop service with connect-es: see run.mjs. Its speech is {library: "connect-node" or "connect-web", protocol: "connect",
// "grpc" or "grpc-web", http: "1.1" or "2", json, get, coding}.
import { createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import * as web from "@connectrpc/connect-web";
import { promisify } from "node:util";
import * as zlib from "node:zlib";

import { Interop } from "./gen/interop_pb.js";
import { main, metadata } from "./run.mjs";

const makers = {
  "connect-node": { connect: node.createConnectTransport, grpc: node.createGrpcTransport, "grpc-web": node.createGrpcWebTransport },
  "connect-web": { connect: web.createConnectTransport, "grpc-web": web.createGrpcWebTransport },
};

const codings = {
  gzip: node.compressionGzip,
  br: node.compressionBrotli,
  deflate: coding("deflate", zlib.deflate, zlib.inflate),
  zstd: coding("zstd", zlib.zstdCompress, zlib.zstdDecompress),
};

function coding(name, compress, decompress) {
  return {
    name,
    compress: promisify(compress),
    decompress: (data, maxOutputLength) => promisify(decompress)(data, { maxOutputLength }),
  };
}

// A coding that counts how often it was used.
function counted({ name, compress, decompress }, used) {
  return {
    name,
    compress: (data) => (used.compressed++, compress(data)),
    decompress: (data, max) => (used.decompressed++, decompress(data, max)),
  };
}

function connect(url, speech) {
  const used = { compressed: 0, decompressed: 0 };
  const offered = speech.coding ? [counted(codings[speech.coding], used)] : [];
  const client = createClient(
    Interop,
    makers[speech.library][speech.protocol]({
      baseUrl: url,
      httpVersion: speech.http,
      useBinaryFormat: !speech.json,
      useHttpGet: speech.get,
      acceptCompression: offered,
      sendCompression: offered[0],
    }),
  );
  return async (one, signal, arrived) => {
    Object.assign(used, { compressed: 0, decompressed: 0 });
    const result = { responses: [], header: {}, trailer: {}, error: null };
    try {
      for await (const response of responses(client, one, {
        headers: one.metadata,
        timeoutMs: one.timeoutMs,
        signal,
        onHeader: (header) => (result.header = metadata(Object.fromEntries(header))),
        onTrailer: (trailer) => (result.trailer = metadata(Object.fromEntries(trailer))),
      })) {
        result.responses.push(response.value);
        arrived?.();
      }
    } catch (error) {
      result.header = {};
      result.error = {
        code: codeToString(error.code),
        message: error.rawMessage,
        details: error.details.map(({ type, value }) => [type, Buffer.from(value).toString("base64")]),
        metadata: metadata(Object.fromEntries(error.metadata)),
      };
    }
    return speech.coding ? { ...result, ...used } : result;
  };
}

async function* responses(client, { procedure, requests, conversation }, options) {
  const answered = requests.map(() => Promise.withResolvers());
  async function* stream() {
    for (const [number, value] of requests.entries()) {
      yield { value };
      if (conversation) {
        await answered[number].promise;
      }
    }
  }
  const method = client[procedure].bind(client);
  if (procedure === "client") {
    yield await method(stream(), options);
  } else if (procedure === "server") {
    yield* method({ value: requests[0] }, options);
  } else if (procedure === "bidi") {
    let number = 0;
    for await (const response of method(stream(), options)) {
      yield response;
      answered[number++]?.resolve();
    }
  } else {
    yield await method({ value: requests[0] }, options);
  }
}

await main(connect);
