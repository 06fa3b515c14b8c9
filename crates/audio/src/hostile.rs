//! Tests with damaged files and files with false sizes: each is rejected or decoded, and none allocates memory by its
//! claims.

use proptest::prelude::ProptestConfig;

use super::BareAudio;
use super::decode::{PANICKED, decode, decode_as};
use super::mutation::{self, seal};

const OPUS: &[u8] = include_bytes!("../../../tests/data/tone.opus");

const FIRST: u8 = 2;
const LAST: u8 = 4;

/// Builds an Ogg page with one packet (RFC 3533 §6).
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

fn vorbis_head() -> Vec<u8> {
    let mut head = b"\x01vorbis\0\0\0\0\x01".to_vec();
    head.extend([8000, 0, 0, 0].map(u32::to_le_bytes).concat());
    head.extend([0xb8, 1]);
    head
}

/// Builds a Vorbis file with these two headers after its first.
fn vorbis(comment: &[u8], setup: &[u8]) -> Vec<u8> {
    let audio = [0_u8; 8];
    [page(1, FIRST, 0, &vorbis_head()), page(1, 0, 1, comment), page(1, 0, 2, setup), page(1, LAST, 3, &audio)].concat()
}

/// Builds a setup header of 256 codebooks with 131,072 entries of 16 dimensions: 8 MiB each, in 22 bytes.
fn codebooks() -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |number: u64, count: u32| bits.extend((0..count).map(|place| number >> place & 1 == 1));
    put(255, 8);
    for _ in 0..256 {
        put(0x56_4342, 24);
        put(16, 16);
        put(131_072, 24);
        // Ordered: all of 17 bits.
        put(1, 1);
        put(16, 5);
        put(131_072, 18);
        // Vector lookup type 1, with two values.
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
        (tag, "not a WAV, AIFF, AU, MP3"),
        (chunk, "without samples"),
        (opus(&cut), "a truncated header"),
        (opus(b"OpusHead\x01\x03\0\0\0\0\0\0\0\0\x01\x01\x01\x02\0\x01"), "more than two channels"),
        (page(1, FIRST | LAST, 0, b"\x80theora"), "neither Vorbis nor Opus"),
        (page(1, FIRST, 0, &vorbis_head()), "before its audio begins"),
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

/// Repeated pages marked as not audible must not be decoded without limit.
#[test]
fn what_is_not_heard_is_not_decoded_for_ever() {
    let head = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0";
    let tags = b"OpusTags\x01\0\0\0x\0\0\0\0";
    let mut silent = page(1, LAST, 2, &[0xf8, 0xff, 0xfe]);
    silent[6..14].fill(0);
    seal(&mut silent);
    let mut file = [page(1, FIRST, 0, head), page(1, 0, 1, tags)].concat();
    file.extend((0..400).flat_map(|_| silent.clone()));
    let error = decode(&file, 2).unwrap_err();
    assert!(error.contains("not audible"), "{error}");
    // Undecodable packets cost time too.
    let mut file = [page(1, FIRST, 0, head), page(1, 0, 1, tags)].concat();
    file.extend((2..5000).flat_map(|n| page(1, 0, n, &[])));
    let error = decode(&file, 2).unwrap_err();
    assert!(error.contains("more than 1000 pieces cannot be decoded"), "{error}");
}

/// Concatenated files are one recording, as long as the rate is the same.
#[test]
fn chained_streams_are_heard_one_after_the_other() {
    let one = decode(OPUS, 2).unwrap().len();
    let two = decode(&[OPUS, OPUS].concat(), 2).unwrap().len();
    assert_eq!(two, 2 * one);
}

/// Bits of a generated header, the lowest of each byte first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(mut self, fields: &[(u64, u32)]) -> Bits {
        for (number, count) in fields {
            self.0.extend((0..*count).map(|place| number >> place & 1 == 1));
        }
        self
    }

    /// Appends a codebook with code words of `length` bits, all of them used, without vectors.
    fn book(self, entries: u64, length: u64) -> Bits {
        let width = u64::from(64 - entries.leading_zeros());
        self.put(&[(0x56_4342, 24), (1, 16), (entries, 24), (1, 1), (length - 1, 5), (entries, width as u32), (0, 4)])
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| bits.iter().rev().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
        self.0.chunks(8).map(byte).collect()
    }
}

