//! Headers relayed from one leg to another, and the caller's identity. Outgoing headers are rebuilt from permitted
//! parts and never copied as a whole: names are tokens, values are single lines, and hosts are our own.

use std::net::IpAddr;

use trunkgate_resources::limits::{
    ASSERTED_IDENTITIES, NUMBER_CHARS, PASSED_HEADER_BYTES, PASSED_HEADERS, PASSED_VALUE_BYTES,
};
use trunkgate_resources::lookups::rewrite::{self, escape_user, own_host, quoted};
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::{
    CallerIdRule, HeaderRules, IdentityTrust, Number, NumberingPlan, RoutingTable, SendNumbers, Trunk,
};
use trunkgate_sip::header::NameAddr;
use trunkgate_sip::message::unfolded;
use trunkgate_sip::{ExtraHeader, HeaderName, Scheme, SipMessage};
use trunkgate_story::numbers::{Caller, display_name, plain};

use crate::call::legs::caller_id::CallerIdPolicy;
use crate::call::legs::caller_id::HOPS;

/// Headers with addresses, which are rebuilt with our own hosts.
const ADDRESSES: [&str; 5] = ["Diversion", "History-Info", "Remote-Party-ID", "P-Called-Party-ID", "Reply-To"];
/// Address headers in which numbers that the caller may not show are left out.
const SHOWN: [&str; 2] = ["Diversion", "Remote-Party-ID"];
/// Parameters of address headers that reveal no location (RFC 5806 §4, RFC 7044 §5).
const ADDRESS_PARAMETERS: [&str; 9] =
    ["reason", "counter", "limit", "privacy", "screen", "extension", "index", "party", "id-type"];
/// Headers that identify the caller, withheld from untrusted parties for a caller that wants privacy (RFC 3323
/// §4.1.1.2, §5.1).
const TELLING: [&str; 11] = [
    "Geolocation",
    "Geolocation-Routing",
    "Diversion",
    "History-Info",
    "Remote-Party-ID",
    "P-Called-Party-ID",
    "Reply-To",
    "In-Reply-To",
    "Call-Info",
    "Organization",
    "Subject",
];

/// Relayable headers of a message: names and values in order.
pub(crate) type RelayedHeaders = Vec<(String, String)>;

/// Identity asserted by a network (RFC 3325 §9.1).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct AssertedIdentity {
    display: String,
    number: String,
    received: String,
    is_e164: bool,
    is_tel: bool,
}

/// Caller identity from the caller's network, and the privacy that the caller requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct CallerIdentity {
    /// P-Asserted-Identity, from a trusted trunk.
    asserted: Vec<AssertedIdentity>,
    /// Known values of the caller's Privacy header.
    privacy: Vec<String>,
    /// Identity headers: signed statements about the number (RFC 8224).
    passports: Vec<String>,
    /// Result of the trunk's verification, such as `TN-Validation-Passed-A` (3GPP TS 24.229 §7.2A.20).
    verstat: Option<Box<str>>,
}

/// Known values of Privacy (RFC 3323 §4.2, RFC 3325 §9.3, RFC 7044 §10.1).
const PRIVACY: [&str; 7] = ["header", "session", "user", "none", "critical", "id", "history"];

/// Returns the known values of Privacy in a message, each once.
fn privacy_of(message: &SipMessage) -> Vec<String> {
    let words = message.headers(HeaderName::Privacy).flat_map(|value| value.split(|byte| b";,".contains(byte)));
    let word = |word: &[u8]| {
        let word = word.trim_ascii();
        PRIVACY.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(word)).map(|known| (*known).to_owned())
    };
    let mut privacy: Vec<String> = Vec::new();
    for word in words.filter_map(word) {
        if !privacy.contains(&word) {
            privacy.push(word);
        }
    }
    privacy
}

/// Headers with the attestation level (3GPP TS 24.229 §7.2.18, ATIS-1000082), for carriers that omit it from `verstat`.
const ATTESTATION: [&str; 2] = ["Attestation-Info", "P-Attestation-Indicator"];

