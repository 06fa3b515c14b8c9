//! Queue of records for the URL. Their bodies are in the store until the URL accepts them; the queue has their ids and
//! due times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::sinks::store::Record;

/// Waiting records in sending order.
#[derive(Debug)]
pub(super) struct Queue {
    most_bytes: u64,
    waiting: BTreeMap<i64, Waiting>,
    bytes: u64,
    /// Bytes reserved for records being written to the store.
    reserved: u64,
}

/// Record in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    id: i64,
    sid: String,
    bytes: u64,
}

/// Waiting record.
#[derive(Debug)]
struct Waiting {
    sid: String,
    bytes: u64,
    /// True if the record is under way.
    taken: bool,
    /// Earliest time of the next attempt.
    rests: Option<Instant>,
    /// Number of failed attempts.
    attempts: u32,
    /// Number of failed attempts with a response, and the number of delivered records at the first of them.
    refusals: u32,
    delivered: u64,
}

/// Identifies a record to be sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) id: i64,
    pub(super) sid: String,
}

/// Reads the waiting records of the store.
pub(super) fn read(store: &Connection) -> rusqlite::Result<Vec<Stored>> {
    let mut rows = store.prepare("SELECT id, sid, length(json) FROM call_record ORDER BY id")?;
    let stored = |row: &Row<'_>| {
        let bytes: u32 = row.get(2)?;
        Ok(Stored { id: row.get(0)?, sid: row.get(1)?, bytes: bytes.into() })
    };
    let rows = rows.query_map([], stored)?;
    rows.collect()
}

/// Writes records to the store; returns those that were not in it.
pub(super) fn add(store: &Connection, records: &[Record]) -> rusqlite::Result<Vec<Stored>> {
    let mut insert = store.prepare("INSERT OR IGNORE INTO call_record (sid, json) VALUES (?1, ?2)")?;
    let mut added = Vec::new();
    for record in records {
        if insert.execute((&record.sid, &*record.json))? == 1 {
            let (id, bytes) = (store.last_insert_rowid(), record.json.len() as u64);
            added.push(Stored { id, sid: record.sid.clone(), bytes });
        }
    }
    Ok(added)
}

/// Reads the body of a record.
pub(super) fn json(store: &Connection, ticket: &Ticket) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut found = store.prepare("SELECT json FROM call_record WHERE id = ?1 AND sid = ?2")?;
    found.query_row((ticket.id, &ticket.sid), |row| row.get(0)).optional()
}

/// Removes records from the store.
pub(super) fn remove(store: &Connection, tickets: &BTreeSet<Ticket>) -> rusqlite::Result<()> {
    // A store recovered from damage may reuse an id.
    let mut remove = store.prepare("DELETE FROM call_record WHERE id = ?1 AND sid = ?2")?;
    tickets.iter().try_for_each(|ticket| remove.execute((ticket.id, &ticket.sid)).map(drop))
}

impl Queue {
    pub(super) fn new(stored: Vec<Stored>, most_bytes: u64) -> Queue {
        let mut queue = Queue { most_bytes, waiting: BTreeMap::new(), bytes: 0, reserved: 0 };
        queue.added(stored);
        queue
    }

    /// Returns the SIDs of the waiting records.
    pub(super) fn sids(&self) -> BTreeSet<String> {
        self.waiting.values().map(|waiting| waiting.sid.clone()).collect()
    }

    /// Returns the number of waiting records.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Sets the maximum size in bytes.
    pub(super) fn limit(&mut self, most_bytes: u64) {
        self.most_bytes = most_bytes;
    }

