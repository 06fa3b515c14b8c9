//! INFO and MESSAGE requests relayed from one leg to the other.

use trunkgate_resources::limits::INFO_BYTES;
use trunkgate_sip::MessageBody;

use crate::call::legs::digits::{ParsedInfo, parse_info};
use crate::call::legs::headers::RelayedHeaders;

/// Content of an INFO, or of a MESSAGE in the dialog (RFC 3428 §11).
#[derive(Debug)]
pub(crate) struct Info {
    /// Body of any type.
    pub(crate) body: Option<MessageBody>,
    /// Content-Disposition.
    pub(crate) disposition: Option<String>,
    /// True for a MESSAGE.
    pub(crate) is_text: bool,
    /// True if the INFO belongs to an Info package.
    pub(crate) is_packaged: bool,
    /// Headers that may be relayed.
    pub(crate) headers: RelayedHeaders,
}

impl Info {
    /// Returns the size in bytes of the relayed body with the headers that describe it.
    pub(crate) fn bytes(&self) -> usize {
        let body = self.body.as_ref().map_or(0, |body| body.bytes.len() + body.content_type.len());
        body + self.disposition.as_ref().map_or(0, String::len)
    }

    /// Returns whether the body is a DTMF digit.
    pub(crate) fn is_digit(&self) -> bool {
        self.bytes() <= INFO_BYTES && matches!(parse_info(self.body.as_ref()), ParsedInfo::Key(..))
    }
}
