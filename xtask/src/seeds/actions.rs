//! Actions of an agent hub and of an agent platform: calls requested by a model.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json as value};

use super::ApiStep;
use super::page::Page;
use super::rig::{Rig, WELCOME, json, program};
use crate::interop::transcriber::TEXT;

/// Calling numbers of the hub, and of the platform.
const HUB: &str = "+14155550100";
const PLATFORM: &str = "+14155559876";
/// Number that the platform calls.
const PARTY: &str = "+14155551234";
/// Host of the application in the hub's example.
const APPLICATION: &str = "https://your-server.com";

/// Numbers of the edge: the hub's and the platform's.
pub(super) const NUMBERS: [&str; 2] = [HUB, PLATFORM];

/// Steps of the hub's page, in order.
pub(super) const HUB_STEPS: [ApiStep; 3] = [
    ApiStep { section: "makeCall", name: "the page's example, then getCallStatus", run: make_call },
    ApiStep { section: "sendSMS", name: "the page's example", run: send_sms },
    ApiStep { section: "formats", name: "every form of a number; the parties are busy", run: formats },
];

/// Steps of the platform's page, in order.
pub(super) const PLATFORM_STEPS: [ApiStep; 5] = [
    ApiStep { section: "make_call", name: "with twiml, record and callbacks: heard, completed", run: platform_call },
    ApiStep { section: "make_call", name: "timeout: no answer", run: platform_timeout },
    ApiStep { section: "make_call", name: "machine_detection: taken, no answer", run: platform_detection },
    ApiStep {
        section: "get_recording",
        name: "of list_calls with include_recordings, and its audio",
        run: platform_recording,
    },
    ApiStep { section: "list_calls", name: "every filter, within the page's schema", run: platform_list },
];

/// Runs an action of the hub; returns its result.
fn hub(rig: &Rig, action: &str, arguments: &Value) -> anyhow::Result<Value> {
    let request = value!({ "action": action, "arguments": arguments }).to_string();
    json(&rig.node(&program("actions.cjs"), &[&request], HUB)?)
}

/// Returns the arguments in the page's example of an action.
fn example(page: &Page, rig: &Rig, action: &str) -> anyhow::Result<Value> {
    let found = page.objects().into_iter().find(|object| object["action"] == action);
    let text = found.with_context(|| format!("the page has no example of {action}"))?["arguments"].to_string();
    json(&text.replace(APPLICATION, &rig.url("")))
}

fn make_call(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let arguments = example(page, rig, "makeCall")?;
    let since = rig.judged();
    let made = hub(rig, "makeCall", &arguments)?;
    let status = || hub(rig, "getCallStatus", &value!({ "callSid": made["callSid"] }));
    let reached = rig.reached(arguments["to"].as_str().context("to")?, HUB)?;
    let answered = rig.answers(&reached)?;
    rig.requested(since, &["POST /twiml/welcome", "\"Direction\":\"outbound-api\""])?;
    rig.hears(&answered, WELCOME, "joanna")?;
    rig.is_hung_up_on(answered)?;
    let ended = status()?;
    ensure!(ended["status"] == "completed" && ended["duration"].is_string(), "{ended}");
    Ok("twilio-node 4.23.0: signed request once answered, heard, completed".to_owned())
}

fn send_sms(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let arguments = example(page, rig, "sendSMS")?;
    let documented = page.objects().into_iter().find(|object| object["messageSid"].is_string());
    let documented = documented.context("the page has no response of sendSMS")?;
    let before = rig.provider.all().len();
    let made = hub(rig, "sendSMS", &arguments)?;
    let fields = documented.as_object().into_iter().flat_map(serde_json::Map::keys);
    for field in fields {
        ensure!(made[field].is_string(), "{field} of the page's response is {}", made[field]);
    }
    ensure!(made["status"] == documented["status"], "{made}");
    let sent = rig.provider.next(before)?;
    ensure!(sent.sid == made["messageSid"] && sent.from == HUB && sent.to == arguments["to"], "{sent:?}");
    ensure!(sent.body == arguments["body"], "{sent:?}");
    rig.provider.report(rig.bench.edge.http, &sent.sid, "delivered")?;
    let kept = rig.bench.edge.api(&format!("GET Messages/{}.json", sent.sid), &[])?;
    ensure!(kept["status"] == "delivered", "{kept}");
    Ok("queued as the page says, sent through the provider, delivered".to_owned())
}

fn formats(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let formats = page.formats();
    ensure!(formats.len() >= 4, "the page has {} formats", formats.len());
    for format in &formats {
        let made = hub(rig, "makeCall", &value!({ "to": format, "url": rig.url("/twiml/welcome") }))?;
        let digits: String = format.chars().filter(char::is_ascii_digit).collect();
        rig.is_busy(&rig.reached(&format!("+{digits}"), HUB)?)?;
        rig.bench.edge.api_call_is(made["callSid"].as_str().context("callSid")?, "busy")?;
        let status = hub(rig, "getCallStatus", &value!({ "callSid": made["callSid"] }))?;
        ensure!(status["status"] == "busy", "{status}");
    }
    Ok(format!("{} forms, each dialled in E.164", formats.len()))
}

/// Runs an action of the platform; the result is validated by the page's schema with this title.
fn platform(page: &Page, rig: &Rig, action: &str, arguments: &Value) -> anyhow::Result<Value> {
    let title = match action {
        "make_call" => "MakeCallOutput",
        "get_recording" => "GetRecordingOutput",
        _ => "ListCallsOutput",
    };
    let schema = page.objects().into_iter().find(|object| object["title"] == title);
    let schema = schema.with_context(|| format!("the page has no schema {title}"))?.to_string();
    json(&rig.python(&program("call_actions.py"), &[action, &arguments.to_string(), &schema])?)
}

