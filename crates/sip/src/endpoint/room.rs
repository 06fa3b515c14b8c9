//! Room in the tables: each party's share of the server transactions, and transactions that are kept only to absorb
//! repetitions, which make room for what is new.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use super::Endpoint;
use super::tables::Inviting;
use crate::event::{ClientId, Party, ServerId};
use crate::limits;
use crate::timer::T4;
use crate::transaction::client_invite::State;

/// A table keeps room for so many.
const ROOM_KEPT: usize = 1_024;

impl Endpoint {
    /// Whether there is room for one more server transaction of a party. It may have as much as is left free beside what
    /// all have: alone the half, of two that fill what they may a third each, and a newcomer always finds a place.
    pub(super) fn servers_full(&self, party: Party) -> bool {
        let own = self.shares.get(&party).copied().unwrap_or_default();
        let free = self.limits.servers.saturating_sub(self.servers.len());
        let free_bytes = self.limits.server_bytes.saturating_sub(self.server_bytes);
        own.servers >= free || own.bytes >= free_bytes
    }

    /// Whether an answer to an INVITE of ours may have us send one more request: else one far end, by answers that no
    /// sound one sends, would fill the table that all calls share.
    pub(super) fn may_cause_request(&mut self, invite: ClientId) -> bool {
        let Some(caused) = self.inviting(invite).map(|inviting| std::mem::take(&mut inviting.caused)) else {
            return false;
        };
        let open: Vec<ClientId> = caused.into_iter().filter(|id| self.clients.contains_key(id)).collect();
        let has_room = open.len() < limits::CAUSED_REQUESTS;
        if let Some(inviting) = self.inviting(invite) {
            inviting.caused = open;
        }
        has_room
    }

    /// Notes one that an answer has caused.
    pub(super) fn note_caused(&mut self, invite: ClientId, caused: ClientId) {
        if let Some(inviting) = self.inviting(invite) {
            inviting.caused.push(caused);
        }
    }

    fn inviting(&mut self, invite: ClientId) -> Option<&mut Inviting> {
        self.clients.get_mut(&invite)?.invite.as_deref_mut()
    }

    /// Gives back the room of tables that are nearly empty after a flood.
    pub(super) fn shrink(&mut self) {
        shrink(&mut self.servers);
        shrink(&mut self.server_keys);
        shrink(&mut self.merged);
        shrink(&mut self.clients);
        shrink(&mut self.client_keys);
        shrink(&mut self.dialogs);
        shrink(&mut self.dialog_keys);
    }

    /// Notes that a request has its final answer: what is kept of it only absorbs repetitions.
    pub(super) fn note_answered(&mut self, now: Instant, id: ServerId) {
        while self.answered.front().is_some_and(|(_, first)| !self.servers.contains_key(first)) {
            self.answered.pop_front();
        }
        self.answered.push_back((now, id));
    }

    /// Where a party has no room left, those that were answered longest ago give theirs up, once no message of theirs is
    /// under way any more (T4): new calls matter more than the rest of 64·T1. A 2xx that waits for its ACK stays.
    pub(super) fn make_room(&mut self, now: Instant, party: Party) {
        while self.servers_full(party)
            && let Some((at, id)) = self.answered.front().copied()
            && now.saturating_duration_since(at) >= T4
        {
            self.answered.pop_front();
            let Some(server) = self.servers.get(&id) else { continue };
            let dialog = server.dialog.and_then(|dialog| self.dialogs.get(&dialog));
            if dialog.and_then(|dialog| dialog.unacked.as_ref()).is_some_and(|unacked| unacked.server == id) {
                self.answered.push_back((now, id));
            } else {
                self.remove_server(id);
            }
        }
    }

    /// Notes that an INVITE of ours has its final answer: what is kept of it only acknowledges repetitions.
    pub(super) fn note_settled(&mut self, now: Instant, id: ClientId) {
        while self.settled.front().is_some_and(|(_, first)| !self.clients.contains_key(first)) {
            self.settled.pop_front();
        }
        self.settled.push_back((now, id));
    }

    /// Whether there is no room for one more request of ours, though the oldest INVITEs have given theirs up that were
    /// answered and acknowledged, once no message of theirs is under way any more (T4).
    pub(super) fn clients_full(&mut self, now: Instant) -> bool {
        while self.clients.len() >= self.limits.clients
            && let Some((at, id)) = self.settled.front().copied()
            && now.saturating_duration_since(at) >= T4
        {
            self.settled.pop_front();
            let Some(client) = self.clients.get(&id) else { continue };
            let acknowledged = client.invite.as_deref().is_some_and(|inviting| {
                let refused = client.machine.invite_state() == Some(State::Completed);
                refused || inviting.forks.iter().all(|fork| fork.confirmed && fork.ack.is_some())
            });
            if acknowledged {
                self.remove_client(id);
            } else {
                self.settled.push_back((now, id));
            }
        }
        self.clients.len() >= self.limits.clients
    }
}

/// Where it has room for eight times as many as it holds: looked at whenever a deadline has passed, and done so seldom
/// that it costs nothing.
fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    let wanted = (2 * table.len()).max(ROOM_KEPT);
    if table.capacity() > 4 * wanted {
        table.shrink_to(wanted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_its_room_back() {
        let mut table: HashMap<u32, [u64; 64]> = (0..100_000).map(|n| (n, [0; 64])).collect();
        for n in 0..100_000 {
            table.remove(&n);
            shrink(&mut table);
            assert!(table.capacity() <= (16 * table.len()).max(8 * ROOM_KEPT), "{n}");
        }
    }
}
