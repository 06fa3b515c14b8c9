//! MP3 and Ogg: taken apart into packets by symphonia, Vorbis and MP3 decoded by it, Opus by ours. What a file says of
//! itself is bounded before anybody believes it.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_OPUS, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::FormatReader;
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::core::packet::Packet;
use symphonia::default::codecs::{MpaDecoder, VorbisDecoder};
use symphonia::default::formats::{MpaReader, OggReader};

use super::decode::Sink;
use super::opus::Opus;
use super::{RATE_HZ, codebooks};
use crate::limits::OGG_STREAMS;

/// Of so many pieces of a file one may be damaged, as an MP3 that was cut out of a longer one is at its beginning.
const PIECES_TO_ONE_DAMAGED: usize = 20;
/// The mark of an Ogg page, its version, and its flags (RFC 3533 §6).
const PAGE_HEAD_BYTES: usize = 6;
/// Of the flags: the first page of a stream.
const FIRST_PAGE: u8 = 2;

/// Decodes a file that may be MP3.
pub(super) fn mp3(bytes: &[u8], sink: &mut Sink) -> Result<(), String> {
    const NO_AUDIO: &str = "not a WAV, MP3, Ogg Vorbis or Ogg Opus file";
    let reader = MpaReader::try_new(stream(behind_tag(bytes)), Default::default());
    let decoded = reader.map_err(|_| NO_AUDIO.to_owned()).and_then(|mut reader| play(&mut reader, sink))?;
    if decoded.good == 0 { Err(NO_AUDIO.to_owned()) } else { decoded.judge() }
}

/// Decodes a file that begins with `OggS`.
pub(super) fn ogg(bytes: &[u8], sink: &mut Sink) -> Result<(), String> {
    // Each may keep memory for as long as the file is read.
    let first_page =
        |head: &&[u8]| head.starts_with(b"OggS") && head.last().is_some_and(|flags| flags & FIRST_PAGE > 0);
    if bytes.windows(PAGE_HEAD_BYTES).filter(first_page).count() > OGG_STREAMS {
        return Err(format!("more than {OGG_STREAMS} streams in one file"));
    }
    let mut reader = OggReader::try_new(stream(bytes), Default::default()).map_err(|error| {
        if matches!(error, Error::IoError(_)) {
            "it ends before its audio begins".to_owned()
        } else {
            format!("damaged: {error}")
        }
    })?;
    play(&mut reader, sink)?.judge()
}

/// What comes behind an ID3v2 tag, where pictures look like audio.
fn behind_tag(bytes: &[u8]) -> &[u8] {
    let tag = bytes.strip_prefix(b"ID3").and_then(|tag| tag.get(3..7));
    let size = tag.map_or(0, |size| size.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f)) + 10);
    bytes.get(size..).unwrap_or_default()
}

/// Read once from its beginning: nobody looks for an end that the file only claims.
fn stream(bytes: &[u8]) -> MediaSourceStream<'_> {
    MediaSourceStream::new(Box::new(ReadOnlySource::new(bytes)), Default::default())
}

/// How many packets could be decoded.
#[derive(Debug, Default)]
struct Decoded {
    good: usize,
    damaged: usize,
}

impl Decoded {
    /// Whether so much damage can be passed over.
    fn judge(&self) -> Result<(), String> {
        let Decoded { good, damaged } = *self;
        match damaged > 1 && damaged > good / PIECES_TO_ONE_DAMAGED {
            true => Err(format!("damaged: {damaged} of {} pieces cannot be decoded", good + damaged)),
            false => Ok(()),
        }
    }
}

/// Decodes the first track that we can, and what is chained behind it (RFC 3533 §4).
fn play(reader: &mut dyn FormatReader, sink: &mut Sink) -> Result<Decoded, String> {
    let mut decoded = Decoded::default();
    let (mut track, mut decoder) = choose(reader)?;
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(decoded),
            Err(Error::ResetRequired) => {
                (track, decoder) = choose(reader)?;
                continue;
            }
            Err(Error::IoError(_)) => return Ok(decoded),
            Err(error) => return Err(format!("damaged after {} s: {error}", sink.seconds())),
        };
        if packet.track_id != track {
            continue;
        }
        match decoder.decode(&packet, sink) {
            Ok(()) => decoded.good += 1,
            Err(Fault::Packet) if decoded.good > 0 => decoded.damaged += 1,
            // As it is where a file was cut out of a longer one.
            Err(Fault::Packet) => {}
            Err(Fault::File(what)) => return Err(what),
        }
    }
}

/// The first track that we can decode, and what decodes it.
fn choose(reader: &dyn FormatReader) -> Result<(u32, Decoder), String> {
    for track in reader.tracks() {
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { continue };
        if let Some(decoder) = Decoder::new(parameters) {
            return Ok((track.id, decoder?));
        }
    }
    Err("Ogg, but neither Vorbis nor Opus".to_owned())
}

/// What went wrong with a packet.
enum Fault {
    /// It alone is damaged.
    Packet,
    /// The file cannot be used.
    File(String),
}

enum Decoder {
    Symphonia(Box<dyn AudioDecoder>, Vec<f32>),
    Opus(Box<Opus>),
}

impl Decoder {
    /// `None` for what we do not decode.
    fn new(parameters: &AudioCodecParameters) -> Option<Result<Decoder, String>> {
        const VORBIS: AudioCodecId = CODEC_ID_VORBIS;
        let options = AudioDecoderOptions::default();
        let said = parameters.extra_data.as_deref().unwrap_or_default();
        let boxed = |decoder: Box<dyn AudioDecoder>| Decoder::Symphonia(decoder, Vec::new());
        let damaged = |error: Error| format!("damaged: {error}");
        Some(match parameters.codec {
            CODEC_ID_OPUS => Opus::new(said).map(|opus| Decoder::Opus(Box::new(opus))),
            VORBIS => codebooks::check(said).map_err(|what| format!("damaged: {what}")).and_then(|()| {
                VorbisDecoder::try_new(parameters, &options).map(|vorbis| boxed(Box::new(vorbis))).map_err(damaged)
            }),
            // Other layers than the third are refused by it.
            _ => return MpaDecoder::try_new(parameters, &options).ok().map(|mp3| Ok(boxed(Box::new(mp3)))),
        })
    }

    fn decode(&mut self, packet: &Packet, sink: &mut Sink) -> Result<(), Fault> {
        match self {
            Decoder::Symphonia(decoder, samples) => {
                let heard = decoder.decode(packet).map_err(|_| Fault::Packet)?;
                heard.copy_to_vec_interleaved(samples);
                let (rate, channels) = (heard.spec().rate(), heard.spec().channels().count());
                sink.push(rate, channels.max(1), samples.iter().copied()).map_err(Fault::File)
            }
            Decoder::Opus(opus) => {
                let (made, heard) = opus.decode(packet).ok_or(Fault::Packet)?;
                sink.spend(made).map_err(Fault::File)?;
                let samples = heard.iter().map(|sample| f32::from(*sample) / 32_768.0);
                sink.push(RATE_HZ as u32, 1, samples).map_err(Fault::File)
            }
        }
    }
}
