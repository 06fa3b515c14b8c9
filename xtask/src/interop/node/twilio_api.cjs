// twilio-node as a client of the edge: account, numbers, keys, calls, lookups and errors. A field that an answer lacks is `undefined` in the
// library's resource, which fails here; dates must be dates. Only the base URL is set, or nothing without `--url`.
const { parseArgs } = require("node:util");
const twilio = require("twilio");
const { check, version } = require("./checks.cjs");

const names = ["url", "account", "token", "caller-id", "answers", "busy", "silent", "callback"];
const options = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
const { values: flags } = parseArgs({ options });
const ACCOUNT = flags.account;
const NOBODY = "CA" + "0".repeat(32);
let shapes = 0;

function client(user, secret) {
  const made = twilio(user, secret, { accountSid: ACCOUNT });
  if (flags.url) {
    made.api.baseUrl = flags.url;
    made.lookups.baseUrl = flags.url;
  }
  return made;
}

const api = client(ACCOUNT, flags.token);

// Every field that the library knows was in the answer, and every date is one.
function shaped(resource, dates) {
  const fields = resource.toJSON();
  for (const [name, value] of Object.entries(fields)) {
    check(value !== undefined, `${resource.sid} lacks ${name}`);
    const isDate = value instanceof Date && !Number.isNaN(value.getTime());
    check(!dates.includes(name) || isDate, `${resource.sid}: ${name} is ${value}`);
  }
  shapes += 1;
  return resource;
}

async function refused(status, code, act, words = "") {
  try {
    await act();
  } catch (error) {
    check(error.status === status && error.code === code, `${error.status} ${error.code} instead of ${status} ${code}: ${error.message}`);
    check(error.message.includes(words), `${error.message} does not name ${words}`);
    return;
  }
  check(false, `${status} ${code} was expected`);
}

