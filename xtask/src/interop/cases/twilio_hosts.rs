//! `[api] tls` in a network namespace in which the hosts table maps Twilio's hosts to the edge: clients that ignore
//! proxy variables, with trust stores that `trunkgate twilio trust` changes and restores.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::commands;
use crate::interop::applications::{ACCOUNT, TOKEN, open_tables};
use crate::interop::callee::Callees;
use crate::interop::edge::{self, Edge};
use crate::interop::netns::{self, Namespace};
use crate::interop::python::{self, Packages};
use crate::interop::{Setting, install, node};

/// Calling number, owned by the edge.
const NUMBER: &str = "+14155550100";
/// Number of the party that answers.
const PARTY: &str = "+14155550101";
/// Mounts for the programs, after which changes to these directories are temporary. `$1` is a folder of the case.
const OWN_STORE: &str = "set -e\nmount -t tmpfs none /usr/local/share/ca-certificates\ncp -a /etc/ssl \"$1/ssl\"\nmount --bind \"$1/ssl\" /etc/ssl\n";
/// Program with Twilio's client for asyncio, which ignores proxy variables.
const ASYNC_PYTHON: &str = "\
import asyncio, os
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.rest import Client
async def main():
    async with AsyncTwilioHttpClient() as http:
        client = Client(os.environ['TWILIO_ACCOUNT_SID'], os.environ['TWILIO_AUTH_TOKEN'], http_client=http)
        call = await client.calls.create_async(to=os.environ['PARTY'], from_=os.environ['NUMBER'], twiml='<Response><Pause/></Response>')
        print('aiohttp', (await client.calls(call.sid).fetch_async()).sid == call.sid)
asyncio.run(main())
";
/// Program with twilio-python over requests, with the roots of certifi and without proxies.
const PYTHON: &str = "\
from twilio.rest import Client
print('requests', [one.phone_number for one in Client().incoming_phone_numbers.list()])
print('lookup', Client().lookups.v1.phone_numbers('+14159929960').fetch().national_format)
";
const NODE: &str = "\
const account = process.env.TWILIO_ACCOUNT_SID;
const authorization = 'Basic ' + Buffer.from(account + ':' + process.env.TWILIO_AUTH_TOKEN).toString('base64');
const body = new URLSearchParams({ To: process.env.PARTY, From: process.env.NUMBER, Twiml: '<Response><Pause/></Response>' });
fetch(`https://api.twilio.com/2010-04-01/Accounts/${account}/Calls.json`, { method: 'POST', headers: { authorization }, body })
  .then(async (answer) => console.log('fetch', answer.status, (await answer.json()).status));
fetch('https://lookups.twilio.com/v2/PhoneNumbers/+14159929960', { headers: { authorization } })
  .then(async (answer) => console.log('lookup', answer.status, (await answer.json()).country_code));
