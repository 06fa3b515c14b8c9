//! `when` of a route, with `time_zone` and `holidays` of `[edge]`.

use jiff::tz::TimeZone;
use trunkgate_route::{DateRange, ScheduleHours};

use super::code;
use super::values::KeyReader;
use trunkgate_system::clock;

/// Number of days searched for a time that matches `when`: four years contain every date and weekday.
const SOON_DAYS: u16 = 1_463;

/// Reads `time_zone` of `[edge]`.
pub(super) fn time_zone(reader: &mut KeyReader<'_>) -> Option<TimeZone> {
    let text = reader.string()?;
    let zone = zone(&text);
    if zone.is_none() {
        let help = "use a name such as \"Europe/Berlin\" or \"UTC\"";
        reader.error(code::BAD_VALUE, format!(": \"{text}\" is not a time zone"), help);
    }
    zone
}

/// Reads `holidays` of `[edge]`.
pub(super) fn holidays(reader: &mut KeyReader<'_>) -> Option<Vec<DateRange>> {
    reader.items(|reader| {
        let text = reader.string()?;
        let dates = DateRange::parse(&text);
        if dates.is_none() {
            let help = "use \"12-25\" (each year), \"2026-04-03\", or a range of one kind: \"12-24..12-26\"";
            reader.error(code::BAD_VALUE, format!(": \"{text}\" is not a date"), help);
        }
        dates
    })
}

/// Reads one text of `when`.
pub(super) fn read(reader: &mut KeyReader<'_>) -> Option<ScheduleHours> {
    let text = reader.string()?;
    match ScheduleHours::parse(&text, &reader.scope.edge.calendar, &zone) {
        Ok(hours) if hours.needs_holidays() && reader.scope.edge.calendar.holidays.is_empty() => {
            let help = "add holidays = [\"01-01\", \"12-25\"] to [edge]";
            reader.reject(code::MISSING, ": no `holidays` are configured", help)
        }
        Ok(hours) => {
            let today = hours.local(clock::now()).date();
            // Start on the day before, because its night may continue today.
            if !hours.come_within(today.yesterday().unwrap_or(today), SOON_DAYS) {
                let help = "all conditions of one string apply together; alternatives are a list: [\"sat\", \"mon\"]";
                reader.warning(code::NEVER_MATCHES, format!(": \"{text}\" matches no day in the coming years"), help);
            }
            Some(hours)
        }
        Err(error) => reader.reject(code::BAD_VALUE, format!(": {}", error.message), error.help),
    }
}

/// Returns a time zone by name, from the system's files if they are newer than the bundled ones.
fn zone(name: &str) -> Option<TimeZone> {
    // "localtime" and similar names are also files there, and differ between machines.
    let is_name = name.contains('/') || name.eq_ignore_ascii_case("utc");
    TimeZone::get(name).ok().filter(|_| is_name && !name.contains(".."))
}
