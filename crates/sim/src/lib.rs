//! The real core between scripted phones over a seeded network, on virtual time: a failure is one number that anybody
//! can replay.
//!
//! A [`World`] holds one edge (a real `call::Gateway` and real `media::Session`s), a carrier, two trunks and a phone that
//! registers (`phone::Phone`s), a registrar, scripted agents, strangers, a name service, and the network between them. [`World::step`] jumps to the next thing that happens and
//! does it; after each step the invariants of [`world`] hold, and at the end nothing is left of any call.

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

pub use options::{Options, Sabotage};
pub use summary::Summary;
pub use world::{Failure, World};

/// Runs one seed from start to end.
///
/// # Errors
/// The first invariant that did not hold, with the seed, its options and the last events.
pub fn run(start: std::time::Instant, options: Options) -> Result<Summary, Box<Failure>> {
    World::new(start, options).run()
}

/// Runs seeds one after the other; the failures, and what all runs came to. `whole_log`: a failure has all events of its run.
pub fn run_all(
    start: std::time::Instant,
    seeds: impl Iterator<Item = u64>,
    (sabotage, whole_log): (Sabotage, bool),
) -> (Vec<Failure>, Summary) {
    let (mut failures, mut sum) = (Vec::new(), Summary::default());
    for seed in seeds {
        match run(start, Options { sabotage, whole_log, ..Options::of_seed(seed) }) {
            Ok(summary) => sum += summary,
            Err(failure) => failures.push(*failure),
        }
    }
    (failures, sum)
}
