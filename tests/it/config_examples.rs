//! Configuration examples of the repository: each is accepted and has the documented meaning.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use trunkgate_config::{self as config, Config};
use trunkgate_route::sms::EndedCall;
use trunkgate_route::{CallInfo, CallTarget, DestinationServer, RoutingTable};

use crate::support::depends_on_machine;
use crate::support::tls::Authority;

/// Loads a file that has no findings, apart from the overlap with this machine's ephemeral ports.
fn accepted(path: &Path) -> Config {
    match config::load(path) {
        Ok((config, warnings)) => {
            let others: Vec<_> = warnings.iter().filter(|warning| !depends_on_machine(warning.code)).collect();
            assert!(others.is_empty(), "{}: {others:?}", path.display());
            config
        }
        Err(found) => {
            let source = std::fs::read_to_string(path).unwrap();
            panic!("{}", config::render(path, &source, &found));
        }
    }
}

/// Loads an example; if the example names a certificate, from a folder that contains one.
fn accepted_example(path: &Path) -> Config {
    let text = std::fs::read_to_string(path).unwrap();
    if !text.contains("certificate = \"edge.pem\"") {
        return accepted(path);
    }
    let folder = tempfile::tempdir().unwrap();
    Authority::new(folder.path(), "ca").issue("edge", &["edge.example.com"]);
    let copy = folder.path().join("trunkgate.toml");
    std::fs::write(&copy, text).unwrap();
    accepted(&copy)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config")
}

/// The initial configuration of the Debian package and the image accepts nothing from other machines.
#[test]
fn a_fresh_installation_is_bound_to_loopback_and_has_no_trunk() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/trunkgate.toml");
    let (config, warnings) = config::load(&path).unwrap();
    assert!(
        warnings.iter().all(|warning| ["TG0130", "TG0202"].contains(&warning.code) || depends_on_machine(warning.code)),
        "{warnings:?}"
    );
    assert!(config.listen.iter().all(|listen| listen.address.ip().is_loopback()));
    assert!(config.media.address.iter().all(|address| address.is_loopback()));
    assert!(config.http.address.ip().is_loopback());
    assert!(config.trunks.is_empty() && config.routes.is_empty());
    assert_eq!(config.cdr.file.unwrap().path, Path::new("/var/lib/trunkgate/cdr.jsonl"));
}

#[test]
fn the_whole_file_is_accepted_and_bound_to_loopback() {
    let config = accepted(&folder().join("trunkgate.toml"));
    assert!(config.listen.iter().all(|listen| listen.address.ip().is_loopback()));
    assert!(config.media.address.iter().all(|address| address.is_loopback()));
    assert!(config.http.address.ip().is_loopback());
    assert!(
        config.trunks.iter().flat_map(|trunk| &trunk.peers).all(|peer| peer.addresses().all(|ip| ip.is_loopback()))
    );
    assert!(config.destinations().is_empty());
    let table = config.table(&HashMap::new());
    let route = |from, called| {
        let plan = table.plan(&CallInfo { from, called, caller: "+14155550000", ..CallInfo::default() }, &mut |_| 0)?;
        Some(plan.route.name.to_string())
    };
    assert_eq!(route("carrier", "+14155551234").as_deref(), Some("reception"));
    assert_eq!(route("carrier", "+12125550100").as_deref(), Some("inbound"));
    assert_eq!(route("pbx", "911").as_deref(), Some("emergency"));
    assert_eq!(route("pbx", "+442079460018").as_deref(), Some("outbound"));
    assert_eq!(table.trunk_of("127.0.0.1:5080".parse().unwrap()).unwrap().name.as_ref(), "pbx");
    assert_eq!(table.trunk_of("127.0.0.1:49999".parse().unwrap()).unwrap().name.as_ref(), "carrier");
}

