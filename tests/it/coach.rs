//! Agents that remain as coach of the party to which they have transferred their caller.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::conference_agents::{level, tone};
use crate::conferences::{Party, edge, hear, speak};
use crate::support::calls::NUMBER;
use crate::support::codecs::Codec;
use crate::support::listener::{Listener, Stream};
use crate::support::{Process, until};

/// Tones of the caller and of the party in Hz; `AGENT` is the agent's.
const TONES: [f64; 2] = [700.0, 1_100.0];
const AGENT: f64 = 1_900.0;
/// Action of the agent at the next message: send its tone, request the transfer, hang up, or disconnect.
const TALKS: u8 = 0;
const TRANSFERS: u8 = 1;
const HANGS_UP: u8 = 2;
const DIES: u8 = 3;

/// Caller, party to which the agent transfers the caller, and agent.
struct Rig {
    parties: Vec<Party>,
    edge: Process,
    agent: Listener,
    next: Arc<AtomicU8>,
    sid: String,
}

impl Rig {
    /// Starts a call that the party has taken over, with the agent as coach.
    fn new(codecs: [Codec; 2]) -> Rig {
        let next = Arc::<AtomicU8>::default();
        let does = Arc::clone(&next);
        let agent = Listener::doing(move |socket, stream| {
            let Some(sid) = stream.start["streamSid"].as_str() else { return true };
            let wanted = match does.swap(TALKS, Ordering::Relaxed) {
                TRANSFERS => json!({
                    "event": "transfer", "streamSid": sid, "target": format!("trunk:phone1/{NUMBER}"), "warm": { "coach": true },
                }),
                HANGS_UP => json!({ "event": "hangup", "streamSid": sid }),
                DIES => return false,
                _ => tone(sid, AGENT),
            };
            socket.send(Message::text(wanted.to_string())).is_ok()
        });
        let mut parties: Vec<Party> =
            codecs.into_iter().zip(TONES).enumerate().map(|(at, (codec, hz))| Party::new(36 + at, codec, hz)).collect();
        let tables = format!("[agent.bot]\nurl = \"{}\"\nextras = true\n", agent.url());
        let edge = edge(&parties, &tables, "agent:bot");
        parties[0].joins(&edge);
        speak(&mut parties, "the caller hears the agent", |parties| parties[0].hears(AGENT));
        next.store(TRANSFERS, Ordering::Relaxed);
        parties[1].answers();
        let sid = edge.sid();
        Rig { parties, edge, agent, next, sid }
    }

    fn stream(&self) -> Stream {
        self.agent.streams().pop().unwrap_or_default()
    }

    /// Checks that the agent coaches the party.
    fn coaches(&mut self) {
        let agent = &self.agent;
        speak(&mut self.parties, "the agent coaches the party", |parties| {
            let stream = agent.streams().pop().unwrap_or_default();
            let hears = TONES.iter().all(|hz| level(&stream, *hz) > -35.0) && level(&stream, AGENT) < -55.0;
            hears && hear(parties, |at, other| at != other) && parties[1].hears(AGENT) && !parties[0].hears(AGENT)
        });
    }

    /// Checks that caller and party hear each other, but not the agent.
    fn talk_alone(&mut self) {
        speak(&mut self.parties, "the two talk alone", |parties| {
            hear(parties, |at, other| at != other) && parties.iter().all(|party| !party.hears(AGENT))
        });
        until("the agent's stream is over", || self.stream().closed.or(self.stream().stopped.then_some(None)));
    }

    fn call(&self) -> Value {
        self.edge.json(&format!("/v1/calls/{}", self.sid))
    }

    /// Returns the end reason of the agent's leg.
    fn reason(&self) -> Value {
        let legs = self.call()["legs"].as_array().unwrap().clone();
        legs.iter()
            .find(|leg| leg["agent"] == "bot" || leg["peer"] == "bot")
            .map(|leg| leg["reason"].clone())
            .unwrap_or(json!(legs))
    }
}

#[test]
fn the_party_alone_hears_the_agent_that_coaches_it() {
    for codecs in [[Codec::Pcmu, Codec::Pcmu], [Codec::Pcma, Codec::G722]] {
        let mut rig = Rig::new(codecs);
        rig.coaches();
        let told = rig.stream().told.into_iter().find(|told| told["event"] == "transferAccepted").unwrap();
        assert_eq!(told["transferAccepted"], json!({ "target": format!("trunk:phone1/{NUMBER}"), "role": "coach" }));
        assert_eq!(rig.call()["state"], "answered");
        // Hold and resume.
        let ask = |rig: &Rig, what: &str| {
            rig.edge.post(&format!("/v1/calls/{}/{what}", rig.sid), &json!({ "party": "both" })).0
        };
        assert_eq!(ask(&rig, "hold"), 200);
        speak(&mut rig.parties, "both are on hold", |parties| {
            parties.iter().all(|party| TONES.iter().chain([&AGENT]).all(|hz| !party.hears(*hz)))
        });
        assert_eq!(ask(&rig, "resume"), 200);
        rig.coaches();
        // The agent hangs up, and the others stay.
        rig.next.store(HANGS_UP, Ordering::Relaxed);
        rig.talk_alone();
        assert_eq!((&rig.call()["state"], rig.reason()), (&json!("answered"), json!("agent_hung_up")));
        rig.parties[0].leaves();
        rig.parties[1].is_hung_up_on();
    }
}

#[test]
fn a_coach_that_dies_leaves_the_two() {
    let mut rig = Rig::new([Codec::Pcmu, Codec::Pcma]);
    rig.coaches();
    rig.next.store(DIES, Ordering::Relaxed);
    rig.talk_alone();
    assert_eq!(rig.call()["state"], "answered");
    rig.parties[0].leaves();
    rig.parties[1].is_hung_up_on();
}

#[test]
fn the_agent_s_session_ends_with_the_caller_or_the_party() {
    for by_caller in [true, false] {
        let mut rig = Rig::new([Codec::Pcmu, Codec::Pcmu]);
        rig.coaches();
        if by_caller {
            rig.parties[0].leaves();
            rig.parties[1].is_hung_up_on();
        } else {
            rig.parties[1].hangs_up();
            rig.parties[0].is_hung_up_on();
        }
        until("the agent's stream is over", || rig.stream().stopped.then_some(()));
        until("the call is over", || (rig.edge.json("/v1/status")["calls"] == 0).then_some(()));
        let reason = if by_caller { "caller_hung_up" } else { "callee_hung_up" };
        assert_eq!((&rig.call()["reason"], rig.reason()), (&json!(reason), json!(reason)));
    }
}
