//! Twilio-compatible API over real sockets: authentication, resources of calls and numbers, and ending of calls.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::calls::{Call, NUMBER, Phone};
use crate::support::{PATIENCE, Process, config, http, http_with_headers, until};

pub(crate) const SID: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Edge with the API, between a carrier and a PBX.
pub(crate) struct Rig {
    pub(crate) caller: Phone,
    pub(crate) callee: Phone,
    pub(crate) edge: Process,
}

impl Rig {
    pub(crate) fn new(rest: &str) -> Rig {
        Rig::with("", rest)
    }

    /// Starts an edge with further keys of `[http]`, and further tables.
    pub(crate) fn with(http: &str, rest: &str) -> Rig {
        let [caller, callee] = [(); 2].map(|()| Phone::new("127.0.0.1"));
        let trunks = caller.trunk("carrier") + &callee.trunk("pbx");
        let edge = Process::start(&config(&format!(
            "{http}{trunks}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n\
             [api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\n{rest}"
        )));
        Rig { caller, callee, edge }
    }

    /// Restarts the edge as after a crash, with the same file and store.
    pub(crate) fn restart(self) -> Rig {
        Rig { edge: self.edge.kill_and_start_again(), ..self }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        ask(&self.edge, method, path, body)
    }

    /// Sends a request to the API with these credentials.
    pub(crate) fn ask_as(&self, by: (&str, &str), method: &str, path: &str, body: &str) -> (u16, Value) {
        ask_as(&self.edge, by, (method, path), body)
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        fetched(&self.edge, path)
    }

    /// Posts a form to the API, which must succeed.
    pub(crate) fn post(&self, path: &str, body: &str) -> Value {
        posted(&self.edge, path, body)
    }

    pub(crate) fn refused(&self, method: &str, path: &str, body: &str) -> (u16, u64) {
        refused(&self.edge, method, path, body)
    }
}

/// Sends a request with the credentials of the account; `path` is below the account unless it begins with a slash.
pub(crate) fn ask(edge: &Process, method: &str, path: &str, body: &str) -> (u16, Value) {
    ask_as(edge, (SID, TOKEN), (method, path), body)
}

/// Sends a request with these credentials; an empty response body counts as `null`.
fn ask_as(edge: &Process, by: (&str, &str), (method, path): (&str, &str), body: &str) -> (u16, Value) {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/2010-04-01/Accounts/{SID}/{path}") };
    let headers = [authorization(by.0, by.1), ("content-type", "application/x-www-form-urlencoded".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (status, answer) = http(method, &format!("{}{path}", edge.url()), &headers, body);
    let json = if answer.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&answer) };
    (status, json.unwrap_or_else(|_| panic!("{method} {path}: {answer}")))
}

