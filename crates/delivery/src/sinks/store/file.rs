//! Database file of the store: locking, schema versions, and recovery of damaged files.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};

use super::disk::{self, named};
use trunkgate_config::DataDirectory;
use trunkgate_system::files;

/// Name of the database file.
pub(super) const NAME: &str = "trunkgate.db";
/// SQLite application id of the edge's databases: `TGst`.
const APPLICATION: i64 = 0x5447_7374;
/// SQL statements that create the tables of version 1.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// Migrations to the next version; the first one leads to version 2.
const MIGRATIONS: [&str; 0] = [];
/// Tables recovered from a damaged file, with the columns that order them, because each is read from both ends.
const TABLES: [(&str, &str); 16] = [
    ("sms", "rowid"),
    ("opted_out", "recipient"),
    ("day_count", "trunk"),
    ("api_key", "sid"),
    ("number_override", "number"),
    ("message", "rowid"),
    ("message_report", "id"),
    ("outbox", "rowid"),
    ("call", "rowid"),
    ("call_party", "sid"),
    ("call_removed", "sid"),
    ("recording", "rowid"),
    ("transcription", "rowid"),
    ("conference", "rowid"),
    ("retention_clock", "id"),
    ("conversation_jar", "rowid"),
];

/// Opens or creates the database and locks it against other processes. The readable rows of a damaged file are
/// recovered, and the second value describes the damage. `is_suspect`: damage was found while the file was in use.
pub(super) fn open(data: &DataDirectory, is_suspect: bool) -> io::Result<(Connection, Option<String>)> {
    // Only the last directory is created, so that a misspelt path is reported and leaves nothing behind.
    match std::fs::DirBuilder::new().mode(0o700).create(&data.directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(&data.directory, &error)),
        Ok(()) | Err(_) => {}
    }
    disk::writable(&data.directory)?;
    let path = data.directory.join(NAME);
    let new = with_ending(&path, ".new");
    // A crash interrupted the recovery before or after the damaged file was set aside.
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
    match sound {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let saved = save(&path, &new).map_err(|error| named(&path, &error))?;
            let told = format!(
                "{} was damaged: {saved} entries were read, others may be missing; the file is kept as {NAME}.damaged",
                path.display()
            );
            tracing::error!("{told}");
            Ok((open_sound(&path, &MIGRATIONS)?, Some(told)))
        }
        opened => Ok((opened?, None)),
    }
}

/// Returns whether [`open`] would find a file; also true if the directory or its parent cannot be examined.
pub(super) fn has_any(data: &DataDirectory) -> bool {
    if !can_be_made(&data.directory) {
        return true;
    }
    let path = data.directory.join(NAME);
    [&path, &with_ending(&path, ".new")].iter().any(|path| std::fs::symlink_metadata(path).is_ok())
}

/// Returns whether a directory exists or could be created.
fn can_be_made(directory: &Path) -> bool {
    let is_absent = match std::fs::metadata(directory) {
        Ok(_) => return true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    is_absent && parent.is_none_or(Path::exists)
}

/// Opens the database with its log for reading, on a disk that refuses changes. Nothing is written and no lock is
/// taken.
pub(super) fn open_read_only(data: &DataDirectory) -> io::Result<Connection> {
    let path = std::path::absolute(data.directory.join(NAME))?;
    files::open_regular(&path).map_err(|error| named(&path, &error))?;
    // A file without a log never changes. A file with a log is read as by its only user, without shared memory.
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
        let is_ours = found == "ok" && TableVersion::read(&file)? == TableVersion::Version(newest(&MIGRATIONS));
        Ok(if is_ours { Ok(file) } else { Err("it is damaged, or of another version") })
    };
    opened()
        .map_err(|error| words(&error))
        .and_then(|file| file.map_err(io::Error::other))
        .map_err(|error| named(&path, &error))
}

/// Encodes a path for the URI of an SQLite database.
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

/// Opens an undamaged database. A file of a version that cannot be migrated, or with other data, is rejected and stays
/// unchanged.
fn open_sound(path: &Path, migrations: &[&str]) -> io::Result<Connection> {
    // The file contains numbers and texts; SQLite gives the files beside it the same mode.
    files::append(path, files::SECRET).map_err(|error| named(path, &error))?;
    let opened = || -> rusqlite::Result<io::Result<Connection>> {
        let mut file = alone(path)?;
        // A rejected file keeps its log, which closing would otherwise merge.
        file.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let tables = TableVersion::read(&file)?;
        if let Err(error) = tables.check(newest(migrations)) {
            return Ok(Err(error));
        }
        let found: String = file.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Ok(Err(io::Error::new(io::ErrorKind::InvalidData, found)));
        }
        file.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        file.pragma_update(None, "journal_mode", "WAL")?;
        file.pragma_update(None, "synchronous", "FULL")?;
        // Removed data stays neither in free pages nor in the log (see `Commit::Wiped`).
        file.pragma_update(None, "secure_delete", true)?;
        migrate(&mut file, tables, migrations)?;
        Ok(Ok(file))
    };
    opened().map_err(|error| words(&error)).flatten().map_err(|error| named(path, &error))
}