/// Values documented as defaults are the defaults.
#[test]
fn the_whole_file_shows_the_defaults() {
    let shown = accepted(&folder().join("trunkgate.toml"));
    let text = "[trunk.carrier]\npeers = ['sip:127.0.0.1']\n[[route]]\nconnect = ['trunk:carrier']\n";
    let (default, _) = config::parse(Path::new("x.toml"), text).unwrap();
    assert_eq!(shown.edge.local_networks, default.edge.local_networks);
    assert_eq!(shown.edge.numbers.country(), default.edge.numbers.country());
    assert_eq!(shown.media.ports, default.media.ports);
    assert_eq!(shown.media.threads, default.media.threads);
    assert_eq!(shown.media.idle_timeout, default.media.idle_timeout);
    assert_eq!(shown.limits.calls, default.limits.calls);
    assert_eq!(shown.limits.calls_per_second, default.limits.calls_per_second);
    assert_eq!(shown.limits.sip_message_bytes, default.limits.sip_message_bytes);
    assert_eq!(shown.http.address, default.http.address);
    assert_eq!(shown.log.level, default.log.level);
    assert_eq!(shown.log.format, default.log.format);
    assert_eq!(shown.log.full_numbers, default.log.full_numbers);
    let (agent, plain) = (&shown.agents[0], trunkgate_route::Agent::at("x", "ws://127.0.0.1/"));
    assert_eq!((agent.connect_timeout, agent.ping), (plain.connect_timeout, plain.ping));
    assert_eq!((agent.on_close, agent.extras), (plain.on_close, plain.extras));
    assert_eq!((agent.first_audio_timeout, agent.retry), (plain.first_audio_timeout, plain.retry));
    assert_eq!((agent.max_call, &agent.allow_callers), (plain.max_call, &plain.allow_callers));
    assert_eq!((agent.max_sessions, agent.queue), (plain.max_sessions, plain.queue));
    assert_eq!(shown.api.account_sid.len(), default.api.account_sid.len());
    let (shown, default) = (&shown.trunks[0], &default.trunks[0]);
    assert_eq!(shown.codecs, default.codecs);
    assert_eq!(shown.ring_timeout, default.ring_timeout);
    assert_eq!(shown.no_response_timeout, default.no_response_timeout);
    assert_eq!(shown.session_expires, default.session_expires);
    assert_eq!(shown.failover_on, default.failover_on);
    assert_eq!(shown.max_calls, default.max_calls);
    assert_eq!(shown.calls_per_second, default.calls_per_second);
    assert_eq!(shown.send_numbers, default.send_numbers);
    assert_eq!((shown.pace, shown.identity), (default.pace, default.identity));
    assert_eq!(shown.peer_calls_per_second, default.peer_calls_per_second);
}

#[test]
fn every_example_is_accepted() {
    accepted(&folder().join("compose.toml"));
    let mut seen = 0;
    for entry in std::fs::read_dir(folder().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        // Some examples name these data files.
        if ["numbers.csv", "on-call.xml"].iter().any(|name| path.ends_with(name)) {
            continue;
        }
        assert_eq!(path.extension().and_then(|extension| extension.to_str()), Some("toml"), "{}", path.display());
        accepted_example(&path);
        seen += 1;
    }
    assert!(seen >= 5);
}

#[test]
fn the_example_of_texts_sends_what_it_says() {
    let config = accepted(&folder().join("examples/missed-call-text.toml"));
    assert_eq!(config.data.directory, folder().join("examples"), "beside the configuration");
    let table = config.table(&HashMap::new());
    let call = CallInfo { from: "carrier", called: "+14155551234", caller: "+14155550100", ..CallInfo::default() };
    let plan = table.plan(&call, &mut |_| 0).unwrap();
    let number = |text: &str| table.numbers().normalise_caller(text, None);
    let (caller, called) = (number("+14155550100"), number("+14155550123"));
    let ended = EndedCall {
        caller: Some(&caller),
        called: &called,
        route: "reception",
        trunk: "carrier",
        outcome: "busy",
        reason: "target_busy",
    };
    let (to, body) = plan.route.sms.as_ref().unwrap().write(&ended, table.numbers()).unwrap();
    assert_eq!(to, "+14155550100");
    assert_eq!(body, "Sorry we missed your call. Reply here, or call +14155550123 again.");
}