/// Returns the caller's `verstat` parameter, or Twilio's header for it, in Twilio's form and with the attestation level
/// if known. `None` without a valid value.
fn verstat_of(request: &SipMessage) -> Option<Box<str>> {
    let text = |name: &str| Some(std::str::from_utf8(request.header_named(name)?).ok()?.trim());
    let addresses = [HeaderName::PAssertedIdentity, HeaderName::From].map(|name| request.addresses(name));
    let written = addresses.iter().flatten().find_map(|address| {
        let uri = address.parsed_uri()?;
        uri.user_param("verstat").or_else(|| uri.param("verstat"))
    });
    let verstat = written.map(str::trim).or_else(|| text("X-Twilio-VerStat"))?;
    let is_known = verstat == "No-TN-Validation" || verstat.starts_with("TN-Validation-");
    let is_token = verstat.len() <= 40 && verstat.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_known || !is_token {
        return None;
    }
    let has_level = !matches!(verstat, "TN-Validation-Passed" | "TN-Validation-Failed");
    let level = ATTESTATION.iter().find_map(|name| text(name).filter(|level| matches!(*level, "A" | "B" | "C")));
    Some(match level.filter(|_| !has_level) {
        Some(level) => format!("{verstat}-{level}").into(),
        None => verstat.into(),
    })
}

impl CallerIdentity {
    /// Reads the identity from an INVITE; `trust` is the `identity` setting of the caller's trunk.
    pub(crate) fn of(request: &SipMessage, trust: IdentityTrust, numbers: &NumberingPlan) -> CallerIdentity {
        let privacy = privacy_of(request);
        if trust == IdentityTrust::Strip {
            return CallerIdentity { privacy, ..CallerIdentity::default() };
        }
        let addresses = request.addresses(HeaderName::PAssertedIdentity);
        let asserted = addresses.iter().filter_map(|address| asserted(address, numbers)).take(ASSERTED_IDENTITIES);
        let passports = request.headers(HeaderName::Identity).filter_map(value_of).take(ASSERTED_IDENTITIES);
        let (asserted, passports) = (asserted.collect(), passports.collect());
        CallerIdentity { asserted, privacy, passports, verstat: verstat_of(request) }
    }

    /// Returns the result of the trunk's verification of the number.
    pub(crate) fn verstat(&self) -> Option<&str> {
        self.verstat.as_deref()
    }

    /// Frees identities and signatures, which only the first target gets. The privacy setting is kept for later
    /// parties.
    pub(crate) fn settle(&mut self) {
        (self.asserted, self.passports) = (Vec::new(), Vec::new());
        self.privacy.shrink_to_fit();
    }

    /// Returns whether the caller wants to stay unknown to untrusted parties.
    pub(crate) fn is_private(&self) -> bool {
        self.privacy.iter().any(|word| matches!(word.as_str(), "id" | "user" | "header"))
    }

    /// Returns the caller as a target may see it.
    pub(crate) fn visible_caller(&self, caller: &Caller, from: Option<&Trunk>, to: Option<&Trunk>) -> Caller {
        if self.is_private() && !are_trusted(from, to) { Caller::unknown() } else { caller.clone() }
    }

    /// Removes signatures and verification result, because the target sees another number.
    pub(crate) fn unsign(&mut self) {
        self.passports.clear();
        self.verstat = None;
    }

    /// Builds the identity headers for a trusted target; `are_both` means that the caller's trunk is trusted too.
    fn headers(
        &self,
        to: &HeaderRecipient<'_>,
        numbers: &NumberingPlan,
        showing: &CallerIdPolicy<'_>,
        are_both: bool,
    ) -> Vec<ExtraHeader> {
        let asserted = if are_both { &self.asserted[..] } else { &[] };
        let may_show = |one: &&AssertedIdentity| showing.own.is_none() && showing.allows(&one.number);
        let mut all: Vec<ExtraHeader> = asserted.iter().filter(may_show).map(|one| one.header(to, numbers)).collect();
        let is_wanted = all.is_empty() && (showing.is_anonymous || !asserted.is_empty());
        let ours = showing.instead().filter(|_| is_wanted);
        all.extend(ours.map(|number| extra("P-Asserted-Identity", own_address(number, to, numbers))));
        let mut privacy = if are_both { self.privacy.clone() } else { Vec::new() };
        if ours.is_some() && showing.is_anonymous {
            privacy.retain(|word| word != "none" && word != "id");
            privacy.push("id".to_owned());
        }
        if !privacy.is_empty() {
            all.push(extra("Privacy", privacy.join(";")));
        }
        if are_both && showing.own.is_none() && !showing.is_replaced {
            all.extend(self.passports.iter().map(|passport| extra("Identity", passport)));
        }
        all
    }
}

