// The server role on Node's `http`.
import { Call, DEFAULTS, RPCError, fieldsOf, metadata } from "./call.mjs";

// A request listener. `procedures` are {path, attributes, handler}, `codecs` are {name, decode(procedure, bytes),
// encode(procedure, reply)}, the rest are columns of `configure-server`. A unary handler returns its reply, a server
// stream's is an async generator of them. Both get the message and the call: its `metadata`, `timeout_us`, `get` and
// `canceled.signal`, and the lists `leading` and `trailing` for the response's metadata.
export function listener({ procedures, codecs, ...columns }) {
  const names = { codecs: codecs.map(({ name }) => name), procedures: procedures.map(({ path }) => path) };
  const attributes = Buffer.from(procedures.map((procedure) => procedure.attributes));
  const configuration = { kind: "configure-server", ...DEFAULTS, ...columns, ...names, attributes };
  return (request, response) => new ServerCall({ configuration, procedures, codecs }, request, response);
}

class ServerCall extends Call {
  canceled = new AbortController();
  stop = () => this.canceled.abort();
  message = (message) => (this.asked = message);
  ready = (answer) => answer();

  constructor(service, request, response) {
    super();
    const { method, url, headers, rawHeaders } = request;
    const [path, ...query] = url.split("?");
    const end = !headers["content-length"] && !headers["transfer-encoding"]; // over HTTP/1.1 there is no content then
    const opening = { kind: "open-server", method, path, query: query.join("?"), fields: fieldsOf(rawHeaders), end };
    Object.assign(this, service, { opening, output: response });
    request.on("data", (data) => this.content(data)).on("end", () => end || this.say({ kind: "content-end" }));
    response.on("close", () => response.writableFinished || this.say({ kind: "peer-gone", reason: 1 }));
    this.open();
  }

  request(event) {
    const { timeout_us, get, "content-inline": inline } = event;
    const [procedure, codec] = [this.procedures[event.procedure], this.codecs[event.codec]];
    Object.assign(this, { sending: event, procedure, codec, timeout_us, get, inline });
    this.metadata = metadata(this.opening.fields, event);
    this.expire(timeout_us);
    if (procedure.attributes & 1) this.say({ kind: "reject", reason: 7 }); // this host does not read streams
  }

  async received() {
    if (this.over || this.asked === undefined) return; // the guest has answered
    const first = [{ kind: "headers", fields: this.leading }];
    const say = (...commands) => this.say(...first.splice(0), ...commands);
    const end = (how) => ({ kind: "end", fields: this.trailing, ...how });
    try {
      const replies = this.procedure.handler(this.asked, this);
      if (!(this.procedure.attributes & 2)) return say(this.send(await replies), end());
      for await (const reply of replies) {
        if (this.over) return;
        say(this.send(reply));
        if (this.output.writableNeedDrain) await new Promise((done) => this.output.once("drain", done).once("close", done));
      }
      say(end());
    } catch (error) {
      say(end(error instanceof RPCError ? { ...error, message: error.message } : { unexpected: true }));
    }
  }

  "http-response-head"({ status, fields, end }) {
    if (this.output.headersSent) return this.output.destroy(); // the call was lost, and opened again too late
    this.output.writeHead(status, fields.flat());
    if (end) this.output.end();
  }
}
