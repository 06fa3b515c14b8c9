//! One call as a whole: its parts, the dispatch of its events to them, and what concerns several rooms at once: how a call begins and ends,
//! what its sides and its targets come to, and requests for it. Only this room knows all others; what they return is carried out in `effects`.

use crate::call::negotiation::Bridge;
use crate::call::parts::requested::Requested;
use crate::call::program::CallProgram;
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
    /// The applications of the call.
    pub(crate) program: CallProgram,
    /// Transfers that one side has asked for.
    pub(crate) transfers: Transfers,
    /// The rest of a request over HTTP that has begun the call.
    pub(crate) requested: Option<Box<Requested>>,
}
