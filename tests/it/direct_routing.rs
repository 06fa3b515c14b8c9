//! Requirements of Microsoft Teams Direct Routing and similar services: the edge's host name in place of the address,
//! and the Allow header.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::path::Path;

use crate::support::calls::{Call, NUMBER, Phone, media_of, received, rtp};
use crate::support::secure::{Media, described, with_lifetime_and_mki};
use crate::support::sip::field;
use crate::support::tls::{Authority, Client, Server};
use crate::support::{Process, config, until};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use trunkgate_media::rtp::RtpHeader;

const HOST: &str = "sbc.example.com";
static VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// Starts an edge between a carrier and a trunk that sees host names; both route to each other.
fn edge(carrier: &Phone, teams: &Phone, hosts: &str) -> Process {
    let teams = teams.trunk("teams").replace("\"0s\"", "\"10m\"");
    let text = format!(
        "{}{teams}{hosts}\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:teams\"]\n\
         [[route]]\nfrom = [\"teams\"]\nconnect = [\"trunk:carrier\"]\n",
        carrier.trunk("carrier")
    );
    Process::start(&config(&text))
}

/// Checks that the Contact of a message has the edge's host name.
fn assert_named(edge: &Process, message: &str) {
    let (contact, port) = (field(message, "Contact"), edge.address("udp").port());
    assert!(contact.ends_with(&format!("@{HOST}:{port}>")), "{message}");
}

/// Answers the edge's first OPTIONS, so that the trunk is up; returns the request.
fn answer_options(teams: &Phone) -> String {
    let (options, from) = teams.sip.receive("OPTIONS ");
    teams.sip.send(from, &teams.sip.answer_with(&options, "200 OK", ""));
    options
}

/// Teams answers so to OPTIONS of a host name that is not paired with the tenant.
#[test]
fn a_trunk_that_rejects_the_host_name_is_a_problem_until_it_accepts_it() {
    let (carrier, teams) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let text = format!(
        "{}{}contact_host = \"{HOST}\"\n[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:teams\"]\n",
        carrier.trunk("carrier"),
        teams.trunk("teams").replace("\"0s\"", "\"1s\"")
    );
    let edge = Process::start(&config(&text));
    let answer = |status: &str| {
        let (options, from) = teams.sip.receive("OPTIONS ");
        teams.sip.send(from, &teams.sip.answer_with(&options, status, ""));
    };
    let problems = || edge.json("/v1/status")["problem_details"].clone();
    answer("403 Forbidden");
    let problem = until("the problem is shown", || problems().as_array()?.first().cloned());
    assert_eq!(problem["headline"], format!("trunk teams rejects the host name {HOST}"), "{problem}");
    assert_eq!(
        (&problem["kind"], &problem["trunk"], &problem["host"]),
        (&"host_rejected".into(), &"teams".into(), &HOST.into())
    );
    assert!(edge.whole_log().contains(&format!("it does not know the host name {HOST}")), "{}", edge.log());
    answer("200 OK");
    until("the problem is over", || problems().as_array()?.is_empty().then_some(()));
}

/// Returns the methods in the Allow header of a message.
fn allowed(message: &str) -> Vec<&str> {
    field(message, "Allow").split(", ").collect()
}

/// Teams executes a transfer itself unless Allow has REFER and NOTIFY.
#[test]
fn options_and_answers_say_whether_transfers_may_come() {
    for (refer, is_allowed) in [("local", true), ("return", true), ("refuse", false)] {
        let (carrier, teams) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
        let edge = edge(&carrier, &teams, &format!("refer = \"{refer}\"\n"));
        let says = |message: &str| {
            let methods = allowed(message);
            assert!(methods.contains(&"NOTIFY") && methods.contains(&"REFER") == is_allowed, "{message}");
        };
        says(&answer_options(&teams));
        let sip = edge.address("udp");
        teams.sip.send(sip, &teams.sip.request_with("OPTIONS", "edge", sip, "asked", (1, ""), ""));
        says(&teams.sip.receive("SIP/2.0 200").0);
        let call = Call::set_up(&edge, "in", &teams, &carrier);
        says(&call.ok);
        // Allow depends on the trunk.
        assert!(allowed(&call.invite.0).contains(&"REFER"), "{}", call.invite.0);
        call.hang_up(2, &teams, &carrier);
    }
}

