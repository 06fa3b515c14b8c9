//! Keys of `[[route]]` and `[group.NAME]`.

use super::reports::SMS_ON_FAILURE;
use super::{FILE, Key, Kind, MUST, NONE, NUMBER, PATTERN, TEXT, is, keys, told};

/// What a call may go to.
const TARGET: Kind = Kind::Either(&[Kind::Text("target"), Kind::Table(RING_ALL)]);
const ORDER: Kind = Kind::Word(&["listed", "asr"]);

/// `[[route]]`
pub(in crate::config) const ROUTE: &[Key] = keys! {
    "name": Kind::Name, told("`route-1`, `route-2` …"), "for logs, records, metrics";
    "from": Kind::Many(&TEXT), told("any"), "trunks";
    "to": Kind::Many(&PATTERN), told("any"), "called numbers after normalisation";
    "caller": Kind::Many(&PATTERN), told("any"), "calling numbers";
    "header": Kind::Map(&Kind::Many(&PATTERN)), told("any"), "headers of the INVITE, each with one of its values";
    "when": Kind::Many(&Kind::Text("hours")), told("always"), "hours, of which one has to hold";
    "share": Kind::Integer(1, 100), is("100"), "how many in a hundred of these calls it takes; the others go on to the next route";
    "routes_file": FILE, NONE, "a CSV file with a route in each line";
    "connect": Kind::Many(&TARGET), told("must be there, or in each line of `routes_file`"), "targets in order: the first that answers gets the call";
    "order": ORDER, is(r#""listed""#), "`asr`: trunks by how they have done lately";
    "fork": Kind::Many(&Kind::Text("agent:NAME")), NONE, "agents that listen to both directions";
    "on_busy": Kind::Boolean, is("false"), "486 and 600 go on to the next target too";
    "ring_timeout": Kind::Duration, told("the trunk's"), "for each target";
    "search_timeout": Kind::Duration, is(r#""2m""#), "for all targets but the last together";
    "caller_id": NUMBER, told("the caller's"), "a number that its trunks and URIs are shown as the caller's";
    "sms_on_failure": Kind::Table(SMS_ON_FAILURE), NONE, "the text message that follows a call which nobody answered";
    "record": Kind::OnlyFalse, is("false"), "whether its calls are recorded";
};

/// `[group.NAME]`
pub(in crate::config) const GROUP: &[Key] = keys! {
    "connect": Kind::Many(&TARGET), MUST, "targets in order";
    "order": ORDER, is(r#""listed""#), "of its own trunks";
};

/// A target of a route that is several.
pub(in crate::config) const RING_ALL: &[Key] = keys! {
    "ring_all": Kind::List(&Kind::Text("target")), MUST, "trunks and URIs that are called at the same time";
};
