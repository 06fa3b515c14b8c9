//! SRTP by SDES between two sides (RFC 4568 §5.1, §7.1): what of an offer a side may take, our own `a=crypto` lines, and
//! the keys that a pair of descriptions agrees on. Each leg has its own; nothing of one passes to another.

use std::fmt;

use trunkgate_terms::{Srtp, Suite};

use crate::crypto::{Crypto, InlineKey};
use crate::description::{Attribute, Description, Media};
use crate::limits;
use crate::refusal::{Refusal, list, plain};

/// The suites of our offers where a trunk names no others, the one liked best first: GCM is the cheapest, the second the one that everybody has.
pub const OFFERED: [Suite; 4] =
    [Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm, Suite::AesCm256HmacSha1_80];

const CRYPTO: &str = "crypto";

/// How a section of ours is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `RTP/AVP`
    Plain,
    /// `RTP/AVP` with keys: who does not know them leaves them out. For where an offer cannot be made twice.
    Either,
    /// `RTP/SAVP`
    Secure,
}

/// Why SRTP stands in the way of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clash {
    /// It is required, and was not offered.
    Required,
    /// It was offered alone, and is off.
    Off,
    /// It was offered, or answered, without a suite and key that could be used.
    NoSuite,
}

/// A description that SRTP makes unusable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// Why.
    pub why: Clash,
    /// 488's Warning: 399 with both lists.
    pub refusal: Refusal,
}

/// What two sides have agreed on for one stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Suite.
    pub suite: Suite,
    /// What we send with.
    pub ours: InlineKey,
    /// What they send with. Of several, the first.
    pub theirs: InlineKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// The descriptions of a leg that are in force: ours, theirs.
pub type Session<'a> = Option<(&'a Description, &'a Description)>;

/// Refuses (port 0) the sections of an offer that a side does not take: plain ones where SRTP is required, secure ones
/// where it is off, or where they have no line that could be used. Lines of other suites than `suites` are left out.
///
/// # Errors
/// [`Unfit`] where that leaves no stream.
pub fn admit(mut offer: Description, srtp: Srtp, suites: &[Suite]) -> Result<Description, Unfit> {
    let (mut clash, mut kept) = (None, false);
    let text = format!("offered {}; allowed {}", names(&offer), allowed(srtp, suites));
    if Suite::ALL.iter().any(|suite| !suites.contains(suite)) {
        let is_other = |line: &str| Crypto::parse(line).is_some_and(|line| !suites.contains(&line.suite));
        for media in &mut offer.media {
            media.attributes.retain(|line| !line.is(CRYPTO) || !line.value.as_deref().is_some_and(is_other));
        }
    }
    for media in offer.media.iter_mut().filter(|media| media.port != 0) {
        match judge(media, srtp) {
            Ok(is_rtp) => kept |= is_rtp,
            Err(why) => {
                media.port = 0;
                clash = clash.or(Some(why));
            }
        }
    }
    match clash.filter(|_| !kept) {
        Some(why) => Err(Unfit { why, refusal: Refusal { warn_code: 399, text } }),
        None => Ok(offer),
    }
}

/// Whether a live section may be taken, and is RTP.
fn judge(media: &Media, srtp: Srtp) -> Result<bool, Clash> {
    if media.is_udptl() {
        return if srtp == Srtp::Required { Err(Clash::Required) } else { Ok(true) };
    }
    let refused = if srtp == Srtp::Off { Clash::Off } else { Clash::NoSuite };
    match (Profile::of(&media.proto), srtp) {
        // DTLS-SRTP (RFC 5764) is not spoken.
        (None, _) if media.proto.to_ascii_uppercase().contains("RTP/SAVP") => Err(refused),
        (None, _) => Ok(false),
        (Some(profile), Srtp::Off) if profile.secure => Err(Clash::Off),
        (Some(profile), Srtp::Off | Srtp::Optional) if !profile.secure => Ok(true),
        (Some(_), _) if chosen(media).is_some() => Ok(true),
        (Some(profile), _) if profile.secure || media.attribute(CRYPTO).is_some() => Err(Clash::NoSuite),
        (Some(_), _) => Err(Clash::Required),
    }
}

