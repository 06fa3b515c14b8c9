//! Integration tests of this crate, one binary: a file each subject.

mod first_match;
mod locate;
mod numbers;
