//! Message counts of mailboxes, and their notification.

pub mod indications;
