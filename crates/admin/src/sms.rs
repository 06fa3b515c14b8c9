//! `POST /sms/inbound` and `POST /sms/status`: webhooks by which messaging services deliver messages to the edge, and
//! delivery reports for its own messages. Twilio's signature or the token of `[messages]` authenticates them.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rusqlite::Connection;
use tokio::sync::oneshot;
use trunkgate_call::numbers::{mask, plain};
use trunkgate_media::agent::{SIGNATURE_HEADER, sign_form};
use url::Url;

use super::ApiError;
use super::asked::has_too_many_parameters;
use super::gate::bearer;
use super::guesses::is_same_secret;
use trunkgate_config::OptOutReplies;
use trunkgate_delivery::sinks::sms::SmsOrder;
use trunkgate_delivery::sinks::sms::kept::{self, Direction, KeptMessage, Reached, Status};
use trunkgate_delivery::sinks::sms::opt_out::{Wish, reply_document};
use trunkgate_delivery::sinks::sms::outlets::STATUS_PATH;
use trunkgate_delivery::sinks::store::Commit;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_runtime::messages;
use trunkgate_system::clock;
use trunkgate_system::limits::HTTP_PARAMETERS;
use trunkgate_system::sids;

/// Path for messages to the edge, appended to `public_url`.
const PATH: &str = "/sms/inbound";

/// Maximum length of a stored text, in characters.
const BODY_CHARS: usize = 1600;

/// Maximum length of a sender or SID in a webhook's form, in characters.
const NAME_CHARS: usize = 64;

/// Length of a webhook's signature in characters: SHA-1 in base64.
const SIGNATURE_CHARS: usize = 28;

/// Returns whether a path is one of the webhooks of messaging services.
pub(super) fn is_path(path: &str) -> bool {
    [PATH, STATUS_PATH].contains(&path)
}

/// Form of a webhook from an authenticated messaging service.
struct SmsForm(Vec<(String, String)>);

impl SmsForm {
    /// Parses the body of a webhook, and authenticates its sender for the path.
    fn read(
        handle: &EdgeHandle,
        (path, query): (&str, Option<&str>),
        headers: &HeaderMap,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<SmsForm, ApiError> {
        let body = body.map_err(|error| ApiError::new(error.status(), "bad_body", error.body_text()))?;
        // The sender is not authenticated yet, so cheap checks come first.
        if has_too_many_parameters(&[&body]) {
            let message = format!("more than {HTTP_PARAMETERS} parameters");
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message));
        }
        let parsed = || form_urlencoded::parse(&body).into_owned().collect::<Vec<(String, String)>>();
        let (twilio, service, public_url) = handle.shared.running(|running| {
            let config = &running.config;
            let twilio = config.sms.as_ref().map(|sms| sms.auth_token.clone());
            (twilio, config.messages.token.clone(), config.http.public_url.clone())
        });
        if service.as_ref().is_some_and(|token| bearer(headers, token.reveal()).is_ok()) {
            return Ok(SmsForm(parsed()));
        }
        let refused = |message: &str| ApiError::new(StatusCode::FORBIDDEN, "bad_signature", message);
        let tokens: Vec<_> = twilio.into_iter().chain(service).collect();
        let (false, Some(public_url)) = (tokens.is_empty(), public_url) else {
            return Err(refused(
                "the edge cannot verify requests: [twilio] (or `token` of [messages]) or `public_url` of [http] is missing",
            ));
        };
        let given = headers.get(SIGNATURE_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
        if given.len() != SIGNATURE_CHARS {
            return Err(refused("the signature is missing or wrong"));
        }
        let (form, urls) = (parsed(), urls(&public_url, path, query));
        let is_right =
            |token: &str| urls.iter().any(|url| is_same_secret(given, sign_form(token, url, &form).as_bytes()));
        match tokens.iter().any(|token| is_right(token.reveal())) {
            true => Ok(SmsForm(form)),
            false => Err(refused("the signature is missing or wrong")),
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the SID that the messaging service has given the message.
    fn sid(&self) -> Result<Option<&str>, ApiError> {
        let name = if self.field("MessageSid").is_some() { "MessageSid" } else { "SmsSid" };
        self.name(name)
    }

    /// Returns a field that is stored and forwarded, and therefore must be short.
    fn name(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let is_usable = |value: &str| value.chars().count() <= NAME_CHARS && !value.chars().any(char::is_control);
        match self.field(name).map(str::trim) {
            Some(value) if !is_usable(value) => {
                let message = format!("{name}: at most {NAME_CHARS} characters, without control characters");
                Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message))
            }
            value => Ok(value),
        }
    }
}

