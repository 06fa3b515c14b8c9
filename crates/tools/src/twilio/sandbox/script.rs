//! Call scripts: actions of the caller, and expectations on the application.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::duration;

/// Syntax of all steps.
const STEPS: &str = "hear TEXT, hear audio, hear party, hear ringing, press DIGITS, say TEXT, wait TIME, dial NUMBER [from NUMBER] \
                     [answers|busy|no answer|fails], party answers, party hears TEXT, party presses DIGITS, party hangs up, hang up, \
                     ends [STATUS], transcribes TEXT, send text TEXT, get text TEXT, text NUMBER TEXT, \
                     request METHOD PATH [FORM], no call";
/// Behaviours of a party, for error messages.
const ACTS: &str = "answers, busy, no answer, fails";
/// Statuses of an ended call, in Twilio's words.
const STATUSES: [&str; 4] = ["completed", "busy", "failed", "no-answer"];
/// File extension of scripts in a directory.
const EXTENSION: &str = "call";

/// A script: one call, or steps without a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// Name of its file; `steps` for steps on the command line.
    pub(super) name: String,
    pub(super) steps: Vec<ScriptStep>,
}

/// A step with its text and line number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScriptStep {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) what: StepAction,
}

/// Action or expectation of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepAction {
    /// The caller hears these words of a Say, ignoring case.
    Hear(String),
    HearSound(ExpectedSound),
    /// The caller sends DTMF digits.
    Press(String),
    /// The caller says these words once the application listens for speech.
    Say(String),
    Wait(Duration),
    /// The application calls a number.
    Dial(ExpectedCall),
    Party(PartyStep),
    HangUp,
    /// The application ends the call, with this status if given.
    Ends(Option<&'static str>),
    /// A recording of the script is transcribed to this text. The steps are in the order of the recordings and may be
    /// anywhere.
    Transcribes(String),
    Beside(OutOfCallStep),
    /// The script has no call by the caller; must be the first step.
    NoCall,
}

/// Step of the party called last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PartyStep {
    /// The party has answered.
    Answers,
    /// The party hears these words of a Say.
    Hears(String),
    /// The party sends DTMF digits.
    Presses(String),
    HangsUp,
}

/// Step outside of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OutOfCallStep {
    /// The caller sends a text message to the number.
    SendText(String),
    /// The application sends a text message with these words to the caller, or to another number.
    GetText(Option<String>, String),
    /// A request to the application: method, path and form, which may be empty.
    Request(String, String, String),
}

/// Sound other than Say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectedSound {
    /// A Play, a party or a stream.
    Audio,
    /// Tone of a party.
    Party,
    /// Ringback tone of the edge.
    Ringing,
}

/// Expected call: number, caller ID shown to the party, and behaviour of the party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExpectedCall {
    pub(super) number: String,
    pub(super) from: Option<String>,
    pub(super) acts: PartyBehaviour,
}

/// Behaviour of a called party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartyBehaviour {
    Answers,
    IsBusy,
    RingsForEver,
    Fails,
}

impl PartyBehaviour {
    const ALL: [(&str, PartyBehaviour); 4] = [
        ("answers", PartyBehaviour::Answers),
        ("busy", PartyBehaviour::IsBusy),
        ("no answer", PartyBehaviour::RingsForEver),
        ("fails", PartyBehaviour::Fails),
    ];
}

