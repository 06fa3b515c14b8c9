//! Counters of recordings, and the problems with recordings in `status`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use trunkgate_call::view::UnrecordedView;
use trunkgate_media::counters::Counter;
use trunkgate_route::Mailbox;

use super::index::MailboxCounts;
use super::mail;
use super::place;
use super::sent::SentFigures;
use super::transcription;
use super::unlisted::UnlistedFiles;
use trunkgate_config::DirectoryProblem;
use trunkgate_system::limits::{RECORDINGS_LOSS_SHOWN_SECONDS, RECORDINGS_WHOLE_IN_ROW};
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Failure, Problem, seconds};
use trunkgate_system::text::number;

/// Time of the latest event of a kind that `status` shows for an hour.
#[derive(Debug, Default)]
struct LatestTime(Mutex<Option<Instant>>);

impl LatestTime {
    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Returns the time since the latest event; `None` if it is older than an hour.
    fn ago(&self) -> Option<Duration> {
        let ago = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?.elapsed();
        Some(ago).filter(|ago| *ago < Duration::from_secs(RECORDINGS_LOSS_SHOWN_SECONDS))
    }
}

/// Formats a counter with its noun.
fn counted(counter: &Counter, word: &str) -> String {
    number(usize::try_from(counter.get()).unwrap_or(usize::MAX), word)
}

/// Counters of all recordings since the start of the edge.
#[derive(Debug, Default)]
pub struct RecordingFigures {
    /// Number of recordings in progress.
    pub active: Counter,
    /// Latest numbers of new and heard messages, by mailbox.
    messages: Mutex<BTreeMap<String, MailboxCounts>>,
    /// Number of recordings that ended with audio.
    pub completed: Counter,
    /// Number of recordings that ended without audio.
    pub absent: Counter,
    /// Milliseconds of audio written to files.
    pub milliseconds: Counter,
    /// Bytes written to files.
    pub bytes: Counter,
    /// Number of gaps in all recordings.
    pub gaps: Counter,
    /// Number of recordings with at least one gap.
    lacking: Counter,
    /// Milliseconds of audio that was lost.
    pub lost_milliseconds: Counter,
    /// Number of frame blocks refused because the writer's queue was full.
    pub refused_blocks: Counter,
    /// Number of operations refused by the disk.
    pub disk_errors: Counter,
    /// Number of interrupted recordings of earlier processes that were completed, including those without audio.
    pub recovered: Counter,
    /// Number of interrupted recordings of earlier processes that were completed without audio.
    recovered_absent: Counter,
    /// Number of interrupted recordings of earlier processes that cannot be completed.
    pub unrecovered: Counter,
    /// SID and reason of the last recording that cannot be completed.
    unrecovered_last: Mutex<Option<String>>,
    /// Problem with the directory of entries that are not in the index yet: it cannot be read, or contains a foreign
    /// file.
    unread: Mutex<Option<String>>,
    /// Files in the recordings directory without an index entry.
    unlisted: Mutex<UnlistedFiles>,
    /// Recordings with an entry that the store has not accepted yet.
    pub unindexed: Counter,
    /// Number of expired files that were deleted.
    pub expired: Counter,
    /// Counters of transcriptions.
    pub transcriptions: SentFigures,
    /// Counters of e-mails about voicemail messages.
    pub mails: SentFigures,
    queued: AtomicUsize,
    trouble: Mutex<Option<Failure>>,
    /// Last failure of the disk, current or past.
    last_trouble: Mutex<Option<String>>,
    /// Time at which audio was last lost.
    lost_at: LatestTime,
    /// Number of complete recordings since audio was last lost.
    whole_since: Counter,
    /// Time at which an interrupted recording was last completed.
    cut_at: LatestTime,
}

