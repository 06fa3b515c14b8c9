//! Text message after an unanswered call, stored and sent by the shell.

/// A text message to send.
#[derive(Clone, PartialEq, Eq)]
pub struct SmsRequest {
    /// SID of the call; at most one message per call.
    pub call: String,
    /// Recipient in E.164 format.
    pub to: String,
    /// Sender, as in `sms_on_failure`.
    pub from: String,
    /// Text of the message.
    pub body: String,
}

/// Omits numbers and text, which do not belong in logs.
impl std::fmt::Debug for SmsRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmsRequest").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Change in the state of a call's text message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmsEvent {
    /// The call has begun. If nothing follows, because the edge was killed, the message must be sent.
    Watch(Box<SmsRequest>),
    /// The call with this SID needs no message.
    Forget(String),
    /// The call has failed: the message must be sent.
    Send(Box<SmsRequest>),
}
