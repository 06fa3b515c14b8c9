//! SDES negotiation (RFC 4568 §5.1, §7.1): selection of the acceptable sections of an offer, our own `a=crypto` lines,
//! and the keys agreed by a pair of descriptions. Each leg has its own keys; none are forwarded.

use std::fmt;

use trunkgate_terms::{Srtp, Suite};

use crate::crypto::{CryptoAttribute, InlineKey};
use crate::description::{Attribute, MediaDescription, SessionDescription};
use crate::limits;
use crate::refusal::{SdpRejection, list, plain};

/// Default suites of our offers, in order of preference. GCM is the fastest; the second suite is the one every
/// implementation supports.
pub const OFFERED: [Suite; 4] =
    [Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm, Suite::AesCm256HmacSha1_80];

const CRYPTO: &str = "crypto";

/// SRTP form of a section in our offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrtpForm {
    /// Plain RTP, `RTP/AVP`.
    Plain,
    /// Opportunistic SRTP: `RTP/AVP` with keys, which a peer without SRTP ignores. Used if a rejected offer could not
    /// be repeated as plain RTP.
    Either,
    /// SRTP only, `RTP/SAVP`.
    Secure,
}

/// Reason why SRTP settings prevent a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrtpConflict {
    /// SRTP is required but was not offered.
    Required,
    /// Only SRTP was offered, but it is disabled.
    Off,
    /// No usable suite and key in the offer or answer.
    NoSuite,
}

/// Description rejected because of the SRTP settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrtpRejection {
    /// Reason why the keys or the stream are rejected.
    pub why: SrtpConflict,
    /// Warning for the 488 response: code 399 with offered and allowed transports.
    pub refusal: SdpRejection,
}

/// SRTP keys agreed for one stream.
#[derive(Clone, PartialEq, Eq)]
pub struct AgreedKeys {
    /// Crypto suite agreed for the stream.
    pub suite: Suite,
    /// Local key, which protects the packets that are sent.
    pub ours: InlineKey,
    /// Remote key, used for receiving; the first if the line has several.
    pub theirs: InlineKey,
}

impl fmt::Debug for AgreedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgreedKeys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Descriptions in force on a leg, ours and the remote party's; `None` before the first negotiation.
pub type Session<'a> = Option<(&'a SessionDescription, &'a SessionDescription)>;

/// Rejects (port 0) the sections of an offer that the settings do not allow: plain RTP if SRTP is required, SRTP if it
/// is disabled, or SRTP without a usable line. Lines with suites outside `suites` are removed.
///
/// # Errors
/// Fails with [`SrtpRejection`] if no stream is left.
pub fn filter_offer(
    mut offer: SessionDescription,
    srtp: Srtp,
    suites: &[Suite],
) -> Result<SessionDescription, SrtpRejection> {
    let (mut clash, mut kept) = (None, false);
    let text = format!("offered {}; allowed {}", describe_security(&offer), allowed(srtp, suites));
    if Suite::ALL.iter().any(|suite| !suites.contains(suite)) {
        let is_other = |line: &str| CryptoAttribute::parse(line).is_some_and(|line| !suites.contains(&line.suite));
        for media in &mut offer.media {
            media.attributes.retain(|line| !line.is(CRYPTO) || !line.value.as_deref().is_some_and(is_other));
        }
    }
    for media in offer.media.iter_mut().filter(|media| media.port != 0) {
        match check_section(media, srtp) {
            Ok(is_rtp) => kept |= is_rtp,
            Err(why) => {
                media.port = 0;
                clash = clash.or(Some(why));
            }
        }
    }
    match clash.filter(|_| !kept) {
        Some(why) => Err(SrtpRejection { why, refusal: SdpRejection { warn_code: 399, text } }),
        None => Ok(offer),
    }
}

