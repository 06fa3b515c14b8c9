//! What a seed decides before the first event: how many calls, what weather, what goes wrong.
//!
//! This room draws: reliable provisional responses (`early`), an agent's sessions (`few`), session timers (`sessions`) and
//! transfers (`transfers`). What happens by it is in `world`.

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

use crate::net::Weather;
use early::Early;
use few::Few;
use sessions::Kept;
use transfers::Transfers;

/// A fault put in on purpose, to show that the invariants see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sabotage {
    /// None.
    #[default]
    Nothing,
    /// Phones never end a call, neither by script nor by patience.
    PhonesNeverEnd,
    /// The edge never sees a BYE or the answer to one of its own.
    EdgeMissesByes,
    /// The edge's media changes one bit of each packet.
    EdgeHarmsAudio,
    /// The edge answers whoever speaks to it.
    EdgeAnswersStrangers,
    /// Media workers never tell that an end or a session is closed.
    PortsAreLost,
    /// The edge shows the first trunk's credentials to the second.
    CredentialsLeak,
    /// The name service knows only dead addresses of the second trunk.
    AddressesAreLost,
    /// No PRACK of a phone ever leaves it.
    PracksAreLost,
    /// Phones that are to hear no SIP any more do.
    DeafPhonesHear,
    /// The edge sees no refresh of a phone.
    RefreshesAreLost,
    /// Phones hear nothing of the transfers that they ask for.
    NewsAreLost,
    /// The edge sees no 2xx of a fork but the first.
    SecondAnswersAreLost,
}

/// Whether one side has to show credentials to the other, and what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing is asked for.
    Nothing,
    /// They are right.
    Right,
    /// The password is wrong.
    Wrong,
}

/// What a long INVITE to the second trunk goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// UDP, as any other.
    Never,
    /// TCP, which the phone there takes.
    Taken,
    /// TCP, which it refuses.
    Refused,
    /// TCP, into which nobody ever says anything.
    Silent,
}

/// Signalling with trunks: who asks whom for what, by what ways.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// What the carrier and each trunk ask of the edge.
    pub of_edge: [Asked; 3],
    /// What the edge asks of them.
    pub of_phones: [Asked; 3],
    /// Whether the first trunk stands behind a proxy that asks in its stead: 407 instead of 401.
    pub by_proxy: bool,
    /// Whether the second trunk's name leads to a dead address first.
    pub dead_first: bool,
    /// Whether its name leads to a second phone as well.
    pub two_phones: bool,
    /// Long INVITEs to it.
    pub oversize: Oversize,
    /// Between two OPTIONS to each address; zero: none.
    pub options_interval: Duration,
    /// Whether the edge registers with the first trunk.
    pub registers: bool,
    /// Whether a phone registers with the edge.
    pub registrar: bool,
}

impl Trust {
    fn draw(rng: &mut ChaCha12Rng) -> Trust {
        let asked = |rng: &mut ChaCha12Rng| match rng.random_range(0..100) {
            0..60 => Asked::Nothing,
            60..92 => Asked::Right,
            _ => Asked::Wrong,
        };
        Trust {
            of_edge: [(); 3].map(|()| asked(rng)),
            of_phones: [(); 3].map(|()| asked(rng)),
            by_proxy: rng.random_bool(0.4),
            dead_first: rng.random_bool(0.3),
            two_phones: rng.random_bool(0.5),
            oversize: [Oversize::Never, Oversize::Never, Oversize::Taken, Oversize::Refused, Oversize::Silent]
                [rng.random_range(0..5usize)],
            options_interval: Duration::from_secs([0, 0, 5, 20, 60][rng.random_range(0..5usize)]),
            registers: rng.random_bool(0.4),
            registrar: rng.random_bool(0.4),
        }
    }
}

