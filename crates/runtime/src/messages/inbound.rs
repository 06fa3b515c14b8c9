//! Messages to numbers of the edge: webhook requests and their replies.

use std::sync::Arc;

use tokio::sync::mpsc;
use trunkgate_call::numbers::mask;
use trunkgate_call::trace;
use trunkgate_twiml::{DocumentLocation, HttpMethod as ReplyMethod, ReplyKind};

use super::cookies::ConversationCookies;
use crate::apps::answers;
use crate::handle::EdgeHandle;
use crate::message_log::MessageRequest;
use trunkgate_config::{Config, PhoneNumber, is_short_code};
pub(crate) use trunkgate_delivery::sinks::sms::SmsOrder;
pub(crate) use trunkgate_delivery::sinks::sms::kept::{self, Direction, KeptMessage, Status, Withheld};
pub(crate) use trunkgate_delivery::sinks::sms::opt_out::Wish;
pub(crate) use trunkgate_delivery::sinks::sms::outlets::Outlets;
pub(crate) use trunkgate_delivery::sinks::sms::reports::Action;
pub(crate) use trunkgate_delivery::sinks::sms::segments::segments;
use trunkgate_delivery::sinks::sms::webhooks::{Answered, Means};
use trunkgate_delivery::webhooks::client::WebhookClient;
use trunkgate_delivery::webhooks::host_of;
use trunkgate_delivery::webhooks::outcome::{WebhookReply, take_cookies};
pub(crate) use trunkgate_delivery::webhooks::request::{RequestContent, RequestMethod, WebhookPurpose, WebhookRequest};
use trunkgate_system::clock;
use trunkgate_system::limits::{MESSAGE_LOOP_SECONDS, MESSAGE_REPLIES, MESSAGES_QUEUED};
use trunkgate_system::sids;

/// Maximum number of documents that are requested for one message.
const REDIRECTS: usize = 10;
/// Maximum length of a reply in characters.
const BODY_CHARS: usize = 1600;
/// Twilio's error code for documents that redirect too often.
const TOO_MANY_REDIRECTS: u32 = 11_215;
/// Twilio's error code for a response that is not a document.
const BAD_CONTENT: u32 = 12_300;

/// Document that could not be fetched or run.
struct DocumentFailure {
    /// Twilio's error code.
    code: u32,
    what: String,
    url: String,
}

/// Received message, with the opt-out keyword in its text as named by Twilio.
struct Inbound {
    message: KeptMessage,
    opt_out: Option<String>,
}

/// Requests for one received message, with the data needed for them.
struct WebhookExchange<'a> {
    handle: &'a EdgeHandle,
    client: &'a WebhookClient,
    cookies: &'a ConversationCookies,
    inbound: &'a Inbound,
    allow_private: bool,
}

/// Message to be sent according to a reply.
struct OutboundReply {
    to: Option<String>,
    from: Option<String>,
    body: String,
    callback: Option<String>,
    action: Option<Action>,
}

/// Returns the functions by which the message store runs the webhooks of received messages.
pub(super) fn means(handle: &EdgeHandle, cookies: &Arc<ConversationCookies>) -> Means {
    let (requesting, cookies, client) = (handle.clone(), Arc::clone(cookies), Arc::new(WebhookClient::new()));
    let sms = handle.sms.clone();
    Means {
        request: Box::new(move |message, opt_out| {
            let (handle, cookies, client) = (requesting.clone(), Arc::clone(&cookies), Arc::clone(&client));
            let inbound = Inbound { message, opt_out };
            Box::pin(async move { request(&handle, &client, &cookies, &inbound).await })
        }),
        answered: Box::new(move |answered| note(&sms, answered)),
    }
}

/// Returns host and port of the webhook for messages to a number; empty if there is none.
pub fn host(handle: &EdgeHandle, number: &str) -> String {
    let url = first(handle, number).and_then(|(_, urls)| urls.into_iter().next());
    url.map(|(url, _)| host_of(&url)).unwrap_or_default()
}

/// Returns the first webhook URL for messages to a number.
pub fn first_url(handle: &EdgeHandle, number: &str) -> Option<String> {
    first(handle, number)?.1.into_iter().next().map(|(url, _)| url)
}