/// Checks an active section against the SRTP settings; returns whether it is RTP or UDPTL, which the edge can relay.
///
/// # Errors
/// Returns the reason if the settings do not allow the section.
fn check_section(media: &MediaDescription, srtp: Srtp) -> Result<bool, SrtpConflict> {
    if media.is_udptl() {
        return if srtp == Srtp::Required { Err(SrtpConflict::Required) } else { Ok(true) };
    }
    let refused = if srtp == Srtp::Off { SrtpConflict::Off } else { SrtpConflict::NoSuite };
    match (RtpProfile::from_transport(&media.proto), srtp) {
        // DTLS-SRTP (RFC 5764) is not supported.
        (None, _) if media.proto.to_ascii_uppercase().contains("RTP/SAVP") => Err(refused),
        (None, _) => Ok(false),
        (Some(profile), Srtp::Off) if profile.secure => Err(SrtpConflict::Off),
        (Some(profile), Srtp::Off | Srtp::Optional) if !profile.secure => Ok(true),
        (Some(_), _) if chosen(media).is_some() => Ok(true),
        (Some(profile), _) if profile.secure || media.attribute(CRYPTO).is_some() => Err(SrtpConflict::NoSuite),
        (Some(_), _) => Err(SrtpConflict::Required),
    }
}

/// Rejects (port 0) the sections of our offer that cannot be encrypted (UDPTL fax) if SRTP is required.
///
/// # Errors
/// Fails with [`SrtpRejection`] if no stream is left.
pub fn keep_protected(offer: &mut SessionDescription, srtp: Srtp) -> Result<(), SrtpRejection> {
    if srtp != Srtp::Required || !offer.media.iter().any(MediaDescription::is_udptl) {
        return Ok(());
    }
    let text = format!("offered {}; allowed {}", describe_security(offer), allowed(srtp, &Suite::ALL));
    offer.media.iter_mut().filter(|media| media.is_udptl()).for_each(|media| media.port = 0);
    if offer.media.iter().any(|media| media.port != 0) {
        return Ok(());
    }
    Err(SrtpRejection { why: SrtpConflict::Required, refusal: SdpRejection { warn_code: 399, text } })
}

/// Adds our keys for these suites to our offer, in the form that `form` returns for each m-line. Keys in force in
/// `before` are kept; others are generated with `draw`.
pub fn protect_offer(
    offer: &mut SessionDescription,
    form: impl Fn(usize) -> SrtpForm,
    suites: &[Suite],
    before: Session<'_>,
    draw: &mut dyn FnMut(&mut [u8]),
) {
    for (index, media) in offer.media.iter_mut().enumerate().filter(|(_, media)| media.port != 0) {
        let Some(profile) = RtpProfile::from_transport(&media.proto) else { continue };
        let form = form(index);
        media.proto = RtpProfile { secure: form == SrtpForm::Secure, ..profile }.name().to_owned();
        if form == SrtpForm::Plain {
            continue;
        }
        let known = before.and_then(|(ours, theirs)| Some((ours.media.get(index)?, theirs.media.get(index)?)));
        let in_force = known.and_then(|(ours, theirs)| agreed(ours, theirs)).map(|keys| keys.suite);
        let further = suites.iter().copied().filter(|suite| Some(*suite) != in_force);
        let lines = in_force.into_iter().chain(further).zip(1..).map(|(suite, tag)| {
            let key = known.and_then(|(ours, _)| key_of(ours, suite)).unwrap_or_else(|| generate_key(suite, draw));
            CryptoAttribute::new(tag, suite, key)
        });
        let lines: Vec<Attribute> = lines.map(|line| Attribute::new(CRYPTO, line.to_string())).collect();
        media.attributes.splice(0..0, lines);
    }
}

