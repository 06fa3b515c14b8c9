//! Checks of secrets that could be guessed: too short, or equal to the user name.

use std::net::SocketAddr;

use trunkgate_route::Credentials;

use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SourceSpan};
use super::types::Secret;
use trunkgate_system::limits::SECRET_CHARACTERS;

/// Minimum length of a SIP password; guessing is slow, because failing sources are banned.
const PASSWORD_CHARACTERS: usize = 8;
/// Minimum length of a signing token, as on Twilio.
const SIGNING_CHARACTERS: usize = 32;
/// Fix for a short token.
const MAKE_ONE: &str = "make one: openssl rand -hex 32";

/// Checks the tokens of the HTTP interfaces. A short token is an error if other machines can reach the interface.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    let (api, spans) = (&draft.api.api, &draft.spans);
    let is_local = is_loopback(draft.http.address);
    // `[api] tls` serves only the API.
    let is_api_local = is_local && api.tls.is_none_or(is_loopback);
    let tokens = [
        ("`token` of [http]", &draft.http.token, spans.key("http", "token"), is_local),
        ("`auth_token` of [api]", &api.auth_token, spans.key("api", "auth_token"), is_api_local),
        ("`token` of [messages]", &draft.messages.token, spans.key("messages", "token"), is_local),
    ];
    for (name, token, span, is_local) in tokens {
        let (Some(token), Some(span)) = (token, span) else { continue };
        if characters(token) < SECRET_CHARACTERS {
            let message = format!("{name} has fewer than {SECRET_CHARACTERS} characters: it can be guessed");
            if is_local {
                findings.warning(code::WEAK_TOKEN, Some(span.clone()), message, MAKE_ONE);
            } else {
                findings.error(code::WEAK_TOKEN, span.clone(), message, MAKE_ONE);
            }
        }
    }
    if let (Some(token), Some(span)) = (&api.auth_token, spans.key("api", "auth_token"))
        && (SECRET_CHARACTERS..SIGNING_CHARACTERS).contains(&characters(token))
    {
        let message = "`auth_token` has fewer than 32 characters: signatures made with it can be forged by guessing";
        findings.warning(code::WEAK_TOKEN, Some(span.clone()), message, MAKE_ONE);
    }
}

/// Checks the password of digest credentials.
pub(super) fn password(credentials: &Credentials, span: SourceSpan, findings: &mut Findings) {
    let Credentials { username, password, .. } = credentials;
    let message = if password.eq_ignore_ascii_case(username) {
        "`password` is the user name".to_owned()
    } else if password.chars().count() < PASSWORD_CHARACTERS {
        format!("`password` has fewer than {PASSWORD_CHARACTERS} characters: it can be guessed")
    } else {
        return;
    };
    let help = "use 16 random characters or more, here and at the other end: openssl rand -hex 16";
    findings.warning(code::WEAK_TOKEN, Some(span), message, help);
}

fn characters(secret: &Secret) -> usize {
    secret.reveal().chars().count()
}
