//! Brings records from the spool to the URL: a few at once while it takes them, one at a time and ever more seldom while it
//! does not.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::TryRng as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::post::{Connection, Refusal, Target};
use super::spool::{Pushed, Spool, Ticket};
use super::{Figures, Record};
use crate::limits::{CDR_AT_ONCE, CDR_PAUSE_SECONDS, CDR_REFUSALS};
use crate::system::backoff::Backoff;

/// Pauses while the endpoint takes nothing, and of a record that it refuses.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(CDR_PAUSE_SECONDS));

/// The spool and where its records go, between whoever fills it and whoever empties it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    /// There is something new.
    woken: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    way: Option<(Spool, Arc<Target>)>,
    /// Counts changes of the way: what was begun before is of no account.
    version: u64,
    /// Nothing comes any more.
    ending: bool,
}

/// Where records are to go.
#[derive(Debug)]
pub(super) struct Way {
    /// Where they wait; `None`: where they did before.
    pub(super) spool: Option<Spool>,
    pub(super) target: Arc<Target>,
    /// What the spool may hold.
    pub(super) most_bytes: u64,
}

/// What is to be sent.
struct Letter {
    ticket: Ticket,
    target: Arc<Target>,
    version: u64,
}

/// What came of it.
struct Answer {
    ticket: Ticket,
    version: u64,
    outcome: Result<(), Refusal>,
    connection: Option<Connection>,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with the spool, where there is one.
    pub(super) fn with_spool<T>(&self, work: impl FnOnce(&mut Spool) -> T) -> Option<T> {
        self.lock().way.as_mut().map(|(spool, _)| work(spool))
    }

    /// Whether a record need not be brought again: it is in the spool, or there is no room for it. Tells it where that
    /// changes.
    pub(super) fn take(&self, record: &Record, figures: &Figures) -> bool {
        let Some(pushed) = self.with_spool(|spool| spool.push(record)) else { return true };
        match pushed {
            Ok(Pushed::Kept) => {
                if figures.spool.took() {
                    tracing::info!("the spool accepts call records again");
                }
                self.woken.notify_one();
                return true;
            }
            Ok(Pushed::Full) => {
                figures.url.lost.add(1);
                if figures.spool.failed("full: the oldest records are kept, new ones are not sent") {
                    tracing::error!(
                        reason = "cdr_failed",
                        "the spool of call records is full: the oldest records are kept, new ones are not sent"
                    );
                }
            }
            Err(error) => {
                figures.url.failures.add(1);
                if figures.spool.failed(&error.to_string()) {
                    tracing::error!(reason = "cdr_failed", "the call record spool cannot be written: {error}");
                }
                return false;
            }
        }
        true
    }

    /// Another way from now on; what waits goes along, once `others` has done what else may fail.
    ///
    /// # Errors
    /// The same, or that of the spool: then all goes the way it went.
    pub(super) fn change(&self, way: Option<Way>, others: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        // Nothing is sent meanwhile: it would be sent twice.
        let mut inner = self.lock();
        let old = inner.way.as_mut().map(|(spool, _)| spool);
        let next = match way {
            Some(Way { spool: Some(mut new), target, .. }) => {
                let copied = old.as_deref().map(|old| new.copy(old)).transpose()?;
                if let Err(error) = others() {
                    copied.iter().for_each(|copied| new.take_back(copied));
                    return Err(error);
                }
                if let (Some(old), Some(copied)) = (old, copied) {
                    old.hand_over(copied);
                }
                Some((new, target))
            }
            Some(Way { spool: None, target, most_bytes }) => {
                others()?;
                inner.way.take().map(|(mut spool, _)| {
                    spool.wake_all();
                    spool.limit(most_bytes);
                    (spool, target)
                })
            }
            None => {
                others()?;
                None
            }
        };
        inner.way = next;
        inner.version += 1;
        drop(inner);
        self.woken.notify_one();
        Ok(())
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        self.lock().ending = true;
        self.woken.notify_one();
    }

    fn next(&self, now: Instant) -> Result<Letter, Option<Instant>> {
        let mut inner = self.lock();
        let version = inner.version;
        let Some((spool, target)) = &mut inner.way else { return Err(None) };
        let ticket = spool.next(now)?;
        Ok(Letter { ticket, target: Arc::clone(target), version })
    }
}

/// Sends what is in the outbox, until it ends: then what can be sent at once.
pub(super) struct Sender {
    outbox: Arc<Outbox>,
    figures: Arc<Figures>,
    under_way: JoinSet<Answer>,
    connections: Vec<Connection>,
    /// Pauses in a row.
    failures: u32,
    rests: Option<Instant>,
    delivered: u64,
    version: u64,
    /// It wants no more.
    gone: bool,
}

