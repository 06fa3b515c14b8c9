//! Identifiers of calls, legs and queries, and look-ups by them: transactions, dialogs, Call-IDs, deadlines; also
//! addresses and URIs in messages to remote parties. Imports nothing from this crate.

pub mod addressing;
pub mod deadlines;
pub mod index;
pub mod key;
pub mod rewrite;
pub mod sip;
