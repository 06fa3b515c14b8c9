//! REFER (RFC 3515): a phone asks the far side to connect the other one with somebody else, and hears what comes of it. One that
//! is asked for it calls nobody, and tells what it was set up to tell.

use std::time::Instant;

use trunkgate_sip::{Answer, Body, ClientId, Extra, HeaderName, Message, Method, ServerId};

use crate::call::{Due, Ending, PhoneCall, State};
use crate::limits;
use crate::phone::Phone;

/// When a phone that has transferred a call leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// Once its REFER is taken.
    AtOnce,
    /// Once it hears that somebody has answered.
    OnceDone,
    /// It waits until it is hung up on.
    Never,
}

/// What a phone answers to a REFER, and what it tells then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Referred {
    /// 603.
    Refuses,
    /// 202, and after a while this status.
    Tells(u16),
    /// 202, and 100 for ever.
    Silent,
}

/// What a NOTIFY said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct News {
    /// CSeq of its REFER, by its Event header; 0 where that names none.
    pub id: u32,
    /// The status; 0 where its body is no status line.
    pub code: u16,
    /// Whether nothing follows.
    pub is_last: bool,
}

/// What a call knows of transfers.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    /// A REFER that has no answer yet.
    pub(crate) open: Option<ClientId>,
    /// When the phone leaves.
    leaving: Option<Leaving>,
    /// REFERs that were taken.
    taken: u32,
    news: Vec<News>,
}

impl PhoneCall {
    /// Whether we have asked for a transfer.
    pub fn has_referred(&self) -> bool {
        self.transfer.leaving.is_some()
    }
    /// REFERs of ours that were taken.
    pub fn transfers(&self) -> u32 {
        self.transfer.taken
    }
    /// What was told of them, in order.
    pub fn news(&self) -> &[News] {
        &self.transfer.news
    }
}

impl Phone {
    /// Asks the far side to connect the other one with the number that was called.
    pub(crate) fn refer(&mut self, now: Instant, call: &mut PhoneCall, leaving: Leaving) {
        let Some(dialog) = call.dialog.filter(|_| call.transfer.open.is_none()) else { return };
        let value = format!("<sip:{}@refer.example>", call.called);
        let headers = vec![Extra { name: "Refer-To".into(), value }];
        call.transfer.open = self.endpoint.request(now, dialog, Method::Refer, headers, None);
        call.transfer.leaving = Some(leaving);
    }

    /// The answer to it.
    pub(crate) fn refer_answered(&mut self, now: Instant, call: &mut PhoneCall, code: u16) {
        if code < 200 {
            return;
        }
        call.transfer.open = None;
        match code {
            200..=299 => {
                call.transfer.taken += 1;
                if call.transfer.leaving == Some(Leaving::AtOnce) {
                    self.end(now, call, Ending::HungUp);
                }
            }
            // The dialog is gone on the far side (RFC 3261 §12.2.1.2).
            408 | 481 => self.end(now, call, Ending::Refused(code)),
            _ => {}
        }
    }

    /// A NOTIFY.
    pub(crate) fn told(&mut self, now: Instant, call: &mut PhoneCall, notify: &Message) {
        let text = |name: HeaderName| {
            notify.header(name).map(|value| String::from_utf8_lossy(value).to_ascii_lowercase()).unwrap_or_default()
        };
        let id = text(HeaderName::Event).split_once("id=").and_then(|(_, id)| id.trim().parse().ok()).unwrap_or(0);
        let status = String::from_utf8_lossy(notify.body()).split(' ').nth(1).and_then(|code| code.parse().ok());
        let is_last = text(HeaderName::SubscriptionState).starts_with("terminated");
        let news = News { id, code: status.unwrap_or(0), is_last };
        if call.transfer.news.len() < limits::NEWS {
            call.transfer.news.push(news);
        }
        let is_done = news.is_last && (200..300).contains(&news.code);
        if is_done && call.transfer.leaving == Some(Leaving::OnceDone) && call.state == State::Talking {
            self.end(now, call, Ending::HungUp);
        }
    }

    /// A REFER to us.
    pub(crate) fn referred(&mut self, now: Instant, call: &mut PhoneCall, id: ServerId) {
        let contact_user = self.config.name.clone();
        let code = match self.config.transfers {
            Some(Referred::Tells(_) | Referred::Silent) => 202,
            Some(Referred::Refuses) | None => 603,
        };
        self.endpoint.respond(now, id, Answer { code, contact_user, ..Answer::default() });
        if code == 202 {
            call.wake(now, Due::Tell(100));
        }
        if let Some(Referred::Tells(code)) = self.config.transfers {
            call.wake(now + limits::REFERRED, Due::Tell(code));
        }
    }

    /// Tells what has come of it.
    pub(crate) fn tell(&mut self, now: Instant, call: &mut PhoneCall, code: u16) {
        let Some(dialog) = call.dialog.filter(|_| call.state == State::Talking) else { return };
        let state = if code < 200 { "active;expires=60" } else { "terminated;reason=noresource" };
        let header = |name: &str, value: &str| Extra { name: name.into(), value: value.into() };
        let headers = vec![header("Event", "refer"), header("Subscription-State", state)];
        let bytes = format!("SIP/2.0 {code} Result\r\n").into();
        let body = Body { content_type: "message/sipfrag;version=2.0".into(), bytes };
        self.endpoint.request(now, dialog, Method::Notify, headers, Some(body));
    }
}
