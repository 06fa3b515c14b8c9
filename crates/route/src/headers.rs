//! Rules for the headers that are forwarded between trunks or added to calls.

use std::sync::LazyLock;

/// Headers that are forwarded if neither trunk has a `pass` list.
pub const DEFAULT_PASS: [&str; 5] =
    ["User-to-User", "Diversion", "Geolocation", "Geolocation-Routing", "Geolocation-Error"];

/// Headers that the edge writes itself or that belong to one leg; rules can neither add nor forward them.
const OWNED: [&str; 60] = [
    "Accept",
    "Accept-Encoding",
    "Allow",
    "Allow-Events",
    "Authentication-Info",
    "Authorization",
    "CSeq",
    "Call-ID",
    "Contact",
    "Content-Disposition",
    "Content-Encoding",
    "Content-ID",
    "Content-Length",
    "Content-Type",
    "Date",
    "Event",
    "Expires",
    "Flow-Timer",
    "From",
    "Join",
    "MIME-Version",
    "Max-Breadth",
    "Max-Forwards",
    "Min-Expires",
    "Min-SE",
    "P-Access-Network-Info",
    "Path",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "Proxy-Require",
    "RAck",
    "RSeq",
    "Reason",
    "Record-Route",
    "Recv-Info",
    "Refer-Sub",
    "Refer-To",
    "Referred-By",
    "Replaces",
    "Request-Disposition",
    "Require",
    "Retry-After",
    "Route",
    "Security-Client",
    "Security-Server",
    "Security-Verify",
    "Server",
    "Service-Route",
    "Session-Expires",
    "Subscription-State",
    "Supported",
    "Target-Dialog",
    "Timestamp",
    "To",
    "Unsupported",
    "User-Agent",
    "Via",
    "WWW-Authenticate",
    "Warning",
];

/// Headers controlled by the `identity` setting.
const IDENTITY: [&str; 4] = ["P-Asserted-Identity", "P-Preferred-Identity", "Privacy", "Identity"];

/// Reason why a header cannot have a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderRuleError {
    /// The edge writes the header itself, or it belongs to one leg.
    Owned,
    /// The header is controlled by the `identity` setting.
    Identity,
    /// The text is not a valid header name, or not a permitted prefix.
    NoName,
}

/// Checks whether a header may have a rule.
///
/// # Errors
/// Fails if the name is not a token, if the edge writes the header itself, or if `identity` controls it.
pub fn may_rule(name: &str) -> Result<(), HeaderRuleError> {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%_+`'~".contains(c);
    if name.is_empty() || !name.chars().all(token) {
        return Err(HeaderRuleError::NoName);
    }
    let is_one_of = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
    // A name of one letter is a compact form (RFC 3261 §7.3.3), and all of those are owned by the edge.
    if is_one_of(&OWNED) || name.len() == 1 {
        return Err(HeaderRuleError::Owned);
    }
    if is_one_of(&IDENTITY) { Err(HeaderRuleError::Identity) } else { Ok(()) }
}

/// Header name, or a prefix of names such as `X-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderPattern {
    /// Exact header name.
    Name(String),
    /// Prefix of header names, without `*`.
    Beginning(String),
}

impl HeaderPattern {
    /// Parses a header name or a prefix such as `X-*`. A prefix must begin with `X-`: all other names are
    /// standardised, and the edge writes some of them itself.
    ///
    /// # Errors
    /// Fails if a prefix does not begin with `X-`, or for the reasons of [`may_rule`].
    pub fn parse(text: &str) -> Result<HeaderPattern, HeaderRuleError> {
        match text.strip_suffix('*') {
            Some(beginning) if beginning.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-")) => {
                may_rule(beginning).map(|()| HeaderPattern::Beginning(beginning.to_owned()))
            }
            Some(_) => Err(HeaderRuleError::NoName),
            None => may_rule(text).map(|()| HeaderPattern::Name(text.to_owned())),
        }
    }

    /// Returns whether the pattern matches a header name.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            HeaderPattern::Name(known) => known.eq_ignore_ascii_case(name),
            HeaderPattern::Beginning(start) => {
                name.get(..start.len()).is_some_and(|begins| begins.eq_ignore_ascii_case(start))
            }
        }
    }
}

/// Header rules of a trunk (`headers`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderRules {
    /// Headers added to each INVITE to the trunk that begins a call, in order.
    pub add: Vec<(String, String)>,
    /// Headers forwarded from and to the trunk; `None` applies the other trunk's list.
    pub pass: Option<Vec<HeaderPattern>>,
    /// Headers never forwarded, even if `pass` lists them.
    pub remove: Vec<HeaderPattern>,
    /// Headers that are ignored in messages from this trunk.
    pub foreign: Vec<String>,
}

