//! Messages of the API in the store, sent and received, with their states.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::outlets::Channel;
use super::reports::{self, Action};
use super::texts::{self, Ended, millis, time};
use super::webhooks;
use crate::sinks::outbox::Head;
use trunkgate_system::limits::{
    MESSAGE_LOOP_SECONDS, MESSAGE_REPLIES, MESSAGES_KEPT, MESSAGES_KEPT_SECONDS, MESSAGES_QUEUED,
};

/// Error code of a message that failed for an unknown reason: Twilio's "unknown error".
const UNKNOWN_ERROR: u32 = 30_008;
/// Error code of an expired message: Twilio's "validity period expired".
const EXPIRED: u32 = 30_036;
/// Error code of a message to a recipient that opted out.
const OPTED_OUT: u32 = 21_610;
/// Error code of a reply beyond the loop limit: Twilio's "SMS send rate limit exceeded".
const LOOP: u32 = 14_107;

/// Direction and origin of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Message received from another party.
    Inbound = 0,
    /// Message sent by an API request.
    Api = 1,
    /// Reply of a document to a received message.
    Reply = 2,
}

impl Direction {
    const ALL: [Direction; 3] = [Direction::Inbound, Direction::Api, Direction::Reply];

    /// Returns the direction as named by Twilio.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Inbound => "inbound",
            Direction::Api => "outbound-api",
            Direction::Reply => "outbound-reply",
        }
    }
}

/// State of a message, as on Twilio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Received by the edge; this state is final.
    Received,
    /// Waiting to be sent by the edge.
    Queued,
    /// Accepted by the sending service, without a delivery report so far.
    Sent,
    /// Delivery confirmed by the recipient's carrier.
    Delivered,
    /// Rejected by the recipient's carrier after the service had accepted the message.
    Undelivered,
    /// Rejected by the sending service, expired, not sent (recipient opted out, or loop), or outcome unknown.
    Failed,
}

impl Status {
    const ALL: [Status; 6] =
        [Status::Received, Status::Queued, Status::Sent, Status::Delivered, Status::Undelivered, Status::Failed];

    /// Returns the state as named by Twilio.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Received => "received",
            Status::Queued => "queued",
            Status::Sent => "sent",
            Status::Delivered => "delivered",
            Status::Undelivered => "undelivered",
            Status::Failed => "failed",
        }
    }

    /// Returns the state with a name of Twilio. Intermediate states such as `sending` are mapped to the state before.
    pub fn of(word: &str) -> Option<Status> {
        match word {
            "accepted" | "sending" => Some(Status::Queued),
            "read" => Some(Status::Delivered),
            _ => Status::ALL.into_iter().find(|status| status.as_str() == word),
        }
    }

    /// Returns the rank of the state; a message only advances to higher ranks.
    const fn rank(self) -> u8 {
        match self {
            Status::Queued => 0,
            Status::Sent => 1,
            Status::Received | Status::Delivered | Status::Undelivered | Status::Failed => 2,
        }
    }
}

/// Message of the API, as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptMessage {
    /// SID of the message.
    pub sid: String,
    /// Direction of the message.
    pub direction: Direction,
    /// Sender in E.164; `None` if a messaging service selects it.
    pub from: Option<String>,
    /// SID of the messaging service that sends the message, if any.
    pub service: Option<String>,
    /// Phone number of the recipient in E.164.
    pub to: String,
    /// Text of the message.
    pub body: String,
    /// Status of the message.
    pub status: Status,
    /// Twilio's error code, if the message failed.
    pub error: Option<u32>,
    /// URL that receives status callbacks about the message.
    pub callback: Option<String>,
    /// Time at which the message was queued or received.
    pub created: Timestamp,
    /// Time at which the service accepted the message.
    pub sent: Option<Timestamp>,
    /// Time of the last change.
    pub updated: Timestamp,
}

impl KeptMessage {
    fn of(row: &Row<'_>) -> rusqlite::Result<KeptMessage> {
        let (direction, status): (u8, String) = (row.get(1)?, row.get(6)?);
        let (created, sent, updated): (i64, Option<i64>, i64) = (row.get(9)?, row.get(10)?, row.get(11)?);
        let direction = Direction::ALL.into_iter().find(|one| *one as u8 == direction);
        Ok(KeptMessage {
            sid: row.get(0)?,
            direction: direction.unwrap_or(Direction::Api),
            from: row.get(2)?,
            service: row.get(3)?,
            to: row.get(4)?,
            body: row.get(5)?,
            status: Status::of(&status).unwrap_or(Status::Failed),
            error: row.get(7)?,
            callback: row.get(8)?,
            created: time(created),
            sent: sent.map(time),
            updated: time(updated),
        })
    }

