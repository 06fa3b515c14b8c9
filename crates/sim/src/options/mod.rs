//! Options drawn from a seed before the first event: number of calls, network conditions and faults.
//!
//! The submodules draw reliable provisional responses (`early`), limits of an agent (`few`), session timers
//! (`sessions`) and transfers (`transfers`). Their effects are in `world`.

pub mod early;
pub mod few;
pub mod sessions;
pub mod transfers;

pub(crate) use early::{is_withheld, knows};

use std::fmt;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use trunkgate_phone::Srtp;

use crate::net::NetworkConditions;
use early::ProvisionalOptions;
use few::AgentLimitOptions;
use sessions::SessionTimerOptions;
use transfers::TransferOptions;

/// Deliberate fault that the invariants must detect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sabotage {
    /// No fault: all invariants must hold.
    #[default]
    Nothing,
    /// Phones never end a call, neither by script nor by timeout.
    PhonesNeverEnd,
    /// The edge misses each BYE and each response to its own BYEs.
    EdgeMissesByes,
    /// The edge inverts one bit of each media packet.
    EdgeHarmsAudio,
    /// The edge responds to messages from unknown sources.
    EdgeAnswersStrangers,
    /// Media workers never report closed ends and sessions.
    PortsAreLost,
    /// The edge shows the first trunk's credentials to the second.
    CredentialsLeak,
    /// DNS returns only dead addresses for the second trunk.
    AddressesAreLost,
    /// Every PRACK from a phone is lost.
    PracksAreLost,
    /// Phones that receive no SIP according to the seed receive it nevertheless.
    DeafPhonesHear,
    /// The edge misses each session refresh from a phone.
    RefreshesAreLost,
    /// Phones receive no NOTIFY about their transfers.
    NewsAreLost,
    /// The edge receives only the first 2xx of a forked INVITE.
    SecondAnswersAreLost,
    /// The state file misses the changes of calls that it has.
    ChangesAreMissed,
    /// Calls continue after a crash as after an upgrade: as if no time had passed and no request had been sent since
    /// they were written.
    CrashesAreIgnored,
    /// The edge does not notice that its process was stopped.
    PausesAreMissed,
}

/// Credentials between two sides, one of which may require them from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialCheck {
    /// No credentials are required.
    Nothing,
    /// Credentials are required, and the right ones are shown.
    Right,
    /// Credentials are required, but shown with a wrong password.
    Wrong,
}

/// Transport of an INVITE to the second trunk that is too long for UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OversizeTransport {
    /// UDP, as for any other INVITE.
    Never,
    /// TCP, and the phone accepts the connection.
    Taken,
    /// TCP, but the phone refuses the connection.
    Refused,
    /// TCP, and the phone accepts the connection but never responds.
    Silent,
}

/// Signalling with trunks: credentials, addresses, transport and registration.
#[derive(Debug, Clone, Copy)]
pub struct TrunkOptions {
    /// Credentials that the carrier and each trunk require from the edge.
    pub of_edge: [CredentialCheck; 3],
    /// Credentials that the edge requires from the carrier and each trunk.
    pub of_phones: [CredentialCheck; 3],
    /// Whether a proxy before the first trunk challenges the edge with 407, in place of the trunk's 401.
    pub by_proxy: bool,
    /// Whether the second trunk's name resolves to a dead address first.
    pub dead_first: bool,
    /// Whether the second trunk's name also resolves to a second phone.
    pub two_phones: bool,
    /// Transport of long INVITEs to the second trunk, as seen by its phone.
    pub oversize: OversizeTransport,
    /// Interval between OPTIONS to each address; zero sends none.
    pub options_interval: Duration,
    /// Whether the edge registers with the first trunk.
    pub registers: bool,
    /// Whether a phone registers with the edge.
    pub registrar: bool,
}

