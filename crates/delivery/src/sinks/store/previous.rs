//! What versions before the store have left: the database of text messages, the folder of records that wait, the file of day counts. Each
//! is taken over once and then removed; a crash in between repeats nothing.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _};
use serde::Deserialize;

use super::disk::{self, named};
use super::file::{NAME, alone, copy_table, foreign, remove_all, with_ending, words};
use trunkgate_config::DataDirectory;
use trunkgate_system::files;

/// The tables of texts.
const TEXTS: [(&str, &str); 2] = [("sms", "rowid"), ("opted_out", "recipient")];
/// How a file of day counts begins.
const DAY_COUNTS: &[u8] = b"{\"trunk\":";
/// How the name of a file of records that wait ends.
const SEGMENT: &str = "records";
/// The mark of one that waits still.
const WAITS: u8 = b' ';
/// The journal where records go to a URL alone.
pub(crate) const JOURNAL: &str = "calls.live";
/// Records that the URL does not take.
pub(crate) const REFUSED: &str = "refused.jsonl";

/// Takes over all that is there.
pub(super) fn take_over(file: &mut Connection, data: &DataDirectory) -> io::Result<()> {
    let previous = &data.previous;
    forget_marks(file).map_err(|error| words(&error))?;
    let own = data.directory.join(NAME);
    for path in previous.texts.iter().filter(|path| **path != own) {
        let is_whole = Cell::new(true);
        let remove = |path: &Path| {
            if !is_whole.get() {
                disk::rename(path, &with_ending(path, ".damaged"))?;
            }
            remove_all(path)
        };
        unless_foreign(path, &data.directory, once(file, path, |to, path| texts(to, path, &is_whole), remove))?;
    }
    for path in &previous.day_counts {
        unless_foreign(path, &data.directory, once(file, path, day_counts, disk::remove))?;
    }
    if previous.records.is_dir() {
        // Whoever has this lock fills the folder still.
        let lock = lock(&previous.records)?;
        once(file, &previous.records, records, |folder| clear(folder, &data.directory))?;
        drop(lock);
    }
    Ok(())
}

/// What this process may not touch, and what lies elsewhere than the store, may be of another user's edge: it is left there.
fn unless_foreign(path: &Path, directory: &Path, taken: io::Result<()>) -> io::Result<()> {
    let Err(error) = taken else { return Ok(()) };
    let is_forbidden = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    if !is_forbidden || path.parent() == Some(directory) {
        return Err(error);
    }
    tracing::warn!("{} is not moved to the store: {error}", path.display());
    Ok(())
}

/// A crash came after something was removed and before that was noted: a later one at the same place is another.
fn forget_marks(file: &Connection) -> rusqlite::Result<()> {
    let mut marks = file.prepare("SELECT path FROM taken_over")?;
    let marks: Vec<String> = marks.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for path in marks.iter().filter(|path| !Path::new(path).exists()) {
        file.execute("DELETE FROM taken_over WHERE path = ?1", [path])?;
    }
    Ok(())
}

/// Takes over one path, where something is there, and removes it. Whether the first is done stands in the file itself.
fn once(
    file: &mut Connection,
    path: &Path,
    take: impl FnOnce(&Connection, &Path) -> io::Result<usize>,
    remove: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let name = path.to_string_lossy().into_owned();
    let to = file.transaction().map_err(|error| words(&error))?;
    let known = to.query_row("SELECT 1 FROM taken_over WHERE path = ?1", [&name], |_| Ok(())).optional();
    if known.map_err(|error| words(&error))?.is_none() {
        let count = take(&to, path).map_err(|error| named(path, &error))?;
        to.execute("INSERT INTO taken_over (path) VALUES (?1)", [&name]).map_err(|error| words(&error))?;
        tracing::info!("{}: {count} entries were moved to the store", path.display());
    }
    to.commit().map_err(|error| words(&error))?;
    remove(path)?;
    file.execute("DELETE FROM taken_over WHERE path = ?1", [&name]).map(drop).map_err(|error| words(&error))
}

