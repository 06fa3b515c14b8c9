//! Parameters of a request, from its query or form, each taken once. One that is left over is rejected if it may affect
//! a call or a message; otherwise it is ignored and logged, as Twilio ignores it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use trunkgate_call::numbers::escaped;
use trunkgate_twiml::compat::parameter_names;
use trunkgate_twiml::compat::requests::{ApiOperation, ParameterSupport};

use super::calls::STATUSES;
use super::error::{Error, shown};
use crate::asked::has_too_many_parameters;
use trunkgate_system::limits::HTTP_PARAMETERS;

/// Error for a parameter that may be the rest of a text after `&`. It may be confidential, so it is not quoted.
const REST: &str = "Unknown parameter that has no value, or characters other than letters, digits, -, _ and . in its name (not shown: it may be part of a value): encode & in values as %26";

/// Maximum length of an invalid number that an error quotes, in characters.
const NUMBER_SHOWN_CHARS: usize = 40;

/// Parameters in the order of the request.
#[derive(Debug)]
pub(super) struct Parameters {
    all: Vec<(String, String)>,
    /// Whether parameters that have no effect are rejected (`[api] strict`).
    is_strict: bool,
    ignored: IgnoredParameters,
}

/// Names of the ignored parameters of one request; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct IgnoredParameters(Arc<Mutex<Vec<String>>>);

impl IgnoredParameters {
    fn add(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }

    /// Returns the names of the ignored parameters, in the order of the request.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Time span that includes both of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeSpan {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Parameters {
    /// Parses the query of a request, or the form of a POST. A POST with a query is rejected, because another site
    /// could make a browser send one.
    ///
    /// # Errors
    /// Returns an error if the body is not a form, if there are too many parameters, or if a POST has parameters in its
    /// query.
    pub(super) fn read(parts: &Parts, body: &[u8], is_strict: bool) -> Result<Parameters, Error> {
        let query = parts.uri.query().unwrap_or_default();
        if parts.method == Method::POST && !query.is_empty() {
            return Err(Error::bad_request("a POST has its parameters in a form, not in the query"));
        }
        if has_too_many_parameters(&[query.as_bytes(), body]) {
            return Err(Error::bad_request(format!("more than {HTTP_PARAMETERS} parameters")));
        }
        let of_query = form_urlencoded::parse(query.as_bytes()).into_owned();
        let mut all: Vec<(String, String)> = of_query.collect();
        if !body.trim_ascii().is_empty() {
            let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let kind = kind.split(';').next().unwrap_or_default().trim();
            if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
                let message = format!("Content-Type \"{}\": expected application/x-www-form-urlencoded", shown(kind));
                return Err(Error::bad_request(message));
            }
            all.extend(form_urlencoded::parse(body).into_owned());
        }
        Ok(Parameters { all, is_strict, ignored: IgnoredParameters::default() })
    }

    /// Returns the names of the ignored parameters; names that are ignored later appear in the same list.
    pub(super) fn ignored(&self) -> IgnoredParameters {
        self.ignored.clone()
    }

    /// Returns whether parameters without effect are rejected.
    pub(super) fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Records that a value of a parameter was ignored.
    pub(super) fn ignore(&self, name: &str) {
        self.ignored.add(name);
    }

    /// Takes a parameter; of repeated ones the last counts. An empty value counts as absent, because SDKs send absent
    /// values so.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let mut found = None;
        self.all.retain_mut(|(key, value)| {
            let is_it = key == name;
            if is_it {
                found = Some(std::mem::take(value));
            }
            !is_it
        });
        found.filter(|value| !value.is_empty())
    }

    /// Takes a parameter even if its value is empty; `None` if it is absent.
    pub(super) fn take_given(&mut self, name: &str) -> Option<String> {
        let is_there = self.all.iter().any(|(key, _)| key == name);
        is_there.then(|| self.take(name).unwrap_or_default())
    }

    /// Takes all values of a repeated parameter, in order.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (found, rest) = std::mem::take(&mut self.all).into_iter().partition(|(key, _)| key == name);
        self.all = rest;
        let found: Vec<(String, String)> = found;
        found.into_iter().map(|(_, value)| value).collect()
    }

    /// Takes a parameter that is true or false.
    ///
    /// # Errors
    /// Returns an error if the value is neither true nor false.
    pub(super) fn take_flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true" | "True") => Ok(Some(true)),
            Some("false" | "False") => Ok(Some(false)),
            Some(other) => Err(Error::bad_request(format!(
                "{name}: \"{}\" is not supported: use one of true, false",
                shown(other)
            ))),
        }
    }

    /// Takes a parameter that is one of the known words.
    ///
    /// # Errors
    /// Returns an error if the word is unknown.
    pub(super) fn take_word<'k>(&mut self, name: &str, known: &[&'k str]) -> Result<Option<&'k str>, Error> {
        let Some(given) = self.take(name) else { return Ok(None) };
        word_of(name, &given, known).map(Some)
    }

    /// Takes a parameter of known words, repeated or separated by spaces.
    ///
    /// # Errors
    /// Returns an error if a word is unknown.
    pub(super) fn take_words<'k>(&mut self, name: &str, known: &[&'k str]) -> Result<Vec<&'k str>, Error> {
        let given = self.take_all(name);
        given.iter().flat_map(|value| value.split_whitespace()).map(|word| word_of(name, word, known)).collect()
    }

    /// Takes the events to report. Unknown events are ignored and logged, as on Twilio. Call states are not events, but
    /// many programs name them.
    ///
    /// # Errors
    /// Returns an error if a word is unknown in strict mode, or if no word is an event or a call state.
    pub(super) fn take_events<'k>(&mut self, name: &str, known: &[&'k str]) -> Result<Vec<&'k str>, Error> {
        if self.is_strict {
            return self.take_words(name, known);
        }
        let given = self.take_all(name);
        let words = || given.iter().flat_map(|value| value.split_whitespace());
        let is_known = |word: &&str| known.contains(word) || STATUSES.contains(word);
        if let Some(word) = words().next().filter(|_| !words().any(|word| is_known(&word))) {
            return word_of(name, word, known).map(|word| vec![word]);
        }
        let mut taken = Vec::new();
        for word in words() {
            match known.iter().find(|event| **event == word) {
                Some(event) => taken.push(*event),
                None => self.ignore(&format!("{name}={}", shown(word))),
            }
        }
        Ok(taken)
    }

    /// Takes a text of one line and at most `most` characters.
    ///
    /// # Errors
    /// Returns an error if the text is too long or contains control characters.
    pub(super) fn take_text(&mut self, name: &str, most: usize) -> Result<Option<String>, Error> {
        let text = self.take(name);
        if text.as_ref().is_some_and(|text| text.chars().count() > most || text.chars().any(char::is_control)) {
            return Err(Error::bad_request(format!("{name}: at most {most} characters, without control characters")));
        }
        Ok(text)
    }

    /// Takes an integer in a range.
    ///
    /// # Errors
    /// Returns an error if the value is not an integer, or is out of range.
    pub(super) fn take_number<N>(&mut self, name: &str, range: RangeInclusive<N>) -> Result<Option<N>, Error>
    where
        N: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.map(Some).ok_or_else(|| {
            let (given, least, most) = (escaped(&text, NUMBER_SHOWN_CHARS), range.start(), range.end());
            Error::bad_request(format!("{name}: \"{given}\" is not a whole number from {least} to {most}"))
        })
    }

    /// Takes the time filters `NAME`, `NAME>` and `NAME<`. Their limits are inclusive; a date stands for the whole day
    /// in UTC.
    ///
    /// # Errors
    /// Returns an error if a value is not a time.
    pub(super) fn take_span(&mut self, name: &str) -> Result<TimeSpan, Error> {
        let mut span = TimeSpan { from: Timestamp::MIN, to: Timestamp::MAX };
        for sign in ["", ">", "<"] {
            let key = format!("{name}{sign}");
            let Some(text) = self.take(&key) else { continue };
            let Some(given) =
                TimeSpan::parse(&text).map(|given| if sign.is_empty() { given.whole_day() } else { given })
            else {
                let message =
                    format!("{key}: \"{}\" is not a valid time: 2026-11-20 or 2026-11-20T09:00:00Z", shown(&text));
                return Err(Error::bad_request(message));
            };
            if sign != "<" {
                span.from = span.from.max(given.from);
            }
            if sign != ">" {
                span.to = span.to.min(given.to);
            }
        }
        Ok(span)
    }

    /// Applies the operation's table of parameters: removes those without effect (default values, hints, empty values),
    /// and rejects those that this version does not implement.
    ///
    /// # Errors
    /// Returns an error if a parameter is not implemented.
    pub(super) fn judge(&mut self, operation: &ApiOperation) -> Result<(), Error> {
        let mut refused = None;
        for (name, value) in std::mem::take(&mut self.all) {
            match operation.given(&name) {
                Some(ParameterSupport::Supported | ParameterSupport::Differs(_)) | None => self.all.push((name, value)),
                Some(_) if value.is_empty() => {}
                Some(ParameterSupport::Only(values)) if values.contains(&value.as_str()) => {}
                Some(ParameterSupport::Ignored(_)) if !self.is_strict => self.ignore(&name),
                Some(ParameterSupport::Only(_) | ParameterSupport::Ignored(_) | ParameterSupport::Refused(_)) => {
                    refused = refused.or_else(|| Some(Error::later(&name)));
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Rejects an unknown parameter without a value, which may be the rest of a text with an unencoded `&`.
    ///
    /// # Errors
    /// Returns an error if there is such a parameter.
    pub(super) fn refuse_rests(&self) -> Result<(), Error> {
        let has_rest = self.all.iter().any(|(_, value)| value.is_empty());
        if has_rest { Err(Error::bad_request(REST)) } else { Ok(()) }
    }

    /// Ignores the parameters that are left. Rejects them in strict mode, or if they resemble a parameter that must not
    /// be missed.
    ///
    /// # Errors
    /// Returns an error if a parameter is rejected.
    pub(super) fn finish(self) -> Result<(), Error> {
        for (name, _) in &self.all {
            if !is_name(name) {
                return Err(Error::bad_request(REST));
            }
            if self.is_strict || is_weighty(name) {
                let meant = parameter_names::meant(name);
                let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                return Err(Error::bad_request(format!("Unknown parameter {}{meant}", shown(name))));
            }
            self.ignore(&shown(name));
        }
        Ok(())
    }
}

/// Logs the parameters that a request would have ignored in [`Parameters::finish`] if it had not been rejected before,
/// unless one may be the rest of a text.
impl Drop for Parameters {
    fn drop(&mut self) {
        let is_rest = |(name, value): &(String, String)| value.is_empty() || !is_name(name);
        if self.is_strict || self.all.iter().any(is_rest) {
            return;
        }
        for (name, _) in self.all.iter().filter(|(name, _)| !parameter_names::is_known(name) && !is_weighty(name)) {
            self.ignore(&shown(name));
        }
    }
}

/// Returns whether an unknown parameter may be a misspelling of one that must not be ignored.
fn is_weighty(name: &str) -> bool {
    parameter_names::is_guarded(name) || parameter_names::meant(name).is_some_and(parameter_names::is_guarded)
}

/// Returns whether a text may be the name of a parameter: characters that Twilio uses, and an optional `<` or `>` at
/// the end.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix(['<', '>']).unwrap_or(text);
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-'))
}

/// Returns the known word that equals `given`; otherwise an error with the known words.
fn word_of<'k>(name: &str, given: &str, known: &[&'k str]) -> Result<&'k str, Error> {
    let found = known.iter().find(|word| **word == given).copied();
    found.ok_or_else(|| {
        Error::bad_request(format!("{name}: \"{}\" is not supported: use one of {}", shown(given), known.join(", ")))
    })
}

