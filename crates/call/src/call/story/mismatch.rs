//! Calls that fail because of their codecs: reported with the offered and the allowed codecs and the configuration key
//! that helps, and recorded for the trunk at fault. [`trunkgate_story::diagnosis`] finds codecs in received packets
//! that differ from the negotiated ones.

use std::sync::Arc;

use trunkgate_route::Trunk;
use trunkgate_sdp::EDGE_CODECS;
use trunkgate_story::diagnosis::{Diagnosis, FaultCause};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg::policy;
use crate::call::words::answer::TargetFailure;

/// Warn codes about unsupported streams and formats (RFC 3261 §20.43).
const MEDIA_TYPE: u16 = 304;
const FORMAT: u16 = 305;

/// A side of a call that failed because of its codecs.
#[derive(Debug, Clone)]
pub(crate) struct CodecSide {
    /// Name of the side: trunk, agent or URI.
    pub(crate) name: String,
    pub(crate) trunk: Option<Arc<Trunk>>,
    /// Offered codecs, if known.
    pub(crate) offered: Option<Vec<String>>,
    pub(crate) is_agent: bool,
}

impl CodecSide {
    /// Returns the edge's codecs that this side may use.
    fn codecs(&self) -> Vec<String> {
        policy(self.trunk.as_deref()).codecs
    }

    /// Returns the configuration by which this side may also use the codecs `more`.
    fn with(&self, more: &[&str]) -> String {
        let all = self.codecs().into_iter().chain(more.iter().map(|codec| (*codec).to_owned()));
        let all = all.map(|codec| format!("\"{codec}\"")).collect::<Vec<_>>().join(", ");
        match &self.trunk {
            Some(trunk) => format!("`codecs = [{all}]` in [trunk.{}]", trunk.name),
            None => format!("a trunk for {} with `codecs = [{all}]`", self.name),
        }
    }

    /// Returns the offered codecs that the edge transcodes: those that the trunk allows, then the others. `None` if the
    /// offer is unknown.
    fn offered_of_the_edge(&self) -> Option<(Vec<&'static str>, Vec<&'static str>)> {
        let offered = self.offered.as_ref()?;
        let has = |codecs: &[String], codec: &str| codecs.iter().any(|one| one.eq_ignore_ascii_case(codec));
        let own = self.codecs();
        Some(EDGE_CODECS.iter().filter(|codec| has(offered, codec)).partition(|codec| has(&own, codec)))
    }
}

/// Codecs that remote parties ask for and the edge passes through without transcoding.
const FOREIGN: [&str; 9] = ["G729", "G729A", "G723", "G726", "GSM", "iLBC", "AMR", "Speex", "EVS"];

