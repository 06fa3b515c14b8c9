//! Output of `--json` and responses of `/v1/…`, compared with docs/reference/json.md: each field is documented, `null`
//! appears only if documented, and the examples of the page conform.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread::JoinHandle;

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::{Process, closed_address, config, finish, until, write};
use regex::Regex;
use serde_json::Value;

/// Documentation of a field.
#[derive(Debug, Clone)]
struct Field {
    /// Content of the field's type cell.
    kind: String,
    /// Section that describes the fields of the value, if there is one.
    of: Option<String>,
}

type Section = BTreeMap<String, Field>;

/// Documentation page, with the fields seen so far.
struct Page {
    sections: BTreeMap<String, Section>,
    wrong: BTreeSet<String>,
    seen: BTreeSet<String>,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Returns the rows of the field tables in a text.
fn rows(text: &str) -> Section {
    let row = Regex::new(r"(?m)^\| (`[^|]+`) \| ([^|]+) \|").unwrap();
    let (name, link) = (Regex::new(r"`([\w.]+)`").unwrap(), Regex::new(r"\]\(#([\w-]+)\)").unwrap());
    let mut section = Section::new();
    for row in row.captures_iter(text) {
        let of = link.captures(&row[2]).map(|link| link[1].replace('-', " "));
        for name in name.captures_iter(&row[1]) {
            let field = Field { kind: row[2].to_owned(), of: of.clone() };
            assert!(section.insert(name[1].to_owned(), field).is_none(), "{} stands twice", &name[1]);
        }
    }
    section
}

impl Page {
    fn new() -> Page {
        let text = read("docs/reference/json.md");
        let parts = text.split("\n## ").skip(1).map(|part| part.split_once('\n').unwrap());
        let mut sections: BTreeMap<String, Section> =
            parts.map(|(title, part)| (title.to_lowercase(), rows(part))).collect();
        // Calls and their legs are documented with call records.
        let records = read("docs/reference/call-records.md");
        let fields = records.split_once("\n## Fields\n").unwrap().1.split("\n## ").next().unwrap();
        let (call, leg) = fields.split_once("\nOf each leg:\n").unwrap();
        for (title, more) in [("call", call), ("leg", leg)] {
            let section = sections.get_mut(title).unwrap();
            for (name, field) in rows(more) {
                section.entry(name).or_insert(field);
            }
        }
        Page { sections, wrong: BTreeSet::new(), seen: BTreeSet::new() }
    }

    /// Checks an answer against the section that describes it.
    fn hold(&mut self, section: &str, answer: &Value) {
        assert!(answer.is_object() || answer.is_array(), "{section}: {answer}");
        assert!(answer.get("error").is_none(), "{section}: {answer}");
        self.walk(section, "", answer);
    }

    fn walk(&mut self, section: &str, path: &str, value: &Value) {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Array(all) => return all.iter().for_each(|one| self.walk(section, path, one)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
        };
        for (name, value) in fields {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let known = self.sections.get(section).unwrap_or_else(|| panic!("no section {section}"));
            let Some(Field { kind, of }) = known.get(&path).cloned() else {
                self.wrong.insert(format!("{section}: `{path}` is not in the page"));
                continue;
            };
            self.seen.insert(format!("{section}: {path}"));
            if value.is_null() && !kind.contains("null") && kind != "anything" {
                self.wrong.insert(format!("{section}: `{path}` is null, the page says {kind}"));
            }
            match of {
                Some(of) => self.walk(&of, "", value),
                None if kind.starts_with("map of ") || kind == "anything" => {}
                None => self.walk(section, &path, value),
            }
        }
    }

