//! Menu of a web application, called by SIPp and by baresip: a silent caller gets three attempts, a digit interrupts a
//! prompt, and a choice leads to a trunk with a whisper, and back to the menu if the trunk does not answer. Prompts are
//! judged by the audio received, digits by the application's requests.

mod menu;

use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::interop::Setting;
use crate::interop::applications::{Application, Bench, TOKEN};
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::caller::{Caller, Listener};
use crate::interop::raw::tone_frame;
use crate::interop::rtp;
use crate::interop::sipp::{CARRIER, Calls};
use menu::{DESK, Menu, PROMPTS};

const CALLER: &str = include_str!("../../scenarios/uac_menu.xml");
const NUMBER: &str = "+14155550100";
/// Tones in Hz of the called party and of the calling phone.
const PARTY_HZ: u32 = 440;
const PHONE_HZ: u32 = 350;
/// Offset from SIPp's own media port to the port that it offers, at which the case receives the audio.
const OFFSET: u16 = 100;
const PATIENCE: Duration = Duration::from_secs(20);
/// Number of callers who interrupt the menu, and the audio permitted after their digit: 40 ms, and the packet in
/// flight.
const INTERRUPTED: usize = 10;
const BARGE_IN: Duration = Duration::from_millis(60);
/// Milliseconds of a complete prompt, of five complete ones, and of one interrupted by a digit.
const WHOLE: RangeInclusive<u32> = 800..=1_100;
const FIVE_TIMES: RangeInclusive<u32> = 4_500..=5_200;
const CUT: RangeInclusive<u32> = 300..=3_500;
/// Milliseconds that remain of the 3 s for which the party talks.
const TALK: RangeInclusive<u32> = 1_500..=2_800;

/// Sound that a caller hears: the first words of a prompt, or a tone in Hz.
#[derive(Debug, Clone, Copy)]
enum Sound {
    Prompt(&'static str),
    Tone(u32),
}

use Sound::{Prompt, Tone};

struct Ivr {
    bench: Bench,
    application: Menu,
}

/// Calls the menu in each of these ways.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the menu is played before digits are collected, so that no digit interrupts it.
    let menu = Menu::start(setting.sabotage)?;
    let url = format!("url = \"http://{}/voice\"\nallow_private = true", menu.address);
    let application = Application { number: NUMBER.to_owned(), keys: url };
    let bench = Bench::start(TOKEN, &[application], None)?;
    let ivr = Ivr { bench, application: menu };
    std::thread::scope(|scope| {
        let silent = scope.spawn(|| ivr.silent());
        let figures =
            [ivr.sipp().context("SIPp")?, ivr.baresip().context("baresip")?, ivr.barge_in().context("barge-in")?];
        let silent = silent.join().map_err(|_| anyhow::anyhow!("a caller panicked"))?.context("silent SIPp")?;
        Ok(format!("{silent}; {}", figures.join("; ")))
    })
}

impl Ivr {
    /// Calls by SIPp without a digit: three prompts, then the end.
    fn silent(&self) -> anyhow::Result<String> {
        let heard = self.sipp_calls("silent", 5071, "")?;
        let [menu, second, third, goodbye, ..] = PROMPTS;
        self.is_heard(
            &heard,
            &[(Prompt(menu), FIVE_TIMES), (Prompt(second), WHOLE), (Prompt(third), WHOLE), (Prompt(goodbye), WHOLE)],
        )?;
        self.is_asked("silent", &["/voice", "/silence", "/silence", "/silence"])?;
        Ok("no key: three prompts, then a farewell and BYE".to_owned())
    }

