//! One call of a phone: where it stands, what it says and hears.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkgate_media::dtmf::Sender;
use trunkgate_media::mos;
use trunkgate_sdp::{Description, Direction, Far, far};
use trunkgate_sip::{ClientId, DialogId, ServerId};

use crate::coded::{Coded, Spoken};
use crate::ear::Ear;
use crate::judge::Judge;
use crate::phone::CallNumber;
use crate::refer::Transfer;
use crate::reporting::{Quality, Reporting};
use crate::script::{Manner, Talk};
use crate::secure::Secure;
use crate::session::Session;
use crate::tone::{Codec, Voice};

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// INVITE sent or received, nothing else yet.
    Calling,
    /// 180 or 183.
    Ringing,
    /// 200.
    Talking,
    /// Over: BYE, CANCEL or a refusal has been sent or received.
    Ended,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// We sent BYE.
    HungUp,
    /// The far side sent BYE.
    HungUpThere,
    /// The far side answered with this code.
    Refused(u16),
    /// We answered with this code.
    Rejected(u16),
    /// We sent CANCEL.
    Canceled,
    /// The far side sent CANCEL.
    CanceledThere,
    /// No answer in time (Timer B), or none after CANCEL.
    TimedOut,
    /// Could not be sent.
    Unreachable,
    /// Our 2xx was never acknowledged.
    AckMissing,
    /// Our reliable provisional answer was never acknowledged.
    PrackMissing,
    /// Our own patience ended.
    GaveUp,
    /// Nobody has refreshed the session.
    SessionExpired,
    /// We were told to leave it without an answer.
    Ignored,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Answer 200.
    Answer,
    /// Answer with a refusal.
    Reject(u16),
    /// Withdraw the INVITE.
    Cancel,
    /// BYE by the script.
    HangUp,
    /// Re-INVITE that holds.
    Hold,
    /// Re-INVITE that resumes.
    Resume,
    /// Say the next frame.
    Frame,
    /// See whether a report is due.
    Report,
    /// No final answer: give up.
    NoFinal,
    /// Too long a call: give up.
    TooLong,
    /// Refresh the session.
    Refresh,
    /// Nobody has refreshed it.
    SessionOver,
    /// Tell what has come of a REFER.
    Tell(u16),
}

/// One call.
#[derive(Debug)]
pub struct PhoneCall {
    pub(crate) number: CallNumber,
    pub(crate) outgoing: bool,
    pub(crate) state: State,
    pub(crate) ending: Option<Ending>,
    pub(crate) manner: Option<Manner>,
    pub(crate) talk: Talk,
    pub(crate) never_ack: bool,
    pub(crate) early_offer: bool,
    /// A provisional answer of ours that is reliable has our description: the 2xx says nothing more.
    pub(crate) told_early: bool,
    /// Whether a reliable provisional answer has been acknowledged, by either side.
    pub(crate) pracked: bool,
    /// Set once CANCEL was asked for; a 2xx that crosses it is acknowledged and ended by BYE.
    pub(crate) canceling: Option<Ending>,
    /// BYE waits for the ACK of our 2xx (RFC 3261 §15).
    pub(crate) bye_at_ack: Option<Ending>,
    pub(crate) acked: bool,
    pub(crate) answered_at: Option<Instant>,
    /// An offer of ours waits for its answer.
    pub(crate) offered: bool,
    pub(crate) call_id: Vec<u8>,
    pub(crate) called: String,
    pub(crate) client: Option<ClientId>,
    pub(crate) server: Option<ServerId>,
    pub(crate) dialog: Option<DialogId>,
    /// That of an INVITE of ours before its answer.
    pub(crate) early: Option<DialogId>,
    pub(crate) reinvite: Option<ClientId>,
    /// It went out without an offer: the 2xx makes one.
    pub(crate) asked: bool,
    /// It went out with what was said before: a refresh.
    pub(crate) repeats: bool,
    pub(crate) session: Session,
    pub(crate) refreshed: u32,
    pub(crate) transfer: Transfer,
    /// Whether we have held the call or taken it back, and whether we have asked for an offer in it.
    pub(crate) has_held: bool,
    pub(crate) has_asked: bool,
    pub(crate) media: Option<SocketAddr>,
    pub(crate) session_id: u64,
    pub(crate) version: u64,
    /// What we last wrote as offer or answer.
    pub(crate) ours: Option<Description>,
    /// What the far side's was that ours is in force with.
    pub(crate) theirs: Option<Description>,
    pub(crate) offer: Option<Description>,
    pub(crate) direction: Direction,
    pub(crate) speech: Speech,
    pub(crate) judge: Judge,
    pub(crate) ear: Ear,
    pub(crate) secure: Secure,
    /// RTCP, where the phone makes reports.
    pub(crate) reporting: Option<Reporting>,
    pub(crate) due: Vec<(Instant, Due)>,
}

