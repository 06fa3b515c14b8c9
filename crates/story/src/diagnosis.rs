//! Diagnosis of a silent or unusable side of a call, from its SDP and its packets, with a fix. Trace, verdict, log
//! and `status` all take these sentences from here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use trunkgate_media::{DropReason, EndCounters, IcmpError, RemoteSpec, SendFailure};

use crate::limits::{
    ICMP_OF_PROBES, ICMP_SHARE, ICMP_SHARE_OF_HEARD, ICMP_TOLD, SILENT_PACKETS, STOPPED_DROPS, UNSENT_LATELY,
};
use crate::unsent::{self, came_back};

/// Slug of [`FaultCause::Unsent`]: packets that this machine refuses to send.
pub const UNSENT: &str = "unsent";
/// Slug of [`FaultCause::Silence`].
pub const SILENCE: &str = "silence";
/// Slug of [`FaultCause::OurAddress`]: an address of the edge that the side cannot reach.
pub const OUR_ADDRESS: &str = "our_address";

/// Slug of [`FaultCause::AgentSilent`]: an agent that has the caller and sends no audio.
pub const NO_AGENT_AUDIO: &str = "no_agent_audio";

/// Fix if both sides of a call are silent.
pub const COMMON: &str = "what both sides have in common: `public_address`, the media ports and the firewall of this machine (`trunkgate doctor \
                          --only media`)";

/// A fault with its cause and fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Cause of the fault; each cause is reported once per call.
    pub cause: FaultCause,
    /// Description with evidence, which continues a sentence that begins with the name of the side.
    pub text: String,
    /// Fix in plain text.
    pub fix: String,
}

/// Cause of a side's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCause {
    /// The side's SDP puts the media on hold.
    OnHold,
    /// SRTP packets do not authenticate.
    Srtp,
    /// Packets come from an unexpected source.
    UnexpectedSource,
    /// Packets are not RTP.
    NotRtp,
    /// Packets to the side are returned as unreachable (ICMP).
    Unreachable,
    /// Packets to the side do not leave this machine.
    Unsent,
    /// The target consists of phones only, and none is registered.
    NoPhone,
    /// The target's host has no address in DNS.
    NoName,
    /// The side's SDP has a private address that differs from its signalling address.
    PrivateAddress,
    /// The edge's SDP has this address of the edge, which the side cannot reach.
    OurAddress(IpAddr),
    /// The side only echoed keep-alive packets: it waits for audio.
    Echoed,
    /// No packets were received from the side, and there is no other evidence.
    Nothing,
    /// No common codec: the call lost its target.
    Codecs,
    /// The side sends payload types that were not negotiated.
    Payload,
    /// The side sends only digital silence.
    Silence,
    /// Packets of the side have stopped.
    Ceased,
    /// This machine dropped packets of the side, because the receive buffer was full.
    Unread,
    /// Packets are lost on the path.
    Loss,
    /// A voice agent has the caller and sends no audio.
    AgentSilent,
}

impl FaultCause {
    /// All causes, for documentation and tests; [`FaultCause::OurAddress`] with an arbitrary address.
    pub const ALL: [FaultCause; 19] = [
        FaultCause::OnHold,
        FaultCause::Srtp,
        FaultCause::UnexpectedSource,
        FaultCause::NotRtp,
        FaultCause::Unreachable,
        FaultCause::Unsent,
        FaultCause::NoPhone,
        FaultCause::NoName,
        FaultCause::PrivateAddress,
        FaultCause::OurAddress(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        FaultCause::Echoed,
        FaultCause::Nothing,
        FaultCause::Codecs,
        FaultCause::Payload,
        FaultCause::Silence,
        FaultCause::Ceased,
        FaultCause::Unread,
        FaultCause::Loss,
        FaultCause::AgentSilent,
    ];
    /// Returns the stable name in JSON (`docs/json.md`).
    pub const fn slug(self) -> &'static str {
        match self {
            FaultCause::OnHold => "on_hold",
            FaultCause::Srtp => "srtp",
            FaultCause::UnexpectedSource => "unexpected_source",
            FaultCause::NotRtp => "not_rtp",
            FaultCause::Unreachable => "unreachable",
            FaultCause::Unsent => UNSENT,
            FaultCause::NoPhone => "no_phone",
            FaultCause::NoName => "name_not_found",
            FaultCause::PrivateAddress => "private_address",
            FaultCause::OurAddress(_) => OUR_ADDRESS,
            FaultCause::Echoed => "echoed",
            FaultCause::Nothing => "nothing",
            FaultCause::Codecs => "codecs",
            FaultCause::Payload => "payload",
            FaultCause::Silence => SILENCE,
            FaultCause::Ceased => "ceased",
            FaultCause::Unread => "unread",
            FaultCause::Loss => "loss",
            FaultCause::AgentSilent => NO_AGENT_AUDIO,
        }
    }

