//! `Messages` resources of the API: text messages sent through the account of `[twilio]` or the service of
//! `[messages]`, and received ones.

use jiff::SignedDuration;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::delivery::error_text;
use super::error::Error;
use super::page::PageRequest;
use super::parameters::Parameters;
use super::text::{moment, subresources};
use super::{Answer, Asked, create};
use trunkgate_config::{is_service, judge_url};
use trunkgate_delivery::sinks::sms::SmsOrder;
use trunkgate_delivery::sinks::sms::kept::{self, Direction, KeptMessage, MessageFilter, Queued, Removed, Status};
use trunkgate_delivery::sinks::sms::outlets::Outlets;
use trunkgate_delivery::sinks::sms::segments::segments;
use trunkgate_delivery::sinks::store::Commit;
use trunkgate_system::clock;
use trunkgate_system::limits::MESSAGES_QUEUED;
use trunkgate_system::sids;

/// Maximum length of a text, in characters, as on Twilio.
const BODY_CHARS: usize = 1600;
/// Maximum `ValidityPeriod`, in seconds, as on Twilio.
const VALIDITY_SECONDS: i64 = 36_000;

/// Runs `work` on the store; returns the default value if there is no store, because the first message creates it.
async fn run<T: Default + Send + 'static>(
    cx: &Asked<'_>,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, Error> {
    if !cx.handle.store.has_any() {
        return Ok(T::default());
    }
    cx.handle.store.run(Commit::Now, work).await.map_err(|error| Error::store(&error))
}

pub(super) async fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Answer, Error> {
    let page = PageRequest::take(&cx.uri("Messages"), cx.query, &mut parameters)?;
    let number = |text: Option<String>| text.map(|text| cx.number(&text));
    let sent = parameters.take_span("DateSent")?;
    let filter = MessageFilter {
        to: number(parameters.take("To")),
        from: number(parameters.take("From")),
        sent: (!sent.is_unbounded()).then_some((sent.from, sent.to)),
        behind: page.behind.clone(),
    };
    parameters.finish()?;
    let most = page.size + 1;
    let found = run(cx, move |store| kept::list(store, &filter, most)).await?;
    Ok(page.json("messages", found, KeptMessage::order, |message| json(cx, message)).into())
}

