//! Cookies of conversations, set by webhooks for messages from one sender to one number, valid for four hours as at
//! Twilio. They are also stored for the next start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use trunkgate_cookies::{Cookie, CookieJar};

pub(crate) use trunkgate_delivery::sinks::store::conversations::{self, StoredJar};
pub(crate) use trunkgate_delivery::sinks::store::{Commit, Store};
use trunkgate_system::clock;
use trunkgate_system::limits::{MESSAGE_COOKIE_JARS, MESSAGE_COOKIE_SECONDS};

/// Sender and number of a conversation.
type ConversationKey = (String, String);

/// Cookies of one conversation, with the time of the last Set-Cookie.
#[derive(Debug)]
struct ConversationJar {
    set_at: SystemTime,
    jar: Arc<CookieJar>,
}

/// Cookies of all conversations, limited in number: the conversation with the oldest last Set-Cookie is evicted.
#[derive(Debug, Default)]
pub(super) struct ConversationCookies {
    jars: Mutex<HashMap<ConversationKey, ConversationJar>>,
}

impl ConversationCookies {
    /// Reads the stored cookies of an earlier process, and removes the expired ones from the store.
    pub(super) async fn restored(store: &Store) -> ConversationCookies {
        let cookies = ConversationCookies::default();
        if !store.has_any() {
            return cookies;
        }
        let now = milliseconds(clock::wall());
        match store.read(move |store: &Connection| conversations::all(store, now)).await {
            Ok(stored) => cookies.restore(stored),
            Err(error) => tracing::warn!(
                "webhooks of messages start without their earlier cookies, because the store cannot be read: {error}"
            ),
        }
        remove_stored(store, now);
        cookies
    }

    fn restore(&self, stored: Vec<StoredJar>) {
        let jars = stored.into_iter().map(|StoredJar { from, to, set_at, jar }| {
            let set_at = UNIX_EPOCH + Duration::from_millis(u64::try_from(set_at).unwrap_or_default());
            ((from, to), ConversationJar { set_at, jar })
        });
        self.lock().extend(jars);
    }

    /// Stores the cookies set by a webhook of the conversation `from`, `to`, in memory and in the store.
    pub(super) fn keep(&self, store: &Store, (from, to): (&str, &str), cookies: Vec<Cookie>) {
        // Hold the lock until the change is queued, so that the store gets the jars of a conversation in order.
        let mut jars = self.lock();
        let Some(stored) = store_cookies(&mut jars, (from, to), cookies, clock::wall()) else { return };
        let put = move |store: &Connection| conversations::put(store, &stored);
        store.submit(Commit::Soon, put, |done| {
            if let Err(error) = done {
                tracing::warn!(
                    "cookies of a message webhook would be lost at a restart, because they cannot be stored: {error}"
                );
            }
        });
    }

