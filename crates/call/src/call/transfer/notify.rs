//! What a far end that has sent a REFER hears of it (RFC 3515 §2.4.4): NOTIFY with the status line of the call that it asked
//! for, one after the other, so that none overtakes another.

use crate::call::shared::Cx;
use crate::call::transfer::in_call::Transfers;
use std::time::Instant;

use trunkgate_resources::limits::REFER_SECONDS;
use trunkgate_resources::lookups::index::Purpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_sip::write::reason_phrase;
use trunkgate_sip::{Body, ClientId, Extra};

use crate::call::legs::leg::LegState;

/// What the last NOTIFY says of its subscription.
pub(crate) const TERMINATED: &str = "terminated;reason=noresource";

/// The subscription that a REFER makes.
#[derive(Debug)]
pub(crate) struct News {
    /// Whose it is.
    leg: LegId,
    /// The CSeq of its REFER.
    id: u32,
    /// When it began.
    since: Instant,
    /// The last status that was told, or is to be.
    last: u16,
    /// The NOTIFY that has no answer yet.
    open: Option<ClientId>,
    /// What is told once it has.
    next: Option<u16>,
}

impl News {
    /// For a leg, by the CSeq of its REFER.
    pub(crate) fn new(now: Instant, leg: LegId, id: u32) -> News {
        News { leg, id, since: now, last: 0, open: None, next: None }
    }

    /// Whether its end has not been told yet: the NOTIFY before it waits for its answer.
    pub(crate) fn is_untold(&self) -> bool {
        self.next.is_some() || self.last < 200
    }
}

impl Transfers {
    /// Tells the party that transfers how far the call has come: a provisional status, or the final one.
    pub(crate) fn tell_news(&mut self, cx: &mut Cx<'_>, code: u16) {
        let Some(news) = &mut self.news else { return };
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

    /// Returns the NOTIFY that has no answer yet.
    pub(crate) fn notifies(&self) -> Option<ClientId> {
        self.news.as_ref().and_then(|news| news.open)
    }

    fn notify(&mut self, cx: &mut Cx<'_>, code: u16) {
        let Some(news) = &self.news else { return };
        let (leg, id) = (news.leg, news.id);
        let left = REFER_SECONDS.saturating_sub(cx.now.saturating_duration_since(news.since).as_secs()).max(1);
        let state = match code {
            0..200 => format!("active;expires={left}"),
            _ => TERMINATED.to_owned(),
        };
        let (headers, body) = refer_news(id, state, Some(code));
        let dialog = cx.call.legs[leg].sip.dialog.filter(|_| cx.call.legs[leg].state == LegState::Answered);
        let at = cx.call.legs.place(leg);
        let open = dialog.and_then(|dialog| cx.edge.request(cx.now, at, dialog, Purpose::Notify, headers, body));
        match &mut self.news {
            Some(news) if open.is_some() => news.open = open,
            _ => self.news = None,
        }
    }

    /// A NOTIFY is answered, or never will be; `taken`: by a 2xx.
    pub(super) fn notified(&mut self, cx: &mut Cx<'_>, client: ClientId, taken: bool) {
        let Some(news) = self.news.as_mut().filter(|news| news.open == Some(client)) else { return };
        news.open = None;
        let next = news.next.take();
        match next {
            Some(code) if taken => self.notify(cx, code),
            None if taken && news.last < 200 => {}
            // The last one, or nobody wants to know (RFC 6665 §4.2.2).
            Some(_) | None => self.news = None,
        }
    }

    /// A leg that has hung up is told nothing any more.
    pub(crate) fn drop_news_of(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        if self.news.as_ref().is_some_and(|news| news.leg == leg) {
            self.drop_news(cx);
        }
    }

    /// Nobody is told any more.
    pub(crate) fn drop_news(&mut self, cx: &mut Cx<'_>) {
        if let Some(client) = self.news.take().and_then(|news| news.open) {
            cx.edge.index_mut().clients.remove(&client);
        }
    }

    /// The call is over: what is still to be told goes out at once.
    pub(crate) fn end_news(&mut self, cx: &mut Cx<'_>) {
        let Some(news) = &self.news else { return };
        let code = if news.last < 200 { Some(487) } else { news.next };
        let Some(code) = code else { return };
        // Nobody waits for the answer to an earlier one any more.
        if let Some(client) = news.open {
            cx.edge.index_mut().clients.remove(&client);
        }
        self.notify(cx, code);
    }
}

/// A NOTIFY: its headers for the subscription of the REFER with this CSeq, and the status as its body (RFC 3515 §2.4.5).
pub(crate) fn refer_news(id: u32, state: String, code: Option<u16>) -> (Vec<Extra>, Option<Body>) {
    let headers = vec![extra("Event", format!("refer;id={id}")), extra("Subscription-State", state)];
    let body = code.map(|code| Body {
        content_type: "message/sipfrag;version=2.0".to_owned(),
        bytes: format!("SIP/2.0 {code} {}\r\n", reason_phrase(code)).into(),
    });
    (headers, body)
}
