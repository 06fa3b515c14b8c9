//! The cookies of one call or conversation.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::cookie::{Cookie, RequestSite};

/// Most cookies of a jar; the oldest gives way to a new one.
pub const MAX_COOKIES: usize = 50;
/// Most bytes of all texts of a jar; the oldest cookies give way to a new one.
pub const MAX_JAR_BYTES: usize = 16 * 1024;

/// Cookies in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CookieJar {
    cookies: Vec<Cookie>,
}

impl CookieJar {
    /// Returns whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    /// Returns whether a cookie may be set: one of plain HTTP must not replace a Secure cookie.
    #[must_use]
    pub fn accepts(&self, cookie: &Cookie) -> bool {
        !self.cookies.iter().any(|kept| kept.is_shadowed_by(cookie))
    }

    /// Keeps a cookie in the place of an earlier one of the same name, domain and path. One that has expired removes it.
    /// A cookie that may not be set changes nothing: another request may have set a Secure one in the meantime. Returns the
    /// cookies that gave way to it.
    pub fn store(&mut self, cookie: Cookie, now: SystemTime) -> Vec<Cookie> {
        let mut evicted = Vec::new();
        self.cookies.retain(|kept| !kept.has_expired(now));
        if !self.accepts(&cookie) {
            return evicted;
        }
        let earlier = self.cookies.iter().position(|kept| kept.is_same(&cookie));
        match (earlier, cookie.has_expired(now)) {
            (Some(at), true) => drop(self.cookies.remove(at)),
            (None, true) => return evicted,
            (Some(at), false) => {
                if let Some(place) = self.cookies.get_mut(at) {
                    *place = cookie;
                }
            }
            (None, false) => self.cookies.push(cookie),
        }
        while self.cookies.len() > MAX_COOKIES || self.size() > MAX_JAR_BYTES {
            evicted.push(self.cookies.remove(0));
        }
        evicted
    }

    /// Returns the value of the Cookie header for a request; `None`: no cookie belongs to it.
    #[must_use]
    pub fn header_for(&self, site: RequestSite<'_>, now: SystemTime) -> Option<String> {
        let belongs = |cookie: &&Cookie| cookie.belongs_to(site) && !cookie.has_expired(now);
        let mut cookies: Vec<&Cookie> = self.cookies.iter().filter(belongs).collect();
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path_length()));
        let pairs: Vec<String> = cookies.into_iter().map(Cookie::pair).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn size(&self) -> usize {
        self.cookies.iter().map(Cookie::size).sum()
    }
}
