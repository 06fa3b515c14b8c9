// Judges signed requests by twilio-node's validator: as they are, and with one character changed in each part of them.
const fs = require("fs");
const { validateRequest, validateRequestWithBody } = require("twilio");

function judge(request, seen, params, body) {
  if (body !== null) return validateRequestWithBody(request.auth_token, request.signature, seen, body);
  // As body parsers have it: a name with several values has a list.
  const form = Object.create(null);
  for (const [name, value] of request.method === "POST" ? params : []) {
    if (name in form) form[name] = [].concat(form[name], value);
    else form[name] = value;
  }
  return validateRequest(request.auth_token, request.signature, seen, form);
}

let [taken, refused, forged] = [0, 0, 0];
for (const request of JSON.parse(fs.readFileSync(process.argv[2], "utf8"))) {
  const { seen, params, body } = request;
  if (judge(request, seen, params, body)) taken++;
  else {
    refused++;
    console.log("refused:", JSON.stringify(request));
  }
  forged += judge(request, seen + "x", params, body);
  if (body !== null) forged += judge(request, seen, params, body + " ");
  else if (params.length && request.method === "POST") {
    forged += judge(request, seen, [...params.slice(1), [params[0][0], params[0][1] + "x"]], body);
  }
}
console.log(`taken ${taken} refused ${refused} forged ${forged}`);
