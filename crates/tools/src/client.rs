//! Verbs that connect to a running edge over its HTTP API: `status`, `calls`, `trace`, `recordings`, `reload`, `drain`.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, RANGE};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::Url;

use crate::cli::{CallListing, CallVerb, EdgeArgs};
use trunkgate_boot::run::{self, USAGE};
use trunkgate_config::{self as config, HttpSettings, HttpTls};
use trunkgate_explain::why::CallQuestion;
use trunkgate_system::certificates::TrustAnchors;
use trunkgate_system::files;
use trunkgate_system::holder::PortHolder;
use trunkgate_system::interfaces;
use trunkgate_system::limits::CERTIFICATE_FILE_BYTES;
use trunkgate_system::terminal;
use trunkgate_system::verifier::ServerVerifier;
use trunkgate_system::web::{self, HttpAnswer};
use waiting::{GOES_ON, with_notice, with_progress};

mod failure;
mod glance;
mod ignored;
mod page;
mod print;
mod recordings;
mod waiting;
pub(crate) mod watch;
mod wire;

pub use recordings::recordings;

pub(crate) use glance::{brief, is_note, taking};
#[cfg(test)]
pub(crate) use print::HEADS;
pub(crate) use print::{CALL_HEADS, SHORT_SID, call_row, lasting, newest_first};
#[cfg(test)]
pub(crate) use trunkgate_admin::MARKED;

/// Maximum number of calls listed on a terminal without `--limit`.
const CALLS_SHOWN: usize = 100;
/// Endings of `/healthz` errors that identify an edge that is stuck or slow.
const EDGE_REFUSALS: [&str; 2] = ["is stuck (503)", " ms (503)"];
/// Length of a SID: `CA` or `RE`, and 32 digits.
const SID_CHARS: usize = 34;
/// Maximum number of calls searched for a SID prefix or for audio levels.
const SEARCHED: usize = 1_000;
/// Width of a ladder that is not written to a terminal, in characters.
const PIPE_COLUMNS: usize = 132;
/// Word on the command line for the newest call or recording.
const LAST: &str = "last";
/// Maximum size of an HTTP response, in bytes.
const ANSWER_BYTES: u64 = 256 << 20;
/// Error for a response that does not come from an edge.
const NOT_AN_EDGE: &str = "the response is not from a Trunkgate edge";
/// Part of the error for a server that responds otherwise than an edge, with the fix.
const NOT_AS_EDGE: &str = "but not as a Trunkgate edge does; try: check the URL, and with a reverse proxy that the edge runs and the proxy passes the request";
/// Error for an edge that does not respond in time.
const SILENT: &str = "it does not answer";
/// Timeout of requests that the verb can do without.
const SOON: Duration = Duration::from_secs(2);
/// Timeout of requests that the edge answers without work; an edge that takes longer is stopped or hangs.
const ALIVE: Duration = Duration::from_secs(5);
/// Path prefixes of requests that the edge answers without work.
const SMALL: [&str; 4] = ["/healthz", "/v1/status", "/v1/trunks", "/v1/why"];
/// Prefix of the error for an edge that is alive but has not answered a request in time.
const UNANSWERED: &str = "no answer to ";
/// Timeout of all other requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `status`.
pub fn status(
    config: Option<&Path>,
    remote: &EdgeArgs,
    json: bool,
    every: Option<Duration>,
    fails_on_problems: bool,
) -> ExitCode {
    let whole = |answer: &Value| if json { raw(answer) } else { print::status(answer, terminal::width()) };
    if let Some(every) = every {
        return watch::watch(config, remote, every, "/v1/status", json, whole);
    }
    let show = |answer: &Value| match terminal::size() {
        Some((columns, rows)) if !json => page::with_its_head(whole(answer), columns, rows),
        Some(_) | None => whole(answer),
    };
    let mut has_problems = false;
    let code = ask(config, remote, Method::GET, "/v1/status", None, |answer| {
        let problems = answer["problem_details"].as_array();
        let is_well = answer["state"] == "ready" && problems.is_some_and(|all| all.iter().all(is_note));
        has_problems = !is_well;
        show(answer)
    });
    if fails_on_problems && has_problems { ExitCode::FAILURE } else { code }
}

/// Runs `calls [ls]`, `calls show SID` and `calls hangup SID`.
pub fn calls(config: Option<&Path>, remote: &EdgeArgs, json: bool, what: CallVerb) -> ExitCode {
    match what {
        CallVerb::Ls(listing) => list_calls(config, remote, json, &listing),
        CallVerb::Show { sid } => {
            if !json {
                return show_call(config, remote, &sid);
            }
            ask_of_call(config, remote, Method::GET, &sid, |sid| format!("/v1/calls/{sid}"), |answer, _| raw(answer))
        }
        CallVerb::Hangup { sid } => {
            let show =
                |answer: &Value, sid: &str| if json { raw(answer) } else { format!("{sid}: hang-up requested\n") };
            ask_of_call(config, remote, Method::DELETE, &sid, |sid| format!("/v1/calls/{sid}"), show)
        }
    }
}

