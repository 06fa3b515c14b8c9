// A web application in Express whose every request is judged by twilio-node's own middleware. Its menu leads through a Gather, a Dial
// with a whisper and call progress, and a Redirect, by POST and GET, with query strings and credentials.
const express = require("express");
const twilio = require("twilio");

const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
const token = flag("--token");
const credentials = "Basic " + Buffer.from("ann:s3 cret").toString("base64");

function documentOf(path, publicUrl, method) {
  const response = new twilio.twiml.VoiceResponse();
  if (path === "/voice") {
    const gather = response.gather({ numDigits: 1, timeout: 8, action: `/gather?step=1&name=J%C3%B6rg+K&by=${method}`, method });
    gather.say("Press any key.");
  } else if (path === "/gather") {
    const action = publicUrl.replace("://", "://ann:s3%20cret@") + `/dialled?after=gather&by=${method}`;
    const dial = response.dial({ action, method, timeout: 15 });
    dial.number(
      {
        url: "/whisper?for=party",
        method,
        statusCallback: "/progress?n=1&m=a%20b",
        statusCallbackMethod: method,
        statusCallbackEvent: "initiated ringing answered completed",
      },
      "+14155550199"
    );
  } else if (path === "/dialled") {
    response.redirect({ method: method === "POST" ? "GET" : "POST" }, "/again?a=b&a=c");
  } else if (path === "/again") {
    response.hangup();
  } else if (path === "/fallback") {
    response.reject({ reason: "busy" });
  }
  return response.toString();
}

const app = express();
app.set("trust proxy", true);
app.use(express.urlencoded({ extended: false }));
app.use((req, res, next) => {
  const values = JSON.stringify({ ...req.query, ...req.body });
  const url = `${req.protocol}://${req.headers.host}${req.originalUrl}`;
  res.on("finish", () => {
    const word = res.statusCode === 403 || res.statusCode === 400 || res.statusCode === 401 ? "refused" : "accepted";
    console.log(`${word} ${req.method} ${req.path} ${url} ${values}`);
  });
  next();
});
app.use(twilio.webhook(token));
app.use((req, res) => {
  const guarded = req.path === "/voice" || req.path === "/dialled";
  if (guarded && req.headers.authorization !== credentials) return res.status(401).send("credentials");
  if (req.path === "/broken") return res.status(500).send("it is broken");
  const values = { ...req.query, ...req.body };
  const publicUrl = `${req.protocol}://${req.headers.host}`;
  res.type("text/xml").send(documentOf(req.path, publicUrl, values.by || "POST"));
});
const server = app.listen(0, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${server.address().port}`));