/// The database of texts; of a damaged one what can be read.
fn texts(to: &Connection, path: &Path, is_whole: &Cell<bool>) -> io::Result<usize> {
    files::open_to_change(path)?;
    let copy = || -> rusqlite::Result<usize> {
        let from = alone(path)?;
        let mut rows = 0;
        for (table, order) in TEXTS {
            let copied = copy_table(&from, to, table, order)?;
            rows += copied.rows;
            match copied.stopped_by {
                Some(error) if words(&error).kind() == io::ErrorKind::InvalidData => is_whole.set(false),
                // Another process has it, or the disk gives it later.
                Some(error) => return Err(error),
                None => {}
            }
        }
        Ok(rows)
    };
    let rows = copy().map_err(|error| words(&error))?;
    if !is_whole.get() {
        tracing::error!("{} is damaged: {rows} entries were read; it is kept with the ending .damaged", path.display());
    }
    Ok(rows)
}

/// A line of the file of day counts.
#[derive(Debug, Deserialize)]
struct Line {
    trunk: String,
    limit: String,
    day: String,
    count: u32,
}

/// The file of day counts: of each, the last line holds. A torn one is nobody's.
fn day_counts(to: &Connection, path: &Path) -> io::Result<usize> {
    disk::lock(&files::open_to_change(path)?)?;
    let text = std::fs::read(path)?;
    if !text.starts_with(DAY_COUNTS) && !DAY_COUNTS.starts_with(&text) {
        return Err(foreign("it contains other data than day counts"));
    }
    let mut last = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Ok(Line { trunk, limit, day, count }) = serde_json::from_slice(line) {
            last.insert((trunk, limit, day), count);
        }
    }
    for ((trunk, limit, day), count) in &last {
        to.execute(
            "INSERT INTO day_count (trunk, scope, day, count) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (trunk, scope, day) DO UPDATE SET count = max(count, excluded.count)",
            (trunk, limit, day, count),
        )
        .map_err(|error| words(&error))?;
    }
    Ok(last.len())
}

/// A folder of records that wait: a record a line, its mark before it. A torn last line is in the journal.
fn records(to: &Connection, folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    for path in segments(folder)? {
        let text = std::fs::read(&path).map_err(|error| named(&path, &error))?;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let Some((&WAITS, json)) = line.strip_suffix(b"\n").and_then(<[u8]>::split_first) else { continue };
            let Some(sid) = sid_of(json) else { continue };
            count += to
                .execute("INSERT OR IGNORE INTO call_record (sid, json) VALUES (?1, ?2)", (sid, json))
                .map_err(|error| words(&error))?;
        }
    }
    Ok(count)
}

/// The files of such a folder, the oldest first.
fn segments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let number: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|ending| ending == SEGMENT)) {
            files::open_regular(&path).map_err(|error| named(&path, &error))?;
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join("lock");
    let file = files::append(&path, files::SECRET).map_err(|error| named(&path, &error))?;
    disk::lock(&file).map_err(|error| named(&path, &error))?;
    Ok(file)
}

/// Removes the files of such a folder; what is in them besides records goes along, and the folder stays if others use it.
fn clear(folder: &Path, directory: &Path) -> io::Result<()> {
    for (from, to) in [("live", JOURNAL), (REFUSED, REFUSED)] {
        let (from, to) = (folder.join(from), directory.join(to));
        let is_free = std::fs::metadata(&to).map_or(true, |about| about.len() == 0);
        if from.exists() && is_free {
            disk::move_file(&from, &to)?;
        }
    }
    for path in segments(folder)? {
        disk::remove(&path)?;
    }
    disk::remove(&folder.join("lock"))?;
    if let Err(error) = std::fs::remove_dir(folder) {
        tracing::info!("{} stays: {error}", folder.display());
    }
    Ok(())
}

fn sid_of(json: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(json).ok()?.get("sid")?.as_str().map(str::to_owned)
}
