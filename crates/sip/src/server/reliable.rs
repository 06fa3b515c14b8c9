//! Reliable provisional responses (RFC 3262). They are numbered, sent one at a time, retransmitted until their PRACK
//! arrives, and delay a 2xx.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ServerTransactions;
use crate::cx::EndpointCx;
use crate::event::{DialogId, EndpointEvent, ResponseSpec, ServerId, TimerReason};
use crate::header::HeaderName;
use crate::header::RAck;
use crate::limits;
use crate::message::SipMessage;
use crate::method::Method;
use crate::sanity::{RELIABLE, RequestRejection, names_reliable};
use crate::shared::{EndpointShared, MessageOrigin, TimerOwner};
use crate::timer::{T1, T1_64, TimerQueue, TimerToken};
use crate::transaction::StatusClass;
use crate::transaction::key::IndexKey;

/// Upper bound of the first RSeq, below 2³¹ (RFC 3262 §3), so that the numbers of one INVITE never wrap around.
const FIRST_RSEQ_BELOW: u32 = 1 << 30;

/// Reliable provisional responses to one INVITE.
#[derive(Debug)]
pub(super) struct ReliableResponses {
    /// RSeq of the last reliable response.
    rseq: u32,
    /// Response that awaits its PRACK, if any.
    unacked: Option<PendingPrack>,
    /// Responses that wait for the PRACK to `unacked`: provisional ones, or only the 2xx.
    waiting: VecDeque<ResponseSpec>,
    /// Whether any of the responses had a session description.
    described: bool,
}

/// Provisional response that awaits its PRACK.
#[derive(Debug)]
struct PendingPrack {
    bytes: Bytes,
    code: u16,
    described: bool,
    /// Interval before the next retransmission: T1, doubling without upper bound (RFC 3262 §3).
    interval: Duration,
    retransmit: TimerToken,
    wait: TimerToken,
}

/// Time at which a response to an INVITE is sent, and whether it is sent reliably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseTiming {
    /// The response is sent at once and unreliably.
    Now,
    /// The response is sent at once and reliably, with this RSeq.
    Reliably(u32),
    /// The response is sent after the PRACK for the previous one.
    Later,
    /// The response is not sent.
    Never,
}

impl ReliableResponses {
    /// Creates an empty queue; the first response gets the RSeq after `rseq`.
    fn new(rseq: u32) -> ReliableResponses {
        ReliableResponses { rseq, unacked: None, waiting: VecDeque::new(), described: false }
    }

    /// Returns the memory held for messages, in bytes.
    pub(super) fn weight(&self) -> usize {
        let waiting = self.waiting.iter().filter_map(|answer| answer.body.as_ref()).map(|body| body.bytes.len());
        self.unacked.as_ref().map_or(0, |unacked| unacked.bytes.len()) + waiting.sum::<usize>()
    }

    /// Stops retransmission and discards queued responses.
    pub(super) fn stop<K: Copy>(&mut self, timers: &mut TimerQueue<K>) {
        self.waiting.clear();
        if let Some(unacked) = &self.unacked {
            timers.cancel(unacked.retransmit);
            timers.cancel(unacked.wait);
        }
    }

    fn holds_success(&self) -> bool {
        self.waiting.iter().any(|answer| StatusClass::from_code(answer.code) == StatusClass::Success)
    }

    /// Decides when a 2xx is sent; queues it if it must wait for a PRACK, and discards queued provisional responses.
    fn turn_of_success(&mut self, answer: &ResponseSpec) -> ResponseTiming {
        // A 2xx supersedes queued provisional responses.
        self.waiting.clear();
        if !self.unacked.as_ref().is_some_and(|unacked| unacked.described) {
            return ResponseTiming::Now;
        }
        self.waiting.push_back(answer.clone());
        ResponseTiming::Later
    }

    /// Decides when a reliable provisional response is sent, and queues it if it must wait. `offered` is set if the
    /// INVITE has an offer.
    fn turn_of_provisional(&mut self, answer: &ResponseSpec, offered: bool) -> ResponseTiming {
        // The first reliable response must carry an offer if the INVITE has none (RFC 3262 §5).
        let too_early = !offered && !self.described && answer.body.is_none();
        if too_early || self.holds_success() {
            return ResponseTiming::Never;
        }
        if self.unacked.is_none() {
            self.rseq = self.rseq.saturating_add(1);
            return ResponseTiming::Reliably(self.rseq);
        }
        if self.waiting.len() >= limits::PROVISIONALS_WAITING {
            return ResponseTiming::Never;
        }
        self.waiting.push_back(answer.clone());
        ResponseTiming::Later
    }

