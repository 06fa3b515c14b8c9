//! `max_sessions` and `queue` of an agent: concurrent callers and waiting callers.

use std::ops::RangeInclusive;
use std::time::Duration;

use trunkgate_call::limits::{QUEUE_CALLERS_MOST, QUEUE_WAIT_MOST_SECONDS};
use trunkgate_route::{Agent, AnswerTime, QueueSettings};

use super::code;
use super::diagnostic::Findings;
use super::keys;
use super::section::Section;
use super::values::KeyReader;

/// Maximum ringing time that phones and networks usually tolerate.
const RING_MOST: Duration = Duration::from_secs(60);

/// Reads `queue` of an agent and warns if it is useless or inaudible. `max_sessions`, `answer` and `hold` must have
/// been read before.
pub(super) fn read(agent: &mut Agent, section: &Section<'_>, findings: &mut Findings) {
    agent.queue = section.read("queue", findings, queue);
    let (Some(value), Some(queue)) = (section.get("queue"), agent.queue) else { return };
    if findings.has_errors() {
        return;
    }
    let mut warn = |code, message: &str, help: &str| findings.warning(code, Some(value.span()), message, help);
    if agent.max_sessions == 0 {
        let message = "`queue` is never used: the agent has no `max_sessions`";
        return warn(code::BAD_VALUE, message, "set max_sessions = 10, or the capacity of the agent");
    }
    match agent.answer {
        AnswerTime::OnConnect if queue.wait > RING_MOST => {
            let message = "callers in `queue` hear ringing, and most networks give up after a minute";
            warn(code::UNHEARD, message, "set answer = \"at_once\" and `hold` with text or music, or a shorter `wait`");
        }
        AnswerTime::AtOnce if agent.hold.is_none() => {
            let message = "answered callers in `queue` hear a ringback tone";
            warn(code::UNHEARD, message, "add `hold` with text, audio or music");
        }
        AnswerTime::OnConnect | AnswerTime::Early | AnswerTime::AtOnce => {}
    }
}

/// Reads `{ size = 20, wait = "2m" }`; these values are the defaults.
fn queue(reader: &mut KeyReader<'_>) -> Option<QueueSettings> {
    const SIZES: RangeInclusive<u32> = 0..=QUEUE_CALLERS_MOST;
    let section = reader.section(keys::QUEUE)?;
    let size = section.read("size", reader.findings, |reader| {
        let size = reader.integer(SIZES)?;
        if size == 0 {
            let help = "remove `queue`: the next target is tried immediately";
            reader.findings.error(code::BAD_VALUE, reader.value.span(), "the size of `queue` is 0", help);
        }
        Some(size)
    });
    let wait = section.read("wait", reader.findings, |reader| {
        let wait = reader.duration()?;
        let most = Duration::from_secs(QUEUE_WAIT_MOST_SECONDS);
        if wait.is_zero() || wait > most {
            let help = format!("use up to {} minutes: \"2m\"", QUEUE_WAIT_MOST_SECONDS / 60);
            reader.error(code::BAD_VALUE, "is out of range", help);
        }
        Some(wait)
    });
    let usual = QueueSettings::default();
    Some(QueueSettings { size: size.unwrap_or(usual.size), wait: wait.unwrap_or(usual.wait) })
}