/// Adds our key to our answer if `offer` has a usable line and SRTP is not disabled, with the tag of that line. Our
/// key is kept while the remote key and address stay the same, and otherwise replaced: a new receiver could not know
/// our rollover counter (RFC 3711 §3.3.1).
pub fn protect_answer(
    answer: &mut SessionDescription,
    offer: &SessionDescription,
    srtp: Srtp,
    before: Session<'_>,
    draw: &mut dyn FnMut(&mut [u8]),
) {
    if srtp == Srtp::Off {
        return;
    }
    for (index, media) in answer.media.iter_mut().enumerate().filter(|(_, media)| media.port != 0) {
        let Some(offered) = offer.media.get(index) else { continue };
        let Some(line) = chosen(offered) else { continue };
        let same_far_end = |theirs: &SessionDescription, media: &MediaDescription| {
            let place =
                |d: &SessionDescription, m: &MediaDescription| (d.connection_of(m).map(|c| c.address.clone()), m.port);
            let key = key_of(media, line.suite);
            place(theirs, media) == place(offer, offered) && key.as_ref() == line.keys.first()
        };
        let kept = before.and_then(|(ours, theirs)| {
            theirs.media.get(index).filter(|media| same_far_end(theirs, media))?;
            key_of(ours.media.get(index)?, line.suite)
        });
        let key = kept.unwrap_or_else(|| generate_key(line.suite, draw));
        let ours = CryptoAttribute { keys: vec![key], parameters: Vec::new(), ..line };
        media.attributes.insert(0, Attribute::new(CRYPTO, ours.to_string()));
    }
}

/// Checks that the answer to our offer protects each of `streams` as required.
///
/// # Errors
/// Fails with [`SrtpRejection`] if a stream is not protected.
pub fn check_answer(
    sent: &SessionDescription,
    answer: &SessionDescription,
    streams: impl IntoIterator<Item = usize>,
    srtp: Srtp,
) -> Result<(), SrtpRejection> {
    for index in streams {
        let (Some(ours), Some(theirs)) = (sent.media.get(index), answer.media.get(index)) else { continue };
        if agreed(ours, theirs).is_some() {
            continue;
        }
        let offered = ours.attribute(CRYPTO).is_some();
        let answered =
            theirs.attribute(CRYPTO).is_some() || RtpProfile::from_transport(&theirs.proto).is_none_or(|p| p.secure);
        let why = match srtp {
            // Some peers answer an SRTP offer with a plain section, which is allowed if SRTP is optional.
            Srtp::Off | Srtp::Optional if !offered || !answered => continue,
            Srtp::Required if !answered => SrtpConflict::Required,
            Srtp::Off | Srtp::Optional | Srtp::Required => SrtpConflict::NoSuite,
        };
        let text = format!("offered {}; answered {}", describe_security(sent), describe_security(answer));
        return Err(SrtpRejection { why, refusal: SdpRejection { warn_code: 399, text } });
    }
    Ok(())
}

/// Returns the keys of a stream from the sections of both sides: the lines with equal tag and suite. `None` means
/// plain RTP.
pub fn agreed(ours: &MediaDescription, theirs: &MediaDescription) -> Option<AgreedKeys> {
    let own: Vec<CryptoAttribute> = lines(ours).collect();
    lines(theirs).find_map(|line| {
        let mine = own.iter().find(|mine| mine.tag == line.tag && mine.suite == line.suite)?;
        let (ours, theirs) = (mine.keys.first()?.clone(), line.keys.into_iter().next()?);
        Some(AgreedKeys { suite: line.suite, ours, theirs })
    })
}

/// Returns the SRTP form of an active stream, to be used by an offer that changes nothing.
pub fn form_in_force(ours: &MediaDescription, theirs: &MediaDescription) -> SrtpForm {
    match agreed(ours, theirs) {
        None => SrtpForm::Plain,
        Some(_) if RtpProfile::from_transport(&ours.proto).is_some_and(|profile| profile.secure) => SrtpForm::Secure,
        Some(_) => SrtpForm::Either,
    }
}

/// Returns whether two descriptions of one side differ only in their keys and version.
pub fn only_keys_differ(before: &SessionDescription, now: &SessionDescription) -> bool {
    let without = |description: &SessionDescription| {
        let mut bare = description.clone();
        bare.origin.version = 0;
        for media in &mut bare.media {
            media.attributes.retain(|attribute| !attribute.is(CRYPTO));
        }
        bare
    };
    let keys = |description: &SessionDescription| -> Vec<Vec<Attribute>> {
        let of = |media: &MediaDescription| media.attributes.iter().filter(|a| a.is(CRYPTO)).cloned().collect();
        description.media.iter().map(of).collect()
    };
    keys(before) != keys(now) && without(before) == without(now)
}

