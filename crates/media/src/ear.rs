//! A far side's audio that is not G.711, as an agent hears it: decoded as it comes, in packets of 20 ms on a clock of 8 kHz.

use std::time::Instant;

use trunkgate_agent::Format;

use crate::counters::DropReason;
use crate::packet::PacketBuf;
use crate::rtp::Rtp;
use crate::transcode::{Coding, EventsSpec, TranscodeSpec, Transcoder};
use crate::voice::CLOCK_HZ;

/// What decoded audio has for a payload number, and what has none of it.
const AUDIO: u8 = 0;
const NO_AUDIO: u8 = 1;
const PACKET_MS: u8 = 20;

/// One track's decoder.
#[derive(Debug)]
pub(crate) struct Ear {
    transcoder: Transcoder,
    packet: PacketBuf,
}

/// How these payload numbers become what an agent hears, `keys` among them; `None` where all is G.711.
pub(crate) fn decoded(audio: &[(u8, Coding)], keys: Option<u8>, format: Format) -> Option<TranscodeSpec> {
    if audio.iter().all(|(_, coding)| coding.is_g711()) {
        return None;
    }
    let to = match format {
        Format::Mulaw8000 => Coding::Pcmu,
        Format::L16Rate8000 => Coding::Linear(CLOCK_HZ),
        Format::L16Rate16000 | Format::L16Rate24000 => Coding::Linear(crate::codec::g722::RATE_HZ),
    };
    // Their place counts, not how long they last.
    let events = keys.map(|number| EventsSpec { from: (number, CLOCK_HZ), to: (NO_AUDIO, CLOCK_HZ) });
    Some(TranscodeSpec {
        from: audio.to_vec(),
        to: (AUDIO, to),
        packet_ms: PACKET_MS,
        events: events.into_iter().collect(),
        noise: None,
    })
}

impl Ear {
    /// As `spec` says; `None` where it names nothing that can be decoded.
    pub(crate) fn new(spec: TranscodeSpec) -> Option<Box<Ear>> {
        let transcoder = Transcoder::new(spec, 0, (0, 0, 0))?;
        Some(Box::new(Ear { transcoder, packet: PacketBuf::new() }))
    }
    /// As it was asked for.
    pub(crate) fn spec(&self) -> &TranscodeSpec {
        self.transcoder.spec()
    }
    /// Whether it takes a payload number.
    pub(crate) fn takes(&self, number: u8) -> bool {
        self.transcoder.takes(number)
    }
    /// Takes a packet; what it makes is asked for by [`Self::poll`].
    ///
    /// # Errors
    /// Where it is of no use.
    pub(crate) fn push(&mut self, now: Instant, (rtp, bytes): (&Rtp, &[u8])) -> Result<(), DropReason> {
        self.transcoder.push(now, rtp, bytes.get(rtp.payload.clone()).unwrap_or_default())
    }
    /// The next packet that is heard: its header, its bytes, and what its audio is, if it has any.
    pub(crate) fn poll(&mut self) -> Option<(Rtp, &[u8], Option<Coding>)> {
        let rtp = self.transcoder.poll(&mut self.packet)?;
        let coding = (rtp.payload_type == AUDIO).then(|| self.transcoder.spec().to.1);
        Some((rtp, self.packet.data(), coding))
    }
}
