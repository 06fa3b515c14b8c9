//! Packets that the edge itself makes for an end: the stream of an agent or a player, digits, reports and keep-alive
//! packets.

use crate::counters::DropReason;
use crate::dtmf::{Completed, Injected, Injector, PressSpec};
use crate::playout::{Frame, Players, SILENT};
use crate::rtp::{PacketBuf, Rtp};
use crate::spec::{EndId, Event};

use super::cx::Cx;
use super::end::{Digits, End, Feeder, Spoken};
use super::ends::{Ends, Slot};
use super::transmit::Transmit;

/// A tick of an end's own stream that is over.
enum Ticked {
    /// A packet leaves.
    Sent(Transmit),
    /// Nothing is to be heard, or the remote party is not to hear it.
    Unsent,
}

impl Ends {
    /// Makes the next packet that is due at any end.
    pub(super) fn produce(
        &mut self,
        cx: &mut Cx<'_>,
        players: &mut Players,
        packet: &mut PacketBuf,
    ) -> Option<Transmit> {
        for at in self.slots() {
            while let Some(ticked) = self.speak(cx, players, at, packet) {
                if let Ticked::Sent(transmit) = ticked {
                    return Some(transmit);
                }
            }
            let due = self.inject(cx, at, packet).or_else(|| self.report(cx, at, packet));
            if let Some(transmit) = due.or_else(|| self.keep_alive(cx, at, packet)) {
                return Some(transmit);
            }
        }
        None
    }

    /// Takes one tick of an end's own stream, if it is due.
    fn speak(&mut self, cx: &mut Cx<'_>, players: &mut Players, at: Slot, packet: &mut PacketBuf) -> Option<Ticked> {
        let end = self.get_mut(at)?;
        let (id, is_withheld) = (end.id(), end.is_withheld());
        let playout = end.playout_mut()?;
        if is_withheld {
            // The audio waits, with its marks and digits: none of it is lost while the remote party's ACK is on its way.
            playout.pass_over(cx.now)?;
            self.count_dropped(cx.shared, at, DropReason::Withheld);
            return Some(Ticked::Unsent);
        }
        let tick = playout.take(cx.now)?;
        let sends_digit = playout.sends_digit();
        let (mut frame, mut feeder, mut speaks) = (Frame::Ulaw(SILENT), None, false);
        if !sends_digit {
            if let Some(agent) = cx.agents.feeder_of(id) {
                (feeder, speaks) = (Some(agent.id()), true);
                frame = agent.next_frame(cx.now).unwrap_or(frame);
            }
            if let Some(played) = players.next_frame(id) {
                (feeder, frame) = (Some(played.by), played.frame);
                if played.is_last {
                    cx.events.push_back(Event::Played { end: played.by });
                }
            }
            if let Some((by, streamed)) = cx.streamers.next_frame(id) {
                (feeder, frame) = (Some(by), streamed.unwrap_or(frame));
            }
            if let Some((by, mixed)) = cx.seats.next_frame(id) {
                (feeder, frame) = (Some(by), mixed.unwrap_or(frame));
            }
            frame = playout.end_softly(frame);
        }
        let spoken = Spoken { tick, feeder, frame };
        let ticked = match end.send_own(cx, &spoken, packet) {
            Ok(Some(transmit)) => Ticked::Sent(transmit),
            Ok(None) => Ticked::Unsent,
            Err(reason) => {
                self.count_dropped(cx.shared, at, reason);
                Ticked::Unsent
            }
        };
        if speaks && let Some(agent) = cx.agents.feeder_of(id) {
            agent.frame_left(cx.now, cx.events);
        }
        Some(ticked)
    }

    /// Sends digits to an end's remote party.
    pub(super) fn send_digits(&mut self, cx: &mut Cx<'_>, id: EndId, digits: &Digits<'_>) {
        let Some(at) = self.slot(id) else { return };
        let is_fed = self.iter().any(|end| end.feeds(id));
        let coding = digits.press.tone_coding();
        let twin = coding.and_then(|coding| self.encoding_towards(id, coding)?.twin());
        let start = self.new_start(id);
        let Some(end) = self.get_mut(at) else { return };
        let begin = || Box::new(Injector::new(cx.now, start, digits.press, twin));
        let left_out = end.send_digits(digits, is_fed, begin);
        let agent = cx.agents.feeder_of(id).filter(|_| left_out > 0);
        if let Some(agent) = agent {
            let text = format!("too many keys wait to be pressed: {left_out} are left out");
            agent.note("keys_left_out", text, cx.events);
        }
    }

