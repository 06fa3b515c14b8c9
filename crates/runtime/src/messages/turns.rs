//! Order of webhook requests for received messages: one at a time and in order for each sender and number, with fair
//! turns between hosts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use trunkgate_system::limits::{MESSAGE_WEBHOOKS, MESSAGE_WEBHOOKS_OF_HOST};
use trunkgate_system::turns::Turns;

/// Received messages with a pending or active webhook request, by store id.
#[derive(Debug)]
pub(super) struct MessageTurns {
    lines: HashMap<Arc<str>, Line>,
    /// Lines with a first message that may be requested.
    turns: Turns<Arc<str>>,
    under_way: HashMap<i64, Arc<str>>,
}

/// Messages of one sender to one number; the first one is ready or under way.
#[derive(Debug)]
struct Line {
    /// Host of the webhook.
    host: Arc<str>,
    messages: VecDeque<i64>,
}

impl MessageTurns {
    /// Makes turns without messages.
    pub(super) fn new() -> MessageTurns {
        MessageTurns { lines: HashMap::new(), turns: Turns::new(MESSAGE_WEBHOOKS), under_way: HashMap::new() }
    }

    /// Adds a message at the end of its line; `host` is the webhook host of a new line.
    pub(super) fn enter(&mut self, id: i64, line: &str, host: String) {
        if let Some(line) = self.lines.get_mut(line) {
            return line.messages.push_back(id);
        }
        let (line, host): (Arc<str>, Arc<str>) = (line.into(), host.into());
        self.turns.put(&host, MESSAGE_WEBHOOKS_OF_HOST, &(Arc::clone(&line), false), Arc::clone(&line));
        self.lines.insert(line, Line { host, messages: [id].into() });
    }

    /// Returns the next message to be requested and marks it as under way.
    pub(super) fn next(&mut self) -> Option<i64> {
        let line = self.turns.next_turn()?;
        let id = self.lines.get(&line).and_then(|line| line.messages.front().copied())?;
        self.under_way.insert(id, line);
        Some(id)
    }

    /// Completes a message that was under way.
    pub(super) fn done(&mut self, id: i64) {
        let Some(name) = self.under_way.remove(&id) else { return };
        let Some(line) = self.lines.get_mut(&name) else { return };
        let host = Arc::clone(&line.host);
        line.messages.pop_front();
        if line.messages.is_empty() {
            self.lines.remove(&name);
        } else {
            self.turns.put(&host, MESSAGE_WEBHOOKS_OF_HOST, &(Arc::clone(&name), false), name);
        }
        self.turns.over(&host, MESSAGE_WEBHOOKS_OF_HOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(turns: &mut MessageTurns) -> Vec<i64> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn a_host_that_hangs_leaves_places_to_others() {
        let mut turns = MessageTurns::new();
        let most = i64::try_from(MESSAGE_WEBHOOKS_OF_HOST).unwrap();
        (0..1000).for_each(|id| turns.enter(id, &format!("{id} hung"), "hung:1".to_owned()));
        assert_eq!(all(&mut turns), (0..most).collect::<Vec<_>>());
        turns.enter(1000, "a good", "good:1".to_owned());
        turns.enter(1001, "a good", "good:1".to_owned());
        assert_eq!(all(&mut turns), [1000]);
        turns.done(1000);
        assert_eq!(all(&mut turns), [1001], "one after the other");
        turns.done(1001);
        turns.done(0);
        assert_eq!(all(&mut turns), [most]);
        for id in 1..1000 {
            turns.done(id);
            all(&mut turns);
        }
        assert!(turns.lines.is_empty() && turns.turns.is_empty() && turns.under_way.is_empty(), "{turns:?}");
    }
}
