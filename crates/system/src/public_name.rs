//! Public host name of an application that runs at another address (`trunkgate twilio --public`). Requests to the name
//! go to that address without TLS, with the headers of a reverse proxy that has terminated TLS. No configuration file
//! can set such a name.

use url::Url;

/// Client address in the headers of a reverse proxy; the client is the edge on this machine.
const CLIENT: &str = "127.0.0.1";

/// Public host name, with the address of its application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicName {
    name: String,
    /// Host of the application, without the brackets of an IPv6 address.
    pub host: String,
    /// Port of the application.
    pub port: u16,
}

impl PublicName {
    /// Combines the host name of a public URL with the address in the URL of the application; `None` if either URL has
    /// no host, or the application's no port.
    pub fn new(public: &Url, application: &Url) -> Option<PublicName> {
        let (name, host) = (public.host_str()?, application.host_str()?);
        let port = application.port_or_known_default()?;
        Some(PublicName { name: bare(name).to_owned(), host: bare(host).to_owned(), port })
    }

    /// Returns whether a host is the public name, ignoring case.
    pub fn is_of(&self, host: &str) -> bool {
        bare(host).eq_ignore_ascii_case(&self.name)
    }

    /// Returns the headers that a reverse proxy adds to a request; `is_tls` is true if the public URL uses TLS.
    pub fn forwarded(is_tls: bool) -> [(&'static str, &'static str); 2] {
        [("x-forwarded-for", CLIENT), ("x-forwarded-proto", if is_tls { "https" } else { "http" })]
    }
}

/// Returns a host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_its_url_alone() {
        let url = |text: &str| Url::parse(text).unwrap();
        let name = PublicName::new(&url("https://App.example.com/"), &url("http://[::1]:3000/voice")).unwrap();
        assert_eq!((name.host.as_str(), name.port), ("::1", 3000));
        for (host, is_it) in [
            ("app.example.com", true),
            ("APP.example.com", true),
            ("www.app.example.com", false),
            ("example.com", false),
            ("", false),
        ] {
            assert_eq!(name.is_of(host), is_it, "{host}");
        }
        let plain = PublicName::new(&url("https://app.example.com"), &url("http://localhost/voice")).unwrap();
        assert_eq!((plain.host.as_str(), plain.port), ("localhost", 80));
        assert_eq!(PublicName::new(&url("mailto:a"), &url("http://localhost/")), None);
    }

    #[test]
    fn a_request_has_the_headers_of_a_reverse_proxy() {
        assert_eq!(PublicName::forwarded(true)[1], ("x-forwarded-proto", "https"));
        assert_eq!(PublicName::forwarded(false)[1], ("x-forwarded-proto", "http"));
    }
}
