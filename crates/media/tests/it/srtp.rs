//! SRTP interoperability and robustness: packets of libsrtp, every flipped bit, replay, roll-over of sequence numbers,
//! changes of keys.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use crate::support::*;
use proptest::prelude::*;
use trunkgate_media::srtp::{SrtpInbound, SrtpOutbound};
use trunkgate_media::{DropReason, PacketBuf, SrtpKey, Suite};

fn key(suite: Suite, seed: u8, mki: Option<&[u8]>) -> SrtpKey {
    let bytes: Vec<u8> = (0..suite.key_len() + suite.salt_len()).map(|n| seed ^ n as u8).collect();
    SrtpKey::new(suite, &bytes, mki).unwrap()
}

fn buffer(bytes: &[u8]) -> PacketBuf {
    let mut packet = PacketBuf::new();
    packet.receive_area()[..bytes.len()].copy_from_slice(bytes);
    packet.set_len(bytes.len());
    packet
}

fn protect(outbound: &mut SrtpOutbound, rtcp: bool, bytes: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = buffer(bytes);
    if rtcp { outbound.protect_rtcp(&mut packet) } else { outbound.protect_rtp(&mut packet) }?;
    Ok(packet.data().to_vec())
}

fn unprotect(inbound: &mut SrtpInbound, rtcp: bool, bytes: &[u8]) -> Result<Vec<u8>, DropReason> {
    let mut packet = buffer(bytes);
    if rtcp { inbound.unprotect_rtcp(&mut packet, false) } else { inbound.unprotect_rtp(&mut packet, false) }?;
    Ok(packet.data().to_vec())
}

fn packet(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut bytes = rtp(sequence);
    bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
    bytes
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// The packets include a roll-over, a header extension and a contributing source.
#[test]
fn libsrtp_makes_the_same_packet() {
    let lines = include_str!("../data/libsrtp.txt").lines().filter(|line| !line.starts_with('#'));
    let mut seen = 0;
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = (None, None);
        for line in lines.clone().filter(|line| line.starts_with(suite.as_str())) {
            let [_, material, kind, plain, sealed] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let key = SrtpKey::new(suite, &hex(material), None).unwrap();
            let outbound = outbound.get_or_insert_with(|| SrtpOutbound::new(&key));
            let inbound = inbound.get_or_insert_with(|| SrtpInbound::new(&key));
            let (rtcp, plain, sealed) = (kind == "rtcp", hex(plain), hex(sealed));
            assert_eq!(unprotect(inbound, rtcp, &sealed).unwrap(), plain);
            if rtcp && seen % 6 == 4 {
                // libsrtp calls its first index one, RFC 3711 §3.4 zero.
                protect(outbound, true, &plain).unwrap();
            }
            assert_eq!(protect(outbound, rtcp, &plain).unwrap(), sealed, "{suite:?} {kind}");
            seen += 1;
        }
    }
    assert_eq!(seen, 24);
}

#[test]
fn every_suite_goes_there_and_back_with_and_without_a_key_s_name() {
    for suite in Suite::ALL {
        for mki in [None, Some(&[0, 0, 0, 1][..]), Some(&[7; 128])] {
            let key = key(suite, 1, mki);
            let (mut outbound, mut inbound) = (SrtpOutbound::new(&key), SrtpInbound::new(&key));
            for n in 0..3 {
                let plain = packet(7, 100 + n);
                let sealed = protect(&mut outbound, false, &plain).unwrap();
                assert!(sealed[..12] == plain[..12] && sealed[12..22] != plain[12..22] && sealed.len() > plain.len());
                assert_eq!(unprotect(&mut inbound, false, &sealed), Ok(plain));
                let sealed = protect(&mut outbound, true, &rtcp()).unwrap();
                assert_eq!(sealed[..8], rtcp());
                assert_eq!(unprotect(&mut inbound, true, &sealed), Ok(rtcp()));
            }
        }
    }
}