/// Refuses (port 0) what of an offer of ours cannot be protected, where SRTP is required: fax by UDPTL.
///
/// # Errors
/// [`Unfit`] where that leaves no stream.
pub fn keep_protected(offer: &mut Description, srtp: Srtp) -> Result<(), Unfit> {
    if srtp != Srtp::Required || !offer.media.iter().any(Media::is_udptl) {
        return Ok(());
    }
    let text = format!("offered {}; allowed {}", names(offer), allowed(srtp, &Suite::ALL));
    offer.media.iter_mut().filter(|media| media.is_udptl()).for_each(|media| media.port = 0);
    if offer.media.iter().any(|media| media.port != 0) {
        return Ok(());
    }
    Err(Unfit { why: Clash::Required, refusal: Refusal { warn_code: 399, text } })
}

/// Writes our keys for these suites into an offer of ours, as `form` says of each m-line. What `before` has in force goes on
/// with the same keys; others are drawn.
pub fn protect_offer(
    offer: &mut Description,
    form: impl Fn(usize) -> Form,
    suites: &[Suite],
    before: Session<'_>,
    draw: &mut dyn FnMut(&mut [u8]),
) {
    for (index, media) in offer.media.iter_mut().enumerate().filter(|(_, media)| media.port != 0) {
        let Some(profile) = Profile::of(&media.proto) else { continue };
        let form = form(index);
        media.proto = Profile { secure: form == Form::Secure, ..profile }.name().to_owned();
        if form == Form::Plain {
            continue;
        }
        let known = before.and_then(|(ours, theirs)| Some((ours.media.get(index)?, theirs.media.get(index)?)));
        let in_force = known.and_then(|(ours, theirs)| agreed(ours, theirs)).map(|keys| keys.suite);
        let further = suites.iter().copied().filter(|suite| Some(*suite) != in_force);
        let lines = in_force.into_iter().chain(further).zip(1..).map(|(suite, tag)| {
            let key = known.and_then(|(ours, _)| key_of(ours, suite)).unwrap_or_else(|| drawn(suite, draw));
            Crypto::new(tag, suite, key)
        });
        let lines: Vec<Attribute> = lines.map(|line| Attribute::new(CRYPTO, line.to_string())).collect();
        media.attributes.splice(0..0, lines);
    }
}

/// Writes our key into an answer of ours to `offer`, where that has a line that can be used and SRTP is not off: the
/// tag is the line's. Our key stays while they send with the same key from the same place; else it is drawn anew: who
/// hears us now could not know how often our packets' numbers have gone round (RFC 3711 §3.3.1).
pub fn protect_answer(
    answer: &mut Description,
    offer: &Description,
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
        let same_far_end = |theirs: &Description, media: &Media| {
            let place = |d: &Description, m: &Media| (d.connection_of(m).map(|c| c.address.clone()), m.port);
            let key = key_of(media, line.suite);
            place(theirs, media) == place(offer, offered) && key.as_ref() == line.keys.first()
        };
        let kept = before.and_then(|(ours, theirs)| {
            theirs.media.get(index).filter(|media| same_far_end(theirs, media))?;
            key_of(ours.media.get(index)?, line.suite)
        });
        let key = kept.unwrap_or_else(|| drawn(line.suite, draw));
        let ours = Crypto { keys: vec![key], parameters: Vec::new(), ..line };
        media.attributes.insert(0, Attribute::new(CRYPTO, ours.to_string()));
    }
}

/// Whether an answer to an offer of ours is as protected as it has to be, in each of `streams`.
///
/// # Errors
/// [`Unfit`] where one is not.
pub fn check_answer(
    sent: &Description,
    answer: &Description,
    streams: impl IntoIterator<Item = usize>,
    srtp: Srtp,
) -> Result<(), Unfit> {
    for index in streams {
        let (Some(ours), Some(theirs)) = (sent.media.get(index), answer.media.get(index)) else { continue };
        if agreed(ours, theirs).is_some() {
            continue;
        }
        let offered = ours.attribute(CRYPTO).is_some();
        let answered = theirs.attribute(CRYPTO).is_some() || Profile::of(&theirs.proto).is_none_or(|p| p.secure);
        let why = match srtp {
            // Some answer a secure offer by a plain section: that is the other of the two forms.
            Srtp::Off | Srtp::Optional if !offered || !answered => continue,
            Srtp::Required if !answered => Clash::Required,
            Srtp::Off | Srtp::Optional | Srtp::Required => Clash::NoSuite,
        };
        let text = format!("offered {}; answered {}", names(sent), names(answer));
        return Err(Unfit { why, refusal: Refusal { warn_code: 399, text } });
    }
    Ok(())
}

