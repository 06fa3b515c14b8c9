//! Due texts of the queue, and reasons for texts that are not sent.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::message::Message;
use super::outlets::Channel;
use super::texts::{Bounds, Doubt, Ended, millis, time};
use trunkgate_config::permits;
use trunkgate_system::limits::SMS_DAY_SECONDS;

/// Condition for texts that may be requested: their service is configured, and no other text to the recipient is under
/// way or in doubt, so that a message found there belongs to that one.
pub(super) const FREE: &str = "state IN (1, 3) AND (state = 3 OR NOT EXISTS (
    SELECT 1 FROM sms AS other WHERE other.recipient = sms.recipient AND other.state IN (2, 3)))
    AND (channel = 2 AND :service OR channel <> 2 AND :twilio)";
/// Condition for texts waiting for a service that is no longer configured.
const STRANDED: &str = "state IN (1, 3) AND NOT (channel = 2 AND :service OR channel <> 2 AND :twilio)";

/// Row of a due text.
pub(super) struct Ready {
    pub(super) call: String,
    pub(super) channel: Channel,
    pub(super) message: Message,
    pub(super) tries: u32,
    /// Expiry of this text, if it has its own.
    pub(super) expires: Option<i64>,
    pub(super) created: i64,
    pub(super) doubt: Option<Doubt>,
}

/// Returns the due texts, oldest first.
pub(super) fn ready(store: &Connection, now: Timestamp, bounds: &Bounds, most: usize) -> rusqlite::Result<Vec<Ready>> {
    let mut rows = store.prepare(&format!(
        "SELECT call, recipient, sender, body, tries, created, state = 3, asked, doubted, channel, expires FROM sms
         WHERE {FREE} AND due <= :now ORDER BY due, created LIMIT :most"
    ))?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let values = named_params! {
        ":now": millis(now), ":most": most, ":twilio": bounds.twilio, ":service": bounds.service,
    };
    let rows = rows.query_map(values, |row| {
        let message = Message { to: row.get(1)?, from: row.get(2)?, body: row.get(3)? };
        let (created, is_doubtful): (i64, bool) = (row.get(5)?, row.get(6)?);
        let (sent, since): (Option<i64>, Option<i64>) = (row.get(7)?, row.get(8)?);
        let doubt = Doubt { sent: time(sent.unwrap_or(created)), since: time(since.unwrap_or(created)) };
        let doubt = is_doubtful.then_some(doubt);
        let channel = Channel::of(row.get(9)?);
        Ok(Ready { call: row.get(0)?, channel, message, tries: row.get(4)?, expires: row.get(10)?, created, doubt })
    })?;
    rows.collect()
}

/// Returns expired texts without a service, each with its result.
pub(super) fn stranded(
    store: &Connection,
    now: Timestamp,
    bounds: &Bounds,
    most: usize,
) -> rusqlite::Result<Vec<(String, Ended)>> {
    let mut rows = store.prepare(&format!(
        "SELECT call, state = 3 FROM sms WHERE {STRANDED} AND (created < :before OR state = 1 AND expires < :now) ORDER BY created LIMIT :most"
    ))?;
    let before = if bounds.expires > 0 { millis(now) - bounds.expires * 1_000 } else { i64::MIN };
    let values = named_params! {
        ":before": before, ":now": millis(now), ":most": i64::try_from(most).unwrap_or(i64::MAX),
        ":twilio": bounds.twilio, ":service": bounds.service,
    };
    let ended = |is_doubtful| if is_doubtful { Ended::Unknown } else { Ended::Expired };
    rows.query_map(values, |row| Ok((row.get(0)?, ended(row.get(1)?))))?.collect()
}

/// Returns the number of texts without a service, and the time of the oldest.
pub(super) fn all_stranded(store: &Connection, bounds: &Bounds) -> rusqlite::Result<(u64, Option<Timestamp>)> {
    let mut rows = store.prepare(&format!("SELECT count(*), min(created) FROM sms WHERE {STRANDED}"))?;
    rows.query_row(named_params! { ":twilio": bounds.twilio, ":service": bounds.service }, |row| {
        let (texts, oldest): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok((u64::try_from(texts).unwrap_or(0), oldest.map(time)))
    })
}

/// Returns the reason why a text is not sent.
pub(super) fn why_not(
    store: &Connection,
    now: Timestamp,
    bounds: &Bounds,
    text: &Ready,
) -> rusqlite::Result<Option<Ended>> {
    let (channel, recipient) = (text.channel, text.message.to.as_str());
    let is_old = millis(now) - text.created > bounds.expires * 1_000 && bounds.expires > 0;
    // A text that may have been sent is looked up beyond its expiry.
    let limit = text.expires.filter(|_| text.doubt.is_none());
    if is_old || limit.is_some_and(|expires| expires < millis(now)) {
        return Ok(Some(Ended::Expired));
    }
    let mut out = store.prepare("SELECT 1 FROM opted_out WHERE recipient = ?1")?;
    if out.query_row([recipient], |_| Ok(())).optional()?.is_some() {
        return Ok(Some(Ended::OptedOut));
    }
    // Recipients of API messages are limited by `allow_prefixes`; the other limits apply only to texts after calls.
    if channel != Channel::Call {
        return Ok((!permits(&bounds.allow_prefixes, recipient)).then_some(Ended::Refused));
    }
    let day = millis(now) - SMS_DAY_SECONDS * 1_000;
    let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<i64> {
        store.prepare(sql)?.query_row(values, |row| row.get(0))
    };
    let taken = "channel = 0 AND (state IN (2, 3) OR result IN ('sent', 'unknown'))";
    let per_recipient = i64::from(bounds.per_recipient);
    let of_recipient = format!("SELECT count(*) FROM sms WHERE recipient = ?1 AND created > ?2 AND {taken}");
    if per_recipient > 0 && count(&of_recipient, &[&recipient, &day])? >= per_recipient {
        return Ok(Some(Ended::Limited));
    }
    let per_day = i64::from(bounds.per_day);
    let of_all = format!("SELECT count(*) FROM sms WHERE created > ?1 AND {taken}");
    if per_day > 0 && count(&of_all, &[&day])? >= per_day {
        return Ok(Some(Ended::Limited));
    }
    Ok(None)
}

/// Returns the SIDs of messages to a recipient that belong to known calls.
pub(super) fn sids(store: &Connection, recipient: &str) -> rusqlite::Result<HashSet<String>> {
    let mut rows = store.prepare("SELECT sid FROM sms WHERE recipient = ?1 AND sid IS NOT NULL")?;
    let rows = rows.query_map([recipient], |row| row.get(0))?;
    rows.collect()
}
