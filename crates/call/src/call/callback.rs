//! The application that is notified of a call's progress.

use std::sync::Arc;

use trunkgate_route::App;

/// The receiver of a call's progress, and what it has been notified of.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    /// The application.
    pub(crate) app: Arc<App>,
    /// Reports that were made.
    pub(crate) reports: u32,
    /// Whether the answer is known to it.
    pub(crate) is_answered: bool,
}

impl Callback {
    /// Of an application; `None` where it wants no reports.
    pub(crate) fn of(app: &Arc<App>, reports: u32, is_answered: bool) -> Option<Box<Callback>> {
        app.status_callback.as_ref()?;
        Some(Box::new(Callback { app: app.clone(), reports, is_answered }))
    }
}
