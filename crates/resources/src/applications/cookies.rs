//! Cookies that applications set in live calls: each call has its own jar until it ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use trunkgate_cookies::{Cookie, CookieJar};

/// Jars of the live calls that have cookies, by call SID.
#[derive(Debug, Default)]
pub struct CallCookies {
    jars: HashMap<Box<str>, Arc<CookieJar>>,
}

impl CallCookies {
    /// Returns the cookies of a call.
    pub fn of_call(&self, sid: &str) -> Arc<CookieJar> {
        self.jars.get(sid).cloned().unwrap_or_default()
    }

    /// Stores cookies from a response of the call's application.
    pub fn store(&mut self, sid: &str, cookies: Vec<Cookie>, now: SystemTime) {
        let jar = Arc::make_mut(self.jars.entry(sid.into()).or_default());
        cookies.into_iter().for_each(|cookie| drop(jar.store(cookie, now)));
        if jar.is_empty() {
            self.jars.remove(sid);
        }
    }

    /// Restores the jar of a call.
    pub fn restore(&mut self, sid: &str, jar: CookieJar) {
        if !jar.is_empty() {
            self.jars.insert(sid.into(), Arc::new(jar));
        }
    }

    /// Removes the jar of an ended call.
    pub fn remove(&mut self, sid: &str) {
        self.jars.remove(sid);
    }
}
