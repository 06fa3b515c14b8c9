// twilio-node adds parties to a conference that goes on, lets all talk for some seconds, and ends it.
const { parseArgs } = require("node:util");
const { readFileSync } = require("node:fs");
const { dirname, join } = require("node:path");
const twilio = require("twilio");

const names = ["url", "account", "token", "from", "parties"];
const options = { ...Object.fromEntries(names.map((name) => [name, { type: "string" }])), talk: { type: "boolean" } };
const { values: flags } = parseArgs({ options });
const version = JSON.parse(readFileSync(join(dirname(require.resolve("twilio")), "..", "package.json"))).version;
const api = twilio(flags.account, flags.token, { accountSid: flags.account });
api.api.baseUrl = flags.url;

function check(holds, what) {
  if (!holds) {
    throw new Error(what);
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function until(what, holds) {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await holds()) {
      return;
    }
    await pause(50);
  }
  throw new Error(`waited too long until ${what}`);
}

async function run() {
  const [conference] = await api.conferences.list({ friendlyName: "board", status: "in-progress" });
  const here = api.conferences(conference.sid);
  const before = (await here.participants.list()).length;
  const parties = flags.parties.split(",").map((party) => party.split(/=(.*)/s));
  for (const [label, to] of parties) {
    const added = await here.participants.create({ from: flags.from, to, label, beep: "false" });
    check(added.conferenceSid === conference.sid && added.label === label, `${label}: ${added.conferenceSid}, ${added.label}`);
  }
  await until("all are there", async () => (await here.participants.list()).length === before + parties.length);
  check((await here.participants(parties[0][0]).fetch()).status === "connected", "a party is connected");
  await pause(6000);
  const ended = await here.update({ status: "completed" });
  check(ended.status === "completed" && ended.reasonConferenceEnded === "conference-ended-via-api", `${ended.status}, ${ended.reasonConferenceEnded}`);
  const [listed] = await api.conferences.list({ friendlyName: "board", status: "completed" });
  check(listed.sid === conference.sid && listed.dateUpdated > listed.dateCreated, "it is listed with its dates");
  console.log(`twilio-node ${version}: ${parties.length} parties added, the conference ended`);
}

run().catch((error) => {
  console.error(`twilio-node ${version}: ${error.message}`);
  process.exit(1);
});
