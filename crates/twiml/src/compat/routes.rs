//! Router of the REST API: finds the operation of a method and a path in the tables of `requests` and `lookups`.

use super::lookups::{LOOK_UP_V1, LOOK_UP_V2};
use super::requests::{ApiOperation, LATER, LATER_METHODS, OPERATIONS};

/// Version of the API, which is the first part of its paths.
pub const VERSION: &str = "2010-04-01";

/// Maximum number of parts in braces behind `{AC}` in the path of an operation.
const NAMED_PARTS: usize = 2;

/// Path of the API below `/2010-04-01/Accounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiPath<'p> {
    /// Parts behind `/2010-04-01/Accounts`, without `.json`.
    parts: Vec<&'p str>,
    is_json: bool,
}

/// Operation of a request, with the SIDs in its path.
#[derive(Debug, Clone, Copy)]
pub struct Route<'p> {
    /// Operation that the method and the path select.
    pub operation: &'static ApiOperation,
    /// Parts of the path at the places of the braces behind `{AC}`, still escaped; empty if the operation has fewer.
    pub named: [&'p str; NAMED_PARTS],
}

/// Reason why a request has no operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoRoute {
    /// The path has operations, but none with this method.
    OtherMethod,
    /// Twilio has the operation of this name, but the edge does not support it.
    Later(String),
    /// Neither the edge nor Twilio has such a path.
    Unknown,
}

impl<'p> ApiPath<'p> {
    /// Parses a path below `/2010-04-01/Accounts`, with or without `.json`; `None` for another path.
    pub fn parse(path: &'p str) -> Option<ApiPath<'p>> {
        let short = path.strip_suffix(".json");
        let mut parts = short.unwrap_or(path).split('/').filter(|part| !part.is_empty());
        let is_below = parts.next() == Some(VERSION) && parts.next() == Some("Accounts");
        is_below.then(|| ApiPath { parts: parts.collect(), is_json: short.is_some() })
    }

    /// Returns the SID of the account; `None` if the path has none.
    pub fn account(&self) -> Option<&'p str> {
        self.parts.first().copied()
    }

    /// Returns the name of the list below the account, such as `Calls`; `None` if the path has none.
    pub fn list(&self) -> Option<&'p str> {
        self.parts.get(1).copied()
    }

    /// Finds the operation of a method for this path; HEAD selects the operation of GET.
    ///
    /// # Errors
    /// Returns an error if the path is unknown, has no such method, or is rejected by name.
    pub fn route(&self, method: &str) -> Result<Route<'p>, NoRoute> {
        let method = if method == "HEAD" { "GET" } else { method };
        let refused = self.later(method);
        if let Some((what, true)) = refused {
            return Err(NoRoute::Later(what));
        }
        let mut error = NoRoute::Unknown;
        for operation in OPERATIONS {
            let Some(named) = self.named_parts(operation.path) else { continue };
            if operation.method == method {
                return Ok(Route { operation, named });
            }
            error = NoRoute::OtherMethod;
        }
        Err(refused.map_or(error, |(what, _)| NoRoute::Later(what)))
    }

    /// Returns the name of an unsupported operation of Twilio, and whether the table has it with this method.
    fn later(&self, method: &str) -> Option<(String, bool)> {
        match self.parts.as_slice() {
            [_, list, ..] if LATER.contains(list) => return Some(((*list).to_owned(), true)),
            [_, "Calls", _, list, ..] if LATER.contains(list) => return Some((format!("Calls/{{sid}}/{list}"), true)),
            _ => {}
        }
        let known = || LATER_METHODS.iter().filter(|(_, path)| self.named_parts(path).is_some());
        let exact = known().find(|(known, _)| *known == method);
        let (_, path) = exact.or_else(|| known().next())?;
        let name = format!("{method} {}", path.trim_start_matches("{AC}/").trim_end_matches(".json"));
        Some((name, exact.is_some()))
    }

    /// Returns the parts of this path that correspond to an operation's placeholders in braces, except `{AC}`; `None`
    /// if the paths differ.
    fn named_parts(&self, of_operation: &str) -> Option<[&'p str; NAMED_PARTS]> {
        // The path of a recording's audio has no ending, or `.wav`.
        let known = match of_operation.strip_suffix(".json") {
            Some(known) => known,
            None if self.is_json => return None,
            None => of_operation.strip_suffix(".wav")?,
        };
        let mut known = known.split('/').filter(|part| !part.is_empty());
        let mut parts = self.parts.iter();
        let mut named = [""; NAMED_PARTS];
        let mut places = named.iter_mut();
        loop {
            match (known.next(), parts.next()) {
                (None, None) => return Some(named),
                (Some("{AC}"), Some(_)) => {}
                (Some(known), Some(part)) if known.starts_with('{') => *places.next()? = part,
                (Some(known), Some(part)) if known == *part => {}
                _ => return None,
            }
        }
    }
}