/// Opens a database with an exclusive lock.
fn alone(path: &Path) -> rusqlite::Result<Connection> {
    let file = Connection::open(path)?;
    file.busy_timeout(Duration::ZERO)?;
    // The mode is set before the journal mode, so that SQLite shares no memory between processes.
    file.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(file)
}

/// Version of the tables in a store's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableVersion {
    /// The file has no tables.
    Absent,
    /// The file has the tables of a store of this version.
    Version(i64),
    /// The file has the tables of another program.
    Foreign,
}

impl TableVersion {
    fn read(file: &Connection) -> rusqlite::Result<TableVersion> {
        let count: i64 = file.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i64 = file.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        Ok(match (count, application) {
            (_, APPLICATION) => TableVersion::Version(file.query_row("PRAGMA user_version", [], |row| row.get(0))?),
            (0, _) => TableVersion::Absent,
            _ => TableVersion::Foreign,
        })
    }

    /// Checks that the file can be migrated to version `newest`.
    fn check(self, newest: i64) -> io::Result<()> {
        let what = match self {
            TableVersion::Absent => return Ok(()),
            TableVersion::Version(version) if (1..=newest).contains(&version) => return Ok(()),
            TableVersion::Version(version) => format!(
                "it is a store of version {version}, and this trunkgate reads version {newest}; move the file away, or start the \
                 version of trunkgate that created it"
            ),
            TableVersion::Foreign => "it is not a store of trunkgate".to_owned(),
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    }
}

/// Returns the version that follows the last migration.
fn newest(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).map_or(i64::MAX, |steps| steps.saturating_add(1))
}

/// Migrates the tables to the newest version, in one transaction.
fn migrate(file: &mut Connection, tables: TableVersion, migrations: &[&str]) -> rusqlite::Result<()> {
    let has_steps = match tables {
        TableVersion::Version(version) if version == newest(migrations) => return Ok(()),
        TableVersion::Version(version) => usize::try_from(version).unwrap_or(0),
        TableVersion::Absent | TableVersion::Foreign => 0,
    };
    let to = file.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in [SCHEMA].iter().chain(migrations).skip(has_steps) {
        to.execute_batch(step)?;
    }
    to.pragma_update(None, "application_id", APPLICATION)?;
    to.pragma_update(None, "user_version", newest(migrations))?;
    to.commit()
}

/// Copies the readable rows of a damaged file to a new one, which then replaces it; returns the number of rows.
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
                // A locked file is in use by another process, and not damaged.
                Some(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => return Err(error),
                Some(_) | None => rows += copied.rows,
            }
        }
        to.execute_batch("COMMIT")?;
        // The log would not follow the renamed file, so everything is written to the file itself.
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
    // The log is moved first, because SQLite would apply it to the new file.
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

/// Result of copying a table of a damaged file.
struct CopyResult {
    /// Number of rows added to the new file.
    rows: usize,
    /// Error that stopped the copy; `None` if all rows were read.
    stopped_by: Option<rusqlite::Error>,
}

/// Copies the readable rows of a table from both ends; does nothing for a missing table.
fn copy_table(from: &Connection, to: &Connection, table: &str, order: &str) -> rusqlite::Result<CopyResult> {
    let mut copied = CopyResult { rows: 0, stopped_by: None };
    for direction in ["ASC", "DESC"] {
        if let Err(error) = copy_rows(from, to, (table, order, direction), &mut copied.rows)? {
            let is_absent = error.sqlite_error_code() == Some(ErrorCode::Unknown);
            copied.stopped_by = Some(error).filter(|_| !is_absent);
        }
    }
    Ok(copied)
}

/// Copies rows in one direction until one cannot be read, and returns that error. The outer error is one of the new
/// file.
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
            // Damaged data may be arbitrary; a row that violates a constraint is none of ours.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Returns a path with an ending appended.
fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes a database and its log.
fn remove_all(path: &Path) -> io::Result<()> {
    ["-wal", "-shm", ""].iter().try_for_each(|ending| disk::remove(&with_ending(path, ending)))
}

/// Returns whether an error concerns the file or its disk, rather than a single change.
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

/// Converts an SQLite error; an error of a damaged file has its own kind.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_an_earlier_version_is_brought_to_the_newest_one_with_its_entries() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let first = open_sound(&path, &[]).unwrap();
        first.execute("INSERT INTO opted_out VALUES ('+1', 0)", []).unwrap();
        drop(first);
        let steps = [
            "ALTER TABLE opted_out ADD COLUMN word TEXT NOT NULL DEFAULT 'STOP'",
            "CREATE INDEX opted_out_by_word ON opted_out (word)",
        ];
        for migrations in [&steps[..1], &steps[..], &steps[..]] {
            let file = open_sound(&path, migrations).unwrap();
            assert_eq!(TableVersion::read(&file).unwrap(), TableVersion::Version(newest(migrations)));
            let word: String = file.query_row("SELECT word FROM opted_out", [], |row| row.get(0)).unwrap();
            assert_eq!(word, "STOP");
        }
        assert!(
            open_sound(&path, &steps[..1])
                .unwrap_err()
                .to_string()
                .contains("of version 3, and this trunkgate reads version 2")
        );
        // A new store is created by the same migrations.
        let new = open_sound(&directory.path().join("new.db"), &steps).unwrap();
        assert_eq!(TableVersion::read(&new).unwrap(), TableVersion::Version(3));
    }
}
