//! Messages of mailboxes, and the parties that are notified of them.

pub mod indications;