fn call_arguments(further: &Value) -> Value {
    let mut arguments = value!({ "to": PARTY, "from_": PLATFORM, "twiml": "<Response><Say>Hello</Say></Response>" });
    if let (Some(all), Some(further)) = (arguments.as_object_mut(), further.as_object()) {
        all.extend(further.clone());
    }
    arguments
}

fn platform_call(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let since = rig.judged();
    let callback = rig.callback();
    let arguments = call_arguments(&value!({
        "status_callback": callback, "status_callback_method": "POST", "record": true, "recording_status_callback": rig.url("/recorded"),
    }));
    let made = platform(page, rig, "make_call", &arguments)?;
    ensure!(made["success"] == true && made["status"] == "queued" && made["price"].is_null(), "{made}");
    let answered = rig.answers(&rig.reached(PARTY, PLATFORM)?)?;
    rig.hears(&answered, "Hello", "en-us")?;
    rig.hangs_up(answered)?;
    rig.reported(since, &["completed"])?;
    rig.bench.edge.api_call_is(made["call_sid"].as_str().context("call_sid")?, "completed")?;
    rig.requested(
        since,
        &["POST /recorded", "\"RecordingStatus\":\"completed\"", "\"RecordingSource\":\"OutboundAPI\""],
    )?;
    Ok("prices are null, the party's BYE and the recording are reported".to_owned())
}

fn platform_timeout(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let made = platform(page, rig, "make_call", &call_arguments(&value!({ "timeout": 2 })))?;
    rig.rings(&rig.reached(PARTY, PLATFORM)?)?;
    rig.bench.edge.api_call_is(made["call_sid"].as_str().context("call_sid")?, "no-answer")?;
    Ok("CANCEL to the party, no-answer".to_owned())
}

fn platform_detection(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let wanted = value!({ "machine_detection": "Enable", "timeout": 2 });
    let made = platform(page, rig, "make_call", &call_arguments(&wanted))?;
    rig.rings(&rig.reached(PARTY, PLATFORM)?)?;
    rig.bench.edge.api_call_is(made["call_sid"].as_str().context("call_sid")?, "no-answer")?;
    Ok("CANCEL to the party, no-answer".to_owned())
}

fn platform_recording(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let filters = value!({ "from_": PLATFORM, "status": "completed", "include_recordings": true });
    let list = platform(page, rig, "list_calls", &filters)?;
    let sid = list["calls"][0]["recording_sids"][0].as_str().with_context(|| list.to_string())?;
    rig.bench.edge.wait_until("the recording is transcribed", Duration::from_secs(10), |edge| {
        let path = format!("GET Recordings/{sid}/Transcriptions.json");
        Ok(edge.api(&path, &[])?["transcriptions"][0]["status"] == "completed")
    })?;
    let recording = platform(page, rig, "get_recording", &value!({ "recording_sid": sid }))?;
    ensure!(recording["transcription_text"] == TEXT && recording["transcription_status"] == "completed", "{recording}");
    ensure!(recording["source"] == "OutboundAPI" && recording["status"] == "completed", "{recording}");
    ensure!(recording["price"].is_null() && recording["duration"].as_u64() > Some(0), "{recording}");
    let media = recording["media_url"].as_str().context("media_url")?;
    let kind = rig.shell(&format!("curl -sSfL -u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\" '{media}' | head -c 4"))?;
    ensure!(kind == "RIFF", "{kind}");
    let deleted =
        format!("curl -sS -u \"$TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN\" -X DELETE -w '%{{http_code}}' '{media}.json'");
    let deleted = rig.shell(&deleted)?;
    ensure!(deleted == "204", "{deleted}");
    let gone = platform(page, rig, "get_recording", &value!({ "recording_sid": sid }))?;
    ensure!(gone["error"].as_str().is_some_and(|error| error.starts_with("20404: ")), "{gone}");
    Ok("metadata and text within the page's schema, audio by its media_url, 20404 once it is deleted".to_owned())
}

fn platform_list(page: &Page, rig: &Rig) -> anyhow::Result<String> {
    let list = |filters: Value| -> anyhow::Result<usize> {
        let mut filters = filters;
        filters["include_recordings"] = false.into();
        let result = platform(page, rig, "list_calls", &filters)?;
        ensure!(result["success"] == true, "{result}");
        Ok(result["calls"].as_array().map_or(0, Vec::len))
    };
    let from = list(value!({ "from_": PLATFORM, "page_size": 1000 }))?;
    ensure!(from == 3, "{from} calls from the platform's number");
    for (filters, expected) in [
        (value!({ "to": PARTY, "from_": PLATFORM, "status": "completed" }), 1),
        (value!({ "to": PARTY, "from_": PLATFORM, "status": "no-answer" }), 2),
        (value!({ "from_": PLATFORM, "start_time_after": "2016-07-04" }), 3),
        (value!({ "start_time_after": "2016-07-04", "start_time_before": "2016-07-06" }), 0),
        (value!({ "from_": PLATFORM, "page_size": 1 }), 1),
    ] {
        let found = list(filters.clone())?;
        ensure!(found == expected, "{found} calls instead of {expected} with {filters}");
    }
    Ok("numbers, status, both bounds of StartTime, page size".to_owned())
}
