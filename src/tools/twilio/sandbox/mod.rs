//! `trunkgate twilio --app URL`: a Twilio in a box. An edge with a number that leads to the application, a carrier and a telephone run in
//! this process; each script is one call to the number. What the caller hears is known to the character: the texts of Say are spoken by a
//! voice that can be read back. No number outside of this machine is called.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use url::Url;

use crate::boot::edge::Edge;
use crate::boot::run::USAGE;
use crate::config;
use crate::system::free_ports::free_ports;
use crate::system::{sids, terminal};
use crate::tools::cli::TwilioSandbox;
use crate::tools::client;

mod listener;
mod phone;
mod program;
mod recogniser;
mod script;
mod speaker;
mod talk;
mod voice;

use phone::Telephone;
use program::Program;
use recogniser::Recogniser;
use script::Script;
use talk::{Line, Means, Report};
use voice::Codebook;

/// Exit code where the application does not start, cannot be reached or answers with an error.
const APPLICATION: u8 = 3;
/// Media ports of the edge.
const MEDIA_PORTS: u16 = 128;
/// Digits of the token that is made.
const TOKEN_DIGITS: usize = 32;

/// Settings of a sandbox, all of them checked.
struct Plan<'a> {
    options: &'a TwilioSandbox,
    url: Url,
    scripts: Vec<Script>,
    account: String,
    token: String,
    data: DataDirectory,
}

/// Runs the calls: exit 0 if each went as its script expects, 1 if one did not, 2 for what cannot be tried, 3 where the application is
/// what failed.
pub(super) fn run(options: &TwilioSandbox) -> ExitCode {
    let plan = match Plan::new(options) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("error: {error}");
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
    let code = match tokio::task::LocalSet::new().block_on(&runtime, plan.carry_out()) {
        Ok(code) => code,
        Err(Failed::Application(what)) => {
            eprintln!("error: the application: {what}");
            ExitCode::from(APPLICATION)
        }
        Err(Failed::Sandbox(what)) => {
            eprintln!("error: the sandbox cannot be started: {what}");
            ExitCode::from(USAGE)
        }
    };
    runtime.shutdown_background();
    code
}

/// What keeps a sandbox from its calls.
enum Failed {
    Application(String),
    Sandbox(String),
}

fn sandbox(error: impl ToString) -> Failed {
    Failed::Sandbox(error.to_string())
}

/// A directory for the store, removed with the value.
struct DataDirectory(PathBuf);

