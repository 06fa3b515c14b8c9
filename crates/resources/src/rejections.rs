//! Calls that a trunk answers or rejects: how many, with what words, and whether it rejects calls still.

use std::collections::BTreeMap;
use std::time::Instant;

use trunkgate_route::Trunk;
use trunkgate_story::Said;
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{Recent, RejectedView, RejectionView};

use crate::challenge::auth_fix;
use crate::limits::REJECTIONS_KEPT;
use crate::recovery::Recovery;

/// Calls in a row without an answer, from which on also responses that speak of the called party count against the trunk …
const UNANSWERED_OF_TRUNK: u64 = 10;
/// … where they are more than a busy line of fewer numbers than these.
const NUMBERS_OF_TRUNK: usize = 3;
/// Numbers in a row that are not taken, with no call answered between, from which on that is the trunk's fault.
const REFUSED_NUMBERS_OF_TRUNK: usize = 3;

/// What a rejection says of the trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// It does not take the call.
    Always,
    /// It does not take that number: where several in a row are not taken, all are written in a form that it does not take.
    OfNumber,
    /// Nothing of a single call: the called party is busy or absent, or it is what the caller has sent.
    OfParty,
}

/// A final response of a trunk to a call, other than 2xx.
#[derive(Debug, Clone, Copy)]
pub struct FinalResponse<'a> {
    /// The call.
    pub sid: &'a str,
    /// The called number.
    pub called: &'a str,
    /// What the response says of the trunk.
    pub how: Rejected,
    /// Its code and words.
    pub said: &'a Said,
    /// What is wrong with the trunk's `auth`, where it refused that; or that it was shown, where a 403 followed.
    pub fault: Option<&'a str>,
    /// Whether the call ended by it: no other target was tried.
    pub is_lost: bool,
}

/// The final responses of one trunk.
#[derive(Debug, Default)]
pub(crate) struct Rejections {
    /// Calls that it has decided about, and those of them that it rejected.
    decided: LastHour<2>,
    /// With what, the newest last.
    by_words: Vec<Rejection>,
    /// Whether it rejects calls still.
    recovery: Recovery,
    /// Since it last answered one.
    unanswered: Unanswered,
    /// Calls that it rejected since those before were mended.
    present: LastHour<1>,
    /// Calls decided and rejected since the start.
    decisions: [u64; 2],
}

/// Final responses of a trunk other than 2xx since it last answered a call.
#[derive(Debug, Default)]
struct Unanswered {
    /// Calls that it rejected.
    rejected: u64,
    /// Those of them that were lost.
    lost: u64,
    /// Calls whose called party was busy or absent, by what the trunk said.
    of_party: u64,
    /// Some of the numbers of these, each once.
    called: Vec<Box<str>>,
    /// One of these parties was not just busy.
    is_more_than_busy: bool,
    /// Numbers that it did not take, each once, and the calls of the first ones that were lost.
    refused: Vec<Box<str>>,
    refused_lost: u64,
}

/// Calls to be counted as rejections, and those of them that were lost.
#[derive(Debug, Clone, Copy)]
struct Counted {
    calls: u64,
    lost: u64,
}

impl Unanswered {
    /// Notes a number that is not taken; returns the calls that count now: one wrong number is no fault of the trunk.
    fn note_number(&mut self, called: &str, is_lost: bool) -> Option<Counted> {
        let lost = u64::from(is_lost);
        let is_known = self.refused.iter().any(|one| **one == *called);
        if self.refused.len() >= REFUSED_NUMBERS_OF_TRUNK {
            return (!is_known).then_some(Counted { calls: 1, lost });
        }
        if !is_known {
            self.refused.push(called.into());
            self.refused_lost += lost;
        }
        let (calls, lost) = (self.refused.len() as u64, self.refused_lost);
        (!is_known && self.refused.len() == REFUSED_NUMBERS_OF_TRUNK).then_some(Counted { calls, lost })
    }

    /// Notes a response that speaks of the called party; whether there are so many that they speak of the trunk.
    fn note_of_party(&mut self, called: &str, code: u16) -> bool {
        self.of_party += 1;
        self.is_more_than_busy |= !matches!(code, 486 | 600);
        if self.called.len() < NUMBERS_OF_TRUNK && !self.called.iter().any(|one| **one == *called) {
            self.called.push(called.into());
        }
        let is_of_several = self.called.len() >= NUMBERS_OF_TRUNK || self.is_more_than_busy;
        self.rejected + self.of_party >= UNANSWERED_OF_TRUNK && is_of_several
    }
}

