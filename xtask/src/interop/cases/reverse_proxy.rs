//! HTTP API behind nginx on the same machine, in common forms of nginx's configuration: without a token, unknown
//! clients are rejected if the proxy can be recognised; with a token, in any form.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reqwest::blocking::{Client, Response};

use crate::interop::edge::{self, Edge, LISTENERS};
use crate::interop::{Setting, install};

/// Maximum wait for the start of nginx.
const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Name of each form, the lines of its `location` except `proxy_pass`, and whether these reveal the proxy: a bare one
/// does not.
const FORMS: [(&str, &str, bool); 5] = [
    ("bare", "", false),
    ("Host", "proxy_set_header Host edge.example.com;", true),
    ("X-Forwarded-For", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", true),
    ("X-Real-IP", "proxy_set_header X-Real-IP $remote_addr;", true),
    ("Forwarded", "proxy_set_header Forwarded \"for=$remote_addr\";", true),
];

/// Running nginx with a server for each form.
struct Proxies {
    child: Child,
    servers: Vec<SocketAddr>,
}

impl Drop for Proxies {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Proxies {
    fn start(folder: &Path, upstream: SocketAddr) -> anyhow::Result<Proxies> {
        let free: Vec<TcpListener> =
            FORMS.iter().map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let servers: Vec<SocketAddr> = free.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        drop(free);
        let mut text = "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log;\nevents {}\nhttp {\naccess_log off;\n".to_owned();
        for (server, (_, lines, _)) in servers.iter().zip(FORMS) {
            writeln!(text, "server {{ listen {server}; location / {{ proxy_pass http://{upstream}; {lines} }} }}")?;
        }
        text.push_str("}\n");
        std::fs::write(folder.join("nginx.conf"), text)?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("nginx")?;
        let proxies = Proxies { child, servers };
        let begun = Instant::now();
        while proxies.servers.iter().any(|server| TcpStream::connect(server).is_err()) {
            if begun.elapsed() > PATIENCE {
                bail!(
                    "nginx does not listen: {}",
                    std::fs::read_to_string(folder.join("error.log")).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(proxies)
    }
}

/// Sends requests to an edge without a token through each form, then to an edge with a token, and checks a
/// configuration without a token.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    install::packages(&[("nginx", "nginx-light")])?;
    let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
    let open = Edge::start("")?;
    let folder = tempfile::tempdir()?;
    let proxies = Proxies::start(folder.path(), open.http)?;
    for (server, (form, _, shows)) in proxies.servers.iter().zip(FORMS) {
        let ask = |path: &str| client.get(format!("http://{server}{path}")).send();
        ensure!(ask("/healthz")?.status() == 200, "{form}: a probe is not answered");
        for path in ["/v1/calls", "/metrics", "/console", "/v1/status"].into_iter().filter(|_| shows) {
            let answer = ask(path)?;
            ensure!(answer.status() == 403, "{form}: {path} has {} without a token", answer.status());
        }
    }
    drop(proxies);
    drop(open);

    // Broken: the edge has no token.
    let http = if setting.sabotage {
        String::new()
    } else {
        format!("token = \"{TOKEN}\"\npublic_url = \"https://edge.example.com\"\n")
    };
    let configuration = LISTENERS.replace("[cdr]", &format!("{http}[cdr]"));
    let closed = Edge::start_as(Command::new(edge::binary()), &configuration)?;
    let folder = tempfile::tempdir()?;
    let proxies = Proxies::start(folder.path(), closed.http)?;
    for (server, (form, _, _)) in proxies.servers.iter().zip(FORMS) {
        let ask = |token: Option<&str>| -> anyhow::Result<Response> {
            let request = client.get(format!("http://{server}/v1/calls"));
            Ok(token.into_iter().fold(request, |request, token| request.bearer_auth(token)).send()?)
        };
        ensure!(ask(None)?.status() == 401, "{form}: a stranger gets {}", ask(None)?.status());
        ensure!(ask(Some(TOKEN))?.status() == 200, "{form}: the token gets {}", ask(Some(TOKEN))?.status());
    }
    without_token(folder.path())?;
    Ok(format!("{} forms of nginx: strangers get nothing, the token opens each", FORMS.len()))
}

/// Checks that a configuration with `public_url` and without a token is invalid.
fn without_token(folder: &Path) -> anyhow::Result<()> {
    let file = folder.join("open.toml");
    std::fs::write(&file, LISTENERS.replace("[cdr]", "public_url = \"https://edge.example.com\"\n[cdr]"))?;
    let checked = Command::new(edge::binary()).arg("--config").arg(&file).arg("check").output()?;
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    ensure!(!checked.status.success() && said.contains("TG0124"), "check says {said}");
    Ok(())
}
