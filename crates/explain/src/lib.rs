//! What became of a call, or would, for people to read: ladders, captures, the way of a call through the routes.

pub mod ladder;
pub mod pcapng;
pub mod why;
