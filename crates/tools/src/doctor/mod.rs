//! `trunkgate doctor`: the results of `check`, followed by tests of the environment: sockets, resource limits, names,
//! the response of each peer to OPTIONS and the path to it, certificates, agents, the clock. Each finding is ok, warn
//! or FAIL, with a fix.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use self::clock::Theirs;
use self::edge::Asked;
#[cfg(test)]
pub(crate) use self::only::KINDS;
use self::only::Only;
use crate::announced;
use crate::cli::EdgeArgs;
use crate::client::{self, EdgePresence, EdgeTarget};
use crate::findings::{self, Finding, Level};
use trunkgate_boot::run::{self, InspectedConfig};
use trunkgate_config::{self as config, Config, Diagnostic, SpeechEngine, SpeechSettings};
use trunkgate_runtime::speech::{self, SynthesisText};
use trunkgate_runtime::transport::TlsSettings;
use trunkgate_system::limits::SAY_SECONDS;
use trunkgate_system::text::number;
use trunkgate_system::{interfaces, terminal};

mod answer;
mod apps;
mod calls;
mod clock;
mod container;
mod disks;
mod edge;
mod machine;
mod only;
mod own_host;
mod path;
mod peers;
mod recordings;
mod twilio;

/// Function that derives findings from `/v1/trunks` of a running edge.
type Judgement = fn(&Value) -> Vec<Finding>;

/// Keys that name TLS files, as quoted in diagnostics.
const CERTIFICATE_KEYS: [&str; 4] = ["`certificate`", "`private_key`", "`ca`", "`client_ca`"];

/// Fix for a configuration file with errors.
const FIX_OF_FILE: &str = "trunkgate check; do not restart an edge that runs before it accepts the file";

/// Kinds of lines that need `/v1/trunks` of the running edge.
const NEED_TRUNKS: [&str; 6] = ["public address", "inbound udp", "outbound udp", "codecs", "packet loss", "options"];

/// Output format of `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Page with 80 columns.
    Text,
    /// One JSON array at the end.
    Json,
    /// One JSON object per line, printed as soon as it is known.
    JsonLines,
}

/// Selection and output format of the findings.
#[derive(Debug)]
struct Report {
    only: Only,
    form: Form,
}

impl Report {
    /// Returns the selected findings, and prints them at once in the format [`Form::JsonLines`].
    fn take(&self, findings: Vec<Finding>) -> Vec<Finding> {
        self.show(findings.into_iter().filter(|finding| self.only.takes(finding)).collect())
    }

    /// Returns the findings, selected or not, and prints them as [`Report::take`] does.
    fn show(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let wanted = findings.into_iter();
        let wanted: Vec<Finding> = wanted.map(|found| Finding { fix: without_doctor(&found.fix), ..found }).collect();
        if self.form == Form::JsonLines {
            let lines = wanted.iter().map(|finding| format!("{}\n", findings::json(finding)));
            client::say(&lines.collect::<String>());
        }
        wanted
    }

    /// Returns the findings about the file: all of them if it has errors, because other lines depend on these.
    fn take_of_file(&self, config: &Config, found: &[Diagnostic]) -> Vec<Finding> {
        let all = of_file(config, found);
        if found.iter().any(is_mistake) { self.show(all) } else { self.take(all) }
    }

    fn wants(&self, kind: &str) -> bool {
        self.only.wants(kind)
    }
}

