// twilio-node finds a conference with its parties, lets all talk for some seconds, and ends it.
const { parseArgs } = require("node:util");
const twilio = require("twilio");
const { check, pause, version } = require("./checks.cjs");

const names = ["url", "account", "token", "parties"];
const options = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
const { values: flags } = parseArgs({ options });
const api = twilio(flags.account, flags.token, { accountSid: flags.account });
api.api.baseUrl = flags.url;

async function run() {
  const [conference] = await api.conferences.list({ friendlyName: "board", status: "in-progress" });
  const here = api.conferences(conference.sid);
  const parties = await here.participants.list({ muted: false, hold: false });
  check(parties.length === Number(flags.parties), `${parties.length} parties are neither muted nor held`);
  const [first] = parties;
  check((await here.participants(first.callSid).fetch()).status === "connected", "a party is connected");
  await pause(6000);
  const ended = await here.update({ status: "completed" });
  check(ended.status === "completed" && ended.reasonConferenceEnded === "conference-ended-via-api", `${ended.status}, ${ended.reasonConferenceEnded}`);
  const [listed] = await api.conferences.list({ friendlyName: "board", status: "completed" });
  check(listed.sid === conference.sid && listed.dateUpdated > listed.dateCreated, "it is listed with its dates");
  console.log(`twilio-node ${version}: ${parties.length} parties talked, the conference ended`);
}

run().catch((error) => {
  console.error(`twilio-node ${version}: ${error.message}`);
  process.exit(1);
});
