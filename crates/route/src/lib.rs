//! Call routing: trunks and their identification by source, numbers, routes, ordered targets, and limits. Routing is a
//! pure function of a configuration snapshot and the facts of a call.

pub mod acl;
pub mod agent;
pub mod app;
pub mod caller_id;
pub mod captured;
mod digits;
mod expression;
pub mod headers;
mod host;
pub mod limits;
pub mod locate;
mod mailbox;
mod nearest;
pub mod number;
pub mod pattern;
pub mod plan;
pub mod quota;
pub mod rate;
pub mod route;
pub mod schedule;
pub mod screen;
pub mod share;
pub mod sms;
pub mod standing;
pub mod table;
mod target;
pub mod transfer_to;
pub mod trunk;

pub use acl::{KnownBy, household};
pub use agent::{Agent, AnswerTime, Facts, Hold, OnClose, Piece, Queue, Template, url_place};
pub use app::{App, AppDocument, StatusCallback, WebhookMethod};
pub use caller_id::{CallerIdRule, Shown};
pub use expression::Expression;
pub use headers::{HeaderPattern, HeaderRules, Identities};
pub use host::{host_of, is_loopback_host};
pub use locate::{Destination, Server};
pub use mailbox::{Mailbox, MwiParty};
pub use nearest::nearest;
pub use number::{Incomplete, InvalidNumber, Number, Numbers, SendNumbers, ValidNumber, emergency};
pub use pattern::{Pattern, PatternError};
pub use plan::{Matched, Plan, RouteVerdict, Target};
pub use quota::Quota;
pub use rate::TokenBucket;
pub use route::{
    CallInfo, HeaderCondition, Index, LinePlace, LineRest, Order, Route, RouteFile, RouteLines, Routes, SEARCH_TIMEOUT,
};
pub use schedule::{Calendar, Dates, Hours, HoursError};
pub use screen::{Denied, DeniedBy};
pub use sms::{NoText, Recipients, SmsRule, TextOutcome};
pub use standing::{Figures, Rank, Standing};
pub use table::{Definition, Table};
pub use target::TargetSpec;
pub use transfer_to::{TransferRule, Wanted};
pub use trunk::{
    DEFAULT_CODECS, Dtmf, HoldMode, NUMBER_PARAMETERS, Peer, RedirectMode, ReferMode, ReferTo, Register, ReinviteMode,
    Siprec, Trunk,
};
pub use trunkgate_terms::{Credentials, DigestHash, OwnHosts, Srtp, Suite, Transport, UrlOrigin};
