//! An answered caller that has lost its agent is not lost by a target's refusal: after any response the next target is
//! tried. Before the answer a final refusal ends the search (tests/failover.rs).
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use crate::bench::agents::{hang_up, to_agent};
use crate::bench::{BACKUP, Bench, CARRIER, Dialed, PBX, answer, to_trunk};
use trunkgate_media::agent::StreamLoss;

#[test]
fn whatever_a_target_answers_the_next_one_is_tried() {
    for code in [302, 401, 404, 486, 487, 488, 503, 600, 603] {
        let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx"), to_trunk("backup")]);
        let (mut caller, _, desk) = bench.talking();
        bench.lose(desk, StreamLoss::Reset);
        let first = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        // A 3xx without a Contact.
        bench.receive(PBX, first.answer(code, "").replace("Contact: <sip:bob@10.0.0.20:5060>\r\n", ""));
        bench.expect(PBX, "ACK");
        let second = Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE"));
        bench.receive(BACKUP, second.answer(200, &answer().replace("10.0.0.20", "10.0.0.30")));
        bench.expect(BACKUP, "ACK");
        assert_eq!(bench.state(), "answered", "{code}");
        hang_up(&mut bench, &mut caller);
        let bye = bench.expect(BACKUP, "BYE");
        bench.receive(BACKUP, second.respond(&bye, 200, ""));
        assert_eq!(bench.reports[0].failovers, 2, "{code}");
        bench.finish();
    }
}

#[test]
fn the_last_refusal_says_why_the_call_ends() {
    for (code, reason, cause) in [(486, "target_busy", 17), (603, "target_rejected", 21)] {
        let mut bench = Bench::with_agents(vec![to_agent("desk"), to_trunk("pbx")]);
        let (caller, _, desk) = bench.talking();
        bench.lose(desk, StreamLoss::Reset);
        let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
        bench.receive(PBX, callee.answer(code, ""));
        bench.expect(PBX, "ACK");
        let bye = bench.expect(CARRIER, "BYE");
        assert!(bye.header("Reason").contains(&format!("cause={cause}")), "{}", bye.text);
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        assert_eq!(bench.reports[0].call.reason, Some(reason));
        bench.finish();
    }
}
