//! Context of one operation on an endpoint: the current time, the shared state, and the dialogs, which both
//! transaction sides use.

use std::time::Instant;

use crate::dialog::Dialogs;
use crate::shared::Shared;

/// Endpoint state borrowed for one operation.
pub(crate) struct Cx<'a> {
    /// Current time.
    pub(crate) now: Instant,
    /// State shared by all parts of the endpoint.
    pub(crate) shared: &'a mut Shared,
    pub(crate) dialogs: &'a mut Dialogs,
}
