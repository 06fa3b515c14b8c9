//! Locations of documents and sounds, and resolution of references.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::limits::URL_BYTES;

/// Maximum number of characters of a reference shown in a message.
const SHOWN_CHARS: usize = 100;

/// Location of a document or a sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentLocation {
    /// Absolute http or https URL.
    Url(String),
    /// File, as a normalised path below the folder of static documents.
    File(String),
    /// Text supplied by a request, such as `Twiml` of the Calls API; relative references in it cannot be resolved.
    Inline,
}

impl DocumentLocation {
    /// Parses a configured URL.
    ///
    /// # Errors
    /// Returns a message if the text is too long, or is not an http or https URL.
    pub fn url(text: &str) -> Result<DocumentLocation, String> {
        match Url::parse(short(text)?) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(DocumentLocation::Url(url.into()))
            }
            Ok(_) => Err(format!("{} is not an http or https URL", shown(text))),
            Err(wrong) => Err(format!("{} is not a URL: {wrong}", shown(text))),
        }
    }

    /// Resolves a reference in the document at this location: an http or https URL or, in a file, a path below the
    /// folder of static documents. An empty reference is the document itself.
    ///
    /// # Errors
    /// Returns a message for the trace if the reference is too long, has another scheme, or leads out of the folder, or
    /// if it is empty in an inline document.
    pub fn resolve(&self, reference: &str) -> Result<DocumentLocation, String> {
        let reference = short(reference.trim())?;
        if reference.is_empty() {
            return match self {
                DocumentLocation::Inline => {
                    Err("the document has no URL of its own, so the request needs one".to_owned())
                }
                DocumentLocation::Url(_) | DocumentLocation::File(_) => Ok(self.clone()),
            };
        }
        match self {
            DocumentLocation::Url(base) => {
                let joined = Url::parse(base).and_then(|base| base.join(reference));
                match joined {
                    Ok(url) => DocumentLocation::url(url.as_str()),
                    Err(wrong) => Err(format!("{} is not a URL: {wrong}", shown(reference))),
                }
            }
            DocumentLocation::File(base) if !has_scheme(reference) => {
                below(base, reference).map(DocumentLocation::File)
            }
            DocumentLocation::File(_) | DocumentLocation::Inline => DocumentLocation::url(reference),
        }
    }

    /// Resolves a reference that must lead to an HTTP server, such as a callback.
    ///
    /// # Errors
    /// Returns a message for the trace if the reference cannot be resolved, or does not lead to an HTTP server.
    pub fn resolve_url(&self, reference: &str) -> Result<String, String> {
        match self.resolve(reference)? {
            DocumentLocation::Url(url) => Ok(url),
            DocumentLocation::File(_) | DocumentLocation::Inline => Err(format!("{} is not a URL", shown(reference))),
        }
    }

    /// Resolves a WebSocket URL; a relative URL gets the host of the document.
    ///
    /// # Errors
    /// Returns a message for the trace if the URL is too long, has another scheme than `ws` or `wss`, contains user
    /// information, or is relative in a document without a URL.
    pub fn resolve_socket(&self, reference: &str) -> Result<String, String> {
        let reference = short(reference.trim())?;
        let wrong = || format!("{} is not a wss URL", shown(reference));
        let mut url = match Url::parse(reference) {
            Ok(url) => url,
            Err(_) => match self {
                DocumentLocation::Url(base) => {
                    Url::parse(base).and_then(|base| base.join(reference)).map_err(|_| wrong())?
                }
                DocumentLocation::File(_) | DocumentLocation::Inline => return Err(wrong()),
            },
        };
        // Only a relative URL inherits the document's scheme.
        let scheme = match (url.scheme(), has_scheme(reference)) {
            ("ws" | "wss", _) => None,
            ("https", false) => Some("wss"),
            ("http", false) => Some("ws"),
            _ => return Err(wrong()),
        };
        if let Some(scheme) = scheme {
            url.set_scheme(scheme).map_err(|()| wrong())?;
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("user information in the URL of a WebSocket is not sent: use a Parameter".to_owned());
        }
        if url.has_host() { Ok(url.into()) } else { Err(wrong()) }
    }
}

