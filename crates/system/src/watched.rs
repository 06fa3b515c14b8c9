//! Problems over time: when each began, and reports when a problem begins, persists and ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::problem::{Harm, Problem};
use super::text::span;

/// Time after which a problem that is no longer found counts as ended. If it was listed as past before, it ends at
/// once.
const OVER_AFTER: Duration = Duration::from_secs(4);
/// Time for which a problem may be listed as past before it counts as ended.
const PAST_AFTER: Duration = Duration::from_secs(60);
/// Interval between reports of a problem that persists.
const REPORTED_EVERY: Duration = Duration::from_secs(600);

/// Problems known from earlier checks.
#[derive(Debug, Default)]
pub struct ProblemWatch {
    known: BTreeMap<String, WatchedProblem>,
    /// Time of the latest check.
    looked: Option<Instant>,
    /// Number of past problems in the latest check.
    past: usize,
}

#[derive(Debug)]
struct WatchedProblem {
    /// Problem as last found as current.
    problem: Problem,
    /// Time at which the problem was first found.
    since: Timestamp,
    began: Instant,
    /// Time at which the problem was last found as current.
    found: Instant,
    /// Time at which the problem was first listed as past since it was last current.
    past: Option<Instant>,
    /// Time of the first check, since the problem was last found, that found it neither current nor past.
    missed: Option<Instant>,
    /// Time of the last report; `None` if the problem was not worth one so far.
    reported: Option<Instant>,
}

impl WatchedProblem {
    /// Returns the seconds from the begin of the problem to a time.
    fn lasted(&self, until: Instant) -> u64 {
        until.saturating_duration_since(self.began).as_secs()
    }

    /// Returns the time at which the problem ended; `None` if it persists.
    fn ended(&self, now: Instant) -> Option<Instant> {
        let lasts = |since: Instant| now.saturating_duration_since(since);
        match (self.missed, self.past) {
            (Some(missed), past) => (past.is_some() || lasts(missed) >= OVER_AFTER).then_some(missed),
            (None, Some(past)) => (lasts(past) >= PAST_AFTER).then_some(past),
            (None, None) => None,
        }
    }
}

/// Report of a problem.
#[derive(Debug, Clone, PartialEq)]
pub struct ProblemEvent {
    /// Stage of the problem.
    pub stage: ProblemStage,
    /// The report as a line of the log.
    pub text: String,
    /// The problem, as last found as current.
    pub problem: Problem,
}

/// Stage of a reported problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemStage {
    /// The problem has begun.
    Began,
    /// The problem persists, ten minutes after the last report.
    Persists,
    /// The problem has ended.
    Ended,
}

impl ProblemWatch {
    /// Records the problems found by a check, sets the time since which each exists, and returns the reports.
    pub fn note(&mut self, (now, wall): (Instant, Timestamp), problems: &mut [Problem]) -> Vec<ProblemEvent> {
        let mut news = Vec::new();
        self.looked = Some(now);
        for known in self.known.values_mut() {
            known.missed.get_or_insert(now);
        }
        self.past = problems.iter().filter(|problem| problem.harm == Harm::Past).count();
        for problem in problems {
            // The time of a past problem is the one at which it was current.
            if problem.harm == Harm::Past {
                problem.since = self.known.get_mut(&problem.kind.key()).map(|known| {
                    known.missed = None;
                    known.past.get_or_insert(now);
                    known.since.to_string()
                });
                continue;
            }
            let known = self.known.entry(problem.kind.key()).or_insert_with(|| WatchedProblem {
                problem: problem.clone(),
                since: wall,
                began: now,
                found: now,
                past: None,
                missed: None,
                reported: None,
            });
            problem.since = Some(known.since.to_string());
            (known.found, known.past, known.missed) = (now, None, None);
            known.problem.clone_from(problem);
            let is_due = known.reported.is_none_or(|at| now.saturating_duration_since(at) >= REPORTED_EVERY);
            if is_due && is_reported(problem) {
                let (stage, time) = match known.reported.replace(now) {
                    None => (ProblemStage::Began, String::new()),
                    Some(_) => (ProblemStage::Persists, format!(" for {}", span(known.lasted(now)))),
                };
                news.push(ProblemEvent { stage, text: format!("problem{time}: {problem}"), problem: problem.clone() });
            }
        }
        self.known.retain(|_, known| {
            let Some(ended) = known.ended(now) else { return true };
            if known.reported.is_some() {
                let text = format!("problem over after {}: {}", span(known.lasted(ended)), known.problem.headline);
                news.push(ProblemEvent { stage: ProblemStage::Ended, text, problem: known.problem.clone() });
            }
            false
        });
        news
    }

    /// Reports the current problems with the next check once more, as if they began then.
    pub fn report_again(&mut self) {
        self.known.values_mut().for_each(|known| known.reported = None);
    }

    /// Returns the number of problems for each harm, as found by the latest check. A problem that is remembered only in
    /// case it recurs does not count.
    pub fn counts(&self) -> [(Harm, usize); 10] {
        let found = |harm| {
            self.known.values().filter(move |known| known.problem.harm == harm && Some(known.found) == self.looked)
        };
        Harm::ALL.map(|harm| (harm, if harm == Harm::Past { self.past } else { found(harm).count() }))
    }
}

