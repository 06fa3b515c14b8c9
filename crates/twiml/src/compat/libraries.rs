//! Parameters that Twilio's client libraries can send, and parameters of the table that the libraries cannot send.
//! Tests compare the table with both.

/// Parameters of twilio-python and twilio-node, extracted from the packages by `cargo xtask twilio-parameters`. Lines
/// with `#` name the packages; each other line is one request with its parameters.
const LIST: &str = include_str!("library_parameters.txt");

/// Parameters of the table that no listed library sends, by method and path: deprecated names, and names of other
/// clients and of Twilio's documentation.
pub(super) const NOT_OF_LIBRARIES: &[(&str, &str, &[&str])] = &[
    ("POST", "{AC}/Calls.json", &["IfMachine", "StirPassportSid", "Transcribe", "ValidityPeriod"]),
    ("POST", "{AC}/Calls/{CA}.json", &["StatusCallbackEvent"]),
    ("GET", "{AC}/Calls/{CA}/Recordings.json", &["IncludeSoftDeleted"]),
    ("GET", "{AC}/Calls/{CA}/Recordings/{RE}.json", &["IncludeSoftDeleted"]),
    ("GET", "{AC}/Recordings/{RE}.wav", &["RequestedChannels"]),
    ("POST", "{AC}/Queues/{QU}/Members/{CA}.json", &["Twiml"]),
    ("POST", "{AC}/IncomingPhoneNumbers/{PN}.json", &["StatusCallbackEvent"]),
    ("POST", "{AC}/Messages.json", &["Tags"]),
];

/// Returns the packages of the list with their versions.
pub(super) fn packages() -> impl Iterator<Item = &'static str> {
    LIST.lines().filter_map(|line| line.strip_prefix("# ").filter(|text| text.starts_with("twilio-")))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::parameter_names::is_guarded;
    use super::super::requests::{ApiOperation, OPERATIONS, ParameterSupport};
    use super::*;

    type Names = BTreeSet<&'static str>;

    /// Returns the parameters of the list by method and path.
    fn listed() -> BTreeMap<(&'static str, &'static str), Names> {
        let requests = LIST.lines().filter(|line| !line.starts_with('#'));
        let read = |line: &'static str| {
            let (request, names) = line.split_once(':').unwrap();
            (request.split_once(' ').unwrap(), names.split_whitespace().collect())
        };
        requests.map(read).collect()
    }

    fn is_operation(method: &str, path: &str) -> bool {
        OPERATIONS.iter().any(|operation| (operation.method, operation.path) == (method, path))
    }

    fn shown(operation: &ApiOperation, name: &str) -> String {
        format!("{} {}: {name}", operation.method, operation.path)
    }

    #[test]
    fn each_parameter_that_a_library_can_send_is_decided_by_name() {
        let listed = listed();
        let mut undecided = Vec::new();
        for operation in OPERATIONS {
            let sent = listed.get(&(operation.method, operation.path));
            // The libraries only request JSON; they do not download audio.
            let is_json = operation.path.starts_with('/') || operation.path.ends_with(".json");
            assert_eq!(sent.is_some(), is_json, "{}", operation.path);
            let unknown = sent.into_iter().flatten().filter(|name| operation.given(name).is_none());
            undecided.extend(unknown.map(|name| shown(operation, name)));
        }
        assert!(undecided.is_empty(), "{undecided:#?}");
        assert!(listed.keys().all(|(method, path)| is_operation(method, path)), "{listed:#?}");
        let sent: usize = listed.values().map(BTreeSet::len).sum();
        assert!(sent > 200, "{sent} parameters");
        assert_eq!(packages().count(), 2);
    }

    #[test]
    fn parameters_of_the_table_that_no_library_sends_are_marked() {
        let listed = listed();
        for operation in OPERATIONS {
            let sent = listed.get(&(operation.method, operation.path)).cloned().unwrap_or_default();
            let own: Names = operation.parameters.iter().map(|(name, _)| *name).collect();
            let others: Names = own.difference(&sent).copied().collect();
            let of_operation = NOT_OF_LIBRARIES
                .iter()
                .filter(|(method, path, _)| (*method, *path) == (operation.method, operation.path))
                .flat_map(|(_, _, names)| names.iter().copied());
            assert_eq!(others, of_operation.collect::<Names>(), "{}", shown(operation, ""));
        }
        assert!(NOT_OF_LIBRARIES.iter().all(|(method, path, _)| is_operation(method, path)));
    }

    #[test]
    fn no_parameter_of_weight_is_ignored() {
        let mut ignored = BTreeSet::new();
        for operation in OPERATIONS {
            let all = operation.parameters.iter().filter(|(_, given)| matches!(given, ParameterSupport::Ignored(_)));
            ignored.extend(all.filter(|(name, _)| is_guarded(name)).map(|(name, _)| *name));
        }
        // The conference hears the party from its answer on, which is less than `true` asks for.
        assert_eq!(ignored, BTreeSet::from(["EarlyMedia"]));
    }
}
