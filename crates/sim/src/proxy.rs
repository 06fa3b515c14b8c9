//! Forking proxy before the second trunk (RFC 3261 §16). An INVITE reaches both phones of the trunk, and each answers
//! with its own tag. The edge receives every provisional response, every 2xx, and the best rejection once all phones
//! have rejected. A rejection after an early dialog is reported by 199 (RFC 6228). When a phone answers, the proxy
//! cancels the others, sometimes too late.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_sip::{Flow, Transport};

use crate::options::{Sabotage, SeedOptions};
use crate::places::{EDGE, TRUNK_B_SEAT, TRUNK_B2_SEAT};

/// Forking proxy with its state.
#[derive(Debug)]
pub(crate) struct ForkingProxy {
    rng: ChaCha12Rng,
    /// Whether the seed has a forking proxy at all.
    is_there: bool,
    /// Whether the proxy loses the second 2xx of a forked INVITE.
    loses_second: bool,
    /// Forked INVITEs by Call-ID and branch.
    forked: BTreeMap<String, ForkedInvite>,
    /// Number of INVITEs forked so far.
    forks: u64,
    /// Number of forked INVITEs that both phones have answered.
    answered_twice: u64,
}

/// INVITE that was forked to both phones.
#[derive(Debug)]
struct ForkedInvite {
    invite: Bytes,
    flow: Flow,
    /// Indices of the phones that have not yet sent a final response.
    open: Vec<usize>,
    /// Indices of the phones that have created an early dialog by a provisional response above 100.
    early: Vec<usize>,
    /// Number of phones that have answered with a 2xx.
    answered: u32,
    /// Rejection with the lowest status code so far, after that code; `None` before the first rejection.
    best: Option<(u16, Bytes)>,
}

/// Treatment of a phone's response by the proxy.
#[derive(Debug)]
pub(crate) enum ProxyDecision {
    /// Forward the response.
    On,
    /// Drop the response.
    Kept,
    /// Forward this message in place of the response.
    Instead(Bytes),
    /// Forward the response, and cancel the other phones after `late`.
    Withdraws { others: Vec<usize>, flow: Flow, cancel: Bytes, late: Duration },
}

impl ForkingProxy {
    /// Returns a proxy that behaves as a seed's options require.
    pub(crate) fn new(options: &SeedOptions) -> ForkingProxy {
        ForkingProxy {
            rng: ChaCha12Rng::seed_from_u64(options.seed ^ 0x666f_726b_666f_726b),
            is_there: options.forks,
            loses_second: options.sabotage == Sabotage::SecondAnswersAreLost,
            forked: BTreeMap::new(),
            forks: 0,
            answered_twice: 0,
        }
    }

    /// Forks a message of the edge to the phone with index `at`, if the proxy forks it, and remembers a new INVITE.
    /// Returns the index of the other phone that also receives the message; `None` if it is not an INVITE or CANCEL
    /// that is forked.
    pub(crate) fn forks_to(&mut self, at: usize, flow: Flow, bytes: &Bytes) -> Option<usize> {
        let forks = self.is_there && at == TRUNK_B_SEAT && flow.transport == Transport::Udp;
        let text = String::from_utf8_lossy(bytes);
        let begins = text.starts_with("INVITE ") && !value(&text, "To").contains(";tag=");
        if !forks || !(begins || text.starts_with("CANCEL ")) {
            return None;
        }
        let key = key(&text);
        if begins && !self.forked.contains_key(&key) {
            self.forks += 1;
            let open = vec![TRUNK_B_SEAT, TRUNK_B2_SEAT];
            let forked = ForkedInvite { invite: bytes.clone(), flow, open, early: Vec::new(), answered: 0, best: None };
            self.forked.insert(key, forked);
            return Some(TRUNK_B2_SEAT);
        }
        self.forked.contains_key(&key).then_some(TRUNK_B2_SEAT)
    }

    /// Decides how to treat a message from the phone with index `at`.
    pub(crate) fn pass(&mut self, at: usize, bytes: &Bytes) -> ProxyDecision {
        let text = String::from_utf8_lossy(bytes);
        if !text.starts_with("SIP/2.0 ") || !value(&text, "CSeq").ends_with(" INVITE") {
            return ProxyDecision::On;
        }
        let Some(forked) = self.forked.get_mut(&key(&text)) else { return ProxyDecision::On };
        let code: u16 = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        match code {
            0..=100 => return ProxyDecision::On,
            101..=199 => {
                forked.early.push(at);
                return ProxyDecision::On;
            }
            // The phone retransmits its 2xx.
            200..=299 if !forked.open.contains(&at) && !self.loses_second => {
                return ProxyDecision::On;
            }
            _ if !forked.open.contains(&at) => return ProxyDecision::Kept,
            _ => forked.open.retain(|open| *open != at),
        }
        if (200..300).contains(&code) {
            forked.answered += 1;
            self.answered_twice += u64::from(forked.answered == 2);
            if forked.answered > 1 && self.loses_second {
                return ProxyDecision::Kept;
            }
            let (others, flow) = (forked.open.clone(), forked.flow);
            let cancel = cancel_of(&String::from_utf8_lossy(&forked.invite));
            let late = Duration::from_millis(self.rng.random_range(5..4000));
            return ProxyDecision::Withdraws { others, flow: Flow { remote: EDGE, ..flow }, cancel, late };
        }
        if forked.best.as_ref().is_none_or(|(best, _)| code < *best) {
            forked.best = Some((code, bytes.clone()));
        }
        match &forked.best {
            _ if forked.answered > 0 => ProxyDecision::Kept,
            Some((_, best)) if forked.open.is_empty() => ProxyDecision::Instead(best.clone()),
            _ if forked.early.contains(&at) => ProxyDecision::Instead(terminated(&text)),
            Some(_) | None => ProxyDecision::Kept,
        }
    }

    /// Returns the number of forked INVITEs, and the number of those answered by both phones.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.forks, self.answered_twice)
    }

    /// Returns whether an INVITE with this Call-ID was forked.
    pub(crate) fn has_forked(&self, call_id: &[u8]) -> bool {
        let name = String::from_utf8_lossy(call_id);
        self.forked.keys().any(|key| key.split(' ').next() == Some(&*name))
    }
}

/// Returns the first value of a header in a message; empty if it is missing.
pub(crate) fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let named = |line: &&str| line.split_once(':').is_some_and(|(found, _)| found.trim().eq_ignore_ascii_case(name));
    text.lines().find(named).and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
}

/// Returns the key of a forked INVITE: Call-ID and branch.
fn key(text: &str) -> String {
    let branch = value(text, "Via").split(';').find_map(|part| part.strip_prefix("branch=")).unwrap_or_default();
    format!("{} {branch}", value(text, "Call-ID"))
}

/// Returns the CANCEL of an INVITE (RFC 3261 §9.1).
fn cancel_of(invite: &str) -> Bytes {
    let uri = invite.split(' ').nth(1).unwrap_or_default();
    let number = value(invite, "CSeq").split(' ').next().unwrap_or_default();
    let [via, from, to, call_id] = ["Via", "From", "To", "Call-ID"].map(|name| value(invite, name));
    format!(
        "CANCEL {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
         CSeq: {number} CANCEL\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}

/// Returns a 199 for the early dialog of a rejection.
fn terminated(refusal: &str) -> Bytes {
    let [via, from, to, call_id, cseq] = ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| value(refusal, name));
    format!(
        "SIP/2.0 199 Early Dialog Terminated\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
    )
    .into()
}
