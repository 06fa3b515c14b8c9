//! Offers and answers of a call, and their effect on audio and keys.

use rand_chacha::rand_core::Rng as _;
use trunkgate_sdp::keying::{AgreedKeys, OFFERED, agreed, check_answer, filter_offer, protect_answer, protect_offer};
use trunkgate_sdp::{
    CodecPolicy, LocalOrigin, MediaDirection, MediaEndpoint, SessionDescription, Srtp, SrtpForm, Suite, remote_endpoint,
};
use trunkgate_sip::{MessageBody, SipMessage};

use crate::audio::{CallCodec, PhoneAudio};
use crate::cx::PhoneCx;

/// Boundary of a multipart body.
const BOUNDARY: &str = "phone-part";

/// Negotiation state of a call.
#[derive(Debug)]
pub(super) struct OfferAnswer {
    session_id: u64,
    version: u64,
    /// Last description that we have written.
    ours: Option<SessionDescription>,
    /// Remote party's description that is in force with ours.
    theirs: Option<SessionDescription>,
    /// Last offer of the remote party.
    offer: Option<SessionDescription>,
    direction: MediaDirection,
    /// Whether our offer awaits its answer.
    offered: bool,
    /// Whether the INVITE carried an offer.
    is_early: bool,
}

/// State saved before a change of ours, to restore if the change is not sent.
#[derive(Debug)]
pub(super) struct SavedNegotiation(MediaDirection, Option<SessionDescription>);

impl OfferAnswer {
    /// Creates a negotiation with this session id.
    pub(super) fn new(session_id: u64) -> OfferAnswer {
        OfferAnswer {
            session_id,
            version: 1,
            ours: None,
            theirs: None,
            offer: None,
            direction: MediaDirection::SendRecv,
            offered: false,
            is_early: false,
        }
    }

    /// Records whether our INVITE carries an offer.
    pub(super) fn set_early(&mut self, is_early: bool) {
        self.is_early = is_early;
    }

    /// Returns whether the INVITE carried an offer.
    pub(super) fn is_early(&self) -> bool {
        self.is_early
    }

    /// Returns our last description as a body.
    pub(super) fn body(&self) -> Option<MessageBody> {
        self.ours.as_ref().map(|ours| MessageBody::sdp(ours.to_string()))
    }

    /// Returns whether the phone has written a description.
    pub(super) fn has_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Returns whether the remote party has made an offer.
    pub(super) fn has_offer(&self) -> bool {
        self.offer.is_some()
    }

    /// Stores the offer of a received INVITE, if any.
    pub(super) fn take_first_offer(&mut self, request: &SipMessage) {
        self.offer = request.sdp().and_then(|sdp| SessionDescription::parse(&sdp).ok());
        self.is_early = self.offer.is_some();
    }

    /// Stores the offer of a session change and returns `true`. Returns `false` without an offer, and keeps the
    /// earlier one.
    pub(super) fn take_new_offer(&mut self, request: &SipMessage) -> bool {
        let Some(offer) = request.sdp().and_then(|sdp| SessionDescription::parse(&sdp).ok()) else { return false };
        self.offer = Some(offer);
        true
    }

    /// Returns whether our offer awaits its answer.
    pub(super) fn is_offered(&self) -> bool {
        self.offered
    }

    /// Sets whether our offer awaits its answer. Returns the previous value.
    pub(super) fn set_offered(&mut self, offered: bool) -> bool {
        std::mem::replace(&mut self.offered, offered)
    }

    /// Increments the session version for a changed description.
    pub(super) fn change(&mut self) {
        self.version += 1;
    }

    /// Sets the direction of our next description. Returns the previous state, for [`Self::turn_back`].
    pub(super) fn turn(&mut self, direction: MediaDirection) -> SavedNegotiation {
        let before = SavedNegotiation(std::mem::replace(&mut self.direction, direction), self.ours.clone());
        self.change();
        before
    }

    /// Restores the state before a change that was not sent.
    pub(super) fn turn_back(&mut self, audio: &mut PhoneAudio, before: SavedNegotiation) {
        SavedNegotiation(self.direction, self.ours) = before;
        audio.keep_keys();
    }

    /// Answers the current offer; returns our description, or `None` if no format matches.
    pub(super) fn answer(&mut self, cx: &mut PhoneCx<'_>, audio: &mut PhoneAudio) -> Option<String> {
        let (offer, media) = (filter_offer(self.offer.clone()?, cx.config.srtp, &Suite::ALL).ok()?, audio.address()?);
        let identity = LocalOrigin { session_id: self.session_id, version: self.version, ip: media.ip() };
        let policy = CodecPolicy { codecs: cx.config.codecs.clone(), ..CodecPolicy::default() };
        let (mut answer, far, codec) =
            trunkgate_sdp::answer_offer(&offer, &policy, media.port(), &identity, self.direction).ok()?;
        let before = self.ours.as_ref().zip(self.theirs.as_ref());
        protect_answer(&mut answer, &offer, cx.config.srtp, before, &mut |bytes| cx.keys.fill_bytes(bytes));
        let text = answer.to_string();
        let spoken = CallCodec::of_name(&codec.codec);
        audio.apply_session(far, (codec.number, spoken?), self.direction.sends(), &answer);
        (self.ours, self.theirs) = (Some(answer), Some(offer));
        audio.agree_keys(cx.now, self.keys());
        Some(text)
    }