impl TrunkOptions {
    fn draw(rng: &mut ChaCha12Rng) -> TrunkOptions {
        let asked = |rng: &mut ChaCha12Rng| match rng.random_range(0..100) {
            0..60 => CredentialCheck::Nothing,
            60..92 => CredentialCheck::Right,
            _ => CredentialCheck::Wrong,
        };
        TrunkOptions {
            of_edge: [(); 3].map(|()| asked(rng)),
            of_phones: [(); 3].map(|()| asked(rng)),
            by_proxy: rng.random_bool(0.4),
            dead_first: rng.random_bool(0.3),
            two_phones: rng.random_bool(0.5),
            oversize: [
                OversizeTransport::Never,
                OversizeTransport::Never,
                OversizeTransport::Taken,
                OversizeTransport::Refused,
                OversizeTransport::Silent,
            ][rng.random_range(0..5usize)],
            options_interval: Duration::from_secs([0, 0, 5, 20, 60][rng.random_range(0..5usize)]),
            registers: rng.random_bool(0.4),
            registrar: rng.random_bool(0.4),
        }
    }
}

/// Options that a seed determines.
#[derive(Debug, Clone)]
pub struct SeedOptions {
    /// Seed of all random generators.
    pub seed: u64,
    /// Number of calls that the phones place together.
    pub calls: u32,
    /// Normal conditions of the network.
    pub weather: NetworkConditions,
    /// Period in which actions occur; after it the network becomes ideal and time continues.
    pub busy: Duration,
    /// Number of disturbances: restarts, reloads, network faults, garbage and dead peers.
    pub disturbances: u32,
    /// Trunk that the edge reaches over TCP: 0 none, 1 the first, 2 the second.
    pub tcp_trunk: u8,
    /// Whether a phone may become unreachable permanently.
    pub deaths: bool,
    /// Whether the edge may be restarted from a snapshot.
    pub restarts: bool,
    /// Time without media after which the edge ends a call.
    pub idle_timeout: Duration,
    /// Number of media port pairs of the edge.
    pub port_pairs: u16,
    /// SRTP settings of the edge and of the phone, for the carrier and each trunk.
    pub srtp: [(Srtp, Srtp); 3],
    /// Credentials, addresses, transport and registration of trunks.
    pub trust: TrunkOptions,
    /// Limits of the agent's sessions and queue.
    pub few: AgentLimitOptions,
    /// Whether the edge handles a hold locally, for the carrier and each trunk.
    pub holds_end_here: [bool; 3],
    /// Reliable provisional responses of the phones.
    pub early: ProvisionalOptions,
    /// Session timers of the edge and the phones.
    pub sessions: SessionTimerOptions,
    /// Transfers by REFER.
    pub transfers: TransferOptions,
    /// Whether a forking proxy precedes the second trunk.
    pub forks: bool,
    /// Whether phones redirect calls, to each other and to dead addresses.
    pub redirects: bool,
    /// Whether the edge has an application for calls.
    pub apps: bool,
    /// Whether the edge has a recording server.
    pub siprec: bool,
    /// Number of crashes of the edge. If there are any, it writes the state of calls to a file.
    pub crashes: u32,
    /// Number of times for which the process of the edge is stopped for a while.
    pub freezes: u32,
    /// Whether calls are compared with their restored copies after every step, not only after two random ones.
    pub restores_every_step: bool,
    /// Deliberate fault of this run.
    pub sabotage: Sabotage,
    /// Whether a failure includes all events of the run.
    pub whole_log: bool,
    /// Whether inputs and outputs of the gateway are recorded on a tape.
    pub taped: bool,
}

/// Pairs of SRTP settings (edge, phone) with which calls succeed.
const SRTP: [(Srtp, Srtp); 8] = [
    (Srtp::Off, Srtp::Off),
    (Srtp::Off, Srtp::Off),
    (Srtp::Off, Srtp::Optional),
    (Srtp::Optional, Srtp::Off),
    (Srtp::Optional, Srtp::Optional),
    (Srtp::Optional, Srtp::Required),
    (Srtp::Required, Srtp::Optional),
    (Srtp::Required, Srtp::Required),
];

