// twilio-node finds a queue with a caller, takes the caller out by a document that it writes and serves, and deletes the queue.
const { createServer } = require("node:http");
const { parseArgs } = require("node:util");
const twilio = require("twilio");
const { check, pause, version } = require("./checks.cjs");

const names = ["url", "account", "token"];
const options = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
const { values: flags } = parseArgs({ options });
const api = twilio(flags.account, flags.token, { accountSid: flags.account });
api.api.baseUrl = flags.url;

/** Serves a document; resolves to its URL and the server. */
function served(document) {
  const server = createServer((request, response) => {
    request.resume();
    response.setHeader("Content-Type", "text/xml");
    response.end(document.toString());
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve([`http://127.0.0.1:${server.address().port}/taken`, server]));
  });
}

async function run() {
  const [queue] = await api.queues.list();
  check(queue.friendlyName === "sales" && queue.maxSize === 7 && queue.currentSize === 1, `${queue.friendlyName}, ${queue.currentSize}`);
  check(queue.averageWaitTime > 0 && queue.dateUpdated >= queue.dateCreated, "with its times");
  const here = api.queues(queue.sid);
  const [member] = await here.members.list();
  check(member.position === 1 && member.waitTime > 0 && member.dateEnqueued instanceof Date, "with its caller");
  const document = new twilio.twiml.VoiceResponse();
  document.hangup();
  const [url, server] = await served(document);
  const taken = await here.members("Front").update({ url, method: "POST" });
  check(taken.callSid === member.callSid, "the one at the front is taken out");
  for (let tries = 0; (await api.calls(member.callSid).fetch()).status !== "completed"; tries += 1) {
    check(tries < 100, "its call has ended by its document");
    await pause(50);
  }
  server.close();
  check((await here.fetch()).currentSize === 0, "it is empty");
  check(await here.remove(), "it is deleted");
  check((await api.queues.list()).length === 0, "there is none any more");
  console.log(`twilio-node ${version}: the caller at the front is taken out, the queue is deleted`);
}

run().catch((error) => {
  console.error(`twilio-node ${version}: ${error.message}`);
  process.exit(1);
});
