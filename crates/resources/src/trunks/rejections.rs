//! Calls that a trunk answers or rejects: their number, the texts of rejections, and whether it still rejects calls.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use trunkgate_route::{Trunk, is_busy};
use trunkgate_story::FailureResponse;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{AffectedCalls, RejectedView, RejectionView};

use crate::failures::recovery::Recovery;
use crate::limits::REJECTIONS_KEPT;
use crate::trunks::challenge::auth_fix;

/// Consecutive unanswered calls from which also responses about the callee count against the trunk.
const UNANSWERED_OF_TRUNK: u64 = 10;
/// Minimum of different numbers among [`UNANSWERED_OF_TRUNK`] unanswered calls, to exclude a single busy line.
const NUMBERS_OF_TRUNK: usize = 3;
/// Consecutive rejected numbers, without an answered call between, that count against the trunk.
const REFUSED_IN_ROW: usize = 3;
/// Rejected numbers among the [`LATEST`] calls that count against the trunk, even with answered calls between.
const REFUSED_OF_LATEST: usize = 5;
/// Number of latest calls examined: the threshold is one in three.
const LATEST: usize = 15;
/// Calls rejected by the trunk but taken by another target, since the last lost one, from which callers are no longer
/// considered lost.
const KEPT_SINCE_LOST: u64 = 3;

/// Meaning of a rejection for the trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectionScope {
    /// The trunk does not accept the call.
    Always,
    /// The trunk does not accept the number; several in a row indicate a wrong number format.
    OfNumber,
    /// No evidence in a single call: the callee is busy or absent, or the caller's request is at fault.
    OfParty,
    /// No evidence: the codecs do not match, which counts as a separate fault.
    OfMedia,
}

/// A final response of a trunk to a call, other than 2xx.
#[derive(Debug, Clone, Copy)]
pub struct FinalResponse<'a> {
    /// SID of the call.
    pub sid: &'a str,
    /// Called number.
    pub called: &'a str,
    /// Meaning of the response for the trunk.
    pub how: RejectionScope,
    /// Code and texts of the response.
    pub said: &'a FailureResponse,
    /// Fault of the trunk's `auth` after 401 or 407, or a note that `auth` was sent before a 403.
    pub fault: Option<&'a str>,
    /// Whether no other target was tried; if so, the call ended with this response.
    pub is_lost: bool,
}

/// Final responses of one trunk.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    /// Calls answered or rejected, and calls rejected.
    decided: LastHour<2>,
    /// Rejections by text, the newest last.
    by_words: Vec<RejectionGroup>,
    /// Whether the trunk still rejects calls.
    recovery: Recovery,
    /// Calls since the last answered one.
    unanswered: UnansweredStreak,
    /// Latest calls, the newest last.
    latest: VecDeque<RecentResult>,
    /// Calls rejected since earlier rejections were solved, and calls among them that were lost.
    present: LastHour<2>,
    /// Calls answered or rejected, and rejected, since the start.
    decisions: [u64; 2],
    /// Time of the last rejection.
    at: Option<Instant>,
    /// Whether earlier rejections count as solved only because of changed keys.
    is_withdrawn: bool,
    /// Value of `is_withdrawn` before the current rejections.
    is_unproven: bool,
}

/// Final responses of a trunk other than 2xx since its last answered call.
#[derive(Debug, Default)]
struct UnansweredStreak {
    /// Rejected calls.
    rejected: u64,
    /// Rejected calls that were lost.
    lost: u64,
    /// Rejected calls taken by another target since the last lost one.
    kept: u64,
    /// Calls with a response about the callee (busy or absent).
    of_party: u64,
    /// Some of the numbers that were busy or absent, each once.
    called: Vec<Box<str>>,
    /// Whether a callee was rejected with a code other than 486 and 600 (busy).
    is_more_than_busy: bool,
}

/// A recent call of a trunk.
#[derive(Debug)]
enum RecentResult {
    /// An answered call.
    Answered,
    /// A rejected call that is already counted, or is not evidence.
    Other,
    /// A rejected call that is evidence only together with similar ones.
    Held(Box<PendingRejection>),
}

/// A rejection that counts only together with similar ones.
#[derive(Debug)]
struct PendingRejection {
    is_of_number: bool,
    is_counted: bool,
    one: SingleRejection,
    called: Box<str>,
}

