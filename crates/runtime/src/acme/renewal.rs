//! Times of certificate orders: a state machine without clock, files and sockets.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{
    ACME_LEAST_PAUSE_SECONDS, ACME_PAUSE_MOST_SECONDS, ACME_PAUSE_SECONDS, ACME_RETRY_JITTER_SECONDS,
};

/// Delays after failed orders. Five orders fit into an hour, Let's Encrypt's limit of failed validations per host name.
const PAUSES: Backoff =
    Backoff::new(Duration::from_secs(ACME_PAUSE_SECONDS), Duration::from_secs(ACME_PAUSE_MOST_SECONDS));

/// Validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
}

impl Validity {
    /// Returns the time of renewal: after two thirds of the lifetime, plus up to a sixtieth of it, so that edges
    /// started together do not order together.
    fn renewal(self, random: u32) -> Timestamp {
        let life = self.ends.duration_since(self.begins).as_secs().max(0);
        let jitter = (life as f64 / 60.0 * f64::from(random) / f64::from(u32::MAX)) as i64;
        after(self.begins, SignedDuration::from_secs(life / 3 * 2 + jitter))
    }
}

/// Next action of the task that orders certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RenewalAction {
    /// Order a certificate, and report the result by [`Renewal::issued`] or [`Renewal::failed`].
    Order,
    /// Poll again at this time, or earlier.
    Wait(Timestamp),
}

/// Time of the last order, which failed, and the pause after it.
#[derive(Debug, Clone, Copy)]
struct FailedOrder {
    at: Timestamp,
    pause: SignedDuration,
}

/// Decides when the next certificate is ordered.
#[derive(Debug)]
pub(super) struct Renewal {
    certificate: Option<Validity>,
    /// Time of the next order unless the last one failed.
    due: Timestamp,
    failed: Option<FailedOrder>,
    /// Number of consecutive failed orders.
    failures: u32,
}

impl Renewal {
    /// Starts with the certificate in force; without one the first order is due now.
    pub(super) fn new(now: Timestamp, certificate: Option<Validity>, random: u32) -> Renewal {
        let due = certificate.map_or(now, |validity| validity.renewal(random));
        Renewal { certificate, due, failed: None, failures: 0 }
    }

    /// Returns the next action. If the clock was set back behind the last failed order, the pause restarts.
    pub(super) fn poll(&mut self, now: Timestamp) -> RenewalAction {
        if let Some(failed) = &mut self.failed
            && now < failed.at
        {
            // The clock was set back: the pause restarts instead of lasting until the old date.
            failed.at = now;
        }
        let next = self.next();
        if next <= now { RenewalAction::Order } else { RenewalAction::Wait(next) }
    }

    /// Returns the time of the next order.
    pub(super) fn next(&self) -> Timestamp {
        self.failed.map_or(self.due, |failed| after(failed.at, failed.pause))
    }

    /// Returns the validity period of the certificate in force; `None` if there is none.
    pub(super) fn certificate(&self) -> Option<Validity> {
        self.certificate
    }

    /// Records a new certificate. A short-lived or backdated certificate is not renewed before a third of its remaining
    /// lifetime has passed.
    pub(super) fn issued(&mut self, now: Timestamp, certificate: Validity, random: u32) {
        let left = certificate.ends.duration_since(now).as_secs();
        let least = (left / 3).max(i64::try_from(ACME_LEAST_PAUSE_SECONDS).unwrap_or(i64::MAX));
        let due = certificate.renewal(random).max(after(now, SignedDuration::from_secs(least)));
        *self = Renewal { certificate: Some(certificate), due, failed: None, failures: 0 };
    }

    /// Records a failed order. The pause before the next one doubles with each failure; it is at most a quarter of the
    /// remaining lifetime of the certificate in force, and at least the authority's Retry-After.
    pub(super) fn failed(&mut self, now: Timestamp, retry_after: Option<Duration>, random: u32) {
        self.failures = self.failures.saturating_add(1);
        let pause = signed(PAUSES.pause(self.failures, random));
        let left = self.certificate.map(|certificate| certificate.ends.duration_since(now));
        let pause = match left.filter(|left| left.is_positive()) {
            Some(left) => pause.min(left / 4).max(signed(PAUSES.pause(1, random)).min(pause)),
            None => pause,
        };
        let jitter = Duration::from_secs(ACME_RETRY_JITTER_SECONDS).mul_f64(f64::from(random) / f64::from(u32::MAX));
        let asked = retry_after.map_or(SignedDuration::ZERO, |time| signed(time.saturating_add(jitter)));
        self.failed = Some(FailedOrder { at: now, pause: pause.max(asked) });
    }
}

fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}

