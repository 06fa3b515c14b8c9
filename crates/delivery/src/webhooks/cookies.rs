//! Cookies of one request: those of its jar, and those that its responses set.

use std::sync::Arc;

use hyper::header::SET_COOKIE;
use trunkgate_call::trace::{CookieChanges, DroppedCookie};
use trunkgate_cookies::{Cookie, CookieJar};

use super::outcome::WebhookResponse;
use super::request::WebhookRequest;
use super::target::Target;
use trunkgate_system::clock;
use trunkgate_system::limits::COOKIE_NAME_SHOWN;

/// Cookies of a request, through its redirects and retries.
pub(super) struct RequestCookies {
    /// Cookie jar; `None` if no cookies are sent or stored.
    jar: Option<Arc<CookieJar>>,
    set: Vec<Cookie>,
}

impl RequestCookies {
    pub(super) fn of(request: &WebhookRequest) -> RequestCookies {
        RequestCookies { jar: request.cookies.clone(), set: Vec::new() }
    }

    /// Returns the value of the Cookie header for a URL; `None` if no cookie applies.
    pub(super) fn header_for(&self, target: &Target) -> Option<String> {
        self.jar.as_ref()?.header_for(target.cookie_site(), clock::wall())
    }

    /// Stores the cookies of a response, and returns the names of those set, removed, dropped and evicted. Malformed
    /// cookies are ignored, as in browsers.
    pub(super) fn store(&mut self, answer: &WebhookResponse, target: &Target) -> CookieChanges {
        let mut changes = CookieChanges::default();
        let Some(jar) = &mut self.jar else { return changes };
        let now = clock::wall();
        let headers = answer.headers.get_all(SET_COOKIE).into_iter();
        let texts = headers.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        for text in texts {
            let cookie = match Cookie::parse(text, target.cookie_site(), now) {
                Ok(cookie) => cookie,
                Err(rejected) => {
                    let dropped = rejected.name().map(|name| dropped(name, rejected.to_string()));
                    changes.dropped.extend(dropped);
                    continue;
                }
            };
            if !jar.accepts(&cookie) {
                changes.dropped.push(dropped(cookie.name(), "set over http, and a Secure one is kept".to_owned()));
                continue;
            }
            let changed = if cookie.has_expired(now) { &mut changes.removed } else { &mut changes.set };
            changed.push(shown_name(cookie.name()));
            for evicted in Arc::make_mut(jar).store(cookie.clone(), now) {
                let name = shown_name(evicted.name());
                changes.set.retain(|set| *set != name);
                changes.evicted.push(name);
            }
            self.set.push(cookie);
        }
        changes
    }

    /// Returns all cookies that responses have set, in order.
    pub(super) fn into_set(self) -> Vec<Cookie> {
        self.set
    }
}

fn dropped(name: &str, reason: String) -> DroppedCookie {
    DroppedCookie { name: shown_name(name), reason }
}

/// Returns the part of a cookie's name that traces display.
fn shown_name(name: &str) -> String {
    match name.char_indices().nth(COOKIE_NAME_SHOWN) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}
