//! The search for a target that answers: candidates, attempts, their failures, redirections and waits.
//!
//! A target is skipped in five places: its trunk is congested (`candidates.rs`: `is_wanted_now()`), its address is down (`branches.rs`:
//! `leave_out()`), its agent has failed too often (`agents.rs`: `try_agent()`), the time of the search is over (`controller.rs`:
//! `skip_to_last()`), or its kind cannot be called (`can_be_called()` of trunkgate-route).
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | 100 | the target responds | – | the target responds | – | – |
//! | 18x | passed to the caller, early media wired; of several targets one | – | early media wired | – | – |
//! | 199 | its early dialog is over: another one's media is wired | – | the same | – | – |
//! | a turn at a trunk's limit, or the longest wait for it | first peer, next target | – | the same | – | – |
//! | a turn at an agent, or the longest wait for it | its socket requested, next target | – | the same | – | – |
//! | the wait before an agent's next stream is over | its socket requested | – | the same | – | – |
//! | `search_timeout` | attempts withdrawn, the last target is next | – | – | – | – |

use trunkgate_resources::lookups::key::Branch;
use trunkgate_route::Target;
use trunkgate_story::few::Few;

use crate::call::search::agents::Retries;
use crate::call::search::attempt::Attempt;
use crate::call::search::branches::Tried;
use crate::call::search::consults::Consults;
use crate::call::search::controller::Controller;
use crate::call::search::redirect::Visited;

pub(crate) mod addressed;
pub(crate) mod agents;
pub(crate) mod agreement;
pub(crate) mod attempt;
pub(crate) mod branches;
pub(crate) mod candidates;
pub(crate) mod consults;
pub(crate) mod controller;
pub(crate) mod invite;
pub(crate) mod redirect;
pub(crate) mod unreached;

/// The search of a call for a target that answers.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// What comes next.
    pub(crate) controller: Controller,
    /// The targets that are tried now: one, or those that ring at once.
    pub(crate) attempts: Few<Branch, Box<Attempt>>,
    /// What they have come to so far.
    pub(crate) tried: Option<Box<Tried>>,
    /// Numbers at the edge itself that 3xx answers have named since the caller was last answered.
    pub(crate) forwarded: Option<Box<Visited>>,
    /// New streams to agents that failed.
    pub(crate) retries: Retries,
    /// Targets that are tried while an agent has the caller.
    pub(crate) consults: Consults,
    /// Further targets of parties that a program has ring at once, by their branches, until they ring.
    pub(crate) alternatives: Vec<Vec<Target>>,
}