impl AssertedIdentity {
    fn header(&self, to: &HeaderRecipient<'_>, numbers: &NumberingPlan) -> ExtraHeader {
        let (text, received) = (self.number.clone(), self.received.clone());
        let uri = match self.is_tel && self.is_e164 {
            true => format!("<tel:{text}>"),
            false => own_address(&Number { text, is_e164: self.is_e164, received }, to, numbers),
        };
        let value = if self.display.is_empty() { uri } else { format!("{} {uri}", quoted(&self.display)) };
        extra("P-Asserted-Identity", value)
    }
}

fn asserted(address: &NameAddr<'_>, numbers: &NumberingPlan) -> Option<AssertedIdentity> {
    let uri = address.parsed_uri()?;
    let is_tel = uri.scheme == Scheme::Tel;
    let user = if is_tel { uri.user.to_owned() } else { uri.user_unescaped() };
    let user = plain(&user, NUMBER_CHARS);
    if user.is_empty() || uri.scheme == Scheme::Other {
        return None;
    }
    let number = numbers.normalise_caller(&user, uri.user_param("phone-context"));
    let Number { text, is_e164, received } = number;
    Some(AssertedIdentity { display: display_name(address.display), number: text, received, is_e164, is_tel })
}

fn address(user: &str, to: &HeaderRecipient<'_>) -> String {
    format!("<sip:{}@{}>", escape_user(user), own_host(to.governs, to.ours))
}

/// Returns whether applications receive a header.
fn is_for_apps(name: &str) -> bool {
    let is_extension = name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    is_extension || ["User-to-User", "Diversion", "History-Info"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Collects the headers of a message that may be relayed, or that agents request as parameters.
pub(crate) fn collect_relayed_headers(
    message: &SipMessage,
    from: &HeaderRules,
    table: &RoutingTable,
) -> RelayedHeaders {
    let has_apps = !table.apps().is_empty();
    let asked = |name: &str| {
        table.headers().iter().any(|asked| asked.eq_ignore_ascii_case(name)) || (has_apps && is_for_apps(name))
    };
    let wanted = |name: &str| from.accepts_header(name) && (asked(name) || from.lists(name) || table.passes(name));
    let mut all = RelayedHeaders::new();
    // Requested headers have a limit of their own, so that merely relayed ones do not displace them.
    let mut counts = [(0_usize, 0_usize); 2];
    for (name, value) in message.fields() {
        let known = HeaderName::from_bytes(name);
        let written = if known == HeaderName::Other { std::str::from_utf8(name).ok() } else { Some(known.as_str()) };
        let Some(name) = written else { continue };
        if !wanted(name) || name.eq_ignore_ascii_case(HOPS) {
            continue;
        }
        let Some(value) = value_of(value) else { continue };
        let [asked_for, passed] = &mut counts;
        let (count, bytes) = if asked(name) { asked_for } else { passed };
        *bytes += name.len() + value.len();
        *count += 1;
        if *count > PASSED_HEADERS || *bytes > PASSED_HEADER_BYTES {
            continue;
        }
        all.push((name.to_owned(), value));
    }
    all
}

/// Returns the identity of the answering party (RFC 3325 §9.1) and its Privacy from a response, if the sender's trunk
/// is trusted.
pub(crate) fn connected(answer: &SipMessage, from: Option<&Trunk>) -> RelayedHeaders {
    if !is_trusted(from) {
        return RelayedHeaders::new();
    }
    let identities = answer.headers(HeaderName::PAssertedIdentity).filter_map(value_of).take(ASSERTED_IDENTITIES);
    let mut all: RelayedHeaders =
        identities.map(|value| (HeaderName::PAssertedIdentity.as_str().to_owned(), value)).collect();
    let privacy = privacy_of(answer);
    if !privacy.is_empty() {
        all.push((HeaderName::Privacy.as_str().to_owned(), privacy.join(";")));
    }
    all
}

/// Response headers with the identity of the answering party.
pub(crate) const CONNECTED: [HeaderName; 2] = [HeaderName::PAssertedIdentity, HeaderName::Privacy];

/// Returns the identity headers of a response with our own hosts; empty unless both sides are trusted.
pub(crate) fn connected_line(
    brought: &[(String, String)],
    from: Option<&Trunk>,
    to: &HeaderRecipient<'_>,
    numbers: &NumberingPlan,
) -> Vec<ExtraHeader> {
    let rules =
        [from.and_then(|trunk| trunk.caller_id_in.as_ref()), to.trunk.and_then(|trunk| trunk.caller_id.as_ref())];
    let of = |name: HeaderName| brought.iter().filter(move |(written, _)| *written == name.as_str());
    if !are_trusted(from, to.trunk) {
        return Vec::new();
    }
    let identities = of(HeaderName::PAssertedIdentity).filter_map(|(name, value)| {
        Some(ExtraHeader { name: name.clone(), value: own_addresses(value, to, numbers, rules)? })
    });
    let privacy = of(HeaderName::Privacy).map(|(name, value)| extra(name, value));
    identities.chain(privacy).collect()
}

/// Converts a value to one line of plain text; `None` if it is too long.
fn value_of(value: &[u8]) -> Option<String> {
    let flat = unfolded(value);
    let fits = flat.len() <= PASSED_VALUE_BYTES;
    fits.then(|| plain(&String::from_utf8_lossy(&flat).replace('\t', " "), PASSED_VALUE_BYTES))
}

/// Side of a call, for the generation of headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeaderRecipient<'a> {
    /// Trunk of the side; `None` for a bare URI.
    pub(crate) trunk: Option<&'a Trunk>,
    /// Trunk that sets the edge's host names for this side: the side's own, or the trunk to which a bare URI leads.
    pub(crate) governs: Option<&'a Trunk>,
    /// Our address as sent to the side.
    pub(crate) ours: IpAddr,
}

impl HeaderRecipient<'_> {
    pub(crate) fn form(&self) -> SendNumbers {
        self.trunk.map_or(SendNumbers::E164, |trunk| trunk.send_numbers)
    }
}

