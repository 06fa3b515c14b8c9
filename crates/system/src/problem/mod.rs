//! Current problems of the edge: the harm to calls, the evidence and the fix. `kind.rs` lists the kinds of problems and
//! `words.rs` their texts; this file defines their order.

pub mod kind;
mod words;

use std::cmp::Reverse;
use std::path::Path;
use std::time::Instant;
use std::{fmt, io};

use nix::sys::statvfs::statvfs;
use serde::Serialize;

use kind::ProblemKind;
pub use words::{hung_up, seconds};

/// Harm that a problem does, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// The edge accepts no calls, or not all.
    Edge,
    /// Calls to or from a trunk or agent fail.
    Calls,
    /// Calls have no audio.
    Media,
    /// Calls fail over to their next target.
    Detour,
    /// The edge runs but could not start again.
    Restart,
    /// Records, counts or text messages are lost or late.
    Records,
    /// The configuration in force differs from the file, or will soon cause harm.
    Configuration,
    /// Calls failed or had no audio, but the latest ones succeeded.
    Past,
    /// Log lines, traces or captures are lost.
    Telemetry,
    /// Requests from unknown sources are rejected.
    Strangers,
}

impl Harm {
    /// All kinds of harm, the worst first.
    pub(crate) const ALL: [Harm; 10] = [
        Harm::Edge,
        Harm::Calls,
        Harm::Media,
        Harm::Detour,
        Harm::Restart,
        Harm::Records,
        Harm::Configuration,
        Harm::Past,
        Harm::Telemetry,
        Harm::Strangers,
    ];

    /// Returns the word for the harm in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Harm::Edge => "edge",
            Harm::Calls => "calls",
            Harm::Media => "media",
            Harm::Detour => "detour",
            Harm::Restart => "restart",
            Harm::Records => "records",
            Harm::Configuration => "configuration",
            Harm::Past => "past",
            Harm::Telemetry => "telemetry",
            Harm::Strangers => "strangers",
        }
    }
}

/// Returns whether a call may have met the problem.
fn is_met(urgency: &Urgency) -> bool {
    *urgency != Urgency::Unmet
}

/// Serializes whether no call has met the problem.
fn as_unmet<S: serde::Serializer>(urgency: &Urgency, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(!is_met(urgency))
}

/// Serializes the stable word of a kind of problem, and its fields.
fn as_word_and_fields<S: serde::Serializer>(kind: &ProblemKind, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shape<'a> {
        kind: &'static str,
        #[serde(flatten)]
        fields: &'a ProblemKind,
    }
    Shape { kind: kind.word(), fields: kind }.serialize(serializer)
}

/// Minimum number of harmed calls in an hour for the rank of a problem that harms many calls; below it, the rank is
/// that of a few lost calls.
const FEW_CALLS: u64 = 3;

/// Number of calls in five minutes below which an audio problem ranks behind recordings and call records that cannot be
/// written.
const HANDFUL_OF_CALLS: u64 = 10;

/// Maximum length of a headline in characters; it fits on one line of a wide terminal.
pub const HEADLINE_CHARS: usize = 100;

/// Number of problems that a reader sees first, as on a phone.
const READ_FIRST: usize = 3;

/// Urgency of a problem among those with equal harm, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// Calls are being lost.
    Losing,
    /// The next call will be affected.
    #[default]
    Down,
    /// The next call will be affected, by an agent.
    Agent,
    /// Calls were lost, but not in the last five minutes.
    Other,
    /// A few calls were lost.
    Few,
    /// A target is down, but no call was routed to it.
    Idle,
    /// No call was affected, and possibly none ever will be.
    Unmet,
}

/// Party that a problem concerns, by its name in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// A section `[trunk.NAME]`.
    Trunk(String),
    /// A section `[agent.NAME]`.
    Agent(String),
    /// A section `[app.NAME]`.
    App(String),
}

impl Party {
    fn name(&self) -> &str {
        match self {
            Party::Trunk(name) | Party::Agent(name) | Party::App(name) => name,
        }
    }
}

/// Party affected by a problem, with the kind of that party's own problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The trunk, agent or application.
    #[serde(flatten)]
    pub party: Party,
    /// Kind of its problem, as above.
    pub kind: &'static str,
}

impl Part {
    /// Returns the party of a problem with the problem's kind; `None` if it concerns no party.
    pub fn of(problem: &Problem) -> Option<Part> {
        Some(Part { party: problem.party.clone()?, kind: problem.kind.word() })
    }
}

