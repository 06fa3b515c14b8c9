//! Access to audio for media elements of browsers, which send no token: a cookie grants access to one recording for a
//! limited time.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use serde_json::json;
use sha2::Sha256;

use super::calls::Sid;
use super::guesses::is_same_secret;
use super::{ApiError, recordings};
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::clock;
use trunkgate_system::limits::LISTENING_SECONDS;
use trunkgate_system::text::hex;

/// Name of the cookie for audio.
const COOKIE: &str = "trunkgate-audio";

/// Secret key of this process, which authenticates cookies for audio.
#[derive(Clone)]
pub(super) struct AudioCookieKey {
    key: Arc<[u8; 32]>,
}

impl AudioCookieKey {
    /// Generates a random key.
    ///
    /// # Errors
    /// Returns an error if the system's random number generator fails.
    pub(super) fn new() -> Result<AudioCookieKey, rand::rngs::SysError> {
        let mut key = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut key)?;
        Ok(AudioCookieKey { key: Arc::new(key) })
    }

    /// Returns the value of the cookie for a recording. It is valid until a time (seconds since 1970) and while the
    /// token is unchanged.
    fn ticket(&self, sid: &str, token: &str, until: i64) -> String {
        // HMAC accepts keys of any length, so this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.as_slice()) else { return String::new() };
        mac.update(format!("{sid} {until} {token}").as_bytes());
        format!("{until}.{}", hex(&mac.finalize().into_bytes()))
    }

    /// Returns whether the cookies of a request grant access to the audio at a path.
    pub(super) fn open(&self, path: &str, headers: &HeaderMap, token: &str, now: i64) -> bool {
        let Some(sid) = sid_of(path) else { return false };
        let given = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut given = given.flat_map(|all| all.split(';')).filter_map(|one| one.trim().split_once('='));
        given.any(|(name, value)| {
            let until = value.split_once('.').and_then(|(until, _)| until.parse::<i64>().ok());
            let is_now = until.filter(|until| (now..=now.saturating_add(LISTENING_SECONDS as i64)).contains(until));
            name == COOKIE
                && is_now
                    .is_some_and(|until| is_same_secret(value.as_bytes(), self.ticket(sid, token, until).as_bytes()))
        })
    }
}

/// Returns the SID of the recording with its audio at this path; `None` for any other path.
fn sid_of(path: &str) -> Option<&str> {
    let sid = path.strip_prefix("/v1/recordings/")?.strip_suffix("/audio")?;
    (!sid.is_empty() && sid.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(sid)
}

/// Responds with a cookie that grants access to the audio of a recording, if the edge has a token.
pub(super) async fn begin(
    State(handle): State<EdgeHandle>,
    Extension(tickets): Extension<AudioCookieKey>,
    Sid(sid): Sid,
) -> Result<Response, ApiError> {
    recordings::known(&handle, &sid).await?;
    let seconds = LISTENING_SECONDS;
    let until = clock::now().as_second().saturating_add(seconds as i64);
    let cookie = handle.shared.running(|running| {
        let http = &running.config.http;
        let ticket = tickets.ticket(&sid, http.token.as_ref()?.reveal(), until);
        let is_https = http.tls.is_some() || http.public_url.as_ref().is_some_and(|url| url.starts_with("https:"));
        let secure = if is_https { "; Secure" } else { "" };
        let path = format!("/v1/recordings/{sid}/audio");
        Some(format!("{COOKIE}={ticket}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"))
    });
    let body = Json(json!({ "sid": sid, "seconds": seconds }));
    Ok(match cookie {
        Some(cookie) => ([(header::SET_COOKIE, cookie)], body).into_response(),
        None => body.into_response(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_opens_one_recording_for_an_hour_as_long_as_the_token_is_the_same() {
        let tickets = AudioCookieKey::new().unwrap();
        let ticket = tickets.ticket("RE1", "token", 5000);
        let opens = |path: &str, cookies: &str, token: &str, now: i64| {
            let headers = HeaderMap::from_iter([(header::COOKIE, cookies.parse().unwrap())]);
            tickets.open(path, &headers, token, now)
        };
        let (path, cookie) = ("/v1/recordings/RE1/audio", format!("other=1; {COOKIE}={ticket}"));
        assert!(opens(path, &cookie, "token", 4000) && opens(path, &cookie, "token", 5000));
        assert!(!opens(path, &cookie, "token", 5001), "it is over");
        assert!(!opens(path, &cookie, "token", 1), "no cookie is made for so long");
        assert!(!opens(path, &cookie, "another", 4000));
        for path in [
            "/v1/recordings/RE2/audio",
            "/v1/recordings/RE1",
            "/v1/recordings/RE1/peaks",
            "/v1/recordings//audio",
            "/v1/status",
        ] {
            assert!(!opens(path, &cookie, "token", 4000), "{path}");
        }
        for wrong in ["", "x", "5000", "5000.", &format!("4999{}", &ticket[4..])] {
            assert!(!opens(path, &format!("{COOKIE}={wrong}"), "token", 4000), "{wrong}");
        }
        let other = AudioCookieKey::new().unwrap().ticket("RE1", "token", 5000);
        assert!(!opens(path, &format!("{COOKIE}={other}"), "token", 4000), "of another process");
    }
}
