//! The agents of a worker's sessions: their sockets' doors, and what goes through them.

use std::time::Instant;

use tokio::time::timeout;
use trunkgate_media::agent::Loss;
use trunkgate_media::agent::limits::CLOSE_TIMEOUT;
use trunkgate_media::{AgentInput, AgentSpec, Command, EndId, Event};

use super::agent_socket::{Name, Said, socket};
use super::turn::{Live, Worker};

impl Worker {
    /// Adds an agent and begins to open its socket, unless the session refuses it.
    pub(super) fn add_agent(&mut self, now: Instant, at: usize, end: EndId, spec: std::sync::Arc<AgentSpec>) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        let refused = live.session.refuses(end).is_some();
        let name = Name { session: live.id, end, serial: self.next_socket };
        self.next_socket += 1;
        live.session.handle_input(now, Command::AddAgent { end, spec: spec.clone() });
        if !refused && !live.session.agent_is_closed(end) {
            let (door, task) = socket(name, self.said.clone(), self.held.clone());
            live.doors.push(door);
            self.tasks.spawn(task.run(spec.socket.clone()));
        }
        // Those that ended are forgotten.
        while self.tasks.try_join_next().is_some() {}
        self.settle(at);
    }

    /// Takes what a socket told.
    pub(super) fn hear(&mut self, now: Instant, name: Name, said: Said) {
        let Some(at) = self.by_id.get(&name.session).copied() else { return };
        let Some(live) = self.sessions.get_mut(at) else { return };
        let Some(door) = live.doors.iter_mut().find(|door| door.name == name) else { return };
        self.at_work = Some(at);
        door.waits |= matches!(said, Said::Text(_) | Said::Binary(_) | Said::Ping | Said::Pong);
        let input = match &said {
            Said::Opened => Some(AgentInput::Opened),
            Said::Found(to) => Some(AgentInput::Found(*to)),
            Said::Text(text) => Some(AgentInput::Text(text)),
            Said::Binary(bytes) => Some(AgentInput::Binary(*bytes)),
            Said::Pong => Some(AgentInput::Pong),
            Said::Took | Said::Ping => None,
            Said::Closed(code) => Some(AgentInput::Closed(*code)),
            Said::Lost(fault) => {
                if !fault.detail.is_empty() {
                    let text = fault.detail.clone();
                    let _ = self.events.send((name.session, Event::AgentNote { end: name.end, text }));
                }
                Some(AgentInput::Lost(fault.loss))
            }
        };
        if let Some(input) = input {
            live.session.handle_agent(now, name.end, input);
        }
        self.settle(at);
        self.at_work = None;
    }

    /// Tells that an agent cannot be had.
    pub(super) fn refuse_agent(&self, id: trunkgate_media::MediaId, end: EndId) {
        let _ = self.events.send((id, Event::AgentLost { end, loss: Loss::Unreachable }));
    }

    /// Ends all conversations and waits for them, a moment.
    pub(super) async fn dismiss(&mut self) {
        let now = Instant::now();
        for (_, live) in &mut self.sessions {
            let ends: Vec<EndId> = live.doors.iter().map(|door| door.name.end).collect();
            for end in ends {
                live.session.handle_input(now, Command::RemoveEnd { end });
            }
            live.see_off();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CLOSE_TIMEOUT, all).await.is_err() {
            tracing::debug!("agents' sockets that do not close are dropped");
        }
    }
}

impl Live {
    /// Moves messages to the sockets, lets them read on, and drops those whose conversation is over.
    pub(super) fn serve(&mut self) {
        let Live { session, doors, .. } = self;
        doors.retain_mut(|door| {
            let end = door.name.end;
            door.write(|| session.poll_agent(end));
            if door.waits && session.agent_wants_more(end) {
                door.read_on();
            }
            !session.agent_is_closed(end)
        });
    }

    /// Lets agents that were removed go with their last words.
    pub(super) fn see_off(&mut self) {
        while let Some((end, last_words)) = self.session.poll_departed() {
            if let Some(at) = self.doors.iter().position(|door| door.name.end == end) {
                self.doors.swap_remove(at).leave(last_words);
            }
        }
    }
}
