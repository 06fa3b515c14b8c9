//! Text messages after unanswered calls: the outcomes that trigger one, the recipient, and the text.

use std::fmt;

use crate::agent::{ParameterTemplate, TemplateValues};
use crate::number::{Number, NumberingPlan, SendNumbers};
use crate::screen::high_risk;

/// Maximum length of a message in characters, as accepted by Twilio; a longer text is cut.
pub const SMS_CHARS: usize = 1_600;
/// Text used in place of a withheld number, or of a text that is not a number.
const NO_NUMBER: &str = "unknown";

/// Outcome of an unanswered call, as distinguished by `sms_on_failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextOutcome {
    /// The callee was busy or declined the call.
    Busy,
    /// The call was not answered in time.
    NoAnswer,
    /// No target of the call could be reached.
    Failed,
    /// The caller hung up before the answer.
    Canceled,
}

impl TextOutcome {
    /// All outcomes that can trigger a message.
    pub const ALL: [TextOutcome; 4] =
        [TextOutcome::Busy, TextOutcome::NoAnswer, TextOutcome::Failed, TextOutcome::Canceled];
    /// Outcomes that trigger a message by default.
    pub const USUAL: [TextOutcome; 3] = [TextOutcome::Busy, TextOutcome::NoAnswer, TextOutcome::Failed];

    /// Returns the name in the configuration: `busy`, `no_answer`, `failed` or `canceled`.
    pub const fn as_str(self) -> &'static str {
        match self {
            TextOutcome::Busy => "busy",
            TextOutcome::NoAnswer => "no_answer",
            TextOutcome::Failed => "failed",
            TextOutcome::Canceled => "canceled",
        }
    }
}

/// Settings of `sms_on_failure` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmsRule {
    /// Recipient of the message, as a template such as `{caller}`.
    pub to: ParameterTemplate,
    /// Sender: a number in E.164, a short code, a name, or the sid of a messaging service.
    pub from: String,
    /// Text of the message, as a template.
    pub body: ParameterTemplate,
    /// Outcomes that trigger a message.
    pub on: Vec<TextOutcome>,
    /// Permitted recipients.
    pub recipients: SmsRecipients,
}

/// Permitted recipients of text messages; in some countries fraudsters earn a share of each message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmsRecipients {
    /// Any number is permitted.
    Any,
    /// Only numbers of these countries (ISO 3166 alpha-2).
    Countries(Vec<String>),
    /// Only numbers with one of these prefixes.
    Prefixes(Vec<String>),
}

impl SmsRecipients {
    fn check(&self, e164: &str) -> Result<(), TextRejection> {
        match self {
            SmsRecipients::Any => Ok(()),
            SmsRecipients::Prefixes(all) if all.iter().any(|prefix| e164.starts_with(prefix)) => Ok(()),
            SmsRecipients::Prefixes(_) => Err(TextRejection::Prefix),
            SmsRecipients::Countries(all) if NumberingPlan::country_of(e164).is_some_and(|one| all.contains(&one)) => {
                Ok(())
            }
            SmsRecipients::Countries(all) => Err(TextRejection::Abroad(all.clone())),
        }
    }
}

/// Reason why no text message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextRejection {
    /// The recipient would be the caller, whose number is withheld.
    Anonymous,
    /// The recipient's number is not E.164.
    NotE164,
    /// The recipient is the sender itself, or the called number.
    Own,
    /// The recipient's number has none of `allow_prefixes`.
    Prefix,
    /// The recipient's number belongs to none of these countries.
    Abroad(Vec<String>),
    /// The recipient's number is in a range known for fraud, with this description.
    HighRisk(&'static str),
    /// The text is empty after its placeholders are replaced.
    Empty,
}

impl fmt::Display for TextRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextRejection::Anonymous => f.write_str("the caller ID is withheld"),
            TextRejection::NotE164 => f.write_str("the recipient has no number that can receive one"),
            TextRejection::Own => f.write_str("the recipient is the sender or the called number"),
            TextRejection::Prefix => f.write_str("the recipient's number is not in allow_prefixes"),
            TextRejection::Abroad(home) => {
                let home = home.join(" or ");
                write!(f, "the recipient's number does not belong to {home}; `allow_prefixes` of [sms] would allow it")
            }
            TextRejection::HighRisk(what) => write!(f, "the recipient's number is high-risk: {what}"),
            TextRejection::Empty => f.write_str("its body is empty"),
        }
    }
}

