// What scripts for twilio-node share: the library's version, and what ends a script that does not see what it should.
const { readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");

const version = JSON.parse(readFileSync(join(dirname(require.resolve("twilio")), "..", "package.json"))).version;

function check(holds, what) {
  if (!holds) {
    throw new Error(what);
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

module.exports = { version, check, pause };
