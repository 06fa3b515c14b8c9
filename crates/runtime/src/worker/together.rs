//! Joint reads of conference parties' sockets, some milliseconds before each tick of the mixers.
//!
//! A party's audio waits for the next tick in any case, and wake-ups dominate the cost of its packets. The sockets are
//! therefore in a separate epoll. A timer polls it once before each tick, early enough that a delayed worker is still
//! in time; from then until the tick the worker's own epoll watches it, so that late packets are read as they arrive.
//! *Cost*: up to 17 ms of delay for a party's DTMF and RTCP reports, and system calls when it joins. Arrival times come
//! from kernel timestamps.

use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use trunkgate_conference::limits::FRAME;

/// Minimum time from the joint read to the tick.
const LEAD: Duration = Duration::from_millis(3);
/// Estimated processing time of one packet, including its system call.
const OF_ONE: Duration = Duration::from_micros(8);
/// Number of sockets beyond which the lead time no longer grows.
const SOCKETS_IN_TIME: usize = 500;

/// Sockets that are read together before each tick of the mixers, identified by their event data.
#[derive(Debug)]
pub(super) struct TickSockets {
    epoll: Epoll,
    timer: TimerFd,
    sockets: usize,
    /// Time since which the worker's epoll watches the sockets; `None` outside of the time before a tick.
    watched: Option<Instant>,
}

impl TickSockets {
    /// Creates an empty set. `main` reports an event with the data `time` when the sockets are due to be read together.
    pub(super) fn new(main: &Epoll, time: u64) -> io::Result<TickSockets> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        main.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, time))?;
        main.add(&epoll.0, EpollEvent::new(EpollFlags::empty(), time))?;
        Ok(TickSockets { epoll, timer, sockets: 0, watched: None })
    }

    /// Adds a socket with events that carry `data`; `ticks_at` is a tick of its mixer, and all mixers tick together.
    pub(super) fn add(&mut self, socket: &UdpSocket, data: u64, ticks_at: Instant) -> io::Result<()> {
        setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
        self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, data))?;
        self.sockets += 1;
        let first = until_next(ticks_at, Instant::now(), self.sockets);
        self.timer.set(Expiration::IntervalDelayed(first.into(), FRAME.into()), TimerSetTimeFlags::empty())?;
        Ok(())
    }

    /// Removes a socket.
    pub(super) fn remove(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.forget();
        self.epoll.delete(socket)?;
        setsockopt(socket, sockopt::ReceiveTimestampns, &false)?;
        Ok(())
    }

    /// Removes a closed socket from the count.
    pub(super) fn forget(&mut self) {
        self.sockets = self.sockets.saturating_sub(1);
        if self.sockets == 0 {
            // A superfluous timer event is harmless.
            let _ = self.timer.unset();
        }
    }

    /// Has `main` watch the sockets until the tick, if the timer has expired.
    pub(super) fn begin(&mut self, main: &Epoll, time: u64) -> io::Result<()> {
        // Reading the timer clears its event; for a socket's event there is nothing to read.
        if rustix::io::read(&self.timer, &mut [0; 8]).is_ok() && self.watched.is_none() {
            main.modify(&self.epoll.0, &mut EpollEvent::new(EpollFlags::EPOLLIN, time))?;
            self.watched = Some(Instant::now());
        }
        Ok(())
    }

    /// Ends the watch of the sockets by `main` once the tick has passed.
    pub(super) fn end(&mut self, main: &Epoll, time: u64) -> io::Result<()> {
        if self.watched.is_some_and(|watched| watched.elapsed() >= lead(self.sockets)) {
            self.watched = None;
            main.modify(&self.epoll.0, &mut EpollEvent::new(EpollFlags::empty(), time))?;
        }
        Ok(())
    }

    /// Returns the number of sockets with packets, written to `events`; never blocks.
    pub(super) fn look(&self, events: &mut [EpollEvent]) -> io::Result<usize> {
        Ok(self.epoll.wait(events, EpollTimeout::ZERO)?)
    }
}

/// Returns the time that a packet with this kernel timestamp has waited; zero without a timestamp.
pub(super) fn waited_since(stamp: Option<SystemTime>) -> Duration {
    // After the clock was set the timestamp is useless.
    stamp.and_then(|stamp| stamp.elapsed().ok()).filter(|waited| *waited <= 2 * FRAME).unwrap_or_default()
}

/// Returns the time from the joint read of this many sockets to the tick.
fn lead(sockets: usize) -> Duration {
    LEAD + OF_ONE * u32::try_from(sockets.min(SOCKETS_IN_TIME)).unwrap_or_default()
}

/// Returns the time until the next joint read of this many sockets.
fn until_next(ticks_at: Instant, now: Instant, sockets: usize) -> Duration {
    let ready = now + lead(sockets);
    next_tick(ticks_at, ready).saturating_duration_since(ready)
}

/// Returns the first tick of the mixers after `now`; `epoch` is the time of any tick.
pub(crate) fn next_tick(epoch: Instant, now: Instant) -> Instant {
    let since = now.saturating_duration_since(epoch);
    let past = since.as_micros() % FRAME.as_micros();
    let left = FRAME.as_micros() - past;
    now + Duration::from_micros(u64::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_whole_frames_after_the_epoch() {
        let epoch = Instant::now();
        for (after_us, tick_us) in
            [(0, 20_000), (1, 20_000), (19_999, 20_000), (20_000, 40_000), (1_234_567, 1_240_000)]
        {
            let tick = next_tick(epoch, epoch + Duration::from_micros(after_us));
            assert_eq!(tick - epoch, Duration::from_micros(tick_us), "{after_us}");
        }
    }

    #[test]
    fn sockets_are_read_as_long_before_each_tick_as_their_packets_take() {
        let start = Instant::now();
        let (one, many) = (LEAD + OF_ONE, LEAD + OF_ONE * 500);
        let ticks_at = start + Duration::from_millis(7);
        let after = |us| ticks_at + Duration::from_micros(us);
        for (sockets, lead) in [(1, one), (500, many), (5_000, many)] {
            for (now, to_tick) in [(after(0), 20_000), (after(1_000), 19_000), (after(45_000), 15_000)] {
                assert_eq!(until_next(ticks_at, now, sockets), Duration::from_micros(to_tick) - lead, "{sockets}");
            }
        }
        // Exactly at the deadline: at the next tick.
        assert_eq!(until_next(ticks_at, after(20_000) - one, 1), FRAME);
        // Before the first tick.
        assert!(until_next(ticks_at, start, 1) <= FRAME);
    }

    #[test]
    fn a_stamp_of_a_clock_that_was_set_says_nothing() {
        let stamp = |before| Some(SystemTime::now() - Duration::from_millis(before));
        assert!(waited_since(stamp(5)) >= Duration::from_millis(5));
        assert_eq!(waited_since(stamp(3_600_000)), Duration::ZERO);
        assert_eq!(waited_since(Some(SystemTime::now() + FRAME)), Duration::ZERO);
        assert_eq!(waited_since(None), Duration::ZERO);
    }
}