    /// Returns the address of the edge that the side cannot reach; `None` for any other cause.
    pub const fn shown_address(self) -> Option<IpAddr> {
        if let FaultCause::OurAddress(told) = self { Some(told) } else { None }
    }
}

impl Diagnosis {
    /// Returns a diagnosis of packet loss.
    pub(crate) fn of_loss(text: String, fix: String) -> Diagnosis {
        Diagnosis { cause: FaultCause::Loss, text, fix }
    }

    /// Returns the diagnosis of an agent that has had the caller for the time `held` without sending audio, based on
    /// its messages. `name` is empty for an agent that an application named by URL.
    pub fn of_agent(name: &str, held: Duration, sent: &SentInstead<'_>) -> Diagnosis {
        let seconds = held.as_secs_f64();
        let test = match name {
            "" => "check the agent's log".to_owned(),
            _ => format!("`trunkgate agent test {name}` shows the messages that the agent sends"),
        };
        let or_more = if sent.is_up { " or more" } else { "" };
        let text = match *sent {
            SentInstead { foreign: 1.., problem, .. } => {
                let which = problem.map(|problem| format!(", the last error: {problem}")).unwrap_or_default();
                let plural = if sent.foreign == 1 { "message" } else { "messages" };
                format!(
                    "it sent {}{or_more} {plural} for another streamSid and no audio for this call{which}",
                    sent.foreign
                )
            }
            SentInstead { invalid: 1.., problem, .. } => {
                let which = problem.map(|problem| format!(", the last error: {problem}")).unwrap_or_default();
                let plural = if sent.invalid == 1 { "message" } else { "messages" };
                format!("it sent {}{or_more} invalid {plural} and no audio{which}", sent.invalid)
            }
            SentInstead { problem: Some(problem), .. } => format!("it sent nothing that can be played: {problem}"),
            SentInstead { problem: None, .. } => {
                let row = match sent.in_row {
                    0 | 1 => String::new(),
                    calls => format!(", in the {} call in a row", ordinal(calls)),
                };
                format!("its WebSocket opened, but no `media` message arrived in {seconds:.1} s{row}")
            }
        };
        let fix = match (sent.foreign, sent.invalid) {
            (0, 0) if name.is_empty() => format!("{test} for the speech it recognised, and why it did not answer"),
            (0, 0) => format!(
                "{test}; `first_audio_timeout = \"8s\"` in [agent.{name}] makes calls fail over to the next target of the route if it stays silent"
            ),
            (0, _) => format!(
                "send text messages of JSON with `event`, and audio as base64 in `media.payload` (docs/configure/agents.md); {test}"
            ),
            _ => format!("put the `streamSid` of this stream's `start` message into each `media` message; {test}"),
        };
        Diagnosis { cause: FaultCause::AgentSilent, text, fix }
    }
}

/// Messages that an agent has sent although no audio came from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SentInstead<'a> {
    /// Messages that name another stream.
    pub foreign: u64,
    /// Invalid messages.
    pub invalid: u64,
    /// Last note about an ignored message.
    pub problem: Option<&'a str>,
    /// Consecutive silent calls of the agent, including this one.
    pub in_row: u64,
    /// Whether the call is live; if so, the agent may still send audio.
    pub is_up: bool,
}

/// Returns an ordinal number: `3rd`.
fn ordinal(n: u64) -> String {
    let end = match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{n}{end}")
}

/// Packet counters of a side at one moment, to compare with a later check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterSnapshot {
    heard: u64,
    sent: u64,
    refused: u64,
}

impl CounterSnapshot {
    /// Returns a snapshot of the current counters.
    pub fn at(counters: &EndCounters) -> CounterSnapshot {
        CounterSnapshot {
            heard: counters.rx_packets.get(),
            sent: counters.tx_packets.get(),
            refused: counters.symptoms.refused.get(),
        }
    }

    /// Returns the number of packets received at the time of the snapshot.
    pub fn heard(self) -> u64 {
        self.heard
    }
}

