//! What became of a call, or would, for people to read: ladders, captures, the way of a call through the routes.

pub(crate) mod ladder;
pub(crate) mod pcapng;
pub(crate) mod why;
