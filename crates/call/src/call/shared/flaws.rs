//! Errors of an application that do not end its control of the call: prompts that a party did not hear, and documents
//! replaced by a fallback.

use trunkgate_twiml::{ProgramTrace, TraceNote};

/// Maximum number of errors in the verdict; it refers to the trace for further ones.
const NAMED: usize = 3;

/// Beginning of a sentence about an error other than a missed prompt.
const OF_THE_APPLICATION: &str = "Error of the application: ";

/// Errors of an application in one call.
#[derive(Debug, Default)]
pub(crate) struct AppErrors {
    /// First errors as sentences, each with its code; code 0: none.
    named: Vec<(Box<str>, u16)>,
    /// Whether there are more errors than in `named`.
    has_more: bool,
    /// Whether the last error is the last entry of `named`.
    is_last_named: bool,
    /// Whether there was any error of the application; unrecognised speech does not count.
    is_any: bool,
}

impl AppErrors {
    /// Records an error. `is_called` is true for an error in the document of a called party. A repeated error counts
    /// once.
    pub(crate) fn note(&mut self, trace: &ProgramTrace, is_called: bool) {
        let ProgramTrace { line, verb, note } = trace;
        let party = if is_called { "called party" } else { "caller" };
        let at = if *line == 0 { String::new() } else { format!("{verb} in line {line}, ") };
        // Further lines contain the application's response.
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let (text, code) = match note {
            TraceNote::Unheard { code, text } if verb == "Say" => {
                (format!("The {party} did not hear a text: {} ({at}error {code}).", first(text)), *code)
            }
            TraceNote::Unheard { code, text } => {
                (format!("The {party} did not hear {} ({at}error {code}).", first(text)), *code)
            }
            TraceNote::Error { code, text } => {
                (format!("{OF_THE_APPLICATION}{} ({at}error {code}).", first(text)), *code)
            }
            TraceNote::Began | TraceNote::Result(_) | TraceNote::Warning { .. } => return,
        };
        (self.is_last_named, self.is_any) = (false, true);
        if self.named.iter().any(|(known, _)| **known == *text) {
            return;
        }
        if self.named.len() < NAMED {
            self.named.push((text.into(), code));
            self.is_last_named = true;
        } else {
            self.has_more = true;
        }
    }

    /// Records that the caller's speech was not recognised; a repeated reason counts once.
    pub(crate) fn note_unrecognised(&mut self, why: &str) {
        let text = format!("Speech of the caller was not recognised: {why}.");
        self.is_last_named = false;
        if self.named.iter().any(|(known, _)| **known == *text) {
            return;
        }
        if self.named.len() < NAMED {
            self.named.push((text.into(), 0));
        } else {
            self.has_more = true;
        }
    }

    /// Returns whether there was any error of the application; unrecognised speech does not count.
    pub(crate) const fn is_any(&self) -> bool {
        self.is_any
    }

    /// Removes the last error and returns its sentence, because that error ended the application's control and is
    /// reported as the reason of the end. `None` if the last error is not the last entry of `named`.
    pub(crate) fn take_reason(&mut self) -> Option<Box<str>> {
        let (text, _) = std::mem::take(&mut self.is_last_named).then(|| self.named.pop()).flatten()?;
        let reason = text.strip_prefix(OF_THE_APPLICATION).unwrap_or(&text);
        Some(reason.strip_suffix('.').unwrap_or(reason).into())
    }

    /// Returns the sentences of the verdict about the errors, and the help commands that `before` does not mention.
    pub(crate) fn sentences(&self, before: &str) -> String {
        let mut told: String = self.named.iter().map(|(text, _)| format!(" {text}")).collect();
        if self.has_more {
            told += " The trace has further errors of the application.";
        }
        let mut codes: Vec<u16> = self.named.iter().map(|(_, code)| *code).filter(|code| *code != 0).collect();
        codes.sort_unstable();
        codes.dedup();
        let help = codes.iter().map(|code| format!("`trunkgate help {code}`"));
        let help: Vec<String> = help.filter(|help| !before.contains(help.as_str())).collect();
        if !help.is_empty() {
            told += &format!(" Try: {}.", help.join(", "));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unheard(name: &str) -> ProgramTrace {
        ProgramTrace {
            line: 2,
            verb: "Play".to_owned(),
            note: TraceNote::Unheard { code: 11_200, text: format!("{name}: no such file\nbody") },
        }
    }

    #[test]
    fn each_error_is_named_once_and_only_the_first_ones() {
        let mut flaws = AppErrors::default();
        assert_eq!(flaws.sentences(""), "");
        flaws.note(&unheard("a.wav"), false);
        flaws.note(&unheard("a.wav"), false);
        let first = " The caller did not hear a.wav: no such file (Play in line 2, error 11200).";
        assert_eq!(flaws.sentences(""), format!("{first} Try: `trunkgate help 11200`."));
        assert_eq!(flaws.sentences(" Try: `trunkgate help 11200` explains it."), first);
        flaws.note(
            &ProgramTrace {
                line: 0,
                verb: "Response".to_owned(),
                note: TraceNote::Error { code: 12_300, text: "x".to_owned() },
            },
            true,
        );
        let second = " Error of the application: x (error 12300).";
        assert_eq!(
            flaws.sentences(""),
            format!("{first}{second} Try: `trunkgate help 11200`, `trunkgate help 12300`.")
        );
        assert!(flaws.take_reason().unwrap().ends_with("error 12300)"));
        assert_eq!(flaws.sentences(""), format!("{first} Try: `trunkgate help 11200`."));
        for name in ["b", "c", "d", "e"] {
            flaws.note(&unheard(name), true);
        }
        assert!(
            flaws.sentences("").contains("The called party did not hear c: ")
                && !flaws.sentences("").contains("hear d")
        );
        assert!(flaws.sentences("").contains(" The trace has further errors of the application. Try: "));
    }
}
