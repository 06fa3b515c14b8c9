//! Digest credentials: which side requires them from which, proxies that challenge on behalf of a trunk, and leaks of
//! one trunk's credentials to another.

use std::net::SocketAddr;

use bytes::Bytes;
use trunkgate_phone::PhoneConfig;
use trunkgate_route::Trunk;

use crate::options::{CredentialCheck, Sabotage, SeedOptions, TrunkOptions};
use crate::places::owner;

/// Prefix of the edge's user names at its trunks.
const OURS: &str = "edge-at-";

fn asked(trust: &TrunkOptions, name: &str) -> (CredentialCheck, CredentialCheck) {
    let at = match name {
        "carrier" => 0,
        "a" => 1,
        "b" => 2,
        // Registrations always require credentials, right or wrong ones.
        _ if trust.of_phones[0] == CredentialCheck::Wrong => return (CredentialCheck::Nothing, CredentialCheck::Wrong),
        _ => return (CredentialCheck::Nothing, CredentialCheck::Right),
    };
    (trust.of_edge[at], trust.of_phones[at])
}

fn password(name: &str, asked: CredentialCheck) -> String {
    if asked == CredentialCheck::Wrong { "guessed".to_owned() } else { format!("secret of {name}") }
}

/// Returns a trunk with the credentials that the edge shows to the trunk, and those that the edge requires from it.
pub(crate) fn of_trunk(options: &SeedOptions, trunk: Trunk) -> Trunk {
    let (of_edge, of_phone) = asked(&options.trust, &trunk.name);
    let shown_at =
        if options.sabotage == Sabotage::CredentialsLeak && &*trunk.name == "b" { "a" } else { &*trunk.name };
    let credentials =
        |username: String, password: String| trunkgate_route::Credentials { username, password, realm: None };
    let auth = credentials(format!("{OURS}{shown_at}"), password(shown_at, of_edge));
    let require_auth = credentials(format!("phone-{}", trunk.name), password(&trunk.name, CredentialCheck::Right));
    Trunk {
        auth: (of_edge != CredentialCheck::Nothing).then_some(auth),
        require_auth: (of_phone != CredentialCheck::Nothing).then_some(require_auth),
        options_interval: options.trust.options_interval,
        ..trunk
    }
}

/// Sets the credentials that the trunk's phone requires from the edge, and those that it shows to the edge.
pub(crate) fn of_phone(options: &SeedOptions, name: &str, config: &mut PhoneConfig) {
    let (of_edge, of_phone) = asked(&options.trust, name);
    let credentials =
        |username: String, password: String| trunkgate_sip::Credentials { username, password, realm: None };
    if of_edge != CredentialCheck::Nothing {
        config.asks = Some(credentials(format!("{OURS}{name}"), password(name, CredentialCheck::Right)));
    }
    if of_phone != CredentialCheck::Nothing {
        config.credentials = Some(credentials(format!("phone-{name}"), password(name, of_phone)));
    }
}

/// Returns a message if a text from the edge shows the credentials of one trunk to another; `None` otherwise.
pub(crate) fn leak(to: SocketAddr, bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let user = format!("username=\"{OURS}");
    let shown = text.split(&user).skip(1).filter_map(|rest| rest.split('"').next());
    let mut foreign = shown.filter(|name| owner(to) != Some(*name));
    foreign.next().map(|name| format!("credentials of trunk {name} go to {to}"))
}

/// Returns a message from the first trunk as its proxy forwards it: a challenge becomes 407.
pub(crate) fn from_behind_proxy(bytes: Bytes) -> Bytes {
    replaced(
        bytes,
        &[("SIP/2.0 401 Unauthorized", "SIP/2.0 407 Proxy"), ("\r\nWWW-Authenticate:", "\r\nProxy-Authenticate:")],
    )
}

/// Returns a message to the first trunk as its proxy forwards it.
pub(crate) fn to_behind_proxy(bytes: Bytes) -> Bytes {
    replaced(bytes, &[("\r\nProxy-Authorization:", "\r\nAuthorization:")])
}

fn replaced(bytes: Bytes, pairs: &[(&str, &str)]) -> Bytes {
    match std::str::from_utf8(&bytes) {
        Ok(text) if pairs.iter().any(|(from, _)| text.contains(from)) => {
            pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to)).into()
        }
        Ok(_) | Err(_) => bytes,
    }
}

/// Returns whether a message is a challenge of a trunk (401 or 407).
pub(crate) fn is_challenge(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SIP/2.0 401") || bytes.starts_with(b"SIP/2.0 407")
}

/// Returns the credentials that the registrar requires; `None` if it requires none.
pub(crate) fn of_registrar(options: &SeedOptions) -> Option<trunkgate_sip::Credentials> {
    let username = format!("{OURS}a");
    let password = password("a", CredentialCheck::Right);
    let asks = asked(&options.trust, "a").0 != CredentialCheck::Nothing;
    asks.then_some(trunkgate_sip::Credentials { username, password, realm: None })
}