/// A rejection to be counted.
#[derive(Debug, Clone)]
struct SingleRejection {
    said: FailureResponse,
    fault: Option<Box<str>>,
    sid: String,
    is_lost: bool,
    /// Whether no call was answered since the rejection.
    is_in_row: bool,
}

impl UnansweredStreak {
    /// Notes a response about the callee. Returns whether there are enough of them to count against the trunk.
    fn note_of_party(&mut self, called: &str, code: u16) -> bool {
        self.of_party += 1;
        self.is_more_than_busy |= !is_busy(code);
        if self.called.len() < NUMBERS_OF_TRUNK && !self.called.iter().any(|one| **one == *called) {
            self.called.push(called.into());
        }
        let is_of_several = self.called.len() >= NUMBERS_OF_TRUNK || self.is_more_than_busy;
        self.rejected + self.of_party >= UNANSWERED_OF_TRUNK && is_of_several
    }

    /// Counts a rejection in the series since the last answered call.
    fn note(&mut self, one: &SingleRejection) {
        let is_lost = one.is_in_row && one.is_lost;
        self.rejected += u64::from(one.is_in_row);
        self.lost += u64::from(is_lost);
        self.kept = if is_lost { 0 } else { self.kept + 1 };
    }
}

/// Marks rejections as counted. Returns those that were not counted before, for each called number one.
fn uncounted<'a>(held: impl Iterator<Item = (bool, &'a mut PendingRejection)>) -> Vec<SingleRejection> {
    let mut numbers: Vec<Box<str>> = Vec::new();
    let mut singles = Vec::new();
    for (is_in_row, held) in held {
        let was_counted = std::mem::replace(&mut held.is_counted, true);
        let is_known = held.is_of_number && numbers.contains(&held.called);
        if held.is_of_number && !is_known {
            numbers.push(held.called.clone());
        }
        if !was_counted && !is_known {
            singles.push(SingleRejection { is_in_row, ..held.one.clone() });
        }
    }
    singles
}

/// Calls rejected with the same code and phrase.
#[derive(Debug)]
struct RejectionGroup {
    calls: LastHour<1>,
    /// Whether a call of the group was rejected after earlier rejections were solved.
    is_present: bool,
    /// Response to the group's most recent call.
    said: FailureResponse,
    fault: Option<Box<str>>,
    sid: String,
}

