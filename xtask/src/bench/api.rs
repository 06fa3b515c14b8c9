//! `cargo xtask bench api`: reads of the Twilio-compatible API during live calls, and calls made by requests. Reads
//! must not delay RTP packets; every requested call must be answered and end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::dialer::{Dialer, FAR, NEAR};
use super::generator::{self, Seen};
use super::process;
use crate::interop::applications::{ACCOUNT, TOKEN, open_tables};
use crate::interop::callee::Callees;
use crate::interop::edge::{self, Edge};

/// Calling number of requested calls.
const OWN: &str = "+14155550100";
/// Connections of a load, each with its own thread.
const CONNECTIONS: u32 = 4;
/// Interval of list reads: one in this many reads is a page of 50 calls, the others are single calls.
const LIST_EVERY: u64 = 20;
/// Time for calls still in progress at the end.
const LINGER: Duration = Duration::from_secs(10);

/// Options of `cargo xtask bench api`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Relayed calls during the reads.
    #[arg(long, default_value_t = 200)]
    calls: usize,
    /// Reads per second.
    #[arg(long, default_value_t = 2000)]
    reads: u32,
    /// Calls made per second, one run for each value.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 200])]
    rates: Vec<u32>,
    /// Seconds of each run.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Number of pairs of runs: one without reads, one with reads.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Responses to a load of requests.
#[derive(Debug, Default)]
struct Answered {
    sent: u64,
    /// Number of responses other than 200 and 201.
    refused: u64,
    /// Times until the complete response, sorted.
    took: Vec<Duration>,
}

impl Answered {
    /// Returns the response time that this percentage of the requests did not exceed, in milliseconds.
    fn ms(&self, per_cent: usize) -> String {
        let at = (self.took.len() * per_cent / 100).min(self.took.len().saturating_sub(1));
        self.took.get(at).map_or_else(|| "–".to_owned(), |took| format!("{:.1} ms", took.as_secs_f64() * 1e3))
    }
}

/// Measures reads during calls, and requested calls, and prints the tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    println!(
        "Machine: {}; edge, both sides of the calls and clients of the API together on it.\n\n\
         | {} calls, reads a second | packet p50 | p99 | lost of | reads | refused | answer p50 | p99 | edge's CPU |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        process::machine(),
        options.calls
    );
    for _ in 0..options.runs {
        for reads in [0, options.reads] {
            println!("{}", beside_calls(options, reads).with_context(|| format!("{reads} reads"))?);
        }
    }
    println!(
        "\n| calls made a second | made | refused | reached | completed | answer p50 | p99 | edge's CPU for a call |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let mut whole = true;
    for rate in &options.rates {
        let (row, is_whole) = made(options, *rate).with_context(|| format!("{rate} calls a second"))?;
        println!("{row}");
        whole &= is_whole;
    }
    Ok(whole)
}

/// Returns the table row of relayed calls with this many reads per second at the same time.
fn beside_calls(options: &Options, reads: u32) -> anyhow::Result<String> {
    let pairs = generator::pairs(options.calls)?;
    let dialer = Dialer::new()?;
    let edge = Edge::start(&format!(
        "[limits]\ncalls_per_second = 0\n[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n\
         requests_per_second = 0\n[trunk.near]\naccept_from = [\"{NEAR}/32\"]\n[trunk.far]\naccept_from = [\"{FAR}/32\"]\n\
         peers = [\"sip:{}\"]\n[[route]]\nfrom = [\"near\"]\nconnect = [\"trunk:far\"]\n",
        dialer.called()?
    ))?;
    let paths = dialer.dial(edge.udp, &pairs, None).with_context(|| edge.log_tail())?;
    let list = edge.api("GET Calls.json?PageSize=1000&Status=in-progress", &[])?;
    let calls = list["calls"].as_array().into_iter().flatten().filter_map(|call| call["sid"].as_str());
    let calls: Vec<String> = calls.map(str::to_owned).collect();
    // The list also contains the calls to the called parties.
    ensure!(calls.len() >= options.calls, "{} calls are listed", calls.len());
    let request = |number: u64| match number % LIST_EVERY {
        0 => get("Calls.json?PageSize=50"),
        _ => get(&format!("Calls/{}.json", calls[usize::try_from(number).unwrap_or(0) % calls.len()])),
    };
    let over = AtomicBool::new(false);
    let cpu = || process::cpu(edge.pid());
    let (seen, answered) = std::thread::scope(|scope| {
        let load = scope.spawn(|| send(edge.http, reads, u64::MAX, &request, &over));
        let seen = generator::drive(&pairs, &paths, options.seconds, &cpu);
        over.store(true, Ordering::Relaxed);
        let answered = load.join().map_err(|_| anyhow!("a client panicked"))??;
        anyhow::Ok((seen?, answered))
    })?;
    let Seen { p50_us, p99_us, lost, packets, cpu, .. } = seen;
    Ok(format!(
        "| {reads} | {p50_us:.0} µs | {:.2} ms | {lost} of {} | {} | {} | {} | {} | {:.0} % |",
        p99_us / 1e3,
        packets + lost,
        answered.sent,
        answered.refused,
        answered.ms(50),
        answered.ms(99),
        cpu.as_secs_f64() * 100.0 / f64::from(options.seconds)
    ))
}

