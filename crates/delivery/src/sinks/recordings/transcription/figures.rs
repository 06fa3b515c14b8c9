//! Problems with transcriptions, from their counters.

use crate::sinks::recordings::sent::SentFigures;
use trunkgate_system::limits::TRANSCRIPTION_SECONDS;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::text::number;

/// Returns the problems with transcriptions that `status` reports.
pub(in crate::sinks::recordings) fn problems(figures: &SentFigures) -> Vec<Problem> {
    let waiting = usize::try_from(figures.waiting.get()).unwrap_or(usize::MAX);
    let waiting = format!("{} {}", number(waiting, "transcription"), if waiting == 1 { "waits" } else { "wait" });
    let silent = |seconds| {
        let fix = format!(
            "check the service of [transcription] `url`, its load and its log; a request is given up after {TRANSCRIPTION_SECONDS} s and repeated"
        );
        (format!("no answer from the service for {seconds} s"), fix)
    };
    let problem = Problem::of(ProblemKind::Record(RecordProblem::NotTranscribed));
    let failing = figures.failing(problem, &waiting, fix_of, silent);
    let given_up = figures.given_up().map(|(failed, recording, error)| {
        let problem = Problem::of(ProblemKind::Record(RecordProblem::TranscriptionGivenUp { recordings: failed }));
        problem.shown_by(format!("{recording}: {error}")).fixed_by(fix_of(&error))
    });
    failing.into_iter().chain(given_up).collect()
}

/// Returns the fix for an error of the transcription service, or for a missing response.
fn fix_of(what: &str) -> String {
    let status = what.split_once("answered ").and_then(|(_, said)| said.get(..3)?.parse::<u16>().ok());
    match status {
        Some(401 | 403) => "check `token` of [transcription]".to_owned(),
        Some(404 | 405) => "check `url` of [transcription], which leads to /audio/transcriptions, and `model`".to_owned(),
        Some(400 | 413 | 415 | 422) => {
            "compare `model`, `language` and the recording's format with the service's requirements; the audio is kept: `trunkgate recordings`".to_owned()
        }
        Some(429) => "raise the rate or the credit of the account at the service; requests are repeated".to_owned(),
        Some(300..=399) => "write the address that the service redirects to into `url` of [transcription]".to_owned(),
        Some(500..) => "the service failed: see its log; requests are repeated".to_owned(),
        _ if what.contains("without JSON") || what.contains("KiB") || what.contains("respond with HTTP") => {
            "`url` of [transcription] has to lead to /audio/transcriptions itself, not to a page or a proxy".to_owned()
        }
        _ if what.contains("TLS") => "check the certificate of the service and the clock of this machine".to_owned(),
        _ if what.contains("no answer within") => "check the load of the service".to_owned(),
        _ if what.contains("`key`") || what.contains("identit") => {
            "put the identity that recordings were encrypted for back into `key` of [recording]".to_owned()
        }
        _ if what.contains("cannot be read") || what.contains("no such recording") => {
            "`trunkgate recordings verify`; restore the file, or delete the recording".to_owned()
        }
        _ => "check that the service runs, that `url` of [transcription] is right, and the firewall: `trunkgate doctor`, line transcription".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_is_that_of_the_cause() {
        for (what, fix) in [
            ("http://h/: answered 401 Unauthorized: no", "`token`"),
            ("http://h/: answered 404 Not Found", "`url`"),
            ("http://h/: answered 429 Too Many Requests", "credit"),
            ("http://h/: answered 500 Internal Server Error", "its log"),
            ("http://h/: answered 307 Temporary Redirect: redirections are not followed", "redirects"),
            ("http://h/: answered without JSON that has a `text`", "not to a page"),
            ("http://h/: cannot be reached: Connection refused", "firewall"),
            ("the recording is encrypted, and [recording] has no `key`", "identity"),
        ] {
            assert!(fix_of(what).contains(fix), "{what}: {}", fix_of(what));
        }
    }
}