impl Rejections {
    /// Counts an answered call, which ends the series of rejections.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.decided.count(now, [true, false]);
        self.decisions[0] += 1;
        self.recovery.note_good();
        self.unanswered = UnansweredStreak::default();
        self.is_withdrawn = false;
        self.push(RecentResult::Answered);
    }

    /// Returns whether the trunk answers some calls while it rejects others.
    pub(crate) fn answers_some(&self, now: Instant) -> bool {
        let [bad, of] = self.recovery.share();
        self.recovery.is_still(now) && (bad < of || self.recovery.good_since() > 0)
    }

    /// Treats rejections as solved, until the next one; counts stay.
    pub(crate) fn withdraw(&mut self) {
        self.is_withdrawn = self.by_words.iter().any(|one| one.is_present) && self.recovery.good_since() == 0;
        self.recovery.withdraw();
        self.unanswered = UnansweredStreak::default();
        self.latest.clear();
    }

    /// Returns the calls answered or rejected since the start, and those rejected.
    pub(crate) const fn decisions(&self) -> [u64; 2] {
        self.decisions
    }

    fn push(&mut self, one: RecentResult) {
        if self.latest.len() >= LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(one);
    }

    /// Counts the trunk's final error response to a call, as far as it is evidence against the trunk.
    pub(crate) fn note(&mut self, now: Instant, response: &FinalResponse<'_>) {
        let FinalResponse { sid, called, how, said, fault, is_lost } = *response;
        self.decided.count(now, [true, false]);
        self.decisions[0] += 1;
        let one = SingleRejection {
            said: said.clone(),
            fault: fault.map(Into::into),
            sid: sid.to_owned(),
            is_lost,
            is_in_row: true,
        };
        let counted = match how {
            RejectionScope::OfMedia => {
                self.push(RecentResult::Other);
                Vec::new()
            }
            RejectionScope::Always => {
                self.push(RecentResult::Other);
                vec![one]
            }
            RejectionScope::OfNumber => {
                let called = called.into();
                self.push(RecentResult::Held(Box::new(PendingRejection {
                    is_of_number: true,
                    is_counted: false,
                    one,
                    called,
                })));
                self.numbers()
            }
            RejectionScope::OfParty => {
                let is_trunks = self.unanswered.note_of_party(called, said.code);
                let called = called.into();
                self.push(RecentResult::Held(Box::new(PendingRejection {
                    is_of_number: false,
                    is_counted: false,
                    one,
                    called,
                })));
                if is_trunks { self.parties() } else { Vec::new() }
            }
        };
        if counted.is_empty() {
            return;
        }
        self.decided.add(now, [0, counted.len() as u64]);
        // Earlier calls were already counted as other calls, and a counter must not decrease.
        self.decisions[1] += 1;
        let answered = self.latest.iter().filter(|one| matches!(one, RecentResult::Answered)).count();
        let good = if counted.iter().all(|one| one.is_in_row) { 0 } else { answered };
        if self.recovery.note_bads(now, counted.len() as u64, good as u64) {
            // Earlier rejections are solved: the current ones may have another cause.
            self.by_words.iter_mut().for_each(|one| one.is_present = false);
            self.present = LastHour::default();
            self.is_unproven = std::mem::take(&mut self.is_withdrawn);
        }
        self.at = Some(now);
        counted.iter().for_each(|one| self.count(now, one));
    }

    /// Returns the latest rejections that can count together, and true if no call was answered since.
    fn held(&mut self, is_of_number: bool) -> impl Iterator<Item = (bool, &mut PendingRejection)> {
        let row = self.latest.iter().rposition(|one| matches!(one, RecentResult::Answered)).map_or(0, |at| at + 1);
        self.latest.iter_mut().enumerate().filter_map(move |(at, one)| match one {
            RecentResult::Held(held) if held.is_of_number == is_of_number => Some((at >= row, &mut **held)),
            RecentResult::Held(_) | RecentResult::Answered | RecentResult::Other => None,
        })
    }

    /// Returns the rejected numbers that count against the trunk now, and marks them as counted: a single wrong number
    /// is not a fault of the trunk, several in a row or many of the latest calls are.
    fn numbers(&mut self) -> Vec<SingleRejection> {
        let (mut all, mut in_row): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for (is_in_row, held) in self.held(true) {
            let called = &*held.called;
            if is_in_row && !in_row.contains(&called) {
                in_row.push(called);
            }
            if !all.contains(&called) {
                all.push(called);
            }
        }
        match (all.len() >= REFUSED_OF_LATEST, in_row.len() >= REFUSED_IN_ROW) {
            (true, _) => uncounted(self.held(true)),
            (false, true) => uncounted(self.held(true).filter(|(is_in_row, _)| *is_in_row)),
            (false, false) => Vec::new(),
        }
    }

    /// Returns the rejections because of busy or absent callees since the last answered call that are not counted yet,
    /// and marks them as counted.
    fn parties(&mut self) -> Vec<SingleRejection> {
        uncounted(self.held(false).filter(|(is_in_row, _)| *is_in_row))
    }

    /// Counts a rejection in the group of its code, phrase and fault.
    fn count(&mut self, now: Instant, one: &SingleRejection) {
        let SingleRejection { said, fault, sid, .. } = one;
        self.present.add(now, [1, u64::from(one.is_lost)]);
        self.unanswered.note(one);
        // Rejections that were solved, or had another cause, are kept apart.
        let same = |known: &RejectionGroup| {
            known.is_present
                && known.fault == *fault
                && (known.said.code, &known.said.phrase) == (said.code, &said.phrase)
        };
        let at = self.by_words.iter().position(same);
        let mut calls = at.map(|at| self.by_words.remove(at).calls).unwrap_or_default();
        self.by_words.retain(|one| one.calls.sums(now) != [0]);
        if self.by_words.len() >= REJECTIONS_KEPT {
            self.by_words.remove(0);
        }
        calls.add(now, [1]);
        let (said, fault, sid) = (said.clone(), fault.clone(), sid.clone());
        self.by_words.push(RejectionGroup { calls, is_present: true, said, fault, sid });
    }

    /// Returns the trunk's rejections of the last hour; `None` if there were none.
    pub(crate) fn view(&self, now: Instant, trunk: &Trunk) -> Option<RejectedView> {
        let [of, calls] = self.decided.sums(now);
        let calls = calls.min(of);
        let last = self.by_words.last().filter(|_| calls > 0)?;
        let answer = |one: &RejectionGroup| {
            let [calls] = one.calls.sums(now);
            let (code, text) = (one.said.code, one.said.words());
            let (fault, retry_after) = (one.fault.as_deref().map(str::to_owned), one.said.retry_after);
            let (leads_on, present) = (trunk.leads_on(code), one.is_present);
            (calls > 0).then_some(RejectionView { code, text, fault, retry_after, leads_on, calls, present })
        };
        // Current ones first, the newest first; then solved ones, the most frequent first.
        let mut answers: Vec<RejectionView> = self.by_words.iter().rev().filter_map(answer).collect();
        answers.sort_by_key(|one| if one.present { (false, 0) } else { (true, u64::MAX - one.calls) });
        let last_sid = last.sid.clone();
        let still = self.recovery.is_still(now);
        let good_since = self.recovery.good_since();
        let in_row = self.unanswered.rejected.min(calls);
        // Callers are no longer lost once another target takes the calls.
        let is_lost = self.unanswered.kept < KEPT_SINCE_LOST;
        let lost = if is_lost { self.unanswered.lost.min(in_row) } else { 0 };
        let [bad, tried] = self.recovery.share();
        let fix = rejection_fix(&answers, (in_row > 0 && lost == 0, bad < tried), trunk);
        let [recent_of, recent_calls] = self.decided.recent(now);
        let recent = AffectedCalls { calls: recent_calls.min(recent_of), of: recent_of };
        let present = [self.present.recent(now), self.present.sums(now)].map(|[calls, _]| calls);
        let [_, present_lost] = self.present.sums(now);
        let (lately, at) = (self.recovery.share(), self.at);
        Some(RejectedView {
            calls,
            of,
            recent,
            present,
            present_lost,
            lately,
            in_row,
            lost,
            still,
            good_since,
            answers,
            fix,
            last_sid,
            at,
            is_mended: !self.is_unproven,
        })
    }
}