#[test]
fn no_flipped_bit_is_taken_and_none_changes_anything() {
    for suite in Suite::ALL {
        for (rtcp, mki) in [(false, None), (false, Some(&[3, 4][..])), (true, None), (true, Some(&[3, 4][..]))] {
            let key = key(suite, 2, mki);
            let (mut outbound, mut inbound) = (SrtpOutbound::new(&key), SrtpInbound::new(&key));
            let plain = if rtcp { self::rtcp() } else { packet(7, 40_000) };
            let first = protect(&mut outbound, rtcp, &plain).unwrap();
            let next = if rtcp { plain.clone() } else { packet(7, 40_001) };
            let second = protect(&mut outbound, rtcp, &next).unwrap();
            for known in [false, true] {
                let sealed = if known { &second } else { &first };
                for bit in 0..sealed.len() * 8 {
                    let mut forged = sealed.clone();
                    forged[bit / 8] ^= 1 << (bit % 8);
                    assert!(unprotect(&mut inbound, rtcp, &forged).is_err(), "{suite:?} rtcp {rtcp}, bit {bit}");
                }
                for len in 0..sealed.len() {
                    assert!(unprotect(&mut inbound, rtcp, &sealed[..len]).is_err());
                }
                assert_eq!(inbound.snapshot().len(), usize::from(known));
                assert!(unprotect(&mut inbound, rtcp, sealed).is_ok());
            }
        }
    }
}

#[test]
fn reasons_are_told_apart() {
    for suite in Suite::ALL {
        let key = key(suite, 3, None);
        let (mut outbound, mut inbound) = (SrtpOutbound::new(&key), SrtpInbound::new(&key));
        let sealed = protect(&mut outbound, false, &packet(7, 5)).unwrap();
        let report = protect(&mut outbound, true, &rtcp()).unwrap();
        unprotect(&mut inbound, false, &sealed).unwrap();
        unprotect(&mut inbound, true, &report).unwrap();
        assert_eq!(unprotect(&mut inbound, false, &sealed), Err(DropReason::SrtpReplay));
        assert_eq!(unprotect(&mut inbound, true, &report), Err(DropReason::SrtpReplay));
        assert_eq!(unprotect(&mut inbound, false, &packet(7, 6)), Err(DropReason::SrtpAuth));
        assert_eq!(unprotect(&mut inbound, false, &packet(7, 6)[..13]), Err(DropReason::SrtpPlain));
        let mut whole = rtcp();
        whole.extend_from_slice(&[0x80, 201, 0, 6]);
        whole.resize(36, 0);
        assert_eq!(unprotect(&mut inbound, true, &whole), Err(DropReason::SrtpPlain));
        assert_eq!(unprotect(&mut inbound, false, &[0; 40]), Err(DropReason::NotRtp));
        // The edge never sends an index twice.
        assert_eq!(protect(&mut outbound, false, &packet(7, 5)), Err(DropReason::SrtpRepeated));
        assert_eq!(protect(&mut outbound, false, &packet(7, 65_000)), Err(DropReason::SrtpRepeated));
    }
}

#[test]
fn a_key_ends_with_its_last_number() {
    let key = key(Suite::AeadAes128Gcm, 4, None);
    let last = format!(
        r#"[{{"ssrc":7,"rtp":[{},[0,1]],"rtcp":[{},[0,1]],"before":null}}]"#,
        (1u64 << 48) - 2,
        (1u64 << 31) - 2
    );
    let mut outbound = SrtpOutbound::restore(&key, &serde_json::from_str::<Vec<_>>(&last).unwrap());
    for rtcp in [false, true] {
        let bytes = |sequence| if rtcp { self::rtcp() } else { packet(7, sequence) };
        assert!(protect(&mut outbound, rtcp, &bytes(65_535)).is_ok());
        for _ in 0..3 {
            assert_eq!(protect(&mut outbound, rtcp, &bytes(0)), Err(DropReason::SrtpSpent));
        }
    }
}

#[test]
fn a_key_has_so_many_streams_and_no_more() {
    let key = key(Suite::AesCm128HmacSha1_32, 5, None);
    let (mut outbound, mut inbound) = (SrtpOutbound::new(&key), SrtpInbound::new(&key));
    for ssrc in 0..64 {
        let sealed = protect(&mut outbound, false, &packet(ssrc, 1)).unwrap();
        assert!(unprotect(&mut inbound, false, &sealed).is_ok());
    }
    assert!(!outbound.takes(64, 1) && outbound.takes(63, 2));
    assert_eq!(protect(&mut outbound, false, &packet(64, 1)), Err(DropReason::SrtpStreams));
    let mut other = SrtpOutbound::new(&key);
    for rtcp in [false, true] {
        let mut bytes = if rtcp { self::rtcp() } else { packet(64, 1) };
        if rtcp {
            bytes[7] = 64;
        }
        let sealed = protect(&mut other, rtcp, &bytes).unwrap();
        assert_eq!(unprotect(&mut inbound, rtcp, &sealed), Err(DropReason::SrtpStreams));
    }
    // Existing streams continue.
    let sealed = protect(&mut outbound, false, &packet(3, 2)).unwrap();
    assert!(unprotect(&mut inbound, false, &sealed).is_ok());
}

