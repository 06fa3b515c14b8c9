//! Results of each application's calls in the last hour (whether its documents could be run to their end), and the
//! speech recogniser.

pub mod cookies;
pub mod question;
pub mod recognition;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_route::RoutingTable;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{AffectedCalls, AppView};

use crate::applications::cookies::CallCookies;
use crate::applications::recognition::RecogniserState;
use crate::failures::concerned::ConfigChangeScope;
use crate::limits::HEARD_AGAIN;

/// Application name for calls that the API started with their own URL, which are in no table.
pub const REQUESTED_APP: &str = "api";

/// State of the applications, by name.
#[derive(Debug, Default)]
pub struct AppStates {
    by_name: BTreeMap<Arc<str>, AppState>,
    /// Speech recogniser for callers' speech.
    pub recognition: RecogniserState,
    /// Cookies of live calls, by call SID.
    pub cookies: CallCookies,
}

/// Results of one application's calls.
#[derive(Debug, Default)]
struct AppState {
    /// All calls, calls in which the application failed, and calls in which only a prompt was not played.
    calls: LastHour<3>,
    /// Most recent error in any call.
    error: AppError,
    /// Error of the most recent failed call.
    failed: AppError,
    /// Successful calls in a row since the most recent failure.
    good: u64,
    /// Errors since the start by code, without webhook errors, which the webhook sender counts.
    errors: BTreeMap<u32, u64>,
}

/// Error of an application in one call.
#[derive(Debug, Clone, Default)]
struct AppError {
    code: u32,
    /// Error text of the edge's own request, without the application's response.
    text: String,
    sid: String,
    /// Whether the caller or callee missed a prompt because of the error.
    is_unheard: bool,
}

/// Kind of an application error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppFault {
    /// A prompt was not played.
    Prompt,
    /// A document could not be fetched.
    Webhook,
    /// A document could not be run.
    Document,
}

impl AppStates {
    /// Forgets applications that are no longer in the table.
    pub fn configure(&mut self, table: &RoutingTable) {
        self.by_name.retain(|name, _| &**name == REQUESTED_APP || table.app(name).is_some());
    }

    /// Treats failures of applications with changed keys as solved, until the next one; counts stay.
    pub fn reconfigured(&mut self, concerned: &ConfigChangeScope) {
        for (_, state) in self.by_name.iter_mut().filter(|(name, _)| concerned.apps.contains(*name)) {
            state.good = state.good.saturating_add(HEARD_AGAIN);
        }
    }

    /// Notes an error in a call. The application may recover from it.
    pub fn error(&mut self, name: &Arc<str>, sid: &str, (fault, code): (AppFault, u32), text: &str) {
        // Further lines come from the application's response.
        let text = text.lines().next().unwrap_or_default().to_owned();
        let state = self.state(name);
        state.error = AppError { code, text, sid: sid.to_owned(), is_unheard: fault == AppFault::Prompt };
        if fault != AppFault::Webhook {
            *state.errors.entry(code).or_default() += 1;
        }
    }

    /// Returns the number of errors since the start, without webhook errors, by application and code.
    pub fn errors(&self) -> impl Iterator<Item = (&Arc<str>, u32, u64)> {
        self.by_name
            .iter()
            .flat_map(|(name, state)| state.errors.iter().map(move |(code, count)| (name, *code, *count)))
    }

    /// Returns the last error of an application if it happened in this call: its text and code, or its code alone.
    pub fn last_error_in_call(&self, name: &str, sid: &str) -> Option<String> {
        let AppError { code, text, .. } =
            self.by_name.get(name).map(|state| &state.error).filter(|one| one.sid == sid)?;
        Some(if text.is_empty() { format!("error {code}") } else { format!("error {code}: {text}") })
    }

    /// Notes the end of an application's part in a call. `failed` is true if its documents could not be run.
    pub fn over(&mut self, now: Instant, name: &Arc<str>, sid: &str, failed: bool) {
        let state = self.state(name);
        let is_unheard = !failed && state.error.is_unheard && state.error.sid == sid;
        state.calls.count(now, [true, failed, is_unheard]);
        if failed || is_unheard {
            (state.failed, state.good) = (state.error.clone(), 0);
        } else {
            state.good = state.good.saturating_add(1);
        }
    }

