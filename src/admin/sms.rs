//! `POST /sms/inbound`: what people answer to texts, as Twilio passes it on. Its signature is what lets it in.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;
use trunkgate_call::numbers::mask;
use trunkgate_media::agent::{SIGNATURE_HEADER, sign_form};
use url::Url;

use super::ApiError;
use super::gate::same;
use crate::runtime::handle::Handle;
use crate::sinks::sms::SmsOrder;
use crate::sinks::sms::opt_out::Wish;

/// Where Twilio sends them, behind `public_url`.
const PATH: &str = "/sms/inbound";

/// TwiML; 403 to whoever has not signed it.
pub(super) async fn inbound(
    State(handle): State<Handle>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body.map_err(|error| ApiError::new(error.status(), "bad_body", error.body_text()))?;
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let (settings, public_url, numbers, full_numbers) = handle.shared.running(|running| {
        let config = &running.config;
        (config.sms.clone(), config.http.public_url.clone(), config.edge.numbers.clone(), config.log.full_numbers)
    });
    let refused = |message: &str| ApiError::new(StatusCode::FORBIDDEN, "bad_signature", message);
    let (Some(settings), Some(public_url)) = (settings, public_url) else {
        return Err(refused("[twilio] or public_url of [http] is missing"));
    };
    let given = headers.get(SIGNATURE_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
    let urls = urls(&public_url, uri.query());
    if !urls.iter().any(|url| same(given, sign_form(settings.auth_token.reveal(), url, &form).as_bytes())) {
        return Err(refused("the signature is missing or wrong"));
    }
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let wish = Wish::of(field("Body").unwrap_or_default(), field("OptOutType"));
    let from = numbers.normalise_caller(field("From").unwrap_or_default(), None);
    if let (Some(wish @ (Wish::Stop | Wish::Start)), true) = (wish, from.is_e164) {
        let (kept, wait) = oneshot::channel();
        let order = SmsOrder::Opt { recipient: from.text.clone(), out: wish == Wish::Stop, kept };
        let told = handle.sms.send(order).await.is_ok();
        if !told || wait.await != Ok(true) {
            // Twilio tells its account of it, and a wish is not lost in silence.
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_kept", "the opt-out could not be stored"));
        }
        let shown = if full_numbers { from.text } else { mask(&from.text) };
        let word = if wish == Wish::Stop { "opted out of text messages" } else { "opted in to text messages" };
        tracing::info!("{shown} {word}");
    }
    Ok(([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], settings.replies.twiml(wish)).into_response())
}

/// What Twilio may have signed: the URL as it is configured there, with its port or without.
fn urls(public_url: &str, query: Option<&str>) -> Vec<String> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let base = trunkgate_route::url_place(public_url).trim_end_matches('/');
    let mut all = vec![format!("{base}{PATH}{query}")];
    let url = Url::parse(base).ok();
    if let Some(port) = url.as_ref().and_then(Url::port_or_known_default)
        && let Some((scheme, rest)) = base.split_once("://")
    {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let bare = authority.strip_suffix(&format!(":{port}")).unwrap_or(authority);
        all.push(format!("{scheme}://{bare}{path}{PATH}{query}"));
        all.push(format!("{scheme}://{bare}:{port}{path}{PATH}{query}"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_signed_with_its_port_or_without() {
        let all = urls("https://edge.example.com/", Some("a=1"));
        assert_eq!(
            all,
            [
                "https://edge.example.com/sms/inbound?a=1",
                "https://edge.example.com/sms/inbound?a=1",
                "https://edge.example.com:443/sms/inbound?a=1"
            ]
        );
        assert!(urls("http://[::1]:8080/edge", None).contains(&"http://[::1]/edge/sms/inbound".to_owned()));
    }
}