/// Runs `calls [ls]`.
fn list_calls(config: Option<&Path>, remote: &EdgeArgs, json: bool, listing: &CallListing) -> ExitCode {
    let CallListing { state, trunk, outcome, reason, code, flag, limit, csv, watch } = listing;
    let code = code.map(|code| code.to_string());
    let wanted =
        [("state", state), ("trunk", trunk), ("outcome", outcome), ("reason", reason), ("code", &code), ("flag", flag)];
    let filters: Vec<(&str, &str)> =
        wanted.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect();
    let mut query = format!("/v1/calls?limit={}", limit.unwrap_or(CALLS_SHOWN));
    filters.iter().for_each(|(key, value)| query.push_str(&format!("&{key}={}", escape(value))));
    // Only the default list is fitted to the screen.
    let rows = terminal::size().map(|(_, rows)| rows).filter(|_| limit.is_none() && watch.is_none());
    let show = |answer: &Value| match (json, csv) {
        (true, _) => raw(answer),
        (false, true) => print::calls_as_csv(answer),
        (false, false) => print::calls(answer, terminal::width(), rows, &filters),
    };
    match watch {
        Some(every) => watch::watch(config, remote, *every, &query, json, show),
        None => ask(config, remote, Method::GET, &query, None, show),
    }
}

/// Prints the call for `calls show SID`, with the verdict of its trace while the trace is kept.
fn show_call(config: Option<&Path>, remote: &EdgeArgs, written: &str) -> ExitCode {
    talk(config, remote, async |edge| {
        let sid = escape(&sid_of(edge, written).await?);
        let mut call = parsed(&request(edge, Method::GET, &format!("/v1/calls/{sid}"), None).await?)?;
        if let Ok(text) = request(edge, Method::GET, &format!("/v1/calls/{sid}/trace"), None).await
            && let Some(call) = call.as_object_mut()
        {
            call.insert("verdict".to_owned(), parsed(&text)?["verdict"].take());
        }
        Ok(print::call(&call, terminal::width()))
    })
}

/// Runs `trace SID`.
pub fn trace(config: Option<&Path>, remote: &EdgeArgs, json: bool, sid: &str) -> ExitCode {
    let form = match terminal::width() {
        _ if json => String::new(),
        Some(width) => format!(".txt?columns={width}&colour={}", terminal::has_colour()),
        // Output to a pipe or a file has a fixed, readable width.
        None => format!(".txt?columns={PIPE_COLUMNS}"),
    };
    of_call(
        config,
        remote,
        Method::GET,
        sid,
        |sid| format!("/v1/calls/{sid}/trace{form}"),
        |text, _| Ok(if json { terminal::inert(&text) + "\n" } else { terminal::coloured(&text) }),
    )
}

/// Runs `trace SID --raw`: prints the SIP messages as on the wire; with `json` the edge's response.
pub fn messages(config: Option<&Path>, remote: &EdgeArgs, json: bool, sid: &str) -> ExitCode {
    let show = |answer: &Value, _: &str| if json { raw(answer) } else { wire::messages(answer) };
    ask_of_call(config, remote, Method::GET, sid, |sid| format!("/v1/calls/{sid}/trace?raw=true"), show)
}

/// Runs `trace SID --svg FILE`.
pub fn picture(config: Option<&Path>, remote: &EdgeArgs, sid: &str, file: &Path) -> ExitCode {
    download(config, remote, sid, "trace.svg", Some(file))
}

/// Runs `pcap SID [-o FILE]`.
pub fn pcap(config: Option<&Path>, remote: &EdgeArgs, sid: &str, file: Option<&Path>) -> ExitCode {
    download(config, remote, sid, "trace.pcapng", file)
}

/// Saves a representation of a call in a file (by default in the current directory, named after the call) or, for `-`,
/// on stdout.
fn download(config: Option<&Path>, remote: &EdgeArgs, written: &str, form: &str, file: Option<&Path>) -> ExitCode {
    talk(config, remote, async |edge| {
        let sid = sid_of(edge, written).await?;
        let path = format!("/v1/calls/{}/{form}", escape(&sid));
        let bytes = request_bytes(edge, Method::GET, &path, None).await?;
        if file.is_none() && !sid.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(format!("{NOT_AN_EDGE} (invalid call SID)"));
        }
        let name = format!("{sid}.{}", form.trim_start_matches("trace."));
        let file = file.unwrap_or(Path::new(&name));
        if file == Path::new("-") {
            say_bytes(&bytes);
            return Ok(String::new());
        }
        files::write(file, &bytes, files::CALL_DATA).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(format!("{} is written\n", file.display()))
    })
}

