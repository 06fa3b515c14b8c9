//! Players of a session: routes sounds, wires and frames to the right player.

use crate::spec::{EndId, PlayerSound};

use super::feed::Feed;
use super::frame::{PlayoutFrame, SILENT};
use super::player::Player;

/// All players of a session.
#[derive(Debug, Default)]
pub(crate) struct SessionPlayers {
    all: Vec<Player>,
    /// Positions in samples at which another process left the players, by the end that they fed.
    left: Vec<(EndId, u64)>,
}

/// Frame that a player plays in one tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlayedFrame {
    /// Id of the player.
    pub(crate) by: EndId,
    /// Audio of the frame.
    pub(crate) frame: PlayoutFrame,
    /// Whether the sound of the player ends with this frame.
    pub(crate) is_last: bool,
}

impl SessionPlayers {
    /// Adds a player at the beginning of its sound.
    pub(crate) fn add(&mut self, id: EndId, sound: PlayerSound) {
        self.all.push(Player::new(id, sound));
    }

    /// Removes a player from the session.
    pub(crate) fn remove(&mut self, id: EndId) {
        self.all.retain(|player| player.id != id);
    }

    /// Replaces the sound of a player and plays it from its beginning.
    pub(crate) fn play(&mut self, id: EndId, sound: PlayerSound) {
        if let Some(player) = self.all.iter_mut().find(|player| player.id == id) {
            player.play_instead(sound);
        }
    }

    /// Lists the positions of the players' sounds in samples, each with the end that the player feeds.
    pub(crate) fn positions(&self) -> Vec<(EndId, u64)> {
        let position = |player: &Player| Some((player.wire?.to, u64::try_from(player.position()?).ok()?));
        self.all.iter().filter_map(position).collect()
    }

    /// Sets the positions at which another process left the players.
    pub(crate) fn leave_at(&mut self, positions: Vec<(EndId, u64)>) {
        self.left = positions;
    }

    /// Plays a sound from the position at which another process left the player of the same end.
    pub(crate) fn resume(&mut self, id: EndId, sound: PlayerSound) {
        let Some(player) = self.all.iter_mut().find(|player| player.id == id) else { return };
        player.play_instead(sound);
        let is_its = |(end, _): &(EndId, u64)| player.wire.is_some_and(|feed| feed.to == *end);
        if let Some(at) = self.left.iter().position(is_its) {
            let (_, position) = self.left.swap_remove(at);
            player.move_to(usize::try_from(position).unwrap_or(usize::MAX));
        }
    }

    /// Returns whether a player has nothing to play.
    pub(crate) fn is_silent(&self, id: EndId) -> bool {
        self.all.iter().any(|player| player.id == id && player.is_silent())
    }

    /// Returns whether a player with this id exists.
    pub(crate) fn has(&self, id: EndId) -> bool {
        self.all.iter().any(|player| player.id == id)
    }

    /// Iterates over the ids of the players.
    pub(crate) fn names(&self) -> impl Iterator<Item = EndId> {
        self.all.iter().map(|player| player.id)
    }

    /// Returns whether a player feeds an end.
    pub(crate) fn feeds(&self, id: EndId, to: EndId) -> bool {
        self.all.iter().any(|player| player.id == id && player.wire.is_some_and(|feed| feed.to == to))
    }

    /// Makes a player feed the end `feed.to`; returns false for an unknown player.
    pub(crate) fn connect(&mut self, id: EndId, feed: Feed) -> bool {
        let player = self.all.iter_mut().find(|player| player.id == id);
        player.map(|player| player.wire = Some(feed)).is_some()
    }

    /// Disconnects each player from the end that it feeds if `cut(player, end)` is true.
    pub(crate) fn disconnect(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for player in &mut self.all {
            if player.wire.is_some_and(|feed| cut(player.id, feed.to)) {
                player.wire = None;
            }
        }
    }

    /// Plays the next 20 ms of the player that feeds the end `to`; `None` without such a player.
    pub(crate) fn next_frame(&mut self, to: EndId) -> Option<PlayedFrame> {
        let player = self.all.iter_mut().find(|player| player.wire.is_some_and(|feed| feed.to == to))?;
        let mut frame = SILENT;
        let is_last = player.next_frame(&mut frame);
        Some(PlayedFrame { by: player.id, frame: PlayoutFrame::Ulaw(frame), is_last })
    }

    /// Plays the next 20 ms of the player that feeds the end `to`, to fade them out, if `cut(player)` is true.
    pub(crate) fn cut_off(&mut self, to: EndId, cut: impl Fn(EndId) -> bool) -> Option<PlayoutFrame> {
        let is_cut = |player: &Player| player.wire.is_some_and(|feed| feed.to == to) && cut(player.id);
        let player = self.all.iter_mut().find(|player| is_cut(player))?;
        let mut next = SILENT;
        player.next_frame(&mut next);
        Some(PlayoutFrame::Ulaw(next))
    }
}
