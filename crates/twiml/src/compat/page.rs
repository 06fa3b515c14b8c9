//! Generator of docs/reference/twilio-compat.md.

use super::libraries::{self, NOT_OF_LIBRARIES};
use super::requests::{FieldPresence, LATER, LATER_METHODS, OPERATIONS, ParameterSupport};
use super::{
    CALL, CALLBACKS, CALLER, CallbackField, CallbackSubject, ElementSupport, FeatureSupport, MESSAGING, PARTY,
    RESOURCES, SEMANTICS, VOICE,
};

const HEAD: &str = "\
# Twilio compatibility

For developers who check whether a Twilio application runs on the edge: each TwiML verb and attribute, each field of webhooks, each request and
parameter of the REST API, with the differences from Twilio. To set up applications, see [applications](../configure/applications.md); for the
use of the API, [Twilio-compatible API](twilio-api.md).

| not supported | effect |
| --- | --- |
| verb, noun | an application error that names it |
| attribute, or anything unknown in a document | skipped with a warning |
| API parameter that would change a call or message | refused with an error that names it |

A document has at most 64 KiB, 1,000 elements and 16 levels.

This page is generated (`cargo run -p xtask -- twiml --page`) from the tables that parser, API and tests use (`crates/twiml/src/compat`).

## What will not be there

- Services of Twilio's cloud: Verify, Studio, Flex, TaskRouter, Conversations, Sync, Video, Pay, Functions, Autopilot, SendGrid, WhatsApp
- Carrier data in Lookup, and other hosts than `api.twilio.com` and `lookups.twilio.com`
- Calls from Voice SDK clients
- Prices, subaccounts and the purchase of numbers, which are the carrier's
- Hosted systems that only Twilio's cloud calls: they send their requests to `api.twilio.com` from their own machines
";

const CALLBACKS_HEAD: &str = "
## Requests to applications

A request has the fields of its call (first table) and its own (second table).
";

const API_HEAD: &str = "
## REST API