impl RecordingFigures {
    /// Reserves room in the writer's queue; returns false if the total would exceed `most` bytes.
    pub(super) fn reserve(&self, bytes: usize, most: usize) -> bool {
        let more = |queued: usize| Some(queued + bytes).filter(|sum| *sum <= most);
        self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn release(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts audio lost in any recording.
    pub(super) fn lost(&self, milliseconds: u64) {
        if milliseconds > 0 {
            self.lost_milliseconds.add(milliseconds);
            self.lost_at.set();
            self.whole_since.set(0);
        }
    }

    /// Counts a gap; `is_first`: the recording has no other one so far.
    pub(super) fn gap(&self, is_first: bool) {
        self.gaps.add(1);
        self.lacking.add(u64::from(is_first));
    }

    /// Counts the end of a recording with this duration of lost audio.
    pub(super) fn ended(&self, lost_milliseconds: u64) {
        if lost_milliseconds == 0 {
            self.whole_since.add(1);
        }
    }

    /// Counts an interrupted recording that was completed; `is_absent`: it has no audio.
    pub(super) fn cut(&self, is_absent: bool) {
        self.recovered.add(1);
        self.recovered_absent.add(u64::from(is_absent));
        self.cut_at.set();
    }

    /// Records an interrupted recording that cannot be completed, as SID and reason.
    pub(super) fn not_recovered(&self, what: String) {
        *self.unrecovered_last.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }

    /// Records the removal of a recording that could not be completed. `last` is another such recording to show in its
    /// place, as SID and reason.
    pub(super) fn removed_unrecovered(&self, sid: &str, last: Option<String>) {
        self.unrecovered.set(self.unrecovered.get().saturating_sub(1));
        let mut shown = self.unrecovered_last.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.as_ref().is_some_and(|shown| shown.starts_with(sid)) {
            *shown = last;
        }
    }

    /// Sets or clears the problem with the directory of entries that are not in the index yet.
    pub(super) fn read_unindexed(&self, wrong: Option<String>) {
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
    }

    /// Records the files without an index entry.
    pub(super) fn set_unlisted(&self, unlisted: UnlistedFiles) {
        *self.unlisted.lock().unwrap_or_else(PoisonError::into_inner) = unlisted;
    }

    /// Returns the number and an example of files in the recordings directory without an index entry.
    pub fn unlisted(&self) -> UnlistedFiles {
        self.unlisted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the problem of files without an index entry, which are never deleted automatically.
    fn unlisted_problem(&self) -> Option<Problem> {
        let UnlistedFiles { files, example } = self.unlisted();
        let shown = format!("for example {}; neither `keep` nor a request deletes them", example?.display());
        Some(Problem::of(ProblemKind::Record(RecordProblem::FilesNotListed { files })).shown_by(shown))
    }

    /// Returns the problem of interrupted recordings that were completed within the last hour.
    fn cuts(&self) -> Option<Problem> {
        self.cut_at.ago()?;
        let absent = self.recovered_absent.get();
        let shown = match absent {
            0 => "their ends are missing".to_owned(),
            1 => "their ends are missing; 1 has no audio at all".to_owned(),
            several => format!("their ends are missing; {several} have no audio at all"),
        };
        Some(
            Problem::of(ProblemKind::Record(RecordProblem::RecordingsCut { recordings: self.recovered.get() }))
                .shown_by(shown),
        )
    }

    /// Returns the problem of audio lost within the last hour, until [`RECORDINGS_WHOLE_IN_ROW`] recordings were
    /// complete since.
    fn loss(&self) -> Option<Problem> {
        let ago = self.lost_at.ago()?;
        let whole_since = self.whole_since.get();
        if whole_since >= RECORDINGS_WHOLE_IN_ROW {
            return None;
        }
        let kind = RecordProblem::RecordingsHaveGaps {
            recordings: self.lacking.get(),
            lost_milliseconds: self.lost_milliseconds.get(),
            whole_since,
        };
        let when = match ago.as_secs() / 60 {
            0 => "less than a minute ago".to_owned(),
            minutes => format!("{minutes} min ago"),
        };
        let cause = match &*self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(trouble) => format!("recordings could not be written: {trouble}"),
            None => "the disk was too slow".to_owned(),
        };
        let shown = format!("{cause}; the latest loss was {when}");
        Some(Problem::of(ProblemKind::Record(kind)).shown_by(shown))
    }

    /// Returns the number of bytes waiting for the writer.
    pub fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Failure>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation that the disk refused, and records the failure with its fix.
    pub(super) fn failed(&self, error: &io::Error, directory: &Path) {
        self.disk_errors.add(1);
        let failure = match DirectoryProblem::of(directory) {
            Some(unfit) => Failure::from(unfit.what).fixed_by(|| unfit.fix),
            // Wrong permissions are not a failure of the disk: every file must belong to the edge's user.
            None if error.kind() == io::ErrorKind::PermissionDenied => {
                Failure::from(error.to_string()).fixed_by(|| place::fix_of(error, directory))
            }
            None => Failure::of(error, directory).fixed_by(|| place::fix_of(error, directory)),
        };
        *self.last_trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.to_string());
        let mut trouble = self.trouble();
        if trouble.is_none() {
            tracing::error!(
                reason = "recording_failed",
                "recordings are not written: {failure}; they lose audio until they are"
            );
        }
        *trouble = Some(failure);
    }

    /// Records that the disk has accepted an operation, which ends a failure.
    pub(super) fn took(&self) {
        if self.trouble().take().is_some() {
            let lost = self.lost_milliseconds.get() / 1000;
            tracing::info!("recordings are written again; lost since the start: {lost} s");
        }
    }

    /// Returns whether the disk refuses recordings.
    pub fn is_failing(&self) -> bool {
        self.trouble().is_some()
    }

    /// Returns the reason why the disk refuses recordings.
    pub fn failure(&self) -> Option<String> {
        self.trouble().as_ref().map(Failure::to_string)
    }

    /// Returns the problem of a disk that refuses recordings; `refused` describes the calls rejected because of it.
    fn unwritten(&self, failure: &Failure, refused: Option<&UnrecordedView>) -> Problem {
        let active = counted(&self.active, "active recording");
        let lost = match self.lost_milliseconds.get() {
            0 => String::new(),
            lost => format!("; lost since the start: {} of {}", seconds(lost), counted(&self.lacking, "recording")),
        };
        let shown = format!("{failure}; {active}{lost}");
        let Some(refused) = refused else {
            let problem = Problem::of(ProblemKind::Record(RecordProblem::RecordingsNotWritten));
            return problem.shown_by(shown).caused_by(failure);
        };
        let problem = Problem::of(ProblemKind::Record(RecordProblem::CallsRefused { callers: refused.calls }));
        let problem =
            problem.shown_by(format!("{shown}; the callers get 503 (recording_unavailable)")).caused_by(failure);
        let repair = problem.fix.clone().unwrap_or_else(|| "repair the directory of recordings or its disk".to_owned());
        let fix = format!(
            "{repair}; until then, to accept these calls without a complete recording, set `on_full = \"continue\"` of \
             [recording] and run `trunkgate reload`"
        );
        let problem = problem.fixed_by(fix).harming(refused.recent, refused.calls).certain();
        refused.last_sid.iter().fold(problem, |problem, sid| problem.traced_in(sid))
    }

    /// Records changed message counts of mailboxes.
    pub(super) fn note_messages(&self, messages: &[MailboxCounts]) {
        let mut known = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(messages.iter().map(|one| (one.mailbox.clone(), one.clone())));
    }

    /// Returns a problem for each mailbox that accepts no further messages.
    pub fn full_mailboxes(&self, mailboxes: &[Mailbox]) -> Vec<Problem> {
        let known = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = |mailbox: &Mailbox| {
            let MailboxCounts { new, heard, bytes, .. } = known.get(&*mailbox.name)?;
            let (messages, name) = (new + heard, &mailbox.name);
            let problem = mailbox.is_full(messages, *bytes).then(|| {
                Problem::of(ProblemKind::Record(RecordProblem::VoicemailFull { voicemail: name.to_string() }))
                    .shown_by(format!(
                        "{messages} of {} messages, {} of {} MiB; callers go to the next target, or get 480 (mailbox_full)",
                        mailbox.max_messages,
                        bytes >> 20,
                        mailbox.max_bytes >> 20
                    ))
            });
            problem.map(|mut problem| {
                problem.command = Some(format!("trunkgate recordings ls --voicemail {name}"));
                problem
            })
        };
        mailboxes.iter().filter_map(problem).collect()
    }

    /// Returns all problems with recordings; `refused` describes the calls rejected while the disk refuses recordings.
    pub fn problems(&self, refused: Option<&UnrecordedView>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(failure) = &*self.trouble() {
            problems.push(self.unwritten(failure, refused));
        } else {
            problems.extend(self.loss());
        }
        if self.unindexed.get() > 0 {
            problems.push(Problem::of(ProblemKind::Record(RecordProblem::RecordingsNotListed {
                recordings: self.unindexed.get(),
            })));
        }
        if self.unrecovered.get() > 0 {
            let last = self.unrecovered_last.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
            let fix = match last.contains("`key`") || last.contains("another key") {
                true => {
                    "put the identity that they were encrypted for into `key` of [recording], below the present one, and restart the edge"
                }
                false => {
                    "`trunkgate recordings` has them as incomplete, with the cause; they are tried again at the next start"
                }
            };
            let problem = Problem::of(ProblemKind::Record(RecordProblem::RecordingsNotCompleted {
                recordings: self.unrecovered.get(),
            }));
            problems.push(problem.shown_by(last).fixed_by(fix));
        }
        if let Some(unread) = &*self.unread.lock().unwrap_or_else(PoisonError::into_inner) {
            problems.push(Problem::of(ProblemKind::Record(RecordProblem::RecordingEntriesMissing)).shown_by(unread));
        }
        problems.extend(self.unlisted_problem());
        problems.extend(self.cuts());
        problems.extend(transcription::figures::problems(&self.transcriptions));
        problems.extend(mail::figures::problems(&self.mails));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_system::problem::Harm;

    #[test]
    fn gaps_are_past_once_the_disk_takes_recordings_and_are_withdrawn_after_three_whole_ones() {
        let figures = RecordingFigures::default();
        let shown = || figures.problems(None).pop().map(|problem| (problem.harm, problem.headline));
        figures.failed(&io::Error::from(io::ErrorKind::StorageFull), Path::new("/"));
        figures.lost(400);
        assert_eq!(shown(), Some((Harm::Records, "recordings are not written".to_owned())));
        figures.took();
        let mut seen = Vec::new();
        while let Some((harm, headline)) = shown() {
            assert_eq!(harm, Harm::Past);
            seen.push(headline.split_once("; ").unwrap().1.to_owned());
            figures.ended(0);
        }
        assert_eq!(seen, ["the disk accepts recordings again", "the latest is complete", "the latest 2 are complete"]);
        figures.ended(200);
        assert_eq!(shown(), None, "a loss of its own is noted when it comes");
        figures.lost(200);
        let (_, headline) = shown().unwrap();
        assert!(headline.ends_with("; the disk accepts recordings again"), "a loss brings it back: {headline}");
    }
}
