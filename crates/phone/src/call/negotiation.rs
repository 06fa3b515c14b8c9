//! What a call offers and answers, and what follows for its audio and its keys.

use rand_chacha::rand_core::Rng as _;
use trunkgate_sdp::keying::{Keys, OFFERED, admit, agreed, check_answer, protect_answer, protect_offer};
use trunkgate_sdp::{Description, Direction, Far, Form, Identity, Policy, Srtp, Suite, far};
use trunkgate_sip::{Body, Message};

use crate::audio::{Audio, Spoken};
use crate::cx::Cx;

/// Between the parts of a multipart body.
const BOUNDARY: &str = "phone-part";

/// What was offered and answered in a call.
#[derive(Debug)]
pub(super) struct Negotiation {
    session_id: u64,
    version: u64,
    /// What we last wrote as offer or answer.
    ours: Option<Description>,
    /// The far side's description that ours is in force with.
    theirs: Option<Description>,
    /// An offer of theirs.
    offer: Option<Description>,
    direction: Direction,
    /// An offer of ours waits for its answer.
    offered: bool,
    /// The INVITE carried an offer.
    is_early: bool,
}

/// What a change of ours puts aside, for the case that it is not sent.
#[derive(Debug)]
pub(super) struct Before(Direction, Option<Description>);

impl Negotiation {
    /// Makes one under this session id.
    pub(super) fn new(session_id: u64) -> Negotiation {
        Negotiation {
            session_id,
            version: 1,
            ours: None,
            theirs: None,
            offer: None,
            direction: Direction::SendRecv,
            offered: false,
            is_early: false,
        }
    }

    /// Notes whether the INVITE of ours carries an offer.
    pub(super) fn set_early(&mut self, is_early: bool) {
        self.is_early = is_early;
    }

    /// Reports whether the INVITE carried an offer.
    pub(super) fn is_early(&self) -> bool {
        self.is_early
    }

    /// Returns what we last wrote, as a body.
    pub(super) fn body(&self) -> Option<Body> {
        self.ours.as_ref().map(|ours| Body::sdp(ours.to_string()))
    }

    /// Reports whether we have written a description.
    pub(super) fn has_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Reports whether the far side has offered.
    pub(super) fn has_offer(&self) -> bool {
        self.offer.is_some()
    }

    /// Takes the offer of an INVITE of theirs, where it has one.
    pub(super) fn take_first_offer(&mut self, request: &Message) {
        self.offer = request.sdp().and_then(|sdp| Description::parse(&sdp).ok());
        self.is_early = self.offer.is_some();
    }

    /// Takes the offer of a change, where it has one; else the one before stays. Reports whether it has.
    pub(super) fn take_new_offer(&mut self, request: &Message) -> bool {
        let Some(offer) = request.sdp().and_then(|sdp| Description::parse(&sdp).ok()) else { return false };
        self.offer = Some(offer);
        true
    }

    /// Reports whether an offer of ours waits for its answer.
    pub(super) fn is_offered(&self) -> bool {
        self.offered
    }

    /// Notes whether an offer of ours waits for its answer. Reports whether one did before.
    pub(super) fn set_offered(&mut self, offered: bool) -> bool {
        std::mem::replace(&mut self.offered, offered)
    }

    /// Counts a change of the description.
    pub(super) fn change(&mut self) {
        self.version += 1;
    }

    /// Begins a change of ours to this direction.
    pub(super) fn turn(&mut self, direction: Direction) -> Before {
        let before = Before(std::mem::replace(&mut self.direction, direction), self.ours.clone());
        self.change();
        before
    }

    /// Takes back a change that was not sent.
    pub(super) fn turn_back(&mut self, audio: &mut Audio, before: Before) {
        Before(self.direction, self.ours) = before;
        audio.keep_keys();
    }

