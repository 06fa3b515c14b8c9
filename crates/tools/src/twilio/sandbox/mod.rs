//! `trunkgate twilio --app URL`: tests a Twilio application locally. An edge with a number for the application, a
//! carrier and telephones run in this process; each script is one call to the number. Text of Say is spoken in a code
//! that can be decoded character by character. No external number is called.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use url::Url;

use crate::cli::TwilioSandbox;
use crate::client;
use crate::twilio::env;
use trunkgate_boot::edge::RunningEdge;
use trunkgate_boot::run::USAGE;
use trunkgate_config as config;
use trunkgate_runtime::handle::EdgeHandle;
use trunkgate_system::free_ports::free_ports;
use trunkgate_system::public_name::PublicName;
use trunkgate_system::{files, sids, terminal};

mod application;
mod listener;
mod owners;
mod phone;
mod program;
mod recogniser;
mod refusals;
mod report;
mod script;
mod speaker;
mod stop;
mod talk;
mod texts;
mod transcriber;
mod voice;

use application::Application;
use owners::{CallOwners, ScriptId};
use phone::Telephone;
use program::ApplicationProcess;
use recogniser::SandboxRecogniser;
use refusals::RefusalLog;
use report::{APPLICATION, ReportRules, ScriptReport};
use script::Script;
use stop::{StopReceiver, StopSignal};
use talk::{SandboxRoute, ScriptEnvironment};
use texts::SandboxTexts;
use transcriber::SandboxTranscriber;
use voice::Codebook;

/// Media ports of the edge: for up to [`MEDIA_SCRIPTS`] concurrent scripts, then for each further one.
const MEDIA_PORTS: (u16, u16) = (128, 32);
/// Number of scripts covered by the first value of [`MEDIA_PORTS`].
const MEDIA_SCRIPTS: u16 = 4;
/// Maximum wait for callbacks after the last call, and interval of the checks.
const LAST_CALLBACKS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(20));
/// Number of consecutive checks without queued callbacks after which all are delivered.
const QUIET_LOOKS: u32 = 3;
/// Length of the generated auth token in hexadecimal digits, as Twilio's.
const TOKEN_DIGITS: usize = 32;

/// Waits until the callbacks of all calls are delivered, because the application is stopped afterwards.
async fn delivered(edge: &EdgeHandle) {
    let is_waiting = || {
        let (recordings, callbacks) = (&edge.shared.recordings, edge.shared.callbacks.counts());
        recordings.active.get() > 0
            || recordings.transcriptions.waiting.get() > 0
            || callbacks.values().any(|counts| counts.waiting > 0)
    };
    let until = Instant::now() + LAST_CALLBACKS.0;
    // Between two stages, such as a recording and its transcription, the queue is briefly empty.
    let mut quiet = 0;
    while quiet < QUIET_LOOKS && Instant::now() < until {
        tokio::time::sleep(LAST_CALLBACKS.1).await;
        quiet = if is_waiting() { 0 } else { quiet + 1 };
    }
}

/// URLs of the sandbox's own services, for the edge's configuration.
struct LocalEndpoints {
    /// URL of the text-to-speech service.
    speech: String,
    recogniser: SandboxRecogniser,
    transcriber: SandboxTranscriber,
    texts: SandboxTexts,
}

impl LocalEndpoints {
    async fn start(book: &Codebook, owners: &CallOwners) -> std::io::Result<LocalEndpoints> {
        Ok(LocalEndpoints {
            speech: speaker::start(book.clone()).await?,
            recogniser: SandboxRecogniser::start(book.clone()).await?,
            transcriber: SandboxTranscriber::start(book.clone(), owners.clone()).await?,
            texts: SandboxTexts::start().await?,
        })
    }
}

/// Settings of a sandbox, from validated flags.
struct SandboxPlan<'a> {
    options: &'a TwilioSandbox,
    application: Application,
    /// Webhook URL for text messages, as the edge requests it.
    sms: Option<Url>,
    scripts: Vec<Script>,
    account: String,
    token: String,
    rules: ReportRules,
    data: DataDirectory,
}

