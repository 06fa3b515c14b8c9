//! The media of a call: connections, what the edge itself plays, and DTMF.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | media latched | noted | the same | the same | the same | – |
//! | a side sent nothing since the answer, or stopped | – | noted | – | – | – |
//! | early media has gone to an unproven address for too long | withheld | – | – | – | – |

pub(crate) mod coaching;
pub(crate) mod hearing;
pub(crate) mod judge;
pub(crate) mod local;
pub(crate) mod mixer;
pub(crate) mod player;
pub(crate) mod recognisers;
pub(crate) mod wiring;

use std::sync::Arc;

use trunkgate_media::{EndId, WireSpec};
use trunkgate_route::Agent;
use trunkgate_story::few::Few;

use crate::call::legs::agent_leg::Holder;
use crate::call::legs::spoken::Spoken;
use crate::call::media::coaching::Coaching;
use crate::call::media::mixer::CallerSeat;
use crate::call::media::player::Player;

/// The media session of a call: who is connected to whom, what plays, and the agent that has the caller.
#[derive(Debug, Default)]
pub(crate) struct CallMedia {
    /// What each end was last connected to.
    pub(crate) wires: Few<EndId, (EndId, WireSpec)>,
    /// Port pairs of the caller, or of the answered call, that could not be bound.
    pub(crate) bind_failures: u8,
    /// What the caller and the edge itself have agreed on, once they have.
    pub(crate) spoken: Option<Spoken>,
    /// What plays to the caller.
    pub(crate) player: Option<Player>,
    /// The player of a called party that hears a document before it is connected.
    pub(crate) called_player: Option<EndId>,
    /// Whether a program receives the caller's digits although they go to a party.
    pub(crate) tells_digits: bool,
    /// The caller's end before a mixer.
    pub(crate) seat: Option<CallerSeat>,
    /// Whether the caller talks to a program: it hears the program's player, and its digits are the program's.
    pub(crate) talks_to_caller: bool,
    /// The agent whose goodbye the caller hears when no target is left.
    pub(crate) goodbye: Option<Arc<Agent>>,
    /// The agent whose hold audio the caller hears while no party has the call.
    pub(crate) hold: Option<Arc<Agent>>,
    /// The agent that has the caller, or had it last if none has it now.
    pub(crate) holder: Option<Box<Holder>>,
    /// The agent that has transferred the caller, and coaches the party.
    pub(crate) coaching: Option<Box<Coaching>>,
}
