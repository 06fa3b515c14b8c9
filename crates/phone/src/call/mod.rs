//! One call of a phone.
//!
//! This room holds its state and what it has done (here), its way from INVITE to BYE (`signalling`), changes in the answered
//! call (`changes`), and its parts: offers and answers (`negotiation`), session timers (`session`), transfers (`transfer`).
//! Its audio has a room of its own, `audio`.

mod changes;
mod negotiation;
pub(crate) mod session;
mod signalling;
mod transfer;

use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_sip::{ClientId, DialogId, ServerId};

use crate::audio::{Audio, Quality, Spoken};
use crate::cx::Cx;
use crate::deadlines::Deadlines;
use crate::ear::Ear;
use crate::event::{CallNumber, Ending, State};
use crate::judge::Judge;
use crate::script::{Answer, Manner, Talk};
use crate::tone::Codec;
use changes::Change;
use negotiation::Negotiation;
use session::Session;
use transfer::Transfer;

pub use transfer::News;

/// One call.
#[derive(Debug)]
pub struct PhoneCall {
    number: CallNumber,
    outgoing: bool,
    state: State,
    ending: Option<Ending>,
    manner: Option<Manner>,
    talk: Talk,
    never_ack: bool,
    /// A provisional answer of ours that is reliable has our description: the 2xx says nothing more.
    told_early: bool,
    /// Whether a reliable provisional answer has been acknowledged, by either side.
    pracked: bool,
    /// Set once CANCEL was asked for; a 2xx that crosses it is acknowledged and ended by BYE.
    canceling: Option<Ending>,
    /// BYE waits for the ACK of our 2xx (RFC 3261 §15).
    bye_at_ack: Option<Ending>,
    acked: bool,
    answered_at: Option<Instant>,
    call_id: Vec<u8>,
    called: String,
    calling: String,
    client: Option<ClientId>,
    server: Option<ServerId>,
    dialog: Option<DialogId>,
    /// The dialog of an INVITE of ours before its answer.
    early: Option<DialogId>,
    change: Change,
    negotiation: Negotiation,
    session: Session,
    transfer: Transfer,
    audio: Audio,
    deadlines: Deadlines,
}

impl PhoneCall {
    fn new(number: CallNumber, outgoing: bool, ssrc: u32) -> PhoneCall {
        PhoneCall {
            number,
            outgoing,
            state: State::Calling,
            ending: None,
            manner: None,
            talk: Talk::default(),
            never_ack: false,
            told_early: false,
            pracked: false,
            canceling: None,
            bye_at_ack: None,
            acked: false,
            answered_at: None,
            call_id: Vec::new(),
            called: String::new(),
            calling: String::new(),
            client: None,
            server: None,
            dialog: None,
            early: None,
            change: Change::default(),
            negotiation: Negotiation::new(u64::from(ssrc)),
            session: Session::default(),
            transfer: Transfer::default(),
            audio: Audio::new(ssrc),
            deadlines: Deadlines::default(),
        }
    }

    /// Makes a call that comes in and is answered so.
    pub(crate) fn incoming(number: CallNumber, ssrc: u32, answer: Answer) -> PhoneCall {
        PhoneCall { manner: Some(answer.manner), talk: answer.talk, ..PhoneCall::new(number, false, ssrc) }
    }

    /// Notes the INVITE of a call that is left without any answer; for good, where `is_over`.
    pub(crate) fn ignore(&mut self, call_id: Vec<u8>, called: String, is_over: bool) {
        (self.call_id, self.called) = (call_id, called);
        if is_over {
            self.state = State::Ended;
            self.ending = Some(Ending::Ignored);
        }
    }

    /// Returns its number.
    pub fn number(&self) -> CallNumber {
        self.number
    }

    /// Reports whether we placed it.
    pub fn is_outgoing(&self) -> bool {
        self.outgoing
    }

    /// Returns its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns its end; `None` while it goes on.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Returns what it heard, where [`Talk::by_ear`] is set.
    pub fn ear(&self) -> &Ear {
        self.audio.ear()
    }

    /// Reports whether the INVITE carried an offer.
    pub fn has_early_offer(&self) -> bool {
        self.negotiation.is_early()
    }

    /// Reports whether a reliable provisional answer of either side was acknowledged (RFC 3262).
    pub fn is_pracked(&self) -> bool {
        self.pracked
    }

    /// Reports whether it leaves a 2xx without ACK.
    pub fn never_acks(&self) -> bool {
        self.never_ack
    }

    /// Reports whether a re-INVITE of ours has held it or taken it back, or tried to.
    pub fn has_held(&self) -> bool {
        self.change.has_held()
    }

    /// Reports whether a re-INVITE of ours has asked for an offer.
    pub fn has_asked(&self) -> bool {
        self.change.has_asked()
    }

    /// Returns the moment at which 200 was sent or received; `None` where it never was.
    pub fn answered_at(&self) -> Option<Instant> {
        self.answered_at
    }