/// Returns the table row of calls requested at a rate, and whether all of them were completed.
fn made(options: &Options, rate: u32) -> anyhow::Result<(String, bool)> {
    let keys = "requests_per_second = 0\nconnect = [\"trunk:pbx\"]";
    let edge = Edge::start(&format!("[limits]\ncalls_per_second = 0\n{}", open_tables(&[OWN], keys)))?;
    let callees = Callees::start()?;
    let calls = u64::from(rate * options.seconds);
    let over = AtomicBool::new(false);
    let before = process::cpu(edge.pid())?;
    let answered = send(edge.http, rate, calls, &|_| post("Calls.json", &form()), &over)?;
    let began = Instant::now();
    while edge.metric("trunkgate_calls_active")? > 0.0 {
        if began.elapsed() > LINGER {
            bail!("calls are left\n{}", edge.log_tail());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let cpu = process::cpu(edge.pid())?.saturating_sub(before);
    let (mut completed, mut next) =
        (0, Some("Calls.json?Status=completed&PageSize=1000&From=%2B14155550100".to_owned()));
    while let Some(path) = next {
        let page = edge.api(&format!("GET {path}"), &[])?;
        let calls = page["calls"].as_array().into_iter().flatten();
        completed += calls.filter(|call| call["direction"] == "outbound-api").count() as u64;
        let uri = page["next_page_uri"].as_str().and_then(|uri| uri.split_once(ACCOUNT));
        next = uri.map(|(_, path)| path.trim_start_matches('/').to_owned());
    }
    let reached = callees.called().len();
    let row = format!(
        "| {rate} | {calls} | {} | {reached} | {completed} | {} | {} | {:.2} ms |",
        answered.refused,
        answered.ms(50),
        answered.ms(99),
        cpu.as_secs_f64() * 1e3 / calls as f64
    );
    Ok((row, completed == calls))
}

/// Returns the form that requests a call, with a document that ends the call at the answer.
fn form() -> String {
    "To=%2B14155550101&From=%2B14155550100&Twiml=%3CResponse%2F%3E".to_owned()
}

fn get(path: &str) -> String {
    request("GET", path, "")
}

fn post(path: &str, form: &str) -> String {
    request("POST", path, form)
}

fn request(method: &str, path: &str, form: &str) -> String {
    let credentials = BASE64.encode(format!("{ACCOUNT}:{TOKEN}"));
    format!(
        "{method} /2010-04-01/Accounts/{ACCOUNT}/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
}

/// Sends requests at a rate over kept-alive connections, up to a count or until the end.
fn send(
    to: SocketAddr,
    rate: u32,
    most: u64,
    request: &(dyn Fn(u64) -> String + Sync),
    over: &AtomicBool,
) -> anyhow::Result<Answered> {
    if rate == 0 {
        return Ok(Answered::default());
    }
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let client = || -> anyhow::Result<Answered> {
        let mut stream = BufReader::new(TcpStream::connect(to)?);
        stream.get_ref().set_nodelay(true)?;
        stream.get_ref().set_read_timeout(Some(LINGER))?;
        let mut answered = Answered::default();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= most || over.load(Ordering::Relaxed) {
                return Ok(answered);
            }
            let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let text = request(number);
            let asked = Instant::now();
            stream.get_mut().write_all(text.as_bytes())?;
            let status = read(&mut stream)?;
            answered.took.push(asked.elapsed());
            answered.sent += 1;
            answered.refused += u64::from(!matches!(status, 200 | 201));
        }
    };
    let clients: Vec<Answered> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(client)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a client panicked"))?);
        joined.collect::<anyhow::Result<_>>()
    })?;
    let mut all = Answered::default();
    for one in clients {
        all.sent += one.sent;
        all.refused += one.refused;
        all.took.extend(one.took);
    }
    all.took.sort_unstable();
    Ok(all)
}

/// Reads a complete response, and returns its status.
fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<u16> {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim_end();
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
            Some(_) => {}
            None if line.is_empty() => break,
            None => status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?,
        }
    }
    ensure!(status != 0, "the edge closed the connection");
    std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    Ok(status)
}
