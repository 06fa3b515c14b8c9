//! State machine of a recording session: events and resulting steps, independent of SIP and clock.
//!
//! | event | asking | recording | over |
//! | --- | --- | --- | --- |
//! | the server accepts | records | – | – |
//! | its answer cannot be used | BYE, next server | – | – |
//! | it refuses, or cannot be reached | next server | – | – |
//! | it is silent | withdrawn, next server | – | – |
//! | it hangs up | – | over | – |
//! | it is lost | – | BYE, next server | – |
//! | it must stop | withdrawn, over | BYE, over | – |
//! | no server is left | failed | failed | – |

/// State of a recording session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SiprecState {
    /// A server is being called, or the next one is chosen.
    Asking,
    /// A server records.
    Recording,
    /// No server has accepted the session, or the last one is lost.
    Failed,
    /// The session was ended by the server, a request, or the end of the call.
    Ended,
}

/// Event of a recording session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SiprecEvent {
    /// 2xx with a usable answer.
    Taken,
    /// 2xx with an unusable answer.
    Unusable,
    /// 3xx to 6xx, no route to the server, or no final response.
    Refused,
    /// The server has not responded, or not finally, in time.
    Silent,
    /// BYE of the server.
    HungUp,
    /// The dialog is lost: no refresh, no ACK, or 408 or 481 to a request of ours.
    Lost,
    /// The call is over, or a request ends the recording.
    Stop,
    /// Every server has been tried.
    NoneLeft,
}

/// Step that follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SiprecAction {
    /// No action.
    Nothing,
    /// Start both streams.
    Record,
    /// Call the next server.
    Next,
    /// Withdraw the INVITE, and call the next server.
    WithdrawThenNext,
    /// Send BYE, and call the next server.
    ByeThenNext,
    /// Withdraw the INVITE.
    Withdraw,
    /// Send BYE.
    Bye,
    /// End the streams: the server has hung up.
    End,
    /// Give up: this group of servers no longer records the call.
    Fail,
}

impl SiprecState {
    /// Returns the stable status name for views.
    pub(crate) const fn as_str(self, is_paused: bool) -> &'static str {
        match self {
            SiprecState::Asking => "connecting",
            SiprecState::Recording if is_paused => "paused",
            SiprecState::Recording => "in-progress",
            SiprecState::Failed => "failed",
            SiprecState::Ended => "stopped",
        }
    }

    /// Returns whether the session is over.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, SiprecState::Failed | SiprecState::Ended)
    }

    /// Returns the next state and the action to carry out.
    pub(crate) const fn step(self, news: SiprecEvent) -> (SiprecState, SiprecAction) {
        match (self, news) {
            (SiprecState::Asking, SiprecEvent::Taken) => (SiprecState::Recording, SiprecAction::Record),
            (SiprecState::Asking, SiprecEvent::Unusable) => (SiprecState::Asking, SiprecAction::ByeThenNext),
            (SiprecState::Asking, SiprecEvent::Refused) => (SiprecState::Asking, SiprecAction::Next),
            (SiprecState::Asking, SiprecEvent::Silent) => (SiprecState::Asking, SiprecAction::WithdrawThenNext),
            (SiprecState::Asking, SiprecEvent::Stop) => (SiprecState::Ended, SiprecAction::Withdraw),
            (SiprecState::Recording, SiprecEvent::HungUp) => (SiprecState::Ended, SiprecAction::End),
            (SiprecState::Recording, SiprecEvent::Lost) => (SiprecState::Asking, SiprecAction::ByeThenNext),
            (SiprecState::Recording, SiprecEvent::Stop) => (SiprecState::Ended, SiprecAction::Bye),
            (SiprecState::Asking | SiprecState::Recording, SiprecEvent::NoneLeft) => {
                (SiprecState::Failed, SiprecAction::Fail)
            }
            (SiprecState::Asking, SiprecEvent::HungUp | SiprecEvent::Lost) => (self, SiprecAction::Nothing),
            (
                SiprecState::Recording,
                SiprecEvent::Taken | SiprecEvent::Unusable | SiprecEvent::Refused | SiprecEvent::Silent,
            ) => (self, SiprecAction::Nothing),
            (SiprecState::Failed | SiprecState::Ended, _) => (self, SiprecAction::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_in_each_stage() {
        use SiprecEvent::*;
        use SiprecState::*;
        for (stage, news, follows, step) in [
            (Asking, Taken, Recording, SiprecAction::Record),
            (Asking, Unusable, Asking, SiprecAction::ByeThenNext),
            (Asking, Refused, Asking, SiprecAction::Next),
            (Asking, Silent, Asking, SiprecAction::WithdrawThenNext),
            (Asking, HungUp, Asking, SiprecAction::Nothing),
            (Asking, Lost, Asking, SiprecAction::Nothing),
            (Asking, Stop, Ended, SiprecAction::Withdraw),
            (Asking, NoneLeft, Failed, SiprecAction::Fail),
            (Recording, Taken, Recording, SiprecAction::Nothing),
            (Recording, Unusable, Recording, SiprecAction::Nothing),
            (Recording, Refused, Recording, SiprecAction::Nothing),
            (Recording, Silent, Recording, SiprecAction::Nothing),
            (Recording, HungUp, Ended, SiprecAction::End),
            (Recording, Lost, Asking, SiprecAction::ByeThenNext),
            (Recording, Stop, Ended, SiprecAction::Bye),
            (Recording, NoneLeft, Failed, SiprecAction::Fail),
        ] {
            assert_eq!(stage.step(news), (follows, step), "{news:?} while {stage:?}");
        }
        for over in [Failed, Ended] {
            for news in [Taken, Unusable, Refused, Silent, HungUp, Lost, Stop, NoneLeft] {
                assert_eq!(over.step(news), (over, SiprecAction::Nothing), "{news:?} after the end");
            }
        }
    }

    #[test]
    fn a_call_with_servers_that_fail_ends_in_failure_and_asks_no_more() {
        let mut stage = SiprecState::Asking;
        let mut asked = 1;
        for news in [
            SiprecEvent::Refused,
            SiprecEvent::Silent,
            SiprecEvent::Unusable,
            SiprecEvent::Taken,
            SiprecEvent::Lost,
            SiprecEvent::Refused,
        ] {
            let (follows, step) = stage.step(news);
            asked += u32::from(matches!(
                step,
                SiprecAction::Next | SiprecAction::WithdrawThenNext | SiprecAction::ByeThenNext
            ));
            stage = follows;
        }
        assert_eq!((stage, asked), (SiprecState::Asking, 6));
        assert_eq!(stage.step(SiprecEvent::NoneLeft), (SiprecState::Failed, SiprecAction::Fail));
    }

    #[test]
    fn each_stage_has_a_word() {
        let words = [SiprecState::Asking, SiprecState::Recording, SiprecState::Failed, SiprecState::Ended]
            .map(|stage| stage.as_str(false));
        assert_eq!(words, ["connecting", "in-progress", "failed", "stopped"]);
        assert_eq!(SiprecState::Recording.as_str(true), "paused");
        assert_eq!(SiprecState::Asking.as_str(true), "connecting");
    }
}