    /// Returns the sort key of the message in lists, which are in descending order.
    pub fn order(&self) -> String {
        format!("{:015}{}", millis(self.created), self.sid)
    }

    /// Returns the outbox row of the message while it is queued.
    pub fn head(&self, channel: Channel) -> Head {
        texts::head(&self.sid, &self.to, channel, self.created)
    }

    /// Returns the number or the messaging service that sends the message.
    fn sender(&self) -> &str {
        self.from.as_deref().or(self.service.as_deref()).unwrap_or_default()
    }
}

/// Columns in the order read by [`KeptMessage::of`].
const COLUMNS: &str =
    "sid, direction, sender, service, recipient, body, status, error, callback, created, sent, updated";

/// Filter for a page of messages.
#[derive(Debug, Clone, Default)]
pub struct MessageFilter {
    /// Recipient that messages must have; `None` for any.
    pub to: Option<String>,
    /// Sender that messages must have; `None` for any.
    pub from: Option<String>,
    /// Range of the sending time, both ends included.
    pub sent: Option<(Timestamp, Timestamp)>,
    /// Sort key of the message before the page; `None` for the first page.
    pub behind: Option<String>,
}

/// Result of queueing a message. A message that is not queued is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// The message was stored and queued.
    Done,
    /// The message is not sent, because the recipient has opted out.
    OptedOut,
    /// The message is not sent, because the queue is full.
    Full,
}

/// Stores a message and queues it, unless the recipient has opted out or the queue is full. It is not sent after
/// `expires`.
pub fn queue(
    store: &Connection,
    message: &KeptMessage,
    channel: Channel,
    expires: Option<Timestamp>,
) -> rusqlite::Result<Queued> {
    queue_among(store, message, (channel, expires), MESSAGES_QUEUED)
}

/// Queues a message if fewer than `most` messages wait and the recipient has not opted out.
fn queue_among(
    store: &Connection,
    message: &KeptMessage,
    (channel, expires): (Channel, Option<Timestamp>),
    most: i64,
) -> rusqlite::Result<Queued> {
    let mut out = store.prepare("SELECT 1 FROM opted_out WHERE recipient = ?1")?;
    if out.query_row([&message.to], |_| Ok(())).optional()?.is_some() {
        return Ok(Queued::OptedOut);
    }
    let mut add = store.prepare(
        "INSERT INTO sms (call, recipient, sender, body, state, created, channel, expires)
         SELECT ?1, ?2, ?3, ?4, 1, ?5, ?6, ?8 WHERE (SELECT count(*) FROM sms WHERE state IN (1, 2, 3)) < ?7",
    )?;
    let (sid, body, created) = (&message.sid, &message.body, millis(message.created));
    let (to, sender, expires) = (&message.to, message.sender(), expires.map(millis));
    let added = add.execute(params![sid, to, sender, body, created, channel as u8, most, expires])?;
    if added == 0 {
        return Ok(Queued::Full);
    }
    texts::add(store, &message.head(channel))?;
    insert(store, message)?;
    Ok(Queued::Done)
}

fn insert(store: &Connection, message: &KeptMessage) -> rusqlite::Result<()> {
    let values = named_params! {
        ":sid": message.sid,
        ":direction": message.direction as u8,
        ":sender": message.from,
        ":service": message.service,
        ":recipient": message.to,
        ":body": message.body,
        ":status": message.status.as_str(),
        ":error": message.error,
        ":callback": message.callback,
        ":created": millis(message.created),
        ":sent": message.sent.map(millis),
        ":updated": millis(message.updated),
    };
    let insert = format!(
        "INSERT INTO message ({COLUMNS}) VALUES
         (:sid, :direction, :sender, :service, :recipient, :body, :status, :error, :callback, :created, :sent, :updated)"
    );
    store.execute(&insert, values).map(drop)
}

/// Finds a message by its SID.
pub fn find(store: &Connection, sid: &str) -> rusqlite::Result<Option<KeptMessage>> {
    let select = format!("SELECT {COLUMNS} FROM message WHERE sid = ?1");
    store.prepare(&select)?.query_row([sid], KeptMessage::of).optional()
}

