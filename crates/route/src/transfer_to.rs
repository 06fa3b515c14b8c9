//! Permitted transfer targets of an agent (`transfer_to`). An agent's request often comes from a language model,
//! which the caller can manipulate. A number is permitted only if all its readings by a remote party are, as in
//! `allow_prefixes`.

use std::fmt;

use crate::locate::{Destination, bare_host, same_host};
use crate::pattern::Pattern;

/// Entry of `transfer_to`, with its text as configured.
#[derive(Debug, Clone)]
pub struct TransferRule {
    text: String,
    kind: TransferKind,
}

#[derive(Debug, Clone)]
enum TransferKind {
    /// Any target (`*`).
    Any,
    /// Trunk with an optional number pattern: `trunk:NAME`, `trunk:*`, `trunk:NAME/NUMBER`.
    Trunk { name: String, number: Option<Pattern> },
    /// Agent, `agent:NAME` or `agent:*`.
    Agent(String),
    /// SIP URI, `sip:USER@HOST[:PORT]`.
    Uri { is_sips: bool, user: Pattern, host: String, port: Option<u16> },
}

/// Target to which an agent requests a transfer.
#[derive(Debug, Clone, Copy)]
pub enum TransferTarget<'a> {
    /// Name of a trunk, and all readings of the number to call.
    Trunk(&'a str, &'a [String]),
    /// Name of an agent.
    Agent(&'a str),
    /// URI, its destination, and all readings of its user part.
    Uri(&'a str, &'a Destination, &'a [String]),
}

/// Wildcard for the name of any trunk or agent.
const ALL: &str = "*";

impl TransferRule {
    /// Parses an entry of `transfer_to`.
    ///
    /// # Errors
    /// Returns the reason if the kind is unknown, a name or user part is missing, or a pattern, host or port is
    /// invalid.
    pub fn parse(text: &str) -> Result<TransferRule, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let kind = match kind {
            ALL if text == ALL => TransferKind::Any,
            "trunk" | "agent" if rest.is_empty() || rest.starts_with('/') => return Err(format!("it names no {kind}")),
            "trunk" => {
                let (name, number) = rest.split_once('/').map_or((rest, None), |(name, number)| (name, Some(number)));
                let number = number.map(Pattern::parse).transpose().map_err(|error| error.message)?;
                TransferKind::Trunk { name: name.to_owned(), number }
            }
            "agent" => TransferKind::Agent(rest.to_owned()),
            "sip" | "sips" => {
                let (user, place) = rest.rsplit_once('@').ok_or("a user part is missing: sip:*@HOST")?;
                let (host, port) = host_port(place).ok_or_else(|| format!("\"{place}\" is not HOST or HOST:PORT"))?;
                let user = Pattern::parse(user).map_err(|error| error.message)?;
                TransferKind::Uri { is_sips: kind == "sips", user, host, port }
            }
            _ => return Err("it must be trunk:NAME, trunk:NAME/NUMBER, agent:NAME, sip:USER@HOST or *".to_owned()),
        };
        Ok(TransferRule { text: text.to_owned(), kind })
    }

    /// Returns the name of the trunk that the entry permits; `None` for a wildcard or another kind of target.
    pub fn trunk(&self) -> Option<&str> {
        match &self.kind {
            TransferKind::Trunk { name, .. } if name != ALL => Some(name),
            TransferKind::Trunk { .. } | TransferKind::Any | TransferKind::Agent(_) | TransferKind::Uri { .. } => None,
        }
    }

    /// Returns the name of the agent that the entry permits; `None` for a wildcard or another kind of target.
    pub fn agent(&self) -> Option<&str> {
        match &self.kind {
            TransferKind::Agent(name) if name != ALL => Some(name),
            TransferKind::Agent(_) | TransferKind::Any | TransferKind::Trunk { .. } | TransferKind::Uri { .. } => None,
        }
    }

    /// Returns the pattern for the numbers that may be called at a trunk; `None` permits any.
    pub fn number(&self) -> Option<&Pattern> {
        if let TransferKind::Trunk { number, .. } = &self.kind { number.as_ref() } else { None }
    }

    /// Returns whether the entry permits a transfer to a target; every reading of its number must match.
    pub fn allows(&self, wanted: TransferTarget<'_>) -> bool {
        let is = |name: &str, other: &str| name == ALL || name == other;
        let all = |pattern: &Pattern, ways: &[String]| ways.iter().all(|way| pattern.matches(way));
        match (&self.kind, wanted) {
            (TransferKind::Any, _) => true,
            (TransferKind::Trunk { name, number }, TransferTarget::Trunk(other, ways)) => {
                is(name, other) && number.as_ref().is_none_or(|number| all(number, ways))
            }
            (TransferKind::Agent(name), TransferTarget::Agent(other)) => is(name, other),
            (TransferKind::Uri { is_sips, user, host, port }, TransferTarget::Uri(uri, destination, ways)) => {
                let has_sips = uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
                let default = destination.transport.default_port();
                let is_port = destination.port.unwrap_or(default) == port.unwrap_or(default);
                (has_sips || !is_sips) && is_port && is_host(host, &destination.host) && all(user, ways)
            }
            (TransferKind::Trunk { .. } | TransferKind::Agent(_) | TransferKind::Uri { .. }, _) => false,
        }
    }
}

