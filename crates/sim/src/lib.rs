//! The real core between scripted phones over a seeded network, on virtual time: a failure is one number that anybody
//! can replay.
//!
//! A [`World`] holds one edge (a real `call::Gateway` and real `media::Session`s), a carrier and two trunks
//! (`phone::Phone`s), scripted agents, strangers, and the network between them. [`World::step`] jumps to the next thing that happens and
//! does it; after each step the invariants of [`check`] hold, and at the end nothing is left of any call.

pub mod actions;
pub mod agents;
pub mod check;
pub mod edge;
pub mod log;
pub mod net;
pub mod options;
pub mod world;

pub use check::Failure;
pub use options::{Options, Sabotage};
pub use world::{Summary, World};

/// Runs one seed from start to end.
///
/// # Errors
/// The first invariant that did not hold, with the seed, its options and the last events.
pub fn run(start: std::time::Instant, options: Options) -> Result<Summary, Box<Failure>> {
    World::new(start, options).run()
}
