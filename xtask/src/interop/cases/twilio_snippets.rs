//! Snippets of TwilioDevEd/api-snippets for calls, recordings, transcriptions, conferences, participants, queues,
//! numbers and keys in Python and Node, as clients of the edge at its base URL. Sample SIDs are replaced by those of
//! the edge's resources, and nothing else is changed. The edge's response must have all fields of a sample output. The
//! checkout is not part of this repository: `TRUNKGATE_SNIPPETS` names the checkout's folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::commands;
use crate::interop::applications::{ACCOUNT, TOKEN, open_tables};
use crate::interop::callee::Callees;
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages};
use crate::interop::transcriber::{TEXT, Transcriber};
use crate::interop::{SKIPPED, Setting, node};

/// Environment variable that names the folder of the checkout.
const FOLDER: &str = "TRUNKGATE_SNIPPETS";
/// Numbers that the snippets call from or search for.
const NUMBERS: [&str; 4] = ["+15017122661", "+18668675310", "+12349013030", "+18180021216"];
/// Configuration that permits recording.
const RECORDING: &str = "[recording]\ndirectory = \"recordings\"";
/// Number that the snippets call.
const PARTY: &str = "+14155551201";
/// Names of fields in old samples, each with the name that has the words in another order.
const RENAMED: [(&str, &str); 2] = [("formatted_to", "to_formatted"), ("formatted_from", "from_formatted")];

