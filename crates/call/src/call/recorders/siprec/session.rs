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
pub(crate) enum Stage {
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
pub(crate) enum News {
    /// 2xx with a usable answer.
    Taken,
    /// 2xx with an unusable answer.
    Unusable,
    /// 3xx to 6xx, no route to the server, or no final response.
    Refused,
    /// No response, or no final response, in time.
    Silent,
    /// BYE of the server.
    HungUp,
    /// The dialog is gone: no refresh, no ACK, or 408 or 481 to a request of ours.
    Lost,
    /// The call is over, or a request ends the recording.
    Stop,
    /// Every server has been tried.
    NoneLeft,
}

/// Step that follows from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
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

impl Stage {
    /// Returns the stable status name for views.
    pub(crate) const fn as_str(self, is_paused: bool) -> &'static str {
        match self {
            Stage::Asking => "connecting",
            Stage::Recording if is_paused => "paused",
            Stage::Recording => "in-progress",
            Stage::Failed => "failed",
            Stage::Ended => "stopped",
        }
    }

    /// Returns whether the session is over.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Stage::Failed | Stage::Ended)
    }

    /// Returns the next stage and the step to carry out.
    pub(crate) const fn step(self, news: News) -> (Stage, Step) {
        match (self, news) {
            (Stage::Asking, News::Taken) => (Stage::Recording, Step::Record),
            (Stage::Asking, News::Unusable) => (Stage::Asking, Step::ByeThenNext),
            (Stage::Asking, News::Refused) => (Stage::Asking, Step::Next),
            (Stage::Asking, News::Silent) => (Stage::Asking, Step::WithdrawThenNext),
            (Stage::Asking, News::Stop) => (Stage::Ended, Step::Withdraw),
            (Stage::Recording, News::HungUp) => (Stage::Ended, Step::End),
            (Stage::Recording, News::Lost) => (Stage::Asking, Step::ByeThenNext),
            (Stage::Recording, News::Stop) => (Stage::Ended, Step::Bye),
            (Stage::Asking | Stage::Recording, News::NoneLeft) => (Stage::Failed, Step::Fail),
            (Stage::Asking, News::HungUp | News::Lost) => (self, Step::Nothing),
            (Stage::Recording, News::Taken | News::Unusable | News::Refused | News::Silent) => (self, Step::Nothing),
            (Stage::Failed | Stage::Ended, _) => (self, Step::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_in_each_stage() {
        use News::*;
        use Stage::*;
        for (stage, news, follows, step) in [
            (Asking, Taken, Recording, Step::Record),
            (Asking, Unusable, Asking, Step::ByeThenNext),
            (Asking, Refused, Asking, Step::Next),
            (Asking, Silent, Asking, Step::WithdrawThenNext),
            (Asking, HungUp, Asking, Step::Nothing),
            (Asking, Lost, Asking, Step::Nothing),
            (Asking, Stop, Ended, Step::Withdraw),
            (Asking, NoneLeft, Failed, Step::Fail),
            (Recording, Taken, Recording, Step::Nothing),
            (Recording, Unusable, Recording, Step::Nothing),
            (Recording, Refused, Recording, Step::Nothing),
            (Recording, Silent, Recording, Step::Nothing),
            (Recording, HungUp, Ended, Step::End),
            (Recording, Lost, Asking, Step::ByeThenNext),
            (Recording, Stop, Ended, Step::Bye),
            (Recording, NoneLeft, Failed, Step::Fail),
        ] {
            assert_eq!(stage.step(news), (follows, step), "{news:?} while {stage:?}");
        }
        for over in [Failed, Ended] {
            for news in [Taken, Unusable, Refused, Silent, HungUp, Lost, Stop, NoneLeft] {
                assert_eq!(over.step(news), (over, Step::Nothing), "{news:?} after the end");
            }
        }
    }

    #[test]
    fn a_call_with_servers_that_fail_ends_in_failure_and_asks_no_more() {
        let mut stage = Stage::Asking;
        let mut asked = 1;
        for news in [News::Refused, News::Silent, News::Unusable, News::Taken, News::Lost, News::Refused] {
            let (follows, step) = stage.step(news);
            asked += u32::from(matches!(step, Step::Next | Step::WithdrawThenNext | Step::ByeThenNext));
            stage = follows;
        }
        assert_eq!((stage, asked), (Stage::Asking, 6));
        assert_eq!(stage.step(News::NoneLeft), (Stage::Failed, Step::Fail));
    }

    #[test]
    fn each_stage_has_a_word() {
        let words = [Stage::Asking, Stage::Recording, Stage::Failed, Stage::Ended].map(|stage| stage.as_str(false));
        assert_eq!(words, ["connecting", "in-progress", "failed", "stopped"]);
        assert_eq!(Stage::Recording.as_str(true), "paused");
        assert_eq!(Stage::Asking.as_str(true), "connecting");
    }
}
