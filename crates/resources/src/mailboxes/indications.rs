//! Message-waiting indications (RFC 3842): message counts of mailboxes, and their recipients. Subscribers are
//! notified in the dialog of their SUBSCRIBE (RFC 6665), lamps (`mwi = "trunk:NAME/USER"` of a mailbox) by NOTIFYs
//! outside a dialog.
//!
//! | recipient | deadline | response to a NOTIFY |
//! | --- | --- | --- |
//! | subscription | expiry: final NOTIFY | 2xx: stays active, or has ended; other: ends |
//! | lamp | an hour after a response, a minute without one: NOTIFY | 2xx, 3xx, 4xx: done; other: next address, pause |

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use trunkgate_route::{Mailbox, RoutingTable};
use trunkgate_sip::dialog::DialogSnapshot;
use trunkgate_sip::{
    ClientId, DialogId, ExtraHeader, HeaderName, MessageBody, ResponseSpec, Scheme, SipEndpoint, SipMessage,
    SipPartyId, Transport, Uri,
};

use crate::limits::{MWI_BURST, MWI_BURST_MILLISECONDS, MWI_EVENT_ID_BYTES, MWI_LEAST_SECONDS, MWI_SECONDS};
use crate::lookups::sip::extra;

/// Event package (RFC 3842 §3.1).
pub(crate) const PACKAGE: &str = "message-summary";
/// Content type of message-summary bodies (RFC 3842 §3.4).
const CONTENT_TYPE: &str = "application/simple-message-summary";

/// Number of messages in one or more mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MessageCount {
    /// Number of new messages.
    pub new: u64,
    /// Number of messages already heard.
    pub old: u64,
}

impl MessageCount {
    /// Returns the body of a NOTIFY (RFC 3842 §5.2), without urgent messages. `account`: URI of the mailbox.
    pub(crate) fn body(self, account: Option<&str>) -> MessageBody {
        let MessageCount { new, old } = self;
        let waiting = if new > 0 { "yes" } else { "no" };
        let account = account.map(|uri| format!("Message-Account: {uri}\r\n")).unwrap_or_default();
        let text = format!("Messages-Waiting: {waiting}\r\n{account}Voice-Message: {new}/{old} (0/0)\r\n");
        MessageBody { content_type: CONTENT_TYPE.to_owned(), bytes: Bytes::from(text) }
    }
}

/// A valid SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubscribeRequest {
    /// `id` of the SUBSCRIBE's Event header, repeated in NOTIFYs.
    pub(crate) id: Option<String>,
    /// Requested lifetime in seconds; 0: a single NOTIFY.
    pub(crate) seconds: u32,
}

impl SubscribeRequest {
    /// Parses a SUBSCRIBE.
    ///
    /// # Errors
    /// The response that rejects it: 489 for another event package, 423 for a lifetime that is too short, or another
    /// for a Contact or Accept that does not fit.
    pub(crate) fn read(request: &SipMessage) -> Result<SubscribeRequest, Box<ResponseSpec>> {
        let bad_event = || refused(489, vec![extra("Allow-Events", PACKAGE)]);
        let event = request.header_text(HeaderName::Event).filter(|_| request.count(HeaderName::Event) == 1);
        let event = event.ok_or_else(bad_event)?;
        let mut parts = event.split(';').map(str::trim);
        if parts.next() != Some(PACKAGE) {
            return Err(bad_event());
        }
        let id = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("id").then(|| value.trim().to_owned())
        });
        if id.as_ref().is_some_and(|id| !is_token(id)) {
            return Err(refused(400, Vec::new()));
        }
        if !leads_back(request) {
            return Err(refused(400, Vec::new()));
        }
        if !accepts(request) {
            return Err(refused(406, vec![extra("Accept", CONTENT_TYPE)]));
        }
        // An invalid value counts as absent (RFC 3261 §10.2.1.1).
        let asked = request.header_str(HeaderName::Expires).map(str::trim);
        let asked = asked.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        let seconds = asked.map_or(MWI_SECONDS, |text| text.parse().unwrap_or(u32::MAX)).min(MWI_SECONDS);
        if (1..MWI_LEAST_SECONDS).contains(&seconds) {
            return Err(refused(423, vec![extra("Min-Expires", MWI_LEAST_SECONDS.to_string())]));
        }
        Ok(SubscribeRequest { id, seconds })
    }
}

