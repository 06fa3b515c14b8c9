//! `trunkgate twilio trust`: adds the CA of an edge to trust stores, so that programs accept the edge as
//! api.twilio.com. Only `--yes` makes changes.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::TwilioTrust;
use crate::{client, twilio::ca};

mod block;
mod change;
mod store;

use change::StoreChange;
use store::StoreLocations;

/// Prints the changes of the selected trust stores, and makes them with `--yes`.
pub(super) fn run(config: Option<&Path>, options: &TwilioTrust) -> ExitCode {
    if options.undo {
        return match changed(options, None) {
            Ok(text) => {
                client::say(&text);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    client::talk(config, &options.remote, async |edge| {
        let ca = ca::of_edge(edge).await?;
        changed(options, Some(&ca))
    })
}

/// Makes or describes the changes of all selected stores. Without a CA, an earlier one is removed.
fn changed(options: &TwilioTrust, ca: Option<&str>) -> Result<String, String> {
    let search = StoreLocations::of_system(&options.python);
    let mut text = String::new();
    for store in &options.stores {
        let plan = store.plan(&search, ca).map_err(|error| format!("{}: {error}", store.name()))?;
        for change in &plan.changes {
            if options.yes {
                change.make().map_err(|error| format!("{}: {error}", store.name()))?;
            }
            text.push_str(&format!("{}: {change}\n", store.name()));
        }
        if plan.changes.is_empty() {
            text.push_str(&format!("{}: nothing to change\n", store.name()));
        }
        for note in &plan.notes {
            text.push_str(&format!("note: {}: {note}\n", store.name()));
        }
    }
    if !options.yes {
        text.push_str("nothing was changed: repeat with --yes\n");
    }
    Ok(text)
}

/// Changes and notes for one trust store.
#[derive(Debug, Default, PartialEq, Eq)]
struct StorePlan {
    changes: Vec<StoreChange>,
    notes: Vec<String>,
}