    /// Answers the offer in a response; returns our description, or `None` if no format matches.
    pub(super) fn answer_to(
        &mut self,
        cx: &mut PhoneCx<'_>,
        audio: &mut PhoneAudio,
        response: &SipMessage,
    ) -> Option<String> {
        self.offer = Some(SessionDescription::parse(&response.sdp()?).ok()?);
        self.answer(cx, audio)
    }

    /// Applies the remote party's answer to our offer. Returns whether audio may start; it may not if the answer lacks
    /// the required SRTP.
    pub(super) fn read(&mut self, cx: &PhoneCx<'_>, audio: &mut PhoneAudio, message: &SipMessage) -> bool {
        let Some(answer) = message.sdp().and_then(|sdp| SessionDescription::parse(&sdp).ok()) else { return false };
        let Some((far, payload, spoken)) = read_answer(&answer) else { return false };
        let Some(ours) = &self.ours else { return false };
        if check_answer(ours, &answer, 0..1, cx.config.srtp).is_err() {
            return false;
        }
        audio.apply_session(far, (payload, spoken), self.direction.sends(), &answer);
        self.theirs = Some(answer);
        audio.agree_keys(cx.now, self.keys());
        true
    }

    /// Creates our offer as the body of a request or response; with `multipart` as one part of a multipart body.
    pub(super) fn offer(&mut self, cx: &mut PhoneCx<'_>, audio: &mut PhoneAudio, multipart: bool) -> MessageBody {
        let Some(media) = audio.address() else { return MessageBody::sdp("") };
        let identity = LocalOrigin { session_id: self.session_id, version: self.version, ip: media.ip() };
        let policy = CodecPolicy { codecs: cx.config.codecs.clone(), ..CodecPolicy::default() };
        let mut offer = trunkgate_sdp::offer_own(&policy, media.port(), &identity, self.direction);
        let form = match cx.config.srtp {
            Srtp::Off => SrtpForm::Plain,
            Srtp::Optional => SrtpForm::Either,
            Srtp::Required => SrtpForm::Secure,
        };
        let before = self.ours.as_ref().zip(self.theirs.as_ref());
        protect_offer(&mut offer, |_| form, &OFFERED, before, &mut |bytes| cx.keys.fill_bytes(bytes));
        if form != SrtpForm::Plain {
            audio.await_keys();
        }
        let text = offer.to_string();
        self.ours = Some(offer);
        if !multipart {
            return MessageBody::sdp(text);
        }
        let whole = format!(
            "--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
             --{BOUNDARY}\r\nContent-Type: application/sdp\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
        );
        MessageBody { content_type: format!("multipart/mixed;boundary={BOUNDARY}"), bytes: whole.into_bytes().into() }
    }

    /// Returns the keys agreed by both descriptions; `None` means plain RTP.
    fn keys(&self) -> Option<AgreedKeys> {
        let ours = self.ours.iter().flat_map(|ours| &ours.media);
        let sections = ours.zip(self.theirs.iter().flat_map(|theirs| &theirs.media));
        sections.filter(|(ours, _)| ours.port != 0).find_map(|(ours, theirs)| agreed(ours, theirs))
    }
}

/// Returns media endpoint, payload type and codec of the first audio section of an answer, or `None` if it is
/// rejected.
fn read_answer(answer: &SessionDescription) -> Option<(MediaEndpoint, u8, CallCodec)> {
    let section = answer.media.iter().find(|m| m.kind == "audio" && m.port != 0)?;
    let attributes = || section.attributes.iter().chain(answer.attributes.iter());
    let direction = attributes()
        .find_map(|a| {
            [MediaDirection::SendRecv, MediaDirection::SendOnly, MediaDirection::RecvOnly, MediaDirection::Inactive]
                .into_iter()
                .find(|d| d.as_str() == a.name)
        })
        .unwrap_or_default();
    let (payload, codec) = section.formats.iter().find_map(|format| {
        let payload: u8 = format.parse().ok()?;
        let mapped = attributes().filter(|a| a.name == "rtpmap").find_map(|a| {
            let (number, name) = a.value.as_deref()?.split_once(' ')?;
            (number == format).then(|| name.split('/').next().and_then(CallCodec::of_name))
        });
        Some((payload, mapped.unwrap_or(CallCodec::of_payload(payload))?))
    })?;
    Some((remote_endpoint(answer, section, direction), payload, codec))
}
