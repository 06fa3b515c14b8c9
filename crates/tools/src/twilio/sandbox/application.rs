//! HTTP requests of scripts to the application, outside of calls: forms and callbacks.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use trunkgate_route::is_loopback_host;
use url::Url;

use trunkgate_system::public_name::PublicName;
use trunkgate_system::web;

/// Maximum size of the application's response in bytes, and request timeout.
const ANSWER: (u64, Duration) = (64 << 10, Duration::from_secs(15));
/// Media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";

/// Application under test, identified by its voice webhook.
#[derive(Debug, Clone)]
pub(super) struct Application {
    /// URL of the voice webhook, as the edge requests it.
    pub(super) url: Url,
    /// URL of the voice webhook on this machine; differs from `url` if that has a public name.
    pub(super) local: Url,
    public_name: Option<PublicName>,
}

impl Application {
    /// Creates the application for a local webhook URL; with `public`, the edge requests it by the host of that URL.
    ///
    /// # Errors
    /// Returns a message if the public URL is invalid or does not fit to the local one.
    pub(super) fn new(local: Url, public: Option<&str>) -> Result<Application, String> {
        let Some(text) = public else { return Ok(Application { url: local.clone(), local, public_name: None }) };
        let wrong = |what: &str| format!("--as {text}: {what}");
        let known = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let public = known.ok_or_else(|| wrong("not an http or https URL"))?;
        let is_bare = public.path() == "/" && public.query().is_none() && public.fragment().is_none();
        if !is_bare || !public.username().is_empty() || public.password().is_some() {
            return Err(wrong("scheme and host alone, such as https://app.example.com: the path is that of --app"));
        }
        if public.host_str().is_none_or(is_loopback_host) {
            return Err(wrong("a name of this machine, which the application has without --as"));
        }
        if local.scheme() != "http" {
            return Err(format!("--app {local}: with --as requests to the application use no TLS: write http://"));
        }
        let public_name = PublicName::new(&public, &local).ok_or_else(|| wrong("no host"))?;
        let url = rebased(&public, &local).ok_or_else(|| wrong("no URL of a webhook"))?;
        Ok(Application { url, local, public_name: Some(public_name) })
    }

    /// Returns the public name of the application; `None` if it is requested by its local address.
    pub(super) fn public_name(&self) -> Option<&PublicName> {
        self.public_name.as_ref()
    }

    /// Returns a URL as the edge requests it: a URL of the application with its public name, any other unchanged.
    pub(super) fn published(&self, url: Url) -> Url {
        let is_here = self.public_name.is_some() && url.origin() == self.local.origin();
        if is_here { rebased(&self.url, &url).unwrap_or(url) } else { url }
    }

    /// Sends a request to the application and returns the response's status. `place` is a URL, absolute or relative to
    /// the webhook.
    ///
    /// # Errors
    /// Returns a message if there is no response or its status is 4xx or 5xx.
    pub(super) async fn ask(&self, method: &str, place: &str, form: &str) -> Result<String, String> {
        let url = self.url.join(place).map_err(|error| format!("{place}: {error}"))?;
        let method = if method == "GET" { Method::GET } else { Method::POST };
        let mut request = web::request(method, &url).header(CONTENT_TYPE, FORM);
        let is_public = |name: &PublicName| url.host_str().is_some_and(|host| name.is_of(host));
        let is_public = self.public_name.as_ref().is_some_and(is_public);
        if is_public {
            for (header, value) in PublicName::forwarded(url.scheme() == "https") {
                request = request.header(header, value);
            }
        }
        let to = if is_public { &self.local } else { &url };
        send(to, request.body(Full::new(Bytes::from(form.to_owned())))).await
    }
}

/// Returns a local URL with scheme, host and port replaced by those of a public one.
fn rebased(public: &Url, local: &Url) -> Option<Url> {
    let mut url = local.clone();
    // The port is removed before the scheme changes the default port.
    url.set_port(None).ok()?;
    url.set_scheme(public.scheme()).ok()?;
    url.set_host(public.host_str()).ok()?;
    url.set_port(public.port()).ok()?;
    Some(url)
}

/// Sends a request to any URL and returns the response's status.
///
/// # Errors
/// Returns a message if there is no response or its status is 4xx or 5xx.
pub(super) async fn send(
    url: &Url,
    request: Result<hyper::Request<Full<Bytes>>, hyper::http::Error>,
) -> Result<String, String> {
    let request = request.map_err(|error| error.to_string())?;
    let asked = tokio::time::timeout(ANSWER.1, web::ask(url, request, |_| ANSWER.0)).await;
    let answer = asked.map_err(|_| format!("no answer within {} s", ANSWER.1.as_secs()))?;
    let answer = answer.map_err(|fault| fault.what().to_owned())?;
    let status = format!("HTTP {}", answer.status.as_u16());
    let body = String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default().to_owned();
    if answer.status.is_client_error() || answer.status.is_server_error() {
        return Err(if body.is_empty() { status } else { format!("{status}: {body}") });
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(public: &str) -> Result<Application, String> {
        Application::new(Url::parse("http://ann:pw@localhost:3000/voice?a=b#rc=2").unwrap(), Some(public))
    }

    #[test]
    fn a_public_url_has_the_path_of_the_webhook() {
        for (public, url) in [
            ("https://app.example.com", "https://ann:pw@app.example.com/voice?a=b#rc=2"),
            ("https://App.example.com:8443/", "https://ann:pw@app.example.com:8443/voice?a=b#rc=2"),
            ("http://app.example.com", "http://ann:pw@app.example.com/voice?a=b#rc=2"),
        ] {
            assert_eq!(application(public).unwrap().url.as_str(), url);
        }
        let known = application("https://app.example.com").unwrap();
        let published = |text: &str| known.published(Url::parse(text).unwrap()).to_string();
        assert_eq!(published("http://localhost:3000/sms"), "https://app.example.com/sms");
        assert_eq!(published("http://localhost:4000/sms"), "http://localhost:4000/sms");
        let plain = Application::new(Url::parse("http://localhost/voice").unwrap(), None).unwrap();
        assert_eq!(plain.published(plain.local.clone()), plain.url);
    }

    #[test]
    fn a_public_url_that_does_not_fit_is_refused() {
        for (public, why) in [
            ("app.example.com", "not an http or https URL"),
            ("ftp://app.example.com", "not an http or https URL"),
            ("https://app.example.com/voice", "scheme and host alone"),
            ("https://ann@app.example.com", "scheme and host alone"),
            ("https://localhost", "a name of this machine"),
            ("https://127.0.0.1:8443", "a name of this machine"),
        ] {
            let error = application(public).unwrap_err();
            assert!(error.starts_with("--as ") && error.contains(why), "{error}");
        }
        let tls = Application::new(Url::parse("https://10.0.0.7/voice").unwrap(), Some("https://app.example.com"));
        assert!(tls.unwrap_err().contains("write http://"));
    }
}
