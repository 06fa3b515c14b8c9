//! Invalid files: all errors at once, each with its code and place.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use proptest::prelude::*;
use trunkgate_config::{self as config, Diagnostic};

use crate::support::depends_on_machine;

/// Returns the findings in a text, without the overlap with this machine's ephemeral ports.
pub(crate) fn found(text: &str) -> Vec<Diagnostic> {
    let (Ok((_, mut found)) | Err(mut found)) = config::parse(Path::new("trunkgate.toml"), text);
    found.retain(|diagnostic| !depends_on_machine(diagnostic.code));
    found
}

/// Returns the code, line and column of each finding; codes of warnings have a `w` prefix, and findings without a place
/// have line 0.
pub(crate) fn places(text: &str) -> Vec<(String, u64, u64)> {
    let found = found(text);
    let json = config::to_json(Path::new("trunkgate.toml"), text, &found);
    let one = |(diagnostic, json): (&Diagnostic, &serde_json::Value)| {
        let mark = if diagnostic.is_error { "" } else { "w" };
        let number = |key: &str| json[key].as_u64().unwrap_or(0);
        (format!("{mark}{}", diagnostic.code), number("line"), number("column"))
    };
    found.iter().zip(json.as_array().unwrap()).map(one).collect()
}

fn check(text: &str, expected: &[(&str, u64, u64)]) {
    let places = places(text);
    let places: Vec<_> = places.iter().map(|(code, line, column)| (code.as_str(), *line, *column)).collect();
    assert_eq!(places, expected, "\n{text}\n{}", config::render(Path::new("trunkgate.toml"), text, &found(text)));
}

/// Valid file to which further lines are appended.
pub(crate) const GOOD: &str = "\
[trunk.carrier]
peers = ['sip:198.51.100.7']
[trunk.pbx]
peers = ['sip:10.0.0.5']
[[route]]
connect = ['trunk:pbx']
";

/// Checks lines appended to [`GOOD`], of which the first is line 7.
fn check_behind(lines: &str, expected: &[(&str, u64, u64)]) {
    check(&format!("{GOOD}{lines}"), expected);
}

/// Checks one line of a table in an otherwise valid file: line 7 is the header, and line 8 is checked.
fn check_line(header: &str, line: &str, expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected.iter().map(|(code, column)| (*code, 8, *column)).collect();
    check_behind(&format!("{header}\n{line}\n"), &expected);
}

/// Returns message and help of each error in lines appended to [`GOOD`].
fn words(lines: &str) -> Vec<(String, String)> {
    let all = found(&format!("{GOOD}{lines}")).into_iter();
    all.filter(|found| found.is_error).map(|found| (found.message, found.help)).collect()
}

#[test]
fn a_slip_is_one_error_that_names_it() {
    let one = |lines: &str| {
        let all = words(lines);
        let [(message, help)] = &all[..] else { panic!("{all:?}") };
        format!("{message}: {help}")
    };
    let listen = "[[listen]]\naddress = '0.0.0.0:25060'\n";
    let reversed = one(&format!("{listen}[media]\nports = '30199-30000'\n"));
    assert_eq!(
        reversed,
        "`ports`: \"30199-30000\" is not a range of ports: write the lower port first: \"30000-30199\""
    );
    assert_eq!(
        one("[[route]]\nto = ['1']\nconect = ['trunk:pbx']\n"),
        "unknown key `conect` in [[route]]: did you mean `connect`?"
    );
    let port = one("[trunk.far]\npeers = ['sip:127.0.0.2:250610']\n[[route]]\nto = ['1']\nconnect = ['trunk:far']\n");
    assert_eq!(
        port,
        "\"sip:127.0.0.2:250610\" is not a SIP URI for a peer: 250610 is not a valid port: the maximum is 65535"
    );
    let pattern = one("[[route]]\nto = ['1999[']\nconnect = ['trunk:pbx']\n");
    assert!(pattern.contains("`[` cannot occur in a number"), "{pattern}");
}

#[test]
fn a_good_file_has_nothing() {
    check(GOOD, &[]);
    check_behind("[[listen]]\naddress = '[::]:0'\n[[listen]]\ntransport = 'udp'\naddress = '0.0.0.0:0'\n", &[]);
}

#[test]
fn who_rings_at_once_is_a_list_of_trunks_and_uris() {
    for (line, expected) in [
        ("connect = { ring_all = ['trunk:pbx', 'trunk:carrier', 'sip:100@10.0.0.9'] }", &[][..]),
        ("connect = [{ ring_all = ['trunk:pbx', 'trunk:pbx/100'] }, 'trunk:carrier']", &[]),
        ("connect = [{ ring_all = [] }]", &[("TG0106", 25)]),
        ("connect = [{ ring_all = 'trunk:pbx' }]", &[("TG0103", 25)]),
        ("connect = [{}]", &[("TG0112", 12)]),
        ("connect = [{ ring_al = ['trunk:pbx'] }]", &[("TG0112", 12), ("TG0104", 14)]),
        ("connect = [{ ring_all = ['trunk:pbx', { ring_all = ['trunk:carrier'] }] }]", &[("TG0112", 39)]),
        ("connect = [{ ring_all = ['trunk:pbx', 'trunk:pbx'] }]", &[("TG0112", 39)]),
        ("connect = [{ ring_all = ['trunk:pbx', 'reject:486'] }]", &[("TG0112", 39)]),
        ("connect = [{ ring_all = ['trunk:pbx', 'agent:desk'] }]", &[("TG0112", 39)]),
        ("connect = [{ ring_all = ['trunk:pbx', 'trunk:nobody'] }]", &[("TG0120", 39)]),
        ("connect = ['trunk:pbx/1007,agent:a']", &[("TG0112", 12)]),
        ("connect = ['trunk:pbx/1007 trunk:pbx', 'trunk:pbx/1;2']", &[("TG0112", 12), ("TG0112", 40)]),
    ] {
        let text = GOOD.replace("connect = ['trunk:pbx']", line);
        let expected: Vec<_> = expected.iter().map(|(code, column)| (*code, 6, *column)).collect();
        check(&text, &expected);
    }
    let many = |count: usize| (0..count).map(|n| format!("'trunk:pbx/10{n}'")).collect::<Vec<_>>().join(", ");
    for (count, expected) in [(8, &[][..]), (9, &[("TG0105", 6, 25)])] {
        let line = format!("connect = [{{ ring_all = [{}] }}]", many(count));
        check(&GOOD.replace("connect = ['trunk:pbx']", &line), expected);
    }
}