#[test]
fn requests_to_a_trunk_have_the_name_of_the_edge() {
    let (carrier, teams) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let hosts = format!("contact_host = \"{HOST}\"\nfrom_host = \"calls.example.com\"\n");
    let edge = edge(&carrier, &teams, &hosts);
    let port = edge.address("udp").port();
    let options = answer_options(&teams);
    assert_eq!(field(&options, "Contact"), format!("<sip:{HOST}:{port}>"));
    let written = field(&options, "From");
    assert!(written.starts_with(&format!("<sip:calls.example.com:{port}>;tag=")), "{options}");

    let call = Call::set_up(&edge, "out", &carrier, &teams);
    let invite = &call.invite.0;
    assert_named(&edge, invite);
    assert!(field(invite, "From").starts_with("<sip:+14155550100@calls.example.com>;tag="), "{invite}");
    assert!(!invite.contains(&format!("127.0.0.1:{port}>")), "{invite}");
    // The other side still sees the edge's address.
    assert!(field(&call.ok, "Contact").ends_with(&format!("@127.0.0.1:{port}>")), "{}", call.ok);

    let hold = carrier.description(2, "a=sendonly\r\n");
    let again = carrier.sip.request_with("INVITE", NUMBER, call.sip, &call.id, (2, &call.tag), &hold);
    carrier.sip.send(call.sip, &again);
    let (invite, from) = teams.sip.receive("INVITE ");
    assert_named(&edge, &invite);
    let answer = teams.description(2, "a=recvonly\r\n");
    teams.sip.send(from, &teams.sip.answer_with(&invite, "200 OK", &answer));
    teams.sip.receive("ACK ");
    carrier.sip.receive("SIP/2.0 200");
    let ack = carrier.sip.request_with("ACK", NUMBER, call.sip, &call.id, (2, &call.tag), "");
    carrier.sip.send(call.sip, &ack);
    call.hang_up(3, &carrier, &teams);
}

#[test]
fn answers_and_notifications_to_a_trunk_have_the_name_of_the_edge() {
    let (carrier, teams) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&carrier, &teams, &format!("contact_host = \"{HOST}\"\n"));
    answer_options(&teams);
    let call = Call::set_up(&edge, "in", &teams, &carrier);
    assert_named(&edge, &call.ok);
    let hold = teams.description(2, "a=sendonly\r\n");
    let ok = call.change(2, (&teams, &hold), (&carrier, &carrier.description(2, "a=recvonly\r\n")));
    assert_named(&edge, &ok);
    call.hang_up(3, &teams, &carrier);

    let call = Call::set_up(&edge, "referred", &carrier, &teams);
    let invite = &call.invite.0;
    assert!(field(invite, "From").starts_with(&format!("<sip:+14155550100@{HOST}>;tag=")), "{invite}");
    let to = format!("Refer-To: <sip:+12125550100@{HOST}:{}>\r\n", call.sip.port());
    teams.sip.send(call.invite.1, &call.of_callee(&teams, "REFER", 1, &to));
    let (accepted, _) = teams.sip.receive("SIP/2.0 202");
    assert_named(&edge, &accepted);
    let (notify, from) = teams.sip.receive("NOTIFY ");
    assert_named(&edge, &notify);
    teams.sip.send(from, &teams.sip.answer_with(&notify, "200 OK", ""));
    // The number in Refer-To is routed like a call from this trunk.
    let (invite, from) = carrier.sip.receive("INVITE ");
    assert!(invite.starts_with("INVITE sip:+12125550100@"), "{invite}");
    carrier.sip.send(from, &carrier.sip.answer_with(&invite, "486 Busy Here", ""));
}

