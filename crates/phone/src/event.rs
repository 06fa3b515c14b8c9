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
    /// A SIP message was received.
    Sip {
        /// Flow on which the message arrived.
        flow: Flow,
        /// Bytes of the message.
        bytes: Bytes,
    },
    /// An RTP packet was received.
    Rtp {
        /// Local media address at which the packet arrived.
        to: SocketAddr,
        /// Bytes of the packet.
        bytes: Bytes,
    },
    /// An RTCP packet was received.
    Rtcp {
        /// Local media address of the call, with the RTP port.
        to: SocketAddr,
        /// Bytes of the packet.
        bytes: Bytes,
    },
    /// A SIP message could not be sent on a flow.
    TransportFailed {
        /// Flow on which the send failed.
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
        /// Remote address that the packet is sent to.
        to: SocketAddr,
        /// SSRC and frame index of the voice in the packet.
        frame: FrameId,
        /// Bytes of the packet.
        bytes: Bytes,
    },
    /// An RTCP packet to send.
    Rtcp {
        /// Local media address of the call, with the RTP port.
        from: SocketAddr,
        /// Remote address that the packet is sent to.
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
        /// Decoded samples at 8 kHz.
        samples: Vec<i16>,
    },
    /// Event of a call, for the script or test.
    Event(PhoneEvent),
}

/// Event that a phone reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneEvent {
    /// An incoming call has arrived.
    Incoming(CallNumber),
    /// The remote party rings; reported once.
    Ringing(CallNumber),
    /// The call was answered: a 200 was sent or received.
    Answered(CallNumber),
    /// A packet with a frame of a voice was received.
    Heard(CallNumber, FrameId),
    /// The call has ended in this way.
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
    /// A request could not be sent.
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