/// Formats the entry as written in the configuration.
impl fmt::Display for TransferRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns whether a host equals the configured one, or is in the domain of `*.DOMAIN`.
fn is_host(written: &str, host: &str) -> bool {
    match written.strip_prefix('*') {
        Some("") => true,
        Some(domain) => {
            let (domain, host) = (bare_host(domain).to_ascii_lowercase(), bare_host(host).to_ascii_lowercase());
            host.len() > domain.len() && host.ends_with(&domain)
        }
        None => same_host(written, host),
    }
}

/// Parses `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`; the host may be `*` or `*.DOMAIN`.
fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let port =
        port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0)).map_or(Some(None), |p| p.map(Some))?;
    (is_name || host == ALL).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_terms::Transport;

    fn ways(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    #[test]
    fn an_entry_lets_its_own_targets_through_and_no_others() {
        let rule = |text: &str| TransferRule::parse(text).unwrap();
        for (entry, name, number, expected) in [
            ("*", "pbx", "100", true),
            ("trunk:pbx", "pbx", "+18095550123", true),
            ("trunk:pbx", "carrier", "100", false),
            ("trunk:*", "carrier", "100", true),
            ("trunk:carrier/+1415*", "carrier", "+14155550100", true),
            ("trunk:carrier/+1415*", "carrier", "+18095550100", false),
            ("trunk:carrier/100", "carrier", "1001", false),
            ("trunk:*/+1415*", "pbx", "+14155550100", true),
            ("agent:*", "pbx", "100", false),
            ("sip:*@*", "pbx", "100", false),
        ] {
            let ways = ways(number);
            assert_eq!(rule(entry).allows(TransferTarget::Trunk(name, &ways)), expected, "{entry} {name}/{number}");
        }
        let read = ["9011881651234567", "+881651234567"].map(str::to_owned);
        assert!(!rule("trunk:carrier/9*").allows(TransferTarget::Trunk("carrier", &read)), "each reading counts");
        assert!(
            rule("agent:desk").allows(TransferTarget::Agent("desk"))
                && !rule("agent:desk").allows(TransferTarget::Agent("night"))
        );
        assert!(
            rule("agent:*").allows(TransferTarget::Agent("night"))
                && !rule("trunk:*").allows(TransferTarget::Agent("night"))
        );
        for (entry, uri, host, port, expected) in [
            ("sip:*@pbx.example.com", "sip:100@PBX.example.com.", "pbx.example.com", None, true),
            ("sip:*@pbx.example.com", "sip:100@pbx.example.com:5060", "pbx.example.com", Some(5060), true),
            ("sip:*@pbx.example.com", "sip:100@pbx.example.com:22", "pbx.example.com", Some(22), false),
            ("sip:*@pbx.example.com:5070", "sip:100@pbx.example.com:5070", "pbx.example.com", Some(5070), true),
            ("sip:*@pbx.example.com:5070", "sip:100@pbx.example.com", "pbx.example.com", None, false),
            ("sip:1*@pbx.example.com", "sip:100@pbx.example.com", "pbx.example.com", None, true),
            ("sip:2*@pbx.example.com", "sip:100@pbx.example.com", "pbx.example.com", None, false),
            ("sips:*@pbx.example.com", "sip:100@pbx.example.com", "pbx.example.com", None, false),
            ("sips:*@pbx.example.com", "sips:100@pbx.example.com", "pbx.example.com", None, true),
            ("sip:*@*.example.com", "sip:100@pbx.example.com", "pbx.example.com", None, true),
            ("sip:*@*.example.com", "sip:100@evilexample.com", "evilexample.com", None, false),
            ("sip:*@*.example.com", "sip:100@example.com", "example.com", None, false),
            ("sip:*@pbx.example.com", "sip:100@pbx.example.com.evil.test", "pbx.example.com.evil.test", None, false),
            ("sip:*@192.0.2.7", "sip:100@[::ffff:192.0.2.7]", "::ffff:192.0.2.7", None, true),
            ("sip:*@[2001:db8::7]:5070", "sip:100@[2001:DB8:0::7]:5070", "2001:DB8:0::7", Some(5070), true),
            ("sip:*@*", "sip:100@anything.test", "anything.test", None, true),
            ("trunk:*", "sip:100@pbx.example.com", "pbx.example.com", None, false),
        ] {
            let transport = if uri.starts_with("sips") { Transport::Tls } else { Transport::Udp };
            let destination = Destination { host: host.into(), port, transport, is_fixed: false };
            let wanted = TransferTarget::Uri(uri, &destination, &ways("100"));
            assert_eq!(rule(entry).allows(wanted), expected, "{entry} {uri}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        for text in [
            "",
            "pbx",
            "trunk:",
            "trunk:/100",
            "trunk:pbx/",
            "trunk:pbx/1*2",
            "agent:",
            "sip:pbx.example.com",
            "sip:@h",
            "sip:*@",
            "sip:*@h:0",
            "sip:*@h:x",
            "sip:*@[zz]",
            "sip:*@a b",
            "sip:*@*evil.com",
            "reject:486",
            "group:x",
            "**",
        ] {
            assert!(TransferRule::parse(text).is_err(), "{text}");
        }
    }
}
