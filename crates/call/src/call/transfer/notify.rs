//! Notifications of a transfer to the sender of the REFER (RFC 3515 §2.4.4): NOTIFY with the status line of the new
//! call, one at a time, so that none overtakes another.

use crate::call::shared::CallCx;
use crate::call::transfer::in_call::CallTransfers;
use std::time::Instant;

use trunkgate_resources::limits::REFER_SECONDS;
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_sip::write::reason_phrase;
use trunkgate_sip::{ClientId, ExtraHeader, MessageBody};

use crate::call::legs::leg::LegState;

/// Subscription-State of the final NOTIFY.
pub(crate) const TERMINATED: &str = "terminated;reason=noresource";

/// Subscription created by a REFER.
#[derive(Debug)]
pub(crate) struct ReferSubscription {
    /// Leg of the subscriber.
    leg: LegId,
    /// CSeq of the REFER.
    id: u32,
    /// Start of the subscription.
    since: Instant,
    /// Last status notified or queued.
    last: u16,
    /// NOTIFY without a response yet.
    open: Option<ClientId>,
    /// Status to notify after the response to the open NOTIFY.
    next: Option<u16>,
}

impl ReferSubscription {
    /// Creates the subscription of a leg. `id` is the CSeq of the leg's REFER.
    pub(crate) fn new(now: Instant, leg: LegId, id: u32) -> ReferSubscription {
        ReferSubscription { leg, id, since: now, last: 0, open: None, next: None }
    }

    /// Returns whether the final status has not been sent yet.
    pub(crate) fn is_untold(&self) -> bool {
        self.next.is_some() || self.last < 200
    }
}

impl CallTransfers {
    /// Notifies the transferor of a provisional or final status of the new call, after the response to an earlier
    /// NOTIFY. A repeated status, and any status after a final one, is ignored.
    pub(crate) fn notify_transferor(&mut self, cx: &mut CallCx<'_>, code: u16) {
        let Some(news) = &mut self.subscription else { return };
        if news.last == code || news.last >= 200 {
            return;
        }
        news.last = code;
        if news.open.is_some() {
            news.next = Some(code);
        } else {
            self.notify(cx, code);
        }
    }

    /// Returns our NOTIFY without a response yet.
    pub(crate) fn notifies(&self) -> Option<ClientId> {
        self.subscription.as_ref().and_then(|news| news.open)
    }

    fn notify(&mut self, cx: &mut CallCx<'_>, code: u16) {
        let Some(news) = &self.subscription else { return };
        let (leg, id) = (news.leg, news.id);
        let left = REFER_SECONDS.saturating_sub(cx.now.saturating_duration_since(news.since).as_secs()).max(1);
        let state = match code {
            0..200 => format!("active;expires={left}"),
            _ => TERMINATED.to_owned(),
        };
        let (headers, body) = refer_news(id, state, Some(code));
        let dialog = cx.call.legs[leg].sip.dialog.filter(|_| cx.call.legs[leg].state == LegState::Answered);
        let at = cx.call.legs.place(leg);
        let open = dialog.and_then(|dialog| cx.edge.request(cx.now, at, dialog, RequestPurpose::Notify, headers, body));
        match &mut self.subscription {
            Some(news) if open.is_some() => news.open = open,
            _ => self.subscription = None,
        }
    }

    /// Handles the response to a NOTIFY, or its time-out, and sends the next status. `taken` is true if the response is
    /// a 2xx; otherwise the subscription ends.
    pub(super) fn notified(&mut self, cx: &mut CallCx<'_>, client: ClientId, taken: bool) {
        let Some(news) = self.subscription.as_mut().filter(|news| news.open == Some(client)) else { return };
        news.open = None;
        let next = news.next.take();
        match next {
            Some(code) if taken => self.notify(cx, code),
            None if taken && news.last < 200 => {}
            // The last NOTIFY was answered, or the subscriber rejected one (RFC 6665 §4.2.2).
            Some(_) | None => self.subscription = None,
        }
    }

    /// Ends the subscription of a leg that has hung up.
    pub(crate) fn drop_leg_subscription(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        if self.subscription.as_ref().is_some_and(|news| news.leg == leg) {
            self.drop_subscription(cx);
        }
    }

    /// Ends the subscription without another NOTIFY.
    pub(crate) fn drop_subscription(&mut self, cx: &mut CallCx<'_>) {
        if let Some(client) = self.subscription.take().and_then(|news| news.open) {
            cx.edge.index_mut().clients.remove(&client);
        }
    }

    /// Sends the final NOTIFY at once, because the call is over: the final status that is queued, or 487 if the
    /// transfer has none.
    pub(crate) fn send_final_notify(&mut self, cx: &mut CallCx<'_>) {
        let Some(news) = &self.subscription else { return };
        let code = if news.last < 200 { Some(487) } else { news.next };
        let Some(code) = code else { return };
        // The response to an earlier NOTIFY is no longer needed.
        if let Some(client) = news.open {
            cx.edge.index_mut().clients.remove(&client);
        }
        self.notify(cx, code);
    }
}

/// Returns headers and body of a NOTIFY for the subscription of the REFER with this CSeq (RFC 3515 §2.4.5).
pub(crate) fn refer_news(id: u32, state: String, code: Option<u16>) -> (Vec<ExtraHeader>, Option<MessageBody>) {
    let headers = vec![extra("Event", format!("refer;id={id}")), extra("Subscription-State", state)];
    let body = code.map(|code| MessageBody {
        content_type: "message/sipfrag;version=2.0".to_owned(),
        bytes: format!("SIP/2.0 {code} {}\r\n", reason_phrase(code)).into(),
    });
    (headers, body)
}