/// Returns the response that rejects a SUBSCRIBE.
pub(crate) fn refused(code: u16, headers: Vec<ExtraHeader>) -> Box<ResponseSpec> {
    Box::new(ResponseSpec { code, headers, ..ResponseSpec::default() })
}

fn is_token(text: &str) -> bool {
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    !text.is_empty() && text.len() <= MWI_EVENT_ID_BYTES && text.bytes().all(is_of_token)
}

/// Returns whether an action limited to once a second may be done now, and then sets `last`, the time of the last one.
fn once_a_second(last: &mut Option<Instant>, now: Instant) -> bool {
    let may = last.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(1));
    if may {
        *last = Some(now);
    }
    may
}

/// Returns whether NOTIFYs can be sent to the Contact of a request: it must be the URI of a device (RFC 6665
/// §4.1.2.1).
fn leads_back(request: &SipMessage) -> bool {
    let contacts = request.addresses(HeaderName::Contact);
    let is_device = |uri: Option<Uri<'_>>| uri.is_some_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
    let written = request.header_str(HeaderName::Contact).is_some_and(|text| !text.trim().is_empty());
    !written || !contacts.is_empty() && contacts.iter().all(|contact| is_device(Uri::parse(contact.uri)))
}

/// Returns whether a request accepts the bodies of the package, which is the default without Accept (RFC 3842 §3.5).
fn accepts(request: &SipMessage) -> bool {
    let is_taken = |range: &[u8]| {
        let range = range.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        range == CONTENT_TYPE.as_bytes() || range == b"application/*" || range == b"*/*"
    };
    request.header(HeaderName::Accept).is_none() || request.tokens(HeaderName::Accept).into_iter().any(is_taken)
}

/// Returns the mailboxes shown to a user of a trunk: those with the user in `mwi`, else the mailbox with that name;
/// for the user of the trunk's own account (`require_auth`), all mailboxes with the trunk in `mwi`.
pub(crate) fn mailboxes_for(table: &RoutingTable, trunk: &str, user: &str) -> Vec<Arc<str>> {
    let names = |is_it: &dyn Fn(&Mailbox) -> bool| -> Vec<Arc<str>> {
        let of_trunk = table.mailboxes().filter(|mailbox| mailbox.mwi.iter().any(|party| *party.trunk == *trunk));
        of_trunk.filter(|mailbox| is_it(mailbox)).map(|mailbox| Arc::clone(&mailbox.name)).collect()
    };
    let shows = |mailbox: &Mailbox| {
        let mut parties = mailbox.mwi.iter().filter(|party| *party.trunk == *trunk);
        parties.any(|party| party.user.as_deref() == Some(user))
    };
    let required = table.trunk(trunk).and_then(|trunk| trunk.require_auth.as_ref());
    let is_account = required.is_some_and(|required| required.username == user);
    let found = names(&shows);
    let found = if found.is_empty() { names(&|mailbox| *mailbox.name == *user) } else { found };
    if found.is_empty() && is_account { names(&|_| true) } else { found }
}

/// An active subscription.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) party: SipPartyId,
    pub(crate) trunk: Arc<str>,
    /// Subscribed user.
    pub(crate) user: String,
    pub(crate) mailboxes: Vec<Arc<str>>,
    /// `id` of the SUBSCRIBE's Event header.
    pub(crate) id: Option<String>,
    pub(crate) until: Instant,
    /// Counts in the last NOTIFY.
    pub(crate) last_notified: Option<MessageCount>,
    /// Pending NOTIFY without a response.
    pub(crate) asking: Option<ClientId>,
    /// Whether another NOTIFY must follow the pending one.
    pub(crate) is_owed: bool,
    /// Reason of the end (RFC 6665 §4.1.3), once the final NOTIFY is due or sent.
    pub(crate) ends: Option<&'static str>,
}

/// Active subscription in plain data, which the next process restores after an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSubscription {
    pub(crate) trunk: String,
    pub(crate) user: String,
    pub(crate) id: Option<String>,
    pub(crate) left: Duration,
    pub(crate) dialog: DialogSnapshot,
}

