//! One call of a test phone.
//!
//! This module has the state of the call (here), its course from INVITE to BYE (`signalling`), changes in the
//! answered call (`changes`), offers and answers (`negotiation`), session timers (`session`) and transfers
//! (`transfer`). Audio is in the module `audio`.

mod changes;
mod negotiation;
pub(crate) mod session;
mod signalling;
mod transfer;

use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_sip::{ClientId, DialogId, ServerId};

use crate::audio::{CallCodec, PhoneAudio, PhoneQuality};
use crate::cx::PhoneCx;
use crate::deadlines::PhoneDeadlines;
use crate::ear::ToneAnalyzer;
use crate::event::{CallEnding, CallNumber, PhoneCallState};
use crate::judge::AudioVerifier;
use crate::script::{AnswerKind, AnswerScript, CallScript};
use crate::tone::G711Codec;
use changes::SessionChanges;
use negotiation::OfferAnswer;
use session::RefreshTimer;
use transfer::PhoneTransfers;

pub use transfer::TransferProgress;

/// Call of a test phone, incoming or outgoing.
#[derive(Debug)]
pub struct PhoneCall {
    number: CallNumber,
    outgoing: bool,
    state: PhoneCallState,
    ending: Option<CallEnding>,
    manner: Option<AnswerKind>,
    talk: CallScript,
    never_ack: bool,
    /// Whether a reliable provisional response already carried our description; if so, the 2xx has none.
    told_early: bool,
    /// Whether a reliable provisional response has been acknowledged, by either side.
    pracked: bool,
    /// Outcome with which the call ends once a requested CANCEL is complete. A 2xx that crosses the CANCEL is followed
    /// by ACK and BYE.
    canceling: Option<CallEnding>,
    /// Outcome with which the call ends once its BYE, which waits for the ACK to our 2xx, is sent (RFC 3261 §15).
    bye_at_ack: Option<CallEnding>,
    acked: bool,
    answered_at: Option<Instant>,
    call_id: Vec<u8>,
    called: String,
    calling: String,
    client: Option<ClientId>,
    server: Option<ServerId>,
    dialog: Option<DialogId>,
    /// Early dialog of an outgoing INVITE.
    early: Option<DialogId>,
    change: SessionChanges,
    negotiation: OfferAnswer,
    session: RefreshTimer,
    transfer: PhoneTransfers,
    audio: PhoneAudio,
    deadlines: PhoneDeadlines,
}

impl PhoneCall {
    fn new(number: CallNumber, outgoing: bool, ssrc: u32) -> PhoneCall {
        PhoneCall {
            number,
            outgoing,
            state: PhoneCallState::Calling,
            ending: None,
            manner: None,
            talk: CallScript::default(),
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
            change: SessionChanges::default(),
            negotiation: OfferAnswer::new(u64::from(ssrc)),
            session: RefreshTimer::default(),
            transfer: PhoneTransfers::default(),
            audio: PhoneAudio::new(ssrc),
            deadlines: PhoneDeadlines::default(),
        }
    }

    /// Creates an incoming call that is answered as scripted.
    pub(crate) fn incoming(number: CallNumber, ssrc: u32, answer: AnswerScript) -> PhoneCall {
        PhoneCall { manner: Some(answer.manner), talk: answer.talk, ..PhoneCall::new(number, false, ssrc) }
    }

    /// Records the INVITE of a call that gets no response; the call is over if `is_over`.
    pub(crate) fn ignore(&mut self, call_id: Vec<u8>, called: String, is_over: bool) {
        (self.call_id, self.called) = (call_id, called);
        if is_over {
            self.state = PhoneCallState::Ended;
            self.ending = Some(CallEnding::Ignored);
        }
    }

    /// Returns the number of the call.
    pub fn number(&self) -> CallNumber {
        self.number
    }

    /// Returns whether the phone placed the call.
    pub fn is_outgoing(&self) -> bool {
        self.outgoing
    }

    /// Returns the state of the call.
    pub fn state(&self) -> PhoneCallState {
        self.state
    }

    /// Returns the outcome of the call, or `None` while the call continues.
    pub fn ending(&self) -> Option<CallEnding> {
        self.ending
    }

    /// Returns the evaluation of transcoded audio, used if [`CallScript::by_ear`] is set.
    pub fn tone_analyzer(&self) -> &ToneAnalyzer {
        self.audio.tone_analyzer()
    }

    /// Returns whether the INVITE carried an offer.
    pub fn has_early_offer(&self) -> bool {
        self.negotiation.is_early()
    }

    /// Returns whether a reliable provisional response of either side was acknowledged (RFC 3262).
    pub fn is_pracked(&self) -> bool {
        self.pracked
    }

    /// Returns whether the phone leaves a 2xx without ACK, as scripted.
    pub fn never_acks(&self) -> bool {
        self.never_ack
    }

    /// Returns whether the phone has held or resumed the call, or tried to.
    pub fn has_held(&self) -> bool {
        self.change.has_held()
    }

    /// Returns whether the phone has sent a re-INVITE without offer.
    pub fn has_asked(&self) -> bool {
        self.change.has_asked()
    }

    /// Returns the time at which 200 was sent or received, or `None` before that.
    pub fn answered_at(&self) -> Option<Instant> {
        self.answered_at
    }

    /// Returns the Call-ID of the call.
    pub fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    /// Returns the user part of From in the INVITE of an incoming call.
    pub fn calling(&self) -> &str {
        &self.calling
    }

