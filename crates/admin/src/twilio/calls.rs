//! `Calls` resources of the API: the call of a caller, and below it one call for each called party.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use trunkgate_call::redact;
use trunkgate_call::view::{LegView, is_busy_or_declined, status_of_unanswered};
use trunkgate_call::{CallAction, CallView, DetachRequest};
use trunkgate_route::{App, AppDocument, StatusCallback};

use super::error::{Error, shown};
use super::page::PageRequest;
use super::parameters::{Parameters, TimeSpan};
use super::text::{date, formatted, subresources};
use super::{Asked, create};
use trunkgate_delivery::sinks::store::calls::CallFilter;
use trunkgate_system::limits::CALLS_READ_AT_ONCE;

/// Statuses of a call, as on Twilio.
pub(super) const STATUSES: [&str; 8] =
    ["queued", "ringing", "in-progress", "canceled", "completed", "failed", "busy", "no-answer"];
/// Statuses of a call in progress, as on Twilio.
const LIVE: [&str; 3] = ["queued", "ringing", "in-progress"];
/// Number of hexadecimal digits in a SID.
const SID_DIGITS: usize = 32;
/// Length of a date of a call, such as `2026-11-20T09:00:00.000Z`, in characters.
const DATE_CHARS: usize = 24;
/// Lists below a call that `subresource_uris` names.
const BELOW: [&str; 9] = [
    "events",
    "notifications",
    "payments",
    "recordings",
    "siprec",
    "streams",
    "transcriptions",
    "user_defined_message_subscriptions",
    "user_defined_messages",
];

/// Call resource: the call of a caller, or of a called party given by its leg.
struct CallResource {
    call: Arc<CallView>,
    /// Index of the called party's leg; `None` for the caller.
    leg: Option<usize>,
}

/// Filters of a request for a list of calls.
struct CallConditions {
    to: Option<String>,
    from: Option<String>,
    parent: Option<String>,
    status: Option<String>,
    started: TimeSpan,
    ended: TimeSpan,
}

