//! The edge's own recordings named by URL in documents and requests. They are read directly, because the edge's
//! listeners are not accessible to applications.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use trunkgate_call::RecordingLinks;
use url::Url;

use crate::handle::{EdgeHandle, RunningConfig};
pub use trunkgate_delivery::sinks::recordings::{RecordingOpenError, RecordingReader, RecordingsHandle, is_sid};
use trunkgate_system::limits::OWN_RECORDING_SECONDS;
use trunkgate_system::reach::ReachRules;
use trunkgate_system::twilio_hosts::is_below_domain;

/// Interval between checks of a recording that is being completed.
const PAUSE: Duration = Duration::from_millis(50);

/// Lookup of the edge's own recordings by the URL in a document or request.
#[derive(Debug, Clone)]
pub struct OwnRecordings {
    recordings: RecordingsHandle,
    links: Option<RecordingLinks>,
    /// True if clients reach the edge under Twilio's host names; if so, such URLs may name recordings of the edge.
    stands_for_twilio: bool,
}

/// Recording of the edge named by a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRecording {
    pub(crate) sid: String,
    /// True if the host is the edge's own; at Twilio's host the SID may belong to a recording of the real account.
    pub(crate) is_own_host: bool,
}

impl OwnRecordings {
    /// Creates the lookup for the configuration in force.
    pub fn of(handle: &EdgeHandle, running: &RunningConfig) -> OwnRecordings {
        OwnRecordings {
            recordings: handle.recordings.clone(),
            links: handle.recording_links(running),
            stands_for_twilio: running.config.api.stands_for_twilio(),
        }
    }

    /// Returns the recording named by a URL; `None` if host or path do not match.
    pub fn named_by(&self, url: &str, reach: &ReachRules) -> Option<NamedRecording> {
        named(&Url::parse(url).ok()?, self.links.as_ref()?, reach, self.stands_for_twilio)
    }

    /// Returns whether the recording named by a URL exists here; one at Twilio's host may belong to the real account.
    pub(crate) async fn has(&self, named: &NamedRecording) -> bool {
        let (recordings, sid) = (self.recordings.clone(), named.sid.clone());
        named.is_own_host || matches!(spawn_blocking(move || recordings.find(&sid)).await, Ok(Ok(Some(_))))
    }

    /// Opens a recording, after waiting for the completion of one that is being closed.
    ///
    /// # Errors
    /// Returns the reason why it cannot be opened.
    pub(crate) async fn open(&self, sid: &str) -> Result<RecordingReader, RecordingOpenError> {
        let until = Instant::now() + Duration::from_secs(OWN_RECORDING_SECONDS);
        loop {
            let (recordings, sid) = (self.recordings.clone(), sid.to_owned());
            let opened = spawn_blocking(move || recordings.open(&sid)).await;
            match opened.map_err(|error| RecordingOpenError::Io(std::io::Error::other(error)))? {
                Err(RecordingOpenError::InProgress) if Instant::now() < until => sleep(PAUSE).await,
                opened => return opened.map(|(_, reader)| reader),
            }
        }
    }
}

/// Reads a recording as an audio file. Blocks on the disk.
///
/// # Errors
/// Returns the reason why it cannot be read.
pub(crate) fn read(mut reader: RecordingReader) -> Result<Vec<u8>, String> {
    let bytes = reader.bytes();
    let file = reader.read_whole().map_err(|error| error.to_string())?;
    if (file.len() as u64) < bytes {
        return Err("the recording ends too soon".to_owned());
    }
    Ok(file)
}

fn named(url: &Url, links: &RecordingLinks, reach: &ReachRules, stands_for_twilio: bool) -> Option<NamedRecording> {
    let base = Url::parse(&links.base).ok()?;
    let is_base = url.host() == base.host() && url.port_or_known_default() == base.port_or_known_default();
    let is_twilio = url.domain().is_some_and(is_below_domain);
    // Without a `public_url`, an edge that stands for Twilio gives its recordings Twilio's URLs, like those of the real
    // account.
    let is_own_host = !is_twilio && (is_base || reach.is_closed(url));
    if !(is_own_host || stands_for_twilio && is_twilio) {
        return None;
    }
    let path = url.path();
    // `public_url` may have a path prefix that a reverse proxy removes.
    let below = path.strip_prefix(base.path()).or_else(|| path.strip_prefix(account_path(base.path())?))?;
    let name = below.strip_prefix('/')?;
    let sid =
        ["", ".wav", ".mp3"].into_iter().find_map(|ending| name.strip_suffix(ending).filter(|sid| is_sid(sid)))?;
    Some(NamedRecording { sid: sid.to_owned(), is_own_host })
}

/// Returns the part of a base URL from its API version on; `None` if it has none.
fn account_path(base: &str) -> Option<&str> {
    base.find("/2010-04-01/").and_then(|at| base.get(at..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recordings_of_the_account_at_hosts_of_the_edge_are_its_own() {
        let sid = format!("RE{}", "0a".repeat(16));
        let account = format!("AC{}", "0".repeat(32));
        let links = |base: &str| RecordingLinks {
            account: account.clone(),
            base: format!("{base}/2010-04-01/Accounts/{account}/Recordings"),
            notify: None,
            transcribes: false,
        };
        let listener = "127.0.0.1:8080".parse().unwrap();
        let reach = ReachRules { closed: [listener].into(), ..ReachRules::default() };
        let path = format!("/2010-04-01/Accounts/{account}/Recordings/{sid}");
        let is_named = |base: &str, url: &str, is_proxy: bool| {
            let found = named(&Url::parse(url).unwrap(), &links(base), &reach, is_proxy);
            found.map(|found| (found.sid == sid, found.is_own_host))
        };
        let public = "https://edge.example.com/tg";
        for (url, is_proxy, expected) in [
            (format!("{public}{path}"), false, Some((true, true))),
            (format!("{public}{path}.wav"), false, Some((true, true))),
            (format!("{public}{path}.mp3?x=1"), false, Some((true, true))),
            (format!("http://127.0.0.1:8080{path}"), false, Some((true, true))),
            (format!("http://localhost:8080{path}"), false, Some((true, true))),
            (format!("https://api.twilio.com{path}"), true, Some((true, false))),
            (format!("https://api.ie1.twilio.com{path}"), true, Some((true, false))),
            // Another host, port, account, path or name.
            (format!("https://api.twilio.com{path}"), false, None),
            (format!("https://api.nottwilio.com{path}"), true, None),
            (format!("https://twilio.com.example.com{path}"), true, None),
            (format!("https://other.example.com/tg{path}"), false, None),
            (format!("http://edge.example.com/tg{path}"), false, None),
            (format!("http://127.0.0.1:8081{path}"), false, None),
            (format!("http://127.0.0.1:8080{}", path.replace("AC0", "AC1")), false, None),
            (format!("http://127.0.0.1:8080{path}.json"), false, None),
            (format!("http://127.0.0.1:8080{path}/Transcriptions"), false, None),
            (format!("http://127.0.0.1:8080/v1/calls?{path}"), false, None),
            (format!("http://127.0.0.1:8080{path}/../../Calls.json"), false, None),
            (format!("{public}{}", path.replace("RE", "CA")), false, None),
        ] {
            assert_eq!(is_named(public, &url, is_proxy), expected, "{url}");
        }
        let real = format!("https://api.twilio.com{path}");
        assert_eq!(
            is_named("https://api.twilio.com", &real, true),
            Some((true, false)),
            "it may be the real account's"
        );
    }
}
