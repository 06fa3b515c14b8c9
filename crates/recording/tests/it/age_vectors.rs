//! Test vectors for age by C2SP (CCTV, age/testdata; 0BSD): those for X25519 that are stored uncompressed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use trunkgate_recording::age::{AgeIdentities, OpenError, PayloadKey};

/// Returns the contents that can be decrypted, and the error after them, if any.
fn open(file: &[u8], identities: &AgeIdentities) -> (Vec<u8>, Result<(), OpenError>) {
    let payload = match PayloadKey::open(file, identities) {
        Ok(payload) => payload,
        Err(refusal) => return (Vec::new(), Err(refusal)),
    };
    let mut contents = Vec::new();
    let mut chunk = 0;
    loop {
        let from = (payload.chunk_offset(chunk) as usize).min(file.len());
        let to = (payload.chunk_offset(chunk + 1) as usize).min(file.len());
        let is_last = to == file.len();
        let mut sealed = file[from..to].to_vec();
        let is_whole = !is_last || payload.contents(file.len() as u64).is_some();
        match payload.open_chunk(chunk, is_last, &mut sealed) {
            Ok(_) if !is_whole => return (contents, Err(OpenError::Payload)),
            Ok(opened) => contents.extend_from_slice(opened),
            Err(refusal) => return (contents, Err(refusal)),
        }
        if is_last {
            return (contents, Ok(()));
        }
        chunk += 1;
    }
}

#[test]
fn every_vector_opens_or_is_refused_as_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/age");
    let mut judged: BTreeMap<String, usize> = BTreeMap::new();
    for vector in std::fs::read_dir(folder).unwrap() {
        let path = vector.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let of = |key: &str| -> Vec<String> {
            let values = head.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            values.map(str::to_owned).collect()
        };
        let identities = of("identity").join("\n");
        let Ok(identities) = AgeIdentities::parse(&identities) else {
            // Header without any stanza, or only for a passphrase.
            continue;
        };
        let (contents, opened) = open(&bytes[end + 2..], &identities);
        let expected = of("expect").remove(0);
        let as_expected = match expected.as_str() {
            "success" => opened == Ok(()),
            "no match" => opened == Err(OpenError::OtherKey),
            "HMAC failure" => opened == Err(OpenError::Altered),
            "header failure" => matches!(opened, Err(OpenError::Header | OpenError::Short)),
            "payload failure" => opened.is_err(),
            other => panic!("{name}: {other}"),
        };
        assert!(as_expected, "{name}: {expected}, and not {opened:?}");
        if let Some(payload) = of("payload").first() {
            let hash = digest(&SHA256, &contents).as_ref().iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            });
            assert_eq!(&hash, payload, "{name}");
        }
        *judged.entry(expected).or_default() += 1;
    }
    for expected in ["success", "no match", "HMAC failure", "header failure", "payload failure"] {
        assert!(judged.get(expected).is_some_and(|count| *count > 0), "{judged:?}");
    }
}
