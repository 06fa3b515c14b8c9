//! The `trunkgate` binary.

fn main() {}