/// The sending side of a call.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) ssrc: u32,
    pub(crate) voice: Option<Voice>,
    /// What is spoken.
    pub(crate) spoken: Option<Spoken>,
    /// What codes it, where G.711 is not what is spoken.
    pub(crate) coded: Option<Box<Coded>>,
    /// The far side's telephone-events: number and clock, in Hz.
    pub(crate) events: Option<(u8, u32)>,
    /// Keys that are pressed, once they are.
    pub(crate) presses: Option<Sender>,
    pub(crate) payload: u8,
    pub(crate) to: Option<SocketAddr>,
    /// Where its RTCP goes.
    pub(crate) reports_to: Option<SocketAddr>,
    pub(crate) allowed: bool,
    pub(crate) sent: u32,
    pub(crate) ticking: bool,
    /// When the next frame is due.
    pub(crate) next_at: Option<Instant>,
}

impl PhoneCall {
    pub(crate) fn new(number: CallNumber, outgoing: bool, ssrc: u32, call_id: Vec<u8>) -> PhoneCall {
        PhoneCall {
            number,
            outgoing,
            state: State::Calling,
            ending: None,
            manner: None,
            talk: Talk::default(),
            never_ack: false,
            early_offer: false,
            told_early: false,
            pracked: false,
            canceling: None,
            bye_at_ack: None,
            acked: false,
            answered_at: None,
            offered: false,
            call_id,
            called: String::new(),
            client: None,
            server: None,
            dialog: None,
            early: None,
            reinvite: None,
            asked: false,
            repeats: false,
            session: Session::default(),
            refreshed: 0,
            transfer: Transfer::default(),
            has_held: false,
            has_asked: false,
            media: None,
            session_id: u64::from(ssrc),
            version: 1,
            ours: None,
            theirs: None,
            offer: None,
            direction: Direction::SendRecv,
            speech: Speech {
                ssrc,
                voice: None,
                spoken: None,
                coded: None,
                events: None,
                presses: None,
                payload: 0,
                to: None,
                reports_to: None,
                allowed: false,
                sent: 0,
                ticking: false,
                next_at: None,
            },
            judge: Judge::default(),
            ear: Ear::default(),
            secure: Secure::default(),
            reporting: None,
            due: Vec::new(),
        }
    }

