//! The file of the store: who may have it, which version its tables are, and what is done with one that is damaged.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

use super::disk::{self, named};
use super::previous;
use trunkgate_config::DataDirectory;
use trunkgate_system::files;

/// Its name.
pub(super) const NAME: &str = "trunkgate.db";
/// What tells it from databases of others: `TGst`.
const APPLICATION: i64 = 0x5447_7374;
/// What makes each version of the tables of the one before.
const MIGRATIONS: [&str; 14] = [
    include_str!("schema.sql"),
    include_str!("api.sql"),
    include_str!("calls.sql"),
    include_str!("removed.sql"),
    include_str!("recordings.sql"),
    include_str!("recording_callbacks.sql"),
    include_str!("voicemail.sql"),
    include_str!("transcription.sql"),
    include_str!("mail.sql"),
    include_str!("heard.sql"),
    include_str!("conferences.sql"),
    include_str!("retention.sql"),
    include_str!("validity.sql"),
    include_str!("conversations.sql"),
];
/// What is saved of a damaged file, and by which columns it is read forwards and backwards.
const TABLES: [(&str, &str); 19] = [
    ("sms", "rowid"),
    ("opted_out", "recipient"),
    ("call_record", "id"),
    ("day_count", "trunk"),
    ("api_key", "sid"),
    ("number_override", "number"),
    ("message", "rowid"),
    ("message_report", "id"),
    ("message_inbound", "id"),
    ("callback", "rowid"),
    ("call", "rowid"),
    ("call_party", "sid"),
    ("call_removed", "sid"),
    ("recording", "rowid"),
    ("transcription", "rowid"),
    ("mail", "recording"),
    ("conference", "rowid"),
    ("retention_clock", "id"),
    ("conversation_jar", "rowid"),
];

/// Opens the file, which is made where it is not there, and keeps it: no other process has it meanwhile. What earlier versions have left
/// is taken over; what can be read of a damaged file is saved, and the second value tells of it. `is_suspect`: it has been found damaged
/// while it was used, whatever a look at it says.
pub(super) fn open(data: &DataDirectory, is_suspect: bool) -> io::Result<(Connection, Option<String>)> {
    // No more than the directory itself is made: where something is misspelt, that is told and nothing is left behind.
    match std::fs::DirBuilder::new().mode(0o700).create(&data.directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(&data.directory, &error)),
        Ok(()) | Err(_) => {}
    }
    let path = data.directory.join(NAME);
    let new = with_ending(&path, ".new");
    // Saving was cut short: before the damaged file was put aside, or after that.
    if path.exists() {
        if ["-wal", "-shm", ""].iter().any(|ending| with_ending(&new, ending).exists()) {
            remove_all(&new)?;
        }
    } else if new.exists() {
        disk::rename(&new, &path)?;
    }
    let sound = match is_suspect && path.exists() {
        true => Err(io::Error::from(io::ErrorKind::InvalidData)),
        false => open_sound(&path, &MIGRATIONS),
    };
    let (mut file, damage) = match sound {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let saved = save(&path, &new).map_err(|error| named(&path, &error))?;
            let told = format!(
                "{} was damaged: {saved} entries were read, others may be missing; the file is kept as {NAME}.damaged",
                path.display()
            );
            tracing::error!("{told}");
            (open_sound(&path, &MIGRATIONS)?, Some(told))
        }
        opened => (opened?, None),
    };
    previous::take_over(&mut file, data)?;
    Ok((file, damage))
}

/// Whether something is there that [`open`] reads, or may be: the directory, or the one above it, cannot be looked at.
pub(super) fn has_any(data: &DataDirectory) -> bool {
    if !can_be_made(&data.directory) {
        return true;
    }
    let path = data.directory.join(NAME);
    let previous = &data.previous;
    let new = with_ending(&path, ".new");
    let mut all = [&path, &new, &previous.records].into_iter().chain(&previous.texts).chain(&previous.day_counts);
    all.any(|path| std::fs::symlink_metadata(path).is_ok())
}