/// Runs the sandbox. Returns exit code 0 if all scripts pass, 1 if one fails, 2 if the sandbox cannot run, 3 if the
/// application fails, and 128 plus the signal's number after a signal.
pub(super) fn run(options: &TwilioSandbox) -> ExitCode {
    let plan = match SandboxPlan::new(options) {
        Ok(plan) => plan,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("error: {}", terminal::harmless(error)));
            write(options, &[ScriptReport::of_failure(errors, None)]);
            return ExitCode::from(USAGE);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let ended = tokio::task::LocalSet::new().block_on(&runtime, async {
        let stop = StopReceiver::listen().map_err(sandbox)?;
        tokio::select! {
            ended = plan.carry_out(&stop) => ended,
            signal = stop.is_overdue() => Err(SandboxFailure::Signalled(signal)),
        }
    });
    let code = match ended {
        Ok(code) => code,
        Err(failed) => failed.report(options),
    };
    runtime.shutdown_background();
    code
}

/// Writes the results: JSON to stdout, JUnit to its file. Returns false if the JUnit file cannot be written.
fn write(options: &TwilioSandbox, reports: &[ScriptReport]) -> bool {
    if options.json {
        client::say(&report::as_json(reports));
    }
    let Some(path) = &options.junit else { return true };
    let written = report::as_junit(reports).and_then(|xml| files::write(path, &xml, files::REPORT));
    if let Err(error) = &written {
        eprintln!("error: --junit {}: {error}", path.display());
    }
    written.is_ok()
}

/// Reason why the sandbox cannot place its calls.
enum SandboxFailure {
    Application(String),
    Sandbox(String),
    Signalled(StopSignal),
}

impl SandboxFailure {
    /// Reports the failure in all output formats and returns the exit code.
    fn report(self, options: &TwilioSandbox) -> ExitCode {
        match self {
            SandboxFailure::Application(what) => {
                eprintln!("error: the application: {}", terminal::harmless(&what));
                write(options, &[ScriptReport::of_failure(Vec::new(), Some(what))]);
                ExitCode::from(APPLICATION)
            }
            SandboxFailure::Sandbox(what) => {
                let what = format!("the sandbox cannot be started: {what}");
                eprintln!("error: {}", terminal::harmless(&what));
                write(options, &[ScriptReport::of_failure(vec![what], None)]);
                ExitCode::from(USAGE)
            }
            SandboxFailure::Signalled(signal) => {
                eprintln!("error: interrupted by {}", signal.name());
                ExitCode::from(signal.exit_code())
            }
        }
    }
}

fn sandbox(error: impl ToString) -> SandboxFailure {
    SandboxFailure::Sandbox(error.to_string())
}

/// Temporary data directory of the edge, removed on drop.
struct DataDirectory(PathBuf);

