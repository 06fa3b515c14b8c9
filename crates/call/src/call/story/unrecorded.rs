//! Fixes for calls that could not be recorded, by the kind of recording.

use trunkgate_story::reason::ReasonSlug;

use crate::call::shared::SharedCallState;

/// Fix for files of routes with `record = true`.
const DISK: &str = "free space in the directory of recordings or repair its disk: `trunkgate status` names the error; `on_full = \"continue\"` \
                    accepts such calls unrecorded";
/// Fix for voicemail messages, which must be recorded.
pub(super) const MAILBOX: &str = "free space in the directory of recordings or repair its disk: `trunkgate status` names the error; a target \
                                  after the mailbox in `connect` takes its calls meanwhile";
/// Fix for recording servers.
const SERVERS: &str = "`trunkgate status` shows the responses of the recording servers and the fix; `required = false` of their [siprec.NAME] lets calls \
                       continue unrecorded";

/// Returns the fix for a call that ended, or a target that failed, because it could not be recorded; `None` for any
/// other reason.
pub(crate) fn fix(call: &SharedCallState, reason: ReasonSlug) -> Option<&'static str> {
    if reason != ReasonSlug::RecordingUnavailable {
        return None;
    }
    let proof = call.proof(reason);
    let mailbox = || call.story.passed_over.iter().any(|one| one.reason == reason && is_mailbox(&one.name));
    Some(match proof {
        Some(proof) if proof.contains("[siprec.") => SERVERS,
        // Only a mailbox has evidence of its own for this reason.
        Some(_) => MAILBOX,
        None if mailbox() => MAILBOX,
        None => DISK,
    })
}

/// Returns whether a target is a mailbox.
pub(super) fn is_mailbox(name: &str) -> bool {
    name.starts_with("voicemail:")
}