/// Whether a directory is there, or may be made as a new one.
fn can_be_made(directory: &Path) -> bool {
    let is_absent = match std::fs::metadata(directory) {
        Ok(_) => return true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    is_absent && parent.is_none_or(Path::exists)
}

/// Opens the file for reading alone, with what its log has, where its disk takes no changes. Nothing is written, and no lock is held.
pub(super) fn open_read_only(data: &DataDirectory) -> io::Result<Connection> {
    let path = std::path::absolute(data.directory.join(NAME))?;
    files::open_regular(&path).map_err(|error| named(&path, &error))?;
    // Without a log the file never changes, and needs none. One with a log is read as by its only user: nothing shares memory with others.
    let log = with_ending(&path, "-wal");
    let has_log = std::fs::metadata(&log).is_ok_and(|about| about.len() > 0);
    let how = if has_log { "vfs=unix-none" } else { "immutable=1" };
    let address = format!("file:{}?{how}", in_address(&path));
    let opened = || -> rusqlite::Result<Result<Connection, &'static str>> {
        let file = Connection::open_with_flags(
            address,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        file.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let found: String = file.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        let version: u32 = file.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let application: i64 = file.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let is_ours = found == "ok" && application == APPLICATION && version as usize == MIGRATIONS.len();
        Ok(if is_ours { Ok(file) } else { Err("it is damaged, or of another version") })
    };
    opened()
        .map_err(|error| words(&error))
        .and_then(|file| file.map_err(io::Error::other))
        .map_err(|error| named(&path, &error))
}

/// Writes a path as part of an address of SQLite's.
fn in_address(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    bytes.fold(String::new(), |mut address, byte| {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => address.push(char::from(*byte)),
            byte => address.push_str(&format!("%{byte:02X}")),
        }
        address
    })
}

/// Opens a file that is whole.
fn open_sound(path: &Path, migrations: &[&str]) -> io::Result<Connection> {
    // It has numbers and texts; SQLite gives its other files the same rights.
    files::append(path, files::SECRET).map_err(|error| named(path, &error))?;
    let opened = || -> rusqlite::Result<Result<Connection, io::Error>> {
        let mut file = alone(path)?;
        let found: String = file.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Ok(Err(io::Error::new(io::ErrorKind::InvalidData, found)));
        }
        file.pragma_update(None, "journal_mode", "WAL")?;
        file.pragma_update(None, "synchronous", "FULL")?;
        // What is over is to be read by nobody: neither in free pages nor, see `Commit::Wiped`, in the log.
        file.pragma_update(None, "secure_delete", true)?;
        Ok(migrate(&mut file, migrations)?.map(|()| file).map_err(foreign))
    };
    opened().map_err(|error| words(&error)).flatten().map_err(|error| named(path, &error))
}

/// Opens a database that no other process gets meanwhile.
pub(super) fn alone(path: &Path) -> rusqlite::Result<Connection> {
    let file = Connection::open(path)?;
    file.busy_timeout(Duration::ZERO)?;
    // Before the journal's mode: without memory that processes share.
    file.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(file)
}

/// Brings the tables to the newest version, or tells why this program may not.
fn migrate(file: &mut Connection, migrations: &[&str]) -> rusqlite::Result<Result<(), &'static str>> {
    let to = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: u32 = to.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i64 = to.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = to.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && tables > 0 {
        return Ok(Err("it contains other data than a store"));
    }
    let newest = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if version > newest {
        return Ok(Err("it was written by a later version"));
    }
    if version < newest {
        for step in migrations.iter().skip(version as usize) {
            to.execute_batch(step)?;
        }
        to.pragma_update(None, "application_id", APPLICATION)?;
        to.pragma_update(None, "user_version", newest)?;
    }
    to.commit()?;
    Ok(Ok(()))
}

