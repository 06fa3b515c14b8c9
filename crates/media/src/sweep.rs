//! What a session looks for once a second: silence, reports and keep-alive packets that are due, quality. What it finds to
//! be sent is made by [`Session::poll_packet`].

use std::time::Instant;

use crate::end::End;
use crate::limits::{QUALITY_INTERVAL, SWEEP_INTERVAL, UNHEARD_AFTER};
use crate::mos;
use crate::origin::Origin;
use crate::packet::PacketBuf;
use crate::reports::Stream;
use crate::session::{Session, Transmit};
use crate::spec::{EndId, Event};

impl Session {
    /// Has the reports that end a stream made: asked before the sockets of `end`, or of all ends, are closed;
    /// [`Self::poll_packet`] follows.
    pub fn say_goodbye(&mut self, now: Instant, end: Option<EndId>) {
        for each in self.ends.iter_mut().filter(|each| end.is_none_or(|end| each.id == end)) {
            each.reports.say_goodbye();
        }
        self.ticked_at = Some(now);
    }

    /// The next end whose sockets, where they are tied to their far side, are to hear others again; after
    /// [`Self::handle_timeout`].
    pub fn poll_resting(&mut self) -> Option<EndId> {
        self.resting.pop()
    }

    pub(crate) fn plan_sweep(&mut self, now: Instant) {
        if !self.ends.iter().any(|end| end.remote.is_some()) {
            self.next_sweep = None;
        } else if self.next_sweep.is_none() {
            self.next_sweep = now.checked_add(SWEEP_INTERVAL);
        }
    }

    pub(crate) fn sweep(&mut self, now: Instant) {
        for at in 0..self.ends.len() {
            let reports = self.passes_rtcp_to(at).is_none();
            let origin = self.origin;
            let idle_timeout = self.idle_timeout;
            let Some(end) = self.ends.get_mut(at) else { return };
            if end.is_watched() {
                if !idle_timeout.is_zero() && end.silence.tell(now, idle_timeout) {
                    self.events.push_back(Event::Idle { end: end.id });
                }
                if end.silence.miss(now, UNHEARD_AFTER) {
                    self.events.push_back(Event::Unheard { end: end.id, stranger: end.stranger });
                }
            }
            if reports && end.rtcp_way().is_some() {
                end.reports.look(now, &origin, end.serial);
            } else {
                end.reports.rest();
            }
            if end.remote.as_ref().is_some_and(|remote| end.latch.rest(now, remote)) {
                self.resting.push(end.id);
            }
            end.look_for_keep_alive(now);
            end.estimate(now);
            if end.reception.lost() > end.lost_before {
                self.lossy.push(end.id);
            }
            let lost = end.reception.lost().min(end.lost_before);
            end.lost_before = end.reception.lost();
            if let Some(worker) = self.shared.worker.as_ref().filter(|_| lost > end.lost_told) {
                worker.lost.add(lost - end.lost_told);
                end.lost_told = lost;
            }
        }
    }

    /// The end that this one's RTCP is passed to: where the two feed each other and nothing of either stream was changed.
    pub(crate) fn passes_rtcp_to(&self, at: usize) -> Option<usize> {
        let end = self.ends.get(at)?;
        let sink = self.position(end.wire.as_ref()?.to)?;
        let other = self.ends.get(sink)?;
        let mutual = other.wire.as_ref().is_some_and(|wire| wire.to == end.id);
        let converts = |end: &End| end.wire.as_ref().is_some_and(|wire| wire.transcoder.is_some());
        let unchanged = |end: &End| !end.outgoing.is_rewritten() && end.voice.is_none() && !converts(end);
        (mutual && unchanged(end) && unchanged(other)).then_some(sink)
    }

    /// Makes the report, or else the keep-alive packet, that an end wants.
    pub(crate) fn say_what_is_due(&mut self, now: Instant, at: usize, packet: &mut PacketBuf) -> Option<Transmit> {
        self.report(now, at, packet).or_else(|| self.keep_alive(now, at, packet))
    }

