//! The text message after a call that nobody answered: after which calls, to whom, and what it says.

use std::fmt;

use crate::agent::{Facts, Template};
use crate::number::{Number, Numbers, SendNumbers};
use crate::screen::high_risk;

/// Longest text of a message, in characters: what Twilio takes.
pub const SMS_CHARS: usize = 1_600;
/// What stands in a text for a number that is none.
const NO_NUMBER: &str = "unknown";

/// How a call has ended that nobody answered, as far as a text goes by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextOutcome {
    /// The called side was busy, or declined the call.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// Nobody could be reached.
    Failed,
    /// The caller gave up before.
    Canceled,
}

impl TextOutcome {
    /// Each of them.
    pub const ALL: [TextOutcome; 4] =
        [TextOutcome::Busy, TextOutcome::NoAnswer, TextOutcome::Failed, TextOutcome::Canceled];
    /// Those that are followed by a text where a route does not say.
    pub const USUAL: [TextOutcome; 3] = [TextOutcome::Busy, TextOutcome::NoAnswer, TextOutcome::Failed];

    /// `busy`, `no_answer`, `failed`, `canceled`.
    pub const fn as_str(self) -> &'static str {
        match self {
            TextOutcome::Busy => "busy",
            TextOutcome::NoAnswer => "no_answer",
            TextOutcome::Failed => "failed",
            TextOutcome::Canceled => "canceled",
        }
    }
}

/// `sms_on_failure` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsRule {
    /// Whom it goes to.
    pub to: Template,
    /// Who sends it: a number in E.164, a short code, a name, or the sid of a messaging service.
    pub from: String,
    /// What it says.
    pub body: Template,
    /// After which calls.
    pub on: Vec<TextOutcome>,
    /// Whose number it may be.
    pub recipients: Recipients,
}

/// Whose numbers get texts: there are countries where somebody is paid for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipients {
    /// Anybody's.
    Any,
    /// Those of these countries (ISO 3166 alpha-2).
    Countries(Vec<String>),
    /// Those that begin with one of these.
    Prefixes(Vec<String>),
}

impl Recipients {
    fn check(&self, e164: &str) -> Result<(), NoText> {
        match self {
            Recipients::Any => Ok(()),
            Recipients::Prefixes(all) if all.iter().any(|prefix| e164.starts_with(prefix)) => Ok(()),
            Recipients::Prefixes(_) => Err(NoText::Prefix),
            Recipients::Countries(all) if Numbers::country_of(e164).is_some_and(|one| all.contains(&one)) => Ok(()),
            Recipients::Countries(all) => Err(NoText::Abroad(all.clone())),
        }
    }
}

/// Why nobody gets a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoText {
    /// The recipient would be the caller, who hides its number.
    Anonymous,
    /// The recipient's number is not E.164.
    NotE164,
    /// It is the sender's own number, or the called one.
    Own,
    /// It begins with none of `allow_prefixes`.
    Prefix,
    /// It is of none of these countries.
    Abroad(Vec<String>),
    /// It is in a range that is known for fraud.
    HighRisk(&'static str),
    /// The text is empty once its placeholders are filled.
    Empty,
}

impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoText::Anonymous => f.write_str("the caller ID is withheld"),
            NoText::NotE164 => f.write_str("the recipient has no number that can receive one"),
            NoText::Own => f.write_str("the recipient is our own number"),
            NoText::Prefix => f.write_str("the recipient's number is not in allow_prefixes"),
            NoText::Abroad(home) => {
                let home = home.join(" or ");
                write!(f, "the recipient's number is not of {home}; `allow_prefixes` of [sms] would allow it")
            }
            NoText::HighRisk(what) => write!(f, "the recipient's number is high-risk: {what}"),
            NoText::Empty => f.write_str("its body is empty"),
        }
    }
}

/// What is known of a call that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedCall<'a> {
    /// The calling number; `None` where it is hidden.
    pub caller: Option<&'a Number>,
    /// The called number.
    pub called: &'a Number,
    /// Name of the route.
    pub route: &'a str,
    /// Name of the caller's trunk.
    pub trunk: &'a str,
    /// How it ended.
    pub outcome: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// A number as a text may show it: what a caller writes in its place is not sent on to anybody.
fn shown(number: &Number) -> &str {
    let is_number = number.text.len() <= 16 && number.text.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit());
    if is_number { &number.text } else { NO_NUMBER }
}

