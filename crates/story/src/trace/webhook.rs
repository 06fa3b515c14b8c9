//! Requests to applications, for traces.

use serde::{Deserialize, Serialize};

use crate::redact;

/// Maximum number of cookie names shown for one try.
const COOKIES_SHOWN: usize = 8;
/// Maximum characters of a cookie name shown.
const COOKIE_NAME_CHARS: usize = 64;

/// Twilio's codes for URLs that cannot be requested: malformed, or with an unknown retry policy. A callback that fails
/// with one of them is not retried.
pub const FINAL_CODES: [u16; 2] = [11_100, 11_243];

/// Describes a failed attempt at a callback: its number, and whether it is final, by Twilio's error code.
pub fn failed_attempt(attempt: u32, code: u16) -> String {
    let next = if FINAL_CODES.contains(&code) { "final" } else { "will be retried" };
    format!("attempt {attempt}, {next}")
}

/// A request to an application, with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookExchange {
    /// Purpose: `start`, `gather`, `dial`, `play`, `callback` and the like.
    pub purpose: String,
    /// `GET` or `POST`.
    pub method: String,
    /// HTTP requests in order, including those to which redirects led.
    pub tries: Vec<WebhookTry>,
    /// Number of the attempt, from 1, of a callback that is sent again while it fails; null for others.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// Twilio's error code; null if the request succeeded.
    pub error: Option<u16>,
    /// First 512 characters of the response's body; for audio, its media type and size.
    pub body: String,
}

/// An HTTP request to one URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookTry {
    /// URL without user information, with the values of the query hidden.
    pub url: String,
    /// IP address and port connected to; null if none was known.
    pub remote: Option<String>,
    /// HTTP status of the response; null without a response.
    pub status: Option<u16>,
    /// Reason why there was no response, or why a redirect was not followed.
    pub failure: Option<String>,
    /// Time from the connection attempt to the end of the response.
    pub duration_ms: u64,
    /// Changes to the cookies of the call by the response.
    #[serde(flatten)]
    pub cookies: CookieChanges,
}

/// Changes to the cookies of a call by a response, by name: values are secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CookieChanges {
    /// Names of cookies that the response set.
    #[serde(rename = "cookies_set", default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
    /// Names of cookies that the response removed.
    #[serde(rename = "cookies_removed", default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Cookies of the response that were not stored.
    #[serde(rename = "cookies_dropped", default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedCookie>,
    /// Names of older cookies that were removed to make room.
    #[serde(rename = "cookies_evicted", default, skip_serializing_if = "Vec::is_empty")]
    pub evicted: Vec<String>,
}

/// A cookie of a response that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedCookie {
    /// Name of the cookie.
    pub name: String,
    /// Reason why the cookie was not stored, as a clause.
    pub reason: String,
}

impl CookieChanges {
    /// Returns the changes as the end of a clause (`, cookie set: a, b`); empty if there are none.
    fn text(&self) -> String {
        named("set", self.set.iter().map(|name| shown_name(name)))
            + &named("removed", self.removed.iter().map(|name| shown_name(name)))
            + &self.losses()
    }

    /// Returns the dropped and evicted cookies as the end of a clause.
    pub fn losses(&self) -> String {
        let dropped = self.dropped.iter().map(|one| format!("{} ({})", shown_name(&one.name), one.reason));
        named("dropped", dropped) + &named("evicted for newer ones", self.evicted.iter().map(|name| shown_name(name)))
    }
}

fn shown_name(name: &str) -> String {
    name.chars().take(COOKIE_NAME_CHARS).collect()
}

/// Returns the first few of these cookie names as the end of a clause; an empty text if there are none.
fn named(what: &str, mut names: impl ExactSizeIterator<Item = String>) -> String {
    let shown: Vec<String> = names.by_ref().take(COOKIES_SHOWN).collect();
    match (shown.as_slice(), names.len()) {
        ([], _) => String::new(),
        (names, 0) => format!(", cookie {what}: {}", names.join(", ")),
        (names, more) => format!(", cookie {what}: {} and {more} more", names.join(", ")),
    }
}

impl WebhookExchange {
    /// Returns the request without secrets in its addresses.
    pub fn redacted(mut self) -> WebhookExchange {
        for one in &mut self.tries {
            one.url = redact::addresses(std::mem::take(&mut one.url));
            one.failure = one.failure.take().map(redact::addresses);
        }
        self.body = redact::addresses(self.body);
        self
    }

    /// Returns the request as a line, with the body in the lines below.
    pub fn text(&self) -> String {
        let alike = self.tries.chunk_by(|one, next| one.is_like(next));
        let tries: Vec<String> = alike.filter_map(|alike| Some(alike.first()?.text(alike))).collect();
        let error = self.error.map(|code| format!(" (error {code})")).unwrap_or_default();
        let attempt = self.attempt.zip(self.error).map(|(attempt, code)| failed_attempt(attempt, code));
        let attempt = attempt.map(|attempt| format!("; {attempt}")).unwrap_or_default();
        let body = if self.body.is_empty() { String::new() } else { format!("\n{}", self.body) };
        format!("{} {} {}{error}{attempt}{body}", self.purpose, self.method, tries.join("; "))
    }
}

