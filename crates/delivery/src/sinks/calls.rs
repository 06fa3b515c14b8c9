//! List of ended calls for the API, kept in the store, so that it survives a restart. A call is written when its record
//! is complete, never by the signalling thread; while the disk is unavailable, a bounded number of calls waits in
//! memory.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use trunkgate_call::{CallView, ConferenceReport};
use trunkgate_media::counters::Counter;

use crate::sinks::conferences::ConferenceList;
use crate::sinks::store::calls::{self, CallFilter, ListedCall, StoredCall};
use crate::sinks::store::{Commit, Store, StoredRecord, retention};
use trunkgate_system::clock;
use trunkgate_system::clock::ClockReading;
use trunkgate_system::limits::{
    CALLS_PRUNE_MILLISECONDS, CALLS_PRUNE_SECONDS, CALLS_PRUNED_AT_ONCE, CALLS_REMOVED, CALLS_STORED, CALLS_UNDER_WAY,
    CALLS_UNWRITTEN, RECORDS_PAUSE_MILLISECONDS, STORE_BATCH, STORE_PATIENCE_SECONDS,
};
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::problem::{Failure, Problem};

/// Pause after the store has refused a call.
const PAUSE: Duration = Duration::from_millis(RECORDS_PAUSE_MILLISECONDS);

/// Ended calls for the API, in the store.
#[derive(Debug)]
pub struct CallList {
    store: Store,
    /// Ended conferences, retained as long as calls.
    conferences: ConferenceList,
    state: Arc<CallListState>,
}

/// State shared with the store's thread. It does not contain the store, because that thread must not drop the last
/// handle.
#[derive(Debug, Default)]
struct CallListState {
    inner: Mutex<UnwrittenCalls>,
    /// Number of calls that were never stored.
    lost: Counter,
}

#[derive(Debug, Default)]
struct UnwrittenCalls {
    /// Retention time; calls are not stored if it is `None` or zero.
    keep: Option<Duration>,
    /// Number of calls that are being written to the store.
    under_way: usize,
    /// Calls refused by the store, oldest first.
    unwritten: VecDeque<StoredCall>,
    /// Time and reason of the last refusal.
    refused: Option<(Instant, Failure)>,
    removed: RemovedCalls,
}

/// SIDs of calls that an API request has removed from the list, but that other parts of the edge may still report.
#[derive(Debug, Default)]
struct RemovedCalls {
    sids: HashSet<String>,
    /// SIDs in the order of removal, oldest first.
    order: VecDeque<String>,
}

impl RemovedCalls {
    fn add(&mut self, sid: &str) {
        if self.sids.insert(sid.to_owned()) {
            self.order.push_back(sid.to_owned());
        }
        if self.order.len() > CALLS_REMOVED
            && let Some(oldest) = self.order.pop_front()
        {
            self.sids.remove(&oldest);
        }
    }
}

impl CallListState {
    fn lock(&self) -> MutexGuard<'_, UnwrittenCalls> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues calls that the store has refused, to be written later; the newest ones are lost if the queue is full.
    fn put_back(&self, calls: Vec<StoredCall>) {
        let mut inner = self.lock();
        let room = CALLS_UNWRITTEN.saturating_sub(inner.unwritten.len());
        self.lost.add(calls.len().saturating_sub(room) as u64);
        inner.unwritten.extend(calls.into_iter().take(room));
    }
}

impl CallList {
    /// Creates the list on a store; `keep` is the retention time, `None` if calls are not stored.
    pub fn new(store: Store, keep: Option<Duration>) -> CallList {
        let list = CallList { conferences: ConferenceList::new(store.clone()), store, state: Arc::default() };
        list.configure(keep);
        list
    }

    /// Changes the retention time of ended calls.
    pub fn configure(&self, keep: Option<Duration>) {
        self.state.lock().keep = keep;
    }

    /// Adds an ended conference, which is kept as long as calls are.
    pub fn add_conference(&self, report: ConferenceReport) {
        if self.is_stored() {
            self.conferences.add(report);
        }
    }

