//! Observations of the running edge, by trunk: codec mismatches, packets that this machine did not send, parties that
//! cannot reach the announced address, and registered phones.

use std::net::IpAddr;

use serde_json::Value;
use trunkgate_call::OUR_ADDRESS;

use super::machine::written_addresses;
use crate::announced::TrunkAddresses;
use crate::findings::{Finding, Level};
use trunkgate_config::Config;

/// Returns a finding for each trunk with codec mismatches in the last hour; `trunks` is `/v1/trunks`.
pub(super) fn codecs(trunks: &Value) -> Vec<Finding> {
    of_trunks(trunks, "codecs", "codec_mismatch", "no codec mismatches in the last hour")
}

/// Returns a finding for each trunk with much lost audio in the last hour.
pub(super) fn loss(trunks: &Value) -> Vec<Finding> {
    of_trunks(trunks, "packet loss", "loss", "no call of the last hour lost much audio")
}

/// Returns a finding for each trunk to which this machine failed to send packets.
pub(super) fn outbound(trunks: &Value) -> Vec<Finding> {
    of_trunks(trunks, "outbound udp", "unsent", "this machine sent all packets of the last hour")
}

/// Returns a finding for each trunk that consists of phones only: the number of registered ones.
pub(super) fn phones(config: &Config, trunks: &Value) -> Vec<Finding> {
    let trunks = trunks["trunks"].as_array().into_iter().flatten();
    let of_trunk = |trunk: &Value| {
        let (name, phones) = (trunk["name"].as_str()?, trunk["phones"].as_array()?);
        let written = config.trunks.iter().find(|written| *written.name == *name)?;
        let line = format!("options {name}");
        written.peers.is_empty().then(|| match phones.len() {
            0 => {
                let fix = format!("check user, password and server in the phone (`trunkgate status`, trunk {name})");
                Finding::warn(line, "no phone is registered", fix)
            }
            1 => Finding::ok(line, "1 phone is registered"),
            phones => Finding::ok(line, format!("{phones} phones are registered")),
        })
    };
    trunks.filter_map(of_trunk).collect()
}

/// Returns a finding about an announced address of this file that remote parties cannot reach, from the calls of the
/// last hour; `None` if no call shows that. The finding is a failure while calls are silent because of it.
pub(super) fn by_our_address(config: &Config, announced: &[TrunkAddresses], trunks: &Value) -> Option<Finding> {
    let written = written_addresses(config);
    let shown = announced.iter().flat_map(|trunk| &trunk.announced).filter_map(|one| one.media);
    let shown: Vec<IpAddr> = written.iter().copied().chain(shown).collect();
    let of_trunk = |trunk: &Value| -> Vec<_> {
        let kinds = trunk["unheard"]["kinds"].as_array().into_iter().flatten();
        let found = |one: &Value| {
            let text = |key: &str| Some(one[key].as_str()?.to_owned());
            let told: IpAddr = one["told"].as_str().filter(|_| one["kind"] == OUR_ADDRESS)?.parse().ok()?;
            let ip = *shown.iter().find(|ip| **ip == told)?;
            let is_still = trunk["unheard"]["still"] == true;
            let name = trunk["name"].as_str()?.to_owned();
            Some((one["calls"].as_u64()?, is_still, ip, name, text("fix")?, text("last_sid")?))
        };
        kinds.filter_map(found).collect()
    };
    let all: Vec<_> = trunks["trunks"].as_array()?.iter().flat_map(of_trunk).collect();
    let (_, is_still, ip, trunk, fix, sid) = all.iter().max_by_key(|(calls, is_still, ..)| (*is_still, *calls))?;
    let calls = usize::try_from(all.iter().map(|(calls, ..)| calls).sum::<u64>()).unwrap_or(usize::MAX);
    let text = format!(
        "{ip} is {}, but {} sent no media in the last hour, most of them on trunk {trunk}; see: trunkgate trace {sid}",
        if written.contains(ip) { "configured" } else { "announced" },
        if calls == 1 { "1 party".to_owned() } else { format!("{calls} parties") }
    );
    let finding = Finding::warn("public address", text, fix.as_str());
    Some(if *is_still { Finding { level: Level::Fail, ..finding } } else { finding })
}

