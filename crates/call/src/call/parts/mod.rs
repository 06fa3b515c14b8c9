//! What concerns several rooms at once: how a call begins, what its sides and its targets come to, and requests for it.

pub(crate) mod detached;
pub(crate) mod effects;
pub(crate) mod ended;
pub(crate) mod judged;
pub(crate) mod operator;
pub(crate) mod requested;
pub(crate) mod results;
pub(crate) mod setup;
pub(crate) mod sides;
pub(crate) mod takeover;