impl DataDirectory {
    fn make() -> Result<DataDirectory, String> {
        use std::os::unix::fs::DirBuilderExt as _;
        // A killed process with the same id may have left its directory.
        for n in 0..100 {
            let path = std::env::temp_dir().join(format!("trunkgate-sandbox-{}-{n}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(DataDirectory(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("{}: {error}", path.display())),
            }
        }
        Err(format!("{}: too many directories of sandboxes", std::env::temp_dir().display()))
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Parses a webhook URL.
///
/// # Errors
/// Returns a message with the name of the option if the text is not an http or https URL.
fn webhook(option: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| format!("{option} {text}: not an http or https URL"))
}

/// Reads all script files, and the steps given on the command line as one more script.
fn scripts(options: &TwilioSandbox) -> Result<Vec<Script>, Vec<String>> {
    let is_plain_call = options.scripts.is_empty() && !options.serve;
    let own = (!options.steps.is_empty() || is_plain_call).then(|| {
        Script::parse("steps", options.steps.iter().map(String::as_str), &options.to).map(|script| vec![script])
    });
    let read = options.scripts.iter().map(|path| Script::read(path, &options.to));
    Ok(script::all(read.chain(own))?.into_iter().flatten().collect())
}

impl SandboxPlan<'_> {
    fn new(options: &TwilioSandbox) -> Result<SandboxPlan<'_>, Vec<String>> {
        let one = |error: String| vec![error];
        let app = options.app.as_deref().ok_or("--app URL is needed: the webhook that your number has for voice");
        let local = webhook("--app", app.map_err(|why| one(why.to_owned()))?).map_err(one)?;
        let application = Application::new(local, options.public.as_deref()).map_err(one)?;
        let sms = options.sms.as_deref().map(|sms| webhook("--sms", sms)).transpose().map_err(one)?;
        let sms = sms.map(|sms| application.published(sms));
        let scripts = scripts(options)?;
        if let Some(script) = scripts.iter().find(|script| script.sends_text()).filter(|_| options.sms.is_none()) {
            return Err(one(format!(
                "{}: `send text` needs --sms URL, the number's webhook for messages",
                script.name
            )));
        }
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let account = given("TWILIO_ACCOUNT_SID").filter(|sid| sid.len() == 34 && sid.starts_with("AC"));
        let made = || sids::random("AC").map_err(|error| one(error.to_string()));
        let account = account.map_or_else(made, Ok)?;
        let token = given("TWILIO_AUTH_TOKEN");
        let rules = ReportRules {
            allow_missing_audio: options.allow_missing_audio,
            allow_warnings: options.allow_warnings,
            allow_undeclared_dials: options.allow_undeclared_dials,
            is_started: options.start.is_some(),
            has_token: token.is_some(),
            has_public_name: options.public.is_some(),
        };
        let token = token.map_or_else(|| made().map(|sid| sid.chars().skip(2).take(TOKEN_DIGITS).collect()), Ok)?;
        let data = DataDirectory::make().map_err(one)?;
        Ok(SandboxPlan { options, application, sms, scripts, account, token, rules, data })
    }

    async fn carry_out(self, stop: &StopReceiver) -> Result<ExitCode, SandboxFailure> {
        let (book, owners) = (Codebook::default(), CallOwners::default());
        let mut endpoints = LocalEndpoints::start(&book, &owners).await.map_err(sandbox)?;
        let telephone = Telephone::start(self.options.parallel.into(), owners.clone()).await.map_err(sandbox)?;
        let name = self.application.public_name().cloned();
        let edge = start_edge(self.configuration(telephone.address, &endpoints)?, name).await?;
        let address =
            edge.listeners.first().map(|one| one.address).ok_or_else(|| sandbox("the edge does not listen"))?;
        endpoints.texts.edge = Some(edge.http);
        let handle = edge.handle();
        telephone.attach(handle.clone()).await;
        endpoints.transcriber.attach(handle.clone());
        let refusals = RefusalLog::collect(&handle);
        let program = self.start_application(&edge, &refusals, stop).await?;
        let (line, callers) = (self.line(address), self.callers());
        let means = ScriptEnvironment {
            line: &line,
            callers: &callers,
            owners: &owners,
            book: &book,
            recogniser: &endpoints.recogniser,
            transcriber: &endpoints.transcriber,
            texts: &endpoints.texts,
            refusals: &refusals,
            application: &self.application,
            edge: &handle,
            stop,
            rules: &self.rules,
        };
        let began = Instant::now();
        let reports = self.run_scripts(&means, &telephone).await;
        if !self.options.json && !reports.is_empty() {
            client::say(&report::summary(&reports, began.elapsed()));
        }
        let is_written = write(self.options, &reports);
        let interrupted = stop.came();
        if self.options.serve && interrupted.is_none() {
            self.explain(&edge, address);
            talk::watch(ScriptId(self.scripts.len()), &means, &telephone).await;
        }
        delivered(&handle).await;
        drop(program);
        let stopped = tokio::task::spawn_blocking(move || edge.shutdown()).await;
        stopped.map_err(|_| sandbox("the edge did not stop"))?;
        Ok(match interrupted {
            Some(signal) => ExitCode::from(signal.exit_code()),
            None if !is_written => ExitCode::from(USAGE),
            None => report::exit_code(&reports),
        })
    }