/// Requests one call, given as a SID, as a prefix of one or as `last`, and prints the text returned by `show`.
fn of_call(
    config: Option<&Path>,
    remote: &EdgeArgs,
    method: Method,
    written: &str,
    path: impl Fn(&str) -> String,
    show: impl FnOnce(String, &str) -> Result<String, String>,
) -> ExitCode {
    talk(config, remote, async |edge| {
        let sid = sid_of(edge, written).await?;
        let text = request(edge, method, &path(&escape(&sid)), None).await?;
        show(text, &sid)
    })
}

/// Requests one call like [`of_call`], and prints the text that `show` returns for the JSON response.
fn ask_of_call(
    config: Option<&Path>,
    remote: &EdgeArgs,
    method: Method,
    written: &str,
    path: impl Fn(&str) -> String,
    show: impl FnOnce(&Value, &str) -> String,
) -> ExitCode {
    of_call(config, remote, method, written, path, |text, sid| {
        let answer = parsed(&text)?;
        Ok(show(&answer, sid))
    })
}

/// Returns the complete SID of the call given as a SID, as a prefix of one or as `last`.
async fn sid_of(edge: &EdgeTarget, written: &str) -> Result<String, String> {
    if written.len() >= SID_CHARS {
        return Ok(written.to_owned());
    }
    let list = request(edge, Method::GET, &format!("/v1/calls?limit={SEARCHED}"), None).await?;
    let list = parsed(&list)?;
    let all = list["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    if written == LAST {
        return newest(all).map(str::to_owned).ok_or_else(|| "no calls yet".to_owned());
    }
    only("call", all.iter().filter_map(|call| call["sid"].as_str()), written).map(str::to_owned)
}

/// Returns the call that began last; the list has active calls first.
fn newest(calls: &[Value]) -> Option<&str> {
    let newer = |a: &&Value, b: &&Value| a["started_at"].as_str().cmp(&b["started_at"].as_str());
    calls.iter().rev().max_by(newer)?["sid"].as_str()
}

/// Returns the only SID that begins with `written`. `what` is `call` or `recording`, for error messages.
fn only<'a>(what: &str, all: impl Iterator<Item = &'a str>, written: &str) -> Result<&'a str, String> {
    let fit: Vec<&str> = all.filter(|sid| sid.starts_with(written)).collect();
    match fit.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("unknown {what}: {written}. `trunkgate {what}s` lists them, `{LAST}` is the newest")),
        [one, other, ..] => Err(format!("{written} is a prefix of {} {what}s: {one}, {other} …", fit.len())),
    }
}

/// Runs `reload`.
pub fn reload(config: Option<&Path>, remote: &EdgeArgs, json: bool) -> ExitCode {
    let show = if json { raw } else { print::reloaded };
    talk(config, remote, async |edge| {
        let before = waiting::configuration(edge).await;
        let answer = with_progress(edge, request(edge, Method::POST, "/v1/reload", None)).await;
        // The edge continues a long reload after the request has timed out.
        if answer.as_ref().is_err_and(|why| why.starts_with(GOES_ON)) && !json {
            return waiting::in_force(edge, &before).await;
        }
        let text = answer.map_err(|why| match () {
            () if why.starts_with(UNANSWERED) => {
                format!("reload not confirmed: {why}; `trunkgate status` shows when the configuration was loaded")
            }
            () if why.contains(SILENT) => format!("not reloaded, the edge has not received the request: {why}"),
            () => why,
        })?;
        Ok(show(&parsed(&text)?))
    })
}

/// Runs `upgrade`.
pub fn upgrade(config: Option<&Path>, remote: &EdgeArgs, json: bool) -> ExitCode {
    talk(config, remote, async |edge| {
        let before = waiting::start_time(edge).await;
        let answer = with_notice(edge, request(edge, Method::POST, "/v1/upgrade", None)).await;
        let begun = match answer {
            Ok(text) => parsed(&text)?,
            // The upgrade continues after its time limit, and the connection ends with the old process.
            Err(why) if why.contains(SILENT) || why.ends_with("(503)") && why.contains("no answer within") => {
                Value::Null
            }
            Err(why) => return Err(why),
        };
        let status = waiting::replaced(edge, &before).await?;
        let runs = status["version"].as_str().unwrap_or_default();
        if begun["pid"].is_number() && begun["pid"] != status["pid"] {
            return Err(format!("version {runs} runs again with its calls: the new one has failed, see the log"));
        }
        Ok(match json {
            true => raw(&begun),
            false => print::upgraded(&begun, runs),
        })
    })
}