/// Lists calls (`GET …/Calls.json`).
pub(super) async fn list(cx: &Asked<'_>, mut parameters: Parameters) -> Result<Value, Error> {
    let page = PageRequest::take(&cx.uri("Calls"), cx.query, &mut parameters)?;
    let number = |text: Option<String>| text.map(|text| cx.number(&text));
    let filter = CallConditions {
        to: number(parameters.take("To")).map(|to| redact::sip_uri(&to)),
        from: number(parameters.take("From")),
        parent: parameters.take("ParentCallSid"),
        status: parameters.take("Status"),
        started: parameters.take_span("StartTime")?,
        ended: parameters.take_span("EndTime")?,
    };
    parameters.finish()?;
    if let Some(status) = filter.status.as_deref().filter(|status| !STATUSES.contains(status)) {
        return Err(Error::bad_request(format!(
            "Status: \"{}\" is not supported: use one of {}",
            shown(status),
            STATUSES.join(", ")
        )));
    }
    let behind = page.behind.as_deref().map(|key| key.split_at_checked(DATE_CHARS).unwrap_or((key, "")));
    // This list begins with the newest calls found so far; calls behind those are not compared yet.
    let mut found: Vec<CallResource> = Vec::new();
    let keep_newest = |found: &mut Vec<CallResource>| {
        found.sort_unstable_by(|one, other| other.order().cmp(&one.order()));
        found.truncate(page.size + 1);
    };
    cx.handle
        .visit_calls(|call| {
            if filter.may_have(&call) {
                let fits = |one: &CallResource| filter.has(one) && behind.is_none_or(|behind| one.order() < behind);
                found.extend(CallResource::all(&call).filter(fits));
                if found.len() > 4 * (page.size + 1) {
                    keep_newest(&mut found);
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
    keep_newest(&mut found);
    add_stored(cx, &filter, (behind, page.size), &mut found).await;
    Ok(page.json("calls", found, CallResource::key, |one| one.json(cx)))
}

/// Adds matching calls from the store to `found`, which has the newest calls in memory, until a page is full.
async fn add_stored(
    cx: &Asked<'_>,
    filter: &CallConditions,
    (behind, size): (Option<(&str, &str)>, usize),
    found: &mut Vec<CallResource>,
) {
    let stored = &cx.handle.shared.calls;
    let Some(mut wanted) = filter.of_store(behind.map(|(started, _)| started)) else { return };
    loop {
        let (calls, next) = match &filter.parent {
            Some(parent) => (with_own_calls(cx, parent).await, None),
            None => stored.part(wanted.clone(), CALLS_READ_AT_ONCE).await,
        };
        let fits = |one: &CallResource| filter.has(one) && behind.is_none_or(|behind| one.order() < behind);
        found.extend(calls.iter().filter(|call| filter.may_have(call)).flat_map(CallResource::all).filter(fits));
        found.sort_by(|one, other| other.order().cmp(&one.order()));
        // The sort is stable: of a call that is in memory and in the store, the copy in memory comes first and is kept.
        found.dedup_by(|one, before| one.sid() == before.sid());
        found.truncate(size + 1);
        let Some(next) = next else { return };
        let is_full = found.get(size).is_some_and(|last| last.order().0 > next.0.as_str());
        if is_full {
            return;
        }
        wanted.behind = next;
    }
}

/// Returns a call, followed by the calls into which its parties were detached, if they are still known.
async fn with_own_calls(cx: &Asked<'_>, parent: &str) -> Vec<Arc<CallView>> {
    let Some(call) = cx.handle.call(parent).await.ok().flatten() else { return Vec::new() };
    let own: Vec<String> = call.legs.iter().filter(|leg| leg.has_own_call).map(|leg| leg.sid.clone()).collect();
    let mut all = vec![Arc::new(call)];
    for sid in own {
        all.extend(cx.handle.shared.calls.find(&sid).await.map(Arc::new));
    }
    all
}

/// Returns a call (`GET …/Calls/{sid}.json`).
pub(super) async fn fetch(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<Value, Error> {
    parameters.finish()?;
    show(cx, sid).await
}

/// Changes a call (`POST …/Calls/{sid}.json`): ends it, redirects it to another document, or changes its status
/// callback and time limit.
pub(super) async fn update(cx: &Asked<'_>, sid: &str, mut parameters: Parameters) -> Result<Value, Error> {
    let (status, document) = (parameters.take("Status"), create::take_document(&mut parameters)?);
    let fallback = create::take_url(&mut parameters, "FallbackUrl", "FallbackMethod")?;
    let receiver = create::take_callback(&mut parameters)?;
    let limit = create::take_time_limit(&mut parameters)?;
    parameters.finish()?;
    if fallback.is_some() && document.is_none() {
        return Err(Error::bad_request("FallbackUrl: only together with Url or Twiml"));
    }
    let found = find(cx, sid).await?;
    let ends = match (status.as_deref(), &document) {
        (None, None) if receiver.is_none() && limit.is_none() => return Ok(found.json(cx)),
        (None, None | Some(_)) => false,
        (Some(_), Some(_)) => return Err(Error::bad_request("Status: not together with Url or Twiml")),
        (Some("completed"), None) => true,
        // The status `canceled` does not end an answered call.
        (Some("canceled"), None) => found.status() != "in-progress",
        (Some(other), None) => {
            return Err(Error::bad_request(format!(
                "Status: \"{}\" is not supported: use one of completed, canceled",
                shown(other)
            )));
        }
    };
    if found.call.state == "ended" || found.leg_view().is_some_and(|leg| leg.state == "ended") {
        return Err(Error::call_ended());
    }
    if found.leg.is_some() && document.is_none() && (receiver.is_some() || limit.is_some()) {
        let what = "StatusCallback and TimeLimit, without Url or Twiml, for the call of a dialled party";
        return Err(Error::later(what));
    }
    // No change is made before all of them are checked.
    let app = document.map(|document| {
        let made = create::made(cx, document, found.call.app.as_deref())?;
        let (fallback_url, fallback_method) = fallback.map(|(url, method)| (Some(url), method)).unwrap_or_default();
        let app = App { fallback_url, fallback_method, ..made };
        create::judge_reach(cx, &app).map(|()| app)
    });
    let receiver = receiver.map(|receiver| judge_receiver(cx, &found, receiver)).transpose()?;
    carry_out(cx, &found, CallChanges { app: app.transpose()?.map(Arc::new), receiver, limit, ends }).await?;
    show(cx, sid).await
}

/// Changes of a live call that a request asks for.
struct CallChanges {
    /// Application with the document that the call is redirected to.
    app: Option<Arc<App>>,
    /// Application with the new `status_callback`.
    receiver: Option<Arc<App>>,
    limit: Option<Duration>,
    /// Whether to hang up the call.
    ends: bool,
}

/// Makes the changes to a call. A called party that is redirected is detached into a call of its own, to which the new
/// status callback and time limit then apply.
async fn carry_out(cx: &Asked<'_>, found: &CallResource, changes: CallChanges) -> Result<(), Error> {
    let CallChanges { app, receiver, limit, ends } = changes;
    let call = found.call.sid.clone();
    let Some(leg) = found.leg_view() else {
        change(cx, &call, receiver, limit).await?;
        if let Some(app) = app {
            let done = cx.handle.change_call(call, CallAction::Redirect(app)).await?;
            return done.map_err(Error::of_redirect);
        }
        return if ends { Ok(cx.handle.hangup(&call).await?) } else { Ok(()) };
    };
    let party = leg.sid.clone();
    if let Some(app) = app {
        let request = DetachRequest { app, receiver, limit };
        let done = cx.handle.change_call(call, CallAction::RedirectParty { party, request }).await?;
        return done.map_err(Error::of_redirect);
    }
    if ends {
        let done = cx.handle.change_call(call, CallAction::EndParty { party }).await?;
        done.map_err(Error::of_redirect)?;
    }
    Ok(())
}

/// Returns an application with `receiver` as its `status_callback` and the rules of the call's application.
///
/// # Errors
/// Returns an error if the URL of the callback can never be reached.
fn judge_receiver(cx: &Asked<'_>, found: &CallResource, receiver: StatusCallback) -> Result<Arc<App>, Error> {
    let app = create::keys_of(cx, found.call.app.as_deref(), AppDocument::Text("<Response/>".into()));
    let app = App { status_callback: Some(receiver), ..app };
    create::judge_reach(cx, &app).map(|()| Arc::new(app))
}

/// Changes the status callback and the time limit of a live call.
async fn change(cx: &Asked<'_>, sid: &str, receiver: Option<Arc<App>>, limit: Option<Duration>) -> Result<(), Error> {
    if let Some(app) = receiver {
        let done = cx.handle.change_call(sid, CallAction::ReplaceCallback(app)).await?;
        done.map_err(Error::of_redirect)?;
    }
    if let Some(limit) = limit {
        let done = cx.handle.change_call(sid, CallAction::LimitTime(limit)).await?;
        done.map_err(Error::of_redirect)?;
    }
    Ok(())
}

/// Deletes an ended call with the calls of its parties (`DELETE …/Calls/{sid}.json`).
pub(super) async fn delete(cx: &Asked<'_>, sid: &str, parameters: Parameters) -> Result<(), Error> {
    parameters.finish()?;
    let found = find(cx, sid).await?;
    if found.leg.is_some() {
        return Err(Error::later("Deleting a dialled party's call (delete the call that dialled it)"));
    }
    if found.call.state != "ended" {
        return Err(Error::incomplete());
    }
    cx.handle.shared.calls.remove(sid).await.map(drop).map_err(|error| Error::store(&error))
}

/// Returns the JSON of the call resource with this SID.
pub(super) async fn show(cx: &Asked<'_>, sid: &str) -> Result<Value, Error> {
    Ok(find(cx, sid).await?.json(cx))
}

/// Returns the JSON of a new call with the status `queued`, even if the call has progressed since.
pub(super) async fn show_new(cx: &Asked<'_>, sid: &str) -> Result<Value, Error> {
    Ok(as_made(show(cx, sid).await?))
}

fn as_made(mut call: Value) -> Value {
    call["status"] = "queued".into();
    call["date_updated"] = call["date_created"].clone();
    for later in ["duration", "end_time"] {
        call[later] = Value::Null;
    }
    call
}

/// Finds the call of a caller or of a called party by its SID.
async fn find(cx: &Asked<'_>, sid: &str) -> Result<CallResource, Error> {
    let digits = sid.strip_prefix("CA").filter(|digits| digits.len() == SID_DIGITS);
    if !digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
        return Err(Error::not_found(cx.path));
    }
    let call = match cx.handle.known_call(sid).await? {
        Some(call) => Some(Arc::new(call)),
        None => cx.handle.call_of_leg(sid).await?,
    };
    let found = call.and_then(|call| CallResource::all(&call).find(|one| one.sid() == sid));
    found.ok_or_else(|| Error::not_found(cx.path))
}

impl CallConditions {
    /// Returns whether a resource of the call may match the filters, by the times that all its resources share.
    fn may_have(&self, call: &CallView) -> bool {
        let within = |span: TimeSpan, text: Option<&str>| {
            span.is_unbounded() || text.and_then(|text| text.parse().ok()).is_some_and(|at: Timestamp| span.has(at))
        };
        within(self.started, Some(&call.started_at)) && within(self.ended, call.ended_at.as_deref())
    }

    /// Returns the query for stored calls that may match and began at `until` or before; `None` if the status excludes
    /// ended calls.
    fn of_store(&self, until: Option<&str>) -> Option<CallFilter> {
        if self.status.as_deref().is_some_and(|status| LIVE.contains(&status)) {
            return None;
        }
        let (from, to) = self.started.bounds();
        let until = until.map(str::to_owned).into_iter().chain(to).min();
        let part = CallFilter {
            since: from.unwrap_or_default(),
            caller: self.from.clone(),
            called: self.to.clone(),
            ..CallFilter::default()
        };
        Some(match until {
            Some(until) => part.until(&until),
            None => part,
        })
    }

    fn has(&self, one: &CallResource) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        same(&self.to, one.to())
            && same(&self.from, one.from())
            && same(&self.parent, one.parent().unwrap_or_default())
            && same(&self.status, one.status())
    }
}

impl CallResource {
    /// Iterates over the resources of a call: that of the caller, and those of parties reached by telephone.
    fn all(call: &Arc<CallView>) -> impl Iterator<Item = CallResource> {
        let legs = call.legs.iter().enumerate().skip(1);
        let parties = legs.filter(|(_, leg)| leg.is_call_of_party()).map(|(at, _)| Some(at));
        std::iter::once(None).chain(parties).map(|leg| CallResource { call: Arc::clone(call), leg })
    }

    fn leg_view(&self) -> Option<&LegView> {
        self.leg.and_then(|at| self.call.legs.get(at))
    }

    /// Returns the SID of the parent call; `None` for the call of a caller.
    fn parent(&self) -> Option<&str> {
        if self.leg.is_some() { Some(&self.call.sid) } else { self.call.parent.as_deref() }
    }

    fn sid(&self) -> &str {
        self.leg_view().map_or(&self.call.sid, |leg| &leg.sid)
    }

    /// Returns the sort key of the resource, start time and SID; the newest call has the greatest one.
    fn order(&self) -> (&str, &str) {
        (&self.call.started_at, self.sid())
    }

    /// Returns the sort key as a text, for page tokens.
    fn key(&self) -> String {
        let (started, sid) = self.order();
        format!("{started}{sid}")
    }

    fn to(&self) -> &str {
        self.leg_view().and_then(|leg| leg.dialled.to.as_deref()).unwrap_or(&self.call.to)
    }

    fn from(&self) -> &str {
        self.leg_view().and_then(|leg| leg.dialled.from.as_deref()).unwrap_or(&self.call.from)
    }

    /// Returns the times of start, answer and end. Records of earlier versions have no times for called parties.
    fn times(&self) -> [Option<&str>; 3] {
        match self.leg_view() {
            Some(leg) => {
                [&leg.dialled.started_at, &leg.dialled.answered_at, &leg.dialled.ended_at].map(Option::as_deref)
            }
            None => {
                let call = &*self.call;
                [Some(call.started_at.as_str()), call.answered_at.as_deref(), call.ended_at.as_deref()]
            }
        }
    }

    /// Returns the duration from answer to end in seconds, 0 without an answer; `None` before the end.
    fn duration(&self) -> Option<String> {
        let [started, answered, ended] = self.times().map(|time| time?.parse::<Timestamp>().ok());
        let (_, ended) = (started?, ended?);
        let talked = answered.map_or(0.0, |answered| ended.duration_since(answered).as_secs_f64());
        Some(format!("{:.0}", talked.max(0.0).round()))
    }

    /// Returns the result of answering machine detection; `None` if there is none.
    fn answered_by(&self) -> Option<&'static str> {
        match self.leg_view() {
            Some(leg) => leg.dialled.answered_by,
            None => self.call.legs.iter().filter(|leg| leg.to_requested).find_map(|leg| leg.dialled.answered_by),
        }
    }

    /// Returns the status of the resource, as named by Twilio.
    fn status(&self) -> &'static str {
        match self.leg_view() {
            Some(leg) => status_of_party(&self.call, leg),
            None => status_of_caller(&self.call),
        }
    }

    fn json(&self, cx: &Asked<'_>) -> Value {
        let (call, sid, status) = (&*self.call, self.sid(), self.status());
        let uri = cx.uri(&format!("Calls/{sid}"));
        let own = self.leg.is_none();
        let [started, _, ended] = self.times().map(|time| date(time?));
        let created = started.clone().or_else(|| date(&call.started_at));
        let direction = match (self.parent().is_none(), call.requested) {
            (false, _) => "outbound-dial",
            (true, true) => "outbound-api",
            (true, false) => "inbound",
        };
        let own_number = if call.requested { &call.from } else { &call.to };
        json!({
            "account_sid": cx.account,
            "annotation": null,
            "answered_by": self.answered_by(),
            "api_version": super::VERSION,
            "caller_name": null,
            "date_created": created,
            "date_updated": ended.as_ref().or(created.as_ref()),
            "direction": direction,
            "duration": self.duration(),
            "end_time": ended,
            "forwarded_from": null,
            "from": self.from(),
            "from_formatted": formatted(self.from()),
            "group_sid": null,
            "parent_call_sid": self.parent(),
            "phone_number_sid": cx.number_sid(own_number).filter(|_| own),
            "price": null,
            "price_unit": null,
            // The edge does not queue calls before it places them.
            "queue_time": "0",
            "sid": sid,
            "start_time": started,
            "status": status,
            "stir_verstat": call.verstat.as_ref().filter(|_| own),
            "subresource_uris": subresources(&uri, &BELOW),
            "to": self.to(),
            "to_formatted": formatted(self.to()),
            "trunk_sid": null,
            "uri": format!("{uri}.json"),
        })
    }
}

fn status_of_caller(call: &CallView) -> &'static str {
    match (call.state, &call.answered_at) {
        ("ended", Some(_)) => "completed",
        ("ended", None) => status_of_unanswered(call.outcome, call.reason, call.sip_code),
        (_, Some(_)) => "in-progress",
        ("trying", None) if call.requested => "queued",
        (_, None) => "ringing",
    }
}

