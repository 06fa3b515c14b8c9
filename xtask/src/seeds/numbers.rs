//! Hosted voice channel that sets the URLs of an account's numbers when the account's credentials are saved.

use anyhow::ensure;
use serde_json::Value;

use super::ApiStep;
use super::page::Page;
use super::rig::{Rig, json, program};

/// Number of examples on the page; the edge has the numbers of the first two.
const EXAMPLES: usize = 4;
/// Voice of the speech program that corresponds to the document's.
const VOICE: &str = "joanna";

/// Steps of the page with numbers, in order.
pub(super) const STEPS: [ApiStep; 4] = [
    ApiStep { section: "auto-configuration", name: "numbers are found by E.164, written or skipped", run: written },
    ApiStep { section: "step 5", name: "a call: signed webhook, hold text, terminal callback", run: called },
    ApiStep { section: "step 4", name: "errors are reported number by number", run: failed },
    ApiStep { section: "troubleshooting", name: "another token: no number is written", run: wrong_token },
];

/// Returns the numbers of the edge: two from the page's examples.
pub(super) fn own(page: &Page) -> anyhow::Result<Vec<&str>> {
    let examples = examples(page);
    ensure!(examples.len() == EXAMPLES, "the page has {} examples of numbers", examples.len());
    Ok(examples.into_iter().take(2).collect())
}

fn examples(page: &Page) -> Vec<&str> {
    page.numbers_between("**Examples:**", "### Step 3")
}

/// Runs the set-up of all examples on the page with this URL.
fn set_up(page: &Page, rig: &Rig, voice_url: &str) -> anyhow::Result<Value> {
    let callback = rig.callback();
    let mut arguments = vec![voice_url, callback.as_str()];
    arguments.extend(examples(page));
    let result = json(&rig.python(&program("number_setup.py"), &arguments)?)?;
    for name in result.as_object().into_iter().flat_map(serde_json::Map::keys) {
        ensure!(page.has(&format!("`{name}`")), "the page does not know {name}");
    }
    Ok(result)
}

/// Returns the URL of a document that speaks the page's text.
fn voice_url(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let mut url = reqwest::Url::parse(&rig.url("/twiml/hold"))?;
    url.query_pairs_mut().append_pair("say", page.field("holdtext")?);
    Ok(url.into())
}

fn numbers(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|one| one.as_str().or_else(|| one["number"].as_str())).collect()
}

fn written(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let result = set_up(page, rig, &voice_url(page, rig)?)?;
    ensure!(numbers(&result["twilioWebhooksUpdated"]) == own(page)?, "{result}");
    let skipped = &result["twilioWebhookSkipped"];
    ensure!(numbers(skipped) == examples(page)[2..], "{result}");
    ensure!(numbers(&result["twilioWebhooksFailed"]).is_empty(), "{result}");
    let reason = skipped[0]["reason"].as_str().unwrap_or_default();
    ensure!(page.has(reason), "the page does not know the reason {reason:?}");
    Ok("two written, two skipped for the page's reason".to_owned())
}

fn called(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let number = own(page)?[0];
    let since = rig.judged();
    let caller = rig.bench.call(number)?;
    rig.requested(since, &["POST /twiml/hold", &format!("\"To\":\"{number}\""), "\"Direction\":\"inbound\""])?;
    rig.bench.hears(&caller, page.field("holdtext")?, VOICE, 0)?;
    caller.is_hung_up_on()?;
    rig.reported(since, &["completed"])?;
    Ok("the validator accepts both, the caller hears the page's text".to_owned())
}

fn failed(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let result = set_up(page, rig, "ftp://files.example.com/voice")?;
    let failed = &result["twilioWebhooksFailed"];
    ensure!(numbers(failed) == own(page)? && failed[0]["code"] == 21_402, "{result}");
    let voice_url = voice_url(page, rig)?;
    let kept = rig.bench.edge.api("GET IncomingPhoneNumbers.json", &[])?;
    ensure!(kept["incoming_phone_numbers"][0]["voice_url"] == voice_url, "the URL is not kept: {kept}");
    Ok("21402 for each number of the account, what was set before holds".to_owned())
}

fn wrong_token(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let callback = rig.callback();
    let script = program("number_setup.py").display().to_string();
    let python = crate::interop::python::schema()?.display().to_string();
    let command =
        format!("TWILIO_AUTH_TOKEN={} {python} {script} {callback} {callback} {}", "f".repeat(32), own(page)?[0]);
    let result = json(&rig.shell(&command)?)?;
    ensure!(result["twilioWebhooksFailed"][0]["code"] == 20_003, "{result}");
    Ok("20003".to_owned())
}
