//! SDES negotiation between two sides (RFC 4568).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // this file contains only tests

use proptest::prelude::*;
use trunkgate_sdp::keying::{
    OFFERED, agreed, check_answer, filter_offer, form_in_force, keep_protected, only_keys_differ, protect_answer,
    protect_offer, unprotected,
};
use trunkgate_sdp::{
    Attribute, CodecPolicy, CryptoAttribute, InlineKey, LocalOrigin, MediaDescription, SessionDescription, Srtp,
    SrtpConflict, SrtpForm, Suite, accept, relay_offer,
};

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

fn description(lines: &str) -> SessionDescription {
    let text = format!("v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 10.1.1.1\r\nt=0 0\r\n{lines}");
    SessionDescription::parse(text.as_bytes()).unwrap()
}

fn audio(proto: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("a=crypto:{line}\r\n")).collect();
    format!("m=audio 4000 {proto} 0\r\n{lines}")
}

fn cm80(tag: u32) -> String {
    format!("{tag} AES_CM_128_HMAC_SHA1_80 inline:{KEY}")
}

/// Generates distinguishable keys: each byte of the first one is 1, of the next one 2, and so on.
fn counter() -> impl FnMut(&mut [u8]) {
    let mut drawn = 0;
    move |bytes: &mut [u8]| {
        drawn += 1;
        bytes.fill(drawn);
    }
}

fn lines(media: &MediaDescription) -> Vec<CryptoAttribute> {
    let values = media.attributes.iter().filter(|a| a.is("crypto")).filter_map(|a| a.value.as_deref());
    values.map(|value| CryptoAttribute::parse(value).unwrap()).collect()
}

fn key(byte: u8, suite: Suite) -> InlineKey {
    InlineKey::new(vec![byte; suite.key_len() + suite.salt_len()])
}

fn answered(offer: &SessionDescription, srtp: Srtp) -> SessionDescription {
    let mut answer = description("m=audio 5000 RTP/SAVP 0\r\na=sendrecv\r\n");
    protect_answer(&mut answer, offer, srtp, None, &mut counter());
    answer
}

#[test]
fn rfc4568_5_1_what_of_an_offer_may_be_taken() {
    let usable = cm80(1);
    let foreign = "1 F8_128_HMAC_SHA1_80 inline:abc";
    let weakened = format!("{} UNENCRYPTED_SRTP", cm80(1));
    for (proto, crypto, off, optional, required) in [
        ("RTP/AVP", vec![], None, None, Some(SrtpConflict::Required)),
        ("RTP/AVPF", vec![], None, None, Some(SrtpConflict::Required)),
        ("RTP/AVP", vec![&*usable], None, None, None),
        ("RTP/AVPF", vec![&*usable], None, None, None),
        ("RTP/AVP", vec![foreign], None, None, Some(SrtpConflict::NoSuite)),
        ("RTP/SAVP", vec![&*usable], Some(SrtpConflict::Off), None, None),
        ("rtp/savpf", vec![&*usable], Some(SrtpConflict::Off), None, None),
        ("RTP/SAVP", vec![foreign, &*usable], Some(SrtpConflict::Off), None, None),
        ("RTP/SAVP", vec![], Some(SrtpConflict::Off), Some(SrtpConflict::NoSuite), Some(SrtpConflict::NoSuite)),
        (
            "RTP/SAVP",
            vec![&*weakened],
            Some(SrtpConflict::Off),
            Some(SrtpConflict::NoSuite),
            Some(SrtpConflict::NoSuite),
        ),
        (
            "UDP/TLS/RTP/SAVPF",
            vec![],
            Some(SrtpConflict::Off),
            Some(SrtpConflict::NoSuite),
            Some(SrtpConflict::NoSuite),
        ),
        ("TCP/MSRP", vec![], None, None, None),
    ] {
        let offer = description(&audio(proto, &crypto));
        for (srtp, expected) in [(Srtp::Off, off), (Srtp::Optional, optional), (Srtp::Required, required)] {
            let why = filter_offer(offer.clone(), srtp, &Suite::ALL).err().map(|unfit| unfit.why);
            assert_eq!(why, expected, "{proto} {crypto:?} {srtp:?}");
        }
    }
}

