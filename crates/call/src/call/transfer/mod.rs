//! Transfers: REFER served by the edge or relayed, its notifications, consultation by an agent, warm transfers.
//!
//! A transfer acts on the search and the bridge, and returns a [`effects::TransferEffect`] for the parts above it.
//! Joins of two calls are in `negotiation/join.rs`. Lower rooms read the facts of a transfer from
//! `CallFacts::referral`.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | REFER | 491 | the other side waits, the search begins, or the target is called at the transferor's own trunk; or relayed; after a session change in progress; refused if not allowed | 491 | 491 | 481 |
//! | the other call of a join is over | – | unchanged, NOTIFY to the transferor | – | – | – |
//! | NOTIFY of a relayed REFER | 481 | relayed to the transferor | 481 | 481 | 481 |
//! | response to a relayed REFER or NOTIFY | – | the same response on the other leg | the same response | – | – |
//! | response to our NOTIFY | the next one | the same | the same | the same | the same |
//! | the transferor has not hung up in time | – | BYE | the same | the same | the same |
//! | the party of a warm transfer presses a digit, hangs up, is a machine, or its time is over | – | – | media wired; or next target, or the caller is back with its agent or party | – | – |

pub(crate) mod effects;
pub(crate) mod in_call;
pub(crate) mod notify;
pub(crate) mod onward;
pub(crate) mod refer_on;
pub(crate) mod warm;
