//! Losses in the files of recordings.

use trunkgate_media::RecordingId;
use trunkgate_resources::recordings::losses::RecordingLosses;

use crate::gateway::Gateway;

/// Records the audio losses of a recording in its conference, and in its call, live or recent.
pub(super) fn lack(gateway: &mut Gateway, id: RecordingId, lost: &RecordingLosses) {
    if lost.total() == 0 {
        return;
    }
    gateway.edge.sessions_mut().conferences.record_losses(id, lost);
    let Some((recording, call)) = gateway.edge.sessions().recordings.sids(id) else { return };
    let live = gateway.edge.index().sids.get(&call).and_then(|key| gateway.calls.get_mut(key));
    if let Some(call) = live {
        call.parts.recorders.recordings.lack(&recording, lost);
    }
    gateway.edge.recent_mut().recording_lost(&call, &recording, lost);
}
