//! The application that is notified of a call's progress.

use std::sync::Arc;

use trunkgate_route::App;

/// Stage of a call, as its reports have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallStage {
    /// It has begun.
    Initiated,
    /// It rings.
    Ringing,
    /// It is answered.
    Answered,
}

/// The receiver of a call's progress, and what it has been notified of.
#[derive(Debug, Clone)]
pub(crate) struct Callback {
    /// The application.
    pub(crate) app: Arc<App>,
    /// Reports that were made.
    pub(crate) reports: u32,
    /// The last stage that it knows of.
    pub(crate) stage: CallStage,
}

impl Callback {
    /// Of an application; `None` where it wants no reports.
    pub(crate) fn of(app: &Arc<App>, reports: u32, stage: CallStage) -> Option<Box<Callback>> {
        app.status_callback.as_ref()?;
        Some(Box::new(Callback { app: app.clone(), reports, stage }))
    }
}
