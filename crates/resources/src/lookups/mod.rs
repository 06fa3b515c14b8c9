//! Names of calls, legs and questions, and what is found by them: transactions, dialogs, Call-IDs, deadlines; and the addresses and
//! URIs that a message to a remote party carries. Imports nothing of this crate.

pub mod addressing;
pub mod deadlines;
pub mod index;
pub mod key;
pub mod rewrite;
pub mod sip;