/// Returns whether a problem is reported. Past problems, lost telemetry, requests from unknown sources, a drain and the
/// start are not.
fn is_reported(problem: &Problem) -> bool {
    problem.harm < Harm::Past && !problem.kind.is_wanted()
}

#[cfg(test)]
mod tests {
    use super::super::problem::kind::{EdgeProblem, ProblemKind};
    use super::*;

    #[test]
    fn counts_are_those_of_the_last_look() {
        let (start, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let mut watched = ProblemWatch::default();
        let mut at = |seconds: u64, found: &[Harm]| {
            let mut problems: Vec<Problem> =
                found.iter().map(|harm| Problem::of(ProblemKind::Edge(EdgeProblem::Overloaded)).harms(*harm)).collect();
            watched.note((start + Duration::from_secs(seconds), wall), &mut problems);
            watched.counts().into_iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>()
        };
        assert_eq!(at(0, &[Harm::Calls]), [(Harm::Calls, 1)]);
        assert_eq!(at(5, &[Harm::Past]), [(Harm::Past, 1)], "not for a minute more");
        assert_eq!(at(10, &[]), []);
        assert_eq!(at(15, &[Harm::Calls]), [(Harm::Calls, 1)]);
    }

    #[test]
    fn a_problem_is_reported_once_it_is_worth_it_and_its_end_only_then() {
        let (start, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let mut watched = ProblemWatch::default();
        let mut at = |seconds: u64, found: &[Harm]| {
            let mut problems: Vec<Problem> =
                found.iter().map(|harm| Problem::of(ProblemKind::Edge(EdgeProblem::Overloaded)).harms(*harm)).collect();
            let news = watched.note((start + Duration::from_secs(seconds), wall), &mut problems);
            news.into_iter().map(|event| event.stage).collect::<Vec<_>>()
        };
        assert_eq!(at(0, &[Harm::Telemetry]), []);
        assert_eq!(at(5, &[Harm::Calls]), [ProblemStage::Began]);
        assert_eq!(at(605, &[Harm::Calls]), [ProblemStage::Persists]);
        assert_eq!(at(610, &[Harm::Telemetry]), []);
        assert_eq!(at(615, &[]), []);
        assert_eq!(at(620, &[]), [ProblemStage::Ended]);
        assert_eq!(at(625, &[Harm::Strangers]), []);
        assert_eq!(at(630, &[]), []);
        assert_eq!(at(635, &[]), [], "what was not reported has no end");
    }

    #[test]
    fn a_problem_is_logged_when_it_begins_each_ten_minutes_and_when_it_is_over() {
        let (start, wall) = (Instant::now(), Timestamp::UNIX_EPOCH);
        let mut watched = ProblemWatch::default();
        let mut at = |seconds: u64, found: &[(Harm, &str)]| {
            let problem = |(harm, calls): &(Harm, &str)| {
                let calls = calls.parse().unwrap();
                Problem::of(ProblemKind::Edge(EdgeProblem::LogLinesLost { count: calls })).harms(*harm)
            };
            let mut problems: Vec<Problem> = found.iter().map(problem).collect();
            let time = Duration::from_secs(seconds);
            let news = watched.note((start + time, wall + time), &mut problems);
            let lines = news.into_iter().map(|event| event.text).collect::<Vec<_>>();
            (lines.join("; "), problems.pop().and_then(|problem| problem.since))
        };
        let since = Some("1970-01-01T00:00:00Z".to_owned());
        assert_eq!(at(0, &[(Harm::Calls, "3")]), ("problem: 3 log lines lost".to_owned(), since.clone()));
        assert_eq!(at(5, &[(Harm::Calls, "4")]), (String::new(), since.clone()), "figures make no other problem");
        assert_eq!(at(30, &[]), (String::new(), None), "gone, and back at once");
        let lasts = "problem for 10 min 0 s: 9 log lines lost".to_owned();
        assert_eq!(at(35, &[(Harm::Calls, "5")]).0, "");
        assert_eq!(at(600, &[(Harm::Calls, "9")]).0, lasts);
        assert_eq!(at(630, &[(Harm::Past, "9")]), (String::new(), since.clone()), "listed with its time");
        assert_eq!(at(640, &[]).0, "problem over after 10 min 40 s: 9 log lines lost", "calls went well before");
        let since = Some("1970-01-01T00:10:41Z".to_owned());
        assert_eq!(at(641, &[(Harm::Calls, "1")]), ("problem: 1 log lines lost".to_owned(), since), "another one");
        assert_eq!(at(650, &[]).0, "");
        assert_eq!(at(655, &[]).0, "problem over after 9 s: 1 log lines lost", "within 10 s: looks are 5 s apart");
        assert_eq!(at(661, &[(Harm::Calls, "2")]).0, "problem: 2 log lines lost");
        assert_eq!(at(664, &[(Harm::Past, "2")]).0, "");
        assert_eq!(at(724, &[(Harm::Past, "2")]).0, "problem over after 3 s: 2 log lines lost", "listed for an hour");
        assert_eq!(at(729, &[(Harm::Past, "2")]), (String::new(), None));
        assert_eq!(at(730, &[(Harm::Strangers, "1")]).0, "", "strangers fill no log");
    }
}
