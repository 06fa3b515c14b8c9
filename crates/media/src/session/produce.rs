//! Packets that the edge generates for an end: the audio of an agent or a player, digits, reports and keep-alives.

use crate::counters::DropReason;
use crate::dtmf::{CompletedDigit, DigitFormat, Injector, InjectorOutput};
use crate::playout::{PlayoutFrame, SILENT, SessionPlayers};
use crate::rtp::{PacketBuf, RtpHeader};
use crate::spec::{EndId, MediaEvent};

use super::cx::SessionCx;
use super::end::{DigitRequest, Feeder, RtpEnd, StreamTick};
use super::ends::{EndIndex, RtpEnds};
use super::transmit::MediaTransmit;

/// Result of a tick of an end's generated stream.
enum TickResult {
    /// Destination of the tick's packet.
    Sent(MediaTransmit),
    /// No packet: silence is suppressed, or the remote party may not receive.
    Unsent,
}

impl RtpEnds {
    /// Writes the next packet that is due at any end into `packet`; `None` once no more are due.
    pub(super) fn produce(
        &mut self,
        cx: &mut SessionCx<'_>,
        players: &mut SessionPlayers,
        packet: &mut PacketBuf,
    ) -> Option<MediaTransmit> {
        for at in self.slots() {
            while let Some(ticked) = self.speak(cx, players, at, packet) {
                if let TickResult::Sent(transmit) = ticked {
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

    /// Processes one tick of an end's generated stream; `None` if none is due.
    fn speak(
        &mut self,
        cx: &mut SessionCx<'_>,
        players: &mut SessionPlayers,
        at: EndIndex,
        packet: &mut PacketBuf,
    ) -> Option<TickResult> {
        let end = self.get_mut(at)?;
        let (id, is_withheld) = (end.id(), end.is_withheld());
        let playout = end.playout_mut()?;
        if is_withheld {
            // The audio waits with its marks and digits until the remote party's ACK arrives, so that none is lost.
            playout.pass_over(cx.now)?;
            self.count_dropped(cx.shared, at, DropReason::Withheld);
            return Some(TickResult::Unsent);
        }
        let tick = playout.take(cx.now)?;
        let sends_digit = playout.sends_digit();
        let (mut frame, mut feeder, mut speaks) = (PlayoutFrame::Ulaw(SILENT), None, false);
        if !sends_digit {
            if let Some(agent) = cx.agents.feeder_of(id) {
                (feeder, speaks) = (Some(agent.id()), true);
                frame = agent.next_frame(cx.now).unwrap_or(frame);
            }
            if let Some(played) = players.next_frame(id) {
                (feeder, frame) = (Some(played.by), played.frame);
                if played.is_last {
                    cx.events.push_back(MediaEvent::Played { end: played.by });
                }
            }
            if let Some((by, next)) = cx.listeners.next_frame(id) {
                (feeder, frame) = (Some(by), next.unwrap_or(frame));
            }
            frame = playout.end_softly(frame);
        }
        let spoken = StreamTick { tick, feeder, frame };
        let ticked = match end.send_own(cx, &spoken, packet) {
            Ok(Some(transmit)) => TickResult::Sent(transmit),
            Ok(None) => TickResult::Unsent,
            Err(reason) => {
                self.count_dropped(cx.shared, at, reason);
                TickResult::Unsent
            }
        };
        if speaks && let Some(agent) = cx.agents.feeder_of(id) {
            agent.frame_left(cx.now, cx.events);
        }
        Some(ticked)
    }

    /// Sends digits to an end's remote party.
    pub(super) fn send_digits(&mut self, cx: &mut SessionCx<'_>, id: EndId, digits: &DigitRequest<'_>) {
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
            let text = format!("too many DTMF digits are queued: {left_out} were dropped");
            agent.note_fault("keys_left_out", text, cx.events);
        }
    }

    /// Writes the next packet of an end's injected digits into `packet`; `None` if none is due.
    fn inject(&mut self, cx: &mut SessionCx<'_>, at: EndIndex, packet: &mut PacketBuf) -> Option<MediaTransmit> {
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
            let sent = match injector.take_tick(cx.now, packet)? {
                InjectorOutput::Packet { rtp, since } => {
                    let sent = end.send(cx, feeder, rtp, packet);
                    if sent.is_ok() {
                        end.is_later_by(since);
                    }
                    Some(sent)
                }
                InjectorOutput::Pause => None,
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

    /// Continues the transcoded audio for `to` with the codec state of the injector `over`, which has sent all of its
    /// tones.
    fn go_on_behind(&mut self, to: EndId, over: Injector) {
        let Some((coding, twin)) = over.into_twin() else { return };
        if let Some(encoding) = self.encoding_towards(to, coding) {
            *encoding = twin;
        }
    }

    /// Processes a packet that may be a telephone-event by its payload type, on a wire that converts DTMF.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet is not a telephone-event of the wire.
    pub(super) fn take_event(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        rtp: &RtpHeader,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        for digit in end.take_event(cx.now, rtp, packet)?.into_iter().flatten() {
            self.digit_ended(cx, at, digit);
        }
        Ok(())
    }

    /// Processes a packet of an end from which only digits are wanted; reports the digit that begins with it, if any.
    ///
    /// # Errors
    ///
    /// Returns an error if the packet is neither a telephone-event nor the negotiated audio.
    pub(super) fn take_begun(
        &mut self,
        cx: &mut SessionCx<'_>,
        at: EndIndex,
        rtp: &RtpHeader,
        packet: &[u8],
    ) -> Result<(), DropReason> {
        let end = self.get_mut(at).ok_or(DropReason::NoWire)?;
        if let Some(key) = end.take_begun(rtp, packet)? {
            cx.events.push_back(MediaEvent::Key { end: end.id(), key, ms: 0 });
        }
        Ok(())
    }

    /// Ends digits of all ends whose last packets were lost.
    pub(super) fn release_lost_digits(&mut self, cx: &mut SessionCx<'_>) {
        for at in self.slots() {
            let lost = self.get_mut(at).map(|end| end.release_lost_digits(cx.now));
            for digit in lost.into_iter().flatten().flatten() {
                self.digit_ended(cx, at, digit);
            }
        }
    }

    /// Forwards a completed digit to the end that receives this end's media, or reports it to signalling.
    pub(super) fn digit_ended(&mut self, cx: &mut SessionCx<'_>, at: EndIndex, over: CompletedDigit) {
        let Some(end) = self.get(at) else { return };
        let (id, Some(wire)) = (end.id(), end.wire()) else { return };
        let (to, press) = (wire.to(), wire.spec().parted.as_deref().and_then(|parted| parted.press));
        match press {
            Some(press) => {
                cx.events.push_back(MediaEvent::Key { end: id, key: over.digit, ms: over.ms });
                self.pass_digit(cx, to, press, over);
            }
            None => cx.events.push_back(MediaEvent::Key { end: id, key: over.digit, ms: over.ms }),
        }
    }

    fn pass_digit(&mut self, cx: &mut SessionCx<'_>, to: EndId, press: DigitFormat, over: CompletedDigit) {
        let mut digit = [0; 4];
        let ms = u16::try_from(over.ms).unwrap_or(u16::MAX);
        let digits = DigitRequest { press, digits: over.digit.encode_utf8(&mut digit), ms };
        self.send_digits(cx, to, &digits);
    }

    fn report(&mut self, cx: &SessionCx<'_>, at: EndIndex, packet: &mut PacketBuf) -> Option<MediaTransmit> {
        self.get_mut(at)?.make_report(cx, packet)
    }

    fn keep_alive(&mut self, cx: &SessionCx<'_>, at: EndIndex, packet: &mut PacketBuf) -> Option<MediaTransmit> {
        let id = self.get(at).filter(|end| end.wants_keep_alive())?.id();
        // Without a wire the remote party's payload types are unknown.
        let wires = self.iter().filter(|end| end.feeds(id)).filter_map(RtpEnd::wire);
        let numbers = wires.flat_map(|wire| &wire.spec().payloads);
        let bit = |number: u8| 1_u128.checked_shl(number.into()).unwrap_or(0);
        let taken = numbers.fold(None, |taken, (_, to)| Some(taken.unwrap_or(0) | bit(*to)));
        self.get_mut(at)?.make_keep_alive(cx, taken, packet)
    }
}