#[test]
fn peers_get_their_addresses_from_the_name_service() {
    let config = accepted(&folder().join("examples/two-carriers.toml"));
    let destinations = config.destinations();
    let hosts: Vec<&str> = destinations.iter().map(|destination| destination.host.as_str()).collect();
    assert_eq!(hosts, ["sbc1.cheap.example", "sbc2.cheap.example", "backup.cheap.example"]);
    let transport = destinations[0].transport;
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    let server = DestinationServer { transport, port: 5070, tier: 0, priority: 0, weight: 0, addresses };
    let found = HashMap::from([(destinations[0].clone(), vec![server])]);
    let table = config.table(&found);
    assert_eq!(table.trunk_of("192.0.2.1:5060".parse().unwrap()).unwrap().name.as_ref(), "cheap");
    let call = CallInfo { from: "pbx", called: "+12125550100", ..CallInfo::default() };
    let plan = table.plan(&call, &mut |_| 0).unwrap();
    let [CallTarget::Trunk { peers, .. }, _] = &plan.targets[..] else { panic!("{:?}", plan.targets) };
    assert_eq!(peers.last().unwrap().destination.host, "backup.cheap.example");
}

fn table(file: &str) -> RoutingTable {
    accepted_example(&folder().join("examples").join(file)).table(&HashMap::new())
}

/// Returns the name of the route for a call, and the targets.
fn way(table: &RoutingTable, from: &str, called: &str, at: &str, draw: u32) -> (String, String) {
    let at = at.parse().unwrap();
    let call = CallInfo { from, called, caller: "+14155550000", at, headers: &[], draw: Some(draw) };
    let plan = table.plan(&call, &mut |_| 0).unwrap();
    let target = |target: &CallTarget| match target {
        CallTarget::Trunk { trunk, number: Some(number), .. } => {
            let number = table.numbers().normalise_caller(number, None);
            format!("{}/{}", trunk.name, table.numbers().format(&number, trunk.send_numbers))
        }
        CallTarget::Trunk { trunk, .. } => trunk.name.to_string(),
        CallTarget::Agent(agent) => agent.name.to_string(),
        CallTarget::App(app) => app.name.to_string(),
        CallTarget::Uri { .. } | CallTarget::Reject(_) | CallTarget::RingAll(_) => panic!("{target:?}"),
    };
    (plan.route.name.to_string(), plan.targets.iter().map(target).collect::<Vec<_>>().join(" "))
}