impl Sender {
    pub(super) fn new(outbox: Arc<Outbox>, figures: Arc<Figures>) -> Sender {
        Sender {
            outbox,
            figures,
            under_way: JoinSet::new(),
            connections: Vec::new(),
            failures: 0,
            rests: None,
            delivered: 0,
            version: 0,
            gone: false,
        }
    }

    pub(super) async fn run(mut self) {
        let outbox = Arc::clone(&self.outbox);
        loop {
            let (version, ending, waiting) = {
                let inner = outbox.lock();
                (inner.version, inner.ending, inner.way.as_ref().map_or(0, |(spool, _)| spool.len()))
            };
            self.figures.url.waiting.set(waiting as u64);
            if version != self.version {
                (self.version, self.failures, self.rests, self.gone) = (version, 0, None, false);
                self.connections.clear();
                self.figures.url.took();
            }
            if ending && (waiting == 0 || self.failures > 0 || self.gone) {
                return;
            }
            let wake = self.begin(Instant::now());
            tokio::select! {
                Some(answer) = self.under_way.join_next() => {
                    if let Ok(answer) = answer {
                        self.settle(answer);
                    }
                }
                () = outbox.woken.notified() => {}
                () = sleep(wake) => {}
            }
        }
    }

    /// Begins what may begin; gives when to look again.
    fn begin(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let at_once = if self.failures > 0 { 1 } else { CDR_AT_ONCE };
            if self.gone || self.under_way.len() >= at_once {
                return None;
            }
            if let Some(at) = self.rests.filter(|at| *at > now) {
                return Some(at);
            }
            let Letter { ticket, target, version } = match self.outbox.next(now) {
                Ok(letter) => letter,
                Err(soonest) => return soonest,
            };
            let kept = self.connections.pop();
            self.under_way.spawn(async move {
                let (outcome, connection) = target.post(kept, &ticket.sid, ticket.json.clone()).await;
                Answer { ticket, version, outcome, connection }
            });
        }
    }

    fn settle(&mut self, answer: Answer) {
        let Answer { ticket, version, outcome, connection } = answer;
        if version != self.outbox.lock().version {
            return;
        }
        self.connections.extend(connection);
        let Err(refusal) = outcome else {
            self.outbox.with_spool(|spool| spool.done(ticket.place));
            self.delivered += 1;
            (self.failures, self.rests) = (0, None);
            if self.figures.url.took() {
                tracing::info!("call records are delivered again");
            }
            return;
        };
        let now = Instant::now();
        self.tell(&refusal);
        self.gone |= refusal == Refusal::Gone;
        let asked = if let Refusal::Answered(_, later) = refusal { later } else { None };
        // Those that were under way together failed together.
        if self.rests.is_none_or(|at| at <= now) {
            self.failures = self.failures.saturating_add(1);
            self.rests = Some(now + asked.unwrap_or_default().max(pause(self.failures)));
        }
        let answered = matches!(refusal, Refusal::Answered(..)).then_some(self.delivered);
        let rests = |attempts| now + pause(attempts);
        let counted = self.outbox.with_spool(|spool| spool.put_back(ticket.place, answered, rests));
        if let Some((CDR_REFUSALS.., 1..)) = counted {
            self.set_aside(&ticket, &refusal);
        }
    }

    /// The endpoint takes others and not this one.
    fn set_aside(&mut self, ticket: &Ticket, refusal: &Refusal) {
        let path = self.outbox.with_spool(|spool| spool.set_aside(ticket));
        match path {
            Some(Ok(path)) => {
                self.figures.url.lost.add(1);
                tracing::error!(
                    call = %ticket.sid, reason = "cdr_refused",
                    "call record rejected {CDR_REFUSALS} times while others were accepted: {refusal}. It was moved to {}",
                    path.display()
                );
            }
            Some(Err(error)) => tracing::debug!(call = %ticket.sid, "a refused record cannot be put aside: {error}"),
            None => {}
        }
    }

    fn tell(&self, refusal: &Refusal) {
        let place = self.outbox.lock().way.as_ref().map(|(_, target)| target.place().to_owned()).unwrap_or_default();
        let problem = format!("{place}: {refusal}");
        if self.figures.url.failed(&problem) {
            tracing::error!(
                reason = "cdr_failed",
                "call records are not delivered: {problem}; they are kept on disk and retried"
            );
        }
    }
}