";
const PHP: &str = "\
<?php
$account = getenv('TWILIO_ACCOUNT_SID');
$head = 'Authorization: Basic ' . base64_encode($account . ':' . getenv('TWILIO_AUTH_TOKEN'));
$options = ['http' => ['header' => $head]];
$text = file_get_contents(\"https://api.twilio.com/2010-04-01/Accounts/$account.json\", false, stream_context_create($options));
echo 'php ', json_decode($text)->sid, \"\\n\";
";

/// Checks that each client reaches the edge while its store trusts the CA, and neither before nor afterwards.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = netns::missing() {
        return Ok(skipped);
    }
    install::packages(&[("php", "php-cli"), ("update-ca-certificates", "ca-certificates")])?;
    let python = std::path::absolute(python::interpreter(Packages::Base)?)?;
    let modules = node::modules(node::Packages::Base)?;
    let here = Namespace::new("hosts")?;
    here.hosts("127.0.0.1 localhost\n127.0.0.1 api.twilio.com lookups.twilio.com\n")?;
    // Broken: there is no listener at the address in the hosts table.
    let tls = if setting.sabotage { "proxy = true" } else { "tls = \"127.0.0.1:443\"" };
    let tables = open_tables(&[NUMBER], &format!("{tls}\nconnect = [\"trunk:pbx\"]"));
    let binary = std::path::absolute(edge::binary())?.display().to_string();
    let edge = Edge::start_by(here.command(&binary), &tables)?;
    let callees = here.enter(Callees::start)?;
    let folder = tempfile::tempdir()?;
    for (name, text) in [("async.py", ASYNC_PYTHON), ("client.py", PYTHON), ("fetch.cjs", NODE), ("client.php", PHP)] {
        std::fs::write(folder.path().join(name), text)?;
    }
    let url = format!("http://{}", edge.http);
    let shell = |script: &str, store: &Path| {
        let mut command = here.command("sh");
        command.env("TWILIO_ACCOUNT_SID", ACCOUNT).env("TWILIO_AUTH_TOKEN", TOKEN);
        command.env("NUMBER", NUMBER).env("PARTY", PARTY).env("NODE_PATH", &modules);
        command.env("TRUNKGATE", &binary).env("EDGE", &url).env("PYTHON", &python);
        command.args(["-c", &format!("{OWN_STORE}{script}"), "sh"]).arg(store);
        commands::output(&mut command).with_context(|| script.to_owned())
    };
    std::fs::create_dir_all(folder.path().join("one"))?;
    let said = shell(&trusting(folder.path()), &folder.path().join("one")).with_context(|| edge.log_tail())?;
    for line in [
        "untrusted 60",
        "entry 127.0.0.1 api.twilio.com lookups.twilio.com",
        &format!("curl \"sid\":\"{ACCOUNT}\""),
        "aiohttp True",
        &format!("requests ['{NUMBER}']"),
        "lookup (415) 992-9960",
        "fetch 201 queued",
        "lookup 200 US",
        &format!("php {ACCOUNT}"),
        "status 404",
        "restored",
        "untrusted again 60",
    ] {
        ensure!(said.lines().any(|said| said == line), "no line `{line}` in:\n{said}");
    }
    Ok(format!(
        "curl, twilio-python with requests and with aiohttp, fetch of Node and PHP by a hosts entry alone; {} calls reached a party; stores restored",
        callees.called().len()
    ))
}

/// Returns a script that runs the programs, one line for each.
fn trusting(folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let ask = "curl -sS -u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\" https://api.twilio.com";
    let account = format!("{ask}/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID.json");
    let trust = "\"$TRUNKGATE\" twilio trust system certifi --python \"$PYTHON\" --yes";
    [
        format!("{account} >/dev/null 2>&1 || echo untrusted $?"),
        "echo entry $(\"$TRUNKGATE\" twilio hosts --url \"$EDGE\")".to_owned(),
        "certifi=$(\"$PYTHON\" -c 'import certifi; print(certifi.where())')".to_owned(),
        "before=$(cat \"$certifi\" | sha256sum)".to_owned(),
        format!("trap '{trust} --undo >/dev/null' EXIT"),
        format!("{trust} --url \"$EDGE\""),
        format!("echo curl $({account} | grep -o '\"sid\":\"[^\"]*\"' | head -1)"),
        format!("\"$PYTHON\" {}", at("async.py")),
        format!("\"$PYTHON\" {}", at("client.py")),
        format!("NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/trunkgate-twilio.crt node {}", at("fetch.cjs")),
        format!("php {}", at("client.php")),
        format!("echo status $({ask}/v1/status -o /dev/null -w '%{{http_code}}')"),
        format!("{trust} --undo"),
        "test \"$before\" = \"$(cat \"$certifi\" | sha256sum)\" && echo restored".to_owned(),
        format!("{account} >/dev/null 2>&1 || echo untrusted again $?"),
    ]
    .join("\n")
}
