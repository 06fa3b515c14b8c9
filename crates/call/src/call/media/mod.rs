//! Media of a call: connections, audio played by the edge itself, and DTMF.
//!
//! `latched()` and `early_grant_over()` in `shared/cx.rs` handle the first and the last event of this table.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | media latched | source recorded | source recorded | source recorded | source recorded | – |
//! | a side sent nothing since the answer, or stopped | – | fault recorded | – | – | – |
//! | early media to an unproven address reaches its time limit | withheld | – | – | – | – |

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
use trunkgate_story::few::SmallMap;

use crate::call::legs::agent_leg::ServingAgent;
use crate::call::legs::spoken::AudioAgreement;
use crate::call::media::coaching::Coaching;
use crate::call::media::mixer::CallerMixerEnd;
use crate::call::media::player::CallerPlayer;

/// Media session of a call: connections, players, and the agent that has the caller.
#[derive(Debug, Default)]
pub(crate) struct CallMedia {
    /// Sink and wire of each media end, by source.
    pub(crate) wires: SmallMap<EndId, (EndId, WireSpec)>,
    /// Number of port pairs of the caller, or of the answered call, that could not be bound.
    pub(crate) bind_failures: u8,
    /// Agreement on codec and DTMF between the caller and the edge itself.
    pub(crate) spoken: Option<AudioAgreement>,
    /// Player for the caller.
    pub(crate) player: Option<CallerPlayer>,
    /// Player for a called party that hears a document before it is connected.
    pub(crate) called_player: Option<EndId>,
    /// True if an application receives the caller's digits although they are relayed to a party.
    pub(crate) tells_digits: bool,
    /// Mixer input of the caller.
    pub(crate) mixer_end: Option<CallerMixerEnd>,
    /// True while the caller talks to an application: it hears the application's player, which receives its digits.
    pub(crate) talks_to_caller: bool,
    /// Agent with the goodbye that the caller hears when no target is left.
    pub(crate) goodbye: Option<Arc<Agent>>,
    /// Agent with the hold audio that the caller hears while it is connected with no target.
    pub(crate) hold: Option<Arc<Agent>>,
    /// Agent that has the caller, or had it last.
    pub(crate) holder: Option<Box<ServingAgent>>,
    /// Agent that has transferred the caller and coaches the party.
    pub(crate) coaching: Option<Box<Coaching>>,
}
