//! Context of one operation on an endpoint: the current time, the shared state, and the dialogs, which the client side
//! and the server side both use.

use std::time::Instant;

use crate::dialog::DialogTable;
use crate::shared::EndpointShared;

/// Endpoint state borrowed for one operation.
pub(crate) struct EndpointCx<'a> {
    /// Time of the current call into the endpoint.
    pub(crate) now: Instant,
    /// State shared by all parts of the endpoint.
    pub(crate) shared: &'a mut EndpointShared,
    pub(crate) dialogs: &'a mut DialogTable,
}
