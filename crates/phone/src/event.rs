//! Inputs and outputs of a phone, and the states and outcomes of a call.

use std::net::SocketAddr;

use bytes::Bytes;
use trunkgate_sip::{Flow, SipTransmit};

use crate::judge::FrameId;

/// Number of a call, counted by each phone from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallNumber(pub u32);

/// Input from outside to a phone.
#[derive(Debug)]
pub enum PhoneInput {
    /// Received SIP message.
    Sip {
        /// Flow on which the message arrived.
        flow: Flow,
        /// Bytes of the message.
        bytes: Bytes,
    },
    /// Received RTP packet.
    Rtp {
        /// Local media address at which the packet arrived.
        to: SocketAddr,
        /// Bytes of the packet.
        bytes: Bytes,
    },
    /// Received RTCP packet.
    Rtcp {
        /// Local media address of the call, with the RTP port.
        to: SocketAddr,
        /// Bytes of the packet.
        bytes: Bytes,
    },
    /// Failed transmission.
    TransportFailed {
        /// Flow that failed.
        flow: Flow,
    },
}

/// Output of a phone, for its caller to process.
#[derive(Debug)]
pub enum PhoneOutput {
    /// A SIP message to send.
    Transmit(SipTransmit),
    /// An RTP packet to send.
    Rtp {
        /// Call that sends the packet.
        call: CallNumber,
        /// Local media address that sends the packet.
        from: SocketAddr,
        /// Destination.
        to: SocketAddr,
        /// Voice and frame in the packet.
        frame: FrameId,
        /// Bytes of the packet.
        bytes: Bytes,
    },
    /// An RTCP packet to send.
    Rtcp {
        /// Local media address of the call, with the RTP port.
        from: SocketAddr,
        /// Destination.
        to: SocketAddr,
        /// Bytes of the packet.
        bytes: Bytes,
    },
    /// Audio of a received RTP packet, if [`CallScript::overheard`](crate::CallScript::overheard) requests it.
    Heard {
        /// Call that received the packet.
        call: CallNumber,
        /// SSRC of the packet.
        ssrc: u32,
        /// Timestamp, and its clock rate in Hz.
        timestamp: (u32, u32),
        /// Samples at 8 kHz.
        samples: Vec<i16>,
    },
    /// Event of a call.
    Event(PhoneEvent),
}

/// Event that a phone reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneEvent {
    /// Incoming call.
    Incoming(CallNumber),
    /// Remote party rings; reported once.
    Ringing(CallNumber),
    /// 200 was sent or received.
    Answered(CallNumber),
    /// Packet of a voice was received.
    Heard(CallNumber, FrameId),
    /// Call ended.
    Ended(CallNumber, CallEnding),
}

/// State of a phone's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneCallState {
    /// INVITE sent or received, no response yet.
    Calling,
    /// 180 or 183 sent or received.
    Ringing,
    /// 200 sent or received.
    Talking,
    /// Call over: BYE, CANCEL or a rejection was sent or received.
    Ended,
}

/// Way in which a phone's call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnding {
    /// The phone sent BYE.
    HungUp,
    /// The phone received BYE.
    HungUpThere,
    /// The remote party rejected the call with this status code.
    Refused(u16),
    /// The phone rejected the call with this status code.
    Rejected(u16),
    /// The phone sent CANCEL.
    Canceled,
    /// The phone received CANCEL.
    CanceledThere,
    /// No response in time (Timer B), or none after CANCEL.
    TimedOut,
    /// Request could not be sent.
    Unreachable,
    /// Our 2xx was not acknowledged by an ACK.
    AckMissing,
    /// Our reliable provisional response was not acknowledged by a PRACK.
    PrackMissing,
    /// The phone's own time limit ended the call.
    GaveUp,
    /// The session was not refreshed in time.
    SessionExpired,
    /// The phone sent no response, as scripted.
    Ignored,
}
