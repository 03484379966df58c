// Calls the interop service with grpc-web's own client under Node: see grpcweb_calls.mjs.
import { JSDOM } from "jsdom";

import { connect } from "./grpcweb_calls.mjs";
import { main } from "./run.mjs";

// A browser's XMLHttpRequest for a page of the server's own.
function browsers(url) {
  return class extends new JSDOM("", { url }).window.XMLHttpRequest {
    // jsdom gives the bytes that have come so far, where browsers have to give null until all have (XMLHttpRequest
    // Standard, the response getter); the client relies on that.
    get response() {
      return this.responseType === "arraybuffer" && this.readyState !== 4 ? null : super.response;
    }
  };
}

await main((url, speech) => {
  globalThis.XMLHttpRequest = browsers(url);
  return connect(url, speech);
});
