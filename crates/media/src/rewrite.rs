//! Constant offsets that keep a leg's stream continuous.
