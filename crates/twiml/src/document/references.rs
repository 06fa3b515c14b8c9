//! References of a document to further documents, sounds and speech, for tools that check them before a call does.

use super::root;
use crate::problem::DocumentPosition;
use crate::xml::XmlElement;

/// Reference of a document to another resource, with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentReference {
    /// Position of the element with the reference.
    pub position: DocumentPosition,
    /// Kind of resource that is referenced.
    pub kind: ReferenceKind,
}

/// Kind of resource that a document references.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReferenceKind {
    /// Further document, as written.
    Document(String),
    /// Sound file, as written.
    Sound(String),
    /// Text to be spoken.
    Speech,
    /// Speech to be recognised.
    SpeechInput,
}

/// Returns the references of a document, in order; none if [`parse`](crate::parse) rejects the document.
///
/// ```
/// use trunkgate_twiml::{ReferenceKind, references};
///
/// let found = references("<Response><Play>a.wav</Play>\n<Redirect>b.xml</Redirect></Response>");
/// assert_eq!(found[0].kind, ReferenceKind::Sound("a.wav".to_owned()));
/// assert_eq!((&found[1].kind, found[1].position.line), (&ReferenceKind::Document("b.xml".to_owned()), 2));
/// ```
pub fn references(text: &str) -> Vec<DocumentReference> {
    let mut found = Vec::new();
    if let Ok(root) = root(text) {
        root.elements().for_each(|verb| of_verb(verb, &mut found));
    }
    found
}

fn of_verb(verb: &XmlElement, found: &mut Vec<DocumentReference>) {
    match verb.name.as_str() {
        "Say" | "Play" => of_prompt(verb, found),
        "Redirect" => document(verb, Some(&verb.text()), found),
        "Gather" => {
            let input = verb.attribute("input").unwrap_or_default().to_ascii_lowercase();
            if input.split_whitespace().any(|kind| kind == "speech") {
                found.push(DocumentReference { position: verb.position, kind: ReferenceKind::SpeechInput });
            }
            verb.elements().for_each(|prompt| of_prompt(prompt, found));
            document(verb, verb.attribute("action"), found);
        }
        "Dial" => {
            let parties = verb.elements().filter(|noun| matches!(noun.name.as_str(), "Number" | "Sip"));
            parties.for_each(|party| document(party, party.attribute("url"), found));
            let rooms = verb.elements().filter(|noun| noun.name == "Conference");
            rooms.for_each(|room| document(room, room.attribute("waitUrl"), found));
            let queues = verb.elements().filter(|noun| noun.name == "Queue");
            queues.for_each(|queue| document(queue, queue.attribute("url"), found));
            document(verb, verb.attribute("action"), found);
        }
        "Enqueue" => {
            document(verb, verb.attribute("waitUrl"), found);
            document(verb, verb.attribute("action"), found);
        }
        "Connect" | "Record" | "Refer" => document(verb, verb.attribute("action"), found),
        _ => {}
    }
}

fn of_prompt(verb: &XmlElement, found: &mut Vec<DocumentReference>) {
    let kind = match verb.name.as_str() {
        "Say" => ReferenceKind::Speech,
        "Play" if verb.attribute("digits").is_none() && !verb.text().is_empty() => ReferenceKind::Sound(verb.text()),
        _ => return,
    };
    found.push(DocumentReference { position: verb.position, kind });
}

/// Adds a reference to a further document. An empty reference, which stands for the document itself, is omitted.
fn document(element: &XmlElement, reference: Option<&str>, found: &mut Vec<DocumentReference>) {
    if let Some(reference) = reference.map(str::trim).filter(|reference| !reference.is_empty()) {
        found.push(DocumentReference {
            position: element.position,
            kind: ReferenceKind::Document(reference.to_owned()),
        });
    }
}