/// Runs all tests or the selected ones. Returns exit code 1 if a finding is FAIL, 2 if the file has errors. Faulty or
/// unreadable parts are findings, and the tests continue.
pub fn run(given: Option<&Path>, remote: &EdgeArgs, only: &[String], form: Form) -> ExitCode {
    let Some(looked) = run::load_to_look(given, remote.url.is_none()) else { return ExitCode::from(run::USAGE) };
    let InspectedConfig { mut config, found, is_unread } = looked;
    let has_mistakes = found.iter().any(is_mistake);
    // Settings of `[http]` are taken from a separate read of the section, because the file has errors.
    let http = has_mistakes.then(|| config::load_http(&config.path, remote.token.is_some()).map(|(http, _)| http));
    let is_guessed = matches!(http, Some(Err(_))) && remote.url.is_none();
    if let Some(Ok(http)) = http {
        config.http = http;
    }
    let asked = match client::beside(given, remote, &config.http) {
        Ok(edge) => Asked { edge, is_guessed, is_named: remote.url.is_some() },
        Err(code) => return code,
    };
    let only = match Only::new(only, &config) {
        Ok(only) => only,
        Err(what) => return run::refuse(&format!("error: {what}")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let findings = match runtime {
        Ok(runtime) => {
            let report = Arc::new(Report { only, form });
            let findings = match is_unread {
                true => runtime.block_on(of_edge(&config, &found, (&asked, &report))),
                false => runtime.block_on(examine(&Arc::new(config), &found, &asked, &report)),
            };
            runtime.shutdown_background();
            findings
        }
        Err(error) => return run::refuse(&format!("error[TG0203]: {error}")),
    };
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    let code = if found.iter().any(is_mistake) { run::USAGE } else { u8::from(failed) };
    match form {
        Form::Text => client::say(&findings::text(&findings, code, terminal::width().is_some())),
        Form::Json => client::say(&terminal::json(&findings.iter().map(findings::json).collect())),
        Form::JsonLines => {}
    }
    ExitCode::from(code)
}

/// Returns only the findings about the running edge, for a file that cannot be read.
async fn of_edge(config: &Config, found: &[Diagnostic], (asked, report): (&Asked, &Report)) -> Vec<Finding> {
    let text = format!("{}. A start or restart fails. Only the running edge is tested", summary(config, found));
    let help = found.iter().find(|one| one.is_error).map(|one| one.help.as_str()).unwrap_or_default();
    let fix = format!("{help}; do not restart an edge that runs before `trunkgate check` accepts the file");
    let mut all = report.show(vec![Finding::fail("config", text, fix)]);
    if report.wants(edge::LINE) {
        all.extend(report.take(edge::problems(config, asked, &presence(asked).await).await));
    }
    all
}

/// Determines which process answers at the address of the edge.
async fn presence(asked: &Asked) -> EdgePresence {
    match &asked.edge {
        Some(edge) => edge.presence().await,
        None => EdgePresence::Absent,
    }
}

/// Runs all selected checks: those of this machine first, those of the peers last, because they take longest. A silent
/// edge is queried only once.
async fn examine(config: &Arc<Config>, found: &[Diagnostic], asked: &Asked, report: &Arc<Report>) -> Vec<Finding> {
    let mut all = report.take_of_file(config, found);
    let presence = presence(asked).await;
    if report.wants(edge::LINE) {
        all.extend(report.take(edge::problems(config, asked, &presence).await));
    }
    let answering = asked.edge.as_ref().filter(|_| !matches!(presence, EdgePresence::Silent(_)));
    all.extend(machine::examine(config, report, &presence));
    if report.wants("speech") {
        all.extend(report.take(of_speech(config).await));
    }
    let (settings, faults) = TlsSettings::read(config, &TlsSettings::default());
    if report.wants("tls") {
        all.extend(report.take(peers::certificates(config, &settings, faults)));
    }
    let settings = Arc::new(settings);
    let ((peers, heard), agents, apps) = tokio::join!(
        peers::examine(config, &settings, found.iter().any(is_mistake), report),
        peers::agents(config, report),
        apps::all(config, report)
    );
    let told = &heard.told;
    let addresses = path::public_address(told, config.media.ports);
    // Without a response that contains the address, the file and this machine's own address are used.
    let is_outside_known = told.iter().any(|one| one.is_outside && one.seen.is_some());
    let leads_out = machine::leads_out(config, &heard.addresses);
    let own = interfaces::read().default_v4;
    let announced = &heard.announced;
    let is_routed = announced::unrouted(announced).next().is_none();
    let own = (!is_outside_known || !is_routed).then(|| machine::public_address(config, leads_out, own, announced));
    let is_written = !config.edge.public_address.is_empty();
    let own = own.filter(|own| addresses.is_empty() || own.level != Level::Ok || is_written);
    let of_calls = NEED_TRUNKS.into_iter().any(|kind| report.wants(kind));
    let trunks = match answering.filter(|_| of_calls) {
        Some(edge) => edge.trunks().await,
        None => None,
    };
    // Calls that fail reveal a wrong address that no peer confirms.
    let by_calls = trunks.as_ref().and_then(|trunks| calls::by_our_address(config, announced, trunks));
    let by_calls = by_calls.filter(|found| found.level == Level::Fail || own.as_ref().is_some_and(is_ok));
    let own = if by_calls.is_some() { own.filter(|own| own.level == Level::Fail) } else { own };
    all.extend(report.take(by_calls.into_iter().chain(own).chain(addresses).collect()));
    if report.wants("inbound udp") {
        let carried = carried(answering, trunks.as_ref()).await;
        all.extend(report.take(vec![path::inbound(carried.as_ref(), leads_out, config.media.ports)]));
    }
    let of_calls: [(&str, Judgement); 3] =
        [("outbound udp", calls::outbound), ("codecs", calls::codecs), ("packet loss", calls::loss)];
    for (_, found) in of_calls.into_iter().filter(|(kind, _)| report.wants(kind)) {
        all.extend(report.take(trunks.as_ref().map(found).unwrap_or_default()));
    }
    all.extend(report.take(path::sip_alg(told)));
    all.extend(peers);
    all.extend(report.take(not_read(config, found)));
    all.extend(report.take(trunks.as_ref().map(|trunks| calls::phones(config, trunks)).unwrap_or_default()));
    let mut called: Vec<Finding> = agents.into_iter().chain(apps).collect();
    if !called.is_empty()
        && let Some(edge) = answering
        && let Ok(status) = edge.status().await
    {
        edge::contradict(&mut called, &status);
    }
    all.extend(called);
    if report.wants("clock") {
        let theirs = told.iter().filter_map(|one| Some(Theirs { trunk: one.trunk.clone(), ahead_ms: one.ahead_ms? }));
        all.extend(report.take(vec![clock::judge(clock::kept().await, &theirs.collect::<Vec<_>>())]));
    }
    all
}

fn is_ok(finding: &Finding) -> bool {
    finding.level == Level::Ok
}

/// Returns media statistics of the running edge; `None` without a response.
async fn carried(edge: Option<&EdgeTarget>, trunks: Option<&Value>) -> Option<path::Carried> {
    let edge = edge?;
    let mut carried = path::Carried::read(&edge.metrics().await?)?;
    carried.explain(trunks.unwrap_or(&Value::Null));
    carried.add_live(&edge.live_calls().await.unwrap_or_default());
    Some(carried)
}

/// Waits for all tasks and returns their results in order.
async fn all<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.extend(task.await);
    }
    results
}

