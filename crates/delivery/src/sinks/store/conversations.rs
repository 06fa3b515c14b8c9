//! Cookies of conversations, set by webhooks for messages from one sender to one number. Their values are secrets: the
//! file is readable by its owner only, and cookies are never displayed.

use std::sync::Arc;

use rusqlite::{Connection, params};
use trunkgate_cookies::CookieJar;

use trunkgate_system::limits::{MESSAGE_COOKIE_JARS, MESSAGE_COOKIE_SECONDS};

/// Cookies of one conversation, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredJar {
    /// Sender of the messages.
    pub from: String,
    /// Number that receives the messages.
    pub to: String,
    /// Time of the last Set-Cookie, in milliseconds since 1970.
    pub set_at: i64,
    /// Cookies of the conversation.
    pub jar: Arc<CookieJar>,
}

/// Replaces the cookies of a conversation. Removes expired conversations, and the oldest ones beyond the limit.
///
/// # Errors
/// Returns the error of the store.
pub fn put(store: &Connection, stored: &StoredJar) -> rusqlite::Result<()> {
    let json = serde_json::to_string(&*stored.jar);
    let json = json.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    store.execute(
        "INSERT INTO conversation_jar (sender, number, set_at, jar) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (sender, number) DO UPDATE SET set_at = excluded.set_at, jar = excluded.jar",
        params![stored.from, stored.to, stored.set_at, json],
    )?;
    remove_expired(store, stored.set_at)?;
    let most = i64::try_from(MESSAGE_COOKIE_JARS).unwrap_or(i64::MAX);
    let too_many = "SELECT rowid FROM conversation_jar ORDER BY set_at DESC, rowid DESC LIMIT -1 OFFSET ?1";
    store.execute(&format!("DELETE FROM conversation_jar WHERE rowid IN ({too_many})"), [most])?;
    Ok(())
}

/// Removes the cookies of conversations that have expired at `now` (milliseconds since 1970).
pub fn remove_expired(store: &Connection, now: i64) -> rusqlite::Result<()> {
    store.execute("DELETE FROM conversation_jar WHERE set_at <= ?1", [expired_by(now)]).map(drop)
}

/// Reads the cookies of all conversations that have not expired, oldest first.
///
/// # Errors
/// Returns the error of the store.
pub fn all(store: &Connection, now: i64) -> rusqlite::Result<Vec<StoredJar>> {
    let select = "SELECT sender, number, set_at, jar FROM conversation_jar WHERE set_at > ?1 ORDER BY set_at, rowid";
    let mut rows = store.prepare(select)?;
    let read = rows.query_map([expired_by(now)], |row| {
        let json: String = row.get(3)?;
        // An unreadable conversation starts without cookies.
        let jar = serde_json::from_str(&json).ok().map(Arc::new);
        let (from, to, set_at) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(jar.map(|jar| StoredJar { from, to, set_at, jar }))
    })?;
    Ok(read.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Returns the time of the last Set-Cookie at or before which a conversation has expired.
fn expired_by(now: i64) -> i64 {
    now.saturating_sub(i64::try_from(MESSAGE_COOKIE_SECONDS.saturating_mul(1_000)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use trunkgate_cookies::{Cookie, RequestSite};

    use super::*;

    const START: i64 = 1_800_000_000_000;
    const LIFETIME: i64 = 4 * 3_600_000;

    fn store() -> Connection {
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(crate::sinks::store::SCHEMA).unwrap();
        store
    }

    fn stored(from: &str, value: &str, set_at: i64) -> StoredJar {
        let site = RequestSite { host: "app.example.com", path: "/", is_https: true };
        let now = UNIX_EPOCH + Duration::from_millis(set_at.unsigned_abs());
        let mut jar = CookieJar::default();
        jar.store(Cookie::parse(&format!("session={value}; Secure"), site, now).unwrap(), now);
        StoredJar { from: from.to_owned(), to: "+14155550100".to_owned(), set_at, jar: Arc::new(jar) }
    }

    #[test]
    fn cookies_are_read_as_they_were_written_until_they_are_over() {
        let store = store();
        put(&store, &stored("+1", "one", START)).unwrap();
        put(&store, &stored("+2", "two", START + 1)).unwrap();
        put(&store, &stored("+1", "next", START + 2)).unwrap();
        let kept = [stored("+2", "two", START + 1), stored("+1", "next", START + 2)];
        assert_eq!(all(&store, START + 2).unwrap(), kept);
        assert_eq!(all(&store, START + 1 + LIFETIME).unwrap(), kept[1..]);
        // No conversation expires if the clock is set back.
        assert_eq!(all(&store, 0).unwrap(), kept);
        let count = || store.query_row("SELECT count(*) FROM conversation_jar", [], |row| row.get(0));
        remove_expired(&store, START + LIFETIME).unwrap();
        assert_eq!(count(), Ok(2));
        put(&store, &stored("+3", "three", START + 1 + LIFETIME)).unwrap();
        assert_eq!(count(), Ok(2), "the next one removes what is over");
        remove_expired(&store, START + 1 + 2 * LIFETIME).unwrap();
        assert_eq!(count(), Ok(0));
    }

    #[test]
    fn conversations_are_bounded_and_a_damaged_one_has_no_cookies() {
        let store = store();
        for n in 0..=MESSAGE_COOKIE_JARS {
            put(&store, &stored(&format!("+{n}"), "x", START)).unwrap();
        }
        let kept = all(&store, START).unwrap();
        assert_eq!((kept.len(), kept[0].from.as_str()), (MESSAGE_COOKIE_JARS, "+1"));
        store.execute("UPDATE conversation_jar SET jar = '[{' WHERE sender = '+1'", []).unwrap();
        assert_eq!(all(&store, START).unwrap().len(), MESSAGE_COOKIE_JARS - 1);
    }
}
