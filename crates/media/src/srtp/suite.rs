//! The crypto suites that are spoken.

pub use trunkgate_terms::Suite;
