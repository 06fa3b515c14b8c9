//! Torture messages of RFC 4475: each is parsed and validated as listed in `rfc4475/expected.txt`, and a malformed one
//! still provides the parts needed for an error response.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panic

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use trunkgate_sip::{
    EndpointConfig, EndpointEvent, EndpointInput, EndpointOutput, Flow, HeaderName, ListenerId, LocalAddress, Method,
    ProcessIdentity, Scheme, SipEndpoint, SipMessage, SipPartyId, StartLine, Transport,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rfc4475")
}

fn load(name: &str) -> SipMessage {
    let bytes = std::fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    SipMessage::parse(Bytes::from(bytes)).unwrap_or_else(|error| panic!("{name}: {error:?}"))
}

/// Line of `expected.txt`.
struct Expected {
    treatment: String,
    judgement: String,
}

fn expected() -> BTreeMap<String, Expected> {
    let text = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let fields: Vec<&str> = line.splitn(5, '|').map(str::trim).collect();
            let [file, treatment, judgement, section, why] = fields[..] else { panic!("not five fields: {line}") };
            assert!(section.starts_with("3.") && !why.is_empty(), "{line}");
            (file.to_owned(), Expected { treatment: treatment.to_owned(), judgement: judgement.to_owned() })
        })
        .collect()
}

#[test]
fn every_file_has_its_line_and_the_reverse() {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".dat"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 49);
    assert_eq!(files, expected().into_keys().collect::<Vec<_>>());
}

#[test]
fn each_is_judged_as_expected() {
    for (file, expected) in expected() {
        let message = load(&file);
        let judged = message.defect().map_or("ok".to_owned(), |defect| format!("{} {}", defect.code, defect.what));
        assert_eq!(judged, expected.judgement, "{file}");
        // The treatment follows from the defect, if there is one.
        let words: Vec<&str> = expected.treatment.split(' ').collect();
        match (&words[..], message.is_request(), message.defect()) {
            (["answer", code], true, Some(defect)) => assert_eq!(*code, defect.code.to_string(), "{file}"),
            (["answer", code], true, None) => assert!(!["400", "416", "505"].contains(code), "{file}"),
            (["serve"], true, None) => assert_eq!(message.method(), Method::Invite, "{file}"),
            (["response-ok"], false, None) | (["response-drop"], false, Some(_)) => {}
            _ => panic!("{file}: {} does not fit", expected.treatment),
        }
    }
}

#[test]
fn a_refused_request_yields_what_its_answer_needs() {
    use HeaderName as H;
    for file in expected().into_keys().filter(|file| file != "insuf.dat") {
        let message = load(&file);
        for name in [H::Via, H::From, H::To, H::CallId, H::CSeq] {
            assert!(message.header(name).is_some_and(|value| !value.is_empty()), "{file}: {name:?}");
        }
        assert!(message.via().is_some(), "{file}");
    }
    let insufficient = load("insuf.dat");
    assert_eq!(insufficient.via().unwrap().branch, Some(b"z9hG4bKkdj.insuf".as_slice()));
    assert_eq!(insufficient.cseq().unwrap().number, 193_942);
}

#[test]
fn wsinv_is_read_through_all_its_folds() {
    let message = load("wsinv.dat");
    assert_eq!(message.to_tag(), Some(b"1918181833n".as_slice()));
    let from = message.from().unwrap();
    assert_eq!((from.display_text().as_str(), from.tag()), ("J Rosenberg \\\"", Some(b"98asjd8".as_slice())));
    assert_eq!(message.max_forwards(), Some(68));
    assert_eq!((message.content_length(), message.body().len()), (Some(150), 150));
    assert_eq!(message.cseq().map(|cseq| (cseq.number, cseq.method)), Some((9, Method::Invite)));
    let via = message.via().unwrap();
    assert_eq!((via.transport, via.sent_by.host), (Some(Transport::Udp), "192.0.2.2"));
    assert_eq!(via.branch, Some(b"390skdjuw".as_slice()));
    assert_eq!(message.vias().count(), 3);
    assert_eq!(message.header(HeaderName::Subject), Some(b"".as_slice()));
    assert_eq!(
        message.header_named("newfangledheader"),
        Some(b"newfangled value\r\n continued newfangled value".as_slice())
    );
    assert_eq!(message.contact().unwrap().param("q"), Some(b"0.33".as_slice()));
    assert_eq!(message.addresses(HeaderName::Route).len(), 1);
    assert!(message.sdp().unwrap().starts_with(b"v=0\r\n"));
}

