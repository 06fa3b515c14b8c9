//! `transfer_to` of an agent: accepted values, and findings for others.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use trunkgate_config as config;

use crate::support::depends_on_machine;

fn file(list: &str) -> String {
    format!(
        "[trunk.carrier]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = 'agent:a'\n[agent.a]\nurl = 'ws://127.0.0.1/'\n\
         transfer_to = {list}\n"
    )
}

#[test]
fn where_an_agent_may_transfer_to_is_as_written() {
    let all = ["agent:a", "trunk:*/+1415*", "sip:*@pbx.example.com"];
    for (list, expected) in
        [("[]", &[][..]), ("'*'", &["*"]), ("['agent:a', 'trunk:*/+1415*', 'sip:*@pbx.example.com']", &all)]
    {
        let (config, found) = config::parse(Path::new("t.toml"), &file(list)).unwrap();
        assert!(found.iter().all(|found| found.code == "TG0123"), "{found:?}");
        let rules = config.agents[0].transfer_to.as_ref().unwrap();
        assert_eq!(rules.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{list}");
    }
}

#[test]
fn mistakes_in_it_are_named() {
    for (list, code, about) in [
        ("[5]", "TG0103", "5"),
        ("['reject:486']", "TG0112", "'reject:486'"),
        ("['trunk:']", "TG0112", "'trunk:'"),
        ("'sip:pbx.example.com'", "TG0112", "'sip:pbx.example.com'"),
        ("['agent:*', 'trunk:nowhere']", "TG0120", "'trunk:nowhere'"),
        ("['agent:nobody']", "TG0133", "'agent:nobody'"),
        ("['trunk:carrier/4155551234']", "TG0129", "'trunk:carrier/4155551234'"),
    ] {
        let text = file(list);
        let (Ok((_, found)) | Err(found)) = config::parse(Path::new("t.toml"), &text);
        let found: Vec<_> = found.iter().filter(|found| !depends_on_machine(found.code)).collect();
        let [one] = &found[..] else { panic!("{list}: {found:#?}") };
        assert_eq!((one.code, &text[one.span.clone().unwrap()]), (code, about), "{list}: {}", one.message);
        assert!(!one.help.is_empty());
    }
}