impl SeedOptions {
    /// Returns the options that a seed determines.
    pub fn of_seed(seed: u64) -> SeedOptions {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x6f70_7469_6f6e_7321);
        let rough = rng.random_bool(0.6);
        let weather = if rough {
            NetworkConditions {
                loss: f64::from(rng.random_range(0..=20u32)) / 100.0,
                duplicate: f64::from(rng.random_range(0..=10u32)) / 100.0,
                reorder: f64::from(rng.random_range(0..=10u32)) / 100.0,
                delay_us: rng.random_range(100..80_000),
                spread_us: rng.random_range(0..30_000),
            }
        } else {
            NetworkConditions::CALM
        };
        let calls = rng.random_range(2..=6);
        let busy = Duration::from_secs(rng.random_range(10..40));
        SeedOptions {
            seed,
            calls,
            weather,
            busy,
            disturbances: rng.random_range(0..=6),
            tcp_trunk: rng.random_range(0..=3u8) % 3,
            deaths: rng.random_bool(0.2),
            restarts: rng.random_bool(0.4),
            idle_timeout: Duration::from_secs(rng.random_range(10..30)),
            port_pairs: if rng.random_bool(0.1) { 3 } else { 64 },
            srtp: [(); 3].map(|()| SRTP[rng.random_range(0..SRTP.len())]),
            trust: TrunkOptions::draw(&mut rng),
            few: AgentLimitOptions::draw(&mut rng),
            holds_end_here: [(); 3].map(|()| rng.random_bool(0.3)),
            early: ProvisionalOptions::draw(&mut rng),
            sessions: SessionTimerOptions::draw(&mut rng, busy),
            transfers: TransferOptions::draw(&mut rng),
            forks: rng.random_bool(0.3),
            redirects: rng.random_bool(0.3),
            apps: ChaCha12Rng::seed_from_u64(seed ^ 0x6170_7073_2121).random_bool(0.4),
            siprec: ChaCha12Rng::seed_from_u64(seed ^ 0x7661_756c_7421).random_bool(0.4),
            crashes: ChaCha12Rng::seed_from_u64(seed ^ 0x6372_6173_6821).random_range(0..8_u32).saturating_sub(4),
            freezes: ChaCha12Rng::seed_from_u64(seed ^ 0x6672_6f7a_656e_2121).random_range(0..6_u32).saturating_sub(3),
            restores_every_step: false,
            sabotage: Sabotage::Nothing,
            whole_log: false,
            taped: false,
        }
    }
}

impl fmt::Display for SeedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = &self.weather;
        write!(
            f,
            "calls={} busy={}s disturbances={} loss={} duplicate={} reorder={} delay={}+{}us tcp_trunk={} deaths={} \
             restarts={} idle={}s port_pairs={} srtp={:?} {:?} {:?} holds_end_here={:?} {:?} {:?} {:?} \
             forks={} redirects={} apps={} siprec={} crashes={} freezes={}",
            self.calls,
            self.busy.as_secs(),
            self.disturbances,
            w.loss,
            w.duplicate,
            w.reorder,
            w.delay_us,
            w.spread_us,
            self.tcp_trunk,
            self.deaths,
            self.restarts,
            self.idle_timeout.as_secs(),
            self.port_pairs,
            self.srtp,
            self.trust,
            self.few,
            self.holds_end_here,
            self.early,
            self.sessions,
            self.transfers,
            self.forks,
            self.redirects,
            self.apps,
            self.siprec,
            self.crashes,
            self.freezes
        )?;
        if self.sabotage != Sabotage::Nothing {
            write!(f, " sabotage={:?}", self.sabotage)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_means_the_same() {
        assert_eq!(SeedOptions::of_seed(9).to_string(), SeedOptions::of_seed(9).to_string());
        let different = (0..50).map(|s| SeedOptions::of_seed(s).to_string()).collect::<std::collections::BTreeSet<_>>();
        assert!(different.len() > 40);
    }
}