#[test]
fn a_section_that_is_not_taken_is_refused_and_the_others_run() {
    let both = description(&format!("{}{}", audio("RTP/SAVP", &[&cm80(1)]), audio("RTP/AVP", &[])));
    let ports =
        |srtp| filter_offer(both.clone(), srtp, &Suite::ALL).unwrap().media.iter().map(|m| m.port).collect::<Vec<_>>();
    assert_eq!(ports(Srtp::Off), [0, 4000]);
    assert_eq!(ports(Srtp::Optional), [4000, 4000]);
    assert_eq!(ports(Srtp::Required), [4000, 0]);
}

#[test]
fn fax_cannot_be_protected() {
    let fax = description("m=image 4000 udptl t38\r\n");
    for (srtp, taken) in [(Srtp::Off, true), (Srtp::Optional, true), (Srtp::Required, false)] {
        assert_eq!(filter_offer(fax.clone(), srtp, &Suite::ALL).is_ok(), taken);
        assert_eq!(keep_protected(&mut fax.clone(), srtp).is_ok(), taken);
        let mut both = description("m=audio 4000 RTP/AVP 0\r\nm=image 4002 udptl t38\r\n");
        assert_eq!(keep_protected(&mut both, srtp), Ok(()));
        assert_eq!((both.media[0].port, both.media[1].port != 0), (4000, taken));
    }
}

#[test]
fn rfc3261_20_43_refusals_of_srtp_name_both_lists() {
    for (lines, srtp, text) in [
        (
            audio("RTP/AVP", &[]),
            Srtp::Required,
            "offered audio RTP/AVP; allowed RTP/SAVP with AES_CM_128_HMAC_SHA1_80, ",
        ),
        (
            audio("RTP/SAVP", &[&cm80(1)]),
            Srtp::Off,
            "offered audio RTP/SAVP with AES_CM_128_HMAC_SHA1_80; allowed RTP/AVP",
        ),
        (
            audio("RTP/SAVP", &["1 F8_128_HMAC_SHA1_80 inline:abc"]),
            Srtp::Optional,
            "offered audio RTP/SAVP with F8_128_HMAC_SHA1_80; allowed RTP/AVP, RTP/SAVP with AES_CM_128_HMAC_SHA1_80, ",
        ),
        // A key may occur in place of the suite.
        (
            audio("RTP/SAVP", &["1 inline:c2VjcmV0", "2 c2VjcmV0", "3 \"AES_x", "4"]),
            Srtp::Required,
            "offered audio RTP/SAVP with nothing; allowed RTP/SAVP with ",
        ),
        (audio("UDP/TLS/RTP/SAVPF", &[]), Srtp::Off, "offered audio UDP/TLS/RTP/SAVPF; allowed RTP/AVP"),
    ] {
        let refusal = filter_offer(description(&lines), srtp, &Suite::ALL).unwrap_err().refusal;
        assert_eq!(refusal.warn_code, 399);
        assert!(refusal.text.starts_with(text), "{}", refusal.text);
    }
}

