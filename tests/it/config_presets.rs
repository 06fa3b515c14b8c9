//! Presets: the settings of a trunk with a preset, the precedence of the trunk's own keys, and the places of mistakes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::Path;

use trunkgate_config::{self as config, Config, Diagnostic, preset};
use trunkgate_route::{CallInfo, HoldMode, ReferTo, ReinviteMode, SendNumbers, Srtp, Transport, Trunk};

use crate::support::depends_on_machine;

fn parsed(text: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let without_ports = |mut found: Vec<Diagnostic>| {
        found.retain(|diagnostic| !depends_on_machine(diagnostic.code));
        found
    };
    match config::parse(Path::new("trunkgate.toml"), text) {
        Ok((config, found)) => Ok((config, without_ports(found))),
        Err(found) => Err(without_ports(found)),
    }
}

fn read(text: &str) -> (Config, Vec<Diagnostic>) {
    parsed(text).unwrap_or_else(|found| panic!("{}", config::render(Path::new("trunkgate.toml"), text, &found)))
}

fn trunk(lines: &str) -> Trunk {
    read(&format!("[trunk.x]\n{lines}\n")).0.trunks.remove(0)
}

fn uris(trunk: &Trunk) -> Vec<&str> {
    trunk.peers.iter().map(|peer| peer.uri.as_str()).collect()
}

/// Returns the code, line and message of each finding for a trunk's lines.
fn wrong(lines: &str) -> Vec<(String, u64, String)> {
    let text = format!("[trunk.x]\n{lines}\n[[route]]\nconnect = ['trunk:x']\n");
    let (Ok((_, found)) | Err(found)) = parsed(&text);
    let json = config::to_json(Path::new("t.toml"), &text, &found);
    let one = |(diagnostic, json): (&Diagnostic, &serde_json::Value)| {
        (diagnostic.code.to_owned(), json["line"].as_u64().unwrap_or(0), diagnostic.message.clone())
    };
    found.iter().zip(json.as_array().unwrap()).map(one).collect()
}

const SHORTEST: &str = "\
[trunk.twilio]
preset = \"twilio\"
domain = \"acme.pstn.twilio.com\"