impl KeptSubscription {
    /// Leaves out CSeq numbers that crashed processes may have used: a margin as many times as given.
    pub fn skip_cseqs(&mut self, margins: u32) {
        self.dialog.skip_cseqs(margins);
    }
}

/// Recipient of unsolicited NOTIFYs: a user of a trunk, by `mwi` of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LampKey {
    pub(crate) trunk: Arc<str>,
    pub(crate) user: Arc<str>,
}

/// A NOTIFY to a lamp without a response yet.
#[derive(Debug)]
pub(crate) struct PendingNotify {
    pub(crate) client: ClientId,
    /// Destination: a phone's registration, by Call-ID and Contact; empty for a peer.
    pub(crate) place: Vec<u8>,
    pub(crate) count: MessageCount,
}

/// State of a lamp.
#[derive(Debug)]
pub(crate) struct Lamp {
    pub(crate) mailboxes: Vec<Arc<str>>,
    /// Counts last sent to each destination.
    pub(crate) last_notified: HashMap<Vec<u8>, MessageCount>,
    pub(crate) asking: Vec<PendingNotify>,
    /// Addresses of the trunk's peers that are not tried yet.
    pub(crate) ways: VecDeque<NotifyRoute>,
    pub(crate) due: Option<Instant>,
    /// Time at which all destinations are notified again.
    pub(crate) repeat: Instant,
    /// Whether the last NOTIFY failed.
    pub(crate) is_failing: bool,
}

/// Address of a peer, and the Request-URI there.
pub(crate) type NotifyRoute = (Transport, SocketAddr, String);

/// Owner of a NOTIFY or of a deadline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotifyOwner {
    Subscription(DialogId),
    Lamp(LampKey),
}

/// Message counts of mailboxes, and their subscribers and lamps.
#[derive(Debug, Default)]
pub struct Indications {
    /// Message counts by mailbox; `None` if not known yet.
    counts: Option<BTreeMap<String, MessageCount>>,
    pub(crate) subscriptions: BTreeMap<DialogId, Subscription>,
    by_trunk: FxHashMap<SipPartyId, usize>,
    pub(crate) lamps: BTreeMap<LampKey, Lamp>,
    pub(crate) pending: FxHashMap<ClientId, NotifyOwner>,
    pub(crate) due: BTreeSet<(Instant, NotifyOwner)>,
    /// Subscribers to be notified, in bursts.
    queued: VecDeque<DialogId>,
    /// Time at which the next burst may be sent.
    burst: Option<Instant>,
    /// Time of the last log line about a new subscription.
    logged: Option<Instant>,
    /// Time of the last log line about a subscription that ended by a failure.
    warned: Option<Instant>,
}

impl Indications {
    /// Returns whether a transaction is a NOTIFY of this module.
    pub(crate) fn owns(&self, id: ClientId) -> bool {
        self.pending.contains_key(&id)
    }

    /// Returns whether a dialog is a subscription.
    pub(crate) fn has_dialog(&self, dialog: DialogId) -> bool {
        self.subscriptions.contains_key(&dialog)
    }

    /// Returns the earliest deadline.
    pub fn next(&self) -> Option<Instant> {
        let burst = self.burst.filter(|_| !self.queued.is_empty());
        self.due.first().map(|(at, _)| *at).into_iter().chain(burst).min()
    }

    /// Queues subscribers to be notified in bursts.
    pub(crate) fn queue(&mut self, dialogs: impl IntoIterator<Item = DialogId>) {
        self.queued.extend(dialogs);
    }

    /// Removes and returns the queued subscribers that may be notified now, at most [`MWI_BURST`].
    pub(crate) fn next_burst(&mut self, now: Instant) -> Vec<DialogId> {
        if self.queued.is_empty() || self.burst.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let burst: Vec<DialogId> = self.queued.drain(..self.queued.len().min(MWI_BURST)).collect();
        if burst.len() == MWI_BURST {
            self.burst = Some(now + Duration::from_millis(MWI_BURST_MILLISECONDS));
        }
        burst
    }