/// Returns a resource, which must exist.
pub(crate) fn fetched(edge: &Process, path: &str) -> Value {
    let (status, answer) = ask(edge, "GET", path, "");
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Posts a form, which must succeed; returns the response.
pub(crate) fn posted(edge: &Process, path: &str, body: &str) -> Value {
    let (status, answer) = ask(edge, "POST", path, body);
    assert!(matches!(status, 200 | 201), "{path}: {answer}");
    answer
}

/// Returns the status and code of an error, after checking that it has Twilio's format.
pub(crate) fn refused(edge: &Process, method: &str, path: &str, body: &str) -> (u16, u64) {
    let (status, answer) = ask(edge, method, path, body);
    assert_shape(status, &answer);
    (status, answer["code"].as_u64().unwrap())
}

pub(crate) fn authorization(user: &str, password: &str) -> (&'static str, String) {
    ("authorization", format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

pub(crate) fn assert_shape(status: u16, answer: &Value) {
    let code = answer["code"].as_u64().unwrap();
    assert_eq!(answer["status"], status, "{answer}");
    assert_eq!(answer["more_info"], format!("https://www.twilio.com/docs/errors/{code}"), "{answer}");
    assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    assert_eq!(answer.as_object().unwrap().len(), 4, "{answer}");
}

#[test]
fn only_the_account_with_its_token_is_let_in() {
    let rig = Rig::new("");
    let path = format!("/2010-04-01/Accounts/{SID}.json");
    let account = rig.get(&path);
    assert_eq!(
        (&account["sid"], &account["status"], &account["type"]),
        (&json!(SID), &json!("active"), &json!("Full"))
    );
    assert_eq!((&account["friendly_name"], &account["auth_token"]), (&json!("under-test"), &Value::Null));
    assert_eq!(rig.get("/2010-04-01/Accounts.json")["accounts"], json!([account]));
    let url = format!("{}{path}", rig.edge.url());
    let (status, headers, answer) = http_with_headers("GET", &url, &[], "");
    assert_eq!((status, headers["www-authenticate"].to_str().unwrap()), (401, "Basic realm=\"Twilio-compatible API\""));
    assert_shape(status, &serde_json::from_str(&answer).unwrap());
    let (name, wrong) = authorization(SID, "wrong");
    let codes: Vec<u16> = (0..12).map(|_| http("GET", &url, &[(name, wrong.as_str())], "").0).collect();
    assert_eq!(codes, [[401; 10].as_slice(), &[429; 2]].concat(), "ten failures a minute");
    let (status, answer) = rig.ask_as((SID, "wrong"), "GET", &path, "");
    assert_shape(status, &answer);
    assert_eq!((status, &answer["code"]), (429, &json!(20_429)));
    assert_eq!(rig.get(&path)["sid"], json!(SID), "the right one passes, from there too");
    assert!(!rig.edge.whole_log().contains(TOKEN), "{}", rig.edge.log());
}

#[test]
fn a_page_of_another_site_and_a_closed_api_are_refused_in_the_same_shape() {
    let rig = Rig::new("");
    let (name, right) = authorization(SID, TOKEN);
    let headers = [(name, right.as_str()), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")];
    let url = format!("{}/2010-04-01/Accounts/{SID}/Calls.json", rig.edge.url());
    let (status, answer) = http("GET", &url, &headers, "");
    assert_eq!(status, 403);
    assert_shape(status, &serde_json::from_str(&answer).unwrap());
    let closed =
        Process::start(&config("[trunk.a]\npeers = [\"sip:127.0.0.1:9\"]\n[[route]]\nconnect = [\"trunk:a\"]\n"));
    let (status, answer) = http("GET", &format!("{}/2010-04-01/Accounts.json", closed.url()), &[(name, &right)], "");
    assert!(status == 401 && answer.contains("set `auth_token` in [api]"), "{answer}");
}

#[test]
fn numbers_are_found_and_fields_of_newer_libraries_are_there() {
    let rig = Rig::new(&format!("[[number]]\nnumber = \"{NUMBER}\"\nname = \"Front desk\"\n"));
    let _call = Call::set_up(&rig.edge, "first", &rig.caller, &rig.callee);
    let number = &rig.get("IncomingPhoneNumbers.json")["incoming_phone_numbers"][0];
    let call = rig.get(&format!("Calls/{}.json", rig.edge.sid()));
    assert_eq!([number.get("type"), call.get("stir_verstat")], [Some(&Value::Null); 2], "{number} {call}");
    for (filter, found) in [("PhoneNumber=%2B19995550100", 0), ("PhoneNumber=none", 0), ("FriendlyName=Front+desk", 1)]
    {
        let numbers = rig.get(&format!("IncomingPhoneNumbers.json?{filter}"));
        assert_eq!(numbers["incoming_phone_numbers"].as_array().unwrap().len(), found, "{filter}");
    }
}

#[test]
fn a_call_is_shown_listed_and_ended() {
    let rig = Rig::new(&format!("[[number]]\nnumber = \"{NUMBER}\"\nname = \"Front desk\"\n"));
    let call = Call::set_up(&rig.edge, "first", &rig.caller, &rig.callee);
    let sid = rig.edge.sid();
    let shown = rig.get(&format!("Calls/{sid}.json"));
    for (field, value) in [
        ("sid", json!(sid)),
        ("account_sid", json!(SID)),
        ("status", json!("in-progress")),
        ("direction", json!("inbound")),
        ("to", json!(NUMBER)),
        ("api_version", json!("2010-04-01")),
        ("duration", Value::Null),
        ("end_time", Value::Null),
        ("price", Value::Null),
        ("parent_call_sid", Value::Null),
        ("uri", json!(format!("/2010-04-01/Accounts/{SID}/Calls/{sid}.json"))),
    ] {
        assert_eq!(shown[field], value, "{field}: {shown}");
    }
    assert!(shown["start_time"].as_str().unwrap().ends_with(" +0000"), "{shown}");
    let numbers = rig.get("IncomingPhoneNumbers.json?PhoneNumber=%2B1415");
    let number = &numbers["incoming_phone_numbers"][0];
    assert_eq!((&number["phone_number"], &number["friendly_name"]), (&json!(NUMBER), &json!("Front desk")));
    assert_eq!(shown["phone_number_sid"], number["sid"]);
    assert_eq!(rig.get(&format!("IncomingPhoneNumbers/{}.json", number["sid"].as_str().unwrap())), *number);
    // The called party is listed.
    let listed = rig.get("Calls.json");
    let calls = listed["calls"].as_array().unwrap();
    assert_eq!((calls.len(), &listed["next_page_uri"]), (2, &Value::Null));
    let party = calls.iter().find(|one| one["sid"] != json!(sid)).unwrap();
    assert_eq!((&party["parent_call_sid"], &party["direction"]), (&json!(sid), &json!("outbound-dial")));
    assert_eq!(rig.get(&format!("Calls/{}.json", party["sid"].as_str().unwrap())), *party);
    // `canceled` does not affect an answered call; the next request ends it.
    assert_eq!(rig.refused("DELETE", &format!("Calls/{sid}.json"), ""), (409, 20_009));
    let (status, same) = rig.ask("POST", &format!("Calls/{sid}.json"), "Status=canceled");
    assert_eq!((status, &same["status"]), (200, &json!("in-progress")));
    assert_eq!(rig.post(&format!("Calls/{sid}.json"), ""), same, "GoAlert fetches calls by POST");
    let (status, ended) = rig.ask("POST", &format!("Calls/{sid}.json"), "Status=completed");
    assert_eq!((status, &ended["sid"]), (200, &json!(sid)));
    for phone in [&rig.caller, &rig.callee] {
        let (bye, from) = phone.sip.receive("BYE ");
        phone.sip.send(from, &phone.sip.answer(&bye, "200 OK", false));
    }
    let shown = until("it has ended", || {
        Some(rig.get(&format!("Calls/{sid}.json"))).filter(|call| call["status"] == "completed")
    });
    assert!(shown["end_time"].is_string() && shown["duration"].as_str().unwrap().parse::<u32>().is_ok(), "{shown}");
    assert_eq!(rig.refused("POST", &format!("Calls/{sid}.json"), "Status=completed"), (400, 21_220));
    assert_eq!(rig.post(&format!("Calls/{sid}.json"), "")["status"], "completed");
    // A deleted call and its parties are in no list, also after a restart.
    let (one, of_party) = (format!("Calls/{sid}.json"), format!("Calls/{}.json", party["sid"].as_str().unwrap()));
    assert_eq!(rig.refused("DELETE", &of_party, ""), (501, 20_501));
    let delete = |rig: &Rig| {
        let (name, right) = authorization(SID, TOKEN);
        let url = format!("{}/2010-04-01/Accounts/{SID}/{one}", rig.edge.url());
        http("DELETE", &url, &[(name, right.as_str())], "").0
    };
    assert_eq!(delete(&rig), 204);
    let is_gone = |rig: &Rig| {
        assert_eq!(rig.get("Calls.json")["calls"], json!([]));
        assert_eq!((rig.refused("GET", &one, ""), delete(rig)), ((404, 20_404), 404));
        assert_eq!(rig.refused("GET", &of_party, ""), (404, 20_404));
    };
    is_gone(&rig);
    drop(call);
    is_gone(&rig.restart());
}

#[test]
fn calls_are_filtered_and_come_in_pages() {
    let rig = Rig::new("");
    for n in 0..3 {
        let call = Call::set_up(&rig.edge, &format!("call-{n}"), &rig.caller, &rig.callee);
        call.hang_up(2, &rig.caller, &rig.callee);
    }
    let sids = |query: &str| -> Vec<String> {
        let (mut sids, mut next) = (Vec::new(), Some(format!("Calls.json?{query}")));
        while let Some(path) = next {
            let page = rig.get(&path);
            let calls = page["calls"].as_array().unwrap();
            assert!(calls.len() <= page["page_size"].as_u64().unwrap() as usize);
            sids.extend(calls.iter().map(|call| call["sid"].as_str().unwrap().to_owned()));
            next = page["next_page_uri"].as_str().map(str::to_owned);
        }
        sids
    };
    let all = sids("");
    assert_eq!(all.len(), 6, "three callers, three parties");
    assert_eq!(sids("PageSize=4"), all);
    assert_eq!(sids("PageSize=1"), all);
    assert_eq!(sids("Status=completed"), all);
    let number = NUMBER.trim_start_matches('+');
    assert_eq!(sids(&format!("To=%28{}%29+{}-{}", &number[1..4], &number[4..7], &number[7..])), all);
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    let parent = &rig.edge.json("/v1/calls")["calls"][0]["sid"];
    assert_eq!(sids(&format!("ParentCallSid={}", parent.as_str().unwrap())).len(), 1);
    for (query, found) in [
        (format!("StartTime%3E={today}"), 6),
        ("StartTime%3C=2026-01-01".to_owned(), 0),
        ("StartTime%3E=2126-01-01T00:00:00Z".to_owned(), 0),
        ("Status=busy".to_owned(), 0),
        ("From=%2B19995550100".to_owned(), 0),
    ] {
        assert_eq!(sids(&query).len(), found, "{query}");
    }
}

#[test]
fn what_cannot_be_answered_has_a_code() {
    let rig = Rig::new("");
    let unknown = format!("Calls/CA{}.json", "0".repeat(32));
    let other = format!("/2010-04-01/Accounts/AC{}/Calls.json", "0".repeat(32));
    for (method, path, body, expected) in [
        ("GET", unknown.as_str(), "", (404, 20_404)),
        ("POST", unknown.as_str(), "Status=completed", (404, 20_404)),
        ("GET", other.as_str(), "", (404, 20_404)),
        ("GET", "Nothing.json", "", (404, 20_404)),
        ("GET", "/2010-04-01", "", (404, 20_404)),
        ("GET", "/2010-04-01/", "", (404, 20_404)),
        ("PUT", "Calls.json", "", (405, 20_004)),
        ("POST", "/2010-04-01/Accounts.json", "", (405, 20_004)),
        ("GET", "Calls.json?Stattus=busy&TimeLimt=1", "", (400, 20_001)),
        ("GET", "Calls.json?Status=sleeping", "", (400, 20_001)),
        ("GET", "Calls.json?PageSize=0", "", (400, 20_001)),
        ("GET", "Calls.json?StartTime%3E=now", "", (400, 20_001)),
        ("POST", unknown.as_str(), "Url=https%3A%2F%2Fa.example%2F", (404, 20_404)),
        ("POST", unknown.as_str(), "TimeLimit=5", (404, 20_404)),
        ("POST", "Calls.json", "To=1", (400, 21_205)),
        ("GET", "Transcriptions/TR0.json", "", (404, 20_404)),
        ("DELETE", "Transcriptions/TR0.json", "", (404, 20_404)),
        ("POST", "Transcriptions.json", "", (405, 20_004)),
        ("GET", "Applications.json", "", (501, 20_501)),
        ("GET", "AvailablePhoneNumbers/US/Local.json", "", (501, 20_501)),
        ("GET", "IncomingPhoneNumbers/PN0.json", "", (404, 20_404)),
        ("GET", "IncomingPhoneNumbers/Local.json", "", (501, 20_501)),
        ("GET", "IncomingPhoneNumbers/TollFree?PageSize=1", "", (501, 20_501)),
        ("POST", "IncomingPhoneNumbers/Mobile.json", "PhoneNumber=%2B14155550123", (501, 20_501)),
        ("PUT", "IncomingPhoneNumbers/Local.json", "", (501, 20_501)),
        ("POST", unknown.as_str(), &"x".repeat(70_000), (413, 20_413)),
    ] {
        assert_eq!(rig.refused(method, path, body), expected, "{method} {path}");
    }
}

#[test]
fn a_body_that_is_announced_as_too_large_is_refused_before_it_has_come() {
    let rig = Rig::new("");
    let (name, credentials) = authorization(SID, TOKEN);
    let begun = |more: &str| {
        let mut stream = TcpStream::connect(rig.edge.address("http")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /2010-04-01/Accounts/{SID}/Calls.json HTTP/1.1\r\nHost: localhost\r\n{name}: {credentials}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2000000\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        (stream, answer)
    };
    let (mut waiting, mut answer) = begun("Expect: 100-continue\r\n");
    waiting.read_to_string(&mut answer).expect("the edge closes, since nothing of the body comes");
    assert!(answer.contains("\"code\":20413"), "{answer}");
    // A client that sends its body anyway gets the response, and can then send another request.
    let (mut sending, mut answer) = begun("");
    sending.write_all(&vec![b'x'; 2_000_000]).unwrap();
    let again = format!(
        "GET /2010-04-01/Accounts/{SID}.json HTTP/1.1\r\nHost: localhost\r\n{name}: {credentials}\r\nConnection: close\r\n\r\n"
    );
    sending.write_all(again.as_bytes()).unwrap();
    sending.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"code\":20413") && answer.contains("HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn requests_come_at_the_configured_rate() {
    let rig = Rig::new("requests_per_second = 1\n");
    let codes: Vec<u16> = (0..5).map(|_| rig.ask("GET", "Calls.json", "").0).collect();
    assert!(codes[0] == 200 && codes[1..].contains(&429), "{codes:?}");
}

#[test]
fn calls_from_before_a_restart_are_listed_and_found() {
    let rig = Rig::new("[cdr]\nfile = \"cdr.jsonl\"\n");
    for n in 0..3 {
        let call = Call::set_up(&rig.edge, &format!("before-{n}"), &rig.caller, &rig.callee);
        call.hang_up(2, &rig.caller, &rig.callee);
    }
    until("all have ended", || {
        (rig.get("Calls.json?Status=completed")["calls"].as_array().unwrap().len() == 6).then_some(())
    });
    let before = rig.get("Calls.json");
    let Rig { caller, callee, edge } = rig;
    let mut rig = Rig { edge: edge.stop_and_start_again(), caller, callee };
    assert_eq!(rig.get("Calls.json")["calls"], before["calls"], "as before, field by field");
    for call in before["calls"].as_array().unwrap() {
        assert_eq!(rig.get(&format!("Calls/{}.json", call["sid"].as_str().unwrap())), *call);
    }
    let listed = rig.edge.json("/v1/calls?summary=true");
    assert_eq!((listed["calls"].as_array().unwrap().len(), &listed["summary"]["total"]), (3, &json!(3)), "{listed}");
    let sid = listed["calls"][0]["sid"].as_str().unwrap();
    assert_eq!(rig.edge.json(&format!("/v1/calls/{sid}")), listed["calls"][0]);
    assert_eq!(rig.refused("POST", &format!("Calls/{sid}.json"), "Status=completed"), (400, 21_220));
    // Calls from memory and from the store form one list.
    for n in 0..2 {
        let call = Call::set_up(&rig.edge, &format!("after-{n}"), &rig.caller, &rig.callee);
        call.hang_up(2, &rig.caller, &rig.callee);
    }
    let sids = |rig: &Rig, query: &str| -> Vec<String> {
        let (mut sids, mut next) = (Vec::new(), Some(format!("Calls.json?{query}")));
        while let Some(path) = next {
            let page = rig.get(&path);
            sids.extend(page["calls"].as_array().unwrap().iter().map(|call| call["sid"].as_str().unwrap().to_owned()));
            next = page["next_page_uri"].as_str().map(str::to_owned);
        }
        sids
    };
    let all = sids(&rig, "");
    let old = before["calls"].as_array().unwrap().iter().map(|call| call["sid"].as_str().unwrap());
    assert!(all.len() == 10 && old.eq(all[4..].iter()), "{all:?}");
    for size in [1, 3, 4, 7] {
        assert_eq!(sids(&rig, &format!("PageSize={size}")), all, "pages of {size}");
    }
    assert_eq!(sids(&rig, &format!("ParentCallSid={sid}")).len(), 1);
    assert_eq!(sids(&rig, "Status=in-progress").len(), 0);
    assert_eq!(sids(&rig, "Status=completed&PageSize=3"), all);
    assert_eq!(sids(&rig, "From=%2B19995550100").len(), 0);
    let began = before["calls"][2]["date_created"].as_str().unwrap();
    let began: jiff::Timestamp = jiff::fmt::rfc2822::parse(began).unwrap().timestamp();
    assert_eq!(sids(&rig, &format!("StartTime%3E={}", began - jiff::SignedDuration::from_secs(60))), all);
    assert_eq!(sids(&rig, &format!("StartTime%3C={}", began - jiff::SignedDuration::from_secs(60))).len(), 0);
    // A call that a crash has cut short has its record and its position in the list.
    let call = Call::set_up(&rig.edge, "cut", &rig.caller, &rig.callee);
    let cut = rig.edge.sid();
    let folder = rig.edge.file.parent().unwrap().to_owned();
    until("its answer is in the journal", || {
        journals(&folder).contains(&format!("{{\"answered\":\"{cut}\"")).then_some(())
    });
    let Rig { caller, callee, edge } = rig;
    rig = Rig { edge: edge.kill_and_start_again(), caller, callee };
    assert_eq!(rig.get(&format!("Calls/{cut}.json"))["status"], "completed");
    assert_eq!(sids(&rig, "PageSize=2").len(), 12);
    drop(call);
}

/// Returns the contents of all call journals in a folder and below it.
fn journals(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let read = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => journals(&path),
        Some(ending) if ending == "live" => std::fs::read_to_string(&path).unwrap_or_default(),
        Some(_) | None => String::new(),
    };
    entries.map(read).collect()
}

#[test]
fn without_a_time_to_keep_calls_a_restart_forgets_them() {
    let rig = Rig::new("keep_calls = \"0s\"\n");
    let call = Call::set_up(&rig.edge, "first", &rig.caller, &rig.callee);
    call.hang_up(2, &rig.caller, &rig.callee);
    let ended = || rig.get("Calls.json?Status=completed")["calls"].as_array().unwrap().clone();
    let ended = until("both calls have ended", || Some(ended()).filter(|calls| calls.len() == 2));
    let paths = ended.iter().map(|one| format!("Calls/{}.json", one["sid"].as_str().unwrap()));
    let paths: Vec<String> = paths.collect();
    for (path, one) in paths.iter().zip(&ended) {
        assert_eq!(rig.get(path), *one, "memory has it, also that of the party");
    }
    let Rig { caller, callee, edge } = rig;
    let rig = Rig { edge: edge.stop_and_start_again(), caller, callee };
    assert_eq!(rig.get("Calls.json")["calls"], json!([]));
    for path in &paths {
        assert_eq!(rig.refused("GET", path, ""), (404, 20_404));
    }
}
