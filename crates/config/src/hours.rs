//! `when` of a route, with `time_zone` and `holidays` of `[edge]`.

use jiff::tz::TimeZone;
use trunkgate_route::{Calendar, DateRange, ScheduleHours};

use super::code;
use super::diagnostic::Findings;
use super::section::{Section, SpannedValue};
use super::values;
use trunkgate_system::clock;

/// Number of days searched for a time that matches `when`: four years contain every date and weekday.
const SOON_DAYS: u16 = 1_463;

/// Reads the calendar of `[edge]`.
pub(super) fn calendar(edge: &Section<'_>, findings: &mut Findings) -> Calendar {
    let zone = edge.read("time_zone", findings, |key, value, findings| {
        let text = values::string(key, value, findings)?;
        let zone = zone(&text);
        if zone.is_none() {
            let help = "use a name such as \"Europe/Berlin\" or \"UTC\"";
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: \"{text}\" is not a time zone"), help);
        }
        zone
    });
    let holidays = edge.read("holidays", findings, |key, value, findings| {
        values::one_or_list(key, value, findings, |key, value, findings| {
            let text = values::string(key, value, findings)?;
            let dates = DateRange::parse(&text);
            if dates.is_none() {
                let help = "use \"12-25\" (each year), \"2026-04-03\", or a range of one kind: \"12-24..12-26\"";
                findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: \"{text}\" is not a date"), help);
            }
            dates
        })
    });
    let holidays: Vec<DateRange> = holidays.unwrap_or_default().into_iter().map(|(dates, _)| dates).collect();
    Calendar { zone: zone.unwrap_or(TimeZone::UTC), holidays: holidays.into() }
}

/// Reads one text of `when`.
pub(super) fn read(
    key: &str,
    value: &SpannedValue<'_>,
    calendar: &Calendar,
    findings: &mut Findings,
) -> Option<ScheduleHours> {
    let text = values::string(key, value, findings)?;
    match ScheduleHours::parse(&text, calendar, &zone) {
        Ok(hours) if hours.needs_holidays() && calendar.holidays.is_empty() => {
            let help = "add holidays = [\"01-01\", \"12-25\"] to [edge]";
            findings.error(code::MISSING, value.span(), format!("`{key}`: no `holidays` are configured"), help);
            None
        }
        Ok(hours) => {
            let today = hours.local(clock::now()).date();
            // Start on the day before, because its night may continue today.
            if !hours.come_within(today.yesterday().unwrap_or(today), SOON_DAYS) {
                let help = "all conditions of one string apply together; alternatives are a list: [\"sat\", \"mon\"]";
                let message = format!("`{key}`: \"{text}\" matches no day in the coming years");
                findings.warning(code::NEVER_MATCHES, Some(value.span()), message, help);
            }
            Some(hours)
        }
        Err(error) => {
            findings.error(code::BAD_VALUE, value.span(), format!("`{key}`: {}", error.message), error.help);
            None
        }
    }
}

/// Returns a time zone by name, from the system's files if they are newer than the bundled ones.
fn zone(name: &str) -> Option<TimeZone> {
    // "localtime" and similar names are also files there, and differ between machines.
    let is_name = name.contains('/') || name.eq_ignore_ascii_case("utc");
    TimeZone::get(name).ok().filter(|_| is_name && !name.contains(".."))
}