    /// Calls by SIPp with a wrong digit, then 1: the party answers, hears the whisper and is heard.
    fn sipp(&self) -> anyhow::Result<String> {
        let keys = [press(1_500, '9'), press(3_500, '1')].concat();
        let (heard, party) = std::thread::scope(|scope| {
            let caller = scope.spawn(|| self.sipp_calls("sipp", 5072, &keys));
            let party = self.answered();
            let heard = caller.join().map_err(|_| anyhow::anyhow!("SIPp's caller panicked"))?;
            anyhow::Ok((heard?, party?))
        })?;
        let [menu, _, _, goodbye, invalid, whisper, _] = PROMPTS;
        let tone = (Tone(PARTY_HZ), TALK);
        self.is_heard(
            &heard,
            &[(Prompt(menu), CUT), (Prompt(invalid), WHOLE), (Prompt(menu), CUT), tone, (Prompt(goodbye), WHOLE)],
        )?;
        self.is_heard(&party, &[(Prompt(whisper), WHOLE)]).context("the party")?;
        let steps = ["/voice", "/key 9", "/voice", "/key 1", "/whisper", "/dialled completed"];
        self.is_asked("sipp", &steps)?;
        Ok("SIPp: 9 and 1 cut the menu short, whisper, the party heard".to_owned())
    }

    /// Calls by baresip, which sends 1 twice: at first the party does not answer, then it does.
    fn baresip(&self) -> anyhow::Result<String> {
        let called = format!("sip:{NUMBER}@{}", self.bench.edge.udp);
        let mut phone = Baresip::start(&Setup {
            ip: CARRIER,
            port: 5060,
            account: &format!("<sip:alice@{CARRIER};transport=udp>;regint=0;audio_codecs=PCMU"),
            says: wav(PHONE_HZ),
            ca: None,
            dial: Some(&called),
            lasts: None,
        })?;
        let party = self.called_by_baresip(&phone).with_context(|| phone.log())?;
        phone.wait_for("terminated", PATIENCE)?;
        phone.end(PATIENCE)?;
        let heard = phone.heard()?;
        let [menu, _, _, goodbye, _, whisper, unanswered] = PROMPTS;
        let (back, tone) = ((Prompt(unanswered), WHOLE), (Tone(PARTY_HZ), TALK));
        self.is_heard(&heard, &[(Prompt(menu), CUT), back, (Prompt(menu), CUT), tone, (Prompt(goodbye), WHOLE)])?;
        self.is_heard(&party, &[(Prompt(whisper), WHOLE), (Tone(PHONE_HZ), TALK)]).context("the party")?;
        let steps = ["/voice", "/key 1", "/dialled no-answer", "/voice", "/key 1", "/whisper", "/dialled completed"];
        self.is_asked("alice", &steps)?;
        Ok("baresip: no answer leads back to the menu, then whisper, both heard".to_owned())
    }

    /// Sends a digit in the middle of the menu in each call: the menu stops at once.
    fn barge_in(&self) -> anyhow::Result<String> {
        let mut after = Vec::new();
        for _ in 0..INTERRUPTED {
            let caller = Caller::call(self.bench.edge.udp, NUMBER)?;
            let menu = self.hears_menu(&caller)?;
            after.push(caller.cuts_short('9', menu)?);
            caller.hang_up()?;
        }
        after.sort_unstable();
        let (Some(median), Some(most)) = (after.get(INTERRUPTED / 2), after.last()) else { bail!("no caller") };
        ensure!(*most <= BARGE_IN, "the menu is heard {} ms after the key", most.as_millis());
        Ok(format!(
            "{INTERRUPTED} callers cut the menu short: it is heard {} ms after the first packet of the key (median), {} ms at most",
            median.as_millis(),
            most.as_millis()
        ))
    }

    /// Waits until a caller hears the menu, and returns the menu's tone: concurrent callers may cause two synthesized
    /// versions.
    fn hears_menu(&self, caller: &Caller) -> anyhow::Result<u32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let spoken = self.bench.speech.all()?;
            let mut menus = spoken.iter().filter(|one| one.text.starts_with(PROMPTS[0])).map(|one| one.hz);
            if let Some(hz) = menus.find(|hz| caller.has_heard(*hz, 0)) {
                return Ok(hz);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the menu is not heard")
    }

