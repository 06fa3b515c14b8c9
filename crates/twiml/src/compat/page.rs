//! docs/twilio-compat.md.

use super::{Entry, MESSAGING, PARAMETERS, SEMANTICS, State, VOICE};

const HEAD: &str = "\
# Twilio compatibility

Which verbs and attributes of TwiML the interpreter carries out, and where it differs from Twilio. The page is generated from the table
that the interpreter's tests walk (`crates/twiml/src/compat`): `cargo run -p xtask -- twiml --page`.

[applications.md](applications.md) has how applications are configured. Bounds: 64 KiB and 1,000 elements a document, 16 levels deep.

A verb or noun that is not supported is an application error that names it, so that no application waits for something that never
happens; an attribute that is not supported is skipped with a warning, and so is everything that the table does not name.

What will not be there: Verify, Studio, Pay, Flex and other services of Twilio's cloud; calls from Voice SDK clients. Applications that
Twilio's own cloud calls on behalf of hosted systems cannot be moved to an edge: those systems speak to `api.twilio.com`
from their own machines.
";

/// Returns docs/twilio-compat.md.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Rules\n\nThe name of each rule is that of its test in `crates/twiml/tests` (`rule:NAME`).\n\n");
    for rule in SEMANTICS {
        page.push_str(&match rule.state {
            State::Supported => format!("- `{}`: {}\n", rule.name, rule.text),
            State::Differs(_) | State::NotSupported(_) => {
                format!("- `{}`: {} **{}**\n", rule.name, rule.text, shown(rule.state))
            }
        });
    }
    page.push_str("\n## Verbs of calls\n");
    table(&mut page, VOICE);
    page.push_str("\n## Parameters of requests\n\nA test sends each of them in a call (`crates/call/tests/it/programs/parameters.rs`).\n\n");
    page.push_str("| parameter | requests | state |\n| --- | --- | --- |\n");
    for entry in PARAMETERS {
        page.push_str(&format!("| `{}` | {} | {} |\n", entry.name, entry.requests, shown(entry.state)));
    }
    page.push_str("\n## Verbs of messages\n");
    table(&mut page, MESSAGING);
    page
}

fn table(page: &mut String, entries: &[Entry]) {
    page.push_str("\n| verb | attribute | state |\n| --- | --- | --- |\n");
    for entry in entries {
        page.push_str(&format!("| `{}` | | {} |\n", entry.path, shown(entry.state)));
        // The attributes of what is refused follow from it.
        for (name, state) in entry.attributes.iter().filter(|_| entry.is_supported()) {
            let name = if name.starts_with('(') { (*name).to_owned() } else { format!("`{name}`") };
            page.push_str(&format!("| `{}` | {name} | {} |\n", entry.path, shown(*state)));
        }
    }
}

fn shown(state: State) -> String {
    match state {
        State::Supported => "supported".to_owned(),
        State::Differs(text) => format!("differs: {text}"),
        State::NotSupported(text) => format!("not supported: {text}"),
    }
}