impl fmt::Display for PartyBehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PartyBehaviour::ALL.iter().find(|(_, acts)| acts == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl Script {
    /// Reads a script, or all `.call` files of a directory in the order of their names. National numbers are completed
    /// like `own`.
    ///
    /// # Errors
    /// Returns one line for each unreadable file, file without steps, or invalid line.
    pub(super) fn read(path: &Path, own: &str) -> Result<Vec<Script>, Vec<String>> {
        if !path.is_dir() {
            return Script::of_file(path, own).map(|script| vec![script]);
        }
        let failed = |error: std::io::Error| vec![format!("{}: {error}", path.display())];
        let entries = std::fs::read_dir(path).map_err(failed)?;
        let found = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<PathBuf>, _>>();
        let mut found = found.map_err(failed)?;
        found.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        found.sort();
        if found.is_empty() {
            return Err(vec![format!("{}: no file NAME.{EXTENSION}", path.display())]);
        }
        all(found.iter().map(|path| Script::of_file(path, own)))
    }

    fn of_file(path: &Path, own: &str) -> Result<Script, Vec<String>> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| vec![format!("{name}: {error}")])?;
        let script = Script::parse(&name, text.lines(), own)?;
        if script.steps.is_empty() { Err(vec![format!("{name}: no step")]) } else { Ok(script) }
    }

    /// Parses one step per line; lines that begin with `#` are comments.
    ///
    /// # Errors
    /// Returns place and reason of each invalid line.
    pub(super) fn parse<'a>(
        name: &str,
        lines: impl Iterator<Item = &'a str>,
        own: &str,
    ) -> Result<Script, Vec<String>> {
        let lines = lines.map(str::trim).enumerate().filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
        let steps = all(lines.map(|(at, text)| {
            let what = StepAction::parse(text, own).map_err(|why| vec![format!("{name}:{}: {why}", at + 1)])?;
            Ok(ScriptStep { line: at + 1, text: text.to_owned(), what })
        }))?;
        let script = Script { name: name.to_owned(), steps };
        let wrong: Vec<String> = script.without_call().map(|step| format!("{name}:{}: {step}", step.line)).collect();
        if wrong.is_empty() { Ok(script) } else { Err(wrong) }
    }

    /// Returns whether the caller calls the number.
    pub(super) fn has_call(&self) -> bool {
        self.steps.first().is_none_or(|step| step.what != StepAction::NoCall)
    }

    /// Returns whether a text message is sent to the number.
    pub(super) fn sends_text(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.what, StepAction::Beside(OutOfCallStep::SendText(_))))
    }

    /// Returns the expected calls with the behaviour of their parties.
    pub(super) fn dialled(&self) -> impl Iterator<Item = &ExpectedCall> {
        self.steps
            .iter()
            .filter_map(|step| if let StepAction::Dial(dialled) = &step.what { Some(dialled) } else { None })
    }

    /// Returns the numbers to be called, and those to receive a text message.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match &step.what {
            StepAction::Dial(dialled) => Some(dialled.number.as_str()),
            StepAction::Beside(OutOfCallStep::GetText(to, _)) => to.as_deref(),
            StepAction::Hear(_)
            | StepAction::HearSound(_)
            | StepAction::Press(_)
            | StepAction::Say(_)
            | StepAction::Wait(_)
            | StepAction::Party(_)
            | StepAction::HangUp
            | StepAction::Ends(_)
            | StepAction::Transcribes(_)
            | StepAction::Beside(OutOfCallStep::SendText(_) | OutOfCallStep::Request(..))
            | StepAction::NoCall => None,
        })
    }

    /// Returns the script with another calling number in the place of the written one.
    pub(super) fn with_caller(&self, written: &str, own: &str) -> Script {
        let steps =
            self.steps.iter().map(|step| ScriptStep { what: step.what.with_caller(written, own), ..step.clone() });
        Script { name: self.name.clone(), steps: steps.collect() }
    }

    /// Returns the expected texts of transcribed recordings, in order.
    pub(super) fn transcriptions(&self) -> impl DoubleEndedIterator<Item = (&ScriptStep, &str)> {
        self.steps.iter().filter_map(|step| {
            if let StepAction::Transcribes(text) = &step.what { Some((step, text.as_str())) } else { None }
        })
    }

    /// Returns the steps that are not possible at their place.
    fn without_call(&self) -> impl Iterator<Item = MisplacedStep<'_>> {
        let has_call = self.has_call();
        self.steps.iter().enumerate().filter_map(move |(at, step)| {
            let needs_call = match step.what {
                StepAction::Hear(_)
                | StepAction::HearSound(_)
                | StepAction::Press(_)
                | StepAction::Say(_)
                | StepAction::HangUp
                | StepAction::Ends(_) => true,
                StepAction::NoCall if at > 0 => {
                    return Some(MisplacedStep { line: step.line, why: "`no call` is the first step" });
                }
                StepAction::NoCall
                | StepAction::Wait(_)
                | StepAction::Dial(_)
                | StepAction::Party(_)
                | StepAction::Transcribes(_)
                | StepAction::Beside(_) => false,
            };
            let why = "a step of the caller's call, and the script begins with `no call`";
            (needs_call && !has_call).then_some(MisplacedStep { line: step.line, why })
        })
    }
}

