//! Search for a target that answers: candidates, attempts, their failures, redirections and waits.
//!
//! A target is skipped for one of these reasons:
//!
//! - its trunk is congested (`candidates.rs`: `is_wanted_now()`)
//! - its agent has failed too often (`agents.rs`: `try_agent()`; for a queued caller `parts/results.rs`:
//!   `next_in_line()`)
//! - `search_timeout` has expired (`controller.rs`: `skip_to_last()`)
//! - it is an agent among targets that ring at the same time (`candidates.rs`: `ring_on()`, `program/dial.rs`:
//!   `turns()`)
//!
//! `branches.rs`: `leave_out()` removes addresses of a target that are down or in back-off, but never all of them. A
//! target that may not be called (`may_be_called()`), or that a limit of its trunk rejects (`take_place()`), has
//! failed: the next one is tried, and the failure is recorded. So has a trunk without a registered phone
//! (`candidates.rs`: `next_candidate()`). `crates/route/src/table.rs`: `is_dialable()` drops targets whose placeholders
//! give no number or address.
//!
//! `parts/results.rs` handles the turns, the wait before an agent's next stream, and `search_timeout`.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | 100 | no-response timer stopped | – | no-response timer stopped | – | – |
//! | 18x | relayed to the caller, early media connected; only one of several ringing targets | – | early media connected | – | – |
//! | 199 | early dialog removed, media of another one connected | – | as searching | – | – |
//! | turn at a trunk's limit, or longest wait over | first peer, or next target | – | as searching | – | – |
//! | turn at an agent, or longest wait over | its WebSocket requested, or next target | – | as searching | – | – |
//! | wait before an agent's next stream over | its WebSocket requested | – | as searching | – | – |
//! | `search_timeout` | attempts withdrawn, last target is next | – | – | – | – |

use trunkgate_resources::lookups::key::Branch;
use trunkgate_route::CallTarget;
use trunkgate_story::few::SmallMap;

use crate::call::search::agents::Retries;
use crate::call::search::attempt::Attempt;
use crate::call::search::branches::BranchResults;
use crate::call::search::consults::Consults;
use crate::call::search::controller::Controller;
use crate::call::search::redirect::RedirectHistory;

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

/// Search of a call for a target that answers.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Source of the next target.
    pub(crate) controller: Controller,
    /// Attempts in progress: one, or several that ring simultaneously.
    pub(crate) attempts: SmallMap<Branch, Box<Attempt>>,
    /// Results and redirections of the current targets.
    pub(crate) branch_results: Option<Box<BranchResults>>,
    /// Numbers at the edge itself named by 3xx responses since the caller was last answered.
    pub(crate) forwarded: Option<Box<RedirectHistory>>,
    /// Repeated streams to agents that failed.
    pub(crate) retries: Retries,
    /// Targets that are tried while an agent has the caller.
    pub(crate) consults: Consults,
    /// Alternative targets of parties that an application rings at the same time, by branch, until those parties ring.
    pub(crate) alternatives: Vec<Vec<CallTarget>>,
}
