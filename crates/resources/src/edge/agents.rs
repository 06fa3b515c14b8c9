//! Probes and gauges of agents.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::Agent;
use trunkgate_story::change::{EdgeEvent, EdgeEventKind};
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;

use crate::agents::breaker::is_failure;
use crate::agents::{AgentStates, ProbeEffect};
use crate::edge::base::EdgeBase;
use crate::io::AgentProbe;
use crate::limits::{AGENT_CONNECTS_AGAIN, AGENT_TEXT_CHARS, HEALTH_WAIT_SECONDS};

impl AgentStates {
    /// Handles the result of a probe of an agent.
    pub(super) fn agent_probed(&mut self, base: &mut EdgeBase, now: Instant, probe: AgentProbe) {
        let [what, misses, again] = probe.words();
        let AgentProbe { name, url, began, is_connection, outcome } = probe;
        let is_its = |agent: &&Arc<Agent>| agent.url == url && agent.probe.is_zero() == is_connection;
        let Some(agent) = base.table.agent(&name).filter(is_its) else { return };
        let (loss, detail) = match outcome {
            Ok(took) => {
                if self.probed(now, &name, (!is_connection).then_some((began, took))) == ProbeEffect::Back {
                    base.log("", format!("agent {name} {again}"), None);
                    self.note_skipped(base);
                }
                return;
            }
            Err(failed) => failed,
        };
        // While probes are regular, they alone decide when the pause ends.
        let interval = if is_connection { AGENT_CONNECTS_AGAIN } else { agent.probe };
        let pause = interval * 2 + Duration::from_secs(HEALTH_WAIT_SECONDS);
        let detail = plain(&detail, AGENT_TEXT_CHARS);
        let problem = if detail.is_empty() { loss.to_string() } else { format!("{loss}: {detail}") };
        let terms = (!is_connection && is_failure(loss), pause, began + interval);
        match self.missed_probe(now, &name, (loss, format!("{what}: {problem}")), terms) {
            ProbeEffect::Down => {
                let shown = base.shown_name(&name);
                base.warn("", format!("agent {shown} {misses}: {problem}"), None);
                let text = Some(format!("{what}: {problem}"));
                base.changed(EdgeEvent { agent: Some(shown), text, ..EdgeEvent::new(EdgeEventKind::AgentFailed) });
            }
            ProbeEffect::Skipped => {
                let text = format!(
                    "agent {name} does not answer its probes and is skipped by calls that have another target: {problem}"
                );
                base.warn("", text, Some(ReasonSlug::AgentSkipped));
                self.note_skipped(base);
            }
            ProbeEffect::AsBefore | ProbeEffect::Back => {}
        }
    }

    /// Updates the gauge of skipped agents.
    pub(super) fn note_skipped(&mut self, base: &mut EdgeBase) {
        base.metrics.agent.skipped = self.skipped().map(|(name, skipped)| (Arc::clone(name), skipped)).collect();
    }

    /// Updates the gauge of queued callers.
    pub(super) fn note_waiting(&mut self, base: &mut EdgeBase) {
        base.metrics.agent.waiting = self.waiting().map(|(name, count)| (Arc::clone(name), count)).collect();
    }
}
