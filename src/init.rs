//! `trunkgate init`: writes a commented `trunkgate.toml`, never over an existing one, then checks it.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::ExitCode;

use crate::{check, config};

/// Twilio's signalling addresses of all regions, from <https://www.twilio.com/docs/sip-trunking/ip-addresses>: calls
/// may come from any of them at any time.
const TWILIO_SIGNALLING: [&str; 8] = [
    "54.172.60.0/30",
    "54.244.51.0/30",
    "54.171.127.192/30",
    "35.156.191.128/30",
    "54.169.127.128/30",
    "54.65.63.192/30",
    "177.71.206.192/30",
    "54.252.254.64/30",
];
/// Twilio's media addresses, the same for all regions.
const TWILIO_MEDIA: &str = "168.86.128.0/18";
/// What `--pbx` may be called: the name of the trunk. A name alone changes nothing yet: there are no presets.
const PBX_KINDS: [&str; 5] = ["pbx", "freepbx", "asterisk", "freeswitch", "3cx"];

/// What the verb's flags say.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// `--trunk KIND:VALUE`, e.g. `twilio:acme.pstn.twilio.com` or `carrier:198.51.100.7`.
    pub trunk: Option<String>,
    /// `--pbx KIND:VALUE`, e.g. `freepbx:10.0.0.5`.
    pub pbx: Option<String>,
    /// `--agent URL`
    pub agent: Option<String>,
    /// `--yes`: ask nothing.
    pub yes: bool,
}

/// Writes `path` and checks it: exit 0, or 2 where it exists already or a flag cannot be used.
pub fn run(path: &Path, options: &InitOptions) -> ExitCode {
    if path.exists() {
        return refuse(&format!("{} exists already: it is never overwritten", path.display()));
    }
    let asks = !options.yes && std::io::stdin().is_terminal() && options.trunk.is_none() && options.pbx.is_none();
    let options = if asks { ask(options) } else { options.clone() };
    let text = match compose(&options) {
        Ok(text) => text,
        Err(message) => return refuse(&message),
    };
    if let Err(found) = config::parse(path, &text) {
        // The text is ours but for the flags' values, so that one of those is wrong.
        eprint!("{}", config::render(path, &text, &found));
        return refuse("nothing was written: see --trunk and --pbx");
    }
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    if let Err(error) = written {
        return refuse(&format!("cannot write {}: {error}", path.display()));
    }
    println!("wrote {}", path.display());
    check::run(path, false, false)
}

fn refuse(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(2)
}

fn ask(options: &InitOptions) -> InitOptions {
    let question = |text: &str| {
        eprint!("{text}: ");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).ok()?;
        Some(line.trim().to_owned()).filter(|line| !line.is_empty())
    };
    InitOptions {
        trunk: question("Who brings the calls? twilio:DOMAIN or carrier:ADDRESS (empty: a carrier on 127.0.0.1:5070)"),
        pbx: question("Where do they go? freepbx:ADDRESS or pbx:ADDRESS (empty: a PBX on 127.0.0.1:5080)"),
        ..options.clone()
    }
}

/// The file's text.
///
/// # Errors
/// What is wrong with a flag, in words.
fn compose(options: &InitOptions) -> Result<String, String> {
    if options.agent.is_some() {
        return Err("TG0190: not in this version: --agent (voice agents are still to come)".into());
    }
    let (kind, carrier) = kind_and_value(options.trunk.as_deref().unwrap_or("carrier:127.0.0.1:5070"), "--trunk")?;
    let carrier_trunk = match kind {
        "twilio" => {
            let domain = if carrier.contains('.') { carrier.to_owned() } else { format!("{carrier}.pstn.twilio.com") };
            let networks = TWILIO_SIGNALLING.map(|network| format!("\"{network}\"")).join(", ");
            format!(
                "# TLS and SRTP are not in this version: leave Secure Trunking off at Twilio.\npeers = [{}]\n\
                 accept_from = [{networks}]\nmedia_from = [\"{TWILIO_MEDIA}\"]\n",
                quoted(&format!("sip:{domain}"))
            )
        }
        "carrier" => format!("peers = [{}]\n", quoted(&peer(carrier))),
        _ => return Err(format!("--trunk {kind}:…: twilio:DOMAIN or carrier:ADDRESS")),
    };
    let (pbx_kind, pbx) = kind_and_value(options.pbx.as_deref().unwrap_or("pbx:127.0.0.1:5080"), "--pbx")?;
    if !PBX_KINDS.contains(&pbx_kind) {
        return Err(format!("--pbx {pbx_kind}:…: one of {}", PBX_KINDS.join(", ")));
    }
    let all_local = [&options.trunk, &options.pbx].iter().all(|flag| flag.is_none());
    let has_v6 = [carrier, pbx].iter().any(|value| value.contains("::") || value.starts_with('['));
    let listen = match (all_local, has_v6) {
        (true, _) => "127.0.0.1:5060",
        (false, true) => "[::]:5060",
        (false, false) => "0.0.0.0:5060",
    };
    Ok(format!(
        "# Trunkgate: calls from {kind} go to {pbx_kind}, and the other way round.\n\
         # `trunkgate check` says what is wrong with this file, `trunkgate run` runs it.\n\
         [edge]\n\
         # public_address = \"203.0.113.10\"   # behind NAT: the address that far ends outside are shown\n\
         country = \"US\"                      # numbers without a country code are of this country\n\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"{listen}\"\n[[listen]]\ntransport = \"tcp\"\naddress = \"{listen}\"\n\n\
         [http]                              # metrics, calls, status\naddress = \"127.0.0.1:8080\"\n\n\
         [trunk.{kind}]\n{carrier_trunk}\n[trunk.{pbx_kind}]\npeers = [{}]\n\n\
         [[route]]                           # the first that matches takes the call\n\
         name = \"inbound\"\nfrom = [\"{kind}\"]\nconnect = [\"trunk:{pbx_kind}\"]\n\n\
         [[route]]\nname = \"outbound\"\nfrom = [\"{pbx_kind}\"]\nconnect = [\"trunk:{kind}\"]\n\n\
         [cdr]\nfile = \"cdr.jsonl\"                  # one line a call\n",
        quoted(&peer(pbx)),
    ))
}

