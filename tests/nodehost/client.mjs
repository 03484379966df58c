// The client role on Node's `http`.
import http from "node:http";
import { Call, Configuration, RPCError, asText, fieldsOf, microseconds, shown } from "./call.mjs";
import { codes } from "./module.mjs";

// `codec` is {name, encode(procedure, message), decode(procedure, bytes)}.
export class Client {
  constructor({ host, port, protocol = 1, codec, codings = [], sendCoding = 0, readMax = 0, compressMin = 1024 }) {
    const record = { protocol, read_max: readMax, send_coding: sendCoding, compress_min: compressMin, codec: codec.name };
    this.configuration = new Configuration({ kind: "configure-client", ...record }, codings);
    this.codec = codec;
    this.options = { host, port, agent: new http.Agent({ keepAlive: true }), maxHeaderSize: 1 << 17 };
  }

  // A call of `procedure`, {path, attributes}. Iterate over what comes back: that throws an RPCError, and frees the call at its
  // end. `leading` and `trailing` are the response's metadata.
  call(procedure, message, { metadata: fields = [], timeoutMs, get = false } = {}) {
    return new ClientCall(this, procedure, message, { fields, timeout_us: microseconds(timeoutMs), get });
  }
}

class ClientCall extends Call {
  leading = [];
  trailing = [];
  #messages = [];
  #more = null; // answers the guest when the messages that came are used up
  #wake = () => {};
  write = (data, end) => this.http[end ? "end" : "write"](data);

  constructor(client, procedure, message, opening) {
    const { path, attributes } = procedure;
    super(client.configuration, { kind: "open-client", procedure: path, attributes, ...opening });
    Object.assign(this, { client, procedure });
    const data = client.codec.encode(procedure, message);
    this.expire(opening.timeout_us);
    this.open((configured) => {
      const { send_coding: coding, compress_min: least } = this.configuration.record;
      this.sending = { coding, least, inline: configured["send-inline"] || (opening.get && configured["get-inline"]) };
      return [this.send(data), { kind: "end" }];
    });
  }

  "http-request-head"({ method, target, fields, end }) {
    const { options } = this.client;
    const headers = ["host", `${options.host}:${options.port}`, ...fields.flat()];
    this.http = http.request({ ...options, method: `${method}`, path: `${target}`, headers });
    this.http.on("response", (response) => this.#answered(response)).on("error", (error) => this.#gone(error));
    if (end) this.http.end();
  }

  #answered(response) {
    this.answer = response;
    this.fields = fieldsOf(response.rawHeaders);
    response.on("data", (data) => this.content(data)).on("error", (error) => this.#gone(error));
    response.on("end", () => this.say({ kind: "content-end", fields: fieldsOf(response.rawTrailers) }));
    this.say({ kind: "response-head", status: response.statusCode, fields: this.fields });
  }

  #gone = ({ code = "", message: text }) =>
    this.say({ kind: "peer-gone", reason: code === "ECONNREFUSED" ? 2 : code.startsWith("HPE_") ? 4 : 1, text });

  response(event) {
    this.inline = event["content-inline"];
    this.leading = shown(this.fields, event);
  }

  message(payload) {
    this.#messages.push(payload);
    this.#wake();
  }

  ready(answer) {
    this.answer.pause();
    this.#more = answer;
    this.#wake();
  }

  "end-of-call"({ code, message, details, fields, binary }) {
    this.trailing = [...fields, ...asText(binary)];
    this.outcome = code ? new RPCError(code, message.toString(), details) : null;
    if (!this.answer?.readableEnded) this.http?.destroy();
    this.#wake();
  }

  // What came and was not used is dropped, the outcome of success, too.
  cancel() {
    this.#messages = [];
    if (this.outcome === null) this.outcome = new RPCError(codes.indexOf("canceled"), "the call was canceled");
    else this.say({ kind: "cancel" });
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        if (this.#messages.length) yield this.#decoded(this.#messages.shift());
        else if (this.outcome) throw this.outcome;
        else if (this.outcome === null) return;
        else if (this.#more) this.#goOn();
        else await new Promise((wake) => (this.#wake = wake));
      }
    } finally {
      if (this.outcome === undefined) this.http?.destroy();
      this.instance.closing.push({ kind: "close", handle: this.handle });
      this.done();
    }
  }

  #goOn() {
    this.#more(this.#more = null);
    this.answer.resume();
  }

  #decoded(payload) {
    try {
      return this.client.codec.decode(this.procedure, payload);
    } catch ({ message: text }) {
      this.say({ kind: "reject", reason: 1, text });
      throw this.outcome;
    }
  }
}
