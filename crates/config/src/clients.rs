//! `[client]`: SIP parties and voice agents that applications address like Voice SDK clients
//! (`<Client>agent1</Client>`).

use trunkgate_route::TargetSpec;

use super::code;
use super::draft::SourceSpan;
use super::targets;
use super::values::KeyReader;

/// Maximum length of an identity in characters, as on Twilio.
const IDENTITY_CHARS: usize = 121;

/// Client with the positions of its targets in the file.
#[derive(Debug)]
pub(super) struct SpannedClient {
    /// Identity of the Voice SDK client, as applications write it.
    pub(super) identity: String,
    /// Targets that ring for the client, in calling order.
    pub(super) targets: Vec<(TargetSpec, SourceSpan)>,
}

impl SpannedClient {
    /// Converts the client to its identity and its targets, without their positions.
    pub(super) fn into_entry(self) -> (Box<str>, Vec<TargetSpec>) {
        (self.identity.into(), self.targets.into_iter().map(|(target, _)| target).collect())
    }
}

/// Reads `[client]`.
pub(super) fn read(reader: &mut KeyReader<'_>) -> Option<Vec<SpannedClient>> {
    reader.scope.groups = None;
    let entries = reader.entries("a table: [client] with agent1 = \"trunk:pbx/201\"")?;
    let mut clients = Vec::with_capacity(entries.len());
    for entry in entries {
        let identity = entry.name.to_owned();
        if identity.trim().is_empty()
            || identity.chars().count() > IDENTITY_CHARS
            || identity.chars().any(char::is_control)
        {
            let help = format!("1 to {IDENTITY_CHARS} characters, in one line");
            reader.findings.error(code::BAD_VALUE, entry.span, "this cannot be the identity of a client", help);
            continue;
        }
        let read = targets::connect(&mut reader.entry(&entry));
        let mut targets = Vec::with_capacity(read.len());
        for (target, place) in read {
            if is_party(&target) {
                targets.push((target, place.span));
                continue;
            }
            let message = format!("the client {identity} is neither a SIP party nor a voice agent");
            let help = "use trunk:NAME/NUMBER, such as \"trunk:pbx/201\", sip:USER@HOST or agent:NAME";
            reader.findings.error(code::BAD_TARGET, place.span, message, help);
        }
        clients.push(SpannedClient { identity, targets });
    }
    Some(clients)
}

/// Returns whether `<Dial>` can call the target directly.
fn is_party(target: &TargetSpec) -> bool {
    if let TargetSpec::Trunk { number, weight, .. } = target {
        return number.is_some() && weight.is_none();
    }
    matches!(target, TargetSpec::Uri { .. } | TargetSpec::Agent(_))
}