#[test]
fn every_mistake_is_found_at_once() {
    let text = "\
[edge]
contry = 'US'
[media]
ports = '20000-20099'
idle_timeout = 30
[limits]
calls = 26
[trunk.carrier]
codec = ['PCMU']
peers = ['198.51.100.7', { uri = 'sip:sbc.example', prio = 3 }]
auth = { username = 'x' }
[[route]]
from = ['carier']
to = ['/(/', '+1*5']
connect = ['trunk:nowhere', 'app:y', 'reject:200']
[[route]]
[app.x]
";
    check(
        text,
        &[
            ("TG0104", 2, 1),
            ("TG0109", 5, 16),
            ("TG0125", 7, 9),
            ("TG0104", 9, 1),
            ("TG0108", 10, 10),
            ("TG0104", 10, 53),
            ("TG0106", 11, 8),
            ("TG0120", 13, 9),
            ("TG0111", 14, 7),
            ("TG0111", 14, 14),
            ("TG0120", 15, 12),
            ("TG0153", 15, 29),
            ("TG0112", 15, 38),
            ("TG0106", 16, 1),
            ("TG0106", 17, 1),
            ("wTG0145", 17, 6),
        ],
    );
    let rendered = config::render(Path::new("trunkgate.toml"), text, &found(text));
    let expected = "\
error[TG0104]: unknown key `codec` in [trunk.carrier]
 --> trunkgate.toml:9:1
  |
9 | codec = ['PCMU']
  | ^^^^^ did you mean `codecs`?
";
    assert!(rendered.contains(expected), "{rendered}");
    assert!(rendered.ends_with("\n15 errors, 1 warning\n"), "{rendered}");
}

#[test]
fn broken_toml_is_named_and_the_rest_still_judged() {
    check("[edge]\nname = \nfoo = 1 2\n", &[("TG0102", 2, 8), ("TG0102", 3, 7)]);
    check(
        "[log]\nlevl = 'x'\n[edge\nname = 'x'\n[http]\nport = 1\n",
        &[("TG0104", 2, 1), ("TG0102", 3, 6), ("TG0104", 6, 1)],
    );
    check(
        "[edge]\nname = 'a'\nname = 'b'\ncountry = 'XX'\n[trunk.x]\npeers=['sip:h']\n",
        &[("TG0107", 3, 1), ("TG0105", 4, 11), ("wTG0130", 0, 0)],
    );
    let unclosed = places("[trunk.x]\npeers = ['sip:a'\n\n[edge]\nname = 'x'\n[log]\nlevel = 'info'\n");
    assert!(unclosed.len() <= 2 && unclosed[0].0 == "TG0102", "{unclosed:?}");
    check("name = \u{0}\n", &[("TG0102", 1, 8)]);
}

#[test]
fn wrong_types_say_what_is_wanted() {
    for (text, line, column) in [
        ("trunk = 5\n", 1, 9),
        ("route = {}\n", 1, 9),
        ("[listen]\naddress = '0.0.0.0:5060'\n", 1, 1),
        ("media = []\n", 1, 9),
        ("[edge]\nname = 5\n", 2, 8),
        ("[edge]\npublic_address = 1\n", 2, 18),
        ("[media]\nthreads = '2'\n", 2, 11),
        ("[media]\nidle_timeout = true\n", 2, 16),
        ("[http]\ntoken = 7\n", 2, 9),
    ] {
        check(text, &[("TG0103", line, column), ("wTG0130", 0, 0)]);
    }
    check("[trunk.x]\npeers = 'sip:192.0.2.9'\n[[route]]\nconnect = 5\n", &[("TG0103", 4, 11)]);
}

#[test]
fn values_out_of_range_are_refused() {
    check_line("[edge]", "country = 'Germany'", &[("TG0105", 11)]);
    check_line("[edge]", "name = 'a b'", &[("TG0105", 8)]);
    check_line("[edge]", "public_address = ['192.0.2.1', '192.0.2.2']", &[("TG0105", 32)]);
    check_line("[edge]", "public_address = '0.0.0.0'", &[("TG0108", 18)]);
    check_line("[edge]", "public_address = 'edge.example'", &[("TG0108", 18)]);
    check_line("[edge]", "local_networks = ['10.0.0.0/8', '10.0.0.0/40']", &[("TG0108", 33)]);
    check_line("[media]", "ports = '32767-16384'", &[("TG0105", 9)]);
    check_line("[media]", "ports = '0-100'", &[("TG0105", 9)]);
    check_line("[media]", "ports = '20000-20002'", &[("TG0125", 9)]);
    check_line("[media]", "ports = '20001-20100'", &[("wTG0105", 9)]);
    check_line("[media]", "address = []", &[("TG0105", 11)]);
    check_line("[media]", "threads = -1", &[("TG0105", 11)]);
    check_line("[media]", "engine = 'kernal'", &[("TG0105", 10)]);
    check_line("[limits]", "calls = 0", &[("TG0105", 9)]);
    check_line("[limits]", "calls = 4097", &[("TG0125", 9)]);
    check_line("[limits]", "calls = 4096", &[]);
    check_line("[limits]", "sip_message_bytes = 100", &[("TG0105", 21)]);
    check_line("[limits]", "calls_per_second = 99999999999999999999", &[("TG0105", 20)]);
    for mode in ["strict", "relearn", "off"] {
        check_line("[media]", &format!("latch = '{mode}'"), &[]);
    }
    check_line("[media]", "latch = 'relern'", &[("TG0105", 9)]);
    check_line("[log]", "level = 'inof'", &[("TG0105", 9)]);
    check_line("[log]", "level = 'info,trunkgate=debug'", &[]);
    check_line("[log]", "format = 'xml'", &[("TG0105", 10)]);
    check_behind("[http]\ntoken = 'long-enough-a-token'\npublic_url = 'edge.example'\n", &[("TG0108", 9, 14)]);
}

