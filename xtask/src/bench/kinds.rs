//! Relayed calls of the kinds for which upgrades and crashes are measured.

use std::process::Command;

use anyhow::Context as _;

use super::dialer::{Dialed, Dialer};
use super::generator::{self, Pair, Paths};
use super::listener::Listener;
use super::rtp::edge_configuration;
use super::speech::Codec;
use super::srtp::Suite;
use crate::interop::edge::Edge;

/// Kind of the relayed calls.
pub(super) struct CallKind {
    pub(super) name: &'static str,
    suite: Option<Suite>,
    /// Codec of the called side; the caller has PCMU.
    codec: Codec,
    /// Whether an agent listens to each call over a WebSocket.
    pub(super) is_forked: bool,
}

const PLAIN: CallKind = CallKind { name: "plain", suite: None, codec: Codec::Pcmu, is_forked: false };
const KINDS: [CallKind; 5] = [
    PLAIN,
    CallKind { name: "SRTP AES-CM", suite: Some(Suite::AesCm128HmacSha1_80), ..PLAIN },
    CallKind { name: "SRTP AES-GCM", suite: Some(Suite::AeadAes128Gcm), ..PLAIN },
    CallKind { name: "PCMU to PCMA", codec: Codec::Pcma, ..PLAIN },
    CallKind { name: "forked over ws://", is_forked: true, ..PLAIN },
];

/// Answered calls through an edge.
pub(super) struct RelayedCalls {
    pub(super) edge: Edge,
    pub(super) dialer: Dialer,
    pub(super) listener: Listener,
    pub(super) pairs: Vec<Pair>,
    pub(super) paths: Vec<Paths>,
    pub(super) calls: Vec<Dialed>,
}

/// Returns the kinds with a name that contains one of these parts; all of them if there is none.
pub(super) fn chosen(only: &[String]) -> impl Iterator<Item = &'static CallKind> {
    KINDS.iter().filter(|kind| only.is_empty() || only.iter().any(|part| kind.name.contains(part)))
}

impl CallKind {
    /// Starts an edge by this command, with a configuration that `configure` may change, and makes calls through it.
    pub(super) fn set_up(
        &self,
        calls: usize,
        command: Command,
        configure: impl FnOnce(String) -> String,
    ) -> anyhow::Result<RelayedCalls> {
        let (dialer, listener, codecs) = (Dialer::new()?, Listener::start()?, (Codec::Pcmu, self.codec));
        let fork = self.is_forked.then(|| format!("ws://{}/media", listener.address));
        let configuration = configure(edge_configuration(&dialer, self.is_srtp(), fork.as_deref(), codecs)?);
        let edge = Edge::start_as(command, &configuration)?;
        let pairs = generator::coded_pairs(calls, codecs)?;
        let calls = dialer.dial_all(edge.udp, &pairs, self.suite).with_context(|| edge.log_tail())?;
        let paths = calls.iter().map(|call| call.paths.clone()).collect();
        Ok(RelayedCalls { edge, dialer, listener, pairs, paths, calls })
    }

    /// Returns whether the called side uses SRTP.
    pub(super) fn is_srtp(&self) -> bool {
        self.suite.is_some()
    }
}