#[test]
fn a_host_name_of_the_edge_has_no_scheme_port_or_address() {
    for name in ["sbc.example.com", "sbc", "sbc-1.example.com", "1.sbc.example"] {
        let text = format!("[trunk.x]\npeers = 'sip:192.0.2.1'\ncontact_host = '{name}'\nfrom_host = '{name}'\n");
        let (config, _) = trunkgate_config::parse(Path::new("trunkgate.toml"), &text).unwrap();
        assert_eq!(config.trunks[0].own_hosts.contact.as_deref(), Some(name));
        assert_eq!(config.trunks[0].own_hosts.from.as_deref(), Some(name));
    }
    let long = "a".repeat(64);
    for name in [
        "",
        "203.0.113.10",
        "2001:db8::1",
        "sbc.example.com:5061",
        "sip:sbc.example.com",
        "a@b.example",
        "*.b.example",
        "b..example",
        "b.example.",
        "-b.example",
        &long,
    ] {
        let text = format!("[trunk.x]\npeers = 'sip:192.0.2.1'\ncontact_host = '{name}'\n");
        let path = Path::new("trunkgate.toml");
        let found = trunkgate_config::parse(path, &text).unwrap_err();
        let json = trunkgate_config::to_json(path, &text, &found);
        let one = json.as_array().unwrap().iter().find(|one| one["code"] == "TG0105");
        let place = one.map(|one| (one["line"].as_u64(), one["column"].as_u64()));
        assert_eq!(place, Some((Some(3), Some(16))), "{text}{json:#}");
    }
}

/// A user in Refer-To is not a number: the INVITE goes to a peer of the same trunk, with Refer-To and Referred-By
/// unchanged.
#[test]
fn a_refer_to_a_user_of_the_trunk_is_called_at_the_trunk() {
    let [carrier, teams, second] = ["127.0.0.1", "127.0.0.5", "127.0.0.6"].map(Phone::new);
    let edge = Process::start(&config(&format!(
        "{}[trunk.teams]\npeers = [{{ uri = \"sip:{}\", priority = 1 }}, {{ uri = \"sip:{}\", priority = 2 }}]\n\
         options_interval = \"0s\"\ncontact_host = \"{HOST}\"\nrefer = \"return\"\nallow_prefixes = [\"+1\"]\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:teams\"]\ncaller_id = \"+14155550199\"\n",
        carrier.trunk("carrier"),
        teams.sip.address,
        second.sip.address
    )));
    let call = Call::set_up(&edge, "returned", &carrier, &teams);
    assert!(allowed(&call.invite.0).contains(&"REFER"), "{}", call.invite.0);
    let user = format!("sip:{};x-m=8:orgid:fce2158f-0e99-4ff7-a0b3", second.sip.address);
    let by = format!("<sip:{};x-m=8:orgid:bdc0511a-4a8d;x-t=2d88cb42;x-tt=ahr0chm6%3d>", teams.sip.address);
    let refer = |cseq, to: &str| {
        let headers = format!("Refer-To: <{to}>\r\nReferred-By: {by}\r\n");
        teams.sip.send(call.invite.1, &call.of_callee(&teams, "REFER", cseq, &headers));
    };
    // Neither a number nor a host of the trunk.
    refer(1, "sip:elsewhere.example;x-m=8:orgid:fce2158f");
    teams.sip.receive("SIP/2.0 484");
    refer(2, &user);
    teams.sip.receive("SIP/2.0 202");
    let (invite, from) = second.sip.receive("INVITE ");
    assert!(invite.starts_with(&format!("INVITE {user} SIP/2.0\r\n")), "{invite}");
    assert_eq!(
        (field(&invite, "To"), field(&invite, "Referred-By")),
        (format!("<{user}>").as_str(), by.as_str()),
        "{invite}"
    );
    assert!(field(&invite, "From").starts_with(&format!("<sip:+14155550100@{HOST}>;tag=")), "{invite}");
    assert_named(&edge, &invite);
    second.sip.send(from, &second.sip.answer_with(&invite, "200 OK", &second.description(1, "")));
    second.sip.receive("ACK ");
    // The user's audio reaches the carrier, and the transferor gets a NOTIFY.
    until("the carrier hears the user", || {
        second.rtp.send_to(&rtp(11, 11), media_of(&invite)).unwrap();
        let (packet, _) = received(&carrier.rtp);
        packet[RtpHeader::parse(&packet).unwrap().payload].iter().all(|heard| *heard == 11).then_some(())
    });
    until("the last NOTIFY", || {
        let (notify, from) = teams.sip.receive("NOTIFY ");
        teams.sip.send(from, &teams.sip.answer_with(&notify, "200 OK", ""));
        notify.ends_with("\r\n\r\nSIP/2.0 200 OK\r\n").then_some(())
    });
    teams.sip.send(call.invite.1, &call.of_callee(&teams, "BYE", 3, ""));
    teams.sip.receive("SIP/2.0 200");
    call.hang_up(2, &carrier, &second);
}

