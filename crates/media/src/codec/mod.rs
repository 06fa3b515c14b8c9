//! Codecs that the edge itself speaks.