    /// Removes the cookies of expired conversations, in memory and in the store.
    pub(super) fn remove_expired(&self, store: &Store) {
        let now = clock::wall();
        let mut jars = self.lock();
        let before = jars.len();
        retain_current(&mut jars, now);
        if jars.len() < before {
            remove_stored(store, milliseconds(now));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationKey, ConversationJar>> {
        self.jars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the cookies to send for a conversation.
    pub(super) fn of_conversation(&self, from: &str, to: &str) -> Arc<CookieJar> {
        let jars = self.lock();
        jars.get(&(from.to_owned(), to.to_owned())).map(|kept| Arc::clone(&kept.jar)).unwrap_or_default()
    }
}

/// Adds cookies set by a webhook of a conversation, each limited to four hours. Returns the conversation's jar.
fn store_cookies(
    jars: &mut HashMap<ConversationKey, ConversationJar>,
    (from, to): (&str, &str),
    cookies: Vec<Cookie>,
    now: SystemTime,
) -> Option<StoredJar> {
    if cookies.is_empty() {
        return None;
    }
    retain_current(jars, now);
    let pair = (from.to_owned(), to.to_owned());
    if jars.len() >= MESSAGE_COOKIE_JARS && !jars.contains_key(&pair) {
        let oldest = jars.iter().min_by_key(|(_, kept)| kept.set_at).map(|(pair, _)| pair.clone());
        oldest.and_then(|oldest| jars.remove(&oldest));
    }
    let kept = jars.entry(pair).or_insert_with(|| ConversationJar { set_at: now, jar: Arc::default() });
    kept.set_at = now;
    let jar = Arc::make_mut(&mut kept.jar);
    let end = now + Duration::from_secs(MESSAGE_COOKIE_SECONDS);
    cookies.into_iter().for_each(|cookie| drop(jar.store(cookie.until(end), now)));
    let (from, to, jar) = (from.to_owned(), to.to_owned(), Arc::clone(&kept.jar));
    Some(StoredJar { from, to, set_at: milliseconds(now), jar })
}

/// Removes expired jars. Jars with a time after `now`, because the clock was set back or another webhook set a cookie
/// meanwhile, are kept.
fn retain_current(jars: &mut HashMap<ConversationKey, ConversationJar>, now: SystemTime) {
    let lifetime = Duration::from_secs(MESSAGE_COOKIE_SECONDS);
    jars.retain(|_, kept| !now.duration_since(kept.set_at).is_ok_and(|age| age >= lifetime));
}

/// Removes the cookies of expired conversations from the store.
fn remove_stored(store: &Store, now: i64) {
    let remove = move |store: &Connection| conversations::remove_expired(store, now);
    store.submit(Commit::Soon, remove, |done| {
        if let Err(error) = done {
            tracing::debug!("expired cookies were not deleted from the store: {error}");
        }
    });
}

/// Returns a time in milliseconds since 1970; 0 for an earlier time.
fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use trunkgate_cookies::RequestSite;

    use super::*;

    const SITE: RequestSite<'_> = RequestSite { host: "a.example", path: "/", is_https: true };

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn set(cookies: &ConversationCookies, from: &str, text: &str, seconds: u64) {
        let cookie = Cookie::parse(text, SITE, at(seconds)).unwrap();
        let stored = store_cookies(&mut cookies.lock(), (from, "+14155550100"), vec![cookie], at(seconds)).unwrap();
        assert_eq!((stored.from.as_str(), stored.set_at), (from, milliseconds(at(seconds))));
    }

    fn sent(cookies: &ConversationCookies, from: &str, seconds: u64) -> Option<String> {
        cookies.of_conversation(from, "+14155550100").header_for(SITE, at(seconds))
    }

    #[test]
    fn a_cookie_belongs_to_one_conversation_for_four_hours() {
        let cookies = ConversationCookies::default();
        set(&cookies, "+14155550111", "step=1", 0);
        set(&cookies, "+14155550111", "short=1; Max-Age=60", 0);
        set(&cookies, "+14155550111", "long=1; Max-Age=99999999", 30);
        assert_eq!(sent(&cookies, "+14155550111", 59).unwrap(), "step=1; short=1; long=1");
        assert_eq!(sent(&cookies, "+14155550111", 14_399).unwrap(), "step=1; long=1");
        assert_eq!(sent(&cookies, "+14155550111", 14_429).unwrap(), "long=1");
        assert_eq!(sent(&cookies, "+14155550111", 14_430), None);
        assert_eq!(sent(&cookies, "+14155550112", 0), None);
        assert_eq!(cookies.of_conversation("+14155550111", "+14155550101").header_for(SITE, at(0)), None);
    }

    #[test]
    fn what_an_earlier_process_left_goes_on() {
        let (before, after) = (ConversationCookies::default(), ConversationCookies::default());
        let cookie = Cookie::parse("step=1; Secure", SITE, at(0)).unwrap();
        let conversation = ("+14155550111", "+14155550100");
        let stored = store_cookies(&mut before.lock(), conversation, vec![cookie], at(0)).unwrap();
        after.restore(vec![stored]);
        assert_eq!(sent(&after, "+14155550111", 14_399).unwrap(), "step=1");
        assert_eq!(sent(&after, "+14155550111", 14_400), None);
        set(&after, "+14155550111", "other=2", 1);
        assert_eq!(sent(&after, "+14155550111", 1).unwrap(), "step=1; other=2");
        // It expires like any other.
        retain_current(&mut after.lock(), at(14_401));
        assert!(after.lock().is_empty());
    }

    #[test]
    fn jars_are_bounded_in_number_and_the_oldest_gives_way() {
        let cookies = ConversationCookies::default();
        for n in 0..=MESSAGE_COOKIE_JARS {
            set(&cookies, &format!("+1415555{n:04}"), "a=1", n as u64 / 100);
        }
        let kept = cookies.jars.lock().unwrap().len();
        assert_eq!(kept, MESSAGE_COOKIE_JARS);
        assert!(sent(&cookies, &format!("+1415555{MESSAGE_COOKIE_JARS:04}"), 60).is_some());
    }
}