/// Requests the webhook of a received message; returns the replies.
async fn request(
    handle: &EdgeHandle,
    client: &WebhookClient,
    cookies: &ConversationCookies,
    inbound: &Inbound,
) -> Vec<kept::Reply> {
    let sid = &inbound.message.sid;
    let wanted = match first(handle, &inbound.message.to) {
        Some((allow_private, urls)) => {
            WebhookExchange { handle, client, cookies, inbound, allow_private }.run(urls).await
        }
        None => Vec::new(),
    };
    let (outlets, numbers) =
        handle.shared.running(|running| (Outlets::of(&running.config), running.config.numbers.clone()));
    let is_stop = inbound.opt_out.as_deref() == Some(Wish::Stop.as_str());
    let replies = wanted.into_iter().filter_map(|wanted| {
        let made = reply(handle, &inbound.message, &numbers, &wanted);
        let made = made.and_then(|message| match is_stop && Some(&message.to) == inbound.message.from.as_ref() {
            true => Err("its recipient has just opted out (STOP)"),
            false => Ok(message),
        });
        let channel = outlets.channel(false).ok_or("neither [twilio] nor `url` of [messages] is configured");
        match made.and_then(|message| Ok((message, channel?))) {
            Ok((message, channel)) => Some((message, channel, wanted.action)),
            Err(why) => {
                tracing::warn!("message {sid}: a reply is not sent: {why}");
                None
            }
        }
    });
    replies.collect()
}

/// Starts to send queued replies, and logs those that were not queued.
fn note(sms: &mpsc::Sender<SmsOrder>, (sid, replies, withheld): Answered) {
    let Withheld { opted_out, looped, full } = withheld;
    if full > 0 {
        tracing::warn!(
            "message {sid}: replies not sent: {full}, because the limit of {MESSAGES_QUEUED} queued messages is reached (30001)"
        );
    }
    if opted_out > 0 {
        tracing::info!("message {sid}: replies not sent: {opted_out}, because the recipient opted out (STOP)");
    }
    if looped > 0 {
        tracing::warn!(
            "message {sid}: replies not sent: {looped}, because there were more than {MESSAGE_REPLIES} to one recipient in \
             {MESSAGE_LOOP_SECONDS} s, as in a loop of automatic replies (14107)"
        );
    }
    for head in replies {
        let _ = sms.try_send(SmsOrder::Queued(Box::new(head)));
    }
}

/// Returns whether webhook URLs of a number may lead to private addresses: by the number's application if it has one,
/// otherwise by `[api]`.
pub(super) fn allows_private(config: &Config, number: &str) -> bool {
    let own = config.numbers.iter().filter(|one| one.number == number);
    let app = own.filter_map(|one| config.apps.iter().find(|app| one.app.as_deref() == Some(&*app.name))).next();
    app.map_or(config.api.allow_private, |app| app.allow_private)
}

/// Returns the webhook URLs for messages to a number with their methods (the second URL is the fallback), and whether
/// they may lead to private addresses; `None` without a URL.
fn first(handle: &EdgeHandle, to: &str) -> Option<(bool, Vec<(String, RequestMethod)>)> {
    handle.shared.running(|running| {
        let config: &Config = &running.config;
        let mut own = config.numbers.iter().filter(|one| one.number == to);
        let number = own.clone().find(|one| one.sms.url.is_some()).or_else(|| own.next())?;
        let allow_private = allows_private(config, to);
        let is_get = |method: trunkgate_route::WebhookMethod| method == trunkgate_route::WebhookMethod::Get;
        let method = |method| if is_get(method) { RequestMethod::Get } else { RequestMethod::Post };
        match (&number.sms.url, &config.messages.inbound) {
            (Some(url), _) => {
                let fallback = number.sms.fallback_url.clone().map(|url| (url, method(number.sms.fallback_method)));
                let urls = std::iter::once((url.clone(), method(number.sms.method))).chain(fallback);
                Some((allow_private, urls.collect()))
            }
            (None, Some(url)) => Some((config.api.allow_private, vec![(url.clone(), RequestMethod::Post)])),
            (None, None) => None,
        }
    })
}