impl TimeSpan {
    /// Parses a timestamp, or a date as the whole day.
    fn parse(text: &str) -> Option<TimeSpan> {
        // An offset may contain an unencoded `+`, which was decoded to a space.
        let text = text.trim().replace(' ', "+");
        if let Ok(at) = text.parse::<Timestamp>() {
            return Some(TimeSpan { from: at, to: at });
        }
        let day: Date = text.parse().ok().filter(|_| text.len() == 10)?;
        let from = day.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let to = from.checked_add(SignedDuration::from_hours(24)).ok()?;
        Some(TimeSpan { from, to: to.checked_sub(SignedDuration::from_nanos(1)).ok()? })
    }

    /// Extends a timestamp at midnight to the whole day, because client libraries send a date in this form.
    fn whole_day(self) -> TimeSpan {
        let day = SignedDuration::from_hours(24);
        let is_midnight = self.from == self.to && self.from.as_second().rem_euclid(day.as_secs()) == 0;
        let to = self.from.checked_add(day).and_then(|to| to.checked_sub(SignedDuration::from_nanos(1)));
        TimeSpan { to: to.ok().filter(|_| is_midnight).unwrap_or(self.to), ..self }
    }

    /// Returns whether a time is within the span.
    pub(super) fn has(&self, at: Timestamp) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// Returns the limits in the format of call dates, widened by a millisecond; `None` for an open end.
    pub(super) fn bounds(&self) -> (Option<String>, Option<String>) {
        let step = SignedDuration::from_millis(1);
        let written = |at: Option<Timestamp>| at.map(|at| format!("{at:.3}"));
        (written(self.from.checked_sub(step).ok()), written(self.to.checked_add(step).ok()))
    }