/// Returns whether both sides are trusted with identities (RFC 3325 §2.3).
pub(crate) fn are_trusted(from: Option<&Trunk>, to: Option<&Trunk>) -> bool {
    is_trusted(from) && is_trusted(to)
}

fn is_trusted(trunk: Option<&Trunk>) -> bool {
    trunk.is_some_and(|trunk| trunk.identity == IdentityTrust::Pass)
}

/// Restrictions on relayed headers that identify the caller.
pub(crate) struct PrivacyFilter<'a> {
    /// True if headers that identify the caller are relayed.
    pub(crate) tells: bool,
    /// Caller ID rules for numbers in headers that identify the caller.
    pub(crate) showing: &'a CallerIdPolicy<'a>,
}

/// Returns the headers of one side that are relayed to the other side, rebuilt for it.
pub(crate) fn headers_to_relay(
    brought: &[(String, String)],
    from: Option<&Trunk>,
    to: &HeaderRecipient<'_>,
    numbers: &NumberingPlan,
    hiding: &PrivacyFilter<'_>,
) -> Vec<ExtraHeader> {
    let stranger = HeaderRules::untrusted_uri();
    let theirs = from.map_or(stranger, |trunk| &trunk.headers);
    let rules = to.trunk.map_or(stranger, |trunk| &trunk.headers);
    let is_one_of = |list: &[&str], name: &str| list.iter().any(|known| known.eq_ignore_ascii_case(name));
    let mut all = Vec::new();
    for (name, value) in brought {
        if !theirs.passes_to(rules, name) || (!hiding.tells && is_one_of(&TELLING, name)) {
            continue;
        }
        let is_replaced = hiding.showing.is_replaced && name.eq_ignore_ascii_case("Remote-Party-ID");
        let value = match (is_one_of(&ADDRESSES, name), is_one_of(&SHOWN, name)) {
            (true, true) => addresses(value, to, numbers, &|number| !is_replaced && hiding.showing.allows(number)),
            (true, false) => addresses(value, to, numbers, &|_| true),
            (false, _) => Some(value.clone()),
        };
        all.extend(value.map(|value| ExtraHeader { name: name.clone(), value }));
    }
    all
}