/// Returns whether a diagnostic is an error in the file itself, rather than a file that only the service can read.
fn is_mistake(found: &Diagnostic) -> bool {
    found.is_error && !config::is_of_service(found)
}

/// Returns a warning for each trunk and agent that is not tested because its table has an error.
fn not_read(config: &Config, found: &[Diagnostic]) -> Vec<Finding> {
    if !found.iter().any(is_mistake) {
        return Vec::new();
    }
    let source = config::text(&config.path).unwrap_or_default();
    let tables: toml::Table = source.parse().unwrap_or_default();
    let names = |kind: &str| -> Vec<String> {
        tables.get(kind).and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::keys).cloned().collect()
    };
    let has_peers = |name: &String| tables["trunk"][name].as_table().is_some_and(|table| table.contains_key("peers"));
    let is_read = |name: &String| {
        let read = config.trunks.iter().find(|one| *one.name == **name);
        read.is_some_and(|one| !one.peers.is_empty() || !has_peers(name))
    };
    let trunks = names("trunk").into_iter().filter(|name| !is_read(name));
    let agents = names("agent")
        .into_iter()
        .filter(|name| !config.agents.iter().any(|one| *one.name == **name && !one.url.is_empty()));
    let trunks = trunks.map(|name| (format!("options {name}"), format!("[trunk.{name}]")));
    let agents = agents.map(|name| (format!("agent {name}"), format!("[agent.{name}]")));
    let line = |(name, table)| Finding::warn(name, format!("not examined: {table} has a mistake"), "trunkgate check");
    trunks.chain(agents).map(line).collect()
}