#[test]
fn credentials_are_a_user_and_a_password() {
    for (line, expected) in [
        ("auth = 'acme'", &[("TG0103", 8, 8)][..]),
        ("require_auth = {}", &[("TG0106", 8, 16), ("TG0106", 8, 16)]),
        ("auth = { username = 'a', pasword = 'b' }", &[("TG0106", 8, 8), ("TG0104", 8, 26)]),
        ("auth = { username = '', password = '' }", &[("TG0105", 8, 21), ("TG0110", 8, 36)]),
        (
            "auth = { username = \"a\\r\\nX: 1\", password = { env = 'NO_SUCH' } }",
            &[("TG0105", 8, 21), ("TG0110", 8, 53)],
        ),
        ("auth = { username = 'a', password = 'a-long-one', realm = 3 }", &[("TG0103", 8, 59)]),
        ("auth = { username = 'a', password = 'a-long-one', realm = 'c' }", &[]),
        ("auth = { username = 'a', password = 'a-long-one', algorithms = ['MD5'] }", &[("TG0104", 8, 51)]),
        ("require_auth = { username = 'a', password = 'a-long-one', algorithms = 'MD5' }", &[]),
        ("require_auth = { username = 'a', password = 'a-long-one', algorithms = [] }", &[("TG0105", 8, 72)]),
        (
            "require_auth = { username = 'a', password = 'a-long-one', algorithms = ['MD5', 'SHA256', 'MD5'] }",
            &[("TG0105", 8, 80), ("TG0105", 8, 90)],
        ),
    ] {
        check_behind(&format!("[trunk.x]\n{line}\npeers = ['sip:192.0.2.9']\n"), expected);
    }
}

#[test]
fn passwords_and_tokens_that_could_be_found_by_trying_are_warned_of() {
    for (user, password, is_warned) in [
        ("100", "1234", true),
        ("anna", "1234567", true),
        ("anna", "12345678", false),
        ("reception-desk", "Reception-Desk", true),
        ("anna", "sieben\u{fc}\u{fc}", false),
        ("anna", "f\u{fc}nf\u{fc}\u{fc}\u{fc}", true),
    ] {
        for key in ["auth", "require_auth"] {
            let line = format!("{key} = {{ username = '{user}', password = '{password}' }}");
            let column = u64::try_from(line.find(&format!("'{password}'")).unwrap() + 1).unwrap();
            let expected: &[_] = if is_warned { &[("wTG0156", 8, column)] } else { &[] };
            check_behind(&format!("[trunk.x]\n{line}\npeers = ['sip:192.0.2.9']\n"), expected);
        }
    }
    let messages = "[api]\nauth_token = '0123456789abcdef0123456789abcdef'\n[messages]\nurl = 'https://sms.example/'\n";
    for (address, short) in [("127.0.0.1", "wTG0156"), ("[::1]", "wTG0156"), ("10.0.0.2", "TG0156")] {
        let http = |token: &str| format!("[http]\naddress = '{address}:8080'\ntoken = '{token}'\n");
        let good = http("0123456789abcdef");
        check_behind(&http("x"), &[(short, 9, 9)]);
        check_behind(&http("0123456789abcde"), &[(short, 9, 9)]);
        check_behind(&good, &[]);
        check_behind(&format!("{good}[api]\nauth_token = '0123456789abcde'\n"), &[(short, 11, 14)]);
        check_behind(&format!("{good}[api]\nauth_token = '0123456789abcdef'\n"), &[("wTG0156", 11, 14)]);
        check_behind(&format!("{good}{messages}token = '0123456789abcde'\n"), &[(short, 14, 9)]);
        check_behind(&format!("{good}{messages}token = '0123456789abcdef'\n"), &[]);
    }
    for (listener, short) in [("127.0.0.1:443", "wTG0156"), ("10.0.0.2:443", "TG0156")] {
        let api = format!("[api]\ntls = '{listener}'\nauth_token = '0123456789abcde'\n");
        check_behind(&api, &[(short, 9, 14)]);
    }
}

#[test]
fn the_tls_listener_of_the_api_has_an_address_of_its_own_and_needs_the_token() {
    let token = "auth_token = '0123456789abcdef0123456789abcdef'\n";
    let http = "[http]\naddress = '127.0.0.1:8443'\n";
    check_behind(&format!("{http}[api]\n{token}tls = '127.0.0.1:443'\n"), &[]);
    check_behind(&format!("{http}[api]\n{token}tls = '127.0.0.1:8443'\n"), &[("TG0126", 11, 7)]);
    check_behind(&format!("{http}[api]\n{token}tls = '0.0.0.0:8443'\n"), &[("TG0126", 11, 7)]);
    check_behind(&format!("[api]\n{token}tls = '127.0.0.1'\n"), &[("TG0108", 9, 7)]);
    check_behind("[api]\ntls = '127.0.0.1:443'\n", &[("wTG0105", 8, 7)]);
}

#[test]
fn a_trusted_proxy_is_an_address_or_a_network_and_not_everybody() {
    let check_proxies = |value: &str, expected: &[(&str, u64)]| {
        check_line("[http]", &format!("trusted_proxies = {value}\ntoken = 'long-enough-a-token'"), expected);
    };
    check_proxies("'127.0.0.1'", &[]);
    check_proxies("['10.0.0.0/24', '2001:db8::1']", &[]);
    check_proxies("['0.0.0.0/0', '::/0']", &[("wTG0132", 20), ("wTG0132", 33)]);
    check_proxies("'proxy.example'", &[("TG0108", 19)]);
}

