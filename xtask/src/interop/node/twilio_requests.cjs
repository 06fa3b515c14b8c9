// A message of Uptime Kuma, as it builds it and by the HTTP client that it uses, axios: a number together with a messaging service.
"use strict";

const { parseArgs } = require("node:util");
const axios = require("axios");

const names = ["url", "account", "token", "number", "to"];
const { values: flags } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
const data = new URLSearchParams();
data.append("To", flags.to);
data.append("From", flags.number);
data.append("Body", "Uptime Kuma: [home] [Down] timeout");
data.append("MessagingServiceSid", `MG${"0".repeat(32)}`);
const headers = {
  "Content-Type": "application/x-www-form-urlencoded;charset=utf-8",
  Authorization: `Basic ${Buffer.from(`${flags.account}:${flags.token}`).toString("base64")}`,
};
axios.post(`${flags.url}/2010-04-01/Accounts/${flags.account}/Messages.json`, data, { headers }).then(
  (answer) => console.log(`Uptime Kuma (axios ${axios.VERSION}, ${answer.status})`),
  (error) => {
    console.error(`Uptime Kuma: ${error.response?.status} ${JSON.stringify(error.response?.data ?? error.message)}`);
    process.exitCode = 1;
  },
);
