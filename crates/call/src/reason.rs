//! Why a call was refused or ended: stable slugs, the same in log, call record, metric, trace and Reason header.

/// A reason, as in the contract's logs and call records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is explained by `sentence`
pub enum ReasonSlug {
    CallerHungUp,
    CalleeHungUp,
    Operator,
    Draining,
    CallerCanceled,
    NoRoute,
    RouteRejected,
    IncompleteNumber,
    CodecMismatch,
    BadMedia,
    LimitCalls,
    LimitRate,
    NoPorts,
    TooManyHops,
    LoopDetected,
    TargetRejected,
    TargetBusy,
    RingTimeout,
    NoResponse,
    Unreachable,
    NameNotFound,
    AckTimeout,
    MediaTimeout,
    Internal,
}