/// How long after so many attempts in vain.
fn pause(attempts: u32) -> Duration {
    PAUSES.pause(attempts, rand::rngs::SysRng.try_next_u32().unwrap_or_default())
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::config::CdrUrl;
    use crate::sinks::records::tests::record;

    fn sender(folder: &std::path::Path) -> Sender {
        let settings = CdrUrl {
            url: "http://127.0.0.1:9/?key=hush".to_owned(),
            secrets: Vec::new(),
            token: None,
            ca: None,
            spool: folder.to_owned(),
            spool_bytes: 1 << 20,
        };
        let spool = Some(Spool::open(folder, settings.spool_bytes).unwrap());
        let target = Arc::new(Target::new(settings).unwrap());
        let outbox = Arc::new(Outbox::default());
        outbox.change(Some(Way { spool, target, most_bytes: 1 << 20 }), || Ok(())).unwrap();
        Sender::new(outbox, Arc::default())
    }

    /// The next record that may be sent at that time, and what comes of it.
    fn answer(sender: &mut Sender, at: Instant, outcome: Result<(), Refusal>) -> String {
        let Letter { ticket, version, .. } = sender.outbox.next(at).ok().unwrap();
        let sid = ticket.sid.clone();
        sender.settle(Answer { ticket, version, outcome, connection: None });
        sid
    }

    fn bad_request() -> Result<(), Refusal> {
        Err(Refusal::Answered(StatusCode::BAD_REQUEST, None))
    }

    #[test]
    fn a_record_that_alone_is_refused_again_and_again_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let mut sender = sender(directory.path());
        let late = Instant::now() + Duration::from_secs(86_400);
        let take = |sender: &Sender, sid| assert!(sender.outbox.take(&record(sid), &sender.figures));
        take(&sender, "CA1");
        // While nothing is taken it is the endpoint's fault, however often.
        for _ in 0..3 * CDR_REFUSALS {
            assert_eq!(answer(&mut sender, late, bad_request()), "CA1");
        }
        take(&sender, "CA2");
        let one = Instant::now();
        assert_eq!(answer(&mut sender, one, Ok(())), "CA2", "it does not keep the others waiting");
        assert_eq!(answer(&mut sender, late, bad_request()), "CA1");
        assert!(sender.outbox.next(late).is_err());
        assert_eq!((sender.figures.url.lost.get(), sender.outbox.with_spool(|spool| spool.len())), (1, Some(0)));
        let aside = std::fs::read_to_string(directory.path().join("refused.jsonl")).unwrap();
        assert!(aside.starts_with("{\"sid\":\"CA1\"") && aside.lines().count() == 1, "{aside}");
    }

    #[test]
    fn an_endpoint_that_fails_is_asked_seldom_and_by_one_record_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let mut sender = sender(directory.path());
        for n in 0..8 {
            assert!(sender.outbox.take(&record(&format!("CA{n}")), &sender.figures));
        }
        let now = Instant::now();
        // Four under way together fail together.
        for _ in 0..CDR_AT_ONCE {
            answer(&mut sender, now, Err(Refusal::Unheard("connection refused".to_owned())));
        }
        assert_eq!(sender.failures, 1);
        assert!(sender.begin(now).is_some_and(|at| at > now), "it rests");
        let later = Refusal::Answered(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(600)));
        sender.rests = None;
        answer(&mut sender, now, Err(later));
        assert!(sender.rests.is_some_and(|at| at >= now + Duration::from_secs(600)), "as it asks");
        let problems = sender.figures.problems();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("call records, url: http://127.0.0.1:9/: it answered 503"), "{problems:?}");
        sender.rests = None;
        answer(&mut sender, now, Ok(()));
        assert_eq!((sender.failures, sender.figures.problems().len()), (0, 0));
    }

    #[test]
    fn the_oldest_stay_in_a_full_spool_and_that_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let sender = sender(directory.path());
        sender.outbox.with_spool(|spool| spool.limit(1000));
        for n in 0..10 {
            assert!(sender.outbox.take(&record(&format!("CA{n}")), &sender.figures));
        }
        let kept = sender.outbox.with_spool(|spool| spool.len()).unwrap();
        assert!(kept > 0 && sender.figures.url.lost.get() == 10 - kept as u64);
        assert_eq!(sender.outbox.next(Instant::now()).ok().unwrap().ticket.sid, "CA0");
        assert!(sender.figures.problems()[0].contains("spool: full"), "{:?}", sender.figures.problems());
    }
}
