//! Documents in response to a message webhook: Message and Redirect.

use serde::{Deserialize, Serialize};

use super::fields::{ElementFields, HttpMethod};
use super::{DocumentWarnings, check_root, root};
use crate::compat::{self, MESSAGING};
use crate::limits::REPLIES;
use crate::problem::{DocumentError, DocumentPosition, code};
use crate::xml::XmlElement;

/// Document in response to a message webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagingDocument {
    /// Replies to the message and redirects, in order.
    pub replies: Vec<ReplyVerb>,
    /// Warnings about skipped and replaced parts.
    pub warnings: DocumentWarnings,
}

/// Verb of a messaging document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyVerb {
    /// Position of the verb's element in the document.
    pub position: DocumentPosition,
    /// Kind of the verb, with its attributes.
    pub kind: ReplyKind,
}

/// Effect of a verb in a messaging document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyKind {
    /// Sends a message.
    Message {
        /// Recipient; if `None`, the sender of the received message.
        to: Option<String>,
        /// Sender; if `None`, the recipient of the received message.
        from: Option<String>,
        /// Text of the message.
        body: String,
        /// URLs of media to send, as written.
        media: Vec<String>,
        /// URL requested when the message has been queued, as written; `None` if no request is made.
        action: Option<String>,
        /// Method of the request to `action`.
        method: HttpMethod,
        /// URL that receives delivery states, as written; `None` if no states are reported.
        status: Option<String>,
    },
    /// Continues the conversation with another document.
    Redirect {
        /// URL of the document, as written.
        url: String,
        /// Method of the request for `url`.
        method: HttpMethod,
    },
}

/// Parses a document in response to a message webhook.
///
/// # Errors
/// Returns [`DocumentError`] if the document is malformed XML, exceeds a limit, or has a root other than `Response`.
pub fn parse_messaging(text: &str) -> Result<MessagingDocument, DocumentError> {
    let root = root(text)?;
    let mut warnings = DocumentWarnings::default();
    check_root(&root, &mut warnings);
    let mut replies = Vec::new();
    for element in root.elements() {
        let Some(entry) = compat::entry(MESSAGING, "", &element.name) else {
            let shown: String = element.name.chars().take(40).collect();
            let message = format!("<{shown}> is not a reply to a message and is skipped");
            warnings.add(code::REPLY_VERB, element.position, message);
            continue;
        };
        if replies.len() >= REPLIES {
            let message = format!("a document has at most {REPLIES} replies; the rest is skipped");
            warnings.add(code::REPLIES, element.position, message);
            break;
        }
        let fields = ElementFields::open(entry, element, &mut warnings);
        let kind = match entry.path {
            "Message" => message(fields),
            _ => Some(redirect(fields)),
        };
        replies.extend(kind.map(|kind| ReplyVerb { position: element.position, kind }));
    }
    Ok(MessagingDocument { replies, warnings })
}

fn redirect(mut fields: ElementFields<'_>) -> ReplyKind {
    ReplyKind::Redirect { url: fields.element.text(), method: fields.method("method", 13710) }
}

fn message(mut fields: ElementFields<'_>) -> Option<ReplyKind> {
    let (to, from) = (fields.text("to"), fields.text("from"));
    let (action, method) = (fields.text("action"), fields.method("method", 14104));
    let status = fields.text("statusCallback");
    let (element, path, warnings) = (fields.element, fields.path(), fields.warnings);
    let mut body = element.text();
    let mut media = Vec::new();
    for child in element.elements() {
        match compat::entry(MESSAGING, path, &child.name) {
            Some(entry) => noun(ElementFields::open(entry, child, warnings), &mut body, &mut media),
            None => {
                let shown: String = child.name.chars().take(40).collect();
                let message = format!("unknown element <{shown}> in <Message> is skipped");
                warnings.add(code::SCHEMA, child.position, message);
            }
        }
    }
    if body.is_empty() && media.is_empty() {
        warnings.add(code::MESSAGE_EMPTY, element.position, "<Message> has neither text nor media and is skipped");
        return None;
    }
    Some(ReplyKind::Message { to, from, body, media, action, method, status })
}

fn noun(fields: ElementFields<'_>, body: &mut String, media: &mut Vec<String>) {
    let text = fields.element.text();
    match fields.path() {
        "Message/Body" => body.push_str(&text),
        _ if !text.is_empty() => media.push(text),
        _ => warn_empty(fields.element, fields.warnings),
    }
}

fn warn_empty(element: &XmlElement, warnings: &mut DocumentWarnings) {
    warnings.add(code::MESSAGE_EMPTY, element.position, "<Media> without a URL is skipped");
}