fn of_trunks(trunks: &Value, name: &str, key: &str, well: &str) -> Vec<Finding> {
    let trunks = trunks["trunks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let findings: Vec<Finding> = trunks.iter().filter_map(|trunk| of_trunk(trunk, name, key)).collect();
    if findings.is_empty() { vec![Finding::ok(name, well)] } else { findings }
}

/// Returns a trunk's problem `key` in calls of the last hour: a failure while it continues, because the exit code
/// equals that of `status --check`, otherwise a warning.
fn of_trunk(trunk: &Value, name: &str, key: &str) -> Option<Finding> {
    let found = trunk.get(key)?;
    let (calls, of) = (found["calls"].as_u64()?, found["of"].as_u64()?);
    let text = |key: &str| found[key].as_str();
    let (of_trunk, cause, fix, sid) = (trunk["name"].as_str()?, text("cause")?, text("fix")?, text("last_sid")?);
    let is_still = found["still"] == true;
    let past = if is_still { "" } else { " (not in the latest calls)" };
    let text = format!("in {calls} of {of} calls of the last hour: {cause}{past}; see: trunkgate trace {sid}");
    let finding = Finding::warn(format!("{name} {of_trunk}"), text, fix);
    Some(if is_still { Finding { level: Level::Fail, ..finding } } else { finding })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use trunkgate_call::AnnouncedAddresses;

    use super::super::configured;
    use super::*;

    #[test]
    fn an_address_that_is_written_is_judged_by_the_calls_that_fail_for_it() {
        let config = configured("[edge]\npublic_address = '203.0.113.9'\n");
        let with = |told: &str, calls: u64| {
            let kind = json!({"kind": "our_address", "told": told, "calls": calls, "last_sid": "CA1", "fix": "`public_address` as …"});
            // The last call, like most others, failed for another reason.
            let last = json!({"kind": "nothing", "calls": 5, "last_sid": "CA2", "fix": "ports"});
            let unheard = json!({"calls": 5 + calls, "of": 9, "kind": "nothing", "last_sid": "CA2", "fix": "ports",
                "cause": "nothing came", "kinds": [kind, last]});
            json!({"trunks": [{"name": "pbx"}, {"name": "carrier", "unheard": unheard}]})
        };
        let found = by_our_address(&config, &[], &with("203.0.113.9", 3)).unwrap();
        assert_eq!((found.level, found.name.as_str()), (Level::Warn, "public address"));
        assert!(
            found.text.starts_with("203.0.113.9 is configured, but 3 parties sent no media in the last hour"),
            "{found:?}"
        );
        assert!(found.text.ends_with("most of them on trunk carrier; see: trunkgate trace CA1"), "{found:?}");
        assert!(
            by_our_address(&config, &[], &with("203.0.113.9", 1)).unwrap().text.contains("but 1 party sent no media")
        );
        let mut silent = with("203.0.113.9", 3);
        silent["trunks"][1]["unheard"]["still"] = json!(true);
        assert_eq!(by_our_address(&config, &[], &silent).unwrap().level, Level::Fail);
        // The address comes from an interface, not from a configuration key.
        let to = "198.51.100.7".parse().unwrap();
        let announced = vec![AnnouncedAddresses { to, sip: None, media: Some("10.0.0.5".parse().unwrap()) }];
        let announced = [TrunkAddresses { name: "carrier".to_owned(), announced }];
        let found = by_our_address(&configured(""), &announced, &with("10.0.0.5", 2)).unwrap();
        assert!(found.text.starts_with("10.0.0.5 is announced, but 2 parties"), "{found:?}");
        // Silence at an address announced before, or at one with this prefix, does not count.
        assert_eq!(by_our_address(&config, &[], &with("203.0.113.99", 3)), None);
        assert_eq!(by_our_address(&config, &[], &json!({"trunks": [{"name": "pbx"}]})), None);
    }

    #[test]
    fn a_trunk_that_only_phones_make_has_a_line_of_them() {
        let auth =
            |user: &str| format!("accept_register = true\nrequire_auth = {{ username = '{user}', password = 'p' }}\n");
        let text = format!("[trunk.ben]\n{}[trunk.pbx]\npeers = ['sip:10.0.0.5']\n{}", auth("ben"), auth("pbx"));
        let config = configured(&text);
        let with =
            |phones: Value| json!({"trunks": [{"name": "ben", "phones": phones}, {"name": "pbx", "phones": []}]});
        let found = phones(&config, &with(json!([])));
        assert_eq!((found.len(), found[0].level, found[0].name.as_str()), (1, Level::Warn, "options ben"));
        assert_eq!(found[0].text, "no phone is registered");
        let found = phones(&config, &with(json!([{"address": "192.0.2.1:5060"}])));
        assert_eq!((found.len(), found[0].level, found[0].text.as_str()), (1, Level::Ok, "1 phone is registered"));
    }

    #[test]
    fn a_trunk_whose_codecs_do_not_fit_has_a_line_with_the_key() {
        let trunks = |still: bool| {
            let found = json!({"calls": 2, "of": 9, "still": still, "last_sid": "CA1", "fix": "`codecs = [\"PCMU\"]` in [trunk.pbx]",
                "cause": "pbx accepts no offered codec (488: it was offered PCMA by RTP/AVP)"});
            json!({"trunks": [{"name": "carrier"}, {"name": "pbx", "codec_mismatch": found}]})
        };
        let found = codecs(&trunks(true));
        assert_eq!((found.len(), found[0].level, found[0].name.as_str()), (1, Level::Fail, "codecs pbx"));
        assert!(
            found[0].text.starts_with("in 2 of 9 calls of the last hour: pbx accepts no offered codec"),
            "{:?}",
            found[0]
        );
        assert!(found[0].fix.contains("[trunk.pbx]"));
        assert!(!found[0].text.contains("not in the latest calls"), "{:?}", found[0]);
        let mended = codecs(&trunks(false));
        assert_eq!(mended[0].level, Level::Warn);
        assert!(
            mended[0].text.contains("by RTP/AVP) (not in the latest calls); see: trunkgate trace CA1"),
            "{mended:?}"
        );
        let outbound = outbound(&trunks(true));
        assert_eq!((outbound[0].level, outbound[0].name.as_str()), (Level::Ok, "outbound udp"));
        assert_eq!(codecs(&json!({"trunks": [{"name": "carrier"}]}))[0].level, Level::Ok);
    }
}