    /// Makes the next packet of the digits that are injected towards an end, if one is due.
    fn inject(&mut self, cx: &mut Cx<'_>, at: Slot, packet: &mut PacketBuf) -> Option<Transmit> {
        loop {
            let end = self.get_mut(at)?;
            let (id, is_withheld) = (end.id(), end.is_withheld());
            let injector = end.injector_mut()?;
            if is_withheld {
                injector.pass_over(cx.now)?;
                self.count_dropped(cx.shared, at, DropReason::Withheld);
                continue;
            }
            let feeder = Feeder { serial: injector.serial(), clock_hz: injector.clock_hz() };
            let sent = match injector.take(cx.now, packet)? {
                Injected::Packet { rtp, since } => {
                    let sent = end.send(cx, feeder, rtp, packet);
                    if sent.is_ok() {
                        end.is_later_by(since);
                    }
                    Some(sent)
                }
                Injected::Pause => None,
            };
            if let Some(over) = end.end_injection() {
                self.go_on_behind(id, *over);
            }
            match sent {
                Some(Ok(transmit)) => return Some(transmit),
                Some(Err(reason)) => self.count_dropped(cx.shared, at, reason),
                None => {}
            }
        }
    }

    /// Lets audio that is converted for an end go on from the tones that were injected before it.
    fn go_on_behind(&mut self, to: EndId, over: Injector) {
        let Some((coding, twin)) = over.into_twin() else { return };
        if let Some(encoding) = self.encoding_towards(to, coding) {
            *encoding = twin;
        }
    }

    /// Takes a packet that is no audio: a digit, on a wire whose two sides have different forms of DTMF.
    ///
    /// # Errors
    /// Where it is none.
    pub(super) fn take_event(&mut self, cx: &mut Cx<'_>, at: Slot, rtp: &Rtp, packet: &[u8]) -> Result<(), DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        for digit in end.take_event(cx.now, rtp, packet)?.into_iter().flatten() {
            self.digit_ended(cx, at, digit);
        }
        Ok(())
    }

    /// Takes a packet of an end of which only digits are wanted: reports a digit that begins with it.
    ///
    /// # Errors
    /// Where it is neither a digit nor the audio that was agreed on.
    pub(super) fn take_begun(&mut self, cx: &mut Cx<'_>, at: Slot, rtp: &Rtp, packet: &[u8]) -> Result<(), DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        if let Some(key) = end.take_begun(rtp, packet)? {
            cx.events.push_back(Event::Key { end: end.id(), key, ms: 0 });
        }
        Ok(())
    }

    /// Ends digits whose last packets were lost.
    pub(super) fn release_lost_digits(&mut self, cx: &mut Cx<'_>) {
        for at in self.slots() {
            let lost = self.get_mut(at).map(|end| end.release_lost_digits(cx.now));
            for digit in lost.into_iter().flatten().flatten() {
                self.digit_ended(cx, at, digit);
            }
        }
    }

    /// Passes on a digit that is over: in the form of the other side, or to signalling.
    pub(super) fn digit_ended(&mut self, cx: &mut Cx<'_>, at: Slot, over: Completed) {
        let Some(end) = self.get(at) else { return };
        let (id, Some(wire)) = (end.id(), end.wire()) else { return };
        let (to, press) = (wire.to(), wire.spec().parted.as_deref().and_then(|parted| parted.press));
        match press {
            Some(press) => {
                cx.events.push_back(Event::Key { end: id, key: over.digit, ms: over.ms });
                self.pass_digit(cx, to, press, over);
            }
            None => cx.events.push_back(Event::Key { end: id, key: over.digit, ms: over.ms }),
        }
    }

    fn pass_digit(&mut self, cx: &mut Cx<'_>, to: EndId, press: PressSpec, over: Completed) {
        let mut digit = [0; 4];
        let ms = u16::try_from(over.ms).unwrap_or(u16::MAX);
        let digits = Digits { press, digits: over.digit.encode_utf8(&mut digit), ms };
        self.send_digits(cx, to, &digits);
    }

    fn report(&mut self, cx: &Cx<'_>, at: Slot, packet: &mut PacketBuf) -> Option<Transmit> {
        self.get_mut(at)?.make_report(cx, packet)
    }

    fn keep_alive(&mut self, cx: &Cx<'_>, at: Slot, packet: &mut PacketBuf) -> Option<Transmit> {
        let id = self.get(at).filter(|end| end.wants_keep_alive())?.id();
        // Without a wire nothing is known of the remote party's numbers.
        let wires = self.iter().filter(|end| end.feeds(id)).filter_map(End::wire);
        let numbers = wires.flat_map(|wire| &wire.spec().payloads);
        let bit = |number: u8| 1_u128.checked_shl(number.into()).unwrap_or(0);
        let taken = numbers.fold(None, |taken, (_, to)| Some(taken.unwrap_or(0) | bit(*to)));
        self.get_mut(at)?.make_keep_alive(cx, taken, packet)
    }
}