fn status_of_party(call: &CallView, leg: &LegView) -> &'static str {
    match (leg.state, leg.sip_code) {
        ("trying", _) => "queued",
        ("ringing" | "early", _) => "ringing",
        ("answered", _) => "in-progress",
        (_, Some(code)) if is_busy_or_declined(code) => "busy",
        (_, Some(408 | 480 | 487)) => "no-answer",
        (_, Some(_)) => "failed",
        (_, None) if leg.dialled.answered_at.is_some() => "completed",
        // In a record of an earlier version, a negotiated codec means that the party answered or sent early media.
        (_, None) if leg.dialled.started_at.is_none() && !leg.codec.is_empty() && call.answered_at.is_some() => {
            "completed"
        }
        (_, None) => match leg.reason {
            Some("ring_timeout") => "no-answer",
            Some(
                "caller_canceled" | "answered_elsewhere" | "caller_hung_up" | "app_hung_up" | "operator" | "time_limit",
            ) => "canceled",
            _ => "failed",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_ended_at_once_is_shown_as_it_was_made() {
        let ended = json!({ "sid": "CA1", "status": "busy", "date_created": "a", "date_updated": "b", "duration": "0", "end_time": "b" });
        let made = json!({ "sid": "CA1", "status": "queued", "date_created": "a", "date_updated": "a", "duration": null, "end_time": null });
        assert_eq!(as_made(ended), made);
    }
}
