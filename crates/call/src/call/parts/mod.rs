//! One call as a whole: its parts, the dispatch of its events to them, and what concerns several rooms at once: how a call begins and ends,
//! what its sides and its targets come to, and requests for it. Only this room knows all others; what they return is carried out in `effects`.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | CANCEL | attempts withdrawn, call ends | – | it crossed our 2xx: BYE | the same | – |
//! | PRACK missing | attempts withdrawn, call ends | call ends | the same | the same | – |
//! | ACK missing | – | BYE on every leg | the same | the same | – |
//! | BYE | of the caller: as CANCEL | BYE on the other legs, call ends, or its next target | of the caller: call ends | the same | leg gone |
//! | 2xx to an INVITE | ACK, caller answered, media wired, other attempts withdrawn | ACK and BYE (a fork, or it crossed our CANCEL) | ACK, media wired | ACK and BYE | the same |
//! | final non-2xx | next peer (of a 3xx: what it names), next target, or caller refused | a withdrawn leg is gone | next peer, next target, or goodbye | a withdrawn leg is gone | the same |
//! | INVITE without answer | next peer | a withdrawn leg is gone | next peer | a withdrawn leg is gone | the same |
//! | the last answer of a withdrawn leg never comes | leg gone | the same | the same | the same | the same |
//! | our BYE is through | withdrawn leg gone | leg gone | the same | the same | the same |
//! | name looked up | first address tried | – | the same | – | – |
//! | no response, ring time-out | next peer, next target | – | the same | – | – |
//! | agent's socket open | caller answered, media wired | a listener hears | media wired; a listener hears | – | – |
//! | agent lost | a new stream, next target; a listener is left out | rerouting; a listener is left out | a new stream, next target, or what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent closed with 1000 | a listener is left out | call ends, or rerouting (`on_close`) | what rings beside it rings on; a listener is left out | a listener is left out | – |
//! | agent's request | noted | call ends, or rerouting (transfer) | of one that has the caller still as when answered; else noted | noted | – |
//! | agent's note | noted | the same | the same | the same | – |
//! | `max_call` of the agent | – | goodbye | the same | – | – |
//! | time limit of a requested call | – | BYE on every leg | BYE | the same | – |
//! | goodbye heard, or overdue | – | – | – | BYE | – |
//! | ports not bound | others drawn | – | others drawn; of the caller: call ends | – | – |
//! | ports bound | a caller that waits for them is answered | – | – | – | – |
//! | no media | – | BYE on every leg | BYE | – | – |
//! | media session lost | caller refused | BYE on every leg | BYE | the same | – |
//! | hang-up by an operator, drain | caller refused, attempts withdrawn | BYE on every leg | BYE, attempts withdrawn | BYE | – |

use crate::call::negotiation::Bridge;
use crate::call::parts::requested::Requested;
use crate::call::program::CallProgram;
use crate::call::recorders::Recorders;
use crate::call::search::Search;
use crate::call::shared::Shared;
use crate::call::transfer::in_call::Transfers;

pub(crate) mod call;
pub(crate) mod detached;
pub(crate) mod dispatch;
pub(crate) mod effects;
pub(crate) mod ended;
pub(crate) mod judged;
pub(crate) mod operator;
pub(crate) mod requested;
pub(crate) mod results;
pub(crate) mod setup;
pub(crate) mod sides;
pub(crate) mod snapshot;
pub(crate) mod takeover;

/// One call: what its parts share, and the parts.
#[derive(Debug)]
pub(crate) struct Call {
    /// Identity, facts, legs, timers and story.
    pub(crate) shared: Shared,
    /// The parts that act.
    pub(crate) parts: Parts,
}

/// The parts of a call: each owns its state and acts through [`Cx`].
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The bridge between the caller and the side that has the call.
    pub(crate) bridge: Bridge,
    /// The search for a target, also that of a transfer or consultation.
    pub(crate) search: Search,
    /// The recorders.
    pub(crate) recorders: Recorders,
    /// The applications of the call.
    pub(crate) program: CallProgram,
    /// Transfers that one side has asked for.
    pub(crate) transfers: Transfers,
    /// The rest of a request over HTTP that has begun the call.
    pub(crate) requested: Option<Box<Requested>>,
}
