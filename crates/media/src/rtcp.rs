//! RTCP packets, as far as a relay needs them (RFC 3550 §6).
