// Actions of an agent hub by twilio-node: {"action": …, "arguments": {…}} in, the action's result as JSON out.
const client = require("twilio")(process.env.TWILIO_ACCOUNT_SID, process.env.TWILIO_AUTH_TOKEN);
client.api.baseUrl = process.env.TWILIO_BASE_URL;
const own = process.env.TWILIO_PHONE_NUMBER;

const actions = {
  async makeCall({ to, from = own, url }) {
    const call = await client.calls.create({ to, from, url });
    return { callSid: call.sid, status: call.status };
  },
  async getCallStatus({ callSid }) {
    const call = await client.calls(callSid).fetch();
    return { callSid: call.sid, status: call.status, duration: call.duration };
  },
  async sendSMS({ to, body, from = own }) {
    const message = await client.messages.create({ to, body, from });
    return { messageSid: message.sid, status: message.status, dateCreated: message.dateCreated.toISOString() };
  },
};

const { action, arguments: given } = JSON.parse(process.argv[2]);
actions[action](given)
  .then((result) => console.log(JSON.stringify(result)))
  .catch((error) => {
    console.error(`${error.status} ${error.code} ${error.message}`);
    process.exit(1);
  });
