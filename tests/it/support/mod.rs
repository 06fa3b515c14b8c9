//! Real binary with a configuration of its own, controlled by signals, HTTP and plain sockets.

#![allow(dead_code)] // each test file uses its part

pub(crate) mod acme;
pub(crate) mod calls;
pub(crate) mod codecs;
pub(crate) mod dns;
pub(crate) mod endpoint;
pub(crate) mod listener;
pub(crate) mod mail;
pub(crate) mod media_ports;
pub(crate) mod pace;
pub(crate) mod secure;
pub(crate) mod sip;
pub(crate) mod talk;
pub(crate) mod tcp_phone;
pub(crate) mod tls;
pub(crate) mod tls_proxy;
pub(crate) mod twilio;

use media_ports::Place;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Returns whether a finding of `check` depends on the machine: on its ephemeral ports, or on an installed espeak-ng.
pub(crate) fn depends_on_machine(code: &str) -> bool {
    matches!(code, "TG0123" | "TG0161")
}

/// Timeout that is longer than any step takes, even on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Token of the HTTP API in [`PUBLIC_URL`]; requests of [`Process`] carry it if the configuration has it.
pub(crate) const HTTP_TOKEN: &str = "token-of-the-edge-under-test";
/// Keys of `[http]` for an edge behind a reverse proxy.
pub(crate) const PUBLIC_URL: &str =
    "public_url = \"https://edge.example.com\"\ntoken = \"token-of-the-edge-under-test\"\n";

/// Running `trunkgate run`; killed on drop.
pub(crate) struct Process {
    child: Child,
    stdout: Receiver<String>,
    stderr: JoinHandle<()>,
    log: Arc<Mutex<String>>,
    pub(crate) ready: String,
    pub(crate) file: PathBuf,
    pub(crate) directory: Arc<tempfile::TempDir>,
    _place: Place,
}

/// Writes a configuration as `trunkgate.toml` into a new directory; returns the directory and the file.
pub(crate) fn write(config: &str) -> (Arc<tempfile::TempDir>, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trunkgate.toml");
    std::fs::write(&file, config).unwrap();
    (Arc::new(directory), file)
}

/// Returns the binary's command, without the environment variables that it reads.
pub(crate) fn trunkgate(arguments: &[&str]) -> Command {
    let mut command = without_environment(Command::new(env!("CARGO_BIN_EXE_trunkgate")));
    command.args(arguments);
    command
}