    /// Reads the retained conferences of earlier processes, oldest first; blocks on the disk. Unreadable ones are
    /// skipped.
    pub fn earlier_conferences(&self) -> Vec<ConferenceReport> {
        let keep = self.state.lock().keep.filter(|keep| !keep.is_zero());
        let since = keep.and_then(|keep| clock::wall().checked_sub(keep));
        since.and_then(|since| self.conferences.read(since).ok()).unwrap_or_default()
    }

    /// Returns whether calls are stored; if so, they outlive the process.
    pub fn is_stored(&self) -> bool {
        self.state.lock().keep.is_some_and(|keep| !keep.is_zero())
    }

    /// Stores an ended call with its record, unless calls are not stored or a request has removed the call. The call
    /// waits while the store is refusing calls or is still writing many.
    pub(crate) fn add(&self, call: &CallView, record: &StoredRecord) {
        let Some(stored) = stored(call, record) else { return };
        {
            let inner = self.state.lock();
            if inner.keep.is_none_or(|keep| keep.is_zero()) || inner.removed.sids.contains(&stored.sid) {
                return;
            }
        }
        let is_free = {
            let inner = self.state.lock();
            inner.refused.is_none() && inner.under_way < CALLS_UNDER_WAY
        };
        if is_free { self.write(vec![stored]) } else { self.state.put_back(vec![stored]) }
    }

    /// Stores a call that a crash interrupted, given by its record.
    pub(crate) fn add_record(&self, record: &StoredRecord) {
        match serde_json::from_slice::<CallView>(&record.json) {
            Ok(call) => self.add(&call, record),
            Err(error) => tracing::debug!(call = %record.sid, "not in the list of calls: {error}"),
        }
    }

    /// Returns whether any call waits because the store refused it.
    pub(crate) fn is_behind(&self) -> bool {
        !self.state.lock().unwritten.is_empty()
    }

    /// Writes waiting calls to the store, unless it refused some less than [`PAUSE`] ago, or has still to write many.
    pub(crate) fn settle(&self) {
        let batch: Vec<StoredCall> = {
            let mut inner = self.state.lock();
            let rests = inner.refused.as_ref().is_some_and(|(since, _)| since.elapsed() < PAUSE);
            if rests || inner.under_way >= CALLS_UNDER_WAY {
                return;
            }
            let count = inner.unwritten.len().min(STORE_BATCH);
            inner.unwritten.drain(..count).collect()
        };
        if !batch.is_empty() {
            self.write(batch);
        }
    }

    /// Writes all waiting calls, because the edge ends.
    pub(crate) fn finish(&self) {
        let rest: Vec<StoredCall> = self.state.lock().unwritten.drain(..).collect();
        if !rest.is_empty() {
            self.write(rest);
        }
    }

    fn write(&self, batch: Vec<StoredCall>) {
        let (state, directory) = (Arc::clone(&self.state), self.store.directory().to_owned());
        state.lock().under_way += batch.len();
        let kept = batch.clone();
        let tell = move |written: io::Result<()>| {
            let news = {
                let mut inner = state.lock();
                inner.under_way = inner.under_way.saturating_sub(kept.len());
                let before = inner.refused.take();
                inner.refused = written.as_ref().err().map(|error| (Instant::now(), Failure::of(error, &directory)));
                (before.is_some(), inner.refused.is_some())
            };
            match (news, written) {
                ((false, true), Err(error)) => {
                    tracing::error!(
                        "ended calls are not stored: {error}; this is retried, but a restart before then removes them from the API's list. Calls are not affected"
                    );
                }
                ((true, false), _) => tracing::info!("ended calls are stored again"),
                _ => {}
            }
            if news.1 {
                state.put_back(kept);
            }
        };
        self.store.submit(Commit::Soon, move |file| calls::add(file, &batch), tell);
    }

    /// Removes a call and the calls of its parties from the store, and hides those in memory. Returns whether the store
    /// contained the call.
    ///
    /// # Errors
    /// Returns the error of the store; the call is then hidden until the next start.
    pub async fn remove(&self, sid: &str) -> io::Result<bool> {
        let is_stored = {
            let mut inner = self.state.lock();
            inner.removed.add(sid);
            inner.unwritten.retain(|call| call.sid != sid);
            inner.keep.is_some_and(|keep| !keep.is_zero())
        };
        if !is_stored && !self.store.has_any() {
            return Ok(false);
        }
        let (sid, now) = (sid.to_owned(), clock::now().as_millisecond());
        self.store.run(Commit::Wiped, move |file| calls::remove(file, &sid, now)).await
    }