    /// Returns the Call-ID of its leg.
    pub fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    /// Returns the user part of From in the INVITE of a call that came in.
    pub fn calling(&self) -> &str {
        &self.calling
    }

    /// Returns the user part that was called.
    pub fn called(&self) -> &str {
        &self.called
    }

    /// Returns the manner in which an incoming call is answered.
    pub fn manner(&self) -> Option<Manner> {
        self.manner
    }

    /// Returns the codec agreed.
    pub fn codec(&self) -> Option<Codec> {
        self.audio.speech().codec()
    }

    /// Returns the codec agreed, by its rtpmap name, also where that is none of G.711's.
    pub fn spoken(&self) -> Option<&'static str> {
        self.audio.speech().spoken().map(Spoken::name)
    }

    /// Returns the far side's telephone-events: payload number and clock in Hz; `None` where it takes none.
    pub fn events(&self) -> Option<(u8, u32)> {
        self.audio.speech().events()
    }

    /// Reports whether all of [`Talk::keys`] has been pressed.
    pub fn has_pressed_all(&self) -> bool {
        self.audio.speech().has_pressed_all()
    }

    /// Returns the SSRC of what it says.
    pub fn ssrc(&self) -> u32 {
        self.audio.speech().ssrc()
    }

    /// Returns the number of frames said.
    pub fn sent(&self) -> u32 {
        self.audio.speech().sent()
    }

    /// Returns the address that its RTP goes to.
    pub fn far(&self) -> Option<SocketAddr> {
        self.audio.speech().to()
    }

    /// Returns its media address.
    pub fn media(&self) -> Option<SocketAddr> {
        self.audio.address()
    }

    /// Returns loss and jitter both ways, as far as they are known; `None` where the phone makes no reports.
    pub fn quality(&self) -> Option<Quality> {
        self.audio.quality()
    }

    /// Returns the DTMF digits that the far side sent, the first [`limits::KEYS_HEARD`](crate::limits::KEYS_HEARD) of them;
    /// none where the phone makes no reports.
    pub fn pressed(&self) -> &str {
        self.audio.pressed()
    }

    /// Returns the suite that its audio is encrypted with, by its name in a description; `None`: with none.
    pub fn suite(&self) -> Option<&'static str> {
        self.audio.secure().suite()
    }

    /// Returns the judge of what it heard.
    pub fn judge(&self) -> &Judge {
        self.audio.judge()
    }

    /// Reports whether its audio is encrypted, both ways.
    pub fn is_secure(&self) -> bool {
        self.audio.secure().is_on()
    }

    /// Returns the number of packets that did not open with the far side's key: of another source, plain, or harmed on the
    /// way. Those that came before the key are not among them.
    pub fn unopened(&self) -> u64 {
        self.audio.secure().refused()
    }

    /// Returns the interval of its session, in seconds; `None` where it may last for ever.
    pub fn session_seconds(&self) -> Option<u32> {
        self.session.seconds()
    }

    /// Reports whether it is for us to refresh its session.
    pub fn refreshes(&self) -> bool {
        self.session.refreshes()
    }

    /// Returns the number of refreshes of its session by either side.
    pub fn refreshed(&self) -> u32 {
        self.session.refreshed()
    }

    /// Reports whether we have asked for a transfer.
    pub fn has_referred(&self) -> bool {
        self.transfer.has_referred()
    }

    /// Returns the number of REFERs of ours that were taken.
    pub fn transfers(&self) -> u32 {
        self.transfer.taken()
    }

    /// Returns the progress of those, in order.
    pub fn news(&self) -> &[News] {
        self.transfer.news()
    }

    /// Reports whether this is its request from the far side.
    pub(crate) fn is_server(&self, id: ServerId) -> bool {
        self.server == Some(id)
    }

    /// Reports whether this is its INVITE.
    pub(crate) fn is_client(&self, id: ClientId) -> bool {
        self.client == Some(id)
    }

    /// Reports whether this is its dialog.
    pub(crate) fn is_of(&self, dialog: DialogId) -> bool {
        self.dialog == Some(dialog)
    }

    /// Reports whether a request of ours in the answered call has no answer yet.
    pub(crate) fn is_open(&self, id: ClientId) -> bool {
        self.change.is_open(id) || self.transfer.open() == Some(id)
    }

    /// Returns its next deadline.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Gives back what an ended call no longer needs: its media address.
    pub(crate) fn settle(&mut self) -> Option<SocketAddr> {
        if self.state != State::Ended {
            return None;
        }
        self.deadlines.clear();
        self.audio.close()
    }

    /// Reports whether audio for this address is for it.
    pub(crate) fn listens_at(&self, to: SocketAddr) -> bool {
        self.audio.address() == Some(to) && self.state != State::Ended
    }

    /// Takes an RTP packet.
    pub(crate) fn hear(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        self.audio.hear(cx, self.number, &self.talk, bytes);
    }

    /// Takes an RTCP packet.
    pub(crate) fn hear_report(&mut self, now: Instant, bytes: &[u8]) {
        self.audio.hear_report(now, bytes);
    }
}
