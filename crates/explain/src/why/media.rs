//! Media in `why`: codecs, SRTP and DTMF of each side, and whether audio and DTMF are relayed unchanged.

use serde_json::{Value, json};
use trunkgate_route::{DtmfMode, Srtp, Trunk};

/// Returns the media settings of a trunk.
pub(super) fn of_trunk(trunk: &Trunk) -> Value {
    let srtp = match trunk.srtp {
        Srtp::Off => "off",
        Srtp::Optional => "optional",
        Srtp::Required => "required",
    };
    json!({ "codecs": trunk.codecs, "srtp": srtp, "dtmf": dtmf(trunk) })
}

fn dtmf(trunk: &Trunk) -> &'static str {
    match trunk.dtmf {
        DtmfMode::Rfc4733 => "rfc4733",
        DtmfMode::Info => "info",
        DtmfMode::Inband => "inband",
    }
}

/// Returns how audio and DTMF pass between two trunks: `{audio, common, keys}`.
pub(super) fn between(caller: &Trunk, target: &Trunk) -> Value {
    let common: Vec<&String> =
        caller.codecs.iter().filter(|one| target.codecs.iter().any(|other| one.eq_ignore_ascii_case(other))).collect();
    let same_keys = caller.dtmf == target.dtmf;
    // In-band DTMF is part of the audio, so it requires decoding.
    let in_audio = !same_keys && (caller.dtmf == DtmfMode::Inband || target.dtmf == DtmfMode::Inband);
    let audio = match (common.len(), caller.codecs.len().max(target.codecs.len())) {
        (0, _) => "converted",
        _ if in_audio => "converted",
        (1, 1) => "relayed",
        _ => "relayed_if_common",
    };
    json!({ "audio": audio, "common": common, "keys": if same_keys { "relayed" } else { "converted" } })
}

/// Formats the media settings of one side of a call.
pub(super) fn side(of: &Value) -> String {
    let word = |key: &str| of[key].as_str().unwrap_or_default();
    format!("codecs {}, srtp {}, dtmf {}", words(&of["codecs"]), word("srtp"), word("dtmf"))
}

/// Formats how audio and DTMF pass between the two sides.
pub(super) fn told(media: &Value) -> String {
    let audio = match media["audio"].as_str() {
        Some("relayed_if_common") => {
            format!("audio relayed if both sides support one of {}, otherwise transcoded", words(&media["common"]))
        }
        word => format!("audio {}", word.unwrap_or_default()),
    };
    format!("{audio}; keys {}", media["keys"].as_str().unwrap_or_default())
}

fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_relayed_and_what_is_converted() {
        let trunk = |codecs: &[&str], dtmf: DtmfMode| Trunk {
            codecs: codecs.iter().map(|codec| (*codec).to_owned()).collect(),
            dtmf,
            ..Trunk::named("t")
        };
        let (both, law) = (&["PCMU", "opus"][..], &["PCMU"][..]);
        for (caller, target, expected) in [
            (trunk(law, DtmfMode::Info), trunk(law, DtmfMode::Info), "audio relayed; keys relayed"),
            (
                trunk(both, DtmfMode::Rfc4733),
                trunk(&["OPUS", "PCMU", "PCMA"], DtmfMode::Rfc4733),
                "audio relayed if both sides support one of PCMU opus, otherwise transcoded; keys relayed",
            ),
            (
                trunk(both, DtmfMode::Rfc4733),
                trunk(law, DtmfMode::Info),
                "audio relayed if both sides support one of PCMU, otherwise transcoded; keys converted",
            ),
            (trunk(law, DtmfMode::Info), trunk(&["PCMA"], DtmfMode::Info), "audio converted; keys relayed"),
            (trunk(law, DtmfMode::Inband), trunk(law, DtmfMode::Rfc4733), "audio converted; keys converted"),
            (trunk(law, DtmfMode::Inband), trunk(law, DtmfMode::Inband), "audio relayed; keys relayed"),
        ] {
            assert_eq!(told(&between(&caller, &target)), expected);
        }
        assert_eq!(side(&of_trunk(&trunk(both, DtmfMode::Info))), "codecs PCMU opus, srtp off, dtmf info");
    }
}
