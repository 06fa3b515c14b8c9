//! `trunkgate init`: writes a commented `trunkgate.toml` (never over an existing file) and checks it.

use std::io::{BufRead, IsTerminal, Write};
use std::net::Ipv6Addr;
use std::path::Path;
use std::process::ExitCode;

use trunkgate_route::nearest;

use crate::check;
use trunkgate_boot::run;
use trunkgate_config as config;
use trunkgate_config::preset::{self, Preset};
use trunkgate_system::{files, terminal};

/// Agent name in the generated file.
const AGENT: &str = "receptionist";
/// Commented line for an agent; off by default, because an agent may listen first.
const FIRST_AUDIO: &str = "# first_audio_timeout = \"8s\"        # for an agent that greets: without audio by then, the next target is tried\n";

/// Listener address of a configuration without trunks, PBX and agent, for a trial on this machine.
const TRIAL: &str = "127.0.0.1:5060";

/// Flags of `trunkgate init`.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// `--trunk KIND:VALUE`, e.g. `twilio:acme.pstn.twilio.com` or `carrier:198.51.100.7`; several are tried in this
    /// order for calls from the PBX.
    pub trunks: Vec<String>,
    /// `--pbx KIND:VALUE`, e.g. `freepbx:10.0.0.5`.
    pub pbx: Option<String>,
    /// `--agent URL`: WebSocket URL of an agent.
    pub agent: Option<String>,
    /// `--yes`: asks no questions.
    pub yes: bool,
}

/// Writes `path` and checks it. Returns exit code 0, or 2 if the file exists or a flag is invalid.
pub fn run(path: &Path, options: &InitOptions) -> ExitCode {
    if path.exists() {
        return refuse(&format!("{} already exists; it is never overwritten", path.display()));
    }
    let asks = !options.yes && std::io::stdin().is_terminal() && options.trunks.is_empty() && options.pbx.is_none();
    let options = if asks { ask(options, &mut std::io::stdin().lock()) } else { options.clone() };
    let text = match compose(&options) {
        Ok(text) => text,
        Err(message) => return refuse(&message),
    };
    if let Err(found) = config::parse(path, &text) {
        // The template is correct, so the error is in the value of a flag.
        terminal::print_error(&config::render(path, &text, &found));
        return refuse("nothing was written: check --trunk, --pbx and --agent");
    }
    // The user will add passwords and tokens to the file.
    let written = files::create_new(path, files::CALL_DATA).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    if let Err(error) = written {
        return refuse(&format!("cannot write {}: {error}", path.display()));
    }
    println!("wrote {}", path.display());
    for line in placeholders(&text) {
        println!("to edit: {line}");
    }
    check::run(path, false, false)
}

/// Returns the line and value of each address that the user must still replace.
fn placeholders(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().enumerate().filter(|(_, line)| line.contains("# placeholder: "));
    lines.map(|(at, line)| {
        let (value, what) = line.split_once("# placeholder: ").unwrap_or((line, ""));
        format!("line {}, {} is a placeholder for the {what}", at + 1, value.trim_end())
    })
}

fn refuse(message: &str) -> ExitCode {
    run::refuse(&format!("error: {message}"))
}

/// Asks for the values that no flag gives, and repeats a question after an invalid answer.
fn ask(options: &InitOptions, input: &mut impl BufRead) -> InitOptions {
    let mut question = |text: &str, check: &dyn Fn(&str) -> Result<(), String>| loop {
        eprint!("{text}: ");
        let mut line = String::new();
        let read = input.read_line(&mut line).unwrap_or(0);
        let answer = line.trim();
        if read == 0 {
            return None;
        }
        match check(answer) {
            Ok(()) => return Some(answer.to_owned()).filter(|answer| !answer.is_empty()),
            Err(message) => eprintln!("  {message}"),
        }
    };
    let kinds = TRUNK.kinds().join(", ");
    let is_kind =
        or_default(|answer| if TRUNK.kinds().contains(&answer) { Ok(()) } else { TRUNK.read(answer).map(drop) });
    let trunk = question(&format!("Kind of trunk: {kinds} (default: {})", TRUNK.default), &is_kind);
    let trunk = trunk.and_then(|kind| {
        let Some(text) = details(&kind) else { return Some(kind) };
        let value = question(&text, &|answer| match answer {
            "" if kind == TRUNK.first || TrunkValueForm::of(&kind).accepts("") => Ok(()),
            "" => Err("there is no default".to_owned()),
            _ => TRUNK.read(&format!("{kind}:{answer}")).map(drop),
        });
        match value {
            Some(value) => Some(format!("{kind}:{value}")),
            // A default value belongs to the default kind only.
            None if kind == TRUNK.first => None,
            None => Some(kind),
        }
    });
    let agent = options.agent.clone().or_else(|| {
        question("Voice agent that takes calls first: wss://HOST/PATH (default: none)", &or_default(agent_url))
    });
    let (target, default) = match agent {
        Some(_) => ("Fallback if the agent fails", "none"),
        None => ("PBX", PBX.default),
    };
    let kinds = PBX.kinds().join(", ");
    let text = format!("{target}: KIND:ADDRESS, with a kind of {kinds} (default: {default})");
    let pbx = question(&text, &or_default(|answer| PBX.read(answer).map(drop)));
    InitOptions { trunks: trunk.into_iter().collect(), agent, pbx, ..options.clone() }
}