#[test]
fn a_registration_has_a_registrar_and_a_user() {
    for (line, expected) in [
        ("accept_register = true", &[("TG0106", 8, 19)][..]),
        ("accept_register = true\nrequire_auth = { username = 'a', password = 'a-long-one' }", &[]),
        ("register = 'sip:h'", &[("TG0103", 8, 12)]),
        ("register = {}", &[("TG0106", 8, 12), ("TG0106", 8, 12)]),
        (
            "register = { registrar = 'sip:a@h', user = 'a@h', expires = '5s' }",
            &[("TG0108", 8, 26), ("TG0105", 8, 44), ("TG0105", 8, 61)],
        ),
        ("register = { registrar = 'h', user = 'a', expire = '1h' }", &[("TG0108", 8, 26), ("TG0104", 8, 43)]),
        (
            "register = { registrar = 'sip:h.example;transport=tcp', user = '+1415', expires = '1h' }\n\
             auth = { username = 'a', password = 'a-long-one' }",
            &[],
        ),
    ] {
        check_behind(&format!("[trunk.x]\n{line}\n"), expected);
    }
}

#[test]
fn what_is_not_in_this_version_is_refused_at_its_place() {
    for (header, line, column) in [("[edge]", "state = 'redis://h'", 9), ("[media]", "engine = 'kernel'", 10)] {
        check_line(header, line, &[("TG0190", column)]);
    }
    for (line, column) in [("codecs = ['G729']", 11), ("codecs = ['PCMU', 'G729']", 19)] {
        check_behind(&format!("[trunk.x]\n{line}\npeers = ['sip:192.0.2.9']\n"), &[("TG0190", 8, column)]);
    }
    let message = &found("[media]\nengine = 'kernel'\n")[0].message;
    assert_eq!(message, "not in this version: engine = \"kernel\"");
}

#[test]
fn a_codec_that_calls_have_without_it_is_to_be_left_out() {
    for codec in ["G729", "g729", "G.729", "G729A", "AMR", "AMR-WB", "iLBC", "GSM", "G726-32", "speex"] {
        for (section, key) in [("trunk.x", "codecs"), ("siprec.x", "codecs")] {
            let of = |list: &str| words(&format!("[{section}]\npeers = ['sip:192.0.2.9']\n{key} = [{list}]\n"));
            let relayed = "it is relayed if both sides of a call support it, and not converted";
            let message = format!("not in this version: the codec {codec}");
            let beside = of(&format!("'PCMU', '{codec}'"));
            assert_eq!(beside, [(message.clone(), format!("leave it out: {relayed}"))], "{codec}");
            assert_eq!(of(&format!("'{codec}'")), [(message, format!("remove `codecs`: {relayed}"))], "{codec}");
        }
    }
    let unknown = words("[trunk.x]\npeers = ['sip:192.0.2.9']\ncodecs = ['G722', 'PCNU']\n");
    assert_eq!(unknown, [("unknown codec \"PCNU\"".to_owned(), "did you mean \"PCMU\"?".to_owned())]);
}

#[test]
fn what_states_only_this_versions_behaviour_is_accepted() {
    check_line("[edge]", "state = 'memory'", &[]);
    let trunk = "[trunk.x]\npeers = 'sip:192.0.2.9'\n";
    for line in ["dtmf = 'rfc4733'", "dtmf = 'info'", "hold = 'relay'", "hold = 'local'", "accept_register = false"] {
        check_behind(&format!("{trunk}{line}\n"), &[]);
    }
}

#[test]
fn peers_are_sip_uris_of_hosts() {
    for (peer, code) in [
        ("'198.51.100.7'", "TG0108"),
        ("'sip:'", "TG0108"),
        ("'sip:bob@198.51.100.7'", "TG0108"),
        ("'sip:h:99999'", "TG0108"),
        ("'sip:h:0'", "TG0108"),
        ("'sip:h;transport=sctp'", "TG0108"),
        ("'sip:h;lr'", "TG0108"),
        ("'sip:h?X=y'", "TG0108"),
        ("'sip:0.0.0.0'", "TG0108"),
        ("'tel:+14155551234'", "TG0108"),
        ("{ priority = 1 }", "TG0106"),
        ("{ uri = 5 }", "TG0103"),
        ("7", "TG0103"),
    ] {
        let text = format!("[trunk.x]\npeers = [{peer}]\n[[route]]\nconnect = 'trunk:x'\n");
        let places = places(&text);
        assert!(places.len() == 1 && places[0].0 == code && places[0].1 == 2, "{peer}: {places:?}");
    }
    for peer in ["'sip:h.example:5070;transport=TCP'", "'sip:[2001:db8::1]:5060'", "{ uri = 'sip:h', weight = 65535 }"]
    {
        let listen = "[[listen]]\naddress = '[::]:5060'\n[[listen]]\ntransport = 'tcp'\naddress = '[::]:5060'\n";
        let text = format!("{listen}[trunk.x]\npeers = [{peer}]\n[[route]]\nconnect = 'trunk:x'\n");
        check(&text, &[]);
    }
}

#[test]
fn sockets_that_collide_are_named() {
    check_behind(
        "[[listen]]\naddress = '0.0.0.0:5060'\n[[listen]]\naddress = '10.0.0.1:5060'\n",
        &[("TG0126", 10, 11)],
    );
    check_behind(
        "[[listen]]\nname = 'a'\naddress = '0.0.0.0:1'\n[[listen]]\nname = 'a'\naddress = '0.0.0.0:2'\n",
        &[("TG0107", 11, 8)],
    );
    check_behind("[[listen]]\naddress = '0.0.0.0:20000'\n", &[("TG0126", 8, 11)]);
    check_behind(
        "[[listen]]\naddress = '0.0.0.0:0'\n[[listen]]\ntransport='tcp'\naddress='0.0.0.0:80'\n[http]\naddress='127.0.0.1:80'\n",
        &[("TG0126", 13, 9)],
    );
    check_behind("[[listen]]\n", &[("TG0106", 7, 1)]);
    check_behind("[[listen]]\naddress = '0.0.0.0'\n", &[("TG0108", 8, 11)]);
}

