//! Schedules of routes: days of the week, times of day, dates and holidays, in a time zone.
//!
//! Examples: `mon-fri 09:00-17:00`, `sat,sun`, `22:00-06:00 Europe/Berlin`, `12-24..12-26`,
//! `mon-fri 09:00-17:00 not holidays`. All words of a schedule must apply. A time span across midnight belongs to the
//! day on which it begins.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

/// Number of minutes in a day.
const DAY_MINUTES: u16 = 24 * 60;
/// Day names, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Default time zone and holidays of schedules.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// Time zone of schedules that name none.
    pub zone: TimeZone,
    /// Days to which the word `holidays` refers.
    pub holidays: Arc<[DateRange]>,
}

/// Returns a calendar of UTC without holidays.
impl Default for Calendar {
    fn default() -> Calendar {
        Calendar { zone: TimeZone::UTC, holidays: Arc::from([]) }
    }
}

/// Inclusive range of days, in one year or in every year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateRange {
    /// Range of days in specific years, `2026-12-24..2027-01-02`.
    Once(Date, Date),
    /// Range of month and day in every year, `12-24..01-02`; it may include a new year.
    Yearly((i8, i8), (i8, i8)),
}

impl DateRange {
    /// Parses a day, `2026-04-03` or `12-25`, or a range of two days of the same kind, joined by `..`.
    pub fn parse(text: &str) -> Option<DateRange> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        if let (Ok(first), Ok(last)) = (first.parse::<Date>(), last.parse::<Date>()) {
            return (first <= last).then_some(DateRange::Once(first, last));
        }
        Some(DateRange::Yearly(month_and_day(first)?, month_and_day(last)?))
    }

    /// Returns whether a day is in the range.
    pub fn contains(&self, date: Date) -> bool {
        match *self {
            DateRange::Once(first, last) => (first..=last).contains(&date),
            DateRange::Yearly(first, last) => {
                let day = (date.month(), date.day());
                // The range `12-24..01-02` continues in the next year.
                if first <= last { (first..=last).contains(&day) } else { day >= first || day <= last }
            }
        }
    }
}

/// Parses a month and day such as `12-25`; 29 February is valid.
fn month_and_day(text: &str) -> Option<(i8, i8)> {
    let (month, day) = text.split_once('-')?;
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let date = (two_digits(month) && two_digits(day)).then(|| format!("2024-{month}-{day}"))?;
    let date = date.parse::<Date>().ok()?;
    Some((date.month(), date.day()))
}

/// Compiled schedule: the times at which a route applies.
#[derive(Debug, Clone)]
pub struct ScheduleHours {
    written: String,
    zone: TimeZone,
    /// Conditions on the day, all of which must hold; `false` negates one.
    days: Vec<(DaySet, bool)>,
    /// Time spans in minutes of the day, end excluded; empty for the whole day. A span with an end before its start
    /// ends on the next day.
    times: Vec<(u16, u16)>,
}

#[derive(Debug, Clone)]
enum DaySet {
    /// Bit set of days of the week, Monday lowest.
    Week(u8),
    Dates(Arc<[DateRange]>),
}

impl DaySet {
    fn contains(&self, date: Date) -> bool {
        match self {
            DaySet::Week(bits) => bits & bit(date.weekday()) != 0,
            DaySet::Dates(dates) => dates.iter().any(|dates| dates.contains(date)),
        }
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

/// Error in a schedule, with a correction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoursError {
    /// Description of the problem, with the invalid word.
    pub message: String,
    /// Advice with the correct form.
    pub help: String,
}

impl ScheduleHours {
    /// Parses a schedule; `zone` returns the time zone with a name, or `None`.
    ///
    /// # Errors
    /// Returns [`HoursError`] with the invalid word if the text is not a schedule.
    pub fn parse(
        text: &str,
        calendar: &Calendar,
        zone: &dyn Fn(&str) -> Option<TimeZone>,
    ) -> Result<ScheduleHours, HoursError> {
        let error = |message: String, help: &str| HoursError { message, help: help.to_owned() };
        let mut hours = ScheduleHours {
            written: text.to_owned(),
            zone: calendar.zone.clone(),
            days: Vec::new(),
            times: Vec::new(),
        };
        let mut wanted = true;
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_none() {
            return Err(error("no hours".to_owned(), "use \"mon-fri 09:00-17:00\""));
        }
        for word in words {
            let lower = word.to_ascii_lowercase();
            if lower == "not" && wanted {
                wanted = false;
                continue;
            }
            if let Some(days) = days(&lower, calendar) {
                hours.days.push((days, wanted));
                wanted = true;
            } else if !wanted {
                return Err(error(format!("`{word}` behind `not`"), "days, dates or `holidays`"));
            } else if let Some(times) = all(&lower, time_span) {
                if !hours.times.is_empty() {
                    return Err(error(format!("`{word}`: times are already given"), "use 09:00-12:00,13:00-17:00"));
                }
                hours.times = times;
            } else if let Some(named) = zone(word) {
                hours.zone = named;
            } else if lower.contains(':') {
                return Err(error(
                    format!("`{word}` is not a time range"),
                    "use 09:00-17:00; the end of the day is 24:00",
                ));
            } else if word.contains('/') {
                return Err(error(format!("`{word}` is not a time zone"), "use Europe/Berlin"));
            } else if lower.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(error(
                    format!("`{word}` is not a date"),
                    "use a date such as 12-25, 2026-04-03 or 12-24..12-26, or a time such as 09:00-17:00",
                ));
            } else {
                return Err(error(
                    format!("`{word}` is not a day"),
                    "use mon tue wed thu fri sat sun, mon-fri or sat,sun; exceptions: \"not holidays\"",
                ));
            }
        }
        if !wanted {
            return Err(error("nothing after `not`".to_owned(), "use \"not holidays\""));
        }
        Ok(hours)
    }