fn kind_and_value<'a>(text: &'a str, flag: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once(':') {
        Some((kind, value)) if !kind.is_empty() && !value.is_empty() => Ok((kind, value)),
        _ => Err(format!("{flag} wants KIND:ADDRESS, as carrier:198.51.100.7")),
    }
}

/// A peer's URI from what stands behind `KIND:`.
fn peer(value: &str) -> String {
    if value.starts_with("sip:") {
        return value.to_owned();
    }
    match value.parse::<Ipv6Addr>() {
        Ok(address) => format!("sip:[{address}]"),
        Err(_) => format!("sip:{value}"),
    }
}

/// As a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(trunk: Option<&str>, pbx: Option<&str>) -> InitOptions {
        InitOptions { trunk: trunk.map(str::to_owned), pbx: pbx.map(str::to_owned), agent: None, yes: true }
    }

    #[test]
    fn what_is_written_is_short_and_accepted() {
        for (trunk, pbx) in [
            (None, None),
            (Some("twilio:acme.pstn.twilio.com"), Some("freepbx:10.0.0.5")),
            (Some("twilio:acme"), None),
            (Some("carrier:198.51.100.7"), Some("asterisk:pbx.example.com:5080")),
            (Some("carrier:sip:sbc.example.com;transport=tcp"), Some("3cx:2001:db8::5")),
        ] {
            let text = compose(&options(trunk, pbx)).unwrap();
            assert!(text.lines().count() <= 40, "{} lines", text.lines().count());
            let (config, _) = config::parse(Path::new("trunkgate.toml"), &text).unwrap_or_else(|found| {
                panic!("{}", config::render(Path::new("trunkgate.toml"), &text, &found));
            });
            assert_eq!((config.trunks.len(), config.routes.len()), (2, 2));
        }
        let twilio = compose(&options(Some("twilio:acme"), None)).unwrap();
        assert!(twilio.contains("\"sip:acme.pstn.twilio.com\"") && twilio.contains("168.86.128.0/18"));
    }

    #[test]
    fn a_flag_that_cannot_be_used_is_named() {
        for (trunk, pbx, part) in [
            (Some("twilio"), None, "--trunk"),
            (Some("telnyx:1"), None, "twilio:DOMAIN"),
            (None, Some("avaya:1"), "freepbx"),
            (None, Some("pbx:"), "--pbx"),
        ] {
            let message = compose(&options(trunk, pbx)).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
        let agent = InitOptions { agent: Some("ws://127.0.0.1:9".into()), ..InitOptions::default() };
        assert!(compose(&agent).unwrap_err().starts_with("TG0190: not in this version"));
    }

    #[test]
    fn a_file_is_never_overwritten_and_nothing_wrong_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunkgate.toml");
        let bad = options(Some("carrier:no host"), None);
        assert_eq!(format!("{:?}", run(&path, &bad)), format!("{:?}", ExitCode::from(2)));
        assert!(!path.exists());
        let good = options(None, None);
        assert_eq!(format!("{:?}", run(&path, &good)), format!("{:?}", ExitCode::SUCCESS));
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(format!("{:?}", run(&path, &good)), format!("{:?}", ExitCode::from(2)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
