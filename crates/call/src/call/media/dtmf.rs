//! Keys between two sides that press them in different ways (`[trunk.NAME] dtmf`): what an INFO says of one, keys that a
//! side is told by INFO, and those that an agent presses. Which keys they are stands in no log and no trace.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trunkgate_media::{Coding, Command, EndId, PartedSpec, PressSpec, TranscodeSpec, WireSpec};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::{KEY_PAUSE, KEYS_AHEAD, KEYS_TO_TELL, PACKET_MS};
use trunkgate_route::Dtmf;
use trunkgate_sdp::OwnEvents;
use trunkgate_sip::{Body, ClientId};

use crate::call::legs::leg::{Leg, LegState};
use crate::call::negotiation::coding::coding;
use crate::call::{Call, State};

/// How long a key is pressed where nobody says it, in milliseconds.
pub(crate) const USUAL_MS: u16 = 100;
/// The longest that an INFO may ask for, in milliseconds.
const MOST_MS: u32 = 10_000;
/// The shortest that ours says, in milliseconds: a press is no shorter (ITU-T Q.24).
const LEAST_MS: u32 = 40;
/// The shortest that a worker presses a tone for, in milliseconds.
const LEAST_TONE_MS: u64 = 80;
/// Comfort noise (RFC 3551 §6), whatever it is numbered beside: that number is its own.
const COMFORT_NOISE: u8 = 13;
/// What our INFO carries.
const RELAY: &str = "application/dtmf-relay";
/// The other form: the key alone.
const PLAIN: &str = "application/dtmf";

/// Keys that go out by INFO, one after the other, so that none overtakes another; and how long those take that INFOs have
/// asked for.
#[derive(Debug, Default)]
pub(crate) struct KeysOut {
    /// Leg, key and milliseconds of each.
    waiting: VecDeque<(LegId, char, u32)>,
    /// The one whose answer is waited for, and its leg.
    now: Option<(ClientId, LegId)>,
    /// When all that were asked for have been pressed.
    pressed: Option<Instant>,
}

/// What an INFO's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// A key, for so many milliseconds.
    Key(char, u16),
    /// Of a type for keys, but none that is known.
    Unreadable,
    /// Something else.
    Other,
}

/// Reads what an INFO carries: `Signal=5` and `Duration=160` in lines, or the key alone.
pub(crate) fn told(body: Option<&Body>) -> Told {
    let Some(body) = body else { return Told::Other };
    let kind = body.content_type.split(';').next().unwrap_or_default().trim();
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    if !is(RELAY) && !is(PLAIN) {
        return Told::Other;
    }
    let Ok(text) = std::str::from_utf8(&body.bytes) else { return Told::Unreadable };
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let key = value("Signal").or_else(|| Some(text.trim()).filter(|_| is(PLAIN))).and_then(key);
    let ms = value("Duration").and_then(|ms| ms.parse::<u32>().ok()).filter(|ms| *ms > 0);
    let ms = ms.map_or(USUAL_MS, |ms| u16::try_from(ms.min(MOST_MS)).unwrap_or(USUAL_MS));
    key.map_or(Told::Unreadable, |key| Told::Key(key, ms))
}

/// A key by its name, or by the number of its event (RFC 4733 §3.2), as some write `*` and those after it.
fn key(text: &str) -> Option<char> {
    let mut all = text.chars();
    match (all.next()?.to_ascii_uppercase(), all.next()) {
        (key @ ('0'..='9' | '*' | '#' | 'A'..='D'), None) => Some(key),
        ('1', Some(second @ '0'..='5')) if all.next().is_none() => {
            let at = second.to_digit(10)?;
            "*#ABCD".chars().nth(usize::try_from(at).ok()?)
        }
        _ => None,
    }
}

