//! One call as a whole: its parts, the dispatch of events to them, and the matters of several rooms at once: the
//! beginning and the end of a call, the results of its sides and targets, and HTTP requests for it. Only this room
//! knows all others; `effects` carries out the effects that they return.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | CANCEL | attempts withdrawn, call ends | of a re-INVITE: its relay is canceled; it crossed our 2xx: BYE | it crossed our 2xx: BYE | the same | – |
//! | PRACK missing | attempts withdrawn, call ends | call ends | the same | the same | – |
//! | ACK missing | – | BYE on every leg | the same | the same | – |
//! | BYE | of the caller: as CANCEL | BYE on the other legs, call ends, or its next target | of the caller: call ends | the same | leg gone |
//! | 2xx to an INVITE | ACK, caller answered, media wired, other attempts withdrawn | ACK and BYE (a fork, or it crossed our CANCEL) | ACK, media wired | ACK and BYE | the same |
//! | final non-2xx | next peer (3xx: its contacts), next target, or caller refused | a withdrawn leg is gone | next peer, next target, or goodbye | a withdrawn leg is gone | the same |
//! | INVITE without answer | next peer | a withdrawn leg is gone | next peer | a withdrawn leg is gone | the same |
//! | no final response on a withdrawn leg | leg gone | the same | the same | the same | the same |
//! | response to our BYE | withdrawn leg gone | leg gone | the same | the same | the same |
//! | name looked up | first address tried | – | the same | – | – |
//! | no response, ring time-out | next peer, next target | – | the same | – | – |
//! | agent's socket open | caller answered, media wired | a listener hears | media wired; a listener hears | – | – |
//! | agent lost | a new stream, next target; a listener is dropped | rerouting; a listener is dropped | a new stream, next target, or other ringing targets continue; a listener is dropped | a listener is dropped | – |
//! | agent closed with 1000 | a listener is dropped | call ends, or rerouting (`on_close`) | other ringing targets continue; a listener is dropped | a listener is dropped | – |
//! | agent's request | noted | call ends, rerouting (transfer), or digits sent | an agent that still has the caller: as when answered; else noted | noted | – |
//! | agent's note | noted | the same | the same | the same | – |
//! | `max_call` of the agent | – | goodbye | the same | – | – |
//! | time limit of a requested call | – | BYE on every leg | BYE | the same | – |
//! | goodbye heard, or overdue | – | – | – | BYE | – |
//! | ports not bound | others drawn | – | others drawn; of the caller: call ends | – | – |
//! | ports bound | a caller that waits for them is answered | – | – | – | – |
//! | no media | – | BYE on every leg | BYE | – | – |
//! | media session lost | caller refused | BYE on every leg | BYE | the same | – |
//! | hang-up by an operator, end of all calls | caller refused, attempts withdrawn | BYE on every leg | BYE, attempts withdrawn | BYE | – |

use crate::call::negotiation::Bridge;
use crate::call::parts::requested::PendingCallRequest;
use crate::call::program::CallProgram;
use crate::call::recorders::CallRecorders;
use crate::call::search::Search;
use crate::call::shared::SharedCallState;
use crate::call::transfer::in_call::CallTransfers;

pub(crate) mod call;
pub(crate) mod detached;
pub(crate) mod dispatch;
pub(crate) mod effects;
pub(crate) mod judged;
pub(crate) mod operator;
pub(crate) mod release;
pub(crate) mod requested;
pub(crate) mod results;
pub(crate) mod setup;
pub(crate) mod sides;
pub(crate) mod snapshot;
pub(crate) mod takeover;

/// One call: the state that its parts share, and the parts.
#[derive(Debug)]
pub(crate) struct Call {
    /// Identity, facts, legs, timers and story.
    pub(crate) shared: SharedCallState,
    /// Parts of the call, each with its own state.
    pub(crate) parts: CallParts,
}

/// The parts of a call: each owns its state and acts through [`CallCx`].
#[derive(Debug, Default)]
pub(crate) struct CallParts {
    /// Bridge between the caller and the side that has the call.
    pub(crate) bridge: Bridge,
    /// Search for a target, including that of a transfer or consultation.
    pub(crate) search: Search,
    /// Recordings, detections and recording sessions (SIPREC).
    pub(crate) recorders: CallRecorders,
    /// Applications that control the call.
    pub(crate) program: CallProgram,
    /// Transfers requested by a side.
    pub(crate) transfers: CallTransfers,
    /// Unfinished part of the HTTP request that began the call.
    pub(crate) requested: Option<Box<PendingCallRequest>>,
}
