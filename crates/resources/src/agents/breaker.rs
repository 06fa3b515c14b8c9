//! Circuit breaker for an agent that keeps failing: when it is skipped, and which call tests its recovery.
//!
//! ```text
//! closed ── 5 calls failed in 30 s ──► open ── the pause is over: one call tries ──► trial
//!    ▲                                  ▲                                              │
//!    │                                  └────── it fails: a longer pause ──────────────┤
//!    └── a stream that began since is good: 2 calls that fail open it again ◄──────────┘
//! ```
//! A stream has succeeded once its WebSocket is open. If the agent has accepted WebSockets without speaking within
//! `first_audio_timeout`, an open stream proves nothing: the agent must speak or keep the call.
//!
//! Each call counts once, however often its streams fail: the trouble of one caller is not the agent's fault. The
//! same holds for a number that redials: of consecutive calls that the agent had and lost, only the last one counts.
//! An agent that rejects a call in its handshake response has not failed ([`is_failure`]); it is reachable and is no
//! longer skipped.
//!
//! A successful stream clears the failures of streams that began before it: an agent that loses one call of many is
//! not skipped. Results of streams that began before the last trial, or before the agent's URL changed, are ignored.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use trunkgate_media::agent::StreamLoss;

use crate::limits::{
    BREAKER_FAILURES, BREAKER_FIRST_PAUSE_SECONDS, BREAKER_LONGEST_PAUSE_SECONDS, BREAKER_PROBATION_FAILURES,
    BREAKER_WINDOW_SECONDS, PROVEN_SECONDS,
};
use crate::lookups::key::CallKey;

/// Answer of a breaker to a call that requests the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerDecision {
    /// The call may try the agent.
    Try,
    /// The call is the trial: its result decides whether other calls may try the agent.
    Trial,
    /// No call may try the agent for this time.
    Wait(Duration),
    /// Another call is the trial, and its result is pending.
    Tried,
}

/// Failure history of an agent.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Failures while closed, one per call, the oldest first.
    failures: VecDeque<FailedAgentCall>,
    open: Option<OpenBreaker>,
    /// Results of streams that began earlier are ignored: start of the stream that closed the breaker, or time of a
    /// URL change.
    again: Option<Instant>,
    /// Length of the last pause, from the closing of the breaker until a stream succeeds. Meanwhile fewer failures open
    /// it again, with a longer pause.
    on_probation: Option<Duration>,
}

/// A call in which the agent failed.
#[derive(Debug)]
struct FailedAgentCall {
    key: CallKey,
    /// Caller's number, if the agent had the caller.
    number: Option<Box<str>>,
    at: Instant,
    /// Start of the failed stream.
    began: Instant,
}

#[derive(Debug)]
struct OpenBreaker {
    since: Instant,
    pause: Duration,
    next: Instant,
    trial: Option<CallKey>,
    /// Time at which the trial's WebSocket opened, if the last failure was a silent stream: such a trial must still
    /// prove itself.
    trial_open: Option<Instant>,
    /// Whether only probes have failed, and no call.
    by_probes: bool,
    /// Whether the last failure was an open but silent stream.
    was_silent: bool,
}