    /// Returns whether the schedule is active at a point in time.
    pub fn is_active(&self, at: Timestamp) -> bool {
        let local = self.local(at);
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let is_day = |date: Date| self.days.iter().all(|(days, wanted)| days.contains(date) == *wanted);
        let today = local.date();
        if self.times.is_empty() {
            return is_day(today);
        }
        self.times.iter().any(|&(begin, end)| match begin < end {
            true => (begin..end).contains(&minute) && is_day(today),
            false => (minute >= begin && is_day(today)) || (minute < end && today.yesterday().is_ok_and(is_day)),
        })
    }

    /// Returns whether the schedule applies to any of `days` days from `first` on.
    pub fn come_within(&self, first: Date, days: u16) -> bool {
        let is_day = |date: Date| self.days.iter().all(|(days, wanted)| days.contains(date) == *wanted);
        first.series(jiff::Span::new().days(1)).take(usize::from(days)).any(is_day)
    }

    /// Returns whether the schedule refers to holidays.
    pub fn needs_holidays(&self) -> bool {
        self.written.split_whitespace().any(|word| word.eq_ignore_ascii_case("holidays"))
    }

    /// Returns the local time of a point in time, in the schedule's time zone.
    pub fn local(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(at)
    }

    /// Returns the name of the schedule's time zone.
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

/// Formats the schedule as written in the configuration.
impl fmt::Display for ScheduleHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// Compares the text and the time zone of two schedules.
impl PartialEq for ScheduleHours {
    fn eq(&self, other: &ScheduleHours) -> bool {
        self.written == other.written && self.zone == other.zone
    }
}

/// Parses the days in a word of a schedule: `mon-fri`, `sat,sun`, `12-24..12-26,01-01`, `holidays`.
fn days(word: &str, calendar: &Calendar) -> Option<DaySet> {
    if word == "holidays" {
        return Some(DaySet::Dates(calendar.holidays.clone()));
    }
    if let Some(spans) = all(word, week_span) {
        return Some(DaySet::Week(spans.into_iter().fold(0, |bits, span| bits | span)));
    }
    Some(DaySet::Dates(all(word, DateRange::parse)?.into()))
}

/// Parses each item of a comma-separated list; `None` if one is invalid.
fn all<T>(word: &str, read: fn(&str) -> Option<T>) -> Option<Vec<T>> {
    word.split(',').map(read).collect()
}

/// Parses days of the week: `mon`, `mon-fri`, `sat-mon`.
fn week_span(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let count = (last + DAYS.len() - first) % DAYS.len();
    Some((0..=count).fold(0, |bits, step| bits | 1 << ((first + step) % DAYS.len())))
}

/// Parses a time span such as `09:00-17:00` to minutes of the day.
fn time_span(text: &str) -> Option<(u16, u16)> {
    let (begin, end) = text.split_once('-')?;
    let (begin, end) = (minutes(begin)?, minutes(end)?);
    (begin != end && begin < DAY_MINUTES).then_some((begin, end))
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let written = digits(hour) && digits(minute) && minute.len() == 2 && (1..=2).contains(&hour.len());
    let (hour, minute) = written.then_some((hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?))?;
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY_MINUTES).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(text: &str) -> Result<ScheduleHours, HoursError> {
        let holidays =
            ["01-01", "12-24..12-26", "2026-04-03", "12-31..01-02"].map(|text| DateRange::parse(text).unwrap());
        let calendar = Calendar { zone: TimeZone::get("America/New_York").unwrap(), holidays: holidays.into() };
        ScheduleHours::parse(text, &calendar, &|name| TimeZone::get(name).ok())
    }

