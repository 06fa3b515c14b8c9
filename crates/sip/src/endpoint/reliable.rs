//! Reliable provisional answers (RFC 3262), both ways: ours are numbered, go out one after the other, are repeated until
//! their PRACK has come, and hold a 2xx back; those of the far end are acknowledged in order, each once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Arrival, Endpoint, Timer};
use crate::event::{Answer, Body, ClientId, DialogId, DropReason, Event, Extra, Reason, ServerId};
use crate::header::HeaderName;
use crate::header::rack::{RAck, rseq};
use crate::limits;
use crate::message::Message;
use crate::method::Method;
use crate::sanity::Refusal;
use crate::timer::{T1, T1_64, TimerQueue, Token};
use crate::transaction::Class;
use crate::transaction::key::Key;

/// The option tag.
pub(crate) const OPTION_TAG: &str = "100rel";
/// RSeq of a first answer is below 2³¹ (RFC 3262 §3), so that no INVITE has so many that it begins anew.
const FIRST_RSEQ_BELOW: u32 = 1 << 30;

/// The reliable provisional answers to one INVITE.
#[derive(Debug)]
pub(super) struct Reliable {
    /// RSeq of the last one.
    rseq: u32,
    /// The one that waits for its PRACK.
    unacked: Option<Unpracked>,
    /// Answers that wait behind it: provisional ones, or the 2xx alone.
    waiting: VecDeque<Answer>,
    /// Whether one of them had a session description.
    described: bool,
}

/// A provisional answer that waits for its PRACK.
#[derive(Debug)]
struct Unpracked {
    bytes: Bytes,
    code: u16,
    described: bool,
    /// The wait before the next repetition: T1 doubling, for as long as it takes (RFC 3262 §3).
    interval: Duration,
    retransmit: Token,
    wait: Token,
}

impl Reliable {
    /// What it holds of messages, in bytes.
    pub(super) fn weight(&self) -> usize {
        let waiting = self.waiting.iter().filter_map(|answer| answer.body.as_ref()).map(|body| body.bytes.len());
        self.unacked.as_ref().map_or(0, |unacked| unacked.bytes.len()) + waiting.sum::<usize>()
    }

    /// Nothing is repeated any more, and nothing waits.
    pub(super) fn stop<K: Copy>(&mut self, timers: &mut TimerQueue<K>) {
        self.waiting.clear();
        if let Some(unacked) = &self.unacked {
            timers.cancel(unacked.retransmit);
            timers.cancel(unacked.wait);
        }
    }

    fn holds_success(&self) -> bool {
        self.waiting.iter().any(|answer| Class::of(answer.code) == Class::Success)
    }
}

/// When an answer to an INVITE goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now, as ever.
    Now,
    /// Now, under this RSeq.
    Reliably(u32),
    /// After the PRACK to the one before it.
    Later,
    /// Not at all.
    Never,
}

impl Endpoint {
    /// Whether provisional answers to an INVITE may be reliable: its sender can acknowledge them.
    pub fn may_be_reliable(&self, id: ServerId) -> bool {
        let request = self.servers.get(&id).and_then(|server| server.request.as_ref());
        let known = self.rules.extensions.iter().any(|known| known == OPTION_TAG);
        known && request.is_some_and(|request| names(request, HeaderName::Supported) || is_required(request))
    }

    /// Whether the 2xx to an INVITE waits for a PRACK (RFC 3262 §3): given to [`Self::respond`], and not sent yet.
    pub fn holds_back(&self, id: ServerId) -> bool {
        self.servers.get(&id).and_then(|server| server.reliable.as_deref()).is_some_and(Reliable::holds_success)
    }

    /// Whether a provisional answer to an INVITE waits for its PRACK.
    pub fn awaits_prack(&self, id: ServerId) -> bool {
        self.servers.get(&id).and_then(|server| server.reliable.as_deref()).is_some_and(|it| it.unacked.is_some())
    }

    /// The dialog of a request of the far end, while its transaction lives.
    pub fn dialog_of(&self, id: ServerId) -> Option<DialogId> {
        self.servers.get(&id)?.dialog
    }

