//! XML reader, independent of TwiML: converts bytes to a tree of elements, with character sets, well-formedness,
//! limits and positions.
//!
//! Only the five predefined entities are allowed, and a document type that declares entities is rejected. The reader
//! therefore opens no other resource, and no document expands while it is read.

mod decode;
mod element;
mod lines;
mod reader;

pub(crate) use decode::decode;
pub(crate) use element::{XmlElement, XmlNode};
pub(crate) use reader::read;