/// Progress of a stream that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamStage<'a> {
    /// The WebSocket was never open.
    Opening,
    /// The WebSocket was open; with the caller's number, if known.
    Open(Option<&'a str>),
    /// The WebSocket was open and the agent was silent; with the caller's number, if known.
    Silent(Option<&'a str>),
}

impl Breaker {
    /// Returns the breaker of an agent with a changed URL: results from the old URL are ignored.
    pub fn after_url_change(now: Instant) -> Breaker {
        Breaker { again: Some(now), ..Breaker::default() }
    }

    /// Asks for permission to try the agent. A call with [`BreakerDecision::Trial`] decides for others until its stream
    /// succeeds, fails or is abandoned.
    pub fn request_permission(&mut self, now: Instant, key: CallKey) -> BreakerDecision {
        if self.is_proven(now) {
            self.close(now);
        }
        let permission = self.permission(now);
        if let (BreakerDecision::Trial, Some(open)) = (permission, &mut self.open) {
            (open.trial, open.trial_open) = (Some(key), None);
        }
        permission
    }

    /// Returns the permission that a call would get, without a change of state.
    pub fn permission(&self, now: Instant) -> BreakerDecision {
        match &self.open {
            None => BreakerDecision::Try,
            Some(_) if self.is_proven(now) => BreakerDecision::Try,
            Some(OpenBreaker { trial: Some(_), .. }) => BreakerDecision::Tried,
            Some(open) if now < open.next => BreakerDecision::Wait(open.next.saturating_duration_since(now)),
            Some(_) => BreakerDecision::Trial,
        }
    }

    /// Notes that a stream is open. Returns whether this closes the breaker.
    pub fn opened(&mut self, now: Instant, began: Instant) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| began >= open.since) else { return false };
        if open.was_silent {
            open.trial_open = open.trial.map(|_| now);
            return false;
        }
        self.close(began);
        true
    }

    /// Notes that the agent has spoken in a stream. Returns whether this closes the breaker.
    pub fn spoke(&mut self, began: Instant) -> bool {
        let is_open = self.open.as_ref().is_some_and(|open| began >= open.since);
        if is_open {
            self.close(began);
        }
        is_open
    }

    /// Notes that a stream has succeeded. Returns whether this closes the breaker.
    pub fn went_well(&mut self, began: Instant) -> bool {
        let is_back = self.spoke(began);
        if !self.is_past(began) {
            self.failures.retain(|failed| failed.began > began);
            self.on_probation = None;
        }
        is_back
    }

    /// Closes the breaker; results of streams that began before `again` are ignored.
    fn close(&mut self, again: Instant) {
        self.on_probation = self.open.take().map(|open| open.pause);
        self.again = Some(again);
    }

    /// Returns whether the trial's stream has been open for [`PROVEN_SECONDS`]; if so, other calls may try the agent
    /// although it has not spoken.
    fn is_proven(&self, now: Instant) -> bool {
        let opened = self.open.as_ref().and_then(|open| open.trial_open);
        opened.is_some_and(|at| now.saturating_duration_since(at) >= Duration::from_secs(PROVEN_SECONDS))
    }

    /// Notes that a stream of a call has failed. Returns whether this opens the breaker. `stage` has the caller's
    /// number if the agent had the call and may have failed because of it; calls without a number count separately.
    pub fn failed(&mut self, now: Instant, began: Instant, key: CallKey, stage: StreamStage<'_>) -> bool {
        let (was_silent, number) = match stage {
            StreamStage::Opening => (false, None),
            StreamStage::Open(number) => (false, number),
            StreamStage::Silent(number) => (true, number),
        };
        if let Some(open) = &mut self.open {
            if open.trial == Some(key) {
                (open.trial, open.trial_open, open.by_probes) = (None, None, false);
                open.was_silent = was_silent;
                open.pause = longer(open.pause);
                open.next = now + open.pause;
            }
            return false;
        }
        if self.is_past(began) {
            return false;
        }
        let window = Duration::from_secs(BREAKER_WINDOW_SECONDS);
        self.failures.retain(|failed| {
            let redialled = number.is_some() && failed.number.as_deref() == number && failed.at < began;
            now.saturating_duration_since(failed.at) < window && failed.key != key && !redialled
        });
        self.failures.push_back(FailedAgentCall { key, number: number.map(Box::from), at: now, began });
        let enough = if self.on_probation.is_some() { BREAKER_PROBATION_FAILURES } else { BREAKER_FAILURES };
        if self.failures.len() < enough {
            return false;
        }
        let pause = self.on_probation.take().map_or(Duration::from_secs(BREAKER_FIRST_PAUSE_SECONDS), longer);
        self.failures.clear();
        let open = OpenBreaker {
            since: now,
            pause,
            next: now + pause,
            trial: None,
            trial_open: None,
            by_probes: false,
            was_silent,
        };
        self.open = Some(open);
        true
    }

    /// Notes that a probe could not reach the agent: no call tries it until the pause is over. Returns whether this
    /// opens the breaker.
    pub fn missed(&mut self, now: Instant, pause: Duration) -> bool {
        let is_new = self.open.is_none();
        let first = Duration::from_secs(BREAKER_FIRST_PAUSE_SECONDS);
        let open = self.open.get_or_insert(OpenBreaker {
            since: now,
            pause: first,
            next: now,
            trial: None,
            trial_open: None,
            by_probes: true,
            was_silent: false,
        });
        open.next = open.next.max(now + pause);
        is_new
    }

    /// Notes that a call has abandoned its stream before its result was known: another call may try.
    pub fn given_up(&mut self, key: CallKey) {
        if let Some(open) = &mut self.open {
            open.trial = open.trial.filter(|trial| *trial != key);
            open.trial_open = open.trial_open.filter(|_| open.trial.is_some());
        }
    }

    /// Returns the call that is the trial; `None` if calls are not skipping the agent, or no trial is in progress.
    pub fn trial(&self) -> Option<CallKey> {
        self.open.as_ref()?.trial
    }

    /// Returns whether the agent is skipped, except by one trial at a time.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Returns whether the agent is skipped because of probes only.
    pub fn is_by_probes(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.by_probes)
    }

    /// Returns whether a stream began before the stream that closed the breaker, or before the agent's URL changed.
    fn is_past(&self, began: Instant) -> bool {
        self.again.is_some_and(|again| began < again)
    }
}

