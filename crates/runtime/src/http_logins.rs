//! HTTP requests with a wrong token, counted by source. A correct token from the same source does not remove the
//! failures, since several users may share an address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use trunkgate_call::last_hour::LastHour;

use trunkgate_system::limits::{HTTP_LOGIN_FAILURES, HTTP_LOGIN_SOURCES};

/// Part of the HTTP interface that requires credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpInterface {
    /// The HTTP API and the console: `[http] token`.
    Http,
    /// The Twilio-compatible API.
    Api,
}

impl HttpInterface {
    /// Returns the name of the interface for the log.
    pub fn words(self) -> &'static str {
        match self {
            HttpInterface::Http => "HTTP API",
            HttpInterface::Api => "Twilio-compatible API",
        }
    }
}

/// Source of requests with wrong credentials, in the form shown by `status`.
#[derive(Debug, Serialize)]
pub struct HttpLoginView {
    /// `http`: `[http] token`, of the HTTP API and the console; `api`: the Twilio-compatible API.
    face: HttpInterface,
    /// Address of the source; for IPv6, its /64.
    source: IpAddr,
    /// Requests with wrong credentials in the last hour.
    requests: u64,
    /// Requests with wrong credentials since the source's last request with correct ones.
    in_row: u64,
    /// Time since the last request with wrong credentials, in seconds.
    seconds_ago: u64,
}

#[derive(Debug)]
struct HttpLoginFailures {
    requests: LastHour<1>,
    in_row: u64,
    at: Instant,
}

/// Sources of requests with wrong credentials, limited in number: the source with the oldest last request is evicted.
#[derive(Debug, Default)]
pub struct HttpLogins(Mutex<BTreeMap<(HttpInterface, IpAddr), HttpLoginFailures>>);

impl HttpLogins {
    /// Counts a request with wrong credentials.
    pub fn failed(&self, now: Instant, face: HttpInterface, source: IpAddr) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= HTTP_LOGIN_SOURCES && !all.contains_key(&(face, source)) {
            let oldest = all.iter().min_by_key(|(_, login)| login.at).map(|(key, _)| *key);
            oldest.and_then(|key| all.remove(&key));
        }
        let empty = || HttpLoginFailures { requests: LastHour::default(), in_row: 0, at: now };
        let login = all.entry((face, source)).or_insert_with(empty);
        login.requests.count(now, [true]);
        (login.in_row, login.at) = (login.in_row + 1, now);
    }

    /// Records a request with correct credentials, which ends the row of failures of its source.
    pub fn passed(&self, face: HttpInterface, source: IpAddr) {
        if let Some(login) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&(face, source)) {
            login.in_row = 0;
        }
    }

    /// Returns the sources with at least [`HTTP_LOGIN_FAILURES`] failures in the last hour, more than typing errors
    /// explain; newest first.
    pub fn views(&self, now: Instant) -> Vec<HttpLoginView> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let view = |(&(face, source), login): (&(HttpInterface, IpAddr), &HttpLoginFailures)| {
            let [requests] = login.requests.sums(now);
            let seconds_ago = now.saturating_duration_since(login.at).as_secs();
            (requests >= HTTP_LOGIN_FAILURES).then_some(HttpLoginView {
                face,
                source,
                requests,
                in_row: login.in_row,
                seconds_ago,
            })
        };
        let mut views: Vec<HttpLoginView> = all.iter().filter_map(view).collect();
        views.sort_by_key(|view| view.seconds_ago);
        views
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn source(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn several_failures_are_listed_also_behind_the_right_token() {
        let (logins, now) = (HttpLogins::default(), Instant::now());
        for n in 1..=5 {
            assert_eq!(logins.views(now).len(), usize::from(n > HTTP_LOGIN_FAILURES), "{n}");
            logins.failed(now, HttpInterface::Http, source(1));
        }
        logins.failed(now, HttpInterface::Api, source(1));
        let listed = serde_json::to_value(logins.views(now + Duration::from_secs(7))).unwrap();
        let expected =
            serde_json::json!([{"face": "http", "source": "192.0.2.1", "requests": 5, "in_row": 5, "seconds_ago": 7}]);
        assert_eq!(listed, expected);
        assert!(logins.views(now + Duration::from_secs(2 * 3600)).is_empty(), "an hour is over");
        logins.passed(HttpInterface::Http, source(1));
        let [view] = &logins.views(now)[..] else { panic!("not listed") };
        assert_eq!((view.requests, view.in_row), (5, 0));
    }

    #[test]
    fn the_oldest_source_makes_room() {
        let (logins, now) = (HttpLogins::default(), Instant::now());
        for n in 0..=HTTP_LOGIN_SOURCES {
            let address = IpAddr::V4(Ipv4Addr::from_bits(n as u32));
            logins.failed(now + Duration::from_secs(n as u64), HttpInterface::Api, address);
        }
        let all = logins.0.lock().unwrap();
        assert_eq!(all.len(), HTTP_LOGIN_SOURCES);
        assert!(!all.contains_key(&(HttpInterface::Api, IpAddr::V4(Ipv4Addr::from_bits(0)))));
    }
}
