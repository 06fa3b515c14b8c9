//! REGISTER requests for users of no trunk. They get no response, since an unknown source must learn nothing; the
//! operator sees them with the configured user that was probably meant. Scanners send many of them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use trunkgate_route::TokenBucket;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::StrayView;

use crate::limits::{STRAYS_COMPARED_PER_SECOND, UNKNOWN_TOLD_SECONDS};

/// A REGISTER for an unknown user; names are masked for display.
#[derive(Debug)]
pub struct UnknownRegistration {
    /// User in the request.
    pub user: String,
    /// Configured user with the most similar name.
    pub near: Option<String>,
}

/// REGISTER requests for unknown users.
#[derive(Debug)]
pub struct UnknownRegistrations {
    lately: LastHour<1>,
    /// Most recent REGISTER; one that resembles a configured user is not displaced by one that does not.
    last: Option<(UnknownRegistration, IpAddr, Instant)>,
    compared: TokenBucket,
    /// Time of the last log line, for users that resemble no configured user and for users that do.
    told: [Option<Instant>; 2],
}

impl Default for UnknownRegistrations {
    fn default() -> UnknownRegistrations {
        let compared = TokenBucket::new(STRAYS_COMPARED_PER_SECOND);
        UnknownRegistrations { lately: LastHour::default(), last: None, compared, told: [None; 2] }
    }
}

impl UnknownRegistrations {
    /// Counts a REGISTER. Returns a log line if one is due. `stray` compares user names, which is limited during a
    /// flood.
    pub fn note(
        &mut self,
        now: Instant,
        source: IpAddr,
        stray: impl FnOnce() -> UnknownRegistration,
    ) -> Option<String> {
        self.lately.count(now, [true]);
        if !self.compared.take_token(now) {
            return None;
        }
        let stray = stray();
        let is_like_one = stray.near.is_some();
        let line = self.line(now, source, &stray);
        let is_told =
            |(last, _, at): &(UnknownRegistration, IpAddr, Instant)| last.near.is_some() && is_fresh(now, *at);
        if is_like_one || !self.last.as_ref().is_some_and(is_told) {
            self.last = Some((stray, source, now));
        }
        line
    }

    fn line(&mut self, now: Instant, source: IpAddr, stray: &UnknownRegistration) -> Option<String> {
        let told = self.told.get_mut(usize::from(stray.near.is_some()))?;
        let every = Duration::from_secs(UNKNOWN_TOLD_SECONDS);
        if told.is_some_and(|at| now.saturating_duration_since(at) < every) {
            return None;
        }
        *told = Some(now);
        let meant = stray.near.as_ref().map(|near| format!(": did you mean \"{near}\"?")).unwrap_or_default();
        let user = &stray.user;
        Some(format!("REGISTER of \"{user}\" from {source} dropped: no trunk has that user in `require_auth`{meant}"))
    }

    /// Notes that a source has registered as this user, which solves the problem if that user was meant. Other phones
    /// may share the address.
    pub fn known(&mut self, source: IpAddr, user: &str) {
        self.last.take_if(|(stray, last, _)| *last == source && stray.near.as_deref() == Some(user));
    }

    /// Returns the most recent REGISTER for an unknown user within the last hour.
    pub fn lately(&self, now: Instant) -> Option<StrayView> {
        let (stray, source, at) = self.last.as_ref().filter(|(.., at)| is_fresh(now, *at))?;
        let [registers] = self.lately.sums(now);
        Some(StrayView {
            user: stray.user.clone(),
            near: stray.near.clone(),
            source: *source,
            registers,
            seconds_ago: now.saturating_duration_since(*at).as_secs(),
        })
    }
}

/// Returns whether a time lies within the last hour.
fn is_fresh(now: Instant, at: Instant) -> bool {
    now.saturating_duration_since(at) < Duration::from_secs(3_600)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn who_is_like_a_user_of_ours_is_told_among_many_who_are_not() {
        let start = Instant::now();
        let (phone, scanner) = (IpAddr::from([192, 0, 2, 7]), IpAddr::from([192, 0, 2, 66]));
        let stray = |user: &str, near: Option<&str>| UnknownRegistration {
            user: user.to_owned(),
            near: near.map(str::to_owned),
        };
        let mut strays = UnknownRegistrations::default();
        let lines: Vec<String> = (0..2_000u64)
            .filter_map(|n| {
                let at = start + Duration::from_millis(30) * n as u32;
                let user = format!("u{n}");
                strays.note(at, scanner, || stray(&user, None))
            })
            .collect();
        assert_eq!(lines.len(), 1, "one a minute: {lines:?}");
        assert!(lines[0].ends_with("no trunk has that user in `require_auth`"), "{lines:?}");
        let now = start + Duration::from_secs(62);
        let line = strays.note(now, phone, || stray("ana", Some("anna"))).unwrap();
        assert!(line.starts_with("REGISTER of \"ana\" from 192.0.2.7") && line.ends_with("did you mean \"anna\"?"));
        let later = now + Duration::from_secs(5);
        assert!(strays.note(later, scanner, || stray("x", None)).is_some());
        let told = strays.lately(later).unwrap();
        assert_eq!((told.user.as_str(), told.near.as_deref(), told.source), ("ana", Some("anna"), phone));
        assert_eq!((told.registers, told.seconds_ago), (2_002, 5));
        assert!(strays.lately(now + Duration::from_secs(3_600)).is_none());
        strays.known(phone, "ben");
        strays.known(scanner, "anna");
        assert!(strays.lately(later).is_some(), "another phone there, and one elsewhere");
        strays.known(phone, "anna");
        assert!(strays.lately(later).is_none());
    }
}
