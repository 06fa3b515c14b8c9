//! `[mail]`: the server for e-mail about voicemail messages, and e-mail addresses.

use std::sync::Arc;

use trunkgate_route::{Mailbox, is_loopback_host};
use url::Url;

use super::code;
use super::diagnostic::Findings;
use super::draft::ConfigDraft;
use super::keys;
use super::nearest;
use super::preset;
use super::section::Section;
use super::types::{ProxyMode, Secret};
use super::values::KeyReader;
use trunkgate_system::smtp::Security;

/// URL schemes that `server` may have.
const SCHEMES: [&str; 2] = ["smtps", "smtp"];
/// Default port of `smtps` (RFC 8314 §3.3).
const TLS_PORT: u16 = 465;
/// Default submission port (RFC 6409 §3.1).
const SUBMISSION_PORT: u16 = 587;
/// Default port of a mail server on this machine.
const LOCAL_PORT: u16 = 25;
/// Maximum length in bytes of an address, and of its local part (RFC 5321 §4.5.3.1).
const ADDRESS_BYTES: (usize, usize) = (254, 64);
/// Maximum length of a user or host name in bytes.
const NAME_BYTES: usize = 253;
/// Characters allowed in an address in addition to letters and digits (RFC 5322 §3.2.3), without `%` and `?`, which a
/// `mailto:` URL encodes.
const SIGNS: &str = ".!#$&'*+-/=^_`{|}~";

/// Correction for an invalid `server`.
pub(crate) const SERVER_HELP: &str =
    "use \"smtps://mail.example.com\", or smtp:// for a server with STARTTLS; write the user and @ before the host";

/// Help text for a key that requires `[mail]`.
pub(super) const ADD_MAIL: &str =
    "add [mail] with server = \"smtps://mail.example.com\" and from = \"voicemail@example.com\"";

/// Settings of `[mail]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailSettings {
    /// Host name or address of the server, without brackets.
    pub host: String,
    /// TCP port of the mail server.
    pub port: u16,
    /// Use of TLS on the connection to the server.
    pub security: Security,
    /// User name for authentication; `None` to send mail without authentication.
    pub user: Option<String>,
    /// Password for authentication.
    pub password: Option<Secret>,
    /// E-mail address of the sender.
    pub from: String,
    /// CA bundle (PEM) to verify the server; `None` selects the system roots.
    pub ca: Option<Arc<[u8]>>,
}

impl MailSettings {
    /// Returns user name and password if authentication is configured.
    pub fn login(&self) -> Option<(&str, &str)> {
        Some((self.user.as_deref()?, self.password.as_ref()?.reveal()))
    }
}

/// Mail server given by the URL.
#[derive(Debug)]
pub(crate) struct MailUrl {
    host: String,
    port: u16,
    security: Security,
    user: Option<String>,
}

/// Reads `[mail]`; `None` if it cannot be used to send mail.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<MailSettings> {
    let mut mail = MailSettings {
        host: String::new(),
        port: 0,
        security: Security::Tls,
        user: None,
        password: None,
        from: String::new(),
        ca: None,
    };
    section.fill((keys::MAIL, keys::PUT_MAIL), &mut mail, findings);
    // Verifying a certificate requires TLS, also on this machine.
    if mail.ca.is_some() && mail.security == Security::Clear {
        mail.security = Security::StartTls;
    }
    if let (Some(server), Some(_), None) = (section.get("server"), &mail.user, section.get("password")) {
        let help = "add password = { env = \"TRUNKGATE_MAIL_PASSWORD\" }";
        findings.error(code::MISSING, server.span(), "[mail] has a user and no `password`", help);
    }
    if let (Some(password), None, false) = (section.get("password"), &mail.user, mail.host.is_empty()) {
        let help = "write the user and @ before the host of `server`";
        findings.error(code::MISSING, password.span(), "[mail] has a `password` and no user", help);
    }
    let is_usable = !mail.host.is_empty() && !mail.from.is_empty();
    is_usable.then_some(mail)
}

impl MailUrl {
    /// Stores the values of the URL in the settings.
    pub(super) fn put(self, to: &mut MailSettings) {
        (to.host, to.port, to.security, to.user) = (self.host, self.port, self.security, self.user);
    }
}