impl HeaderRules {
    /// Returns the rules for a URI that belongs to no trunk: only `User-to-User` is forwarded, because the caller
    /// addressed it to that URI.
    pub fn untrusted_uri() -> &'static HeaderRules {
        static RULES: LazyLock<HeaderRules> = LazyLock::new(|| {
            let pass = vec![HeaderPattern::Name("User-to-User".to_owned())];
            HeaderRules { pass: Some(pass), ..HeaderRules::default() }
        });
        &RULES
    }

    /// Returns whether a header from this trunk is accepted.
    pub fn accepts_header(&self, name: &str) -> bool {
        !self.foreign.iter().any(|foreign| foreign.eq_ignore_ascii_case(name))
            && !self.remove.iter().any(|pattern| pattern.matches(name))
    }

    /// Returns whether the trunk's own `pass` list, or else the default, contains a header.
    pub fn lists(&self, name: &str) -> bool {
        match &self.pass {
            Some(list) => list.iter().any(|pattern| pattern.matches(name)),
            None => DEFAULT_PASS.iter().any(|known| known.eq_ignore_ascii_case(name)),
        }
    }

    /// Returns whether a header from this trunk is forwarded to the trunk `other`. If only one of them has a `pass`
    /// list, that list applies; if both do, both must contain the header.
    pub fn passes_to(&self, other: &HeaderRules, name: &str) -> bool {
        let listed = match (&self.pass, &other.pass) {
            (None, Some(_)) => other.lists(name),
            (Some(_), None) | (None, None) => self.lists(name),
            (Some(_), Some(_)) => self.lists(name) && other.lists(name),
        };
        listed && self.accepts_header(name) && !other.remove.iter().any(|pattern| pattern.matches(name))
    }
}

/// Trust in caller identity headers (P-Asserted-Identity, Privacy, Identity) from and to a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityTrust {
    /// The trunk is trusted: identity headers are forwarded (RFC 3325 §2.3).
    #[default]
    Pass,
    /// The trunk is not trusted: identity headers are removed.
    Strip,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(pass: Option<&[&str]>, remove: &[&str]) -> HeaderRules {
        let patterns = |texts: &[&str]| texts.iter().map(|text| HeaderPattern::parse(text).unwrap()).collect();
        HeaderRules { pass: pass.map(patterns), remove: patterns(remove), ..HeaderRules::default() }
    }

    #[test]
    fn both_sides_decide() {
        for (from, to, name, passes) in [
            (rules(None, &[]), rules(None, &[]), "Diversion", true),
            (rules(None, &[]), rules(None, &[]), "user-to-user", true),
            (rules(None, &[]), rules(None, &[]), "X-Tenant", false),
            (rules(Some(&["X-*"]), &[]), rules(None, &[]), "x-tenant", true),
            (rules(Some(&["X-*"]), &[]), rules(None, &[]), "Diversion", false),
            (rules(None, &[]), rules(Some(&["X-Tenant"]), &[]), "X-TENANT", true),
            (rules(None, &[]), rules(Some(&["X-Tenant"]), &[]), "X-Tenant-2", false),
            (rules(Some(&["X-*"]), &[]), rules(Some(&["X-A"]), &[]), "X-A", true),
            (rules(Some(&["X-*"]), &[]), rules(Some(&["X-A"]), &[]), "X-B", false),
            (rules(Some(&[]), &[]), rules(None, &[]), "Diversion", false),
            (rules(None, &[]), rules(Some(&[]), &[]), "Diversion", false),
            (rules(None, &["Diversion"]), rules(None, &[]), "diversion", false),
            (rules(Some(&["X-*"]), &[]), rules(None, &["X-Secret*"]), "x-secret-key", false),
            (rules(None, &[]), HeaderRules::untrusted_uri().clone(), "Diversion", false),
            (rules(None, &[]), HeaderRules::untrusted_uri().clone(), "User-to-User", true),
        ] {
            assert_eq!(from.passes_to(&to, name), passes, "{from:?} {to:?} {name}");
        }
    }

    #[test]
    fn what_only_others_may_bring_is_not_heard() {
        let stranger = HeaderRules { foreign: vec!["X-Twilio-VerStat".into()], ..rules(Some(&["X-*"]), &[]) };
        assert!(
            !stranger.accepts_header("x-twilio-verstat") && !stranger.passes_to(&rules(None, &[]), "X-Twilio-VerStat")
        );
        assert!(rules(Some(&["X-*"]), &[]).passes_to(&stranger, "X-Twilio-VerStat"), "the header may be sent");
    }

    #[test]
    fn no_rule_for_what_is_the_edges() {
        for (text, wrong) in [
            ("Via", HeaderRuleError::Owned),
            ("contact", HeaderRuleError::Owned),
            ("Content-Length", HeaderRuleError::Owned),
            ("m", HeaderRuleError::Owned),
            ("Privacy", HeaderRuleError::Identity),
            ("p-asserted-identity", HeaderRuleError::Identity),
            ("", HeaderRuleError::NoName),
            ("*", HeaderRuleError::NoName),
            ("P-*", HeaderRuleError::NoName),
            ("X-A\r\nVia", HeaderRuleError::NoName),
            ("X A", HeaderRuleError::NoName),
            ("X-A:", HeaderRuleError::NoName),
            ("X-*-B", HeaderRuleError::NoName),
            ("X-**", HeaderRuleError::NoName),
        ] {
            assert_eq!(HeaderPattern::parse(text), Err(wrong), "{text:?}");
        }
        for text in ["X-Tenant", "X-*", "x-a-*", "Subject", "Remote-Party-ID", "History-Info"] {
            assert!(HeaderPattern::parse(text).is_ok(), "{text}");
        }
        assert!(OWNED.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
