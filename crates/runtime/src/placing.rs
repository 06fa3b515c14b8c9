//! Calls placed by requests: called party and caller ID as permitted by the configuration. The API applies this check,
//! and `why` shows it in advance.

use trunkgate_call::numbers::escaped;
use trunkgate_call::{NotBegun, NotJoined, ReasonSlug, named_target, trunk_of_uri};
use trunkgate_route::{Number, NumberingPlan, RoutingTable, TargetSpec};
use trunkgate_twiml::{headers_of_request, written_number};

use trunkgate_config::Config;

/// Maximum number of characters of a request's parameter repeated in an error.
const SHOWN_CHARS: usize = 160;

/// Call permitted by the configuration.
#[derive(Debug, PartialEq, Eq)]
pub struct PermittedCall {
    /// Called number in E.164, or SIP address.
    pub to: String,
    /// Targets for the called party, in order.
    pub targets: Vec<TargetSpec>,
    /// Headers of the INVITE, from the part after `?` of a SIP address.
    pub headers: Vec<(String, String)>,
}

impl PermittedCall {
    fn without_headers(to: impl Into<String>, targets: Vec<TargetSpec>) -> PermittedCall {
        PermittedCall { to: to.into(), targets, headers: Vec::new() }
    }

    /// Returns whether a target is an agent.
    pub fn has_agent(&self) -> bool {
        self.targets.iter().any(is_agent)
    }

    /// Returns whether all targets are agents.
    pub fn has_agents_alone(&self) -> bool {
        self.targets.iter().all(is_agent)
    }
}

/// Reason why a call requested by the API is not placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiCallError {
    /// Twilio's error code.
    pub code: u32,
    /// HTTP status of the response.
    pub status: u16,
    /// Description of the problem, which begins with the name of the parameter.
    pub message: String,
}

impl ApiCallError {
    fn new(code: u32, message: impl Into<String>) -> ApiCallError {
        ApiCallError { code, status: 400, message: message.into() }
    }

    /// Returns the error for a missing called party (21201).
    fn no_to() -> ApiCallError {
        ApiCallError::new(21_201, "To: a number or SIP address is required")
    }

    /// Returns the error for a missing caller ID (21213).
    fn no_from() -> ApiCallError {
        ApiCallError::new(21_213, "From: a number is required")
    }

    /// Returns the error for a called party that cannot be called (21211).
    fn bad_to(to: &str, what: &str) -> ApiCallError {
        ApiCallError::new(21_211, format!("To: \"{}\": {what}", shown(to)))
    }

    /// Returns the error for a caller ID that is not a number of the edge (21210).
    fn foreign_from(from: &str) -> ApiCallError {
        ApiCallError::new(
            21_210,
            format!("From: \"{}\" is not a number of the edge: add it as [[number]]", shown(from)),
        )
    }

    /// Returns the error for a party that the conference rejects. Its code is the one for API requests, which may
    /// differ from that for documents.
    fn not_joined(why: NotJoined) -> ApiCallError {
        let code = match why.code().unwrap_or(20_001) {
            16_023 => 16_024,
            16_025 => 16_026,
            code => u32::from(code),
        };
        ApiCallError::new(code, format!("The participant cannot join: {}", why.words()))
    }

    /// Returns the error for an API call while no trunk is configured for such calls (21215).
    fn nowhere() -> ApiCallError {
        ApiCallError::new(21_215, "No trunk for outgoing calls: list one in `connect` of [api]")
    }
}

impl From<NotBegun> for ApiCallError {
    fn from(why: NotBegun) -> ApiCallError {
        match why {
            NotBegun::NoTarget => ApiCallError::nowhere(),
            NotBegun::Denied(why) => ApiCallError::new(21_215, format!("To: no permission to call this number: {why}")),
            NotBegun::CallerDenied(why) => ApiCallError::new(21_210, format!("From: {why}")),
            NotBegun::NotJoined(why) => ApiCallError::not_joined(why),
            NotBegun::EmergencyLimit(key) => {
                let message = format!("The call was not started: too many emergency calls requested over HTTP ({key})");
                ApiCallError { status: 429, ..ApiCallError::new(20_429, message) }
            }
            NotBegun::Refused(reason @ ReasonSlug::Draining) => {
                ApiCallError { status: 503, ..ApiCallError::new(20_503, reason.sentence()) }
            }
            NotBegun::Refused(reason) => ApiCallError {
                status: 429,
                ..ApiCallError::new(20_429, format!("The call was not started: {}", reason.sentence()))
            },
        }
    }
}

