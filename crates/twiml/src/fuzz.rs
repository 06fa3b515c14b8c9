//! Fuzz target bodies, kept in this crate so that changes of its code cannot break them unnoticed.

use std::time::Duration;

use crate::program::{DocumentSource, Program, ProgramInput, ProgramSettings, RecogniserResult};
use crate::secret::SensitiveText;

/// Runs a program with arbitrary bytes as the response to every request; all steps complete immediately.
pub fn twiml_document(data: &[u8]) {
    let _ = crate::document::parse_messaging(&String::from_utf8_lossy(data));
    let mut program = Program::new(ProgramSettings { recognition: true, ..ProgramSettings::default() });
    let mut now = Duration::ZERO;
    program.start(now, DocumentSource::Text(String::from_utf8_lossy(data).into_owned()), false);
    for round in 0..200_u32 {
        while program.poll_output().is_some() {}
        if program.is_over() {
            return;
        }
        match program.poll_timeout() {
            Some(due) if round % 2 == 0 => {
                assert!(due >= now);
                now = due;
                program.handle_timeout(now);
            }
            Some(_) if round % 3 == 0 => program.handle_input(now, ProgramInput::Digit('1')),
            Some(_) => hear(&mut program, now, round, data),
            // Ids count up from 1, so one of these is correct.
            None => {
                for id in 0..=round.saturating_add(2) {
                    program.handle_input(now, ProgramInput::Played { id });
                    let content_type = Some("text/xml".to_owned());
                    program
                        .handle_input(now, ProgramInput::Fetched { id, url: None, content_type, body: data.to_vec() });
                    program.handle_input(now, ProgramInput::StreamEnded { id, error: None });
                }
            }
        }
    }
    program.handle_input(now, ProgramInput::HungUp);
}

/// Feeds a result to the active recogniser, or its failure.
fn hear(program: &mut Program, now: Duration, round: u32, data: &[u8]) {
    let Some(listening) = program.recognition() else { return };
    let id = listening.id;
    if round.is_multiple_of(7) {
        return program.handle_input(now, ProgramInput::RecognitionFailed { id, text: String::new() });
    }
    let text = String::from_utf8_lossy(data.get(..data.len().min(40)).unwrap_or_default()).into_owned();
    let heard = RecogniserResult {
        text: SensitiveText::new(text),
        is_final: round.is_multiple_of(5),
        confidence_ppm: Some(round),
    };
    program.handle_input(now, ProgramInput::Speech { id, heard });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const PARTS: [&str; 14] = [
        "<Response>",
        "</Response>",
        "<Say>",
        "</Say>",
        "<Gather numDigits='1'>",
        "</Gather>",
        "<Gather input='dtmf speech' partialResultCallback='/p' hints='a, b'>",
        "<Gather input='speech' speechTimeout='auto' bargeIn='false'/>",
        "<Dial>",
        "</Dial>",
        "<Redirect>https://a.example/</Redirect>",
        "<Pause length='1'/>",
        "&#65;&amp;",
        "<![CDATA[x]]>",
    ];

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::twiml_document(&bytes);
        }

        #[test]
        fn anything_like_a_document(parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..12)) {
            super::twiml_document(parts.concat().as_bytes());
            super::twiml_document(format!("<Response>{}</Response>", parts.concat()).as_bytes());
        }
    }
}
