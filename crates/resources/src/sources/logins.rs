//! Requests with wrong digest credentials, by trunk and source, until the source sends valid ones. The faulty part
//! (user or password) is shown to the operator only: the response on the wire is the same.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::RoutingTable;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::LoginView;

use crate::limits::{LOGIN_FAILURES, LOGINS_KEPT, UNKNOWN_TOLD_SECONDS};

/// A request with wrong credentials.
#[derive(Debug)]
pub struct WrongLogin {
    /// User name in the request, masked for display.
    pub user: String,
    /// Whether the user name is valid.
    pub is_user_known: bool,
    /// Whether the source address belongs to the trunk by configuration.
    pub is_of_trunk: bool,
}

impl WrongLogin {
    /// Describes the wrong part of the credentials.
    pub fn fault(&self) -> String {
        let user = &self.user;
        if self.is_user_known {
            format!("wrong password for user \"{user}\"")
        } else {
            format!("unknown user \"{user}\"")
        }
    }
}

/// Failures of one source.
#[derive(Debug)]
struct LoginFailures {
    requests: LastHour<1>,
    /// Failures since the last request with valid credentials.
    in_row: u64,
    last: WrongLogin,
    at: Instant,
    /// Time of the last log line.
    last_log: Option<Instant>,
}

/// Failures of all sources, by trunk and address.
#[derive(Debug, Default)]
pub struct FailedLogins {
    by_source: BTreeMap<(Arc<str>, IpAddr), LoginFailures>,
}

impl FailedLogins {
    /// Counts a request with wrong credentials. Returns a log line if one is due.
    pub fn failed(&mut self, now: Instant, trunk: &Arc<str>, source: IpAddr, login: WrongLogin) -> Option<String> {
        let key = (trunk.clone(), source);
        if self.by_source.len() >= LOGINS_KEPT && !self.by_source.contains_key(&key) {
            // Many sources may belong to no trunk: these displace each other first.
            let oldest = self.by_source.iter().min_by_key(|(_, login)| (login.last.is_of_trunk, login.at));
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.map(|key| self.by_source.remove(&key));
        }
        let line = format!("trunk {trunk}: wrong credentials from {source}: {}", login.fault());
        let known = self.by_source.remove(&key);
        let known = known.map(|known| (known.requests, known.in_row, known.last_log));
        let (mut requests, in_row, mut told) = known.unwrap_or_default();
        requests.count(now, [true]);
        let in_row = in_row + 1;
        let every = Duration::from_secs(UNKNOWN_TOLD_SECONDS);
        let is_due = in_row >= LOGIN_FAILURES
            && login.is_of_trunk
            && told.is_none_or(|at| now.saturating_duration_since(at) >= every);
        if is_due {
            told = Some(now);
        }
        self.by_source.insert(key, LoginFailures { requests, in_row, last: login, at: now, last_log: told });
        is_due.then(|| format!("{line}, {in_row} in a row"))
    }

    /// Clears the failures of a source that has sent valid credentials.
    pub fn passed(&mut self, trunk: &Arc<str>, source: IpAddr) {
        if !self.by_source.is_empty() {
            self.by_source.remove(&(trunk.clone(), source));
        }
    }

    /// Forgets failures at trunks that now require other credentials.
    pub fn configure(&mut self, old: &RoutingTable, new: &RoutingTable) {
        let asks = |table: &RoutingTable, name: &str| table.trunk(name).and_then(|trunk| trunk.require_auth.clone());
        self.by_source.retain(|(trunk, _), _| {
            let required = asks(new, trunk);
            required.is_some() && required == asks(old, trunk)
        });
    }

    /// Returns the sources with too many failures in a row for a typing error, within the last hour, the newest
    /// first.
    pub fn views(&self, now: Instant) -> Vec<LoginView> {
        let view = |((trunk, source), login): (&(Arc<str>, IpAddr), &LoginFailures)| {
            let [requests] = login.requests.sums(now);
            (requests > 0 && login.in_row >= LOGIN_FAILURES).then(|| LoginView {
                trunk: trunk.to_string(),
                source: source.to_string(),
                is_of_trunk: login.last.is_of_trunk,
                user: login.last.user.clone(),
                is_user_known: login.last.is_user_known,
                fault: login.last.fault(),
                requests,
                in_row: login.in_row,
                seconds_ago: now.saturating_duration_since(login.at).as_secs(),
            })
        };
        let mut views: Vec<LoginView> = self.by_source.iter().filter_map(view).collect();
        views.sort_by_key(|view| view.seconds_ago);
        views
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    fn wrong(is_of_trunk: bool) -> WrongLogin {
        WrongLogin { user: "offic".to_owned(), is_user_known: false, is_of_trunk }
    }

    #[test]
    fn three_in_a_row_are_shown_until_one_is_right() {
        let (start, pbx) = (Instant::now(), Arc::from("office"));
        let (source, other) = (IpAddr::from([192, 0, 2, 7]), IpAddr::from([192, 0, 2, 8]));
        let mut logins = FailedLogins::default();
        let fail = |logins: &mut FailedLogins, seconds| {
            logins.failed(start + Duration::from_secs(seconds), &pbx, source, wrong(true))
        };
        assert_eq!((fail(&mut logins, 0), fail(&mut logins, 1)), (None, None));
        assert!(logins.views(start).is_empty());
        let line = "trunk office: wrong credentials from 192.0.2.7: unknown user \"offic\", 3 in a row";
        assert_eq!(fail(&mut logins, 2).as_deref(), Some(line));
        let lines = (3..183).filter_map(|seconds| fail(&mut logins, seconds)).count();
        assert_eq!(lines, 3, "one a minute");
        let views = logins.views(start + Duration::from_secs(200));
        assert_eq!((views.len(), views[0].in_row, views[0].seconds_ago), (1, 183, 18));
        assert!(logins.views(start + Duration::from_secs(4_000)).is_empty(), "an hour later");
        logins.passed(&pbx, other);
        assert_eq!(logins.views(start).len(), 1, "another source has shown them");
        logins.passed(&pbx, source);
        assert!(logins.views(start).is_empty());
    }

    #[test]
    fn sources_of_no_trunk_displace_none_of_a_trunk() {
        let (start, pbx) = (Instant::now(), Arc::from("office"));
        let mut logins = FailedLogins::default();
        let source = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        (0..3).for_each(|_| drop(logins.failed(start, &pbx, source(1), wrong(true))));
        for n in 2..3 * LOGINS_KEPT {
            let lines = (0..3).filter_map(|_| logins.failed(start, &pbx, source(n), wrong(false))).count();
            assert_eq!(lines, 0, "a scan is not a warning");
        }
        assert_eq!(logins.by_source.len(), LOGINS_KEPT);
        assert!(logins.views(start).iter().any(|view| view.is_of_trunk));
    }
}
