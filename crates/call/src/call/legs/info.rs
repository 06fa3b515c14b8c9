//! Requests in a dialog that go on from one leg to the other.

use trunkgate_resources::limits::INFO_BYTES;
use trunkgate_sip::Body;

use crate::call::legs::digits::{Told, told};
use crate::call::legs::headers::Brought;

/// What an INFO, or a MESSAGE in the dialog (RFC 3428 §11), brings.
#[derive(Debug)]
pub(crate) struct Info {
    /// Its body, whatever the type.
    pub(crate) body: Option<Body>,
    /// Its Content-Disposition.
    pub(crate) disposition: Option<String>,
    /// Whether it is a MESSAGE.
    pub(crate) is_text: bool,
    /// Whether it is of a package.
    pub(crate) is_packaged: bool,
    /// Headers that may go on.
    pub(crate) headers: Brought,
}

impl Info {
    /// Returns the size in bytes of the body that would go on, with the headers that describe it.
    pub(crate) fn bytes(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |body| body.bytes.len() + body.content_type.len());
        body + self.disposition.as_ref().map_or(0, String::len)
    }
    /// Returns whether it holds a digit.
    pub(crate) fn is_digit(&self) -> bool {
        self.bytes() <= INFO_BYTES && matches!(told(self.body.as_ref()), Told::Key(..))
    }
}