/// Reads the URL of the server. Messages never contain a possible password.
pub(super) fn server(reader: &mut KeyReader<'_>) -> Option<MailUrl> {
    let text = reader.string()?;
    let mut refuse = |wrong: &str, help: &str| reader.reject(code::BAD_ADDRESS, wrong, help);
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let Some(scheme) = scheme else { return refuse("is not the URL of a mail server", SERVER_HELP) };
    if !SCHEMES.contains(&scheme.as_str()) {
        let help = nearest(&scheme, SCHEMES.into_iter())
            .map_or(SERVER_HELP.to_owned(), |near| format!("did you mean {near}://?"));
        return refuse("is not the URL of a mail server", &help);
    }
    let Some(url) = Url::parse(&text).ok().filter(|url| url.host_str().is_some_and(|host| !host.is_empty())) else {
        return refuse("is not the URL of a mail server", SERVER_HELP);
    };
    if url.password().is_some() {
        return refuse("contains a password", "write it into `password`");
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return refuse("has more than user, host and port", SERVER_HELP);
    }
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_host =
        host.len() <= NAME_BYTES && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
    let user = decoded(url.username());
    let is_user = user.len() <= NAME_BYTES && !user.chars().any(char::is_control);
    if !is_host || !is_user || url.port() == Some(0) {
        return refuse("is not the URL of a mail server", SERVER_HELP);
    }
    let is_here = is_loopback_host(&host);
    let (security, port) = match (scheme == "smtps", is_here) {
        (true, _) => (Security::Tls, TLS_PORT),
        (false, true) => (Security::Clear, LOCAL_PORT),
        (false, false) => (Security::StartTls, SUBMISSION_PORT),
    };
    let user = Some(user).filter(|user| !user.is_empty());
    Some(MailUrl { host, port: url.port().unwrap_or(port), security, user })
}

/// Decodes the percent encoding of a part of a URL.
fn decoded(part: &str) -> String {
    let plain = part.replace('+', "%2B");
    form_urlencoded::parse(plain.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// Reads the sender address.
pub(super) fn address(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    if let Some(wrong) = wrong_address(&text) {
        return reader.reject(code::BAD_ADDRESS, wrong, "use \"voicemail@example.com\"");
    }
    Some(text)
}

/// Reads a `mailto:` URL with one address.
pub(super) fn mailto(reader: &mut KeyReader<'_>) -> Option<String> {
    let text = reader.string()?;
    let address = text.get(..Mailbox::MAILTO.len()).filter(|scheme| scheme.eq_ignore_ascii_case(Mailbox::MAILTO));
    let address = address.and_then(|scheme| text.get(scheme.len()..)).unwrap_or_default();
    let wrong = match address {
        _ if address.contains('?') => Some("has a `?`: the edge sets subject and text itself"),
        _ if address.contains(',') => Some("has several addresses"),
        _ => wrong_address(address),
    };
    if let Some(wrong) = wrong {
        let help = "use mailto: and one address (desk@example.com); for several people use a mailing list";
        return reader.reject(code::BAD_ADDRESS, wrong, help);
    }
    Some(format!("{}{address}", Mailbox::MAILTO))
}

/// Returns the reason why a text is not an e-mail address.
pub(super) fn wrong_address(text: &str) -> Option<&'static str> {
    let Some((local, domain)) = text.rsplit_once('@') else { return Some("is not an e-mail address") };
    let is_atom = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || (SIGNS.contains(c) && c != '.'))
    };
    let is_short = text.len() <= ADDRESS_BYTES.0 && local.len() <= ADDRESS_BYTES.1;
    let is_address = is_short && local.split('.').all(is_atom) && domain.split('.').all(preset::is_label);
    (!is_address).then_some("is not an e-mail address")
}

