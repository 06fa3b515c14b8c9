//! Hold audio and an agent alternate in one stream, through the real binary: no packet is missing, no click is heard,
//! and music in all formats works.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::net::{Shutdown, SocketAddr};

use crate::support::calls::received;
use crate::support::talk::{Rig, Talk};
use crate::support::until;
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};

/// Returns the largest second difference of samples: small for a tone, large at a cut.
fn sharpest(samples: &[i32]) -> i32 {
    samples.windows(3).map(|w| (w[0] - 2 * w[1] + w[2]).abs()).max().unwrap()
}

/// Returns the stretches of audio between pauses of three or more packets; each begins as the agent has sent it.
fn after_pauses(samples: &[i32]) -> Vec<&[i32]> {
    let (mut stretches, mut begin, mut silent) = (Vec::new(), 0, 0);
    for (at, sample) in samples.iter().enumerate() {
        if *sample != 0 && silent >= 480 {
            stretches.push(&samples[begin..at]);
            begin = at;
        }
        silent = if *sample == 0 { silent + 1 } else { 0 };
    }
    stretches.push(&samples[begin..]);
    stretches.retain(|stretch| stretch.len() >= 3);
    stretches
}

fn samples(codes: &[u8]) -> Vec<i32> {
    codes.iter().map(|code| i32::from(decode_ulaw(*code))).collect()
}

/// Sets up a call that is answered at once, with the first packets of its hold audio; the agent's connection is not yet
/// accepted.
fn held(hold: &str, packets: usize) -> (Rig, (SocketAddr, String), Vec<u8>) {
    let rig = Rig::new(&format!("answer = 'at_once'\nretry = 3\nhold = {{ {hold} }}"));
    rig.invite("swap", "0");
    let answered = rig.answered("swap");
    let heard = (0..packets).flat_map(|_| received(&rig.caller.rtp).0[12..].to_vec()).collect();
    (rig, answered, heard)
}

/// Receives this many further packets at the caller.
fn listen(talk: &mut Talk, packets: usize) {
    let wanted = talk.heard.len() + packets;
    until("the caller has heard that much", || {
        talk.take_in();
        (talk.heard.len() >= wanted).then_some(())
    });
}

/// Writes a WAV file of these samples.
fn written(folder: &tempfile::TempDir, samples: impl Iterator<Item = i16>) -> String {
    let path = folder.path().join("hold.wav");
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(&path, spec).unwrap();
    samples.for_each(|sample| wav.write_sample(sample).unwrap());
    wav.finalize().unwrap();
    path.display().to_string()
}

#[test]
fn an_agent_takes_over_from_the_music_and_gives_back_without_a_click() {
    let wave = |n: usize| (8000.0 * (std::f64::consts::TAU * 400.0 * n as f64 / 8000.0).sin()) as i16;
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, (0..4000).map(wave));
    let (rig, (near, tag), music) = held(&format!("strategy = 'music', music = '{path}'"), 40);
    let usual = sharpest(&samples(&music[320..]));
    let mut talk = rig.talk(rig.connected(), near, tag);
    // The same tone at another phase.
    let said: Vec<u8> = (7..8007).map(|n| encode_ulaw(wave(n))).collect();
    talk.say(&said);
    talk.mark("said");
    talk.say(&said);
    talk.next("mark");
    listen(&mut talk, 10);
    // The agent is lost in the middle of speech.
    talk.agent.get_ref().shutdown(Shutdown::Both).unwrap();
    listen(&mut talk, 50);
    let heard = talk.audio();
    let is_heard = heard.windows(4000).any(|part| part == &said[2000..6000]);
    assert!(is_heard || !talk.watch.is_in_time(), "the agent was heard");
    // A packet or two of silence lie between: the end has been faded out, and the beginning faded in.
    let whole = samples(&heard[..heard.len() - 160]);
    let most = after_pauses(&whole).into_iter().map(sharpest).max().unwrap();
    assert!(most < 2 * usual || !talk.watch.is_in_time(), "{most}, and {usual} without a swap");
    // The same measure must detect a cut.
    let cut: Vec<i32> = (0..25).map(|n| i32::from(wave(n))).chain([0; 4]).collect();
    assert!(sharpest(&cut) > 2 * usual, "{}, and {usual}", sharpest(&cut));
}

/// Each of these files has 440 Hz for half a second.
#[test]
fn hold_music_of_each_compressed_kind_is_heard() {
    for file in ["tone.mp3", "tone.ogg", "tone.opus"] {
        let music = format!("{}/tests/data/{file}", env!("CARGO_MANIFEST_DIR"));
        let (_rig, _, heard) = held(&format!("strategy = 'music', music = '{music}'"), 20);
        let tone = samples(&heard[800..3200]);
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (n, sample) in tone.iter().enumerate() {
            let (angle, sample) = (std::f64::consts::TAU * 440.0 * n as f64 / 8000.0, f64::from(*sample));
            (re, im, all) = (re + sample * angle.cos(), im + sample * angle.sin(), all + sample * sample);
        }
        assert!(all > 0.0 && (re * re + im * im) * 2.0 / 2400.0 > 0.98 * all, "{file}");
    }
}

#[test]
fn after_an_announcement_and_without_any_the_caller_hears_the_ringback_tone() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(&folder, [2000; 800].into_iter());
    let (_rig, _, tone) = held("strategy = 'none'", 20);
    assert!(tone[160..].iter().filter(|code| **code != 0xff).count() > 2000);
    let (_other, _, heard) = held(&format!("strategy = 'audio', audio = '{path}'"), 25);
    assert_eq!(heard[160..800], [encode_ulaw(2000); 640], "its first packet fades in");
    assert_eq!(heard[960..], tone[160..], "the same tone from its beginning");
}