    /// When an answer to an INVITE goes out; one that must wait is kept.
    pub(super) fn turn_of(&mut self, id: ServerId, answer: &Answer) -> Turn {
        let supported = self.may_be_reliable(id);
        let Some(server) = self.servers.get_mut(&id) else { return Turn::Never };
        match Class::of(answer.code) {
            Class::Failure => return Turn::Now,
            Class::Success => {
                let Some(reliable) = server.reliable.as_deref_mut() else { return Turn::Now };
                // Whatever else waits is no news any more.
                reliable.waiting.clear();
                if !reliable.unacked.as_ref().is_some_and(|unacked| unacked.described) {
                    return Turn::Now;
                }
                reliable.waiting.push_back(answer.clone());
                return Turn::Later;
            }
            Class::Provisional => {}
        }
        let required = server.request.as_ref().is_some_and(is_required);
        if !supported || !(required || answer.reliable) {
            return Turn::Now;
        }
        let offered = server.request.as_ref().is_some_and(|request| request.sdp().is_some());
        let first = self.tokens.below(FIRST_RSEQ_BELOW);
        let reliable = server.reliable.get_or_insert_with(|| {
            let (unacked, waiting) = (None, VecDeque::new());
            Box::new(Reliable { rseq: first, unacked, waiting, described: false })
        });
        // The first one has an offer where the INVITE had none (RFC 3262 §5).
        let too_early = !offered && !reliable.described && answer.body.is_none();
        if too_early || reliable.holds_success() {
            return Turn::Never;
        }
        if reliable.unacked.is_none() {
            reliable.rseq = reliable.rseq.saturating_add(1);
            return Turn::Reliably(reliable.rseq);
        }
        if reliable.waiting.len() >= limits::PROVISIONALS_WAITING {
            return Turn::Never;
        }
        reliable.waiting.push_back(answer.clone());
        Turn::Later
    }