    /// Runs the scripts, up to `--parallel` at a time, and prints their reports in order.
    async fn run_scripts(&self, means: &ScriptEnvironment<'_>, telephone: &Telephone) -> Vec<ScriptReport> {
        // After a signal no further script begins.
        let scripts = self.scripts.iter().enumerate().take_while(|_| means.stop.came().is_none());
        let runs = stream::iter(scripts).map(|(at, script)| async move {
            let from = means.callers.get(at).unwrap_or(&means.line.from).clone();
            let script = script.with_caller(&means.line.from, &from);
            let line = self.line_of(means.line.edge, from);
            let means = ScriptEnvironment { line: &line, ..*means };
            (at, talk::run(ScriptId(at), &script, &means, telephone).await)
        });
        let mut runs = std::pin::pin!(runs.buffer_unordered(self.options.parallel.into()));
        let (mut done, mut reports) = (BTreeMap::new(), Vec::new());
        while let Some((at, report)) = runs.next().await {
            done.insert(at, report);
            while let Some(report) = done.remove(&reports.len()) {
                if !self.options.json {
                    client::say(&report.as_text());
                }
                reports.push(report);
            }
        }
        reports
    }

    /// Starts the application's command, if given, and waits until the application accepts connections; `None` without
    /// a command.
    async fn start_application(
        &self,
        edge: &RunningEdge,
        refusals: &RefusalLog,
        stop: &StopReceiver,
    ) -> Result<Option<ApplicationProcess>, SandboxFailure> {
        let Some(command) = &self.options.start else { return Ok(None) };
        // The calls would otherwise test the program that already listens there.
        let url = &self.application.local;
        if program::is_open(url).await {
            let place = program::place(url);
            return Err(SandboxFailure::Sandbox(format!(
                "{place} already accepts connections: stop that program, or omit --start"
            )));
        }
        let variables = self.variables(edge).await.map_err(sandbox)?;
        let mut program = ApplicationProcess::start(command, &variables).map_err(SandboxFailure::Application)?;
        let ready = tokio::select! {
            ready = program.wait_until_ready(url, self.options.start_timeout) => ready,
            signal = stop.comes() => return Err(SandboxFailure::Signalled(signal)),
        };
        // The application may have failed because the proxy refused a request.
        ready.map_err(|why| SandboxFailure::Application(why + &refusals.in_lines()))?;
        Ok(Some(program))
    }

    /// Returns the callers' numbers: one shared by all scripts, or one for each if several run at a time.
    fn callers(&self) -> Vec<String> {
        let count = if self.options.parallel == 1 { 1 } else { self.scripts.len().max(1) };
        let own = self.options.numbers.iter().chain([&self.options.to]).map(String::as_str);
        let taken: Vec<&str> = own.chain(self.scripts.iter().flat_map(|script| script.numbers())).collect();
        owners::callers(&self.options.from, count, &taken)
    }

    /// Returns the route of the calls, with the default calling number.
    fn line(&self, edge: SocketAddr) -> SandboxRoute {
        self.line_of(edge, self.options.from.clone())
    }

    fn line_of(&self, edge: SocketAddr, from: String) -> SandboxRoute {
        let number = self.options.to.clone();
        let callers = self.options.numbers.iter().chain([&number, &from]).cloned().collect();
        SandboxRoute { edge, number, from, callers, patience: self.options.timeout }
    }

