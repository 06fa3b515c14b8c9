//! Workers release all resources. The test has a process of its own, because it counts file descriptors.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "it/worker/rig.rs"]
mod rig;

use std::collections::HashMap;
use std::net::IpAddr;

use rig::*;
use trunkgate_media::{MediaCommand, MediaEvent, MediaId};

#[test]
fn two_hundred_sessions_leave_nothing_behind() {
    let mut rig = Rig::new(2);
    let ip: IpAddr = "127.0.0.1".parse().unwrap();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let mut ports: HashMap<MediaId, Vec<u16>> = HashMap::new();
    for n in 0..200 {
        let id = MediaId(n);
        rig.workers.send(id, MediaCommand::Open { idle_timeout_ms: 60_000, names_key: [0; 16], beside: None });
        for end in [A, B] {
            let (edge, _) = rig.bind(id, end, ip);
            ports.entry(id).or_default().push(edge.port());
        }
    }
    // These calls are the last ones of each worker.
    for n in [99, 199] {
        rig.settle(MediaId(n));
    }
    assert_eq!(rig.gauge(|counters| counters.sessions.get()), 200);
    assert_eq!(rig.gauge(|counters| counters.ends.get()), 400);
    assert!(descriptors() >= before + 800);
    for n in 0..200 {
        rig.workers.send(MediaId(n), MediaCommand::Close);
    }
    for _ in 0..600 {
        match rig.event() {
            (id, MediaEvent::EndClosed { port, .. }) => ports.get_mut(&id).unwrap().retain(|each| *each != port),
            (id, MediaEvent::Closed) => assert_eq!(ports.remove(&id), Some(vec![])),
            other => panic!("{other:?}"),
        }
    }
    assert!(ports.is_empty());
    assert_eq!(rig.gauge(|counters| counters.sessions.get()), 0);
    assert_eq!(rig.gauge(|counters| counters.ends.get()), 0);
    assert_eq!(rig.gauge(|counters| counters.buffers_in_use.get()), 0);
    assert_eq!(rig.gauge(|counters| counters.panics.get()), 0);
    assert_eq!(descriptors(), before);
    rig.workers.stop();
}
