//! Completion of an encrypted file that a crash has truncated.

use super::payload::{PayloadKey, SEALED_BYTES};

/// Changes that complete a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCompletion {
    /// Bytes to write at a position before the file is truncated: the last full chunk, sealed again as the file's last
    /// one.
    pub write: Option<(u64, Vec<u8>)>,
    /// Length to which the file is truncated.
    pub length: u64,
}

/// Determines the changes that complete a file; `read` returns bytes at a position. A complete file needs none.
///
/// A chunk that does not open (its sealing was itself interrupted) is discarded with the chunks after it.
///
/// # Errors
///
/// Returns the errors of `read`.
pub fn completion<E>(
    payload: &PayloadKey,
    file_bytes: u64,
    mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<FileCompletion, E> {
    let (whole, rest) = payload.chunks(file_bytes);
    if rest > 0 && payload.contents(file_bytes).is_some() {
        let mut sealed = read(payload.chunk_offset(whole), rest as usize)?;
        if payload.open_chunk(whole, true, &mut sealed).is_ok() {
            return Ok(FileCompletion { write: None, length: file_bytes });
        }
    }
    for chunk in (0..whole).rev() {
        let (place, length) = (payload.chunk_offset(chunk), payload.chunk_offset(chunk + 1));
        let sealed = read(place, SEALED_BYTES as usize)?;
        if payload.open_chunk(chunk, true, &mut sealed.clone()).is_ok() {
            return Ok(FileCompletion { write: None, length });
        }
        let mut opened = sealed;
        if let Ok(contents) = payload.open_chunk(chunk, false, &mut opened) {
            let mut again = Vec::new();
            payload.seal_chunk(chunk, true, contents, &mut again);
            return Ok(FileCompletion { write: Some((place, again)), length });
        }
    }
    let mut empty = Vec::new();
    payload.seal_chunk(0, true, &[], &mut empty);
    Ok(FileCompletion {
        length: payload.chunk_offset(0) + empty.len() as u64,
        write: Some((payload.chunk_offset(0), empty)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{AgeIdentities, AgeIdentity, CHUNK_BYTES, FileRandomness, OpenError, Sealer};
    use super::*;

    fn identities() -> AgeIdentities {
        AgeIdentities::parse(&AgeIdentity::from_secret([7; 32]).unwrap().reveal()).unwrap()
    }

    fn sealed(contents: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut sealer = Sealer::new(identities().recipient(), &FileRandomness::new([9; 64]), &mut file).unwrap();
        for part in contents.chunks(7001) {
            sealer.push(part, &mut file);
        }
        sealer.finish(&mut file);
        file
    }

    fn opened(file: &[u8]) -> Result<Vec<u8>, OpenError> {
        let payload = PayloadKey::open(file, &identities())?;
        let (last, bytes) = payload.contents(file.len() as u64).ok_or(OpenError::Payload)?;
        let mut contents = Vec::new();
        for chunk in 0..=last {
            let end = (payload.chunk_offset(chunk + 1) as usize).min(file.len());
            let mut sealed = file[payload.chunk_offset(chunk) as usize..end].to_vec();
            contents.extend_from_slice(payload.open_chunk(chunk, chunk == last, &mut sealed)?);
        }
        assert_eq!(contents.len() as u64, bytes);
        Ok(contents)
    }

    fn completed(file: &mut Vec<u8>) -> bool {
        let payload = PayloadKey::open(file, &identities()).unwrap();
        let read = |place: u64, length: usize| Ok::<_, ()>(file[place as usize..place as usize + length].to_vec());
        let completion = completion(&payload, file.len() as u64, read).unwrap();
        let is_whole = completion.write.is_none() && completion.length == file.len() as u64;
        if let Some((place, bytes)) = completion.write {
            file.resize(file.len().max(place as usize + bytes.len()), 0);
            file[place as usize..place as usize + bytes.len()].copy_from_slice(&bytes);
        }
        file.truncate(completion.length as usize);
        is_whole
    }

    fn contents(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
    }

    #[test]
    fn contents_of_any_length_come_back() {
        for bytes in [0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let contents = contents(bytes);
            assert_eq!(opened(&sealed(&contents)).unwrap(), contents, "{bytes}");
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_completed_and_lacks_less_than_two_chunks() {
        let contents = contents(2 * CHUNK_BYTES + 300);
        let file = sealed(&contents);
        let begins = PayloadKey::open(&file, &identities()).unwrap().chunk_offset(0) as usize;
        // Every position near the ends of chunks, and some between.
        let near = |at: usize| [0, 1, 2].iter().any(|k| (begins + k * SEALED_BYTES as usize).abs_diff(at) <= 40);
        for cut in (0..=file.len()).filter(|at| near(*at) || at % 997 == 0 || *at >= file.len() - 40) {
            let mut cut_file = file[..cut].to_vec();
            if cut < begins {
                assert_eq!(PayloadKey::open(&cut_file, &identities()).err(), Some(OpenError::Short), "{cut}");
                continue;
            }
            assert_eq!(completed(&mut cut_file), cut == file.len(), "{cut}");
            let left = opened(&cut_file).unwrap();
            assert!(contents.starts_with(&left), "{cut}");
            let whole = (cut - begins) / SEALED_BYTES as usize * CHUNK_BYTES;
            assert_eq!(left.len(), if cut == file.len() { contents.len() } else { whole }, "{cut}");
            assert!(completed(&mut cut_file), "nothing is left to do: {cut}");
        }
    }

    #[test]
    fn a_completion_that_was_itself_cut_short_is_completed() {
        let contents = contents(3 * CHUNK_BYTES);
        let whole = sealed(&contents);
        let mut done = whole[..whole.len() - 100].to_vec();
        completed(&mut done);
        let begins = done.len() - SEALED_BYTES as usize;
        // The last chunk is half sealed as the last one.
        let mut torn = whole[..whole.len() - 100].to_vec();
        torn[begins..begins + 4096].copy_from_slice(&done[begins..begins + 4096]);
        completed(&mut torn);
        assert_eq!(opened(&torn).unwrap(), contents[..CHUNK_BYTES]);
    }

    #[test]
    fn nothing_opens_with_another_key_or_after_a_change() {
        let file = sealed(b"hello");
        let other = AgeIdentities::parse(&AgeIdentity::from_secret([8; 32]).unwrap().reveal()).unwrap();
        assert_eq!(PayloadKey::open(&file, &other).err(), Some(OpenError::OtherKey));
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(opened(&damaged).is_err(), "{at}");
        }
    }
}
