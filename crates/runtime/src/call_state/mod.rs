//! State of answered calls in a file, from which the process after a crash continues them (`[edge] state = "file"`).
//!
//! [`feed`] follows the gateway's changes in the signalling loop, [`writer`] writes them in a thread of its own, and
//! [`left`] reads the file of a crashed process. `frames` is the format of the file; [`report`] has the figures for
//! metrics and `status`. [`feed`] imports [`writer`], which imports `frames` and [`report`]; [`left`] imports `frames`.

pub mod feed;
pub(crate) mod frames;
pub mod left;
pub mod report;
pub mod writer;

/// Name of the state file in the state directory.
pub const FILE_NAME: &str = "calls.state";
