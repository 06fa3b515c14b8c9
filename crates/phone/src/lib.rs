//! A softphone without I/O: places or answers calls, plays a tone and judges what it hears. The demo, the `call` verb
//! and the simulator speak through it.
