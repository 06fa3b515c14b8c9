//! Snapshots of the applications to which programs, reports and transcriptions belong.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_resources::edge::Edge;
use trunkgate_route::{App, TargetSpec};

/// Application in plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AppSnapshot {
    target: TargetSpec,
    /// Application with its settings, if the configuration does not contain it.
    made: Option<Arc<App>>,
}

impl AppSnapshot {
    /// Returns an application in plain data.
    pub(crate) fn of(app: &Arc<App>) -> AppSnapshot {
        AppSnapshot { target: app.spec(), made: app.is_made.then(|| app.clone()) }
    }

    /// Restores the application; `None` if the configuration no longer contains it.
    pub(crate) fn restore(self, edge: &Edge) -> Option<Arc<App>> {
        let AppSnapshot { target, made } = self;
        match target {
            _ if made.is_some() => made,
            TargetSpec::App(name) => edge.table().app(&name).cloned(),
            TargetSpec::Play(file) => Some(Arc::new(App::playing(&file))),
            TargetSpec::Conference(name) => Some(Arc::new(App::conference(&name))),
            TargetSpec::Voicemail(name) => edge.table().mailbox(&name).cloned(),
            TargetSpec::Trunk { .. }
            | TargetSpec::Uri { .. }
            | TargetSpec::Agent(_)
            | TargetSpec::Reject(_)
            | TargetSpec::RingAll(_) => None,
        }
    }
}
