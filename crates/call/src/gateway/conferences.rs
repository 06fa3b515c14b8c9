//! Conferences of the edge: what follows from a change in one is carried out, in the calls of its parties and beside them.

use std::time::Instant;

use trunkgate_resources::conferences::Due;
use trunkgate_resources::io::Output;

use crate::call::CallEvent;
use crate::gateway::Gateway;

/// Carries out what follows from changes in conferences. Returns whether there was something.
pub(super) fn settle(gateway: &mut Gateway, now: Instant) -> bool {
    let mut any = false;
    loop {
        let edge = &mut gateway.edge;
        let (wall, account) = (&edge.wall, &edge.config.account_sid);
        let Some(due) = edge.sessions.conferences.poll(|| wall.at(now), account) else { return any };
        any = true;
        match due {
            Due::Node(command) => edge.turn.outputs.push_back(Output::Conference(Box::new(command))),
            Due::Callback(callback) => edge.call_back(callback),
            Due::Call(key, news) => gateway.tell(now, key, CallEvent::Conference(news)),
        }
    }
}
