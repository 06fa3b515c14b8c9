//! Audio that one end of a call has heard, and the script's position in it.

use super::script::ExpectedSound;
use super::voice::{Codebook, HeardSound, SoundDecoder, SoundKind};

/// Audio heard by the caller or a party, matched against the script's expectations.
#[derive(Debug, Default)]
pub(super) struct AudioMatcher {
    ear: SoundDecoder,
    /// Position after the last match: index of a sound, and byte offset in its text.
    cursor: (usize, usize),
}

impl AudioMatcher {
    /// Adds the samples of a packet received `at` seconds after the call began.
    pub(super) fn take(&mut self, book: &Codebook, at: f64, samples: &[i16]) {
        self.ear.take(book, at, samples);
    }

    /// Returns the sounds heard so far, in order.
    pub(super) fn heard(&self) -> &[HeardSound] {
        self.ear.heard()
    }

    /// Searches the texts after the last match for these words, and moves the position behind them; `None` if they are
    /// not heard.
    pub(super) fn hears(&mut self, words: &str) -> Option<()> {
        let wanted = plain(words);
        for (at, heard) in self.ear.heard().iter().enumerate().skip(self.cursor.0) {
            let Some(said) = heard.words() else { continue };
            let said = plain(&said);
            let from = if at == self.cursor.0 { self.cursor.1 } else { 0 };
            if let Some(found) = said.get(from..).and_then(|rest| rest.find(&wanted)) {
                self.cursor = (at, from + found + wanted.len());
                return Some(());
            }
        }
        None
    }

    /// Searches the sounds after the last match for this kind, and moves the position behind it; `None` if it is not
    /// heard.
    pub(super) fn hears_sound(&mut self, wanted: ExpectedSound) -> Option<()> {
        let is_it = |heard: &HeardSound| match heard.what {
            SoundKind::Text { .. } => false,
            SoundKind::Party => matches!(wanted, ExpectedSound::Audio | ExpectedSound::Party),
            SoundKind::Ringing => wanted == ExpectedSound::Ringing,
            SoundKind::Audio => wanted == ExpectedSound::Audio && !heard.is_instant(),
        };
        let at = self.ear.heard().iter().skip(self.cursor.0).position(is_it)?;
        self.cursor = (self.cursor.0 + at + 1, 0);
        Some(())
    }

    /// Describes the sounds heard after the last match, for the error of an expectation.
    pub(super) fn instead(&self) -> String {
        let rest = self.ear.heard().get(self.cursor.0..).unwrap_or_default();
        let heard: Vec<String> = rest
            .iter()
            .map(|heard| heard.words().map_or(heard.name().to_owned(), |words| format!("\"{words}\"")))
            .collect();
        if heard.is_empty() { "heard nothing".to_owned() } else { format!("heard {}", heard.join(", ")) }
    }
}

/// Normalises a text for comparison with another one.
pub(super) fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_order_and_what_was_heard_instead_is_said() {
        let (book, mut listener) = (Codebook::default(), AudioMatcher::default());
        assert_eq!(listener.instead(), "heard nothing");
        let said = [book.speak("Press one.  Press two."), vec![0; 4000], book.speak("Goodbye")].concat();
        for (at, packet) in said.chunks(160).enumerate() {
            listener.take(&book, at as f64 / 50.0, packet);
        }
        for words in ["press  ONE", "press two"] {
            assert!(listener.hears(words).is_some(), "{words}");
        }
        assert!(listener.hears("press").is_none() && listener.hears_sound(ExpectedSound::Audio).is_none());
        assert_eq!(listener.instead(), "heard \"Press one.  Press two.\", \"Goodbye\"");
        assert!(listener.hears("good").is_some());
    }
}
