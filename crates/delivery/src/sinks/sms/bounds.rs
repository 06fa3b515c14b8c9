//! Limits of text messages, and reasons why a text is not sent.

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::outlets::{Channel, Outlets};
use super::texts::{Ended, Job, millis};
use trunkgate_config::permits;
use trunkgate_system::limits::{MESSAGE_EXPIRES_SECONDS, SMS_DAY_SECONDS};

/// Limits of text messages in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Maximum number of texts per recipient and day; 0: no limit.
    pub(super) per_recipient: u32,
    /// Maximum number of texts per day; 0: no limit.
    pub(super) per_day: u32,
    /// Age after the call at which a text expires, in seconds; 0: never.
    pub(super) expires: i64,
    /// True if `[twilio]` is configured.
    pub(super) twilio: bool,
    /// True if the service of `[messages]` is configured.
    pub(super) service: bool,
    /// Permitted prefixes for recipients of API messages; empty: all are permitted.
    pub(super) allow_prefixes: Vec<String>,
}

impl Bounds {
    /// Returns the limits of a configuration.
    pub(super) fn of(outlets: &Outlets) -> Bounds {
        let twilio = outlets.twilio.as_ref();
        let expires = twilio.map_or(MESSAGE_EXPIRES_SECONDS, |twilio| twilio.expires.as_secs());
        Bounds {
            per_recipient: twilio.map_or(0, |twilio| twilio.per_recipient_per_day),
            per_day: twilio.map_or(0, |twilio| twilio.per_day),
            expires: i64::try_from(expires).unwrap_or(i64::MAX / 1_000),
            twilio: twilio.is_some(),
            service: outlets.service.is_some(),
            allow_prefixes: outlets.allow_prefixes.clone(),
        }
    }

    /// Returns whether the service that sends a channel's texts is configured.
    pub(super) fn has(&self, channel: Channel) -> bool {
        match channel {
            Channel::Service => self.service,
            Channel::Call | Channel::Twilio => self.twilio,
        }
    }

    /// Returns the time after which a text is not sent any more, in milliseconds since 1970.
    pub(super) fn expiry(&self, text: &Job) -> i64 {
        let of_all = if self.expires > 0 { text.created.saturating_add(self.expires * 1_000) } else { i64::MAX };
        // A text that may already have been sent is looked up even after its own expiry.
        text.expires.filter(|_| text.look.is_none()).map_or(of_all, |own| own.min(of_all))
    }
}

/// Returns the reason why a text must not be sent; `None` if it may be sent.
pub(super) fn why_not(
    store: &Connection,
    now: Timestamp,
    bounds: &Bounds,
    text: &Job,
) -> rusqlite::Result<Option<Ended>> {
    let (channel, recipient) = (text.channel, text.message.to.as_str());
    if bounds.expiry(text) < millis(now) {
        return Ok(Some(Ended::Expired));
    }
    let mut out = store.prepare("SELECT 1 FROM opted_out WHERE recipient = ?1")?;
    if out.query_row([recipient], |_| Ok(())).optional()?.is_some() {
        return Ok(Some(Ended::OptedOut));
    }
    // API messages are limited by `allow_prefixes` only; the other limits apply to texts after calls.
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

/// Returns the SIDs of messages to a recipient that belong to texts of known calls.
pub(super) fn sids(store: &Connection, recipient: &str) -> rusqlite::Result<HashSet<String>> {
    let mut rows = store.prepare("SELECT sid FROM sms WHERE recipient = ?1 AND sid IS NOT NULL")?;
    let rows = rows.query_map([recipient], |row| row.get(0))?;
    rows.collect()
}
