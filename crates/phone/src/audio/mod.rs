//! Audio of one call: sent and received media, and the reports about both.
//!
//! This module has the sending side (`speech`), codecs other than G.711 (`coded`), SRTP (`secure`) and RTCP
//! (`reporting`). `call` negotiates the session; `tone`, `judge` and `ear` generate and evaluate tones.

mod coded;
mod reporting;
mod secure;
mod speech;

use std::net::SocketAddr;
use std::time::Instant;

use rand_chacha::rand_core::Rng as _;
use trunkgate_media::{RtcpOrigin, mos};
use trunkgate_sdp::keying::AgreedKeys;
use trunkgate_sdp::{MediaEndpoint, SessionDescription};

use crate::cx::PhoneCx;
use crate::deadlines::{DueAction, PhoneDeadlines};
use crate::ear::ToneAnalyzer;
use crate::event::{CallNumber, PhoneEvent, PhoneOutput};
use crate::judge::{AudioVerifier, FrameId};
use crate::limits;
use crate::script::CallScript;
use reporting::RtcpReporter;
use secure::SrtpState;
use speech::AudioSender;

pub(crate) use coded::CallCodec;
pub use reporting::{DirectionQuality, PhoneQuality};

/// Both directions of a call's audio.
#[derive(Debug)]
pub(crate) struct PhoneAudio {
    /// Local media address; `None` before the call has one and after its end.
    address: Option<SocketAddr>,
    speech: AudioSender,
    judge: AudioVerifier,
    ear: ToneAnalyzer,
    secure: SrtpState,
    /// RTCP state; `None` if the phone sends no reports.
    reporting: Option<RtcpReporter>,
}

impl PhoneAudio {
    /// Creates the audio of a call with this SSRC.
    pub(crate) fn new(ssrc: u32) -> PhoneAudio {
        PhoneAudio {
            address: None,
            speech: AudioSender::new(ssrc),
            judge: AudioVerifier::default(),
            ear: ToneAnalyzer::default(),
            secure: SrtpState::default(),
            reporting: None,
        }
    }

    /// Sets the local media address, and starts RTCP if configured.
    pub(crate) fn open(&mut self, cx: &mut PhoneCx<'_>, address: Option<SocketAddr>) {
        self.address = address;
        let mut key = [0; 16];
        self.reporting = cx.config.reports.map(|epoch| {
            cx.keys.fill_bytes(&mut key);
            RtcpReporter::new(RtcpOrigin::new(epoch, key))
        });
    }

    /// Removes and returns the local media address, because the call has ended.
    pub(crate) fn close(&mut self) -> Option<SocketAddr> {
        self.address.take()
    }

    /// Returns the local media address, if the call has one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Returns the sender of the call's audio.
    pub(crate) fn speech(&self) -> &AudioSender {
        &self.speech
    }

    /// Queues digits to send in place of audio. Returns whether the remote party supports telephone-events.
    pub(crate) fn send_digits(&mut self, digits: &str) -> bool {
        self.speech.queue_digits(digits)
    }

    /// Queues samples, at 8 kHz, to send in place of the scripted audio.
    pub(crate) fn speak(&mut self, samples: &[i16]) {
        self.speech.speak(samples);
    }

    /// Returns the verification of received audio bit by bit.
    pub(crate) fn verifier(&self) -> &AudioVerifier {
        &self.judge
    }

    /// Returns the evaluation of received audio that was transcoded on the way.
    pub(crate) fn tone_analyzer(&self) -> &ToneAnalyzer {
        &self.ear
    }

    /// Returns the SRTP state of the call.
    pub(crate) fn secure(&self) -> &SrtpState {
        &self.secure
    }

    /// Returns loss and jitter in both directions, or `None` if the phone sends no reports.
    pub(crate) fn quality(&self) -> Option<PhoneQuality> {
        let codec = self.speech.spoken().and_then(|spoken| mos::MosCodec::named(spoken.name()));
        self.reporting.as_ref().map(|reporting| reporting.quality(codec))
    }

    /// Returns the DTMF digits received from the remote party.
    pub(crate) fn pressed(&self) -> &str {
        self.reporting.as_ref().map_or("", RtcpReporter::pressed)
    }

    /// Records that the phone's offer has SRTP, so that keys are expected in the answer.
    pub(crate) fn await_keys(&mut self) {
        self.secure.await_keys();
    }

    /// Records that the offer was rejected; the keys in force are kept.
    pub(crate) fn keep_keys(&mut self) {
        self.secure.keep_keys();
    }