/// Receives a message and replies with TwiML; responds with 403 without a valid signature or token.
pub(super) async fn inbound(
    State(handle): State<EdgeHandle>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let form = SmsForm::read(&handle, (PATH, uri.query()), &headers, body)?;
    let (replies, numbers, full_numbers) = handle.shared.running(|running| {
        let config = &running.config;
        let replies = config.sms.as_ref().map(|sms| sms.replies.clone());
        (replies.unwrap_or_else(OptOutReplies::default), config.edge.numbers.clone(), config.log.full_numbers)
    });
    let wish = Wish::of(form.field("Body").unwrap_or_default(), form.field("OptOutType"));
    let sid = form.sid()?;
    // A sender may also be a short code or a name; after STOP the edge sends nothing to it.
    let from = numbers.normalise_caller(form.name("From")?.unwrap_or_default(), None).text;
    if let (Some(wish @ (Wish::Stop | Wish::Start)), false) = (wish, from.is_empty()) {
        let (kept, wait) = oneshot::channel();
        let order = SmsOrder::Opt { recipient: from.clone(), out: wish == Wish::Stop, kept };
        let told = handle.sms.send(order).await.is_ok();
        if !told || wait.await != Ok(true) {
            // Twilio reports this error to the owner of the account, so a lost opt-out is noticed.
            let message = "the STOP or START could not be stored: it has no effect until it is sent again";
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_kept", message));
        }
        let shown = if full_numbers { from.clone() } else { mask(&from) };
        let word = if wish == Wish::Stop { "opted out of text messages" } else { "opted in to text messages" };
        tracing::info!("{shown} {word}");
    }
    receive(&handle, &form, (from, sid), wish).await?;
    Ok(([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], reply_document(&replies, wish)).into_response())
}

/// Stores a message to a number of the edge, and queues the request to the webhook of that number.
async fn receive(
    handle: &EdgeHandle,
    form: &SmsForm,
    (from, sid): (String, Option<&str>),
    wish: Option<Wish>,
) -> Result<(), ApiError> {
    let (to, is_kept) = handle.shared.running(|running| {
        let config = &running.config;
        let to = config.edge.numbers.normalise_caller(form.field("To").unwrap_or_default(), None).text;
        let is_own = config.numbers.iter().any(|own| own.number == to);
        if config.api.auth_token.is_some() && !is_own {
            let shown = |number: &str| if config.log.full_numbers { plain(number, NAME_CHARS) } else { mask(number) };
            tracing::info!(
                "message from {} to {} was discarded: its recipient is not a [[number]]",
                shown(&from),
                shown(&to)
            );
        }
        (to, config.api.auth_token.is_some() && is_own)
    });
    if !is_kept {
        return Ok(());
    }
    let not_kept = |_| {
        let message = "the message could not be stored: send it again";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_kept", message)
    };
    let now = clock::now();
    let message = KeptMessage {
        sid: sids::random("SM").map_err(not_kept)?,
        direction: Direction::Inbound,
        from: Some(from),
        service: None,
        to,
        body: form.field("Body").unwrap_or_default().chars().take(BODY_CHARS).collect(),
        status: Status::Received,
        error: None,
        callback: None,
        created: now,
        sent: Some(now),
        updated: now,
    };
    let provider = sid.map(str::to_owned);
    let opt_out = wish.map(Wish::as_str);
    let host = messages::host(handle, &message.to);
    let receive = move |store: &Connection| kept::receive(store, &message, provider.as_deref(), (opt_out, &host));
    handle.store.run(Commit::Now, receive).await.map_err(not_kept)?;
    handle.shared.sms.wake.notify_one();
    Ok(())
}

/// Receives a delivery report for a message sent by the edge: `MessageSid`, `MessageStatus`, `ErrorCode`, as from
/// Twilio.
pub(super) async fn status(
    State(handle): State<EdgeHandle>,
    uri: Uri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let form = SmsForm::read(&handle, (STATUS_PATH, uri.query()), &headers, body)?;
    let bad = |message: &str| ApiError::new(StatusCode::BAD_REQUEST, "bad_request", message);
    let sid = form.sid()?.ok_or_else(|| bad("MessageSid is missing"))?;
    let word = form.field("MessageStatus").or_else(|| form.field("SmsStatus"));
    // The status `received` exists only for messages to the edge.
    let status = word.and_then(Status::of).filter(|status| *status != Status::Received);
    let status = status.ok_or_else(|| bad("MessageStatus is missing or unknown"))?;
    let error = form.field("ErrorCode").and_then(|code| code.parse().ok());
    let of = sid.to_owned();
    let report = move |store: &Connection| kept::report(store, clock::now(), &of, Reached { status, error });
    match handle.store.run(Commit::Now, report).await {
        Ok(true) => {
            handle.shared.sms.wake.notify_one();
            Ok(StatusCode::NO_CONTENT)
        }
        Ok(false) => Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", "unknown message")),
        Err(_) => {
            let message = "the delivery report could not be stored: send it again";
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not_kept", message))
        }
    }
}

/// Returns the URLs that Twilio may have signed: the public one, with and without its port.
fn urls(public_url: &str, path_here: &str, query: Option<&str>) -> Vec<String> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let base = trunkgate_route::url_place(public_url).trim_end_matches('/');
    let mut all = vec![format!("{base}{path_here}{query}")];
    let url = Url::parse(base).ok();
    if let Some(port) = url.as_ref().and_then(Url::port_or_known_default)
        && let Some((scheme, rest)) = base.split_once("://")
    {
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let bare = authority.strip_suffix(&format!(":{port}")).unwrap_or(authority);
        all.push(format!("{scheme}://{bare}{path}{path_here}{query}"));
        all.push(format!("{scheme}://{bare}:{port}{path}{path_here}{query}"));
    }
    // Two of the three forms are equal.
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_signed_with_its_port_or_without() {
        let all = urls("https://edge.example.com/", PATH, Some("a=1"));
        assert_eq!(all, ["https://edge.example.com/sms/inbound?a=1", "https://edge.example.com:443/sms/inbound?a=1"]);
        assert!(urls("http://[::1]:8080/edge", PATH, None).contains(&"http://[::1]/edge/sms/inbound".to_owned()));
    }
}