impl WebhookExchange<'_> {
    /// Requests the URLs in order until one returns a document; returns its replies, none if all fail.
    async fn run(&self, urls: Vec<(String, RequestMethod)>) -> Vec<OutboundReply> {
        let (log, number) = (&self.handle.shared.message_webhooks, &self.inbound.message.to);
        let first = urls.first().map(|(url, _)| url.clone()).unwrap_or_default();
        let mut error = None;
        for (url, method) in urls {
            match self.documents(url, method, error.as_ref()).await {
                Ok(wanted) => {
                    log.note_message(number, &first, None);
                    return wanted;
                }
                Err(failed) => {
                    let sid = &self.inbound.message.sid;
                    tracing::warn!("message {sid}: its webhook failed: error {}: {}", failed.code, failed.what);
                    error = Some(failed);
                }
            }
        }
        log.note_message(number, &first, error.as_ref().map(|failed| (failed.code, failed.what.as_str())));
        Vec::new()
    }

    /// Requests a document and those that it redirects to.
    async fn documents(
        &self,
        url: String,
        method: RequestMethod,
        error: Option<&DocumentFailure>,
    ) -> Result<Vec<OutboundReply>, DocumentFailure> {
        let (mut url, mut method, mut wanted) = (url, method, Vec::new());
        for _ in 0..=REDIRECTS {
            let (reply, shown) = self.request(&url, method, error).await?;
            let place = DocumentLocation::url(&reply.final_url).map_err(|what| (BAD_CONTENT, what));
            let next = place.and_then(|place| read(&reply, &place, &mut wanted));
            self.note(shown, next.as_ref().err().cloned());
            match next.map_err(|(code, what)| DocumentFailure { code, what, url: url.clone() })? {
                Some(next) => (url, method) = next,
                None => return Ok(wanted),
            }
        }
        Err(DocumentFailure { code: TOO_MANY_REDIRECTS, what: format!("more than {REDIRECTS} Redirects"), url })
    }

    /// Adds a request to the message log, with the error code and cause of its failure.
    fn note(&self, webhook: trace::WebhookExchange, failure: Option<(u32, String)>) {
        let error = failure.as_ref().and_then(|(code, _)| u16::try_from(*code).ok());
        let message = &self.inbound.message;
        self.handle.shared.message_webhooks.add(MessageRequest {
            at: clock::now(),
            message: message.sid.clone(),
            number: message.to.clone(),
            failure,
            webhook: trace::WebhookExchange { error, ..webhook }.redacted(),
        });
    }

    async fn request(
        &self,
        url: &str,
        method: RequestMethod,
        error: Option<&DocumentFailure>,
    ) -> Result<(WebhookReply, trace::WebhookExchange), DocumentFailure> {
        let shared = &self.handle.shared;
        let (reach, auth_token, account) = shared.running(|running| {
            let reach = shared.own.borrow().reach(self.allow_private, &running.interfaces);
            (reach, running.config.api.auth_token.clone(), running.boot.api.account_sid.clone())
        });
        let mut parameters = self.parameters(account);
        if let Some(DocumentFailure { code, url, .. }) = error {
            parameters.push(("ErrorCode".to_owned(), code.to_string()));
            let url = DocumentLocation::Url(url.clone()).without_secrets();
            parameters.extend(url.map(|url| ("ErrorUrl".to_owned(), url)));
        }
        let mut request = WebhookRequest::new(url, RequestContent::Form(parameters), WebhookPurpose::Document, reach);
        (request.auth_token, request.method) = (auth_token, method);
        let (from, to) = (self.inbound.message.from.as_deref().unwrap_or_default(), &*self.inbound.message.to);
        request.cookies = Some(self.cookies.of_conversation(from, to));
        let mut result = self.client.fetch(&request).await;
        self.cookies.keep(&self.handle.store, (from, to), take_cookies(&mut result));
        let (attempts, code) = match &result {
            Ok(reply) => (&reply.attempts, None),
            Err(failure) => (&failure.attempts, Some(failure.code)),
        };
        let took = attempts.iter().map(|attempt| attempt.duration).sum();
        shared.webhooks.count(&super::NAME.into(), took, code);
        let shown = answers::of_result("message", method.name(), &result);
        match result {
            Ok(reply) => Ok((reply, shown)),
            Err(failure) => {
                self.note(shown, Some((failure.code, failure.what.clone())));
                Err(DocumentFailure { code: failure.code, what: failure.what, url: url.to_owned() })
            }
        }
    }

    fn parameters(&self, account: String) -> Vec<(String, String)> {
        let message = &self.inbound.message;
        let sid = || message.sid.clone();
        let all = [
            ("AccountSid", account),
            ("ApiVersion", "2010-04-01".to_owned()),
            ("Body", message.body.clone()),
            ("From", message.from.clone().unwrap_or_default()),
            ("MessageSid", sid()),
            ("NumMedia", "0".to_owned()),
            ("NumSegments", segments(&message.body).to_string()),
            ("SmsMessageSid", sid()),
            ("SmsSid", sid()),
            ("SmsStatus", "received".to_owned()),
            ("To", message.to.clone()),
        ];
        let opt_out = self.inbound.opt_out.clone().map(|kind| ("OptOutType", kind));
        all.into_iter().chain(opt_out).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Reads a document: adds its messages to `wanted`, and returns URL and method of a Redirect, if it has one.
///
/// # Errors
/// Returns Twilio's error code and the cause if the response is not a valid document.
fn read(
    reply: &WebhookReply,
    place: &DocumentLocation,
    wanted: &mut Vec<OutboundReply>,
) -> Result<Option<(String, RequestMethod)>, (u32, String)> {
    let text = String::from_utf8_lossy(&reply.answer.body);
    match reply.answer.media_type().as_str() {
        _ if text.trim().is_empty() => return Ok(None),
        "text/plain" => {
            let body = text.trim().to_owned();
            wanted.push(OutboundReply { to: None, from: None, body, callback: None, action: None });
            return Ok(None);
        }
        "text/xml" | "application/xml" | "text/html" => {}
        other => return Err((BAD_CONTENT, format!("a reply of type \"{other}\"; expected text/xml or text/plain"))),
    }
    let document = trunkgate_twiml::parse_messaging(&text).map_err(|error| {
        (
            u32::from(error.code),
            format!("line {}, column {}: {}", error.position.line, error.position.column, error.message),
        )
    })?;
    let method_of =
        |method: ReplyMethod| if method == ReplyMethod::Get { RequestMethod::Get } else { RequestMethod::Post };
    for reply in document.replies {
        match reply.kind {
            ReplyKind::Message { to, from, body, action, method, status, .. } => {
                let url = |text: Option<String>| text.map(|text| place.resolve_url(&text)).transpose();
                let bad = |what: String| (BAD_CONTENT, what);
                let action = url(action).map_err(bad)?.map(|url| Action { url, is_get: method == ReplyMethod::Get });
                wanted.push(OutboundReply { to, from, body, callback: url(status).map_err(bad)?, action });
            }
            ReplyKind::Redirect { url, method } => {
                let next = place.resolve_url(&url).map_err(|what| (BAD_CONTENT, what))?;
                return Ok(Some((next, method_of(method))));
            }
        }
    }
    Ok(None)
}

/// Creates the message for a reply.
fn reply(
    handle: &EdgeHandle,
    to: &KeptMessage,
    own: &[PhoneNumber],
    wanted: &OutboundReply,
) -> Result<KeptMessage, &'static str> {
    let numbers = handle.shared.running(|running| running.config.edge.numbers.clone());
    let number = |text: &str| {
        let number = numbers.normalise(text.trim(), None).ok().filter(|number| number.is_e164);
        number.map(|number| number.text)
    };
    let sender = to.from.as_deref().unwrap_or_default();
    let recipient = match &wanted.to {
        Some(text) => number(text).ok_or("`to` is not a valid phone number (14101)")?,
        None if is_short_code(sender) => sender.to_owned(),
        None => number(sender).ok_or("the sender is neither a phone number nor a short code (14101)")?,
    };
    if !handle.shared.running(|running| running.config.messages.permits(&recipient)) {
        return Err("`allow_prefixes` of [sms] does not permit messages to its recipient (21408)");
    }
    let from = match &wanted.from {
        Some(text) => number(text).ok_or("`from` is not a valid phone number (14102)")?,
        None => to.to.clone(),
    };
    if !own.iter().any(|one| one.number == from) {
        return Err("`from` is not a [[number]] (14108)");
    }
    if from == recipient {
        return Err("it would go to the number that it comes from (21266)");
    }
    let is_wider = handle.shared.running(|running| {
        let allows = |number: &str| allows_private(&running.config, number);
        allows(&from) && !allows(&to.to)
    });
    if is_wider && (wanted.callback.is_some() || wanted.action.is_some()) {
        return Err("`statusCallback` and `action` with `from` of an application that may reach private addresses");
    }
    if wanted.body.trim().is_empty() {
        return Err("it has media only, which are not sent");
    }
    if wanted.body.chars().count() > BODY_CHARS {
        return Err("its text exceeds 1600 characters (14103)");
    }
    let now = clock::now();
    let sid = sids::random("SM").map_err(|_| "the system has no random numbers")?;
    tracing::info!("message {}: reply {sid} to {}", to.sid, mask(&recipient));
    Ok(KeptMessage {
        sid,
        direction: Direction::Reply,
        from: Some(from),
        service: None,
        to: recipient,
        body: wanted.body.clone(),
        status: Status::Queued,
        error: None,
        callback: wanted.callback.clone(),
        created: now,
        sent: None,
        updated: now,
    })
}
