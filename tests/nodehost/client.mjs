// The client role on Node's `http`.
import http from "node:http";
import { Call, DEFAULTS, RPCError, fieldsOf, metadata } from "./call.mjs";
import { abi } from "./module.mjs";

// A function that starts calls. `options` are those of Node's `http.request`, `codec` is {name, encode(procedure, message),
// decode(procedure, bytes)}, the rest are columns of `configure-client`. A procedure is {path, attributes}.
export function caller({ options, codec, ...columns }) {
  const configuration = { kind: "configure-client", protocol: 1, ...DEFAULTS, ...columns, codec: codec.name };
  return (procedure, message, how = {}) => new ClientCall({ options, codec, configuration, procedure }, message, how);
}

// Iterate over what comes back: that throws an RPCError, and frees the call at its end.
class ClientCall extends Call {
  #came = []; // messages, and what to do when those before it are used up
  #wake = () => {};
  response = (event) => Object.assign(this, { inline: event["content-inline"], leading: metadata(this.fields, event) });

  constructor(what, message, { metadata: fields = [], timeout_us = 2n ** 64n - 1n, get = false }) {
    super();
    const { path: procedure, attributes } = what.procedure;
    Object.assign(this, what, { opening: { kind: "open-client", procedure, attributes, fields, timeout_us, get } });
    this.open((configured) => {
      const inline = configured["send-inline"] || (get && configured["get-inline"]);
      this.sending = { ...this.configuration, coding: this.configuration.send_coding, "send-inline": inline };
      return [this.send(message), { kind: "end" }];
    });
    this.expire(timeout_us);
  }

  "http-request-head"({ method, target, fields, end }) {
    const headers = ["host", `${this.options.host}:${this.options.port}`, ...fields.flat()];
    this.output = http.request({ ...this.options, method: `${method}`, path: `${target}`, headers });
    this.output.on("response", (response) => this.#answered(response)).on("error", (error) => this.#gone(error));
    if (end) this.output.end();
  }

  #answered(response) {
    Object.assign(this, { answer: response, fields: fieldsOf(response.rawHeaders) });
    response.on("data", (data) => this.content(data)).on("error", (error) => this.#gone(error));
    response.on("end", () => this.say({ kind: "content-end", fields: fieldsOf(response.rawTrailers) }));
    this.say({ kind: "response-head", status: response.statusCode, fields: this.fields });
  }

  #gone = ({ code = "", message: text }) =>
    this.say({ kind: "peer-gone", reason: code === "ECONNREFUSED" ? 2 : code.startsWith("HPE_") ? 4 : 1, text });

  message(message) {
    this.#came.push(message);
    this.#wake();
  }

  ready(answer) {
    this.answer.pause();
    this.message(() => { answer(); this.answer.resume(); });
  }

  "end-of-call"({ code, message, details, fields, binary }) {
    this.trailing = metadata(fields, { binary });
    this.outcome = code ? new RPCError(code, `${message}`, details) : null;
    if (!this.answer?.readableEnded) this.output?.destroy();
    this.#wake();
  }

  // What came and was not used is dropped, the outcome of success, too.
  cancel() {
    this.#came = [];
    if (this.outcome === null) this.outcome = new RPCError(abi.codes.indexOf("canceled"), "the call was canceled");
    else this.say({ kind: "cancel" });
  }

  async *[Symbol.asyncIterator]() {
    try {
      while (this.#came.length || this.outcome === undefined) {
        const next = this.#came.shift();
        if (typeof next === "function") next();
        else if (next !== undefined) yield next;
        else await new Promise((wake) => (this.#wake = wake));
      }
      if (this.outcome) throw this.outcome;
    } finally {
      if (this.outcome === undefined) this.output?.destroy();
      this.instance.closing.push({ kind: "close", handle: this.handle });
      this.over = true;
      this.done();
    }
  }
}
