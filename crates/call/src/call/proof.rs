//! Whether a far side is where its descriptions say that it is. A datagram's source address can be forged, and so can the media
//! address in it: media that is sent there before anything has come back would flood a third party.
//!
//! An address is proven that is the signalling's own or lies in its trunk's networks, where the signalling runs over a
//! connection or the INVITE was authenticated, and otherwise by a message that shows that ours arrive: the ACK or PRACK to
//! the INVITE that named it, an UPDATE (which repeats our tag), an answer to a request of ours (which repeats our branch).
//! RTP proves nothing: its source can be forged like that of the INVITE, the ports of the edge are few enough to try each,
//! and an SRTP key that the INVITE named is known to its sender. A worker sends nothing to other addresses, but for the early
//! media of a few calls.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::{Command, EndId, RemoteSpec};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::{PROVEN_ADDRESSES, UNPROVEN_EARLY_MEDIA};
use trunkgate_resources::unproven::EarlyGrant;
use trunkgate_route::{Peer, Trunk};
use trunkgate_story::trace::TraceItem;

use crate::call::legs::leg::Leg;
use crate::call::{Call, CallEvent, State};

/// What has proven the addresses in a leg's descriptions. The default, also of a snapshot from before this was known:
/// they are proven.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// Whether the far side's INVITE was authenticated: nothing more is asked of it.
    #[serde(default)]
    authenticated: bool,
    /// Whether the far side's last INVITE has not been acknowledged.
    #[serde(default)]
    awaited: bool,
    /// Addresses that were proven before that INVITE.
    #[serde(default)]
    known: Vec<IpAddr>,
}

impl Proof {
    /// Returns that of a new INVITE's leg; credentials count once and for all.
    pub(crate) fn of_invite(authenticated: bool) -> Proof {
        Proof { authenticated, awaited: !authenticated, known: Vec::new() }
    }

    /// Takes a further INVITE of the far side; `known`: the addresses in force that are proven.
    fn ask(&mut self, mut known: Vec<IpAddr>) {
        known.truncate(PROVEN_ADDRESSES);
        (self.awaited, self.known) = (!self.authenticated, known);
    }

    /// Takes what shows that our messages arrive; whether that was missing.
    fn give(&mut self) -> bool {
        self.known.clear();
        std::mem::take(&mut self.awaited)
    }

    /// Returns the proof of a call that is restored. Its dialog was acknowledged once, and the ACK to a later INVITE is
    /// recognised no more.
    pub(crate) fn restored(mut self) -> Proof {
        self.give();
        self
    }

    fn covers(&self, ip: IpAddr) -> bool {
        !self.awaited || self.known.contains(&ip)
    }
}

impl Leg {
    /// Whether the far side is known to be at the media addresses of a description.
    pub(crate) fn is_proven(&self, remote: &RemoteSpec) -> bool {
        [remote.rtp, remote.rtcp].into_iter().flatten().all(|address| self.proves(address.ip().to_canonical()))
    }

    fn proves(&self, ip: IpAddr) -> bool {
        self.flow.is_none_or(|flow| flow.transport.is_reliable())
            || self.signalling().to_canonical() == ip
            || self.proof.covers(ip)
            || self.trunk.as_ref().is_some_and(|trunk| is_of(trunk, ip))
    }

    /// Returns the media addresses in force that are proven.
    fn proven(&self) -> Vec<IpAddr> {
        let remotes = self.ends.iter().filter_map(|end| end.remote.as_ref());
        let addresses = remotes.flat_map(|remote| [remote.rtp, remote.rtcp]).flatten();
        let mut proven: Vec<IpAddr> = addresses.map(|address| address.ip().to_canonical()).collect();
        proven.sort_unstable();
        proven.dedup();
        proven.retain(|ip| self.proves(*ip));
        proven
    }

    /// Whether RTP comes from an address that is proven: it goes back there, whatever the descriptions say (NAT).
    fn is_heard(&self) -> bool {
        self.latched.is_some_and(|source| self.proves(source.ip().to_canonical()))
    }

    /// Returns an address in force to which nothing is sent.
    fn withheld(&self) -> Option<SocketAddr> {
        let withheld = |remote: &&RemoteSpec| remote.withheld;
        self.ends.iter().filter_map(|end| end.remote.as_ref()).find(withheld).and_then(|remote| remote.rtp)
    }
}

/// Whether an address is one of a trunk's own, by the configuration.
fn is_of(trunk: &Trunk, ip: IpAddr) -> bool {
    let mut networks = trunk.accept_from.iter().chain(&trunk.media_from);
    networks.any(|network| network.contains(&ip)) || trunk.peers.iter().flat_map(Peer::addresses).any(|peer| peer == ip)
}

impl Call {
    /// Takes what an event proves, before it is dealt with: of what it brings itself, too.
    pub(crate) fn note_proof(&mut self, now: Instant, edge: &mut Edge, event: &CallEvent) {
        if let CallEvent::Acked { leg, .. } = event {
            self.prove(now, edge, *leg, "its ACK has come");
        } else if let CallEvent::Pracked { leg, .. } = event {
            self.prove(now, edge, *leg, "its PRACK has come");
        } else if let CallEvent::Update { leg, .. } = event {
            self.prove(now, edge, *leg, "its UPDATE has come");
        } else if let CallEvent::Reinvite { leg, sdp: Some(_), .. } = event {
            let side = &mut self.legs[*leg];
            let known = side.proven();
            side.proof.ask(known);
        }
    }