/// Checks the caller ID, which must be a number of the edge.
///
/// # Errors
/// Returns the error for the response if the caller ID is missing or not a number of the edge.
pub fn judge_from(config: &Config, from: Option<&str>) -> Result<String, ApiCallError> {
    let from = from.ok_or_else(ApiCallError::no_from)?;
    let number = config.edge.numbers.normalise(from, None).map_or_else(|_| from.to_owned(), |number| number.text);
    match config.numbers.iter().any(|one| one.number == number) {
        true => Ok(number),
        false => Err(ApiCallError::foreign_from(from)),
    }
}

/// Checks the called party and finds its targets.
///
/// # Errors
/// Returns the error for the response if the called party is neither a number nor a SIP address of a trunk, or if no
/// trunk is configured for API calls.
pub fn judge_to(config: &Config, table: &RoutingTable, to: Option<&str>) -> Result<PermittedCall, ApiCallError> {
    let to = to.ok_or_else(ApiCallError::no_to)?;
    let numbers = &config.edge.numbers;
    if to.starts_with("sip:") || to.starts_with("sips:") {
        let (uri, headers) = headers_of_request(to).map_err(|what| ApiCallError::bad_to(to, &what))?;
        let target = named_target(&uri, numbers).ok_or_else(|| ApiCallError::bad_to(to, "it is not a SIP address"))?;
        if trunk_of_uri(&uri, table).0.is_none() {
            return Err(ApiCallError::bad_to(to, "its host is that of no trunk"));
        }
        let headers = headers.into_iter().map(|header| (header.name, header.value)).collect();
        return Ok(PermittedCall { to: uri, targets: vec![target], headers });
    }
    if let Some(identity) = to.strip_prefix("client:") {
        return match table.client(without_parameters(identity)) {
            Some(targets) => without_agents(to, targets),
            None => Err(ApiCallError::bad_to(to, "unknown client: [client] has no such identity")),
        };
    }
    let number = parse_number(numbers, to).ok_or_else(|| ApiCallError::bad_to(to, "it is not a phone number"))?;
    if config.api.connect.is_empty() {
        return Err(ApiCallError::nowhere());
    }
    let targets = targets_for(config, table, &number);
    if targets.is_empty() {
        let what = "it is not a phone number, nor an extension in a route, emergency list, phone or PBX of `connect`";
        return Err(ApiCallError::bad_to(to, what));
    }
    Ok(PermittedCall::without_headers(number.text, targets))
}

/// Returns the targets of `connect` for a number. An extension that the configuration does not name only uses phones
/// and PBXs, also for failover, because for a carrier such a number is one of its services.
fn targets_for(config: &Config, table: &RoutingTable, number: &Number) -> Vec<TargetSpec> {
    let connect = &config.api.connect;
    if number.is_e164 || has_place(config, table, number) {
        return connect.clone();
    }
    let has_extensions = |target: &&TargetSpec| {
        let TargetSpec::Trunk { name, .. } = target else { return false };
        let is_pbx = config.pbx_trunks.contains(name.as_str());
        is_pbx || table.trunk(name).is_some_and(|trunk| trunk.accept_register)
    };
    connect.iter().filter(has_extensions).cloned().collect()
}

/// Returns whether the configuration has a destination for a number without country code: an emergency number, a
/// registered phone, or a number named by a route.
fn has_place(config: &Config, table: &RoutingTable, number: &Number) -> bool {
    config.edge.numbers.is_emergency(number)
        || table.registrant(&number.text).is_some()
        || table.routes().iter().any(|route| route.to.iter().any(|pattern| pattern.matches(&number.text)))
}

/// Returns a client identity without its parameters after `?`, which a SIP party does not get.
fn without_parameters(identity: &str) -> &str {
    identity.split('?').next().unwrap_or_default()
}

/// Returns those targets of a client that are not agents, since an agent cannot be run by a document.
///
/// # Errors
/// Returns the error for the response if all targets are agents.
fn without_agents(to: &str, targets: &[TargetSpec]) -> Result<PermittedCall, ApiCallError> {
    let parties: Vec<TargetSpec> = targets.iter().filter(|target| !is_agent(target)).cloned().collect();
    if parties.is_empty() {
        let what = "[client] maps it to a voice agent, which requests call for a conference only (Participants.json)";
        return Err(ApiCallError::bad_to(to, what));
    }
    Ok(PermittedCall::without_headers(to, parties))
}

fn is_agent(target: &TargetSpec) -> bool {
    matches!(target, TargetSpec::Agent(_))
}