/// Runs `drain`.
pub fn drain(config: Option<&Path>, remote: &EdgeArgs, undo: bool, json: bool) -> ExitCode {
    let show = |answer: &Value| match answer["calls"].as_u64() {
        _ if json => raw(answer),
        _ if undo => "accepting calls again\n".to_owned(),
        Some(calls) => format!("draining: new calls get 503, live calls: {calls}; {UNDO}\n"),
        None => format!("draining; {UNDO}\n"),
    };
    talk(config, remote, async |edge| {
        let body = json!({ "on": !undo });
        let answer = request(edge, Method::POST, "/v1/drain", Some(body)).await;
        // An edge that responds late, or with 503, may have begun to drain.
        let is_late = |error: &String| error.contains(SILENT) || error.ends_with("(503)");
        let text = answer.map_err(|error| match is_late(&error) && !undo {
            true => format!("{error}; it may be draining nevertheless (`trunkgate status`): {UNDO}"),
            false => error,
        })?;
        let answer = parsed(&text)?;
        Ok(show(&answer))
    })
}

/// Hint how to undo a drain.
const UNDO: &str = "`trunkgate drain --undo` accepts calls again";

/// Runs `why --url …`.
pub(crate) fn why(
    config: Option<&Path>,
    remote: &EdgeArgs,
    question: &CallQuestion,
    show: impl FnOnce(&Value) -> String,
) -> ExitCode {
    let CallQuestion { from, called, caller, at, header } = question;
    let mut path = format!("/v1/why?from={}&called={}&caller={}", escape(from), escape(called), escape(caller));
    if let Some(at) = at {
        path.push_str(&format!("&at={}", escape(at)));
    }
    if let Some(header) = header {
        path.push_str(&format!("&header={}", escape(header)));
    }
    ask(config, remote, Method::GET, &path, None, show)
}

/// Prints to stdout; a closed stdout (`| head`) is not an error.
pub(crate) fn say(text: &str) {
    say_bytes(text.as_bytes());
}

fn say_bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// Sends a request and prints the JSON response. Exit code 1 if the edge refuses or does not respond, 2 if no edge is
/// named.
fn ask(
    config: Option<&Path>,
    remote: &EdgeArgs,
    method: Method,
    path: &str,
    body: Option<Value>,
    show: impl FnOnce(&Value) -> String,
) -> ExitCode {
    fetch(config, remote, method, path, body, |text| {
        let answer = parsed(&text)?;
        Ok(show(&answer))
    })
}

/// Sends a request and prints the response, which need not be JSON.
fn fetch(
    config: Option<&Path>,
    remote: &EdgeArgs,
    method: Method,
    path: &str,
    body: Option<Value>,
    show: impl FnOnce(String) -> Result<String, String>,
) -> ExitCode {
    talk(config, remote, async |edge| with_notice(edge, request(edge, method, path, body)).await.and_then(show))
}

/// Runs `with` for the edge given by flags or configuration, prints its text or error, and returns the exit code.
pub(crate) fn talk(
    config: Option<&Path>,
    remote: &EdgeArgs,
    with: impl AsyncFnOnce(&EdgeTarget) -> Result<String, String>,
) -> ExitCode {
    let Some(edge) = target(config, remote) else { return ExitCode::from(USAGE) };
    let answer = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(with(&edge)));
    match answer {
        Ok(text) => {
            say(&text);
            edge.warn();
            ExitCode::SUCCESS
        }
        Err(error) => edge.fail(&error),
    }
}

/// Address, credentials and trusted certificates of a running edge.
#[derive(Debug)]
pub(crate) struct EdgeTarget {
    /// Base URL, without a trailing slash.
    base: String,
    /// Source of the address, appended to error messages; empty if the user knows it.
    named: String,
    /// Whether the default address is used because the configuration file is missing.
    is_guessed: bool,
    token: Option<String>,
    believed: TlsTrust,
    /// Error of the configuration file that names the edge, printed after the response.
    warning: Option<String>,
}