    #[test]
    fn they_hold_when_they_say() {
        // 2026-11-20 is a Friday; New York is at -05:00 in winter, -04:00 in summer.
        for (text, at, expected) in [
            ("mon-fri 09:00-17:00", "2026-11-20T14:00:00Z", true),
            ("mon-fri 09:00-17:00", "2026-11-20T13:59:59Z", false),
            ("mon-fri 09:00-17:00", "2026-11-20T21:59:59Z", true),
            ("mon-fri 09:00-17:00", "2026-11-20T22:00:00Z", false),
            ("mon-fri 09:00-17:00", "2026-11-21T14:00:00Z", false),
            ("mon-fri 09:00-17:00", "2026-07-20T13:00:00Z", true),
            ("MON-FRI 9:00-17:00 utc", "2026-11-20T13:59:59Z", true),
            ("mon-fri 09:00-17:00 Europe/Berlin", "2026-11-20T08:00:00Z", true),
            ("mon-fri 09:00-17:00 Europe/Berlin", "2026-11-20T16:00:00Z", false),
            ("sat,sun", "2026-11-21T12:00:00Z", true),
            ("sat,sun", "2026-11-20T12:00:00Z", false),
            ("sat-mon", "2026-11-23T12:00:00Z", true),
            ("sat-mon", "2026-11-24T12:00:00Z", false),
            ("08:00-12:00,13:00-24:00", "2026-11-20T17:30:00Z", false),
            ("08:00-12:00,13:00-24:00", "2026-11-21T04:59:00Z", true),
            // Across midnight: the night from Friday to Saturday.
            ("fri 22:00-06:00", "2026-11-21T03:00:00Z", true),
            ("fri 22:00-06:00", "2026-11-21T10:59:00Z", true),
            ("fri 22:00-06:00", "2026-11-21T11:00:00Z", false),
            ("fri 22:00-06:00", "2026-11-20T10:00:00Z", false),
            ("12-24..12-26", "2030-12-25T12:00:00Z", true),
            ("12-24..12-26", "2030-12-27T12:00:00Z", false),
            ("12-24..01-02", "2031-01-02T12:00:00Z", true),
            ("2026-12-24..2027-01-02", "2027-01-02T12:00:00Z", true),
            ("2026-12-24..2027-01-02", "2028-01-02T12:00:00Z", false),
            ("holidays", "2026-04-03T12:00:00Z", true),
            ("holidays", "2027-04-03T12:00:00Z", false),
            ("holidays", "2028-01-02T12:00:00Z", true),
            ("mon-fri 09:00-17:00 not holidays", "2026-12-25T15:00:00Z", false),
            ("mon-fri 09:00-17:00 not holidays", "2026-12-23T15:00:00Z", true),
            ("not sun not 11-21", "2026-11-21T15:00:00Z", false),
            ("02-29", "2028-02-29T15:00:00Z", true),
        ] {
            assert_eq!(hours(text).unwrap().is_active(at.parse().unwrap()), expected, "{text} at {at}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, part) in [
            ("", "no hours"),
            ("mon-fri 9-17", "`9-17` is not a date"),
            ("mon-fri 09:00-25:00", "`09:00-25:00` is not a time range"),
            ("09:00-09:00", "is not a time range"),
            ("24:00-06:00", "is not a time range"),
            ("09:60-10:00", "is not a time range"),
            ("mon-fry", "`mon-fry` is not a day"),
            ("weekdays", "`weekdays` is not a day"),
            ("mon Mars/Olympus", "`Mars/Olympus` is not a time zone"),
            ("12-32", "is not a date"),
            ("2027-01-02..2026-12-24", "is not a date"),
            ("not", "nothing after `not`"),
            ("not 09:00-10:00", "behind `not`"),
            ("09:00-10:00 11:00-12:00", "times are already given"),
        ] {
            let error = hours(text).unwrap_err();
            assert!(error.message.contains(part), "{text}: {}", error.message);
        }
    }

    #[test]
    fn what_never_comes_is_known() {
        let come = |text: &str| hours(text).unwrap().come_within("2026-11-21".parse().unwrap(), 1_500);
        for text in ["mon-fri", "02-29", "2028-01-01", "holidays", "not holidays", "fri 22:00-06:00", "sat 12-25"] {
            assert!(come(text), "{text}");
        }
        for text in ["sat mon", "2020-01-01", "12-25 not holidays", "not sat not mon-fri not sun"] {
            assert!(!come(text), "{text}");
        }
    }

    #[test]
    fn no_hour_is_lost_where_clocks_change() {
        // In New York the hour from 01:00 occurs twice on 2026-11-01, and the hour from 02:00 does not occur on
        // 2026-03-08.
        let (night, gap) = (hours("01:00-02:00").unwrap(), hours("02:00-03:00").unwrap());
        let held = |hours: &ScheduleHours, day: &str| {
            let first: Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
            (0..24 * 60).filter(|minute| hours.is_active(first + jiff::SignedDuration::from_mins(*minute))).count()
        };
        assert_eq!((held(&night, "2026-11-01"), held(&gap, "2026-03-08")), (120, 0));
    }
}
