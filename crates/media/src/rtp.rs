//! An RTP header, read and rewritten in place (RFC 3550 §5.1).