/// Calls that were rejected with the same code and phrase.
#[derive(Debug)]
struct Rejection {
    calls: LastHour<1>,
    /// Whether one of them came since the rejections before it were past.
    is_present: bool,
    /// Of the last one, and its call's sid.
    said: Said,
    fault: Option<Box<str>>,
    sid: String,
}

impl Rejections {
    /// Notes that it has answered a call.
    pub(crate) fn answered(&mut self, now: Instant) {
        self.decided.count(now, [true, false]);
        self.decisions[0] += 1;
        self.recovery.note_good();
        self.unanswered = Unanswered::default();
    }

    /// Takes its rejections as mended, until the next one; counts stay.
    pub(crate) fn withdraw(&mut self) {
        self.recovery.withdraw();
        self.unanswered = Unanswered::default();
    }

    /// Returns how many calls it has answered or rejected since the start, and how many of these it rejected.
    pub(crate) const fn decisions(&self) -> [u64; 2] {
        self.decisions
    }

    /// Notes its final response to a call.
    pub(crate) fn note(&mut self, now: Instant, response: &FinalResponse<'_>) {
        let FinalResponse { sid, called, how, said, fault, is_lost } = *response;
        let one = Counted { calls: 1, lost: u64::from(is_lost) };
        let counted = match how {
            Rejected::Always => Some(one),
            Rejected::OfNumber => self.unanswered.note_number(called, is_lost),
            Rejected::OfParty => self.unanswered.note_of_party(called, said.code).then_some(one),
        };
        self.decided.add(now, [1, counted.map_or(0, |counted| counted.calls)]);
        self.decisions[0] += 1;
        let Some(counted) = counted else { return };
        // Those before were counted as other calls, and a counter does not go down.
        self.decisions[1] += 1;
        if self.recovery.note_bad(now) {
            // Those before are mended: these may have another cause.
            self.by_words.iter_mut().for_each(|one| one.is_present = false);
            self.present = LastHour::default();
        }
        self.present.add(now, [counted.calls]);
        self.unanswered.rejected += counted.calls;
        self.unanswered.lost += counted.lost;
        // Those that were mended, or had another cause, are told apart.
        let same = |one: &Rejection| {
            one.is_present
                && one.fault.as_deref() == fault
                && (one.said.code, &one.said.phrase) == (said.code, &said.phrase)
        };
        let at = self.by_words.iter().position(same);
        let mut calls = at.map(|at| self.by_words.remove(at).calls).unwrap_or_default();
        self.by_words.retain(|one| one.calls.sums(now) != [0]);
        if self.by_words.len() >= REJECTIONS_KEPT {
            self.by_words.remove(0);
        }
        calls.add(now, [counted.calls]);
        let (said, fault, sid) = (said.clone(), fault.map(Into::into), sid.to_owned());
        self.by_words.push(Rejection { calls, is_present: true, said, fault, sid });
    }

    /// Returns the rejections of the last hour by `trunk`.
    pub(crate) fn view(&self, now: Instant, trunk: &Trunk) -> Option<RejectedView> {
        let [of, calls] = self.decided.sums(now);
        let calls = calls.min(of);
        let last = self.by_words.last().filter(|_| calls > 0)?;
        let answer = |one: &Rejection| {
            let [calls] = one.calls.sums(now);
            let (code, text) = (one.said.code, one.said.words());
            let (fault, retry_after) = (one.fault.as_deref().map(str::to_owned), one.said.retry_after);
            let (leads_on, present) = (trunk.leads_on(code), one.is_present);
            (calls > 0).then_some(RejectionView { code, text, fault, retry_after, leads_on, calls, present })
        };
        // The newest of those that may be so still, then what was mended before them, the most frequent first.
        let mut answers: Vec<RejectionView> = self.by_words.iter().rev().filter_map(answer).collect();
        answers.sort_by_key(|one| if one.present { (false, 0) } else { (true, u64::MAX - one.calls) });
        let last_sid = last.sid.clone();
        let still = self.recovery.is_still(now);
        let good_since = self.recovery.good_since();
        let in_row = self.unanswered.rejected.min(calls);
        let lost = self.unanswered.lost.min(in_row);
        let fix = rejection_fix(&answers, in_row > 0 && lost == 0, trunk);
        let [recent_of, recent_calls] = self.decided.recent(now);
        let recent = Recent { calls: recent_calls.min(recent_of), of: recent_of };
        let present = [self.present.recent(now), self.present.sums(now)].map(|[calls]| calls);
        Some(RejectedView { calls, of, recent, present, in_row, lost, still, good_since, answers, fix, last_sid })
    }
}

