//! What goes into a phone and what comes out, and where a call stands.

use std::net::SocketAddr;

use bytes::Bytes;
use trunkgate_sip::{Flow, Transmit};

use crate::judge::Heard;

/// One call of a phone, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallNumber(pub u32);

/// A change from outside.
#[derive(Debug)]
pub enum Input {
    /// A SIP message.
    Sip {
        /// The way it came.
        flow: Flow,
        /// The message.
        bytes: Bytes,
    },
    /// An RTP packet.
    Rtp {
        /// The media address it came to.
        to: SocketAddr,
        /// The packet.
        bytes: Bytes,
    },
    /// An RTCP packet.
    Rtcp {
        /// The media address of the call, whose port is that of RTP.
        to: SocketAddr,
        /// The packet.
        bytes: Bytes,
    },
    /// A send failed.
    TransportFailed {
        /// The way that failed.
        flow: Flow,
    },
}

/// An output of a phone.
#[derive(Debug)]
pub enum Output {
    /// A SIP message to send.
    Transmit(Transmit),
    /// An RTP packet to send.
    Rtp {
        /// The call.
        call: CallNumber,
        /// The media address it leaves from.
        from: SocketAddr,
        /// Where it goes.
        to: SocketAddr,
        /// Which frame of which voice.
        frame: Heard,
        /// The packet.
        bytes: Bytes,
    },
    /// An RTCP packet to send.
    Rtcp {
        /// The media address of the call, whose port is that of RTP.
        from: SocketAddr,
        /// Where it goes.
        to: SocketAddr,
        /// The packet.
        bytes: Bytes,
    },
    /// The audio of an RTP packet that was heard, where [`Talk::overheard`](crate::Talk::overheard) asks for it.
    Heard {
        /// The call.
        call: CallNumber,
        /// Its source.
        ssrc: u32,
        /// Its timestamp, and the clock of that, in Hz.
        timestamp: (u32, u32),
        /// Its samples, 8000 a second.
        samples: Vec<i16>,
    },
    /// News.
    Event(Event),
}

/// News of a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A call comes in.
    Incoming(CallNumber),
    /// The far side rings; reported once.
    Ringing(CallNumber),
    /// 200 has been sent or received.
    Answered(CallNumber),
    /// A packet was heard.
    Heard(CallNumber, Heard),
    /// A call is over.
    Ended(CallNumber, Ending),
}

/// The state of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// INVITE sent or received, nothing else yet.
    Calling,
    /// 180 or 183.
    Ringing,
    /// 200.
    Talking,
    /// Over: BYE, CANCEL or a refusal has been sent or received.
    Ended,
}

/// The end of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// We sent BYE.
    HungUp,
    /// The far side sent BYE.
    HungUpThere,
    /// The far side answered with this code.
    Refused(u16),
    /// We answered with this code.
    Rejected(u16),
    /// We sent CANCEL.
    Canceled,
    /// The far side sent CANCEL.
    CanceledThere,
    /// No answer in time (Timer B), or none after CANCEL.
    TimedOut,
    /// Could not be sent.
    Unreachable,
    /// Our 2xx was never acknowledged.
    AckMissing,
    /// Our reliable provisional answer was never acknowledged.
    PrackMissing,
    /// Our own patience ended.
    GaveUp,
    /// The session was not refreshed.
    SessionExpired,
    /// It was left without an answer, as its script says.
    Ignored,
}
