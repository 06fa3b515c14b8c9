//! Texts and opt-outs in the store. A waiting text has a row in the outbox. Each request is recorded before it is sent,
//! so that after a crash at any moment a text is either waiting, sent, or to be looked up first.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use trunkgate_call::{SmsEvent, SmsRequest};

use super::bounds::{Bounds, sids, why_not};
use super::kept;
use super::message::Message;
use super::outlets::Channel;
use crate::sinks::outbox::{Head, Row, table};
use trunkgate_system::limits::SMS_KEPT_SECONDS;

/// Name of texts among the kinds of the outbox.
pub(super) const NAME: &str = "text";
/// Twilio's error code for a message to a region that is not permitted any more.
const NOT_PERMITTED: u32 = 21_408;

/// State of a text in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The call of the text is in progress.
    Watched = 0,
    /// The text waits to be sent.
    Due = 1,
    /// A request that sends the text is in progress.
    Asked = 2,
    /// The text may have been accepted, so it must be looked up.
    Doubtful = 3,
    /// The text was sent, or will not be sent.
    Done = 4,
}

/// Final result of a text message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The service accepted the text.
    Sent,
    /// The service rejected the text.
    Refused,
    /// The recipient has opted out.
    OptedOut,
    /// The daily limit for the recipient or for all texts is reached.
    Limited,
    /// The text expired before it was sent.
    Expired,
    /// The text expired while it was unknown whether it had been accepted.
    Unknown,
}

impl Ended {
    /// All final results.
    pub(crate) const ALL: [Ended; 6] =
        [Ended::Sent, Ended::Refused, Ended::OptedOut, Ended::Limited, Ended::Expired, Ended::Unknown];

    /// Returns the label of the outcome in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Ended::Sent => "sent",
            Ended::Refused => "refused",
            Ended::OptedOut => "opted_out",
            Ended::Limited => "limited",
            Ended::Expired => "expired",
            Ended::Unknown => "unknown",
        }
    }
}

/// Times of a text that may have been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Time of the first attempt.
    pub(super) sent: Timestamp,
    /// Time at which the last attempt was abandoned.
    pub(super) since: Timestamp,
}

/// Text for which a request is to be made.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) call: String,
    pub(super) channel: Channel,
    pub(super) message: Message,
    pub(super) created: i64,
    /// Expiry of the text in milliseconds since 1970, if it has its own.
    pub(super) expires: Option<i64>,
    /// Times of the attempts if the text may have been accepted and must therefore be looked up.
    pub(super) look: Option<Doubt>,
    /// SIDs of the messages of other calls to the same recipient.
    pub(super) known: HashSet<String>,
}

/// Result of beginning an attempt for a text.
pub(super) enum Begun {
    /// A request must be made for the text.
    Job(Box<Job>),
    /// The text ends without a request.
    Over(End),
    /// The service of the text is not configured; it expires after this time.
    Stranded(Duration),
    /// The text no longer waits to be sent.
    Gone,
}

/// Outcome of a text, with the SID of its message and the error code, if known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) ended: Ended,
    pub(super) sid: Option<String>,
    pub(super) code: Option<u32>,
}

/// Number of texts that wait to be sent, and the age of the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Queue {
    pub(super) texts: u64,
    /// Time at which the call of the oldest waiting text ended.
    pub(super) oldest: Option<Timestamp>,
    /// Number of texts for the service of `[messages]`.
    of_service: u64,
}

impl Queue {
    /// Returns the number of texts without a configured service.
    pub(super) fn stranded(&self, bounds: &Bounds) -> u64 {
        let of = |is_configured, texts| if is_configured { 0 } else { texts };
        of(bounds.service, self.of_service) + of(bounds.twilio, self.texts - self.of_service)
    }
}

pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

/// Returns the outbox row of a text without its body, which is in the table of texts. The texts to a recipient share a
/// line, so that a look-up cannot find another text.
pub(super) fn head(call: &str, to: &str, channel: Channel, created: Timestamp) -> Head {
    let service = if channel == Channel::Service { "service" } else { "twilio" };
    Head {
        key: call.to_owned(),
        line: to.to_owned(),
        host: service.to_owned(),
        place: to.to_owned(),
        share: service.to_owned(),
        created: created.as_microsecond(),
        due: millis(created),
        attempts: 0,
        bytes: 0,
    }
}

