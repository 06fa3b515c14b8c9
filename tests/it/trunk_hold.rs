//! Holds between two trunks through the real binary: the edge answers them and plays music to the other side, or passes
//! them on, also for a re-INVITE without SDP.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use crate::support::calls::{Call, NUMBER, Phone, is_silent, received, rtp};
use crate::support::sip::field;
use crate::support::{Process, config, until};
use trunkgate_media::codec::g711::encode_ulaw;
use trunkgate_media::rtp::RtpHeader;

/// Samples of the music, which is repeated.
const MUSIC: [i16; 800] = [3_000; 800];

/// Starts an edge between two trunks; `hold`: keys of the caller's trunk.
fn edge(caller: &Phone, callee: &Phone, hold: &str) -> (Process, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut wav = hound::WavWriter::create(folder.path().join("music.wav"), spec).unwrap();
    MUSIC.iter().for_each(|sample| wav.write_sample(*sample).unwrap());
    wav.finalize().unwrap();
    let text = format!(
        "{}{hold}\n{}[[route]]\nfrom = [\"carrier\"]\nconnect = [\"trunk:pbx\"]\n",
        caller.trunk("carrier"),
        callee.trunk("pbx")
    );
    let text = text.replace("FILES", &folder.path().display().to_string());
    (Process::start(&config(&text)), folder)
}

/// Sends a re-INVITE, or another request in the call, from the caller.
fn ask(call: &Call, caller: &Phone, method: &str, cseq: u32, body: &str) {
    let request = caller.sip.request_with(method, NUMBER, call.sip, &call.id, (cseq, &call.tag), body);
    caller.sip.send(call.sip, &request);
}

/// Receives the 200 to a request of the caller.
fn ok(caller: &Phone, cseq: u32) -> String {
    loop {
        let (ok, _) = caller.sip.receive("SIP/2.0 200");
        if field(&ok, "CSeq") == format!("{cseq} INVITE") {
            return ok;
        }
    }
}

/// Sends a request from the caller that the edge answers by itself.
fn answered_here(call: &Call, caller: &Phone, cseq: u32, body: &str, answered: &str) {
    ask(call, caller, "INVITE", cseq, body);
    let ok = ok(caller, cseq);
    assert!(ok.contains(&format!("a={answered}")), "{ok}");
    ask(call, caller, "ACK", cseq, "");
}

/// Waits until the callee hears the caller.
fn talks(call: &Call, caller: &Phone, callee: &Phone, ssrc: u32) {
    until("the callee hears the caller", || {
        caller.rtp.send_to(&rtp(ssrc, 7), call.near).unwrap();
        let (packet, _) = received(&callee.rtp);
        let audio = RtpHeader::parse(&packet).unwrap().payload;
        (packet[audio].iter().all(|code| *code == 7)).then_some(())
    });
}

#[test]
fn a_hold_that_ends_here_plays_music_and_the_other_side_is_not_asked() {
    for (music, own) in [("\nhold_music = \"FILES/music.wav\"", false), ("", true)] {
        let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
        let (edge, _folder) = edge(&caller, &callee, &format!("hold = \"local\"{music}"));
        let call = Call::set_up(&edge, "hold", &caller, &callee);
        talks(&call, &caller, &callee, 9);
        answered_here(&call, &caller, 2, &caller.description(2, "a=sendonly\r\n"), "recvonly");
        let wanted = encode_ulaw(MUSIC[0]);
        until("the callee hears music", || {
            let (packet, _) = received(&callee.rtp);
            let audio = &packet[RtpHeader::parse(&packet).unwrap().payload];
            let music = if own { audio.iter().any(|code| *code < 0xc0 && *code != 7) } else { *audio == [wanted; 160] };
            music.then_some(())
        });
        // The callee hears one stream, without the caller's audio in between.
        let mut last: Option<RtpHeader> = None;
        for _ in 0..20 {
            caller.rtp.send_to(&rtp(9, 8), call.near).unwrap();
            let (packet, _) = received(&callee.rtp);
            let heard = RtpHeader::parse(&packet).unwrap();
            assert!(packet[heard.payload.clone()] != [8; 160], "the caller is not heard");
            if let Some(last) = last.replace(heard.clone()) {
                assert_eq!((heard.ssrc, heard.sequence), (last.ssrc, last.sequence.wrapping_add(1)));
            }
        }
        assert_eq!(edge.json("/v1/calls")["calls"][0]["state"], "held");
        // The caller does not hear the callee, who is still sending audio.
        while !is_silent(&caller.rtp) {}
        callee.rtp.send_to(&rtp(11, 3), call.far).unwrap();
        answered_here(&call, &caller, 3, &caller.description(3, ""), "sendrecv");
        talks(&call, &caller, &callee, 9);
        assert!(callee.sip.heard_nothing(), "the callee got no request");
        call.hang_up(4, &caller, &callee);
    }
}

/// Hold as in CUCM: the re-INVITE has no SDP, but its ACK has one.
#[test]
fn a_hold_and_its_end_in_the_ack_are_told_to_the_other_side() {
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.1"));
    let (edge, _folder) = edge(&caller, &callee, "");
    let call = Call::set_up(&edge, "late", &caller, &callee);
    for (cseq, wanted, answered, state) in
        [(2, "inactive", "inactive", "held"), (3, "sendrecv", "sendrecv", "answered")]
    {
        ask(&call, &caller, "INVITE", cseq, "");
        let ok = ok(&caller, cseq);
        assert!(ok.contains("a=sendrecv"), "{ok}");
        ask(&call, &caller, "ACK", cseq, &caller.description(cseq, &format!("a={wanted}\r\n")));
        let (invite, from) = callee.sip.receive("INVITE ");
        assert!(invite.contains(&format!("a={wanted}")), "{invite}");
        let answer = callee.description(cseq, &format!("a={answered}\r\n"));
        callee.sip.send(from, &callee.sip.answer_with(&invite, "200 OK", &answer));
        callee.sip.receive("ACK ");
        until("it shows", || (edge.json("/v1/calls")["calls"][0]["state"] == state).then_some(()));
    }
    talks(&call, &caller, &callee, 9);
    call.hang_up(4, &caller, &callee);
}