    /// A reliable answer is out: it is repeated until its PRACK comes.
    pub(super) fn await_prack(&mut self, now: Instant, id: ServerId, described: bool) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let (Some(reliable), Some((bytes, code))) = (server.reliable.as_deref_mut(), server.last.clone()) else {
            return;
        };
        reliable.described |= described;
        let retransmit = self.timers.arm(now + T1, Reason::Retransmit1xx, Timer::Server(id));
        let wait = self.timers.arm(now + T1_64, Reason::PrackWait, Timer::Server(id));
        reliable.unacked = Some(Unpracked { bytes, code, described, interval: T1, retransmit, wait });
        self.weigh_server(id);
    }

    /// A final answer is out, or the transaction is over: no provisional one is repeated any more. A PRACK for one that was
    /// not acknowledged still finds it (RFC 3262 §3).
    pub(super) fn stop_provisionals(&mut self, id: ServerId) {
        if let Some(reliable) = self.servers.get_mut(&id).and_then(|server| server.reliable.as_deref_mut()) {
            reliable.stop(&mut self.timers);
        }
    }

    /// The answer once more.
    pub(super) fn repeat_provisional(&mut self, now: Instant, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let Some(unacked) = server.reliable.as_deref_mut().and_then(|reliable| reliable.unacked.as_mut()) else {
            return;
        };
        unacked.interval = unacked.interval.saturating_mul(2);
        unacked.retransmit = self.timers.arm(now + unacked.interval, Reason::Retransmit1xx, Timer::Server(id));
        let (bytes, code) = (unacked.bytes.clone(), unacked.code);
        let (reply, what) = (server.reply, server.sent(id, code, true));
        self.transmit(reply, bytes, what);
    }

    /// Nobody acknowledges it: the INVITE is refused (RFC 3262 §3).
    pub(super) fn on_prack_missing(&mut self, now: Instant, id: ServerId) {
        let dialog = self.servers.get(&id).and_then(|server| server.dialog);
        self.respond(now, id, Answer { code: 504, ..Answer::default() });
        self.tell(Event::PrackMissing { id, dialog });
    }

    /// A PRACK in its dialog: 200 and on with what waits for it, 400 or 481.
    pub(super) fn on_prack(&mut self, now: Instant, arrival: Arrival, key: Key, dialog: DialogId, request: Message) {
        let Some(rack) = request.header(HeaderName::RAck).and_then(RAck::parse) else {
            return self.refuse_as(&arrival, &request, Refusal { what: "RAck", ..Refusal::plain(400) });
        };
        let live = self.dialogs.get(&dialog);
        let invite = live.and_then(|live| live.invite_in.or(live.unacked.as_ref().map(|unacked| unacked.server)));
        let Some((invite, described)) = invite.and_then(|id| Some((id, self.acknowledged(id, rack)?))) else {
            return self.refuse_as(&arrival, &request, Refusal::plain(481));
        };
        let offered = self.servers.get(&invite).and_then(|server| server.request.as_ref());
        let offered = offered.is_none_or(|request| request.sdp().is_some());
        let (flow, party) = (arrival.flow, arrival.party);
        let server = self.start_server(now, arrival, key, request.clone(), Some(dialog));
        // What it brings is the answer to our offer, or an offer that the layer above must answer (RFC 3262 §5).
        let is_offer = request.sdp().is_some() && (offered || !described);
        self.tell(Event::Prack { id: is_offer.then_some(server), dialog, flow, party, request });
        if !is_offer {
            self.respond(now, server, Answer { code: 200, ..Answer::default() });
        }
        let next = self.servers.get_mut(&invite).and_then(|server| server.reliable.as_deref_mut()?.waiting.pop_front());
        if let Some(answer) = next {
            self.respond(now, invite, answer);
        }
    }

    /// Takes the answer that a PRACK names off the list; whether it had a session description.
    fn acknowledged(&mut self, id: ServerId, rack: RAck) -> Option<bool> {
        let server = self.servers.get_mut(&id)?;
        let cseq = server.cseq;
        let reliable = server.reliable.as_deref_mut()?;
        let named = rack.rseq == reliable.rseq && rack.cseq.number == cseq && rack.cseq.method == Method::Invite;
        let unacked = reliable.unacked.take_if(|_| named)?;
        self.timers.cancel(unacked.retransmit);
        self.timers.cancel(unacked.wait);
        self.weigh_server(id);
        Some(unacked.described)
    }

    /// A provisional answer of the far end: one that is reliable is acknowledged. Whether it is news: repetitions are not,
    /// nor is one whose predecessor is missing (RFC 3262 §4). One that makes the offer waits for [`Self::answer_early`].
    pub(super) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        id: ClientId,
        dialog: Option<DialogId>,
        response: &Message,
    ) -> bool {
        let Some(number) = response.header(HeaderName::RSeq).and_then(rseq).filter(|_| is_required(response)) else {
            return true;
        };
        let client = self.clients.get(&id);
        let inviting = client.and_then(|client| Some((client.invite.as_deref()?, client.dialog.is_none())));
        let asks = inviting.is_some_and(|(inviting, begins)| begins && !inviting.offers);
        let (Some(dialog), Some((inviting, _))) = (dialog, inviting) else { return false };
        let cseq = inviting.cseq;
        let Some(live) = self.dialogs.get_mut(&dialog) else { return false };
        let (of, last) = live.provisional;
        if of == cseq && last.checked_add(1) != Some(number) {
            return false;
        }
        if asks && of != cseq && response.sdp().is_some() {
            live.prack_due = Some((id, cseq, number));
            return true;
        }
        self.prack(now, dialog, (id, cseq, number), None)
    }

    /// Acknowledges the provisional answer that brought the offer which an INVITE of ours without one has asked for, with our
    /// answer to it (RFC 3262 §5). Whether there was one.
    pub fn answer_early(&mut self, now: Instant, dialog: DialogId, body: Body) -> bool {
        let due = self.dialogs.get_mut(&dialog).and_then(|live| live.prack_due.take());
        due.is_some_and(|due| self.prack(now, dialog, due, Some(body)))
    }

    fn prack(
        &mut self,
        now: Instant,
        dialog: DialogId,
        (id, cseq, number): (ClientId, u32, u32),
        body: Option<Body>,
    ) -> bool {
        // Without room for it the next repetition is acknowledged.
        if !self.may_cause_request(id) {
            self.drop_message(DropReason::Full);
            return false;
        }
        let rack = Extra { name: "RAck".into(), value: RAck::of_invite(number, cseq) };
        let Some(prack) = self.request(now, dialog, Method::Prack, vec![rack], body) else { return false };
        self.note_caused(id, prack);
        if let Some(live) = self.dialogs.get_mut(&dialog) {
            live.provisional = (cseq, number);
        }
        true
    }
}

fn is_required(message: &Message) -> bool {
    names(message, HeaderName::Require)
}

fn names(message: &Message, header: HeaderName) -> bool {
    message.tokens(header).iter().any(|tag| tag.eq_ignore_ascii_case(OPTION_TAG.as_bytes()))
}