/// Checks `[mail]` against the mailboxes.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let mut is_used = false;
    for placed in &draft.mailboxes {
        let Some(span) = placed.keys.of("notify").filter(|_| placed.mailbox.is_mailed()) else { continue };
        is_used = true;
        if draft.http.public_url.is_none()
            && draft.api.api.proxy == ProxyMode::Off
            && draft.http.address.ip().is_loopback()
        {
            let message = format!("e-mails of voicemail {} have no link to the audio", placed.mailbox.name);
            let help = "set `public_url` of [http] to the URL at which recipients reach the edge";
            findings.warning(code::IDLE_PART, Some(span.clone()), message, help);
        }
        if draft.spans.table("mail").is_none() {
            let message = format!("`notify` of voicemail {} needs [mail]", placed.mailbox.name);
            findings.error(code::MISSING, span.clone(), message, ADD_MAIL);
        }
    }
    if let Some(span) = draft.spans.table("mail").filter(|_| !is_used) {
        let message = "[mail] is not used: no mailbox has an address";
        let help = "add notify = \"mailto:ADDRESS\" to a [voicemail.NAME]";
        findings.warning(code::IDLE_PART, Some(span.clone()), message, help);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::diagnostic::line_and_column;
    use crate::{Config, parse};

    const REST: &str = "[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['voicemail:front']\n[recording]\n\
                        directory = '/tmp/r'\n[voicemail.front]\nnotify = 'mailto:desk@example.com'\n[mail]\n";

    fn read(lines: &str) -> (Vec<String>, Option<Config>) {
        let (found, config) = match parse(Path::new("trunkgate.toml"), lines) {
            Ok((config, found)) => (found, Some(config)),
            Err(found) => (found, None),
        };
        let is_usual = |text: &str| text.contains("have no link to the audio");
        let shown = found.iter().filter(|one| one.code != "TG0123" && !is_usual(&one.message)).map(|one| {
            let (line, column) = one.span.as_ref().map(|span| line_and_column(lines, span.start)).unwrap_or_default();
            format!("{} {line}:{column} {}. {}", one.code, one.message, one.help)
        });
        (shown.collect(), config)
    }

    #[test]
    fn an_e_mail_whose_link_leads_nowhere_is_warned_of() {
        let mail = "server = 'smtps://mail.example.com'\nfrom = 'v@example.com'\n";
        let warned = |more: &str| {
            let (_, found) = parse(Path::new("trunkgate.toml"), &format!("{REST}{mail}{more}")).unwrap();
            found.iter().any(|one| one.message == "e-mails of voicemail front have no link to the audio")
        };
        assert!(
            warned("") && !warned("[http]\npublic_url = 'https://edge.example.com'\ntoken = 'long-enough-a-token'\n")
        );
    }

    #[test]
    fn a_server_has_a_place_a_user_and_a_sender() {
        let of = |keys: &str| {
            let (found, config) = read(&format!("{REST}{keys}from = 'v@example.com'\n"));
            assert_eq!(found, [""; 0], "{keys}");
            config.unwrap().recording.unwrap().mail.unwrap()
        };
        for (keys, place, security, user) in [
            ("server = 'smtps://mail.example.com'\n", ("mail.example.com", 465), Security::Tls, None),
            ("server = 'smtp://mail.example.com/'\n", ("mail.example.com", 587), Security::StartTls, None),
            ("server = 'SMTP://mail.example.com:25'\n", ("mail.example.com", 25), Security::StartTls, None),
            ("server = 'smtp://localhost'\n", ("localhost", 25), Security::Clear, None),
            ("server = 'smtp://[::1]:2525'\n", ("::1", 2525), Security::Clear, None),
            ("server = 'smtps://127.0.0.1'\n", ("127.0.0.1", 465), Security::Tls, None),
            ("server = 'smtps://ann@h'\npassword = 'hunter2'\n", ("h", 465), Security::Tls, Some("ann")),
            ("server = 'smtps://a+b%40x.org@h'\npassword = 'hunter2'\n", ("h", 465), Security::Tls, Some("a+b@x.org")),
            ("server = 'smtps://a@x.org@h'\npassword = 'hunter2'\n", ("h", 465), Security::Tls, Some("a@x.org")),
        ] {
            let mail = of(keys);
            assert_eq!(((mail.host.as_str(), mail.port), mail.security), (place, security), "{keys}");
            assert_eq!(mail.login(), user.map(|user| (user, "hunter2")), "{keys}");
            assert_eq!(mail.from, "v@example.com");
            assert!(!format!("{mail:?}").contains("hunter2"));
        }
        let (_, config) = read(&format!("{REST}server = 'smtp://localhost'\nfrom = 'v@example.com'\n"));
        assert_eq!(config.unwrap().mailboxes[0].notify.as_deref(), Some("mailto:desk@example.com"));
    }

    #[test]
    fn each_mistake_is_found_at_its_place() {
        let server = "server = 'smtps://mail.example.com'\n";
        let from = "from = 'v@example.com'\n";
        let with = |server: &str| format!("{REST}server = '{server}'\n{from}");
        let notified = |notify: &str| format!("{REST}{server}{from}").replace("mailto:desk@example.com", notify);
        for (lines, expected) in [
            (
                format!("{REST}{from}"),
                "TG0106 9:1 [mail] has no `server`. use \"smtps://mail.example.com\", or smtp://",
            ),
            (format!("{REST}{server}"), "TG0106 9:1 [mail] has no `from`. add from = \"voicemail@example.com\""),
            (with("mail.example.com"), "TG0108 10:10 `server` is not the URL of a mail server. use \"smtps://"),
            (
                with("smpts://mail.example.com"),
                "TG0108 10:10 `server` is not the URL of a mail server. did you mean smtps://?",
            ),
            (with("https://mail.example.com"), "TG0108 10:10 `server` is not the URL of a mail server. use \"smtps://"),
            (with("smtp://"), "TG0108 10:10 `server` is not the URL of a mail server"),
            (with("smtp://h:0"), "TG0108 10:10 `server` is not the URL of a mail server"),
            (with("smtps://ann:hunter2@h"), "TG0108 10:10 `server` contains a password. write it into `password`"),
            (with("smtps://h/inbox"), "TG0108 10:10 `server` has more than user, host and port"),
            (with("smtps://ann@h"), "TG0106 10:10 [mail] has a user and no `password`. add password = { env ="),
            (
                format!("{REST}{server}{from}password = 'hunter2'\n"),
                "TG0106 12:12 [mail] has a `password` and no user. write",
            ),
            (format!("{REST}{server}from = 'me'\n"), "TG0108 11:8 `from` is not an e-mail address. use \"voicemail@"),
            (format!("{REST}{server}from = 'Me <a@b>'\n"), "TG0108 11:8 `from` is not an e-mail address"),
            (format!("{REST}{server}from = \"a@b\\r\\nBcc: c@d\"\n"), "TG0108 11:8 `from` is not an e-mail address"),
            (format!("{REST}{server}{from}ca = 'no.pem'\n"), "TG0114 12:6 `ca`: no.pem: "),
            (format!("{REST}{server}{from}sever = 'x'\n"), "did you mean `server`?"),
            (
                notified("mailto:desk"),
                "TG0108 8:10 `notify` is not an e-mail address. use mailto: and one address (desk@example.com)",
            ),
            (notified("mailto:a@b,c@d"), "TG0108 8:10 `notify` has several addresses"),
            (notified("mailto:a@b?subject=x"), "TG0108 8:10 `notify` has a `?`"),
            (
                notified("desk@example.com"),
                "TG0154 8:10 `notify` is not a web address. write mailto: before the address",
            ),
            (
                format!("{REST}{server}{from}")
                    .replace("[mail]\nserver = 'smtps://mail.example.com'\nfrom = 'v@example.com'\n", ""),
                "TG0106 8:10 `notify` of voicemail front needs [mail]. add [mail] with server =",
            ),
            (
                notified("https://h.example/"),
                "TG0145 9:1 [mail] is not used: no mailbox has an address. add notify = \"mailto:ADDRESS\" to a [voicemail.NAME]",
            ),
        ] {
            let (found, _) = read(&lines);
            assert!(found.iter().any(|one| one.contains(expected)), "{lines}: {expected}\n{found:#?}");
            assert!(!found.iter().any(|one| one.contains("hunter2")), "{found:#?}");
        }
        let (found, _) = read(&with("smtps:/mail.example.com"));
        assert_eq!(found.len(), 1, "a [mail] that cannot be used is not missing as well: {found:#?}");
    }

    #[test]
    fn addresses_are_those_that_every_server_takes() {
        for (text, is_address) in [
            ("a@b", true),
            ("front.desk+vm@mail.example.com", true),
            ("a@b-c.example", true),
            ("a", false),
            ("@b", false),
            ("a@", false),
            ("a@b@c", false),
            ("a..b@c", false),
            ("a@b..c", false),
            ("a@-b", false),
            ("a b@c", false),
            ("jörg@c", false),
            ("a@jörg.example", false),
            ("<a@b>", false),
            ("a@b>", false),
        ] {
            assert_eq!(wrong_address(text).is_none(), is_address, "{text}");
        }
        assert!(wrong_address(&format!("{}@b", "a".repeat(65))).is_some());
        assert!(wrong_address(&format!("a@{}b", "b.".repeat(130))).is_some());
    }
}