/// Returns a check that also accepts an empty answer, which means the default.
fn or_default(check: impl Fn(&str) -> Result<(), String>) -> impl Fn(&str) -> Result<(), String> {
    move |answer| if answer.is_empty() { Ok(()) } else { check(answer) }
}

/// Returns the question for the value of a kind of trunk; `None` if the kind has no value or the answer contains it.
fn details(kind: &str) -> Option<String> {
    match TrunkValueForm::of(kind) {
        _ if !TRUNK.kinds().contains(&kind) => None,
        TrunkValueForm::Domain(ends) => Some(format!("Domain at {kind}, e.g. acme{ends}")),
        TrunkValueForm::Address if kind == TRUNK.first => {
            Some("Address of its SIP server (default: 127.0.0.1:5070)".to_owned())
        }
        TrunkValueForm::Address => {
            let note = preset::find(kind).and_then(|preset| preset.left_out.iter().find(|one| one.key == "peers"));
            let note = note.map_or_else(|| "address of its SIP server".to_owned(), |one| one.note.clone());
            Some(format!("Peer at {kind}: {note}"))
        }
        TrunkValueForm::Region(regions) => {
            let first = regions.first().map(String::as_str).unwrap_or_default();
            Some(format!("Region at {kind}: {} (default: {first})", regions.join(", ")))
        }
        TrunkValueForm::Nothing => None,
    }
}

/// Value expected after `KIND:` in `--trunk` or `--pbx`.
enum TrunkValueForm {
    /// Domain at the provider; contains the ending of its name.
    Domain(String),
    /// IP address or host name of a SIP server.
    Address,
    /// Optional region of the provider; contains all regions.
    Region(Vec<String>),
    /// No value, because the preset has the addresses.
    Nothing,
}

impl TrunkValueForm {
    fn of(kind: &str) -> TrunkValueForm {
        match preset::find(kind) {
            Some(Preset { domain: Some(domain), .. }) => {
                TrunkValueForm::Domain(domain.forms.first().map(|form| form.ends.clone()).unwrap_or_default())
            }
            Some(preset) if preset.needs_peers() => TrunkValueForm::Address,
            Some(preset) if preset.regions.is_empty() => TrunkValueForm::Nothing,
            Some(preset) => TrunkValueForm::Region(preset.regions.clone()),
            None => TrunkValueForm::Address,
        }
    }

    /// Returns the syntax of the flag for a trunk of this kind.
    fn form(kind: &str) -> String {
        match TrunkValueForm::of(kind) {
            TrunkValueForm::Domain(_) => format!("{kind}:DOMAIN"),
            TrunkValueForm::Address => format!("{kind}:ADDRESS"),
            TrunkValueForm::Region(_) => format!("{kind}[:REGION]"),
            TrunkValueForm::Nothing => kind.to_owned(),
        }
    }

    /// Returns whether `text` has this form.
    fn accepts(&self, text: &str) -> bool {
        match self {
            TrunkValueForm::Domain(_) => {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
            }
            TrunkValueForm::Address => !text.is_empty() && !text.contains(char::is_whitespace),
            TrunkValueForm::Region(regions) => text.is_empty() || regions.iter().any(|region| region == text),
            TrunkValueForm::Nothing => text.is_empty(),
        }
    }
}

/// Command-line flag that names a trunk or the PBX (`--trunk`, `--pbx`).
struct TrunkFlag {
    /// Name of the flag: `--trunk` or `--pbx`.
    flag: &'static str,
    /// Kind of an address given without a kind.
    first: &'static str,
    /// Presets that are kinds of this flag.
    side: preset::PresetKind,
    /// Value used if neither a flag nor an answer gives one.
    default: &'static str,
}

