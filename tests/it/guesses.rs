//! Failed authentications over HTTP, through the real binary: they are slowed down, and they lock out no valid client.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::IpAddr;

use crate::support::{Process, config, http, http_with_headers};
use crate::twilio_api::{SID, TOKEN, authorization};

const LONG: &str = "of-the-operator-of-this-edge";
const SHORT: &str = "open sesame";

/// Starts an edge with a token of the HTTP API and further keys of `[http]`.
fn edge(token: &str, http: &str, rest: &str) -> Process {
    Process::start(&config(rest).replace("[http]\n", &format!("[http]\ntoken = \"{token}\"\n{http}")))
}

/// Requests `/v1/status` with a token, optionally with X-Forwarded-For `client`; returns the status code.
fn status(edge: &Process, token: &str, client: Option<&str>) -> u16 {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(client.map(|client| ("x-forwarded-for", client)));
    http("GET", &format!("{}/v1/status", edge.url()), &headers, "").0
}

fn guess(edge: &Process, times: usize, client: Option<&str>) -> Vec<u16> {
    (0..times).map(|_| status(edge, "wrong", client)).collect()
}

/// Returns the sources of failed authentications listed by `/v1/security`.
fn sources(edge: &Process, token: &str) -> Vec<IpAddr> {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", "198.51.100.200")];
    let (code, text) = http("GET", &format!("{}/v1/security", edge.url()), &headers, "");
    assert_eq!(code, 200, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    let listed = answer["wrong_http_credentials"].as_array().unwrap().clone();
    listed.iter().map(|one| one["source"].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn strangers_with_wrong_tokens_lock_the_right_one_out_of_nothing() {
    let edge = edge(LONG, "", &format!("[api]\naccount_sid = \"{SID}\"\nauth_token = \"{TOKEN}\"\n"));
    assert_eq!(guess(&edge, 12, None), [[401; 10].as_slice(), &[429; 2]].concat());
    let url = format!("{}/v1/status", edge.url());
    let (code, headers, text) = http_with_headers("GET", &url, &[("authorization", "Bearer x")], "");
    assert!(code == 429 && text.contains("\"too_many_requests\""), "{text}");
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(status(&edge, LONG, None), 200);
    assert_eq!(http("GET", &url, &[], "").0, 401, "a request without a token asks for one");

    let account = format!("{}/2010-04-01/Accounts/{SID}.json", edge.url());
    let ask = |user: &str, password: &str| {
        let (name, value) = authorization(user, password);
        http("GET", &account, &[(name, value.as_str())], "").0
    };
    let codes: Vec<u16> = (0..11).map(|_| ask(SID, "wrong")).collect();
    assert_eq!(codes, [[401; 10].as_slice(), &[429]].concat());
    assert_eq!((ask("AC1", "wrong"), ask(SID, TOKEN)), (401, 200));
    assert!(edge.log().contains("HTTP API: 10 requests with wrong credentials in a minute"), "{}", edge.log());
}

#[test]
fn a_token_that_could_be_found_by_trying_waits_with_the_wrong_ones() {
    let edge = edge(SHORT, "", "");
    assert_eq!(status(&edge, SHORT, None), 200);
    assert_eq!(guess(&edge, 10, None), [401; 10]);
    assert_eq!(status(&edge, SHORT, None), 429);
}

#[test]
fn behind_a_trusted_proxy_each_client_is_counted_by_itself() {
    let edge = edge(SHORT, "trusted_proxies = [\"127.0.0.1\"]\n", "");
    // Addresses that the client has written precede those that the proxy adds.
    assert_eq!(guess(&edge, 11, Some("198.51.100.1, 192.0.2.7")), [[401; 10].as_slice(), &[429]].concat());
    assert_eq!(status(&edge, SHORT, Some("192.0.2.7")), 429);
    assert_eq!(status(&edge, SHORT, Some("192.0.2.8")), 200, "another client of the proxy");
    assert_eq!(sources(&edge, SHORT), [IpAddr::from([192, 0, 2, 7])]);
}

#[test]
fn from_elsewhere_the_header_of_a_proxy_is_not_believed() {
    let edge = edge(SHORT, "trusted_proxies = \"192.0.2.1\"\n", "");
    let codes: Vec<u16> = (0..11).map(|n| status(&edge, "wrong", Some(&format!("203.0.113.{n}")))).collect();
    assert_eq!(codes, [[401; 10].as_slice(), &[429]].concat(), "a client that names another address each time is one");
    assert_eq!(status(&edge, SHORT, Some("203.0.113.99")), 429);
}

#[test]
fn wrong_tokens_of_a_message_service_are_slowed_down_too() {
    let edge = edge(LONG, "", "[messages]\ntoken = \"of-the-message-service\"\n");
    let post = |token: &str| {
        let bearer = format!("Bearer {token}");
        http("POST", &format!("{}/sms/status", edge.url()), &[("authorization", &bearer)], "").0
    };
    let codes: Vec<u16> = (0..11).map(|_| post("wrong")).collect();
    assert_eq!(codes, [[403; 10].as_slice(), &[429]].concat());
    assert!(![403, 429].contains(&post("of-the-message-service")), "the right one passes");
    assert_eq!(status(&edge, "wrong", None), 401, "they are another account's");
}
