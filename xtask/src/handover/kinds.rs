//! Kinds of calls: their set-up, the audio of their parties, and the promises of the pages in docs/operate.

use std::time::Duration;

use crate::bench::dialer::FAR;
use crate::bench::speech::Codec;
use crate::bench::srtp::Suite;

/// IP address of called parties with SRTP, and of those with PCMA.
pub(super) const SECURE: &str = "127.0.0.5";
pub(super) const ALAW: &str = "127.0.0.6";

/// Silence of a conference whose parties join again after an upgrade; zero once conferences cross as such.
const JOINS_AGAIN: Duration = Duration::from_secs(1);

/// Transport of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// Called party.
#[derive(Debug, Clone, Copy)]
pub(super) struct Party {
    pub(super) ip: &'static str,
    pub(super) codec: Codec,
    pub(super) suite: Option<Suite>,
    pub(super) is_answered: bool,
}

/// Step after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Nothing,
    /// The called party puts the caller on hold.
    Hold,
    /// The called party transfers the caller to a phone, which rings.
    Transfer,
}

/// Audio that a party hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hears {
    /// Every packet of the other party.
    Other,
    /// Its own packets, from an agent that echoes them.
    Itself,
    /// Audio that the edge makes or mixes.
    Edge,
    Nothing,
}

/// Promise of a page to a call, for an upgrade or a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// The call goes on, within the goals of packets.
    GoesOn,
    /// The call goes on after a silence of at most this.
    After(Duration),
    /// The caller goes on; the transfer may end, and with it the party that asked for it.
    CallerGoesOn,
    /// The call rings on, or its caller gets 503 and its phone a CANCEL.
    RingsOrEnds,
}

/// Kind of a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallKind {
    pub(super) name: &'static str,
    /// Keys of the route; `{n}` is the number of the group.
    pub(super) route: &'static str,
    pub(super) transport: Transport,
    pub(super) party: Option<Party>,
    pub(super) step: Step,
    /// Audio that the caller hears, and that the called party hears.
    pub(super) hears: (Hears, Hears),
    /// Number of calls in a group with a route of its own.
    pub(super) group: usize,
    /// Whether a request of the API makes the call.
    pub(super) is_requested: bool,
    pub(super) is_recorded: bool,
    /// Whether recording servers record the call.
    pub(super) has_recorder: bool,
    pub(super) on_upgrade: Promise,
    pub(super) on_crash: Promise,
}

const ANSWERS: Party = Party { ip: FAR, codec: Codec::Pcmu, suite: None, is_answered: true };
const RINGS: Party = Party { is_answered: false, ..ANSWERS };

const PLAIN: CallKind = CallKind {
    name: "plain",
    route: "connect = [\"trunk:far\"]",
    transport: Transport::Udp,
    party: Some(ANSWERS),
    step: Step::Nothing,
    hears: (Hears::Other, Hears::Other),
    group: 1,
    is_requested: false,
    is_recorded: false,
    has_recorder: false,
    on_upgrade: Promise::GoesOn,
    on_crash: Promise::GoesOn,
};

/// Call that the edge itself answers.
const ALONE: CallKind = CallKind { party: None, hears: (Hears::Edge, Hears::Nothing), ..PLAIN };

const fn secure(name: &'static str, suite: Suite) -> CallKind {
    CallKind {
        name,
        route: "connect = [\"trunk:secure\"]",
        party: Some(Party { ip: SECURE, suite: Some(suite), ..ANSWERS }),
        ..PLAIN
    }
}