/// Teams adds `|2^31|1:1` to its keys and puts the MKI into each packet; silence is comfort noise (payload type 13).
#[test]
fn keys_with_lifetime_and_mki_are_taken_and_comfort_noise_is_relayed() {
    let (carrier, teams) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let edge = edge(&carrier, &teams, "srtp = \"required\"\n");
    let offer = with_lifetime_and_mki(&described(&teams, 1, "0 13", Some((1, 5)), "sendrecv"));
    assert!(offer.contains("|2^31|1:1\r\n"), "{offer}");
    let answer = described(&carrier, 1, "0 13", None, "sendrecv");
    let call = Call::agree(edge.address("udp"), "mki", (&teams, &offer), (&carrier, &answer));
    assert!(call.ok.contains("RTP/SAVP 0 13"), "{}", call.ok);
    let mut near = Media::new(&teams, call.near, Some(5), &call.ok).with_mki(5);
    near.send(&rtp(7, 1));
    let (speech, _) = received(&carrier.rtp);
    assert_eq!(speech[RtpHeader::parse(&speech).unwrap().payload], [1; 160]);
    let mut noise = Vec::new();
    let header = RtpHeader { marker: false, payload_type: 13, sequence: 2, timestamp: 320, ssrc: 7, payload: 0..0 };
    header.build(&[60], &mut noise);
    near.send(&noise);
    let (heard, _) = received(&carrier.rtp);
    let read = RtpHeader::parse(&heard).unwrap();
    assert_eq!((read.payload_type, &heard[read.payload]), (13, &[60][..]));
    carrier.rtp.send_to(&rtp(9, 4), call.far).unwrap();
    let back = near.receive();
    assert_eq!(back[RtpHeader::parse(&back).unwrap().payload], [4; 160]);
    call.hang_up(2, &teams, &carrier);
}

