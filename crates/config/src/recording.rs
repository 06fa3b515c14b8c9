//! `[recording]`: storage, format and retention of call recordings.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use trunkgate_call::{RecordingAnnouncement, RecordingLinks};
use trunkgate_recording::Container;
use trunkgate_recording::age::AgeIdentities;

use super::code;
use super::diagnostic::Findings;
use super::draft::ConfigDraft;
use super::keys;
use super::mail::MailSettings;
use super::section::Section;
use super::transcription::TranscriptionSettings;
use super::types::Config;
use super::values::{self, KeyReader};
use trunkgate_system::problem::fix_of_read_only;

/// File mode bits of users that are neither the owner nor in the group.
const OF_OTHERS: u32 = 0o007;
/// File mode bit that lets other users write.
const WRITTEN_BY_OTHERS: u32 = 0o002;

/// Minimum of `keep`.
const LEAST_TIME: Duration = Duration::from_secs(60);

/// Help text for a key that requires `[recording]`.
pub(super) const ADD_RECORDING: &str = "add [recording] with directory = \"/var/lib/trunkgate/recordings\"";

/// Base URL of recordings for clients of the Twilio proxy and of `[api] tls`, who reach the edge under Twilio's name.
const TWILIO: &str = "https://api.twilio.com";

/// Settings of `[recording]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingSettings {
    /// Directory in which recordings are stored.
    pub directory: PathBuf,
    /// File format of new recordings.
    pub container: Container,
    /// Retention time; `None` if unlimited.
    pub keep: Option<Duration>,
    /// Keys to encrypt and read recordings; `None` if recordings are not encrypted.
    pub key: Option<Arc<AgeIdentities>>,
    /// Handling of new calls while recordings cannot be written.
    pub on_full: OnFull,
    /// URL notified of each recording; `None` for no notification.
    pub notify: Option<String>,
    /// Audio file announcing recordings requested by routes.
    pub announce: Option<String>,
    /// Parties that hear the announcement.
    pub announce_to: AnnounceTo,
    /// `[transcription]`: service that transcribes recordings.
    pub transcription: Option<Arc<TranscriptionSettings>>,
    /// `[mail]`: server for e-mail about voicemail messages.
    pub mail: Option<Arc<MailSettings>>,
}

/// Parties that hear the announcement of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnounceTo {
    /// Caller and called party.
    Both,
    /// Caller only.
    Caller,
    /// Called party only.
    Callee,
}

impl AnnounceTo {
    /// Parses the value of `announce_to`.
    pub(super) fn of(word: &str) -> AnnounceTo {
        match word {
            "caller" => AnnounceTo::Caller,
            "callee" => AnnounceTo::Callee,
            _ => AnnounceTo::Both,
        }
    }
}

/// Returns the announcement of recordings requested by routes.
pub fn announcement(config: &Config) -> Option<RecordingAnnouncement> {
    let recording = config.recording.as_ref()?;
    let file = recording.announce.clone()?;
    let sound = config.sounds.get(&file)?.clone();
    let (to_caller, to_callee) = match recording.announce_to {
        AnnounceTo::Both => (true, true),
        AnnounceTo::Caller => (true, false),
        AnnounceTo::Callee => (false, true),
    };
    Some(RecordingAnnouncement { file, sound, to_caller, to_callee })
}

/// Returns the naming and notification of recordings; `None` if calls are not recorded. `account` is the account SID in
/// force, `http` the address of the HTTP API.
pub fn links(config: &Config, account: &str, http: SocketAddr) -> Option<RecordingLinks> {
    let recording = config.recording.as_ref()?;
    let base = match &config.http.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None if config.api.stands_for_twilio() => TWILIO.to_owned(),
        None if config.http.tls.is_some() => format!("https://{http}"),
        None => format!("http://{http}"),
    };
    let base = format!("{base}/2010-04-01/Accounts/{account}/Recordings");
    let transcribes = recording.transcription.is_some();
    Some(RecordingLinks { account: account.to_owned(), base, notify: recording.notify.clone(), transcribes })
}

