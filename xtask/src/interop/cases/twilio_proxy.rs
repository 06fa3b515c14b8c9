//! Programs for api.twilio.com with an unchanged base URL, which reach the edge as their proxy.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::interop::applications::{ACCOUNT, TOKEN, accepted, open_tables};
use crate::interop::callee::Callees;
use crate::interop::edge::{self, Edge};
use crate::interop::proxied::{Certificate, Proxied};
use crate::interop::python::{self, Packages, Script};
use crate::interop::{Setting, node};

/// Numbers of the edge; calls come from the first one.
const NUMBERS: [&str; 3] = ["+14155550100", "+14155550110", "+442071838750"];
/// Beginning of a curl request, as in Twilio's documentation.
const CURL: &str = "curl -sS -u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\" \"https://api.twilio.com/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID";
/// Number of the party that answers.
const PARTY: &str = "+14155550101";

/// Lets each program create, fetch and list resources.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let judge = Script::start(Packages::Forms, &python::script("webhook_application.py"), &["--token", TOKEN])?;
    let edge = Edge::start(&open_tables(&NUMBERS, "requests_per_second = 0\nconnect = [\"trunk:pbx\"]\nproxy = true"))?;
    let callees = Callees::start()?;
    let proxied = Proxied::by(edge.http)?;
    if setting.sabotage {
        // Broken: the edge is not a proxy.
        edge.write(&open_tables(&NUMBERS, "requests_per_second = 0\nconnect = [\"trunk:pbx\"]"))?;
        edge.reload()?;
    }
    curl(&proxied)?;
    cli(&proxied)?;
    let callback = format!("http://{}/status?of=proxy", judge.address);
    let flags = [
        ("--account", ACCOUNT),
        ("--token", TOKEN),
        ("--caller-id", NUMBERS[0]),
        ("--answers", PARTY),
        ("--busy", "+14155550102"),
        ("--silent", "+14155550103"),
        ("--callback", &callback),
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let mut figures = vec!["curl, twilio-cli 6.2.4".to_owned()];
    let (python, node) = (python::script("twilio_api.py"), node::script("twilio_api.cjs"));
    for pinned in [true, false] {
        let packages = if pinned { Packages::Pinned } else { Packages::Base };
        let by_python = || proxied.python(packages, &python, &flags);
        let packages = if pinned { node::Packages::Pinned } else { node::Packages::Twilio };
        let by_node = || proxied.node(packages, &node, &flags);
        for library in [&by_python as &dyn Fn() -> anyhow::Result<String>, &by_node] {
            let since = judge.lines().len();
            let said = library().with_context(|| edge.log_tail())?;
            accepted(&judge, since, &["POST /status", "\"CallStatus\":\"completed\""])?;
            figures.push(said.trim().to_owned());
        }
    }
    by_tls()?;
    Ok(format!(
        "{}; {} calls reached a party; each also by TLS to the proxy",
        figures.join("; "),
        callees.called().len()
    ))
}

/// Runs each program with an HTTPS edge: TLS to the proxy, and inside it TLS to the API.
fn by_tls() -> anyhow::Result<()> {
    let certificate = Certificate::make()?;
    let tables = open_tables(&NUMBERS, "requests_per_second = 0\nconnect = [\"trunk:pbx\"]\nproxy = true");
    let edge = Edge::start_as(Command::new(edge::binary()), &(certificate.listeners() + &tables))?;
    let proxied = Proxied::by_tls(edge.http, &certificate)?;
    let account = format!("{CURL}.json\"").replace("curl ", "curl --proxy-cacert \"$CURL_CA_BUNDLE\" ");
    ensure!(json(&proxied.shell(&account)?)?["sid"] == ACCOUNT, "curl by TLS");
    let numbers = proxied.shell("twilio phone-numbers:list --properties phoneNumber")?;
    ensure!(numbers.contains(NUMBERS[0]), "twilio-cli by TLS: {numbers}");
    let folder = tempfile::tempdir()?;
    let (python, node) = (folder.path().join("list_numbers.py"), folder.path().join("list_numbers.cjs"));
    std::fs::write(
        &python,
        "from twilio.rest import Client\nprint([one.phone_number for one in Client().incoming_phone_numbers.list()])\n",
    )?;
    std::fs::write(
        &node,
        "require('twilio')().incomingPhoneNumbers.list().then((all) => console.log(all.map((one) => one.phoneNumber)))\n",
    )?;
    for (of_python, of_node) in [(Packages::Pinned, node::Packages::Pinned), (Packages::Base, node::Packages::Twilio)] {
        for said in [proxied.python(of_python, &python, &[])?, proxied.node(of_node, &node, &[])?] {
            ensure!(NUMBERS.iter().all(|number| said.contains(number)), "a library by TLS: {said}");
        }
    }
    Ok(())
}

