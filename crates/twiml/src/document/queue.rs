//! Enqueue, and Queue as a noun of Dial: callers that wait in line, and parties that take them out of it.

use serde::{Deserialize, Serialize};

use super::fields::{Fields, Method};
use super::unknown;
use super::verb::{Kind, Refused};
use crate::compat::{self, State, VOICE};
use crate::limits::{QUEUE_CHARS, QUEUE_SIZE};
use crate::problem::code;

/// Puts the caller into a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enqueue {
    /// Name of the queue; empty: none that can be one.
    pub name: String,
    /// URL that is requested at the end, as written; `None`: the next verb follows.
    pub action: Option<String>,
    /// Method of that request.
    pub method: Method,
    /// Most callers of the queue; `None`: as many as it has room for.
    pub most: Option<u32>,
    /// What the caller hears, as written; empty: nothing; `None`: the edge's music.
    pub wait: Option<String>,
    /// Method of that request.
    pub wait_method: Method,
}

/// The queue that a Dial takes a caller from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Document for the queued caller before it is connected, as written.
    pub url: Option<String>,
    /// Method of that request.
    pub method: Method,
}

/// Reads an Enqueue. One for TaskRouter is refused as a whole.
pub(super) fn enqueue(mut fields: Fields<'_>) -> Option<Kind> {
    let (element, path) = (fields.element, fields.path());
    for child in element.elements() {
        match compat::entry(VOICE, path, &child.name) {
            Some(entry) => {
                if let State::NotSupported(text) = entry.state {
                    return Some(Kind::Refused(Refused::new(entry.path, code::SCHEMA, text)));
                }
            }
            None => unknown(child, path, fields.warnings),
        }
    }
    if let Some(text) = fields.refusal("workflowSid") {
        return Some(Kind::Refused(Refused::new(path, code::SCHEMA, text)));
    }
    let name = name(&mut fields).unwrap_or_default();
    Some(Kind::Enqueue(Box::new(Enqueue {
        name,
        action: fields.text("action"),
        method: fields.method("method", code::SCHEMA),
        most: most(&mut fields),
        // An empty value asks for silence.
        wait: fields.raw("waitUrl").map(|url| url.trim().to_owned()),
        wait_method: fields.method("waitUrlMethod", code::SCHEMA),
    })))
}

/// Reads a Queue; `None` of one without a name.
pub(super) fn queue(mut fields: Fields<'_>) -> Option<Queue> {
    let name = name(&mut fields)?;
    Some(Queue { name, url: fields.text("url"), method: fields.method("method", code::SCHEMA) })
}

fn name(fields: &mut Fields<'_>) -> Option<String> {
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

fn most(fields: &mut Fields<'_>) -> Option<u32> {
    let most = fields.number("maxQueueSize", code::SCHEMA, QUEUE_SIZE)?;
    if most == 0 {
        fields.invalid("maxQueueSize", code::SCHEMA, "is raised to 1");
    }
    Some(most.max(1))
}