/// Returns whether a loss is a failure of the agent: all except handshake responses about this one call (401, 403,
/// 404 …). Responses of a busy agent (408, 425, 429) are failures.
pub fn is_failure(loss: StreamLoss) -> bool {
    !matches!(loss, StreamLoss::Status(code @ 400..=499) if !matches!(code, 408 | 425 | 429))
}

fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(Duration::from_secs(BREAKER_LONGEST_PAUSE_SECONDS))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn a_call_that_fails_says_more_than_probes_do() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        assert!(breaker.missed(start, ms(5_000)) && breaker.is_by_probes());
        assert!(!breaker.missed(start + ms(2_000), ms(5_000)) && breaker.is_by_probes());
        let later = start + ms(8_000);
        assert_eq!(breaker.request_permission(later, CallKey(1)), Trial);
        breaker.failed(later + ms(10), later, CallKey(1), StreamStage::Opening);
        assert!(breaker.is_open() && !breaker.is_by_probes());
    }

    /// Event at a millisecond; streams are named by the millisecond at which they began.
    enum Step {
        Asks(u64, BreakerDecision),
        Opens(bool),
        Speaks(bool),
        Fails(u64, bool),
        IsSilent(u64, bool),
        WentWell,
        GivenUp(u64),
    }
    use BreakerDecision::{Trial, Tried, Try, Wait};
    use Step::{Asks, Fails, GivenUp, IsSilent, Opens, Speaks, WentWell};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Runs steps (time, start of the stream, event), each for its own call.
    fn run(name: &str, steps: &[(u64, u64, Step)]) {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        for (n, (at, began, step)) in steps.iter().enumerate() {
            let (now, began) = (start + ms(*at), start + ms(*began));
            match step {
                Asks(key, expected) => {
                    assert_eq!(breaker.request_permission(now, CallKey(*key)), *expected, "{name}, step {n}")
                }
                Opens(expected) => assert_eq!(breaker.opened(now, began), *expected, "{name}, step {n}"),
                Speaks(expected) => assert_eq!(breaker.spoke(began), *expected, "{name}, step {n}"),
                Fails(key, expected) => {
                    let failed = breaker.failed(now, began, CallKey(*key), StreamStage::Opening);
                    assert_eq!(failed, *expected, "{name}, step {n}");
                }
                IsSilent(key, expected) => {
                    let failed = breaker.failed(now, began, CallKey(*key), StreamStage::Silent(None));
                    assert_eq!(failed, *expected, "{name}, step {n}");
                }
                WentWell => {
                    breaker.went_well(began);
                }
                GivenUp(key) => breaker.given_up(CallKey(*key)),
            }
            assert!(breaker.failures.len() < BREAKER_FAILURES, "{name}, step {n}: bounded");
        }
    }

    /// Returns five failures at 0, 100 … 400 ms, which open the breaker.
    fn opened() -> Vec<(u64, u64, Step)> {
        (0..5).map(|n| (n * 100, n * 100, Fails(n, n == 4))).collect()
    }

    fn after(steps: Vec<(u64, u64, Step)>) -> Vec<(u64, u64, Step)> {
        opened().into_iter().chain(steps).collect()
    }

    #[test]
    fn five_failures_in_thirty_seconds_leave_it_alone() {
        run("four are too few", &(0..4).map(|n| (n, n, Fails(n, false))).collect::<Vec<_>>());
        run("five", &after(vec![(401, 0, Asks(9, Wait(ms(999))))]));
        let slow: Vec<_> = (0..20).map(|n| (n * 7_500, n * 7_500, Fails(n, false))).collect();
        run("never five in thirty seconds", &slow);
        let mut spread: Vec<_> = (0..4).map(|n| (n * 7_000, n * 7_000, Fails(n, false))).collect();
        spread.push((29_999, 29_999, Fails(9, true)));
        run("five within one window", &spread);
    }

    #[test]
    fn a_call_counts_once_however_often_its_streams_fail() {
        let one: Vec<_> = (0..20).map(|n| (n * 100, n * 100, Fails(1, false))).collect();
        run("one call", &one);
        let four = (0..4).flat_map(|key| (0..5).map(move |n| (key * 100 + n, key * 100 + n, Fails(key, false))));
        run("four calls, and then a fifth", &four.chain([(900, 900, Fails(9, true))]).collect::<Vec<_>>());
        run(
            "what went well takes back only what began before it",
            &[0_u64, 1, 2, 3]
                .into_iter()
                .map(|key| (key, 0, Fails(key, false)))
                .chain([(10, 10, Fails(3, false)), (11, 5, WentWell)])
                .chain((4..8).map(|key| (20, 20, Fails(key, key == 7))))
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn a_number_that_dials_again_counts_once_where_the_agent_had_it() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let mut failed = |began, at, key, number| {
            breaker.failed(start + ms(at), start + ms(began), CallKey(key), StreamStage::Open(number))
        };
        assert!((0..50).all(|key| !failed(key * 10, key * 10 + 5, key, Some("+14155550100"))));
        assert!(!failed(0, 500, 50, Some("+14155550101")) && !failed(0, 500, 51, None) && !failed(0, 500, 52, None));
        assert!(failed(0, 500, 53, None), "anonymous callers, and calls that it never had, are not one");
        let mut breaker = Breaker::default();
        let stage = StreamStage::Open(Some("+14155550100"));
        let mut at_once = |key| breaker.failed(start + ms(10), start, CallKey(key), stage);
        assert!((0..4).all(|key| !at_once(key)) && at_once(4), "calls of one number at once: a trunk's own, say");
    }

    #[test]
    fn an_answer_about_one_call_is_no_failure_of_the_agent() {
        for code in [400, 401, 403, 404, 410, 499] {
            assert!(!is_failure(StreamLoss::Status(code)), "{code}");
        }
        for loss in [
            StreamLoss::Status(408),
            StreamLoss::Status(429),
            StreamLoss::Status(500),
            StreamLoss::Status(302),
            StreamLoss::Reset,
        ] {
            assert!(is_failure(loss), "{loss}");
        }
    }

    #[test]
    fn losses_from_before_it_moved_count_for_nothing() {
        let start = Instant::now();
        let mut breaker = Breaker::after_url_change(start + ms(1_000));
        let failed = |breaker: &mut Breaker, key, began| {
            breaker.failed(start + ms(2_000), start + ms(began), CallKey(key), StreamStage::Opening)
        };
        assert!((0..20).all(|key| !failed(&mut breaker, key, 999)));
        assert_eq!((20..25).filter(|key| failed(&mut breaker, *key, 1_001)).count(), 1);
    }

    #[test]
    fn one_call_at_a_time_tries_again_after_a_pause_that_grows() {
        run(
            "one trial, which fails",
            &after(vec![
                (1_400, 0, Asks(7, Trial)),
                (1_400, 0, Asks(8, Tried)),
                (1_500, 1_400, Fails(7, false)),
                (1_500, 0, Asks(8, Wait(ms(2_000)))),
                (3_500, 0, Asks(8, Trial)),
                (3_600, 3_500, Fails(8, false)),
                (7_600, 0, Asks(9, Trial)),
                (7_600, 7_600, Fails(9, false)),
                (15_600, 0, Asks(9, Trial)),
                (15_600, 15_600, Fails(9, false)),
                (15_600, 0, Asks(9, Wait(ms(10_000)))),
            ]),
        );
        run(
            "a trial without a waiting call",
            &after(vec![(2_000, 0, Asks(7, Trial)), (2_100, 0, GivenUp(7)), (2_100, 0, Asks(8, Trial))]),
        );
        run(
            "others that were under way say nothing",
            &after(vec![
                (2_000, 0, Asks(7, Trial)),
                (2_100, 300, Fails(3, false)),
                (2_100, 300, GivenUp(3)),
                (2_100, 300, Opens(false)),
                (2_100, 0, Asks(8, Tried)),
            ]),
        );
    }

    #[test]
    fn an_agent_that_opens_and_never_speaks_stays_skipped() {
        let silent = || (0..5).map(|n| (n * 100, n * 100, IsSilent(n, n == 4)));
        let after = |steps: Vec<(u64, u64, Step)>| silent().chain(steps).collect::<Vec<_>>();
        let trial = || vec![(1_400, 0, Asks(7, Trial)), (1_420, 1_400, Opens(false)), (1_430, 0, Asks(8, Tried))];
        let with = |steps: Vec<(u64, u64, Step)>| after(trial().into_iter().chain(steps).collect());
        run(
            "it is silent again",
            &with(vec![
                (5_400, 1_400, IsSilent(7, false)),
                (5_500, 0, Asks(8, Wait(ms(1_900)))),
                (7_400, 0, Asks(8, Trial)),
            ]),
        );
        run(
            "a probe opens a socket and hears nothing",
            &after(vec![(1_000, 900, Opens(false)), (1_400, 0, Asks(7, Trial))]),
        );
        run("it speaks", &with(vec![(2_000, 1_400, Speaks(true)), (2_001, 0, Asks(8, Try))]));
        run("its call goes well", &with(vec![(2_000, 1_400, WentWell), (2_001, 0, Asks(8, Try))]));
        run(
            "it is gone, and back",
            &with(vec![(5_400, 1_400, Fails(7, false)), (7_400, 0, Asks(8, Trial)), (7_420, 7_400, Opens(true))]),
        );
        run(
            "it keeps the call and waits for its caller to speak",
            &with(vec![(11_419, 0, Asks(8, Tried)), (11_420, 0, Asks(8, Try)), (11_421, 0, Asks(9, Try))]),
        );
        run("the caller leaves before it speaks", &with(vec![(3_000, 0, GivenUp(7)), (3_001, 0, Asks(8, Trial))]));
        run(
            "what spoke in a stream of before says nothing",
            &with(vec![(3_000, 300, Speaks(false)), (3_001, 300, WentWell), (3_002, 0, Asks(8, Tried))]),
        );
    }

    #[test]
    fn once_it_opens_all_may_try_and_two_calls_that_fail_are_enough() {
        let trial = |then: Vec<(u64, u64, Step)>| {
            let begun = vec![(2_000, 0, Asks(7, Trial)), (2_050, 2_000, Opens(true)), (2_050, 0, Asks(8, Try))];
            after(begun.into_iter().chain(then).collect())
        };
        run(
            "it connects and closes at once, again and again for one call",
            &trial(vec![
                (2_060, 2_000, Fails(7, false)),
                (2_080, 2_070, Fails(7, false)),
                (2_080, 0, Asks(8, Try)),
                (2_090, 2_080, Fails(8, true)),
                (2_090, 0, Asks(9, Wait(ms(2_000)))),
            ]),
        );
        run(
            "a stream of before that is only now found dead",
            &trial(vec![
                (4_000, 100, Fails(50, false)),
                (4_000, 100, WentWell),
                (4_001, 2_000, Fails(7, false)),
                (4_002, 2_100, Fails(8, true)),
            ]),
        );
        run(
            "a stream went well",
            &trial(vec![(9_000, 2_000, WentWell), (9_001, 3_000, Fails(8, false)), (9_001, 0, Asks(9, Try))]),
        );
    }

    #[test]
    fn what_goes_well_takes_back_what_began_before_it() {
        run(
            "one call of many",
            &(0..200)
                .flat_map(|n| [(n * 100, n * 90, Fails(n, false)), (n * 100 + 1, n * 95, WentWell)])
                .collect::<Vec<_>>(),
        );
        let full: Vec<_> = (0..5)
            .flat_map(|n| [(1_000 + n * 10, 1_000 + n * 10, Fails(n, n == 4)), (1_001 + n * 10, 500, WentWell)])
            .collect();
        run("old streams end well while no new one is taken", &full);
    }

    #[test]
    fn a_clock_that_jumps_harms_nothing() {
        run("a day ahead", &after(vec![(86_400_000, 0, Asks(7, Trial)), (86_400_000, 86_400_000, Opens(true))]));
        run("back to before", &after(vec![(0, 0, Asks(7, Wait(ms(1_400)))), (0, 0, Fails(9, false))]));
    }
}
