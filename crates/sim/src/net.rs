//! Seeded network between the edge and all others: datagrams are lost, delayed, duplicated and reordered; streams
//! lose nothing.

use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;

/// Conditions of the network for datagrams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkConditions {
    /// Share of datagrams that are lost, from 0 to 1.
    pub loss: f64,
    /// Share of datagrams that are duplicated, from 0 to 1.
    pub duplicate: f64,
    /// Share of datagrams that later ones overtake, from 0 to 1.
    pub reorder: f64,
    /// Minimum delay of a packet, in microseconds.
    pub delay_us: u64,
    /// Maximum delay in addition to the minimum, in microseconds.
    pub spread_us: u64,
}

impl NetworkConditions {
    /// Ideal conditions: no loss and a constant delay of 1 ms.
    pub const CALM: NetworkConditions =
        NetworkConditions { loss: 0.0, duplicate: 0.0, reorder: 0.0, delay_us: 1000, spread_us: 0 };
}

/// Delivery guarantee of the transport that carries a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryGuarantee {
    /// The packet may be lost, duplicated and reordered (UDP).
    Datagram,
    /// The packet arrives once and in order (TCP).
    Stream,
}

/// Network with its random generator and current conditions.
#[derive(Debug)]
pub struct SimNetwork {
    rng: ChaCha12Rng,
    weather: NetworkConditions,
    fair: NetworkConditions,
}

impl SimNetwork {
    /// Returns a network that has `fair` as its normal conditions.
    pub fn new(seed: u64, fair: NetworkConditions) -> SimNetwork {
        SimNetwork { rng: ChaCha12Rng::seed_from_u64(seed), weather: fair, fair }
    }

    /// Changes the current conditions of the network.
    pub fn set(&mut self, weather: NetworkConditions) {
        self.weather = weather;
    }

    /// Restores the normal conditions of the network.
    pub fn clear(&mut self) {
        self.weather = self.fair;
    }

    /// Makes the ideal conditions the normal ones, from now on.
    pub(crate) fn heal(&mut self) {
        self.fair = NetworkConditions::CALM;
        self.weather = NetworkConditions::CALM;
    }

    /// Draws the times at which copies of a packet sent now arrive: none, one or two.
    pub fn arrivals(&mut self, now: Instant, carriage: DeliveryGuarantee) -> Vec<Instant> {
        let weather = self.weather;
        if carriage == DeliveryGuarantee::Stream {
            // A constant delay keeps a stream in order.
            return vec![now + Duration::from_micros(weather.delay_us)];
        }
        let copies = if self.rng.random_bool(weather.loss) {
            0
        } else {
            1 + usize::from(self.rng.random_bool(weather.duplicate))
        };
        (0..copies)
            .map(|_| {
                let late = if self.rng.random_bool(weather.reorder) { 60_000 } else { 0 };
                let spread = self.rng.random_range(0..=weather.spread_us);
                now + Duration::from_micros(weather.delay_us + spread + late)
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test's time has to begin somewhere
mod tests {
    use super::*;

    fn counted(weather: NetworkConditions, carriage: DeliveryGuarantee) -> usize {
        let mut net = SimNetwork::new(1, weather);
        let now = Instant::now();
        (0..1000).map(|_| net.arrivals(now, carriage).len()).sum()
    }

    #[test]
    fn the_weather_is_as_told() {
        let all = NetworkConditions { loss: 1.0, ..NetworkConditions::CALM };
        let twice = NetworkConditions { duplicate: 1.0, ..NetworkConditions::CALM };
        let half = NetworkConditions { loss: 0.5, ..NetworkConditions::CALM };
        assert_eq!(counted(NetworkConditions::CALM, DeliveryGuarantee::Datagram), 1000);
        assert_eq!(counted(all, DeliveryGuarantee::Datagram), 0);
        assert_eq!(counted(all, DeliveryGuarantee::Stream), 1000);
        assert_eq!(counted(twice, DeliveryGuarantee::Datagram), 2000);
        assert!((400..600).contains(&counted(half, DeliveryGuarantee::Datagram)));
    }

    #[test]
    fn a_storm_passes_and_a_healed_network_stays_so() {
        let all = NetworkConditions { loss: 1.0, ..NetworkConditions::CALM };
        let now = Instant::now();
        let mut net = SimNetwork::new(1, NetworkConditions::CALM);
        net.set(all);
        assert!(net.arrivals(now, DeliveryGuarantee::Datagram).is_empty());
        net.clear();
        assert_eq!(net.arrivals(now, DeliveryGuarantee::Datagram).len(), 1);
        let mut net = SimNetwork::new(1, all);
        net.heal();
        net.clear();
        assert_eq!(net.arrivals(now, DeliveryGuarantee::Datagram).len(), 1);
    }
}
