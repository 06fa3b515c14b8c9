//! Enqueue, and Queue as a noun of Dial: callers that wait, and parties that take them from the queue.

use serde::{Deserialize, Serialize};

use super::fields::{ElementFields, HttpMethod};
use super::unknown;
use super::verb::{UnsupportedVerb, VerbKind};
use crate::compat::{self, FeatureSupport, VOICE};
use crate::limits::{QUEUE_CHARS, QUEUE_SIZE};
use crate::problem::code;

/// Verb that puts the caller into a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnqueueVerb {
    /// Name of the queue; empty if the name is invalid.
    pub name: String,
    /// URL requested at the end of the Enqueue, as written. If `None`, the document continues with the next verb.
    pub action: Option<String>,
    /// Method of the request to `action`.
    pub method: HttpMethod,
    /// Maximum number of callers in the queue; if `None`, the edge's limit applies.
    pub most: Option<u32>,
    /// Audio for the waiting caller, as written. An empty text selects silence, `None` the edge's music.
    pub wait: Option<String>,
    /// Method of the request for `wait`.
    pub wait_method: HttpMethod,
}

/// Queue from which a Dial takes a caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueNoun {
    /// Name of the queue to take a caller from.
    pub name: String,
    /// Document run for the queued caller before the connection, as written; `None` for no document.
    pub url: Option<String>,
    /// Method of the request for `url`.
    pub method: HttpMethod,
}

/// Reads an Enqueue; an Enqueue of a TaskRouter workflow is rejected as a whole.
pub(super) fn enqueue(mut fields: ElementFields<'_>) -> Option<VerbKind> {
    let (element, path) = (fields.element, fields.path());
    for child in element.elements() {
        match compat::entry(VOICE, path, &child.name) {
            Some(entry) => {
                if let FeatureSupport::NotSupported(text) = entry.state {
                    return Some(VerbKind::Refused(UnsupportedVerb::new(entry.path, code::SCHEMA, text)));
                }
            }
            None => unknown(child, path, fields.warnings),
        }
    }
    if let Some(text) = fields.refusal("workflowSid") {
        return Some(VerbKind::Refused(UnsupportedVerb::new(path, code::SCHEMA, text)));
    }
    let name = name(&mut fields).unwrap_or_default();
    Some(VerbKind::Enqueue(Box::new(EnqueueVerb {
        name,
        action: fields.text("action"),
        method: fields.method("method", code::SCHEMA),
        most: most(&mut fields),
        // An empty value requests silence.
        wait: fields.raw("waitUrl").map(|url| url.trim().to_owned()),
        wait_method: fields.method("waitUrlMethod", code::SCHEMA),
    })))
}

/// Reads a Queue; returns `None`, with a warning, if its name is not valid.
pub(super) fn queue(mut fields: ElementFields<'_>) -> Option<QueueNoun> {
    let name = name(&mut fields)?;
    Some(QueueNoun { name, url: fields.text("url"), method: fields.method("method", code::SCHEMA) })
}

fn name(fields: &mut ElementFields<'_>) -> Option<String> {
    let name = fields.element.text();
    let chars = name.chars().count();
    if (1..=QUEUE_CHARS).contains(&chars) && !name.chars().any(char::is_control) {
        return Some(name);
    }
    let element = fields.element;
    let message = format!("<{}> needs the name of a queue of 1 to {QUEUE_CHARS} characters", element.name);
    fields.warnings.add(code::SCHEMA, element.position, message);
    None
}

fn most(fields: &mut ElementFields<'_>) -> Option<u32> {
    let most = fields.number("maxQueueSize", code::SCHEMA, QUEUE_SIZE)?;
    if most == 0 {
        fields.invalid("maxQueueSize", code::SCHEMA, "is raised to 1");
    }
    Some(most.max(1))
}