    /// Answers the offer at hand; `None` where nothing fits.
    pub(super) fn answer(&mut self, cx: &mut Cx<'_>, audio: &mut Audio) -> Option<String> {
        let (offer, media) = (admit(self.offer.clone()?, cx.config.srtp, &Suite::ALL).ok()?, audio.address()?);
        let identity = Identity { session_id: self.session_id, version: self.version, ip: media.ip() };
        let policy = Policy { codecs: cx.config.codecs.clone(), ..Policy::default() };
        let (mut answer, far, codec) =
            trunkgate_sdp::answer_offer(&offer, &policy, media.port(), &identity, self.direction).ok()?;
        let before = self.ours.as_ref().zip(self.theirs.as_ref());
        protect_answer(&mut answer, &offer, cx.config.srtp, before, &mut |bytes| cx.keys.fill_bytes(bytes));
        let text = answer.to_string();
        let spoken = Spoken::of_name(&codec.codec);
        audio.agree(far, (codec.number, spoken?), self.direction.sends(), &answer);
        (self.ours, self.theirs) = (Some(answer), Some(offer));
        audio.agree_keys(cx.now, self.keys());
        Some(text)
    }

    /// Answers the offer that a response carries.
    pub(super) fn answer_to(&mut self, cx: &mut Cx<'_>, audio: &mut Audio, response: &Message) -> Option<String> {
        self.offer = Some(Description::parse(&response.sdp()?).ok()?);
        self.answer(cx, audio)
    }

    /// Reads the far side's answer to our offer. Reports whether audio may begin: where the answer is not as protected as it
    /// has to be, nothing is said.
    pub(super) fn read(&mut self, cx: &Cx<'_>, audio: &mut Audio, message: &Message) -> bool {
        let Some(answer) = message.sdp().and_then(|sdp| Description::parse(&sdp).ok()) else { return false };
        let Some((far, payload, spoken)) = read_answer(&answer) else { return false };
        let Some(ours) = &self.ours else { return false };
        if check_answer(ours, &answer, 0..1, cx.config.srtp).is_err() {
            return false;
        }
        audio.agree(far, (payload, spoken), self.direction.sends(), &answer);
        self.theirs = Some(answer);
        audio.agree_keys(cx.now, self.keys());
        true
    }

    /// Makes an offer of ours, as the body of a request or answer.
    pub(super) fn offer(&mut self, cx: &mut Cx<'_>, audio: &mut Audio, multipart: bool) -> Body {
        let Some(media) = audio.address() else { return Body::sdp("") };
        let identity = Identity { session_id: self.session_id, version: self.version, ip: media.ip() };
        let policy = Policy { codecs: cx.config.codecs.clone(), ..Policy::default() };
        let mut offer = trunkgate_sdp::offer_own(&policy, media.port(), &identity, self.direction);
        let form = match cx.config.srtp {
            Srtp::Off => Form::Plain,
            Srtp::Optional => Form::Either,
            Srtp::Required => Form::Secure,
        };
        let before = self.ours.as_ref().zip(self.theirs.as_ref());
        protect_offer(&mut offer, |_| form, &OFFERED, before, &mut |bytes| cx.keys.fill_bytes(bytes));
        if form != Form::Plain {
            audio.await_keys();
        }
        let text = offer.to_string();
        self.ours = Some(offer);
        if !multipart {
            return Body::sdp(text);
        }
        let whole = format!(
            "--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
             --{BOUNDARY}\r\nContent-Type: application/sdp\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
        );
        Body { content_type: format!("multipart/mixed;boundary={BOUNDARY}"), bytes: whole.into_bytes().into() }
    }

    /// Returns the keys that both descriptions agree on; `None`: plain audio.
    fn keys(&self) -> Option<Keys> {
        let ours = self.ours.iter().flat_map(|ours| &ours.media);
        let sections = ours.zip(self.theirs.iter().flat_map(|theirs| &theirs.media));
        sections.filter(|(ours, _)| ours.port != 0).find_map(|(ours, theirs)| agreed(ours, theirs))
    }
}

/// Reads far end, payload number and codec of the first audio section of an answer; `None` where it refuses.
fn read_answer(answer: &Description) -> Option<(Far, u8, Spoken)> {
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