#[test]
fn names_that_lead_nowhere_are_named() {
    check("[trunk.pbx]\npeers = ['sip:h']\n[[route]]\nconnect = 'trunk:pbz'\n", &[("TG0120", 4, 11)]);
    let text = "\
[trunk.in]
accept_from = ['198.51.100.0/24']
[trunk.none]
[trunk.out]
peers = ['sip:192.0.2.1;transport=tcp']
listen = 'udp'
[trunk.lost]
peers = ['sip:192.0.2.2']
listen = 'absent'
[[listen]]
name = 'udp'
address = '0.0.0.0:5060'
[[route]]
connect = ['trunk:in', 'trunk:ou', 'sip:h;transport=tcp']
";
    check(
        text,
        &[
            ("TG0127", 3, 8),
            ("TG0121", 5, 10),
            ("TG0121", 9, 10),
            ("TG0128", 14, 12),
            ("TG0120", 14, 24),
            ("TG0121", 14, 36),
        ],
    );
}

#[test]
fn what_can_never_be_used_is_warned_of() {
    check_behind("[[route]]\nname = 'late'\nto = ['+1415*']\nconnect = 'trunk:pbx'\n", &[("wTG0122", 8, 8)]);
    check_behind("[[route]]\nconnect = 'trunk:pbx'\n", &[("wTG0122", 7, 1)]);
    let numbers = "[trunk.x]\npeers='sip:192.0.2.1'\n[[route]]\nto = ['4155551234', '911', '+14155551234', '+abc']\n\
                   caller = ['(415) 555-1234']\nconnect = ['reject:603', 'trunk:x']\n";
    check(numbers, &[("wTG0129", 4, 7), ("wTG0129", 4, 44), ("wTG0129", 5, 11), ("wTG0122", 6, 26)]);
    let help = &found(numbers)[0].help;
    assert_eq!(help, "write \"+14155551234\"");
    check_behind(
        "[[route]]\nname = 'route-1'\nto = ['100']\nconnect = 'trunk:pbx'\n",
        &[("TG0107", 8, 8), ("wTG0122", 8, 8)],
    );
    let shadow = "[trunk.x]\npeers='sip:10.0.0.5'\naccept_from=['0.0.0.0/0', '10.0.0.0/8']\n\
                  [trunk.y]\npeers='sip:192.0.2.1'\naccept_from='10.0.0.0/8'\n";
    check_behind(shadow, &[("wTG0131", 8, 7), ("wTG0132", 9, 14), ("wTG0131", 12, 13)]);
    // Trunks that are only called may share peers; a trunk that also places calls gets one warning.
    let two = "[trunk.x]\npeers=['sip:10.0.0.5', 'sip:10.0.0.6']\n[trunk.y]\npeers=['sip:10.0.0.5', 'sip:10.0.0.6']\n";
    check_behind(two, &[]);
    let origin = format!("{two}[[route]]\nname='y'\nfrom=['y']\nto=['100']\nconnect='trunk:x'\n");
    check_behind(&origin, &[("wTG0131", 10, 8), ("wTG0131", 10, 24), ("wTG0122", 12, 6)]);
    // All trunks count as local, including one outside.
    let moot = |networks: &str, more: &str| {
        format!("{GOOD}{more}[edge]\npublic_address = '203.0.113.9'\nlocal_networks = [{networks}]\n")
    };
    check(&moot("'10.0.0.0/8', '198.51.100.0/24'", ""), &[("wTG0147", 9, 18)]);
    check(&moot("'10.0.0.0/8'", ""), &[]);
    let elsewhere = ["[trunk.x]\npeers = 'sip:sbc.example.com'\n", "[trunk.x]\npeers = 'sip:192.0.2.1'\n"];
    for more in elsewhere.map(|trunk| format!("{trunk}[[route]]\nfrom = ['x']\nconnect = 'trunk:pbx'\n")) {
        let found = places(&moot("'10.0.0.0/8', '198.51.100.0/24'", &more));
        assert!(!found.iter().any(|(code, ..)| code == "wTG0147"), "{found:?}");
    }
    check("", &[("wTG0130", 0, 0)]);
    check("[trunk.x]\npeers = 'sip:h'\n", &[("wTG0130", 0, 0)]);
}

#[test]
fn srtp_has_three_values_and_wants_tls() {
    let trunk = |lines: &str| format!("[trunk.x]\npeers = 'sip:192.0.2.9'\n{lines}\n");
    check_behind(&trunk("srtp = 'off'"), &[]);
    check_behind(&trunk("srtp = 'optional'"), &[("wTG0134", 9, 8)]);
    check_behind(&trunk("srtp = 'required'"), &[("wTG0134", 9, 8)]);
    check_behind("[trunk.x]\naccept_from = '192.0.2.9'\nmedia_from = []\nsrtp = 'required'\n", &[("wTG0134", 10, 8)]);
    check_behind(&trunk("srtp = 'require'"), &[("TG0105", 9, 8)]);
    check_behind(&trunk("srtp = true"), &[("TG0103", 9, 8)]);
}

#[test]
fn secrets_are_read_from_where_they_say() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "s3cret-of-a-file-1\n").unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let path = folder.path().join("trunkgate.toml");
    let load = |token: &str| {
        std::fs::write(&path, format!("{GOOD}[http]\naddress = '127.0.0.1:0'\ntoken = {token}\n")).unwrap();
        config::load(&path)
    };
    for (token, secret) in
        [("'plain-but-long-enough'", "plain-but-long-enough"), ("{ file = 'token' }", "s3cret-of-a-file-1")]
    {
        let (config, _) = load(token).unwrap();
        assert_eq!(config.http.token.as_ref().unwrap().reveal(), secret);
        assert!(!format!("{config:?}").contains(secret), "a secret is never printed");
    }
    let path_of_cargo = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let (config, _) = load("{ env = 'CARGO_MANIFEST_DIR' }").unwrap();
    assert_eq!(config.http.token.unwrap().reveal(), path_of_cargo);
    for token in ["''", "{ env = 'TRUNKGATE_ABSENT' }", "{ file = 'absent' }", "{ file = 'empty' }", "{}"] {
        let found = load(token).unwrap_err();
        let codes: Vec<_> = found.iter().filter(|found| found.is_error).map(|found| found.code).collect();
        assert_eq!(codes, ["TG0110"], "{token}");
    }
    check_line("[http]", "address = '0.0.0.0:8080'", &[("TG0124", 11)]);
    check_line("[http]", "address = '0.0.0.0:8080'\ntoken = 'long-enough-a-token'", &[("wTG0152", 11)]);
    check_line("[http]", "address = '10.0.0.2:8080'\ntoken = 'long-enough-a-token'", &[]);
    check_line(
        "[http]",
        "address = '0.0.0.0:8080'\ntoken = 'long-enough-a-token'\npublic_url = 'https://edge.example.com'",
        &[],
    );
    check_line("[http]", "address = '[::1]:8080'", &[]);
    // A reverse proxy on this machine makes every client look local.
    for address in ["", "address = '127.0.0.1:8080'\n", "address = '[::1]:8080'\n"] {
        let url = "public_url = 'https://edge.example.com'\n";
        let line = 8 + address.lines().count() as u64;
        check_behind(&format!("[http]\n{address}{url}"), &[("TG0124", line, 14)]);
        check_behind(&format!("[http]\n{address}{url}token = 'long-enough-a-token'\n"), &[]);
    }
}

