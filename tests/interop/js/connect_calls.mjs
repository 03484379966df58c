// Calls the interop service with a client of connect-es, under Node and in a browser.
import { codeToString } from "@connectrpc/connect/protocol-connect";

import { base64, metadata } from "./play.mjs";

// used counts how often a coding was used, if that is to be told.
export function caller(client, used) {
  return async (one, signal, arrived) => {
    Object.assign(used ?? {}, { compressed: 0, decompressed: 0 });
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
        details: error.details.map(({ type, value }) => [type, base64(value)]),
        metadata: metadata(Object.fromEntries(error.metadata)),
      };
    }
    return { ...result, ...used };
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