/// A sender that rolled over and then gets a new key: phones continue counting (RFC 3711 §3.3.1) or restart at zero
/// (RFC 4568 §7.1.4). Both are accepted; the edge continues, unless configured to restart.
#[test]
fn rfc3711_section_3_3_1_counters_go_on_under_a_new_key() {
    for suite in Suite::ALL {
        for from_zero in [false, true] {
            let (old, new) = (key(suite, 6, None), key(suite, 7, None));
            let mut outbound = SrtpOutbound::new(&old);
            for sequence in [65_000, 65_535, 3] {
                protect(&mut outbound, false, &packet(7, sequence)).unwrap();
            }
            protect(&mut outbound, true, &rtcp()).unwrap();
            outbound.set_key(&old, true);
            assert_eq!(protect(&mut outbound, false, &packet(7, 3)), Err(DropReason::SrtpRepeated), "the same key");
            outbound.set_key(&new, from_zero);
            let state = serde_json::to_value(outbound.snapshot()).unwrap();
            assert_eq!(state[0]["rtp"][0].as_u64(), (!from_zero).then_some(0x1_0003));
            // The RTCP index is never reset (RFC 3711 §3.4).
            assert_eq!(state[0]["rtcp"][0].as_u64(), Some(0));
            let sealed = protect(&mut outbound, false, &packet(7, 4)).unwrap();
            let counter = u64::from(!from_zero);
            let expected = SrtpOutbound::restore(
                &new,
                &serde_json::from_str::<Vec<_>>(&format!(
                    r#"[{{"ssrc":7,"rtp":[{},[0,1]],"rtcp":[null,[0,0]],"before":null}}]"#,
                    counter << 16
                ))
                .unwrap(),
            );
            let mut expected = expected;
            assert_eq!(protect(&mut expected, false, &packet(7, 4)).unwrap(), sealed, "{suite:?} {from_zero}");
        }
    }
}

/// Treatment of a packet on a simulated path.
#[derive(Debug, Clone)]
enum Fate {
    Lost,
    Delayed(usize),
    Twice,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        2 => Just(Fate::Lost),
        6 => (0usize..30).prop_map(Fate::Delayed),
        1 => Just(Fate::Twice),
    ];
    proptest::collection::vec(fate, 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Roll-over with loss, reordering and duplicates: each received packet is accepted once.
    #[test]
    fn roll_over_survives_loss_and_reordering(
        suite in proptest::sample::select(&Suite::ALL[..]),
        start in 0u16..,
        stride in prop_oneof![Just(1u16), 1u16..2000],
        fates in fates(),
    ) {
        let key = key(suite, 8, None);
        let (mut outbound, mut inbound) = (SrtpOutbound::new(&key), SrtpInbound::new(&key));
        // The first packet is received.
        let mut sealed = vec![(0, packet(7, start), protect(&mut outbound, false, &packet(7, start)).unwrap())];
        for (n, fate) in fates.iter().enumerate() {
            let plain = packet(7, start.wrapping_add(stride.wrapping_mul(n as u16 + 1)));
            let bytes = protect(&mut outbound, false, &plain).unwrap();
            let at = n + 1;
            match fate {
                Fate::Lost => {}
                // Limited to the replay window.
                Fate::Delayed(by) => sealed.push((at + by.min(&(100 / usize::from(stride))), plain, bytes)),
                Fate::Twice => {
                    sealed.push((at, plain.clone(), bytes.clone()));
                    sealed.push((at, plain, bytes));
                }
            }
        }
        sealed.sort_by_key(|(at, ..)| *at);
        let mut seen = std::collections::BTreeSet::new();
        for (_, plain, bytes) in sealed {
            let expected = if seen.insert(bytes.clone()) { Ok(plain) } else { Err(DropReason::SrtpReplay) };
            prop_assert_eq!(unprotect(&mut inbound, false, &bytes), expected);
        }
    }

    #[test]
    fn any_bytes_are_refused(
        suite in proptest::sample::select(&Suite::ALL[..]),
        rtcp in any::<bool>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..2048),
    ) {
        let mut inbound = SrtpInbound::new(&key(suite, 9, None));
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x3f | 0x80;
        }
        prop_assert!(unprotect(&mut inbound, rtcp, &bytes).is_err());
        prop_assert!(inbound.snapshot().is_empty());
    }
}
