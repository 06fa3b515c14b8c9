//! What the running edge has seen in its calls, trunk by trunk: codecs that do not fit, packets that this machine does not let
//! out.

use serde_json::Value;

use crate::findings::{Finding, Level};

/// One line for each trunk in whose calls of the last hour codecs did not fit; `trunks` is `/v1/trunks`.
pub(super) fn codecs(trunks: &Value) -> Vec<Finding> {
    of_trunks(trunks, "codecs", "codec_mismatch", "no call of the last hour had codecs that do not fit")
}

/// One line for each trunk to which packets did not leave this machine.
pub(super) fn outbound(trunks: &Value) -> Vec<Finding> {
    of_trunks(trunks, "outbound udp", "unsent", "nothing was refused by this machine in calls of the last hour")
}

fn of_trunks(trunks: &Value, name: &str, key: &str, well: &str) -> Vec<Finding> {
    let trunks = trunks["trunks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let findings: Vec<Finding> = trunks.iter().filter_map(|trunk| of_trunk(trunk, name, key)).collect();
    if findings.is_empty() { vec![Finding::ok(name, well)] } else { findings }
}

/// From half of a trunk's calls on it is a failure.
fn of_trunk(trunk: &Value, name: &str, key: &str) -> Option<Finding> {
    let found = trunk.get(key)?;
    let (calls, of) = (found["calls"].as_u64()?, found["of"].as_u64()?);
    let text = |key: &str| found[key].as_str();
    let (of_trunk, cause, fix, sid) = (trunk["name"].as_str()?, text("cause")?, text("fix")?, text("last_sid")?);
    let text = format!("in {calls} of {of} calls of the last hour: {cause} (trunkgate trace {sid})");
    let finding = Finding::warn(format!("{name} {of_trunk}"), text, fix);
    Some(if calls * 2 >= of { Finding { level: Level::Fail, ..finding } } else { finding })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trunk_whose_codecs_do_not_fit_has_a_line_with_the_key() {
        let trunks = |calls: u64| {
            let found = json!({"calls": calls, "of": 9, "last_sid": "CA1", "fix": "`codecs = [\"PCMU\"]` in [trunk.pbx]",
                "cause": "pbx takes no codec that it was offered (488: it was offered PCMA by RTP/AVP)"});
            json!({"trunks": [{"name": "carrier"}, {"name": "pbx", "codec_mismatch": found}]})
        };
        let found = codecs(&trunks(2));
        assert_eq!((found.len(), found[0].level, found[0].name.as_str()), (1, Level::Warn, "codecs pbx"));
        assert!(found[0].text.starts_with("in 2 of 9 calls of the last hour: pbx takes no codec"), "{:?}", found[0]);
        assert!(found[0].fix.contains("[trunk.pbx]"));
        assert_eq!(codecs(&trunks(5))[0].level, Level::Fail);
        assert_eq!((outbound(&trunks(5))[0].level, outbound(&trunks(5))[0].name.as_str()), (Level::Ok, "outbound udp"));
        assert_eq!(codecs(&json!({"trunks": [{"name": "carrier"}]}))[0].level, Level::Ok);
    }
}
