//! Cookies of conversations: those that webhooks of messages from one sender to one number have set, for four hours as at Twilio.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use trunkgate_cookies::{Cookie, CookieJar};

use crate::limits::{MESSAGE_COOKIE_JARS, MESSAGE_COOKIE_SECONDS};

/// Sender and number of a conversation.
type Pair = (String, String);

/// Cookies of one conversation, with the time when a webhook has set one last.
#[derive(Debug)]
struct ConversationJar {
    set_at: SystemTime,
    jar: Arc<CookieJar>,
}

/// Cookies of all conversations, bounded in number: the one in which a cookie was set the longest ago gives way.
#[derive(Debug, Default)]
pub(super) struct ConversationCookies {
    jars: Mutex<HashMap<Pair, ConversationJar>>,
}

impl ConversationCookies {
    /// Returns the cookies of a conversation.
    pub(super) fn of_conversation(&self, from: &str, to: &str) -> Arc<CookieJar> {
        let jars = self.jars.lock().unwrap_or_else(PoisonError::into_inner);
        jars.get(&(from.to_owned(), to.to_owned())).map(|kept| Arc::clone(&kept.jar)).unwrap_or_default()
    }

    /// Stores cookies that a webhook of a conversation has set; each lives for four hours at most.
    pub(super) fn store(&self, (from, to): (&str, &str), cookies: Vec<Cookie>, now: SystemTime) {
        if cookies.is_empty() {
            return;
        }
        let lifetime = Duration::from_secs(MESSAGE_COOKIE_SECONDS);
        let mut jars = self.jars.lock().unwrap_or_else(PoisonError::into_inner);
        // A jar that was set later, by a clock that was set back or another webhook, stays.
        jars.retain(|_, kept| !now.duration_since(kept.set_at).is_ok_and(|age| age >= lifetime));
        let pair = (from.to_owned(), to.to_owned());
        if jars.len() >= MESSAGE_COOKIE_JARS && !jars.contains_key(&pair) {
            let oldest = jars.iter().min_by_key(|(_, kept)| kept.set_at).map(|(pair, _)| pair.clone());
            oldest.and_then(|oldest| jars.remove(&oldest));
        }
        let kept = jars.entry(pair).or_insert_with(|| ConversationJar { set_at: now, jar: Arc::default() });
        kept.set_at = now;
        let jar = Arc::make_mut(&mut kept.jar);
        cookies.into_iter().for_each(|cookie| jar.store(cookie.until(now + lifetime), now));
    }
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
        cookies.store((from, "+14155550100"), vec![cookie], at(seconds));
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
