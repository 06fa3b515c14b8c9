//! Speech recogniser of the operator: its settings, its sessions, and its results in the last hour.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::agent::{AgentFormat, StreamLoss};
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{AffectedCalls, RecognitionView};

use crate::limits::HEARD_AGAIN;

/// Settings of a speech recogniser (`[recognition]`).
#[derive(Clone, PartialEq, Eq)]
pub struct RecogniserSpec {
    /// WebSocket URL of the recogniser (`ws` or `wss`).
    pub url: String,
    /// Token sent in the WebSocket handshake (`Authorization: Bearer`).
    pub token: Option<String>,
    /// PEM certificates trusted instead of those of the system.
    pub ca: Option<Arc<[u8]>>,
    /// Format of the audio sent to the recogniser.
    pub format: AgentFormat,
    /// Maximum time until the WebSocket is open.
    pub connect_timeout: Duration,
    /// Maximum number of concurrent sessions; 0: unlimited.
    pub max_sessions: u32,
    /// Whether `/v1/events` has the results of live transcriptions.
    pub events: bool,
}

/// Omits the token, and the query string of the URL, which may hold one.
impl fmt::Debug for RecogniserSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.url.split(['?', '#']).next();
        f.debug_struct("RecogniserSpec").field("url", &place).field("format", &self.format).finish_non_exhaustive()
    }
}

/// Result of one recognition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecognitionResult {
    /// Words were recognised.
    Speech,
    /// The caller was silent.
    Silence,
    /// The recogniser could not be reached, or the connection was lost.
    Lost(StreamLoss),
    /// The recogniser closed its WebSocket normally before `stop`, without a final result.
    Left,
    /// The limit of concurrent sessions was reached.
    Limit,
    /// The edge cannot decode the call's audio.
    Codec,
    /// The configuration has no recogniser any more.
    NotConfigured,
}

impl RecognitionResult {
    /// Returns the stable name used in metrics.
    pub fn slug(self) -> &'static str {
        match self {
            RecognitionResult::Speech => "speech",
            RecognitionResult::Silence => "silence",
            RecognitionResult::Lost(loss) => loss.slug().trim_start_matches("agent_"),
            RecognitionResult::Left => "closed",
            RecognitionResult::Limit => "limit",
            RecognitionResult::Codec => "codec",
            RecognitionResult::NotConfigured => "not_configured",
        }
    }

    /// Returns whether the recogniser, or its session limit, is the cause.
    pub fn is_failure(self) -> bool {
        match self {
            RecognitionResult::Lost(_) | RecognitionResult::Left | RecognitionResult::Limit => true,
            RecognitionResult::Speech
            | RecognitionResult::Silence
            | RecognitionResult::Codec
            | RecognitionResult::NotConfigured => false,
        }
    }
}

impl fmt::Display for RecognitionResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecognitionResult::Speech => f.write_str("speech"),
            RecognitionResult::Silence => f.write_str("silence"),
            RecognitionResult::Lost(loss) => loss.fmt(f),
            RecognitionResult::Left => f.write_str("closed without a result"),
            RecognitionResult::Limit => f.write_str("the limit of recogniser sessions is reached (`max_sessions`)"),
            RecognitionResult::Codec => f.write_str("the edge cannot decode the codec of the call"),
            RecognitionResult::NotConfigured => f.write_str("[recognition] is no longer configured"),
        }
    }
}

/// State of the recogniser in use.
#[derive(Debug, Default)]
pub struct RecogniserState {
    spec: Option<Arc<RecogniserSpec>>,
    sessions: u32,
    /// Recognitions, and failed recognitions.
    hour: LastHour<2>,
    /// Most recent failure: cause, and SID of the call.
    last: Option<(String, String)>,
    /// Successful recognitions since the most recent failure.
    good: u64,
}

impl RecogniserState {
    /// Returns the settings, if a recogniser is configured.
    pub fn spec(&self) -> Option<&Arc<RecogniserSpec>> {
        self.spec.as_ref()
    }