/// A wire between sides that press keys in different ways; `own`: what the source has of its own as the offerer's, and the
/// sink as the answerer's.
pub(crate) fn parted(wire: WireSpec, own: &OwnEvents, (from, to): (&Leg, &Leg)) -> WireSpec {
    let mut wire = wire;
    let events: Vec<(u8, u32)> =
        own.offerer.iter().flat_map(|events| events.sends.iter().map(|number| (*number, events.clock))).collect();
    wire.payloads.retain(|(number, _)| !events.iter().any(|(known, _)| known == number));
    wire.clocks.retain(|(number, _)| !events.iter().any(|(known, _)| known == number));
    wire.clocks.extend(&events);
    let tones = from.dtmf() == Dtmf::Inband;
    let shared = own.audio.first().and_then(|(_, theirs)| Some((theirs.number, coding(theirs)?)));
    // A decoder of G.722 has to follow each step of one encoder: tones in its stream come of that which makes the rest.
    let joins = to.dtmf() == Dtmf::Inband && shared.is_some_and(|(_, coding)| coding == Coding::G722);
    if tones || joins {
        // What is to be listened to is converted, into itself.
        let codec_of =
            |number: u8| own.audio.iter().find(|(_, theirs)| theirs.number == number).and_then(|(_, a)| coding(a));
        let from: Vec<(u8, Coding)> =
            wire.payloads.iter().filter_map(|(from, to)| Some((*from, codec_of(*to)?))).collect();
        wire.payloads.retain(|(number, _)| !from.iter().any(|(known, _)| known == number));
        if let Some(to_audio) = shared.filter(|_| !from.is_empty()) {
            let further = wire.transcode.iter().flat_map(|spec| spec.from.iter().copied());
            let from = from.into_iter().chain(further).collect();
            let packet_ms = to.policy().ptime_ms.clamp(*PACKET_MS.start(), *PACKET_MS.end());
            let packet_ms = u8::try_from(packet_ms).unwrap_or_default();
            let noise = wire.payloads.iter().find(|(number, _)| *number == COMFORT_NOISE);
            let noise = noise.map(|(number, as_sink)| (*number, Some(*as_sink)));
            let spec = TranscodeSpec { from, to: to_audio, packet_ms, events: Vec::new(), noise };
            wire.transcode = Some(Box::new(spec));
            wire.payloads.retain(|(number, _)| *number != COMFORT_NOISE);
        }
    }
    let audio = wire.transcode.as_ref().map(|spec| spec.to).or(shared);
    let press = match to.dtmf() {
        Dtmf::Rfc4733 => {
            own.answerer.as_ref().map(|events| PressSpec::Event { payload: events.takes, clock_hz: events.clock })
        }
        Dtmf::Info => None,
        Dtmf::Inband => audio.map(|(payload, coding)| PressSpec::Tone { payload, coding }),
    };
    wire.parted = Some(Box::new(PartedSpec { events, tones, press }));
    wire
}

impl Call {
    /// A leg has pressed a key by INFO that the other side gets in its own way: the code of the answer, and after how many
    /// seconds to try again.
    pub(crate) fn key_told(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        leg: LegId,
        (key, ms): (char, u16),
    ) -> (u16, Option<u64>) {
        let Some(media) = self.media.session else { return (480, None) };
        if self.legs[leg].dtmf() != Dtmf::Info {
            return (415, None);
        }
        let digits = key.to_string();
        let agent = self.legs.other(leg).and_then(|other| self.legs[other].agent.as_ref()).map(|side| side.end);
        if let Some(end) = agent {
            edge.media(media, Command::TellKeys { end, digits });
            return (200, None);
        }
        let mut wires = self.legs[leg].ends.iter().filter_map(|end| self.media.wires.get(end.end));
        let way = wires.find_map(|(to, wire)| Some((*to, wire.parted.as_ref()?.press?)));
        let Some((end, press)) = way else { return (480, None) };
        let out = self.negotiation.keys.get_or_insert_default();
        let begins = out.pressed.map_or(now, |pressed| pressed.max(now));
        let ahead = begins.saturating_duration_since(now);
        if ahead > KEYS_AHEAD {
            // A 503 would keep it from this edge with other calls as well (RFC 3261 §21.5.4); a 500 is of this request alone.
            return (500, Some((ahead - KEYS_AHEAD).as_secs() + 1));
        }
        let lasts = u64::from(ms).next_multiple_of(20).max(LEAST_TONE_MS);
        out.pressed = Some(begins + Duration::from_millis(lasts) + KEY_PAUSE);
        edge.media(media, Command::Press { end, press, digits, ms });
        (200, None)
    }

    /// A far side has pressed a key that is taken out of its media: the other leg is told.
    pub(crate) fn key_pressed(&mut self, now: Instant, edge: &mut Edge, end: EndId, (key, ms): (char, u32)) {
        let other = self.legs.leg_of(end).and_then(|leg| self.legs.other(leg));
        if let Some(other) = other.filter(|other| self.legs[*other].dtmf() == Dtmf::Info) {
            self.tell_keys(now, edge, other, std::iter::once((key, ms)));
        }
    }

    /// Presses keys towards the caller of an agent, in its own way; whether it takes any.
    pub(crate) fn press_for_caller(&mut self, now: Instant, edge: &mut Edge, digits: &str) -> bool {
        match self.legs.near_leg().dtmf() {
            Dtmf::Rfc4733 => {
                let Some((media, end, press)) = self.takes_keys() else { return false };
                edge.media(media, Command::Press { end, press, digits: digits.to_owned(), ms: USUAL_MS });
                true
            }
            Dtmf::Info => {
                let keys = digits.chars().map(|key| (key.to_ascii_uppercase(), u32::from(USUAL_MS)));
                self.tell_keys(now, edge, self.legs.near, keys);
                true
            }
            Dtmf::Inband => {
                let Some((media, (end, spoken))) = self.media.session.zip(self.spoken_end()) else { return false };
                let press = PressSpec::Tone { payload: spoken.audio, coding: spoken.coding };
                edge.media(media, Command::Press { end, press, digits: digits.to_owned(), ms: USUAL_MS });
                true
            }
        }
    }