/// Evidence about the media of one side of a call, from which the methods derive a [`Diagnosis`].
#[derive(Debug)]
pub struct SideEvidence<'a> {
    /// Name of the side for messages: trunk, agent, or peer.
    pub name: &'a str,
    /// Name of the trunk's section in the configuration; empty for a bare URI.
    pub trunk: &'a str,
    /// Session description of the side.
    pub remote: &'a RemoteSpec,
    /// Packet counters of the side.
    pub counters: &'a EndCounters,
    /// Source address of the side's SIP messages.
    pub signalling: IpAddr,
    /// Whether `signalling` is in `local_networks`.
    pub is_local: bool,
    /// Media address of the edge shown to the side.
    pub shown_address: SocketAddr,
    /// Whether `shown_address` belongs to this machine; otherwise it is configured.
    pub is_own: bool,
    /// First and last media port of the edge.
    pub ports: (u16, u16),
    /// Most recent unexpected source of packets.
    pub unexpected_source: Option<SocketAddr>,
    /// Negotiated payload types that the side may send.
    pub agreed: Vec<u8>,
    /// Negotiated codec.
    pub codec: &'a str,
    /// Whether the description of the other side lets this side send.
    pub is_wanted: bool,
    /// Counters at the previous check, and the time since then; `None` if all packets count.
    pub before: Option<(CounterSnapshot, Duration)>,
}