/// Problem with its texts, rank and data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Effect of the problem.
    pub harm: Harm,
    /// Description of the problem in at most 100 characters; if it was shortened, `evidence` begins with the whole
    /// text.
    pub headline: String,
    /// Headline without its reference to the last hour, or without its prefix about rejected calls; absent if it has
    /// neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    brief: Option<String>,
    /// Observation that shows the problem.
    pub evidence: Option<String>,
    /// Recommended action.
    pub fix: Option<String>,
    /// Command that shows more.
    pub command: Option<String>,
    /// Time since which the problem exists, or existed if it is past; absent if a past problem was never found as
    /// current.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// One of the kinds below; its fields stand beside this one.
    #[serde(flatten, serialize_with = "as_word_and_fields")]
    pub kind: ProblemKind,
    /// Trunk, agent or application that the problem concerns.
    #[serde(skip)]
    pub party: Option<Party>,
    /// Other parties of the problem: further targets of routes without a target left, or the other sides of silent
    /// calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Part>,
    /// No call has met the problem: a trunk that is down and that no route uses, an expired certificate that no
    /// handshake has met.
    #[serde(rename = "unmet", skip_serializing_if = "is_met", serialize_with = "as_unmet")]
    urgency: Urgency,
    /// Number of calls harmed in the last five minutes and in the last hour.
    #[serde(skip)]
    calls: (u64, u64),
    /// Time of the last call harmed, if known.
    #[serde(skip)]
    at: Option<Instant>,
    /// Whether another problem of the same party has harmed calls more recently.
    #[serde(skip)]
    is_older: bool,
    /// Whether recordings or records cannot be written at present.
    #[serde(skip)]
    is_unwritten: bool,
    /// Whether the party currently gets or accepts no calls at all.
    #[serde(skip)]
    pub is_out: bool,
}

impl Problem {
    /// Creates a problem of this kind, with the texts and the rank that follow from the kind.
    pub fn of(kind: ProblemKind) -> Problem {
        Problem {
            harm: kind.harm(),
            headline: kind.to_string(),
            brief: None,
            evidence: kind.evidence(),
            fix: kind.fix(),
            command: None,
            since: None,
            party: kind.party(),
            others: Vec::new(),
            urgency: kind.urgency(),
            calls: (0, 0),
            at: None,
            is_older: false,
            is_unwritten: kind.is_unwritten(),
            is_out: false,
            kind,
        }
    }

    /// Sets the harm; if the problem is past, the harm is [`Harm::Past`] in any case.
    pub fn harms(self, harm: Harm) -> Problem {
        Problem { harm: if self.kind.is_past() { Harm::Past } else { harm }, ..self }
    }

    /// Changes the data of the kind, and derives the headline from it again.
    pub fn change(&mut self, change: impl FnOnce(&mut ProblemKind)) {
        change(&mut self.kind);
        self.headline = self.kind.to_string();
    }

    /// Sets the urgency among problems with the same harm.
    pub fn urgent(self, urgency: Urgency) -> Problem {
        Problem { urgency, ..self }
    }

    /// Sets the number of calls harmed in the last five minutes and in the last hour, and the urgency that follows:
    /// problems that lose calls now come first, and those with few lost calls after a target that is down. Zero calls
    /// in the hour change nothing.
    pub fn harming(self, recent: u64, of_hour: u64) -> Problem {
        let urgency = match (recent, of_hour) {
            (_, 0) => return self,
            (_, 1..FEW_CALLS) => Urgency::Few,
            (0, _) => Urgency::Other,
            (1.., _) => Urgency::Losing,
        };
        Problem { urgency, calls: (recent, of_hour), ..self }
    }

    /// Sets the number of calls lost in the last hour because a target is down, and the urgency that follows. Zero
    /// changes nothing.
    pub fn lost(self, calls: u64) -> Problem {
        let urgency = match calls {
            0 => return self,
            1..FEW_CALLS => Urgency::Down,
            FEW_CALLS.. => Urgency::Losing,
        };
        Problem { urgency, calls: (calls, calls), ..self }
    }

    /// Limits the urgency to that of a target that is down without a call routed to it.
    pub fn idle(self) -> Problem {
        let urgency = self.urgency.max(Urgency::Idle);
        Problem { urgency, ..self }
    }