fn json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text.trim()).with_context(|| text.to_owned())
}

fn curl(proxied: &Proxied) -> anyhow::Result<()> {
    let create = format!(
        "{CURL}/Calls.json\" --data-urlencode To={PARTY} --data-urlencode From={} --data-urlencode 'Twiml=<Response><Pause length=\"60\"/></Response>'",
        NUMBERS[0]
    );
    let made = json(&proxied.shell(&create)?)?;
    let sid = made["sid"].as_str().with_context(|| made.to_string())?;
    let fetched = json(&proxied.shell(&format!("{CURL}/Calls/{sid}.json\""))?)?;
    ensure!(fetched["sid"] == sid, "{fetched}");
    let list = json(&proxied.shell(&format!("{CURL}/Calls.json?PageSize=1\""))?)?;
    ensure!(list["calls"][0]["sid"] == sid, "{list}");
    let ended = json(&proxied.shell(&format!("{CURL}/Calls/{sid}.json\" -d Status=completed"))?)?;
    ensure!(ended["sid"] == sid, "{ended}");
    let regional = json(&proxied.shell(&format!("{CURL}.json\"").replace("//api.", "//api.dublin.ie1."))?)?;
    ensure!(regional["sid"] == ACCOUNT, "{regional}");
    let other = proxied.shell("curl -sS https://verify.twilio.com/v2/Services 2>&1; true")?;
    ensure!(other.contains("403"), "another host of Twilio: {other}");
    let own = proxied.shell("curl -sS https://api.twilio.com/v1/status")?;
    ensure!(json(&own)?["code"] == 20_404, "a path of the edge: {own}");
    Ok(())
}

fn cli(proxied: &Proxied) -> anyhow::Result<()> {
    let made = json(&proxied.shell(&format!(
        "twilio api:core:calls:create --from {} --to {PARTY} --twiml '<Response><Pause length=\"60\"/></Response>' -o json",
        NUMBERS[0]
    ))?)?;
    let sid = made[0]["sid"].as_str().with_context(|| made.to_string())?;
    let fetched = proxied.shell(&format!("twilio api:core:calls:fetch --sid {sid} --properties sid,to,status"))?;
    ensure!(fetched.contains(sid) && fetched.contains(PARTY), "{fetched}");
    let list = proxied.shell("twilio api:core:calls:list --limit 1 --properties sid,status")?;
    ensure!(list.contains(sid), "{list}");
    let ended = json(&proxied.shell(&format!("twilio api:core:calls:update --sid {sid} --status completed -o json"))?)?;
    ensure!(ended[0]["sid"] == sid, "{ended}");
    let key = json(&proxied.shell("twilio api:core:keys:create --friendly-name proxy -o json")?)?;
    let key = key[0]["sid"].as_str().with_context(|| key.to_string())?;
    let removed = proxied.shell(&format!("twilio api:core:keys:list && twilio api:core:keys:remove --sid {key}"))?;
    ensure!(removed.contains(key), "{removed}");
    let lookup =
        "twilio api:lookups:v2:phone-numbers:fetch --phone-number +14159929960 --properties phoneNumber,countryCode";
    let found = proxied.shell(lookup)?;
    ensure!(found.contains("+14159929960") && found.contains("US"), "{found}");
    let numbers = proxied.shell("twilio phone-numbers:list --properties phoneNumber")?;
    ensure!(NUMBERS.iter().all(|number| numbers.contains(number)), "{numbers}");
    // The program creates a key, with which it continues.
    let login = "unset TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN\n";
    let by_key = format!(
        "{login}twilio login {ACCOUNT} --auth-token {TOKEN} --profile edge --force 2>&1 && twilio api:core:calls:list --profile edge --limit 1"
    );
    let list = proxied.shell(&by_key)?;
    ensure!(list.contains(sid), "{list}");
    Ok(())
}