/// Checks a conference party that is an agent (`agent:NAME`), or a client with an agent among its targets; `None` for
/// any other party.
///
/// # Errors
/// Returns the error for the response if the agent does not exist, or can only listen.
pub fn judge_agent_party(table: &RoutingTable, to: &str) -> Result<Option<PermittedCall>, ApiCallError> {
    if let Some(name) = to.strip_prefix("agent:") {
        return judge_agent(table, name).map(Some);
    }
    let known = to.strip_prefix("client:").and_then(|identity| table.client(without_parameters(identity)));
    let with_agent = known.filter(|targets| targets.iter().any(is_agent));
    Ok(with_agent.map(|targets| PermittedCall::without_headers(to, targets.to_vec())))
}

/// Checks a configured agent that is to join a conference.
///
/// # Errors
/// Returns the error for the response if the agent does not exist, or can only listen.
fn judge_agent(table: &RoutingTable, name: &str) -> Result<PermittedCall, ApiCallError> {
    let to = format!("agent:{name}");
    match table.agent(name) {
        Some(agent) if !agent.is_raw() => {
            Ok(PermittedCall::without_headers(to, vec![TargetSpec::Agent(name.to_owned())]))
        }
        Some(_) => Err(ApiCallError::bad_to(&to, "it only listens")),
        None => Err(ApiCallError::bad_to(&to, "unknown agent")),
    }
}

/// Parses a handwritten phone number; `None` if it is not a number, or not valid in the country of its country code.
pub fn parse_number(numbers: &NumberingPlan, text: &str) -> Option<Number> {
    let written = written_number(text)?;
    let number = numbers.normalise(written.trim(), None).ok()?;
    (number.is_e164 || !written.trim_start().starts_with('+')).then_some(number)
}

