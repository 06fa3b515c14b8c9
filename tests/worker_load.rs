//! Maximum number of concurrent calls, and many more in sequence: memory for a call, and no leaks.

#![allow(unsafe_code, reason = "a global allocator cannot be written without; this one only counts")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

#[path = "it/worker/rig.rs"]
mod rig;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::resource::{Resource, getrlimit};
use rig::*;
use trunkgate_media::{EndCounters, EndSpec, MediaCommand, MediaEvent, MediaId, RemoteSpec, WireSpec};

struct Counting;

/// Number of bytes that the whole process has allocated and not freed.
static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised us.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        HELD.fetch_add(size, Ordering::Relaxed);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promised us.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Loopback address that only this test uses for media, so that the whole port range is free.
const EDGE: [u8; 4] = [127, 0, 5, 1];
/// First port of the default media range, and its number of port pairs: 4096 calls.
const FIRST_PORT: u16 = 16_384;
const PAIRS: u16 = 8192;
/// Maximum memory for the media of a held call, in bytes.
const CALL_BYTES: usize = 12 << 10;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_bytes() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Returns the address of the n-th port pair of the range, cyclically.
fn pair(n: u64) -> SocketAddr {
    SocketAddr::new(EDGE.into(), FIRST_PORT + (n % u64::from(PAIRS)) as u16 * 2)
}

/// Opens the media session of a call and binds both of its ends.
fn open(rig: &Rig, id: MediaId) {
    rig.workers.send(id, MediaCommand::Open { idle_timeout_ms: 60_000, names_key: [0; 16], beside: None });
    for (end, n) in [(A, 0), (B, 1)] {
        let spec = EndSpec { bind: pair(id.0 * 2 + n), counters: Arc::new(EndCounters::default()) };
        rig.workers.send(id, MediaCommand::AddEnd { end, spec });
    }
}

/// Sets the remote addresses of both ends, and wires the ends.
fn connect(rig: &Rig, id: MediaId, [a, b]: [SocketAddr; 2]) {
    for (end, rtp) in [(A, a), (B, b)] {
        let remote = RemoteSpec {
            rtp: Some(rtp),
            rtcp: Some(next_port(rtp)),
            expected: vec![rtp.ip()],
            may_send: true,
            may_receive: true,
            relatch: true,
            watch_idle: true,
            ..RemoteSpec::default()
        };
        rig.workers.send(id, MediaCommand::SetRemote { end, remote });
    }
    for (from, to) in [(A, B), (B, A)] {
        let payloads = vec![(0, 0), (8, 8), (101, 101)];
        let clocks = vec![(0, 8000), (8, 8000), (101, 8000)];
        rig.workers
            .send(id, MediaCommand::Wire { from, to, wire: WireSpec { payloads, clocks, ..WireSpec::default() } });
    }
}

/// Receives this many events; returns the number of each kind.
fn take(rig: &mut Rig, count: usize) -> HashMap<&'static str, usize> {
    let mut kinds = HashMap::new();
    for _ in 0..count {
        let kind = match rig.events.blocking_recv().unwrap().1 {
            MediaEvent::Bound { .. } => "bound",
            MediaEvent::Latched { .. } => "latched",
            MediaEvent::EndClosed { .. } => "end closed",
            MediaEvent::Closed => "closed",
            other => panic!("{other:?}"),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// Both parts run in sequence, since each needs all ports and counts the memory of the whole process.
#[test]
fn four_thousand_calls_at_once_and_ten_thousand_in_sequence() {
    let mut rig = Rig::new(2);
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let calls = usize::try_from(limit.saturating_sub(200) / 4).unwrap().min(4000);
    at_once(&mut rig, calls as u64);
    in_sequence(&mut rig, 10_000);
    rig.workers.stop();
}

fn at_once(rig: &mut Rig, calls: u64) {
    let far = ["127.0.5.2", "127.0.5.3"].map(|ip| phone(ip.parse::<IpAddr>().unwrap()));
    let addresses = far.each_ref().map(|socket| socket.local_addr().unwrap());
    let descriptors = open_descriptors();
    let (held, resident) = (HELD.load(Ordering::Relaxed), resident_bytes());
    let count = calls as usize;
    for id in 0..calls {
        open(rig, MediaId(id));
    }
    assert_eq!(take(rig, count * 2)["bound"], count * 2);
    assert_eq!(open_descriptors(), descriptors + count * 4);
    for id in 0..calls {
        connect(rig, MediaId(id), addresses);
    }
    // Each call has audio in both directions: all latches are locked, and all sockets connected.
    for id in 0..calls {
        for (n, side) in far.iter().enumerate() {
            side.send_to(&rtp(id as u32 + 1, 1), pair(id * 2 + n as u64)).unwrap();
            let (bytes, from) = received(&far[1 - n]);
            assert_eq!((bytes, from), (rtp(id as u32 + 1, 1), pair(id * 2 + 1 - n as u64)));
        }
    }
    assert_eq!(take(rig, count * 2)["latched"], count * 2);
    let bytes = (HELD.load(Ordering::Relaxed) - held) / count;
    let grown = resident_bytes().saturating_sub(resident) / count;
    println!("a held call: {bytes} bytes allocated, {grown} bytes resident");
    assert!(bytes <= CALL_BYTES && grown <= CALL_BYTES, "{bytes} allocated, {grown} resident");
    for id in 0..calls {
        rig.workers.send(MediaId(id), MediaCommand::Close);
    }
    let kinds = take(rig, count * 3);
    assert_eq!((kinds["end closed"], kinds["closed"]), (count * 2, count));
    assert_eq!((rig.gauge(|c| c.sessions.get()), rig.gauge(|c| c.ends.get())), (0, 0));
    assert_eq!(open_descriptors(), descriptors);
}

fn in_sequence(rig: &mut Rig, calls: u64) {
    let nobody: SocketAddr = "127.0.5.4:4000".parse().unwrap();
    let one = |rig: &mut Rig, id: u64| {
        open(rig, MediaId(id));
        connect(rig, MediaId(id), [nobody, nobody]);
        rig.workers.send(MediaId(id), MediaCommand::Close);
        let kinds = take(rig, 5);
        assert_eq!((kinds["bound"], kinds["end closed"], kinds["closed"]), (2, 2, 1));
    };
    // The first calls cause growth that is not repeated.
    for id in 0..100 {
        one(rig, id);
    }
    let (descriptors, held) = (open_descriptors(), HELD.load(Ordering::Relaxed));
    for id in 100..calls {
        one(rig, id);
    }
    assert_eq!(open_descriptors(), descriptors);
    let grown = HELD.load(Ordering::Relaxed).saturating_sub(held);
    // Timers that sessions have requested in the last second may still be queued; they are smaller than any part of a
    // call.
    assert!(grown < calls as usize * 100, "{grown} bytes stay");
}
