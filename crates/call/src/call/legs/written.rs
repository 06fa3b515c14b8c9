//! Session description stored as text. A parsed description needs five times the memory, and a call parses it only a
//! few times.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_sdp::SessionDescription;

/// Typical maximum size of a description in bytes, so that one allocation is enough.
const USUAL_BYTES: usize = 512;

/// Session description as text. It may contain SRTP keys, which `Debug` omits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written(Arc<str>);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(…)")
    }
}

impl Written {
    /// Formats a description.
    pub(crate) fn new(description: &SessionDescription) -> Written {
        let mut text = String::with_capacity(USUAL_BYTES);
        // Writing into a String cannot fail.
        let _ = write!(text, "{description}");
        Written(text.into())
    }

    /// Parses the description; `None` if the text is not a description.
    pub(crate) fn read(&self) -> Option<SessionDescription> {
        SessionDescription::parse_own(self.0.as_bytes()).ok()
    }

    /// Returns the text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Returns the number of m-lines.
    pub(crate) fn sections(&self) -> usize {
        self.0.lines().filter(|line| line.starts_with("m=")).count()
    }

    /// Returns whether the text equals a description.
    pub(crate) fn says(&self, description: &SessionDescription) -> bool {
        *self.0 == *description.to_string()
    }

    /// Returns whether the text equals a description except for the version in `o=`.
    pub(crate) fn says_but_for_version(&self, description: &SessionDescription) -> bool {
        let mut description = description.clone();
        description.origin.version = self.version();
        self.says(&description)
    }

    /// Returns the version in the `o=` line.
    pub(crate) fn version(&self) -> u64 {
        self.origin().split(' ').nth(2).and_then(|version| version.parse().ok()).unwrap_or(1)
    }

    /// Returns whether the `o=` lines differ.
    pub(crate) fn has_other_origin(&self, other: &Written) -> bool {
        self.origin() != other.origin()
    }

    /// Returns whether the description has SDES keys (`a=crypto`).
    pub(crate) fn has_keys(&self) -> bool {
        self.0.contains("\na=crypto:")
    }

    fn origin(&self) -> &str {
        self.0.lines().find(|line| line.starts_with("o=")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: u64, attribute: &str) -> (Written, SessionDescription) {
        let text = format!(
            "v=0\r\no=- 7 {version} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0\r\na={attribute}\r\n"
        );
        let description = SessionDescription::parse(text.as_bytes()).unwrap();
        (Written::new(&description), description)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (one, description) = written(3, "ptime:20");
        assert_eq!(one.read().as_ref(), Some(&description));
        assert!(one.says(&description) && one.version() == 3 && !one.has_keys());
        assert_eq!((one.sections(), description.media.len()), (1, 1));
        let (two, other) = written(4, "ptime:20");
        assert!(!one.says(&other) && one.has_other_origin(&two) && !one.has_other_origin(&one.clone()));
        assert!(written(3, "crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x").0.has_keys());
        assert_eq!(format!("{one:?}"), "Written(…)");
    }
}