    /// Its number.
    pub fn number(&self) -> CallNumber {
        self.number
    }
    /// Whether we placed it.
    pub fn is_outgoing(&self) -> bool {
        self.outgoing
    }
    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }
    /// How it ended; `None` while it goes on.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }
    /// What it heard, where [`Talk::by_ear`] is set.
    pub fn ear(&self) -> &Ear {
        &self.ear
    }
    /// Whether the INVITE carried an offer.
    pub fn has_early_offer(&self) -> bool {
        self.early_offer
    }
    /// Whether a reliable provisional answer of either side was acknowledged (RFC 3262).
    pub fn is_pracked(&self) -> bool {
        self.pracked
    }
    /// Whether it leaves a 2xx without ACK.
    pub fn never_acks(&self) -> bool {
        self.never_ack
    }
    /// Whether a re-INVITE of ours has held it or taken it back, or tried to.
    pub fn has_held(&self) -> bool {
        self.has_held
    }
    /// Whether a re-INVITE of ours has asked for an offer.
    pub fn has_asked(&self) -> bool {
        self.has_asked
    }
    /// When 200 was sent or received; `None` where it never was.
    pub fn answered_at(&self) -> Option<Instant> {
        self.answered_at
    }
    /// Call-ID of its leg.
    pub fn call_id(&self) -> &[u8] {
        &self.call_id
    }
    /// The user part that was called.
    pub fn called(&self) -> &str {
        &self.called
    }
    /// How an incoming call is answered.
    pub fn manner(&self) -> Option<Manner> {
        self.manner
    }
    /// The codec agreed.
    pub fn codec(&self) -> Option<Codec> {
        self.speech.voice.as_ref().map(Voice::codec)
    }
    /// The codec agreed, by its rtpmap name, also where that is none of G.711's.
    pub fn spoken(&self) -> Option<&'static str> {
        self.speech.spoken.map(Spoken::name)
    }
    /// The far side's telephone-events: payload number and clock in Hz; `None` where it takes none.
    pub fn events(&self) -> Option<(u8, u32)> {
        self.speech.events
    }
    /// Whether all of [`Talk::keys`] has been pressed.
    pub fn has_pressed_all(&self) -> bool {
        self.speech.presses.as_ref().is_some_and(Sender::is_over)
    }
    /// SSRC of what it says.
    pub fn ssrc(&self) -> u32 {
        self.speech.ssrc
    }
    /// Frames said.
    pub fn sent(&self) -> u32 {
        self.speech.sent
    }
    /// Where its RTP goes.
    pub fn far(&self) -> Option<SocketAddr> {
        self.speech.to
    }
    /// Its media address.
    pub fn media(&self) -> Option<SocketAddr> {
        self.media
    }
    /// Loss and jitter both ways, as far as they are known; `None` where the phone makes no reports.
    pub fn quality(&self) -> Option<Quality> {
        self.reporting.as_ref().map(|reporting| reporting.quality(self.spoken().and_then(mos::Codec::named)))
    }
    /// The keys that the far side pressed, the first [`limits::KEYS_HEARD`](crate::limits::KEYS_HEARD) of them; none where
    /// the phone makes no reports.
    pub fn pressed(&self) -> &str {
        self.reporting.as_ref().map_or("", Reporting::pressed)
    }
    /// The suite that its audio is encrypted with, by its name in a description; `None`: with none.
    pub fn suite(&self) -> Option<&'static str> {
        self.secure.suite()
    }
    /// What it heard.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }
    /// Whether its audio is encrypted, both ways.
    pub fn is_secure(&self) -> bool {
        self.secure.is_on()
    }
    /// Packets that did not open with the far side's key: somebody else's, plain, or harmed on the way. Not among them
    /// are those that came before the key.
    pub fn unopened(&self) -> u64 {
        self.secure.refused
    }

    /// Whether a request of ours in the answered call has no answer yet.
    pub(crate) fn is_open(&self, id: ClientId) -> bool {
        [self.reinvite, self.session.update, self.transfer.open].contains(&Some(id))
    }

    pub(crate) fn wake(&mut self, at: Instant, due: Due) {
        self.due.push((at, due));
    }
    pub(crate) fn wake_after(&mut self, now: Instant, after: Option<Duration>, due: Due) {
        if let Some(after) = after {
            self.wake(now + after, due);
        }
    }
    pub(crate) fn forget(&mut self, due: Due) {
        self.due.retain(|(_, d)| *d != due);
    }
    /// Takes the earliest thing due by `now`; among equals the one that was asked for first.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let at = self
            .due
            .iter()
            .enumerate()
            .filter(|(_, (at, _))| *at <= now)
            .min_by_key(|(position, (at, _))| (*at, *position))
            .map(|(position, _)| position)?;
        Some(self.due.remove(at).1)
    }
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.iter().map(|(at, _)| *at).min()
    }

    /// What the far side's description (its answer, or its offer) says of where and what to send.
    pub(crate) fn listen_to(&mut self, far: Far, payload: u8, spoken: Spoken) {
        let their = far.direction;
        (self.speech.to, self.speech.reports_to) = (far.rtp, far.rtcp);
        self.speech.payload = payload;
        self.speech.allowed = their.receives() && self.direction.sends();
        if self.codec() != Some(spoken.voice()) {
            self.speech.voice = Some(Voice::new(self.speech.ssrc, spoken.voice()));
        }
        self.speech.spoken = Some(spoken);
        if !self.speech.coded.as_ref().is_some_and(|coded| coded.is_of(spoken)) {
            self.speech.coded = Coded::new(spoken).map(Box::new);
        }
    }

    /// What the far side's description says of telephone-events.
    pub(crate) fn note_events(&mut self, theirs: &Description) {
        let section = theirs.media.iter().find(|media| media.kind == "audio" && media.port != 0);
        self.speech.events = section.and_then(|section| {
            let known = section.payloads().into_iter().filter_map(|number| Some((number, section.rtpmap(number)?)));
            let mut events = known.filter(|(_, map)| map.is("telephone-event"));
            events.next().map(|(number, map)| (number, map.clock))
        });
    }
}

/// Far end, payload number and codec of the first audio section of an answer; `None` where it refuses.
pub(crate) fn read_answer(answer: &Description) -> Option<(Far, u8, Spoken)> {
    let section = answer.media.iter().find(|m| m.kind == "audio" && m.port != 0)?;
    let attributes = || section.attributes.iter().chain(answer.attributes.iter());
    let direction = attributes()
        .find_map(|a| {
            [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
                .into_iter()
                .find(|d| d.as_str() == a.name)
        })
        .unwrap_or_default();
    let (payload, codec) = section.formats.iter().find_map(|format| {
        let payload: u8 = format.parse().ok()?;
        let mapped = attributes().filter(|a| a.name == "rtpmap").find_map(|a| {
            let (number, name) = a.value.as_deref()?.split_once(' ')?;
            (number == format).then(|| name.split('/').next().and_then(Spoken::of_name))
        });
        Some((payload, mapped.unwrap_or(Spoken::of_payload(payload))?))
    })?;
    Some((far(answer, section, direction), payload, codec))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test's time has to begin somewhere
mod tests {
    use super::*;

    #[test]
    fn due_things_come_in_order() {
        let now = Instant::now();
        let mut call = PhoneCall::new(CallNumber(1), true, 1, Vec::new());
        call.wake(now + Duration::from_secs(2), Due::HangUp);
        call.wake(now + Duration::from_secs(1), Due::Frame);
        assert_eq!(call.take_due(now), None);
        assert_eq!(call.next_due(), Some(now + Duration::from_secs(1)));
        assert_eq!(call.take_due(now + Duration::from_secs(3)), Some(Due::Frame));
        assert_eq!(call.take_due(now + Duration::from_secs(3)), Some(Due::HangUp));
        assert_eq!(call.next_due(), None);
    }
}
