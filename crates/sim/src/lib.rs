//! Simulation of the real core between scripted phones, on virtual time and over a seeded network. A failure is
//! reproduced by its seed.
//!
//! A [`World`] has one edge (a real `call::Gateway` and real `media::Session`s), a carrier, two trunks and a phone
//! that registers (`phone::Phone`s), a registrar, scripted agents, unknown sources, DNS, and the network between
//! them. [`World::step`] advances to the next event and handles it. The invariants of [`world`] hold after each step;
//! at the end no state of any call is left.

mod credentials;
pub mod edge;
pub mod log;
pub mod net;
pub mod options;
mod places;
mod proxy;
mod registrar;
mod summary;
mod vault;
pub mod world;

pub use options::{Sabotage, SeedOptions};
pub use summary::RunSummary;
pub use world::{InvariantFailure, World};

/// Runs one seed from start to end.
///
/// # Errors
/// Returns the first violated invariant, with the seed, its options and the last events.
pub fn run(start: std::time::Instant, options: SeedOptions) -> Result<RunSummary, Box<InvariantFailure>> {
    World::new(start, options).run()
}

/// Runs seeds one after the other, each with its options as `change` returns them. Returns the failures and the sum of
/// all summaries.
pub fn run_all(
    start: std::time::Instant,
    seeds: impl Iterator<Item = u64>,
    change: impl Fn(SeedOptions) -> SeedOptions,
) -> (Vec<InvariantFailure>, RunSummary) {
    let (mut failures, mut sum) = (Vec::new(), RunSummary::default());
    for seed in seeds {
        match run(start, change(SeedOptions::of_seed(seed))) {
            Ok(summary) => sum += summary,
            Err(failure) => failures.push(*failure),
        }
    }
    (failures, sum)
}
