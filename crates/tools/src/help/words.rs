//! Explains words that are neither codes nor reasons: flags and marks of calls, outcomes, states, causes of faults,
//! figures, effects of problems, and lines of `doctor` and `call`.

use super::drops::DROPS;

/// Words with their kinds and explanations.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "one_way",
        "flag of a call, mark !silent",
        "No audio arrived from a side that should send it, from the start or for 5 s in mid-call, or nothing but digital silence. `trunkgate calls --flag one_way` lists such calls, `trunkgate trace SID` names the side, the cause and a fix (docs/operate/troubleshooting.md, One way audio).",
    ),
    (
        "silent",
        "mark of a call, flag one_way",
        "No audio, or only digital silence, arrived from a side that should send audio: `trunkgate help one_way`.",
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
        "app_error",
        "flag of a call, mark !app",
        "A document of the call's application could not be run, or a prompt was not played. `trunkgate calls --flag app_error` lists such calls, `trunkgate trace SID` has the error with its line.",
    ),
    (
        "agent_failed",
        "flag of a call, mark !agent",
        "The caller was answered and lost the call to a failure of its agent (crash, reset, no audio): no target was left. Or the agent ended the call within 2 s, without audio. `trunkgate calls --flag agent_failed` lists such calls; give the route a second target, and test the agent (`trunkgate agent test NAME`).",
    ),
    (
        "recording_gap",
        "flag of a call, mark !rec",
        "A recording of the call lacks audio, or all of it: the disk was full, failed or too slow, or the edge was restarted. `trunkgate recordings` has the missing seconds, `trunkgate trace SID` the error; `trunkgate calls --flag recording_gap` lists such calls.",
    ),
    (
        "recording_failed",
        "reason of a line of the log",
        "A recording is not written, not completed or not deleted: the line says which and why. `trunkgate status` names the error while it lasts; check space and permissions of `directory` in [recording] (docs/configure/recording.md).",
    ),
    (
        "state_failed",
        "reason of a line of the log",
        "The state of calls cannot be written to `state_directory` of [edge]: calls continue, but would not survive a crash. Check space and permissions of the directory; the edge tries again each second with the next change (docs/operate/crash.md).",
    ),
    (
        "store_failed",
        "reason of a line of the log",
        "The store (trunkgate.db in [edge] data_directory) takes no changes: the line says why. Recordings, text messages, callbacks and changes by the API are not stored until it does; `trunkgate status` names the error while it lasts (docs/operate/deploy.md, The store).",
    ),
    (
        "transcription_failed",
        "reason of a line of the log",
        "A recording is not transcribed, or not yet: the line says which and why. `trunkgate status` names the error while requests to `url` in [transcription] fail; they are repeated for 24 hours (docs/configure/recording.md).",
    ),
    (
        "mail_failed",
        "reason of a line of the log",
        "An e-mail about a voicemail message is not sent, or not yet: the line says which and why. `trunkgate status` names the answer of the mail server while attempts fail, and for a day e-mails that were given up; attempts are repeated for 48 hours (docs/configure/voicemail.md).",
    ),
    (
        "grade",
        "figure of a trunk, column LATELY of status",
        "Recent answer ratio of a trunk in tenths, from 0 to 10. Routes with `order = \"asr\"` try higher grades first. Busy or absent parties do not count, failures between the same two numbers at most twice a minute, and ten imaginary calls, nine of them answered, stand beside the real ones: a few failures change it little, and a trunk without recent calls has 9 (docs/configure/routing.md).",
    ),
    (
        "failed_over",
        "flag of a call",
        "A target failed and the next one was tried. `trunkgate trace SID` shows each target and why it failed.",
    ),
    (
        "agent",
        "flag of a call; mark !agent of the flag agent_failed",
        "As a flag: a voice agent talked to the caller, or was to. As a mark: the caller lost the call to a failure of the agent (`trunkgate help agent_failed`).",
    ),
    ("rec", "mark of a call", "A recording of the call lacks audio, or all of it (`trunkgate help recording_gap`)."),
    ("listened", "flag of a call", "A listener (`fork`) received the audio."),
    ("transcoded", "flag of a call", "Audio was converted between codecs; `trunkgate calls show SID` has both."),
    (
        "srtp",
        "flag of a call, cause of a fault",
        "As a flag: at least one side used SRTP. As a cause: the SRTP packets of a side do not authenticate; look for a proxy that changes the session description.",
    ),
    (
        "answered",
        "outcome of a call, state of a leg; column EVER ANSWERED of status",
        "The caller was answered, or the leg. The column has the answer-seizure ratio (ASR): the share of calls to the trunk that were answered.",
    ),
    (
        "asr",
        "figure of a trunk",
        "Answer-seizure ratio: the share of calls to the trunk that were answered. Column EVER ANSWERED of `status`, ASR of `top`.",
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
        "outcome of a call, state of a registration",
        "Of a call: no target could be reached or used; `trunkgate trace SID` shows each target and why it failed. Of a registration: the carrier rejected it or did not answer, and `trunkgate status` has its words.",
    ),
    ("trying", "state of a call or a registration", "A request was sent, and nothing has been answered yet."),
    ("ringing", "state of a call", "The target rings."),
    ("early", "state of a call", "The caller hears audio of the target before the answer (early media)."),
    ("held", "state of a call", "Answered, and on hold by one of its sides."),
    ("transferring", "state of a call", "Answered, and the next target is being called."),
    ("ended", "state of a call", "The call is over: column REASON says why, `trunkgate help REASON` explains it."),
    (
        "up",
        "state of a trunk, peer or agent",
        "Of a trunk: an address of it answers, or a phone is registered. Of an agent: its last socket or probe opened, or one is open.",
    ),
    (
        "down",
        "state of a trunk, peer or agent",
        "Of a trunk: none of its addresses answers OPTIONS or calls, or no phone is registered. Of an agent: its last socket could not be opened. `trunkgate status` has the cause, `trunkgate doctor` tests the path.",
    ),
    (
        "unknown",
        "state of a trunk, peer or agent",
        "Nothing was sent or received yet; with `options_interval = \"0s\"` a trunk stays so until its first call.",
    ),
    (
        "skipped",
        "state of an agent, of an address in a trace",
        "Of an agent: it keeps failing, and one call at a time tries it. Of an address: it does not answer OPTIONS, or it asked for no calls (Retry-After).",
    ),
    (
        "back_off",
        "state of an address (back-off 30 s), column STATE of status",
        "The address answered 503 with Retry-After: it requests no calls for that time. While the trunk has another address that takes calls, this one is skipped; `still tried`: it has none. A call that the address answers ends it.",
    ),
    (
        "certificate_expired",
        "alert of TLS",
        "The remote party rejected the edge's certificate because it has expired: renew it and replace the file that `trunkgate status` names; it is read again within seconds.",
    ),
    ("registered", "state of a registration", "The carrier has accepted the edge's REGISTER."),
    ("starting", "state of the edge", "Calls are not accepted yet."),
    ("ready", "state of the edge", "Calls are accepted; `status` prints `taking calls`."),
    ("far_end", "who ended a call or leg (ended_by)", "The remote party hung up, closed, rejected or broke off."),
    (
        "got",
        "codes in a trunk's line of `top` and on the console's Trunks",
        "SIP codes that the trunk sent to the edge in the last hour: it rejected calls to it. `trunkgate help CODE` explains each.",
    ),
    (
        "sent",
        "codes in a trunk's line of `top` and on the console's Trunks",
        "SIP codes that the edge sent to the trunk in the last hour: calls from the trunk were rejected, by the edge or by a target.",
    ),
    (
        "edge",
        "effect of a problem (harm); who ended a call or leg (ended_by)",
        "As harm: the edge takes no calls, or not all. As ended_by: the edge ended the leg, as the call was over, it was asked to, or the remote party did not answer in time.",
    ),
    ("calls", "effect of a problem (harm)", "Calls to or from a trunk or agent fail."),
    ("media", "effect of a problem (harm)", "Calls are up without audio, or with much of it lost."),
    (
        "detour",
        "effect of a problem (harm)",
        "A target fails, and every route to it has another target that serves: calls go there.",
    ),
    (
        "restart",
        "effect of a problem (harm)",
        "The edge runs and would not start again: its configuration file or a certificate cannot be used.",
    ),
    ("records", "effect of a problem (harm)", "Call records, counts or text messages are lost or late."),
    (
        "configuration",
        "effect of a problem (harm)",
        "The edge runs an older configuration than the file, or a setting will soon fail.",
    ),
    ("past", "effect of a problem (harm)", "Calls of the last hour; the latest went well."),
    ("telemetry", "effect of a problem (harm)", "Log lines, traces or captures are lost."),
    ("strangers", "effect of a problem (harm)", "Requests from unknown sources are refused."),
    (
        "ceased",
        "cause of a fault",
        "Packets arrived from a side and then stopped, and nothing shows why: mute, hold without a re-INVITE, a NAT or firewall that closed the path.",
    ),
    (
        "silence",
        "cause of a fault",
        "The packets of a side contain nothing but digital silence: a muted microphone, or a PBX without an audio source.",
    ),
    (
        "unread",
        "cause of a fault",
        "The system of this machine dropped packets of a side, as the edge did not read its socket in time: the CPU is overloaded, or net.core.rmem_max is too low.",
    ),
    (
        "no_phone",
        "cause of a fault",
        "No phone is registered at the trunk: check user, password and server in the phone.",
    ),
    (
        "on_hold",
        "cause of a fault",
        "The session description of a side says that it sends nothing, or receives nothing.",
    ),
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
        "The edge's SDP announced an address at which a side cannot reach it: check `public_address` and `local_networks` of [edge].",
    ),
    (
        "echoed",
        "cause of a fault",
        "A side returned the edge's own keep-alive packets and sent none of its own: the path works, and it waits for audio of the other side.",
    ),
    (
        "nothing",
        "cause of a fault",
        "No packet arrived from a side, and nothing shows why: check the media ports in every firewall on the path.",
    ),
    (
        "no_agent_audio",
        "cause of a fault",
        "An agent had a caller who was heard for at least 10 s, or in three calls in a row for at least 2 s, and sent no audio, or its messages were invalid or for another streamSid: `trunkgate agent test NAME`; `first_audio_timeout` makes calls fail over to the next target.",
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
        "figure of a leg, column of calls and trunks",
        "Mean opinion score of the received audio, 1 to 4.41 (ITU-T G.107): from 4.03 on users are satisfied, below 3.6 many are not. In `calls` and `top`: that of the call's worst leg, of what the edge receives or, by RTCP, of what the remote party does; `–`: unknown. Of a trunk in `status`: the mean of its audio in the last hour. FAR MOS: what the remote party receives, by its RTCP reports.",
    ),
    ("jitter", "figure of a leg", "Interarrival jitter of the received RTP (RFC 3550, A.8), in milliseconds."),
    (
        "lost",
        "figure of a leg",
        "Packets missing in the received RTP, by sequence number. Of an agent: sockets refused or lost since the start.",
    ),
    ("rtt", "figure of a leg or peer", "Round-trip time: of a leg by RTCP, of a peer by OPTIONS."),
    ("trunk", "column of `status`", "A section [trunk.NAME]: a carrier, a PBX, or a group of phones."),
    ("peer", "column of `status`", "A peer of a trunk, as `peers` has it; one row for each of its addresses."),
    ("url", "column of `status`", "URL of the agent, without its query."),
    ("config", "line of `doctor`", "What `trunkgate check` finds in the configuration."),
    (
        "ports",
        "line of `doctor`",
        "Whether the addresses of [[listen]] and [http] can be bound, or are in use by the edge.",
    ),
    ("media_ports", "line of `doctor`", "Whether the ports of `[media] ports` are free."),
    (
        "ephemeral_range",
        "line of `doctor`",
        "Whether the system hands out ports of the media range to other programs (net.ipv4.ip_local_port_range).",
    ),
    ("open_files", "line of `doctor`", "Whether the limit of open files is enough for the calls that [limits] allows."),
    (
        "disk",
        "line of `doctor`",
        "Whether there is room for the store, call records and recordings: below 1 GiB it warns, below 64 MiB it fails. It warns of a directory of recordings that cannot be written.",
    ),
    ("udp_buffers", "line of `doctor`", "Whether net.core.rmem_max is enough for a burst of SIP."),
    (
        "container",
        "line of `doctor`",
        "Whether the edge is in a container behind a bridge, whose media ports must be published.",
    ),
    ("mail", "line of `doctor`", "Whether the server of [mail] can be reached, and accepts user and password."),
    ("transcription", "line of `doctor`", "Whether the server of [transcription] `url` can be reached."),
    (
        "notify",
        "line of `doctor`",
        "Whether the servers of [recording] `url` and of `notify` of mailboxes can be reached. No request is sent.",
    ),
    ("tls", "line of `doctor`", "Certificates of listeners and peers: name, chain, expiry."),
    ("dns", "line of `doctor`", "Whether the names of peers lead to addresses."),
    ("options", "line of `doctor`", "Whether each peer answers OPTIONS, and how fast."),
    (
        "public_address",
        "line of `doctor`",
        "Whether the address in the edge's SIP and SDP is the one at which peers see this machine.",
    ),
    (
        "inbound_udp",
        "line of `doctor`",
        "Whether audio arrived in calls of the last hour: firewall and NAT on the path to this machine.",
    ),
    ("outbound_udp", "line of `doctor`", "Whether this machine let the packets of calls out."),
    (
        "packet_loss",
        "line of `doctor`",
        "Whether calls of the last hour lost much of their audio on the way: share and direction by trunk. `mtr -u ADDRESS` shows where on the path; `trunkgate calls --flag loss` lists the calls, `trunkgate trace SID` has when and how much.",
    ),
    (
        "running_edge",
        "line of `doctor`",
        "Problems of the edge that runs with this configuration, as `status` has them.",
    ),
    ("sip_alg", "line of `doctor`", "Whether a router on the path changes the edge's SIP."),
    ("app", "line of `doctor`", "Whether the servers of each application's URLs can be reached; no request is sent."),
    ("speech", "line of `doctor`", "Whether `[speech]` makes audio of a sentence."),
    (
        "1000",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent ended the stream normally: the call ends, or with `on_close = \"next\"` goes to the next target.",
    ),
    (
        "1001",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent's server is shutting down, or its handler ended: see its log. The edge reconnects up to `retry` times, then tries the next target.",
    ),
    (
        "1002",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent found a violation of the WebSocket protocol: look for a proxy in between that changes messages.",
    ),
    (
        "1003",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent accepts no messages of this kind: its URL is for another protocol.",
    ),
    (
        "1007",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent could not read a message as text: its server expects a format other than Twilio's JSON messages.",
    ),
    (
        "1008",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "A policy of the agent refuses the call: check `auth_token`, `parameters` and the path of its `url`.",
    ),
    (
        "1009",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "A message was too long for the agent: raise its server's limit to 64 KiB.",
    ),
    (
        "1011",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent failed, usually with an exception: see its log. Reproduce it with `trunkgate agent test NAME`.",
    ),
    (
        "1012",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent's server restarts. The edge reconnects up to `retry` times, then tries the next target.",
    ),
    (
        "1013",
        "close code of a WebSocket (RFC 6455 §7.4)",
        "The agent's server has no capacity left: let it accept more sessions, or set `max_sessions` to its capacity.",
    ),
    (
        "harm",
        "field of a problem of `status`",
        "Harm done by a problem, the worst first: edge, calls, media, detour, restart, records, configuration, past, telemetry, strangers. Each is a topic too.",
    ),
    ("clock", "line of `doctor`", "Whether the clock of this machine is synchronised."),
];

