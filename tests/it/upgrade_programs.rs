//! Programs over `trunkgate upgrade`: what a caller hears goes on where it was, and a message is recorded to its end.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};

use crate::apps::{Rig, application, parameter, path};
use crate::support::calls::{Speaking, media_of, received};
use crate::support::endpoint::{Endpoint, Post};
use crate::support::until;
use crate::upgrade::upgrade;
use crate::upgrade_recordings::{NEAR, files, numbered};

/// Number of different frames.
const FRAMES: u16 = 400;
/// Number of digits that a code can have; all codes are loud.
const DIGITS: u16 = 48;

/// Returns a sound whose frames of 20 ms are numbered from 0 on, in two digits.
fn prompt() -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for n in 0..FRAMES {
        for digit in [n / DIGITS, n % DIGITS] {
            (0..80).for_each(|_| wav.write_sample(decode_ulaw(digit as u8)).unwrap());
        }
    }
    wav.finalize().unwrap();
    bytes.into_inner()
}

/// Returns the number of a frame; `None` for silence.
fn number(audio: &[u8]) -> Option<u16> {
    let digit = |half: &[u8]| Some(u16::from(encode_ulaw(decode_ulaw(half[0])))).filter(|code| *code < DIGITS);
    Some(digit(audio.get(..80)?)? * DIGITS + digit(audio.get(80..160)?)?)
}

/// The sound is heard to its end, each frame once and in order, and the step after it follows.
#[test]
fn a_sound_in_progress_is_heard_to_its_end_once() {
    let document: &[u8] = b"<Response><Play>prompt.wav</Play><Hangup/></Response>";
    let sound = prompt();
    let rig = Rig::new(
        "[app.ivr]\nfile = \"ivr.xml\"\n",
        "\"app:ivr\"",
        &[("ivr.xml", document), ("prompt.wav", &sound[..])],
    );
    rig.invite();
    rig.answered();
    let mut heard = Vec::new();
    let mut hear = |most: usize| {
        until("the sound is heard", || {
            let (packet, _) = received(&rig.caller.rtp);
            heard.extend(packet.get(12..).and_then(number));
            (heard.len() >= most).then_some(())
        });
    };
    hear(20);
    let _first = upgrade(&rig.edge.url());
    hear(150);
    let _second = upgrade(&rig.edge.url());
    hear(usize::from(FRAMES));
    assert_eq!(heard, (0..FRAMES).collect::<Vec<u16>>());
    rig.caller.sip.receive("BYE ");
}

/// Starts an edge with a program that a web application controls.
fn asking(application: &Endpoint) -> Rig {
    let url = format!("http://{}/voice", application.address);
    let app = format!("[app.ivr]\nurl = \"{url}\"\nallow_private = true\n[recording]\ndirectory = \"recordings\"\n");
    Rig::new(&app, "\"app:ivr\"", &[])
}

/// Waits for a request of the edge for this path.
fn requested(application: &Endpoint, wanted: &str) -> Post {
    until(wanted, || application.posts().into_iter().find(|post| path(post) == wanted))
}

#[test]
fn a_gather_keeps_the_digits_before_an_upgrade() {
    let application = application(&[
        ("/voice", r#"<Gather numDigits="3" timeout="30" action="/chosen"/>"#),
        ("/chosen", "<Hangup/>"),
    ]);
    let rig = asking(&application);
    rig.invite();
    let ok = rig.answered();
    rig.press(&ok, 1, 100);
    rig.press(&ok, 2, 200);
    let _successor = upgrade(&rig.edge.url());
    rig.press(&ok, 3, 300);
    assert_eq!(parameter(&requested(&application, "/chosen"), "Digits"), "123");
    rig.caller.sip.receive("BYE ");
    assert_eq!(application.posts().iter().filter(|post| path(post) == "/voice").count(), 1);
}

/// The message has the words before and after the upgrade, and its verb goes on with the result.
#[test]
fn a_record_goes_on_in_its_file_to_the_key_that_ends_it() {
    let application = application(&[
        ("/voice", r##"<Record action="/done" playBeep="false" finishOnKey="#" timeout="60" trim="do-not-trim"/>"##),
        ("/done", "<Hangup/>"),
    ]);
    let rig = asking(&application);
    rig.invite();
    let ok = rig.answered();
    let speaking = Speaking::new(&rig.caller.rtp, media_of(&ok), |n| numbered(1, NEAR, n));
    let recorded = || files(&rig.edge).first().map_or(0, |file| std::fs::metadata(file).map_or(0, |about| about.len()));
    let record_more = || {
        let before = recorded();
        until("more is recorded", || (recorded() > before + 16_000).then_some(()));
    };
    record_more();
    let _successor = upgrade(&rig.edge.url());
    record_more();
    drop(speaking);
    rig.press(&ok, 11, 60_000);
    let done = requested(&application, "/done");
    rig.caller.sip.receive("BYE ");
    let all = files(&rig.edge);
    assert!(all.len() == 1 && all[0].to_str().unwrap().contains(&parameter(&done, "RecordingSid")), "{all:?}");
    let completed = || rig.edge.metric("trunkgate_recordings_total{result=\"completed\"}") == 1.0;
    until("the file is closed", || completed().then_some(()));
    let bytes = std::fs::read(&all[0]).unwrap();
    let codes = bytes[80..].chunks_exact(2).map(|pair| encode_ulaw(i16::from_le_bytes([pair[0], pair[1]])));
    let heard: Vec<u16> = codes.collect::<Vec<u8>>().chunks(160).filter_map(number).collect();
    assert!(heard.is_sorted_by(|a, b| a < b) && heard.len() > 80, "{heard:?}");
    let seconds: u64 = parameter(&done, "RecordingDuration").parse().unwrap();
    assert!(seconds.abs_diff((bytes.len() as u64 - 80) / 16_000) <= 1, "{seconds} s of {} bytes", bytes.len());
}
