//! Listeners to the caller's side of a call: ends of its media session that hear the caller and belong to no leg.
//!
//! A part that listens to the caller adds its end here, and removes it when it has finished. The call's media
//! reconnects all of them whenever the caller's side is wired differently, and does not depend on those parts.

use trunkgate_media::agent::TrackSet;
use trunkgate_media::{EndId, MediaCommand, TapSpec};
use trunkgate_story::few::SmallMap;

/// The listeners of a call, by their ends.
#[derive(Debug, Default)]
pub(crate) struct CallerListeners {
    /// Listeners by their ends; boxed, as few calls have any.
    ends: Option<Box<SmallMap<EndId, CallerListener>>>,
}

/// Listener of a caller's audio.
#[derive(Debug)]
struct CallerListener {
    tracks: TrackSet,
    /// Media end of the caller to which it listens, with the payload types.
    hears: Option<(EndId, TapSpec)>,
}

impl CallerListeners {
    /// Adds an end that listens to these tracks, from the next [`CallerListeners::follow`] on.
    pub(crate) fn add(&mut self, end: EndId, tracks: TrackSet) {
        self.ends.get_or_insert_default().insert(end, CallerListener { tracks, hears: None });
    }

    /// Removes an end.
    pub(crate) fn remove(&mut self, end: EndId) {
        self.ends.iter_mut().for_each(|ends| drop(ends.remove(end)));
        self.ends.take_if(|ends| ends.is_empty());
    }

    /// Returns whether there are no listeners.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Sets the caller's side, as wired now, as the source of all listeners. Returns a command for each listener that
    /// had another source, or none.
    pub(crate) fn follow(&mut self, heard: &(EndId, TapSpec)) -> Vec<MediaCommand> {
        self.ends
            .iter_mut()
            .flat_map(|ends| ends.iter_mut())
            .filter_map(|(end, listener)| listener.follow(end, heard))
            .collect()
    }
}

impl CallerListener {
    fn follow(&mut self, listener: EndId, (of, audio): &(EndId, TapSpec)) -> Option<MediaCommand> {
        let audio = match self.tracks {
            TrackSet::Inbound => TapSpec { outbound: Vec::new(), ..audio.clone() },
            TrackSet::Outbound => TapSpec { inbound: Vec::new(), ..audio.clone() },
            TrackSet::Both => audio.clone(),
        };
        let heard = (*of, audio);
        (self.hears.as_ref() != Some(&heard)).then(|| {
            self.hears = Some(heard.clone());
            MediaCommand::Tap { of: heard.0, listener, audio: heard.1 }
        })
    }
}

#[cfg(test)]
mod tests {
    use trunkgate_media::PayloadCodec;

    use super::*;

    fn tapped(command: MediaCommand) -> (EndId, EndId, TapSpec) {
        let MediaCommand::Tap { of, listener, audio } = command else { panic!("{command:?} is not a tap") };
        (of, listener, audio)
    }

    #[test]
    fn each_listener_hears_its_tracks_once_until_the_caller_is_wired_differently() {
        let mut listeners = CallerListeners::default();
        listeners.add(EndId(7), TrackSet::Inbound);
        listeners.add(EndId(5), TrackSet::Both);
        let heard = (EndId(1), TapSpec::both(0, PayloadCodec::Pcmu));
        let spoken = TapSpec { outbound: Vec::new(), ..heard.1.clone() };
        let taps: Vec<_> = listeners.follow(&heard).into_iter().map(tapped).collect();
        assert_eq!(taps, [(EndId(1), EndId(5), heard.1.clone()), (EndId(1), EndId(7), spoken)]);
        assert!(listeners.follow(&heard).is_empty());
        listeners.remove(EndId(7));
        assert_eq!(listeners.follow(&(EndId(2), heard.1.clone())).len(), 1);
        listeners.remove(EndId(5));
        assert!(listeners.is_empty());
    }
}
