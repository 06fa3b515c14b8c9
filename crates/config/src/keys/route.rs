//! Keys of `[[route]]` and `[group.NAME]`.

use super::reports::SMS_ON_FAILURE;
use super::{FILE, Key, Kind, MUST, NONE, NUMBER, PATTERN, TEXT, is, keys, told};

/// Target of a route.
const TARGET: Kind = Kind::Either(&[Kind::Text("target"), Kind::Table(RING_ALL)]);
const ORDER: Kind = Kind::Word(&["listed", "asr"]);

/// `[[route]]`
pub(crate) const ROUTE: &[Key] = keys! {
    "name": Kind::Name, told("`route-1`, `route-2` …"), "name of the route in logs, call records and metrics";
    "from": Kind::Many(&TEXT), told("any"), "source trunks";
    "to": Kind::Many(&PATTERN), told("any"), "called numbers, after normalization to E.164";
    "caller": Kind::Many(&PATTERN), told("any"), "calling numbers, after normalization to E.164";
    "header": Kind::Map(&Kind::Many(&PATTERN)), told("any"), "required headers of the INVITE, each with its allowed values";
    "when": Kind::Many(&Kind::Text("hours")), told("always"), "schedules, at least one of which must match";
    "share": Kind::Integer(1, 100), is("100"), "percentage of matching calls handled by this route; the others continue with the next route";
    "routes_file": FILE, NONE, "CSV file with one route per line";
    "connect": Kind::Many(&TARGET), told("required, here or in each line of `routes_file`"), "targets, tried in order until one answers";
    "order": ORDER, is(r#""listed""#), "order of targets: as listed, or trunks by recent answer rate (`asr`)";
    "fork": Kind::Many(&Kind::Text("agent:NAME")), NONE, "agents that receive a copy of the audio of both directions";
    "on_busy": Kind::Boolean, is("false"), "tries the next target after 486 and 600 as well";
    "ring_timeout": Kind::Duration, told("the trunk's"), "maximum ringing time of each target";
    "search_timeout": Kind::Duration, is(r#""2m""#), "maximum total time for all targets but the last";
    "caller_id": NUMBER, told("the caller's number"), "caller ID sent to trunks and URIs of this route";
    "sms_on_failure": Kind::Table(SMS_ON_FAILURE), NONE, "text message sent after an unanswered call";
    "record": Kind::Boolean, is("false"), "records calls from their answer on, by [recording]";
    "siprec": Kind::Many(&TEXT), NONE, "names of [siprec.NAME]: each records calls from their answer on";
};

/// `[group.NAME]`
pub(crate) const GROUP: &[Key] = keys! {
    "connect": Kind::Many(&TARGET), MUST, "targets, tried in order";
    "order": ORDER, is(r#""listed""#), "order of targets: as listed, or trunks by recent answer rate (`asr`)";
};

/// Keys of a simultaneous-ring target.
pub(crate) const RING_ALL: &[Key] = keys! {
    "ring_all": Kind::List(&Kind::Text("target")), MUST, "trunks and URIs called simultaneously; the first to answer gets the call";
};
