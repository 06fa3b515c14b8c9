//! `cargo xtask`: drivers that need more than cargo.

fn main() {}
