//! Transfers: REFER that is served here or goes on, its notifications, consultation by an agent, warm transfers.
//!
//! It acts on the search and the bridge, and returns a [`effects::TransferEffect`] for what is above it. Two calls are joined in
//! `negotiation/join.rs`. What lower rooms need of a transfer they read in `Facts::referral`.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | REFER | 491 | the other side waits, the search begins; after a change that is under way; refused where it may not | 491 | 491 | 481 |
//! | the call that a leg was to come from is over | – | all as before, NOTIFY to the party that asked | – | – | – |
//! | NOTIFY of a REFER that went on | 481 | relayed to the party that transfers | 481 | 481 | 481 |
//! | a REFER or NOTIFY that went on is answered | – | the same answer on the other leg | the same answer | – | – |
//! | our NOTIFY is answered | the next one | the same | the same | the same | the same |
//! | the party that transferred the call has not hung up in time | – | BYE | the same | the same | the same |
//! | the party of a warm transfer presses a digit, hangs up, has had its time or is a machine | – | – | media wired; or next target, or the caller is back with its agent or party | – | – |

pub(crate) mod effects;
pub(crate) mod in_call;
pub(crate) mod notify;
pub(crate) mod onward;
pub(crate) mod refer_on;
pub(crate) mod warm;