const TRUNK: TrunkFlag = TrunkFlag {
    flag: "--trunk",
    first: "carrier",
    side: preset::PresetKind::Carrier,
    default: "carrier:127.0.0.1:5070",
};
/// Flag for the PBX. Its kind is its preset; its trunk is named `pbx`, as in the documentation.
const PBX: TrunkFlag =
    TrunkFlag { flag: "--pbx", first: "pbx", side: preset::PresetKind::Pbx, default: "pbx:127.0.0.1:5080" };

impl TrunkFlag {
    /// Returns the kinds that the flag accepts.
    fn kinds(&self) -> Vec<&'static str> {
        let presets = preset::all().iter().filter(|preset| preset.side == self.side).map(|preset| preset.name);
        std::iter::once(self.first).chain(presets.filter(|name| *name != self.first)).collect()
    }

    /// Splits `KIND:ADDRESS` into kind and address; an address alone has the default kind.
    ///
    /// # Errors
    /// Returns the valid forms if the text has none of them.
    fn read<'a>(&self, text: &'a str) -> Result<(&'a str, &'a str), String> {
        let (kinds, alone) = (self.kinds(), (self.first, text));
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) if kinds.contains(&kind) => (kind, value),
            None if kinds.contains(&text) => (text, ""),
            _ if text.starts_with("sip:") || text.starts_with('[') || text.contains("::") => alone,
            Some((host, _)) if host.contains('.') => alone,
            None if text.contains('.') => alone,
            _ => ("", ""),
        };
        if !kind.is_empty() && TrunkValueForm::of(kind).accepts(value) {
            return Ok((kind, value));
        }
        let forms: Vec<String> = kinds.iter().map(|kind| TrunkValueForm::form(kind)).collect();
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        let hint = self.hint(kind, value).unwrap_or_default();
        Err(format!("{text}: expected {}{hint}", forms.join(" or ")))
    }

    /// Returns a hint for an invalid value: the regions of a known kind, or the syntax for an unknown one.
    fn hint(&self, kind: &str, value: &str) -> Option<String> {
        let other = if self.flag == TRUNK.flag { &PBX } else { &TRUNK };
        let kinds = self.kinds();
        if kinds.contains(&kind) {
            let TrunkValueForm::Region(regions) = TrunkValueForm::of(kind) else { return None };
            return Some(format!("; regions of {kind}: {}", regions.join(", ")));
        }
        if kind.is_empty() || !kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return None;
        }
        if other.kinds().contains(&kind) {
            return Some(format!("; {kind} belongs to {} {}", other.flag, TrunkValueForm::form(kind)));
        }
        if preset::find(kind).is_some() {
            return Some(format!("; init cannot write {kind}: add its trunk by hand (trunkgate preset show {kind})"));
        }
        Some(match nearest(kind, kinds.iter().copied()) {
            Some(meant) if value.is_empty() => format!("; did you mean {}?", TrunkValueForm::form(meant)),
            Some(meant) => format!("; did you mean {meant}:{value}?"),
            None => {
                let first = self.first;
                format!("; {kind} has no preset: write {first}:ADDRESS with the address of its SIP server")
            }
        })
    }

    /// Parses a flag's value; errors begin with the flag.
    ///
    /// # Errors
    /// Returns the flag and its valid forms if the text has none of them.
    fn read_flag<'a>(&self, text: &'a str) -> Result<(&'a str, &'a str), String> {
        self.read(text).map_err(|message| format!("{} {message}", self.flag))
    }
}

/// Checks that an agent's URL has a WebSocket scheme.
fn agent_url(text: &str) -> Result<(), String> {
    if ["wss://", "ws://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(());
    }
    Err(format!("{text}: expected wss://HOST/PATH, or ws://HOST:PORT/PATH in a local network"))
}

