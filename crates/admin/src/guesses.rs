//! Failed authentications of the HTTP interfaces, counted for each account and client address.
//!
//! Above a limit per minute, wrong credentials get a delayed 429. Correct credentials of sufficient length still pass,
//! so that other clients at the same address, as behind a proxy, cannot lock out a client. Short credentials could be
//! guessed, so they are rejected like wrong ones until the end of the minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use trunkgate_runtime::http_logins::HttpInterface;
use trunkgate_system::limits::{HTTP_GUESS_DELAY_SECONDS, HTTP_GUESSERS, HTTP_GUESSES_PER_MINUTE, SECRET_CHARACTERS};

/// Period in which failed authentications are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// Credentials of a request, with the result of their comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct PresentedCredentials<'a> {
    /// HTTP interface that the credentials are for.
    pub(super) face: HttpInterface,
    /// Account or key that the credentials name; empty if the interface has a single token, or if the name is unknown.
    pub(super) account: &'a str,
    /// Address of the client (for IPv6 its /64).
    pub(super) source: IpAddr,
    /// Whether the credentials are correct.
    pub(super) is_right: bool,
    /// Length of the correct secret, in characters.
    pub(super) characters: usize,
}

/// Result of an authentication.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoginVerdict {
    /// The request may pass.
    Passed,
    /// The credentials are wrong.
    Wrong,
    /// There were too many wrong credentials; the minute ends after this time.
    TooMany(Duration),
}

/// Failed authentications within a minute, by account and client address; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct GuessLimiter(Arc<Mutex<HashMap<GuessSource, WrongGuesses>>>);

type GuessSource = (HttpInterface, Box<str>, IpAddr);

/// Number of wrong credentials since the first one of a minute.
#[derive(Debug, Clone, Copy)]
struct WrongGuesses {
    since: Instant,
    wrong: u32,
}

impl GuessLimiter {
    /// Checks the credentials of a request, and counts wrong ones.
    pub(super) fn judge(&self, now: Instant, shown: PresentedCredentials<'_>) -> LoginVerdict {
        if shown.is_right && shown.characters >= SECRET_CHARACTERS {
            return LoginVerdict::Passed;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (shown.face, shown.account.into(), shown.source);
        if let Some(left) = all.get(&key).and_then(|count| count.locked(now)) {
            return LoginVerdict::TooMany(left);
        }
        if shown.is_right {
            return LoginVerdict::Passed;
        }
        make_room(&mut all, &key, now);
        let count = all.entry(key).or_insert(WrongGuesses { since: now, wrong: 0 });
        if now.saturating_duration_since(count.since) >= MINUTE {
            *count = WrongGuesses { since: now, wrong: 0 };
        }
        count.wrong += 1;
        if count.wrong == HTTP_GUESSES_PER_MINUTE {
            tracing::warn!(
                source = %shown.source,
                "{}: {HTTP_GUESSES_PER_MINUTE} requests with wrong credentials in a minute; further ones from this address \
                 get 429 until the minute is over",
                shown.face.words()
            );
        }
        LoginVerdict::Wrong
    }
}

impl WrongGuesses {
    /// Returns the rest of the minute if there were too many wrong credentials; `None` otherwise.
    fn locked(&self, now: Instant) -> Option<Duration> {
        let left = MINUTE.checked_sub(now.saturating_duration_since(self.since)).filter(|left| !left.is_zero())?;
        (self.wrong >= HTTP_GUESSES_PER_MINUTE).then_some(left)
    }
}

/// Makes room for a new entry by removing expired ones, otherwise the oldest one.
fn make_room(all: &mut HashMap<GuessSource, WrongGuesses>, key: &GuessSource, now: Instant) {
    if all.len() < HTTP_GUESSERS || all.contains_key(key) {
        return;
    }
    all.retain(|_, count| now.saturating_duration_since(count.since) < MINUTE);
    if all.len() >= HTTP_GUESSERS {
        let oldest = all.iter().min_by_key(|(_, count)| count.since).map(|(key, _)| key.clone());
        oldest.and_then(|key| all.remove(&key));
    }
}

/// Delays the response to a client that guesses credentials. Meanwhile its connection counts as incomplete, so that a
/// new one may evict it.
pub(super) async fn answer_late() {
    tokio::time::sleep(Duration::from_secs(HTTP_GUESS_DELAY_SECONDS)).await;
}

/// Compares two secrets in a time that depends only on the length of `given`.
pub(super) fn is_same_secret(given: &[u8], token: &[u8]) -> bool {
    let mut difference = given.len() ^ token.len();
    for (position, byte) in given.iter().enumerate() {
        let against = token.get(position % token.len().max(1)).copied().unwrap_or_default();
        difference |= usize::from(std::hint::black_box(byte ^ against));
    }
    difference == 0 && !token.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = SECRET_CHARACTERS;

    fn shown(account: &str, source: u32, characters: usize, is_right: bool) -> PresentedCredentials<'_> {
        PresentedCredentials {
            face: HttpInterface::Api,
            account,
            source: IpAddr::V4(source.into()),
            is_right,
            characters,
        }
    }