impl EdgeTarget {
    /// Returns the base URL of the edge, without a trailing slash.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Returns the trusted CA certificates (PEM) for this edge; `None` for the system's.
    ///
    /// # Errors
    /// Returns a message if the CA or certificate file cannot be read.
    pub(crate) fn trusted(&self) -> Result<Option<String>, String> {
        let path = match &self.believed {
            TlsTrust::BySystem => return Ok(None),
            TlsTrust::By(path) => path,
            TlsTrust::Own(tls) => tls.ca.as_ref().unwrap_or(&tls.own.0),
        };
        let read = files::read_to_string(path, CERTIFICATE_FILE_BYTES);
        read.map(Some).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Requests `path` with GET and returns the response as text.
    ///
    /// # Errors
    /// Returns a message if the edge cannot be reached, responds with an error status, or is not an edge.
    pub(crate) async fn text(&self, path: &str) -> Result<String, String> {
        request(self, Method::GET, path, None).await
    }

    /// Prints the warning about the configuration file, if there is one.
    fn warn(&self) {
        self.warning.iter().for_each(|warning| terminal::print_error(&terminal::harmless(warning)));
    }
}

/// Certificates accepted from the edge.
#[derive(Debug, Clone)]
enum TlsTrust {
    /// Certificates issued by a CA that the system trusts.
    BySystem,
    /// Certificates issued by a CA in this file.
    By(PathBuf),
    /// The edge's own certificate from the configuration; with a CA named there, both are trusted.
    Own(HttpTls),
}

impl TlsTrust {
    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let read = |path: &Path| TrustAnchors::of_file(path).map_err(|what| format!("{}: {what}", path.display()));
        match self {
            TlsTrust::BySystem => web::trusting(TrustAnchors::of_system()),
            TlsTrust::By(path) => web::trusting(read(path)?),
            TlsTrust::Own(tls) => {
                let own = read(&tls.own.0)?;
                let itself = own.certificates().first().cloned();
                let trust = tls.ca.as_deref().map(read).transpose()?.unwrap_or(own);
                web::believing(ServerVerifier::new(Some(trust), Vec::new()).or_itself(itself))
            }
        }
    }
}

/// Edge that is polled by `--watch` or `top`.
#[derive(Debug, Clone)]
pub(crate) struct PolledEdge(Arc<EdgeTarget>);

impl PolledEdge {
    /// Finds the edge given by flags or configuration; `None` after an error message.
    pub(crate) fn new(config: Option<&Path>, remote: &EdgeArgs) -> Option<PolledEdge> {
        target(config, remote).inspect(EdgeTarget::warn).map(|edge| PolledEdge(Arc::new(edge)))
    }

    /// Sends a request to the edge and returns the response as text.
    ///
    /// # Errors
    /// Returns a message if the edge cannot be reached, responds with an error status, or is not an edge.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<String, String> {
        request(&self.0, method, path, body).await
    }

    /// Requests `path` and returns the response as JSON.
    ///
    /// # Errors
    /// Returns a message if the request fails or the response is not JSON.
    pub(crate) async fn json(&self, path: &str) -> Result<Value, String> {
        let text = self.ask(Method::GET, path, None).await?;
        parsed(&text)
    }

    /// Returns the exit code for a failed request: 2 if it is invalid or the edge is only guessed, otherwise 1.
    pub(crate) fn failure_code(&self, error: &str) -> u8 {
        self.0.failure_code(error)
    }
}

/// Returns the edge given by the flags, otherwise by the configuration file; `None` after an error message.
fn target(config: Option<&Path>, remote: &EdgeArgs) -> Option<EdgeTarget> {
    if let Some(written) = &remote.url {
        let url = &match with_scheme(written) {
            Ok(url) => url,
            Err(why) => {
                terminal::print_error(&format!("error: --url: {}", terminal::harmless(&why)));
                return None;
            }
        };
        if Url::parse(url).is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
            terminal::print_error("error: --url contains a user part: use --token");
            return None;
        }
        let own = own_of(config, url);
        let (token, believed) = own.map_or((None, TlsTrust::BySystem), |own| (own.token, own.believed));
        let (base, named) = (url.trim_end_matches('/').to_owned(), " (of --url)".to_owned());
        return Some(EdgeTarget { base, named, is_guessed: false, token, believed, warning: None }.by(remote));
    }
    let Some((http, warning)) = run::load_http(config, remote.token.is_some()) else {
        terminal::print_error(
            "note: a running edge can be reached without the file: --url http://ADDRESS (and --token)",
        );
        return None;
    };
    let Some(mut edge) = of_file(&http) else {
        terminal::print_error("error: [http] address has port 0: use --url (`run` prints the address)");
        return None;
    };
    let file = config::find(config);
    edge.is_guessed = !file.as_ref().is_some_and(|file| file.exists());
    edge.named = match file {
        None => " (the default, as no configuration file was found; --url names another)".to_owned(),
        Some(file) if edge.is_guessed => {
            format!(" (the default, as {} is missing; --url names another)", file.display())
        }
        Some(file) => format!(" (`[http] address` of {}; --url names another)", file.display()),
    };
    edge.warning = warning;
    Some(edge.by(remote))
}