#[test]
fn the_examples_send_their_calls_where_they_say() {
    let noon = "2026-11-20T11:00:00Z";
    for (file, from, called, at, route, targets) in [
        ("twilio-to-pbx.toml", "twilio", "+14155551234", noon, "inbound", "pbx"),
        ("twilio-to-pbx.toml", "pbx", "+14155551234", noon, "outbound", "twilio"),
        ("pbx-to-twilio.toml", "pbx", "911", noon, "emergency", "carrier twilio"),
        ("pbx-to-twilio.toml", "pbx", "+12125550100", noon, "out", "twilio carrier"),
        ("pbx-to-twilio.toml", "twilio", "+14155551234", noon, "in", "pbx carrier/+14155550199"),
        ("telnyx-to-agent.toml", "telnyx", "+14155551234", noon, "inbound", "receptionist pbx"),
        ("telnyx-to-agent.toml", "pbx", "+14155551234", noon, "outbound", "telnyx"),
        ("carrier-to-elevenlabs.toml", "carrier", "+14155550100", noon, "reception", "elevenlabs pbx"),
        ("carrier-to-elevenlabs.toml", "carrier", "+14155550101", noon, "others", "pbx"),
        ("carrier-to-livekit.toml", "carrier", "+14155550100", noon, "reception", "livekit pbx"),
        ("carrier-to-teams.toml", "carrier", "+14155551234", noon, "in", "teams"),
        ("carrier-to-teams.toml", "teams", "+12125550100", noon, "out", "carrier"),
        ("two-carriers.toml", "pbx", "112", noon, "emergency", "solid cheap"),
        ("two-carriers.toml", "pbx", "+12125550100", noon, "out", "cheap solid"),
        (
            "agent-then-mobile.toml",
            "carrier",
            "+12125550100",
            noon,
            "reception",
            "receptionist twilio/+14155550199 carrier/+14155550198",
        ),
        ("after-hours.toml", "carrier", "+493012345678", noon, "open", "pbx night"),
        ("after-hours.toml", "carrier", "+493012345678", "2026-11-20T17:00:00Z", "closed", "night pbx"),
        ("after-hours.toml", "carrier", "+493012345678", "2026-12-25T11:00:00Z", "closed", "night pbx"),
        ("after-hours.toml", "carrier", "+493012345678", "2026-11-21T11:59:00Z", "open", "pbx night"),
        ("after-hours.toml", "pbx", "112", noon, "emergency", "carrier"),
        ("after-hours.toml", "pbx", "+493012345678", noon, "out", "carrier/03012345678"),
        ("after-hours.toml", "pbx", "+14155551234", noon, "abroad", "carrier"),
        ("numbers-from-a-file.toml", "carrier", "+14155551234", noon, "numbers", "pbx/1001 receptionist"),
        ("numbers-from-a-file.toml", "carrier", "+14155551235", noon, "numbers", "pbx"),
        ("numbers-from-a-file.toml", "carrier", "+14155551300", noon, "numbers", "receptionist"),
        ("numbers-from-a-file.toml", "carrier", "+14155551300", "2026-11-20T17:00:00Z", "numbers", "pbx/1300"),
        ("numbers-from-a-file.toml", "carrier", "+14155559999", noon, "numbers", "pbx/+14155559999"),
        ("numbers-from-a-file.toml", "carrier", "+12125550100", noon, "unknown", "receptionist"),
        ("numbers-from-a-file.toml", "pbx", "911", noon, "emergency", "carrier"),
        ("apps.toml", "carrier", "+14155550100", noon, "number +14155550100", "ivr"),
        ("apps.toml", "carrier", "+14155550101", noon, "number +14155550101", "on-call"),
        ("apps.toml", "carrier", "+14155550102", noon, "inbound", "pbx ivr"),
        ("apps.toml", "pbx", "+14155550100", noon, "number +14155550100", "ivr"),
        ("apps.toml", "pbx", "+14155550101", noon, "outbound", "carrier"),
        ("disaster-recovery.toml", "new", "+14155551234", noon, "outbound", "carrier twilio"),
    ] {
        let expected = (route.to_owned(), targets.to_owned());
        assert_eq!(way(&table(file), from, called, at, 0), expected, "{file} {from} {called} {at}");
    }
    let sites = table("disaster-recovery.toml");
    let ways: Vec<_> = (0..1_000).map(|draw| way(&sites, "carrier", "+14155551234", noon, draw)).collect();
    let canary = ways.iter().filter(|(route, targets)| {
        let expected =
            if route == "canary" { "new old_a old_b twilio/+14155550199" } else { "old_a old_b twilio/+14155550199" };
        assert_eq!(targets, expected);
        route == "canary"
    });
    assert!((10..60).contains(&canary.count()));
}

/// Some platforms are called by number, others by a user that names the project, assistant, agent or room.
#[test]
fn the_examples_of_agent_platforms_try_the_platform_first() {
    let at = "2026-11-20T11:00:00Z";
    for (platform, user) in [
        ("elevenlabs", ""),
        ("jambonz", ""),
        ("livekit", ""),
        ("openai", "/proj_0123456789abcdef"),
        ("pipecat", "/reception.0"),
        ("retell", ""),
        ("ultravox", "/agent_0123"),
        ("vapi", "/acme-reception"),
    ] {
        let table = table(&format!("carrier-to-{platform}.toml"));
        let expected = ("reception".to_owned(), format!("{platform}{user} pbx"));
        assert_eq!(way(&table, "carrier", "+14155550100", at, 0), expected);
    }
    let expected = ("route-1".to_owned(), "receptionist".to_owned());
    let table = table("whatsapp-to-agent.toml");
    assert_eq!(way(&table, "whatsapp", "+14155550100", at, 0), expected);
    let expected = ("route-2".to_owned(), "whatsapp".to_owned());
    assert_eq!(way(&table, "pbx", "+12125550100", at, 0), expected);
}