/// Step that is not possible at its place.
struct MisplacedStep<'a> {
    line: usize,
    why: &'a str,
}

impl fmt::Display for MisplacedStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

/// Returns all values, or all errors.
pub(super) fn all<T>(found: impl Iterator<Item = Result<T, Vec<String>>>) -> Result<Vec<T>, Vec<String>> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for one in found {
        match one {
            Ok(value) => good.push(value),
            Err(errors) => bad.extend(errors),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

impl StepAction {
    fn parse(text: &str, own: &str) -> Result<StepAction, String> {
        let (verb, rest) = first(text);
        let plain = rest.to_ascii_lowercase();
        match verb.to_ascii_lowercase().as_str() {
            "hear" => Ok(match plain.as_str() {
                "audio" => StepAction::HearSound(ExpectedSound::Audio),
                "party" => StepAction::HearSound(ExpectedSound::Party),
                "ringing" => StepAction::HearSound(ExpectedSound::Ringing),
                _ => StepAction::Hear(words("hear", rest)?),
            }),
            "press" => digits("press", rest).map(StepAction::Press),
            "say" => words("say", rest).map(StepAction::Say),
            "wait" => duration(rest).map(StepAction::Wait).map_err(|why| format!("`wait`: {why}")),
            "dial" => ExpectedCall::parse(rest, own).map(StepAction::Dial),
            "party" => PartyStep::parse(rest).map(StepAction::Party),
            "hang" if plain == "up" => Ok(StepAction::HangUp),
            "ends" if rest.is_empty() => Ok(StepAction::Ends(None)),
            "ends" => {
                let wanted = plain.replace(' ', "-");
                let status = STATUSES.into_iter().find(|known| *known == wanted);
                status
                    .map(|status| StepAction::Ends(Some(status)))
                    .ok_or_else(|| format!("`ends`: \"{rest}\"; known: {}", STATUSES.join(", ")))
            }
            "transcribes" => words("transcribes", rest).map(StepAction::Transcribes),
            "send" if first(&plain).0 == "text" => {
                words("send text", first(rest).1).map(OutOfCallStep::SendText).map(StepAction::Beside)
            }
            "get" if first(&plain).0 == "text" => {
                words("get text", first(rest).1).map(|text| StepAction::Beside(OutOfCallStep::GetText(None, text)))
            }
            "text" => {
                let (number, text) = first(rest);
                Ok(StepAction::Beside(OutOfCallStep::GetText(Some(written(number, own)), words("text NUMBER", text)?)))
            }
            "request" => {
                let (method, rest) = first(rest);
                let (place, form) = first(rest);
                let method = method.to_ascii_uppercase();
                if !matches!(method.as_str(), "GET" | "POST") || place.is_empty() {
                    return Err("`request`: write GET or POST, a path or URL, and a form if there is one".to_owned());
                }
                Ok(StepAction::Beside(OutOfCallStep::Request(method, place.to_owned(), form.to_owned())))
            }
            "no" if plain == "call" => Ok(StepAction::NoCall),
            _ => Err(format!("\"{text}\" is not a step; known: {STEPS}")),
        }
    }
}

impl StepAction {
    /// Returns the step with another calling number, also in texts and forms.
    fn with_caller(&self, written: &str, own: &str) -> StepAction {
        let digits = |number: &str| number.trim_start_matches('+').to_owned();
        let text = |text: &String| text.replace(&digits(written), &digits(own));
        match self {
            StepAction::Hear(words) => StepAction::Hear(text(words)),
            StepAction::Say(words) => StepAction::Say(text(words)),
            StepAction::Transcribes(words) => StepAction::Transcribes(text(words)),
            StepAction::Dial(ExpectedCall { number, from, acts }) => {
                StepAction::Dial(ExpectedCall { number: text(number), from: from.as_ref().map(text), acts: *acts })
            }
            StepAction::Party(PartyStep::Hears(words)) => StepAction::Party(PartyStep::Hears(text(words))),
            StepAction::Beside(OutOfCallStep::SendText(words)) => {
                StepAction::Beside(OutOfCallStep::SendText(text(words)))
            }
            StepAction::Beside(OutOfCallStep::GetText(to, words)) => {
                StepAction::Beside(OutOfCallStep::GetText(to.as_ref().map(text), text(words)))
            }
            StepAction::Beside(OutOfCallStep::Request(method, place, form)) => {
                StepAction::Beside(OutOfCallStep::Request(method.clone(), text(place), text(form)))
            }
            StepAction::HearSound(_)
            | StepAction::Press(_)
            | StepAction::Wait(_)
            | StepAction::Party(PartyStep::Answers | PartyStep::Presses(_) | PartyStep::HangsUp)
            | StepAction::HangUp
            | StepAction::Ends(_)
            | StepAction::NoCall => self.clone(),
        }
    }
}

impl PartyStep {
    fn parse(rest: &str) -> Result<PartyStep, String> {
        let (verb, words_of_it) = first(rest);
        match (verb.to_ascii_lowercase().as_str(), words_of_it.to_ascii_lowercase().as_str()) {
            ("answers", "") => Ok(PartyStep::Answers),
            ("hangs", "up") => Ok(PartyStep::HangsUp),
            ("hears", _) => words("party hears", words_of_it).map(PartyStep::Hears),
            ("presses", _) => digits("party presses", words_of_it).map(PartyStep::Presses),
            _ => Err(format!("`party`: \"{rest}\"; known: answers, hears TEXT, presses DIGITS, hangs up")),
        }
    }
}

impl ExpectedCall {
    /// Parses `NUMBER [from NUMBER] [ACTS]`; numbers may contain spaces and separators.
    fn parse(rest: &str, own: &str) -> Result<ExpectedCall, String> {
        let mut left: Vec<&str> = rest.split_whitespace().collect();
        let acts = PartyBehaviour::ALL.into_iter().find_map(|(name, acts)| {
            let written = |count: usize| left.len().checked_sub(count).and_then(|at| left.get(at..));
            let is_it = |count: usize| {
                written(count).is_some_and(|words| words.join(" ").replace('-', " ").eq_ignore_ascii_case(name))
            };
            [1, 2].into_iter().find(|count| is_it(*count)).map(|count| (count, acts))
        });
        let (behind, acts) = acts.unwrap_or((0, PartyBehaviour::Answers));
        left.truncate(left.len() - behind);
        let at = left.iter().position(|word| word.eq_ignore_ascii_case("from"));
        let from = at.map(|at| left.split_off(at).split_off(1).concat());
        let number = left.concat();
        if number.is_empty() {
            return Err("`dial` without number".to_owned());
        }
        if from.as_deref() == Some("") {
            return Err("`dial`: no number behind `from`".to_owned());
        }
        let is_word = |word: &&&str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        if let Some(word) = left.iter().skip(1).find(is_word) {
            return Err(format!("`dial`: \"{word}\"; known: {ACTS}"));
        }
        let from = from.map(|from| written(&from, own));
        Ok(ExpectedCall { number: written(&number, own), from, acts })
    }
}

/// Splits off the first word.
fn first(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim())
}

/// Converts a number to E.164 if possible: without `+` only if `own` is a North American number.
fn written(number: &str, own: &str) -> String {
    let bare: String = number.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
    let is_national = bare.bytes().all(|byte| byte.is_ascii_digit()) && own.starts_with("+1");
    match (bare.len(), bare.as_bytes().first()) {
        (10, _) if is_national => format!("+1{bare}"),
        (11, Some(b'1')) if is_national => format!("+{bare}"),
        _ if bare.strip_prefix('+').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) => bare,
        _ => number.to_owned(),
    }
}

