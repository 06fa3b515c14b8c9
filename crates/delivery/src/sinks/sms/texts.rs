//! Queue of texts and list of opt-outs in the store. Each request is recorded before it is sent, so that after a crash
//! at any moment a text is either pending, sent, or must be looked up first.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, named_params, params};
use trunkgate_call::{Sms, SmsNews};

use super::due::{FREE, Ready, ready, sids, stranded, why_not};
use super::kept;
use super::message::Message;
use super::outlets::Channel;
use trunkgate_system::limits::{SMS_BATCH, SMS_KEPT_SECONDS};

/// Error code of a message to a region that is no longer permitted.
const NOT_PERMITTED: u32 = 21_408;

/// State of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its call is still in progress.
    Watched = 0,
    /// Waiting to be sent.
    Due = 1,
    /// A request that sends it is under way.
    Asked = 2,
    /// Unknown whether accepted; must be looked up.
    Doubtful = 3,
    /// Finished.
    Done = 4,
}

/// Result of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Accepted by Twilio.
    Sent,
    /// Rejected by Twilio.
    Refused,
    /// The recipient has opted out.
    OptedOut,
    /// The daily limit per recipient or in total is reached.
    Limited,
    /// Expired before it was sent.
    Expired,
    /// Expired while it was unknown whether it had been accepted.
    Unknown,
}

impl Ended {
    /// All results.
    pub(crate) const ALL: [Ended; 6] =
        [Ended::Sent, Ended::Refused, Ended::OptedOut, Ended::Limited, Ended::Expired, Ended::Unknown];

    /// Returns the label in metrics.
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

/// Times of a text for which acceptance is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Time of the first attempt.
    pub(super) sent: Timestamp,
    /// Time at which the last attempt was abandoned.
    pub(super) since: Timestamp,
}

/// Next request for a text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) call: String,
    pub(super) channel: Channel,
    pub(super) message: Message,
    /// Number of failed requests.
    pub(super) tries: u32,
    /// Times of the attempts, if the text may have been accepted and must be looked up.
    pub(super) look: Option<Doubt>,
    /// SIDs of other messages to the same recipient.
    pub(super) known: HashSet<String>,
}

/// Calls with texts that ended without a request, with the results.
pub(super) type Over = Vec<(String, Ended)>;

/// Next step of a text after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The text has ended, with the SID of the message and the error code, if known.
    End(Ended, Option<String>, Option<u32>),
    /// Send again at this time, after this many failures.
    Again(Timestamp, u32),
    /// The text may have been accepted; look it up at this time, after this many failures.
    Doubt(Timestamp, u32),
    /// Look up once more at this time, after this many failures.
    LookUp(Timestamp, u32),
}

/// Limits of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Maximum number per recipient and day; 0: no limit.
    pub(super) per_recipient: u32,
    /// Maximum number per day; 0: no limit.
    pub(super) per_day: u32,
    /// Expiry in seconds after the call.
    pub(super) expires: i64,
    /// True if Twilio is configured.
    pub(super) twilio: bool,
    /// True if the service of `[messages]` is configured.
    pub(super) service: bool,
    /// Allowed prefixes of recipients of API messages; empty: any.
    pub(super) allow_prefixes: Vec<String>,
}

/// Waiting texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Queue {
    pub(super) texts: u64,
    /// Time at which the call of the oldest text ended.
    pub(super) oldest: Option<Timestamp>,
}

pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

pub(super) fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or_default()
}

/// Recovers texts after a restart: those of interrupted calls become due, and those being sent must be looked up.
pub(super) fn take_up(store: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let cut_short = (State::Due as i64, millis(now), State::Watched as i64);
    store.execute("UPDATE sms SET state = ?1, due = ?2 WHERE state = ?3", cut_short)?;
    let under_way = (State::Doubtful as i64, millis(now), State::Asked as i64);
    store.execute("UPDATE sms SET state = ?1, due = ?2, doubted = ?2 WHERE state = ?3", under_way).map(drop)
}

