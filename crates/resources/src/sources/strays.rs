//! Phones that want to register as a user whom no trunk has: not answered, as no stranger gets what need not be said, and told
//! to who runs the edge, with the user that may have been meant. Whoever scans for users sends many.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use trunkgate_route::TokenBucket;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::StrayView;

use crate::limits::{STRAYS_COMPARED_PER_SECOND, UNKNOWN_TOLD_SECONDS};

/// One of them, its names as they may be shown.
#[derive(Debug)]
pub struct Stray {
    /// As whom it wants to register.
    pub user: String,
    /// The user that there is and that is like it.
    pub near: Option<String>,
}

/// What has come.
#[derive(Debug)]
pub struct Strays {
    lately: LastHour<1>,
    /// The last one; one that is like a user of ours is not forgotten for one that is like none.
    last: Option<(Stray, IpAddr, Instant)>,
    compared: TokenBucket,
    /// When a line was last written of one that is like none, and of one that is.
    told: [Option<Instant>; 2],
}

impl Default for Strays {
    fn default() -> Strays {
        let compared = TokenBucket::new(STRAYS_COMPARED_PER_SECOND);
        Strays { lately: LastHour::default(), last: None, compared, told: [None; 2] }
    }
}

impl Strays {
    /// Counts a REGISTER; a line for the log, if one is due. `stray` compares users, which is not done for each of a flood.
    pub fn note(&mut self, now: Instant, source: IpAddr, stray: impl FnOnce() -> Stray) -> Option<String> {
        self.lately.count(now, [true]);
        if !self.compared.take(now) {
            return None;
        }
        let stray = stray();
        let is_like_one = stray.near.is_some();
        let line = self.line(now, source, &stray);
        let is_told = |(last, _, at): &(Stray, IpAddr, Instant)| last.near.is_some() && is_fresh(now, *at);
        if is_like_one || !self.last.as_ref().is_some_and(is_told) {
            self.last = Some((stray, source, now));
        }
        line
    }

    fn line(&mut self, now: Instant, source: IpAddr, stray: &Stray) -> Option<String> {
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

    /// Somebody there has registered as this user: if that one was meant, all is well. Others may be behind one address.
    pub fn known(&mut self, source: IpAddr, user: &str) {
        self.last.take_if(|(stray, last, _)| *last == source && stray.near.as_deref() == Some(user));
    }

    /// The last one of the last hour.
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

/// Whether it was in the last hour.
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
        let stray = |user: &str, near: Option<&str>| Stray { user: user.to_owned(), near: near.map(str::to_owned) };
        let mut strays = Strays::default();
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
