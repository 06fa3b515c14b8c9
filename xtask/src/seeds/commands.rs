//! Commands and code of the page that use the API, in which only the base URL and the addresses of the examples are
//! changed.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::ApiStep;
use super::page::Page;
use super::provider::Sent;
use super::rig::{Rig, WELCOME, json};
use crate::commands;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::python;

/// Hosts in the page's examples: of the API, and of applications.
const API: &str = "https://api.twilio.com";
const APPLICATIONS: [&str; 3] =
    ["https://demo.twilio.com", "https://voice.prod.example.com", "https://voice.example.com"];
/// Numbers in the page's calls.
pub(super) const CALLER_ID: &str = "+14155551234";
pub(super) const PARTY: &str = "+14155559876";
pub(super) const SDK_CALLER_ID: &str = "+15017250604";
pub(super) const SDK_PARTY: &str = "+15558675309";
/// Beginning of curl requests for the account and for keys.
const CURL: &str =
    "curl -sS -u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\" \"$TWILIO_BASE_URL/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID";

/// Numbers of the edge: the calling numbers on the page.
pub(super) const NUMBERS: [&str; 2] = [CALLER_ID, SDK_CALLER_ID];

/// Steps of the page with commands and code, in order.
pub(super) const STEPS: [ApiStep; 8] = [
    ApiStep { section: "usage 2", name: "curl: a call with inline TwiML, four events in one value", run: inline },
    ApiStep { section: "usage 2", name: "the same: the party is busy, then does not answer", run: not_answered },
    ApiStep { section: "SDK for Python", name: "calls.create with a URL", run: by_sdk },
    ApiStep { section: "CLI, curl", name: "the account; a key, and requests by it", run: account_and_keys },
    ApiStep { section: "CLI, curl", name: "calls: listed, fetched, ended", run: calls },
    ApiStep { section: "messaging", name: "a text after a busy call, until STOP", run: text_after_call },
    ApiStep { section: "troubleshooting 5", name: "21211: a number that is none", run: bad_number },
    ApiStep { section: "troubleshooting 6", name: "20003: another token", run: wrong_token },
];

/// Returns a text of the page with the base URLs of the edge and of the application.
fn placed(text: &str, rig: &Rig) -> String {
    let text = text.replace(API, "$TWILIO_BASE_URL");
    APPLICATIONS.iter().fold(text, |text, host| text.replace(host, &rig.url("")))
}

/// Runs the page's curl command, in which the first text of `changed` is replaced by the second.
fn curl(page: &Page, rig: &Rig, changed: (&str, &str)) -> anyhow::Result<serde_json::Value> {
    let command = placed(&page.curl_example()?, rig).replace(changed.0, changed.1);
    json(&rig.shell(&command)?)
}