    /// Applies settings; live sessions continue with the old ones. Changed settings clear the last failure.
    pub fn configure(&mut self, spec: Option<Arc<RecogniserSpec>>) {
        if self.spec != spec {
            (self.spec, self.last) = (spec, None);
        }
    }

    /// Counts a new session. Returns `false` if `max_sessions` is reached.
    pub fn take_session(&mut self) -> bool {
        let most = self.spec.as_ref().map_or(0, |spec| spec.max_sessions);
        let may = most == 0 || self.sessions < most;
        self.sessions += u32::from(may);
        may
    }

    /// Releases a session.
    pub fn release_session(&mut self) {
        self.sessions = self.sessions.saturating_sub(1);
    }

    /// Notes the result of a recognition. `why`: details of a failure.
    pub fn record_result(&mut self, now: Instant, sid: &str, result: RecognitionResult, why: &str) {
        self.hour.count(now, [true, result.is_failure()]);
        if result.is_failure() {
            (self.last, self.good) = (Some((why.to_owned(), sid.to_owned())), 0);
        } else {
            self.good = self.good.saturating_add(1);
        }
    }

    /// Returns the number of open sessions.
    pub fn sessions(&self) -> u32 {
        self.sessions
    }

    /// Returns the failures of the last hour; `None` if there were none.
    pub fn view(&self, now: Instant) -> Option<RecognitionView> {
        let [of, failed] = self.hour.sums(now);
        let [recent_of, recent_failed] = self.hour.recent(now);
        let (cause, last_sid) = self.last.clone()?;
        let view = RecognitionView {
            failed,
            of,
            recent: AffectedCalls { calls: recent_failed, of: recent_of },
            still: self.good < HEARD_AGAIN,
            good_since: self.good,
            cause,
            last_sid,
        };
        (failed > 0).then_some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(max_sessions: u32) -> Arc<RecogniserSpec> {
        Arc::new(RecogniserSpec {
            url: "wss://asr.example.com/stream?key=hunter2".to_owned(),
            token: Some("hunter2".to_owned()),
            ca: None,
            format: AgentFormat::L16Rate8000,
            connect_timeout: Duration::from_secs(2),
            max_sessions,
            events: false,
        })
    }

    #[test]
    fn sessions_are_bounded() {
        let mut recognition = RecogniserState::default();
        recognition.configure(Some(spec(2)));
        assert!(recognition.take_session() && recognition.take_session() && !recognition.take_session());
        recognition.release_session();
        assert!(recognition.take_session());
        assert_eq!(recognition.sessions(), 2);
        recognition.configure(Some(spec(0)));
        assert!((0..100).all(|_| recognition.take_session()));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn it_fails_until_three_recognitions_went_well() {
        let (now, mut recognition) = (Instant::now(), RecogniserState::default());
        recognition.configure(Some(spec(0)));
        recognition.record_result(now, "CA1", RecognitionResult::Silence, "");
        assert!(recognition.view(now).is_none());
        recognition.record_result(
            now,
            "CA2",
            RecognitionResult::Lost(StreamLoss::ConnectTimeout),
            "not connected in time",
        );
        let view = recognition.view(now).unwrap();
        assert_eq!((view.failed, view.of, view.still, view.last_sid.as_str()), (1, 2, true, "CA2"));
        (0..3).for_each(|_| recognition.record_result(now, "CA3", RecognitionResult::Speech, ""));
        assert!(!recognition.view(now).unwrap().still);
        recognition.configure(None);
        assert!(recognition.view(now).is_none(), "another recogniser has not failed");
    }

    #[test]
    fn results_have_stable_names() {
        assert_eq!(RecognitionResult::Lost(StreamLoss::ConnectTimeout).slug(), "connect_timeout");
        assert_eq!(RecognitionResult::Lost(StreamLoss::Status(404)).slug(), "refused");
        assert!(!RecognitionResult::Codec.is_failure() && RecognitionResult::Left.is_failure());
    }

    #[test]
    fn a_token_is_never_shown() {
        assert!(!format!("{:?}", spec(1)).contains("hunter2"));
    }
}