Paths are below `/2010-04-01/Accounts`, `{AC}` is the account, `GET .json` the list of accounts; paths of [Lookup](twilio-api.md#lookup) begin with their version.

- *accepted with …*: these values request the default behaviour; any other value is refused.
- *refused*: status 501, code 20501, with the name of the parameter. An empty value is accepted.
- *ignored*: accepted without effect, and counted in `status` and [`/v1/api`](json.md#api-requests); refused with `[api] strict = true`.
- **An unknown parameter** is ignored and counted too, with the most similar name. It gets status 400, code 20001 (`Unknown parameter NAME`) with `strict`, or if it seems to concern recording, privacy, money, time limits, emergencies or the called party (`RecordCall`, `Recrod`, `PrivacyMode`, `MaxCost`, `Tp`).
- **A URL** may lead to private and loopback addresses only with `allow_private`; else status 400 with 21205, for a number 21402, for a message 21609.

| request | state | parameters |
| --- | --- | --- |
";

/// Returns the text of docs/reference/twilio-compat.md.
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n## Rules\n\nThe name of each rule is that of its test in `crates/twiml/tests` (`rule:NAME`).\n\n");
    for rule in SEMANTICS {
        page.push_str(&match rule.state {
            FeatureSupport::Supported => format!("- `{}`: {}\n", rule.name, rule.text),
            FeatureSupport::Differs(_) | FeatureSupport::NotSupported(_) => {
                format!("- `{}`: {} **{}**\n", rule.name, rule.text, shown(rule.state))
            }
        });
    }
    page.push_str("\n## Verbs of calls\n");
    table(&mut page, VOICE);
    page.push_str("\n## Verbs of messages\n");
    table(&mut page, MESSAGING);
    callbacks(&mut page);
    api(&mut page);
    page
}

fn callbacks(page: &mut String) {
    page.push_str(CALLBACKS_HEAD);
    let groups = [
        ("every request about a call", CALL),
        ("those about the caller's call", CALLER),
        ("those about the call of a dialled party", PARTY),
    ];
    page.push_str("\n| request | state | fields |\n| --- | --- | --- |\n");
    for (name, group) in groups {
        fields(page, name, group);
    }
    page.push_str("\n| request | about | state | own fields |\n| --- | --- | --- | --- |\n");
    for callback in CALLBACKS {
        let subject = match callback.subject {
            CallbackSubject::Caller => "the caller's call",
            CallbackSubject::Party => "the party's call",
            CallbackSubject::Either => "the call whose document it is",
            CallbackSubject::Itself => "",
        };
        if callback.own.is_empty() {
            page.push_str(&format!("| {} | {subject} | no further ones | |\n", callback.name));
        }
        fields(page, &format!("{} | {subject}", callback.name), callback.own);
    }
}

fn fields(page: &mut String, name: &str, fields: &[CallbackField]) {
    let fields = fields.iter().map(|(field, state)| (format!("`{field}`"), shown(*state)));
    rows(page, name, fields);
}

/// Adds one row for each state, with all names in that state; `first` is the first cell of each row.
fn rows(page: &mut String, first: &str, entries: impl Iterator<Item = (String, String)>) {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (name, state) in entries {
        match groups.iter_mut().find(|(known, _)| *known == state) {
            Some((_, names)) => names.push(name),
            None => groups.push((state, vec![name])),
        }
    }
    for (state, names) in groups {
        let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
        page.push_str(&format!("| {first} | {state} | {} |\n", names.join(", ")));
    }
}

fn api(page: &mut String) {
    page.push_str(API_HEAD);
    for operation in OPERATIONS {
        let name = format!("`{} {}`", operation.method, operation.path);
        if operation.parameters.is_empty() {
            page.push_str(&format!("| {name} | no parameters | |\n"));
        }
        let parameters = operation.parameters.iter().map(|(parameter, given)| {
            let state = match given {
                ParameterSupport::Supported => "supported".to_owned(),
                ParameterSupport::Differs(text) => format!("differs: {text}"),
                ParameterSupport::Only(values) => {
                    let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                    format!("accepted with {}", values.join(", "))
                }
                ParameterSupport::Ignored(text) => format!("ignored: {text}"),
                ParameterSupport::Refused(text) => format!("refused: {text}"),
            };
            (format!("`{parameter}`"), state)
        });
        rows(page, &name, parameters);
    }
    let lists: Vec<String> = LATER.iter().map(|list| format!("`{list}`")).collect();
    let methods: Vec<String> = LATER_METHODS.iter().map(|(method, path)| format!("`{method} {path}`")).collect();
    page.push_str(&format!(
        "\nRefused by name with code 20501 as well: the lists {} below an account or a call; {}. Other paths: 404, code 20404.\n",
        lists.join(", "),
        methods.join(", ")
    ));
    let others = NOT_OF_LIBRARIES.iter().map(|(method, path, names)| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        format!("{} of `{method} {path}`", names.join(", "))
    });
    page.push_str(&format!(
        "\nThe table has every parameter that {} can send with these requests; `crates/twiml/src/compat/library_parameters.txt` lists them, made \
         from the packages by `cargo xtask twilio-parameters`. In addition it has parameters that these libraries do not send: {}.\n",
        libraries::packages().collect::<Vec<_>>().join(" and "),
        others.collect::<Vec<_>>().join("; ")
    ));
    page.push_str("\n### Fields of answers\n\n| resource | value | fields |\n| --- | --- | --- |\n");
    for resource in RESOURCES {
        let fields = resource.fields.iter().map(|(field, has)| {
            let has = match has {
                FieldPresence::Value => "a value".to_owned(),
                FieldPresence::Sometimes(text) => format!("{text}; else `null`"),
                FieldPresence::Null(text) => format!("`null`: {text}"),
            };
            (format!("`{field}`"), has)
        });
        rows(page, resource.name, fields);
    }
}

fn table(page: &mut String, entries: &[ElementSupport]) {
    page.push_str("\n| verb | state | attributes |\n| --- | --- | --- |\n");
    for entry in entries {
        // The verb itself has no name in its row.
        let itself = std::iter::once((String::new(), shown(entry.state)));
        // A verb that is not supported needs no rows for its attributes.
        let attributes = entry.attributes.iter().filter(|_| entry.is_supported()).map(|(name, state)| {
            let name = if name.starts_with('(') { (*name).to_owned() } else { format!("`{name}`") };
            (name, shown(*state))
        });
        rows(page, &format!("`{}`", entry.path), itself.chain(attributes));
    }
}

fn shown(state: FeatureSupport) -> String {
    match state {
        FeatureSupport::Supported => "supported".to_owned(),
        FeatureSupport::Differs(text) => format!("differs: {text}"),
        FeatureSupport::NotSupported(text) => format!("not supported: {text}"),
    }
}
