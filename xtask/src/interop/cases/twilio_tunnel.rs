//! `[api] proxy = "tunnel"` in network namespaces with a host at a public address on port 443: curl reaches the host
//! through the edge, which uses TLS itself (`[http] tls`), and also reaches the Twilio-compatible API.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::commands;
use crate::interop::Setting;
use crate::interop::applications::{ACCOUNT, TOKEN, open_tables};
use crate::interop::edge::{self, Edge};
use crate::interop::front::Front;
use crate::interop::netns::{self, Namespace};
use crate::interop::proxied::Certificate;

/// Addresses of the edge's machine and of the host, from public ranges; there are no other hosts in the namespaces.
const HERE: &str = "20.0.0.1/24";
const THERE: &str = "20.0.0.2/24";
/// Name of the host that curl requests.
const HOST: &str = "shop.example.com";
/// Response of the host.
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nthe shop";

/// Requests the host, the API, and forbidden targets through the edge by curl.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = netns::missing() {
        return Ok(skipped);
    }
    let (here, there) = (Namespace::new("tunnel-edge")?, Namespace::new("tunnel-host")?);
    here.cable(HERE, &there, THERE, "tunnel")?;
    here.hosts(&format!(
        "127.0.0.1 localhost\n20.0.0.2 {HOST}\n10.9.8.7 inside.example.com\n20.0.0.1 own.example.com\n"
    ))?;
    let host = there.enter(|| {
        let page = TcpListener::bind("127.0.0.1:0")?;
        let at = page.local_addr()?;
        std::thread::spawn(move || page.incoming().map_while(Result::ok).for_each(answer));
        Front::listen(at, &[HOST], SocketAddr::from(([20, 0, 0, 2], 443)))
    })?;
    let certificate = Certificate::make()?;
    // Broken: the edge rejects other hosts.
    let proxy = if setting.sabotage { "proxy = true" } else { "proxy = \"tunnel\"" };
    let tables = open_tables(&["+14155550100"], &format!("{proxy}\nconnect = [\"trunk:pbx\"]"));
    let binary = std::path::absolute(edge::binary())?.display().to_string();
    let edge = Edge::start_as(here.command(&binary), &(certificate.listeners() + &tables))?;
    let url = format!("https://localhost:{}", edge.http.port());
    let curl = |arguments: &[&str]| {
        let mut command = here.command("curl");
        command.args(["-sS", "--max-time", "20", "--proxy", &url, "--proxy-cacert"]).arg(certificate.file());
        command.args(arguments).output().context("curl")
    };
    let authority = host.authority().display().to_string();
    let shop = format!("https://{HOST}/");
    let asked = curl(&["--cacert", &authority, &shop])?;
    let said = String::from_utf8_lossy(&asked.stderr).into_owned();
    ensure!(asked.status.success() && asked.stdout == b"the shop", "the host through the tunnel: {said}");
    ensure!(host.exchange("GET /", 0)?.status == 200, "the host was not asked");
    for refused in
        ["https://inside.example.com/", "https://own.example.com/", "https://20.0.0.2/", "https://localhost/"]
    {
        let asked = curl(&["--cacert", &authority, refused])?;
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        ensure!(!asked.status.success() && said.contains("403"), "{refused} is not refused: {said}");
    }
    let ca = certificate.folder().join("ca");
    let mut env = here.command(&binary);
    env.args(["twilio", "env", "--url", &url, "--ca"]).arg(certificate.file()).arg("--directory").arg(&ca);
    let variables = commands::output(&mut env)?;
    let shell = format!(
        "{variables}\nexec curl -sS --proxy-cacert \"$CURL_CA_BUNDLE\" -u {ACCOUNT}:{TOKEN} https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}.json"
    );
    let mut api: Command = here.command("sh");
    let account = commands::output(api.args(["-c", &shell]))?;
    ensure!(account.contains(ACCOUNT), "the API through the same proxy: {account}");
    Ok("curl by a proxy that speaks TLS: a host at a public address by its own certificate, the API beside it; four hosts are refused".to_owned())
}

fn answer(mut stream: std::net::TcpStream) {
    // The buffer is large enough for the head of a request.
    drop(stream.read(&mut [0; 4096]));
    drop(stream.write_all(PAGE.as_bytes()));
}
