//! What a phone offers and answers, and what follows for its audio and its keys.

use std::time::Instant;

use rand_chacha::rand_core::Rng as _;
use trunkgate_sdp::keying::{Keys, admit, agreed, check_answer, protect_answer, protect_offer};
use trunkgate_sdp::{Description, Form, Identity, Policy, Srtp};
use trunkgate_sip::{Body, Message};

use crate::call::{PhoneCall, read_answer};
use crate::coded::Spoken;
use crate::phone::Phone;

/// Between the parts of a multipart body.
const BOUNDARY: &str = "phone-part";

impl Phone {
    /// Our answer to the offer at hand; `None` where nothing fits.
    pub(crate) fn describe(&mut self, now: Instant, call: &mut PhoneCall) -> Option<String> {
        let (offer, media) = (admit(call.offer.clone()?, self.config.srtp).ok()?, call.media?);
        let identity = Identity { session_id: call.session_id, version: call.version, ip: media.ip() };
        let policy = Policy { codecs: self.config.codecs.clone(), ..Policy::default() };
        let (mut answer, far, audio) =
            trunkgate_sdp::answer_offer(&offer, &policy, media.port(), &identity, call.direction).ok()?;
        let before = call.ours.as_ref().zip(call.theirs.as_ref());
        protect_answer(&mut answer, &offer, self.config.srtp, before, &mut |bytes| self.keys.fill_bytes(bytes));
        let text = answer.to_string();
        call.listen_to(far, audio.number, Spoken::of_name(&audio.codec)?);
        call.note_events(&answer);
        (call.ours, call.theirs) = (Some(answer), Some(offer));
        agree(now, call);
        self.start_talking(now, call);
        Some(text)
    }

    /// Answers the offer that a 2xx carries.
    pub(crate) fn answer_to(&mut self, now: Instant, call: &mut PhoneCall, response: &Message) -> Option<String> {
        call.offer = Some(Description::parse(&response.sdp()?).ok()?);
        self.describe(now, call)
    }

    /// Reads the far side's answer to our offer. Where it is not as protected as it has to be, nothing is said.
    pub(crate) fn read_far(&mut self, now: Instant, call: &mut PhoneCall, message: &Message) {
        let Some(answer) = message.sdp().and_then(|sdp| Description::parse(&sdp).ok()) else { return };
        let Some((far, payload, codec)) = read_answer(&answer) else { return };
        let Some(ours) = &call.ours else { return };
        if check_answer(ours, &answer, 0..1, self.config.srtp).is_ok() {
            call.listen_to(far, payload, codec);
            call.note_events(&answer);
            call.theirs = Some(answer);
            agree(now, call);
            self.start_talking(now, call);
        }
    }

    /// An offer of ours, as the body of a request or answer.
    pub(crate) fn own_offer(&mut self, call: &mut PhoneCall, multipart: bool) -> Body {
        let Some(media) = call.media else { return Body::sdp("") };
        let identity = Identity { session_id: call.session_id, version: call.version, ip: media.ip() };
        let policy = Policy { codecs: self.config.codecs.clone(), ..Policy::default() };
        let mut offer = trunkgate_sdp::offer_own(&policy, media.port(), &identity, call.direction);
        let form = match self.config.srtp {
            Srtp::Off => Form::Plain,
            Srtp::Optional => Form::Either,
            Srtp::Required => Form::Secure,
        };
        let before = call.ours.as_ref().zip(call.theirs.as_ref());
        protect_offer(&mut offer, |_| form, before, &mut |bytes| self.keys.fill_bytes(bytes));
        if form != Form::Plain {
            call.secure.await_keys();
        }
        let text = offer.to_string();
        call.ours = Some(offer);
        if !multipart {
            return Body::sdp(text);
        }
        let whole = format!(
            "--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
             --{BOUNDARY}\r\nContent-Type: application/sdp\r\n\r\n{text}\r\n--{BOUNDARY}--\r\n"
        );
        Body { content_type: format!("multipart/mixed;boundary={BOUNDARY}"), bytes: whole.into_bytes().into() }
    }
}

/// Puts the keys of both descriptions into force, or plain audio where they agree on none.
fn agree(now: Instant, call: &mut PhoneCall) {
    let sections =
        call.ours.iter().flat_map(|ours| &ours.media).zip(call.theirs.iter().flat_map(|theirs| &theirs.media));
    let keys: Option<Keys> =
        sections.filter(|(ours, _)| ours.port != 0).find_map(|(ours, theirs)| agreed(ours, theirs));
    call.secure.agree(now, call.speech.to, keys);
}
