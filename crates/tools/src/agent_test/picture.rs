//! Timeline of a conversation in characters.

use super::record::{ConversationRecord, TickRecord};

/// Maximum number of time columns; with the names a line has 80.
const COLUMNS: usize = 68;
/// Width of the names, in characters.
const NAMES: usize = 12;

/// Possible intervals between two labels of the time axis, in seconds.
const STEPS_SECONDS: [usize; 6] = [1, 2, 5, 10, 20, 30];
/// Minimum width of a label with its gap, in characters.
const ROOM: usize = 6;

/// Returns the rows of the timeline: `#` speech, `-` audio without voice, `|` a returned mark, `x` a clear.
pub(super) fn rows(record: &ConversationRecord) -> Vec<(&'static str, String)> {
    let per = record.ticks.len().div_ceil(COLUMNS).max(1);
    let row = |of: &dyn Fn(&[TickRecord]) -> char| record.ticks.chunks(per).map(of).collect::<String>();
    let any = |ticks: &[TickRecord], is: fn(&TickRecord) -> bool| ticks.iter().any(is);
    let caller = row(&|ticks| if any(ticks, |tick| tick.caller) { '#' } else { '.' });
    let heard = row(&|ticks| match (any(ticks, |tick| tick.voice), any(ticks, |tick| tick.played)) {
        (true, _) => '#',
        (false, true) => '-',
        (false, false) => '.',
    });
    let marks = row(&|ticks| match (any(ticks, |tick| tick.clear), any(ticks, |tick| tick.mark)) {
        (true, _) => 'x',
        (false, true) => '|',
        (false, false) => ' ',
    });
    vec![("caller", caller), ("agent", heard), ("marks", marks.trim_end().to_owned())]
}

/// Returns the time axis and the rows below it.
pub(super) fn text(record: &ConversationRecord) -> String {
    let per = record.ticks.len().div_ceil(COLUMNS).max(1);
    let columns = record.ticks.len().div_ceil(per);
    let mut seconds = String::new();
    let every = STEPS_SECONDS.into_iter().find(|step| step * 50 / per >= ROOM).unwrap_or(60);
    for second in (0..).step_by(every) {
        let column = second * 50 / per;
        if column >= columns {
            break;
        }
        let shown = format!("{second} s");
        if seconds.len() <= column && column + shown.len() <= COLUMNS {
            seconds.push_str(&" ".repeat(column - seconds.len()));
            seconds.push_str(&shown);
        }
    }
    let mut out = format!("{}{seconds}\n", " ".repeat(NAMES));
    for (name, row) in rows(record).iter().filter(|(_, row)| !row.is_empty()) {
        out.push_str(&format!("  {name:<width$}{row}\n", width = NAMES - 2));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spoke_when_fits_into_eighty_columns() {
        let tick = |at: usize| TickRecord {
            caller: (25..125).contains(&at),
            played: at >= 150,
            voice: (150..400).contains(&at),
            mark: at == 200,
            clear: at == 399,
        };
        let record = ConversationRecord { ticks: (0..500).map(tick).collect(), ..ConversationRecord::default() };
        let page = text(&record);
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        let rows = rows(&record);
        assert_eq!(rows[0].1.len(), 63, "eight ticks a column");
        assert!(rows[0].1.starts_with("...#############...") && rows[1].1.ends_with("#-------------"), "{page}");
        assert_eq!(rows[2].1.chars().filter(|c| "|x".contains(*c)).collect::<String>(), "|x");
        assert!(page.starts_with("            0 s") && page.contains(" 5 s"), "{page}");
        assert_eq!(text(&ConversationRecord::default()).lines().count(), 1);
    }
}
