// The public side of a web application: takes TLS and passes what is inside on, WebSockets too.
"use strict";

const { readFileSync } = require("node:fs");
const { connect } = require("node:net");
const { createServer } = require("node:tls");
const { parseArgs } = require("node:util");

const { values: flags } = parseArgs({
  options: Object.fromEntries(["port", "address", "certificate", "key", "upstream"].map((name) => [name, { type: "string" }])),
});
const [host, port] = flags.upstream.split(":");
const server = createServer({ cert: readFileSync(flags.certificate), key: readFileSync(flags.key) }, (client) => {
  const application = connect(Number(port), host);
  for (const [one, other] of [[client, application], [application, client]]) {
    one.pipe(other);
    one.on("error", () => other.destroy());
  }
});
server.listen(Number(flags.port), flags.address, () => {
  const { address, port: chosen } = server.address();
  console.log(`listening on ${address}:${chosen}`);
});