    /// Returns whether a request removed a call that may still be in memory.
    pub fn is_removed(&self, sid: &str) -> bool {
        self.state.lock().removed.sids.contains(sid)
    }

    /// Returns a page of ended calls, newest first, and the start and SID from which the next page continues, if any.
    /// Unreadable calls are skipped.
    pub async fn part(&self, mut wanted: CallFilter, most: usize) -> (Vec<Arc<CallView>>, Option<(String, String)>) {
        let Some(ended_since) = self.ended_since() else { return (Vec::new(), None) };
        wanted.ended_since = ended_since;
        let listed = self.read(move |file| calls::part(file, &wanted, most)).await.unwrap_or_default();
        let next =
            listed.last().filter(|_| listed.len() >= most).map(|(started, sid, _)| (started.clone(), sid.clone()));
        let calls = listed.iter().filter(|(_, sid, _)| !self.is_removed(sid));
        (calls.filter_map(|(_, sid, record): &ListedCall| view(sid, record)).map(Arc::new).collect(), next)
    }

    /// Finds an ended call by its SID or the SID of a party's call.
    pub async fn find(&self, sid: &str) -> Option<CallView> {
        let ended_since = self.ended_since()?;
        let wanted = sid.to_owned();
        let record = self.read(move |file| calls::find(file, &wanted, ended_since)).await??;
        view(sid, &record).filter(|call| !self.is_removed(&call.sid))
    }

    /// Reads the store within the time limit of an API request; logs a failure and returns `None`.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Option<T> {
        let patience = Duration::from_secs(STORE_PATIENCE_SECONDS);
        let read = timeout(patience, self.store.read(read)).await;
        match read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(read) => Some(read),
            Err(error) => {
                tracing::warn!("ended calls cannot be listed, because the store cannot be read: {error}");
                None
            }
        }
    }

    /// Returns the earliest end time of retained calls in milliseconds since 1970; `None` if calls are not stored or
    /// the store has no file.
    fn ended_since(&self) -> Option<i64> {
        let keep = self.state.lock().keep?;
        self.store.has_any().then(|| before(clock::now(), keep))
    }

    /// Removes expired and excess calls periodically while the edge runs.
    pub async fn keep_pruned(self: Arc<CallList>) {
        let mut ticks = interval(Duration::from_secs(CALLS_PRUNE_SECONDS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            while self.prune().await {
                sleep(Duration::from_millis(CALLS_PRUNE_MILLISECONDS)).await;
            }
        }
    }

    /// Removes a batch of expired or excess calls; returns true if another batch may follow.
    async fn prune(&self) -> bool {
        let Some(keep) = self.state.lock().keep.filter(|_| self.store.has_any()) else { return false };
        let prune = move |file: &rusqlite::Connection| {
            let ended_since = retention::date(file, ClockReading::now())?.map_or(i64::MIN, |date| before(date, keep));
            calls::prune(file, ended_since, CALLS_STORED, CALLS_PRUNED_AT_ONCE)
        };
        self.store.run(Commit::Soon, prune).await.is_ok_and(|removed| removed >= CALLS_PRUNED_AT_ONCE)
    }

    /// Returns the number of calls since the start that were never stored and will be missing after a restart.
    pub fn lost(&self) -> u64 {
        self.state.lost.get()
    }

    /// Returns the problem that the store refuses calls, while it does.
    pub fn problem(&self) -> Option<Problem> {
        let inner = self.state.lock();
        let (_, failure) = inner.refused.as_ref()?;
        let problem = Problem::of(ProblemKind::Record(RecordProblem::CallsNotStored));
        let (waiting, lost) = (inner.unwritten.len(), self.lost());
        let shown = format!("{failure}; {waiting} wait, {lost} were lost; after a restart the API lists none of them");
        Some(problem.shown_by(shown).caused_by(failure))
    }
}

/// Returns the time of `now` minus `keep` in milliseconds since 1970.
fn before(now: Timestamp, keep: Duration) -> i64 {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(keep).map_or(i64::MIN, Timestamp::as_millisecond)
}