#[test]
fn rfc4568_5_1_2_an_answer_has_the_tag_of_the_first_line_that_can_be_used() {
    let unknown_mandatory = format!("{} newer=1", cm80(1));
    let several = format!("3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}|1:4;inline:{KEY}|2:4");
    let spelled = "9 AES_CM_256_HMAC_SHA1_80 inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLQ==";
    for (offered, tag, name) in [
        (vec![&*cm80(7)], 7, "AES_CM_128_HMAC_SHA1_80"),
        (
            vec!["1 F8_128_HMAC_SHA1_80 inline:abc", &*unknown_mandatory, &*cm80(5), spelled],
            5,
            "AES_CM_128_HMAC_SHA1_80",
        ),
        (vec![spelled], 9, "AES_CM_256_HMAC_SHA1_80"),
        (vec![&*several, &*cm80(4)], 4, "AES_CM_128_HMAC_SHA1_80"),
        (vec![&*several], 3, "AES_CM_128_HMAC_SHA1_80"),
    ] {
        for proto in ["RTP/SAVP", "RTP/AVP"] {
            let offer = description(&audio(proto, &offered));
            let answer = answered(&offer, Srtp::Optional);
            let ours = lines(&answer.media[0]);
            assert_eq!((ours.len(), ours[0].tag, &*ours[0].name), (1, tag, name));
            let keys = agreed(&answer.media[0], &offer.media[0]).unwrap();
            assert_eq!(keys.ours, key(1, keys.suite));
            assert_eq!(lines(&answered(&offer, Srtp::Off).media[0]), []);
        }
    }
}

#[test]
fn an_offer_of_ours_has_the_profile_and_lines_of_its_form() {
    for (form, from, proto, count) in [
        (SrtpForm::Plain, "RTP/AVP", "RTP/AVP", 0),
        (SrtpForm::Either, "RTP/AVPF", "RTP/AVPF", OFFERED.len()),
        (SrtpForm::Secure, "RTP/AVP", "RTP/SAVP", OFFERED.len()),
        (SrtpForm::Secure, "RTP/AVPF", "RTP/SAVPF", OFFERED.len()),
    ] {
        let mut offer = description(&format!("{}m=image 4002 udptl t38\r\nm=audio 0 RTP/AVP 0\r\n", audio(from, &[])));
        protect_offer(&mut offer, |_| form, &OFFERED, None, &mut counter());
        assert_eq!(offer.media[0].proto, proto);
        let ours = lines(&offer.media[0]);
        assert_eq!(ours.iter().map(|line| line.suite).collect::<Vec<_>>(), OFFERED[..count]);
        assert_eq!(ours.iter().map(|line| line.tag).collect::<Vec<_>>(), (1..=count as u32).collect::<Vec<_>>());
        assert!(ours.iter().all(|line| line.keys[0] == key(line.tag as u8, line.suite)), "each has a key of its own");
        assert!(offer.media[1..].iter().all(|media| media.attributes.is_empty()));
    }
}

#[test]
fn an_offer_passes_on_nothing_of_the_other_sides_keys_or_profile() {
    let offer = description(&audio("RTP/SAVPF", &[&cm80(1)]));
    let policy = CodecPolicy { codecs: vec!["PCMU".into()], ..CodecPolicy::default() };
    let identity = LocalOrigin { session_id: 2, version: 1, ip: [192, 0, 2, 2].into() };
    let sent = relay_offer(&offer, &policy, &[30_000], &identity).unwrap();
    assert_eq!(sent.media[0].proto, "RTP/AVPF");
    assert!(!sent.to_string().contains(KEY));
    let answer = description("m=audio 5000 RTP/AVPF 0\r\n");
    let back = accept(&offer, &sent, &answer, &CodecPolicy::default(), &[20_000], &identity).unwrap().answer;
    assert_eq!(back.media[0].proto, "RTP/SAVPF");
}

