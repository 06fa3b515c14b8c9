//! Line of `status` for ignored parameters of API requests.

use serde_json::Value;

use trunkgate_system::terminal::wrapped;

/// Maximum number of ignored parameters listed.
const IGNORED_SHOWN: usize = 5;

/// Returns the line of `status` for ignored parameters of requests to the Twilio-compatible API.
pub(super) fn ignored_parameters(answer: &Value, width: Option<usize>) -> String {
    let all = answer["ignored_parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = all.iter().take(IGNORED_SHOWN).map(|one| {
        let meant = one["meant"].as_str().map(|meant| format!(", did you mean {meant}?")).unwrap_or_default();
        format!("{} ({}×{meant})", one["name"].as_str().unwrap_or_default(), one["count"])
    });
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() {
        return String::new();
    }
    let more = all.len().saturating_sub(IGNORED_SHOWN);
    let more = if more > 0 { format!("   and {more} more") } else { String::new() };
    wrapped(&format!("IGNORED    parameters of API requests: {}{more}", shown.join("   ")), 11, width)
}
