//! Problem of a speech recogniser that fails.

use trunkgate_call::view::RecognitionView;

use super::trunk_problems::tally;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{EdgeProblem, ProblemKind};

/// Returns the problem of a speech recogniser that fails, with the fix for its last failure; `None` while it works.
pub(super) fn recogniser_now(recognition: &RecognitionView) -> Option<Problem> {
    let RecognitionView { failed, of, recent, still, good_since, cause, last_sid } = recognition;
    still.then(|| {
        let fix = match cause.as_str() {
            cause if cause.contains("max_sessions") => {
                "raise `max_sessions` of [recognition], if the recogniser can take more"
            }
            cause if cause.contains("TLS failed") => "check `ca` of [recognition] and the recogniser's certificate",
            cause if cause.contains("the handshake with 401") || cause.contains("the handshake with 403") => {
                "check `token` of [recognition]"
            }
            _ => "check `url` of [recognition], and the recogniser's own log",
        };
        let what = EdgeProblem::RecognitionFails(tally((*failed, *of), *recent, *good_since));
        Problem::of(ProblemKind::Edge(what)).shown_by(cause).fixed_by(fix).traced_in(last_sid)
    })
}
