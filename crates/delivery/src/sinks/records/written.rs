//! Search for records that the record file already contains, because a call left in the journal by a crash may have
//! been written.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sinks::store::disk;
use trunkgate_system::files;
use trunkgate_system::limits::{RECORDS_FILES_SEARCHED, RECORDS_SEARCHED_BYTES};

/// Returns the SIDs of the last records in a file and its rotated copies. Copies are recognised by the start of their
/// names, so that any log rotation works.
pub(super) fn last_sids(records: &Path) -> io::Result<BTreeSet<String>> {
    let mut sids = BTreeSet::new();
    for path in candidates(records)? {
        let tail = match files::open(&path).and_then(|mut file| tail(&mut file)) {
            Ok((_, tail)) => tail,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(disk::named(&path, &error)),
        };
        // An incomplete last line is not a record.
        let end = tail.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        sids.extend(tail.get(..end).unwrap_or_default().split(|byte| *byte == b'\n').filter_map(sid_of));
    }
    Ok(sids)
}

/// Returns the SID in a line of either format.
fn sid_of(line: &[u8]) -> Option<String> {
    if line.first() == Some(&b'{') {
        return serde_json::from_slice::<Value>(line).ok()?.get("sid")?.as_str().map(str::to_owned);
    }
    let first = line.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(first).ok().filter(|sid| sid.starts_with("CA")).map(str::to_owned)
}

/// Returns the newest files that may contain records of interrupted calls.
fn candidates(records: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(stem)) = (records.parent(), records.file_stem()) else { return Ok(Vec::new()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(stem.as_encoded_bytes()) {
            continue;
        }
        let Ok(about) = entry.metadata() else { continue };
        if about.is_file() {
            found.push((about.modified()?, folder.join(name)));
        }
    }
    found.sort();
    Ok(found.into_iter().rev().take(RECORDS_FILES_SEARCHED).map(|(_, path)| path).collect())
}

/// Returns the offset and the contents of a file's end.
pub(super) fn tail(file: &mut File) -> io::Result<(u64, Vec<u8>)> {
    let skipped = file.metadata()?.len().saturating_sub(RECORDS_SEARCHED_BYTES);
    file.seek(SeekFrom::Start(skipped))?;
    let mut text = Vec::new();
    file.take(RECORDS_SEARCHED_BYTES).read_to_end(&mut text)?;
    Ok((skipped, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_wherever_rotation_has_put_them() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("cdr.jsonl", "{\"sid\":\"CA1\"}\n{\"sid\":\"CA2\"}\n{\"sid\":\"CA-to");
        write("cdr.jsonl.1", "{\"to\":\"CA9\",\"sid\":\"CA3\"}\n");
        write("cdr-20260101T000000Z.csv", "sid,to\r\nCA4,\"x\"\r\nCA5,y");
        write("other.jsonl", "{\"sid\":\"CA6\"}\n");
        write("cdr.jsonl.live", "{\"ended\":\"CA7\"}\n");
        let sids = last_sids(&directory.path().join("cdr.jsonl")).unwrap();
        assert_eq!(sids.into_iter().collect::<Vec<_>>(), ["CA1", "CA2", "CA3", "CA4"]);
    }
}
