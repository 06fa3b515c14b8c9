//! A session in plain data: no clock, no socket, no shared counter. Take-over and restart read it back. Agents and
//! players are not in it: their sockets end with the process, and signalling connects anew. Keys of SRTP are in it, in
//! clear; what the session sends afterwards, no other may send again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::counters::EndCounters;
use crate::end::{End, Wire};
use crate::keep_alive::KeepAlive;
use crate::latch::{Known, Latch};
use crate::loss::LossRuns;
use crate::rewrite::{Outgoing, OutgoingSnapshot};
use crate::spec::{EndId, MediaId, RemoteSpec, WireSpec};
use crate::srtp::{Pair, SrtpSnapshot};
use crate::stats::Reception;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SessionSnapshot {
    /// Its id.
    pub id: MediaId,
    /// Its idle timeout, in milliseconds.
    pub idle_timeout_ms: u64,
    /// The number that its next end gets.
    pub next_serial: u32,
    /// Its ends.
    pub ends: Vec<EndSnapshot>,
    /// Its wires: from, to, how.
    pub wires: Vec<(EndId, EndId, WireSpec)>,
}

/// One of its ends.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EndSnapshot {
    /// Its name.
    pub end: EndId,
    /// A number that no other end of the session ever had.
    pub serial: u32,
    /// Where its sockets are bound.
    pub bind: SocketAddr,
    /// Its far side.
    pub remote: Option<RemoteSpec>,
    /// The RTP source that won.
    pub rtp_source: Option<SocketAddr>,
    /// The RTCP source that won.
    pub rtcp_source: Option<SocketAddr>,
    /// Knowledge of the two.
    #[serde(default)]
    pub latch: [Known; 2],
    /// How far its SRTP has come.
    #[serde(default)]
    pub srtp: Option<SrtpSnapshot>,
    /// The number of its next keep-alive packet.
    #[serde(default)]
    pub keep_alive: u16,
    /// What leaves it.
    pub outgoing: OutgoingSnapshot,
    /// RTP packets and bytes received, then sent.
    pub counted: [u64; 4],
    /// Packets missing so far.
    pub lost: u64,
    /// How often so many in a row.
    #[serde(default)]
    pub lost_in_a_row: LossRuns,
}

impl EndSnapshot {
    /// Of an end.
    pub(crate) fn of(end: &End) -> EndSnapshot {
        let counters = &end.counters;
        EndSnapshot {
            end: end.id,
            serial: end.serial,
            bind: end.bind,
            remote: end.remote.clone(),
            rtp_source: end.latch.rtp(),
            rtcp_source: end.latch.rtcp(),
            latch: end.latch.known(),
            srtp: end.srtp.as_ref().map(|srtp| srtp.snapshot()),
            keep_alive: end.keep_alive.sequence(),
            outgoing: end.outgoing.snapshot(),
            counted: [&counters.rx_packets, &counters.rx_bytes, &counters.tx_packets, &counters.tx_bytes]
                .map(|counter| counter.get()),
            lost: end.reception.lost(),
            lost_in_a_row: end.reception.lost_in_a_row(),
        }
    }
    /// Back into an end with counters of its own; its silence begins now.
    pub(crate) fn into_end(self, now: Instant) -> End {
        let counters = Arc::new(EndCounters::default());
        let [rx_packets, rx_bytes, tx_packets, tx_bytes] = self.counted;
        counters.rx_packets.set(rx_packets);
        counters.rx_bytes.set(rx_bytes);
        counters.tx_packets.set(tx_packets);
        counters.tx_bytes.set(tx_bytes);
        counters.lost.set(self.lost);
        counters.lost_in_a_row.set(&self.lost_in_a_row);
        counters.latched.set(u64::from(self.rtp_source.is_some()));
        let srtp = self.remote.as_ref().and_then(|remote| Pair::restore(remote, &self.srtp.unwrap_or_default()));
        let sources = [self.rtp_source, self.rtcp_source];
        let latch = Latch::restored(now, sources, self.latch, self.remote.as_ref());
        let withheld = self.remote.as_ref().is_some_and(|remote| latch.withholds(remote));
        End {
            srtp,
            remote: self.remote,
            withheld,
            latch,
            reception: Reception::with_lost(self.lost, self.lost_in_a_row),
            outgoing: Outgoing::restore(now, self.outgoing),
            keep_alive: KeepAlive::resumed(now, self.keep_alive),
            ..End::new(now, self.end, self.serial, self.bind, counters)
        }
    }
}

/// The wires of some ends.
pub(crate) fn wires(ends: &[End]) -> Vec<(EndId, EndId, WireSpec)> {
    let wire = |end: &End| end.wire.as_ref().map(|wire: &Wire| (end.id, wire.to, wire.spec().clone()));
    ends.iter().filter_map(wire).collect()
}