    /// Raises the urgency to that of a problem that affects every further call, regardless of the number of calls so
    /// far.
    pub fn certain(self) -> Problem {
        let urgency = self.urgency.min(Urgency::Down);
        Problem { urgency, ..self }
    }

    /// Moves the first problem selected by `is_wanted` up to the third place, if it is lower, because the first three
    /// are visible.
    pub fn raise(problems: &mut [Problem], is_wanted: impl Fn(&Problem) -> bool) {
        let found = problems.iter().position(is_wanted).filter(|place| *place >= READ_FIRST);
        if let Some(place) = found {
            problems[READ_FIRST - 1..=place].rotate_right(1);
        }
    }

    /// Returns the sort key of the problem, lowest first. Present harm decides:
    ///
    /// 1. the edge accepts no calls, or not all;
    /// 2. callers are lost: now (most first), at each further call, earlier in the hour;
    /// 3. ten or more calls without audio in the last five minutes;
    /// 4. recordings or records cannot be written, as on a full disk;
    /// 5. fewer calls without audio, one or two lost calls, targets without a call;
    /// 6. all others, by harm.
    ///
    /// docs/reference/json.md and docs/reference/command-line.md describe the same order.
    pub(crate) fn rank(&self) -> (Harm, u8, Urgency, Harm, bool, Reverse<(u64, u64)>) {
        let is_unwritten = self.is_unwritten && self.harm == Harm::Records;
        let is_few = self.urgency >= Urgency::Few;
        let harm = if is_unwritten {
            Harm::Media
        } else if is_few {
            self.harm.max(Harm::Media)
        } else {
            self.harm
        };
        let is_of_many = self.harm == Harm::Media && self.calls.0 >= HANDFUL_OF_CALLS && !is_few;
        let among_audio = if harm != Harm::Media || is_of_many {
            0
        } else if is_unwritten {
            1
        } else {
            2
        };
        (harm, among_audio, self.urgency, self.harm, self.is_older, Reverse(self.calls))
    }

    /// Sets the time of the last call that the problem harmed.
    pub fn latest(self, at: Option<Instant>) -> Problem {
        Problem { at, ..self }
    }

    /// Sets whether the party currently gets or accepts no calls at all.
    pub fn out(self, is_out: bool) -> Problem {
        Problem { is_out, ..self }
    }

    /// Returns the time of the last call that the problem harmed; `None` if unknown.
    pub const fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Sorts problems by rank, and shortens each headline to one line.
    pub fn arrange(problems: &mut [Problem]) {
        Problem::note_older(problems);
        problems.sort_by_key(Problem::rank);
        problems.iter_mut().for_each(Problem::fit);
    }

    /// Sets `is_older` for problems of a party that has a more recent one of equal harm, because the reason of the
    /// newest failures comes first.
    pub(crate) fn note_older(problems: &mut [Problem]) {
        let newest = |of: &Problem, others: &[Problem]| {
            let is_its = |one: &&Problem| one.harm == of.harm && one.party.is_some() && one.party == of.party;
            others.iter().filter(is_its).filter_map(|one| one.at).max()
        };
        let newest: Vec<Option<Instant>> = problems.iter().map(|one| newest(one, problems)).collect();
        for (problem, newest) in problems.iter_mut().zip(newest) {
            problem.is_older = problem.at.is_some_and(|at| newest > Some(at));
        }
    }

    /// Sets the evidence, joined to one line because parts of it may come from remote parties.
    pub fn shown_by(self, evidence: impl Into<String>) -> Problem {
        let line = evidence.into().replace(char::is_control, " ");
        Problem { evidence: Some(line).filter(|text| !text.is_empty()), ..self }
    }

    /// Sets the fix; an empty text means none.
    pub fn fixed_by(self, fix: impl Into<String>) -> Problem {
        Problem { fix: Some(fix.into()).filter(|text| !text.is_empty()), ..self }
    }

    /// Sets the command that shows the trace of the call with this SID.
    pub fn traced_in(self, sid: &str) -> Problem {
        Problem { command: Some(format!("trunkgate trace {sid}")), ..self }
    }

    /// Sets the fix of a failure if one is known, such as the command that shows what fills a disk.
    pub fn caused_by(self, failure: &Failure) -> Problem {
        match &failure.fix {
            Some(fix) => self.fixed_by(fix),
            None => self,
        }
    }
}

/// Reason why data is not written or sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Description of the failure.
    pub what: String,
    /// Fix for the failure, if known.
    fix: Option<String>,
}

