//! Cookie jar of one call or conversation.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::cookie::{Cookie, RequestSite};

/// Maximum number of cookies in a jar; one more evicts the oldest.
pub const MAX_COOKIES: usize = 50;
/// Maximum size of a jar in bytes (names, values, domains and paths); a new cookie evicts the oldest ones.
pub const MAX_JAR_BYTES: usize = 16 * 1024;

/// Cookie jar; its cookies are in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CookieJar {
    cookies: Vec<Cookie>,
}

impl CookieJar {
    /// Returns whether the jar contains no cookie.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    /// Returns whether a cookie may be stored: one set over plain HTTP must not replace or hide a Secure one.
    #[must_use]
    pub fn accepts(&self, cookie: &Cookie) -> bool {
        !self.cookies.iter().any(|kept| kept.is_shadowed_by(cookie))
    }

    /// Stores a cookie and returns the cookies evicted for it. The new cookie replaces an earlier one with the same
    /// name, domain and path; an expired one removes it. A cookie that is not accepted (see [`Self::accepts`]) changes
    /// nothing.
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

    /// Returns the value of the Cookie header for a request; `None` if no cookie matches.
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