impl SmsRule {
    /// The recipient and the text.
    ///
    /// # Errors
    /// Why nobody gets one.
    pub fn write(&self, call: &EndedCall<'_>, numbers: &Numbers) -> Result<(String, String), NoText> {
        let facts = Facts {
            caller: call.caller.map_or(NO_NUMBER, shown),
            called: shown(call.called),
            route: call.route,
            trunk: call.trunk,
            headers: &[],
            outcome: call.outcome,
            reason: call.reason,
        };
        let to = self.to.fill(&facts);
        if to == NO_NUMBER && call.caller.is_none() {
            return Err(NoText::Anonymous);
        }
        let recipient = numbers.normalise_caller(&to, None);
        if !recipient.is_e164 || recipient.text != to {
            return Err(NoText::NotE164);
        }
        if to == self.from || to == call.called.text {
            return Err(NoText::Own);
        }
        let readings = numbers.ways(&recipient, SendNumbers::E164);
        if let Some(what) = readings.iter().find_map(|number| high_risk(numbers, number)) {
            return Err(NoText::HighRisk(what));
        }
        self.recipients.check(&to)?;
        let body: String = self.body.fill(&facts).chars().take(SMS_CHARS).collect();
        if body.trim().is_empty() {
            return Err(NoText::Empty);
        }
        Ok((to, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> SmsRule {
        SmsRule {
            to: Template::parse_ended("{caller}").unwrap(),
            from: "+14155551234".into(),
            body: Template::parse_ended("We missed your call to {called} ({outcome}).").unwrap(),
            on: TextOutcome::USUAL.to_vec(),
            recipients: Recipients::Prefixes(vec!["+1".into()]),
        }
    }

    fn write(rule: &SmsRule, caller: Option<&str>, called: &str) -> Result<(String, String), NoText> {
        let numbers = Numbers::default();
        let caller = caller.map(|caller| numbers.normalise_caller(caller, None));
        let called = numbers.normalise_caller(called, None);
        let call = EndedCall {
            caller: caller.as_ref(),
            called: &called,
            route: "reception",
            trunk: "carrier",
            outcome: "busy",
            reason: "target_busy",
        };
        rule.write(&call, &numbers)
    }

    #[test]
    fn the_caller_is_told_that_its_call_was_missed() {
        let (to, body) = write(&rule(), Some("(415) 555-0100"), "+14155550123").unwrap();
        assert_eq!(to, "+14155550100");
        assert_eq!(body, "We missed your call to +14155550123 (busy).");
    }

    #[test]
    fn who_gets_none() {
        let rule = rule();
        for (caller, called, why) in [
            (None, "+14155550123", NoText::Anonymous),
            (Some("100"), "+14155550123", NoText::NotE164),
            (Some("alice"), "+14155550123", NoText::NotE164),
            (Some("+14155551234"), "+14155550123", NoText::Own),
            (Some("+14155550123"), "+14155550123", NoText::Own),
            (Some("+442079460018"), "+14155550123", NoText::Prefix),
            (Some("+881651234567"), "+14155550123", NoText::HighRisk("satellite phones")),
            (Some("+19005550123"), "+14155550123", NoText::HighRisk("premium rate")),
        ] {
            assert_eq!(write(&rule, caller, called), Err(why), "{caller:?}");
        }
        let any = SmsRule { recipients: Recipients::Any, ..rule.clone() };
        assert_eq!(write(&any, Some("+442079460018"), "100").unwrap().0, "+442079460018");
        let home = vec!["US".to_owned(), "GB".to_owned()];
        let some = SmsRule { recipients: Recipients::Countries(home.clone()), ..rule };
        // Of `+1` the United States alone; of `+44` not Jersey; a range that nobody is known to have is the first country's.
        for (caller, gets_one) in [
            ("+14155550100", true),
            ("+442079460018", true),
            ("+447400123456", true),
            ("+15215550100", true),
            ("+18765550100", false),
            ("+18095550100", false),
            ("+14165550100", false),
            ("+447797712345", false),
            ("+4915123456789", false),
        ] {
            let written = write(&some, Some(caller), "100");
            let meant = if gets_one { Ok(caller.to_owned()) } else { Err(NoText::Abroad(home.clone())) };
            assert_eq!(written.map(|(to, _)| to), meant, "{caller}");
        }
    }

    #[test]
    fn what_a_caller_writes_for_a_number_is_in_no_text() {
        let to_us = SmsRule {
            to: Template::parse_ended("+14155550199").unwrap(),
            body: Template::parse_ended("{caller} called {called}").unwrap(),
            ..rule()
        };
        let (to, body) = write(&to_us, Some("http://evil.example"), "visit-evil.example").unwrap();
        assert_eq!((to.as_str(), body.as_str()), ("+14155550199", "unknown called unknown"));
        let (_, body) = write(&to_us, None, "100").unwrap();
        assert_eq!(body, "unknown called 100");
        let empty = SmsRule { body: Template::parse_ended(" ").unwrap(), ..to_us };
        assert_eq!(write(&empty, None, "100"), Err(NoText::Empty));
    }
}