/// Each of these headers made the parser or the decoder panic, or loop; they are rejected for the given reason.
#[test]
fn setup_headers_that_decoders_panic_at_are_refused() {
    let book = |dimensions: u64, entries: u64| {
        Bits::default().put(&[(0, 8), (0x56_4342, 24), (dimensions, 16), (entries, 24)])
    };
    let two_words = [(0, 1), (0, 1), (0, 5), (0, 5)];
    let vectors = |kind: u64| [(kind, 4), (0, 64), (0, 4), (0, 1)];
    // After one codebook of two words: the placeholder and the number of floors.
    let floor = |kind: u64| Bits::default().put(&[(0, 8)]).book(2, 1).put(&[(0, 6), (0, 16), (0, 6), (kind, 16)]);
    // One partition of one class of one dimension, without codebooks: a second point at 0.
    let point_twice = floor(1).put(&[(1, 5), (0, 4), (0, 3), (0, 2), (0, 8), (0, 2), (7, 4), (0, 7)]);
    for (name, setup, reason) in [
        // Original finding: 2 to the power of the dimensions exceeds 32 bits.
        ("257 dimensions", book(257, 2).put(&two_words).put(&vectors(1)), "of 257 dimensions, not 1 to 32"),
        ("no dimensions", book(0, 2).put(&two_words).put(&vectors(1)), "of 0 dimensions, not 1 to 32"),
        ("no entries", book(1, 0).put(&[(0, 1), (0, 1), (0, 4)]), "a codebook is empty"),
        ("no entry used", book(1, 2).put(&[(0, 1), (1, 1), (0, 2), (0, 4)]), "a codebook is empty"),
        ("33 bits", book(1, 2).put(&[(1, 1), (31, 5), (0, 2), (2, 2), (0, 4)]), "longer than 32 bits"),
        ("three words of one bit", book(1, 3).put(&[(0, 1), (0, 1), (0, 15), (0, 4)]), "more code words than fit"),
        ("one word of two bits", book(1, 1).put(&[(0, 1), (0, 1), (1, 5), (0, 4)]), "without a meaning"),
        ("vectors of a third kind", book(1, 2).put(&two_words).put(&vectors(3)), "of a kind"),
        ("a floor of type 0", floor(0).put(&[(0, 64)]), "not of type 1"),
        ("a point twice", point_twice, "a floor has a point twice"),
        ("tables of 200 MB", Bits::default().put(&[(0, 8)]).book(131_072, 17), "larger than any encoder"),
    ] {
        let file = vorbis(b"\x03vorbis", &[b"\x05vorbis".to_vec(), setup.bytes(), vec![0; 64]].concat());
        let error = decode(&file, 2).unwrap_err();
        assert!(error.contains(reason), "{name}: {error} does not say {reason}");
    }
}

/// Checks that changing a bit or byte at any position of an oggenc header causes no panic.
#[test]
fn each_byte_of_the_headers_may_be_wrong() {
    let file = include_bytes!("../../../tests/data/tone.ogg");
    for at in (0..4400).step_by(13) {
        let mut mutated = file.to_vec();
        mutated[at] ^= 1 << (at % 8);
        seal(&mut mutated);
        assert_ne!(decode(&mutated, 1), Err(PANICKED.to_owned()), "{at}");
    }
}

/// Decodes four mutated files for each case of a property, so that `PROPTEST_CASES` sets the number (50,000 for 200,000
/// files): each is decoded or rejected, and no decoder panics.
#[test]
fn mutated_files_of_every_format_are_decoded_or_refused() {
    for seed in 0..4 * u64::from(ProptestConfig::default().cases) {
        let bare = [None, Some(BareAudio::Gsm), Some(BareAudio::MuLaw)][seed as usize % 3];
        assert_ne!(decode_as(&mutation::file(seed), bare, 2), Err(PANICKED.to_owned()), "seed {seed}");
    }
}