/// Returns the URL for a URL or `HOST:PORT` (`http`) on the command line.
///
/// # Errors
/// Returns a message if the text is not a URL of an edge.
fn with_scheme(written: &str) -> Result<String, String> {
    let url = if written.contains("://") { written.to_owned() } else { format!("http://{written}") };
    let parsed = Url::parse(&url).map_err(|error| error.to_string());
    match parsed.map(|parsed| (parsed.scheme() == "http" || parsed.scheme() == "https") && parsed.has_host()) {
        Ok(true) => Ok(url),
        Ok(false) => Err(format!("no HTTP address: {written}. Write http://HOST:PORT, https://HOST:PORT or HOST:PORT")),
        Err(why) => Err(format!("{why}: {written}. Write http://HOST:PORT, https://HOST:PORT or HOST:PORT")),
    }
}

/// Returns the edge of the configuration file if `url` is its address. Any other server must not receive the file's
/// token.
fn own_of(config: Option<&Path>, url: &str) -> Option<EdgeTarget> {
    let (http, _) = config::load_http(&config::find(config)?, false).ok()?;
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    let asked = origin(url)?;
    let public = http.public_url.as_deref().and_then(origin);
    let own = of_file(&http)?;
    (origin(&own.base).as_ref() == Some(&asked) || public.as_ref() == Some(&asked)).then_some(own)
}

/// Returns the edge of a configuration file; `None` if it has port 0, which is known only at run time.
fn of_file(http: &HttpSettings) -> Option<EdgeTarget> {
    let token = http.token.as_ref().map(|token| token.reveal().to_owned());
    let named = String::new();
    Some(EdgeTarget {
        base: base(http)?,
        warning: None,
        named,
        is_guessed: false,
        token,
        believed: http.tls.clone().map_or(TlsTrust::BySystem, TlsTrust::Own),
    })
}

/// Returns the base URL for an `[http]` section; `None` if its port is 0.
fn base(http: &HttpSettings) -> Option<String> {
    let mut address = http.address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() });
    }
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    (address.port() != 0).then(|| format!("{scheme}://{address}"))
}

/// Returns the edge that `doctor` connects to: the one of `--url`, otherwise the one of `http` in the configuration
/// file; `None` for port 0.
///
/// # Errors
/// Prints an error message and returns the exit code if the URL is invalid.
pub(crate) fn beside(
    config: Option<&Path>,
    remote: &EdgeArgs,
    http: &HttpSettings,
) -> Result<Option<EdgeTarget>, ExitCode> {
    if remote.url.is_some() {
        return target(config, remote).map(Some).ok_or(ExitCode::from(USAGE));
    }
    Ok(of_file(http).map(|edge| edge.by(remote)))
}

/// Returns the base URL of the edge in the configuration file, even if the file has errors in other sections.
pub(crate) fn url_of(config: Option<&Path>) -> Option<String> {
    let (http, _) = config::load_http(&config::find(config)?, true).ok()?;
    base(&http)
}

/// Returns `/v1/status` of the edge in a configuration file, or the reason why it does not respond in time. `None` if
/// the port is 0.
pub(crate) fn states_of(http: &HttpSettings) -> Option<Result<Value, String>> {
    let edge = of_file(http)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    Some(runtime.block_on(async { timeout(SOON, edge.status()).await.unwrap_or_else(|_| Err(silent(&edge))) }))
}

impl EdgeTarget {
    /// Replaces token and CA by those of the flags, where given.
    fn by(self, remote: &EdgeArgs) -> EdgeTarget {
        let token = remote.token.clone().or(self.token);
        let believed = remote.ca.as_ref().map_or(self.believed, |ca| TlsTrust::By(ca.clone()));
        EdgeTarget { token, believed, ..self }
    }

    /// Returns `/metrics`; `None` if the edge does not respond.
    pub(crate) async fn metrics(&self) -> Option<String> {
        request(self, Method::GET, "/metrics", None).await.ok()
    }

    /// Returns `/v1/status`.
    ///
    /// # Errors
    /// Returns a message if the request fails or the response is not JSON.
    pub(crate) async fn status(&self) -> Result<Value, String> {
        let text = request(self, Method::GET, "/v1/status", None).await?;
        parsed(&text)
    }

    /// Returns `/v1/trunks`; `None` if the edge does not respond.
    pub(crate) async fn trunks(&self) -> Option<Value> {
        self.answer("/v1/trunks").await
    }

    /// Returns up to 1,000 calls of `/v1/calls`, active calls first; `None` on any error.
    pub(crate) async fn live_calls(&self) -> Option<Value> {
        self.answer(&format!("/v1/calls?limit={SEARCHED}")).await
    }

