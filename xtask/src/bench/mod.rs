//! Whole-system benchmarks: the same packets from the same generator through the edge, rtpengine and a bare relay in
//! turn, with the CPU time of each process per packet. The ratio within one run is what counts: absolute times differ
//! between machines.

mod agents;
mod amd;
mod api;
mod app;
mod bare;
mod conference;
pub(crate) mod counters;
mod crash;
pub(crate) mod dialer;
pub(crate) mod echo;
mod fork;
pub(crate) mod generator;
mod hold;
mod kinds;
pub(crate) mod line;
mod listener;
mod load;
mod memory;
mod overload;
mod packet_count;
pub(crate) mod process;
mod record;
pub(crate) mod restart;
mod rtp;
mod rtpengine;
mod sip;
pub(crate) mod speech;
pub(crate) mod srtp;
mod table;
mod upgrade;

use clap::Subcommand;

pub(crate) use bare::serve as bare_relay;
pub(crate) use echo::{Options as EchoAgent, run as echo_agent};
pub(crate) use rtpengine::Rtpengine;

/// Benchmark to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// RTP through the edge, rtpengine and a bare epoll relay.
    Rtp(rtp::Options),
    /// Calls through the edge, Kamailio, and Kamailio with its dialog module and rtpengine.
    Sip(sip::Options),
    /// Calls that an echo agent has, on the same cores.
    Agents(agents::Options),
    /// Answering-machine detection on a labelled set.
    Amd(amd::Options),
    /// Reads of the Twilio-compatible API beside live calls, and calls that it makes.
    Api(api::Options),
    /// Calls that an application has.
    App(app::Options),
    /// Calls on hold beside calls that are relayed.
    Hold(hold::Options),
    /// Calls that are recorded beside calls that are not.
    Record(record::Options),
    /// Parties of conferences beside transcoded calls, and the time from one party to the other.
    Conference(conference::Options),
    /// Instructions, system calls and wake-ups of one call.
    Counters(counters::Options),
    /// Memory of a held call by its kind, of an idle process, after many calls and after a flood.
    Memory(memory::Options),
    /// Relayed calls while the edge is replaced again and again.
    Upgrade(upgrade::Options),
    /// Relayed calls while the edge is killed and started again.
    Crash(crash::Options),
    /// Twice the calls that the edge can carry, and a flood.
    Overload(overload::Options),
}

/// Runs the benchmark; returns whether it could be measured. A ratio beyond the goal is for the reader to judge.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<bool> {
    match bench {
        Bench::Rtp(options) => rtp::run(options),
        Bench::Sip(options) => sip::run(options),
        Bench::Agents(options) => agents::run(options),
        Bench::Amd(options) => amd::run(options),
        Bench::Api(options) => api::run(options),
        Bench::App(options) => app::run(options),
        Bench::Hold(options) => hold::run(options),
        Bench::Record(options) => record::run(options),
        Bench::Conference(options) => conference::run(options),
        Bench::Counters(options) => counters::run(options),
        Bench::Memory(options) => memory::run(options),
        Bench::Upgrade(options) => upgrade::run(options),
        Bench::Crash(options) => crash::run(options),
        Bench::Overload(options) => overload::run(options),
    }
}