    /// Starts the timers of a response that awaits its PRACK.
    fn await_prack(&mut self, cx: &mut EndpointCx<'_>, id: ServerId, (bytes, code): (Bytes, u16), described: bool) {
        self.described |= described;
        let timers = &mut cx.shared.timers;
        let retransmit = timers.arm(cx.now + T1, TimerReason::Retransmit1xx, TimerOwner::Server(id));
        let wait = timers.arm(cx.now + T1_64, TimerReason::PrackWait, TimerOwner::Server(id));
        self.unacked = Some(PendingPrack { bytes, code, described, interval: T1, retransmit, wait });
    }

    /// Schedules the next retransmission. Returns the response to send now, with its status code.
    fn repeat(&mut self, shared: &mut EndpointShared, now: Instant, id: ServerId) -> Option<(Bytes, u16)> {
        let unacked = self.unacked.as_mut()?;
        unacked.interval = unacked.interval.saturating_mul(2);
        unacked.retransmit =
            shared.timers.arm(now + unacked.interval, TimerReason::Retransmit1xx, TimerOwner::Server(id));
        Some((unacked.bytes.clone(), unacked.code))
    }

    /// Removes the response that a PRACK acknowledges. Returns whether that response had a session description; `None`
    /// if the PRACK acknowledges none.
    fn acknowledged(&mut self, shared: &mut EndpointShared, cseq: u32, rack: RAck) -> Option<bool> {
        let named = rack.rseq == self.rseq && rack.cseq.number == cseq && rack.cseq.method == Method::Invite;
        let unacked = self.unacked.take_if(|_| named)?;
        shared.timers.cancel(unacked.retransmit);
        shared.timers.cancel(unacked.wait);
        Some(unacked.described)
    }
}

impl ServerTransactions {
    fn reliable_mut(&mut self, id: ServerId) -> Option<&mut ReliableResponses> {
        self.servers.get_mut(&id)?.reliable.as_deref_mut()
    }

    fn reliable(&self, id: ServerId) -> Option<&ReliableResponses> {
        self.servers.get(&id)?.reliable.as_deref()
    }

    /// Returns whether provisional responses to an INVITE may be reliable: both sides support `100rel`.
    pub(crate) fn may_be_reliable(&self, shared: &EndpointShared, id: ServerId) -> bool {
        let request = self.servers.get(&id).and_then(|server| server.request.as_ref());
        let known = shared.rules.extensions.iter().any(|known| known == RELIABLE);
        let is_able = |request: &SipMessage| {
            names_reliable(request, HeaderName::Supported) || names_reliable(request, HeaderName::Require)
        };
        known && request.is_some_and(is_able)
    }

    /// Returns whether the 2xx to an INVITE is held back until a PRACK arrives (RFC 3262 §3).
    pub(crate) fn holds_back(&self, id: ServerId) -> bool {
        self.reliable(id).is_some_and(ReliableResponses::holds_success)
    }

    /// Returns whether a provisional response to an INVITE awaits its PRACK.
    pub(crate) fn awaits_prack(&self, id: ServerId) -> bool {
        self.reliable(id).is_some_and(|reliable| reliable.unacked.is_some())
    }

    /// Decides when a response to an INVITE is sent, and queues it if it must wait.
    pub(super) fn response_timing(
        &mut self,
        shared: &mut EndpointShared,
        id: ServerId,
        answer: &ResponseSpec,
    ) -> ResponseTiming {
        let supported = self.may_be_reliable(shared, id);
        let Some(server) = self.servers.get_mut(&id) else { return ResponseTiming::Never };
        match StatusClass::from_code(answer.code) {
            StatusClass::Failure => return ResponseTiming::Now,
            StatusClass::Success => {
                return server
                    .reliable
                    .as_deref_mut()
                    .map_or(ResponseTiming::Now, |reliable| reliable.turn_of_success(answer));
            }
            StatusClass::Provisional => {}
        }
        let required = server.request.as_ref().is_some_and(|request| names_reliable(request, HeaderName::Require));
        if !supported || !(required || answer.reliable) {
            return ResponseTiming::Now;
        }
        let offered = server.request.as_ref().is_some_and(|request| request.sdp().is_some());
        let first = shared.tokens.below(FIRST_RSEQ_BELOW);
        let reliable = server.reliable.get_or_insert_with(|| Box::new(ReliableResponses::new(first)));
        reliable.turn_of_provisional(answer, offered)
    }