/// Handling of new calls while recordings cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// Accept calls, recording them with gaps or not at all.
    Continue,
    /// Reject calls that are to be recorded.
    RefuseCalls,
}

/// Reports keys that require `[recording]` if the file has no such section.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    if draft.spans.table("recording").is_some() {
        return;
    }
    for route in draft.routes.iter().filter(|route| route.route.record) {
        let message = format!("`record` of the route {} needs [recording]", route.route.name);
        findings.error(code::MISSING, route.name.clone(), message, ADD_RECORDING);
    }
}

/// Reads `[recording]`; `None` without a usable directory.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<RecordingSettings> {
    let mut recording = RecordingSettings {
        directory: PathBuf::new(),
        container: Container::Wav,
        keep: None,
        key: None,
        on_full: OnFull::Continue,
        notify: None,
        announce: None,
        announce_to: AnnounceTo::Both,
        transcription: None,
        mail: None,
    };
    section.fill((keys::RECORDING, keys::PUT_RECORDING), &mut recording, findings);
    if let Some((file, span)) = recording.announce.as_deref().zip(section.span_of("announce")) {
        section.scope().sounds.judge((&format!("`announce` \"{file}\""), file), span, findings);
    }
    Some(recording).filter(|recording| recording.directory != Path::new(""))
}

/// Reads the directory and checks that it can hold recordings.
pub(super) fn directory(reader: &mut KeyReader<'_>) -> Option<PathBuf> {
    let text = reader.string()?;
    if Path::new(&text).file_name().is_none() {
        let help = "use \"/var/lib/trunkgate/recordings\"";
        return reader.reject(code::BAD_VALUE, format!("cannot be \"{text}\""), help);
    }
    let path = values::relative_to(reader.scope.folder, text.trim_end_matches('/'));
    let Some(unfit) = DirectoryProblem::of(&path) else {
        let mode = std::fs::metadata(&path).map_or(0, |about| about.permissions().mode());
        if mode & WRITTEN_BY_OTHERS != 0 {
            let (shown, mode) = (path.display(), mode & 0o777);
            let what = format!(": every user of this machine can remove and add files in {shown} (mode {mode:o})");
            reader.warning(code::BAD_RECORDINGS, what, format!("chmod 700 {shown}"));
        }
        return Some(path);
    };
    let what = format!(": {}", unfit.what);
    if unfit.is_certain {
        return reader.reject(code::BAD_RECORDINGS, what, &unfit.fix);
    }
    reader.warning(code::BAD_RECORDINGS, what, &unfit.fix);
    Some(path)
}

/// Reason why a directory cannot hold recordings.
#[derive(Debug)]
pub struct DirectoryProblem {
    /// Description of the problem.
    pub what: String,
    /// Command or setting that solves the problem.
    pub fix: String,
    /// False if the directory may be usable on the edge's machine or for its user.
    is_certain: bool,
}