#[test]
fn rfc4568_7_1_4_keys_stay_while_the_far_end_stays() {
    let offer = description(&audio("RTP/SAVP", &[&cm80(1)]));
    let ours = answered(&offer, Srtp::Required);
    let other_key = cm80(1).replace("WVNf", "AAAA");
    for (lines, stays) in [
        (audio("RTP/SAVP", &[&cm80(1)]), true),
        (audio("RTP/SAVP", &[&cm80(6)]), true),
        (format!("{}a=sendonly\r\n", audio("RTP/SAVP", &[&cm80(1)])), true),
        (audio("RTP/SAVP", &[&other_key]), false),
        (audio("RTP/SAVP", &[&cm80(1)]).replace("4000", "4002"), false),
        (format!("{}c=IN IP4 10.1.1.2\r\n", audio("RTP/SAVP", &[&cm80(1)])), false),
    ] {
        let again = description(&lines);
        let mut answer = description("m=audio 5000 RTP/SAVP 0\r\n");
        protect_answer(&mut answer, &again, Srtp::Required, Some((&ours, &offer)), &mut |bytes| bytes.fill(99));
        let keys = agreed(&answer.media[0], &again.media[0]).unwrap();
        assert_eq!(keys.ours == key(1, keys.suite), stays, "{lines}");
        assert_eq!(keys.ours == key(99, keys.suite), !stays, "{lines}");
    }
    // In a new offer the suite in force comes first, with its key.
    let mut again = description("m=audio 5000 RTP/AVP 0\r\n");
    protect_offer(&mut again, |_| SrtpForm::Secure, &OFFERED, Some((&ours, &offer)), &mut |bytes| bytes.fill(99));
    let first = &lines(&again.media[0])[0];
    assert_eq!((first.suite, first.tag), (Suite::AesCm128HmacSha1_80, 1));
    assert_eq!(first.keys[0], key(1, first.suite));
    assert_eq!(lines(&again.media[0]).len(), OFFERED.len());
}

#[test]
fn rfc4568_5_1_3_an_answer_must_take_what_was_offered() {
    let offered = |form| {
        let mut sent = description("m=audio 5000 RTP/AVP 0\r\n");
        protect_offer(&mut sent, |_| form, &OFFERED, None, &mut counter());
        sent
    };
    let (secure, either, plain) = (offered(SrtpForm::Secure), offered(SrtpForm::Either), offered(SrtpForm::Plain));
    let (second, swapped) = (cm80(2), cm80(1));
    for (sent, proto, crypto, optional, required) in [
        (&secure, "RTP/SAVP", vec![&*second], None, None),
        (&secure, "RTP/AVP", vec![&*second], None, None),
        (&secure, "RTP/SAVP", vec![], Some(SrtpConflict::NoSuite), Some(SrtpConflict::NoSuite)),
        (&secure, "RTP/SAVP", vec![&*swapped], Some(SrtpConflict::NoSuite), Some(SrtpConflict::NoSuite)),
        (&secure, "RTP/AVP", vec![], None, Some(SrtpConflict::Required)),
        (&either, "RTP/AVP", vec![&*second], None, None),
        (&either, "RTP/AVP", vec![], None, Some(SrtpConflict::Required)),
        (&either, "RTP/AVP", vec![&*swapped], Some(SrtpConflict::NoSuite), Some(SrtpConflict::NoSuite)),
        (&plain, "RTP/AVP", vec![], None, Some(SrtpConflict::Required)),
        (&plain, "RTP/AVP", vec![&*second], None, Some(SrtpConflict::NoSuite)),
    ] {
        let answer = description(&audio(proto, &crypto));
        for (srtp, expected) in [(Srtp::Optional, optional), (Srtp::Required, required)] {
            let why = check_answer(sent, &answer, [0], srtp).err().map(|unfit| unfit.why);
            assert_eq!(why, expected, "{sent} {proto} {crypto:?} {srtp:?}");
        }
    }
    let answer = description(&audio("RTP/SAVP", &[&second]));
    assert_eq!(form_in_force(&secure.media[0], &answer.media[0]), SrtpForm::Secure);
    assert_eq!(form_in_force(&either.media[0], &answer.media[0]), SrtpForm::Either);
    assert_eq!(form_in_force(&plain.media[0], &answer.media[0]), SrtpForm::Plain);
}