    /// Returns the user part of the called address; for an incoming call from the Request-URI or To.
    pub fn called(&self) -> &str {
        &self.called
    }

    /// Returns the way in which an incoming call is answered; `None` for an outgoing one.
    pub fn answer_kind(&self) -> Option<AnswerKind> {
        self.manner
    }

    /// Returns the G.711 codec of the generated voice.
    pub fn codec(&self) -> Option<G711Codec> {
        self.audio.speech().codec()
    }

    /// Returns the `a=rtpmap` name of the agreed codec; `None` before a session is agreed.
    pub fn spoken(&self) -> Option<&'static str> {
        self.audio.speech().spoken().map(CallCodec::name)
    }

    /// Returns payload type and clock rate (Hz) of the remote party's telephone-events, if it supports them.
    pub fn events(&self) -> Option<(u8, u32)> {
        self.audio.speech().events()
    }

    /// Returns whether all digits of [`CallScript::keys`] have been sent.
    pub fn has_pressed_all(&self) -> bool {
        self.audio.speech().has_pressed_all()
    }

    /// Returns the SSRC of the sent audio.
    pub fn ssrc(&self) -> u32 {
        self.audio.speech().ssrc()
    }

    /// Returns the number of audio frames sent.
    pub fn sent(&self) -> u32 {
        self.audio.speech().sent()
    }

    /// Returns the RTP address that the remote party announced, if any.
    pub fn remote_rtp(&self) -> Option<SocketAddr> {
        self.audio.speech().to()
    }

    /// Returns the local media address; `None` if the call has none.
    pub fn media(&self) -> Option<SocketAddr> {
        self.audio.address()
    }

    /// Returns loss and jitter in both directions so far, or `None` if the phone sends no reports.
    pub fn quality(&self) -> Option<PhoneQuality> {
        self.audio.quality()
    }

    /// Returns the DTMF digits received from the remote party, at most
    /// [`limits::KEYS_HEARD`](crate::limits::KEYS_HEARD); empty without RTCP reports, whose state also receives
    /// the digits.
    pub fn pressed(&self) -> &str {
        self.audio.pressed()
    }

    /// Returns the name of the SRTP suite in force, or `None` for plain RTP.
    pub fn suite(&self) -> Option<&'static str> {
        self.audio.secure().suite()
    }

    /// Returns the verification of received audio bit by bit.
    pub fn judge(&self) -> &AudioVerifier {
        self.audio.verifier()
    }

    /// Returns whether the audio is encrypted in both directions.
    pub fn is_secure(&self) -> bool {
        self.audio.secure().is_on()
    }

    /// Returns the number of packets that failed authentication with the remote key: from another source, unencrypted,
    /// or damaged. Packets received before the key are not counted.
    pub fn unopened(&self) -> u64 {
        self.audio.secure().refused()
    }

    /// Returns the session interval in seconds, or `None` without session timer.
    pub fn session_seconds(&self) -> Option<u32> {
        self.session.seconds()
    }

    /// Returns whether this phone refreshes the session.
    pub fn refreshes(&self) -> bool {
        self.session.refreshes()
    }

    /// Returns the number of session refreshes by either side.
    pub fn refreshed(&self) -> u32 {
        self.session.refreshed()
    }

    /// Returns whether the phone has requested a transfer.
    pub fn has_referred(&self) -> bool {
        self.transfer.has_referred()
    }

    /// Returns the number of accepted REFERs.
    pub fn transfers(&self) -> u32 {
        self.transfer.taken()
    }

    /// Returns the notifications about the phone's transfers, in order.
    pub fn transfer_progress(&self) -> &[TransferProgress] {
        self.transfer.progress()
    }

    /// Returns whether `id` is the server transaction of the call's INVITE.
    pub(crate) fn is_server(&self, id: ServerId) -> bool {
        self.server == Some(id)
    }

    /// Returns whether `id` is the client transaction of the call's INVITE.
    pub(crate) fn is_client(&self, id: ClientId) -> bool {
        self.client == Some(id)
    }

    /// Returns whether `dialog` is the dialog of the call.
    pub(crate) fn is_of(&self, dialog: DialogId) -> bool {
        self.dialog == Some(dialog)
    }

    /// Returns whether `id` is a request of the phone in the answered call that has no final response yet.
    pub(crate) fn is_open(&self, id: ClientId) -> bool {
        self.change.is_open(id) || self.transfer.open() == Some(id)
    }

    /// Returns the next deadline of the call.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Cancels the timers of an ended call, and removes and returns its media address; `None` if the call continues.
    pub(crate) fn settle(&mut self) -> Option<SocketAddr> {
        if self.state != PhoneCallState::Ended {
            return None;
        }
        self.deadlines.clear();
        self.audio.close()
    }

    /// Returns whether media received at this local address belongs to the call.
    pub(crate) fn listens_at(&self, to: SocketAddr) -> bool {
        self.audio.address() == Some(to) && self.state != PhoneCallState::Ended
    }

    /// Handles a received RTP packet.
    pub(crate) fn receive_packet(&mut self, cx: &mut PhoneCx<'_>, bytes: &[u8]) {
        self.audio.receive_packet(cx, self.number, &self.talk, bytes);
    }

    /// Handles a received RTCP packet.
    pub(crate) fn hear_report(&mut self, now: Instant, bytes: &[u8]) {
        self.audio.hear_report(now, bytes);
    }
}