    /// Fails with all mismatches, or if fewer than `least` fields were checked.
    fn end(&self, least: usize) {
        assert!(self.wrong.is_empty(), "docs/reference/json.md: {:#?}", self.wrong);
        assert!(self.seen.len() >= least, "only {} fields were seen: {:#?}", self.seen.len(), self.seen);
    }
}

/// Checks the edge's trunks, agents and problems against the page, for tests that have some.
pub(crate) fn assert_documented(edge: &Process) {
    let mut page = Page::new();
    page.hold("status", &edge.json("/v1/status"));
    page.hold("trunk", &edge.json("/v1/trunks")["trunks"]);
    page.hold("agent", &edge.json("/v1/agents")["agents"]);
    page.hold("call", &edge.json("/v1/calls")["calls"]);
    page.end(0);
}

/// Checks an answer against a section of the page, for tests with their own answers.
pub(crate) fn assert_section_documented(section: &str, answer: &Value) {
    let mut page = Page::new();
    page.hold(section, answer);
    page.end(0);
}

/// Returns the output of a command, whichever exit code it has.
fn printed(arguments: &[&str]) -> Value {
    let output = finish(arguments);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Answers a call as the callee, until the caller hangs up.
fn answers(callee: Phone) -> JoinHandle<Phone> {
    std::thread::spawn(move || {
        let (invite, from) = callee.sip.receive("INVITE ");
        callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &callee.description(1, "")));
        callee.sip.receive("ACK ");
        let (bye, from) = callee.sip.receive("BYE ");
        callee.sip.send(from, &callee.sip.answer(&bye, "200 OK", false));
        callee
    })
}

#[test]
fn examples_of_the_page_have_its_fields() {
    let (text, mut page) = (read("docs/reference/json.md"), Page::new());
    let mut count = 0;
    for part in text.split("\n## ").skip(1) {
        let title = part.lines().next().unwrap().to_lowercase();
        for example in part.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let example = serde_json::from_str(example).unwrap_or_else(|error| panic!("{title}: {error}"));
            page.hold(&title, &example);
            count += 1;
        }
    }
    assert!(count >= 12, "{count} examples");
    page.end(120);
}

#[test]
fn what_a_running_edge_answers_is_in_the_page() {
    let mut page = Page::new();
    let closed = closed_address();
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.2"));
    let edge = Process::start(&config(&format!(
        "[cdr]\nfile = \"cdr.jsonl\"\n{}deny = [\"+881*\"]\n{}[agent.bot]\nurl = \"ws://{closed}/\"\n\
         [[route]]\nfrom = [\"carrier\"]\nto = [\"+1*\"]\nconnect = [\"agent:bot\", \"trunk:pbx\"]\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:carrier\"]\n",
        caller.trunk("carrier"),
        callee.trunk("pbx") + "max_calls = 1\npace = \"0s\"\n",
    )));
    let url = edge.url();
    let call = Call::set_up(&edge, "one", &caller, &callee);
    // One call is refused by a limit, and one comes from an unknown source.
    let refused =
        caller.sip.request_with("INVITE", "+14155550124", call.sip, "two", (1, ""), &caller.description(1, ""));
    caller.sip.send(call.sip, &refused);
    caller.sip.receive("SIP/2.0 5");
    let stranger = Phone::new("127.0.0.9");
    stranger.sip.send(call.sip, &stranger.sip.request("OPTIONS", NUMBER, call.sip, "three", 1, ""));
    until("the stranger is counted", || edge.json("/v1/security")["unknown"].is_object().then_some(()));

    let lists = [
        ("status", "status", ""),
        ("trunks", "trunk", "trunks"),
        ("agents", "agent", "agents"),
        ("calls", "call", "calls"),
        ("calls?limit=0&summary=true", "calls", ""),
        ("routes", "route", "routes"),
        ("security", "security", ""),
        ("why?from=carrier&called=%2B14155550123&caller=", "why", ""),
        ("why?from=carrier&called=%2B88155550123&caller=", "why", ""),
        ("why?from=api&called=%2B14155550123&caller=", "why", ""),
    ];
    for (path, section, list) in lists {
        let answer = edge.json(&format!("/v1/{path}"));
        let all = if list.is_empty() { &answer } else { &answer[list] };
        page.hold(section, all);
    }
    page.hold("summary", &edge.json("/v1/calls?limit=0&summary=true")["summary"]);
    let sid = edge.json("/v1/calls?state=answered")["calls"][0]["sid"].as_str().unwrap().to_owned();
    for (path, section) in [("", "call"), ("/trace", "trace"), ("/trace?raw=true", "trace"), ("/quality", "quality")] {
        page.hold(section, &edge.json(&format!("/v1/calls/{sid}{path}")));
    }
    for (verb, section) in [
        (&["status"][..], "status"),
        (&["calls", "show", &sid], "call"),
        (&["trace", &sid], "trace"),
        (&["why", "--from", "carrier", "--called", NUMBER], "why"),
        (&["reload"], "reload"),
        (&["drain"], "drain"),
        (&["drain", "--undo"], "drain"),
    ] {
        page.hold(section, &printed(&[verb, &["--json", "--url", &url]].concat()));
    }
    assert_eq!(edge.get("/readyz").0, 200, "--undo with --json takes calls again");
    call.hang_up(2, &caller, &callee);
    let ended = until("the call is over", || {
        let call = edge.json(&format!("/v1/calls/{sid}"));
        (call["state"] == "ended").then_some(call)
    });
    page.hold("call", &ended);
    page.hold("trace", &edge.json(&format!("/v1/calls/{sid}/trace")));
    let records = until("both records are written", || {
        let text = std::fs::read_to_string(edge.directory.path().join("cdr.jsonl")).ok()?;
        (text.lines().count() == 2).then_some(text)
    });
    records.lines().for_each(|line| page.hold("call", &serde_json::from_str(line).unwrap()));
    page.end(150);
}

