//! Status changes of messages, converted to callbacks to their URLs.

use std::collections::HashSet;

use rusqlite::Connection;

use super::NAME;
use super::inbound::allows_private;
use crate::handle::EdgeHandle;
use trunkgate_delivery::sinks::callbacks::{self, StoredCallback, StoredCallbackSender};
pub(crate) use trunkgate_delivery::sinks::sms::kept::Direction;
pub(crate) use trunkgate_delivery::sinks::sms::reports::{self, StatusReport, Taken};
pub(crate) use trunkgate_delivery::sinks::store::Commit;
pub(crate) use trunkgate_delivery::webhooks::request::RequestMethod;
use trunkgate_system::limits::MESSAGE_REPORTS_AT_ONCE;

/// Settings of the edge that all status callbacks share.
#[derive(Clone)]
struct CallbackOrigin {
    account: String,
    /// True if callbacks of messages sent by API requests may go to private addresses.
    allow_private: bool,
    /// Numbers with replies about which callbacks may go to private addresses.
    private: HashSet<String>,
}

/// Passes pending status changes to the callback sender: each is removed from the store in the transaction that stores
/// its callback. Returns whether there may be more.
///
/// # Errors
/// Returns the error of the store.
pub(super) async fn hand_over(handle: &EdgeHandle, desk: &StoredCallbackSender) -> std::io::Result<bool> {
    let sender = handle.shared.running(|running| {
        let config = &running.config;
        let private = config.numbers.iter().filter(|one| allows_private(config, &one.number));
        CallbackOrigin {
            account: running.boot.api.account_sid.clone(),
            allow_private: config.api.allow_private,
            private: private.map(|one| one.number.clone()).collect(),
        }
    });
    let make = move |store: &Connection| -> rusqlite::Result<(Vec<callbacks::Head>, usize)> {
        let Taken { reports, count } = reports::take(store, MESSAGE_REPORTS_AT_ONCE)?;
        let heads = reports.into_iter().map(|report| callbacks::write(store, &sender.callback(report)));
        Ok((heads.collect::<rusqlite::Result<_>>()?, count))
    };
    let (heads, count) = handle.store.run(Commit::Now, make).await?;
    for head in heads {
        desk.hand_over(head).await;
    }
    Ok(count >= MESSAGE_REPORTS_AT_ONCE)
}

impl CallbackOrigin {
    fn callback(&self, report: StatusReport) -> StoredCallback {
        let StatusReport { message, status, error, created, action } = report;
        let token = format!("{}.{status}", message.sid);
        // The URLs of a reply belong to its application.
        let allow_private = match (message.direction, &message.from) {
            (Direction::Reply, Some(from)) => self.private.contains(from),
            _ => self.allow_private,
        };
        let parameters = [
            ("AccountSid", Some(self.account.clone())),
            ("ApiVersion", Some("2010-04-01".to_owned())),
            ("MessageSid", Some(message.sid.clone())),
            ("MessageStatus", Some(status.clone())),
            ("SmsSid", Some(message.sid.clone())),
            ("SmsStatus", Some(status)),
            ("To", Some(message.to)),
            ("ErrorCode", error.map(|code| code.to_string())),
            ("From", message.from),
            ("MessagingServiceSid", message.service),
        ];
        let parameters = parameters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let (url, method) = match action {
            Some(action) => (action.url, if action.is_get { RequestMethod::Get } else { RequestMethod::Post }),
            None => (message.callback.unwrap_or_default(), RequestMethod::Post),
        };
        StoredCallback {
            token,
            created: created.as_microsecond(),
            call: String::new(),
            about: message.sid,
            app: NAME.to_owned(),
            allow_private,
            url,
            method,
            purpose: "status".to_owned(),
            parameters,
        }
    }
}