impl Failure {
    /// Describes an I/O error in a directory, with a fix if one is known.
    pub fn of(error: &io::Error, directory: &Path) -> Failure {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        // The path is made absolute, because the reader has another working directory.
        let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        let what = error.to_string();
        let shown = directory.display().to_string();
        let what =
            if error.raw_os_error().is_none() || what.contains(&shown) { what } else { format!("{what}, at {shown}") };
        Failure { what, fix: fix_of(error.kind(), &directory) }
    }

    /// Sets the fix, unless one is already known.
    pub fn fixed_by(self, fix: impl FnOnce() -> String) -> Failure {
        Failure { fix: self.fix.or_else(|| Some(fix())), ..self }
    }
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure { what, fix: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// Returns the fix for a directory that accepts no file; `None` if the error explains itself or is unknown.
fn fix_of(kind: io::ErrorKind, directory: &Path) -> Option<String> {
    let shown = directory.display();
    let known = [
        (io::ErrorKind::StorageFull, fix_of_full as fn(&Path) -> String),
        (io::ErrorKind::ReadOnlyFilesystem, fix_of_read_only),
        (io::ErrorKind::PermissionDenied, fix_of_permission),
    ];
    let fix = known.into_iter().find(|(known, _)| *known == kind).map(|(_, fix)| fix(directory));
    let missing = || format!("create {shown} for the user of the edge, or restore its mount (`findmnt -T {shown}`)");
    fix.or_else(|| (kind == io::ErrorKind::NotFound && !directory.is_dir()).then(missing))
}

/// Returns the fix for a read-only file system (EROFS), to which no change of owner or mode applies.
pub fn fix_of_read_only(directory: &Path) -> String {
    let shown = directory.display();
    format!(
        "its file system is read-only: `findmnt -T {shown}` shows the mount, `dmesg` whether an error of the disk made it so; then remount it \
         (`mount -o remount,rw`), or list the directory in `ReadWritePaths` of the systemd unit"
    )
}

/// Returns the fix for a directory that the edge's user may not write to (EACCES).
pub fn fix_of_permission(directory: &Path) -> String {
    let shown = directory.display();
    format!(
        "give {shown} to the user of the edge (`ls -ld {shown}`, `chown`), and have its mode let that user write (`chmod u+rwx`)"
    )
}

/// Returns the fix for a disk without free bytes or inodes.
fn fix_of_full(directory: &Path) -> String {
    let there = directory.ancestors().find(|one| one.is_dir()).unwrap_or(directory);
    match statvfs(there) {
        Ok(disk) if disk.files() > 0 && disk.files_available() == 0 => {
            format!("delete files on the disk of {0}, which has no free inodes (`df -i {0}`)", directory.display())
        }
        Ok(_) | Err(_) => format!("make room on the disk of {0} (`df -h {0}`)", directory.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::kind::{AgentProblem, Consequence, RecordProblem, Silence, Tally, TrunkProblem, Unheard};
    use super::*;

    /// Creates a problem with this harm and headline.
    fn worded(harm: Harm, headline: &str) -> Problem {
        Problem::of(ProblemKind::Record(RecordProblem::StoreDamaged { what: headline.to_owned() })).harms(harm)
    }

    #[test]
    fn a_headline_is_one_line_and_nothing_of_it_is_lost() {
        let (long, other) =
            ("a-trunk-with-a-name-of-more-than-forty-characters", "another-trunk-with-a-name-that-is-long");
        let tally = |calls, of, good_since| Tally { calls, of, recent_calls: 3, recent_of: 5, good_since };
        let unheard = |calls, taken: u64| Unheard {
            party: Some(Party::Trunk(long.to_owned())),
            name: long.to_owned(),
            silence: Silence::NoMedia,
            cause: Some("nothing"),
            live_calls: None,
            tally: Some(tally(calls, 14, 2)),
            both: vec![(other.to_owned(), taken)],
            taken_in: vec![(other.to_owned(), taken)],
        };
        let of = |what| ProblemKind::Trunk { trunk: long.to_owned(), what };
        let rejects = TrunkProblem::Rejects {
            tally: tally(40, 40, 0),
            in_row: Some(12),
            lost: 0,
            consequence: Consequence::None,
            is_gone: false,
        };
        let fails = AgentProblem::Fails {
            tally: tally(7, 9, 0),
            ended_at_once: None,
            hung_up: 2,
            consequence: Consequence::None,
            is_reached: false,
        };
        let limit = ProblemKind::Limit {
            trunk: Some(long.to_owned()),
            is_outbound: true,
            reason: "limit_day",
            limit: format!("calls_per_day = 3 (to +1900*, +1976*) of [trunk.{long}]"),
            calls: 1200,
            recent_calls: 0,
            consequence: Consequence::None,
        };
        let kinds = [
            ProblemKind::Unheard(Box::new(unheard(12, 12))),
            ProblemKind::Unheard(Box::new(unheard(12, 4))),
            of(rejects),
            ProblemKind::Agent { agent: long.to_owned(), what: fails },
            limit,
            of(TrunkProblem::TlsFails { listener: "l".repeat(150) }),
        ];
        for kind in kinds {
            let full = kind.to_string();
            let mut problem = Problem::of(kind).shown_by("the proof");
            problem.others.push(Part { party: Party::Trunk(other.to_owned()), kind: "one_way" });
            problem.fit();
            assert!(problem.headline.chars().count() <= HEADLINE_CHARS, "{}", problem.headline);
            assert!(
                problem.headline.contains("a-trunk-with-a-name-of") || full.starts_with("TLS"),
                "{}",
                problem.headline
            );
            assert_eq!(problem.evidence.as_deref(), Some(&*format!("{full}: the proof")));
        }
        let mut short = worded(Harm::Calls, "trunk pbx is down").shown_by("no answer");
        short.fit();
        assert_eq!(short.to_string(), "trunk pbx is down: no answer");
    }

    #[test]
    fn only_a_full_disk_is_shown_with_its_directory() {
        let problem = |kind, directory| {
            let failure = Failure::of(&io::Error::new(kind, "no room"), Path::new(directory));
            worded(Harm::Records, "call records are not written")
                .shown_by(failure.to_string())
                .caused_by(&failure)
                .to_string()
        };
        let full = "call records are not written: no room; try: make room on the disk of /var/log (`df -h /var/log`)";
        assert_eq!(problem(io::ErrorKind::StorageFull, "/var/log"), full);
        let here = std::env::current_dir().unwrap();
        assert!(problem(io::ErrorKind::StorageFull, "").ends_with(&format!("(`df -h {}`)", here.display())));
        assert_eq!(problem(io::ErrorKind::Other, "/var/log"), "call records are not written: no room");
        let full = Failure::of(&io::Error::from_raw_os_error(nix::libc::ENOSPC), Path::new("/var/log")).to_string();
        assert_eq!(full, "No space left on device (os error 28), at /var/log");
    }

    #[test]
    fn a_read_only_file_system_is_not_a_matter_of_owners() {
        let fix = |kind| Failure::of(&io::Error::from(kind), Path::new("/var/log")).fix.unwrap();
        let read_only = fix(io::ErrorKind::ReadOnlyFilesystem);
        assert!(read_only.contains("remount") && !read_only.contains("chown"), "{read_only}");
        let denied = fix(io::ErrorKind::PermissionDenied);
        assert!(denied.contains("chown") && !denied.contains("remount"), "{denied}");
    }

    #[test]
    fn calls_that_are_lost_now_come_first() {
        let of = |headline: &str| worded(Harm::Calls, headline);
        let mut all = [
            of("no route uses it").urgent(Urgency::Unmet),
            of("one call").harming(1, 1),
            of("down, no call yet").idle(),
            of("no route uses it").urgent(Urgency::Unmet).idle(),
            worded(Harm::Media, "no media"),
            worded(Harm::Media, "no media in a live call").harming(1, 1),
            of("an hour ago").harming(0, 40),
            of("agent down").urgent(Urgency::Agent),
            of("trunk down"),
            of("trunk down, two calls").lost(2),
            of("trunk down, four calls").urgent(Urgency::Unmet).lost(4),
            of("three calls").harming(3, 60),
            of("nine calls").harming(9, 9),
            worded(Harm::Edge, "overloaded"),
        ];
        all.sort_by_key(Problem::rank);
        let order: Vec<&str> = all.iter().map(|one| one.headline.as_str()).collect();
        let expected = [
            "overloaded",
            "nine calls",
            "trunk down, four calls",
            "three calls",
            "trunk down, two calls",
            "trunk down",
            "agent down",
            "an hour ago",
            "no media",
            "one call",
            "no media in a live call",
            "down, no call yet",
            "no route uses it",
            "no route uses it",
        ];
        assert_eq!(order, expected);
        Problem::raise(&mut all, |one| one.headline == "no media in a live call");
        let order: Vec<&str> = all.iter().map(|one| one.headline.as_str()).collect();
        assert_eq!(order[..4], ["overloaded", "nine calls", "no media in a live call", "trunk down, four calls"]);
        Problem::raise(&mut all, |one| one.headline == "nine calls");
        assert_eq!(all[1].headline, "nine calls");
    }

    #[test]
    fn what_cannot_be_written_stands_before_a_handful_of_calls_without_audio() {
        let full = || Problem::of(ProblemKind::Record(RecordProblem::RecordingsNotWritten));
        let silent = |headline: &str, calls| worded(Harm::Media, headline).harming(calls, calls);
        let refused = worded(Harm::Calls, "calls are refused: the disk accepts no recordings");
        let mut all = [
            worded(Harm::Records, "records lost since the start"),
            silent("three silent calls", 3),
            silent("ten silent calls", 10),
            worded(Harm::Calls, "one call").harming(1, 1),
            full(),
            refused.harming(1, 1).certain(),
            worded(Harm::Calls, "three lost calls").harming(3, 3),
        ];
        all.sort_by_key(Problem::rank);
        let order: Vec<&str> = all.iter().map(|one| one.headline.as_str()).collect();
        let expected = [
            "three lost calls",
            "calls are refused: the disk accepts no recordings",
            "ten silent calls",
            "recordings are not written",
            "three silent calls",
            "one call",
            "records lost since the start",
        ];
        assert_eq!(order, expected);
    }

    #[test]
    fn what_the_newest_calls_of_a_party_failed_for_comes_first() {
        let now = Instant::now();
        let of = |headline: &str, calls: u64, at: Option<Instant>| {
            let problem = worded(Harm::Calls, headline).harming(calls, calls).latest(at);
            Problem { party: Some(Party::Trunk("carrier".to_owned())), ..problem }
        };
        let before = now.checked_sub(std::time::Duration::from_secs(5));
        let mut all = [of("403", 6, before), of("488", 3, Some(now)), of("unknown", 4, None)];
        Problem::note_older(&mut all);
        all.sort_by_key(Problem::rank);
        let order: Vec<&str> = all.iter().map(|one| one.headline.as_str()).collect();
        assert_eq!(order, ["unknown", "488", "403"]);
    }

    #[test]
    fn a_problem_is_one_line() {
        let whole = worded(Harm::Media, "no media from pbx").shown_by("NAT").fixed_by("media_from").traced_in("CA1");
        assert_eq!(whole.to_string(), "no media from pbx: NAT; try: media_from; see: trunkgate trace CA1");
        let forged = worded(Harm::Calls, "app menu failed").shown_by("500\n! trunk carrier is down\r\n\u{1b}[31m");
        assert_eq!(forged.to_string(), "app menu failed: 500 ! trunk carrier is down   [31m");
        let live = worded(Harm::Media, "no media from pbx in a live call");
        let expired = worded(Harm::Calls, "certificate expired");
        assert!(expired.rank() < live.rank() && live.rank() < expired.urgent(Urgency::Unmet).rank());
        let unmet = serde_json::to_value(worded(Harm::Calls, "trunk pbx is down").urgent(Urgency::Unmet)).unwrap();
        assert_eq!(unmet["unmet"], true);
        let unheard = ProblemKind::Unheard(Box::new(Unheard {
            party: Some(Party::Trunk("pbx".to_owned())),
            name: "pbx".to_owned(),
            silence: Silence::NoMedia,
            cause: Some("nothing"),
            live_calls: None,
            tally: Some(Tally { calls: 3, of: 4, ..Tally::default() }),
            both: Vec::new(),
            taken_in: Vec::new(),
        }));
        let json = serde_json::to_value(Problem::of(unheard)).unwrap();
        assert_eq!((&json["trunk"], &json["kind"], &json["party"]), (&"pbx".into(), &"one_way".into(), &().into()));
        assert_eq!((&json["calls"], &json["of"], &json["name"]), (&3.into(), &4.into(), &"pbx".into()));
        assert!(json.get("unmet").is_none());
        assert!(Harm::Edge < Harm::Calls && Harm::Configuration < Harm::Strangers);
        assert!(Harm::Media < Harm::Detour && Harm::Detour < Harm::Restart && Harm::Restart < Harm::Configuration);
    }
}