/// All that a seed decides at the start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Calls to be placed.
    pub calls: u32,
    /// The network's ordinary weather.
    pub weather: Weather,
    /// How long actions go on; after it the network is healed and time runs on.
    pub busy: Duration,
    /// Further actions: restarts, reloads, storms, garbage, deaths.
    pub disturbances: u32,
    /// Which trunk is spoken to over TCP: 0 none, 1 the first, 2 the second.
    pub tcp_trunk: u8,
    /// Whether a peer may die for good.
    pub deaths: bool,
    /// Whether the edge may be restarted from a snapshot.
    pub restarts: bool,
    /// The edge's media idle timeout.
    pub idle_timeout: Duration,
    /// Media ports of the edge, in pairs.
    pub port_pairs: u16,
    /// Of the carrier and each trunk, what the edge does about SRTP and what the phone there does.
    pub srtp: [(Srtp, Srtp); 3],
    /// Signalling with trunks.
    pub trust: Trust,
    /// Sessions of an agent.
    pub few: Few,
    /// Of the carrier and each trunk, whether a hold by it ends at the edge.
    pub holds_end_here: [bool; 3],
    /// Reliable provisional answers.
    pub early: Early,
    /// Session timers.
    pub sessions: Kept,
    /// Transfers.
    pub transfers: Transfers,
    /// Whether the second trunk stands behind a proxy that forks.
    pub forks: bool,
    /// Whether phones send calls elsewhere, to each other and to nobody.
    pub redirects: bool,
    /// Whether there is an application.
    pub apps: bool,
    /// Whether there is a recording server.
    pub siprec: bool,
    /// A fault put in on purpose.
    pub sabotage: Sabotage,
    /// Whether a failure has all events of the run, not the last ones alone.
    pub whole_log: bool,
    /// Whether all that goes into the gateway and comes out of it is taken down.
    pub taped: bool,
}

/// Whose calls can be set up, one way or the other.
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

impl Options {
    /// The options of a seed.
    pub fn of_seed(seed: u64) -> Options {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0x6f70_7469_6f6e_7321);
        let rough = rng.random_bool(0.6);
        let weather = if rough {
            Weather {
                loss: f64::from(rng.random_range(0..=20u32)) / 100.0,
                duplicate: f64::from(rng.random_range(0..=10u32)) / 100.0,
                reorder: f64::from(rng.random_range(0..=10u32)) / 100.0,
                delay_us: rng.random_range(100..80_000),
                spread_us: rng.random_range(0..30_000),
            }
        } else {
            Weather::CALM
        };
        let calls = rng.random_range(2..=6);
        let busy = Duration::from_secs(rng.random_range(10..40));
        Options {
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
            trust: Trust::draw(&mut rng),
            few: Few::draw(&mut rng),
            holds_end_here: [(); 3].map(|()| rng.random_bool(0.3)),
            early: Early::draw(&mut rng),
            sessions: Kept::draw(&mut rng, busy),
            transfers: Transfers::draw(&mut rng),
            forks: rng.random_bool(0.3),
            redirects: rng.random_bool(0.3),
            apps: ChaCha12Rng::seed_from_u64(seed ^ 0x6170_7073_2121).random_bool(0.4),
            siprec: ChaCha12Rng::seed_from_u64(seed ^ 0x7661_756c_7421).random_bool(0.4),
            sabotage: Sabotage::Nothing,
            whole_log: false,
            taped: false,
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = &self.weather;
        write!(
            f,
            "calls={} busy={}s disturbances={} loss={} duplicate={} reorder={} delay={}+{}us tcp_trunk={} deaths={} \
             restarts={} idle={}s port_pairs={} srtp={:?} {:?} {:?} holds_end_here={:?} {:?} {:?} {:?} \
             forks={} redirects={} apps={} siprec={}",
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
            self.siprec
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
        assert_eq!(Options::of_seed(9).to_string(), Options::of_seed(9).to_string());
        let different = (0..50).map(|s| Options::of_seed(s).to_string()).collect::<std::collections::BTreeSet<_>>();
        assert!(different.len() > 40);
    }
}
