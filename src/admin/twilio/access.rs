//! Access to the Twilio-compatible API: HTTP Basic with SID and token of the account, or SID and secret of a key, and how often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Error;
use super::keys::Keys;
use crate::admin::gate::same;
use crate::config::Api;
use crate::limits::{API_FAILURES_PER_MINUTE, API_KEYS, API_SOURCES};
use crate::sinks::store::Store;

/// Interval in which failures of a source are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Client of the API, as it has authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// With the account's token.
    Account,
    /// With the secret of the key of this SID.
    Key(String),
}

impl Caller {
    pub(super) fn is_key(&self) -> bool {
        matches!(self, Caller::Key(_))
    }

    /// SID of a key; empty for the account.
    pub(super) fn key(&self) -> &str {
        match self {
            Caller::Account => "",
            Caller::Key(sid) => sid,
        }
    }
}

/// The keys, the sources that have failed to authenticate lately, and how many requests account and keys may still make.
#[derive(Clone)]
pub(in crate::admin) struct Access {
    keys: Keys,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Begin of a minute, and the failures since.
    failures: HashMap<IpAddr, (Instant, u32)>,
    /// When the allowance of the account or of a key was last computed, and what was left of it then.
    allowances: HashMap<String, (Instant, f64)>,
}

impl Access {
    pub(in crate::admin) fn new(store: Store) -> Access {
        Access::of(Keys::new(store))
    }

    fn of(keys: Keys) -> Access {
        Access { keys, state: Arc::default() }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Reads the keys from the store before the first request that has one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) async fn prepare(&self, headers: &HeaderMap) -> Result<(), Error> {
        match credentials(headers) {
            Some((user, _)) if user.starts_with("SK") => self.keys.load().await,
            _ => Ok(()),
        }
    }

    /// Judges a request that came from `source`, an address, in IPv6 its /64.
    ///
    /// # Errors
    /// It has no credentials, wrong ones, or there are too many requests.
    pub(super) fn judge(&self, now: Instant, source: IpAddr, headers: &HeaderMap, api: &Api) -> Result<Caller, Error> {
        let Some(token) = &api.auth_token else {
            return Err(Error::unauthorized("the API is closed; [api] auth_token opens it"));
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = state.locked_out(now, source) {
            let seconds = left.as_secs() + 1;
            let message = format!("Too many failed authentications from this address: try again in {seconds} s");
            return Err(Error::too_many(message, seconds));
        }
        let Some((user, password)) = credentials(headers) else {
            return Err(Error::unauthorized("HTTP Basic with account SID and auth token, or a key, is needed"));
        };
        // All are compared, whatever comes of the first.
        let is_account = same(user.as_bytes(), api.account_sid.as_bytes());
        let is_token = same(password.as_bytes(), token.reveal().as_bytes());
        let is_key = self.keys.has(&user, &password);
        let caller = match (is_account & is_token, is_key) {
            (true, _) => Caller::Account,
            (false, true) => Caller::Key(user),
            (false, false) => {
                if state.fail(now, source) == API_FAILURES_PER_MINUTE {
                    tracing::warn!(
                        %source,
                        "Twilio-compatible API: {API_FAILURES_PER_MINUTE} failed authentications in a minute; \
                         requests from this address are refused until the minute is over, with the right token too"
                    );
                }
                return Err(Error::unauthorized("SID or auth token (or key and secret) is wrong"));
            }
        };
        if api.requests_per_second > 0 && !state.take(now, caller.key(), f64::from(api.requests_per_second)) {
            let message = format!("Too many requests: [api] requests_per_second is {}", api.requests_per_second);
            return Err(Error::too_many(message, 1));
        }
        Ok(caller)
    }
}

impl State {
    /// Returns for how long a source is refused that has failed too often.
    fn locked_out(&self, now: Instant, source: IpAddr) -> Option<Duration> {
        let (since, times) = self.failures.get(&source)?;
        let left = MINUTE.checked_sub(now.duration_since(*since)).filter(|left| !left.is_zero())?;
        (*times >= API_FAILURES_PER_MINUTE).then_some(left)
    }

    /// Counts a failure; returns how many the source has in its minute.
    fn fail(&mut self, now: Instant, source: IpAddr) -> u32 {
        if self.failures.len() >= API_SOURCES {
            self.failures.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
        }
        if self.failures.len() >= API_SOURCES && !self.failures.contains_key(&source) {
            // Where even so there is no room, the source whose minute ends first makes it.
            let first = self.failures.iter().min_by_key(|(_, (since, _))| *since).map(|(source, _)| *source);
            first.and_then(|first| self.failures.remove(&first));
        }
        let (since, times) = self.failures.entry(source).or_insert((now, 0));
        if now.duration_since(*since) >= MINUTE {
            (*since, *times) = (now, 0);
        }
        *times += 1;
        *times
    }

    /// Takes one request of those that a second brings to the account or a key; as many may come at once.
    fn take(&mut self, now: Instant, key: &str, per_second: f64) -> bool {
        if self.allowances.len() > 2 * API_KEYS {
            // Those of deleted keys. An allowance of a second ago is whole again.
            self.allowances.retain(|_, (at, _)| now.duration_since(*at) < Duration::from_secs(1));
        }
        let left = match self.allowances.get(key) {
            Some((at, left)) => (left + now.duration_since(*at).as_secs_f64() * per_second).min(per_second),
            None => per_second,
        };
        let is_allowed = left >= 1.0;
        self.allowances.insert(key.to_owned(), (now, if is_allowed { left - 1.0 } else { left }));
        is_allowed
    }
}

/// The user and password of HTTP Basic (RFC 7617).
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let given = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = given.split_at_checked(6)?;
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok().filter(|_| scheme.eq_ignore_ascii_case(b"basic "))?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::keys::tests::with_one;
    use super::*;
    use crate::config::{Proxy, Secret};