/// Removes references to `trunkgate doctor` from a fix, because the reader is running it.
fn without_doctor(fix: &str) -> String {
    let mut rest = fix.to_owned();
    for (begin, ends) in [(" (`trunkgate doctor", ")"), (" (trunkgate doctor", ")"), (": `trunkgate doctor`", ";")] {
        while let Some((before, behind)) = rest.split_once(begin) {
            let after = behind.split_once(ends).map_or("", |(_, after)| after);
            let end = if after.is_empty() || ends == ")" { "" } else { ends };
            rest = format!("{before}{end}{after}");
        }
    }
    rest
}

/// Returns the finding about the file: the number of trunks and routes, the first error, and unreadable files.
fn of_file(config: &Config, found: &[Diagnostic]) -> Vec<Finding> {
    let file = config.path.display();
    let parts = config.parts_in_words();
    let text = format!("{file}, {parts}");
    // Unreadable files count as well, as for `check`, but after the errors.
    let (mut errors, unread): (Vec<Diagnostic>, Vec<Diagnostic>) =
        found.iter().filter(|one| one.is_error).cloned().partition(is_mistake);
    let has_mistakes = !errors.is_empty();
    errors.extend(unread);
    let warnings = found.iter().filter(|one| !one.is_error).count();
    let first = match warnings {
        _ if has_mistakes => {
            let text = format!(
                "{}. A start or restart fails. The other lines are about what can be read: {parts}",
                summary(config, &errors)
            );
            Finding::fail("config", text, FIX_OF_FILE)
        }
        0 => Finding::ok("config", text),
        _ => Finding::warn("config", format!("{text}, {}", number(warnings, "warning")), "trunkgate check"),
    };
    let unread = found.iter().filter(|one| one.is_error && !is_mistake(one)).map(of_unread);
    std::iter::once(first).chain(unread).collect()
}

/// Returns the number of errors and the first one.
fn summary(config: &Config, errors: &[Diagnostic]) -> String {
    config::summary(&config.path, &config::text(&config.path).unwrap_or_default(), errors)
}

/// Returns the finding about a secret or file that this user cannot read; the service may be able to, because systemd
/// credentials are hidden from other users.
fn of_unread(found: &Diagnostic) -> Finding {
    let is_tls = CERTIFICATE_KEYS.iter().any(|key| found.message.contains(key));
    let fix = format!("{}; if only the service can read it: run doctor as its user, or within its unit", found.help);
    Finding::fail(if is_tls { "tls" } else { "config" }, format!("{}: {}", found.code, found.message), fix)
}

/// Tests speech synthesis if the configuration contains texts to speak, or documents may contain `<Say>`.
async fn of_speech(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if !config.announcements.is_empty() {
        found.push(of_announcements(config).await);
    }
    if !config.apps.is_empty() || config.api.takes_documents(&config.numbers) {
        found.push(match config.speech_is_off {
            true => Finding::ok("speech", "no text-to-speech: `installed = false` in [speech]"),
            false => of_say(config.speech.clone()).await,
        });
    }
    found
}