    fn guessed(guesses: &GuessLimiter, now: Instant, account: &str, source: u32) {
        for _ in 0..HTTP_GUESSES_PER_MINUTE {
            assert_eq!(guesses.judge(now, shown(account, source, LONG, false)), LoginVerdict::Wrong);
        }
    }

    #[test]
    fn right_credentials_pass_whatever_others_at_the_address_have_tried() {
        let (guesses, now) = (GuessLimiter::default(), Instant::now());
        guessed(&guesses, now, "AC1", 1);
        assert_eq!(guesses.judge(now, shown("AC1", 1, LONG, false)), LoginVerdict::TooMany(MINUTE));
        assert_eq!(guesses.judge(now, shown("AC1", 1, LONG, true)), LoginVerdict::Passed);
    }

    #[test]
    fn a_secret_that_could_be_found_by_trying_waits_for_the_end_of_the_minute() {
        let (guesses, now) = (GuessLimiter::default(), Instant::now());
        assert_eq!(guesses.judge(now, shown("AC1", 1, LONG - 1, true)), LoginVerdict::Passed);
        guessed(&guesses, now, "AC1", 1);
        let later = now + Duration::from_secs(20);
        assert_eq!(
            guesses.judge(later, shown("AC1", 1, LONG - 1, true)),
            LoginVerdict::TooMany(Duration::from_secs(40)),
            "no answer tells that it is the right one"
        );
        assert_eq!(guesses.judge(now + MINUTE, shown("AC1", 1, LONG - 1, true)), LoginVerdict::Passed);
    }

    #[test]
    fn wrong_credentials_count_for_one_account_at_one_address() {
        let (guesses, now) = (GuessLimiter::default(), Instant::now());
        guessed(&guesses, now, "AC1", 1);
        for other in [shown("AC1", 2, 1, true), shown("SK1", 1, 1, true)] {
            assert_eq!(guesses.judge(now, other), LoginVerdict::Passed, "{other:?}");
        }
        let native = PresentedCredentials { face: HttpInterface::Http, ..shown("AC1", 1, 1, true) };
        assert_eq!(guesses.judge(now, native), LoginVerdict::Passed);
    }

    #[test]
    fn addresses_that_are_remembered_are_bounded() {
        let (guesses, now) = (GuessLimiter::default(), Instant::now());
        let len = || guesses.0.lock().unwrap().len();
        for n in 0..u32::try_from(HTTP_GUESSERS).unwrap() + 10 {
            assert_eq!(guesses.judge(now, shown("", n, LONG, false)), LoginVerdict::Wrong);
        }
        assert_eq!(len(), HTTP_GUESSERS);
        // A full table still counts a failed authentication.
        guessed(&guesses, now, "", u32::MAX);
        assert_eq!(guesses.judge(now, shown("", u32::MAX, LONG, false)), LoginVerdict::TooMany(MINUTE));
        assert_eq!(len(), HTTP_GUESSERS);
        assert_eq!(guesses.judge(now + MINUTE, shown("", u32::MAX - 1, LONG, false)), LoginVerdict::Wrong);
        assert_eq!(len(), 1, "those of a minute ago are forgotten");
    }
}
