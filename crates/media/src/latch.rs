//! Symmetric RTP: whose packets count, and where ours go.
