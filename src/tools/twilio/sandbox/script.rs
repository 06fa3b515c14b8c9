//! Scripts of calls: what the caller does, and what it expects of the application.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::tools::cli::duration;

/// Steps that a script may have.
const STEPS: &str = "hear TEXT, hear audio, press DIGITS, say TEXT, wait TIME, dial NUMBER [answers|busy|no answer|fails], party hears TEXT, party presses DIGITS, party hangs up, hang up, ends [STATUS]";
/// Statuses with which a call ends, in Twilio's words.
const STATUSES: [&str; 4] = ["completed", "busy", "failed", "no-answer"];

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// Name of its file; `steps` for those of the command line.
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
}

/// One step, with its text and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) what: What,
}

/// An act of the caller, or an expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The caller hears these words of a Say, in any letter case.
    Hear(String),
    /// The caller hears audio that is no Say: a Play, a party, a stream.
    HearAudio,
    /// The caller presses digits.
    Press(String),
    /// The caller says these words once the application listens for speech.
    Say(String),
    Wait(Duration),
    /// The application calls a number, whose party does this.
    Dial(String, PartyActs),
    /// The party that was called last hears these words of a Say.
    PartyHears(String),
    /// The party that was called last presses digits.
    PartyPresses(String),
    /// The party that was called last hangs up.
    PartyHangsUp,
    HangUp,
    /// The application ends the call, with this status where one is written.
    Ends(Option<&'static str>),
}

/// Behaviour of a party that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartyActs {
    Answers,
    IsBusy,
    RingsForEver,
    Fails,
}

impl PartyActs {
    const ALL: [(&str, PartyActs); 4] = [
        ("answers", PartyActs::Answers),
        ("busy", PartyActs::IsBusy),
        ("no answer", PartyActs::RingsForEver),
        ("fails", PartyActs::Fails),
    ];
}

impl fmt::Display for PartyActs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PartyActs::ALL.iter().find(|(_, acts)| acts == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl Script {
    /// Reads a file: one step a line, comments behind `#` at the beginning of a line.
    ///
    /// # Errors
    /// The file cannot be read, or a line is no step: place and reason.
    pub(super) fn read(path: &Path) -> Result<Script, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Script::parse(&path.display().to_string(), text.lines())
    }

    /// Parses lines.
    ///
    /// # Errors
    /// A line is no step: place and reason.
    pub(super) fn parse<'a>(name: &str, lines: impl Iterator<Item = &'a str>) -> Result<Script, String> {
        let mut steps = Vec::new();
        for (at, line) in lines.enumerate() {
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let what = What::parse(text).map_err(|why| format!("{name}:{}: {why}", at + 1))?;
            steps.push(Step { line: at + 1, text: text.to_owned(), what });
        }
        Ok(Script { name: name.to_owned(), steps })
    }
}

impl What {
    /// Returns what the party does that this step expects to be called.
    pub(super) fn acts(&self) -> Option<PartyActs> {
        if let What::Dial(_, acts) = self { Some(*acts) } else { None }
    }