async function until(sid, status) {
  let call;
  for (let n = 0; n < 200; n += 1) {
    call = await api.calls(sid).fetch();
    if (call.status === status) {
      return call;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return check(false, `the call is ${call.status} instead of ${status}`);
}

const sids = (list) => list.map((one) => one.sid);
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

async function account() {
  const fetched = shaped(await api.api.accounts(ACCOUNT).fetch(), ["dateCreated", "dateUpdated"]);
  check(fetched.sid === ACCOUNT && fetched.status === "active", `account ${fetched.sid} ${fetched.status}`);
}

async function numbers() {
  const all = await api.incomingPhoneNumbers.list();
  check(all.length >= 3, `${all.length} numbers`);
  check(same(sids(await api.incomingPhoneNumbers.list({ pageSize: 1 })), sids(all)), "pages of one number each differ from one page");
  const found = await api.incomingPhoneNumbers.list({ phoneNumber: flags["caller-id"] });
  check(found.length === 1 && found[0].phoneNumber === flags["caller-id"], `found ${found.length}`);
  const set = { voiceUrl: flags.callback, voiceMethod: "POST", statusCallback: flags.callback, friendlyName: "SDK" };
  const updated = shaped(await api.incomingPhoneNumbers(found[0].sid).update(set), ["dateCreated", "dateUpdated"]);
  check(updated.voiceUrl === flags.callback && updated.capabilities.voice === true, `${updated.voiceUrl}`);
  check((await api.incomingPhoneNumbers(found[0].sid).fetch()).friendlyName === "SDK", "the update does not last");
  const none = { voiceUrl: "", voiceMethod: "", statusCallback: "", friendlyName: "" };
  check((await api.incomingPhoneNumbers(found[0].sid).update(none)).voiceUrl === null, "a URL is left");
}

async function keys() {
  const made = await api.newKeys.create({ friendlyName: "sdk" });
  check(made.secret.length === 32 && made.dateCreated instanceof Date, `${made.dateCreated}`);
  check(sids(await api.keys.list()).includes(made.sid), "the new key is not listed");
  shaped(await api.keys(made.sid).fetch(), ["dateCreated", "dateUpdated"]);
  const byKey = client(made.sid, made.secret);
  await byKey.calls.list({ limit: 1 });
  await refused(401, 20003, () => byKey.keys.list());
  check((await api.keys(made.sid).remove()) === true, "remove");
  await refused(401, 20003, () => byKey.calls.list({ limit: 1 }));
}

async function calls() {
  const from = flags["caller-id"];
  const twiml = '<Response><Pause length="60"/></Response>';
  const progress = { statusCallback: flags.callback, statusCallbackEvent: ["initiated", "ringing", "answered", "completed"] };
  const made = shaped(await api.calls.create({ to: flags.answers, from, twiml, ...progress }), ["dateCreated", "dateUpdated"]);
  check(made.status === "queued" && made.direction === "outbound-api", `${made.status} ${made.direction}`);
  const running = await until(made.sid, "in-progress");
  check(running.startTime instanceof Date && running.endTime === null, `${running.startTime} ${running.endTime}`);
  await running.update({ twiml: '<Response><Pause length="50"/></Response>' });
  await running.update({ status: "completed" });
  const ended = shaped(await until(made.sid, "completed"), ["dateCreated", "dateUpdated", "startTime", "endTime"]);
  check(/^\d+$/.test(ended.duration) && ended.endTime >= ended.startTime, `${ended.duration} ${ended.endTime}`);
  await refused(400, 21220, () => ended.update({ status: "completed" }));
  const busy = await api.calls.create({ to: flags.busy, from, twiml });
  await until(busy.sid, "busy");
  const rings = await api.calls.create({ to: flags.silent, from, twiml });
  await until(rings.sid, "ringing");
  await api.calls(rings.sid).update({ status: "canceled" });
  await until(rings.sid, "canceled");
  const late = await api.calls.create({ to: flags.silent, from, twiml, timeout: 1 });
  await until(late.sid, "no-answer");
  return sids([made, busy, rings, late]);
}

async function lists(made) {
  const all = sids(await api.calls.list());
  check(made.every((sid) => all.includes(sid)), "not every call is listed");
  check(same(sids(await api.calls.list({ pageSize: 1 })), all), "pages of one call each differ from one page");
  check((await api.calls.list({ limit: 2, pageSize: 1 })).length === 2, "limit");
  check(sids(await api.calls.list({ status: "busy", to: flags.busy }))[0] === made[1], "busy calls");
  const before = (await api.calls.list({ startTimeBefore: new Date("2016-07-06") })).length;
  check(before === 0, `${before} calls of 2016`);
  const after = sids(await api.calls.list({ startTimeAfter: new Date(Date.now() - 86400000) }));
  check(made.every((sid) => after.includes(sid)), "calls since yesterday");
}

async function detection() {
  const twiml = '<Response><Pause length="60"/></Response>';
  const asked = { machineDetection: "Enable", machineDetectionTimeout: 3, asyncAmd: "true" };
  const made = await api.calls.create({ to: flags.answers, from: flags["caller-id"], twiml, ...asked });
  await until(made.sid, "in-progress");
  let call;
  for (let n = 0; n < 100 && !call?.answeredBy; n += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    call = await api.calls(made.sid).fetch();
  }
  check(call.answeredBy === "unknown", `a party that says nothing is ${call.answeredBy}`);
  await call.update({ status: "completed" });
}

async function lookups() {
  const found = shaped(await api.lookups.v2.phoneNumbers("+14159929960").fetch(), []);
  check(found.valid === true && found.nationalFormat === "(415) 992-9960" && found.countryCode === "US", `${found.nationalFormat}`);
  const national = shaped(await api.lookups.v1.phoneNumbers("02079460123").fetch({ countryCode: "GB" }), []);
  check(national.phoneNumber === "+442079460123" && national.countryCode === "GB", `${national.phoneNumber}`);
  const invalid = await api.lookups.v2.phoneNumbers("+141599299600").fetch();
  check(invalid.valid === false && same(invalid.validationErrors, ["TOO_LONG"]), `${invalid.validationErrors}`);
  await refused(404, 20404, () => api.lookups.v1.phoneNumbers("+141599299600").fetch());
  await refused(501, 20501, () => api.lookups.v1.phoneNumbers("+14159929960").fetch({ type: ["carrier"] }), "Type");
}

async function errors() {
  const create = (given) => () => api.calls.create({ to: flags.answers, from: flags["caller-id"], twiml: "<Response/>", ...given });
  await refused(400, 21211, create({ to: "+1415555" }));
  await refused(400, 21211, create({ to: "client:charlie" }), "client:");
  await refused(400, 21210, create({ from: "+12025550143" }));
  await refused(400, 21220, create({ record: true }), "[recording]");
  await refused(400, 20001, create({ machineDetection: "Enabled" }), "MachineDetection");
  await refused(400, 20001, create({ machineDetection: "Enable", machineDetectionTimeout: 2 }), "MachineDetectionTimeout");
  await refused(404, 20404, () => api.calls(NOBODY).fetch());
  await refused(401, 20003, () => client(ACCOUNT, "f".repeat(32)).calls.list({ limit: 1 }));
}

(async () => {
  await account();
  await numbers();
  await keys();
  await lists(await calls());
  await detection();
  await lookups();
  await errors();
  console.log(`twilio-node ${version}: ${shapes} resources of the documented shape`);
})().catch((error) => {
  console.error(`twilio-node ${version}: ${error.stack}`);
  process.exit(1);
});