/// Adds a text to the store, to be sent.
pub(super) fn add(store: &Connection, head: &Head) -> rusqlite::Result<()> {
    table::add(store, NAME, &[Row { head: head.clone(), body: String::new() }])
}

/// Queues the stored texts that have no outcome after a restart, including those of calls that the restart interrupted.
pub(super) fn take_up(store: &Connection) -> rusqlite::Result<()> {
    store.execute("UPDATE sms SET state = ?1 WHERE state = ?2", [State::Due as i64, State::Watched as i64])?;
    let mut rows = store.prepare(
        "SELECT call FROM sms WHERE state IN (1, 2, 3)
         AND NOT EXISTS (SELECT 1 FROM outbox WHERE kind = ?1 AND key = call) ORDER BY created, rowid",
    )?;
    let calls: Vec<String> = rows.query_map([NAME], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    calls.iter().try_for_each(|call| add_stored(store, call))
}

/// Queues a stored text that has no outcome.
pub(super) fn add_stored(store: &Connection, call: &str) -> rusqlite::Result<()> {
    let mut found =
        store.prepare("SELECT recipient, channel, created FROM sms WHERE call = ?1 AND state IN (1, 2, 3)")?;
    let head = |row: &rusqlite::Row<'_>| {
        let to: String = row.get(0)?;
        Ok(head(call, &to, Channel::of(row.get(1)?), time(row.get(2)?)))
    };
    let head = found.query_row([call], head).optional()?;
    head.map_or(Ok(()), |head| add(store, &head))
}

/// Stores the commands of calls; returns the outbox rows of texts that are to be sent.
pub(super) fn take_in(store: &Connection, now: Timestamp, all: &[SmsEvent]) -> rusqlite::Result<Vec<Head>> {
    let keep = |sms: &SmsRequest, state: State| {
        store
            .prepare(
                "INSERT INTO sms (call, recipient, sender, body, state, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (call) DO UPDATE SET
                     recipient = ?2, sender = ?3, body = ?4, state = ?5, created = ?6 WHERE state = ?7",
            )?
            .execute(params![sms.call, sms.to, sms.from, sms.body, state as i64, millis(now), State::Watched as i64])
    };
    let mut heads = Vec::new();
    for news in all {
        match news {
            SmsEvent::Watch(sms) => _ = keep(sms, State::Watched)?,
            SmsEvent::Send(sms) => {
                if keep(sms, State::Due)? > 0 {
                    let head = head(&sms.call, &sms.to, Channel::Call, now);
                    add(store, &head)?;
                    heads.push(head);
                }
            }
            SmsEvent::Forget(call) => {
                let mut forget = store.prepare("DELETE FROM sms WHERE call = ?1 AND state = ?2")?;
                forget.execute(params![call, State::Watched as i64])?;
            }
        }
    }
    Ok(heads)
}

/// Begins an attempt for a text, and records that its request is in progress.
pub(super) fn begin(store: &Connection, now: Timestamp, bounds: &Bounds, call: &str) -> rusqlite::Result<Begun> {
    // An earlier process may have sent its request, so the text must be looked up.
    store.prepare("UPDATE sms SET state = ?3, doubted = ?4 WHERE call = ?1 AND state = ?2")?.execute(params![
        call,
        State::Asked as i64,
        State::Doubtful as i64,
        millis(now)
    ])?;
    let Some(job) = waiting(store, call)? else { return Ok(Begun::Gone) };
    let ended = match why_not(store, now, bounds, &job)? {
        // A text that may have been accepted is looked up as long as the result matters.
        Some(Ended::Expired) if job.look.is_some() => Some(Ended::Unknown),
        Some(Ended::Expired) => Some(Ended::Expired),
        _ if !bounds.has(job.channel) => {
            let left = bounds.expiry(&job).saturating_sub(millis(now)).saturating_add(1);
            return Ok(Begun::Stranded(Duration::from_millis(u64::try_from(left).unwrap_or(0))));
        }
        Some(_) if job.look.is_some() => None,
        other => other,
    };
    if let Some(ended) = ended {
        let code = (ended == Ended::Refused).then_some(NOT_PERMITTED);
        return Ok(Begun::Over(End { ended, sid: None, code }));
    }
    if job.look.is_none() {
        store.prepare("UPDATE sms SET state = ?2, asked = coalesce(asked, ?3) WHERE call = ?1")?.execute(params![
            call,
            State::Asked as i64,
            millis(now)
        ])?;
    }
    let known = sids(store, &job.message.to)?;
    Ok(Begun::Job(Box::new(Job { known, ..job })))
}

