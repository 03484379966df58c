// Calls the interop service with connect-es: see play.mjs. Its speech is {library: "connect-node" or "connect-web", protocol: "connect",
// "grpc" or "grpc-web", http: "1.1" or "2", json, get, coding}.
import { createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";
import { promisify } from "node:util";
import * as zlib from "node:zlib";

import { caller } from "./connect_calls.mjs";
import { Interop } from "./gen/interop_pb.js";
import { main } from "./run.mjs";

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
  return caller(client, speech.coding && used);
}

await main(connect);
