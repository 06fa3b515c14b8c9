//! Settings that a party brings to a conference, as `<Conference>` and the Participants resource have them.

use std::time::Duration;

use crate::limits::PARTIES;

use super::callback::Occasion;

/// Beeps of one party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Beep {
    /// When it enters and leaves (`true`).
    #[default]
    Both,
    /// Never (`false`).
    Never,
    /// When it enters (`onEnter`).
    OnEnter,
    /// When it leaves (`onExit`).
    OnExit,
}

impl Beep {
    /// Parses the value of `beep`.
    pub fn parse(text: &str) -> Option<Beep> {
        Some(match text {
            "true" => Beep::Both,
            "false" => Beep::Never,
            "onEnter" => Beep::OnEnter,
            "onExit" => Beep::OnExit,
            _ => return None,
        })
    }

    /// Whether it beeps when it enters.
    pub(crate) fn on_enter(self) -> bool {
        matches!(self, Beep::Both | Beep::OnEnter)
    }

    /// Whether it beeps when it leaves.
    pub(crate) fn on_exit(self) -> bool {
        matches!(self, Beep::Both | Beep::OnExit)
    }

    /// Returns it with another end.
    pub(super) fn with_exit(self, on_exit: bool) -> Beep {
        match (self.on_enter(), on_exit) {
            (true, true) => Beep::Both,
            (true, false) => Beep::OnEnter,
            (false, true) => Beep::OnExit,
            (false, false) => Beep::Never,
        }
    }
}

/// HTTP method of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    #[default]
    Post,
}

/// Audio for a party that waits or is on hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Music {
    /// The edge's own music.
    #[default]
    BuiltIn,
    /// Nothing (`waitUrl=""`).
    Silence,
    /// An audio file or a document of TwiML.
    Url {
        /// Its URL.
        url: String,
        /// Method by which it is fetched.
        method: Method,
    },
}

/// Kinds of events in `statusCallbackEvent`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventSet(u16);

/// Words of `statusCallbackEvent`; the place of each is its bit.
const WORDS: [&str; 9] = ["start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"];

impl EventSet {
    /// Parses words with spaces between them; the error is a word that is none.
    pub fn parse(text: &str) -> Result<EventSet, &str> {
        text.split_ascii_whitespace().try_fold(EventSet::default(), |set, word| {
            let place = WORDS.iter().position(|known| *known == word).ok_or(word)?;
            Ok(EventSet(set.0 | 1 << place))
        })
    }

    /// Whether a callback is wanted on an occasion.
    pub fn contains(self, occasion: Occasion) -> bool {
        let place = WORDS.iter().position(|known| *known == occasion.word());
        place.is_some_and(|place| self.0 & 1 << place != 0)
    }
}

/// Callbacks of a conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callbacks {
    /// URL that is requested.
    pub url: String,
    /// Method of the requests.
    pub method: Method,
    /// Events that are reported.
    pub events: EventSet,
}

/// A party that wants to join, with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// SID of its call.
    pub call_sid: String,
    /// Label, unique in the conference (`participantLabel`).
    pub label: Option<String>,
    /// Whether it is heard by nobody (`muted`).
    pub is_muted: bool,
    /// Beeps for it (`beep`).
    pub beep: Beep,
    /// Whether the conference may start with it (`startConferenceOnEnter`).
    pub starts: bool,
    /// Whether the conference ends when it leaves (`endConferenceOnExit`).
    pub ends: bool,
    /// What it hears before the start (`waitUrl`).
    pub wait: Music,
    /// Most parties of the conference (`maxParticipants`).
    pub max_participants: usize,
    /// SID of the call that it coaches, the only one that hears it (`coach`).
    pub coached: Option<String>,
    /// Whether the conference is recorded (`record="record-from-start"`).
    pub is_recorded: bool,
    /// Whether silence at the ends of the recording is cut (`trim`).
    pub is_trimmed: bool,
    /// Callbacks; those of the first party are the conference's (`statusCallback`).
    pub callbacks: Option<Callbacks>,
    /// Whether it leaves by the star key (`hangupOnStar` of `<Dial>`).
    pub leaves_on_star: bool,
    /// Time after which it leaves (`timeLimit` of `<Dial>`).
    pub time_limit: Option<Duration>,
    /// Whether it is a voice agent: agents do not go on with a conference that the last other party has left.
    pub is_agent: bool,
    /// Whether it is a line to another conference: lines do not go on with a conference that the last other party has left either, and hear
    /// silence in the place of music, which the other conference would hear.
    pub is_line: bool,
    /// Whether its trunk has less than its share of the places of the edge: some are reserved for such.
    pub is_below_share: bool,
}

impl Joining {
    /// Creates one with the defaults of `<Conference>`.
    pub fn new(call_sid: &str) -> Joining {
        Joining {
            call_sid: call_sid.to_owned(),
            label: None,
            is_muted: false,
            beep: Beep::default(),
            starts: true,
            ends: false,
            wait: Music::default(),
            max_participants: PARTIES,
            coached: None,
            is_recorded: false,
            is_trimmed: true,
            callbacks: None,
            leaves_on_star: false,
            time_limit: None,
            is_agent: false,
            is_line: false,
            is_below_share: false,
        }
    }
}

/// A change of a party, as the Participants resource has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Mutes or unmutes it.
    Muted(bool),
    /// Puts it on hold with this music, or takes it back.
    Hold(Option<Music>),
    /// Lets it coach this call, or none.
    Coached(Option<String>),
    /// Sets whether a beep is played when it leaves.
    BeepOnExit(bool),
    /// Sets whether the conference ends when it leaves.
    Ends(bool),
    /// Sets what it hears before the start.
    Wait(Music),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beeps_are_parsed_as_written() {
        let parsed = ["true", "false", "onEnter", "onExit", "onenter", ""].map(Beep::parse);
        let known = [Beep::Both, Beep::Never, Beep::OnEnter, Beep::OnExit].map(Some);
        assert_eq!((&parsed[..4], &parsed[4..]), (&known[..], &[None, None][..]));
        for beep in known.into_iter().flatten() {
            for on_exit in [false, true] {
                let changed = beep.with_exit(on_exit);
                assert_eq!((changed.on_enter(), changed.on_exit()), (beep.on_enter(), on_exit));
            }
        }
    }

    #[test]
    fn events_are_those_of_their_words() {
        let all = EventSet::parse("start end join leave mute hold modify speaker announcement").unwrap();
        assert!(Occasion::ALL.iter().all(|occasion| all.contains(*occasion)));
        let some = EventSet::parse("  join\tmute ").unwrap();
        let reported: Vec<&str> =
            Occasion::ALL.iter().filter(|occasion| some.contains(**occasion)).map(|occasion| occasion.name()).collect();
        assert_eq!(reported, ["participant-join", "participant-mute", "participant-unmute"]);
        assert_eq!(EventSet::parse("start joins end"), Err("joins"));
        assert!(!EventSet::parse("").unwrap().contains(Occasion::ConferenceStart));
    }
}