/// Returns the headers of an initial INVITE to a target that are relayed or identify the caller.
pub(crate) fn of_invite(
    brought: &[(String, String)],
    identity: &CallerIdentity,
    from: Option<&Trunk>,
    to: &HeaderRecipient<'_>,
    numbers: &NumberingPlan,
    showing: &CallerIdPolicy<'_>,
) -> Vec<ExtraHeader> {
    let are_both = are_trusted(from, to.trunk);
    let hiding = PrivacyFilter { tells: are_both || !identity.is_private(), showing };
    let mut all = headers_to_relay(brought, from, to, numbers, &hiding);
    if is_trusted(to.trunk) {
        all.extend(identity.headers(to, numbers, showing, are_both));
    }
    if let Some(trunk) = to.trunk {
        all.extend(trunk.headers.add.iter().map(|(name, value)| extra(name, value)));
    }
    all
}

/// Returns the From of an INVITE. Adds the caller's number as P-Preferred-Identity (RFC 3325 §9.2) for a trunk that
/// wants it, and `Privacy: id` for an anonymous caller if From names the account.
pub(crate) fn from(
    caller: &Caller,
    to: &HeaderRecipient<'_>,
    numbers: &NumberingPlan,
    headers: &mut Vec<ExtraHeader>,
) -> String {
    let host = own_host(to.governs, to.ours);
    if let Some(form) = to.governs.and_then(|trunk| trunk.preferred_identity).filter(|_| !caller.anonymous) {
        let user = escape_user(&numbers.format(&caller.number, form));
        headers.push(extra("P-Preferred-Identity", format!("<sip:{user}@{host}>")));
    }
    let Some(user) = to.governs.and_then(|trunk| trunk.from_user.as_deref()) else {
        return rewrite::from(caller, to.form(), numbers, &host);
    };
    if caller.anonymous {
        let brought = headers.iter().position(|header| header.name == HeaderName::Privacy.as_str());
        let brought = brought.map(|at| headers.remove(at).value).unwrap_or_default();
        let kept = brought.split(';').filter(|word| !matches!(*word, "" | "none" | "id"));
        headers.push(extra(HeaderName::Privacy.as_str(), kept.chain(["id"]).collect::<Vec<_>>().join(";")));
    }
    rewrite::from_account(user, caller, &host)
}

/// Rewrites a header with addresses for one side: with the edge's hosts, and without numbers that a rule forbids.
/// `rules` are `caller_id_in` of the sender's trunk and `caller_id` of the receiver's. `None` if no address is left.
pub(crate) fn own_addresses(
    value: &str,
    to: &HeaderRecipient<'_>,
    numbers: &NumberingPlan,
    rules: [Option<&CallerIdRule>; 2],
) -> Option<String> {
    addresses(value, to, numbers, &|number| rules.into_iter().flatten().all(|rule| rule.allows(number)))
}

/// Returns a number as an address of the edge, in the number format of one side.
fn own_address(number: &Number, to: &HeaderRecipient<'_>, numbers: &NumberingPlan) -> String {
    address(&numbers.format(number, to.form()), to)
}

/// Rewrites a list of addresses with the edge's hosts, and omits unreadable entries and numbers that may not be shown.
/// `None` if none is left.
fn addresses(
    value: &str,
    to: &HeaderRecipient<'_>,
    numbers: &NumberingPlan,
    may_show: &dyn Fn(&str) -> bool,
) -> Option<String> {
    let entries = NameAddr::list(value.as_bytes()).filter_map(|entry| {
        let uri = entry.parsed_uri()?;
        let user = match uri.scheme {
            Scheme::Tel => uri.user.to_owned(),
            Scheme::Sip | Scheme::Sips => uri.user_unescaped(),
            Scheme::Other => return None,
        };
        let user = plain(&user, NUMBER_CHARS);
        if user.is_empty() {
            return None;
        }
        let number = numbers.normalise_caller(&user, uri.user_param("phone-context"));
        if !may_show(&number.text) {
            return None;
        }
        let mut text = address(&numbers.format(&number, to.form()), to);
        let display = display_name(entry.display);
        if !display.is_empty() {
            text = format!("{} {text}", quoted(&display));
        }
        for name in ADDRESS_PARAMETERS {
            let Some(value) = entry.param(name).and_then(|value| std::str::from_utf8(value).ok()) else { continue };
            let token = value.trim_matches('"');
            if token.is_empty() {
                text.push_str(&format!(";{name}"));
            } else if token.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)) {
                text.push_str(&format!(";{name}={token}"));
            }
        }
        Some(text)
    });
    let entries: Vec<String> = entries.collect();
    (!entries.is_empty()).then(|| entries.join(", "))
}