/// The error of a file that this program may not use.
pub(super) fn foreign(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Puts what can be read of a damaged file into a new one, which takes its place; how many rows that were.
fn save(path: &Path, new: &Path) -> io::Result<usize> {
    remove_all(new)?;
    let to = open_sound(new, &MIGRATIONS)?;
    let copy = || -> rusqlite::Result<(usize, String)> {
        let from = alone(path)?;
        to.execute_batch("BEGIN IMMEDIATE")?;
        let mut rows = 0;
        for (table, order) in TABLES {
            let copied = copy_table(&from, &to, table, order)?;
            match copied.stopped_by {
                // Somebody else has it just now: it is not damaged.
                Some(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => return Err(error),
                Some(_) | None => rows += copied.rows,
            }
        }
        to.execute_batch("COMMIT")?;
        // All of it into the file itself, without a log: a log does not go along under another name.
        let mode: String = to.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        Ok((rows, mode))
    };
    let (rows, mode) = copy().map_err(|error| words(&error))?;
    if mode != "delete" {
        return Err(io::Error::other(format!("its copy stays in journal mode {mode}")));
    }
    to.close().map_err(|(_, error)| words(&error))?;
    let kept = with_ending(path, ".damaged");
    remove_all(&kept)?;
    // The log first: beside the new file it would be taken for the new file's.
    for ending in ["-wal", ""] {
        let from = with_ending(path, ending);
        if from.exists() {
            disk::rename(&from, &with_ending(&kept, ending))?;
        }
    }
    disk::rename(new, path)?;
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())?;
    Ok(rows)
}

/// What came of a table that was copied.
pub(super) struct Copied {
    /// Rows that are new in the other.
    pub(super) rows: usize,
    /// Why not all could be read.
    pub(super) stopped_by: Option<rusqlite::Error>,
}

/// Copies the rows of a table that can be read, from both ends. A table that is not there has none.
pub(super) fn copy_table(from: &Connection, to: &Connection, table: &str, order: &str) -> rusqlite::Result<Copied> {
    let mut copied = Copied { rows: 0, stopped_by: None };
    for direction in ["ASC", "DESC"] {
        if let Err(error) = copy_rows(from, to, (table, order, direction), &mut copied.rows)? {
            let is_absent = error.sqlite_error_code() == Some(ErrorCode::Unknown);
            copied.stopped_by = Some(error).filter(|_| !is_absent);
        }
    }
    Ok(copied)
}

/// Copies in one direction until a row cannot be read, and gives why. The outer error is that of the database copied to.
fn copy_rows(
    from: &Connection,
    to: &Connection,
    (table, order, direction): (&str, &str, &str),
    copied: &mut usize,
) -> rusqlite::Result<rusqlite::Result<()>> {
    let mut rows = match from.prepare(&format!("SELECT * FROM {table} ORDER BY {order} {direction}")) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error)),
    };
    let names: Vec<String> = rows.column_names().map(str::to_owned).collect();
    let places = vec!["?"; names.len()].join(", ");
    let insert = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({places})", names.join(", "));
    let mut insert = to.prepare(&insert)?;
    let mut rows = match rows.query([]) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        let Ok(values) = (0..names.len()).map(|at| row.get(at)).collect::<rusqlite::Result<Vec<Value>>>() else {
            continue;
        };
        match insert.execute(params_from_iter(values)) {
            Ok(rows) => *copied += rows,
            // Damage may read as anything; what no table takes is none of ours.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The same path with more behind it.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes a database with its log.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    ["-wal", "-shm", ""].iter().try_for_each(|ending| disk::remove(&with_ending(path, ending)))
}

/// Whether an error is of the file or its disk, and not of one change.
pub(super) fn is_of_disk(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DiskFull, NotADatabase, PermissionDenied, ReadOnly, SystemIoFailure,
    };

    let of_disk = [
        CannotOpen,
        DatabaseBusy,
        DatabaseCorrupt,
        DiskFull,
        NotADatabase,
        PermissionDenied,
        ReadOnly,
        SystemIoFailure,
    ];
    error.sqlite_error_code().is_some_and(|code| of_disk.contains(&code))
}

/// SQLite's error in words; damage has a kind of its own.
pub(super) fn words(error: &rusqlite::Error) -> io::Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy) => io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            io::Error::new(io::ErrorKind::InvalidData, error.to_string())
        }
        Some(ErrorCode::ReadOnly) => io::Error::new(io::ErrorKind::ReadOnlyFilesystem, error.to_string()),
        Some(ErrorCode::DiskFull) => io::Error::new(io::ErrorKind::StorageFull, error.to_string()),
        _ => io::Error::other(error.to_string()),
    }
}