    /// Applies the agreed session: the remote media endpoint, payload type and codec, and whether sending is allowed.
    /// `theirs` is the remote description, which contains the remote party's telephone-events.
    pub(crate) fn apply_session(
        &mut self,
        far: MediaEndpoint,
        (payload, spoken): (u8, CallCodec),
        sends: bool,
        theirs: &SessionDescription,
    ) {
        self.speech.listen_to(far, payload, spoken, sends);
        self.speech.note_events(theirs);
    }

    /// Applies the agreed keys, or switches to plain RTP.
    pub(crate) fn agree_keys(&mut self, now: Instant, keys: Option<AgreedKeys>) {
        self.secure.agree(now, self.speech.to(), keys);
    }

    /// Starts sending. The first frame is due one frame interval from now, as if it had to be recorded first.
    pub(crate) fn start(&mut self, cx: &PhoneCx<'_>, deadlines: &mut PhoneDeadlines) {
        if let Some(first) = self.speech.start(cx.now, cx.config.frame_interval) {
            deadlines.wake(first, DueAction::Frame);
            if self.reporting.is_some() {
                deadlines.wake(cx.now, DueAction::Report);
            }
        }
    }

    /// Sends the frame that is due and schedules the next one.
    pub(crate) fn send_frame(
        &mut self,
        cx: &mut PhoneCx<'_>,
        deadlines: &mut PhoneDeadlines,
        call: CallNumber,
        talk: &CallScript,
    ) {
        let Some(next) = self.speech.next_at(cx.now, cx.config.frame_interval, talk) else { return };
        deadlines.wake(next, DueAction::Frame);
        let Some(from) = self.address else { return };
        let Some((to, packet, instead)) = self.speech.frame(talk) else { return };
        let Some(bytes) = self.secure.seal(false, instead.as_deref().unwrap_or(&packet)) else { return };
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let frame = FrameId { ssrc: self.speech.ssrc(), index: self.speech.sent() };
        self.speech.note_sent();
        cx.outputs.push_back(PhoneOutput::Rtp { call, from, to, frame, bytes });
    }

    /// Sends an RTCP report if one is due, or the final one.
    pub(crate) fn report(&mut self, cx: &mut PhoneCx<'_>, deadlines: &mut PhoneDeadlines, is_last: bool) {
        let Some(reporting) = &mut self.reporting else { return };
        let Some(stream) = self.speech.stream() else { return };
        reporting.check_schedule(cx.now, self.speech.sent(), is_last);
        if !is_last {
            deadlines.wake(cx.now + limits::REPORTS_LOOKED_FOR, DueAction::Report);
        }
        let (Some(from), Some(to)) = (self.address, self.speech.reports_to()) else { return };
        let Some(packet) = reporting.next_report(cx.now, stream) else { return };
        if let Some(bytes) = self.secure.seal(true, packet.data()) {
            let bytes = bytes::Bytes::copy_from_slice(bytes);
            cx.outputs.push_back(PhoneOutput::Rtcp { from, to, bytes });
        }
    }

    /// Handles an RTP packet received at the local media address.
    pub(crate) fn receive_packet(&mut self, cx: &mut PhoneCx<'_>, call: CallNumber, talk: &CallScript, bytes: &[u8]) {
        let Some(bytes) = self.secure.open(cx.now, false, bytes) else { return };
        if let Some(reporting) = &mut self.reporting {
            reporting.count_packet(cx.now, bytes, self.speech.payload_and_clock());
        }
        let wanted = talk.overheard || talk.by_ear;
        if wanted && let Some((rtp, clock_hz, samples)) = self.speech.decode(bytes) {
            if talk.by_ear {
                self.ear.add_frame(cx.now, rtp.sequence, &samples);
            }
            if talk.overheard {
                let timestamp = (rtp.timestamp, clock_hz);
                cx.outputs.push_back(PhoneOutput::Heard { call, ssrc: rtp.ssrc, timestamp, samples });
            }
        }
        if !talk.by_ear
            && let Some(heard) = self.judge.add_packet(cx.now, bytes)
        {
            cx.queue_event(PhoneEvent::Heard(call, heard));
        }
    }

    /// Handles an RTCP packet received at the local media address.
    pub(crate) fn hear_report(&mut self, now: Instant, bytes: &[u8]) {
        let clock_hz = self.speech.clock_hz();
        if let Some(reporting) = &mut self.reporting
            && let Some(bytes) = self.secure.open(now, true, bytes)
        {
            reporting.receive_report(now, (self.speech.ssrc(), clock_hz), bytes);
        }
    }
}