/// Maximum codes of one trunk with a fix.
const CODES_ADVISED: usize = 4;

/// Returns the fix for current codes: the newest, and those of at least a quarter of the calls. Solved ones need no
/// fix. `has_next` is true if another target takes the calls, `answers_some` if the trunk answers other calls.
fn rejection_fix(answers: &[RejectionView], (has_next, answers_some): (bool, bool), trunk: &Trunk) -> String {
    let present = || answers.iter().filter(|one| one.present);
    let mut by_code: BTreeMap<u16, u64> = BTreeMap::new();
    for one in present() {
        *by_code.entry(one.code).or_default() += one.calls;
    }
    let all: u64 = by_code.values().sum();
    let mut codes: Vec<u16> = Vec::new();
    for code in present().map(|one| one.code) {
        let is_frequent = by_code.get(&code).is_some_and(|calls| calls * 4 >= all);
        if (codes.is_empty() || is_frequent) && !codes.contains(&code) && codes.len() < CODES_ADVISED {
            codes.push(code);
        }
    }
    let of = if has_next { FailureResponse::advice_beside_a_target } else { FailureResponse::advice };
    let advice = |code: &u16| {
        let by_auth = (trunk.auth.is_some() && matches!(code, 401 | 407)).then(|| auth_fix(&trunk.name));
        let had_credentials = present().any(|one| one.code == *code && one.fault.is_some());
        let said = FailureResponse {
            code: *code,
            had_credentials,
            answers_others: answers_some,
            ..FailureResponse::default()
        };
        Some((*code, by_auth.or_else(|| of(&said).map(str::to_owned))?))
    };
    let advice: Vec<(u16, String)> = codes.iter().filter_map(advice).collect();
    match advice.as_slice() {
        [(_, one)] => one.clone(),
        several => several.iter().map(|(code, fix)| format!("{code}: {fix}")).collect::<Vec<_>>().join(". "),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkgate_route::Credentials;

    use super::*;

    fn reject(rejections: &mut Rejections, now: Instant, code: u16) {
        let (sid, called, how) = ("CA1", "+14155550100", RejectionScope::Always);
        let said = FailureResponse { code, ..FailureResponse::default() };
        rejections.note(now, &FinalResponse { sid, called, how, said: &said, fault: None, is_lost: true });
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn they_are_past_after_three_answers_one_and_a_while_or_other_keys() {
        let start = Instant::now();
        let mut rejections = Rejections::default();
        let still = |rejections: &Rejections, seconds| {
            let now = start + Duration::from_secs(seconds);
            rejections.view(now, &Trunk::named("carrier")).map(|view| (view.still, view.good_since))
        };
        reject(&mut rejections, start, 403);
        reject(&mut rejections, start, 503);
        assert_eq!(still(&rejections, 3_000), Some((true, 0)), "nothing was answered since");
        rejections.answered(start);
        assert_eq!((still(&rejections, 10), still(&rejections, 301)), (Some((true, 1)), Some((false, 1))));
        (0..2).for_each(|_| rejections.answered(start));
        assert_eq!(still(&rejections, 10), Some((false, 3)));
        reject(&mut rejections, start, 403);
        let view = rejections.view(start, &Trunk::named("carrier")).unwrap();
        assert_eq!((view.calls, view.in_row, view.lost), (3, 1, 1), "one since the last answer");
        assert_eq!(view.answers.iter().map(|one| one.leads_on).collect::<Vec<_>>(), [false, true, false]);
        assert!(view.fix.starts_with("Check the allow list") && !view.fix.contains("503"), "mended: {}", view.fix);
        assert_eq!(view.answers.iter().map(|one| one.present).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(view.answers[0].calls, 1, "the same code before the mend is not counted with it");
        let one = |(code, calls)| RejectionView {
            code,
            text: None,
            leads_on: false,
            calls,
            present: true,
            fault: None,
            retry_after: None,
        };
        let fix = rejection_fix(
            &[(500, 1), (502, 8), (503, 8), (504, 1), (429, 7)].map(one),
            (false, false),
            &Trunk::named("carrier"),
        );
        assert!(fix.starts_with("500: ") && fix.contains(". 502: ") && !fix.contains("504: "), "{fix}");
        rejections.withdraw();
        assert!(!still(&rejections, 1).unwrap().0);
        let mut again = Rejections::default();
        reject(&mut again, start, 403);
        again.withdraw();
        reject(&mut again, start, 402);
        assert!(!again.view(start, &Trunk::named("carrier")).unwrap().is_mended, "other keys have mended nothing");
        assert_eq!(rejections.decisions(), [6, 3]);
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn of_a_trunk_that_rejects_some_calls_more_are_to_be_answered_in_a_row() {
        let (now, mut rejections) = (Instant::now(), Rejections::default());
        let state = |rejections: &Rejections| {
            rejections.view(now, &Trunk::named("carrier")).map(|view| (view.still, view.good_since))
        };
        for _ in 0..8 {
            reject(&mut rejections, now, 503);
            assert_eq!(state(&rejections), Some((true, 0)));
            for _ in 0..2 {
                rejections.answered(now);
            }
        }
        assert_eq!(state(&rejections), Some((true, 0)), "two of three are answered: two more say nothing");
        (0..3).for_each(|_| rejections.answered(now));
        assert_eq!(state(&rejections), Some((true, 5)));
        (0..4).for_each(|_| rejections.answered(now));
        assert_eq!(state(&rejections), Some((false, 9)));
        reject(&mut rejections, now, 503);
        (0..3).for_each(|_| rejections.answered(now));
        assert_eq!(state(&rejections), Some((false, 3)), "those before are past");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn refused_credentials_are_missing_or_wrong() {
        let (now, mut rejections) = (Instant::now(), Rejections::default());
        let said = FailureResponse { code: 407, retry_after: Some(9), ..FailureResponse::default() };
        let (sid, called, how) = ("CA1", "+14155550100", RejectionScope::Always);
        let fault = Some("user or password of the trunk's `auth` is wrong");
        rejections.note(now, &FinalResponse { sid, called, how, said: &said, fault, is_lost: true });
        let mut trunk = Trunk::named("carrier");
        let view = rejections.view(now, &trunk).unwrap();
        assert!(view.fix.starts_with("Set `auth` of the trunk"), "{}", view.fix);
        let credentials = Credentials { username: "u".into(), password: "p".into(), realm: None };
        trunk.auth = Some(credentials);
        let view = rejections.view(now, &trunk).unwrap();
        assert_eq!(view.fix, "check user, password and realm of `auth` in [trunk.carrier]");
        assert_eq!((view.answers[0].fault.as_deref(), view.answers[0].retry_after), (fault, Some(9)));
        reject(&mut rejections, now, 403);
        assert!(
            rejections.view(now, &trunk).unwrap().fix.starts_with("403: Check the allow list"),
            "that is another fault"
        );
        let said = FailureResponse { code: 403, had_credentials: true, ..FailureResponse::default() };
        let fault = Some("to a request with credentials");
        rejections.note(now, &FinalResponse { sid, called, how, said: &said, fault, is_lost: true });
        let fix = rejections.view(now, &trunk).unwrap().fix;
        assert!(fix.starts_with("403: The credentials of `auth` were accepted"), "{fix}");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn a_new_fault_stands_before_those_that_were_mended() {
        let start = Instant::now();
        let mut rejections = Rejections::default();
        for (code, calls) in [(403, 4), (503, 6), (402, 1)] {
            (0..calls).for_each(|_| reject(&mut rejections, start, code));
            let view = rejections.view(start, &Trunk::named("carrier")).unwrap();
            assert_eq!((view.answers[0].code, view.answers[0].calls), (code, calls));
            assert!(view.answers.iter().all(|one| one.present == (one.code == code)), "{:?}", view.answers);
            (0..3).for_each(|_| rejections.answered(start));
        }
        let view = rejections.view(start, &Trunk::named("carrier")).unwrap();
        assert_eq!(view.answers.iter().map(|one| one.code).collect::<Vec<_>>(), [402, 503, 403]);
        assert_eq!(view.fix, "Check the balance of the carrier account");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn busy_parties_do_not_hide_rejections_and_none_that_answers_is_the_trunk() {
        let now = Instant::now();
        let of = |codes: &[(u16, usize)], numbers: usize| {
            let mut rejections = Rejections::default();
            for (code, n) in codes.iter().flat_map(|(code, calls)| (0..*calls).map(move |n| (*code, n))) {
                let (said, called) =
                    (FailureResponse { code, ..FailureResponse::default() }, (n % numbers).to_string());
                let how = if code == 403 { RejectionScope::Always } else { RejectionScope::OfParty };
                rejections.note(
                    now,
                    &FinalResponse { sid: "CA1", called: &called, how, said: &said, fault: None, is_lost: true },
                );
            }
            let view = |rejections: &Rejections| {
                rejections.view(now, &Trunk::named("carrier")).map(|view| (view.calls, view.in_row))
            };
            let before = view(&rejections);
            rejections.answered(now);
            assert_eq!(view(&rejections).map(|(_, in_row)| in_row), before.map(|_| 0), "an answered call ends the row");
            before
        };
        assert_eq!(of(&[(403, 4), (486, 3)], 1), Some((4, 4)), "the trunk has not answered since");
        assert_eq!(of(&[(403, 4), (603, 5)], 1), Some((4, 4)), "nine calls are chance");
        assert_eq!(of(&[(403, 4), (603, 8)], 1), Some((12, 12)), "from the tenth call on, those before too");
        assert_eq!(of(&[(603, 12)], 1), Some((12, 12)), "declined by one number");
        assert_eq!(of(&[(486, 40)], 2), None, "two lines that are busy");
        assert_eq!(of(&[(486, 12)], 3), Some((12, 12)), "no line is ever free");
        assert_eq!(of(&[(603, 9)], 9), None, "chance");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn a_wrong_number_brings_no_mended_rejections_back_and_only_those_of_now_rank() {
        let now = Instant::now();
        let mut rejections = Rejections::default();
        let not_found = |rejections: &mut Rejections, called: &str| {
            let (sid, how, said) =
                ("CA2", RejectionScope::OfNumber, FailureResponse { code: 404, ..FailureResponse::default() });
            rejections.note(now, &FinalResponse { sid, called, how, said: &said, fault: None, is_lost: true });
        };
        let view = |rejections: &Rejections| rejections.view(now, &Trunk::named("carrier")).unwrap();
        (0..5).for_each(|_| reject(&mut rejections, now, 403));
        // Calls overlap: the wrong number is rejected before, between or after the other answers.
        not_found(&mut rejections, "1");
        rejections.answered(now);
        not_found(&mut rejections, "2");
        assert_eq!((view(&rejections).calls, view(&rejections).good_since), (5, 1), "an answer counts all the same");
        (0..2).for_each(|_| rejections.answered(now));
        not_found(&mut rejections, "3");
        not_found(&mut rejections, "4");
        not_found(&mut rejections, "4");
        let mended = view(&rejections);
        assert_eq!((mended.calls, mended.of, mended.still, mended.in_row), (5, 13, false, 0));
        // The third number in a row: the carrier does not accept the number format.
        not_found(&mut rejections, "5");
        let again = view(&rejections);
        assert_eq!((again.calls, again.still, again.in_row, again.lost, again.present), (10, true, 3, 3, [5, 5]));
        assert_eq!(again.answers.iter().map(|one| (one.code, one.calls)).collect::<Vec<_>>(), [(404, 5), (403, 5)]);
        not_found(&mut rejections, "5");
        not_found(&mut rejections, "6");
        assert_eq!((view(&rejections).calls, view(&rejections).present), (11, [6, 6]));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn numbers_that_are_not_taken_count_by_their_share_too() {
        let now = Instant::now();
        let run = |calls: &[Option<u32>]| {
            let mut rejections = Rejections::default();
            for call in calls {
                let (called, said) =
                    (call.unwrap_or_default().to_string(), FailureResponse { code: 404, ..FailureResponse::default() });
                let (sid, called, how) = ("CA1", called.as_str(), RejectionScope::OfNumber);
                match call {
                    Some(_) => rejections
                        .note(now, &FinalResponse { sid, called, how, said: &said, fault: None, is_lost: true }),
                    None => rejections.answered(now),
                }
            }
            rejections
        };
        let every = |n: u32, calls: u32| (1..=calls).map(|at| (at % n == 0).then_some(at)).collect::<Vec<_>>();
        let seen = |rejections: &Rejections| {
            let view = rejections.view(now, &Trunk::named("carrier"))?;
            Some((view.calls, view.of, view.still, view.in_row))
        };
        assert_eq!(seen(&run(&every(2, 8))), None, "four numbers may be wrong");
        assert_eq!(seen(&run(&every(2, 12))), Some((6, 12, true, 1)));
        assert_eq!(seen(&run(&every(4, 60))), None, "one in four is never five of fifteen");
        assert_eq!(seen(&run(&[Some(7), None].repeat(20))), None, "one number");
        let mut mended = run(&every(2, 12));
        (0..5).for_each(|_| mended.answered(now));
        assert_eq!(seen(&mended).map(|(.., still, _)| still), Some(true), "half of them are answered anyway");
        mended.answered(now);
        assert_eq!(seen(&mended).map(|(.., still, _)| still), Some(false));
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn rejections_that_another_target_takes_lose_no_callers_and_codecs_are_counted_elsewhere() {
        let now = Instant::now();
        let mut rejections = Rejections::default();
        let mut note = |code: u16, how: RejectionScope, is_lost: bool| {
            let (sid, called, said) = ("CA1", "1", FailureResponse { code, ..FailureResponse::default() });
            rejections.note(now, &FinalResponse { sid, called, how, said: &said, fault: None, is_lost });
            rejections.view(now, &Trunk::named("carrier")).map(|view| (view.calls, view.of, view.lost))
        };
        for calls in 1..=3 {
            assert_eq!(note(403, RejectionScope::Always, true), Some((calls, calls, calls)));
        }
        assert_eq!(note(503, RejectionScope::Always, false), Some((4, 4, 3)));
        assert_eq!(note(503, RejectionScope::Always, false), Some((5, 5, 3)));
        assert_eq!(note(503, RejectionScope::Always, false), Some((6, 6, 0)), "the callers of now get another target");
        for of in 7..=18 {
            assert_eq!(note(488, RejectionScope::OfMedia, true), Some((6, of, 0)));
        }
        assert_eq!(note(403, RejectionScope::Always, true), Some((7, 19, 4)));
    }
}
