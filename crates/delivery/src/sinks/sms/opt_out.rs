//! Opt-out keywords in received messages, as recognised by Twilio.

use trunkgate_config::OptOutReplies;

/// Intent of a message that consists of an opt-out keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The sender wants no further text messages.
    Stop,
    /// The sender wants text messages again.
    Start,
    /// The sender asks for information (HELP).
    Help,
}

/// Keywords by intent. Only a message that consists of one keyword counts.
const WORDS: [(Wish, &[&str]); 3] = [
    (Wish::Stop, &["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "ARRET", "ARRETE"]),
    (Wish::Start, &["START", "YES", "UNSTOP"]),
    (Wish::Help, &["HELP", "INFO"]),
];

impl Wish {
    /// Returns the intent as named by Twilio in `OptOutType`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Wish::Stop => "STOP",
            Wish::Start => "START",
            Wish::Help => "HELP",
        }
    }

    /// Returns the intent of a message; `None` if its text is not exactly one keyword, ignoring case and punctuation.
    /// `kind` is Twilio's classification (`OptOutType`), which takes precedence.
    pub fn of(body: &str, kind: Option<&str>) -> Option<Wish> {
        let judged = match kind {
            Some("STOP") => Some(Wish::Stop),
            Some("START") => Some(Wish::Start),
            Some("HELP") => Some(Wish::Help),
            Some(_) | None => None,
        };
        judged.or_else(|| {
            let word: String = body.chars().filter(|c| c.is_alphanumeric()).take(16).collect();
            let word = word.replace(['ê', 'Ê'], "E").replace(['é', 'É'], "E").to_ascii_uppercase();
            WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(wish, _)| *wish)
        })
    }
}

/// Returns the TwiML document that replies to a message with this intent; an empty document sends no reply.
pub fn reply_document(replies: &OptOutReplies, wish: Option<Wish>) -> String {
    let text = match wish {
        Some(Wish::Stop) => replies.stop.as_deref(),
        Some(Wish::Start) => replies.start.as_deref(),
        Some(Wish::Help) => replies.help.as_deref(),
        None => None,
    };
    let message = text.map(|text| format!("<Message>{}</Message>", escaped(text))).unwrap_or_default();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>{message}</Response>")
}

/// Escapes a text for XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_alone_counts() {
        for (text, wish) in [
            ("STOP", Some(Wish::Stop)),
            (" stop. \n", Some(Wish::Stop)),
            ("Stop all", Some(Wish::Stop)),
            ("opt-out", Some(Wish::Stop)),
            ("revoke", Some(Wish::Stop)),
            ("Arrêt", Some(Wish::Stop)),
            ("start", Some(Wish::Start)),
            ("Unstop!", Some(Wish::Start)),
            ("yes", Some(Wish::Start)),
            ("HELP", Some(Wish::Help)),
            ("info", Some(Wish::Help)),
            ("please don't stop by at noon", None),
            ("stop by", None),
            ("yes please", None),
            ("", None),
        ] {
            assert_eq!(Wish::of(text, None), wish, "{text}");
        }
        assert_eq!(Wish::of("genug", Some("STOP")), Some(Wish::Stop), "a word of the account's own");
        assert_eq!(Wish::of("hello", Some("")), None);
    }

    #[test]
    fn an_answer_is_twiml() {
        let replies = OptOutReplies { help: Some("Joe & Co <x>: 555".into()), ..OptOutReplies::default() };
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
        assert_eq!(reply_document(&replies, Some(Wish::Stop)), format!("{head}<Response></Response>"));
        let help = format!("{head}<Response><Message>Joe &amp; Co &lt;x&gt;: 555</Message></Response>");
        assert_eq!(reply_document(&replies, Some(Wish::Help)), help);
    }
}
