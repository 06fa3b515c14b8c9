//! Calls from the carrier to the PBX before their answer.

use super::*;

/// Header of a remote party that acknowledges provisional responses.
pub const SUPPORTED: &str = "Supported: 100rel\r\n";

impl Bench {
    /// Sends an INVITE with this body and these headers of the caller, up to the PBX.
    pub fn calling(&mut self, body: &str, extra: &str) -> (Dialing, Dialed) {
        self.calls += 1;
        let caller = Dialing {
            peer: CARRIER.into(),
            number: "+14155550100".into(),
            call: self.calls,
            cseq: 1,
            to_tag: String::new(),
        };
        self.receive(CARRIER, caller.request("INVITE", body, extra));
        self.expect(CARRIER, "SIP/2.0 100");
        (caller, Dialed::new(PBX, self.expect(PBX, "INVITE")))
    }

    /// Makes a call that rings at the PBX.
    pub fn ringing(&mut self) -> (Dialing, Dialed) {
        let (mut caller, callee) = self.calling(&offer(), "");
        self.receive(PBX, callee.answer(180, ""));
        caller.to_tag = self.expect(CARRIER, "SIP/2.0 180").tag("To");
        (caller, callee)
    }

    /// Sends a reliable response of a callee with these headers, and answers its PRACK.
    pub fn progress(&mut self, callee: &Dialed, (code, rseq): (u16, u32), body: &str, extra: &str) {
        let text = callee
            .answer(code, body)
            .replace("Contact:", &format!("{extra}Require: 100rel\r\nRSeq: {rseq}\r\nContact:"));
        self.receive(&callee.peer, text);
        let prack = self.expect(&callee.peer, "PRACK sip:bob@");
        assert_eq!(prack.header("RAck"), format!("{rseq} 1 INVITE"));
        assert!(prack.body().is_empty());
        self.receive(&callee.peer, callee.respond(&prack, 200, ""));
    }

    /// Acknowledges a reliable response for the caller.
    pub fn prack(&mut self, caller: &mut Dialing, answer: &Sent, body: &str) {
        assert_eq!(answer.header("Require"), "100rel");
        caller.to_tag = answer.tag("To");
        caller.cseq += 1;
        let rack = format!("RAck: {} 1 INVITE\r\n", answer.header("RSeq"));
        self.receive(CARRIER, caller.request("PRACK", body, &rack));
    }

    /// Acknowledges the 2xx to the caller's INVITE.
    pub fn ack(&mut self, caller: &Dialing, body: &str) {
        self.receive(CARRIER, Dialing { cseq: 1, ..caller.clone() }.request("ACK", body, ""));
    }
}
