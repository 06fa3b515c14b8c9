//! Log of requests to the Twilio-compatible API: the latest ones, and counts since the start.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use trunkgate_system::limits::{API_FAILURES_SHOWN, API_IGNORED_NAMES, API_REQUESTS_SHOWN};

/// Completed API request.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// Time at which the response was sent.
    pub at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path below the account (for a Lookup request, below the API version), without the query; empty if authentication
    /// failed.
    pub path: String,
    /// Query of a GET request, in the form in which it is displayed.
    pub query: String,
    /// Kind of resource: the first part of the path, if the API has it.
    pub resource: &'static str,
    /// HTTP status of the response.
    pub status: u16,
    /// Twilio's error code; `None` for a successful request.
    pub code: Option<u32>,
    /// Error message of the response; `None` for a successful request.
    pub message: Option<String>,
    /// SID of the call that the request was about, or that it created.
    pub call: Option<String>,
    /// Time from the request to its response.
    pub took: Duration,
    /// Address of the client; for IPv6, its /64.
    pub source: Option<IpAddr>,
    /// SID of the API key that authenticated the request; `None` if the account's token did.
    pub key: Option<String>,
    /// Names of the parameters that the API ignored.
    pub ignored: Vec<String>,
}

/// Latest requests, and request counts by resource and status.
#[derive(Debug, Default)]
pub struct ApiLog(Mutex<ApiLogContents>);

/// Contents of the log.
#[derive(Debug, Clone, Default)]
pub struct ApiLogContents {
    /// Latest requests, newest first.
    pub latest: VecDeque<ApiRequest>,
    /// Latest failed requests, newest first; successful ones do not displace them.
    pub failed: VecDeque<ApiRequest>,
    /// Latest requests that failed authentication, newest first.
    pub refused: VecDeque<ApiRequest>,
    /// Request counts by resource and status since the start.
    pub counts: BTreeMap<(&'static str, u16), u64>,
    /// Numbers of requests with an ignored parameter since the start, by parameter; limited in the number of names.
    ignored: BTreeMap<String, u64>,
}

impl ApiLog {
    /// Adds a completed request to the lists and counts.
    pub fn add(&self, request: ApiRequest) {
        let mut requests = self.lock();
        *requests.counts.entry((request.resource, request.status)).or_default() += 1;
        if request.method.is_empty() {
            // Anyone can make such requests, so they must not displace others.
            requests.refused.truncate(API_FAILURES_SHOWN - 1);
            requests.refused.push_front(request);
            return;
        }
        // A value, such as an event name, follows `=`. A rejected request had no effect, so it ignored nothing.
        let names = request.ignored.iter().filter_map(|ignored| ignored.split('=').next());
        for name in names.filter(|_| request.status < 400) {
            if requests.ignored.len() < API_IGNORED_NAMES || requests.ignored.contains_key(name) {
                *requests.ignored.entry(name.to_owned()).or_default() += 1;
            }
        }
        if request.status >= 400 {
            requests.failed.truncate(API_FAILURES_SHOWN - 1);
            requests.failed.push_front(request.clone());
        }
        requests.latest.truncate(API_REQUESTS_SHOWN - 1);
        requests.latest.push_front(request);
    }

    /// Returns a copy of the log.
    pub fn requests(&self) -> ApiLogContents {
        self.lock().clone()
    }

    /// Returns the ignored parameters with their numbers of requests, most frequent first.
    pub fn ignored(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> = self.lock().ignored.clone().into_iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all
    }

    fn lock(&self) -> MutexGuard<'_, ApiLogContents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_and_all_are_counted() {
        let log = ApiLog::default();
        for n in 0..API_REQUESTS_SHOWN + 5 {
            let status = if n == 0 { 400 } else { 200 };
            log.add(ApiRequest {
                at: Timestamp::UNIX_EPOCH,
                method: "GET".to_owned(),
                path: n.to_string(),
                query: String::new(),
                resource: "Calls",
                status,
                code: None,
                message: None,
                call: None,
                took: Duration::ZERO,
                source: None,
                key: None,
                ignored: vec![if n < 2 { "Foo" } else { "Bar" }.to_owned()],
            });
        }
        let ApiLogContents { latest, failed, counts, .. } = log.requests();
        assert_eq!((failed.len(), failed[0].path.as_str()), (1, "0"));
        assert_eq!((latest.len(), latest[0].path.as_str()), (API_REQUESTS_SHOWN, "204"));
        // The rejected request does not count.
        assert_eq!(log.ignored(), [("Bar".to_owned(), API_REQUESTS_SHOWN as u64 + 3), ("Foo".to_owned(), 1)]);
        for n in 0..2 * API_IGNORED_NAMES {
            log.add(ApiRequest { ignored: vec![n.to_string()], ..latest[0].clone() });
        }
        assert_eq!(log.ignored().len(), API_IGNORED_NAMES);
        assert_eq!(counts, BTreeMap::from([(("Calls", 200), API_REQUESTS_SHOWN as u64 + 4), (("Calls", 400), 1)]));
    }
}