/// Reads a text that waits.
fn waiting(store: &Connection, call: &str) -> rusqlite::Result<Option<Job>> {
    let mut found = store.prepare(
        "SELECT recipient, sender, body, created, state = 3, asked, doubted, channel, expires FROM sms
         WHERE call = ?1 AND state IN (1, 3)",
    )?;
    let text = |row: &rusqlite::Row<'_>| {
        let message = Message { to: row.get(0)?, from: row.get(1)?, body: row.get(2)? };
        let (created, is_doubtful): (i64, bool) = (row.get(3)?, row.get(4)?);
        let (sent, since): (Option<i64>, Option<i64>) = (row.get(5)?, row.get(6)?);
        let doubt = Doubt { sent: time(sent.unwrap_or(created)), since: time(since.unwrap_or(created)) };
        let (channel, expires, look) = (Channel::of(row.get(7)?), row.get(8)?, is_doubtful.then_some(doubt));
        Ok(Job { call: call.to_owned(), channel, message, created, expires, look, known: HashSet::new() })
    };
    found.query_row([call], text).optional()
}

/// Stores that a text is to be sent again, or to be looked up because it may have been accepted until `doubted`.
pub(super) fn retry(store: &Connection, call: &str, doubted: Option<Timestamp>) -> rusqlite::Result<()> {
    let state = if doubted.is_some() { State::Doubtful } else { State::Due };
    store
        .prepare("UPDATE sms SET state = ?2, doubted = coalesce(?3, doubted) WHERE call = ?1")?
        .execute(params![call, state as i64, doubted.map(millis)])
        .map(drop)
}

/// Returns the numbers of waiting texts.
pub(super) fn queue(store: &Connection) -> rusqlite::Result<Queue> {
    let select = "SELECT count(*), min(created), count(*) FILTER (WHERE channel = 2) FROM sms WHERE state IN (1, 2, 3)";
    store.prepare(select)?.query_row([], |row| {
        let (texts, oldest, of_service): (i64, Option<i64>, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let [texts, of_service] = [texts, of_service].map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Queue { texts, oldest: oldest.map(time), of_service })
    })
}

/// Stores that a recipient has opted out of text messages, or in again.
pub(super) fn opt(store: &Connection, now: Timestamp, recipient: &str, out: bool) -> rusqlite::Result<()> {
    let done = match out {
        true => store
            .execute("INSERT OR IGNORE INTO opted_out (recipient, since) VALUES (?1, ?2)", (recipient, millis(now))),
        false => store.execute("DELETE FROM opted_out WHERE recipient = ?1", [recipient]),
    };
    done.map(drop)
}

/// Removes texts with an outcome that are too old to count towards a limit.
pub(super) fn forget(store: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let before = millis(now) - SMS_KEPT_SECONDS * 1_000;
    store.execute("DELETE FROM sms WHERE state = ?1 AND created < ?2", params![State::Done as i64, before])?;
    kept::forget(store, now)
}