impl DocumentLocation {
    /// Returns the location for disclosure to another server: a URL without user information and fragment, or the
    /// path of a file. Returns `None` for an inline document.
    pub fn without_secrets(&self) -> Option<String> {
        match self {
            DocumentLocation::Url(text) => {
                let mut url = Url::parse(text).ok()?;
                url.set_fragment(None);
                url.set_username("").ok()?;
                url.set_password(None).ok()?;
                Some(url.into())
            }
            DocumentLocation::File(path) => Some(path.clone()),
            DocumentLocation::Inline => None,
        }
    }
}

impl fmt::Display for DocumentLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentLocation::Url(text) | DocumentLocation::File(text) => f.write_str(text),
            DocumentLocation::Inline => f.write_str("(inline)"),
        }
    }
}

/// Returns the text unchanged. The length is checked before parsing, because a long host name may take milliseconds to
/// parse.
///
/// # Errors
/// Returns a message if the text is too long for a URL.
fn short(text: &str) -> Result<&str, String> {
    match text.len() <= URL_BYTES {
        true => Ok(text),
        false => Err(format!("the reference is longer than {URL_BYTES} bytes")),
    }
}

/// Returns whether a reference starts with a scheme and a colon.
fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|sign: char| sign.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    })
}

/// Returns the path of a reference relative to the file `base`.
///
/// # Errors
/// Returns a message if the reference is not a relative path, or leaves the folder of static documents.
fn below(base: &str, reference: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("the file {} {why}", shown(reference)));
    if reference.starts_with('/') || reference.contains(['\\', '\0', '?', '#', ':']) {
        return wrong("is not a path relative to the document's folder");
    }
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in reference.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return wrong("is outside of the document's folder"),
            ".." => {}
            name => parts.push(name),
        }
    }
    if parts.is_empty() { wrong("is not a file") } else { Ok(parts.join("/")) }
}