/// All kinds; calls that are left over are of the first one.
pub(super) const KINDS: [CallKind; 19] = [
    PLAIN,
    secure("SRTP AES-CM", Suite::AesCm128HmacSha1_80),
    secure("SRTP AES-GCM", Suite::AeadAes128Gcm),
    CallKind {
        name: "PCMU to PCMA",
        route: "connect = [\"trunk:alaw\"]",
        party: Some(Party { ip: ALAW, codec: Codec::Pcma, ..ANSWERS }),
        ..PLAIN
    },
    CallKind { name: "held", step: Step::Hold, hears: (Hears::Other, Hears::Nothing), ..PLAIN },
    CallKind {
        name: "agent over ws",
        route: "connect = [\"agent:open\"]",
        hears: (Hears::Itself, Hears::Nothing),
        ..ALONE
    },
    CallKind {
        name: "agent over wss",
        route: "connect = [\"agent:secure\"]",
        hears: (Hears::Itself, Hears::Nothing),
        ..ALONE
    },
    CallKind { name: "forked", route: "connect = [\"trunk:far\"]\nfork = [\"agent:scribe\"]", ..PLAIN },
    CallKind {
        name: "in transfer",
        step: Step::Transfer,
        hears: (Hears::Nothing, Hears::Nothing),
        on_upgrade: Promise::CallerGoesOn,
        on_crash: Promise::CallerGoesOn,
        ..PLAIN
    },
    CallKind {
        name: "ringing",
        party: Some(RINGS),
        hears: (Hears::Nothing, Hears::Nothing),
        on_upgrade: Promise::RingsOrEnds,
        on_crash: Promise::RingsOrEnds,
        ..PLAIN
    },
    CallKind { name: "in Gather", route: "connect = [\"app:gather\"]", ..ALONE },
    CallKind { name: "in a queue", route: "connect = [\"app:queue\"]", ..ALONE },
    CallKind {
        name: "conference of three, recorded",
        route: "connect = [\"app:room-{n}\"]",
        group: 3,
        on_upgrade: Promise::After(JOINS_AGAIN),
        ..ALONE
    },
    CallKind { name: "recorded", route: "connect = [\"trunk:far\"]\nrecord = true", is_recorded: true, ..PLAIN },
    CallKind { name: "live transcription", route: "connect = [\"app:transcribed\"]", ..PLAIN },
    CallKind { name: "SIPREC", route: "connect = [\"trunk:far\"]\nsiprec = [\"vault\"]", has_recorder: true, ..PLAIN },
    CallKind {
        name: "made by a request, ringing",
        party: Some(RINGS),
        hears: (Hears::Nothing, Hears::Nothing),
        is_requested: true,
        on_upgrade: Promise::RingsOrEnds,
        on_crash: Promise::RingsOrEnds,
        ..PLAIN
    },
    CallKind { name: "phone over TCP", transport: Transport::Tcp, ..PLAIN },
    CallKind { name: "phone over TLS", transport: Transport::Tls, ..PLAIN },
];

impl CallKind {
    /// Returns whether the caller is answered.
    pub(super) fn is_answered(&self) -> bool {
        self.party.is_none_or(|party| party.is_answered)
    }

    /// Returns whether calls of the kind are placed again after an event.
    pub(super) fn is_renewed(&self) -> bool {
        !self.is_answered() || self.step == Step::Transfer
    }
}

/// Returns the number of calls of each kind: equal parts in whole groups, at least one group each; the first kind has
/// the rest.
pub(super) fn shares(kinds: &[CallKind], calls: usize) -> Vec<usize> {
    let part = calls / kinds.len().max(1);
    let mut shares: Vec<usize> = kinds.iter().map(|kind| (part / kind.group).max(1) * kind.group).collect();
    let rest = calls.saturating_sub(shares.iter().sum());
    if let Some(first) = shares.first_mut() {
        *first += rest;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_whole_groups_and_the_first_one_the_rest() {
        let of_rooms = KINDS.iter().position(|kind| kind.group == 3).unwrap();
        let shares_of_500 = shares(&KINDS, 500);
        assert_eq!((shares_of_500[of_rooms], shares_of_500.iter().sum::<usize>()), (24, 500));
        let few = shares(&KINDS, 5);
        assert_eq!((few[0], few[of_rooms], few.len()), (1, 3, KINDS.len()));
    }
}