/// Returns a call in its stored form; `None` if the call has not ended.
fn stored(call: &CallView, record: &StoredRecord) -> Option<StoredCall> {
    let ended: Timestamp = call.ended_at.as_deref()?.parse().ok()?;
    let parties = call.legs.iter().skip(1).filter(|leg| leg.is_call_of_party());
    Some(StoredCall {
        sid: call.sid.clone(),
        started: call.started_at.clone(),
        ended: ended.as_millisecond(),
        caller: call.from.clone(),
        called: call.to.clone(),
        parties: parties.map(|leg| leg.sid.clone()).collect(),
        record: Arc::clone(&record.json),
    })
}

/// Parses the record of a call; `None`, with a log line, if it is unreadable.
fn view(sid: &str, record: &[u8]) -> Option<CallView> {
    serde_json::from_slice(record)
        .inspect_err(|error| tracing::warn!(call = %sid, "the stored record of the call is omitted from the list, because it cannot be parsed: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::store::disk::tests::refuse_changes;
    use crate::sinks::store::record::tests::ended;
    use trunkgate_testing::until::until;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Returns a list on a new store in a temporary directory; with `keep` the store is opened.
    fn list(keep: Option<Duration>) -> (tempfile::TempDir, CallList) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::start(trunkgate_config::DataDirectory::of(directory.path())).unwrap();
        keep.iter().for_each(|_| store.open_now().unwrap());
        (directory, CallList::new(store, keep))
    }

    fn add(list: &CallList, sid: &str) {
        let record = ended(sid);
        list.add(&record.call, &StoredRecord::of(&record).unwrap());
    }

    fn wait<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    fn sids(list: &CallList) -> Vec<String> {
        let (calls, _) = wait(list.part(CallFilter::default(), 100));
        calls.iter().map(|call| call.sid.clone()).collect()
    }

    #[test]
    fn a_call_is_read_as_it_was_written_and_removed_for_good() {
        let (_directory, list) = list(Some(100 * 366 * DAY));
        ["CA1", "CA2"].iter().for_each(|sid| add(&list, sid));
        assert_eq!(sids(&list), ["CA2", "CA1"]);
        let read = wait(list.find("CA1")).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(ended("CA1").call).unwrap());
        assert!(wait(list.remove("CA1")).unwrap());
        assert!(!wait(list.remove("CA1")).unwrap());
        // The record of a removed call may arrive late.
        add(&list, "CA1");
        assert!(list.is_removed("CA1") && wait(list.find("CA1")).is_none());
        assert_eq!(sids(&list), ["CA2"]);
    }

    #[test]
    fn a_call_is_listed_for_so_long_and_then_removed() {
        let (_directory, list) = list(Some(100 * 366 * DAY));
        add(&list, "CA1");
        assert_eq!(sids(&list), ["CA1"]);
        list.configure(Some(DAY));
        assert!(sids(&list).is_empty() && wait(list.find("CA1")).is_none());
        assert!(!wait(list.prune()), "all of it is removed");
        list.configure(Some(100 * 366 * DAY));
        assert!(sids(&list).is_empty());
    }

    #[test]
    fn a_closed_api_has_nothing_stored() {
        let (directory, list) = list(None);
        add(&list, "CA1");
        assert!(sids(&list).is_empty() && std::fs::read_dir(directory.path()).unwrap().next().is_none());
    }

    #[test]
    fn while_the_disk_is_full_calls_wait_and_the_newest_are_lost() {
        let (_directory, list) = list(Some(100 * 366 * DAY));
        refuse_changes(true);
        (0..CALLS_UNWRITTEN + 3).for_each(|n| add(&list, &format!("CA{n:05}")));
        refuse_changes(false);
        assert_eq!((list.is_behind(), list.lost()), (true, 3));
        let problem = list.problem().unwrap().to_string();
        assert!(problem.starts_with("ended calls are not stored: ") && problem.contains("`df -h "), "{problem}");
        list.finish();
        // The store processes batches in order, and a read waits for all of them.
        until("the calls are stored", || (list.state.lock().under_way == 0).then_some(()));
        assert_eq!(sids(&list).len(), 100);
        assert!(list.problem().is_none() && !list.is_behind());
        assert!(wait(list.find("CA00000")).is_some() && wait(list.find("CA10000")).is_none());
    }
}
