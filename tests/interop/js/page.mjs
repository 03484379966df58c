// The page that a browser opens: it asks its server for {url, plan}, plays the plan's cases against url, an origin that is not
// its own, and tells the results. The plan is a list of {speech, cases}; a speech of connect-web is {library, protocol, json, get}.
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

import { caller } from "./connect_calls.mjs";
import { Interop } from "./gen/interop_pb.js";
import * as grpcWeb from "./grpcweb_calls.mjs";
import { playAll } from "./play.mjs";

const makers = { connect: createConnectTransport, "grpc-web": createGrpcWebTransport };

function connectWeb(url, { protocol, json, get }) {
  return caller(createClient(Interop, makers[protocol]({ baseUrl: url, useBinaryFormat: !json, useHttpGet: get })));
}

async function playPlan() {
  const { url, plan } = await (await fetch("/plan")).json();
  const results = [];
  for (const { speech, cases } of plan) {
    const connect = speech.library === "grpc-web" ? grpcWeb.connect : connectWeb;
    results.push(await playAll(connect(url, speech), cases));
  }
  return results;
}

const told = await playPlan().catch((error) => ({ failed: String(error.stack ?? error) }));
await fetch("/results", { method: "POST", body: JSON.stringify(told) });