    /// Returns the active subscriptions in plain data.
    pub fn kept(&self, now: Instant, endpoint: &SipEndpoint) -> Vec<KeptSubscription> {
        let active = self.subscriptions.iter().filter(|(_, one)| one.ends.is_none());
        let kept = |(dialog, one): (&DialogId, &Subscription)| {
            Some(KeptSubscription {
                trunk: one.trunk.to_string(),
                user: one.user.clone(),
                id: one.id.clone(),
                left: one.until.saturating_duration_since(now),
                dialog: endpoint.snapshot_dialog(*dialog)?,
            })
        };
        active.filter_map(kept).collect()
    }

    /// Returns the number of subscriptions.
    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.len()
    }

    /// Returns whether a new subscription may be logged now (once a second), and then starts the pause.
    pub(crate) fn may_log(&mut self, now: Instant) -> bool {
        once_a_second(&mut self.logged, now)
    }

    /// Returns whether the failure of a subscription may be logged now (once a second), and then starts the pause.
    pub(crate) fn may_warn(&mut self, now: Instant) -> bool {
        once_a_second(&mut self.warned, now)
    }

    /// Returns the number of subscriptions of a party.
    pub(crate) fn of_party(&self, party: SipPartyId) -> usize {
        self.by_trunk.get(&party).copied().unwrap_or_default()
    }

    /// Returns whether message counts are known.
    pub(crate) fn is_known(&self) -> bool {
        self.counts.is_some()
    }

    /// Sets the message count of a mailbox.
    pub(crate) fn note(&mut self, mailbox: String, count: MessageCount) {
        self.counts.get_or_insert_default().insert(mailbox, count);
    }

    /// Notes that all message counts are known, also if there is no mailbox with messages.
    pub(crate) fn note_known(&mut self) {
        self.counts.get_or_insert_default();
    }

    /// Returns the total message count of several mailboxes.
    pub(crate) fn count(&self, mailboxes: &[Arc<str>]) -> MessageCount {
        let counts = mailboxes.iter().filter_map(|name| self.counts.as_ref()?.get(&**name));
        counts.fold(MessageCount::default(), |sum, one| MessageCount {
            new: sum.new.saturating_add(one.new),
            old: sum.old.saturating_add(one.old),
        })
    }

    /// Adds a subscription.
    pub(crate) fn insert(&mut self, dialog: DialogId, subscription: Subscription) {
        *self.by_trunk.entry(subscription.party).or_default() += 1;
        self.due.insert((subscription.until, NotifyOwner::Subscription(dialog)));
        self.subscriptions.insert(dialog, subscription);
    }

    /// Removes a subscription with its deadline and pending NOTIFY. Returns it; `None` if there is none in the dialog.
    pub(crate) fn remove(&mut self, dialog: DialogId) -> Option<Subscription> {
        let gone = self.subscriptions.remove(&dialog)?;
        self.due.remove(&(gone.until, NotifyOwner::Subscription(dialog)));
        if let Some(client) = gone.asking {
            self.pending.remove(&client);
        }
        if let Some(count) = self.by_trunk.get_mut(&gone.party) {
            *count -= 1;
            if *count == 0 {
                self.by_trunk.remove(&gone.party);
            }
        }
        Some(gone)
    }

    /// Sets the time at which a subscription expires, and its deadline.
    pub(crate) fn last_until(&mut self, dialog: DialogId, until: Instant) {
        let Some(subscription) = self.subscriptions.get_mut(&dialog) else { return };
        let before = std::mem::replace(&mut subscription.until, until);
        self.due.remove(&(before, NotifyOwner::Subscription(dialog)));
        self.due.insert((until, NotifyOwner::Subscription(dialog)));
    }

    /// Sets the time of the next action for a lamp; `None` for no action.
    pub(crate) fn set_due(&mut self, key: &LampKey, at: Option<Instant>) {
        let Some(lamp) = self.lamps.get_mut(key) else { return };
        if let Some(before) = std::mem::replace(&mut lamp.due, at) {
            self.due.remove(&(before, NotifyOwner::Lamp(key.clone())));
        }
        if let Some(at) = at {
            self.due.insert((at, NotifyOwner::Lamp(key.clone())));
        }
    }

    /// Returns whether a subscription of the trunk is active that covers one of these mailboxes.
    pub(crate) fn is_subscribed(&self, trunk: &str, mailboxes: &[Arc<str>]) -> bool {
        let mut of_trunk = self.subscriptions.values().filter(|one| *one.trunk == *trunk && one.ends.is_none());
        of_trunk.any(|one| one.mailboxes.iter().any(|name| mailboxes.contains(name)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscribe(lines: &str) -> Result<SubscribeRequest, u16> {
        let text = format!(
            "SUBSCRIBE sip:front@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: <sip:a@192.0.2.2>;tag=1\r\nTo: <sip:front@192.0.2.1>\r\nCall-ID: 1\r\nCSeq: 1 SUBSCRIBE\r\n{lines}\
             Content-Length: 0\r\n\r\n"
        );
        SubscribeRequest::read(&SipMessage::parse(Bytes::from(text)).unwrap()).map_err(|answer| answer.code)
    }

    #[test]
    fn rfc3842_3_what_a_subscribe_asks_for() {
        let taken = |id: Option<&str>, seconds| Ok(SubscribeRequest { id: id.map(str::to_owned), seconds });
        for (lines, expected) in [
            ("Event: message-summary\r\n", taken(None, 3_600)),
            ("o: message-summary\r\nExpires: 120\r\n", taken(None, 120)),
            ("Event: message-summary ; x=1 ; ID = 7\r\nExpires: 0\r\n", taken(Some("7"), 0)),
            ("Event: message-summary\r\nExpires: 3601\r\n", taken(None, 3_600)),
            ("Event: message-summary\r\nExpires: 60, 70\r\n", taken(None, 3_600)),
            ("Event: message-summary\r\nAccept: text/plain, */*;q=0.1\r\n", taken(None, 3_600)),
            ("Event: message-summary\r\nAccept: Application/Simple-Message-Summary\r\n", taken(None, 3_600)),
            ("Event: Message-Summary\r\n", Err(489)),
            ("Event: message-summary.winfo\r\n", Err(489)),
            ("Event: message-summary;id=\r\n", Err(400)),
            ("Event: message-summary\r\nExpires: 1\r\n", Err(423)),
            ("Event: message-summary\r\nContact: *\r\n", Err(400)),
            ("Event: message-summary\r\nContact: <tel:+14155550100>\r\n", Err(400)),
            ("Event: message-summary\r\nContact: <sips:a@192.0.2.2>\r\n", taken(None, 3_600)),
            ("Event: message-summary\r\nAccept: application/pidf+xml\r\n", Err(406)),
        ] {
            assert_eq!(subscribe(lines), expected, "{lines}");
        }
        let long = format!("Event: message-summary;id={}\r\n", "7".repeat(MWI_EVENT_ID_BYTES + 1));
        assert_eq!(subscribe(&long), Err(400));
    }

    #[test]
    fn rfc3842_5_2_a_body_counts_messages() {
        let body =
            |new, old, account| String::from_utf8(MessageCount { new, old }.body(account).bytes.to_vec()).unwrap();
        assert_eq!(body(0, 0, None), "Messages-Waiting: no\r\nVoice-Message: 0/0 (0/0)\r\n");
        let account = Some("sip:front@192.0.2.1");
        assert_eq!(
            body(2, 7, account),
            "Messages-Waiting: yes\r\nMessage-Account: sip:front@192.0.2.1\r\nVoice-Message: 2/7 (0/0)\r\n"
        );
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused(event in "[ -~]{0,80}", expires in "[ -~]{0,12}", accept in "[ -~]{0,40}") {
            let read = subscribe(&format!("Event: {event}\r\nExpires: {expires}\r\nAccept: {accept}\r\n"));
            match read {
                Ok(SubscribeRequest { id, seconds }) => {
                    prop_assert!(id.is_none_or(|id| is_token(&id)));
                    prop_assert!(seconds == 0 || (MWI_LEAST_SECONDS..=MWI_SECONDS).contains(&seconds));
                }
                Err(code) => prop_assert!([400, 406, 423, 489].contains(&code)),
            }
        }
    }
}