    async fn answer(&self, path: &str) -> Option<Value> {
        let text = request(self, Method::GET, path, None).await.ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Determines which process answers at the edge's address. Sends no token.
    pub(crate) async fn presence(&self) -> EdgePresence {
        let (base, named, believed) = (self.base.clone(), self.named.clone(), self.believed.clone());
        let edge = EdgeTarget { base, named, is_guessed: false, believed, token: None, warning: None };
        match timeout(SOON, exchange(&edge, Method::GET, "/healthz", None)).await {
            Err(_) => EdgePresence::Silent(silent(self)),
            Ok(Ok(text)) if text == b"ok" => EdgePresence::Edge,
            // An edge that is not ready is recognised by the text of its error.
            Ok(Err(error)) if EDGE_REFUSALS.iter().any(|known| error.ends_with(known)) => EdgePresence::Edge,
            Ok(Err(error)) if error.contains("refused") => EdgePresence::Absent,
            Ok(Ok(_) | Err(_)) => EdgePresence::Other,
        }
    }
}

/// Process at the HTTP address of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EdgePresence {
    /// An edge, healthy or not.
    Edge,
    /// A process accepts connections but does not respond; contains the error message.
    Silent(String),
    /// No process accepts connections at the address, or the address is not known.
    Absent,
    /// A server that is not an edge responds.
    Other,
}

/// Returns the error message for an edge that does not respond, with its process and a fix if known.
fn silent(edge: &EdgeTarget) -> String {
    let EdgeTarget { base, named, .. } = edge;
    let url = Url::parse(base).ok().filter(is_here);
    let port = url.and_then(|url| url.port_or_known_default());
    match port.and_then(PortHolder::of_port) {
        Some(PortHolder { pid, name, is_stopped: true }) => {
            format!(
                "the edge at {base}{named}: {SILENT}: PID {pid} ({name}) has the port and is stopped; try: kill -CONT {pid}"
            )
        }
        Some(PortHolder { pid, name, is_stopped: false }) => {
            format!("the edge at {base}{named}: {SILENT}: PID {pid} ({name}) has the port and hangs; try: restart it")
        }
        None => format!("no edge at {base}{named}: {SILENT}"),
    }
}

/// Returns whether the host of a URL is this machine.
fn is_here(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback() || interfaces::has(ip))
    })
}

/// Adds the fix (start the edge) to the error of a refused connection.
fn with_start(what: String, url: &Url) -> String {
    let fix = match () {
        () if !what.contains("refused") => return what,
        () if is_here(url) => {
            "start the edge (`systemctl start trunkgate`, or `trunkgate run`); `journalctl -u trunkgate -n 50` shows why it ended"
        }
        () => "check that the edge runs there, and that `[http] address` there is not 127.0.0.1",
    };
    format!("{what}; try: {fix}")
}

/// Parses a response as JSON; the error names no edge.
fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| NOT_AN_EDGE.to_owned())
}

async fn request(edge: &EdgeTarget, method: Method, path: &str, body: Option<Value>) -> Result<String, String> {
    let bytes = request_bytes(edge, method, path, body).await?;
    String::from_utf8(bytes).map_err(|_| format!("{} answered, {NOT_AS_EDGE}", edge.base))
}

/// Sends a request and returns the body. Checks `/healthz` first unless the request is small, so that an edge that
/// hangs does not carry it out when it recovers.
///
/// # Errors
/// Returns a message if the edge does not respond in time or refuses the request, or if a request other than GET would
/// go to an edge that no file and no URL names.
async fn request_bytes(edge: &EdgeTarget, method: Method, path: &str, body: Option<Value>) -> Result<Vec<u8>, String> {
    if edge.is_guessed && method != Method::GET {
        // The edge at the default address may not be the intended one.
        return Err(format!(
            "the configuration file is missing: restore it, or name the edge with --url {}",
            edge.base
        ));
    }
    let is_small = method == Method::GET && SMALL.iter().any(|small| path.starts_with(small));
    if !is_small {
        let lives = timeout(ALIVE, exchange(edge, Method::GET, "/healthz", None)).await;
        lives.map_err(|_| silent(edge))?.ok();
    }
    let patience = if is_small { ALIVE } else { PATIENCE };
    let what =
        if is_small { String::new() } else { format!("{UNANSWERED}{method} {path} for {} s: ", patience.as_secs()) };
    timeout(patience, exchange(edge, method, path, body)).await.map_err(|_| format!("{what}{}", silent(edge)))?
}

async fn exchange(edge: &EdgeTarget, method: Method, path: &str, body: Option<Value>) -> Result<Vec<u8>, String> {
    exchange_part(edge, method, path, body, None).await
}