/// Returns the description without SRTP: no crypto lines, plain transports.
pub fn unprotected(description: &SessionDescription) -> SessionDescription {
    let mut bare = description.clone();
    for media in &mut bare.media {
        media.attributes.retain(|attribute| !attribute.is(CRYPTO));
        media.proto = plain_proto(&media.proto).to_owned();
    }
    bare
}

/// Iterates over the usable crypto lines of a section, in order.
fn lines(media: &MediaDescription) -> impl Iterator<Item = CryptoAttribute> {
    let values = media.attributes.iter().filter(|attribute| attribute.is(CRYPTO)).filter_map(|a| a.value.as_deref());
    values.filter_map(CryptoAttribute::parse).filter(CryptoAttribute::is_usable)
}

/// Returns the line of an offer that is answered: the first usable one with a single key, otherwise the first usable
/// one, since only the first of several keys is used.
fn chosen(media: &MediaDescription) -> Option<CryptoAttribute> {
    lines(media).min_by_key(|line| line.keys.len() > 1)
}

/// Returns the first key of a section for a suite.
fn key_of(media: &MediaDescription, suite: Suite) -> Option<InlineKey> {
    lines(media).find(|line| line.suite == suite).and_then(|line| line.keys.into_iter().next())
}

fn generate_key(suite: Suite, draw: &mut dyn FnMut(&mut [u8])) -> InlineKey {
    let mut key_salt = vec![0; suite.key_len() + suite.salt_len()];
    draw(&mut key_salt);
    InlineKey::new(key_salt)
}

/// RTP profile of a section (RFC 3551, RFC 3711, RFC 4585, RFC 5124).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RtpProfile {
    /// Whether the profile uses SRTP.
    pub(crate) secure: bool,
    /// Whether the profile has extended RTCP feedback.
    feedback: bool,
}

impl RtpProfile {
    const ALL: [RtpProfile; 4] = [
        RtpProfile { secure: false, feedback: false },
        RtpProfile { secure: false, feedback: true },
        RtpProfile { secure: true, feedback: false },
        RtpProfile { secure: true, feedback: true },
    ];

    /// Returns the profile of a transport protocol; `None` if it is not RTP.
    pub(crate) fn from_transport(proto: &str) -> Option<RtpProfile> {
        RtpProfile::ALL.into_iter().find(|profile| profile.name().eq_ignore_ascii_case(proto))
    }

    const fn name(self) -> &'static str {
        match (self.secure, self.feedback) {
            (false, false) => "RTP/AVP",
            (false, true) => "RTP/AVPF",
            (true, false) => "RTP/SAVP",
            (true, true) => "RTP/SAVPF",
        }
    }
}

/// Returns a transport protocol without SRTP.
pub(crate) fn plain_proto(proto: &str) -> &str {
    match RtpProfile::from_transport(proto) {
        Some(profile) if profile.secure => RtpProfile { secure: false, ..profile }.name(),
        Some(_) | None => proto,
    }
}

/// Formats the active sections of a description and their suites for a message.
fn describe_security(description: &SessionDescription) -> String {
    let live = description.media.iter().filter(|media| media.port != 0).take(limits::ANCHORED_STREAMS);
    list(live.map(|media| {
        let values = media.attributes.iter().filter(|a| a.is(CRYPTO)).filter_map(|a| a.value.as_deref());
        // A malformed line may have a key in place of the suite. Every suite name contains an underscore; no key does.
        let is_suite = |name: &&str| name.contains('_') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let suites = values.filter_map(|value| value.split_ascii_whitespace().nth(1).filter(is_suite));
        let suites = suites.take(Suite::ALL.len());
        let suites = list(suites.map(plain));
        let with = if media.attribute(CRYPTO).is_some() { format!(" with {suites}") } else { String::new() };
        format!("{} {}{with}", plain(&media.kind), plain(&media.proto))
    }))
}

fn allowed(srtp: Srtp, suites: &[Suite]) -> String {
    let secure = || format!("RTP/SAVP with {}", list(suites.iter().map(|suite| suite.as_str().to_owned())));
    match srtp {
        Srtp::Off => "RTP/AVP".to_owned(),
        Srtp::Optional => format!("RTP/AVP, {}", secure()),
        Srtp::Required => secure(),
    }
}