/// Stores the commands of calls.
pub(super) fn take_in(store: &Connection, now: Timestamp, all: &[SmsNews]) -> rusqlite::Result<()> {
    let keep = |sms: &Sms, state: State| {
        store
            .prepare(
                "INSERT INTO sms (call, recipient, sender, body, state, created, due) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
                 ON CONFLICT (call) DO UPDATE SET
                     recipient = ?2, sender = ?3, body = ?4, state = ?5, created = ?6, due = ?6 WHERE state = ?7",
            )?
            .execute(params![sms.call, sms.to, sms.from, sms.body, state as i64, millis(now), State::Watched as i64])
    };
    for news in all {
        match news {
            SmsNews::Watch(sms) => keep(sms, State::Watched)?,
            SmsNews::Send(sms) => keep(sms, State::Due)?,
            SmsNews::Forget(call) => store
                .prepare("DELETE FROM sms WHERE call = ?1 AND state = ?2")?
                .execute(params![call, State::Watched as i64])?,
        };
    }
    Ok(())
}

/// Returns up to `most` due texts without those `under_way`. Records those to be sent, and ends and returns those that
/// need no request.
pub(super) fn due(
    store: &Connection,
    now: Timestamp,
    bounds: &Bounds,
    under_way: &BTreeSet<String>,
    most: usize,
) -> rusqlite::Result<(Vec<Job>, Over)> {
    let mut jobs = Vec::new();
    let mut over = Vec::new();
    let mut recipients = BTreeSet::new();
    for text in ready(store, now, bounds, (most + under_way.len()).max(SMS_BATCH))? {
        if jobs.len() == most {
            break;
        }
        if under_way.contains(&text.call) || recipients.contains(&text.message.to) {
            continue;
        }
        let why_not = why_not(store, now, bounds, &text)?;
        let Ready { call, channel, message, tries, doubt, .. } = text;
        let ended = match why_not {
            // A text that may have been accepted is looked up as long as the result is useful.
            Some(Ended::Expired) if doubt.is_some() => Some(Ended::Unknown),
            Some(_) if doubt.is_some() => None,
            other => other,
        };
        if let Some(ended) = ended {
            let code = (ended == Ended::Refused).then_some(NOT_PERMITTED);
            end(store, now, &call, (ended, code), None)?;
            over.push((call, ended));
            continue;
        }
        if doubt.is_none() {
            store
                .prepare("UPDATE sms SET state = ?2, asked = coalesce(asked, ?3) WHERE call = ?1")?
                .execute(params![call, State::Asked as i64, millis(now)])?;
        }
        recipients.insert(message.to.clone());
        let known = sids(store, &message.to)?;
        jobs.push(Job { call, channel, message, tries, look: doubt, known });
    }
    Ok((jobs, over))
}

/// Stores the next steps of texts.
pub(super) fn settle(store: &Connection, now: Timestamp, all: &[(String, Step)]) -> rusqlite::Result<()> {
    for (call, step) in all {
        let (state, due, doubted, tries) = match step {
            Step::End(ended, sid, code) => {
                end(store, now, call, (*ended, *code), sid.as_deref())?;
                continue;
            }
            Step::Again(at, tries) => (State::Due, at, None, tries),
            Step::Doubt(at, tries) => (State::Doubtful, at, Some(millis(now)), tries),
            Step::LookUp(at, tries) => (State::Doubtful, at, None, tries),
        };
        store
            .prepare(
                "UPDATE sms SET state = ?2, due = ?3, doubted = coalesce(?4, doubted), tries = ?5 WHERE call = ?1",
            )?
            .execute(params![call, state as i64, millis(*due), doubted, tries])?;
    }
    Ok(())
}

/// Returns the time at which the next text not `under_way` is due.
pub(super) fn next_due(
    store: &Connection,
    bounds: &Bounds,
    under_way: &BTreeSet<String>,
) -> rusqlite::Result<Option<Timestamp>> {
    let mut rows = store.prepare(&format!("SELECT call, due FROM sms WHERE {FREE} ORDER BY due LIMIT :most"))?;
    let most = i64::try_from(under_way.len() + 1).unwrap_or(i64::MAX);
    let values = named_params! { ":most": most, ":twilio": bounds.twilio, ":service": bounds.service };
    let mut rows = rows.query(values)?;
    while let Some(row) = rows.next()? {
        if !under_way.contains(&row.get::<_, String>(0)?) {
            return Ok(Some(time(row.get(1)?)));
        }
    }
    Ok(None)
}