#[test]
fn what_verbs_print_without_an_edge_is_in_the_page() {
    let mut page = Page::new();
    let (_directory, bad) = write("[edge]\ncountri = \"US\"\n[trunk.a]\npeers = [\"sip:127.0.0.1\"]\n");
    let bad = bad.to_str().unwrap();
    page.hold("diagnostic", &printed(&["--config", bad, "check", "--json"]));

    let callee = Phone::new("127.0.0.2");
    let text = config(&format!(
        "[trunk.tester]\naccept_from = [\"127.0.0.1/32\"]\nmax_calls = 9\n{}[agent.bot]\nurl = \"ws://127.0.0.1:9/\"\n\
         [[route]]\nfrom = [\"tester\"]\nto = [\"+1*\"]\nconnect = [\"trunk:pbx\", \"agent:bot\", \"reject:480\"]\norder = \"asr\"\n",
        callee.trunk("pbx"),
    ));
    let edge = Process::start(&text);
    let file = edge.file.to_str().unwrap();
    page.hold("finding", &printed(&["--config", file, "doctor", "--json", "--only", "machine"]));
    page.hold("why", &printed(&["--config", file, "why", "--from", "127.0.0.1", "--called", NUMBER, "--json"]));
    for preset in printed(&["preset", "list", "--json"]).as_array().unwrap() {
        let name = preset["name"].as_str().unwrap();
        page.hold("preset", &printed(&["preset", "show", name, "--json"]));
    }
    let (_directory, changed) = write(
        "[trunk.a]\npreset = \"carrier\"\npeers = [\"sip:127.0.0.1\"]\ndtmf = \"info\"\n[[route]]\nconnect = [\"trunk:a\"]\n",
    );
    let told = printed(&["--config", changed.to_str().unwrap(), "preset", "diff", "carrier", "--json"]);
    assert_eq!(
        (&told["trunks"][0]["changed"][0]["key"], &told["trunks"][0]["changed"][0]["line"]),
        (&"dtmf".into(), &4.into())
    );
    page.hold("preset diff", &told);

    let far = answers(callee);
    let uri = format!("sip:{NUMBER}@{}", edge.address("udp"));
    let told = printed(&["call", &uri, "--duration", "500ms", "--json"]);
    assert_eq!(told["answered"], true, "{told:#}");
    assert_eq!((&told["trace"][0]["text"], &told["trace"][0]["received"]), (&"INVITE".into(), &true.into()));
    page.hold("test call", &told);
    far.join().unwrap();
    let nobody = closed_address();
    page.hold(
        "test call",
        &printed(&["call", &format!("sip:1@{nobody};transport=tcp"), "--ring-timeout", "1s", "--json"]),
    );

    page.hold("load test", &printed(&["loadtest", "--calls", "1", "--cps", "1", "--duration", "1s", "--json"]));
    page.hold("agent test", &printed(&["agent", "test", &format!("ws://{nobody}/"), "--times", "1", "--json"]));
    page.end(120);
}