/// Returns the text of the configuration file.
///
/// # Errors
/// Returns a message if a flag is invalid.
fn compose(options: &InitOptions) -> Result<String, String> {
    let carriers = carriers(&options.trunks)?;
    let pbx = match (&options.pbx, &options.agent) {
        (None, Some(_)) => None,
        (given, _) => Some(PBX.read_flag(given.as_deref().unwrap_or(PBX.default))?),
    };
    let (mut agent, mut connect) = (String::new(), Vec::new());
    if let Some(url) = &options.agent {
        agent_url(url).map_err(|message| format!("--agent {message}"))?;
        agent = format!(
            "[agent.{AGENT}]                # Twilio Media Streams protocol\nurl = {}\n{FIRST_AUDIO}\n",
            quoted(url)
        );
        connect.push(quoted(&format!("agent:{AGENT}")));
    }
    let (mut pbx_trunk, mut outbound) = (String::new(), String::new());
    if let Some((pbx_kind, pbx)) = pbx {
        connect.push(quoted("trunk:pbx"));
        let peer = quoted(&peer(pbx));
        let stand_in = if options.pbx.is_none() { "# placeholder: address of the PBX" } else { "" };
        let peers = beside(&format!("peers = [{peer}]"), stand_in);
        pbx_trunk = format!("[trunk.pbx]\n{}{peers}\n{SRTP}\n", with_preset(pbx_kind));
        let targets = carriers.iter().map(|one| quoted(&format!("trunk:{}", one.name))).collect::<Vec<_>>().join(", ");
        outbound = format!("[[route]]\nname = \"outbound\"\nfrom = [\"pbx\"]\nconnect = [{targets}]\n\n");
    }
    let names: Vec<&str> = carriers.iter().map(|one| one.name.as_str()).collect();
    let (from, back) = (names.join(" and "), names.join(", then to "));
    let way = match (&options.agent, pbx) {
        (Some(_), None) => "go to the agent".to_owned(),
        (Some(_), Some(_)) => format!("go to the agent, and to pbx if it fails; calls from pbx go to {back}"),
        (None, _) => format!("go to pbx; calls from pbx go to {back}"),
    };
    let far: Vec<&str> = carriers.iter().map(|one| one.address).chain(pbx.map(|(_, address)| address)).collect();
    let addresses = listeners(options, &far);
    let listen: String = addresses
        .iter()
        .flat_map(|address| ["udp", "tcp"].map(|transport| (address, transport)))
        .map(|(address, transport)| {
            let stand_in =
                if *address == TRIAL { "# placeholder: address that trunks reach, 0.0.0.0:5060 for all" } else { "" };
            let line = beside(&format!("address = \"{address}\""), stand_in);
            format!("[[listen]]\ntransport = \"{transport}\"\n{line}\n\n")
        })
        .collect();
    let tls = addresses.first().map_or_else(String::new, |address| tls_stub(address));
    let connect = connect.join(", ");
    let trunks: String = carriers.iter().map(|one| format!("[trunk.{}]\n{}\n", one.name, one.keys)).collect();
    let sources = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    // Agents often listen on port 8080, the usual port of the HTTP API.
    let taken = options.agent.as_ref().and_then(|url| url::Url::parse(url).ok()).and_then(|url| url.port());
    let http = if taken == Some(8080) { 8088 } else { 8080 };
    Ok(format!(
        "# Trunkgate: calls from {from} {way}.\n\
         # `trunkgate check` reports errors in this file, `trunkgate run` starts the edge.\n\
         {listen}{tls}\
         [edge]\n\
         # public_address = \"203.0.113.10\"   # behind NAT: public address, announced outside local networks\n\
         country = \"US\"                      # country of numbers without a country code\n\n\
         [http]                              # console, metrics, status\naddress = \"127.0.0.1:{http}\"\n\n\
         {trunks}{pbx_trunk}{agent}\
         [[route]]                           # the first matching route takes the call\n\
         name = \"inbound\"\nfrom = [{sources}]\nconnect = [{connect}]\n\n{outbound}\
         [cdr]\nfile = \"cdr.jsonl\"                  # one line per call\n",
    ))
}

/// Column at which comments of the written configuration begin.
const COMMENT_COLUMN: usize = 36;

/// Appends a comment to a configuration line, aligned with other comments.
fn beside(line: &str, comment: &str) -> String {
    if comment.is_empty() { line.to_owned() } else { format!("{line:<COMMENT_COLUMN$}{comment}") }
}

/// Trunk given by `--trunk`.
struct CarrierTrunk<'a> {
    /// Kind of the trunk: the text before the colon.
    kind: &'a str,
    /// Trunk name: the kind, numbered from the second trunk of a kind.
    name: String,
    /// Address, domain or region of the trunk: the text after the colon.
    address: &'a str,
    /// Configuration lines below the heading.
    keys: String,
}

