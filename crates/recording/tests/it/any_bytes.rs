//! Property tests with arbitrary bytes and truncated files.

use proptest::prelude::*;
use trunkgate_recording::age::{AgeIdentities, AgeIdentity, CHUNK_BYTES, FileRandomness, PayloadKey, completion};
use trunkgate_recording::ogg::PageCounter;
use trunkgate_recording::{Channels, Container, FileEncryption, RecordingEncoder};

fn identities() -> AgeIdentities {
    AgeIdentities::parse(&AgeIdentity::from_secret([3; 32]).unwrap().reveal()).unwrap()
}

/// Builds a file of silence; returns it unencrypted and encrypted.
fn files(container: Container, channels: Channels, frames: u64) -> (Vec<u8>, Vec<u8>) {
    let encryption = FileEncryption { recipient: identities().recipient(), randomness: FileRandomness::new([5; 64]) };
    let made = [Some(&encryption), None].map(|encryption| {
        let mut file = Vec::new();
        let mut encoder = RecordingEncoder::new(container, channels, encryption, 1, &mut file).unwrap();
        let mut left = frames;
        while left > 0 {
            left -= encoder.push_silence(left, &mut file);
            encoder.flush(&mut file);
        }
        encoder.finish(&mut file);
        file
    });
    let [sealed, plain] = made;
    (sealed, plain)
}

proptest! {
    #[test]
    fn no_bytes_are_taken_for_an_age_file(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(PayloadKey::open(&bytes, &identities()).is_err());
        let like = [b"age-encryption.org/v1\n-> X25519 ".as_slice(), &bytes].concat();
        prop_assert!(PayloadKey::open(&like, &identities()).is_err());
    }

    #[test]
    fn no_bytes_are_taken_for_pages(bytes in prop::collection::vec(any::<u8>(), 0..3000), part in 1_usize..400) {
        let like = [b"OggS\0".as_slice(), &bytes].concat();
        for file in [&bytes, &like] {
            let mut count = PageCounter::default();
            file.chunks(part).for_each(|part| count.push(part));
            prop_assert_eq!((count.bytes(), count.milliseconds(), count.is_whole()), (0, 0, false));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_encrypted_recording_cut_anywhere_opens_after_completion(frames in 1_u64..600, is_dual: bool, share in 0.0..1.0) {
        let channels = if is_dual { Channels::Dual } else { Channels::Mono };
        let (sealed, plain) = files(Container::Wav, channels, frames);
        let begins = PayloadKey::open(&sealed, &identities()).unwrap().chunk_offset(0) as usize;
        let cut = begins + ((sealed.len() - begins) as f64 * share) as usize;
        let mut file = sealed[..cut].to_vec();
        let payload = PayloadKey::open(&file, &identities()).unwrap();
        let read = |place: u64, length: usize| Ok::<_, ()>(file[place as usize..place as usize + length].to_vec());
        let done = completion(&payload, file.len() as u64, read).unwrap();
        if let Some((place, bytes)) = done.write {
            file.truncate(place as usize);
            file.extend_from_slice(&bytes);
        }
        file.truncate(done.length as usize);
        let (last, bytes) = payload.contents(file.len() as u64).unwrap();
        let mut opened = Vec::new();
        for chunk in 0..=last {
            let (from, to) = (payload.chunk_offset(chunk) as usize, (payload.chunk_offset(chunk + 1) as usize).min(file.len()));
            opened.extend_from_slice(payload.open_chunk(chunk, chunk == last, &mut file[from..to].to_vec()).unwrap());
        }
        prop_assert_eq!(opened.len() as u64, bytes);
        // Except for the sizes in its header, which are unknown.
        prop_assert!(plain.get(80..opened.len()).is_none_or(|samples| samples == &opened[80..]));
        prop_assert!(cut - begins < opened.len() + CHUNK_BYTES + 100);
    }
}