/// Ends expired texts without a service.
pub(super) fn expire(store: &Connection, now: Timestamp, bounds: &Bounds) -> rusqlite::Result<Over> {
    let over = stranded(store, now, bounds, SMS_BATCH)?;
    for (call, ended) in &over {
        end(store, now, call, (*ended, None), None)?;
    }
    Ok(over)
}

/// Returns the waiting texts.
pub(super) fn queue(store: &Connection) -> rusqlite::Result<Queue> {
    store.prepare("SELECT count(*), min(created) FROM sms WHERE state IN (1, 2, 3)")?.query_row([], |row| {
        let (texts, oldest): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(Queue { texts: u64::try_from(texts).unwrap_or(0), oldest: oldest.map(time) })
    })
}

/// Stores that a recipient opted out of text messages or in again.
pub(super) fn opt(store: &Connection, now: Timestamp, recipient: &str, out: bool) -> rusqlite::Result<()> {
    let done = match out {
        true => store
            .execute("INSERT OR IGNORE INTO opted_out (recipient, since) VALUES (?1, ?2)", (recipient, millis(now))),
        false => store.execute("DELETE FROM opted_out WHERE recipient = ?1", [recipient]),
    };
    done.map(drop)
}

/// Removes texts of days that no limit considers any more.
pub(super) fn forget(store: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let before = millis(now) - SMS_KEPT_SECONDS * 1_000;
    store.execute("DELETE FROM sms WHERE state = ?1 AND created < ?2", params![State::Done as i64, before])?;
    kept::forget(store, now)
}