fn inline(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let since = rig.judged();
    let call = curl(page, rig, ("", ""))?;
    ensure!(call["status"] == "queued" && call["direction"] == "outbound-api", "{call}");
    let answered = rig.answers(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.hears(&answered, "This is a test call", "joanna")?;
    rig.is_hung_up_on(answered)?;
    rig.reported(since, &["initiated", "ringing", "in-progress", "completed"])?;
    let sid = call["sid"].as_str().context("no SID")?;
    let ended = rig.bench.edge.api_call_is(sid, "completed")?;
    ensure!(ended["duration"].is_string(), "{ended}");
    Ok("heard in the mapped voice, ended by the document, four callbacks accepted by the SDK's validator".to_owned())
}

fn not_answered(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let since = rig.judged();
    let call = curl(page, rig, ("", ""))?;
    rig.is_busy(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.bench.edge.api_call_is(call["sid"].as_str().context("no SID")?, "busy")?;
    rig.reported(since, &["initiated", "busy"])?;
    let since = rig.judged();
    let call = curl(page, rig, ("--data-urlencode \"From", "--data-urlencode \"Timeout=2\" --data-urlencode \"From"))?;
    rig.rings(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.bench.edge.api_call_is(call["sid"].as_str().context("no SID")?, "no-answer")?;
    rig.reported(since, &["initiated", "ringing", "no-answer"])?;
    Ok("busy and no-answer in the call and in the last callback".to_owned())
}

fn by_sdk(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let code = folder.path().join("example.py");
    std::fs::write(&code, placed(&page.python_example()?, rig))?;
    let since = rig.judged();
    let mut command = Command::new(python::interpreter(python::Packages::Pinned)?);
    let said = commands::output(rig.equip(&mut command).arg(python::script("twilio_snippet.py")).arg(&code))?;
    let sid = said.trim();
    let answered = rig.answers(&rig.reached(SDK_PARTY, SDK_CALLER_ID)?)?;
    rig.requested(since, &["POST /docs/voice.xml", "\"Direction\":\"outbound-api\"", sid])?;
    rig.hears(&answered, WELCOME, "joanna")?;
    rig.is_hung_up_on(answered)?;
    rig.bench.edge.api_call_is(sid, "completed")?;
    Ok("twilio 9.0.5 as pinned: signed request once answered, its document heard".to_owned())
}

fn account_and_keys(_: &Page, rig: &Rig) -> anyhow::Result<String> {
    let account = json(&rig.shell(&format!("{CURL}.json\""))?)?;
    ensure!(account["sid"] == ACCOUNT && account["status"] == "active", "{account}");
    let key = json(&rig.shell(&format!("{CURL}/Keys.json\" -d FriendlyName=login"))?)?;
    let (sid, secret) = (key["sid"].as_str().context("no SID")?, key["secret"].as_str().context("no secret")?);
    let by_key = CURL.replace("$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN", &format!("{sid}:{secret}"));
    let calls = json(&rig.shell(&format!("{by_key}/Calls.json\""))?)?;
    ensure!(calls["calls"].is_array(), "{calls}");
    let refused = json(&rig.shell(&format!("{by_key}/Keys.json\""))?)?;
    ensure!(refused["code"] == 20_003, "{refused}");
    let deleted = rig.shell(&format!("{CURL}/Keys/{sid}.json\" -X DELETE -w '%{{http_code}}'"))?;
    ensure!(deleted == "204", "{deleted}");
    let refused = json(&rig.shell(&format!("{by_key}/Calls.json\""))?)?;
    ensure!(refused["status"] == 401, "{refused}");
    Ok("the key opens calls, not keys, and nothing once it is deleted".to_owned())
}

fn calls(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let made = curl(page, rig, ("<Hangup/>", "<Pause length='60'/>"))?;
    let sid = made["sid"].as_str().context("no SID")?;
    let answered = rig.answers(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.bench.edge.api_call_is(sid, "in-progress")?;
    let list = CURL.replace("/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID", page.cli_path()?);
    let list = json(&rig.shell(&format!("{list}\""))?)?;
    ensure!(list["calls"][0]["sid"] == sid && list["page_size"] == 20, "{list}");
    let fetched = json(&rig.shell(&format!("{CURL}/Calls/{sid}.json\""))?)?;
    ensure!(fetched["status"] == "in-progress", "{fetched}");
    let ended = json(&rig.shell(&format!("{CURL}/Calls/{sid}.json\" -d Status=completed"))?)?;
    ensure!(ended["sid"] == sid, "{ended}");
    rig.is_hung_up_on(answered)?;
    rig.bench.edge.api_call_is(sid, "completed")?;
    Ok("the newest in the page's own list of 20, BYE to the party".to_owned())
}

fn text_after_call(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let since = rig.judged();
    curl(page, rig, ("", ""))?;
    rig.is_busy(&rig.reached(PARTY, CALLER_ID)?)?;
    rig.reported(since, &["busy"])?;
    let text = page.quoted("Send SMS: \u{201c}").or_else(|_| page.quoted("Send SMS: \""));
    let text = text?.split('\u{201d}').next().unwrap_or_default();
    let command =
        format!("{CURL}/Messages.json\" -d To=%2B14155559876 -d From=%2B14155551234 --data-urlencode 'Body={text}'");
    let before = rig.provider.all().len();
    let made = json(&rig.shell(&command)?)?;
    let sent = rig.provider.next(before)?;
    ensure!(made["sid"] == sent.sid.as_str() && sent.to == PARTY && sent.body == text, "{made} {sent:?}");
    let stop =
        Sent { sid: "SMstop".to_owned(), to: CALLER_ID.to_owned(), from: PARTY.to_owned(), body: "STOP".to_owned() };
    rig.provider.pass_on(rig.bench.edge.http, &stop)?;
    let refused = json(&rig.shell(&command)?)?;
    ensure!(refused["code"] == 21_610, "{refused}");
    Ok("sent to the party of the call, 21610 once it has sent STOP".to_owned())
}

fn bad_number(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let documented = page.objects().into_iter().find(|object| object["code"] == 21_211);
    let documented = documented.context("the page has no error 21211")?;
    let refused = curl(page, rig, (PARTY, "+1415555"))?;
    ensure!(refused["code"] == documented["code"] && refused["status"] == documented["status"], "{refused}");
    Ok("code and status of the page's own example".to_owned())
}

fn wrong_token(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let refused = curl(page, rig, (":$TWILIO_AUTH_TOKEN", ":a-token-of-before"))?;
    ensure!(refused["code"] == 20_003 && refused["status"] == 401, "{refused}");
    ensure!(!refused.to_string().contains(TOKEN), "{refused}");
    Ok("401".to_owned())
}
