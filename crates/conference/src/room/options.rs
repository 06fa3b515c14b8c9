//! Settings of a party in a conference, as in `<Conference>` and the Participants resource.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::PARTIES;

use super::callback::CallbackEvent;

/// Beeps for a party that joins or leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BeepPolicy {
    /// A beep is played on entry and on exit (`true`).
    #[default]
    Both,
    /// No beep is played (`false`).
    Never,
    /// A beep is played on entry (`onEnter`).
    OnEnter,
    /// A beep is played on exit (`onExit`).
    OnExit,
}

impl BeepPolicy {
    /// Parses the value of `beep`; `None` if it is unknown.
    pub fn parse(text: &str) -> Option<BeepPolicy> {
        Some(match text {
            "true" => BeepPolicy::Both,
            "false" => BeepPolicy::Never,
            "onEnter" => BeepPolicy::OnEnter,
            "onExit" => BeepPolicy::OnExit,
            _ => return None,
        })
    }

    /// Returns whether a beep is played on entry.
    pub(crate) fn on_enter(self) -> bool {
        matches!(self, BeepPolicy::Both | BeepPolicy::OnEnter)
    }

    /// Returns whether a beep is played on exit.
    pub(crate) fn on_exit(self) -> bool {
        matches!(self, BeepPolicy::Both | BeepPolicy::OnExit)
    }

    /// Returns the setting with the exit beep turned on or off.
    pub(super) fn with_exit(self, on_exit: bool) -> BeepPolicy {
        match (self.on_enter(), on_exit) {
            (true, true) => BeepPolicy::Both,
            (true, false) => BeepPolicy::OnEnter,
            (false, true) => BeepPolicy::OnExit,
            (false, false) => BeepPolicy::Never,
        }
    }
}

/// HTTP method of a conference callback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CallbackMethod {
    /// Fields are sent in the query of a GET.
    Get,
    /// Fields are sent as the form of a POST.
    #[default]
    Post,
}

/// Audio for a party that waits or is on hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitMusic {
    /// Built-in hold music of the edge.
    #[default]
    BuiltIn,
    /// Silence instead of music (`waitUrl=""`).
    Silence,
    /// Audio file or TwiML document.
    Url {
        /// URL of the file or document.
        url: String,
        /// HTTP method of the request for the document.
        method: CallbackMethod,
    },
}

/// Set of event groups in `statusCallbackEvent`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSet(u16);

/// Words of `statusCallbackEvent`, indexed by bit.
const WORDS: [&str; 9] = ["start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"];

impl EventSet {
    /// Parses words separated by spaces; the error is the first unknown word.
    pub fn parse(text: &str) -> Result<EventSet, &str> {
        text.split_ascii_whitespace().try_fold(EventSet::default(), |set, word| {
            let place = WORDS.iter().position(|known| *known == word).ok_or(word)?;
            Ok(EventSet(set.0 | 1 << place))
        })
    }

    /// Returns whether a callback is wanted for an event.
    pub fn contains(self, occasion: CallbackEvent) -> bool {
        let place = WORDS.iter().position(|known| *known == occasion.word());
        place.is_some_and(|place| self.0 & 1 << place != 0)
    }
}

/// Destination and events of a conference's callbacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceCallbacks {
    /// URL to which callbacks are sent.
    pub url: String,
    /// HTTP method of the callbacks.
    pub method: CallbackMethod,
    /// Events that are reported.
    pub events: EventSet,
}

/// Party that wants to join, with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// SID of the party's call.
    pub call_sid: String,
    /// Label of the party, unique in the conference (`participantLabel`).
    pub label: Option<String>,
    /// Whether the party is muted (`muted`).
    pub is_muted: bool,
    /// Beeps played when the party arrives or leaves (`beep`).
    pub beep: BeepPolicy,
    /// Whether the conference may start with the party (`startConferenceOnEnter`).
    pub starts: bool,
    /// Whether the conference ends when the party leaves (`endConferenceOnExit`).
    pub ends: bool,
    /// Audio for the party before the start (`waitUrl`).
    pub wait: WaitMusic,
    /// Maximum parties of the conference (`maxParticipants`).
    pub max_participants: usize,
    /// SID of the call that the party coaches and that alone hears the party (`coach`).
    pub coached: Option<String>,
    /// Whether the conference is recorded (`record="record-from-start"`).
    pub is_recorded: bool,
    /// Whether silence at both ends of the recording is trimmed (`trim`).
    pub is_trimmed: bool,
    /// Callbacks (`statusCallback`); those of the first party apply to the conference.
    pub callbacks: Option<ConferenceCallbacks>,
    /// Whether the star key makes the party leave (`hangupOnStar` of `<Dial>`).
    pub leaves_on_star: bool,
    /// Time after which the party leaves (`timeLimit` of `<Dial>`).
    pub time_limit: Option<Duration>,
    /// Whether the party is a voice agent; agents do not keep a conference alive after the last other party has left.
    pub is_agent: bool,
    /// Whether the party is a line to another conference. A conference ends if only lines and agents are left, and
    /// lines receive silence instead of music, which the other conference would hear.
    pub is_line: bool,
    /// Whether the party's trunk uses less than its share of the edge's places; if so, it may take a reserved one.
    pub is_below_share: bool,
}

impl JoinRequest {
    /// Creates a party with the defaults of `<Conference>`.
    pub fn new(call_sid: &str) -> JoinRequest {
        JoinRequest {
            call_sid: call_sid.to_owned(),
            label: None,
            is_muted: false,
            beep: BeepPolicy::default(),
            starts: true,
            ends: false,
            wait: WaitMusic::default(),
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

/// Change of a party's settings, as in the Participants resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// The party is muted (true) or unmuted.
    Muted(bool),
    /// Puts the party on hold with this music; `None` resumes it.
    Hold(Option<WaitMusic>),
    /// Sets the call that the party coaches, or none.
    Coached(Option<String>),
    /// Sets whether a beep is played on exit.
    BeepOnExit(bool),
    /// Sets whether the conference ends when the party leaves.
    Ends(bool),
    /// Sets the audio for the party before the start.
    Wait(WaitMusic),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beeps_are_parsed_as_written() {
        let parsed = ["true", "false", "onEnter", "onExit", "onenter", ""].map(BeepPolicy::parse);
        let known = [BeepPolicy::Both, BeepPolicy::Never, BeepPolicy::OnEnter, BeepPolicy::OnExit].map(Some);
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
        assert!(CallbackEvent::ALL.iter().all(|occasion| all.contains(*occasion)));
        let some = EventSet::parse("  join\tmute ").unwrap();
        let reported: Vec<&str> = CallbackEvent::ALL
            .iter()
            .filter(|occasion| some.contains(**occasion))
            .map(|occasion| occasion.name())
            .collect();
        assert_eq!(reported, ["participant-join", "participant-mute", "participant-unmute"]);
        assert_eq!(EventSet::parse("start joins end"), Err("joins"));
        assert!(!EventSet::parse("").unwrap().contains(CallbackEvent::ConferenceStart));
    }
}