impl DirectoryProblem {
    /// Returns the problem of a directory, or `None` if it appears usable.
    pub fn of(path: &Path) -> Option<DirectoryProblem> {
        let certain = |what: String, fix: String| Some(DirectoryProblem { what, fix, is_certain: true });
        let shown = path.display();
        match std::fs::symlink_metadata(path) {
            Ok(about) if about.is_symlink() => {
                let to = std::fs::read_link(path).unwrap_or_default();
                let what = format!("{shown} is a symbolic link, which is not followed");
                return certain(what, format!("name the directory itself: \"{}\"", to.display()));
            }
            Ok(about) if !about.is_dir() => {
                return certain(format!("{shown} is not a directory"), "name a directory, or a new name".to_owned());
            }
            Err(error) if error.kind() == ErrorKind::NotADirectory => {
                let what = format!("a part of {shown} is not a directory");
                return certain(what, "name a directory, or a new name in one".to_owned());
            }
            Ok(_) | Err(_) => {}
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let is_writable = |path: &Path| access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
        let is_read_only = |path: &Path| access(path, AccessFlags::W_OK) == Err(Errno::EROFS);
        let nearest = if path.is_dir() { path } else { parent };
        if is_read_only(nearest) {
            let what = format!("{shown} is on a file system that is read-only");
            return Some(DirectoryProblem { what, fix: fix_of_read_only(nearest), is_certain: false });
        }
        let (what, fix) = match (path.is_dir(), parent.is_dir()) {
            (true, _) if is_writable(path) => return None,
            (true, _) => (format!("{shown} is not writable"), "give it to the user of the edge: chown; chmod 700"),
            (false, true) if is_writable(parent) => return None,
            (false, true) => {
                let what = format!("{shown} does not exist and {} is not writable", parent.display());
                (what, "create the directory for the user of the edge, with mode 700")
            }
            (false, false) => {
                let fix = "create it on the machine of the edge: the edge creates the last directory of the path only";
                (format!("directory {} does not exist", parent.display()), fix)
            }
        };
        Some(DirectoryProblem { what, fix: fix.to_owned(), is_certain: false })
    }
}

/// Reads `keep`: the retention time of recordings.
pub(super) fn keep(reader: &mut KeyReader<'_>) -> Option<Option<Duration>> {
    let time = reader.duration_as("use \"30d\"; \"0s\" keeps recordings for ever")?;
    if !time.is_zero() && time < LEAST_TIME {
        let help = "\"1m\" or more; \"0s\" keeps recordings for ever";
        return reader.reject(code::BAD_VALUE, "is too short", help);
    }
    Some(Some(time).filter(|time| !time.is_zero()))
}

/// Reads the identity; messages never contain its text.
pub(super) fn key(reader: &mut KeyReader<'_>) -> Option<Arc<AgeIdentities>> {
    let secret = reader.secret()?;
    let file = reader.value.get_ref().as_table().and_then(|table| table.get("file")?.get_ref().as_str());
    let path = file.map(|file| values::relative_to(reader.scope.folder, file));
    let mode = path.as_ref().and_then(|path| Some(std::fs::metadata(path).ok()?.permissions().mode()));
    if let Some((path, _)) = path.zip(mode).filter(|(_, mode)| mode & OF_OTHERS != 0) {
        reader.warning(
            code::BAD_SECRET,
            format!(": every user of this machine can read {}", path.display()),
            format!("chmod 600 {}", path.display()),
        );
    }
    match AgeIdentities::parse(secret.reveal()) {
        Ok(identities) => Some(Arc::new(identities)),
        Err(error) => {
            let help = "make one with `age-keygen -o recording.key`, keep a copy elsewhere, and write key = { file = \"recording.key\" }";
            reader.reject(code::BAD_SECRET, format!("{error}"), help)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::parse;

    const KEY: &str = "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

    /// Returns codes and messages of the diagnostics, and the section if there is no error.
    fn read(folder: &Path, recording: &str) -> (Vec<(&'static str, String)>, Option<RecordingSettings>) {
        let text = format!(
            "[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['trunk:a']\n[recording]\n{recording}\n"
        );
        let (found, config) = match parse(&folder.join("trunkgate.toml"), &text) {
            Ok((config, found)) => (found, Some(config)),
            Err(found) => (found, None),
        };
        let found = found.into_iter().filter(|one| one.code != "TG0123").map(|one| (one.code, one.message)).collect();
        (found, config.and_then(|config| config.recording))
    }

    #[test]
    fn what_is_written_is_what_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("recording.key");
        std::fs::write(&key, format!("# public key: age1…\n{KEY}\n")).unwrap();
        let rights = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        rights(0o644);
        let (found, _) = read(folder.path(), "directory = 'r'\nkey = { file = 'recording.key' }");
        assert!(
            matches!(&found[..], [("TG0110", text)] if text.contains("every user of this machine can read")),
            "{found:?}"
        );
        rights(0o640);
        let all = "directory = 'r'\nformat = 'opus'\nkeep = '30d'\nkey = { file = 'recording.key' }\non_full = 'refuse_calls'";
        let (found, recording) = read(folder.path(), all);
        assert_eq!(found, []);
        let recording = recording.unwrap();
        assert_eq!((recording.directory, recording.container), (folder.path().join("r"), Container::Opus));
        assert_eq!((recording.keep, recording.on_full), (Some(Duration::from_secs(30 * 86_400)), OnFull::RefuseCalls));
        assert!(recording.key.unwrap().recipient().to_string().starts_with("age1"));
        let recording = read(folder.path(), "directory = 'r/'").1.unwrap();
        let plain = (recording.container, recording.keep, recording.key, recording.on_full);
        assert_eq!(plain, (Container::Wav, None, None, OnFull::Continue));
        assert_eq!(read(folder.path(), "directory = 'r'\nkeep = '0s'").1.unwrap().keep, None);
    }

    #[test]
    fn a_directory_that_every_user_may_write_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("r");
        std::fs::create_dir(&directory).unwrap();
        for (mode, is_found) in [(0o700, false), (0o750, false), (0o777, true), (0o1777, true)] {
            std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
            let (found, recording) = read(folder.path(), "directory = 'r'");
            let is_said =
                |(code, text): &(&str, String)| *code == "TG0159" && text.contains("every user of this machine");
            assert_eq!((found.iter().any(is_said), recording.is_some()), (is_found, true), "{mode:o} {found:?}");
        }
    }

    #[test]
    fn each_mistake_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        symlink("real", at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for (recording, code, about) in [
            ("", "TG0106", "no `directory`"),
            ("directory = ''", "TG0105", "cannot be"),
            ("directory = '/'", "TG0105", "cannot be"),
            ("directory = 'link'", "TG0159", "symbolic link"),
            ("directory = 'link/'", "TG0159", "symbolic link"),
            ("directory = 'file'", "TG0159", "is not a directory"),
            ("directory = 'file/below'", "TG0159", "is not a directory"),
            ("directory = 'real'\nformat = 'mp3'", "TG0105", "mp3"),
            ("directory = 'real'\nkeep = '30'", "TG0109", "not a duration"),
            ("directory = 'real'\nkeep = '1s'", "TG0105", "too short"),
            ("directory = 'real'\nkey = 'hunter2'", "TG0110", "line 1 is not an age identity"),
            ("directory = 'real'\nkey = { file = 'nowhere' }", "TG0110", "nowhere"),
            ("directory = 'real'\nkey = { file = 'link' }", "TG0110", "link"),
            ("directory = 'real'\non_full = 'stop'", "TG0105", "stop"),
            ("directory = 'real'\nurl = 'ftp://h/'", "TG0154", "`url` is not a web address"),
            ("directory = 'real'\nannounce = 'a.wav'", "TG0114", "a.wav"),
            ("directory = 'real'\nannounce = '../a.wav'", "TG0112", "a.wav"),
            ("directory = 'real'\nannounce = 'a.wav'\nannounce_to = 'all'", "TG0105", "all"),
        ] {
            let (found, read) = read(folder.path(), recording);
            assert!(found.iter().any(|(id, text)| *id == code && text.contains(about)), "{recording}: {found:?}");
            assert!(!found.iter().any(|(_, text)| text.contains("hunter2")), "{found:?}");
            assert!(read.is_none(), "{recording}");
        }
        let (found, read) = read(folder.path(), "directory = 'no/where'");
        assert_eq!((found.len(), found[0].0), (1, "TG0159"));
        assert!(read.is_some(), "it may be there on the machine of the edge");
    }
}
