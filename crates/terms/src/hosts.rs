//! Host names of the edge in SIP headers.

use std::sync::Arc;

/// Host names shown to a remote party instead of the edge's address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnHosts {
    /// Host of every Contact; if `None`, the edge's address is used.
    pub contact: Option<Arc<str>>,
    /// Host of From and of caller identities in other headers; if `None`, that of `contact` is used.
    pub from: Option<Arc<str>>,
}

impl OwnHosts {
    /// Returns the host of From; `None` if it is the edge's address.
    pub fn from_host(&self) -> Option<&str> {
        self.from.as_deref().or(self.contact.as_deref())
    }

    /// Returns whether `host` is the host of Contact or From, ignoring case.
    pub fn has(&self, host: &str) -> bool {
        [&self.contact, &self.from].into_iter().flatten().any(|own| own.eq_ignore_ascii_case(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_has_the_host_of_contact_unless_it_has_its_own() {
        let contact = OwnHosts { contact: Some("sbc.example.com".into()), from: None };
        assert_eq!(contact.from_host(), Some("sbc.example.com"));
        let both = OwnHosts { from: Some("example.com".into()), ..contact };
        assert_eq!(both.from_host(), Some("example.com"));
        assert!(both.has("SBC.example.com") && both.has("example.com") && !both.has("a.example.com"));
        assert_eq!(OwnHosts::default().from_host(), None);
    }
}