pub(super) async fn fetch(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<Answer, Error> {
    parameters.finish()?;
    let of = sid.to_owned();
    let found = run(cx, move |store| kept::find(store, &of)).await?;
    found.map(|message| json(cx, &message).into()).ok_or_else(|| Error::not_found(cx.path))
}

pub(super) async fn create(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Answer, Error> {
    let validity = take_validity(&mut parameters)?;
    let (message, has_service) = read(cx, &mut parameters)?;
    parameters.refuse_rests()?;
    parameters.finish()?;
    let outlets = cx.config(Outlets::of);
    let Some(channel) = outlets.channel(has_service) else {
        return Err(match message.service {
            Some(_) => Error::of_message(21_701, "MessagingServiceSid needs [twilio], which is not configured"),
            None => {
                Error::bad_request("No message can be sent: neither [twilio] nor `url` of [messages] is configured")
            }
        });
    };
    let (to_keep, head) = (message.clone(), Box::new(message.head(channel)));
    let (answer, answered) = tokio::sync::oneshot::channel();
    let sms = cx.handle.sms.clone();
    let expires = validity.and_then(|validity| message.created.checked_add(validity).ok());
    let queue = move |store: &Connection| kept::queue(store, &to_keep, channel, expires);
    cx.handle.store.submit(Commit::Now, queue, move |done| {
        // The message is sent even if the client disconnects. If this queue is full, the sending thread finds the
        // message in the store.
        let _ = sms.try_send(SmsOrder::Queued(head));
        let _ = answer.send(done);
    });
    let done = answered.await.unwrap_or_else(|_| Err(std::io::Error::other("the thread of the store has ended")));
    match done.map_err(|error| Error::store(&error))? {
        Queued::Done => Ok(Answer::Created(json(cx, &message))),
        Queued::OptedOut => Err(Error::opted_out(&message.to)),
        Queued::Full => {
            let what = format!("The maximum number of queued messages is reached: {MESSAGES_QUEUED}");
            Err(Error::of_message(21_611, &what))
        }
    }
}

/// Parses `ValidityPeriod`: time after which an unsent message fails; `expires` of `[sms]` may be shorter.
fn take_validity(parameters: &mut Parameters) -> Result<Option<SignedDuration>, Error> {
    const NAME: &str = "ValidityPeriod";
    let Some(text) = parameters.take(NAME) else { return Ok(None) };
    match text.parse() {
        Ok(seconds) if (1..=VALIDITY_SECONDS).contains(&seconds) => Ok(Some(SignedDuration::from_secs(seconds))),
        Ok(_) | Err(_) => Err(Error::bad_request(format!("{NAME}: 1 to {VALIDITY_SECONDS} seconds"))),
    }
}

/// Parses the message. The flag is true if the account of the named messaging service must send it (`[twilio]`); false
/// if a number in From replaces the service and `[twilio]` is not configured.
fn read(cx: &Asked<'_>, parameters: &mut Parameters) -> Result<(KeptMessage, bool), Error> {
    let numbers = cx.config(|config| config.edge.numbers.clone());
    let number = |text: &str| {
        let number = numbers.normalise(text.trim(), None).ok().filter(|number| number.is_e164);
        number.map(|number| number.text)
    };
    let to = parameters.take("To").ok_or_else(|| Error::of_message(21_604, "A 'To' phone number is required"))?;
    let to = number(&to).ok_or_else(|| Error::of_message(21_211, "Invalid 'To' Phone Number"))?;
    if !cx.config(|config| config.messages.permits(&to)) {
        return Err(Error::of_message(21_408, "`allow_prefixes` of [sms] does not permit messages to this region"));
    }
    let (from, service) = (parameters.take("From"), parameters.take("MessagingServiceSid"));
    let service = service.or_else(|| from.clone().filter(|from| is_service(from)));
    if let Some(service) = service.as_deref().filter(|service| !is_service(service)) {
        let what = format!("MessagingServiceSid: {} is not the SID of a service", super::error::shown(service));
        return Err(Error::of_message(21_701, &what));
    }
    // As at Twilio, a number given beside a service is the sender. The message is sent by the account of the service,
    // if one is configured.
    let is_named_twice = service.is_some() && from.as_ref().is_some_and(|from| !is_service(from));
    if is_named_twice && !parameters.is_strict() {
        parameters.ignore("MessagingServiceSid");
    }
    let has_service = service.is_some() && (!is_named_twice || cx.config(|config| config.sms.is_some()));
    let service = service.filter(|_| !is_named_twice || parameters.is_strict());
    let from = match (from.filter(|from| !is_service(from)), &service) {
        (None, None) => {
            return Err(Error::of_message(21_603, "A 'From' phone number or MessagingServiceSid is required"));
        }
        (None, Some(_)) => None,
        (Some(_), Some(_)) => return Err(Error::bad_request("From: not together with MessagingServiceSid")),
        (Some(from), None) => {
            let from = number(&from).ok_or_else(|| Error::of_message(21_212, "Invalid 'From' Phone Number"))?;
            if cx.number_sid(&from).is_none() {
                let message = "The 'From' phone number does not belong to this edge: add a [[number]]";
                return Err(Error::of_message(21_606, message));
            }
            Some(from)
        }
    };
    if from.as_ref() == Some(&to) {
        return Err(Error::of_message(21_266, "'To' and 'From' number cannot be the same"));
    }
    let body = parameters.take("Body").filter(|body| !body.trim().is_empty());
    let body = body.ok_or_else(|| Error::of_message(21_602, "Message body is required"))?;
    if body.chars().count() > BODY_CHARS {
        return Err(Error::of_message(21_617, &format!("The message body exceeds {BODY_CHARS} characters")));
    }
    let callback = parameters.take("StatusCallback");
    if let Some(url) = &callback {
        let reach = create::reach_of(cx, cx.config(|config| config.api.allow_private));
        judge_url("StatusCallback", url, &reach).map_err(|what| Error::of_message(21_609, &what))?;
    }
    let now = clock::now();
    let message = KeptMessage {
        sid: sids::random("SM").map_err(|error| Error::store(&error))?,
        direction: Direction::Api,
        from,
        service,
        to,
        body,
        status: Status::Queued,
        error: None,
        callback,
        created: now,
        sent: None,
        updated: now,
    };
    Ok((message, has_service))
}

pub(super) async fn delete(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<Answer, Error> {
    parameters.finish()?;
    let of = sid.to_owned();
    match run(cx, move |store| kept::remove(store, &of)).await? {
        Removed::Done => Ok(Answer::Deleted),
        Removed::Unknown => Err(Error::not_found(cx.path)),
        Removed::UnderWay => Err(Error::incomplete()),
    }
}

fn json(cx: &Asked<'_>, message: &KeptMessage) -> Value {
    let uri = cx.uri(&format!("Messages/{}", message.sid));
    json!({
        "account_sid": cx.account,
        "api_version": super::VERSION,
        "body": message.body,
        "date_created": moment(message.created),
        "date_sent": message.sent.map(moment),
        "date_updated": moment(message.updated),
        "direction": message.direction.as_str(),
        "error_code": message.error,
        "error_message": message.error.and_then(error_text),
        "from": message.from,
        "messaging_service_sid": message.service,
        "num_media": "0",
        "num_segments": segments(&message.body).to_string(),
        "price": null,
        "price_unit": null,
        "sid": message.sid,
        "status": message.status.as_str(),
        "subresource_uris": subresources(&uri, &["media"]),
        "to": message.to,
        "uri": format!("{uri}.json"),
    })
}
