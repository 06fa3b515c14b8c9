//! Messages that leave only once the text of their call is kept: whoever has been told that its call rings, or has failed, gets
//! its text, were the edge killed in that very moment. Nothing else waits for it, and not for long.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use trunkgate_call::SmsNews;
use trunkgate_sip::Transmit;

use super::SmsOrder;
use trunkgate_system::limits::SMS_HELD_MILLISECONDS;

/// Whoever sends texts could not be told of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untold;

/// The signalling loop's side of the texts.
#[derive(Debug)]
pub struct Desk {
    pub(super) orders: mpsc::Sender<SmsOrder>,
    /// Number of the last text that is kept.
    pub kept: watch::Receiver<u64>,
    /// Messages that wait for that.
    pub held: Held,
}

impl Desk {
    /// Hands over what a call says of its text; the number of one that is to be kept, which the messages of its call wait for.
    pub fn hand_over(&mut self, news: SmsNews) -> Result<Option<u64>, Untold> {
        let number = matches!(news, SmsNews::Send(_) | SmsNews::Watch(_)).then(|| self.held.number());
        self.orders.try_send(SmsOrder::News(news, number)).map(|()| number).map_err(|_| Untold)
    }
}

/// What waits, in the order in which it was held.
#[derive(Debug, Default)]
pub struct Held {
    waiting: VecDeque<(u64, Instant, Vec<Transmit>)>,
    /// Number of the last text that was handed over.
    last: u64,
}

impl Held {
    /// The number of a text that is handed over now.
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
    /// Holds messages until the text with this number is kept.
    pub fn hold(&mut self, now: Instant, number: u64, messages: Vec<Transmit>) {
        self.waiting.push_back((number, now + Duration::from_millis(SMS_HELD_MILLISECONDS), messages));
    }
    /// When somebody has waited for long enough.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, until, _)| *until)
    }
    /// The next messages that may leave: every text up to `kept` is kept.
    pub fn released(&mut self, now: Instant, kept: u64) -> Option<Vec<Transmit>> {
        let (number, until, _) = self.waiting.front()?;
        if *number > kept && *until > now {
            return None;
        }
        self.waiting.pop_front().map(|(_, _, messages)| messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_leaves_when_its_text_is_kept_or_after_a_while() {
        let (now, mut held) = (Instant::now(), Held::default());
        assert_eq!(held.poll_timeout(), None);
        for _ in 0..3 {
            let number = held.number();
            held.hold(now, number, Vec::new());
        }
        assert!(held.released(now, 0).is_none());
        assert!(held.released(now, 2).is_some() && held.released(now, 2).is_some());
        assert!(held.released(now, 2).is_none());
        let late = held.poll_timeout().unwrap();
        assert!(held.released(late, 2).is_some() && held.released(late, 9).is_none());
    }
}