    fn parse(text: &str) -> Result<What, String> {
        let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let none = |what: What| if rest.is_empty() { Ok(what) } else { Err(format!("\"{rest}\" behind `{verb}`")) };
        match verb {
            "hear" if rest == "audio" => Ok(What::HearAudio),
            "hear" => words(verb, rest).map(What::Hear),
            "press" => digits(verb, rest).map(What::Press),
            "say" => words(verb, rest).map(What::Say),
            "wait" => duration(rest).map(What::Wait).map_err(|why| format!("`wait`: {why}")),
            "dial" => {
                let (number, acts) = rest.split_once(char::is_whitespace).unwrap_or((rest, "answers"));
                let acts = acts.trim();
                let known = PartyActs::ALL.iter().find(|(name, _)| *name == acts).map(|(_, acts)| *acts);
                let known =
                    known.ok_or_else(|| format!("`dial`: \"{acts}\"; known: answers, busy, no answer, fails"))?;
                if number.is_empty() {
                    Err("`dial` without number".to_owned())
                } else {
                    Ok(What::Dial(number.to_owned(), known))
                }
            }
            "party" => match rest.split_once(char::is_whitespace).unwrap_or((rest, "")) {
                ("hangs", "up") => Ok(What::PartyHangsUp),
                ("hears", rest) => words("party hears", rest).map(What::PartyHears),
                ("presses", rest) => digits("party presses", rest).map(What::PartyPresses),
                _ => Err(format!("`party`: \"{rest}\"; known: hears TEXT, presses DIGITS, hangs up")),
            },
            "hang" if rest == "up" => Ok(What::HangUp),
            "ends" if rest.is_empty() => none(What::Ends(None)),
            "ends" => {
                let status = STATUSES.into_iter().find(|known| *known == rest);
                status
                    .map(|status| What::Ends(Some(status)))
                    .ok_or_else(|| format!("`ends`: \"{rest}\"; known: {}", STATUSES.join(", ")))
            }
            _ => Err(format!("\"{text}\" is no step; known: {STEPS}")),
        }
    }
}

/// Reads the text of a step; quotation marks around it are optional.
fn words(step: &str, rest: &str) -> Result<String, String> {
    let rest = rest.trim();
    let words = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
    if words.trim().is_empty() { Err(format!("`{step}` without text")) } else { Ok(words.to_owned()) }
}

/// Reads the digits of a step.
fn digits(step: &str, rest: &str) -> Result<String, String> {
    let rest = rest.trim();
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | 'A'..='D');
    let is_good = !rest.is_empty() && rest.chars().all(is_digit);
    if is_good { Ok(rest.to_owned()) } else { Err(format!("`{step}`: \"{rest}\" are no digits (0-9, *, #, A-D)")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<What>, String> {
        Script::parse("a.call", text.lines()).map(|script| script.steps.into_iter().map(|step| step.what).collect())
    }

    #[test]
    fn each_step_is_read() {
        let text = "# a menu\n\nhear \"Welcome\"\nhear press one\n hear audio\npress 1#\nwait 500ms\ndial +14155550177\ndial +14155550178 no answer\nsay \"Put me through\"\nparty hears Press one\nparty presses 1\nparty hangs up\nends\nends busy\nhang up\n";
        let expected = vec![
            What::Hear("Welcome".to_owned()),
            What::Hear("press one".to_owned()),
            What::HearAudio,
            What::Press("1#".to_owned()),
            What::Wait(Duration::from_millis(500)),
            What::Dial("+14155550177".to_owned(), PartyActs::Answers),
            What::Dial("+14155550178".to_owned(), PartyActs::RingsForEver),
            What::Say("Put me through".to_owned()),
            What::PartyHears("Press one".to_owned()),
            What::PartyPresses("1".to_owned()),
            What::PartyHangsUp,
            What::Ends(None),
            What::Ends(Some("busy")),
            What::HangUp,
        ];
        assert_eq!(parse(text), Ok(expected));
    }

    #[test]
    fn what_is_no_step_is_refused_at_its_line() {
        for (text, why) in [
            ("hear Hello\nshout", "a.call:2: \"shout\" is no step; known: hear TEXT"),
            ("press x", "a.call:1: `press`: \"x\" are no digits"),
            ("hear", "a.call:1: `hear` without text"),
            ("say \"\"", "a.call:1: `say` without text"),
            ("party presses one", "a.call:1: `party presses`: \"one\" are no digits"),
            ("party hears", "a.call:1: `party hears` without text"),
            ("party sleeps", "a.call:1: `party`: \"sleeps\"; known: hears TEXT"),
            ("dial +1415 sleeps", "a.call:1: `dial`: \"sleeps\"; known"),
            ("ends happily", "a.call:1: `ends`: \"happily\"; known: completed"),
            ("wait long", "a.call:1: `wait`: "),
        ] {
            let found = parse(text).unwrap_err();
            assert!(found.starts_with(why), "{found}");
        }
    }
}
