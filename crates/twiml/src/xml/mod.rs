//! Bytes to a tree of elements: character sets, well-formedness, bounds and positions. Knows no TwiML.
//!
//! Entities other than XML's own five are refused, and so is a document type that declares any: nothing outside a
//! document is ever read, and nothing in it can grow.

mod decode;
mod element;
mod lines;
mod reader;

pub(crate) use decode::decode;
pub(crate) use element::{Element, Node};
pub(crate) use reader::read;