    fn called_by_baresip(&self, phone: &Baresip) -> anyhow::Result<Vec<f64>> {
        self.application.has("alice", 1)?;
        std::thread::sleep(Duration::from_millis(1_500));
        phone.command("sndcode", "1")?;
        let (invite, from) = self.bench.dialled(DESK, None)?;
        self.bench.is_cancelled(&invite, from, || Ok(()))?;
        self.application.has("alice", 4)?;
        std::thread::sleep(Duration::from_millis(1_500));
        phone.command("sndcode", "1")?;
        self.answered()
    }

    /// Calls the menu by SIPp with these digits; returns the audio that the caller received.
    fn sipp_calls(&self, user: &str, port: u16, keys: &str) -> anyhow::Result<Vec<f64>> {
        let socket = UdpSocket::bind((CARRIER, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        let listener = Listener::start(&socket)?;
        let media = socket.local_addr()?.port() - OFFSET;
        let scenario = CALLER.replace("USER", user).replace("OFFSET", &OFFSET.to_string()).replace("KEYS", keys);
        let mut calls = Calls::new(1, 1, PATIENCE);
        (calls.port, calls.number, calls.media_port) = (port, NUMBER, Some(media));
        calls.scenario = Some(scenario.into());
        let counted = calls.run(self.bench.edge.udp)?;
        calls.all(&counted, || self.bench.edge.log_tail())?;
        Ok(listener.samples())
    }

    /// Answers at the party, which talks for 3 s, one of them during the whisper, and hangs up; returns the audio that
    /// the party received.
    fn answered(&self) -> anyhow::Result<Vec<f64>> {
        let party = self.bench.party();
        let (invite, from) = self.bench.dialled(DESK, None)?;
        let listener = Listener::start(&party.rtp)?;
        let call = party.accept(&invite, from, |_| party.sdp())?;
        let began = Instant::now();
        for number in 0..150 {
            let due = began + Duration::from_millis(20) * number;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let packet = rtp::packet(u16::try_from(number)?, number * 160, 0x7261_7703, &tone_frame(number));
            party.rtp.send_to(&packet, call.media)?;
        }
        self.bench.hangs_up(&call)?;
        Ok(listener.samples())
    }

    /// Checks that audio consists of these sounds in this order.
    fn is_heard(&self, samples: &[f64], expected: &[(Sound, RangeInclusive<u32>)]) -> anyhow::Result<()> {
        let mut known = vec![(PARTY_HZ, PARTY_HZ.to_string()), (PHONE_HZ, PHONE_HZ.to_string())];
        known.extend(self.bench.speech.all()?.into_iter().map(|spoken| (spoken.hz, spoken.text)));
        let frequencies: Vec<u32> = known.iter().map(|(hz, _)| *hz).collect();
        let heard = rtp::tones(samples, &frequencies);
        let name = |hz: u32| known.iter().find(|(known, _)| *known == hz).map_or("", |(_, name)| name);
        let list = || heard.iter().map(|(hz, ms)| format!("{} {ms} ms", name(*hz))).collect::<Vec<_>>().join(", ");
        let is_it = |(hz, length): &(u32, u32), (sound, lengths): &(Sound, RangeInclusive<u32>)| {
            let is_same = match sound {
                Prompt(words) => name(*hz).starts_with(words),
                Tone(tone) => hz == tone,
            };
            is_same && lengths.contains(length)
        };
        ensure!(
            heard.len() == expected.len() && heard.iter().zip(expected).all(|(heard, expected)| is_it(heard, expected)),
            "heard: {}; expected: {expected:?}",
            list()
        );
        Ok(())
    }

    /// Checks that the application got these requests for calls from the caller, with their digits and results.
    fn is_asked(&self, caller: &str, expected: &[&str]) -> anyhow::Result<()> {
        let asked = self.application.steps(caller);
        if asked != expected {
            bail!("the application was asked for {}", asked.join(", "));
        }
        Ok(())
    }
}

/// Returns the SIPp actions that send a digit after a pause in milliseconds.
fn press(milliseconds: u32, key: char) -> String {
    format!("<pause milliseconds=\"{milliseconds}\"/><nop><action><exec play_dtmf=\"{key}\"/></action></nop>")
}