/// Maximum number of words listed for a topic that only occurs in explanations.
const MENTIONS: usize = 8;

/// Returns up to [`MENTIONS`] words with an explanation that contains every word of the topic.
pub(super) fn mentioning(topic: &str) -> Vec<&'static str> {
    let topic = topic.to_lowercase();
    let sought: Vec<&str> = topic.split_whitespace().filter(|word| word.len() > 2).collect();
    let has = |text: &str| sought.iter().all(|word| text.to_lowercase().contains(word));
    let found = WORDS.iter().chain(DROPS).filter(|(_, _, text)| !sought.is_empty() && has(text));
    found.map(|(word, ..)| *word).take(MENTIONS).collect()
}

/// Explains a word, ignoring case; `-` and spaces match `_`, and the `!` of a mark is optional.
pub(super) fn explain(topic: &str) -> Option<String> {
    let topic = topic.trim_start_matches('!').to_lowercase().replace(['-', ' '], "_");
    let (word, kind, text) = WORDS.iter().chain(DROPS).find(|(word, ..)| *word == topic)?;
    Some(format!("{word}: {kind}\n\n{text}\n"))
}

/// Returns all words that this module explains.
pub(super) fn all() -> impl Iterator<Item = &'static str> + Clone {
    WORDS.iter().chain(DROPS).map(|(word, ..)| *word)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use trunkgate_call::ReasonSlug;
    use trunkgate_call::change::FLAGS;
    use trunkgate_call::diagnosis::FaultCause;
    use trunkgate_media::DropReason;

    use crate::doctor::KINDS;
    use crate::{client, help};

    #[test]
    fn every_flag_outcome_and_cause_in_the_documents_is_explained() {
        let outcomes = ["answered", "busy", "no_answer", "canceled", "refused", "failed"];
        let quality = include_str!("../../../../docs/operate/quality.md");
        let (_, kinds) = quality.split_once("| `kind` | meaning |").unwrap();
        let kinds = kinds.lines().skip(2).map_while(|line| line.strip_prefix("| `")?.split('`').next());
        let topics: Vec<&str> = FLAGS.into_iter().chain(outcomes).chain(kinds).collect();
        assert!(topics.len() > 20, "{topics:?}");
        for topic in topics {
            assert!(help::explain(topic, None).is_some(), "{topic}");
        }
        for topic in
            ["ONE-WAY", "!silent", "heard", "MOS", "media ports", "back-off", "certificate_expired", "failover_on"]
        {
            assert!(help::explain(topic, None).is_some(), "{topic}");
        }
    }

    /// Crates that print explained words.
    const SHELL: [&str; 9] = ["system", "audio", "config", "delivery", "runtime", "explain", "admin", "boot", "tools"];

    /// Returns the text of a source file.
    fn source(path: &str) -> String {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
    }

    /// Returns every text between `before` and `after`.
    fn between(text: &str, before: &str, after: &str) -> Vec<String> {
        let words = text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0));
        words
            .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
            .map(str::to_owned)
            .collect()
    }

    /// Appends the text of all Rust sources in a directory.
    fn sources(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match entry.extension() {
                Some(end) if end == "rs" => all.push_str(&std::fs::read_to_string(&entry).unwrap()),
                _ if entry.is_dir() => sources(&entry, all),
                _ => {}
            }
        }
    }

    #[test]
    fn every_word_that_is_printed_is_explained() {
        let mut shell = String::new();
        for part in SHELL {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(part).join("src"), &mut shell);
        }
        let metrics = source("crates/admin/src/metrics.rs");
        let gateway = source("crates/call/src/gateway/arrival.rs") + &source("crates/call/src/gateway/dispatch.rs");
        let strangers = source("crates/resources/src/sources/unknown_sources.rs");
        let texts = [
            between(&shell, "reason = \"", "\""),
            between(&metrics, "&[(\"reason\", \"", "\")]"),
            between(&metrics, "        (\"", "\", &sockets."),
            between(&gateway, "dropped(\"", "\")"),
            between(&source("crates/call/src/gateway/dispatch.rs"), "=> \"", "\","),
            between(&strangers, "Err(\"", "\")"),
            between(&source("crates/runtime/src/history.rs"), "self.trouble(*at, \"", "\","),
            between(&source("crates/runtime/src/history.rs"), "self.trouble(at, \"", "\","),
            between(&source("crates/call/src/call/shared/mod.rs"), "=> \"", "\","),
            between(&source("crates/story/src/party_view.rs"), ") => \"", "\","),
        ];
        assert!(texts.iter().all(|words| !words.is_empty()), "{texts:?}");
        let harms = source("crates/system/src/problem/mod.rs");
        let (_, harms) = harms.split_once("pub enum Harm {").unwrap();
        let harms = harms.split_once("\n}").unwrap().0.lines().filter(|line| line.ends_with(','));
        let harms: Vec<String> = harms.map(|line| line.trim().trim_end_matches(',').to_lowercase()).collect();
        assert!(harms.len() >= 8 && harms.iter().any(|harm| harm == "restart"), "{harms:?}");
        let tables: [Vec<&str>; 8] = [
            FLAGS.to_vec(),
            client::MARKED.map(|(_, mark)| mark).to_vec(),
            ReasonSlug::ALL.iter().map(|reason| reason.as_str()).collect(),
            ReasonSlug::ALL.iter().map(|reason| reason.outcome()).collect(),
            FaultCause::ALL.iter().map(|cause| cause.slug()).collect(),
            DropReason::ALL.iter().map(|reason| reason.as_str()).collect(),
            DropReason::SRTP.iter().map(|(_, label)| *label).collect(),
            KINDS.to_vec(),
        ];
        let heads = client::HEADS.iter().flat_map(|heads| heads.iter().copied());
        let families = include_str!("../../../../docs/operate/metrics.md").lines();
        let families = families.filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
        let words = tables.iter().flatten().copied().chain(heads).chain(families);
        let words = words.chain(harms.iter().map(String::as_str)).chain(texts.iter().flatten().map(String::as_str));
        let unknown: BTreeSet<&str> = words.filter(|word| help::explain(word, None).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn every_sip_code_in_the_documents_is_explained() {
        // Codes that the edge sends or passes on.
        const OTHERS: [&str; 29] = [
            "302", "400", "405", "406", "408", "413", "415", "416", "420", "422", "423", "480", "481", "482", "483",
            "484", "486", "487", "491", "500", "501", "502", "504", "505", "513", "580", "600", "603", "606",
        ];
        let page = include_str!("../../../../docs/operate/troubleshooting.md");
        let (_, table) = page.split_once("| code | sent by the edge |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let cells = table.lines().filter_map(|line| line.split('|').nth(1));
        let codes: Vec<&str> =
            cells.flat_map(|cell| cell.split([',', ' '])).filter(|word| word.parse::<u16>().is_ok()).collect();
        assert!(codes.len() > 5, "{codes:?}");
        for code in codes.into_iter().chain(OTHERS) {
            assert!(help::explain(code, None).is_some(), "{code}");
        }
    }
}