/// Finds the Lookup operation of a path, with the number still escaped; `None` for another path.
pub fn lookup(path: &str) -> Option<Route<'_>> {
    let behind = |operation: &'static ApiOperation| {
        let number = path.strip_prefix(operation.path.trim_end_matches("{number}"))?;
        (!number.is_empty()).then_some(Route { operation, named: [number, ""] })
    };
    [&LOOK_UP_V1, &LOOK_UP_V2].into_iter().find_map(behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compat::requests::Endpoint;

    fn found(method: &str, path: &'static str) -> Result<(Endpoint, [&'static str; 2]), NoRoute> {
        let route = ApiPath::parse(path).ok_or(NoRoute::Unknown)?.route(method)?;
        Ok((route.operation.endpoint, route.named))
    }

    #[test]
    fn each_operation_is_found_by_its_own_path() {
        let of_accounts = OPERATIONS.iter().filter(|operation| !operation.path.starts_with('/'));
        let mut endpoints = std::collections::HashSet::new();
        for operation in of_accounts {
            let between = if operation.path.starts_with('.') { "" } else { "/" };
            let path = format!("/{VERSION}/Accounts{between}{}", operation.path.replace(['{', '}'], ""));
            let route = ApiPath::parse(&path).unwrap().route(operation.method).unwrap();
            assert!(std::ptr::eq(route.operation, *operation), "{} {path}", operation.method);
            assert!(endpoints.insert(operation.endpoint), "{:?} twice", operation.endpoint);
        }
    }

    #[test]
    fn paths_are_read_as_clients_write_them() {
        use Endpoint::{
            DeleteRecording, FetchCall, FetchCallRecording, FetchRecording, FetchRecordingAudio, FetchTranscription,
            ListAccounts, ListCalls,
        };
        for (method, path, expected) in [
            ("GET", "/2010-04-01/Accounts", (ListAccounts, ["", ""])),
            ("GET", "/2010-04-01/Accounts/AC1/Calls/", (ListCalls, ["", ""])),
            ("HEAD", "/2010-04-01//Accounts/AC1/Calls/CA1", (FetchCall, ["CA1", ""])),
            ("GET", "/2010-04-01/Accounts/AC1/Recordings/RE1.json", (FetchRecording, ["RE1", ""])),
            ("GET", "/2010-04-01/Accounts/AC1/Recordings/RE1", (FetchRecordingAudio, ["RE1", ""])),
            ("GET", "/2010-04-01/Accounts/AC1/Recordings/RE1.mp3", (FetchRecordingAudio, ["RE1.mp3", ""])),
            ("DELETE", "/2010-04-01/Accounts/AC1/Recordings/RE1", (DeleteRecording, ["RE1", ""])),
            ("GET", "/2010-04-01/Accounts/AC1/Calls/CA1/Recordings/RE1", (FetchCallRecording, ["CA1", "RE1"])),
            ("GET", "/2010-04-01/Accounts/AC1/Transcriptions/TR1.txt", (FetchTranscription, ["TR1.txt", ""])),
        ] {
            assert_eq!(found(method, path), Ok(expected), "{method} {path}");
        }
    }

    #[test]
    fn other_requests_have_a_reason() {
        let later = |what: &str| NoRoute::Later(what.to_owned());
        for (method, path, reason) in [
            ("PUT", "/2010-04-01/Accounts/AC1/Calls.json", NoRoute::OtherMethod),
            ("GET", "/2010-04-01/Accounts/AC1/Calls/CA1/Streams.json", NoRoute::OtherMethod),
            ("GET", "/2010-04-01/Accounts/AC1/Calls/CA1/Payments/PK1.json", later("Calls/{sid}/Payments")),
            ("PUT", "/2010-04-01/Accounts/AC1/Usage/Records.json", later("Usage")),
            (
                "GET",
                "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers/Local.json",
                later("GET IncomingPhoneNumbers/Local"),
            ),
            ("PUT", "/2010-04-01/Accounts/AC1/IncomingPhoneNumbers/Local", later("PUT IncomingPhoneNumbers/Local")),
            ("POST", "/2010-04-01/Accounts/AC1/Messages/SM1.json", later("POST Messages/{SM}")),
            ("GET", "/2010-04-01/Accounts/AC1/Keys/SK1/x.json", NoRoute::Unknown),
            ("GET", "/2010-04-01/Accounts/AC1/Recordings/RE1/x/y/z.json", NoRoute::Unknown),
            ("GET", "/2010-04-01/Verify.json", NoRoute::Unknown),
            ("GET", "/v1/status", NoRoute::Unknown),
        ] {
            assert_eq!(found(method, path), Err(reason), "{method} {path}");
        }
    }

    #[test]
    fn numbers_of_lookup_are_taken_whole() {
        let found = |path| lookup(path).map(|route| (route.operation.endpoint, route.named[0]));
        assert_eq!(found("/v1/PhoneNumbers/+14155550100"), Some((Endpoint::LookUpV1, "+14155550100")));
        assert_eq!(found("/v2/PhoneNumbers/%2B1/4"), Some((Endpoint::LookUpV2, "%2B1/4")));
        for path in [
            "/v1/PhoneNumbers",
            "/v2/PhoneNumbers/",
            "/v3/PhoneNumbers/+1",
            "/v1/phonenumbers/+1",
            "/v1/status",
            "//v1/PhoneNumbers/+1",
            "v1/PhoneNumbers/+1",
            "/2010-04-01/v1/PhoneNumbers/+1",
            "",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
