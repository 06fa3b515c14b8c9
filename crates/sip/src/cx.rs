//! The context of one change to an endpoint: the present, what all parts share, and the dialogs that both sides of a
//! transaction look at.

use std::time::Instant;

use crate::dialog::Dialogs;
use crate::shared::Shared;

/// Borrowed from the endpoint for the length of one change.
pub(crate) struct Cx<'a> {
    /// The present.
    pub(crate) now: Instant,
    /// What all parts share.
    pub(crate) shared: &'a mut Shared,
    /// The dialogs.
    pub(crate) dialogs: &'a mut Dialogs,
}
