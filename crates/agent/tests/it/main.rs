//! Integration tests of this crate, one binary: a file each subject.

mod bad_input;
mod conversation;
mod framing;
mod golden;
mod support;