    /// Returns the failures of the last hour; `None` if there were none.
    pub fn view(&self, now: Instant, name: &str) -> Option<AppView> {
        let state = self.by_name.get(name)?;
        let [of, failed, unheard] = state.calls.sums(now);
        let calls = failed + unheard;
        let [recent_of, recent_failed, recent_unheard] = state.calls.recent(now);
        let AppError { code, text, sid, .. } = state.failed.clone();
        (calls > 0).then(|| AppView {
            name: name.to_owned(),
            calls,
            of,
            recent: AffectedCalls { calls: recent_failed + recent_unheard, of: recent_of },
            unheard,
            still: state.good < HEARD_AGAIN,
            good_since: state.good,
            code,
            cause: text,
            last_sid: sid,
        })
    }

    fn state(&mut self, name: &Arc<str>) -> &mut AppState {
        self.by_name.entry(name.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn an_application_fails_until_three_calls_went_well() {
        let (now, name) = (Instant::now(), Arc::from("ivr"));
        let mut apps = AppStates::default();
        apps.over(now, &name, "CA9", false);
        assert!(apps.view(now, "ivr").is_none() && apps.view(now, "other").is_none());
        apps.error(&name, "CA1", (AppFault::Webhook, 11_205), "connection refused");
        apps.over(now, &name, "CA1", true);
        // An error from which the fallback URL recovers.
        apps.error(&name, "CA2", (AppFault::Webhook, 11_200), "500");
        apps.over(now, &name, "CA9", false);
        assert_eq!(apps.last_error_in_call("ivr", "CA2").as_deref(), Some("error 11200: 500"));
        assert_eq!(apps.last_error_in_call("ivr", "CA1"), None, "that was another call's");
        let view = apps.view(now, "ivr").unwrap();
        assert_eq!((view.calls, view.of, view.still, view.good_since), (1, 3, true, 1));
        assert_eq!((view.code, view.cause.as_str(), view.last_sid.as_str()), (11_205, "connection refused", "CA1"));
        (0..2).for_each(|_| apps.over(now, &name, "CA9", false));
        assert!(!apps.view(now, "ivr").unwrap().still);
        apps.error(&name, "CA3", (AppFault::Document, 11_200), "500 after 1 ms)\n! trunk carrier is down");
        apps.over(now, &name, "CA3", true);
        let view = apps.view(now, "ivr").unwrap();
        assert_eq!((view.still, view.cause.as_str()), (true, "500 after 1 ms)"));
        apps.reconfigured(&ConfigChangeScope { apps: ["ivr".into()].into(), ..ConfigChangeScope::default() });
        assert!(!apps.view(now, "ivr").unwrap().still);
        assert!(apps.view(now + Duration::from_secs(7_200), "ivr").is_none());
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn prompts_that_are_not_played_and_documents_that_cannot_be_run_are_counted() {
        let (now, name) = (Instant::now(), Arc::from("ivr"));
        let mut apps = AppStates::default();
        apps.error(&name, "CA1", (AppFault::Prompt, 11_200), "menu.wav: 404");
        apps.error(&name, "CA1", (AppFault::Prompt, 11_200), "bye.wav: 404");
        apps.over(now, &name, "CA1", false);
        apps.over(now, &name, "CA2", false);
        let view = apps.view(now, "ivr").unwrap();
        assert_eq!((view.calls, view.unheard, view.of, view.still, view.good_since), (1, 1, 2, true, 1));
        assert_eq!((view.code, view.cause.as_str(), view.last_sid.as_str()), (11_200, "bye.wav: 404", "CA1"));
        apps.error(&name, "CA3", (AppFault::Document, 12_100), "");
        apps.over(now, &name, "CA3", true);
        let view = apps.view(now, "ivr").unwrap();
        assert_eq!((view.calls, view.unheard, view.code), (2, 1, 12_100));
        apps.error(&name, "CA4", (AppFault::Webhook, 11_205), "refused");
        let errors: Vec<_> = apps.errors().map(|(_, code, count)| (code, count)).collect();
        assert_eq!(errors, [(11_200, 2), (12_100, 1)], "webhooks are counted where they are sent");
    }
}
