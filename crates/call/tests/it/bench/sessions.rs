//! Calls with session timers (RFC 4028), and the behaviour of their parties.

use trunkgate_route::Trunk;

use super::*;

pub const SECOND: Duration = Duration::from_secs(1);
pub const KNOWS: &str = "Supported: timer\r\n";

/// Returns a message with additional lines.
pub fn with(text: &str, lines: &str) -> String {
    text.replacen("Content-Length:", &format!("{lines}Content-Length:"), 1)
}

pub fn session(value: &str) -> String {
    format!("{KNOWS}Session-Expires: {value}\r\n")
}

pub fn bench_of(change: impl Fn(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    trunks.iter_mut().for_each(change);
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]))
}

/// Returns a caller that sends an INVITE with these lines.
pub fn dials(bench: &mut Bench, lines: &str) -> Dialing {
    let dialing =
        Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 900, cseq: 1, to_tag: String::new() };
    bench.receive(CARRIER, dialing.request("INVITE", &offer(), lines));
    bench.expect(CARRIER, "SIP/2.0 100");
    dialing
}

/// Makes an answered call between a caller with these lines in its INVITE, and a PBX with these in its 200. Returns our
/// 200 as well.
pub fn call(bench: &mut Bench, asked: &str, answered: &str) -> (Dialing, Dialed, Sent) {
    let mut caller = dials(bench, asked);
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, with(&callee.answer(200, &answer()), answered));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    bench.take_media();
    (caller, callee, ok)
}

/// Checks that the call has ended on both sides because a session expired.
pub fn is_over(bench: &mut Bench, caller: &Dialing, callee: &Dialed) {
    for (peer, respond) in [(CARRIER, true), (PBX, false)] {
        let bye = bench.expect(peer, "BYE");
        assert_eq!(bye.header("Reason"), "Q.850;cause=102;text=\"session_expired\"");
        let ok = if respond { caller.respond(&bye, 200, "") } else { callee.respond(&bye, 200, "") };
        bench.receive(peer, ok);
    }
    let record = bench.reports.last().unwrap();
    assert_eq!((record.call.reason, record.call.outcome), (Some("session_expired"), Some("answered")));
    bench.finish();
}

pub fn hang_up_all(mut bench: Bench, mut caller: Dialing, callee: &Dialed) {
    caller.cseq += 50;
    bench.sent.clear();
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    bench.finish();
}

/// Answers a refresh of ours, which must repeat the last description.
pub fn takes_refresh(bench: &mut Bench, callee: &Dialed, said: &str, session: &str) -> Sent {
    let refresh = bench.expect(PBX, "INVITE");
    assert_eq!(refresh.body(), said, "the same description with the same version");
    bench.receive(PBX, with(&callee.respond(&refresh, 200, &answer()), session));
    bench.expect(PBX, "ACK");
    refresh
}

/// Waits up to `most` seconds for an INVITE to the PBX; returns it with the time in tenths of a second.
pub fn wait_for_invite(bench: &mut Bench, most: u64) -> (Sent, u64) {
    for waited in 0..=most * 10 {
        if let Some(at) = bench.sent.iter().position(|sent| sent.to == PBX.parse().unwrap()) {
            return (bench.sent.remove(at).unwrap(), waited);
        }
        bench.pass(SECOND / 10);
    }
    panic!("no INVITE within {most} s")
}

/// Lets time pass while the PBX refuses every refresh; returns the number of refreshes.
pub fn refuses(bench: &mut Bench, callee: &Dialed, seconds: u64) -> usize {
    let mut refused = 0;
    for _ in 0..seconds * 10 {
        bench.pass(SECOND / 10);
        while let Some(at) = bench.sent.iter().position(|sent| sent.first_line().starts_with("INVITE")) {
            let refresh = bench.sent.remove(at).unwrap();
            bench.receive(PBX, callee.respond(&refresh, 503, ""));
            bench.expect(PBX, "ACK");
            refused += 1;
        }
        bench.nothing();
    }
    refused
}

/// Makes a call of a caller with session timers to an agent.
pub fn talks(bench: &mut Bench, asked: &str) -> (Dialing, EndId, Sent) {
    let caller = dials(bench, asked);
    let (agent, _) = bench.asked().into_iter().rfind(|(_, settings)| settings.talks).unwrap();
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.open(agent);
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    let caller = Dialing { to_tag: ok.tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();
    bench.told();
    (caller, agent, ok)
}
