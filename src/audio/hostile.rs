//! Files that lie about their sizes, and files that are damaged: each refused or heard, none costs memory by what it claims.

use proptest::prelude::*;

use super::decode::decode;

const VORBIS: &[u8] = include_bytes!("../../tests/data/tone.ogg");
const OPUS: &[u8] = include_bytes!("../../tests/data/tone.opus");
const MP3: &[u8] = include_bytes!("../../tests/data/tone.mp3");

const FIRST: u8 = 2;
const LAST: u8 = 4;

/// A page of Ogg that holds one packet (RFC 3533 §6).
fn page(serial: u32, flags: u8, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(960_u64.to_le_bytes());
    page.extend([serial, sequence, 0].map(u32::to_le_bytes).concat());
    page.push((packet.len() / 255 + 1) as u8);
    page.extend(vec![255; packet.len() / 255]);
    page.push((packet.len() % 255) as u8);
    page.extend(packet);
    seal(&mut page);
    page
}

/// Gives every page the checksum that belongs to it.
fn seal(file: &mut [u8]) {
    let mut at = 0;
    while let Some(segments) = file.get(at + 26).map(|count| usize::from(*count)) {
        let body: usize = file.iter().skip(at + 27).take(segments).map(|size| usize::from(*size)).sum();
        let end = (at + 27 + segments + body).min(file.len());
        let page = &mut file[at..end];
        page[22..26].fill(0);
        let sum = page.iter().fold(0_u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

fn vorbis_head() -> Vec<u8> {
    let mut head = b"\x01vorbis\0\0\0\0\x01".to_vec();
    head.extend([8000, 0, 0, 0].map(u32::to_le_bytes).concat());
    head.extend([0xb8, 1]);
    head
}

/// A Vorbis file with these two headers behind its first.
fn vorbis(comment: &[u8], setup: &[u8]) -> Vec<u8> {
    let audio = [0_u8; 8];
    [page(1, FIRST, 0, &vorbis_head()), page(1, 0, 1, comment), page(1, 0, 2, setup), page(1, LAST, 3, &audio)].concat()
}

/// 256 codebooks of 131,072 entries of 16 dimensions: 8 MiB each, in 22 bytes.
fn codebooks() -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |number: u64, count: u32| bits.extend((0..count).map(|place| number >> place & 1 == 1));
    put(255, 8);
    for _ in 0..256 {
        put(0x56_4342, 24);
        put(16, 16);
        put(131_072, 24);
        // Ordered: all are of 17 bits.
        put(1, 1);
        put(16, 5);
        put(131_072, 18);
        // Values of the first kind, two of them written.
        put(1, 4);
        put(0, 64);
        put(0, 4 + 1 + 2);
    }
    let byte = |bits: &[bool]| bits.iter().rev().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    [b"\x05vorbis".to_vec(), bits.chunks(8).map(byte).collect()].concat()
}

fn opus(head: &[u8]) -> Vec<u8> {
    let tags = b"OpusTags\x01\0\0\0x\0\0\0\0";
    [page(1, FIRST, 0, head), page(1, 0, 1, tags), page(1, LAST, 2, &[0xf8, 0xff, 0xfe])].concat()
}

#[test]
fn sizes_that_are_not_true_are_not_believed() {
    let comments = |vendor: u32, count: u32| {
        [b"\x03vorbis".as_slice(), &vendor.to_le_bytes(), &count.to_le_bytes(), &[1]].concat()
    };
    let setup = b"\x05vorbis\0\0\0\0\0\0\0\0";
    let streams: Vec<u8> = (0..1000).flat_map(|serial| page(serial, FIRST, 0, &vorbis_head())).collect();
    let tag = b"ID3\x04\0\0\x7f\x7f\x7f\x7fTIT2\x7f\xff\xff\xff\0\0x".to_vec();
    let mut chunk = b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff".to_vec();
    chunk.extend([1, 0, 1, 0, 64, 31, 0, 0, 0, 0, 0, 0, 2, 0, 16, 0]);
    let cut = [b"OpusHead\x01\x02".as_slice(), &[0; 8]].concat();
    for (bytes, reason) in [
        (vorbis(&comments(0, u32::MAX), setup), "a codebook is missing"),
        (vorbis(&comments(u32::MAX, 0), setup), "a codebook is missing"),
        (vorbis(&comments(0, 0), &codebooks()), "larger than any encoder makes them"),
        (streams, "more than 64 streams"),
        (tag, "not a WAV, MP3"),
        (chunk, "without samples"),
        (opus(&cut), "before its audio begins"),
        (opus(b"OpusHead\x01\x03\0\0\0\0\0\0\0\0\x01\x01\x01\x02\0\x01"), "more than two channels"),
        (page(1, FIRST | LAST, 0, b"\x80theora"), "before its audio begins"),
    ] {
        let error = decode(&bytes, 2).unwrap_err();
        assert!(error.contains(reason), "{error} does not say {reason}");
    }
}

/// A granule position of 960 is 20 ms.
#[test]
fn an_opus_file_is_heard_as_long_as_it_says() {
    let head = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0";
    assert_eq!(decode(&opus(head), 2).unwrap().len(), 160);
    assert_eq!(decode(&opus(b"OpusHead\x01\x01\xe0\x01\x80\xbb\0\0\0\0\0"), 2).unwrap().len(), 80, "480 to be skipped");
    assert_eq!(decode(OPUS, 1).unwrap().len(), 4000);
}

/// Pages whose position stands still: all of them would be decoded, and nothing heard.
#[test]
fn what_is_not_heard_is_not_decoded_for_ever() {
    let head = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0";
    let tags = b"OpusTags\x01\0\0\0x\0\0\0\0";
    let mut file = [page(1, FIRST, 0, head), page(1, 0, 1, tags)].concat();
    for n in 2..400 {
        file.extend(page(1, 0, n, &[0xf8, 0xff, 0xfe]));
    }
    let error = decode(&file, 2).unwrap_err();
    assert!(error.contains("not audible"), "{error}");
}

/// One file behind the other is one recording, as long as its rate is one.
#[test]
fn chained_streams_are_heard_one_after_the_other() {
    let one = decode(OPUS, 2).unwrap().len();
    let two = decode(&[OPUS, OPUS].concat(), 2).unwrap().len();
    assert_eq!(two, 2 * one);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    /// Whatever a file holds, it is decoded or refused.
    #[test]
    fn damage_is_survived(
        which in 0_usize..3,
        damage in proptest::collection::vec((0_usize..6000, any::<u8>()), 1..12),
        length in 0.0..1.5_f64,
        seal_it in any::<bool>(),
    ) {
        let mut bytes = [VORBIS, OPUS, MP3][which].to_vec();
        for (at, byte) in damage {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        bytes.truncate((bytes.len() as f64 * length) as usize);
        if seal_it && which < 2 {
            seal(&mut bytes);
        }
        let _ = decode(&bytes, 1);
    }
}
