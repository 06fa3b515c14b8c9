//! One end's receiving and sending state.