/// Returns a reference as shown in messages: a path as written, but no text that may contain passwords or tokens.
pub(crate) fn shown(reference: &str) -> String {
    match reference.contains(['@', '?', '#', ':']) || reference.starts_with("//") {
        true => "the reference".to_owned(),
        false => format!("{:?}", reference.trim().chars().take(SHOWN_CHARS).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DocumentLocation {
        DocumentLocation::Url(text.to_owned())
    }

    fn file(text: &str) -> DocumentLocation {
        DocumentLocation::File(text.to_owned())
    }

    #[test]
    fn references_are_resolved_against_the_document() {
        let base = at("https://user:pw@a.example:8443/voice/in?x=1#rc=2");
        for (reference, url) in [
            ("next", "https://user:pw@a.example:8443/voice/next"),
            ("/next?y=2", "https://user:pw@a.example:8443/next?y=2"),
            ("?y=2", "https://user:pw@a.example:8443/voice/in?y=2"),
            ("//b.example/c", "https://b.example/c"),
            ("http://b.example", "http://b.example/"),
            ("  ", "https://user:pw@a.example:8443/voice/in?x=1#rc=2"),
        ] {
            assert_eq!(base.resolve(reference), Ok(at(url)), "{reference}");
        }
    }

    #[test]
    fn a_document_from_http_never_names_a_file() {
        let base = at("https://a.example/voice");
        for reference in
            ["file:///etc/passwd", "data:text/xml,<Response/>", "ftp://a.example/", "http://", "javascript:1"]
        {
            assert!(base.resolve(reference).is_err(), "{reference}");
            assert!(DocumentLocation::Inline.resolve(reference).is_err(), "{reference}");
        }
        assert!(DocumentLocation::Inline.resolve("next").is_err());
        assert!(DocumentLocation::Inline.resolve("").is_err());
    }

    #[test]
    fn a_file_names_files_of_its_folder_and_urls() {
        let base = file("ivr/menu.xml");
        for (reference, to) in [
            ("sales.xml", file("ivr/sales.xml")),
            ("./de/../sales.xml", file("ivr/sales.xml")),
            ("../audio/a.wav", file("audio/a.wav")),
            ("https://a.example/x", at("https://a.example/x")),
            ("", base.clone()),
        ] {
            assert_eq!(base.resolve(reference), Ok(to), "{reference}");
        }
        for reference in ["/etc/passwd", "../../etc/passwd", "..\\x", "a?b", "file:///etc/passwd", "..", "c:x", "//a/b"]
        {
            assert!(base.resolve(reference).is_err(), "{reference}");
        }
        assert!(base.resolve_url("sales.xml").is_err(), "a callback goes to a server");
        assert_eq!(base.resolve_url("https://a.example/x").as_deref(), Ok("https://a.example/x"));
    }

    #[test]
    fn what_is_too_long_is_not_parsed() {
        let host = "\u{fc}.".repeat(URL_BYTES);
        let (base, fits) = (at("https://a.example/"), "x".repeat(URL_BYTES - 18));
        for place in [&base, &file("a.xml"), &DocumentLocation::Inline] {
            for scheme in ["https", "wss"] {
                let long = format!("{scheme}://{host}/");
                let what =
                    [place.resolve(&long).err(), place.resolve_url(&long).err(), place.resolve_socket(&long).err()];
                assert!(what.iter().flatten().all(|what| what.contains("longer than 4096 bytes")), "{what:?}");
                assert!(what.iter().all(Option::is_some));
            }
        }
        assert!(DocumentLocation::url(&format!("https://{host}/")).unwrap_err().contains("longer than 4096 bytes"));
        assert!(base.resolve(&fits).is_ok());
    }

    #[test]
    fn no_message_repeats_what_may_be_a_secret() {
        let base = at("https://a.example/voice/in");
        for reference in [
            "https://ann:hunter2@a.example:65536/?token=tok",
            "https://ann:hunter2@/",
            "ftp://ann:hunter2@a.example/?token=tok",
            "//ann:hunter2@a.example:65536/",
            "//hunter2",
            "/x y\\?hunter2=tok",
            "wss://ann:hunter2@a.example:65536/",
        ] {
            for place in [&base, &file("ivr/menu.xml"), &DocumentLocation::Inline] {
                for what in [place.resolve(reference).err(), place.resolve_url(reference).err()]
                    .into_iter()
                    .chain([place.resolve_socket(reference).err(), DocumentLocation::url(reference).err()])
                    .flatten()
                {
                    assert!(!what.contains("hunter2") && !what.contains("tok"), "{reference}: {what}");
                }
            }
        }
        assert_eq!(
            file("ivr/menu.xml").resolve("../../etc/x").unwrap_err(),
            "the file \"../../etc/x\" is outside of the document's folder"
        );
        let url = at("https://ann:hunter2@a.example:8443/x?y=1#rc=2");
        assert_eq!(url.without_secrets().as_deref(), Some("https://a.example:8443/x?y=1"));
        assert_eq!(file("a.xml").without_secrets().as_deref(), Some("a.xml"));
        assert_eq!(DocumentLocation::Inline.without_secrets(), None);
    }

    #[test]
    fn sockets_take_the_host_of_the_document() {
        let base = at("https://a.example/voice/in");
        for (reference, url) in [
            ("wss://b.example/ws", "wss://b.example/ws"),
            ("ws://b.example:1/ws", "ws://b.example:1/ws"),
            ("/ws", "wss://a.example/ws"),
        ] {
            assert_eq!(base.resolve_socket(reference).as_deref(), Ok(url), "{reference}");
        }
        assert_eq!(at("http://a.example/").resolve_socket("/ws").as_deref(), Ok("ws://a.example/ws"));
        for reference in ["https://a.example/ws", "tcp://x", "wss://"] {
            assert!(base.resolve_socket(reference).is_err(), "{reference}");
        }
        assert!(file("a.xml").resolve_socket("/ws").is_err());
    }
}
