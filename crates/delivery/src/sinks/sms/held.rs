//! SIP messages held until the text of their call is stored, so that a party that received ringing or a failure
//! response gets its text even if the edge is killed at that moment. Only these messages wait, and only for a short
//! time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use trunkgate_call::SmsEvent;
use trunkgate_sip::SipTransmit;

use super::SmsOrder;
use trunkgate_system::limits::SMS_HELD_MILLISECONDS;

/// Error of a text that was not handed over, because the queue of the text thread is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Untold;

/// Handle of the signalling loop to the text thread.
#[derive(Debug)]
pub struct Desk {
    pub(super) orders: mpsc::Sender<SmsOrder>,
    /// Number of the last text that is stored.
    pub kept: watch::Receiver<u64>,
    /// SIP messages that wait for the text of their call to be stored.
    pub held: Held,
}

impl Desk {
    /// Hands a command of a call to the text thread. For a command with a text to be stored, returns the number of the
    /// text; the SIP messages of the call are held until that text is stored.
    ///
    /// # Errors
    /// Returns [`Untold`] if the queue of the text thread is full.
    pub fn hand_over(&mut self, news: SmsEvent) -> Result<Option<u64>, Untold> {
        let number = matches!(news, SmsEvent::Send(_) | SmsEvent::Watch(_)).then(|| self.held.number());
        self.orders.try_send(SmsOrder::News(news, number)).map(|()| number).map_err(|_| Untold)
    }
}

/// SIP messages that wait for a text to be stored, in order.
#[derive(Debug, Default)]
pub struct Held {
    waiting: VecDeque<(u64, Instant, Vec<SipTransmit>)>,
    /// Number of the last text handed over.
    last: u64,
}

impl Held {
    /// Assigns and returns the number of a new text.
    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Holds SIP messages until the text with this number is stored, for a limited time.
    pub fn hold(&mut self, now: Instant, number: u64, messages: Vec<SipTransmit>) {
        self.waiting.push_back((number, now + Duration::from_millis(SMS_HELD_MILLISECONDS), messages));
    }

    /// Returns the time at which the oldest messages are released even if their text is not stored.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, until, _)| *until)
    }

    /// Returns the next messages to be sent; `kept` is the number of the last stored text.
    pub fn released(&mut self, now: Instant, kept: u64) -> Option<Vec<SipTransmit>> {
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
