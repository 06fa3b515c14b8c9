// Loaded before a program that uses twilio-node as it stands: only the base URL of its clients is set, from TWILIO_BASE_URL.
const Module = require("node:module");

const load = Module._load;
Module._load = function (request, ...rest) {
  const loaded = load.call(this, request, ...rest);
  if (request !== "twilio") {
    return loaded;
  }
  const based = (client) => {
    client.api.baseUrl = process.env.TWILIO_BASE_URL;
    return client;
  };
  return new Proxy(loaded, {
    apply: (library, self, given) => based(Reflect.apply(library, self, given)),
    construct: (library, given) => based(Reflect.construct(library, given)),
  });
};
process.on("unhandledRejection", (error) => {
  console.error(`refused ${error.status} ${error.code} ${error.message}`);
  process.exit(1);
});