impl DataDirectory {
    fn make() -> Result<DataDirectory, String> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("trunkgate-sandbox-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map(|()| DataDirectory(path.clone())).map_err(|error| format!("{}: {error}", path.display()))
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Plan<'_> {
    fn new(options: &TwilioSandbox) -> Result<Plan<'_>, String> {
        let app = options.app.as_deref().ok_or("--app URL is needed: the webhook that your number has for voice")?;
        let url = Url::parse(app).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| format!("--app {app}: not an http or https URL"))?;
        let mut scripts = options.scripts.iter().map(|path| Script::read(path)).collect::<Result<Vec<_>, _>>()?;
        if !options.steps.is_empty() || scripts.is_empty() && !options.serve {
            let steps = options.steps.iter().map(String::as_str);
            scripts.push(Script::parse("steps", steps)?);
        }
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let account = given("TWILIO_ACCOUNT_SID").filter(|sid| sid.len() == 34 && sid.starts_with("AC"));
        let made = || sids::random("AC").map_err(|error| error.to_string());
        let account = account.map_or_else(made, Ok)?;
        let token = given("TWILIO_AUTH_TOKEN")
            .map_or_else(|| made().map(|sid| sid.chars().skip(2).take(TOKEN_DIGITS).collect()), Ok)?;
        Ok(Plan { options, url, scripts, account, token, data: DataDirectory::make()? })
    }

    async fn carry_out(self) -> Result<ExitCode, Failed> {
        let book = Codebook::default();
        let speech = speaker::start(book.clone()).await.map_err(sandbox)?;
        let recogniser = Recogniser::start(book.clone()).await.map_err(sandbox)?;
        let mut phone = Telephone::start().await.map_err(sandbox)?;
        let edge = self.start_edge(&phone, &speech, &recogniser).await?;
        let address =
            edge.listeners.first().map(|one| one.address).ok_or_else(|| sandbox("the edge does not listen"))?;
        let mut program = match &self.options.start {
            // The calls would test what has been left running, whatever becomes of the command.
            Some(_) if program::is_open(&self.url).await => {
                let place = program::place(&self.url);
                return Err(Failed::Sandbox(format!(
                    "{place} takes connections already: stop that, or leave out --start"
                )));
            }
            Some(command) => Some(Program::start(command, &self.variables(&edge)).map_err(Failed::Application)?),
            None => None,
        };
        if let Some(program) = &mut program {
            let ready = program.wait_until_ready(&self.url, self.options.start_timeout).await;
            ready.map_err(Failed::Application)?;
        }
        let (number, from) = (self.options.to.clone(), self.options.from.clone());
        let allow_missing_audio = self.options.allow_missing_audio;
        let line = Line { edge: address, number, from, patience: self.options.timeout, allow_missing_audio };
        let handle = edge.handle();
        let means = Means { line: &line, book: &book, recogniser: &recogniser, edge: &handle };
        let mut reports = Vec::new();
        for script in &self.scripts {
            let report = talk::run(script, &means, &mut phone).await;
            if !self.options.json {
                client::say(&as_text(&report));
            }
            reports.push(report);
        }
        if self.options.json {
            client::say(&terminal::json(&Value::from(reports.iter().map(as_json).collect::<Vec<_>>())));
        } else if !reports.is_empty() {
            client::say(&summary(&reports));
        }
        if self.options.serve {
            self.serve(&edge, address).await?;
        }
        drop(program);
        let stopped = tokio::task::spawn_blocking(move || edge.shutdown()).await;
        stopped.map_err(|_| sandbox("the edge did not stop"))?;
        Ok(exit_code(&reports))
    }

    async fn start_edge(&self, phone: &Telephone, speech: &str, recogniser: &Recogniser) -> Result<Edge, Failed> {
        let ports = free_ports(MEDIA_PORTS).map_err(sandbox)?;
        let text = self.configuration(phone, speech, recogniser, ports);
        let path = Path::new("sandbox.toml");
        let parsed = config::parse(path, &text);
        let (config, _) = parsed.map_err(|wrong| sandbox(config::render(path, &text, &wrong)))?;
        let started = tokio::task::spawn_blocking(move || Edge::start(config)).await;
        started.map_err(sandbox)?.map_err(sandbox)
    }

    fn configuration(&self, phone: &Telephone, speech: &str, recogniser: &Recogniser, first_port: u16) -> String {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let (to, url, method) = (quoted(&self.options.to), quoted(self.url.as_str()), quoted(&self.options.method));
        format!(
            "[edge]\nname = \"sandbox\"\ndata_directory = {data}\n\
             [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
             [media]\naddress = [\"127.0.0.1\"]\nports = \"{first_port}-{last_port}\"\nthreads = 1\n\
             [http]\naddress = \"{http}\"\n\
             [api]\naccount_sid = \"{account}\"\nauth_token = {token}\nconnect = [\"trunk:carrier\"]\nallow_private = true\nproxy = true\n\
             [speech]\nurl = \"{speech}\"\n\
             [recognition]\nurl = \"{recogniser}\"\n\
             [trunk.carrier]\npeers = [\"sip:{phone}\"]\n\
             [app.sandbox]\nurl = {url}\nmethod = {method}\nallow_private = true\n\
             [[number]]\nnumber = {to}\napp = \"sandbox\"\n",
            data = quoted(&self.data.0.display().to_string()),
            last_port = first_port + MEDIA_PORTS - 1,
            http = self.options.http,
            account = self.account,
            token = quoted(&self.token),
            phone = phone.address,
            recogniser = recogniser.url,
        )
    }

    /// Returns the variables that the application is started with: those of an account at Twilio.
    fn variables(&self, edge: &Edge) -> Vec<(String, String)> {
        let proxy = format!("http://{}", edge.http);
        let named = [
            ("TWILIO_ACCOUNT_SID", self.account.as_str()),
            ("TWILIO_AUTH_TOKEN", &self.token),
            ("TWILIO_NUMBER", &self.options.to),
            ("TWILIO_PHONE_NUMBER", &self.options.to),
            ("TRUNKGATE_URL", &proxy),
        ];
        named.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    async fn serve(&self, edge: &Edge, address: std::net::SocketAddr) -> Result<(), Failed> {
        eprintln!(
            "the sandbox keeps running: number {} at sip:{address}, API and console at http://{}\n\
             account {}, token {}\n\
             variables of a program with a base URL of its own: `trunkgate twilio env --url http://{}`. Press Ctrl-C to stop",
            self.options.to, edge.http, self.account, self.token, edge.http
        );
        tokio::signal::ctrl_c().await.map_err(sandbox)
    }
}

fn exit_code(reports: &[Report]) -> ExitCode {
    match () {
        () if reports.iter().any(|report| report.unreachable.is_some()) => ExitCode::from(APPLICATION),
        () if reports.iter().all(Report::is_good) => ExitCode::SUCCESS,
        () => ExitCode::FAILURE,
    }
}

fn as_text(report: &Report) -> String {
    let mut out = format!("{}\n", report.name);
    for moment in &report.transcript {
        out.push_str(&format!("  {:>7.2} s  {}\n", moment.at, moment.text));
    }
    let application = report.unreachable.iter().map(|what| format!("the application failed: {what}"));
    for what in application.chain(report.failures.iter().cloned()) {
        out.push_str(&format!("  FAIL {what}\n"));
    }
    if report.is_good() {
        out.push_str(&format!("  ok, {:.1} s\n", report.seconds));
    }
    terminal::harmless(&out)
}

fn summary(reports: &[Report]) -> String {
    let failed = reports.iter().filter(|report| !report.is_good()).count();
    let seconds: f64 = reports.iter().map(|report| report.seconds).sum();
    match failed {
        0 => format!("\nok: {} calls in {seconds:.1} s\n", reports.len()),
        _ => format!("\nFAILED: {failed} of {} calls\n", reports.len()),
    }
}

fn as_json(report: &Report) -> Value {
    let moments: Vec<Value> = report.transcript.iter().map(|one| json!({ "at": one.at, "text": one.text })).collect();
    json!({
        "name": report.name,
        "ok": report.is_good(),
        "sid": report.sid,
        "status": report.status,
        "seconds": report.seconds,
        "heard": report.heard,
        "failures": report.failures,
        "application": report.unreachable,
        "transcript": moments,
    })
}
