//! Common mistakes in a file: each gets a suggestion.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::config_errors::{GOOD, found, places};

/// Returns the help of the only error in a text.
fn help_of(text: &str) -> String {
    match found(text).as_slice() {
        [one] => one.help.clone(),
        other => panic!("{text}: {} findings", other.len()),
    }
}

#[test]
fn common_slips_are_answered_with_what_was_meant() {
    let routed = |target: &str| GOOD.replace("trunk:pbx", target);
    let peer = |uri: &str| GOOD.replace("sip:10.0.0.5", uri);
    for (text, help) in [
        (GOOD.replace("[[route]]", "[[route]]\nto = [\"/^\\+44/\"]"), "single quotes"),
        (routed("pbx"), "\"trunk:pbx\""),
        (routed("trunks:pbx"), "\"trunk:pbx\""),
        (peer("sip:2001:db8::5"), "\"sip:[2001:db8::5]\""),
        (peer("10.0.0.5"), "\"sip:10.0.0.5\""),
        (GOOD.replace("[[route]]", "codecs = ['ulaw']\n[[route]]"), "\"PCMU\""),
        (GOOD.replace("[[route]]", "codecs = ['G711a']\n[[route]]"), "\"PCMA\""),
        (peer("sip:[2001:db8::5]"), "\"[::]:5060\""),
        (
            format!("{GOOD}[[listen]]\naddress = '[::]:0'\n").replace("198.51.100.7", "[2001:db8::1]"),
            "\"0.0.0.0:5060\"",
        ),
    ] {
        assert!(help_of(&text).contains(help), "{text}\n{}", help_of(&text));
    }
}

/// Returns the help of the only finding in a text.
fn help(text: &str) -> String {
    let mut found = found(text);
    assert_eq!(found.len(), 1, "{text}\n{found:#?}");
    found.pop().unwrap().help
}

#[test]
fn names_of_other_programs_and_keys_of_another_table_lead_to_ours() {
    let trunk = "[trunk.x]\npeers = 'sip:10.0.0.9'\n";
    for (lines, said) in [
        ("[edge]\nexternal_ip = '203.0.113.10'".to_owned(), "did you mean `public_address`?"),
        ("[edge]\nnat = true".into(), "here it is `latch` of [media]"),
        (format!("{trunk}idle_timeout = '30s'"), "`idle_timeout` belongs in [media]"),
        (format!("{trunk}media_encryption = 'sdes'"), "did you mean `srtp`?"),
        (format!("{trunk}srtp = true"), "should be one of off, optional, required"),
        ("[media]\nlatch = true".into(), "should be one of strict, relearn, off"),
    ] {
        let help = help(&format!("{GOOD}{lines}\n"));
        assert!(help.contains(said), "{lines}\n{help}");
    }
    let fork = help(&format!("{GOOD}fork = 'rtp://127.0.0.1:9000'\n"));
    assert!(fork.contains("write url = \"rtp://127.0.0.1:9000\" in [agent.NAME]"), "{fork}");
    let table = &found(&format!("{GOOD}{trunk}tls = true\n"))[0].message;
    assert_eq!(table, "`tls` is a boolean");
}

#[test]
fn a_value_of_another_type_is_answered_with_how_it_is_written() {
    let trunk = "[trunk.x]\npeers = 'sip:10.0.0.9'\n";
    let route = "[[route]]\nfrom = 'carrier'\nto = '1'\nconnect = 'trunk:pbx'\n";
    let quoted = |value: &str| format!("numbers with signs such as `+`: write \"{value}\"");
    for (lines, place, help) in [
        ("[media]\nports = 16384-32767".to_owned(), (8, 9), quoted("16384-32767")),
        (
            "[media]\nports = 16384".into(),
            (8, 9),
            "should be first and last port in quotation marks: \"16384-32767\"".into(),
        ),
        (format!("{trunk}max_calls = 4OO"), (9, 13), "`max_calls` is a whole number: write 400".into()),
        (format!("{trunk}max_calls = 4k"), (9, 13), "`max_calls` is a whole number: write it in digits alone".into()),
        (format!("{trunk}max_calls = \"400\""), (9, 13), "should be an integer: write 400".into()),
        (format!("{route}ring_timeout = 30s"), (11, 16), "is a duration, in quotation marks: write \"30s\"".into()),
        (format!("{route}ring_timeout = 30"), (11, 16), "write \"30s\" for seconds".into()),
        (format!("{route}record = yes"), (11, 10), "`record` is true or false: write true".into()),
        (format!("{route}record = \"no\""), (11, 10), "should be true or false: write false".into()),
        (format!("{route}record = 1"), (11, 10), "should be true or false: write true".into()),
        (format!("{route}when = 9:00-17:00"), (11, 8), quoted("9:00-17:00")),
        ("[edge]\npublic_address = 203.0.113.10".into(), (8, 18), quoted("203.0.113.10")),
        (format!("{trunk}accept_from = 10.0.0.0/8"), (9, 15), quoted("10.0.0.0/8")),
        (format!("{trunk}accept_from = [10.0.0.0/8]"), (9, 16), quoted("10.0.0.0/8")),
        (
            "[[route]]\nconnect = 'trunk:pbx'\nto = [+14155550100]".into(),
            (9, 7),
            "should be a string: write \"+14155550100\"".into(),
        ),
        ("[[route]]\nconnect = 'trunk:pbx'\nto = 0800".into(), (9, 6), quoted("0800")),
    ] {
        let text = format!("{GOOD}{lines}\n");
        let places = places(&text);
        assert!(places.iter().any(|(_, line, column)| (*line, *column) == place), "{lines}\n{places:?}");
        let all: Vec<String> = found(&text).into_iter().map(|one| one.help).collect();
        assert!(all.iter().any(|one| one.contains(&help)), "{lines}\n{all:?}");
    }
    let secret = found(&format!("{GOOD}[http]\ntoken = 12345678901234567890\n"));
    assert!(secret.iter().all(|one| !one.help.contains("123456789")), "{secret:?}");
}
