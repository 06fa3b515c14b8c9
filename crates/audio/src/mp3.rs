//! MP3 decoder, based on symphonia.

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioDecoder as _, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::FormatReader as _;
use symphonia::core::io::{MediaSourceStream, ReadOnlySource};
use symphonia::default::codecs::MpaDecoder;
use symphonia::default::formats::MpaReader;

use super::decode::{NarrowbandSink, PieceCounts};

const NO_AUDIO: &str = "not a WAV, AIFF, AU, MP3, Ogg Vorbis or Ogg Opus file";

/// Decodes a file as MP3; called for files with none of the known signatures.
pub(super) fn decode(bytes: &[u8], sink: &mut NarrowbandSink) -> Result<(), String> {
    // Read sequentially: the parser does not seek to an end that the file only claims.
    let stream = MediaSourceStream::new(Box::new(ReadOnlySource::new(behind_tag(bytes))), Default::default());
    let mut reader = MpaReader::try_new(stream, Default::default()).map_err(|_| NO_AUDIO)?;
    let parameters = reader.tracks().iter().find_map(|track| match &track.codec_params {
        Some(CodecParameters::Audio(parameters)) => Some(parameters.clone()),
        Some(_) | None => None,
    });
    // The decoder rejects layers other than the third.
    let decoder =
        parameters.and_then(|parameters| MpaDecoder::try_new(&parameters, &AudioDecoderOptions::default()).ok());
    let mut decoder = decoder.ok_or(NO_AUDIO)?;
    let (mut pieces, mut samples) = (PieceCounts::default(), Vec::new());
    loop {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) | Err(Error::IoError(_)) => break,
            Err(error) => return Err(format!("damaged after {} s: {error}", sink.seconds())),
        };
        let Ok(heard) = decoder.decode(&packet) else {
            pieces.count_damaged()?;
            continue;
        };
        pieces.count_good();
        heard.copy_to_vec_interleaved(&mut samples);
        let (rate, channels) = (heard.spec().rate(), heard.spec().channels().count());
        sink.push(rate, channels.max(1), samples.iter().copied())?;
    }
    if pieces.any_good() { pieces.check_damage() } else { Err(NO_AUDIO.to_owned()) }
}

/// Returns the data after an ID3v2 tag, because pictures in the tag may look like audio; all data if there is no tag.
fn behind_tag(bytes: &[u8]) -> &[u8] {
    let tag = bytes.strip_prefix(b"ID3").and_then(|tag| tag.get(3..7));
    let size = tag.map_or(0, |size| size.iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f)) + 10);
    bytes.get(size..).unwrap_or_default()
}
