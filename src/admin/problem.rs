//! A problem that exists now: what harms calls, by which evidence, and what to do.

use std::fmt;

use serde::Serialize;

/// What a problem harms; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// The edge takes no calls, or not all.
    Edge,
    /// Calls to or from a trunk or agent fail.
    Calls,
    /// Calls are up without audio.
    Media,
    /// Records, counts or text messages are lost or late.
    Records,
    /// The configuration in force is not the file's, or soon causes harm.
    Configuration,
    /// Log lines, traces or captures are lost.
    Telemetry,
    /// Requests from unknown sources are refused.
    Strangers,
}

/// A problem in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it harms.
    pub harm: Harm,
    /// The problem in a few words.
    pub headline: String,
    /// What shows it.
    pub evidence: Option<String>,
    /// What to do.
    pub fix: Option<String>,
    /// A command that shows more.
    pub command: Option<String>,
}

impl Problem {
    pub(super) fn new(harm: Harm, headline: impl Into<String>) -> Problem {
        Problem { harm, headline: headline.into(), evidence: None, fix: None, command: None }
    }

    /// Of a sentence that has its parts in it: `headline: evidence; try: fix`.
    pub(super) fn of(harm: Harm, sentence: &str) -> Problem {
        let (said, fix) = sentence.split_once("; try: ").map_or((sentence, None), |(said, fix)| (said, Some(fix)));
        let (headline, evidence) =
            said.split_once(": ").map_or((said, None), |(headline, evidence)| (headline, Some(evidence)));
        let problem = Problem::new(harm, headline).shown_by(evidence.unwrap_or_default());
        problem.fixed_by(fix.unwrap_or_default())
    }

    pub(super) fn shown_by(self, evidence: impl Into<String>) -> Problem {
        Problem { evidence: Some(evidence.into()).filter(|text| !text.is_empty()), ..self }
    }

    pub(super) fn fixed_by(self, fix: impl Into<String>) -> Problem {
        Problem { fix: Some(fix.into()).filter(|text| !text.is_empty()), ..self }
    }

    pub(super) fn traced_in(self, sid: &str) -> Problem {
        Problem { command: Some(format!("trunkgate trace {sid}")), ..self }
    }
}

/// `headline: evidence; try: fix (command)`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)?;
        if let Some(evidence) = &self.evidence {
            write!(f, ": {evidence}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, "; try: {fix}")?;
        }
        self.command.as_ref().map_or(Ok(()), |command| write!(f, " ({command})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_the_same_after_it_was_taken_apart() {
        for sentence in ["draining", "trunk a is down: 10.0.0.5: no answer", "disk: full: now; try: df; then: rm"] {
            assert_eq!(Problem::of(Harm::Calls, sentence).to_string(), sentence);
        }
        let whole =
            Problem::new(Harm::Media, "no media from pbx").shown_by("NAT").fixed_by("media_from").traced_in("CA1");
        assert_eq!(whole.to_string(), "no media from pbx: NAT; try: media_from (trunkgate trace CA1)");
        assert!(Harm::Edge < Harm::Calls && Harm::Configuration < Harm::Strangers);
    }
}
