//! Lookup through the real binary: by base URL, by the proxy and by the TLS listener, with the access of the API.

use serde_json::{Value, json};

use crate::support::http;
use crate::support::tls::tcp;
use crate::twilio_api::{Rig, SID, TOKEN, assert_shape, authorization};
use crate::twilio_compat::is_as_on_the_page;
use crate::twilio_proxy::{ask_absolute, basic, ca, connect, request, secure};

const NUMBER: &str = "+14159929960";

fn path(version: &str, number: &str) -> String {
    format!("/{version}/PhoneNumbers/{number}")
}

#[test]
fn a_number_has_country_and_formats_with_the_fields_of_the_page() {
    let rig = Rig::new("");
    let valid = rig.get(&path("v2", NUMBER));
    for (field, value) in [
        ("calling_country_code", json!("1")),
        ("country_code", json!("US")),
        ("phone_number", json!(NUMBER)),
        ("national_format", json!("(415) 992-9960")),
        ("valid", json!(true)),
        ("validation_errors", json!([])),
        ("url", json!(format!("https://lookups.twilio.com/v2/PhoneNumbers/{NUMBER}"))),
    ] {
        assert_eq!(valid[field], value, "{field}: {valid}");
    }
    for written in ["%2B14159929960", "%28415%29%20992-9960", "%2014159929960", "4159929960?CountryCode=CA"] {
        assert_eq!(rig.get(&path("v2", written)), valid, "{written}");
    }
    let (invalid, of_no_country) = (rig.get(&path("v2", "+141599299600")), rig.get(&path("v2", "+80012345678")));
    assert_eq!((&invalid["valid"], &invalid["phone_number"]), (&json!(false), &json!("+141599299600")));
    is_as_on_the_page("lookup, version 2", &[valid, invalid, of_no_country]);
    let british = rig.get(&path("v1", "02079460123?CountryCode=gb&Type="));
    assert_eq!((&british["country_code"], &british["phone_number"]), (&json!("GB"), &json!("+442079460123")));
    assert_eq!(british["url"], "https://lookups.twilio.com/v1/PhoneNumbers/+442079460123");
    is_as_on_the_page("lookup, version 1", &[british, rig.get(&path("v1", "+80012345678"))]);
}

#[test]
fn what_is_no_valid_number_has_a_reason_and_paid_data_are_refused() {
    let rig = Rig::new("");
    for (number, reason) in [
        ("+1415", "TOO_SHORT"),
        ("+141599299600", "TOO_LONG"),
        ("+19995551234", "INVALID_BUT_POSSIBLE"),
        ("+999123456789", "INVALID_COUNTRY_CODE"),
        ("alice", "NOT_A_NUMBER"),
        ("%00", "NOT_A_NUMBER"),
        ("a/b", "NOT_A_NUMBER"),
    ] {
        let found = rig.get(&path("v2", number));
        assert_eq!(found["validation_errors"], json!([reason]), "{number}");
        assert_eq!(rig.refused("GET", &path("v1", number), ""), (404, 20_404), "{number}");
    }
    for (method, version, query, expected) in [
        ("GET", "v1", "?Type=carrier", (501, 20_501)),
        ("GET", "v1", "?Type=caller-name&Type=carrier", (501, 20_501)),
        ("GET", "v1", "?AddOns=nomorobo_spamscore", (501, 20_501)),
        ("GET", "v2", "?Fields=line_type_intelligence", (501, 20_501)),
        ("GET", "v2", "?Fields=validation,sim_swap", (501, 20_501)),
        ("GET", "v2", "?CountryCode=ZZ", (400, 20_001)),
        ("POST", "v2", "", (405, 20_004)),
        ("DELETE", "v1", "", (405, 20_004)),
    ] {
        let path = path(version, &format!("{NUMBER}{query}"));
        assert_eq!(rig.refused(method, &path, ""), expected, "{method} {path}");
    }
    for query in ["?Fields=", "?Fields=validation", "?FirstName=Alice"] {
        assert_eq!(rig.get(&path("v2", &format!("{NUMBER}{query}")))["valid"], true, "{query}");
    }
}

#[test]
fn it_has_the_access_of_the_api_and_is_logged() {
    let rig = Rig::new("");
    let of = path("v1", NUMBER);
    let key = rig.post("Keys.json", "");
    let by = (key["sid"].as_str().unwrap(), key["secret"].as_str().unwrap());
    assert_eq!(rig.ask_as(by, "GET", &of, "").0, 200);
    let (status, answer) = rig.ask_as((by.0, "wrong"), "GET", &of, "");
    assert_eq!((status, &answer["code"]), (401, &json!(20_003)));
    let url = format!("{}{of}", rig.edge.url());
    let (name, right) = authorization(SID, TOKEN);
    let of_another_site = [(name, right.as_str()), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")];
    for (headers, expected) in [(&of_another_site[..], 403), (&[], 401)] {
        let (status, answer) = http("GET", &url, headers, "");
        assert_eq!(status, expected, "{answer}");
        assert_shape(status, &serde_json::from_str(&answer).unwrap());
    }
    let log = rig.edge.json("/v1/api");
    let count = json!({ "resource": "PhoneNumbers", "status": 200, "count": 1 });
    assert!(log["counts"].as_array().unwrap().contains(&count), "{log}");
    assert_eq!(log["requests"][0]["path"], format!("PhoneNumbers/{NUMBER}"));
}

#[test]
fn programs_for_lookups_twilio_com_reach_it_unchanged() {
    let rig = Rig::new("proxy = true\ntls = \"127.0.0.1:0\"\n");
    let (pem, by) = (ca(&rig), basic("Authorization", TOKEN));
    for host in ["lookups.twilio.com", "lookups.ie1.twilio.com", "lookups.dublin.ie1.twilio.com"] {
        let (by_proxy, head, _) = connect(rig.edge.address("http"), &format!("{host}:443"), "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{host}: {head}");
        let by_hosts_entry = tcp("127.0.0.1", rig.edge.address("api")).unwrap();
        for stream in [by_proxy, by_hosts_entry] {
            let mut stream = secure(stream, &pem, host).unwrap();
            for version in ["v1", "v2"] {
                let (status, found) = request(&mut stream, "GET", &path(version, NUMBER), &by, "");
                assert_eq!((status, found["phone_number"].as_str()), (200, Some(NUMBER)), "{host}: {found}");
            }
            let (status, error) = request(&mut stream, "GET", &path("v2", NUMBER), "", "");
            assert_eq!((status, error["code"].as_u64()), (401, Some(20_003)));
            for other in ["/v1/status", "/v1/PhoneNumbers", "/v1/PhoneNumbers/", "/v3/PhoneNumbers/1", "/healthz"] {
                let (status, error) = request(&mut stream, "GET", other, &by, "");
                assert_eq!((status, error["code"].as_u64()), (404, Some(20_404)), "{other}: {error}");
            }
        }
        let url = format!("https://{host}{}", path("v2", NUMBER));
        let (head, body) = ask_absolute(&rig, "GET", &url, &by);
        assert!(head.starts_with("HTTP/1.1 200 "), "{url}: {head}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["valid"], true);
    }
}