    pub(super) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// Reserves room for this many bytes, if available.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        let fits = self.bytes + self.reserved + bytes <= self.most_bytes;
        self.reserved += if fits { bytes } else { 0 };
        fits
    }

    /// Releases a reservation when the records are stored (see [`Queue::added`]) or dropped.
    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Adds stored records.
    pub(super) fn added(&mut self, stored: Vec<Stored>) {
        for Stored { id, sid, bytes } in stored {
            // The record may be under way.
            if self.waiting.get(&id).is_some_and(|known| known.sid == sid) {
                continue;
            }
            let waiting = Waiting { sid, bytes, taken: false, rests: None, attempts: 0, refusals: 0, delivered: 0 };
            let before = self.waiting.insert(id, waiting).map_or(0, |before| before.bytes);
            self.bytes = self.bytes + bytes - before;
        }
    }

    /// Returns the first record that is due, else the time at which one will be.
    pub(super) fn next(&mut self, now: Instant) -> Result<Ticket, Option<Instant>> {
        let mut soonest: Option<Instant> = None;
        for (&id, waiting) in self.waiting.iter_mut().filter(|(_, waiting)| !waiting.taken) {
            match waiting.rests.filter(|at| *at > now) {
                Some(at) => soonest = Some(soonest.map_or(at, |other| other.min(at))),
                None => {
                    waiting.taken = true;
                    return Ok(Ticket { id, sid: waiting.sid.clone() });
                }
            }
        }
        Err(soonest)
    }

    /// Removes a finished record.
    pub(super) fn done(&mut self, ticket: &Ticket) {
        if self.waiting.get(&ticket.id).is_some_and(|known| known.sid == ticket.sid)
            && let Some(waiting) = self.waiting.remove(&ticket.id)
        {
            self.bytes -= waiting.bytes;
        }
    }

    /// Marks a record as under way.
    pub(super) fn take(&mut self, ticket: &Ticket) {
        let known = self.waiting.get_mut(&ticket.id).filter(|known| known.sid == ticket.sid);
        known.into_iter().for_each(|known| known.taken = true);
    }

    /// Returns a rejected record to the queue, to rest for the time that `pause` returns for its number of attempts.
    /// `answered` is the number of delivered records, if the endpoint responded. Returns the number of rejections with
    /// a response, and the number of other records delivered since the first one.
    pub(super) fn put_back(
        &mut self,
        id: i64,
        answered: Option<u64>,
        pause: impl FnOnce(u32) -> Instant,
    ) -> (u32, u64) {
        let Some(waiting) = self.waiting.get_mut(&id) else { return (0, 0) };
        waiting.attempts = waiting.attempts.saturating_add(1);
        (waiting.taken, waiting.rests) = (false, Some(pause(waiting.attempts)));
        let Some(delivered) = answered else { return (waiting.refusals, 0) };
        if waiting.refusals == 0 {
            waiting.delivered = delivered;
        }
        waiting.refusals += 1;
        (waiting.refusals, delivered.saturating_sub(waiting.delivered))
    }

    /// Makes all records due after a change of the endpoint, except those under way.
    pub(super) fn wake_all(&mut self) {
        for waiting in self.waiting.values_mut() {
            (waiting.rests, waiting.attempts, waiting.refusals) = (None, 0, 0);
        }
    }

    /// Makes a record due that was sent in vain to a previous endpoint.
    pub(super) fn wake(&mut self, id: i64) {
        self.waiting.get_mut(&id).into_iter().for_each(|waiting| waiting.taken = false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SIZE: u64 = 100;

    fn stored(ids: &[i64]) -> Vec<Stored> {
        ids.iter().map(|id| Stored { id: *id, sid: format!("CA{id}"), bytes: SIZE }).collect()
    }

    #[test]
    fn there_is_room_for_so_many_bytes_those_on_their_way_included() {
        let mut queue = Queue::new(stored(&[1]), 3 * SIZE);
        assert!(queue.reserve(SIZE) && queue.reserve(SIZE) && !queue.reserve(SIZE));
        queue.added(stored(&[2]));
        queue.release(2 * SIZE);
        assert!(queue.reserve(SIZE) && !queue.reserve(SIZE), "one of the two was in the store before");
        queue.release(SIZE);
        queue.added(stored(&[2]));
        for _ in 0..2 {
            queue.done(&Ticket { id: 2, sid: "CA2".into() });
            queue.done(&Ticket { id: 1, sid: "CA0".into() });
        }
        assert_eq!((queue.len(), queue.bytes, queue.sids()), (1, SIZE, BTreeSet::from(["CA1".to_owned()])));
    }

    #[test]
    fn a_record_that_is_refused_rests_while_others_go_on() {
        let mut queue = Queue::new(stored(&[1, 2]), 1 << 20);
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let first = queue.next(now).unwrap();
        assert_eq!(queue.put_back(first.id, Some(7), |_| later), (1, 0));
        let second = queue.next(now).unwrap();
        assert_eq!(second.sid, "CA2");
        queue.done(&second);
        assert_eq!(queue.next(now).unwrap_err(), Some(later));
        let again = queue.next(later).unwrap();
        assert_eq!(queue.put_back(again.id, Some(8), |_| later), (2, 1));
        queue.wake_all();
        assert_eq!(queue.next(now).unwrap().sid, "CA1");
        queue.wake_all();
        assert_eq!(queue.next(now).unwrap_err(), None, "it is under way");
        queue.wake(again.id);
        assert_eq!(queue.next(now).unwrap().sid, "CA1");
    }
}
