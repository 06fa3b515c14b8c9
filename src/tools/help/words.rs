//! Words that the command line shows of calls, besides reasons: flags and their marks, outcomes, causes of faults, figures,
//! and lines of `trunkgate call`.

/// Word, kind, and explanation.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "one_way",
        "flag of a call, mark !silent",
        "No audio arrived from a side that should send it, from the start or for 5 s in mid-call. `trunkgate calls --flag one_way` lists such calls, `trunkgate trace SID` names the side, the cause and a fix (docs/troubleshooting.md, One way audio).",
    ),
    (
        "silent",
        "mark of a call, flag one_way",
        "No audio arrived from a side that should send it: `trunkgate help one_way`.",
    ),
    (
        "codec_mismatch",
        "flag of a call, mark !codecs; also a reason",
        "No codec in common, or a side sends a codec that was not agreed on. `trunkgate calls --flag codec_mismatch` lists such calls; check `codecs` of both trunks.",
    ),
    (
        "codecs",
        "mark of a call, flag codec_mismatch",
        "No codec in common, or a side sends a codec that was not agreed on: check `codecs` of both trunks.",
    ),
    (
        "unsent",
        "flag and mark of a call, cause of a fault",
        "The firewall or routing of this machine blocks packets to a side: `nft list ruleset`, `iptables -S OUTPUT`, `ip route get ADDRESS`.",
    ),
    (
        "loss",
        "flag and mark of a call, cause of a fault",
        "Much of the audio of a side was lost on the way, in one direction: the verdict says which, how much and since when. `mtr -u ADDRESS` shows where; `trunkgate calls --flag loss` lists such calls.",
    ),
    (
        "failed_over",
        "flag of a call",
        "A target failed and the next one was tried. `trunkgate trace SID` shows each target and why it failed.",
    ),
    ("agent", "flag of a call", "A voice agent talked to the caller, or was to."),
    ("listened", "flag of a call", "A listener (`fork`) received the audio."),
    ("transcoded", "flag of a call", "Audio was converted between codecs; `trunkgate calls show SID` has both."),
    (
        "srtp",
        "flag of a call, cause of a fault",
        "As a flag: at least one side used SRTP. As a cause: the SRTP packets of a side do not authenticate; look for a proxy that changes the session description.",
    ),
    (
        "answered",
        "outcome of a call; column ANSWERED of status",
        "The caller was answered. The column has the answer-seizure ratio (ASR): the share of calls to the trunk that were answered.",
    ),
    (
        "asr",
        "figure of a trunk",
        "Answer-seizure ratio: the share of calls to the trunk that were answered. Column ANSWERED of `status` and `top`.",
    ),
    ("busy", "outcome of a call", "The target was busy or declined the call."),
    ("no_answer", "outcome of a call", "The target rang and did not answer within `ring_timeout`."),
    ("canceled", "outcome of a call", "The caller hung up before the answer."),
    (
        "refused",
        "outcome of a call",
        "The edge or the target refused the call: no route, a limit, a deny rule, caller ID, codecs, or a final 4xx or 6xx response. `trunkgate help CODE` explains the response.",
    ),
    (
        "failed",
        "outcome of a call",
        "No target could be reached or used. `trunkgate trace SID` shows each target and why it failed.",
    ),
    ("on_hold", "cause of a fault", "The session description of a side says that it sends nothing, or wants nothing."),
    (
        "unexpected_source",
        "cause of a fault",
        "RTP packets came from an address that is not expected. If they belong to the trunk, add the network to its `media_from`.",
    ),
    (
        "not_rtp",
        "cause of a fault",
        "Datagrams arrived that are not RTP, such as ICE or DTLS. Configure RTP, or SRTP with keys in SDP (SDES).",
    ),
    (
        "private_address",
        "cause of a fault",
        "A side announced a private address in its SDP, but its SIP comes from another address: set its external address, and disable the SIP ALG of its router.",
    ),
    (
        "our_address",
        "cause of a fault",
        "Our SDP announced an address at which a side cannot reach the edge: check `public_address` and `local_networks` of [edge].",
    ),
    (
        "nothing",
        "cause of a fault",
        "No packet arrived from a side, and nothing shows why: check the media ports in every firewall on the path.",
    ),
    ("payload", "cause of a fault", "A side sends payload types that were not agreed on: check `codecs` of its trunk."),
    (
        "heard",
        "line of `trunkgate call`",
        "The RTP packets received from the edge: their number, loss, jitter and MOS. `nothing`: none arrived; check NAT, firewall and --srtp.",
    ),
    (
        "level",
        "line of `trunkgate call`",
        "The level of the received audio. Packets without a level are digital silence.",
    ),
    (
        "mos",
        "figure of a leg",
        "Mean opinion score of the received audio, 1 to 4.41 (ITU-T G.107): from 4.03 on users are satisfied, below 3.6 many are not. FAR MOS: what the remote party receives, by its RTCP reports.",
    ),
    ("jitter", "figure of a leg", "Interarrival jitter of the received RTP (RFC 3550, A.8), in milliseconds."),
    (
        "lost",
        "figure of a leg",
        "Packets missing in the received RTP, by sequence number. Of an agent: sockets refused or lost since the start.",
    ),
    ("rtt", "figure of a leg or peer", "Round-trip time: of a leg by RTCP, of a peer by OPTIONS."),
];

/// Returns the explanation of a word, in either case, with `-` for `_` and with the `!` of a mark.
pub(super) fn explain(topic: &str) -> Option<String> {
    let topic = topic.trim_start_matches('!').to_lowercase().replace('-', "_");
    let (word, kind, text) = WORDS.iter().find(|(word, ..)| *word == topic)?;
    Some(format!("{word}: {kind}\n\n{text}\n"))
}

/// Lists the words.
pub(super) fn all() -> impl Iterator<Item = &'static str> + Clone {
    WORDS.iter().map(|(word, ..)| *word)
}

#[cfg(test)]
mod tests {
    use trunkgate_call::change::FLAGS;

    use crate::tools::help;

    #[test]
    fn every_flag_outcome_and_cause_in_the_documents_is_explained() {
        let outcomes = ["answered", "busy", "no_answer", "canceled", "refused", "failed"];
        let quality = include_str!("../../../docs/quality.md");
        let (_, kinds) = quality.split_once("| `kind` | meaning |").unwrap();
        let kinds = kinds.lines().skip(2).map_while(|line| line.strip_prefix("| `")?.split('`').next());
        let topics: Vec<&str> = FLAGS.into_iter().chain(outcomes).chain(kinds).collect();
        assert!(topics.len() > 20, "{topics:?}");
        for topic in topics {
            assert!(help::explain(topic).is_some(), "{topic}");
        }
        for topic in ["ONE-WAY", "!silent", "heard", "MOS"] {
            assert!(help::explain(topic).is_some(), "{topic}");
        }
    }

    #[test]
    fn every_sip_code_in_the_documents_is_explained() {
        let page = include_str!("../../../docs/troubleshooting.md");
        let (_, table) = page.split_once("| code | sent by the edge |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let cells = table.lines().filter_map(|line| line.split('|').nth(1));
        let codes: Vec<&str> =
            cells.flat_map(|cell| cell.split([',', ' '])).filter(|word| word.parse::<u16>().is_ok()).collect();
        assert!(codes.len() > 30, "{codes:?}");
        for code in codes {
            assert!(help::explain(code).is_some(), "{code}");
        }
    }
}