/// Hub like Microsoft's: it requires a client certificate, presents a server-only certificate, and exchanges OPTIONS in
/// both directions.
#[test]
fn a_hub_with_the_preset_for_teams_finds_what_it_checks() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let own = authority.issue("edge", &[HOST]);
    let theirs = authority.issue_for_servers("hub", &["127.0.0.5", "sip.pstnhub.microsoft.com"], (2099, 1, 1));
    let (hub, carrier) = (Server::new("127.0.0.5", &theirs, Some(&authority)), Phone::new("127.0.0.1"));
    let edge = Process::start(&config(&format!(
        "[[listen]]\nname = \"s\"\ntransport = \"tls\"\naddress = \"127.0.0.1:0\"\n{}\nclient_ca = {:?}\n\
         [trunk.teams]\npreset = \"microsoft-teams\"\ncontact_host = \"{HOST}\"\npeers = [\"sip:{};transport=tls\"]\n\
         accept_from = [\"127.0.0.5/32\"]\noptions_interval = \"10m\"\n\
         tls = {{ ca = {:?}, {}, names = [\"sip.pstnhub.microsoft.com\"], client_certificate_usage = \"any\" }}\n\
         {}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:teams\"]\n",
        own.keys("\n"),
        authority.file,
        hub.address,
        authority.file,
        own.keys(", "),
        carrier.trunk("carrier")
    )));
    let contact = |user: &str| format!("<sip:{user}{HOST}:{};transport=tls>", edge.address("tls").port());

    let mut line = hub.accept().unwrap();
    assert_eq!(line.shown.as_ref(), own.read().0.first());
    let options = line.receive("OPTIONS");
    assert_eq!(field(&options, "Contact"), contact(""));
    assert!(field(&options, "From").starts_with(&format!("{};tag=", contact(""))), "{options}");
    line.send(&line.answer(&options, "200 OK", false));

    let client = Client { from: "127.0.0.5", trusts: &authority, shows: Some(&theirs), versions: &VERSIONS };
    let mut asking = client.connect_as(HOST, edge.address("tls")).unwrap();
    asking.send(&asking.request("OPTIONS", &format!("sip:{HOST}"), "o", 1, ""));
    let answer = asking.receive("SIP/2.0 200");
    assert!(allowed(&answer).contains(&"NOTIFY") && allowed(&answer).contains(&"REFER"), "{answer}");

    let sip = edge.address("udp");
    let offer = carrier.description(1, "");
    carrier.sip.send(sip, &carrier.sip.request_with("INVITE", NUMBER, sip, "call", (1, ""), &offer));
    let invite = line.receive("INVITE");
    assert_eq!(field(&invite, "Contact"), contact("+14155550100@"));
    assert!(field(&invite, "From").starts_with(&format!("<sip:+14155550100@{HOST}>;tag=")), "{invite}");
    assert!(invite.contains(" RTP/SAVP 0") && invite.contains(" AES_CM_128_HMAC_SHA1_80 inline:"), "{invite}");
    line.send(&line.answer(&invite, "486 Busy Here", false));
    carrier.sip.receive("SIP/2.0 486");
}

#[test]
fn the_user_of_from_has_no_scheme_host_or_escape() {
    let text = |user: &str| format!("[trunk.x]\npeers = 'sip:192.0.2.1'\nfrom_user = '{user}'\n");
    let path = Path::new("trunkgate.toml");
    for user in ["e12345p0", "1234567t0", "acme.sbc-1", "+493012345678"] {
        let (config, _) = trunkgate_config::parse(path, &text(user)).unwrap();
        assert_eq!(config.trunks[0].from_user.as_deref(), Some(user));
    }
    let long = "a".repeat(65);
    for user in ["", "a@b.example", "sip:a", "a b", "a;b", "a%20b", "<a>", "ä", &long] {
        let found = trunkgate_config::parse(path, &text(user)).unwrap_err();
        let json = trunkgate_config::to_json(path, &text(user), &found);
        let one = json.as_array().unwrap().iter().find(|one| one["code"] == "TG0105");
        let place = one.map(|one| (one["line"].as_u64(), one["column"].as_u64()));
        assert_eq!(place, Some((Some(3), Some(13))), "{user}{json:#}");
    }
    let (config, _) = trunkgate_config::parse(path, "[trunk.x]\npreset = 'sipgate'\nfrom_user = 'e12345p0'\n").unwrap();
    let trunk = &config.trunks[0];
    assert_eq!(trunk.preferred_identity, Some(trunkgate_route::SendNumbers::PlusLess));
    assert_eq!(trunk.own_hosts.from_host(), Some("sipconnect.sipgate.de"));
}