/// Returns the trunks for `--trunk`; one placeholder if none is given.
fn carriers(given: &[String]) -> Result<Vec<CarrierTrunk<'_>>, String> {
    let stand_in = if given.is_empty() { "# placeholder: address of the carrier" } else { "" };
    let mut carriers: Vec<CarrierTrunk<'_>> = Vec::new();
    let written: Vec<&str> = given.iter().map(String::as_str).collect();
    for (at, text) in (if written.is_empty() { vec![TRUNK.default] } else { written }).into_iter().enumerate() {
        let (kind, address) = TRUNK.read_flag(text)?;
        if let Some(same) = carriers.iter().find(|one| one.kind == kind && one.address == address) {
            return Err(format!("{} {text}: the same as the trunk {}", TRUNK.flag, same.name));
        }
        let of_kind = carriers.iter().filter(|one| one.kind == kind).count();
        let name = if of_kind == 0 { kind.to_owned() } else { format!("{kind}-{}", of_kind + 1) };
        // A user may enable the commented key in every trunk, so each has its own secret.
        let auth = if at == 0 { AUTH.to_owned() } else { AUTH.replace("TRUNK_", &format!("TRUNK{}_", at + 1)) };
        let keys = match kind {
            "twilio" => {
                let domain =
                    if address.contains('.') { address.to_owned() } else { format!("{address}.pstn.twilio.com") };
                format!(
                    "preset = \"twilio\"                   # `trunkgate preset show twilio`\n\
                     domain = {}\n\
                     secure = false                      # with Secure Trunking: remove this line, enable the TLS [[listen]]\n\
                     {auth}",
                    quoted(&domain)
                )
            }
            "carrier" => format!(
                "{}{}\n{MEDIA_FROM}{auth}{SRTP}",
                with_preset(kind),
                beside(&format!("peers = [{}]", quoted(&peer(address))), stand_in)
            ),
            _ => format!("{}{auth}", provider(kind, address)),
        };
        carriers.push(CarrierTrunk { kind, name, address, keys });
    }
    Ok(carriers)
}

/// Commented key for the media networks of a carrier trunk.
const MEDIA_FROM: &str =
    "media_from = []                     # networks of its media gateways, if they differ from peers\n";

/// Returns the keys of a provider trunk; keys that its preset leaves to the user are comments.
fn provider(kind: &str, value: &str) -> String {
    let mut keys = beside(&format!("preset = {}", quoted(kind)), &format!("# `trunkgate preset show {kind}`")) + "\n";
    match TrunkValueForm::of(kind) {
        TrunkValueForm::Region(_) if !value.is_empty() => keys.push_str(&format!("region = {}\n", quoted(value))),
        TrunkValueForm::Address => keys.push_str(&format!("peers = [{}]\n", quoted(&peer(value)))),
        TrunkValueForm::Domain(_) | TrunkValueForm::Region(_) | TrunkValueForm::Nothing => {}
    }
    for one in preset::find(kind).into_iter().flat_map(|preset| &preset.left_out) {
        match one.key.as_str() {
            "media_from" => keys.push_str(MEDIA_FROM),
            // These keys have their own lines.
            "peers" | "auth" => {}
            key => keys.push_str(&format!("# {key}: {}\n", one.note)),
        }
    }
    keys
}

/// Commented credentials of a trunk.
const AUTH: &str =
    "# auth = { username = \"USER\", password = { env = \"TRUNK_PASSWORD\" } }   # if it challenges calls from here\n";
const SRTP: &str = "# srtp = \"optional\"                 # encrypted media, over TLS\n";

/// Returns a commented TLS listener; `address` is the address of the UDP and TCP listeners.
fn tls_stub(address: &str) -> String {
    let address = address.replace(":5060", ":5061");
    format!(
        "# [[listen]]                        # TLS: certificate for the name that peers call\n# transport = \"tls\"\n\
         # address = \"{address}\"\n# certificate = \"/etc/trunkgate/edge.pem\"\n\
         # private_key = \"/etc/trunkgate/edge.key\"\n\n"
    )
}

/// Returns the listener addresses: loopback without trunks, PBX and agent, otherwise all interfaces, with one listener
/// for each address family in `far`.
fn listeners(options: &InitOptions, far: &[&str]) -> &'static [&'static str] {
    if options.trunks.is_empty() && options.pbx.is_none() && options.agent.is_none() {
        return &[TRIAL];
    }
    let is_v6 = |value: &&str| value.contains("::") || value.contains('[');
    match (far.iter().any(is_v6), far.iter().all(is_v6)) {
        (false, _) => &["0.0.0.0:5060"],
        (true, true) => &["[::]:5060"],
        (true, false) => &["0.0.0.0:5060", "[::]:5060"],
    }
}

/// Returns the `preset` line of a trunk; empty if its kind is not a preset.
fn with_preset(kind: &str) -> String {
    if preset::find(kind).is_some() { format!("preset = {}\n", quoted(kind)) } else { String::new() }
}

/// Returns a peer's SIP URI from the value after `KIND:`.
fn peer(value: &str) -> String {
    if value.starts_with("sip:") {
        return value.to_owned();
    }
    match value.parse::<Ipv6Addr>() {
        Ok(address) => format!("sip:[{address}]"),
        Err(_) => format!("sip:{value}"),
    }
}