/// Result expected of a snippet.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The snippet prints these words.
    Prints(&'static str),
    /// The snippet prints the first words in Python and the second in Node, which shows another field.
    PrintsEach(&'static str, &'static str),
    /// The snippet prints an empty list.
    Nothing,
    /// The snippet prints a SID with this prefix.
    Creates(&'static str),
    /// The snippet fails with this code, and with these words in the message.
    Refused(u32, &'static str),
    /// The snippet prints these words in Python; in Node, it has a mistake of its own.
    PrintsInPython(&'static str),
    /// The snippet prints nothing in Python, and these words in Node.
    PrintsInNode(&'static str),
    /// The snippet fails in Python; in Node, it has another number, which may place calls.
    RefusedInPython(u32, &'static str),
}

use Expected::{Creates, Nothing, Prints, PrintsEach, PrintsInNode, PrintsInPython, Refused, RefusedInPython};

/// Folder of each snippet, the expected result, and the resource of the sample output; `{CA}` stands for a call, `{CF}`
/// for a conference, `{QU}` for a queue, `{PN}` for a number, `{RE}` for a recording.
const SNIPPETS: [(&str, Expected, &str); 57] = [
    ("call/instance-get-example-1", Prints(PARTY), "Calls/{CA}.json"),
    ("call/list-get-example-1", Prints("outbound-api"), "Calls.json"),
    ("call/list-get-example-2", Nothing, ""),
    ("call/list-get-example-3", Prints(PARTY), ""),
    ("call/list-get-example-4", Nothing, ""),
    ("call/list-get-example-6", Nothing, ""),
    ("call/list-get-example-7", Nothing, ""),
    ("change-call-state/example-1", Prints(PARTY), "Calls/{CA}.json"),
    ("change-call-state/list-get-example-2", Prints("outbound-api"), "Calls/{CA}.json"),
    ("making-calls/example-1", Creates("CA"), "Calls/{CA}.json"),
    ("making-calls/example-2", Refused(21_211, "client:"), ""),
    ("making-calls/example-3", Creates("CA"), "Calls/{CA}.json"),
    ("making-calls/example-4", Creates("CA"), "Calls/{CA}.json"),
    ("making-calls-sip/example-1", Refused(21_210, "Jack"), ""),
    ("making-calls-sip/example-2", Refused(20_501, "SipAuth"), ""),
    ("making-calls-sip/example-3", Refused(21_210, "Jack"), ""),
    ("voice/outbound-calls/example-1", RefusedInPython(21_210, "+987654321"), "Calls/{CA}.json"),
    ("voice/outbound-calls/example-2", Refused(21_211, "client:"), ""),
    ("voice/outbound-calls/example-3", Creates("CA"), "Calls/{CA}.json"),
    ("incoming-phone-numbers/instance-get-example-1", Prints("+15017122661"), "IncomingPhoneNumbers/{PN}.json"),
    (
        "incoming-phone-numbers/instance-post-example-1",
        Prints("http://demo.twilio.com/docs/voice.xml"),
        "IncomingPhoneNumbers/{PN}.json",
    ),
    ("incoming-phone-numbers/list-get-example-1", Prints("+18668675310"), "IncomingPhoneNumbers.json"),
    ("incoming-phone-numbers/list-get-example-2", Prints("+12349013030"), ""),
    ("incoming-phone-numbers/list-get-example-3", PrintsEach("+18668675310", "null"), ""),
    ("incoming-phone-numbers/list-post-example-1", Refused(20_501, "IncomingPhoneNumbers"), ""),
    ("recording/get-recording-xml", PrintsInNode("StartCallRecordingAPI"), "Recordings/{RE}.json"),
    ("recording/list-get-example-1", Prints("1"), "Recordings.json"),
    ("recording/list-get-example-2", Nothing, "Recordings.json"),
    ("recording/list-get-example-3", Prints("CA"), ""),
    ("recording/list-get-example-4", Nothing, "Recordings.json"),
    ("recording/list-get-example-5", PrintsEach("RecordingInstance", "1"), "Calls/{CA}/Recordings.json"),
    ("recording/list-recording-transcriptions", PrintsInPython(TEXT), ""),
    ("transcription/instance-get-example-1", Prints(TEXT), "Transcriptions/{TR}.json"),
    ("transcription/list-get-example-1", Prints(TEXT), "Transcriptions.json"),
    ("transcription/instance-delete-examples", PrintsInNode("deleted"), ""),
    ("recording/instance-delete-examples", PrintsInNode("deleted successfully"), ""),
    ("conference/instance-get-example-1", Prints("in-progress"), "Conferences/{CF}.json"),
    ("conference/list-get-example-1", Prints("in-progress"), "Conferences.json"),
    ("conference/list-get-example-2", Prints("in-progress"), ""),
    ("conference/list-get-example-3", Nothing, ""),
    ("conference/list-get-example-4", Prints("CF"), ""),
    ("participant/instance-get-example-1", PrintsEach("True", "null"), "Conferences/{CF}/Participants/{CA}.json"),
    ("participant/instance-post-example-1", PrintsEach("True", "true"), "Conferences/{CF}/Participants/{CA}.json"),
    ("participant/list-get-example-1", PrintsEach("False", "false"), "Conferences/{CF}/Participants.json"),
    ("participant/list-post-example-1", PrintsEach("CA", "undefined"), ""),
    ("participant/instance-delete-example-1", PrintsInNode("deleted successfully"), ""),
    ("queue/instance-get-example-1", PrintsEach("0", "averageWaitTime"), "Queues/{QU}.json"),
    ("queue/instance-post-example-1", Prints("0"), "Queues/{QU}.json"),
    ("queue/list-get-example-1", Prints("0"), "Queues.json"),
    ("queue/list-post-example-1", Creates("QU"), "Queues/{QU}.json"),
    ("member/instance-get-example-1", Prints("0"), "Queues/{QU}/Members/{CA}.json"),
    ("member/instance-post-example-1", Prints("0"), ""),
    ("member/instance-post-example-2", PrintsEach("1", "undefined"), ""),
    ("member/list-get-example-1", Prints("1"), "Queues/{QU}/Members.json"),
    ("keys/instance-get-example", Prints("snippets"), "Keys/{SK}.json"),
    ("keys/list-get-example", PrintsInPython("snippets"), "Keys.json"),
    ("keys/list-post-example", Creates("SK"), "Keys/{SK}.json"),
];

/// Resources of the edge that replace those of the sample code.
struct Samples {
    call: String,
    number: String,
    key: String,
    recording: String,
    transcription: String,
    conference: String,
    queue: String,
}

/// Runs every snippet in Python and in Node.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let Some(folder) = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()).map(PathBuf::from) else {
        if setting.sabotage {
            bail!("no snippets: {FOLDER} is not set");
        }
        return Ok(format!("{SKIPPED}no snippets, {FOLDER} is not set"));
    };
    // Broken: calls have no trunk to go to.
    let connect = if setting.sabotage { "" } else { "connect = [\"trunk:pbx\"]" };
    let transcriber = Transcriber::start()?;
    let connect = format!("{connect}\n{RECORDING}\n{}", transcriber.table(true));
    let edge = Edge::start(&open_tables(&NUMBERS, &connect))?;
    let _callees = Callees::start()?;
    let number = edge.api("GET IncomingPhoneNumbers.json?PhoneNumber=%2B15017122661", &[])?;
    let number = sid(&number["incoming_phone_numbers"][0])?;
    let key = sid(&edge.api("POST Keys.json", &[("FriendlyName", "snippets")])?)?;
    let ended = live_call(&edge)?;
    let recording = recorded(&edge, &ended)?;
    let transcription = transcribed(&edge, &recording)?;
    edge.api(&format!("POST Calls/{ended}.json"), &[("Status", "completed")])?;
    edge.api_call_is(&ended, "completed")?;
    let (mut ran, mut outputs) = (0, 0);
    for (name, expected, resource) in SNIPPETS {
        let at = folder.join("rest").join(name);
        for ending in [".9.x.py", ".5.x.js"] {
            // Only a call in progress can be changed.
            let call = if name.starts_with("change-call-state") { live_call(&edge)? } else { ended.clone() };
            // Each deletion needs a new resource.
            let (recording, transcription) = if name.ends_with("delete-examples") {
                let recording = recorded(&edge, &live_call(&edge)?)?;
                let transcription = transcribed(&edge, &recording)?;
                (recording, transcription)
            } else {
                (recording.clone(), transcription.clone())
            };
            let is_of_conference = ["conference/", "participant/"].iter().any(|of| name.starts_with(of));
            let (call, conference) = if is_of_conference { conferred(&edge)? } else { (call, String::new()) };
            let is_of_queue = ["queue/", "member/"].iter().any(|of| name.starts_with(of));
            let (call, queue) = if is_of_queue { queued(&edge)? } else { (call, String::new()) };
            let (number, key) = (number.clone(), key.clone());
            let samples = Samples { call, number, key, recording, transcription, conference, queue };
            let made = snippet(&edge, &at, ending, expected, &samples).with_context(|| format!("{name}{ending}"))?;
            ran += 1;
            let path = place(resource, &samples, made.as_deref());
            outputs += usize::from(!path.is_empty() && sample_has_its_fields(&edge, &at, &path).context(name)?);
            if is_of_conference {
                edge.api(&format!("POST Conferences/{}.json", samples.conference), &[("Status", "completed")])?;
            }
            if is_of_queue {
                // A call that a snippet has redirected to another document may have ended already.
                drop(edge.api(&format!("POST Calls/{}.json", samples.call), &[("Status", "completed")]));
                edge.api_call_is(&samples.call, "completed")?;
                for queue in [Some(samples.queue), made].into_iter().flatten() {
                    edge.api(&format!("DELETE Queues/{queue}.json"), &[])?;
                }
            }
        }
    }
    Ok(format!(
        "{ran} snippets end as they should; the fields of {outputs} sample outputs are those of the edge's answers"
    ))
}

fn sid(resource: &Value) -> anyhow::Result<String> {
    Ok(resource["sid"].as_str().with_context(|| format!("no SID in {resource}"))?.to_owned())
}

/// Makes a call to a party that answers.
fn live_call(edge: &Edge) -> anyhow::Result<String> {
    let twiml = ("Twiml", "<Response><Pause length=\"60\"/></Response>");
    let call = sid(&edge.api("POST Calls.json", &[("To", PARTY), ("From", NUMBERS[0]), twiml])?)?;
    edge.api_call_is(&call, "in-progress")?;
    Ok(call)
}

/// Makes a conference of two parties that answer; returns the SIDs of the first call and of the conference.
fn conferred(edge: &Edge) -> anyhow::Result<(String, String)> {
    let add = || edge.api("POST Conferences/MyRoom/Participants.json", &[("To", PARTY), ("From", NUMBERS[0])]);
    let call = add()?["call_sid"].as_str().context("no call_sid")?.to_owned();
    add()?;
    let path = "GET Conferences.json?FriendlyName=MyRoom&Status=in-progress";
    let first = |edge: &Edge| -> anyhow::Result<Value> { Ok(edge.api(path, &[])?["conferences"][0].clone()) };
    edge.wait_until("both are in the conference", Duration::from_secs(10), |edge| Ok(first(edge)?.is_object()))?;
    Ok((call, sid(&first(edge)?)?))
}

/// Makes a queue with a waiting call; returns the SIDs of the call and of the queue.
fn queued(edge: &Edge) -> anyhow::Result<(String, String)> {
    let queue = sid(&edge.api("POST Queues.json", &[("FriendlyName", "snippets")])?)?;
    let twiml = ("Twiml", "<Response><Enqueue>snippets</Enqueue></Response>");
    let call = sid(&edge.api("POST Calls.json", &[("To", PARTY), ("From", NUMBERS[0]), twiml])?)?;
    let path = format!("GET Queues/{queue}.json");
    edge.wait_until("it waits", Duration::from_secs(10), |edge| Ok(edge.api(&path, &[])?["current_size"] == 1))?;
    Ok((call, queue))
}

/// Records a live call for a second and some tenths; returns the SID of the recording.
fn recorded(edge: &Edge, call: &str) -> anyhow::Result<String> {
    let recording = sid(&edge.api(&format!("POST Calls/{call}/Recordings.json"), &[("RecordingChannels", "dual")])?)?;
    std::thread::sleep(Duration::from_millis(1_200));
    edge.api(&format!("POST Calls/{call}/Recordings/{recording}.json"), &[("Status", "stopped")])?;
    let path = format!("GET Recordings/{recording}.json");
    let is_complete = |edge: &Edge| Ok(edge.api(&path, &[])?["status"] == "completed");
    edge.wait_until("the recording is complete", Duration::from_secs(10), is_complete)?;
    Ok(recording)
}

/// Waits for the transcription of a recording, and returns its SID.
fn transcribed(edge: &Edge, recording: &str) -> anyhow::Result<String> {
    let path = format!("GET Recordings/{recording}/Transcriptions.json");
    let first = |edge: &Edge| -> anyhow::Result<Value> { Ok(edge.api(&path, &[])?["transcriptions"][0].clone()) };
    let is_complete = |edge: &Edge| Ok(first(edge)?["status"] == "completed");
    edge.wait_until("the recording is transcribed", Duration::from_secs(10), is_complete)?;
    sid(&first(edge)?)
}

fn place(resource: &str, samples: &Samples, made: Option<&str>) -> String {
    let key = made.filter(|sid| sid.starts_with("SK")).unwrap_or(&samples.key);
    let call = made.filter(|sid| sid.starts_with("CA")).unwrap_or(&samples.call);
    let queue = made.filter(|sid| sid.starts_with("QU")).unwrap_or(&samples.queue);
    let resource = resource
        .replace("{QU}", queue)
        .replace("{CA}", call)
        .replace("{PN}", &samples.number)
        .replace("{CF}", &samples.conference);
    resource.replace("{SK}", key).replace("{RE}", &samples.recording).replace("{TR}", &samples.transcription)
}

/// Runs a snippet, and returns the SID that the snippet prints, if one is expected.
fn snippet(
    edge: &Edge,
    at: &Path,
    ending: &str,
    expected: Expected,
    samples: &Samples,
) -> anyhow::Result<Option<String>> {
    let name = at.file_name().context("a name")?.to_string_lossy().into_owned();
    // In one folder, the file names have hyphens.
    let names = [format!("{name}{ending}"), format!("{name}-{}", ending.trim_start_matches('.'))];
    let file = names.map(|name| at.join(name)).into_iter().find(|file| file.exists()).context("no file")?;
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join(format!("snippet{ending}"));
    std::fs::write(&program, with_own_sids(&text, samples))?;
    let (mut command, is_node) = match ending.ends_with("js") {
        true => {
            let mut command = Command::new("node");
            command.env("NODE_PATH", node::modules(node::Packages::Twilio)?);
            command.arg("--require").arg(node::script("twilio_snippet.cjs").canonicalize()?);
            (command, true)
        }
        false => {
            let mut command = Command::new(python::interpreter(Packages::Base)?);
            command.arg(python::script("twilio_snippet.py"));
            (command, false)
        }
    };
    command
        .arg(&program)
        .env("TWILIO_BASE_URL", format!("http://{}", edge.http))
        .env("TWILIO_ACCOUNT_SID", ACCOUNT)
        .env("TWILIO_AUTH_TOKEN", TOKEN)
        // Two snippets take the SID of a key from this variable.
        .env("TWILIO_SUBACCOUNT_SID", &samples.key);
    let ended = commands::output(&mut command);
    let said = ended.as_ref().map_or_else(|error| format!("{error:#}"), |said| said.trim().to_owned());
    let holds = match expected {
        PrintsEach(by_python, by_node) => ended.is_ok() && said.contains(if is_node { by_node } else { by_python }),
        Prints(words) => ended.is_ok() && said.contains(words),
        PrintsInPython(words) if !is_node => ended.is_ok() && said.contains(words),
        PrintsInPython(_) => said.contains("is not defined") || said.contains("done is not a function"),
        PrintsInNode(words) => ended.is_ok() && if is_node { said.contains(words) } else { said.is_empty() },
        Nothing => ended.is_ok() && said.is_empty(),
        RefusedInPython(..) if is_node => ended.is_ok() && said.starts_with("CA"),
        Creates(prefix) => ended.is_ok() && said.starts_with(prefix),
        Refused(code, words) | RefusedInPython(code, words) => {
            ended.is_err() && said.contains(&format!(" {code} ")) && said.contains(words)
        }
    };
    ensure!(holds, "{expected:?}, but: {said}");
    // In one snippet, the key's secret follows without a separator.
    Ok(said.get(..34).filter(|_| matches!(expected, Creates(_))).map(str::to_owned))
}

/// Returns a snippet with the sample SIDs replaced by those of the edge's resources.
fn with_own_sids(text: &str, samples: &Samples) -> String {
    let mut text = text.to_owned();
    let own = [
        ("CA", &samples.call),
        ("PN", &samples.number),
        ("SK", &samples.key),
        ("RE", &samples.recording),
        ("TR", &samples.transcription),
        ("CF", &samples.conference),
        ("QU", &samples.queue),
    ];
    for (prefix, own) in own {
        let is_digit = |byte: u8| byte.is_ascii_hexdigit() || byte == b'X';
        let is_sid = |sid: &str| sid.len() == 34 && sid.bytes().skip(2).all(is_digit);
        let found: Vec<String> = text
            .split(['"', '\''])
            .filter(|part| part.starts_with(prefix) && is_sid(part))
            .map(str::to_owned)
            .collect();
        for sample in found {
            text = text.replace(&sample, own);
        }
    }
    text
}

/// Checks that the edge's response has all fields of the sample output. Returns false if there is no sample output.
fn sample_has_its_fields(edge: &Edge, at: &Path, path: &str) -> anyhow::Result<bool> {
    let name = at.file_name().context("a name")?.to_string_lossy().into_owned();
    let file = at.join("output").join(format!("{name}.json"));
    let Ok(sample) = std::fs::read_to_string(&file) else { return Ok(false) };
    let answer = edge.api(&format!("GET {path}"), &[])?;
    let mut has = BTreeSet::new();
    fields_of(&answer, &mut has);
    let lacks: Vec<String> = fields_in(&sample).into_iter().filter(|field| !has.contains(field)).collect();
    // The secret of a key appears only in the response that creates the key.
    let lacks: Vec<String> = lacks.into_iter().filter(|field| field != "secret").collect();
    ensure!(lacks.is_empty(), "{path} lacks {} of the sample output", lacks.join(", "));
    Ok(true)
}

/// Adds the names of all fields of a value, at any depth.
fn fields_of(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            names.insert(name.clone());
            fields_of(value, names);
        }),
        Value::Array(entries) => entries.iter().for_each(|entry| fields_of(entry, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Returns the field names of a sample, which may not be JSON: quoted words before a colon.
fn fields_in(sample: &str) -> BTreeSet<String> {
    let parts: Vec<&str> = sample.split('"').collect();
    let pairs = parts.windows(2).skip(1).step_by(2);
    let named = pairs.filter_map(|pair| match pair {
        [name, behind] if behind.trim_start().starts_with(':') => Some(*name),
        _ => None,
    });
    let current = |name: &str| RENAMED.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new).to_owned();
    named.map(current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_samples_are_found_also_where_they_are_no_json() {
        let sample = "{ \"sid\": \"CA1\", \"formatted_to\": null, \"uris\": {\"a\":\"b: c\" }\n \"beta\": false, ... }";
        let found: Vec<String> = fields_in(sample).into_iter().collect();
        assert_eq!(found, ["a", "beta", "sid", "to_formatted", "uris"]);
    }

    #[test]
    fn sample_sids_become_the_edge_s_own() {
        let samples = Samples {
            call: "CAown".into(),
            number: "PNown".into(),
            key: "SKown".into(),
            recording: "REown".into(),
            transcription: "TRown".into(),
            conference: "CFown".into(),
            queue: "QUown".into(),
        };
        let text = "client.calls(\"CA42ed11f93dc08b952027ffbc406d0868\").fetch() // CAlled 'PN2a0747eba6abf96b7e3c3ff0b4530f6e'";
        assert_eq!(with_own_sids(text, &samples), "client.calls(\"CAown\").fetch() // CAlled 'PNown'");
    }
}
