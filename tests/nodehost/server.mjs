// The server role on Node's `http`.
import { Call, Configuration, RPCError, fieldsOf, shown } from "./call.mjs";

// A request listener. `procedures` are {path, attributes, handler}, `codecs` are {name, decode(procedure, bytes),
// encode(procedure, reply)}. A unary handler returns its reply, a server stream's is an async generator of them. Both get the
// message and a context.
export function listener({ procedures, codecs, codings = [], readMax = 0, compressMin = 1024 }) {
  const names = codecs.map(({ name }) => name).join("\0");
  const paths = procedures.map(({ path }) => path).join("\0");
  const attributes = Buffer.from(procedures.map((procedure) => procedure.attributes));
  const limits = { read_max: readMax, compress_min: compressMin };
  const record = { kind: "configure-server", ...limits, codecs: names, procedures: paths, attributes };
  const configuration = new Configuration(record, codings);
  return (request, response) => new ServerCall(configuration, procedures, codecs, request, response);
}

class ServerCall extends Call {
  #canceled = new AbortController();
  message = (payload) => (this.payload = payload);
  ready = (answer) => answer();
  write = (data, end) => this.response[end ? "end" : "write"](data);
  stop = () => this.#canceled.abort();

  constructor(configuration, procedures, codecs, request, response) {
    const [path, ...query] = request.url.split("?");
    const fields = fieldsOf(request.rawHeaders);
    // Over HTTP/1.1 a request without either of these has no content.
    const end = !request.headers["content-length"] && !request.headers["transfer-encoding"];
    super(configuration, { kind: "open-server", method: request.method, path, query: query.join("?"), fields, end });
    Object.assign(this, { procedures, codecs, fields, response });
    request.on("data", (data) => this.content(data));
    request.on("end", () => end || this.say({ kind: "content-end" }));
    response.on("close", () => response.writableFinished || this.say({ kind: "peer-gone", reason: 1 }));
    this.open();
  }

  request(event) {
    Object.assign(this, { head: event, inline: event["content-inline"] });
    this.sending = { coding: event.coding, least: event.compress_min, inline: event["send-inline"] };
    this.expire(event.timeout_us);
    if (this.procedures[event.procedure].attributes & 1) this.say({ kind: "reject", reason: 7 });
  }

  received = () => this.payload && queueMicrotask(() => this.over || this.#serve());

  async #serve() {
    const [procedure, codec] = [this.procedures[this.head.procedure], this.codecs[this.head.codec]];
    let message;
    try {
      message = codec.decode(procedure, this.payload);
    } catch ({ message: text }) {
      return this.say({ kind: "reject", reason: 1, text });
    }
    const [{ timeout_us, get }, { signal }] = [this.head, this.#canceled];
    const context = { metadata: shown(this.fields, this.head), timeout_us, get, signal, leading: [], trailing: [] };
    let first = true;
    const say = (...commands) => this.say(...(first ? [{ kind: "headers", fields: context.leading }] : []), ...commands);
    const encoded = (reply) => this.send(codec.encode(procedure, reply));
    const end = (how) => ({ kind: "end", fields: context.trailing, ...how });
    try {
      if (!(procedure.attributes & 2)) return say(encoded(await procedure.handler(message, context)), end());
      for await (const reply of procedure.handler(message, context)) {
        if (this.over) return;
        say(encoded(reply));
        first = false;
        if (this.response.writableNeedDrain) await new Promise((done) => this.response.once("drain", done).once("close", done));
      }
      say(end());
    } catch (error) {
      const { code, message: text, details } = error;
      say(end(error instanceof RPCError ? { code, message: text, details } : { unexpected: true }));
    }
  }

  "http-response-head"({ status, fields, end }) {
    if (this.response.headersSent) return this.response.destroy(); // the call was lost, and opened again too late
    this.response.writeHead(status, fields.flat());
    if (end) this.response.end();
  }
}