    const SID: &str = "AC0123456789abcdef0123456789abcdef";
    const KEY: &str = "SK0123456789abcdef0123456789abcdef";

    fn access() -> (Access, tempfile::TempDir) {
        let (keys, directory) = with_one(KEY, "of-the-key");
        (Access::of(keys), directory)
    }

    fn api(per_second: u32) -> Api {
        let auth_token = Some(Secret::new("secret".to_owned()));
        let (account_sid, keep_calls) = (SID.to_owned(), Duration::ZERO);
        let (connect, requests_per_second) = (Vec::new(), per_second);
        let (allow_private, proxy) = (false, Proxy::Off);
        let emergency_calls = 0;
        Api { account_sid, auth_token, connect, allow_private, requests_per_second, emergency_calls, keep_calls, proxy }
    }

    fn with(user: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    fn code<T>(result: Result<T, Error>) -> Option<u32> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn the_account_and_its_token_open_the_api_and_nothing_else_does() {
        let ((access, _directory), now, source) = (access(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let judge = |headers: &HeaderMap| code(access.judge(now, source, headers, &api(100)));
        assert_eq!(judge(&with(SID, "secret")), None);
        for (user, password) in [(SID, "secre"), (SID, ""), ("AC", "secret"), ("", ""), (SID, "secretsecret")] {
            assert_eq!(judge(&with(user, password)), Some(20_003), "{user} {password}");
        }
        for wrong in ["", "Basic", "Basic !", "Bearer c2VjcmV0", "Basic c2VjcmV0"] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, wrong.parse().unwrap())]);
            assert_eq!(judge(&headers), Some(20_003), "{wrong}");
        }
        let closed = Api { auth_token: None, ..api(100) };
        assert_eq!(code(access.judge(now, source, &with(SID, "secret"), &closed)), Some(20_003));
    }

    #[test]
    fn a_key_opens_it_with_its_own_secret_and_has_a_rate_of_its_own() {
        let ((access, _directory), now, source) = (access(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let judge = |user: &str, password: &str| access.judge(now, source, &with(user, password), &api(1));
        assert_eq!(judge(KEY, "of-the-key"), Ok(Caller::Key(KEY.to_owned())));
        assert_eq!(code(judge(KEY, "of-the-key")), Some(20_429));
        assert_eq!(judge(SID, "secret"), Ok(Caller::Account));
        for (user, password) in [(KEY, "secret"), (SID, "of-the-key"), ("SK1", "of-the-key"), (KEY, "")] {
            assert_eq!(code(judge(user, password)), Some(20_003), "{user} {password}");
        }
    }

    #[test]
    fn a_source_may_fail_ten_times_a_minute() {
        let ((access, _directory), now) = (access(), Instant::now());
        let judge = |at: u64, source: &str, password: &str| {
            let now = now + Duration::from_secs(at);
            code(access.judge(now, source.parse().unwrap(), &with(SID, password), &api(100)))
        };
        for n in 0..10 {
            assert_eq!(judge(n, "2001:db8::", "wrong"), Some(20_003));
        }
        assert_eq!(judge(10, "2001:db8::", "secret"), Some(20_429), "also with the right one");
        assert_eq!(judge(10, "2001:db8:0:1::", "secret"), None);
        assert_eq!(judge(60, "2001:db8::", "secret"), None);
    }

    #[test]
    fn sources_that_are_remembered_are_bounded() {
        let ((access, _directory), now) = (access(), Instant::now());
        for n in 0..u32::try_from(API_SOURCES).unwrap() + 10 {
            let source = IpAddr::V4(n.into());
            assert_eq!(code(access.judge(now, source, &with(SID, "wrong"), &api(100))), Some(20_003));
        }
        assert_eq!(access.state.lock().unwrap().failures.len(), API_SOURCES);
        // The failures of one that comes when there is no room count all the same.
        let late = IpAddr::from([203, 0, 113, 9]);
        for _ in 0..10 {
            access.judge(now, late, &with(SID, "wrong"), &api(100)).unwrap_err();
        }
        assert_eq!(code(access.judge(now, late, &with(SID, "secret"), &api(100))), Some(20_429));
        assert_eq!(access.state.lock().unwrap().failures.len(), API_SOURCES);
        let later = now + MINUTE;
        access.judge(later, IpAddr::from([203, 0, 113, 1]), &with(SID, "wrong"), &api(100)).unwrap_err();
        assert_eq!(access.state.lock().unwrap().failures.len(), 1);
    }

    #[test]
    fn requests_come_at_the_configured_rate() {
        let ((access, _directory), now, source) = (access(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let judge = |ms: u64| {
            let now = now + Duration::from_millis(ms);
            code(access.judge(now, source, &with(SID, "secret"), &api(2)))
        };
        assert_eq!([judge(0), judge(0), judge(0)], [None, None, Some(20_429)]);
        assert_eq!([judge(500), judge(500)], [None, Some(20_429)]);
    }
}
