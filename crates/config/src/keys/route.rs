//! Keys of `[[route]]` and `[group.NAME]`.

use super::reports::SMS_ON_FAILURE;
use super::{ConfigKey, FILE, MUST, NONE, NUMBER, PATTERN, TEXT, ValueKind, is, keys, told};

/// Target of a route.
const TARGET: ValueKind = ValueKind::Either(&[ValueKind::Text("target"), ValueKind::Table(RING_ALL)]);
const ORDER: ValueKind = ValueKind::Word(&["listed", "asr"]);

/// Keys of `[[route]]`.
pub(crate) const ROUTE: &[ConfigKey] = keys! {
    "name": ValueKind::Name, told("`route-1`, `route-2` …"), "name of the route in logs, call records and metrics";
    "from": ValueKind::Many(&TEXT), told("any"), "source trunks";
    "to": ValueKind::Many(&PATTERN), told("any"), "called numbers, after normalization to E.164";
    "caller": ValueKind::Many(&PATTERN), told("any"), "calling numbers, after normalization to E.164";
    "header": ValueKind::Map(&ValueKind::Many(&PATTERN)), told("any"), "required headers of the INVITE, each with its allowed values";
    "when": ValueKind::Many(&ValueKind::Text("hours")), told("always"), "schedules, at least one of which must match";
    "share": ValueKind::Integer(1, 100), is("100"), "percentage of matching calls handled by this route; the others continue with the next route";
    "routes_file": FILE, NONE, "CSV file with one route per line";
    "connect": ValueKind::Many(&TARGET), told("required, here or in each line of `routes_file`"), "targets, tried in order until one answers";
    "order": ORDER, is(r#""listed""#), "order of targets: as listed, or trunks by recent answer rate (`asr`)";
    "fork": ValueKind::Many(&ValueKind::Text("agent:NAME")), NONE, "agents that receive a copy of the audio of both directions";
    "on_busy": ValueKind::Boolean, is("false"), "tries the next target after 486 and 600 as well";
    "ring_timeout": ValueKind::Duration, told("the trunk's"), "maximum ringing time of each target";
    "search_timeout": ValueKind::Duration, is(r#""2m""#), "maximum total time for all targets but the last";
    "caller_id": NUMBER, told("the caller's number"), "caller ID sent to trunks and URIs of this route";
    "sms_on_failure": ValueKind::Table(SMS_ON_FAILURE), NONE, "text message sent after an unanswered call";
    "record": ValueKind::Boolean, is("false"), "records calls from their answer on, by [recording]";
    "siprec": ValueKind::Many(&TEXT), NONE, "names of [siprec.NAME]: each records calls from their answer on";
};

/// Keys of `[group.NAME]`.
pub(crate) const GROUP: &[ConfigKey] = keys! {
    "connect": ValueKind::Many(&TARGET), MUST, "targets, tried in order";
    "order": ORDER, is(r#""listed""#), "order of targets: as listed, or trunks by recent answer rate (`asr`)";
};

/// Keys of a simultaneous-ring target.
pub(crate) const RING_ALL: &[ConfigKey] = keys! {
    "ring_all": ValueKind::List(&ValueKind::Text("target")), MUST, "trunks and URIs called simultaneously; the first to answer gets the call";
};