/// Codes of one trunk that advice is given for.
const CODES_ADVISED: usize = 4;

/// Returns what would help with the codes of now: the newest, then those of at least a quarter of the calls. What was mended
/// before needs no advice. `has_next`: another target takes the calls.
fn rejection_fix(answers: &[RejectionView], has_next: bool, trunk: &Trunk) -> String {
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
    let of = if has_next { Said::advice_beside_a_target } else { Said::advice };
    let advice = |code: &u16| {
        let by_auth = (trunk.auth.is_some() && matches!(code, 401 | 407)).then(|| auth_fix(&trunk.name));
        let had_credentials = present().any(|one| one.code == *code && one.fault.is_some());
        let said = Said { code: *code, had_credentials, ..Said::default() };
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
        let (sid, called, how) = ("CA1", "+14155550100", Rejected::Always);
        let said = Said { code, ..Said::default() };
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
            false,
            &Trunk::named("carrier"),
        );
        assert!(fix.starts_with("500: ") && fix.contains(". 502: ") && !fix.contains("504: "), "{fix}");
        rejections.withdraw();
        assert!(!still(&rejections, 1).unwrap().0);
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
        let said = Said { code: 407, retry_after: Some(9), ..Said::default() };
        let (sid, called, how) = ("CA1", "+14155550100", Rejected::Always);
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
        let said = Said { code: 403, had_credentials: true, ..Said::default() };
        let fault = Some("to a request with credentials");
        rejections.note(now, &FinalResponse { sid, called, how, said: &said, fault, is_lost: true });
        let fix = rejections.view(now, &trunk).unwrap().fix;
        assert!(fix.starts_with("403: The credentials of `auth` were not challenged again"), "{fix}");
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
                let (said, called) = (Said { code, ..Said::default() }, (n % numbers).to_string());
                let how = if code == 403 { Rejected::Always } else { Rejected::OfParty };
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
        assert_eq!(of(&[(403, 4), (603, 8)], 1), Some((7, 7)), "from the tenth call on");
        assert_eq!(of(&[(603, 12)], 1), Some((3, 3)), "declined by one number");
        assert_eq!(of(&[(486, 40)], 2), None, "two lines that are busy");
        assert_eq!(of(&[(486, 12)], 3), Some((3, 3)), "no line is ever free");
        assert_eq!(of(&[(603, 9)], 9), None, "chance");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn a_wrong_number_brings_no_mended_rejections_back_and_only_those_of_now_rank() {
        let now = Instant::now();
        let mut rejections = Rejections::default();
        let not_found = |rejections: &mut Rejections, called: &str| {
            let (sid, how, said) = ("CA2", Rejected::OfNumber, Said { code: 404, ..Said::default() });
            rejections.note(now, &FinalResponse { sid, called, how, said: &said, fault: None, is_lost: true });
        };
        let view = |rejections: &Rejections| rejections.view(now, &Trunk::named("carrier")).unwrap();
        (0..5).for_each(|_| reject(&mut rejections, now, 403));
        // Calls overlap: the wrong number is refused before, between or after the answers of the others.
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
        // The third number in a row: they are written in a form that the carrier does not take.
        not_found(&mut rejections, "5");
        let again = view(&rejections);
        assert_eq!((again.calls, again.still, again.in_row, again.lost, again.present), (8, true, 3, 3, [3, 3]));
        assert_eq!(again.answers.iter().map(|one| (one.code, one.calls)).collect::<Vec<_>>(), [(404, 3), (403, 5)]);
        not_found(&mut rejections, "5");
        not_found(&mut rejections, "6");
        assert_eq!((view(&rejections).calls, view(&rejections).present), (9, [4, 4]));
    }
}