    fn report(&mut self, now: Instant, at: usize, packet: &mut PacketBuf) -> Option<Transmit> {
        let origin = self.origin;
        let end = self.ends.get_mut(at).filter(|end| end.reports.wanted)?;
        end.reports.wanted = false;
        let way = end.rtcp_way()?;
        let (packets, octets) = end.outgoing.snapshot().counted;
        let stream = Stream {
            ssrc: end.outgoing.source().map_or_else(|| own_source(&origin, end.serial), |(ssrc, _)| ssrc),
            timestamp: end.outgoing.timestamp(now).unwrap_or(0),
            packets,
            octets,
            all: end.counters.tx_packets.get(),
        };
        let compound = end.reports.make(now, &origin, end.serial, stream, end.reception.source());
        compound.write(packet)?;
        if let Some(srtp) = &mut end.srtp
            && let Err(reason) = srtp.protect(true, packet)
        {
            self.dropped(at, reason);
            return None;
        }
        if let Some(worker) = &self.shared.worker {
            worker.reports.add(1);
        }
        Some(way)
    }

    fn keep_alive(&mut self, now: Instant, at: usize, packet: &mut PacketBuf) -> Option<Transmit> {
        let origin = self.origin;
        let (id, mut keep_alive) = self.ends.get(at).map(|end| (end.id, end.keep_alive))?;
        if !keep_alive.wanted {
            return None;
        }
        let feeds = || self.ends.iter().filter_map(|end| end.wire.as_ref()).filter(|wire| wire.to == id);
        // Without a wire nothing is known of the far side's numbers.
        let known = feeds().any(|wire| !wire.spec().payloads.is_empty());
        let taken = |number: u8| feeds().any(|wire| wire.spec().payloads.iter().any(|(_, to)| *to == number));
        // Drawn apart from other ends' and from our reports' source.
        let ssrc = own_source(&origin, self.ends.get(at)?.serial) ^ 1;
        let written = known.then(|| keep_alive.write(now, ssrc, taken, packet)).flatten();
        keep_alive.wanted = false;
        let end = self.ends.get_mut(at)?;
        end.keep_alive = keep_alive;
        written?;
        let (to, locked) = end.rtp_way(end.remote.as_ref()?).ok()?;
        if let Some(srtp) = &mut end.srtp
            && let Err(reason) = srtp.protect(false, packet)
        {
            self.dropped(at, reason);
            return None;
        }
        if let Some(worker) = &self.shared.worker {
            worker.keep_alives.add(1);
        }
        Some(Transmit { via: end.id, rtcp: false, to, locked })
    }
}

/// The source of an end's RTCP where nothing was sent yet.
fn own_source(origin: &Origin, serial: u32) -> u32 {
    // Truncation is meant: each takes its own bits.
    origin.draw(u64::from(serial)) as u32
}

impl End {
    /// None is sent to a far side that is not to receive, or has no address (hold) or none that is proven, or that the edge
    /// speaks to itself.
    fn look_for_keep_alive(&mut self, now: Instant) {
        let may = self.remote.as_ref().is_some_and(|remote| remote.may_receive && remote.rtp.is_some());
        if may && self.voice.is_none() && !self.withheld {
            let heard = self.silence.is_broken();
            self.keep_alive.look(now, self.outgoing.sent_at(), heard);
        }
    }

    /// Estimates the quality of what was received since the last time.
    fn estimate(&mut self, now: Instant) {
        let (at, expected_before, lost_before) = self.estimated;
        // A sweep is never early, but the last one may have been late.
        if now.saturating_duration_since(at) + SWEEP_INTERVAL / 2 < QUALITY_INTERVAL {
            return;
        }
        let (expected, lost) = (self.reception.expected(), self.reception.lost());
        self.estimated = (now, expected, lost);
        let (expected, lost) = (expected.saturating_sub(expected_before), lost.saturating_sub(lost_before));
        let codec = self.wire.as_ref().and_then(|wire| wire.spec().codec);
        if let Some(codec) = codec.filter(|_| expected > 0) {
            let delay = mos::delay_ms(self.reception.jitter_us(), self.counters.rtt_us.get());
            self.counters.scores.take(mos::mos(codec, lost as f64 / expected as f64, delay));
        }
    }
}