fn shown(text: &str) -> String {
    escaped(text, SHOWN_CHARS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::ResolvedServers;
    use trunkgate_config as config;

    #[test]
    fn faults_have_the_codes_of_the_api() {
        let text = "[api]\nconnect = ['trunk:carrier']\n[trunk.carrier]\npeers = ['sip:198.51.100.7']\n\
                    [[number]]\nnumber = '+14155550100'\n";
        let (config, _) = config::parse(Path::new("t.toml"), text).unwrap();
        let table = config.table(&ResolvedServers::new());
        let to = |to: &str| judge_to(&config, &table, Some(to)).map(|placing| placing.to).map_err(|fault| fault.code);
        // Written as in a <Dial>, also with no-break spaces and slashes.
        for text in ["(415) 555-0199", "+1\u{a0}415\u{a0}555\u{a0}0199", "415/555-0199"] {
            assert_eq!(to(text), Ok("+14155550199".to_owned()), "{text}");
        }
        assert_eq!(to("911"), Ok("911".to_owned()));
        assert_eq!((to("12"), to("201"), to("*97")), (Err(21_211), Err(21_211), Err(21_211)));
        let text = format!("{text}[[route]]\nto = ['2*', '/[*]97/']\nconnect = ['trunk:carrier']\n");
        let (with_route, _) = config::parse(Path::new("t.toml"), &text).unwrap();
        let table_of_route = with_route.table(&ResolvedServers::new());
        let to_route = |to: &str| judge_to(&with_route, &table_of_route, Some(to)).map_err(|fault| fault.code);
        assert!(to_route("201").is_ok() && to_route("*97").is_ok());
        assert_eq!(to_route("12").unwrap_err(), 21_211);
        assert_eq!(to("sip:100@198.51.100.7"), Ok("sip:100@198.51.100.7".to_owned()));
        let placing = judge_to(&config, &table, Some("sip:100@198.51.100.7?X-Case=1&User-to-User=a%20b")).unwrap();
        let headers: Vec<(&str, &str)> = placing.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(placing.to, "sip:100@198.51.100.7");
        assert_eq!(headers, [("X-Case", "1"), ("User-to-User", "a b")]);
        for header in ["Privacy=id", "From=x", "X-Trunkgate-Hops=1", "X-Case=a%0D%0Ab", "X-Case"] {
            assert_eq!(to(&format!("sip:100@198.51.100.7?{header}")), Err(21_211), "{header}");
        }
        for (text, code) in
            [("", 21_211), ("x", 21_211), ("+9990", 21_211), ("sip:100@other.example", 21_211), ("client:bob", 21_211)]
        {
            assert_eq!(to(text), Err(code), "{text}");
        }
        let unseen = judge_to(&config, &table, Some("+9990\u{200b}1")).unwrap_err().message;
        assert!(unseen.starts_with("To: \"+9990\\u{200b}1\": "), "{unseen}");
        let from = |from: Option<&str>| judge_from(&config, from).map_err(|fault| fault.code);
        assert_eq!(from(Some("415 555 0100")), Ok("+14155550100".to_owned()));
        assert_eq!((from(Some("+14155550199")), from(None)), (Err(21_210), Err(21_213)));
        assert_eq!(judge_to(&config, &table, None).unwrap_err().code, 21_201);
    }

    #[test]
    fn a_client_that_is_an_agent_is_called_for_conferences() {
        let text = "[trunk.pbx]\npeers = ['sip:10.0.0.5']\n[agent.bot]\nurl = 'ws://127.0.0.1:9/a'\n\
                    [client]\nbot = 'agent:bot'\nboth = ['trunk:pbx/201', 'agent:bot']\nann = 'trunk:pbx/202'\n\
                    [[number]]\nnumber = '+14155550100'\n[[route]]\nconnect = 'trunk:pbx'\n";
        let (config, _) = config::parse(Path::new("t.toml"), text).unwrap();
        let table = config.table(&ResolvedServers::new());
        let agent = TargetSpec::Agent("bot".to_owned());
        let phone = TargetSpec::Trunk { name: "pbx".to_owned(), number: Some("201".to_owned()), weight: None };
        let to = |to: &str| judge_to(&config, &table, Some(to)).map(|placing| placing.targets);
        let refused = to("client:bot").unwrap_err();
        assert_eq!((refused.code, refused.message.contains("Participants.json")), (21_211, true), "{refused:?}");
        assert_eq!(to("client:both?a=b"), Ok(vec![phone.clone()]), "a document is for the phone");
        let party = |to: &str| judge_agent_party(&table, to).map_err(|fault| fault.code);
        let placed = party("client:bot?a=b").unwrap().unwrap();
        assert_eq!((placed.to.as_str(), &placed.targets), ("client:bot?a=b", &vec![agent.clone()]));
        assert!(placed.has_agents_alone());
        let both = party("client:both").unwrap().unwrap();
        assert_eq!((both.has_agents_alone(), &both.targets), (false, &vec![phone, agent]));
        for other in ["client:ann", "client:none", "+14155550199"] {
            assert_eq!(party(other), Ok(None), "{other}");
        }
        assert!(party("agent:bot").unwrap().is_some_and(|placing| placing.has_agent()));
        assert_eq!(party("agent:none"), Err(21_211));
    }

    #[test]
    fn an_extension_does_not_fail_over_to_a_carrier() {
        let text = "[api]\nconnect = ['trunk:carrier', 'trunk:pbx', 'trunk:backup']\n\
                    [trunk.carrier]\npeers = ['sip:198.51.100.7']\n[trunk.backup]\npeers = ['sip:198.51.100.8']\n\
                    [trunk.pbx]\npeers = ['sip:10.0.0.5']\n[[number]]\nnumber = '+14155550100'\n\
                    [[route]]\nto = '3*'\nconnect = ['trunk:carrier']\n";
        let (config, _) = config::parse(Path::new("t.toml"), text).unwrap();
        let table = config.table(&ResolvedServers::new());
        let targets = |to: &str| judge_to(&config, &table, Some(to)).unwrap().targets;
        let pbx = TargetSpec::Trunk { name: "pbx".to_owned(), number: None, weight: None };
        assert_eq!((targets("201"), targets("*97")), (vec![pbx.clone()], vec![pbx]));
        for to in ["301", "911", "+14155550199"] {
            assert_eq!(targets(to), config.api.connect, "{to}");
        }
    }

    #[test]
    fn extensions_of_a_pbx_are_called_without_a_route() {
        for (peer, keys, takes_extensions) in [
            ("10.0.0.5", "", true),
            ("pbx.example.com", "preset = 'asterisk'", true),
            ("198.51.100.7", "preset = 'freepbx'", true),
            ("198.51.100.7", "", false),
            ("pbx.example.com", "", false),
            ("10.0.0.5", "preset = 'carrier'", false),
        ] {
            let text = format!(
                "[api]\nconnect = ['trunk:pbx']\n[trunk.pbx]\npeers = ['sip:{peer}']\n{keys}\n\
                 [[number]]\nnumber = '+14155550100'\n[[route]]\nto = '+1*'\nconnect = ['trunk:pbx']\n"
            );
            let (config, _) = config::parse(Path::new("t.toml"), &text).unwrap();
            let table = config.table(&ResolvedServers::new());
            for extension in ["201", "*97"] {
                let placing = judge_to(&config, &table, Some(extension));
                let placed = placing.map(|placing| (placing.to, placing.targets.len())).map_err(|fault| fault.code);
                let expected = if takes_extensions { Ok((extension.to_owned(), 1)) } else { Err(21_211) };
                assert_eq!(placed, expected, "{peer} {keys}");
            }
        }
    }
}
