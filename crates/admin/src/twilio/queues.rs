//! `Queues` resources of the API: call queues and their waiting callers (`Members`).

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};
use trunkgate_call::{DequeueControl, QueueControl, QueueRefusal, QueueReport, QueuedCall, queues};
use trunkgate_twiml::limits::{QUEUE_CHARS, QUEUE_SIZE};

use super::conferences::stamp;
use super::error::{Error, shown};
use super::page::PageRequest;
use super::parameters::Parameters;
use super::text::{moment, subresources};
use super::{Asked, create};

/// Alias for the caller at the front of a queue, in place of a SID.
const FRONT: &str = "Front";

/// Finds a queue by its SID.
async fn find(cx: &Asked<'_>, sid: &str) -> Result<QueueReport, Error> {
    let named = sid.to_owned();
    let found = cx.handle.ask(move |gateway, now| queues(gateway).report(now, &named)).await?;
    found.ok_or_else(|| Error::not_found(cx.path))
}

pub(super) async fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let page = PageRequest::take(&cx.uri("Queues"), cx.query, &mut parameters)?;
    parameters.finish()?;
    let all = cx.handle.ask(|gateway, now| queues(gateway).reports(now)).await?;
    let shown = page.behind_key(all, |report| &report.kept.sid);
    Ok(page.json("queues", shown, |report| report.kept.sid.clone(), |report| json(cx, report)))
}

pub(super) async fn create(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let (name, most) = take_settings(&mut parameters)?;
    parameters.finish()?;
    let name = name.ok_or_else(|| Error::bad_request("FriendlyName: required"))?;
    let made = cx.handle.change(QueueControl::Create { name: name.clone(), most }).await?;
    made.map(|report| json(cx, &report)).map_err(|why| refused(cx, why, &name))
}

pub(super) async fn fetch(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<Value, Error> {
    parameters.finish()?;
    find(cx, sid).await.map(|report| json(cx, &report))
}

pub(super) async fn update(cx: &Asked<'_>, sid: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let (name, most) = take_settings(&mut parameters)?;
    parameters.finish()?;
    let changed = cx.handle.change(QueueControl::Change { sid: sid.to_owned(), name: name.clone(), most }).await?;
    changed.map(|report| json(cx, &report)).map_err(|why| refused(cx, why, &name.unwrap_or_default()))
}

/// Parses the name and the maximum size in a request to create or change a queue.
fn take_settings(parameters: &mut Parameters) -> Result<(Option<String>, Option<u32>), Error> {
    let name = parameters.take_text("FriendlyName", QUEUE_CHARS)?;
    Ok((name, parameters.take_number("MaxSize", 1..=QUEUE_SIZE)?))
}

pub(super) async fn delete(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<(), Error> {
    parameters.finish()?;
    let deleted = cx.handle.change(QueueControl::Delete { sid: sid.to_owned() }).await?;
    deleted.map(drop).map_err(|why| refused(cx, why, ""))
}

pub(super) async fn members(cx: &Asked<'_>, sid: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let path = cx.uri(&format!("Queues/{sid}/Members"));
    let page = PageRequest::take(&path, cx.query, &mut parameters)?;
    parameters.finish()?;
    let report = find(cx, sid).await?;
    let shown = page.behind_key(report.members, |member| &member.call_sid);
    let key = |member: &QueuedCall| member.call_sid.clone();
    Ok(page.json("queue_members", shown, key, |member| member_json(cx, sid, member)))
}

/// Returns a waiting caller (`GET …/Queues/{sid}/Members/{call}.json`).
pub(super) async fn fetch_member(
    cx: &Asked<'_>,
    (sid, call): (&str, &str),
    parameters: Parameters,
) -> Result<Value, Error> {
    parameters.finish()?;
    let report = find(cx, sid).await?;
    let member = member_of(&report, call).ok_or_else(|| Error::not_found(cx.path))?;
    Ok(member_json(cx, sid, member))
}

fn member_of<'r>(report: &'r QueueReport, call: &str) -> Option<&'r QueuedCall> {
    match call {
        FRONT => report.members.first(),
        _ => report.members.iter().find(|member| member.call_sid == call),
    }
}

/// Removes a caller from a queue, and redirects its call to another document.
pub(super) async fn dequeue(
    cx: &Asked<'_>,
    (sid, call): (&str, &str),
    mut parameters: Parameters,
) -> Result<Value, Error> {
    let document = create::take_document(&mut parameters)?;
    parameters.finish()?;
    let document = document.ok_or_else(|| Error::bad_url("Url", "required"))?;
    let report = find(cx, sid).await?;
    let member = member_of(&report, call).ok_or_else(|| Error::not_found(cx.path))?;
    let app = cx.handle.call(&member.call_sid).await?.and_then(|call| call.app.clone());
    let app = Arc::new(create::made(cx, document, app.as_deref())?);
    // The front may have changed meanwhile, so the gateway determines it when it dequeues.
    let call = Some(call).filter(|call| *call != FRONT).map(str::to_owned);
    let done = cx.handle.change(DequeueControl { queue: sid.to_owned(), call, app }).await?;
    let member = done.ok_or_else(|| Error::not_found(cx.path))?.map_err(Error::of_redirect)?;
    Ok(member_json(cx, sid, &member))
}

/// Returns the error for a rejected request; `name` is the name of a queue in the request.
fn refused(cx: &Asked<'_>, why: QueueRefusal, name: &str) -> Error {
    match why {
        QueueRefusal::Unknown => Error::not_found(cx.path),
        QueueRefusal::NameTaken => Error::queue_exists(name),
        QueueRefusal::TooMany => Error::of(StatusCode::BAD_REQUEST, "The limit of queues is reached: delete one"),
        QueueRefusal::BadName => Error::bad_request(format!("FriendlyName: \"{}\" is not a valid name", shown(name))),
        QueueRefusal::NotEmpty => Error::bad_request("The queue is not empty: it can be deleted when no caller waits"),
        QueueRefusal::Full | QueueRefusal::AlreadyIn => Error::bad_request(why.words()),
    }
}

fn json(cx: &Asked<'_>, report: &QueueReport) -> Value {
    let uri = cx.uri(&format!("Queues/{}", report.kept.sid));
    json!({
        "account_sid": cx.account,
        "average_wait_time": report.average.as_secs(),
        "current_size": report.members.len(),
        "date_created": moment(stamp(report.kept.created)),
        "date_updated": moment(stamp(report.kept.updated)),
        "friendly_name": report.kept.name,
        "max_size": report.kept.most,
        "sid": report.kept.sid,
        "subresource_uris": subresources(&uri, &["members"]),
        "uri": format!("{uri}.json"),
    })
}

fn member_json(cx: &Asked<'_>, queue: &str, member: &QueuedCall) -> Value {
    let uri = cx.uri(&format!("Queues/{queue}/Members/{}", member.call_sid));
    json!({
        "call_sid": member.call_sid,
        "date_enqueued": moment(stamp(member.date)),
        "position": member.position,
        "queue_sid": queue,
        "uri": format!("{uri}.json"),
        "wait_time": member.waited.as_secs(),
    })
}
