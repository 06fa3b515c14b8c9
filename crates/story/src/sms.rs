//! The text message after a call that was not answered, as the shell keeps and sends it.

/// A text message, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Sms {
    /// The sid of the call that it follows: there is one for each at most.
    pub call: String,
    /// The recipient, E.164.
    pub to: String,
    /// The sender, as in `sms_on_failure`.
    pub from: String,
    /// What it says.
    pub body: String,
}

/// Without numbers and text, which are no log's business.
impl std::fmt::Debug for Sms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sms").field("call", &self.call).finish_non_exhaustive()
    }
}

/// What becomes of the text of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SmsNews {
    /// The call has begun. If nothing more is heard of it, because the edge was killed, this is to be sent.
    Watch(Box<Sms>),
    /// The call with this sid needs none.
    Forget(String),
    /// The call has failed: this is to be sent.
    Send(Box<Sms>),
}