/// Returns the codecs that the Warning header in a response names: those that the edge transcodes, and those of
/// [`FOREIGN`].
fn wanted(detail: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let warning = detail.split_once("Warning: ").map_or("", |(_, warning)| warning);
    let words: Vec<&str> = warning.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let named = |codec: &&&str| words.iter().any(|word| word.eq_ignore_ascii_case(codec));
    let of = |all: &[&'static str]| all.iter().filter(named).copied().collect();
    (of(&EDGE_CODECS), of(&FOREIGN))
}

/// Returns the fix, and `true` if it must be made at the caller's side. `detail` is the target's response.
fn fix(caller: &CodecSide, target: Option<&CodecSide>, detail: &str) -> (String, bool) {
    let all = EDGE_CODECS.join(", ");
    if let Some((_, unnamed)) = caller.offered_of_the_edge().filter(|(named, _)| named.is_empty()) {
        if !unnamed.is_empty() {
            return (format!("set {}, so that the offer of {} is accepted", caller.with(&unnamed), caller.name), true);
        }
        let offered = caller.offered.as_deref().unwrap_or_default().join(", ");
        let other = target.filter(|target| !target.is_agent).map(|target| format!(", or {offered} at {}", target.name));
        let text = format!(
            "enable one of {all} at {}{}: {offered} is passed through, but not transcoded",
            caller.name,
            other.unwrap_or_default()
        );
        return (text, true);
    }
    let Some(target) = target.filter(|target| !target.is_agent) else {
        return (format!("enable one of {} at {}", caller.codecs().join(", "), caller.name), true);
    };
    let own = target.codecs();
    let lacks = |codec: &&&str| !own.iter().any(|own| own.eq_ignore_ascii_case(codec));
    let missing: Vec<&str> = EDGE_CODECS.iter().filter(lacks).copied().collect();
    let (name, own) = (&target.name, own.join(", "));
    let (wanted, foreign) = wanted(detail);
    let asked: Vec<&str> = missing.iter().filter(|codec| wanted.contains(codec)).copied().collect();
    let text = match missing.as_slice() {
        _ if !asked.is_empty() => format!("set {}: {name} requests it", target.with(&asked)),
        _ if !wanted.is_empty() => {
            let only = wanted.iter().map(|codec| format!("\"{codec}\"")).collect::<Vec<_>>().join(", ");
            let asked = wanted.join(", ");
            let key = target.trunk.as_ref().map_or(String::new(), |trunk| format!(" in [trunk.{}]", trunk.name));
            format!(
                "offer {asked} alone with `codecs = [{only}]`{key}: {name} requests it, and got it among others; if {name} rejects that as well, \
                 compare its `srtp` and packet time (`ptime`) with ours in the trace"
            )
        }
        _ if !foreign.is_empty() => {
            let foreign = foreign.join(", ");
            format!(
                "enable one of {own} at {name}, or {foreign} at {}: {foreign} is passed through, but not transcoded",
                caller.name
            )
        }
        [] => format!("enable one of {own} at {name}: all codecs that the edge transcodes are offered already"),
        some => format!("add a codec of {name} with {}, or enable one of {own} at {name}", target.with(some)),
    };
    (text, false)
}

/// Returns whether a target's 488 or 606 refuses the offered codecs. `detail` contains the Warning, and `RTP/SAVP` if
/// SRTP was offered.
pub(crate) fn refuses_codecs(detail: &str) -> bool {
    // An offer with SRTP keys is refused because of the keys, unless the Warning names the codecs.
    let says_so = [MEDIA_TYPE, FORMAT].iter().any(|code| detail.contains(&format!("Warning: {code} ")));
    !detail.contains("RTP/SAVP") || says_so
}

/// Returns the diagnosis of a failed target, with `true` if the fix must be made at the caller's side. `None` if the
/// failure is not about codecs.
pub(crate) fn judge(
    caller: &CodecSide,
    target: Option<&CodecSide>,
    failure: &TargetFailure,
) -> Option<(Diagnosis, bool)> {
    let name = target.map_or("the target", |target| &target.name);
    let found = |text: String, (fix, of_caller): (String, bool)| {
        Some((Diagnosis { cause: FaultCause::Codecs, text, fix }, of_caller))
    };
    if failure.reason == ReasonSlug::TargetRejected && matches!(failure.answered(), Some(488 | 606)) {
        let detail = failure.detail.as_deref()?;
        if !refuses_codecs(detail) {
            return None;
        }
        let code = failure.answered().unwrap_or_default();
        return found(format!("{name} accepts no offered codec ({code}: {detail})"), fix(caller, target, detail));
    }
    let warning = failure.warning.as_ref().filter(|_| failure.reason == ReasonSlug::CodecMismatch)?;
    let (text, who) = (&warning.text, &caller.name);
    match warning.warn_code {
        FORMAT if text.contains("; answered ") => {
            found(format!("{name} answered without a usable codec ({text})"), fix(caller, target, ""))
        }
        FORMAT => found(format!("{who} offers no usable codec ({text})"), fix(caller, target, "")),
        MEDIA_TYPE => {
            let fix = format!(
                "configure audio over RTP, or SRTP with keys in SDP (SDES), at {who}: ICE and DTLS are not supported"
            );
            found(format!("{who} offers no usable media stream ({text})"), (fix, true))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use trunkgate_sdp::SdpRejection;

    use trunkgate_story::FailureResponse;

    use super::*;

    fn party(name: &str, codecs: &[&str], offered: &[&str]) -> CodecSide {
        let owned = |all: &[&str]| -> Vec<String> { all.iter().map(|one| (*one).to_owned()).collect() };
        let trunk = Trunk { codecs: owned(codecs), ..Trunk::named(name) };
        let offered = (!offered.is_empty()).then(|| owned(offered));
        CodecSide { name: name.into(), trunk: Some(Arc::new(trunk)), offered, is_agent: false }
    }

    fn refused(text: &str) -> TargetFailure {
        TargetFailure::unusable(ReasonSlug::CodecMismatch, SdpRejection { warn_code: FORMAT, text: text.into() })
    }

    #[test]
    fn the_key_that_helps_is_named_with_its_value() {
        let default = ["PCMU", "PCMA", "opus"];
        let pbx = party("pbx", &default, &[]);
        let only_pcma = party("carrier", &["PCMU"], &["PCMA"]);
        let (found, of_caller) = judge(&only_pcma, Some(&pbx), &refused("offered PCMA; allowed PCMU")).unwrap();
        assert_eq!(found.text, "carrier offers no usable codec (offered PCMA; allowed PCMU)");
        assert!(of_caller);
        assert!(found.fix.starts_with("set `codecs = [\"PCMU\", \"PCMA\"]` in [trunk.carrier]"), "{}", found.fix);

        let said = |detail: &str| {
            TargetFailure::with_code(488, ReasonSlug::TargetRejected)
                .said(FailureResponse { code: 488, ..FailureResponse::default() }, Some(detail.into()))
        };
        let carrier = party("carrier", &default, &["PCMU"]);
        let narrow = party("pbx", &["PCMU"], &[]);
        let (found, of_caller) = judge(&carrier, Some(&narrow), &said("it was offered PCMU by RTP/AVP")).unwrap();
        assert_eq!(found.text, "pbx accepts no offered codec (488: it was offered PCMU by RTP/AVP)");
        assert!(!of_caller);
        assert!(
            found.fix.starts_with(
                "add a codec of pbx with `codecs = [\"PCMU\", \"PCMA\", \"G722\", \"opus\"]` in [trunk.pbx]"
            )
        );
        let (found, _) = judge(&carrier, Some(&narrow), &said("x, Warning: 305 pbx \"PCMA only\"")).unwrap();
        assert_eq!(found.fix, "set `codecs = [\"PCMU\", \"PCMA\"]` in [trunk.pbx]: pbx requests it");
        let full = said("it was offered PCMU, PCMA, opus by RTP/AVP, Warning: 304 pbx \"PCMA only\"");
        let (found, _) = judge(&carrier, Some(&pbx), &full).unwrap();
        assert!(
            found.fix.starts_with("offer PCMA alone with `codecs = [\"PCMA\"]` in [trunk.pbx]: pbx requests it"),
            "another codec does not help: {}",
            found.fix
        );
        assert!(found.fix.contains("`srtp`") && found.fix.contains("`ptime`"), "{}", found.fix);
        let (found, _) = judge(&carrier, Some(&narrow), &said("x, Warning: 305 pbx \"G729 only\"")).unwrap();
        assert!(
            found.fix.starts_with("enable one of PCMU at pbx, or G729 at carrier: G729 is passed"),
            "{}",
            found.fix
        );
        let wide = party("pbx", &["PCMU", "PCMA", "G722", "opus"], &[]);
        let (found, _) = judge(&carrier, Some(&wide), &said("it was offered PCMU by RTP/AVP")).unwrap();
        assert!(found.fix.starts_with("enable one of PCMU, PCMA, G722, opus at pbx:"), "{}", found.fix);

        // A codec of the caller is transcoded once its trunk names it.
        let wideband = party("phone", &default, &["G722"]);
        let (found, of_caller) = judge(&wideband, Some(&pbx), &said("it was offered G722 by RTP/AVP")).unwrap();
        assert!(of_caller);
        assert!(found.fix.starts_with("set `codecs = [\"PCMU\", \"PCMA\", \"opus\", \"G722\"]` in [trunk.phone]"));
        let g729 = party("carrier", &default, &["G729"]);
        let (found, _) = judge(&g729, Some(&pbx), &refused("offered G729; answered PCMU")).unwrap();
        assert_eq!(found.text, "pbx answered without a usable codec (offered G729; answered PCMU)");
        assert!(
            found.fix.starts_with("enable one of PCMU, PCMA, G722, opus at carrier, or G729 at pbx"),
            "{}",
            found.fix
        );
    }

    #[test]
    fn keys_and_other_codes_are_not_about_codecs() {
        let (carrier, pbx) = (party("carrier", &["PCMU"], &["PCMU"]), party("pbx", &["PCMU"], &[]));
        let said = |code: u16, detail: &str| {
            let failure = TargetFailure::with_code(code, ReasonSlug::TargetRejected)
                .said(FailureResponse { code, ..FailureResponse::default() }, Some(detail.into()));
            judge(&carrier, Some(&pbx), &failure)
        };
        assert!(said(404, "it was offered PCMU by RTP/AVP").is_none());
        assert!(said(488, "it was offered PCMU by RTP/SAVP").is_none());
        assert!(said(488, "it was offered PCMU by RTP/SAVP, Warning: 305 pbx \"no\"").is_some());
        assert!(judge(&carrier, Some(&pbx), &TargetFailure::unreached(ReasonSlug::NoResponse)).is_none());
        let keys = SdpRejection { warn_code: 399, text: "offered RTP/SAVP; allowed RTP/AVP".into() };
        assert!(judge(&carrier, Some(&pbx), &TargetFailure::unusable(ReasonSlug::CodecMismatch, keys)).is_none());
    }
}
