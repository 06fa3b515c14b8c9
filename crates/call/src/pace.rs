//! A target whose trunk is at one of its limits: the call waits for its turn, in the order in which calls came, but no
//! longer than the trunk's `pace`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_route::{Number, Table, Trunk};
use trunkgate_sip::Uri;

use crate::answer::Failure;
use crate::attempt::{Attempt, Progress};
use crate::branches::Branch;
use crate::call::Call;
use crate::controller::StepResult;
use crate::deadlines::Timer;
use crate::edge::Edge;
use crate::reason::ReasonSlug;

impl Call {
    /// Goes the first way to the attempt's target once its trunk has a place for the call.
    pub(crate) fn take_place(&mut self, now: Instant, edge: &mut Edge, branch: Branch) -> Result<(), Failure> {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.trunk.clone()) else {
            return self.next_way(now, edge, branch);
        };
        let Err(reason) = self.place_taken(now, edge, branch) else { return self.next_way(now, edge, branch) };
        let until = now.checked_add(trunk.pace).filter(|_| !trunk.pace.is_zero());
        let Some(until) = until else {
            self.attempts.remove(branch);
            let failure = Failure::unreached(reason);
            self.note_failure(now, edge, None, &trunk.name, &failure);
            return Err(failure);
        };
        if let Some(attempt) = self.attempt_mut(branch) {
            attempt.progress = Progress::Waiting { until, reason };
        }
        edge.trunks.wait(&trunk.name, (self.key, branch));
        edge.decide(now, self.key, format!("{}: {}, the call waits", trunk.name, reason.sentence()));
        self.ring_back(now, edge);
        self.wait_on(now, edge, branch, until);
        Ok(())
    }

    /// It may be the call's turn, or it has waited long enough.
    pub(crate) fn try_again(&mut self, now: Instant, edge: &mut Edge, branch: Branch) {
        let Some(Progress::Waiting { until, reason }) = self.attempt(branch).map(|attempt| attempt.progress) else {
            return;
        };
        self.disarm(edge, Timer::Pace(branch));
        if self.place_taken(now, edge, branch).is_ok() {
            let name = self.attempt(branch).map(|attempt| attempt.name().to_owned()).unwrap_or_default();
            edge.decide(now, self.key, format!("{name}: its turn"));
            self.go_next_way(now, edge, branch);
        } else if now >= until {
            self.fail_target(now, edge, branch, StepResult::Failed(Failure::unreached(reason)));
        } else {
            self.wait_on(now, edge, branch, until);
        }
    }

    /// Counts the call in with its target's trunk, if that has a place.
    fn place_taken(&mut self, now: Instant, edge: &mut Edge, branch: Branch) -> Result<(), ReasonSlug> {
        let Some(attempt) = self.attempts.get_mut(branch) else { return Err(ReasonSlug::Internal) };
        let Some(trunk) = &attempt.trunk else { return Ok(()) };
        edge.begin_target_call(now, &trunk.name, (self.key, branch))?;
        edge.trunks.leave(&trunk.name, (self.key, branch));
        attempt.is_counted = true;
        attempt.progress = Progress::Idle;
        Ok(())
    }

    /// Wakes the call when its trunk may have a place, at the latest when it has waited long enough.
    fn wait_on(&mut self, now: Instant, edge: &mut Edge, branch: Branch, until: Instant) {
        let Some(trunk) = self.attempt(branch).and_then(|attempt| attempt.trunk.clone()) else { return };
        let left = until.saturating_duration_since(now);
        let after = edge.trunks.next_place(now, &trunk.name, (self.key, branch)).map_or(left, |wait| wait.min(left));
        self.arm(now, edge, Timer::Pace(branch), after);
    }

    /// Gives the place at the trunk or the agent back, or the one among those that wait.
    pub(crate) fn leave_place(&mut self, edge: &mut Edge, branch: Branch, attempt: &Attempt) {
        self.disarm(edge, Timer::Pace(branch));
        self.disarm(edge, Timer::Queue);
        if let Some(agent) = &attempt.agent {
            edge.agents.leave_line(&agent.name, self.key);
            if matches!(attempt.progress, Progress::Queued { .. }) {
                edge.note_waiting();
            }
        }
        let Some(trunk) = &attempt.trunk else { return };
        match attempt.is_counted {
            true => edge.end_trunk_call(&trunk.name),
            false => edge.trunks.leave(&trunk.name, (self.key, branch)),
        }
    }
}

/// The trunk that a bare URI leads to, and the number that it names.
pub fn trunk_of_uri<'a>(uri: &str, table: &'a Table) -> (Option<&'a Arc<Trunk>>, Option<Number>) {
    let Some(uri) = Uri::parse(uri.as_bytes()) else { return (None, None) };
    let trunk = match uri.host.ip() {
        Some(ip) => table.trunk_of(SocketAddr::new(ip, uri.host.port.unwrap_or(0))),
        None => table.trunk_at(uri.host.host),
    };
    let number = table.numbers().normalise_caller(&uri.user_unescaped(), uri.user_param("phone-context"));
    (trunk, Some(number))
}