[trunk.pbx]
preset = \"freepbx\"
peers = [\"sip:10.0.0.5\"]

[[route]]
from = [\"twilio\"]
connect = [\"trunk:pbx\"]

[[route]]
from = [\"pbx\"]
connect = [\"trunk:twilio\"]
";

#[test]
fn the_shortest_useful_file_is_enough() {
    let (config, warnings) = read(SHORTEST);
    let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["TG0135"], "no certificate is configured: {warnings:?}");
    assert!(warnings[0].message.ends_with("(preset twilio)"));
    let listeners: Vec<_> = config.listen.iter().map(|listen| listen.name.as_str()).collect();
    assert_eq!(listeners, ["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060", "tls:0.0.0.0:5061"]);
    assert_eq!(config.trunks.len(), 2);
    let text = SHORTEST.replace("domain", "secure = false\ndomain");
    let (config, warnings) = read(&text);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.listen.len(), 2);
}

#[test]
fn twilio_is_secure_unless_it_says_otherwise() {
    let secure = trunk("preset = 'twilio'\ndomain = 'acme.pstn.twilio.com'");
    assert_eq!(uris(&secure), ["sip:acme.pstn.twilio.com;transport=tls"]);
    assert_eq!((secure.peers[0].destination.transport, secure.srtp), (Transport::Tls, Srtp::Required));
    assert_eq!(secure.accept_from.len(), 8);
    assert!(secure.accept_from.iter().any(|network| network.to_string() == "54.172.60.0/30"));
    assert_eq!(secure.media_from[0].to_string(), "168.86.128.0/18");
    assert_eq!((secure.no_response_timeout.as_secs(), secure.send_numbers), (4, SendNumbers::E164));
    let plain = trunk("preset = 'twilio'\ndomain = 'ACME.pstn.twilio.com'\nsecure = false");
    assert_eq!(uris(&plain), ["sip:acme.pstn.twilio.com"]);
    assert_eq!((plain.peers[0].destination.transport, plain.srtp), (Transport::Udp, Srtp::Off));
}

#[test]
fn edges_are_tried_in_their_order() {
    let lines = "preset = 'twilio'\ndomain = 'acme.pstn.twilio.com'\nsecure = false\nedges = ['umatilla', 'ashburn']";
    let trunk = trunk(lines);
    assert_eq!(uris(&trunk), ["sip:acme.pstn.umatilla.twilio.com", "sip:acme.pstn.ashburn.twilio.com"]);
    for number in [0, 1, 7] {
        let order: Vec<_> =
            trunk.ordered_peers(&mut |total| number.min(total - 1)).into_iter().map(|p| p.uri).collect();
        assert_eq!(order, uris(&trunk));
    }
}

#[test]
fn any_key_of_the_trunk_wins() {
    let lines = "preset = 'twilio'\npeers = ['sip:127.0.0.1:5070']\nsrtp = 'optional'\naccept_from = ['127.0.0.1']\n\
                 media_from = []\nno_response_timeout = '1s'\ncodecs = ['PCMA']";
    let trunk = trunk(lines);
    assert_eq!(uris(&trunk), ["sip:127.0.0.1:5070"]);
    assert_eq!((trunk.srtp, trunk.no_response_timeout.as_secs()), (Srtp::Optional, 1));
    assert_eq!((trunk.accept_from.len(), trunk.media_from.len()), (1, 0));
    assert_eq!(trunk.codecs, ["PCMA"]);
}

/// Returns variants of a trunk's keys with the preset: the minimum, and one for each setting that selects other values.
fn settings(preset: &preset::Preset) -> Vec<String> {
    let own = match &preset.domain {
        Some(domain) => format!("domain = 'acme{}'\n", domain.forms[0].ends),
        None if preset.needs_peers() => "peers = ['sip:10.0.0.5']\n".to_owned(),
        None => String::new(),
    };
    let required = preset.left_out.iter().filter(|one| one.is_required && one.key != "peers");
    let own = required.fold(own, |own, one| format!("{own}{} = 'sbc.example.com'\n", one.key));
    let plain = preset.keys.iter().any(|key| key == "secure").then(|| format!("{own}secure = false\n"));
    let regions = preset.regions.iter().map(|region| format!("{own}region = '{region}'\n"));
    std::iter::once(own.clone()).chain(plain).chain(regions).collect()
}

#[test]
fn every_value_has_a_source_and_is_a_key_of_this_version() {
    for preset in preset::all() {
        assert!(!preset.title.is_empty() && !preset.values.is_empty(), "{}", preset.name);
        for value in &preset.values {
            let known = value.source.starts_with("https://") || value.source.starts_with("SIP Forum, ");
            assert!(known, "{} {}: {:?}", preset.name, value.key, value.source);
            let date = value.date.split('-').map(str::len).collect::<Vec<_>>();
            assert_eq!(date, [4, 2, 2], "{} {}: {:?}", preset.name, value.key, value.date);
            assert!(value.region.is_empty() || preset.regions.contains(&value.region), "{} {value:?}", preset.name);
        }
        for header in &preset.own_headers {
            assert!(header.source.starts_with("https://"), "{}", header.name);
        }
        for own in settings(preset) {
            let found = wrong(&format!("preset = '{}'\n{own}", preset.name));
            // There may be warnings about a TLS listener, and about media networks that the provider does not document.
            let has_media = preset.left_out.iter().all(|one| one.key != "media_from");
            let expected = |code: &str| code == "TG0135" || (code == "TG0151" && !has_media);
            assert!(found.iter().all(|(code, ..)| expected(code)), "{} {own}: {found:?}", preset.name);
        }
        for one in &preset.left_out {
            assert!(!one.note.is_empty() && (one.source.is_empty() || one.source.starts_with("https://")), "{one:?}");
            assert!(
                preset.values.iter().all(|value| value.key != one.key),
                "{}: {} is not left out",
                preset.name,
                one.key
            );
        }
        // A nonsense value shows that the key is read.
        for value in &preset.values {
            let lines = format!("preset = '{}'\n{} = {}", preset.name, value.key, "{ nonsense = 1 }");
            let peers = if value.key == "peers" { "" } else { "\npeers = ['sip:10.0.0.5']" };
            let found = wrong(&format!("{lines}{peers}"));
            assert!(found.iter().any(|(_, line, _)| *line == 3), "{} {}: {found:?}", preset.name, value.key);
        }
    }
}

#[test]
fn a_mistake_is_on_a_line_of_the_users_and_names_the_preset() {
    // The preset needs a TLS listener, which is missing.
    let text = format!("[[listen]]\naddress = '127.0.0.1:5060'\n{SHORTEST}");
    let found = parsed(&text).unwrap_err();
    let shown = config::render(Path::new("trunkgate.toml"), &text, &found);
    let expected = "\
error[TG0121]: no listener supports tls, required by sip:acme.pstn.twilio.com;transport=tls (preset twilio)
 --> trunkgate.toml:5:10
  |
5 | domain = \"acme.pstn.twilio.com\"
  |          ^^^^^^^^^^^^^^^^^^^^^^ add a [[listen]] with transport = \"tls\" and address = \"0.0.0.0:5061\"
";
    assert!(shown.starts_with(expected), "{shown}");
    // The same network appears twice, the second time by a preset.
    let text = "[trunk.a]\naccept_from = ['54.172.60.0/30']\npeers = ['sip:10.0.0.1']\n\
                [trunk.b]\npreset = 'twilio'\npeers = ['sip:10.0.0.2']\nsecure = false\n\
                [[route]]\nconnect = ['trunk:a']\n";
    let (_, warnings) = read(text);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].message, "54.172.60.0/30 already belongs to trunk a (preset twilio)");
    let span = warnings[0].span.clone().unwrap();
    assert_eq!(&text[span], "'twilio'");
}

#[test]
fn a_region_selects_the_addresses() {
    let networks = |trunk: &Trunk| trunk.accept_from.iter().map(|one| one.addr().to_string()).collect::<Vec<_>>();
    for (region, peer, first) in [
        ("", "sip:sip.telnyx.com", "192.76.120.10"),
        ("region = 'us'", "sip:sip.telnyx.com", "192.76.120.10"),
        ("region = 'eu'", "sip:sip.telnyx.eu", "185.246.41.140"),
    ] {
        let trunk = trunk(&format!("preset = 'telnyx'\n{region}"));
        assert_eq!((uris(&trunk), networks(&trunk)[0].as_str()), (vec![peer], first), "{region}");
        assert_eq!((trunk.accept_from.len(), trunk.media_from.len()), (2, 14));
    }
    let own = trunk("preset = 'telnyx'\nregion = 'eu'\npeers = ['sip:127.0.0.1:5070']");
    assert_eq!((uris(&own), networks(&own)[0].as_str()), (vec!["sip:127.0.0.1:5070"], "185.246.41.140"));
}

/// Each example in a guide of a preset has the expected first peer, number of networks for calls and for audio, and
/// codecs.
#[test]
fn guides_of_carriers_and_pbxs_are_short_and_their_examples_are_accepted() {
    for (name, peer, accept_from, media_from, codecs) in [
        ("telnyx", "sip:sip.telnyx.com", 2, 14, "PCMU PCMA"),
        ("bandwidth", "sip:acme.a1b2c3.auth.bandwidth.com", 2, 0, "PCMU"),
        ("vonage", "sip:acme.sip-eu.vonage.com", 12, 2, "PCMU PCMA G722"),
        ("plivo", "sip:21784177241578.zt.plivo.com", 14, 0, "PCMU PCMA"),
        ("didww", "sip:fra.eu.out.didww.com", 7, 2, "PCMU PCMA"),
        ("signalwire", "sip:acme-0123.sip.signalwire.com", 0, 0, "PCMU PCMA G722 opus"),
        ("cloudonix", "sip:border.cloudonix.io", 0, 0, "PCMU PCMA opus"),
        ("sipgate", "sip:sipconnect.sipgate.de", 0, 0, "G722 PCMA PCMU"),
        ("cisco-cube", "sip:10.0.0.5", 0, 0, "PCMU PCMA"),
        ("avaya", "sip:10.0.0.5", 0, 0, "PCMU PCMA"),
    ] {
        let path = format!("{}/docs/guides/{name}.md", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(&path).unwrap();
        assert!(page.split_whitespace().count() <= 300, "{path}");
        let example = page.split("```toml\n").nth(1).and_then(|block| block.split("```").next()).unwrap();
        assert!(example.contains(&format!("preset = \"{name}\"")), "{path}");
        // Passwords of the guides are in the environment, which is not that of the tests.
        let secret = format!("{{ env = \"{}_PASSWORD\" }}", name.to_uppercase());
        let (config, warnings) = read(&example.replace(&secret, "\"put your own here\""));
        assert!(warnings.is_empty(), "{path}: {warnings:?}");
        let trunk = config.trunks.iter().find(|trunk| trunk.peers[0].uri == peer).unwrap();
        let told = (trunk.accept_from.len(), trunk.media_from.len(), trunk.codecs.join(" "));
        assert_eq!(told, (accept_from, media_from, codecs.to_owned()), "{path}");
    }
    let telnyx = include_str!("../../docs/guides/telnyx.md");
    assert!(telnyx.contains(include_str!("../../config/examples/telnyx-to-agent.toml")), "the guide shows the file");
}

#[test]
fn what_the_far_end_does_not_bear_is_warned_of() {
    let lines = |interval: &str| {
        let domain = "domain = 'a.pstn.twilio.com'";
        format!("preset = 'twilio'\nsecure = false\n{domain}\noptions_interval = '{interval}'")
    };
    for interval in ["0s", "15s", "1m"] {
        assert_eq!(wrong(&lines(interval)), [], "{interval}");
    }
    let found = wrong(&lines("5s"));
    assert_eq!((found[0].0.as_str(), found[0].1), ("TG0105", 5));
    assert!(found[0].2.contains("may block sources that send OPTIONS more often"), "{found:?}");
}

#[test]
fn what_cannot_be_used_is_said() {
    for (lines, code, line, part) in [
        ("preset = 'twillio'\npeers = ['sip:h']", "TG0105", 2, "unknown preset: twillio"),
        ("preset = 3\npeers = ['sip:h']", "TG0103", 2, "`preset`"),
        ("preset = 'twilio'", "TG0106", 2, "requires `domain`"),
        ("preset = 'twilio'\ndomain = 'acme.example.com'", "TG0108", 3, "acme.example.com"),
        ("preset = 'twilio'\ndomain = 'a b.pstn.twilio.com'", "TG0108", 3, "a b.pstn.twilio.com"),
        ("preset = 'twilio'\ndomain = '.pstn.twilio.com'", "TG0108", 3, ".pstn.twilio.com"),
        ("preset = 'twilio'\ndomain = 'a.pstn.twilio.com'\nedges = ['ashbrn']\nsecure = false", "TG0105", 4, "ashbrn"),
        (
            "preset = 'twilio'\ndomain = 'a.pstn.ashburn.twilio.com'\nedges = ['dublin']",
            "TG0105",
            4,
            "already names an edge location",
        ),
        (
            "preset = 'twilio'\ndomain = 'a.sip.us1.twilio.com'\nedges = ['dublin']",
            "TG0105",
            4,
            "already names an edge location",
        ),
        ("preset = 'twilio'\ndomain = 'a.x.twilio.com'\nedges = ['dublin']", "TG0105", 4, "has no form for an edge"),
        ("preset = 'twilio'\ndomain = 'a.sip.twilio.com'\nedges = ['dubln']\nsecure = false", "TG0105", 4, "dubln"),
        ("preset = 'twilio'\ndomain = 'a.pstn.twilio.com'\nsecure = 'no'", "TG0103", 4, "`secure`"),
        ("preset = 'freepbx'\npeers = ['sip:h']\nsecure = true", "TG0105", 4, "preset freepbx does not support it"),
        ("domain = 'a.pstn.twilio.com'\npeers = ['sip:h']", "TG0105", 2, "requires a preset"),
        ("preset = 'freepbx'\npeers = ['sip:h']\nregion = 'eu'", "TG0105", 4, "preset freepbx does not support it"),
        ("region = 'eu'\npeers = ['sip:h']", "TG0105", 2, "requires a preset"),
        (
            "preset = 'plivo'",
            "TG0106",
            2,
            "preset plivo requires `peers`: the termination domain of your outbound trunk",
        ),
        ("preset = 'telnyx'\nregion = 'mars'", "TG0105", 3, "unknown region: mars"),
        ("preset = 'freepbx'", "TG0127", 1, "neither `peers` nor `accept_from`"),
        (
            "preset = 'twilio'\ndomain = 'a.pstn.twilio.com'\npeers = ['sip:h']\nsecure = false",
            "TG0105",
            3,
            "`domain` and `peers`",
        ),
        (
            "preset = 'twilio'\nedges = ['dublin']\npeers = ['sip:h']\nsecure = false",
            "TG0105",
            3,
            "`edges` and `peers`",
        ),
    ] {
        let found = wrong(lines);
        let hit = found.iter().find(|(found, at, message)| found == code && *at == line && message.contains(part));
        assert!(hit.is_some(), "{lines}: {found:?}");
        // No further finding follows from this one.
        assert!(
            found.iter().all(|(code, ..)| !["TG0127", "TG0128"].contains(&code.as_str()) || part.contains("neither"))
        );
    }
}

#[test]
fn a_domain_may_be_of_a_place_or_of_programmable_sip() {
    for domain in [
        "acme.pstn.ashburn.twilio.com",
        "acme.pstn.us1.twilio.com",
        "acme.sip.twilio.com",
        "acme.sip.dublin.twilio.com",
        "a.b.sip.twilio.com",
    ] {
        let trunk = trunk(&format!("preset = 'twilio'\nsecure = false\ndomain = '{domain}'"));
        assert_eq!(uris(&trunk), [format!("sip:{domain}")]);
    }
}

#[test]
fn edges_of_a_sip_domain_have_the_form_of_sip_domains() {
    let of = |domain: &str, more: &str| {
        trunk(&format!("preset = 'twilio'\ndomain = '{domain}'\nedges = ['dublin', 'sao-paulo']\n{more}"))
    };
    let secure = of("acme.sip.twilio.com", "");
    let expected = ["sip:acme.sip.dublin.twilio.com;transport=tls", "sip:acme.sip.sao-paulo.twilio.com;transport=tls"];
    assert_eq!((uris(&secure), secure.srtp), (expected.to_vec(), Srtp::Required));
    assert_eq!((secure.accept_from.len(), secure.media_from.len()), (8, 1));
    let plain = of("A.b.sip.twilio.com", "secure = false");
    let expected = ["sip:a.b.sip.dublin.twilio.com", "sip:a.b.sip.sao-paulo.twilio.com"];
    assert_eq!((uris(&plain), plain.srtp), (expected.to_vec(), Srtp::Off));
}

#[test]
fn the_guide_of_byoc_leads_calls_both_ways() {
    let page = include_str!("../../docs/guides/twilio-byoc.md");
    assert!(page.split_whitespace().count() <= 300);
    let text = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let (config, warnings) = read(&text.replace("{ env = \"TWILIO_PASSWORD\" }", "\"put your own here\""));
    assert!(warnings.is_empty(), "{warnings:?}");
    let byoc = config.trunks.iter().find(|trunk| trunk.name.as_ref() == "byoc").unwrap();
    assert_eq!(uris(byoc), ["sip:acme.sip.ashburn.twilio.com", "sip:acme.sip.umatilla.twilio.com"]);
    let table = config.table(&HashMap::new());
    let route = |from, called| {
        let call = CallInfo { from, called, caller: "+14155551234", ..CallInfo::default() };
        table.plan(&call, &mut |_| 0).unwrap().route.name.to_string()
    };
    assert_eq!(route("carrier", "+14155551234"), "to-twilio");
    assert_eq!(route("byoc", "+12125550100"), "from-twilio");
    assert_eq!(table.trunk_of("54.172.60.1:5060".parse().unwrap()).unwrap().name.as_ref(), "byoc");
}

#[test]
fn limits_and_transfers_of_trunks_are_not_those_of_sip_domains() {
    let of = |lines: &str| {
        let trunk = trunk(&format!("preset = 'twilio'\n{lines}"));
        (trunk.calls_per_second_out, trunk.congested_on, trunk.refer_to)
    };
    let of_trunk = (1, vec![429, 503], ReferTo::Tel);
    let of_domain = (0, Vec::new(), ReferTo::Edge);
    assert_eq!(of("domain = 'acme.pstn.twilio.com'"), of_trunk);
    assert_eq!(of("domain = 'acme.pstn.dublin.twilio.com'"), of_trunk);
    assert_eq!(of("domain = 'acme.sip.twilio.com'"), of_domain);
    assert_eq!(of("domain = 'acme.sip.dublin.twilio.com'"), of_domain);
    assert_eq!(of("domain = 'acme.sip.twilio.com'\ncalls_per_second = { out = 5 }").0, 5);
    // `domain` has no effect together with `peers`.
    let beside = "domain = 'acme.sip.twilio.com'\nsecure = false\npeers = ['sip:127.0.0.1:5070']";
    assert_eq!(of(beside), of_trunk);
}

/// Presets of agent platforms, each with its first peer if all customers share it.
const PLATFORMS: [(&str, &str); 9] = [
    ("openai", "sip:sip.api.openai.com;transport=tls"),
    ("retell", "sip:sip.retellai.com;transport=tcp"),
    ("vapi", "sip:sip.vapi.ai"),
    ("elevenlabs", "sip:sip.rtc.elevenlabs.io:5060;transport=tcp"),
    ("livekit", ""),
    ("ultravox", ""),
    ("jambonz", ""),
    ("pipecat", ""),
    ("whatsapp", "sip:wa.meta.vc;transport=tls"),
];

#[test]
fn platforms_of_agents_are_called_at_their_hosts_or_at_the_users_own() {
    for (name, peer) in PLATFORMS {
        let preset = preset::find(name).unwrap();
        assert_eq!(preset.needs_peers(), peer.is_empty(), "{name}");
        assert!(peer.is_empty() || uris(&trunk(&format!("preset = '{name}'"))) == [peer], "{name}");
        assert!(preset.values.iter().all(|value| value.date == "2026-11-28"), "{name}");
        let found = wrong(&format!("preset = '{name}'"));
        assert_eq!(found.iter().any(|(code, line, _)| code == "TG0106" && *line == 2), peer.is_empty(), "{found:?}");
    }
    let eu = trunk("preset = 'openai'\nregion = 'eu'");
    assert_eq!(uris(&eu), ["sip:sip-eu.api.openai.com;transport=tls"]);
    assert_eq!((eu.srtp, eu.media_from.len(), eu.accept_from.len()), (Srtp::Required, 4, 0));
    let eu = trunk("preset = 'vapi'\nregion = 'eu'");
    assert_eq!((uris(&eu), eu.accept_from.len(), eu.media_from.len()), (vec!["sip:sip.eu.vapi.ai"], 1, 1));
    assert!(wrong("preset = 'vapi'\nregion = 'asia'").iter().any(|(code, line, _)| code == "TG0105" && *line == 3));
}

/// Meta answers each re-INVITE with 500.
#[test]
fn whatsapp_is_sent_no_re_invite() {
    let trunk = trunk("preset = 'whatsapp'");
    assert_eq!(trunk.peers[0].destination.transport, Transport::Tls);
    assert_eq!((trunk.srtp, trunk.hold), (Srtp::Required, HoldMode::Local));
    assert_eq!(trunk.reinvite, ReinviteMode::Local);
    assert!(trunk.session_expires.is_zero() && trunk.options_interval.is_zero());
    assert_eq!(trunk.codecs, ["opus"]);
}

/// Maximum number of words in a guide, including commands and configuration.
const MAX_GUIDE_WORDS: usize = 300;

#[test]
fn a_platform_of_agents_has_an_example_and_a_short_guide() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text =
        |path: String| std::fs::read_to_string(top.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    for (name, _) in PLATFORMS {
        let guide = if ["openai", "pipecat"].contains(&name) { format!("{name}-sip") } else { name.to_owned() };
        let guide = text(format!("docs/guides/{guide}.md"));
        let example = if name == "whatsapp" { "whatsapp-to-agent".to_owned() } else { format!("carrier-to-{name}") };
        let example = format!("config/examples/{example}.toml");
        let named = format!("preset = \"{name}\"");
        assert!(text(example.clone()).contains(&named) && guide.contains(&named), "{name}");
        assert!(guide.contains(&example), "{name}");
        let words = guide.split_whitespace().count();
        assert!(words <= MAX_GUIDE_WORDS, "{name}: {words} words");
    }
}

#[test]
fn teams_is_called_at_its_three_hubs_in_order_by_the_name_of_the_edge() {
    let teams = trunk("preset = 'microsoft-teams'\ncontact_host = 'sbc.example.com'");
    let hubs = ["sip", "sip2", "sip3"].map(|hub| format!("sip:{hub}.pstnhub.microsoft.com;transport=tls"));
    assert_eq!(uris(&teams), hubs);
    assert_eq!(teams.peers.iter().map(|peer| peer.destination.port_or_default()).collect::<Vec<_>>(), [5061; 3]);
    for number in [0, 1, 7] {
        let order: Vec<_> =
            teams.ordered_peers(&mut |total| number.min(total - 1)).into_iter().map(|peer| peer.uri).collect();
        assert_eq!(order, hubs);
    }
    assert_eq!((teams.srtp, teams.send_numbers, teams.hold), (Srtp::Required, SendNumbers::E164, HoldMode::Local));
    assert_eq!(teams.codecs, ["PCMU", "PCMA", "G722"]);
    assert_eq!(teams.accept_from, teams.media_from);
    assert_eq!(teams.own_hosts.from_host(), Some("sbc.example.com"));
    // Teams does not answer without the host name: the preset names the missing key and the reason.
    let found = wrong("preset = 'microsoft-teams'");
    let missing = found.iter().find(|(code, ..)| code == "TG0106").unwrap();
    assert_eq!(missing.1, 2, "{found:?}");
    assert!(
        missing.2.starts_with("preset microsoft-teams requires `contact_host`: host name of the edge"),
        "{found:?}"
    );
    assert!(missing.2.contains("(https://learn.microsoft.com/en-us/microsoftteams/direct-routing-protocols-sip)"));
}

/// The names are defined once; the page of all keys and the files are checked against them.
#[test]
fn the_documentation_has_the_names_of_all_presets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let names: Vec<String> = preset::all().iter().map(|preset| preset.name.to_owned()).collect();
    let keys = read("docs/reference/keys.md");
    let row = keys.lines().find(|line| line.starts_with("| `preset` |")).unwrap();
    let written: Vec<&str> = row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2).collect();
    assert_eq!(written, names);
    let mut files: Vec<String> = std::fs::read_dir(root.join("presets"))
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().path().file_stem()?.to_str()?.to_owned()))
        .collect();
    let mut sorted = names.clone();
    files.sort();
    sorted.sort();
    assert_eq!(files, sorted, "each file of presets/ is one");
}