/// Tests the speech synthesis of `<Say>`: a program must speak a word; an endpoint, which may charge for requests, is
/// only named.
async fn of_say(speech: Option<SpeechSettings>) -> Finding {
    let Some(speech) = speech else {
        let fix = "install espeak-ng, or add [speech] with a `command` or `url`";
        return Finding::warn("speech", "no text-to-speech for the <Say> of applications", fix);
    };
    let program = match &speech.by {
        SpeechEngine::Endpoint(endpoint) => {
            return Finding::ok("speech", format!("{} speaks <Say>", trunkgate_route::url_place(&endpoint.url)));
        }
        SpeechEngine::Command(words) => words.first().cloned().unwrap_or_default(),
    };
    let began = Instant::now();
    let said = tokio::task::spawn_blocking(move || {
        let wording = SynthesisText { text: "Hello.", ssml: None, voice: None };
        speech::say(&speech, &wording, began + Duration::from_secs(SAY_SECONDS))
    });
    match said.await {
        Ok(Ok(_)) => {
            let took = began.elapsed().as_millis();
            Finding::ok("speech", format!("{program} speaks <Say>: one word took {took} ms"))
        }
        Ok(Err(what)) => Finding::fail("speech", what, "correct [speech]: until then callers hear nothing of a <Say>"),
        Err(error) => Finding::fail("speech", error.to_string(), "[speech]"),
    }
}

/// Tests that every `text` of `hold` can be synthesized.
async fn of_announcements(config: &Config) -> Finding {
    let mut config = config.clone();
    let said = number(config.announcements.len(), "text");
    match tokio::task::spawn_blocking(move || speech::try_out(&mut config)).await {
        Ok(faults) if faults.is_empty() => Finding::ok("speech", format!("{said} said")),
        Ok(faults) => {
            Finding::fail("speech", faults.join("; "), "correct [speech]: until then callers hear the ringback tone")
        }
        Err(error) => Finding::fail("speech", error.to_string(), "[speech]"),
    }
}

/// Parses a configuration for tests.
#[cfg(test)]
fn configured(text: &str) -> Config {
    config::parse(Path::new("t.toml"), text).unwrap().0
}

/// Returns a report that selects every line and prints nothing.
#[cfg(test)]
fn everything() -> Arc<Report> {
    Arc::new(Report { only: Only::default(), form: Form::Text })
}

#[cfg(test)]
mod tests {
    use super::{configured, of_file, without_doctor};

    #[test]
    fn the_file_has_the_parts_that_check_counts() {
        let config = configured(
            "[trunk.a]\npeers = [\"sip:127.0.0.9\"]\n[agent.bot]\nurl = \"ws://127.0.0.1:9/\"\n\
             [[route]]\nconnect = [\"agent:bot\", \"trunk:a\"]\n",
        );
        let lines: Vec<String> = of_file(&config, &[]).into_iter().map(|line| line.text).collect();
        assert_eq!(lines, ["t.toml, 1 trunk, 1 agent, 1 route"]);
    }

    #[test]
    fn no_fix_of_this_verb_leads_back_to_it() {
        for (fix, without) in [
            (
                "set `public_address` to the address that it sees (`trunkgate doctor`, line public address); forward it",
                "set `public_address` to the address that it sees; forward it",
            ),
            ("check the firewall (trunkgate doctor)", "check the firewall"),
            ("check its name: `trunkgate doctor`, line dns", "check its name"),
            (
                "check its servers: `trunkgate doctor`, line dns, asks them; else its zone",
                "check its servers; else its zone",
            ),
            ("compare the clocks (`trunkgate doctor`, line clock); else", "compare the clocks; else"),
            ("trunkgate check", "trunkgate check"),
        ] {
            assert_eq!(without_doctor(fix), without);
        }
    }
}