/// Returns a page of at most `most` messages, newest first.
pub fn list(store: &Connection, filter: &MessageFilter, most: usize) -> rusqlite::Result<Vec<KeptMessage>> {
    let behind = filter.behind.as_deref().and_then(|key| key.split_at_checked(15));
    let (created, sid) = behind.map_or((i64::MAX, ""), |(created, sid)| (created.parse().unwrap_or(0), sid));
    let select = format!(
        "SELECT {COLUMNS} FROM message
         WHERE (created, sid) < (:created, :sid)
           AND (:recipient IS NULL OR recipient = :recipient) AND (:sender IS NULL OR sender = :sender)
           AND (:first IS NULL OR sent BETWEEN :first AND :last)
         ORDER BY created DESC, sid DESC LIMIT :most"
    );
    let mut rows = store.prepare(&select)?;
    let values = named_params! {
        ":created": created,
        ":sid": sid,
        ":recipient": filter.to,
        ":sender": filter.from,
        ":first": filter.sent.map(|(first, _)| millis(first)),
        ":last": filter.sent.map(|(_, last)| millis(last)),
        ":most": i64::try_from(most).unwrap_or(i64::MAX),
    };
    rows.query_map(values, KeptMessage::of)?.collect()
}

/// Stores a received message with the SID given by its service, and queues the request to the webhook at `host`.
/// Returns false for a message received before.
pub fn receive(
    store: &Connection,
    message: &KeptMessage,
    provider: Option<&str>,
    (opt_out, host): (Option<&str>, &str),
) -> rusqlite::Result<bool> {
    let mut known = store.prepare("SELECT 1 FROM message WHERE provider = ?1")?;
    if known.query_row([provider], |_| Ok(())).optional()?.is_some() {
        return Ok(false);
    }
    insert(store, message)?;
    store.execute("UPDATE message SET provider = ?2 WHERE sid = ?1", params![message.sid, provider])?;
    webhooks::add(store, message, opt_out, host)?;
    Ok(true)
}

/// Reply to a received message, with its channel, and the request for its `action` URL.
pub type Reply = (KeptMessage, Channel, Option<Action>);

/// Numbers of replies that were not queued, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Withheld {
    /// Number of replies to recipients that have opted out.
    pub opted_out: usize,
    /// Number of replies beyond the loop limit, which are stored as failed.
    pub looped: usize,
    /// Number of replies dropped because the queue was full.
    pub full: usize,
}

/// Stores and queues the replies to a received message.
pub(super) fn settle_inbound(store: &Connection, replies: &[Reply]) -> rusqlite::Result<Withheld> {
    let mut withheld = Withheld::default();
    for (message, channel, action) in replies {
        if is_loop(store, message)? {
            insert(store, message)?;
            let failed = Reached { status: Status::Failed, error: Some(LOOP) };
            advance(store, message.created, &message.sid, failed)?;
            withheld.looped += 1;
            continue;
        }
        match (queue(store, message, *channel, None)?, action) {
            (Queued::OptedOut, _) => withheld.opted_out += 1,
            (Queued::Full, _) => withheld.full += 1,
            (Queued::Done, Some(action)) => reports::add_action(store, message, action)?,
            (Queued::Done, None) => {}
        }
    }
    Ok(withheld)
}

/// Returns whether a reply exceeds the loop limit of its sender and recipient, which keeps two programs from answering
/// each other endlessly.
fn is_loop(store: &Connection, reply: &KeptMessage) -> rusqlite::Result<bool> {
    let since = millis(reply.created) - MESSAGE_LOOP_SECONDS * 1_000;
    let mut replies = store.prepare(
        "SELECT count(*) FROM message
         WHERE recipient = ?1 AND created > ?2 AND sender = ?3 AND direction = ?4 AND error IS NOT ?5",
    )?;
    let values = params![reply.to, since, reply.from, Direction::Reply as u8, LOOP];
    let count: i64 = replies.query_row(values, |row| row.get(0))?;
    Ok(count >= MESSAGE_REPLIES)
}

/// Outcome of a request to delete a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Removed {
    /// The message was deleted.
    Done,
    /// There is no message with this SID.
    #[default]
    Unknown,
    /// The message is still being sent.
    UnderWay,
}

/// Deletes a message, unless it is still waiting to be sent.
pub fn remove(store: &Connection, sid: &str) -> rusqlite::Result<Removed> {
    match find(store, sid)? {
        None => Ok(Removed::Unknown),
        Some(message) if message.status == Status::Queued => Ok(Removed::UnderWay),
        Some(_) => {
            store.execute("DELETE FROM message WHERE sid = ?1", [sid])?;
            store.execute("DELETE FROM sms WHERE call = ?1", [sid])?;
            Ok(Removed::Done)
        }
    }
}