/// Parses the text of a step, with or without quotation marks.
fn words(step: &str, rest: &str) -> Result<String, String> {
    let rest = rest.trim();
    let words = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(rest);
    if words.trim().is_empty() { Err(format!("`{step}` without text")) } else { Ok(words.to_owned()) }
}

/// Parses the DTMF digits of a step.
fn digits(step: &str, rest: &str) -> Result<String, String> {
    let rest = rest.trim();
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | 'A'..='D');
    let is_good = !rest.is_empty() && rest.chars().all(is_digit);
    if is_good { Ok(rest.to_owned()) } else { Err(format!("`{step}`: \"{rest}\" are not digits (0-9, *, #, A-D)")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "+14155550100";

    fn parse(text: &str) -> Result<Vec<StepAction>, Vec<String>> {
        let script = Script::parse("a.call", text.lines(), OWN);
        script.map(|script| script.steps.into_iter().map(|step| step.what).collect())
    }

    fn dial(number: &str, from: Option<&str>, acts: PartyBehaviour) -> StepAction {
        StepAction::Dial(ExpectedCall { number: number.to_owned(), from: from.map(str::to_owned), acts })
    }

    #[test]
    fn each_step_is_read() {
        for (text, wanted) in [
            ("hear \"Welcome\"", StepAction::Hear("Welcome".to_owned())),
            ("Hear press one", StepAction::Hear("press one".to_owned())),
            (" hear audio", StepAction::HearSound(ExpectedSound::Audio)),
            ("hear Party", StepAction::HearSound(ExpectedSound::Party)),
            ("hear \"party\"", StepAction::Hear("party".to_owned())),
            ("hear ringing", StepAction::HearSound(ExpectedSound::Ringing)),
            ("PRESS 1#", StepAction::Press("1#".to_owned())),
            ("wait 500ms", StepAction::Wait(Duration::from_millis(500))),
            ("dial +14155550177", dial("+14155550177", None, PartyBehaviour::Answers)),
            ("dial +14155550178 no answer", dial("+14155550178", None, PartyBehaviour::RingsForEver)),
            ("dial +14155550178 no-answer", dial("+14155550178", None, PartyBehaviour::RingsForEver)),
            ("dial (415) 555-0111 busy", dial("+14155550111", None, PartyBehaviour::IsBusy)),
            (
                "dial +14155550178 from 415-555-0100 Fails",
                dial("+14155550178", Some("+14155550100"), PartyBehaviour::Fails),
            ),
            ("say \"Put me through\"", StepAction::Say("Put me through".to_owned())),
            ("party answers", StepAction::Party(PartyStep::Answers)),
            ("party hears Press one", StepAction::Party(PartyStep::Hears("Press one".to_owned()))),
            ("party presses 1", StepAction::Party(PartyStep::Presses("1".to_owned()))),
            ("party hangs up", StepAction::Party(PartyStep::HangsUp)),
            ("ends", StepAction::Ends(None)),
            ("ends busy", StepAction::Ends(Some("busy"))),
            ("ends no answer", StepAction::Ends(Some("no-answer"))),
            ("hang up", StepAction::HangUp),
            ("transcribes \"Call me back.\"", StepAction::Transcribes("Call me back.".to_owned())),
            ("send text Are you open?", StepAction::Beside(OutOfCallStep::SendText("Are you open?".to_owned()))),
            ("get text \"from seven\"", StepAction::Beside(OutOfCallStep::GetText(None, "from seven".to_owned()))),
            (
                "text +14155550111 Hello",
                StepAction::Beside(OutOfCallStep::GetText(Some("+14155550111".to_owned()), "Hello".to_owned())),
            ),
            (
                "request post /call to=1",
                StepAction::Beside(OutOfCallStep::Request("POST".to_owned(), "/call".to_owned(), "to=1".to_owned())),
            ),
            ("no call", StepAction::NoCall),
        ] {
            assert_eq!(parse(&format!("# a menu\n\n{text}\n")), Ok(vec![wanted]), "{text}");
        }
    }

    #[test]
    fn a_caller_of_another_number_has_its_own_in_each_step() {
        let lines = "hear You called from +14155550199\ndial 415-555-0199 from +14155550199 busy\ntext +14155550199 Hello\n\
                     request POST /call to=%2B14155550199\nhear audio\ndial +14155550177";
        let script = Script::parse("a.call", lines.lines(), OWN).unwrap();
        assert_eq!(script.numbers().collect::<Vec<_>>(), ["+14155550199", "+14155550199", "+14155550177"]);
        let own = script.with_caller("+14155550199", "+14155550202");
        let what: Vec<StepAction> = own.steps.iter().map(|step| step.what.clone()).collect();
        let wanted = [
            StepAction::Hear("You called from +14155550202".to_owned()),
            dial("+14155550202", Some("+14155550202"), PartyBehaviour::IsBusy),
            StepAction::Beside(OutOfCallStep::GetText(Some("+14155550202".to_owned()), "Hello".to_owned())),
            StepAction::Beside(OutOfCallStep::Request(
                "POST".to_owned(),
                "/call".to_owned(),
                "to=%2B14155550202".to_owned(),
            )),
            StepAction::HearSound(ExpectedSound::Audio),
            dial("+14155550177", None, PartyBehaviour::Answers),
        ];
        assert_eq!(what, wanted);
        assert_eq!(own.steps[1].text, "dial 415-555-0199 from +14155550199 busy", "as it is written");
        assert_eq!(script.with_caller("+14155550199", "+14155550199"), script);
    }

    #[test]
    fn each_line_that_is_no_step_is_refused_at_its_place() {
        for (text, why) in [
            ("hear Hello\nshout", "a.call:2: \"shout\" is not a step; known: hear TEXT"),
            ("press x", "a.call:1: `press`: \"x\" are not digits"),
            ("hear", "a.call:1: `hear` without text"),
            ("say \"\"", "a.call:1: `say` without text"),
            ("transcribes", "a.call:1: `transcribes` without text"),
            ("party presses one", "a.call:1: `party presses`: \"one\" are not digits"),
            ("party hears", "a.call:1: `party hears` without text"),
            ("party sleeps", "a.call:1: `party`: \"sleeps\"; known: answers, hears TEXT"),
            ("dial +1415 sleeps", "a.call:1: `dial`: \"sleeps\"; known"),
            ("dial", "a.call:1: `dial` without number"),
            ("dial +14155550177 from", "a.call:1: `dial`: no number behind `from`"),
            ("ends happily", "a.call:1: `ends`: \"happily\"; known: completed"),
            ("wait long", "a.call:1: `wait`: "),
            ("request PUT /a", "a.call:1: `request`: write GET or POST"),
            ("no call\nhear Hello", "a.call:2: a step of the caller's call"),
            ("dial +14155550177\nno call", "a.call:2: `no call` is the first step"),
        ] {
            let found = parse(text).unwrap_err();
            assert!(found.len() == 1 && found[0].starts_with(why), "{found:?}");
        }
        assert_eq!(parse("shout\nhear A\npress x").unwrap_err().len(), 2, "all of them");
    }

    #[test]
    fn numbers_without_a_plus_are_national_ones_of_the_own_number() {
        for (number, own, wanted) in [
            ("415-555-0111", OWN, "+14155550111"),
            ("1 415 555 0111", OWN, "+14155550111"),
            ("+49 30 1234567", OWN, "+49301234567"),
            ("0301234567", "+49301234560", "0301234567"),
            ("Bob", OWN, "Bob"),
        ] {
            assert_eq!(written(number, own), wanted);
        }
    }
}
