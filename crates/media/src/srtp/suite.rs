//! Supported SRTP crypto suites.

pub use trunkgate_terms::Suite;