/// State of a message as reported by its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Status of the message as reported.
    pub status: Status,
    /// Twilio's error code; `None` without an error.
    pub error: Option<u32>,
}

/// Stores a state reported by a service for a message, given by the SID of the edge or of the service. Returns false
/// for an unknown message.
pub fn report(store: &Connection, now: Timestamp, sid: &str, reached: Reached) -> rusqlite::Result<bool> {
    let mut found = store.prepare("SELECT sid FROM message WHERE sid = ?1 OR provider = ?1")?;
    let found: Option<String> = found.query_row([sid], |row| row.get(0)).optional()?;
    let Some(sid) = found else { return Ok(false) };
    advance(store, now, &sid, reached)?;
    Ok(true)
}

/// Stores the outcome of a queued message; does nothing for texts after calls.
pub(super) fn ended(
    store: &Connection,
    now: Timestamp,
    sid: &str,
    (ended, code): (Ended, Option<u32>),
    provider: Option<&str>,
) -> rusqlite::Result<()> {
    let failed = |error: u32| Reached { status: Status::Failed, error: Some(error) };
    let reached = match ended {
        Ended::Sent => Reached { status: Status::Sent, error: None },
        Ended::Refused => failed(code.unwrap_or(UNKNOWN_ERROR)),
        Ended::OptedOut => failed(OPTED_OUT),
        Ended::Expired => failed(EXPIRED),
        Ended::Limited | Ended::Unknown => failed(UNKNOWN_ERROR),
    };
    if let Some(provider) = provider {
        store.prepare("UPDATE message SET provider = ?2 WHERE sid = ?1")?.execute([sid, provider])?;
    }
    advance(store, now, sid, reached)
}

/// Advances a message to a state and queues the status callback about it. A message never goes back, and reports each
/// state once.
fn advance(store: &Connection, now: Timestamp, sid: &str, reached: Reached) -> rusqlite::Result<()> {
    let Some(message) = find(store, sid)? else { return Ok(()) };
    if reached.status.rank() <= message.status.rank() {
        return Ok(());
    }
    let (status, error) = (reached.status.as_str(), reached.error.or(message.error));
    // A delivered message was sent, even if the service responded to the request with an error.
    let sent = if reached.status == Status::Failed { None } else { Some(millis(now)) };
    store
        .prepare("UPDATE message SET status = ?2, error = ?3, sent = coalesce(sent, ?4), updated = ?5 WHERE sid = ?1")?
        .execute(params![sid, status, error, sent, millis(now)])?;
    if message.callback.is_some() { reports::add(store, now, sid, (status, error)) } else { Ok(()) }
}