impl WebhookTry {
    /// Returns whether another try had the same address and the same result.
    fn is_like(&self, other: &WebhookTry) -> bool {
        let parts = |one: &WebhookTry| (one.url.clone(), one.remote.clone(), one.status, one.failure.clone());
        parts(self) == parts(other) && self.cookies == other.cookies
    }

    /// Returns the reason why a redirect was not followed, as a clause; `None` without a refused redirect.
    pub fn refused_redirect(&self) -> Option<&str> {
        self.status.and(self.failure.as_deref())
    }

    /// Formats this try and the tries equal to it (`alike`) as one clause.
    fn text(&self, alike: &[WebhookTry]) -> String {
        let remote = self.remote.as_ref().map(|remote| format!(" ({remote})")).unwrap_or_default();
        let status = self.status.map(|status| status.to_string());
        let result = status.as_deref().or(self.failure.as_deref()).unwrap_or("no answer");
        let (tries, ms) = (alike.len(), alike.iter().map(|one| one.duration_ms).sum::<u64>());
        let tries = if tries > 1 { format!(", {tries} tries") } else { String::new() };
        let redirect = self.refused_redirect().map(|reason| format!(", {reason}")).unwrap_or_default();
        format!("{}{remote}: {result} after {ms} ms{tries}{redirect}{}", self.url, self.cookies.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_with_its_body_below() {
        let failed = WebhookTry {
            url: "https://user:pass@a.example.com/voice?token=…".to_owned(),
            remote: None,
            status: None,
            failure: Some("host name not found".to_owned()),
            duration_ms: 3,
            cookies: CookieChanges::default(),
        };
        let answered = WebhookTry {
            url: "https://b.example.com/".to_owned(),
            remote: Some("192.0.2.1:443".to_owned()),
            status: Some(200),
            failure: None,
            duration_ms: 12,
            cookies: CookieChanges::default(),
        };
        let mut webhook = WebhookExchange {
            purpose: "gather".to_owned(),
            method: "POST".to_owned(),
            tries: vec![answered],
            attempt: None,
            error: None,
            body: "<Response/>".to_owned(),
        };
        let text = "gather POST https://b.example.com/ (192.0.2.1:443): 200 after 12 ms\n<Response/>";
        assert_eq!(webhook.text(), text);
        webhook.tries.push(failed);
        webhook.error = Some(11_210);
        webhook.body.clear();
        let text = "gather POST https://b.example.com/ (192.0.2.1:443): 200 after 12 ms; \
                    https://a.example.com/voice: host name not found after 3 ms (error 11210)";
        assert_eq!(webhook.clone().redacted().text(), text);
        let mut with_cookies = webhook.tries[0].clone();
        with_cookies.cookies.set = vec!["session".to_owned(), "x".repeat(COOKIE_NAME_CHARS + 1)];
        let x = "x".repeat(COOKIE_NAME_CHARS);
        assert!(with_cookies.text(&[]).ends_with(&format!(": 200 after 0 ms, cookie set: session, {x}")));
        with_cookies.cookies.set.extend(std::iter::repeat_n("y".to_owned(), COOKIES_SHOWN));
        assert!(with_cookies.text(&[]).ends_with(", y and 2 more"));
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let reason = "5,008 bytes, 4,096 at most".to_owned();
        with_cookies.cookies = CookieChanges {
            set: names(&["k5"]),
            removed: names(&["mneg"]),
            dropped: vec![DroppedCookie { name: "session".to_owned(), reason }],
            evicted: names(&["k0", "k1"]),
        };
        let text = ", cookie set: k5, cookie removed: mneg, cookie dropped: session (5,008 bytes, 4,096 at most), \
                    cookie evicted for newer ones: k0, k1";
        assert!(with_cookies.text(&[]).ends_with(text), "{}", with_cookies.text(&[]));
        let json = serde_json::to_value(&with_cookies).unwrap();
        assert_eq!((&json["cookies_set"][0], &json["cookies_evicted"][1]), (&"k5".into(), &"k1".into()));
        assert_eq!(json["cookies_dropped"][0]["name"], "session");
        assert_eq!(serde_json::from_value::<WebhookTry>(json).unwrap(), with_cookies);
        let refused = WebhookTry {
            status: Some(302),
            failure: Some("invalid redirect: port 0".to_owned()),
            ..webhook.tries[0].clone()
        };
        assert!(refused.text(&[]).ends_with(": 302 after 0 ms, invalid redirect: port 0"));
        // Equal failures are listed once.
        webhook.tries.extend(webhook.tries.last().cloned());
        webhook.attempt = Some(2);
        let text = "gather POST https://b.example.com/ (192.0.2.1:443): 200 after 12 ms; https://a.example.com/voice: \
                    host name not found after 6 ms, 2 tries (error 11210); attempt 2, will be retried";
        assert_eq!(webhook.clone().redacted().text(), text);
        webhook.error = Some(11_100);
        assert!(webhook.text().ends_with("(error 11100); attempt 2, final"));
    }
}