#[test]
fn a_re_key_is_told_from_other_changes() {
    let before = description(&audio("RTP/SAVP", &[&cm80(1)]));
    let rekeyed = cm80(1).replace("WVNf", "AAAA");
    for (lines, only) in [
        (audio("RTP/SAVP", &[&rekeyed]), true),
        (audio("RTP/SAVP", &[&cm80(2)]), true),
        (audio("RTP/SAVP", &[&cm80(1)]), false),
        (format!("{}a=sendonly\r\n", audio("RTP/SAVP", &[&rekeyed])), false),
        (audio("RTP/AVP", &[&rekeyed]), false),
        (audio("RTP/SAVP", &[&rekeyed]).replace(" 0\r\n", " 8\r\n"), false),
    ] {
        let mut now = description(&lines);
        now.origin.version = 2;
        assert_eq!(only_keys_differ(&before, &now), only, "{lines}");
    }
    assert_eq!(unprotected(&before), description(&audio("RTP/AVP", &[])));
}

#[test]
fn debug_of_a_description_shows_no_key() {
    let offer = description(&audio("RTP/SAVP", &[&cm80(1)]));
    assert!(!format!("{offer:?}").contains(KEY));
    let answer = answered(&offer, Srtp::Required);
    let shown = format!("{answer:#?} {:?}", agreed(&answer.media[0], &offer.media[0]));
    assert!(!shown.contains("AQEBAQ") && !shown.contains(KEY), "{shown}");
}

fn suite() -> impl Strategy<Value = Suite> {
    prop::sample::select(Suite::ALL.to_vec())
}

fn proto() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "TCP/MSRP"])
}

prop_compose! {
    fn line()(tag in 0..=999_999_999_u32, suite in suite(), seed in any::<u8>(), life in prop::option::of(1_u64..=1 << 48),
              mki in prop::option::of((any::<u64>(), 8_u8..=128)), extra in prop::sample::select(vec!["", "WSH=64", "-x"])) -> CryptoAttribute {
        let mut line = CryptoAttribute::new(tag, suite, key(seed, suite));
        line.keys[0].lifetime = life;
        line.keys[0].mki = mki.map(|(value, len)| trunkgate_sdp::crypto::Mki { value, len });
        line.parameters = extra.split_whitespace().map(str::to_owned).collect();
        line
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(line in line()) {
        prop_assert_eq!(CryptoAttribute::parse(&line.to_string()), Some(line.clone()));
        prop_assert!(line.is_usable());
    }

    #[test]
    fn any_text_is_survived(text in ".{0,300}") {
        if let Some(line) = CryptoAttribute::parse(&text) {
            prop_assert_eq!(CryptoAttribute::parse(&line.to_string()), Some(line));
        }
    }

    #[test]
    fn any_offer_with_keys_is_answered_so_that_both_sides_agree(
        sections in prop::collection::vec((proto(), prop::collection::vec(line(), 0..4)), 1..5),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let section = |(proto, lines): &(&str, Vec<CryptoAttribute>)| {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            audio(proto, &lines.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let lines: String = sections.iter().map(section).collect();
        let mut bytes = description(&lines).to_string().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        trunkgate_sdp::fuzz::keys(&bytes);
    }

    #[test]
    fn both_sides_agree_on_the_same_keys(offered in prop::collection::vec(line(), 1..8), secure in any::<bool>()) {
        let mut offer = description(&audio(if secure { "RTP/SAVP" } else { "RTP/AVP" }, &[]));
        offer.media[0].attributes.extend(offered.iter().map(|line| Attribute::new("crypto", line.to_string())));
        let answer = answered(&offer, Srtp::Optional);
        let (here, there) = (agreed(&answer.media[0], &offer.media[0]), agreed(&offer.media[0], &answer.media[0]));
        let (here, there) = (here.unwrap(), there.unwrap());
        prop_assert_eq!(here.suite, there.suite);
        prop_assert_eq!(here.ours.key_salt, there.theirs.key_salt);
        prop_assert_eq!(check_answer(&offer, &answer, [0], Srtp::Required), Ok(()));
    }
}