    fn configuration(&self, phone: SocketAddr, endpoints: &LocalEndpoints) -> Result<String, SandboxFailure> {
        let further = u16::from(self.options.parallel).saturating_sub(MEDIA_SCRIPTS);
        let ports = MEDIA_PORTS.0 + MEDIA_PORTS.1 * further;
        let first_port = free_ports(ports).map_err(sandbox)?;
        let LocalEndpoints { speech, recogniser, transcriber, texts } = endpoints;
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let (url, method) = (quoted(self.application.url.as_str()), quoted(&self.options.method));
        let inbound = self.sms.iter().map(|url| format!("inbound = {}\n", quoted(url.as_str()))).collect::<String>();
        let own = self.options.numbers.iter().filter(|number| **number != self.options.to);
        let numbers = [&self.options.to].into_iter().chain(own);
        let numbers = numbers.map(|number| format!("[[number]]\nnumber = {}\napp = \"sandbox\"\n", quoted(number)));
        let proxy = if self.options.proxy.as_deref() == Some("tunnel") { "\"tunnel\"" } else { "true" };
        Ok(format!(
            "[edge]\nname = \"sandbox\"\ndata_directory = {data}\n\
             [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
             [media]\naddress = [\"127.0.0.1\"]\nports = \"{first_port}-{last_port}\"\nthreads = 1\n\
             [http]\naddress = \"{http}\"\n\
             [api]\naccount_sid = \"{account}\"\nauth_token = {token}\n\
             connect = [\"trunk:carrier\"]\nallow_private = true\nproxy = {proxy}\n\
             [recording]\ndirectory = {recordings}\n\
             [speech]\nurl = \"{speech}\"\n\
             [recognition]\nurl = \"{recogniser}\"\n\
             [transcription]\nurl = \"{transcriber}\"\n\
             [messages]\nurl = \"{texts}\"\ntoken = \"{texts_token}\"\n{inbound}\
             [trunk.carrier]\npeers = [\"sip:{phone}\"]\n\
             [app.sandbox]\nurl = {url}\nmethod = {method}\nallow_private = true\n\
             {numbers}",
            data = quoted(&self.data.0.display().to_string()),
            recordings = quoted(&self.data.0.join("recordings").display().to_string()),
            last_port = first_port + ports - 1,
            http = self.options.http,
            account = self.account,
            token = quoted(&self.token),
            recogniser = recogniser.url,
            transcriber = transcriber.url,
            texts = texts.url,
            texts_token = texts.token,
            numbers = numbers.collect::<String>(),
        ))
    }

    /// Returns the application's environment variables: those of a Twilio account, and those of the proxy.
    async fn variables(&self, edge: &RunningEdge) -> Result<Vec<(String, String)>, String> {
        let url = format!("http://{}", edge.http);
        let mut named = vec![
            ("TWILIO_ACCOUNT_SID", self.account.clone()),
            ("TWILIO_AUTH_TOKEN", self.token.clone()),
            ("TWILIO_NUMBER", self.options.to.clone()),
            ("TWILIO_PHONE_NUMBER", self.options.to.clone()),
            ("TRUNKGATE_URL", url.clone()),
        ];
        if self.options.proxy.is_some() {
            named.extend(env::variables(&url, &self.data.0).await?);
        }
        Ok(named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Prints the addresses and credentials of the sandbox.
    fn explain(&self, edge: &RunningEdge, address: SocketAddr) {
        let http = edge.http;
        eprintln!(
            "the sandbox keeps running: number {} at sip:{address}, API and console at http://{http}\n\
             account {}, token {}\n\
             a program that calls api.twilio.com: `eval \"$(trunkgate twilio env --url http://{http})\"` before it\n\
             Press Ctrl-C to stop; calls and texts of the application follow",
            self.options.to, self.account, self.token
        );
    }
}

/// Starts an edge with this configuration; `name` is the application's public name.
async fn start_edge(text: String, name: Option<PublicName>) -> Result<RunningEdge, SandboxFailure> {
    let path = Path::new("sandbox.toml");
    let parsed = config::parse(path, &text);
    let (config, _) = parsed.map_err(|wrong| sandbox(config::render(path, &text, &wrong)))?;
    let started = tokio::task::spawn_blocking(move || RunningEdge::start_standing_for(config, name)).await;
    started.map_err(sandbox)?.map_err(sandbox)
}
