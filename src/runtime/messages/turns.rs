//! Turns of messages to the edge: those of one sender to one number come one after the other, and no host takes all places.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::limits::{MESSAGE_WEBHOOKS, MESSAGE_WEBHOOKS_OF_HOST};

/// Messages whose webhooks are to be requested or are under way, by their places in the store.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lines: HashMap<Arc<str>, Line>,
    hosts: HashMap<Arc<str>, Host>,
    /// Hosts that have messages to be passed on and room for them, in turn.
    turns: VecDeque<Arc<str>>,
    under_way: HashMap<i64, Arc<str>>,
}

/// Messages of one sender to one number; the first is ready or under way.
#[derive(Debug)]
struct Line {
    host: Arc<str>,
    messages: VecDeque<i64>,
}

/// Host that webhooks lead to.
#[derive(Debug, Default)]
struct Host {
    /// Lines whose first message may be passed on.
    ready: VecDeque<Arc<str>>,
    under_way: usize,
    has_turn: bool,
}

impl Turns {
    /// Adds a message behind those of its line; `host`: where the webhook of a new line leads.
    pub(super) fn enter(&mut self, id: i64, line: &str, host: String) {
        if let Some(line) = self.lines.get_mut(line) {
            return line.messages.push_back(id);
        }
        let (line, host): (Arc<str>, Arc<str>) = (line.into(), host.into());
        self.lines.insert(Arc::clone(&line), Line { host: Arc::clone(&host), messages: [id].into() });
        self.hosts.entry(Arc::clone(&host)).or_default().ready.push_back(line);
        self.give_turn(&host);
    }

    /// Returns the next message to be passed on, which is under way from now on.
    pub(super) fn next(&mut self) -> Option<i64> {
        while self.under_way.len() < MESSAGE_WEBHOOKS {
            let name = self.turns.pop_front()?;
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.has_turn = false;
            let Some(line) = host.ready.pop_front() else { continue };
            host.under_way += 1;
            self.give_turn(&name);
            if let Some(id) = self.lines.get(&line).and_then(|line| line.messages.front().copied()) {
                self.under_way.insert(id, line);
                return Some(id);
            }
        }
        None
    }

    /// A message that was under way is done with.
    pub(super) fn done(&mut self, id: i64) {
        let Some(name) = self.under_way.remove(&id) else { return };
        let Some(line) = self.lines.get_mut(&name) else { return };
        let host_name = Arc::clone(&line.host);
        line.messages.pop_front();
        let is_over = line.messages.is_empty();
        if is_over {
            self.lines.remove(&name);
        }
        let Some(host) = self.hosts.get_mut(&host_name) else { return };
        host.under_way -= 1;
        if !is_over {
            host.ready.push_back(name);
        }
        if host.ready.is_empty() && host.under_way == 0 {
            self.hosts.remove(&host_name);
        } else {
            self.give_turn(&host_name);
        }
    }

    fn give_turn(&mut self, name: &Arc<str>) {
        let has_room = |host: &Host| !host.ready.is_empty() && host.under_way < MESSAGE_WEBHOOKS_OF_HOST;
        if let Some(host) = self.hosts.get_mut(name).filter(|host| !host.has_turn && has_room(host)) {
            host.has_turn = true;
            self.turns.push_back(Arc::clone(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(turns: &mut Turns) -> Vec<i64> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn a_host_that_hangs_leaves_places_to_others() {
        let mut turns = Turns::default();
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
        assert!(turns.lines.is_empty() && turns.hosts.is_empty() && turns.under_way.is_empty(), "{turns:?}");
    }

    #[test]
    fn places_are_bounded() {
        let mut turns = Turns::default();
        (0..500).for_each(|id| turns.enter(id, &id.to_string(), format!("h:{id}")));
        assert_eq!(all(&mut turns).len(), MESSAGE_WEBHOOKS);
        turns.done(3);
        assert_eq!(all(&mut turns).len(), 1);
    }
}
