//! Warm transfers of Twilio applications: a program with twilio-python puts a customer into a conference with music,
//! calls humans by the API and asks them by a document; the program then does the same with `url` and
//! `machineDetection` of a dialled Number. The parties are baresip phones.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::interop::Setting;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::baresip::{Baresip, Setup};
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages, Script};
use crate::interop::rtp::{self, SAMPLE_RATE};
use crate::interop::sound::{self, speech};

/// Number from which the program calls.
const NUMBER: &str = "+14155550100";
const MUSIC: u32 = 350;
const WHISPER: u32 = 930;
const CUSTOMER: u32 = 530;
const HUMAN: u32 = 1_190;
/// Minimum amplitude at which a tone counts as heard.
const LEAST: f64 = 1_000.0;
const PATIENCE: Duration = Duration::from_secs(60);
/// Number of phones, in the order of the program: the customer, humans who accept and decline, a machine, and one that
/// does not answer.
const PHONES: usize = 5;

/// Returns a phone's audio at a time after its answer, in seconds.
fn says(phone: usize, t: f64) -> f64 {
    match phone {
        0 => sound::syllables(CUSTOMER, t),
        3 => speech(t),
        _ if t < 0.6 => speech(t),
        1 if t > 5.0 => sound::syllables(HUMAN, t),
        _ => 0.0,
    }
}

fn configuration() -> String {
    let trunk = |n: usize| {
        format!(
            "[trunk.phone{n}]\npeers = [\"sip:127.0.3.{}:5060\"]\noptions_interval = \"0s\"\nmedia_from = [\"127.0.0.1/32\"]\n\
             codecs = [\"PCMU\"]\nallow_prefixes = [\"+1415555011{n}\"]\n",
            n + 1
        )
    };
    let trunks: String = (0..PHONES).map(trunk).collect();
    let connect: Vec<String> = (0..PHONES).map(|n| format!("\"trunk:phone{n}\"")).collect();
    format!(
        "[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nrequests_per_second = 0\nallow_private = true\n\
         connect = [{}]\n[[number]]\nnumber = \"{NUMBER}\"\n{trunks}",
        connect.join(", ")
    )
}

fn phone(n: usize) -> anyhow::Result<Baresip> {
    let (ip, mode) = (format!("127.0.3.{}", n + 1), if n == 4 { "manual" } else { "auto" });
    Baresip::start(&Setup {
        ip: &ip,
        port: 5060,
        account: &format!(
            "<sip:+1415555011{n}@{ip};transport=udp>;regint=0;answermode={mode};audio_codecs=PCMU/8000/1"
        ),
        says: sound::wav(SAMPLE_RATE, 1, 60, |t| says(n, t)),
        ca: None,
        dial: None,
        lasts: None,
    })
}

/// Returns the highest amplitude of a tone in any second of all calls of a phone.
fn loudest(phone: &Baresip, hz: u32) -> anyhow::Result<f64> {
    let heard = phone.all_heard()?;
    let amplitudes = heard.chunks_exact(8_000).map(|part| rtp::fit(part, hz, SAMPLE_RATE).0);
    Ok(amplitudes.fold(0.0, f64::max))
}

/// Runs the program, and judges the recordings of all phones.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let edge = Edge::start(&configuration())?;
    let phones: Vec<Baresip> = (0..PHONES).map(phone).collect::<anyhow::Result<_>>()?;
    for phone in &phones {
        phone.wait_for("baresip is ready", PATIENCE)?;
    }
    let numbers: Vec<String> = (0..PHONES).map(|n| format!("+1415555011{n}")).collect();
    let (url, numbers) = (format!("http://{}", edge.http), numbers.join(","));
    let (music, whisper) = (MUSIC.to_string(), WHISPER.to_string());
    let flags = ["--url", &url, "--account", ACCOUNT, "--token", TOKEN, "--from", NUMBER, "--phones", &numbers];
    let flags = [&flags[..], &["--music", &music, "--whisper", &whisper]].concat();
    let program = Script::start(Packages::Base, &python::script("twilio_warm.py"), &flags)?;
    let said = follow(&program, &phones, setting.sabotage).with_context(|| edge.log_tail())?;
    for (at, hz, hears) in [
        (0, MUSIC, true),
        (0, HUMAN, true),
        (0, WHISPER, false),
        (1, WHISPER, true),
        (1, CUSTOMER, true),
        (1, MUSIC, false),
        (2, WHISPER, true),
        (2, CUSTOMER, false),
        (2, MUSIC, false),
    ] {
        let amplitude = loudest(&phones[at], hz)?;
        ensure!((amplitude > LEAST) == hears, "phone {at} hears {amplitude:.0} of {hz} Hz");
    }
    Ok(format!(
        "{said}: accepted, declined, machine, no answer, by a conference and by a Number with `url`; a participant is judged; each party hears what it should"
    ))
}

/// Sends digits as the program instructs until it ends; returns the name of the library that the program prints.
fn follow(program: &Script, phones: &[Baresip], sabotage: bool) -> anyhow::Result<String> {
    let (began, mut read) = (Instant::now(), 0);
    loop {
        let lines = program.lines();
        for line in lines.iter().skip(read) {
            if let Some((phone, key)) = line.strip_prefix("press ").and_then(|rest| rest.split_once(' ')) {
                let phone = phones.get(phone.parse::<usize>()?).context("a phone")?;
                // Broken: the accepting party sends another digit.
                phone.command("sndcode", if sabotage { "3" } else { key })?;
            }
            if let Some(done) = line.strip_prefix("done: ") {
                return Ok(done.to_owned());
            }
            // This is the last line of a program that failed.
            ensure!(!line.starts_with("twilio-python "), "{}", lines.join("\n"));
        }
        read = lines.len();
        if began.elapsed() > PATIENCE {
            bail!("the program is not done: {}", lines.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
