//! One call: the caller's leg, the attempts to reach the other side, and the events of both.
//!
//! States: *searching* for a target, *answered*, *rerouting*, *leaving*, *ended*. A call is *rerouting* while the
//! search continues for a caller that is already answered:
//!
//! - the agent is lost or transfers the caller, or the call was answered before a target was there
//!   (`answer = "at_once"`): the caller hears hold audio
//! - a consulting agent keeps the caller until the target answers (`consult`)
//! - one of two parties is transferred, by REFER or over HTTP (`transfer/in_call.rs`: `begin()`)
//! - an application has the caller
//!
//! A call is *leaving* once no target is left and the caller hears a goodbye.
//!
//! Events are grouped by the room that handles them (`legs/event.rs`), and `parts/dispatch.rs` passes each group to its
//! room; those of the search go to `parts/results.rs`: `handle_target()`, which calls the search. The head of a room
//! (`mod.rs`) has the table of its events by the state of the call. Rooms import downwards, in this order:
//!
//! | room | events |
//! | --- | --- |
//! | `words` | none: types that several rooms use |
//! | `legs` | none: the sides of the call |
//! | `shared` | media latched, end of unproven early media (`cx.rs`); the context, the facts, the timers |
//! | `story` | none: notes and verdicts |
//! | `media` | a side that is not heard, or that stops |
//! | `negotiation` | ACK, PRACK, re-INVITE, UPDATE, INFO, session refreshes, joins of two calls |
//! | `search` | provisional responses, waits for a slot at a trunk or an agent |
//! | `recorders` | the end of a recording, the verdict of a detection, requests of recording sessions (SIPREC) |
//! | `program` | documents, digits, conferences and queues of the application that controls the call |
//! | `transfer` | REFER, its notifications, the question of a warm transfer |
//! | `parts` | CANCEL, BYE, final answers, time-outs, agents, ports, the end of the call |

pub(crate) mod legs;
pub(crate) mod media;
pub(crate) mod negotiation;
pub(crate) mod parts;
pub(crate) mod program;
pub(crate) mod recorders;
pub(crate) mod search;
pub(crate) mod shared;
pub(crate) mod story;
pub(crate) mod transfer;
pub(crate) mod words;