/// The keys of a stream, from both sides' sections: the lines of one tag and suite. `None`: plain RTP.
pub fn agreed(ours: &Media, theirs: &Media) -> Option<Keys> {
    let own: Vec<Crypto> = lines(ours).collect();
    lines(theirs).find_map(|line| {
        let mine = own.iter().find(|mine| mine.tag == line.tag && mine.suite == line.suite)?;
        let (ours, theirs) = (mine.keys.first()?.clone(), line.keys.into_iter().next()?);
        Some(Keys { suite: line.suite, ours, theirs })
    })
}

/// How a stream in force would be offered again: as it is.
pub fn form_in_force(ours: &Media, theirs: &Media) -> Form {
    match agreed(ours, theirs) {
        None => Form::Plain,
        Some(_) if Profile::of(&ours.proto).is_some_and(|profile| profile.secure) => Form::Secure,
        Some(_) => Form::Either,
    }
}

/// Whether two descriptions of one side differ in their keys and in nothing else but the version.
pub fn only_keys_differ(before: &Description, now: &Description) -> bool {
    let without = |description: &Description| {
        let mut bare = description.clone();
        bare.origin.version = 0;
        for media in &mut bare.media {
            media.attributes.retain(|attribute| !attribute.is(CRYPTO));
        }
        bare
    };
    let keys = |description: &Description| -> Vec<Vec<Attribute>> {
        let of = |media: &Media| media.attributes.iter().filter(|a| a.is(CRYPTO)).cloned().collect();
        description.media.iter().map(of).collect()
    };
    keys(before) != keys(now) && without(before) == without(now)
}

/// The same description as if it had never heard of SRTP.
pub fn unprotected(description: &Description) -> Description {
    let mut bare = description.clone();
    for media in &mut bare.media {
        media.attributes.retain(|attribute| !attribute.is(CRYPTO));
        media.proto = plain_proto(&media.proto).to_owned();
    }
    bare
}

/// The usable lines of a section, in order.
fn lines(media: &Media) -> impl Iterator<Item = Crypto> {
    let values = media.attributes.iter().filter(|attribute| attribute.is(CRYPTO)).filter_map(|a| a.value.as_deref());
    values.filter_map(Crypto::parse).filter(Crypto::is_usable)
}

/// The line of an offer that is answered: the first that can be used, rather with one key than with several, of which
/// only the first would be understood.
fn chosen(media: &Media) -> Option<Crypto> {
    lines(media).min_by_key(|line| line.keys.len() > 1)
}

/// The first key of a section for a suite.
fn key_of(media: &Media, suite: Suite) -> Option<InlineKey> {
    lines(media).find(|line| line.suite == suite).and_then(|line| line.keys.into_iter().next())
}

fn drawn(suite: Suite, draw: &mut dyn FnMut(&mut [u8])) -> InlineKey {
    let mut key_salt = vec![0; suite.key_len() + suite.salt_len()];
    draw(&mut key_salt);
    InlineKey::new(key_salt)
}

/// One of the four profiles of RTP (RFC 3551, RFC 3711, RFC 4585, RFC 5124).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    /// SRTP.
    pub(crate) secure: bool,
    /// With feedback.
    feedback: bool,
}

impl Profile {
    const ALL: [Profile; 4] = [
        Profile { secure: false, feedback: false },
        Profile { secure: false, feedback: true },
        Profile { secure: true, feedback: false },
        Profile { secure: true, feedback: true },
    ];

    /// The profile of a section's transport.
    pub(crate) fn of(proto: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name().eq_ignore_ascii_case(proto))
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

/// A transport without its protection; as written where it has none.
pub(crate) fn plain_proto(proto: &str) -> &str {
    match Profile::of(proto) {
        Some(profile) if profile.secure => Profile { secure: false, ..profile }.name(),
        Some(_) | None => proto,
    }
}

/// The live sections of a description with the names of their suites, for people.
fn names(description: &Description) -> String {
    let live = description.media.iter().filter(|media| media.port != 0).take(limits::ANCHORED_STREAMS);
    list(live.map(|media| {
        let values = media.attributes.iter().filter(|a| a.is(CRYPTO)).filter_map(|a| a.value.as_deref());
        // In a damaged line a key may stand there; no key has an underscore, and every suite.
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
