//! Authentication and rate limits of the Twilio-compatible API: HTTP Basic with the account SID and its auth token, or
//! with the SID and the secret of an API key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Error;
use super::keys::{ApiKeys, SECRET_CHARS};
use crate::guesses::{GuessLimiter, LoginVerdict, PresentedCredentials, is_same_secret};
use trunkgate_config::ApiSettings;
use trunkgate_delivery::sinks::store::Store;
pub(crate) use trunkgate_runtime::http_logins::HttpInterface;
use trunkgate_system::limits::API_KEYS;

/// Client of the API that is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ApiClient {
    /// Authenticated by the auth token of the account.
    Account,
    /// Authenticated by the secret of the API key with this SID.
    Key(String),
}

impl ApiClient {
    pub(super) fn is_key(&self) -> bool {
        matches!(self, ApiClient::Key(_))
    }

    /// Returns the SID of the API key; empty for the account.
    pub(super) fn key(&self) -> &str {
        match self {
            ApiClient::Account => "",
            ApiClient::Key(sid) => sid,
        }
    }
}

/// Rejected request: the error to send, and whether it is delayed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccessRefusal {
    pub(super) error: Error,
    /// Whether the response is delayed because the client guesses credentials.
    pub(super) is_late: bool,
}

impl From<Error> for AccessRefusal {
    fn from(error: Error) -> AccessRefusal {
        AccessRefusal { error, is_late: false }
    }
}

/// Access control of the API: its keys, failed authentications within a minute, and remaining requests of the account
/// and of each key.
#[derive(Clone)]
pub(crate) struct ApiAccess {
    keys: ApiKeys,
    guesses: GuessLimiter,
    allowances: Arc<Mutex<Allowances>>,
}

/// Token buckets of the account and of each key: time of the last update, and requests left at that time.
#[derive(Debug, Default)]
struct Allowances(HashMap<String, (Instant, f64)>);

impl ApiAccess {
    pub(crate) fn new(store: Store, guesses: GuessLimiter) -> ApiAccess {
        ApiAccess::of(ApiKeys::new(store), guesses)
    }

    fn of(keys: ApiKeys, guesses: GuessLimiter) -> ApiAccess {
        ApiAccess { keys, guesses, allowances: Arc::default() }
    }

    pub(super) fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// Loads the API keys from the store if a request authenticates with one.
    ///
    /// # Errors
    /// Returns an error if the store cannot be read.
    pub(super) async fn prepare(&self, headers: &HeaderMap) -> Result<(), Error> {
        match credentials(headers) {
            Some((user, _)) if user.starts_with("SK") => self.keys.load().await,
            _ => Ok(()),
        }
    }

    /// Authenticates a request from `source` (an IPv4 address or an IPv6 /64), and applies the rate limits.
    ///
    /// # Errors
    /// Returns an error if credentials are missing or wrong, or a rate limit is exceeded.
    pub(super) fn judge(
        &self,
        now: Instant,
        source: IpAddr,
        headers: &HeaderMap,
        api: &ApiSettings,
    ) -> Result<ApiClient, AccessRefusal> {
        let Some(token) = &api.auth_token else {
            return Err(Error::unauthorized("the API is disabled: set `auth_token` in [api]").into());
        };
        let Some((user, password)) = credentials(headers) else {
            let message = "HTTP Basic authentication is missing: use the account SID and auth token, or an API key and its secret";
            return Err(Error::unauthorized(message).into());
        };
        // All secrets are compared in any case, so that the time does not depend on the first result.
        let is_account = is_same_secret(user.as_bytes(), api.account_sid.as_bytes());
        let is_token = is_same_secret(password.as_bytes(), token.reveal().as_bytes());
        let is_key = self.keys.has(&user, &password);
        let (account, characters) = match (is_account, self.keys.is_there(&user)) {
            (true, _) => (user.as_str(), token.reveal().chars().count()),
            (false, true) => (user.as_str(), SECRET_CHARS),
            (false, false) => ("", 0),
        };
        let is_right = is_account & is_token | is_key;
        match self
            .guesses
            .judge(now, PresentedCredentials { face: HttpInterface::Api, account, source, is_right, characters })
        {
            LoginVerdict::Passed => {}
            LoginVerdict::Wrong => {
                return Err(Error::unauthorized("SID or auth token (or key and secret) is wrong").into());
            }
            LoginVerdict::TooMany(left) => {
                let seconds = left.as_secs() + 1;
                let message = format!("Too many failed authentications from this address: try again in {seconds} s");
                return Err(AccessRefusal { error: Error::too_many(message, seconds), is_late: true });
            }
        }
        let caller = if is_account & is_token { ApiClient::Account } else { ApiClient::Key(user) };
        let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
        if api.requests_per_second > 0 && !allowances.take(now, caller.key(), f64::from(api.requests_per_second)) {
            let message = format!("Too many requests: [api] requests_per_second is {}", api.requests_per_second);
            return Err(Error::too_many(message, 1).into());
        }
        Ok(caller)
    }
}