    /// Takes what shows that a leg's far side gets our messages: the addresses that it has named are its own.
    pub(crate) fn prove(&mut self, now: Instant, edge: &mut Edge, leg: LegId, by: &str) {
        if self.legs[leg].proof.give() {
            self.settle_proof(now, edge, leg, by);
        }
    }

    /// Takes a new source of RTP, to which the worker sends unless it is the withheld address. A caller that is heard at an address
    /// that is proven, behind NAT, asks for no place; one that it has stays taken, because the source can be forged.
    pub(crate) fn heard_from_source(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        if leg != LegId::CALLER || !self.legs[leg].proof.awaited {
            return;
        }
        // The announced address may have taken over from one that is proven, or the other way round.
        self.reconsider(now, edge, leg);
    }

    fn settle_proof(&mut self, now: Instant, edge: &mut Edge, leg: LegId, by: &str) {
        let before = self.legs[leg].withheld();
        if leg == LegId::CALLER && edge.unproven_early.free(self.key) {
            self.disarm(edge, Timer::Unproven);
        }
        if before.is_none() {
            return;
        }
        self.reconsider(now, edge, leg);
        if let Some(address) = before.filter(|_| self.legs[leg].withheld().is_none()) {
            let text = format!("media to {address} is no longer withheld: {by}");
            edge.trace(now, self.key, TraceItem::Media { leg: leg.index(), text });
        }
    }

    /// Decides again whether media may be sent to a leg's remote party.
    pub(crate) fn reconsider(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let remotes = self.legs[leg].ends.iter().filter_map(|end| Some((end.end, end.remote.clone()?)));
        let remotes: Vec<_> = remotes.collect();
        for (end, remote) in remotes {
            self.tell_remote(now, edge, leg, end, remote);
        }
    }

    /// Tells the worker where an end's far side is, where that is news, and whether it may be sent to.
    pub(crate) fn tell_remote(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        end: EndId,
        mut remote: RemoteSpec,
    ) {
        let Some(media) = self.media.session else { return };
        remote.withheld = !self.legs[leg].is_proven(&remote);
        let is_heard = self.legs[leg].is_heard() && !remote.relatch;
        if remote.withheld && !is_heard && leg == LegId::CALLER && self.state == State::Searching {
            remote.withheld = !self.may_hear_early(now, edge, remote.rtp);
        }
        let Some(slot) = self.legs[leg].ends.iter_mut().find(|slot| slot.end == end) else { return };
        if !remote.relatch && slot.remote.as_ref() == Some(&remote) {
            return;
        }
        let was_withheld = slot.remote.as_ref().is_some_and(|before| before.withheld && before.rtp == remote.rtp);
        slot.remote = Some(RemoteSpec { relatch: false, ..remote.clone() });
        let told = remote.rtp.filter(|_| remote.withheld && !was_withheld && !is_heard);
        edge.media(media, Command::SetRemote { end, remote });
        if let Some(address) = told.filter(|_| self.state != State::Searching) {
            let text = format!("media to {address} withheld until the ACK: address not proven");
            edge.trace(now, self.key, TraceItem::Media { leg: leg.index(), text });
        }
    }

    /// Whether the caller hears early media although its address is not proven.
    fn may_hear_early(&mut self, now: Instant, edge: &mut Edge, to: Option<SocketAddr>) -> bool {
        let before = edge.unproven_early.grant(self.key);
        if matches!(before, EarlyGrant::Granted | EarlyGrant::Over) {
            return before == EarlyGrant::Granted;
        }
        let (Some(trunk), Some(to)) = (self.legs[LegId::CALLER].trunk.clone(), to) else { return false };
        let most = trunk.unproven_early_media;
        let (count, is_one) = edge.unproven_early.admit(now, &trunk.name, most, self.key);
        if is_one {
            self.arm(now, edge, Timer::Unproven, UNPROVEN_EARLY_MEDIA);
        }
        if is_one || before == EarlyGrant::Unasked {
            let seconds = UNPROVEN_EARLY_MEDIA.as_secs();
            let what = if is_one { format!("for {seconds} s at most") } else { "withheld".to_owned() };
            let calls = format!("{count} of {most} unproven early-media calls of trunk {}", trunk.name);
            let text = format!("early media to {to} {what}: address not proven ({calls})");
            edge.trace(now, self.key, TraceItem::Media { leg: LegId::CALLER.index(), text });
        }
        is_one
    }

    /// Early media was heard for long enough at an address that is still not proven.
    pub(crate) fn early_grant_over(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Unproven);
        if self.state != State::Searching {
            return;
        }
        edge.unproven_early.end(self.key);
        self.reconsider(now, edge, LegId::CALLER);
        if let Some(address) = self.legs[LegId::CALLER].withheld() {
            let (ip, name) = (address.ip(), self.legs[LegId::CALLER].trunk_name());
            let seconds = UNPROVEN_EARLY_MEDIA.as_secs();
            let text = format!(
                "early media to {address} withheld: address not proven after {seconds} s; \
                 write the network of {ip} in `media_from` of [trunk.{name}]"
            );
            edge.trace(now, self.key, TraceItem::Media { leg: LegId::CALLER.index(), text });
        }
    }
}
