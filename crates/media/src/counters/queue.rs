//! Gauges of an agent's audio that waits.

use super::counter::Counter;

/// Audio of an agent that waits, both ways, and messages that brought none.
#[derive(Debug, Default)]
pub struct AgentQueue {
    /// Audio of the agent that its caller has not heard, in milliseconds.
    pub unheard: Waiting,
    /// Audio for the agent that its socket has not taken, in frames of 20 ms.
    pub unsent: Waiting,
    /// Messages of the agent for a stream that is not its own: they are not acted upon.
    pub foreign: Counter,
    /// Messages of the agent in a form that its protocol does not have.
    pub invalid: Counter,
}

impl AgentQueue {
    /// Forgets the most of both: [`Waiting::forget`].
    pub fn forget(&self) {
        self.unheard.forget();
        self.unsent.forget();
    }
}

/// Gauge of something that waits: the worker sets it, one reader looks at it from time to time.
#[derive(Debug, Default)]
pub struct Waiting {
    now: Counter,
    most: Counter,
}

impl Waiting {
    /// So much waits now; called by the worker alone.
    pub fn set(&self, n: u64) {
        self.now.set(n);
        if n > self.most.get() {
            self.most.set(n);
        }
    }

    /// Returns how much waits.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// The most since [`Self::forget`].
    pub fn most(&self) -> u64 {
        self.most.get().max(self.now.get())
    }

    /// Sets the most to what waits now; called by the reader alone. What comes in this very moment and is gone before
    /// it looks again may be missed: neither side waits for the other.
    pub fn forget(&self) {
        self.most.set(self.now.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_waited_is_known_until_it_is_forgotten() {
        let waiting = Waiting::default();
        for (n, now, most) in [(0, 0, 0), (5000, 5000, 5000), (300, 300, 5000)] {
            waiting.set(n);
            assert_eq!((waiting.now(), waiting.most()), (now, most));
        }
        waiting.forget();
        assert_eq!((waiting.now(), waiting.most()), (300, 300), "what still waits is not forgotten");
        waiting.set(0);
        assert_eq!((waiting.now(), waiting.most()), (0, 300));
    }
}