/// Removes the environment variables that the binary reads from a command.
fn without_environment(mut command: Command) -> Command {
    for name in [
        "TRUNKGATE_CONFIG",
        "TRUNKGATE_TOKEN",
        "TRUNKGATE_LOG",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "TRUNKGATE_DNS",
        "STATE_DIRECTORY",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end; returns the output.
pub(crate) fn finish(arguments: &[&str]) -> Output {
    trunkgate(arguments).output().unwrap()
}

/// Returns the complete lines of a file that is being written.
pub(crate) fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// Timeouts for sections that set none: on a loaded machine, the phone or agent of a test may get the CPU later than
/// the defaults allow.
const UNHURRIED: [(&str, &str); 4] = [
    ("trunk", "no_response_timeout"),
    ("siprec", "no_response_timeout"),
    ("agent", "connect_timeout"),
    ("recognition", "connect_timeout"),
];

/// Adds the timeouts of [`UNHURRIED`] to a configuration.
pub(crate) fn unhurried(config: &str) -> String {
    let mut text = String::with_capacity(config.len());
    let mut lines = config.split_inclusive('\n').peekable();
    let is_head = |line: &&str| line.starts_with('[');
    while let Some(line) = lines.next() {
        text.push_str(line);
        let name = line.trim_end().strip_prefix('[').and_then(|line| line.strip_suffix(']'));
        let Some(name) = name.filter(|name| name.matches('.').count() < 2) else { continue };
        let kind = name.split('.').next().unwrap_or_default();
        let keys: String = std::iter::from_fn(|| lines.next_if(|line| !is_head(line))).collect();
        for (_, key) in UNHURRIED.iter().filter(|(of, key)| *of == kind && !keys.contains(key)) {
            text.push_str(&format!("{key} = \"30s\"\n"));
        }
        text.push_str(&keys);
    }
    text
}

/// Returns an address with a closed port: no socket of another test gets a port of that host meanwhile.
pub(crate) fn closed_address() -> SocketAddr {
    TcpListener::bind("127.0.0.77:0").unwrap().local_addr().unwrap()
}

/// Returns a configuration with a UDP and a TCP listener, HTTP and `rest`, all on free loopback ports; in it, silence
/// does not end calls.
pub(crate) fn config(rest: &str) -> String {
    format!(
        "[edge]\nname = \"under-test\"\n\
         [[listen]]\nname = \"u\"\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [[listen]]\nname = \"t\"\ntransport = \"tcp\"\naddress = \"127.0.0.1:0\"\n\
         [media]\naddress = [\"127.0.0.1\"]\nthreads = 1\n{}idle_timeout = \"10m\"\n\
         [http]\naddress = \"127.0.0.1:0\"\n{}",
        media_ports::line(),
        unhurried(rest)
    )
}

/// Returns an address that no other test uses, free for UDP and TCP.
fn own_address() -> SocketAddr {
    until("a port is free for UDP and TCP", || {
        let address = UdpSocket::bind("127.0.0.88:0").ok()?.local_addr().ok()?;
        TcpListener::bind(address).ok().map(|_| address)
    })
}

/// Returns a configuration like that of [`config`] with fixed SIP addresses and the state of calls in a file.
pub(crate) fn with_state(text: &str) -> String {
    let sip = format!("address = \"{}\"\n", own_address());
    let text = text.replacen("address = \"127.0.0.1:0\"\n", &sip, 2);
    text.replacen("[edge]\n", "[edge]\nstate = \"file\"\nstate_directory = \"state\"\n", 1)
}

/// Returns the command of a program that is the first process of a PID namespace, which ends with the command's process.
fn in_pid_namespace(program: &OsStr) -> Command {
    let mut command = without_environment(Command::new("unshare"));
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(program);
    command
}

/// Returns whether PID namespaces can be created here.
pub(crate) fn has_pid_namespaces() -> bool {
    let has = in_pid_namespace("true".as_ref()).output().is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: no PID namespace can be made here");
    }
    has
}

fn takeover_command(file: &Path) -> Command {
    let socket = file.with_file_name("edge.sock");
    trunkgate(&["--config", file.to_str().unwrap(), "run", "--drain", "60s", "--take-over", socket.to_str().unwrap()])
}

impl Process {
    pub(crate) fn start(config: &str) -> Process {
        Process::start_with(config, &[])
    }

    /// Starts an edge with these environment variables.
    pub(crate) fn start_with(config: &str, variables: &[(&str, &str)]) -> Process {
        let (directory, file) = write(config);
        let mut command = trunkgate(&["--config", file.to_str().unwrap(), "run", "--drain", "60s"]);
        command.envs(variables.iter().copied());
        Process::spawn(command, directory, file)
    }

    /// Starts a keeper of an edge with these environment variables. Dropping it leaves its edge.
    pub(crate) fn start_keeper(config: &str, variables: &[(&str, &str)]) -> Process {
        let (directory, file) = write(config);
        let mut command = trunkgate(&["keeper", "--config", file.to_str().unwrap(), "--", "run", "--drain", "60s"]);
        command.envs(variables.iter().copied());
        Process::spawn(command, directory, file)
    }

    /// Starts a keeper as the first process of a PID namespace, which ends with the process of this value.
    pub(crate) fn start_first_keeper(config: &str) -> Process {
        let (directory, file) = write(config);
        let mut command = in_pid_namespace(env!("CARGO_BIN_EXE_trunkgate").as_ref());
        command.args(["keeper", "--config", file.to_str().unwrap(), "--", "run"]);
        Process::spawn(command, directory, file)
    }

    /// Waits until another edge below the keeper is ready; its addresses are used from now on.
    pub(crate) fn wait_for_next_edge(&mut self) {
        self.ready = self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never ready again: {}", self.log()));
    }

    /// Starts an edge with these files next to the configuration, in which FOLDER stands for their directory.
    pub(crate) fn start_with_documents(config: &str, files: &[(&str, &[u8])]) -> Process {
        Process::start_with_documents_and(config, files, &[])
    }

    /// Starts an edge with these files and environment variables.
    pub(crate) fn start_with_documents_and(
        config: &str,
        files: &[(&str, &[u8])],
        variables: &[(&str, &str)],
    ) -> Process {
        let (directory, file) = write("");
        std::fs::write(&file, config.replace("FOLDER", directory.path().to_str().unwrap())).unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let mut command = trunkgate(&["--config", file.to_str().unwrap(), "run", "--drain", "60s"]);
        command.envs(variables.iter().copied());
        Process::spawn(command, directory, file)
    }

    /// Starts an edge with an existing configuration file.
    pub(crate) fn start_at(directory: Arc<tempfile::TempDir>, file: PathBuf) -> Process {
        Process::spawn(trunkgate(&["--config", file.to_str().unwrap(), "run"]), directory, file)
    }

    /// Starts an edge from a copy of the binary, named `program`, in the directory of the configuration.
    pub(crate) fn start_copied(config: &str) -> Process {
        let (directory, file) = write(config);
        let copy = directory.path().join("program");
        let original = env!("CARGO_BIN_EXE_trunkgate");
        std::fs::hard_link(original, &copy).or_else(|_| std::fs::copy(original, &copy).map(|_| ())).unwrap();
        let mut command = Command::new(copy);
        command.args(["--config", file.to_str().unwrap(), "run"]);
        Process::spawn(without_environment(command), directory, file)
    }

    /// Starts an edge that serves the take-over socket `edge.sock` in the directory of its configuration.
    pub(crate) fn start_for_takeover(config: &str) -> Process {
        let (directory, file) = write(config);
        Process::spawn(takeover_command(&file), directory, file)
    }

    /// Starts another edge with the same files, which takes over from this one.
    pub(crate) fn start_successor(&self) -> Process {
        Process::spawn(takeover_command(&self.file), Arc::clone(&self.directory), self.file.clone())
    }

    /// Starts another edge with the same files, as the first process of a PID namespace, which takes over from this one.
    /// The namespace ends with the process of this value.
    pub(crate) fn start_first_successor(&self) -> Process {
        let successor = takeover_command(&self.file);
        let mut command = in_pid_namespace(successor.get_program());
        command.args(successor.get_args());
        Process::spawn(command, Arc::clone(&self.directory), self.file.clone())
    }

    /// Runs another edge with the same files, which may not take over from this one; returns its output.
    pub(crate) fn refused_successor(&self) -> Output {
        takeover_command(&self.file).stdin(Stdio::null()).output().unwrap()
    }

    /// Starts an edge in the directory of the configuration, which is named without a directory.
    pub(crate) fn start_beside_it(config: &str) -> Process {
        let (directory, file) = write(config);
        let mut command = trunkgate(&["--config", "trunkgate.toml", "run"]);
        command.current_dir(directory.path());
        Process::spawn(command, directory, file)
    }

    /// Stops the edge by SIGTERM, and starts it again with the same files.
    pub(crate) fn stop_and_start_again(mut self) -> Process {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        until("the process ends", || self.child.try_wait().unwrap());
        let (directory, file) = (Arc::clone(&self.directory), self.file.clone());
        drop(self);
        Process::spawn(trunkgate(&["--config", file.to_str().unwrap(), "run"]), directory, file)
    }

    /// Kills the edge, and starts it again with the same files.
    pub(crate) fn kill_and_start_again(self) -> Process {
        self.kill_and_start_after(|_| ())
    }

    /// Kills the edge, calls `change` with its directory, and starts it again with the same files.
    pub(crate) fn kill_and_start_after(mut self, change: impl FnOnce(&Path)) -> Process {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (directory, file) = (Arc::clone(&self.directory), self.file.clone());
        change(directory.path());
        drop(self);
        Process::spawn(trunkgate(&["--config", file.to_str().unwrap(), "run"]), directory, file)
    }

    /// Starts an edge with a limit on its open files.
    pub(crate) fn start_with_files(config: &str, files: u32) -> Process {
        let (directory, file) = write(config);
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" --config \"$1\" run")]);
        command.arg(env!("CARGO_BIN_EXE_trunkgate")).arg(&file);
        Process::spawn(command, directory, file)
    }

    fn spawn(mut command: Command, directory: Arc<tempfile::TempDir>, file: PathBuf) -> Process {
        let place = Place::take();
        let config = std::fs::read_to_string(&file).unwrap();
        let with_ports = place.give_ports(&config);
        if with_ports != config {
            std::fs::write(&file, with_ports).unwrap();
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, stdout) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let (mut pipe, copy) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let stderr = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = pipe.read(&mut buffer) {
                copy.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..len]));
            }
        });
        let Ok(ready) = stdout.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("never ready: {}", log.lock().unwrap());
        };
        Process { child, stdout, stderr, log, ready, file, directory, _place: place }
    }

    /// Returns the address with this name in the ready line.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        let parts = self.ready.split_whitespace();
        let found = parts.filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name);
        found.unwrap_or_else(|| panic!("no {name} in {}", self.ready)).1.parse().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address("http"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Returns whether a signal has stopped the process: proc(5).
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Returns the private memory that the process uses, in KiB: proc(5).
    pub(crate) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits for the end of the process; returns the exit status, the log, and the rest of stdout.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, String) {
        let status = until("the process ends", || self.child.try_wait().unwrap());
        let rest = self.stdout.iter().collect();
        until("its log is read", || self.stderr.is_finished().then_some(()));
        (status, rest, self.log())
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Returns the log so far, of which the last lines may be missing.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Returns the complete log up to now: undoes a drain that is not active, and waits for the line that this causes.
    pub(crate) fn whole_log(&self) -> String {
        let marks = || self.log().matches("accepting calls again on request").count();
        let before = marks();
        assert_eq!(self.post("/v1/drain", &serde_json::json!({ "on": false })).0, 202);
        until("the log has come", || (marks() > before && self.log().ends_with('\n')).then_some(()));
        self.log()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "")
    }

    /// Sends one request to the edge, with the token if the edge has one.
    fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let bearer = format!("Bearer {HTTP_TOKEN}");
        let has_token = std::fs::read_to_string(&self.file).is_ok_and(|text| text.contains(HTTP_TOKEN));
        let headers: &[(&str, &str)] = if has_token { &[("authorization", &bearer)] } else { &[] };
        http(method, &format!("{}{path}", self.url()), headers, body)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask("POST", path, &body.to_string())
    }

    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        self.ask("DELETE", path, "")
    }

    /// Sends a request to the edge; returns the status and the JSON of the response.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.request(method, path, body);
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {text}")))
    }

    /// Returns the SID of the newest call.
    pub(crate) fn sid(&self) -> String {
        self.json("/v1/calls")["calls"][0]["sid"].as_str().unwrap().to_owned()
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path);
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Returns the value of a metric; `name` includes its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // The test has failed, so the log of the edge is printed.
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("log of the edge:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// Sends one HTTP request; returns the status and the body of the response.
pub(crate) fn http(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let (status, _, text) = http_with_headers(method, url, headers, body);
    (status, text)
}

/// Sends one HTTP request; returns the status, the headers and the body of the response.
pub(crate) fn http_with_headers(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, reqwest::header::HeaderMap, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let mut request = client.request(method.parse().unwrap(), url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
    })
}

/// Polls until `look` returns a value.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// Waits until the journal of live calls of the record file `cdr.jsonl` in a folder contains a text.
pub(crate) fn until_in_journal(folder: &Path, text: &str) {
    let journal = folder.join("cdr.jsonl.live");
    let contains = || std::fs::read_to_string(&journal).ok()?.contains(text).then_some(());
    until(&format!("{text} is in the journal"), contains);
}

/// Polls until `look` returns a value, with a timeout for steps that take long.
pub(crate) fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < patience, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