/// Sends a request and returns the complete body, or only `range` (first and last byte).
async fn exchange_part(
    edge: &EdgeTarget,
    method: Method,
    path: &str,
    body: Option<Value>,
    range: Option<(u64, u64)>,
) -> Result<Vec<u8>, String> {
    let base = &edge.base;
    let absent = |what: &str| format!("no edge at {base}{}: {what}", edge.named);
    let url = Url::parse(&format!("{base}{path}")).map_err(|error| absent(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(absent("a URL starts with http:// or https://"));
    }
    let mut request = web::request(method, &url);
    if let Some(token) = &edge.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    if let Some((first, last)) = range {
        request = request.header(RANGE, format!("bytes={first}-{last}"));
    }
    let body = Bytes::from(body.map(|body| body.to_string()).unwrap_or_default());
    let request = request.body(Full::new(body)).map_err(|error| absent(&error.to_string()))?;
    let stream = web::connect(&url, || edge.believed.tls(), ANSWER_BYTES)
        .await
        .map_err(|what| absent(&with_start(what, &url)))?;
    let answer = web::exchange(stream, request, |_| ANSWER_BYTES).await;
    let HttpAnswer { status, body: answer, is_whole, .. } = answer.map_err(|fault| absent(fault.what()))?;
    if !is_whole {
        return Err(format!("response of {base} too large: more than {} MiB", ANSWER_BYTES >> 20));
    }
    if status.is_success() {
        return Ok(answer);
    }
    let refusal: Value =
        serde_json::from_slice(&answer).map_err(|_| format!("{base} answered {status}, {NOT_AS_EDGE}"))?;
    match refusal["error"]["message"].as_str() {
        // The diagnostics of `check` have several lines and are printed without a status code.
        Some(message) if message.contains('\n') => Err(message.to_owned()),
        Some(message) => Err(format!("{message} ({})", status.as_u16())),
        None => Err(format!("{base} answered {status}, {NOT_AS_EDGE}")),
    }
}

/// Formats a JSON response on one line, for `--json`.
pub(crate) fn raw(answer: &Value) -> String {
    terminal::inert(&answer.to_string()) + "\n"
}

/// Percent-encodes all characters that are not unreserved (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_scheme_is_http() {
        for (written, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://localhost:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("edge.example.com", "http://edge.example.com"),
            ("https://edge.example.com/", "https://edge.example.com/"),
        ] {
            assert_eq!(with_scheme(written).as_deref(), Ok(url));
        }
        for wrong in ["", "ftp://a", "http://", "127.0.0.1:port"] {
            let why = with_scheme(wrong).unwrap_err();
            assert!(why.ends_with("Write http://HOST:PORT, https://HOST:PORT or HOST:PORT"), "{why}");
        }
    }

    #[test]
    fn a_call_is_named_by_the_beginning_of_its_sid() {
        let all = ["CA12", "CA1a", "CAff"];
        let found = |written: &str| only("call", all.into_iter(), written);
        assert_eq!((found("CAf"), found("CA1a")), (Ok("CAff"), Ok("CA1a")));
        assert_eq!(found("CA1").unwrap_err(), "CA1 is a prefix of 2 calls: CA12, CA1a …");
        assert!(found("CB").unwrap_err().starts_with("unknown call: CB"));
        // An active call that began before an ended one.
        let call = |sid: &str, at: &str| json!({"sid": sid, "started_at": format!("2026-01-01T00:00:0{at}.000Z")});
        assert_eq!(newest(&[call("CA1", "1"), call("CA3", "3"), call("CA2", "2")]), Some("CA3"));
        assert_eq!(newest(&[]), None);
    }

    #[test]
    fn the_token_of_the_file_is_for_its_own_address_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trunkgate.toml");
        let write = |token: &str| {
            let http = "address = '127.0.0.1:8099'\npublic_url = 'https://edge.example.com/'\n";
            std::fs::write(&file, format!("[http]\n{http}token = {token}\n")).unwrap();
        };
        let sent = |url: Option<&str>, token: Option<&str>| {
            let remote = EdgeArgs { url: url.map(str::to_owned), token: token.map(str::to_owned), ca: None };
            target(Some(&file), &remote).map(|edge| edge.token)
        };
        write("'hunter2'");
        let own = Some(Some("hunter2".to_owned()));
        for url in [None, Some("http://127.0.0.1:8099/"), Some("https://edge.example.com")] {
            assert_eq!(sent(url, None), own, "{url:?}");
        }
        assert_eq!(sent(Some("http://ann:word@127.0.0.1:8099"), Some("x")), None, "a URL with a user part is not ours");
        for url in
            ["http://127.0.0.1:8098", "https://127.0.0.1:8099", "http://edge.example.com", "http://elsewhere:8099"]
        {
            assert_eq!(sent(Some(url), None), Some(None), "{url}");
        }
        // An unreadable token is an error only if no other token is given.
        write("{ env = 'TRUNKGATE_TEST_NOT_SET' }");
        assert_eq!((sent(None, None), sent(None, Some("x"))), (None, Some(Some("x".to_owned()))));
    }
}