    /// Tells a leg of keys by INFO, behind those that wait.
    fn tell_keys(&mut self, now: Instant, edge: &mut Edge, leg: LegId, keys: impl Iterator<Item = (char, u32)>) {
        if matches!(self.state, State::Ended | State::Leaving) {
            return;
        }
        let out = self.negotiation.keys.get_or_insert_default();
        let before = out.waiting.len();
        let mut left_out = 0;
        for (at, (key, ms)) in keys.enumerate() {
            if before + at < KEYS_TO_TELL {
                // Of one whose first packet alone has come, nobody knows how long it was.
                let ms = if ms == 0 { USUAL_MS.into() } else { ms.max(LEAST_MS) };
                out.waiting.push_back((leg, key, ms));
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            edge.decide(
                now,
                self.key,
                format!("{left_out} DTMF digits dropped: too many are waiting for the response to an INFO"),
            );
        }
        self.tell_next_key(now, edge);
    }

    /// The pause after the last key is over.
    pub(crate) fn key_due(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Key);
        self.tell_next_key(now, edge);
    }

    fn tell_next_key(&mut self, now: Instant, edge: &mut Edge) {
        while !self.deadlines.contains(Timer::Key)
            && let Some((leg, key, ms)) = self
                .negotiation
                .keys
                .as_mut()
                .filter(|keys| keys.now.is_none())
                .and_then(|keys| keys.waiting.pop_front())
        {
            let Some(dialog) = self.legs[leg].dialog.filter(|_| self.legs[leg].state == LegState::Answered) else {
                continue;
            };
            let text = format!("Signal={key}\r\nDuration={ms}\r\n");
            let body = Body { content_type: RELAY.to_owned(), bytes: Bytes::from(text) };
            let client = edge.request(now, self.legs.place(leg), dialog, Purpose::Info, Vec::new(), Some(body));
            if let Some(keys) = &mut self.negotiation.keys {
                keys.now = client.map(|client| (client, leg));
            }
            if client.is_some() {
                // A long one has been held down for so long already.
                let lasts = Duration::from_millis(ms.min(USUAL_MS.into()).into());
                self.arm(now, edge, Timer::Key, lasts + KEY_PAUSE);
            }
        }
        let is_pressing = |keys: &KeysOut| keys.pressed.is_some_and(|pressed| pressed > now);
        self.negotiation.keys.take_if(|keys| keys.now.is_none() && keys.waiting.is_empty() && !is_pressing(keys));
    }

    /// A leg has answered an INFO of ours with a key in it, or does not (408); whether it was one.
    pub(crate) fn key_answered(&mut self, now: Instant, edge: &mut Edge, client: ClientId, code: u16) -> bool {
        let sent = self.negotiation.keys.as_mut().and_then(|keys| keys.now.take_if(|(now, _)| *now == client));
        let Some((_, leg)) = sent else { return false };
        if code >= 300 {
            let text = format!("{} rejects DTMF by INFO ({code})", self.legs.name_of(leg));
            edge.decide(now, self.key, text);
        }
        self.tell_next_key(now, edge);
        true
    }

    /// The call is over: what is left of its keys is nobody's.
    pub(crate) fn forget_keys(&mut self, edge: &mut Edge) {
        self.disarm(edge, Timer::Key);
        if let Some((client, _)) = self.negotiation.keys.take().and_then(|keys| keys.now) {
            edge.index.clients.remove(&client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_info_says_of_a_key() {
        let read = |kind: &str, text: &str| {
            told(Some(&Body { content_type: kind.to_owned(), bytes: Bytes::copy_from_slice(text.as_bytes()) }))
        };
        for (text, key, ms) in [
            ("Signal=5\r\nDuration=160\r\n", '5', 160),
            ("Signal= 5\r\nDuration= 250\r\n", '5', 250),
            ("signal=*\nduration=40", '*', 40),
            ("Signal=10\r\nDuration=100\r\n", '*', 100),
            ("Signal=11\r\n", '#', 100),
            ("Signal=15\r\n", 'D', 100),
            ("Signal=d\r\nDuration=x\r\n", 'D', 100),
            ("Duration=0\r\nSignal=1\r\n", '1', 100),
            ("Signal=1\r\nDuration=4000000000\r\n", '1', 10_000),
        ] {
            assert_eq!(read("application/dtmf-relay", text), Told::Key(key, ms), "{text}");
        }
        assert_eq!(read("Application/DTMF; charset=utf-8", "7\r\n"), Told::Key('7', 100));
        assert_eq!(read("application/dtmf", "Signal=8\r\nDuration=90\r\n"), Told::Key('8', 90));
        for (kind, text) in [
            ("application/dtmf-relay", "5"),
            ("application/dtmf-relay", "Signal=16\r\n"),
            ("application/dtmf-relay", "Signal=55\r\n"),
            ("application/dtmf-relay", "Signal=\r\n"),
            ("application/dtmf", ""),
            ("application/dtmf", "flash"),
            ("application/dtmf", "100"),
        ] {
            assert_eq!(read(kind, text), Told::Unreadable, "{text}");
        }
        assert_eq!(read("application/media_control+xml", "5"), Told::Other);
        assert_eq!(told(None), Told::Other);
    }
}
