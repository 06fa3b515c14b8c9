//! XML reader: bytes to a tree of elements, with character sets, well-formedness, limits and positions. Independent of
//! TwiML.
//!
//! Only the five predefined entities are allowed, and a document type that declares entities is rejected: nothing
//! outside the document is read, and nothing in it can expand.

mod decode;
mod element;
mod lines;
mod reader;

pub(crate) use decode::decode;
pub(crate) use element::{XmlElement, XmlNode};
pub(crate) use reader::read;
