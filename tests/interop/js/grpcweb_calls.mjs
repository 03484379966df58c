// Calls the interop service with grpc-web's own client, in a browser or what looks like one: see play.mjs. Its speech is
// {format: "text" or "binary"}.
import protobuf from "google-protobuf";
import any from "google-protobuf/google/protobuf/any_pb.js";
import wrappers from "google-protobuf/google/protobuf/wrappers_pb.js";
import grpcWeb from "grpc-web";

import { metadata, padded } from "./play.mjs";

const { BinaryReader } = protobuf;
const { Any } = any;
const { StringValue } = wrappers;
const { GrpcWebClientBase, MethodDescriptor, MethodType, StatusCode } = grpcWeb;

const SERVICE = "/interop.v1.Interop";

// What protoc-gen-grpc-web writes for each procedure.
const methods = Object.fromEntries(
  ["Unary", "Safe", "Missing", "Server"].map((name) => [
    name.toLowerCase(),
    new MethodDescriptor(
      `${SERVICE}/${name}`,
      name === "Server" ? MethodType.SERVER_STREAMING : MethodType.UNARY,
      StringValue,
      StringValue,
      (request) => request.serializeBinary(),
      StringValue.deserializeBinary,
    ),
  ]),
);

const codes = Object.fromEntries(Object.entries(StatusCode).map(([name, number]) => [number, name.toLowerCase()]));
codes[StatusCode.CANCELLED] = "canceled";

export function connect(url, { format }) {
  const client = new GrpcWebClientBase({ format });
  return (one, signal, arrived) =>
    new Promise((resolve) => {
      const result = { responses: [], header: {}, trailer: {}, error: null };
      const respond = (response) => {
        result.responses.push(response.getValue());
        arrived?.();
      };
      // An error comes before the leading metadata or after it; the end comes last, but not after each error.
      let header, error;
      const settle = () => {
        if (header && error) {
          resolve({ ...result, header: {}, trailer: {}, error: described(error, header) });
        }
      };
      const fail = (found) => {
        error = found;
        settle();
      };
      const call = start(client, url, one, respond, fail);
      call.on("metadata", (fields) => {
        header = result.header = metadata(fields);
        settle();
      });
      call.on("status", (status) => (result.trailer = metadata(status.metadata ?? {})));
      call.on("end", () => error || resolve(result));
      signal?.addEventListener("abort", () => {
        call.cancel(); // no event follows
        resolve(result);
      });
    });
}

function start(client, url, { procedure, requests, metadata = {}, timeoutMs }, respond, fail) {
  const method = methods[procedure];
  const request = new StringValue().setValue(requests[0]);
  const sent = timeoutMs ? { ...metadata, deadline: String(Date.now() + timeoutMs) } : metadata;
  if (procedure === "server") {
    return client.serverStreaming(url + method.getName(), request, sent, method).on("data", respond).on("error", fail);
  }
  return client.rpcCall(url + method.getName(), request, sent, method, (error, response) =>
    error ? fail(error) : respond(response),
  );
}

function described({ code, message, metadata: trailer }, header) {
  const { "grpc-status-details-bin": status } = trailer;
  return {
    code: codes[code],
    message,
    details: status ? statusDetails(status) : [],
    metadata: { ...header, ...metadata(trailer) },
  };
}

// The details of a google.rpc.Status.
function statusDetails(base64) {
  const details = [];
  const reader = new BinaryReader(padded(base64));
  while (reader.nextField()) {
    if (reader.getFieldNumber() === 3) {
      const any = Any.deserializeBinary(reader.readBytes());
      details.push([any.getTypeName(), padded(any.getValue_asB64())]);
    } else {
      reader.skipField();
    }
  }
  return details;
}