/// Returns a text as a TOML string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use trunkgate_route::TargetSpec;

    use super::*;

    fn options(trunk: Option<&str>, pbx: Option<&str>) -> InitOptions {
        InitOptions {
            trunks: trunk.map(str::to_owned).into_iter().collect(),
            pbx: pbx.map(str::to_owned),
            agent: None,
            yes: true,
        }
    }

    /// Checks that the file is valid with each commented table uncommented, apart from missing files that it names.
    fn uncommented(text: &str) {
        let is_stub = |line: &&str| {
            [
                "# [[listen]]",
                "# transport =",
                "# address =",
                "# certificate =",
                "# private_key =",
                "# auth =",
                "# srtp =",
            ]
            .iter()
            .any(|start| line.starts_with(start))
        };
        let lines = text.lines().map(|line| if is_stub(&line) { &line[2..] } else { line });
        let text = lines.collect::<Vec<_>>().join("\n").replace("{ env = ", "").replace("_PASSWORD\" }", "\"");
        let Err(found) = config::parse(Path::new("trunkgate.toml"), &text) else { panic!("no such certificate") };
        let rendered = config::render(Path::new("trunkgate.toml"), &text, &found);
        let errors = rendered.lines().filter(|line| line.starts_with("error")).collect::<Vec<_>>();
        assert!(errors.iter().all(|line| line.contains("edge.pem") || line.contains("edge.key")), "{rendered}");
    }

    #[test]
    fn what_is_written_is_short_and_accepted() {
        for (trunk, pbx) in [
            (None, None),
            (Some("twilio:acme.pstn.twilio.com"), Some("freepbx:10.0.0.5")),
            (Some("twilio:acme"), None),
            (Some("carrier:198.51.100.7"), Some("asterisk:pbx.example.com:5080")),
            (Some("carrier:sip:sbc.example.com;transport=tcp"), Some("3cx:2001:db8::5")),
            (Some("carrier:[2001:db8::1]:5070"), Some("10.0.0.5")),
            (Some("carrier:2001:db8::1"), Some("[2001:db8::5]:5080")),
            (Some("sip:198.51.100.7;transport=tcp"), Some("pbx.example.com:5080")),
            (Some("telnyx"), Some("avaya:10.0.0.5")),
            (Some("didww:frankfurt"), Some("cisco-cube:10.0.0.5")),
            (Some("plivo:21784177241578.zt.plivo.com"), None),
            (Some("sipgate"), None),
        ] {
            let text = compose(&options(trunk, pbx)).unwrap();
            assert!(text.lines().count() <= 70, "{} lines", text.lines().count());
            uncommented(&text);
            let (config, _) = config::parse(Path::new("trunkgate.toml"), &text).unwrap_or_else(|found| {
                panic!("{}", config::render(Path::new("trunkgate.toml"), &text, &found));
            });
            assert_eq!((config.trunks.len(), config.routes.len()), (2, 2));
        }
        let twilio = compose(&options(Some("twilio:acme"), None)).unwrap();
        let (twilio, _) = config::parse(Path::new("trunkgate.toml"), &twilio).unwrap();
        assert_eq!(twilio.trunks[0].peers[0].uri, "sip:acme.pstn.twilio.com");
        assert_eq!(twilio.trunks[0].media_from[0].to_string(), "168.86.128.0/18");
    }

    #[test]
    fn every_preset_of_a_side_is_a_kind_of_it() {
        for preset in preset::all().iter().filter(|preset| preset.side != preset::PresetKind::Other) {
            let given = match TrunkValueForm::of(preset.name) {
                TrunkValueForm::Domain(_) => format!("{}:acme", preset.name),
                TrunkValueForm::Address => format!("{}:sbc.example.com", preset.name),
                TrunkValueForm::Region(_) | TrunkValueForm::Nothing => preset.name.to_owned(),
            };
            let is_pbx = preset.side == preset::PresetKind::Pbx;
            let (trunk, pbx) = if is_pbx { (None, Some(given.as_str())) } else { (Some(given.as_str()), None) };
            let text = compose(&options(trunk, pbx)).unwrap();
            let found = config::parse(Path::new("trunkgate.toml"), &text);
            let (config, _) = found.unwrap_or_else(|found| {
                panic!("{}", config::render(Path::new("trunkgate.toml"), &text, &found));
            });
            assert!(text.contains(&format!("preset = \"{}\"", preset.name)), "{text}");
            assert!(config.trunks.iter().all(|trunk| !trunk.peers.is_empty()), "{text}");
        }
        let text = compose(&options(Some("telnyx:eu"), None)).unwrap();
        let (config, _) = config::parse(Path::new("trunkgate.toml"), &text).unwrap();
        assert_eq!((&*config.trunks[0].name, config.trunks[0].peers[0].uri.as_str()), ("telnyx", "sip:sip.telnyx.eu"));
        assert!(text.contains("# srtp: off unless the connection encrypts") && !text.contains("# peers:"), "{text}");
    }

    #[test]
    fn several_trunks_are_tried_in_their_order() {
        let given = ["carrier:198.51.100.7", "twilio:acme", "carrier:[2001:db8::1]:5070"];
        let options = |given: &[&str]| InitOptions {
            trunks: given.iter().map(|one| (*one).to_owned()).collect(),
            pbx: Some("10.0.0.5".to_owned()),
            ..InitOptions::default()
        };
        let text = compose(&options(&given)).unwrap();
        uncommented(&text);
        assert!(text.starts_with(
            "# Trunkgate: calls from carrier and twilio and carrier-2 go to pbx; calls from pbx go to carrier, then to twilio, then to carrier-2.\n"
        ));
        let (config, _) = config::parse(Path::new("trunkgate.toml"), &text).unwrap();
        let names: Vec<&str> = config.trunks.iter().map(|trunk| trunk.name.as_ref()).collect();
        assert_eq!(names, ["carrier", "twilio", "carrier-2", "pbx"]);
        let [inbound, outbound] = &config.routes[..] else { panic!("two routes") };
        assert_eq!((inbound.connect.len(), outbound.connect.len()), (1, 3));
        assert!(text.contains("\"0.0.0.0:5060\"") && text.contains("\"[::]:5060\""), "{text}");
        let same = compose(&options(&["198.51.100.7", "carrier:198.51.100.7"])).unwrap_err();
        assert_eq!(same, "--trunk carrier:198.51.100.7: the same as the trunk carrier");
    }

    #[test]
    fn addresses_that_nobody_gave_are_named_as_such() {
        let told = |trunk, pbx| placeholders(&compose(&options(trunk, pbx)).unwrap()).collect::<Vec<String>>();
        let [udp, tcp, carrier, pbx] = &told(None, None)[..] else { panic!("four") };
        assert!(
            [udp, tcp].iter().all(|listen| listen.contains("address = \"127.0.0.1:5060\" is a placeholder")),
            "{udp}"
        );
        assert!(carrier.contains("placeholder for the address of the carrier"), "{carrier}");
        assert!(pbx.contains("peers = [\"sip:127.0.0.1:5080\"] is a placeholder for the address of the PBX"), "{pbx}");
        assert_eq!(told(Some("twilio:acme"), None).len(), 1);
        assert!(told(Some("twilio:acme"), Some("10.0.0.5")).is_empty());
    }

    #[test]
    fn a_flag_that_cannot_be_used_is_named() {
        for (trunk, pbx, part) in [
            (Some("twilio"), None, "--trunk"),
            (Some("telnyx:1"), None, "or telnyx[:REGION] or"),
            (Some("sipgate:1"), None, "or sipgate"),
            (Some("plivo"), None, "or plivo:ADDRESS or"),
            (Some("acmetel:1"), None, "; acmetel has no preset: write carrier:ADDRESS"),
            (Some("twillio:acme"), None, "; did you mean twilio:acme?"),
            (Some("twillio"), None, "; did you mean twilio:DOMAIN?"),
            (Some("telnyx:mars"), None, "; regions of telnyx: us, eu, ca, au"),
            (
                Some("whatsapp"),
                None,
                "; init cannot write whatsapp: add its trunk by hand (trunkgate preset show whatsapp)",
            ),
            (None, Some("microsoft-teams:sbc.example.com"), "; init cannot write microsoft-teams: "),
            (Some("asterisk:10.0.0.5"), None, "; asterisk belongs to --pbx asterisk:ADDRESS"),
            (None, Some("twilio:acme"), "; twilio belongs to --trunk twilio:DOMAIN"),
            (Some("twilio:10.0.0.5:5060"), None, "twilio:DOMAIN"),
            (Some("carrier:no host"), None, "--trunk carrier:no host"),
            (None, Some("mitel:1"), "freepbx"),
            (None, Some("pbx:"), "--pbx"),
        ] {
            let message = compose(&options(trunk, pbx)).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
        let local = InitOptions { agent: Some("ws://127.0.0.1:8080/media".into()), ..InitOptions::default() };
        assert!(compose(&local).unwrap().contains("address = \"127.0.0.1:8088\""));
        let agent = InitOptions { agent: Some("https://bot.example.com/".into()), ..InitOptions::default() };
        assert!(compose(&agent).unwrap_err().starts_with("--agent https://bot.example.com/: expected wss://"));
    }

    #[test]
    fn an_agent_takes_the_calls_first() {
        for (trunk, pbx) in [(None, None), (Some("twilio:acme"), None), (Some("twilio:acme"), Some("3cx:2001:db8::5"))]
        {
            let agent = Some("wss://bot.example.com/media".to_owned());
            let text = compose(&InitOptions { agent, ..options(trunk, pbx) }).unwrap();
            assert!(text.lines().count() <= 70, "{} lines", text.lines().count());
            uncommented(&text);
            let (config, _) = config::parse(Path::new("trunkgate.toml"), &text).unwrap_or_else(|found| {
                panic!("{}", config::render(Path::new("trunkgate.toml"), &text, &found));
            });
            assert_eq!(config.agents[0].url, "wss://bot.example.com/media");
            let has_pbx = pbx.is_some();
            assert_eq!((config.trunks.len(), config.routes.len()), if has_pbx { (2, 2) } else { (1, 1) }, "{text}");
            match &config.routes[0].connect[..] {
                [TargetSpec::Agent(name), TargetSpec::Trunk { .. }] if has_pbx => assert_eq!(name, AGENT),
                [TargetSpec::Agent(name)] if !has_pbx => assert_eq!(name, AGENT),
                other => panic!("{other:?}"),
            }
            assert!(!text.contains("\"127.0.0.1:5060\"") && text.contains(":5060\""), "{text}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_asked_for_again() {
        let asked = ask(&InitOptions::default(), &mut &b"foo\ntwilio:acme\nbot\nws://10.0.0.7/\n10.0.0.5\n"[..]);
        assert_eq!((asked.trunks, asked.pbx.as_deref()), (vec!["twilio:acme".to_owned()], Some("10.0.0.5")));
        assert_eq!(asked.agent.as_deref(), Some("ws://10.0.0.7/"));
        let asked = ask(&InitOptions::default(), &mut &b"telnyx\nmars\neu\n\navaya:10.0.0.5\n"[..]);
        assert_eq!((asked.trunks, asked.pbx.as_deref()), (vec!["telnyx:eu".to_owned()], Some("avaya:10.0.0.5")));
        let asked = ask(&InitOptions::default(), &mut &b"sipgate\n\n\n"[..]);
        assert_eq!((asked.trunks, asked.agent, asked.pbx), (vec!["sipgate".to_owned()], None, None));
        let asked = ask(&InitOptions::default(), &mut &b"carrier\n\n\n\n"[..]);
        assert_eq!(asked.trunks, Vec::<String>::new(), "the placeholder");
        let asked = ask(&InitOptions::default(), &mut &b"carrier\n198.51.100.7\n"[..]);
        assert_eq!(asked.trunks, ["carrier:198.51.100.7"]);
        let asked = ask(&InitOptions::default(), &mut &b"twilio\n\nacme\n\n\n"[..]);
        assert_eq!(asked.trunks, ["twilio:acme"], "a domain has no default");
        let asked = ask(&InitOptions::default(), &mut &b"plivo\n\n 1.zt.plivo.com \n"[..]);
        assert_eq!(asked.trunks, ["plivo:1.zt.plivo.com"]);
        let asked = ask(&InitOptions::default(), &mut &b"\nfoo\n"[..]);
        assert_eq!((asked.trunks, asked.pbx, asked.agent), (Vec::new(), None, None));
    }

    #[test]
    fn an_answer_is_not_called_a_flag_and_comments_stand_under_each_other() {
        let refused = TRUNK.read("twillio:acme").unwrap_err();
        assert!(refused.starts_with("twillio:acme: expected carrier:ADDRESS or twilio:DOMAIN"), "{refused}");
        assert!(agent_url("bot").unwrap_err().starts_with("bot: expected wss://"));
        let text = compose(&options(None, None)).unwrap();
        let short = |line: &&str| line.find("  #").is_some_and(|at| at < 36) && !line.starts_with('#');
        let columns = text.lines().filter(short).filter_map(|line| line.find('#')).collect::<Vec<_>>();
        assert!(columns.len() >= 8 && columns.iter().all(|column| *column == 36), "{columns:?}\n{text}");
    }

    #[test]
    fn a_file_is_never_overwritten_and_nothing_wrong_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunkgate.toml");
        let bad = options(Some("carrier:bad_host:99999"), None);
        assert_eq!(format!("{:?}", run(&path, &bad)), format!("{:?}", ExitCode::from(2)));
        assert!(!path.exists());
        let good = options(None, None);
        assert_eq!(format!("{:?}", run(&path, &good)), format!("{:?}", ExitCode::SUCCESS));
        let rights = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(rights & 0o137, 0, "{rights:o}: secrets will stand in it");
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(format!("{:?}", run(&path, &good)), format!("{:?}", ExitCode::from(2)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
