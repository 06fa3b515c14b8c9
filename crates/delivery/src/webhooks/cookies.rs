//! Cookies of one request: those of its jar, and those that its answers set on the way.

use std::sync::Arc;

use hyper::header::SET_COOKIE;
use trunkgate_cookies::{Cookie, CookieJar};

use super::outcome::Answer;
use super::request::Request;
use super::target::Target;
use trunkgate_system::clock;
use trunkgate_system::limits::COOKIE_NAME_SHOWN;

/// The cookies of a request, through its redirects and further tries.
pub(super) struct RequestCookies {
    /// `None`: the request has none, and keeps none.
    jar: Option<Arc<CookieJar>>,
    set: Vec<Cookie>,
}

impl RequestCookies {
    pub(super) fn of(request: &Request) -> RequestCookies {
        RequestCookies { jar: request.cookies.clone(), set: Vec::new() }
    }

    /// Returns the value of the Cookie header for a URL.
    pub(super) fn header_for(&self, target: &Target) -> Option<String> {
        self.jar.as_ref()?.header_for(target.cookie_site(), clock::wall())
    }

    /// Stores the cookies of an answer, and returns their names. Malformed ones are ignored, as browsers ignore them.
    pub(super) fn store(&mut self, answer: &Answer, target: &Target) -> Vec<String> {
        let Some(jar) = &mut self.jar else { return Vec::new() };
        let now = clock::wall();
        let headers = answer.headers.get_all(SET_COOKIE).into_iter();
        let texts = headers.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        let parsed = texts.filter_map(|text| Cookie::parse(text, target.cookie_site(), now).ok());
        let mut names = Vec::new();
        for cookie in parsed {
            if !jar.accepts(&cookie) {
                continue;
            }
            names.push(shown_name(&cookie));
            Arc::make_mut(jar).store(cookie.clone(), now);
            self.set.push(cookie);
        }
        names
    }

    /// Returns all that were set, in order.
    pub(super) fn into_set(self) -> Vec<Cookie> {
        self.set
    }
}

/// Returns the name of a cookie, as far as it is shown.
fn shown_name(cookie: &Cookie) -> String {
    let name = cookie.name();
    match name.char_indices().nth(COOKIE_NAME_SHOWN) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}
