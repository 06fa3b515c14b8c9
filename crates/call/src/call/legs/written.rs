//! A session description at rest: its text. As a value it takes five times as much, and a call asks for it a few times in
//! its life.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_sdp::Description;

/// Octets that an ordinary description stays below: one allocation is enough for it.
const USUAL_BYTES: usize = 512;

/// A session description as text. It may hold keys, which `Debug` never shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written(Arc<str>);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(…)")
    }
}

impl Written {
    /// Writes it down.
    pub(crate) fn new(description: &Description) -> Written {
        let mut text = String::with_capacity(USUAL_BYTES);
        // Writing into a String cannot fail.
        let _ = write!(text, "{description}");
        Written(text.into())
    }
    /// As a value again; `None` for what was never a description.
    pub(crate) fn read(&self) -> Option<Description> {
        Description::parse_own(self.0.as_bytes()).ok()
    }
    /// Its text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
    /// How many m-lines it has.
    pub(crate) fn sections(&self) -> usize {
        self.0.lines().filter(|line| line.starts_with("m=")).count()
    }
    /// Whether it says the same.
    pub(crate) fn says(&self, description: &Description) -> bool {
        *self.0 == *description.to_string()
    }
    /// The same where the version in `o=` may be another one.
    pub(crate) fn says_but_for_version(&self, description: &Description) -> bool {
        let mut description = description.clone();
        description.origin.version = self.version();
        self.says(&description)
    }
    /// The version in its `o=` line.
    pub(crate) fn version(&self) -> u64 {
        self.origin().split(' ').nth(2).and_then(|version| version.parse().ok()).unwrap_or(1)
    }
    /// Whether its `o=` line is another one.
    pub(crate) fn has_other_origin(&self, other: &Written) -> bool {
        self.origin() != other.origin()
    }
    /// Whether it names keys of SRTP.
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

    fn written(version: u64, attribute: &str) -> (Written, Description) {
        let text = format!(
            "v=0\r\no=- 7 {version} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 4000 RTP/AVP 0\r\na={attribute}\r\n"
        );
        let description = Description::parse(text.as_bytes()).unwrap();
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