fn after(at: Timestamp, time: SignedDuration) -> Timestamp {
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;

    /// Returns the time this many seconds after the start of the tests.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn validity(begins: i64, ends: i64) -> Validity {
        Validity { begins: at(begins), ends: at(ends) }
    }

    fn seconds(action: RenewalAction) -> Option<i64> {
        match action {
            RenewalAction::Order => None,
            RenewalAction::Wait(until) => Some(until.duration_since(at(0)).as_secs()),
        }
    }

    #[test]
    fn a_certificate_is_ordered_at_once_and_renewed_after_two_thirds_of_its_life() {
        let cases = [
            ("none", None, 0, None),
            ("new, 90 days", Some(validity(0, 90 * DAY)), 0, Some(60 * DAY)),
            ("new, with the most jitter", Some(validity(0, 90 * DAY)), u32::MAX, Some(60 * DAY + 90 * DAY / 60)),
            ("6 days, dated back by an hour", Some(validity(-HOUR, 6 * DAY - HOUR)), 0, Some(4 * DAY - HOUR)),
            ("two thirds are over", Some(validity(-60 * DAY, 30 * DAY)), 0, None),
            ("expired", Some(validity(-90 * DAY, -DAY)), 0, None),
            ("not valid yet", Some(validity(DAY, 91 * DAY)), 0, Some(61 * DAY)),
        ];
        for (name, certificate, random, expected) in cases {
            let mut renewal = Renewal::new(at(0), certificate, random);
            assert_eq!(seconds(renewal.poll(at(0))), expected, "{name}");
            if let Some(expected) = expected {
                assert_eq!(seconds(renewal.poll(at(expected - 1))), Some(expected), "{name}");
                assert_eq!(seconds(renewal.poll(at(expected))), None, "{name}");
            }
        }
    }

    #[test]
    fn a_new_certificate_begins_a_new_time() {
        let mut renewal = Renewal::new(at(0), None, 0);
        renewal.failed(at(0), None, 0);
        renewal.issued(at(10), validity(10, 90 * DAY), 0);
        assert_eq!(renewal.certificate(), Some(validity(10, 90 * DAY)));
        assert_eq!(seconds(renewal.poll(at(10))), Some(10 + (90 * DAY - 10) / 3 * 2));
        // Valid for ten minutes and backdated by an hour: not renewed at once.
        renewal.issued(at(10), validity(10 - HOUR, 10 + 600), 0);
        assert_eq!(seconds(renewal.poll(at(10))), Some(10 + 200));
        // Valid for seconds.
        renewal.issued(at(10), validity(10, 16), 0);
        assert_eq!(seconds(renewal.poll(at(10))), Some(10 + 30));
    }

    #[test]
    fn pauses_double_up_to_six_hours_and_five_orders_fit_into_an_hour() {
        let mut renewal = Renewal::new(at(0), None, 0);
        let mut now = 0;
        let mut orders = Vec::new();
        while orders.len() < 12 {
            assert_eq!(seconds(renewal.poll(at(now))), None);
            orders.push(now);
            renewal.failed(at(now), None, 0);
            now = seconds(renewal.poll(at(now))).unwrap();
        }
        assert_eq!(orders[..6], [0, 150, 450, 1_050, 2_250, 4_650]);
        assert_eq!(orders[11] - orders[10], 3 * HOUR);
        let mut late = Renewal::new(at(0), None, 0);
        late.failed(at(0), None, u32::MAX);
        assert_eq!(seconds(late.poll(at(0))), Some(300), "the jitter is the second half");
    }

    #[test]
    fn the_end_of_a_certificate_shortens_pauses_and_retry_after_lengthens_them() {
        // Case, certificate in force, preceding failures, Retry-After in seconds, expected pause.
        let cases = [
            ("no certificate", None, 0, None, 150),
            ("long pause", Some(validity(-60 * DAY, 30 * DAY)), 20, None, 3 * HOUR),
            ("two hours left", Some(validity(-DAY, 2 * HOUR)), 20, None, HOUR / 2),
            ("a minute left", Some(validity(-DAY, 60)), 20, None, 150),
            ("expired", Some(validity(-DAY, -60)), 20, None, 3 * HOUR),
            ("rate limit", None, 0, Some(5 * HOUR as u64), 5 * HOUR),
            ("rate limit beyond the end", Some(validity(-DAY, HOUR)), 0, Some(2 * HOUR as u64), 2 * HOUR),
            ("a short Retry-After shortens nothing", None, 3, Some(1), 1_200),
            ("without end", None, 0, Some(u64::MAX), i64::MAX),
        ];
        for (name, certificate, failures, retry_after, pause) in cases {
            let mut renewal = Renewal::new(at(0), certificate, 0);
            for _ in 0..failures {
                renewal.failed(at(0), None, 0);
            }
            renewal.failed(at(0), retry_after.map(Duration::from_secs), 0);
            let expected = at(0).checked_add(SignedDuration::from_secs(pause)).unwrap_or(Timestamp::MAX);
            assert_eq!(renewal.next(), expected, "{name}");
        }
    }

    #[test]
    fn a_clock_that_is_set_is_followed() {
        let mut renewal = Renewal::new(at(0), None, 0);
        renewal.failed(at(0), None, 0);
        // The clock was set back by a day: the pause is not extended.
        assert_eq!(seconds(renewal.poll(at(-DAY))), Some(150 - DAY));
        assert_eq!(seconds(renewal.poll(at(150 - DAY))), None);
        // The clock was set forward: the order is due.
        renewal.failed(at(0), None, 0);
        assert_eq!(seconds(renewal.poll(at(DAY))), None);
    }
}
