//! Problems over time: when each began, and log lines when a problem begins, persists and ends.

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
/// Interval between log lines about a problem that persists.
const LOGGED_EVERY: Duration = Duration::from_secs(600);

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
    harm: Harm,
    headline: String,
    /// Whether the problem is a normal phase of operation; if so, its end is not logged.
    is_wanted: bool,
    /// Time at which the problem was first found.
    since: Timestamp,
    began: Instant,
    /// Time at which the problem was last found as current.
    found: Instant,
    /// Time at which the problem was first listed as past since it was last current.
    past: Option<Instant>,
    /// Time of the first check, since the problem was last found, that found it neither current nor past.
    missed: Option<Instant>,
    logged: Instant,
}

impl WatchedProblem {
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

/// Log line about a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemEvent {
    /// A problem has begun or persists.
    Problem(String),
    /// A problem has ended.
    Over(String),
}

impl ProblemWatch {
    /// Records the problems found by a check, sets the time since which each exists, and returns the lines to log.
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
            let key = problem.kind.key();
            let is_new = !self.known.contains_key(&key);
            let known = self.known.entry(key).or_insert_with(|| WatchedProblem {
                harm: problem.harm,
                headline: problem.headline.clone(),
                is_wanted: problem.kind.is_wanted(),
                since: wall,
                began: now,
                found: now,
                past: None,
                missed: None,
                logged: now,
            });
            if is_logged(problem) && (is_new || now.saturating_duration_since(known.logged) >= LOGGED_EVERY) {
                let lasts = now.saturating_duration_since(known.began).as_secs();
                let time = if is_new { String::new() } else { format!(" for {}", span(lasts)) };
                news.push(ProblemEvent::Problem(format!("problem{time}: {problem}")));
                known.logged = now;
            }
            (known.harm, known.found, known.past, known.missed) = (problem.harm, now, None, None);
            known.headline.clone_from(&problem.headline);
            problem.since = Some(known.since.to_string());
        }
        self.known.retain(|_, known| {
            let Some(ended) = known.ended(now) else { return true };
            if known.harm < Harm::Past && !known.is_wanted {
                let lasted = span(ended.saturating_duration_since(known.began).as_secs());
                news.push(ProblemEvent::Over(format!("problem over after {lasted}: {}", known.headline)));
            }
            false
        });
        news
    }

    /// Returns the number of problems for each harm, as found by the latest check. A problem that is remembered only in
    /// case it recurs does not count.
    pub fn counts(&self) -> [(Harm, usize); 10] {
        let found =
            |harm| self.known.values().filter(move |known| known.harm == harm && Some(known.found) == self.looked);
        Harm::ALL.map(|harm| (harm, if harm == Harm::Past { self.past } else { found(harm).count() }))
    }
}

/// Returns whether a problem is logged. Past problems, lost telemetry, requests from unknown sources, a drain and the
/// start are not.
fn is_logged(problem: &Problem) -> bool {
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
            let lines = news
                .into_iter()
                .map(|(ProblemEvent::Problem(line) | ProblemEvent::Over(line))| line)
                .collect::<Vec<_>>();
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
