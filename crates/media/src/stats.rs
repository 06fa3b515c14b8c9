//! Loss and jitter of a received stream (RFC 3550 A.3, A.8).