/// Ended call, for the placeholders of a message.
#[derive(Debug, Clone, Copy)]
pub struct EndedCall<'a> {
    /// Calling number; `None` if withheld.
    pub caller: Option<&'a Number>,
    /// Called number of the call.
    pub called: &'a Number,
    /// Name of the route.
    pub route: &'a str,
    /// Name of the caller's trunk.
    pub trunk: &'a str,
    /// Outcome of the call, for `{outcome}`.
    pub outcome: &'a str,
    /// Reason for the outcome, for `{reason}`.
    pub reason: &'a str,
}

/// Returns a number for use in a message, or `unknown` for other texts, which the caller controls.
fn shown(number: &Number) -> &str {
    let is_number = number.text.len() <= 16 && number.text.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit());
    if is_number { &number.text } else { NO_NUMBER }
}

impl SmsRule {
    /// Returns the recipient and the text of the message for a call.
    ///
    /// # Errors
    /// Fails with [`TextRejection`] if the recipient is withheld, not E.164, the sender itself, high-risk or not
    /// permitted, or if the text is empty.
    pub fn write(&self, call: &EndedCall<'_>, numbers: &NumberingPlan) -> Result<(String, String), TextRejection> {
        let facts = TemplateValues {
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
            return Err(TextRejection::Anonymous);
        }
        let recipient = numbers.normalise_caller(&to, None);
        if !recipient.is_e164 || recipient.text != to {
            return Err(TextRejection::NotE164);
        }
        if to == self.from || to == call.called.text {
            return Err(TextRejection::Own);
        }
        let readings = numbers.spoken_forms(&recipient, SendNumbers::E164);
        if let Some(what) = readings.iter().find_map(|number| high_risk(numbers, number)) {
            return Err(TextRejection::HighRisk(what));
        }
        self.recipients.check(&to)?;
        let body: String = self.body.fill(&facts).chars().take(SMS_CHARS).collect();
        if body.trim().is_empty() {
            return Err(TextRejection::Empty);
        }
        Ok((to, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> SmsRule {
        SmsRule {
            to: ParameterTemplate::parse_ended("{caller}").unwrap(),
            from: "+14155551234".into(),
            body: ParameterTemplate::parse_ended("We missed your call to {called} ({outcome}).").unwrap(),
            on: TextOutcome::USUAL.to_vec(),
            recipients: SmsRecipients::Prefixes(vec!["+1".into()]),
        }
    }

    fn write(rule: &SmsRule, caller: Option<&str>, called: &str) -> Result<(String, String), TextRejection> {
        let numbers = NumberingPlan::default();
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
            (None, "+14155550123", TextRejection::Anonymous),
            (Some("100"), "+14155550123", TextRejection::NotE164),
            (Some("alice"), "+14155550123", TextRejection::NotE164),
            (Some("+14155551234"), "+14155550123", TextRejection::Own),
            (Some("+14155550123"), "+14155550123", TextRejection::Own),
            (Some("+442079460018"), "+14155550123", TextRejection::Prefix),
            (Some("+881651234567"), "+14155550123", TextRejection::HighRisk("satellite phones")),
            (Some("+19005550123"), "+14155550123", TextRejection::HighRisk("premium rate")),
        ] {
            assert_eq!(write(&rule, caller, called), Err(why), "{caller:?}");
        }
        let any = SmsRule { recipients: SmsRecipients::Any, ..rule.clone() };
        assert_eq!(write(&any, Some("+442079460018"), "100").unwrap().0, "+442079460018");
        let home = vec!["US".to_owned(), "GB".to_owned()];
        let some = SmsRule { recipients: SmsRecipients::Countries(home.clone()), ..rule };
        // Of `+1` only the United States; of `+44` not Jersey; an unknown range counts as the first country of its
        // code.
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
            let meant = if gets_one { Ok(caller.to_owned()) } else { Err(TextRejection::Abroad(home.clone())) };
            assert_eq!(written.map(|(to, _)| to), meant, "{caller}");
        }
    }

    #[test]
    fn what_a_caller_writes_for_a_number_is_in_no_text() {
        let to_us = SmsRule {
            to: ParameterTemplate::parse_ended("+14155550199").unwrap(),
            body: ParameterTemplate::parse_ended("{caller} called {called}").unwrap(),
            ..rule()
        };
        let (to, body) = write(&to_us, Some("http://evil.example"), "visit-evil.example").unwrap();
        assert_eq!((to.as_str(), body.as_str()), ("+14155550199", "unknown called unknown"));
        let (_, body) = write(&to_us, None, "100").unwrap();
        assert_eq!(body, "unknown called 100");
        let empty = SmsRule { body: ParameterTemplate::parse_ended(" ").unwrap(), ..to_us };
        assert_eq!(write(&empty, None, "100"), Err(TextRejection::Empty));
    }
}
