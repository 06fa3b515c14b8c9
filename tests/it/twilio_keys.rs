//! Keys of the Twilio-compatible API, which `twilio login` creates and programs use for authentication.

use serde_json::{Value, json};

use crate::twilio_api::{Rig, assert_shape};

fn text(json: &Value, field: &str) -> String {
    json[field].as_str().unwrap_or_else(|| panic!("{field}: {json}")).to_owned()
}

/// Creates an API key; returns its SID and its secret.
fn create(rig: &Rig, name: &str) -> (String, String) {
    let (status, made) = rig.ask("POST", "Keys.json", &format!("FriendlyName={name}"));
    assert_eq!((status, &made["friendly_name"]), (201, &json!(name)));
    let (sid, secret) = (text(&made, "sid"), text(&made, "secret"));
    assert!(sid.starts_with("SK") && sid.len() == 34 && secret.len() == 32, "{made}");
    assert!(text(&made, "date_created").ends_with(" +0000"), "{made}");
    (sid, secret)
}

#[test]
fn a_key_opens_the_api_until_it_is_deleted_and_survives_a_restart() {
    let rig = Rig::new("");
    let (sid, secret) = create(&rig, "cli");
    let status = |rig: &Rig, secret: &str| rig.ask_as((&sid, secret), "GET", "Calls.json", "").0;
    assert_eq!((status(&rig, &secret), status(&rig, "wrong")), (200, 401));
    let rig = rig.restart();
    assert_eq!(status(&rig, &secret), 200);
    let key = format!("Keys/{sid}.json");
    let shown = rig.get(&key);
    assert_eq!((&shown["sid"], shown.as_object().unwrap().len()), (&json!(sid), 4), "without the secret: {shown}");
    let renamed = rig.post(&key, "FriendlyName=laptop");
    assert_eq!((&renamed["friendly_name"], &rig.get(&key)), (&json!("laptop"), &renamed));
    assert_eq!(rig.ask("DELETE", &key, ""), (204, Value::Null));
    assert_eq!((status(&rig, &secret), rig.refused("GET", &key, "")), (401, (404, 20_404)));
    let log = rig.edge.whole_log();
    assert!(!log.contains(&secret) && log.contains(&format!("API key {sid} deleted")), "{log}");
    let rig = rig.restart();
    assert_eq!(status(&rig, &secret), 401);
}

#[test]
fn api_keys_manage_no_keys() {
    let rig = Rig::new("");
    assert_eq!(rig.get("Keys.json")["keys"], json!([]));
    let made: Vec<(String, String)> = ["a", "b", "c"].map(|name| create(&rig, name)).into();
    let (mut listed, mut next) = (Vec::new(), Some("Keys.json?PageSize=2".to_owned()));
    while let Some(path) = next {
        let page = rig.get(&path);
        listed.extend(page["keys"].as_array().unwrap().iter().map(|key| text(key, "sid")));
        next = page["next_page_uri"].as_str().map(str::to_owned);
    }
    listed.sort();
    let mut sids: Vec<String> = made.iter().map(|(sid, _)| sid.clone()).collect();
    sids.sort();
    assert_eq!(listed, sids);
    let (sid, secret) = &made[0];
    let of_it = format!("Keys/{sid}.json");
    for (method, path) in [
        ("POST", "Keys.json"),
        ("GET", "Keys.json"),
        ("DELETE", of_it.as_str()),
        ("GET", "/2010-04-01/Accounts.json"),
        ("GET", &format!("/2010-04-01/Accounts/{}.json", crate::twilio_api::SID)),
    ] {
        let (status, answer) = rig.ask_as((sid, secret), method, path, "");
        assert_shape(status, &answer);
        assert_eq!((status, &answer["code"]), (401, &json!(20_003)), "{method} {path}");
    }
    assert_eq!(rig.ask_as((sid, secret), "GET", "IncomingPhoneNumbers.json", "").0, 200, "these were no failures");
    let long = format!("FriendlyName={}", "x".repeat(65));
    for (method, path, body, expected) in [
        ("POST", "Keys.json", long.as_str(), (400, 20_001)),
        ("POST", "Keys.json", "Recording=x", (400, 20_001)),
        ("PUT", "Keys.json", "", (405, 20_004)),
        ("DELETE", "Keys/SK0.json", "", (404, 20_404)),
        ("GET", "Keys/SK0/More.json", "", (404, 20_404)),
    ] {
        assert_eq!(rig.refused(method, path, body), expected, "{method} {path}");
    }
}
