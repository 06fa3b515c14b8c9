//! Checks of the scenario file before SIPp starts: whether it is valid XML, places calls, and sends audio. SIPp checks
//! everything else.

use std::path::Path;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use trunkgate_system::files;

/// Maximum size of a scenario file, in bytes.
const MOST_BYTES: u64 = 4 << 20;
/// Attributes of `<exec>` that send audio.
const AUDIO: [&str; 2] = ["play_pcap_audio", "rtp_stream"];

/// Properties of a SIPp scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SippScenario {
    /// Whether the scenario sends audio.
    pub(super) sends_audio: bool,
}

impl SippScenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// Returns the file and its error.
    pub(super) fn read(path: &Path) -> Result<SippScenario, String> {
        let wrong = |what: String| format!("--scenario {}: {what}", path.display());
        let bytes = files::read(path, MOST_BYTES).map_err(|error| wrong(error.to_string()))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(wrong(format!("more than {} MiB", MOST_BYTES >> 20)));
        }
        // In every encoding supported by SIPp, the names of elements and attributes are ASCII.
        SippScenario::parse(&String::from_utf8_lossy(&bytes)).map_err(wrong)
    }

    fn parse(text: &str) -> Result<SippScenario, String> {
        let mut reader = Reader::from_str(text);
        // SIPp accepts an unescaped `&`.
        reader.config_mut().allow_dangling_amp = true;
        let (mut depth, mut root, mut is_caller, mut sends_audio) = (0_usize, None, None, false);
        loop {
            let event = reader.read_event().map_err(|wrong| {
                let at = usize::try_from(reader.error_position()).unwrap_or(usize::MAX);
                format!("not XML: line {}: {wrong}", line(text, at))
            })?;
            let (start, is_open) = match event {
                Event::Start(start) => (start, true),
                Event::Empty(start) => (start, false),
                Event::End(_) => {
                    depth = depth.saturating_sub(1);
                    continue;
                }
                Event::Eof => break,
                Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => continue,
                Event::Decl(_) | Event::DocType(_) | Event::Comment(_) | Event::PI(_) => continue,
            };
            let name = start.name().into_inner().to_owned();
            match depth {
                0 if root.is_none() => root = Some(name),
                1 if is_caller.is_none() => is_caller = calls(&name),
                _ => sends_audio |= name == "exec" && plays(&start),
            }
            depth += usize::from(is_open);
        }
        match root.as_deref() {
            None => Err("not XML: no element".to_owned()),
            Some(_) if depth > 0 => Err("not XML: it ends within an element".to_owned()),
            Some("scenario") if is_caller == Some(false) => {
                Err("it waits for calls (its first message is a <recv>): use a scenario that places calls".to_owned())
            }
            Some("scenario") => Ok(SippScenario { sends_audio }),
            Some(other) => Err(format!("not a SIPp scenario: the root element is <{other}>, not <scenario>")),
        }
    }
}

/// Returns whether a scenario with this step as its first one places calls; `None` if a later step decides.
fn calls(name: &str) -> Option<bool> {
    match name {
        "send" | "sendCmd" | "recvCmd" => Some(true),
        "recv" => Some(false),
        _ => None,
    }
}

/// Returns whether an `<exec>` starts to send audio.
fn plays(exec: &BytesStart<'_>) -> bool {
    let is_control = |value: &str| matches!(value, "pause" | "resume");
    let mut attributes = exec.attributes();
    attributes.with_checks(false).flatten().any(|one| AUDIO.contains(&one.key.into_inner()) && !is_control(&one.value))
}

/// Returns the line number of a byte offset, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<!DOCTYPE scenario SYSTEM \"sipp.dtd\">\n";

    #[test]
    fn a_scenario_that_places_calls_is_read_and_its_audio_seen() {
        let parse = |steps: &str| SippScenario::parse(&format!("{HEAD}<scenario name=\"a & b\">{steps}</scenario>"));
        let invite = "<nop/><send retrans=\"500\"><![CDATA[ INVITE sip:[service]@x & <more> ]]></send>";
        let sends = |steps: &str| parse(&format!("{invite}{steps}")).map(|scenario| scenario.sends_audio);
        assert_eq!(sends("<recv response=\"200\"/>"), Ok(false));
        let exec = |what: &str| format!("<nop><action><exec {what}/></action></nop>");
        assert_eq!(sends(&exec("rtp_stream=\"tone.ul,-1,0\"")), Ok(true));
        assert_eq!(sends(&exec("play_pcap_audio=\"g711a.pcap\"")), Ok(true));
        assert_eq!(sends(&exec("rtp_stream=\"pause\"")), Ok(false));
        assert_eq!(sends(&exec("command=\"echo play_pcap_audio\"")), Ok(false));
        assert_eq!(sends("<!-- <exec rtp_stream=\"x\"/> -->"), Ok(false));
        // SIPp patterns may contain characters that XML forbids in attributes.
        assert_eq!(sends("<recv response=\"200\"><action><ereg regexp=\"<sip:.*>\"/></action></recv>"), Ok(false));
        // A scenario in ISO-8859-1 is accepted.
        let bytes = [HEAD.as_bytes(), b"<scenario name=\"gr\xfcn\"><send>x</send></scenario>"].concat();
        assert!(SippScenario::parse(&String::from_utf8_lossy(&bytes)).is_ok());
    }

    #[test]
    fn the_example_is_a_scenario_with_audio() {
        let example = include_str!("../../../../../examples/sipp/uac_rtp.xml");
        assert_eq!(SippScenario::parse(example), Ok(SippScenario { sends_audio: true }));
    }

    #[test]
    fn a_file_that_is_no_scenario_of_callers_is_refused() {
        for (text, part) in [
            ("", "not XML: no element"),
            ("calls = 3\n", "not XML: no element"),
            ("<scenario>\n<send>\n</scenario>", "not XML: line 3: "),
            ("<scenario><send>x</send>", "not XML: it ends within an element"),
            ("<html><send/></html>", "the root element is <html>"),
            ("<scenario><recv request=\"INVITE\"/><send>x</send></scenario>", "it waits for calls"),
        ] {
            let wrong = SippScenario::parse(text).unwrap_err();
            assert!(wrong.contains(part), "{text}: {wrong}");
        }
        let wrong = SippScenario::read(Path::new("/no/such/file.xml")).unwrap_err();
        assert!(wrong.starts_with("--scenario /no/such/file.xml: "), "{wrong}");
    }
}