/// Removes messages beyond the retention time, and the oldest ones beyond the limit.
pub(super) fn forget(store: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let before = millis(now) - MESSAGES_KEPT_SECONDS * 1_000;
    store.execute("DELETE FROM message WHERE created < ?1 AND status <> 'queued'", [before])?;
    store
        .execute(
            "DELETE FROM message WHERE status <> 'queued' AND sid IN
             (SELECT sid FROM message ORDER BY created DESC, sid DESC LIMIT -1 OFFSET ?1)",
            [MESSAGES_KEPT],
        )
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::store::Store;
    use trunkgate_config::DataDirectory;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn message(number: i64) -> KeptMessage {
        KeptMessage {
            sid: format!("SM{number}"),
            direction: Direction::Api,
            from: Some("+14155550100".into()),
            service: None,
            to: format!("+1415555020{number}"),
            body: "Hello".into(),
            status: Status::Queued,
            error: None,
            callback: Some("https://a.example/".into()),
            created: at(number),
            sent: None,
            updated: at(number),
        }
    }

    /// Runs a function on a store with three messages that wait to be sent.
    fn on_store<T: Send + 'static>(work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static) -> T {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::start(DataDirectory::of(directory.path())).unwrap();
        let all = |store: &Connection| {
            (1..=3).try_for_each(|number| {
                queue(store, &message(number), Channel::Twilio, None).map(|done| assert_eq!(done, Queued::Done))
            })
        };
        store.run_now(all).unwrap();
        store.run_now(work).unwrap()
    }

    const fn reached(status: Status) -> Reached {
        Reached { status, error: None }
    }

    #[test]
    fn states_go_forwards_and_each_is_reported_once_and_in_order() {
        on_store(|store| {
            ended(store, at(10), "SM1", (Ended::Sent, None), Some("SMtheirs"))?;
            assert!(!report(store, at(11), "SM9", reached(Status::Delivered))?);
            for status in [Status::Delivered, Status::Sent, Status::Failed] {
                assert!(report(store, at(11), "SMtheirs", reached(status))?);
            }
            let kept = find(store, "SM1")?.unwrap();
            assert_eq!((kept.status, kept.sent, kept.updated), (Status::Delivered, Some(at(10)), at(11)));
            let all = reports::take(store, 9)?.reports;
            assert_eq!(all.iter().map(|one| one.status.as_str()).collect::<Vec<_>>(), ["sent", "delivered"]);
            assert_eq!(reports::take(store, 9)?.count, 0);
            Ok(())
        });
    }

    #[test]
    fn reports_of_deleted_messages_count_as_taken() {
        on_store(|store| {
            for sid in ["SM1", "SM2"] {
                ended(store, at(10), sid, (Ended::Sent, None), None)?;
            }
            assert_eq!(remove(store, "SM1")?, Removed::Done);
            let reports::Taken { reports, count } = reports::take(store, 2)?;
            assert_eq!((reports.len(), count), (1, 2), "there may be more behind them");
            Ok(())
        });
    }

    #[test]
    fn errors_have_codes() {
        on_store(|store| {
            ended(store, at(9), "SM1", (Ended::Refused, Some(21_614)), None)?;
            ended(store, at(9), "SM2", (Ended::Refused, None), None)?;
            ended(store, at(9), "SM3", (Ended::Expired, None), None)?;
            let error = |sid: &str| find(store, sid).unwrap().unwrap().error;
            assert_eq!([error("SM1"), error("SM2"), error("SM3")], [Some(21_614), Some(UNKNOWN_ERROR), Some(EXPIRED)]);
            assert_eq!(find(store, "SM1")?.unwrap().sent, None);
            Ok(())
        });
    }

    #[test]
    fn lists_are_filtered_and_go_on_behind_an_entry() {
        on_store(|store| {
            let sids = |filter: MessageFilter| -> Vec<String> {
                list(store, &filter, 2).unwrap().into_iter().map(|one| one.sid).collect()
            };
            assert_eq!(sids(MessageFilter::default()), ["SM3", "SM2"]);
            let behind = Some(message(2).order());
            assert_eq!(sids(MessageFilter { behind, ..MessageFilter::default() }), ["SM1"]);
            let to = Some(message(2).to);
            assert_eq!(sids(MessageFilter { to, ..MessageFilter::default() }), ["SM2"]);
            let from = Some("+1999".to_owned());
            assert!(sids(MessageFilter { from, ..MessageFilter::default() }).is_empty());
            let sent = Some((at(0), at(100)));
            assert!(sids(MessageFilter { sent, ..MessageFilter::default() }).is_empty(), "none is sent");
            ended(store, at(50), "SM2", (Ended::Sent, None), None)?;
            assert_eq!(sids(MessageFilter { sent, ..MessageFilter::default() }), ["SM2"]);
            Ok(())
        });
    }

    #[test]
    fn nothing_is_kept_for_who_opted_out_and_what_is_under_way_is_not_deleted() {
        on_store(|store| {
            assert_eq!(remove(store, "SM1")?, Removed::UnderWay);
            ended(store, at(9), "SM1", (Ended::Sent, None), None)?;
            assert_eq!((remove(store, "SM1")?, remove(store, "SM1")?), (Removed::Done, Removed::Unknown));
            texts::opt(store, at(9), "+14155550204", true)?;
            assert_eq!(queue(store, &message(4), Channel::Service, None)?, Queued::OptedOut);
            assert_eq!(find(store, "SM4")?.map(|one| one.sid), None);
            Ok(())
        });
    }

    #[test]
    fn a_message_to_the_edge_is_taken_once_and_its_replies_wait_for_their_turn() {
        on_store(|store| {
            let from = |number: i64, sender: &str| KeptMessage {
                direction: Direction::Inbound,
                status: Status::Received,
                from: Some(sender.into()),
                callback: None,
                ..message(number)
            };
            let host = "a.example:443";
            assert!(receive(store, &from(5, "+1"), Some("SMa"), (Some("STOP"), host))?);
            assert!(!receive(store, &from(6, "+1"), Some("SMa"), (None, host))?, "the service has sent it again");
            assert!(receive(store, &from(7, "+1"), Some("SMb"), (None, host))?);
            assert!(receive(store, &from(8, "+2"), None, (None, host))?);
            let mut waiting = store.prepare("SELECT line, body FROM outbox WHERE kind = 'message' ORDER BY created")?;
            let waiting = waiting.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let waiting: Vec<(String, String)> = waiting.collect::<rusqlite::Result<_>>()?;
            let line = |sender: &str, number: i64| format!("{sender} +1415555020{number}");
            let expected = [(line("+1", 5), "STOP"), (line("+1", 7), ""), (line("+2", 8), "")];
            assert_eq!(waiting, expected.map(|(line, word)| (line, word.to_owned())));
            assert_eq!(remove(store, "SM8")?, Removed::Done);
            let reply = KeptMessage { direction: Direction::Reply, ..message(9) };
            let action = Action { url: "https://a.example/".into(), is_get: true };
            texts::opt(store, at(9), "+14155550204", true)?;
            let replies = [(reply, Channel::Service, Some(action.clone())), (message(4), Channel::Service, None)];
            assert_eq!(settle_inbound(store, &replies)?, Withheld { opted_out: 1, ..Withheld::default() });
            let reports = reports::take(store, 9)?.reports;
            assert!(reports[0].status == "queued" && reports[0].action == Some(action));
            assert_eq!(find(store, "SM9")?.unwrap().direction.as_str(), "outbound-reply");
            Ok(())
        });
    }

    #[test]
    fn replies_in_a_loop_fail_until_a_while_has_passed() {
        on_store(|store| {
            let replies =
                |seconds: i64, numbers: std::ops::Range<i64>| -> Vec<(KeptMessage, Channel, Option<Action>)> {
                    let reply = |n: i64| KeptMessage {
                        sid: format!("SMr{n}"),
                        direction: Direction::Reply,
                        to: "+14155550299".into(),
                        created: at(seconds),
                        ..message(9)
                    };
                    numbers.map(|n| (reply(n), Channel::Twilio, None)).collect()
                };
            let settle = |replies: &[_]| settle_inbound(store, replies);
            assert_eq!(settle(&replies(100, 0..MESSAGE_REPLIES))?, Withheld::default());
            assert_eq!(settle(&replies(129, 20..22))?, Withheld { looped: 2, ..Withheld::default() });
            let failed = find(store, "SMr20")?.unwrap();
            assert_eq!((failed.status, failed.error, failed.sent), (Status::Failed, Some(LOOP), None));
            assert_eq!(reports::take(store, 9)?.count, 2, "their receiver hears of it");
            let mut another = replies(129, 22..23);
            another[0].0.to = "+14155550298".into();
            assert_eq!(settle(&another)?, Withheld::default());
            assert_eq!(settle(&replies(131, 23..24))?, Withheld::default());
            Ok(())
        });
    }

    #[test]
    fn only_so_many_messages_wait() {
        on_store(|store| {
            assert_eq!(queue_among(store, &message(4), (Channel::Twilio, None), 3)?, Queued::Full);
            assert_eq!(find(store, "SM4")?.map(|one| one.sid), None);
            store.execute("UPDATE sms SET state = 4 WHERE call = 'SM1'", [])?;
            assert_eq!(queue_among(store, &message(4), (Channel::Twilio, None), 3)?, Queued::Done);
            let many = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                        INSERT INTO sms (call, recipient, sender, body, state, created)
                        SELECT 'x' || n, '+1', '+1', '', 1, 0 FROM n";
            store.execute(many, [MESSAGES_QUEUED - 3])?;
            assert_eq!(queue(store, &message(5), Channel::Twilio, None)?, Queued::Full);
            let replies = [(message(6), Channel::Twilio, None)];
            assert_eq!(settle_inbound(store, &replies)?, Withheld { full: 1, ..Withheld::default() });
            Ok(())
        });
    }

    #[test]
    fn old_messages_are_forgotten() {
        on_store(|store| {
            ended(store, at(9), "SM1", (Ended::Sent, None), None)?;
            forget(store, at(MESSAGES_KEPT_SECONDS + 100))?;
            let rest: Vec<String> = list(store, &MessageFilter::default(), 9)?.into_iter().map(|one| one.sid).collect();
            assert_eq!(rest, ["SM3", "SM2"]);
            Ok(())
        });
    }
}