impl Allowances {
    /// Takes a request from the token bucket of the account or key; returns false if the bucket is empty. A bucket
    /// contains at most the requests of one second.
    fn take(&mut self, now: Instant, key: &str, per_second: f64) -> bool {
        if self.0.len() > 2 * API_KEYS {
            // A bucket that was not used for a second is full, so removing it changes nothing. Buckets of deleted keys
            // end here.
            self.0.retain(|_, (at, _)| now.duration_since(*at) < Duration::from_secs(1));
        }
        let left = match self.0.get(key) {
            Some((at, left)) => (left + now.duration_since(*at).as_secs_f64() * per_second).min(per_second),
            None => per_second,
        };
        let is_allowed = left >= 1.0;
        self.0.insert(key.to_owned(), (now, if is_allowed { left - 1.0 } else { left }));
        is_allowed
    }
}

/// Returns user and password of HTTP Basic (RFC 7617); `None` without them.
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
    use trunkgate_config::{ProxyMode, Secret};

    const SID: &str = "AC0123456789abcdef0123456789abcdef";
    const KEY: &str = "SK0123456789abcdef0123456789abcdef";

    fn access() -> (ApiAccess, tempfile::TempDir) {
        let (keys, directory) = with_one(KEY, "of-the-key");
        (ApiAccess::of(keys, GuessLimiter::default()), directory)
    }

    fn api(per_second: u32) -> ApiSettings {
        let auth_token = Some(Secret::new("secret".to_owned()));
        let (account_sid, keep_calls) = (SID.to_owned(), Duration::ZERO);
        let (connect, requests_per_second) = (Vec::new(), per_second);
        let (allow_private, proxy, strict, emergency_calls) = (false, ProxyMode::Off, false, 0);
        ApiSettings {
            account_sid,
            auth_token,
            connect,
            allow_private,
            requests_per_second,
            emergency_calls,
            keep_calls,
            proxy,
            tls: None,
            strict,
        }
    }

    fn with(user: &str, password: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    fn code<T>(result: Result<T, AccessRefusal>) -> Option<u32> {
        result.err().map(|refusal| refusal.error.code)
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
        let closed = ApiSettings { auth_token: None, ..api(100) };
        assert_eq!(code(access.judge(now, source, &with(SID, "secret"), &closed)), Some(20_003));
    }

    #[test]
    fn a_key_opens_it_with_its_own_secret_and_has_a_rate_of_its_own() {
        let ((access, _directory), now, source) = (access(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let judge = |user: &str, password: &str| access.judge(now, source, &with(user, password), &api(1));
        assert_eq!(judge(KEY, "of-the-key"), Ok(ApiClient::Key(KEY.to_owned())));
        assert_eq!(code(judge(KEY, "of-the-key")), Some(20_429));
        assert_eq!(judge(SID, "secret"), Ok(ApiClient::Account));
        for (user, password) in [(KEY, "secret"), (SID, "of-the-key"), ("SK1", "of-the-key"), (KEY, "")] {
            assert_eq!(code(judge(user, password)), Some(20_003), "{user} {password}");
        }
    }

    #[test]
    fn ten_wrong_tokens_a_minute_lock_out_no_right_one_that_is_long() {
        let ((access, _directory), now) = (access(), Instant::now());
        let source: IpAddr = "2001:db8::".parse().unwrap();
        let long = ApiSettings { auth_token: Some(Secret::new("0123456789abcdef".to_owned())), ..api(100) };
        let judge =
            |user: &str, password: &str, api: &ApiSettings| access.judge(now, source, &with(user, password), api);
        for _ in 0..10 {
            assert_eq!(code(judge(SID, "wrong", &long)), Some(20_003));
        }
        let late = judge(SID, "wrong", &long).unwrap_err();
        assert_eq!((late.error.code, late.is_late), (20_429, true));
        assert_eq!(judge(SID, "0123456789abcdef", &long), Ok(ApiClient::Account));
        assert_eq!(code(judge(SID, "secret", &api(100))), Some(20_429), "a short one could be guessed");
        assert_eq!(judge(KEY, "of-the-key", &long), Ok(ApiClient::Key(KEY.to_owned())));
        assert_eq!(code(judge(KEY, "wrong", &long)), Some(20_003), "a key is counted by itself");
    }

    #[test]
    fn names_of_no_account_are_counted_together() {
        let ((access, _directory), now, source) = (access(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let codes = |n: u32| code(access.judge(now, source, &with(&format!("AC{n}"), "x"), &api(100)));
        let codes: Vec<Option<u32>> = (0..11).map(codes).collect();
        assert_eq!(codes, [[Some(20_003); 10].as_slice(), &[Some(20_429)]].concat());
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