    /// Starts the retransmission of the last response, which is reliable, until its PRACK arrives.
    pub(super) fn await_prack(&mut self, cx: &mut EndpointCx<'_>, id: ServerId, described: bool) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let (Some(reliable), Some(last)) = (server.reliable.as_deref_mut(), server.last.clone()) else { return };
        reliable.await_prack(cx, id, last, described);
        self.update_memory(id);
    }

    /// Stops retransmitting provisional responses after a final response. A late PRACK still finds the unacknowledged
    /// one (RFC 3262 §3).
    pub(super) fn stop_provisionals(&mut self, shared: &mut EndpointShared, id: ServerId) {
        if let Some(reliable) = self.reliable_mut(id) {
            reliable.stop(&mut shared.timers);
        }
    }

    /// Retransmits the reliable provisional response that awaits its PRACK.
    pub(super) fn repeat_provisional(&mut self, cx: &mut EndpointCx<'_>, id: ServerId) {
        let Some(server) = self.servers.get_mut(&id) else { return };
        let repeated = server.reliable.as_deref_mut().and_then(|reliable| reliable.repeat(cx.shared, cx.now, id));
        let Some((bytes, code)) = repeated else { return };
        cx.shared.transmit(server.reply, bytes, server.sent(id, code, true));
    }

    /// Rejects an INVITE after no PRACK has arrived (RFC 3262 §3).
    pub(super) fn on_prack_missing(&mut self, cx: &mut EndpointCx<'_>, id: ServerId) {
        let dialog = self.dialog_of(id);
        self.respond(cx, id, ResponseSpec { code: 504, ..ResponseSpec::default() });
        cx.shared.queue_event(EndpointEvent::PrackMissing { id, dialog });
    }

    /// Handles a PRACK in its dialog: responds with 200 and sends the next queued response, or responds with 400 or
    /// 481.
    pub(crate) fn on_prack(
        &mut self,
        cx: &mut EndpointCx<'_>,
        arrival: MessageOrigin,
        key: IndexKey,
        dialog: DialogId,
        request: SipMessage,
    ) {
        let Some(rack) = request.header(HeaderName::RAck).and_then(RAck::parse) else {
            return cx.shared.refuse(
                &arrival,
                &request,
                RequestRejection { what: "RAck", ..RequestRejection::with_code(400) },
            );
        };
        let invite = cx.dialogs.get(dialog).and_then(|live| live.answered_invite());
        let Some((invite, described)) = invite.and_then(|id| Some((id, self.acknowledged(cx.shared, id, rack)?)))
        else {
            return cx.shared.refuse(&arrival, &request, RequestRejection::with_code(481));
        };
        let offered = self.servers.get(&invite).and_then(|server| server.request.as_ref());
        let offered = offered.is_none_or(|request| request.sdp().is_some());
        let (flow, party) = (arrival.flow, arrival.party);
        let server = self.insert_request(cx, arrival, key, request.clone(), Some(dialog));
        // The body is the answer to our offer, or an offer that the layer above must answer (RFC 3262 §5).
        let is_offer = request.sdp().is_some() && (offered || !described);
        cx.shared.queue_event(EndpointEvent::Prack { id: is_offer.then_some(server), dialog, flow, party, request });
        if !is_offer {
            self.respond(cx, server, ResponseSpec { code: 200, ..ResponseSpec::default() });
        }
        let next = self.reliable_mut(invite).and_then(|reliable| reliable.waiting.pop_front());
        if let Some(answer) = next {
            self.respond(cx, invite, answer);
        }
    }

    fn acknowledged(&mut self, shared: &mut EndpointShared, id: ServerId, rack: RAck) -> Option<bool> {
        let server = self.servers.get_mut(&id)?;
        let described = server.reliable.as_deref_mut()?.acknowledged(shared, server.cseq, rack)?;
        self.update_memory(id);
        Some(described)
    }
}