#[test]
fn times_that_are_too_short_to_be_of_use_are_warned_of() {
    check_line("[media]", "idle_timeout = '100ms'", &[("wTG0105", 16)]);
    for good in ["'5s'", "'0s'", "0"] {
        check_line("[media]", &format!("idle_timeout = {good}"), &[]);
    }
    for line in ["ring_timeout = '10ms'", "no_response_timeout = '499ms'", "options_interval = '999ms'"] {
        let place = u64::try_from(line.find('\'').unwrap() + 1).unwrap();
        check_behind(&format!("[trunk.x]\npeers = ['sip:10.0.0.9']\n{line}\n"), &[("wTG0105", 9, place)]);
    }
    for line in ["ring_timeout = '1s'", "no_response_timeout = '500ms'", "options_interval = '1s'", "pace = '1ms'"] {
        check_behind(&format!("[trunk.x]\npeers = ['sip:10.0.0.9']\n{line}\n"), &[]);
    }
}

#[test]
fn sessions_last_90_seconds_to_a_day_or_are_not_asked_for() {
    for line in ["session_expires = '89s'", "session_expires = '89s500ms'", "session_expires = '24h1s'"] {
        check_behind(&format!("[trunk.x]\npeers = ['sip:10.0.0.9']\n{line}\n"), &[("TG0105", 9, 19)]);
    }
    for line in ["'90s'", "'30m'", "'24h'", "'0s'", "0"] {
        check_behind(&format!("[trunk.x]\npeers = ['sip:10.0.0.9']\nsession_expires = {line}\n"), &[]);
    }
}

#[test]
fn an_empty_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trunkgate.toml");
    for text in ["", "\n \t\r\n", "# a comment\n\n  # and another", "\u{feff}"] {
        std::fs::write(&path, text).unwrap();
        let look = config::load_to_look(&path).map(drop).unwrap_err();
        let found = config::load(&path).map(drop).unwrap_err();
        assert_eq!((found.len(), found[0].code, found[0].span.clone()), (1, "TG0101", None), "{text:?} {found:?}");
        assert_eq!(found, look);
        assert!(found[0].message.contains("it is empty, or has only comments"), "{}", found[0].message);
        // A running edge is found nevertheless.
        assert!(config::load_http(&path, false).is_ok());
    }
    // So it is if the mistake is in the table `[http]` itself.
    std::fs::write(&path, "[http]\naddress = \"127.0.0.1:9123\n[edge]\nname = \"a\"\n").unwrap();
    let (http, found) = config::load_http(&path, false).unwrap();
    assert_eq!((http.address.port(), found[0].code), (9123, "TG0102"), "{found:?}");
    std::fs::write(&path, "[http]\naddress = 127.0.0.1:9123\n").unwrap();
    assert!(config::load_http(&path, false).is_err(), "it is not guessed");
    // Without the table `[http]`, the mistake is elsewhere, and the edge has the default address.
    std::fs::write(&path, "[edge]\nname = \"a\"\n[[route]]\nconnect = [ \"trunk:x\n").unwrap();
    let (http, found) = config::load_http(&path, false).unwrap();
    assert_eq!((http.address.port(), found[0].code), (8080, "TG0102"), "{found:?}");
    for text in ["[http\naddress = 127.0.0.1:9\n", "[edge]\nname = \"a\"\n[\n"] {
        std::fs::write(&path, text).unwrap();
        assert!(config::load_http(&path, false).is_err(), "{text:?}");
    }
    std::fs::write(&path, "[http]\n").unwrap();
    assert!(config::load(&path).is_ok(), "every key has a default");
}

#[test]
fn a_file_beyond_its_limit_is_refused_with_its_size() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let grow = |name: &str, bytes: u64| {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(at(name))
            .unwrap()
            .set_len(bytes)
            .unwrap();
    };
    let first = |code: &str| {
        let found = config::load(&at("trunkgate.toml")).map(drop).unwrap_err();
        assert_eq!(found[0].code, code, "{found:?}");
        found[0].message.clone()
    };
    std::fs::write(at("trunkgate.toml"), GOOD).unwrap();
    grow("trunkgate.toml", (16 << 20) + 1);
    let message = first("TG0101");
    assert!(message.ends_with("it has 16777217 bytes, the limit is 16777216 (16 MiB)"), "{message}");
    std::fs::write(at("trunkgate.toml"), format!("{GOOD}[http]\ntoken = {{ file = 'token' }}\n")).unwrap();
    grow("token", (64 << 10) + 1);
    let message = first("TG0110");
    assert!(message.ends_with("token: it has 65537 bytes, the limit is 65536 (64 KiB)"), "{message}");
    let routes = GOOD.replace("connect = ['trunk:pbx']", "connect = ['trunk:pbx']\nroutes_file = 'n.csv'");
    std::fs::write(at("trunkgate.toml"), routes).unwrap();
    grow("n.csv", (128 << 20) + 1);
    let message = first("TG0114");
    assert!(message.ends_with("n.csv: it has 134217729 bytes, the limit is 134217728 (128 MiB)"), "{message}");
}