/// Stores the outcome of a text and deletes its contents, for privacy.
pub(super) fn end(store: &Connection, now: Timestamp, call: &str, end: &End) -> rusqlite::Result<()> {
    let End { ended, sid, code } = end;
    kept::ended(store, now, call, (*ended, *code), sid.as_deref())?;
    store
        .prepare("UPDATE sms SET state = ?2, result = ?3, sid = ?4, body = '' WHERE call = ?1")?
        .execute(params![call, State::Done as i64, ended.as_str(), sid])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;
    use crate::sinks::store::{Commit, Store};
    use trunkgate_config::DataDirectory;
    use trunkgate_system::limits::SMS_DAY_SECONDS;

    const BOUNDS: Bounds = Bounds {
        per_recipient: 2,
        per_day: 0,
        expires: 3_600,
        twilio: true,
        service: false,
        allow_prefixes: Vec::new(),
    };

    fn sms(call: &str, to: &str) -> Box<SmsRequest> {
        Box::new(SmsRequest { call: call.into(), to: to.into(), from: "+14155551234".into(), body: "Missed.".into() })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// SIDs of calls with texts that ended without a request, and the outcomes.
    type Over = Vec<(String, Ended)>;
    /// SIDs of calls with a request to be made and whether it is a look-up; and calls with texts that ended without
    /// one.
    type Told = (Vec<(String, bool)>, Over);

    /// Texts in a store, with the turns that the outbox would give them.
    struct Rig {
        directory: tempfile::TempDir,
        store: Store,
        /// Time of the next attempt for each call, in milliseconds.
        next: RefCell<HashMap<String, i64>>,
    }

    impl Rig {
        fn new() -> Rig {
            Rig::on(tempfile::tempdir().unwrap())
        }
        fn on(directory: tempfile::TempDir) -> Rig {
            let store = Store::start(DataDirectory::of(directory.path())).unwrap();
            store.run_now(take_up).unwrap();
            Rig { directory, store, next: RefCell::default() }
        }
        /// Restarts the store as after a SIGKILL.
        fn restart(self) -> Rig {
            let Rig { directory, store, .. } = self;
            drop(store);
            Rig::on(directory)
        }
        fn take_in(&self, now: i64, all: Vec<SmsEvent>) {
            self.store.run_now(move |store| take_in(store, at(now), &all)).unwrap();
        }
        fn jobs(&self, now: i64) -> (Vec<Job>, Over) {
            self.jobs_within(now, &BOUNDS)
        }
        fn jobs_within(&self, now: i64, bounds: &Bounds) -> (Vec<Job>, Over) {
            let (mut jobs, mut over) = (Vec::new(), Vec::new());
            let mut next = self.next.borrow_mut();
            loop {
                let heads = self.store.run_now(|store| table::heads(store, NAME, 100)).unwrap();
                let mut lines = HashSet::new();
                let mut first = heads.into_iter().filter(|head| lines.insert(head.line.clone()));
                let due = first.find(|head| next.get(&head.key).is_none_or(|at| *at <= now));
                let Some(call) = due.map(|head| head.key) else { return (jobs, over) };
                let (of, bounds) = (call.clone(), bounds.clone());
                match self.store.run_now(move |store| begin(store, at(now), &bounds, &of)).unwrap() {
                    Begun::Job(job) => {
                        next.insert(call, i64::MAX);
                        jobs.push(*job);
                    }
                    Begun::Over(end) => {
                        over.push((call.clone(), end.ended));
                        self.end(now, &call, end);
                    }
                    Begun::Stranded(left) => drop(next.insert(call, now + left.as_secs().max(1).cast_signed())),
                    Begun::Gone => panic!("{call} does not wait"),
                }
            }
        }
        fn due(&self, now: i64) -> Told {
            let (jobs, over) = self.jobs(now);
            (jobs.into_iter().map(|job| (job.call, job.look.is_some())).collect(), over)
        }
        /// Ends a failed attempt; the next one follows at `next`.
        fn fail(&self, call: &str, doubted: Option<i64>, next: i64) {
            self.next.borrow_mut().insert(call.to_owned(), next);
            let call = call.to_owned();
            self.store.run_now(move |store| retry(store, &call, doubted.map(at))).unwrap();
        }
        /// Ends a text as the outbox would.
        fn end(&self, now: i64, call: &str, last: End) {
            let call = call.to_owned();
            let write = move |store: &Connection| {
                table::remove(store, NAME, &[&call])?;
                end(store, at(now), &call, &last)
            };
            self.store.run_now(write).unwrap();
        }
        fn opt(&self, now: i64, out: bool) {
            self.store.run_now(move |store| opt(store, at(now), "+1", out)).unwrap();
        }
        fn set(&self, change: &str, call: &str) {
            let update = format!("UPDATE sms SET {change} WHERE call = '{call}'");
            self.store.run_now(move |store| store.execute(&update, [])).unwrap();
        }
        fn queue(&self) -> Queue {
            self.store.run_now(queue).unwrap()
        }
    }

    fn ending(ended: Ended, sid: Option<&str>) -> End {
        End { ended, sid: sid.map(str::to_owned), code: None }
    }

    fn only(call: &str, look: bool) -> Told {
        (vec![(call.to_owned(), look)], vec![])
    }

    #[test]
    fn what_was_said_is_in_no_file_once_it_is_over() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsEvent::Send(sms("CA1", "+1"))]);
        let is_there = |rig: &Rig| {
            ["trunkgate.db", "trunkgate.db-wal"].iter().any(|name| {
                let bytes = std::fs::read(rig.directory.path().join(name)).unwrap_or_default();
                bytes.windows(7).any(|found| found == b"Missed.")
            })
        };
        assert!(is_there(&rig));
        assert_eq!(rig.due(1), only("CA1", false));
        rig.end(2, "CA1", ending(Ended::Sent, Some("SM1")));
        let forgotten = rig.store.run(Commit::Wiped, |store| forget(store, at(3)));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(forgotten).unwrap();
        assert!(!is_there(&rig));
    }

    #[test]
    fn a_text_is_sent_once_whenever_the_process_is_killed() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsEvent::Watch(sms("CA1", "+1")), SmsEvent::Watch(sms("CA2", "+2"))]);
        assert_eq!(rig.due(0), (vec![], vec![]), "their calls are under way");
        rig.take_in(1, vec![SmsEvent::Forget("CA2".into())]);
        // The process is killed during the first call, and while the text of that call is sent.
        let rig = rig.restart();
        assert_eq!(rig.due(2), only("CA1", false));
        let rig = rig.restart();
        let (jobs, over) = rig.jobs(3);
        let calls: Vec<_> = jobs.iter().map(|job| (job.call.clone(), job.look.is_some())).collect();
        assert_eq!((calls, over), only("CA1", true));
        assert_eq!(jobs[0].look, Some(Doubt { sent: at(2), since: at(3) }));
        rig.fail("CA1", None, 5);
        assert_eq!(rig.due(4), (vec![], vec![]));
        assert_eq!(rig.due(5), only("CA1", false));
        rig.end(6, "CA1", ending(Ended::Sent, Some("SM1")));
        rig.take_in(6, vec![SmsEvent::Send(sms("CA1", "+1"))]);
        let rig = rig.restart();
        assert_eq!((rig.due(7), rig.queue().texts), ((vec![], vec![]), 0));
    }

    #[test]
    fn nothing_is_sent_to_somebody_whose_last_text_is_in_doubt() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsEvent::Send(sms("CA1", "+1")), SmsEvent::Send(sms("CA2", "+1"))]);
        assert_eq!(rig.due(0), only("CA1", false));
        assert_eq!(rig.due(1), (vec![], vec![]), "the first is under way");
        rig.fail("CA1", Some(2), 3);
        assert_eq!(rig.due(3), only("CA1", true));
        rig.next.borrow_mut().insert("CA1".to_owned(), 4);
        let (jobs, _) = rig.jobs(4);
        assert_eq!(jobs[0].look, Some(Doubt { sent: at(0), since: at(2) }), "it is still the same doubt");
        rig.end(4, "CA1", ending(Ended::Sent, Some("SM1")));
        let (jobs, _) = rig.jobs(4);
        assert_eq!((jobs[0].call.as_str(), &jobs[0].known), ("CA2", &HashSet::from(["SM1".to_owned()])));
    }

    #[test]
    fn bounds_and_wishes_are_kept() {
        let rig = Rig::new();
        let all = ["CA1", "CA2", "CA3"].map(|call| SmsEvent::Send(sms(call, "+1")));
        rig.take_in(0, all.to_vec());
        for call in ["CA1", "CA2"] {
            assert_eq!(rig.due(0), only(call, false));
            rig.end(0, call, ending(Ended::Sent, None));
        }
        assert_eq!(rig.due(1), (vec![], vec![("CA3".to_owned(), Ended::Limited)]));
        // A day later the limits permit texts again, but not to a recipient that has opted out.
        let day = SMS_DAY_SECONDS;
        rig.opt(day, true);
        rig.opt(day, true);
        rig.take_in(day, vec![SmsEvent::Send(sms("CA4", "+1"))]);
        assert_eq!(rig.due(day), (vec![], vec![("CA4".to_owned(), Ended::OptedOut)]));
        let rig = rig.restart();
        rig.take_in(day + 1, vec![SmsEvent::Send(sms("CA5", "+1"))]);
        assert_eq!(rig.due(day + 1), (vec![], vec![("CA5".to_owned(), Ended::OptedOut)]));
        rig.opt(day + 1, false);
        rig.take_in(day + 1, vec![SmsEvent::Send(sms("CA6", "+1"))]);
        assert_eq!(rig.due(day + 1), only("CA6", false));
        rig.fail("CA6", Some(day + 1), day + 2);
        assert_eq!(rig.due(day + 4_000), (vec![], vec![("CA6".to_owned(), Ended::Unknown)]));
        rig.take_in(day + 2, vec![SmsEvent::Send(sms("CA7", "+1"))]);
        assert_eq!(rig.due(day + 4_000), (vec![], vec![("CA7".to_owned(), Ended::Expired)]));
        let left: i64 = rig
            .store
            .run_now(move |store| {
                forget(store, at(10 * day))?;
                store.query_row("SELECT count(*) FROM sms", [], |row| row.get(0))
            })
            .unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_message_is_not_sent_to_a_region_that_is_not_permitted_any_more() {
        let rig = Rig::new();
        let add = |store: &Connection| {
            let sms = "INSERT INTO sms (call, recipient, sender, body, state, created, channel)
                       VALUES (?1, ?2, '+14155551234', 'x', 1, ?3, ?4)";
            let created = millis(at(0));
            for (call, to, channel) in [("SM1", "+1415", 1), ("SM2", "+1809", 1), ("SM3", "+1809", 0)] {
                store.execute(sms, params![call, to, created, channel])?;
            }
            take_up(store)
        };
        rig.store.run_now(add).unwrap();
        let (jobs, over) = rig.jobs_within(1, &Bounds { allow_prefixes: vec!["+1415".to_owned()], ..BOUNDS });
        let calls: Vec<&str> = jobs.iter().map(|job| job.call.as_str()).collect();
        assert_eq!(calls, ["SM1", "SM3"], "the rule of a route has recipients of its own");
        assert_eq!(over, [("SM2".to_owned(), Ended::Refused)]);
    }

    #[test]
    fn what_waits_for_a_service_that_is_gone_expires_all_the_same() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsEvent::Send(sms("CA1", "+1"))]);
        let gone = Bounds { twilio: false, ..BOUNDS };
        let with_service = Bounds { service: true, ..BOUNDS };
        rig.set("channel = 2", "CA1");
        assert_eq!((rig.queue().stranded(&gone), rig.queue().oldest), (1, Some(at(0))));
        assert_eq!(rig.queue().stranded(&with_service), 0);
        assert!(rig.jobs_within(0, &gone) == (vec![], vec![]));
        assert_eq!(rig.jobs_within(3_600, &gone).1, []);
        let over = rig.jobs_within(3_601, &gone).1;
        assert_eq!((rig.queue().stranded(&gone), rig.queue().oldest), (0, None));
        assert_eq!(over, [("CA1".to_owned(), Ended::Expired)]);
    }

    #[test]
    fn a_message_with_a_time_limit_of_its_own_is_not_sent_later() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsEvent::Send(sms("CA1", "+1")), SmsEvent::Send(sms("CA2", "+2"))]);
        rig.set(&format!("expires = {}", millis(at(10))), "CA1");
        let (jobs, over) = rig.jobs_within(11, &Bounds { expires: 0, ..BOUNDS });
        assert_eq!(jobs.iter().map(|job| job.call.as_str()).collect::<Vec<_>>(), ["CA2"]);
        assert_eq!(over, [("CA1".to_owned(), Ended::Expired)]);
        let gone = Bounds { twilio: false, expires: 0, ..BOUNDS };
        rig.take_in(20, vec![SmsEvent::Send(sms("CA3", "+3"))]);
        rig.set(&format!("expires = {}", millis(at(30))), "CA3");
        assert_eq!(rig.jobs_within(30, &gone).1, []);
        assert_eq!(rig.jobs_within(31, &gone).1, [("CA3".to_owned(), Ended::Expired)]);
    }

    #[test]
    fn no_text_that_is_over_is_kept() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsEvent::Send(sms("CA1", "+1"))]);
        assert_eq!(rig.due(1), only("CA1", false));
        rig.end(1, "CA1", ending(Ended::Refused, None));
        let body = |store: &Connection| store.query_row("SELECT body FROM sms", [], |row| row.get::<_, String>(0));
        assert_eq!(rig.store.run_now(body).unwrap(), "");
    }
}
