//! REFER (RFC 3515): a phone asks the edge to connect the other party with a third one, and receives progress
//! reports. A phone that receives a REFER places no call, and sends the progress reports of its script.

use trunkgate_sip::{
    ClientId, DialogId, ExtraHeader, HeaderName, MessageBody, Method, ResponseSpec, ServerId, SipMessage,
};

use crate::cx::PhoneCx;
use crate::deadlines::{DueAction, PhoneDeadlines};
use crate::event::CallEnding;
use crate::limits;
use crate::script::{LeaveTime, ReferResponse};

/// Progress of a transfer, as a NOTIFY reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferProgress {
    /// CSeq of the REFER, from the Event header; 0 if absent.
    pub id: u32,
    /// Status code; 0 if the body is not a status line.
    pub code: u16,
    /// Whether this is the final notification.
    pub is_last: bool,
}

/// Transfers requested in a call.
#[derive(Debug, Default)]
pub(super) struct PhoneTransfers {
    /// REFER without final response.
    open: Option<ClientId>,
    /// Time at which the phone leaves the call; `None` before it has requested a transfer.
    leaving: Option<LeaveTime>,
    /// Number of accepted REFERs.
    taken: u32,
    news: Vec<TransferProgress>,
}

impl PhoneTransfers {
    /// Returns whether the phone has requested a transfer.
    pub(super) fn has_referred(&self) -> bool {
        self.leaving.is_some()
    }

    /// Returns the number of accepted REFERs.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// Returns the notifications about the phone's transfers, in order.
    pub(super) fn progress(&self) -> &[TransferProgress] {
        &self.news
    }

    /// Returns the REFER without final response, if any.
    pub(super) fn open(&self) -> Option<ClientId> {
        self.open
    }

    /// Forgets the open REFER, because it will get no response.
    pub(super) fn forget_open(&mut self) {
        self.open = None;
    }

    /// Requests that the other party be connected with the called number.
    pub(super) fn refer(&mut self, cx: &mut PhoneCx<'_>, dialog: DialogId, called: &str, leaving: LeaveTime) {
        if self.open.is_some() {
            return;
        }
        let headers = vec![ExtraHeader { name: "Refer-To".into(), value: format!("<sip:{called}@refer.example>") }];
        self.open = cx.endpoint.request(cx.now, dialog, Method::Refer, headers, None);
        self.leaving = Some(leaving);
    }

    /// Handles the response to the REFER. Returns the outcome with which the call ends, if it ends now.
    pub(super) fn answered(&mut self, code: u16) -> Option<CallEnding> {
        if code < 200 {
            return None;
        }
        self.open = None;
        match code {
            200..=299 => {
                self.taken += 1;
                (self.leaving == Some(LeaveTime::AtOnce)).then_some(CallEnding::HungUp)
            }
            // The dialog no longer exists at the remote party (RFC 3261 §12.2.1.2).
            408 | 481 => Some(CallEnding::Refused(code)),
            _ => None,
        }
    }

    /// Handles a NOTIFY about a transfer. Returns whether the phone leaves the call now.
    pub(super) fn notified(&mut self, notify: &SipMessage) -> bool {
        let text = |name: HeaderName| {
            notify.header(name).map(|value| String::from_utf8_lossy(value).to_ascii_lowercase()).unwrap_or_default()
        };
        let id = text(HeaderName::Event).split_once("id=").and_then(|(_, id)| id.trim().parse().ok()).unwrap_or(0);
        let status = String::from_utf8_lossy(notify.body()).split(' ').nth(1).and_then(|code| code.parse().ok());
        let is_last = text(HeaderName::SubscriptionState).starts_with("terminated");
        let news = TransferProgress { id, code: status.unwrap_or(0), is_last };
        if self.news.len() < limits::NEWS {
            self.news.push(news);
        }
        let is_done = news.is_last && (200..300).contains(&news.code);
        is_done && self.leaving == Some(LeaveTime::OnceDone)
    }
}

/// Responds to a received REFER as scripted, and schedules the progress reports.
pub(super) fn referred(cx: &mut PhoneCx<'_>, deadlines: &mut PhoneDeadlines, id: ServerId) {
    let contact_user = cx.config.name.clone();
    let code = match cx.config.transfers {
        Some(ReferResponse::Tells(_) | ReferResponse::Silent) => 202,
        Some(ReferResponse::Refuses) | None => 603,
    };
    cx.endpoint.respond(cx.now, id, ResponseSpec { code, contact_user, ..ResponseSpec::default() });
    if code == 202 {
        deadlines.wake(cx.now, DueAction::Tell(100));
    }
    if let Some(ReferResponse::Tells(code)) = cx.config.transfers {
        deadlines.wake(cx.now + limits::REFERRED, DueAction::Tell(code));
    }
}

/// Sends a progress report for a received REFER.
pub(super) fn notify(cx: &mut PhoneCx<'_>, dialog: DialogId, code: u16) {
    let state = if code < 200 { "active;expires=60" } else { "terminated;reason=noresource" };
    let header = |name: &str, value: &str| ExtraHeader { name: name.into(), value: value.into() };
    let headers = vec![header("Event", "refer"), header("Subscription-State", state)];
    let bytes = format!("SIP/2.0 {code} Result\r\n").into();
    let body = MessageBody { content_type: "message/sipfrag;version=2.0".into(), bytes };
    cx.endpoint.request(cx.now, dialog, Method::Notify, headers, Some(body));
}