#[test]
fn a_missing_file_is_an_error_without_place() {
    let found = config::load(Path::new("/nonexistent/trunkgate.toml")).unwrap_err();
    assert_eq!((found.len(), found[0].code, found[0].span.clone()), (1, "TG0101", None));
}

#[test]
fn defaults_are_those_of_the_contract() {
    let (config, _) =
        config::parse(Path::new("x/trunkgate.toml"), &format!("{GOOD}[cdr]\nfile='cdr.jsonl'\n")).unwrap();
    let listeners: Vec<_> = config.listen.iter().map(|listen| listen.name.as_str()).collect();
    assert_eq!(listeners, ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"]);
    assert_eq!(
        (config.media.ports, config.limits.calls, config.limits.calls_per_second),
        ((16_384, 32_767), 4_096, 200)
    );
    assert_eq!(config.limits.sip_message_bytes, 65_535);
    assert_eq!(config.http.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.cdr.file.unwrap().path, Path::new("x/cdr.jsonl"));
    assert_eq!(config.routes[0].name.as_ref(), "route-1");
    assert_eq!(config.trunks[0].codecs, ["PCMU", "PCMA", "opus"]);
    let (config, _) = config::parse(Path::new("x"), &format!("{GOOD}[media]\nports='20000-20099'\n")).unwrap();
    assert_eq!(config.limits.calls, 25, "a quarter of the ports");
}

proptest! {
    /// Any text is checked and displayed without a panic, and the places of errors are inside of the text.
    #[test]
    fn any_text_is_judged(
        cut in 0..4_000_usize,
        length in 0..40_usize,
        put in "[\\[\\]{}='\"#,.\n a-z0-9:@/é]{0,12}",
    ) {
        let path = Path::new("trunkgate.toml");
        let whole: Vec<char> = include_str!("../../config/trunkgate.toml").chars().collect();
        let (cut, end) = (cut.min(whole.len()), (cut + length).min(whole.len()));
        let text: String = whole[..cut].iter().copied().chain(put.chars()).chain(whole[end..].iter().copied()).collect();
        let found = found(&text);
        for diagnostic in &found {
            let inside = diagnostic.span.clone().is_none_or(|span| text.get(span).is_some());
            prop_assert!(inside, "{diagnostic:?}");
        }
        let rendered = config::render(path, &text, &found);
        prop_assert_eq!(rendered.matches("trunkgate.toml").count() >= found.len(), true);
    }
}

#[test]
fn media_that_anyone_may_send_and_a_public_address_that_is_local_are_told_of() {
    check_behind(
        "[trunk.x]\npeers = 'sip:10.0.0.9'\nmedia_from = ['10.1.0.0/16', '0.0.0.0/0']\n",
        &[("wTG0132", 9, 30)],
    );
    check_behind("[edge]\npublic_address = '10.0.0.1'\n", &[("wTG0105", 8, 18)]);
    check_behind("[edge]\npublic_address = '203.0.113.10'\nlocal_networks = ['0.0.0.0/0']\n", &[("wTG0105", 8, 18)]);
    check_behind("[edge]\npublic_address = '203.0.113.10'\n", &[]);
}

#[test]
fn keys_of_a_trunk_without_peers_are_safe_by_its_listener() {
    let listeners =
        "[[listen]]\naddress = '127.0.0.1:0'\n[[listen]]\nname = 'safe'\ntransport = 'tls'\naddress = '127.0.0.1:0'\n";
    let trunk = "[trunk.x]\naccept_from = '10.0.0.9'\nsrtp = 'required'\n";
    let found = found(&format!("{GOOD}{listeners}{trunk}"));
    let warning = found.iter().find(|diagnostic| diagnostic.code == "TG0134").unwrap();
    assert_eq!(warning.help, "listen = \"safe\"");
}

#[test]
fn oversize_says_when_tcp_is_gone_by() {
    let read = |keys: &str| {
        let text = format!("[trunk.a]\npeers = ['sip:192.0.2.1']\n{keys}\n[[route]]\nconnect = ['trunk:a']\n");
        config::parse(Path::new("x.toml"), &text).map(|(config, warnings)| {
            let codes: Vec<_> =
                warnings.iter().map(|warning| warning.code).filter(|code| !depends_on_machine(code)).collect();
            ((config.trunks[0].udp_mtu, config.trunks[0].oversize_by_tcp), codes.len())
        })
    };
    assert_eq!(read("").unwrap(), ((1300, false), 0));
    assert_eq!(read("oversize = 'tcp'").unwrap(), ((1300, true), 0));
    assert_eq!(read("oversize = 'tcp'\nudp_mtu = 1400").unwrap(), ((1400, true), 0));
    assert_eq!(read("udp_mtu = 1400").unwrap(), ((1400, false), 0), "a longer message is reported");
    assert!(read("oversize = 'sctp'").is_err() && read("oversize = 'tcp'\nudp_mtu = 100").is_err());
}

#[test]
fn a_place_for_records_that_no_start_can_open_is_an_error_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(path("file"), "").unwrap();
    nix::unistd::mkfifo(Path::new(&path("fifo")), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (file, expected) in [
        ("/dev/full".to_owned(), &[("TG0202", 8)][..]),
        ("/dev/null".to_owned(), &[("TG0202", 8)]),
        (path("folder"), &[("TG0202", 8)]),
        (path("fifo"), &[("TG0202", 8)]),
        (path("file/cdr.jsonl"), &[("TG0202", 8)]),
        (path("nowhere/cdr.jsonl"), &[("wTG0202", 8)]),
        (path("new"), &[]),
        (path("file"), &[]),
        // The meaning of the descriptor depends on how the edge is started.
        ("/dev/stdout".to_owned(), &[]),
    ] {
        check_line("[cdr]", &format!("file = '{file}'"), expected);
    }
    check_line("[edge]", &format!("data_directory = '{}'", path("file")), &[("TG0202", 18)]);
    check_line("[edge]", &format!("data_directory = '{}'", path("folder")), &[]);
}

#[test]
fn an_address_that_cannot_be_is_an_error_where_it_stands() {
    for (host, is_possible) in [
        ("198.51.100.777", false),
        ("300.1.1.1", false),
        ("999.1.1.1", false),
        ("1.2.3", false),
        ("nonsense..", false),
        ("a..example", false),
        ("sbc.example.", true),
        ("7.example", true),
        ("198.51.100.77", true),
        ("[2001:db8::1]", true),
    ] {
        let text = format!("[trunk.a]\npeers = ['sip:{host}']\n[[route]]\nconnect = ['trunk:a']\n");
        let text = text
            .replace("[trunk.a]", "[[listen]]\naddress = '0.0.0.0:5060'\n[[listen]]\naddress = '[::]:5060'\n[trunk.a]");
        check(&text, if is_possible { &[] } else { &[("TG0108", 6, 10)] });
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trunkgate.toml");
    for trunk in ["carrier:999.1.1.1", "carrier:nonsense.."] {
        let output = crate::support::finish(&["--config", file.to_str().unwrap(), "init", "--yes", "--trunk", trunk]);
        assert!(output.status.code() == Some(2) && !file.exists(), "{trunk}: {output:?}");
    }
}

#[test]
fn a_peer_elsewhere_is_not_reached_from_loopback() {
    let text = |listen: &str, peer: &str| {
        format!(
            "[[listen]]\naddress = '{listen}'\n[trunk.a]\npeers = ['sip:{peer}']\n[[route]]\nconnect = ['trunk:a']\n"
        )
    };
    check(&text("127.0.0.1:5060", "198.51.100.7"), &[("wTG0157", 4, 10)]);
    check(&text("[::1]:5060", "[2001:db8::1]"), &[("wTG0157", 4, 10)]);
    for (listen, peer) in [("127.0.0.1:5060", "127.0.0.2:5070"), ("0.0.0.0:5060", "198.51.100.7")] {
        check(&text(listen, peer), &[]);
    }
    // The file written by `init` for a trial names the lines to edit next to the peers.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trunkgate.toml");
    let output = crate::support::finish(&["--config", file.to_str().unwrap(), "init", "--yes"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told.matches("address = \"127.0.0.1:5060\" is a placeholder").count(), 2, "{told}");
}

#[test]
fn a_misspelt_peers_is_one_error() {
    for key in ["peer", "pears", "accept_form"] {
        let text = format!("[trunk.pbx]\n{key} = ['sip:10.0.0.5']\n[[route]]\nconnect = ['trunk:pbx']\n");
        check(&text, &[("TG0104", 2, 1)]);
    }
    let text = "[trunk.pbx]\nringtimeout = '3s'\n[[route]]\nconnect = ['trunk:pbx']\n";
    check(text, &[("TG0127", 1, 8), ("TG0104", 2, 1), ("TG0128", 4, 12)]);
}

#[test]
fn a_duplicate_names_the_line_of_the_first() {
    let text = "# head\n[trunk.pbx]\npeers = ['sip:10.0.0.5']\n\n[trunk.pbx] # again\npeers = ['sip:10.0.0.6']\n[[route]]\nconnect = ['trunk:pbx']\n";
    let messages = |text: &str| found(text).into_iter().map(|one| one.message).collect::<Vec<_>>();
    assert_eq!(
        messages(text),
        ["duplicate key `pbx`: the first is in line 2", "duplicate key `peers`: the first is in line 3"]
    );
    let text = "[trunk.pbx]\npeers = ['sip:10.0.0.5']\nring_timeout = '3s'\nring_timeout = '4s'\n[[route]]\nconnect = ['trunk:pbx']\n";
    assert_eq!(messages(text), ["duplicate key `ring_timeout`: the first is in line 3"]);
    let inline = "[trunk.pbx]\npeers = ['sip:10.0.0.5']\nauth = { username = 'a', username = 'b', password = 'a-long-one' }\n[[route]]\nconnect = ['trunk:pbx']\n";
    assert_eq!(messages(inline), ["duplicate key `username`"]);
}

#[test]
fn a_peer_that_is_the_edge_itself_is_warned_of() {
    let text = |listen: &str, peer: &str| {
        format!(
            "[[listen]]\naddress = '{listen}'\n[trunk.a]\npeers = ['sip:{peer}']\n[[route]]\nconnect = ['trunk:a']\n"
        )
    };
    for (listen, peer) in [("127.0.0.1:5060", "127.0.0.1"), ("0.0.0.0:5070", "127.0.0.1:5070"), ("[::]:5060", "[::1]")]
    {
        check(&text(listen, peer), &[("wTG0158", 4, 10)]);
    }
    for (listen, peer) in [("127.0.0.1:5060", "127.0.0.1:5070"), ("0.0.0.0:5060", "127.0.0.1;transport=tcp")] {
        let found = places(&text(listen, peer));
        assert!(found.iter().all(|(code, ..)| code != "wTG0158"), "{found:?}");
    }
}

#[test]
fn recording_servers_that_are_not_there_are_told() {
    let server = "[siprec.vault]\npeers = ['sip:srs@192.0.2.9;transport=tcp', 'sip:192.0.2.10']\nrequired = true\n";
    // Line 7 of the text is a key of the route.
    check_behind(&format!("siprec = 'vault'\n{server}"), &[]);
    check_behind(&format!("siprec = ['vault', 'vaullt']\n{server}"), &[("TG0120", 7, 20)]);
    check_behind(&format!("siprec = ['vault', 'vault']\n{server}"), &[("TG0107", 7, 20)]);
    check_behind("siprec = 'carrier'\n", &[("TG0120", 7, 10)]);
    check_behind("[siprec.vault]\nrequired = true\n", &[("TG0106", 7, 1)]);
    check_line("[siprec.vault]", "peers = ['sip:0.0.0.0']", &[("TG0108", 10)]);
    check_behind("[siprec]\nservers = ['sip:192.0.2.9']\n", &[("TG0103", 8, 11)]);
    // A recording server cannot be a target.
    let targets = GOOD.replace("trunk:pbx'", "trunk:pbx', 'trunk:siprec:vault'");
    check(&format!("{targets}{server}"), &[("TG0120", 6, 25)]);
}