impl SideEvidence<'_> {
    fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.dropped.drop_count(reason)
    }

    fn heard(&self) -> u64 {
        self.counters.rx_packets.get()
    }

    /// Formats the evidence: announced address, expected sources, and the address of the edge shown to the side.
    fn evidence(&self) -> String {
        let announced = self.remote.rtp.map_or_else(|| "no address".to_owned(), |rtp| rtp.to_string());
        let addresses = self.remote.expected.iter().map(ToString::to_string);
        let networks = self.remote.expected_networks.iter().map(ToString::to_string);
        let expected = addresses.chain(networks).collect::<Vec<_>>().join(", ");
        format!("announced {announced}, expected from {expected}; our SDP says {}", self.shown_address)
    }

    fn section(&self) -> String {
        if self.trunk.is_empty() { "its trunk".to_owned() } else { format!("[trunk.{}]", self.trunk) }
    }

    fn found(&self, cause: FaultCause, text: impl Into<String>, fix: impl Into<String>) -> Option<Diagnosis> {
        Some(Diagnosis { cause, text: text.into(), fix: fix.into() })
    }

    /// Returns a diagnosis with the evidence appended. Always `Some`, for chains of alternatives.
    fn proven(&self, cause: FaultCause, text: &str, fix: impl Into<String>) -> Option<Diagnosis> {
        self.found(cause, format!("{text} ({})", self.evidence()), fix)
    }

    /// Returns the most certain reason why no valid packets came from the side; [`FaultCause::Nothing`] without
    /// specific evidence.
    pub fn why_unheard(&self) -> Option<Diagnosis> {
        let stream = || self.strangers().filter(|_| self.is_stream(self.dropped(DropReason::UnexpectedSource)));
        let silent = || self.srtp().or_else(stream).or_else(|| self.not_rtp());
        let forbidden = || self.unsent().filter(|_| self.counters.symptoms.unsent() == Some(SendFailure::Forbidden));
        // A returned packet proves the path, even to an address that was not announced.
        let silent = || silent().or_else(|| self.echoed());
        let found = self.on_hold().or_else(silent).or_else(forbidden).or_else(|| self.unreachable(ICMP_SHARE));
        let found = found.or_else(|| self.private_address()).or_else(|| self.unsent()).or_else(|| self.strangers());
        found.or_else(|| self.our_address()).or_else(|| {
            let (first, last) = self.ports;
            let announced = self.remote.rtp.map(|rtp| rtp.ip().to_canonical());
            let (own, signalling) = (self.shown_address, self.signalling.to_canonical());
            let elsewhere = announced.filter(|announced| !announced.is_loopback() && *announced != signalling);
            let elsewhere =
                elsewhere.map(|announced| format!("; it announced {announced}, but its SIP comes from {signalling}"));
            let text = format!("no packets arrived at {own}{}", elsewhere.unwrap_or_default());
            let fix = format!(
                "open udp {first}-{last} for its media addresses in every firewall on the path. {}",
                self.by_tcpdump()
            );
            self.proven(FaultCause::Nothing, &text, fix)
        })
    }

    /// Returns a sentence for the fix: a check with tcpdump whether packets reach this machine, and the conclusions.
    fn by_tcpdump(&self) -> String {
        let (name, port) = (self.name, self.shown_address.port());
        format!(
            "If `tcpdump -ni any udp port {port}` shows packets, this machine's own firewall drops them (`nft list ruleset`, \
             `iptables -S INPUT`); if it shows none, and the path is open, {name} sends nothing: look at its settings, hold and mute"
        )
    }

    /// Returns the most certain fault of a side that was heard before or is heard now: on hold, in its packets, or on
    /// the path to it. `None` if there is none.
    pub fn flaw(&self) -> Option<Diagnosis> {
        let of_packets = || self.srtp().or_else(|| self.payload()).or_else(|| self.silence());
        let of_way = || self.unsent().or_else(|| self.unreachable(ICMP_SHARE_OF_HEARD)).or_else(|| self.unread());
        self.on_hold().or_else(of_packets).or_else(of_way).or_else(|| self.ceased())
    }

    /// Returns the reason why the side's stream, continuous until then, stopped in mid-call and has been silent for
    /// `silent`.
    pub fn why_stopped(&self, silent: Duration) -> Diagnosis {
        let heard = packets(self.heard(), "");
        let bad = self.dropped(DropReason::SrtpAuth) + self.dropped(DropReason::SrtpPlain);
        let is_unauthentic = self.remote.srtp.is_some() && bad >= STOPPED_DROPS;
        let srtp = || if is_unauthentic { self.unauthentic(bad) } else { None };
        let strangers = || self.strangers().filter(|_| self.dropped(DropReason::UnexpectedSource) >= STOPPED_DROPS);
        let found = self.unsent().or_else(srtp).or_else(strangers);
        let found = found.or_else(|| self.unreachable(ICMP_SHARE_OF_HEARD)).or_else(|| self.unread());
        let nothing = || {
            let (name, by_tcpdump) = (self.name, self.by_tcpdump());
            let fix = format!(
                "check whether {name} is muted or on hold without a re-INVITE; otherwise a NAT or firewall closed the path, or {name} \
                 changed its address. {by_tcpdump}"
            );
            let text = format!("no packets arrived for {} s, after {heard}", silent.as_secs());
            Diagnosis { cause: FaultCause::Ceased, text: format!("{text} ({})", self.evidence()), fix }
        };
        found.unwrap_or_else(nothing)
    }

    fn on_hold(&self) -> Option<Diagnosis> {
        let (sends, receives) = (self.remote.may_send, self.remote.may_receive && self.remote.rtp.is_some());
        let how = match (sends, receives) {
            // A side that does not want to receive makes the other stop sending: the other is not at fault.
            (false, true) if !self.is_wanted => return None,
            (true, true) => return None,
            (true, false) if self.remote.rtp.is_none() => "c=0.0.0.0",
            (true, false) => "a=sendonly",
            (false, true) => "a=recvonly",
            (false, false) => "a=inactive",
        };
        let what = if receives { "sends nothing" } else { "has the call on hold" };
        let name = self.name;
        let fix = format!(
            "take the call off hold at {name}; if it is not on hold, its session description must say sendrecv"
        );
        self.found(FaultCause::OnHold, format!("{name} {what}: its session description says {how}"), fix)
    }

    fn srtp(&self) -> Option<Diagnosis> {
        let bad = self.dropped(DropReason::SrtpAuth) + self.dropped(DropReason::SrtpPlain);
        if self.remote.srtp.is_none() || bad == 0 || bad < self.heard() {
            return None;
        }
        self.unauthentic(bad)
    }

    /// Returns the diagnosis of `bad` SRTP packets that did not authenticate. Always `Some`, for chains of
    /// alternatives.
    fn unauthentic(&self, bad: u64) -> Option<Diagnosis> {
        let text = format!(
            "{} do not authenticate: the key differs from its description, or the packets are plain RTP",
            packets(bad, "of its SRTP")
        );
        let fix = format!(
            "look for a proxy or SIP ALG that changes the description, or a key changed by re-INVITE; `srtp = \"off\"` in {} \
             shows whether plain RTP works",
            self.section()
        );
        self.proven(FaultCause::Srtp, &text, fix)
    }

    fn strangers(&self) -> Option<Diagnosis> {
        let strangers = self.dropped(DropReason::UnexpectedSource);
        let stranger = self.unexpected_source.or_else(|| self.counters.symptoms.stranger.get().copied())?;
        let (ip, bits) = (stranger.ip(), if stranger.is_ipv4() { 32 } else { 128 });
        let text = format!("{} came from another address, the last from {stranger}", packets(strangers, ""));
        let fix = format!("set `media_from = [\"{ip}/{bits}\"]` in {} if these are its packets", self.section());
        self.proven(FaultCause::UnexpectedSource, &text, fix)
    }

    /// Returns a diagnosis if the side returned keep-alive packets of the edge: such devices echo packets until they
    /// receive audio.
    fn echoed(&self) -> Option<Diagnosis> {
        let echoed = self.counters.symptoms.echoed.get();
        if echoed == 0 {
            return None;
        }
        let name = self.name;
        let text = format!(
            "the path to {name} works; {name} waits for audio: it returned {} of the edge and sent none of its own",
            packets(echoed, "").replace("packet", "keep-alive packet")
        );
        let fix = format!("look at the other party of the call: {name} sends audio once it receives some");
        self.proven(FaultCause::Echoed, &text, fix)
    }

    fn not_rtp(&self) -> Option<Diagnosis> {
        let odd = self.dropped(DropReason::NotRtp);
        if odd == 0 {
            return None;
        }
        let text = format!("{odd} datagrams received that are not RTP");
        let fix =
            format!("configure RTP, or SRTP with keys in SDP (SDES), at {}: ICE and DTLS are not supported", self.name);
        self.proven(FaultCause::NotRtp, &text, fix)
    }

    /// Returns whether this number of packets is enough for an audio stream, at least a quarter of those sent.
    fn is_stream(&self, packets: u64) -> bool {
        packets * 4 >= self.counters.tx_packets.get()
    }

    /// Returns a diagnosis if there is one ICMP error per `in_packets` packets sent: a single error is easily forged,
    /// or concerns a port that opened late.
    fn unreachable(&self, in_packets: u64) -> Option<Diagnosis> {
        let (errors, sent) = (self.counters.symptoms.unreachable.get(), self.counters.tx_packets.get());
        let least = match (in_packets, sent) {
            (ICMP_SHARE_OF_HEARD, _) => ICMP_TOLD,
            (_, 0) => ICMP_OF_PROBES,
            _ => 1,
        };
        if errors < least || errors * in_packets < sent {
            return None;
        }
        let to = self.remote.rtp.map_or_else(|| "it".to_owned(), |rtp| rtp.to_string());
        let how = came_back(self.counters.symptoms.undelivered().unwrap_or(IcmpError::Port));
        let text = format!("packets to {to} are returned as unreachable (ICMP, {}): {how}", times(errors));
        let fix =
            format!("check the media ports of {}, its firewall, and the address in its session description", self.name);
        self.proven(FaultCause::Unreachable, &text, fix)
    }

    /// Returns a diagnosis if this machine refused to send at least half of the packets to the side: in the whole call,
    /// or since the previous check and then at least [`UNSENT_LATELY`].
    fn unsent(&self) -> Option<Diagnosis> {
        let why = self.counters.symptoms.unsent()?;
        let to = self.remote.rtp?;
        let (refused, sent) = (self.counters.symptoms.refused.get(), self.counters.tx_packets.get());
        let (before, _) = self.before.unwrap_or_default();
        let (refused_lately, sent_lately) = (refused.saturating_sub(before.refused), sent.saturating_sub(before.sent));
        if refused * 2 < sent && (refused_lately < UNSENT_LATELY || refused_lately * 2 < sent_lately) {
            return None;
        }
        let text = unsent::text(why, &to.to_string());
        self.found(
            FaultCause::Unsent,
            format!("{text}, {}", packets(refused, "")),
            unsent::fix(why, to.ip(), Some(self.shown_address.ip())),
        )
    }

    fn private_address(&self) -> Option<Diagnosis> {
        let announced = self.remote.rtp?.ip().to_canonical();
        let own = self.signalling.to_canonical();
        if !is_private(announced) || is_neighbour(announced, own) {
            return None;
        }
        let text = format!(
            "it announced {announced}, a private address, but its SIP comes from {own}; no packets were received"
        );
        let more = self.our_address().map(|ours| format!("; {}", ours.fix)).unwrap_or_default();
        let fix = format!(
            "set the external address and the local networks in the NAT settings of {} (FreePBX: Settings, Asterisk SIP \
             Settings; Asterisk: external_media_address); disable the SIP ALG of its router{more}",
            self.name
        );
        self.proven(FaultCause::PrivateAddress, &text, fix)
    }

    fn our_address(&self) -> Option<Diagnosis> {
        let (told, far) = (self.shown_address.ip().to_canonical(), self.signalling.to_canonical());
        let (first, last) = self.ports;
        if is_private(told) && !is_private(far) && !far.is_loopback() {
            let text = format!(
                "no packets were received; our SDP announces a private address that it cannot reach from {far}"
            );
            let why =
                if self.is_local { format!("remove {far} from [edge] local_networks and ") } else { String::new() };
            let fix = format!(
                "{why}set `[edge] public_address` to the address that it sees (`trunkgate doctor`, line public address)"
            );
            return self.proven(FaultCause::OurAddress(told), &text, fix);
        }
        if !self.is_own {
            let text =
                "no packets were received; our SDP announces `public_address`, which is not an address of this machine";
            let fix = format!(
                "set `public_address` to the address that the remote party sees (`trunkgate doctor`, line public address); forward \
                 udp {first}-{last} from it to this machine, one to one"
            );
            return self.proven(FaultCause::OurAddress(told), text, fix);
        }
        None
    }

    fn payload(&self) -> Option<Diagnosis> {
        let unknown = self.dropped(DropReason::UnknownPayload);
        let number = self.counters.symptoms.odd_payload.get().checked_sub(1)?;
        if unknown * 2 < self.heard() || unknown == 0 {
            return None;
        }
        let agreed = self.agreed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let agreed = if agreed.is_empty() { self.codec.to_owned() } else { format!("{agreed} ({})", self.codec) };
        let text = format!(
            "{} of {} from {} have payload type {number}, which was not negotiated: negotiated {agreed}",
            unknown,
            packets(self.heard(), ""),
            self.name
        );
        let fix = format!(
            "check `codecs` in {} and the codecs of {}: the remote party must send only payload types negotiated in SDP, or a re-INVITE first",
            self.section(),
            self.name
        );
        self.found(FaultCause::Payload, text, fix)
    }

    fn silence(&self) -> Option<Diagnosis> {
        let symptoms = &self.counters.symptoms;
        let (silent, heard) = (symptoms.silent.get(), self.heard());
        if symptoms.sounded.get() > 0 || !self.is_wanted || silent < SILENT_PACKETS || silent * 10 < heard * 9 {
            return None;
        }
        let name = self.name;
        let text = format!("all {} from {name} are digital silence", packets(heard, ""));
        let fix = format!("check microphone, mute key and audio source at {name}: the network path works");
        self.found(FaultCause::Silence, text, fix)
    }

    /// Returns a diagnosis if packets had come before, but none since the previous check.
    fn ceased(&self) -> Option<Diagnosis> {
        let ((before, ago), heard) = (self.before?, self.heard());
        if heard == 0 || heard != before.heard || !self.is_wanted {
            return None;
        }
        let name = self.name;
        let text = format!("no packets from {name} for {} s, after {}", ago.as_secs(), packets(heard, ""));
        let fix = format!(
            "check whether {name} is muted and stops sending then; otherwise a NAT or firewall closed the path. {}",
            self.by_tcpdump()
        );
        self.found(FaultCause::Ceased, text, fix)
    }

    fn unread(&self) -> Option<Diagnosis> {
        let (unread, heard) = (self.counters.symptoms.unread.get(), self.heard());
        if unread == 0 || unread * 100 < heard {
            return None;
        }
        let text = format!("this machine dropped {} from {} (receive buffer full)", packets(unread, ""), self.name);
        let fix = "check the load of this machine (CPU, steal time of a virtual machine, a stopped process); `[media] threads`, \
                   `Nice=-10` in the unit";
        self.found(FaultCause::Unread, text, fix)
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Returns `1 packet` or `2 packets`, with their kind.
fn packets(count: u64, of: &str) -> String {
    let of = if of.is_empty() { String::new() } else { format!(" {of}") };
    format!("{count} {}{of}", if count == 1 { "packet" } else { "packets" })
}

/// Returns whether an address is unreachable from the Internet: RFC 1918, RFC 6598, RFC 3927, RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, _, _] = v4.octets();
            v4.is_private() || v4.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Returns whether two addresses are probably in one network: the same /24 or /64.
fn is_neighbour(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.segments()[..4] == b.segments()[..4],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_media::Counter;

    fn described(rtp: &str) -> RemoteSpec {
        let rtp: SocketAddr = rtp.parse().unwrap();
        RemoteSpec {
            rtp: Some(rtp),
            expected: vec![rtp.ip()],
            may_send: true,
            may_receive: true,
            ..RemoteSpec::default()
        }
    }

    fn side<'a>(remote: &'a RemoteSpec, counters: &'a EndCounters) -> SideEvidence<'a> {
        SideEvidence {
            name: "pbx",
            trunk: "pbx",
            remote,
            counters,
            signalling: "198.51.100.7".parse().unwrap(),
            is_local: false,
            shown_address: "203.0.113.10:16402".parse().unwrap(),
            is_own: true,
            ports: (16_384, 32_767),
            unexpected_source: None,
            agreed: vec![0, 101],
            codec: "PCMU",
            is_wanted: true,
            before: None,
        }
    }

    fn dropped(counters: &EndCounters, reason: DropReason, count: u32) {
        counters.dropped.add(reason, count);
    }

    #[test]
    fn what_is_not_heard_has_the_cause_that_shows() {
        let remote = described("198.51.100.7:4000");
        let why = |change: &dyn Fn(&EndCounters)| {
            let counters = EndCounters::default();
            change(&counters);
            side(&remote, &counters).why_unheard().unwrap()
        };
        let nothing = why(&|_| {});
        assert_eq!(nothing.cause, FaultCause::Nothing);
        assert!(nothing.fix.contains("if it shows none, and the path is open, pbx sends nothing"), "{}", nothing.fix);
        assert!(why(&|_| {}).fix.contains("udp 16384-32767"));
        let unreachable = why(&|counters| counters.symptoms.unreachable.set(3));
        assert_eq!((unreachable.cause, unreachable.text.contains("ICMP, 3 times")), (FaultCause::Unreachable, true));
        // The port of a phone that is gone, hit by a keep-alive packet.
        assert_eq!(why(&|counters| counters.symptoms.unreachable.set(1)).cause, FaultCause::Nothing);
        let once = why(&|counters| {
            counters.symptoms.unreachable.set(1);
            counters.tx_packets.set(1);
        });
        assert!(once.text.contains("(ICMP, once)"), "{}", once.text);
        let echoed = why(&|counters| counters.symptoms.echoed.set(1));
        assert_eq!(echoed.cause, FaultCause::Echoed);
        let text = "the path to pbx works; pbx waits for audio: it returned 1 keep-alive packet of the edge";
        assert!(echoed.text.starts_with(text) && !echoed.text.contains("no packets"), "{}", echoed.text);
        assert_eq!(why(&|counters| dropped(counters, DropReason::NotRtp, 2)).cause, FaultCause::NotRtp);
        let stranger = why(&|counters| {
            dropped(counters, DropReason::UnexpectedSource, 7);
            counters.symptoms.stranger.set("192.0.2.9:4000".parse().unwrap()).unwrap();
        });
        assert_eq!(stranger.cause, FaultCause::UnexpectedSource);
        assert!(
            stranger.text.starts_with("7 packets came from another address, the last from 192.0.2.9:4000 (announced ")
        );
        assert!(stranger.fix.starts_with("set `media_from = [\"192.0.2.9/32\"]` in [trunk.pbx]"));
    }

    #[test]
    fn private_addresses_and_ours_are_told_apart() {
        let counters = EndCounters::default();
        let ours = |told: &str| FaultCause::OurAddress(told.parse().unwrap());
        for (announced, signalling, told, is_own, cause) in [
            ("192.168.1.20:4000", "198.51.100.7", "203.0.113.10:2", true, FaultCause::PrivateAddress),
            ("192.168.1.20:4000", "10.0.0.5", "10.0.0.2:2", true, FaultCause::PrivateAddress),
            ("10.0.0.6:4000", "10.0.0.5", "10.0.0.2:2", true, FaultCause::Nothing),
            ("198.51.100.7:4000", "198.51.100.7", "10.0.0.2:2", true, ours("10.0.0.2")),
            ("198.51.100.7:4000", "198.51.100.7", "203.0.113.10:2", false, ours("203.0.113.10")),
            ("[fd00::9]:4000", "[2001:db8::7]", "[2001:db8::1]:2", true, FaultCause::PrivateAddress),
        ] {
            let remote = described(announced);
            let signalling = signalling.trim_matches(['[', ']']).parse().unwrap();
            let side =
                SideEvidence { signalling, shown_address: told.parse().unwrap(), is_own, ..side(&remote, &counters) };
            assert_eq!(side.why_unheard().unwrap().cause, cause, "{announced} {told}");
        }
    }

    #[test]
    fn a_hold_is_of_who_does_not_want_to_hear() {
        let counters = EndCounters::default();
        for (may_send, may_receive, is_wanted, says) in [
            (true, true, true, None),
            (true, false, true, Some("a=sendonly")),
            (false, false, true, Some("a=inactive")),
            (false, true, true, Some("a=recvonly")),
            (false, true, false, None),
        ] {
            let remote = RemoteSpec { may_send, may_receive, ..described("198.51.100.7:4000") };
            let found = SideEvidence { is_wanted, ..side(&remote, &counters) }.flaw();
            assert_eq!(found.as_ref().map(|one| one.cause), says.map(|_| FaultCause::OnHold), "{says:?}");
            assert!(found.is_none_or(|one| one.text.ends_with(says.unwrap_or_default())));
        }
    }

    #[test]
    fn a_healthy_side_has_no_flaw_and_each_flaw_is_named() {
        let remote = described("198.51.100.7:4000");
        let flaw = |change: &dyn Fn(&EndCounters)| {
            let counters = EndCounters::default();
            counters.rx_packets.set(500);
            counters.tx_packets.set(500);
            change(&counters);
            side(&remote, &counters).flaw().map(|one| one.cause)
        };
        let set = |counter: &Counter, count| counter.set(count);
        assert_eq!(flaw(&|_| {}), None);
        assert_eq!(flaw(&|c| set(&c.symptoms.silent, 500)), Some(FaultCause::Silence));
        let counters = EndCounters::default();
        counters.rx_packets.set(500);
        counters.symptoms.silent.set(500);
        let held = SideEvidence { is_wanted: false, ..side(&remote, &counters) };
        assert_eq!(held.flaw().map(|one| one.cause), None, "its other side has the call on hold");
        let muted_later = |c: &EndCounters| {
            set(&c.symptoms.silent, 499);
            set(&c.symptoms.sounded, 1);
        };
        assert_eq!(flaw(&muted_later), None);
        let payload = |count: u32| {
            move |c: &EndCounters| {
                dropped(c, DropReason::UnknownPayload, count);
                set(&c.symptoms.odd_payload, 9);
            }
        };
        assert_eq!((flaw(&payload(500)), flaw(&payload(20))), (Some(FaultCause::Payload), None));
        assert_eq!(flaw(&|c| set(&c.symptoms.unread, 50)), Some(FaultCause::Unread));
        assert_eq!(flaw(&|c| set(&c.symptoms.unread, 1)), None);
        assert_eq!(flaw(&|c| set(&c.symptoms.unreachable, 300)), Some(FaultCause::Unreachable));
        let refused =
            |count: u64| move |c: &EndCounters| (0..count).for_each(|_| c.symptoms.note_unsent(SendFailure::Forbidden));
        assert_eq!((flaw(&refused(500)), flaw(&refused(20))), (Some(FaultCause::Unsent), None));
        // The port of a remote party that has just hung up.
        assert_eq!(flaw(&|c| set(&c.symptoms.unreachable, 4)), None);
    }

    #[test]
    fn what_begins_in_the_middle_of_a_call_is_told_by_what_has_changed_since_the_last_look() {
        let remote = described("198.51.100.7:4000");
        let counters = EndCounters::default();
        counters.rx_packets.set(30_000);
        counters.tx_packets.set(30_000);
        let before = Some((CounterSnapshot::at(&counters), Duration::from_secs(5)));
        let flaw = |is_wanted| SideEvidence { before, is_wanted, ..side(&remote, &counters) }.flaw();
        let found = flaw(true).unwrap();
        assert_eq!(found.cause, FaultCause::Ceased);
        assert_eq!(found.text, "no packets from pbx for 5 s, after 30000 packets");
        let by_tcpdump = "tcpdump -ni any udp port 16402";
        assert!(
            found.fix.contains(by_tcpdump)
                && found.fix.ends_with("pbx sends nothing: look at its settings, hold and mute"),
            "{}",
            found.fix
        );
        assert_eq!(flaw(false), None, "no party wants the audio");
        counters.rx_packets.set(30_250);
        assert_eq!(flaw(true), None);
        counters.tx_packets.set(30_250);
        (0..240).for_each(|_| counters.symptoms.note_unsent(SendFailure::Forbidden));
        assert_eq!(flaw(true).map(|one| one.cause), Some(FaultCause::Unsent));
        assert_eq!(side(&remote, &counters).flaw(), None, "of all of the call it is little");
    }

    #[test]
    fn a_stream_that_stopped_has_the_cause_that_shows() {
        let remote = described("198.51.100.7:4000");
        let why = |change: &dyn Fn(&EndCounters)| {
            let counters = EndCounters::default();
            counters.rx_packets.set(600);
            counters.tx_packets.set(900);
            change(&counters);
            side(&remote, &counters).why_stopped(Duration::from_millis(5300))
        };
        let nothing = why(&|_| {});
        assert_eq!(nothing.cause, FaultCause::Ceased);
        assert!(
            nothing.text.starts_with("no packets arrived for 5 s, after 600 packets (announced 198.51.100.7:4000, ")
        );
        assert!(nothing.fix.contains("udp port 16402"), "{}", nothing.fix);
        let moved = |count| {
            move |counters: &EndCounters| {
                dropped(counters, DropReason::UnexpectedSource, count);
                counters.symptoms.stranger.set("192.0.2.9:4000".parse().unwrap()).unwrap();
            }
        };
        assert_eq!(why(&moved(250)).cause, FaultCause::UnexpectedSource);
        assert_eq!(why(&moved(3)).cause, FaultCause::Ceased, "anybody's packets");
        assert_eq!(why(&|counters| counters.symptoms.unreachable.set(300)).cause, FaultCause::Unreachable);
    }
}
