//! Gauges of an agent's queued audio.

use super::counter::Counter;

/// Queued audio of an agent in both directions, and its messages without audio.
#[derive(Debug, Default)]
pub struct AgentQueue {
    /// Audio from the agent not yet played to the caller, in milliseconds.
    pub unheard: QueueGauge,
    /// Audio not yet written to the agent's socket, in frames of 20 ms.
    pub unsent: QueueGauge,
    /// Messages of the agent for a stream other than its own; they are ignored.
    pub foreign: Counter,
    /// Messages of the agent that violate the protocol.
    pub invalid: Counter,
}

impl AgentQueue {
    /// Resets the maximum of both gauges: [`QueueGauge::forget`].
    pub fn forget(&self) {
        self.unheard.forget();
        self.unsent.forget();
    }
}

/// Gauge of a queue length with its maximum: the worker sets it, one reader polls and resets the maximum.
#[derive(Debug, Default)]
pub struct QueueGauge {
    now: Counter,
    most: Counter,
}

impl QueueGauge {
    /// Sets the current queue length; called by the worker only.
    pub fn set(&self, n: u64) {
        self.now.set(n);
        if n > self.most.get() {
            self.most.set(n);
        }
    }

    /// Returns the current length of the queue.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Returns the maximum length since the last [`Self::forget`].
    pub fn most(&self) -> u64 {
        self.most.get().max(self.now.get())
    }

    /// Resets the maximum to the current length; called by the reader only. A short peak at this very moment may be
    /// missed, because neither thread waits for the other.
    pub fn forget(&self) {
        self.most.set(self.now.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_waited_is_known_until_it_is_forgotten() {
        let waiting = QueueGauge::default();
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