    /// Returns whether both ends of the span are open.
    pub(super) fn is_unbounded(&self) -> bool {
        (self.from, self.to) == (Timestamp::MIN, Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use trunkgate_twiml::compat::requests::CREATE_CALL;

    use super::*;

    fn read_by(is_strict: bool, query: &str, kind: &str, body: &str) -> Result<Parameters, Error> {
        let request = Request::builder().uri(format!("/x?{query}")).header(CONTENT_TYPE, kind).body(()).unwrap();
        Parameters::read(&request.into_parts().0, body.as_bytes(), is_strict)
    }

    fn read(query: &str, kind: &str, body: &str) -> Result<Parameters, Error> {
        read_by(true, query, kind, body)
    }

    #[test]
    fn parameters_are_taken_once_and_no_other_is_accepted() {
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let mut all = read("A=1&C=", form, "B=x+y%2B&B=last&D=4").unwrap();
        assert_eq!((all.take("A"), all.take("A"), all.take("B")), (Some("1".into()), None, Some("last".into())));
        assert_eq!((all.take("C"), all.take_number("D", 0..=9)), (None, Ok(Some(4))));
        all.finish().unwrap();
        assert_eq!(read("A=1", form, "").unwrap().finish().unwrap_err().code, 20_001);
        for (given, shown) in [("x", "x"), ("-1", "-1"), ("10", "10"), ("", ""), ("1%E2%80%8B", "1\\u{200b}")] {
            let refused = read(&format!("A={given}"), form, "").unwrap().take_number("A", 1..=9);
            let wrong = format!("A: \"{shown}\" is not a whole number from 1 to 9");
            let expected = if given.is_empty() { Ok(None) } else { Err(Error::bad_request(wrong)) };
            assert_eq!(refused, expected, "{given}");
        }
        assert_eq!(read("", "application/json", "{}").unwrap_err().code, 20_001);
        let judged = |query: &str| read(query, form, "").unwrap().judge(&CREATE_CALL).map_err(|error| error.code);
        assert_eq!((judged("Transcribe=true"), judged("Byoc=BY1")), (Err(20_501), Err(20_501)));
        assert_eq!((judged("Record=false"), judged("Byoc="), judged("Unheard=1")), (Ok(()), Ok(()), Ok(())));
    }

    #[test]
    fn what_changes_nothing_is_ignored_and_noted_and_what_weighs_is_refused() {
        let finished = |query: &str, is_strict: bool| {
            let mut all = read_by(is_strict, query, "", "").unwrap();
            let ignored = all.ignored();
            let judged = all.judge(&CREATE_CALL);
            let result = judged.and_then(|()| all.finish()).map_err(|error| error.code);
            result.map(|()| ignored.names())
        };
        for (query, names) in [
            ("CallReason=x&Foo=1&Foo=2", &["CallReason", "Foo"][..]),
            ("ValidityPeriod=10", &["ValidityPeriod"]),
            ("Methid=GET", &["Methid"]),
            ("IfMachine=Continue&CallReason=&Byoc=", &[]),
        ] {
            assert_eq!(finished(query, false).unwrap(), names, "{query}");
        }
        for (query, code) in [
            ("IfMachine=Hangup", 20_501),
            ("Byoc=BY1", 20_501),
            ("RecordCall=true", 20_001),
            ("Recort=true", 20_001),
            ("TimeLimt=60", 20_001),
            ("to=%2B1415", 20_001),
            ("your+PIN+is+1234=", 20_001),
            ("=1", 20_001),
        ] {
            assert_eq!(finished(query, false).unwrap_err(), code, "{query}");
        }
        for (query, code) in [("CallReason=x", 20_501), ("Foo=1", 20_001), ("Methid=GET", 20_001)] {
            assert_eq!(finished(query, true).unwrap_err(), code, "{query}");
        }
        let error = read_by(true, "Methid=GET", "", "").unwrap().finish().unwrap_err();
        assert_eq!(error.message(), "Unknown parameter Methid; did you mean Method?");
    }

    #[test]
    fn a_refused_request_notes_what_it_would_have_ignored() {
        for (query, names) in [
            // The request is rejected for a value, before all parameters are taken.
            ("Foo=1&Timeout=x&CallReason=y", &["CallReason", "Foo"][..]),
            // The request is rejected for a parameter that is not implemented, then for an unknown one that must not be
            // missed.
            ("Byoc=BY1&CallReason=y&Foo=1", &["CallReason", "Foo"]),
            ("Recrod=true&Foo=1", &["Foo"]),
            // Known parameters that were not taken are not ignored ones, nor are those of a list.
            ("Timeout=x&To=1&From=2&Parameter3.Name=a&StartTime%3E=2026-11-20", &[]),
            // The rest of a text may be confidential, so it is not logged.
            ("Timeout=x&Foo=1&your+PIN+is+1234=", &[]),
            ("Timeout=x&Foo=1&PIN=", &[]),
        ] {
            let mut all = read_by(false, query, "", "").unwrap();
            let ignored = all.ignored();
            let judged = all.judge(&CREATE_CALL).and_then(|()| all.take_number("Timeout", 1..=600).map(drop));
            judged.and_then(|()| all.finish()).unwrap_err();
            assert_eq!(ignored.names(), names, "{query}");
        }
    }

    #[test]
    fn unknown_names_of_weight_and_near_misses_of_them_are_refused() {
        let finished = |name: &str| {
            let query = format!("{name}=%2B1");
            let mut all = read_by(false, &query, "", "").unwrap();
            let ignored = all.ignored();
            let judged = all.judge(&CREATE_CALL);
            judged
                .and_then(|()| all.finish())
                .map_err(|error| (error.code, error.message().to_owned()))
                .map(|()| ignored.names())
        };
        for (name, meant) in [
            ("Privacy", ""),
            ("Anonymous", ""),
            ("Clir", ""),
            ("PrivacyMode", ""),
            ("HideCallerId", ""),
            ("Withheld", ""),
            ("MaskNumber", ""),
            ("Secret", ""),
            ("Encrypt", ""),
            ("Redact", ""),
            ("Recording", ""),
            ("Rcord", "Record"),
            ("Recrod", "Record"),
            ("Reocrd", "Record"),
            ("Too", "To"),
            ("Tp", "To"),
            ("Form", "From"),
            ("Fron", "From"),
            ("ToNumber", ""),
            ("MaxCost", ""),
            ("Charge", ""),
            ("Budget", ""),
            ("Timeuot", "Timeout"),
            ("TimeLimti", "TimeLimit"),
            ("MaxDuration", ""),
            ("Expires", ""),
        ] {
            let meant = if meant.is_empty() { String::new() } else { format!("; did you mean {meant}?") };
            assert_eq!(finished(name).unwrap_err(), (20_001, format!("Unknown parameter {name}{meant}")));
        }
        for name in [
            "Foo",
            "Campaign",
            "Colour",
            "Department",
            "Locale",
            "MachineDetction",
            "Notes",
            "Priority",
            "RequestId",
            "Room",
            "StatusCallbackk",
            "Version",
            "X-Trace",
        ] {
            assert_eq!(finished(name).unwrap(), [name.to_owned()], "{name}");
        }
    }

    #[test]
    fn events_that_do_not_exist_are_ignored_beside_others_only() {
        let taken = |query: &str| {
            let mut all = read_by(false, query, "", "").unwrap();
            let ignored = all.ignored();
            let events = all.take_events("E", &["answered", "completed"]);
            (events.map_err(|error| error.code), ignored.names())
        };
        assert_eq!(taken(""), (Ok(vec![]), vec![]));
        assert_eq!(taken("E=no-answer"), (Ok(vec![]), vec!["E=no-answer".to_owned()]));
        assert_eq!(taken("E=answered+foo"), (Ok(vec!["answered"]), vec!["E=foo".to_owned()]));
        assert_eq!(taken("E=ansered"), (Err(20_001), vec![]), "the callback that is meant would be missed");
    }

    #[test]
    fn a_post_has_no_parameters_in_its_query() {
        let post = |uri: &str, body: &str| {
            let form = "application/x-www-form-urlencoded";
            let request = Request::builder().method(Method::POST).uri(uri).header(CONTENT_TYPE, form).body(()).unwrap();
            Parameters::read(&request.into_parts().0, body.as_bytes(), false)
        };
        assert_eq!(post("/x", "Status=completed").unwrap().take("Status").as_deref(), Some("completed"));
        for (uri, body) in [("/x?Status=completed", ""), ("/x?Status=completed", "Status=completed")] {
            assert_eq!(post(uri, body).unwrap_err().code, 20_001);
        }
    }

    #[test]
    fn bounds_of_times_belong_to_the_span_and_a_date_is_a_day() {
        let span = |query: &str| read(query, "", "").unwrap().take_span("StartTime");
        let has = |query: &str, at: &str| span(query).unwrap().has(at.parse().unwrap());
        assert!(span("").unwrap().is_unbounded());
        for (query, within, without) in [
            ("StartTime=2026-11-20", "2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00Z"),
            ("StartTime=2026-11-20T00:00:00Z", "2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00Z"),
            ("StartTime=2026-11-20T01:00:00Z", "2026-11-20T01:00:00Z", "2026-11-20T01:00:00.001Z"),
            ("StartTime%3E=2026-11-20", "2026-11-20T00:00:00Z", "2026-11-19T23:59:59.999Z"),
            ("StartTime%3C=2026-11-20", "2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00Z"),
            ("StartTime%3C=2026-11-20T09:00:00Z", "2026-11-20T09:00:00Z", "2026-11-20T09:00:00.001Z"),
            ("StartTime%3E=2026-11-20T09:00:00+01:00", "2026-11-20T08:00:00Z", "2026-11-20T07:59:59Z"),
            ("StartTime%3E=2026-11-20&StartTime%3C=2026-11-21", "2026-11-21T12:00:00Z", "2026-11-22T00:00:00Z"),
        ] {
            assert!(has(query, within) && !has(query, without), "{query}");
        }
        for bad in ["StartTime=yesterday", "StartTime=2026-13-01", "StartTime=2026-11-20T09"] {
            assert_eq!(span(bad).unwrap_err().code, 20_001, "{bad}");
        }
    }
}