/// Ends a text and deletes its contents for privacy.
fn end(
    store: &Connection,
    now: Timestamp,
    call: &str,
    (ended, code): (Ended, Option<u32>),
    sid: Option<&str>,
) -> rusqlite::Result<()> {
    kept::ended(store, now, call, (ended, code), sid)?;
    store
        .prepare("UPDATE sms SET state = ?2, result = ?3, sid = ?4, body = '' WHERE call = ?1")?
        .execute(params![call, State::Done as i64, ended.as_str(), sid])
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::due::all_stranded;
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

    fn sms(call: &str, to: &str) -> Box<Sms> {
        Box::new(Sms { call: call.into(), to: to.into(), from: "+14155551234".into(), body: "Missed.".into() })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Calls with their lookup flags, and those that ended.
    type Told = (Vec<(String, bool)>, Over);

    struct Rig {
        directory: tempfile::TempDir,
        store: Store,
    }

    impl Rig {
        fn new() -> Rig {
            Rig::on(tempfile::tempdir().unwrap(), 0)
        }
        fn on(directory: tempfile::TempDir, now: i64) -> Rig {
            let store = Store::start(DataDirectory::of(directory.path())).unwrap();
            store.run_now(move |store| take_up(store, at(now))).unwrap();
            Rig { directory, store }
        }
        /// Restarts the store like after a SIGKILL.
        fn restart(self, now: i64) -> Rig {
            let Rig { directory, store } = self;
            drop(store);
            Rig::on(directory, now)
        }
        fn take_in(&self, now: i64, all: Vec<SmsNews>) {
            self.store.run_now(move |store| take_in(store, at(now), &all)).unwrap();
        }
        fn jobs(&self, now: i64, most: usize) -> (Vec<Job>, Over) {
            self.store.run_now(move |store| due(store, at(now), &BOUNDS, &BTreeSet::new(), most)).unwrap()
        }
        fn due(&self, now: i64) -> Told {
            let (jobs, over) = self.jobs(now, 100);
            (jobs.into_iter().map(|job| (job.call, job.look.is_some())).collect(), over)
        }
        fn settle(&self, now: i64, call: &str, step: Step) {
            let call = call.to_owned();
            self.store.run_now(move |store| settle(store, at(now), &[(call, step)])).unwrap();
        }
        fn opt(&self, now: i64, out: bool) {
            self.store.run_now(move |store| opt(store, at(now), "+1", out)).unwrap();
        }
    }

    fn only(call: &str, look: bool) -> Told {
        (vec![(call.to_owned(), look)], vec![])
    }

    #[test]
    fn what_was_said_is_in_no_file_once_it_is_over() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsNews::Send(sms("CA1", "+1"))]);
        let is_there = |rig: &Rig| {
            ["trunkgate.db", "trunkgate.db-wal"].iter().any(|name| {
                let bytes = std::fs::read(rig.directory.path().join(name)).unwrap_or_default();
                bytes.windows(7).any(|found| found == b"Missed.")
            })
        };
        assert!(is_there(&rig));
        assert_eq!(rig.due(1), only("CA1", false));
        rig.settle(2, "CA1", Step::End(Ended::Sent, Some("SM1".into()), None));
        let forgotten = rig.store.run(Commit::Wiped, |store| forget(store, at(3)));
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(forgotten).unwrap();
        assert!(!is_there(&rig));
    }

    #[test]
    fn a_text_is_sent_once_whenever_the_process_is_killed() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsNews::Watch(sms("CA1", "+1")), SmsNews::Watch(sms("CA2", "+2"))]);
        assert_eq!(rig.due(0), (vec![], vec![]), "their calls are under way");
        rig.take_in(1, vec![SmsNews::Forget("CA2".into())]);
        // Killed during the first call, and while its text is under way.
        let rig = rig.restart(2);
        assert_eq!(rig.due(2), only("CA1", false));
        let rig = rig.restart(3);
        assert_eq!(rig.due(3), only("CA1", true));
        let (jobs, _) = rig.jobs(3, 1);
        assert_eq!(jobs[0].look, Some(Doubt { sent: at(2), since: at(3) }));
        rig.settle(4, "CA1", Step::Again(at(5), 1));
        assert_eq!(rig.due(4), (vec![], vec![]));
        assert_eq!(rig.due(5), only("CA1", false));
        rig.settle(6, "CA1", Step::End(Ended::Sent, Some("SM1".into()), None));
        rig.take_in(6, vec![SmsNews::Send(sms("CA1", "+1"))]);
        let rig = rig.restart(7);
        assert_eq!((rig.due(7), rig.store.run_now(queue).unwrap().texts), ((vec![], vec![]), 0));
    }

    #[test]
    fn nothing_is_sent_to_somebody_whose_last_text_is_in_doubt() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsNews::Send(sms("CA1", "+1")), SmsNews::Send(sms("CA2", "+1"))]);
        assert_eq!(rig.due(0), only("CA1", false));
        assert_eq!(rig.due(1), (vec![], vec![]), "the first is under way");
        rig.settle(2, "CA1", Step::Doubt(at(3), 1));
        assert_eq!(rig.due(3), only("CA1", true));
        rig.settle(3, "CA1", Step::LookUp(at(4), 1));
        let (jobs, _) = rig.jobs(4, 9);
        assert_eq!(jobs[0].look, Some(Doubt { sent: at(0), since: at(2) }), "it is still the same doubt");
        rig.settle(4, "CA1", Step::End(Ended::Sent, Some("SM1".into()), None));
        let (jobs, _) = rig.jobs(4, 9);
        assert_eq!((jobs[0].call.as_str(), &jobs[0].known), ("CA2", &HashSet::from(["SM1".to_owned()])));
    }

    #[test]
    fn bounds_and_wishes_are_kept() {
        let rig = Rig::new();
        let all = ["CA1", "CA2", "CA3"].map(|call| SmsNews::Send(sms(call, "+1")));
        rig.take_in(0, all.to_vec());
        for call in ["CA1", "CA2"] {
            assert_eq!(rig.due(0), only(call, false));
            rig.settle(0, call, Step::End(Ended::Sent, None, None));
        }
        assert_eq!(rig.due(1), (vec![], vec![("CA3".to_owned(), Ended::Limited)]));
        // A day later more texts are allowed, unless the recipient has opted out.
        let day = SMS_DAY_SECONDS;
        rig.opt(day, true);
        rig.opt(day, true);
        rig.take_in(day, vec![SmsNews::Send(sms("CA4", "+1"))]);
        assert_eq!(rig.due(day), (vec![], vec![("CA4".to_owned(), Ended::OptedOut)]));
        let rig = rig.restart(day + 1);
        rig.take_in(day + 1, vec![SmsNews::Send(sms("CA5", "+1"))]);
        assert_eq!(rig.due(day + 1), (vec![], vec![("CA5".to_owned(), Ended::OptedOut)]));
        rig.opt(day + 1, false);
        rig.take_in(day + 1, vec![SmsNews::Send(sms("CA6", "+1"))]);
        assert_eq!(rig.due(day + 1), only("CA6", false));
        rig.settle(day + 1, "CA6", Step::Doubt(at(day + 2), 1));
        assert_eq!(rig.due(day + 4_000), (vec![], vec![("CA6".to_owned(), Ended::Unknown)]));
        rig.take_in(day + 2, vec![SmsNews::Send(sms("CA7", "+1"))]);
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
        let found = rig.store.run_now(|store| {
            let sms = "INSERT INTO sms (call, recipient, sender, body, state, created, due, channel)
                       VALUES (?1, ?2, '+14155551234', 'x', 1, ?3, ?3, ?4)";
            let created = millis(at(0));
            for (call, to, channel) in [("SM1", "+1415", 1), ("SM2", "+1809", 1), ("SM3", "+1809", 0)] {
                store.execute(sms, params![call, to, created, channel])?;
            }
            let bounds = Bounds { allow_prefixes: vec!["+1415".to_owned()], ..BOUNDS };
            due(store, at(1), &bounds, &BTreeSet::new(), 9)
        });
        let (jobs, over) = found.unwrap();
        let calls: Vec<&str> = jobs.iter().map(|job| job.call.as_str()).collect();
        assert_eq!(calls, ["SM1", "SM3"], "the rule of a route has recipients of its own");
        assert_eq!(over, [("SM2".to_owned(), Ended::Refused)]);
    }

    #[test]
    fn what_waits_for_a_service_that_is_gone_expires_all_the_same() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsNews::Send(sms("CA1", "+1"))]);
        let gone = Bounds { twilio: false, ..BOUNDS };
        let found = rig.store.run_now(move |store| {
            store.execute("UPDATE sms SET channel = 2", [])?;
            assert_eq!(all_stranded(store, &gone)?, (1, Some(at(0))));
            assert_eq!(all_stranded(store, &Bounds { service: true, ..BOUNDS })?, (0, None));
            assert_eq!(next_due(store, &gone, &BTreeSet::new())?, None);
            assert_eq!(expire(store, at(3_600), &gone)?, []);
            let over = expire(store, at(3_601), &gone)?;
            assert_eq!(all_stranded(store, &gone)?, (0, None));
            Ok(over)
        });
        assert_eq!(found.unwrap(), [("CA1".to_owned(), Ended::Expired)]);
    }

    #[test]
    fn a_message_with_a_time_limit_of_its_own_is_not_sent_later() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsNews::Send(sms("CA1", "+1")), SmsNews::Send(sms("CA2", "+2"))]);
        let (jobs, over) = rig
            .store
            .run_now(|store| {
                store.execute("UPDATE sms SET expires = ?1 WHERE call = 'CA1'", [millis(at(10))])?;
                let without_others = Bounds { expires: 0, ..BOUNDS };
                due(store, at(11), &without_others, &BTreeSet::new(), 9)
            })
            .unwrap();
        assert_eq!(jobs.iter().map(|job| job.call.as_str()).collect::<Vec<_>>(), ["CA2"]);
        assert_eq!(over, [("CA1".to_owned(), Ended::Expired)]);
        let gone = Bounds { twilio: false, expires: 0, ..BOUNDS };
        rig.take_in(20, vec![SmsNews::Send(sms("CA3", "+3"))]);
        let stranded = rig.store.run_now(move |store| {
            store.execute("UPDATE sms SET expires = ?1 WHERE call = 'CA3'", [millis(at(30))])?;
            assert_eq!(expire(store, at(30), &gone)?, []);
            expire(store, at(31), &gone)
        });
        assert_eq!(stranded.unwrap(), [("CA3".to_owned(), Ended::Expired)]);
    }

    #[test]
    fn no_text_that_is_over_is_kept() {
        let rig = Rig::new();
        rig.take_in(0, vec![SmsNews::Send(sms("CA1", "+1"))]);
        rig.settle(1, "CA1", Step::End(Ended::Refused, None, None));
        let body = |store: &Connection| store.query_row("SELECT body FROM sms", [], |row| row.get::<_, String>(0));
        assert_eq!(rig.store.run_now(body).unwrap(), "");
    }
}