#[test]
fn longreq_finds_every_spelling_of_via() {
    let message = load("longreq.dat");
    assert_eq!(message.count(HeaderName::Via), 34);
    assert!(message.vias().last().unwrap().ends_with(b"longbranchvalue"));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn dblreq_ends_where_content_length_says() {
    let message = load("dblreq.dat");
    assert_eq!(message.method(), Method::Register);
    assert_eq!(message.body(), b"");
    assert_eq!(message.header(HeaderName::To), Some(b"sip:j.user@example.com".as_slice()));
    assert_eq!(message.count(HeaderName::Via), 1);
}

#[test]
fn foreign_schemes_and_methods_keep_their_bytes() {
    let message = load("novelsc.dat");
    assert_eq!(message.uri().unwrap().scheme, Scheme::Other);
    let escaped = load("esc02.dat");
    let StartLine::Request { token, .. } = escaped.start_line() else { panic!("no request") };
    assert_eq!(token, b"RE%47IST%45R");
    assert_eq!(escaped.method(), Method::Other);
    assert_eq!(escaped.count(HeaderName::Contact), 2);
    assert_eq!(load("intmeth.dat").header_named("extensionHeader-!.%*+_`'~").map(<[u8]>::is_empty), Some(false));
}

#[test]
fn parameters_belong_to_header_or_uri_by_the_brackets() {
    let (header, uri) = (load("cparam01.dat"), load("cparam02.dat"));
    let contact = header.contact().unwrap();
    assert_eq!(
        (contact.param("unknownparam"), contact.parsed_uri().unwrap().param("unknownparam")),
        (Some(b"".as_slice()), None)
    );
    let contact = uri.contact().unwrap();
    assert_eq!((contact.param("unknownparam"), contact.parsed_uri().unwrap().param("unknownparam")), (None, Some("")));
}

#[test]
fn responses_are_read() {
    assert_eq!(load("noreason.dat").start_line(), StartLine::Response { code: 100, reason: b"" });
    let unusual = load("unreason.dat");
    let StartLine::Response { code: 200, reason } = unusual.start_line() else { panic!("no 200") };
    assert!(std::str::from_utf8(reason).unwrap().starts_with("= 2**3 * 5**2 "));
    assert_eq!(unusual.method(), Method::Invite);
    assert_eq!(load("bigcode.dat").code(), Some(0));
}

/// Passes a message to an endpoint that serves calls and OPTIONS. Returns the status codes it sends and its events.
#[expect(clippy::disallowed_methods, reason = "a test begins somewhere in time")]
fn treat(message: SipMessage) -> (Vec<u16>, Vec<EndpointEvent>) {
    let methods = vec![Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options];
    let config = EndpointConfig {
        identity: ProcessIdentity { edge: 1, generation: 1, shard: 0 },
        product: "Trunkgate".into(),
        methods,
        extensions: Vec::new(),
        message_bytes: 65_535,
        limits: Default::default(),
    };
    let now = std::time::Instant::now();
    let remote = "192.0.2.1:5060".parse().unwrap();
    let flow = Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None };
    let local = LocalAddress { ip: "192.0.2.2".parse().unwrap(), port: 5060 };
    let mut endpoint = SipEndpoint::new(config, [7; 32]);
    endpoint.handle_input(now, EndpointInput::Received { flow, local, party: SipPartyId(0), message });
    let (mut codes, mut events) = (Vec::new(), Vec::new());
    while let Some(output) = endpoint.poll_output() {
        match output {
            EndpointOutput::Transmit(transmit) => codes.extend(transmit.what.code),
            EndpointOutput::Event(event) => events.push(event),
        }
    }
    (codes, events)
}

#[test]
fn the_endpoint_treats_each_as_expected() {
    for (file, expected) in expected() {
        let (codes, events) = treat(load(&file));
        match &expected.treatment.split(' ').collect::<Vec<_>>()[..] {
            // The layer above responds to OPTIONS.
            ["answer", "200"] => {
                assert!(matches!(events[..], [EndpointEvent::Request { id: Some(_), .. }]), "{file}: {events:?}")
            }
            ["answer", code] => assert_eq!(codes, [code.parse::<u16>().unwrap()], "{file}: {events:?}"),
            ["serve"] => {
                assert!(codes == [100] && matches!(events[..], [EndpointEvent::Invite { .. }]), "{file}: {events:?}")
            }
            _ => assert!(codes.is_empty() && matches!(events[..], [EndpointEvent::Dropped(_)]), "{file}: {events:?}"),
        }
    }
}
