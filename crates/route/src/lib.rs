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

pub use acl::{SourceMatch, household};
pub use agent::{
    Agent, AnswerTime, HoldAudio, OnClose, ParameterTemplate, QueueSettings, TemplatePiece, TemplateValues, url_place,
};
pub use app::{App, AppDocument, StatusCallback, WebhookMethod};
pub use caller_id::{CallerIdDecision, CallerIdRule};
pub use expression::Expression;
pub use headers::{HeaderPattern, HeaderRules, IdentityTrust};
pub use host::{host_of, is_loopback_host};
pub use locate::{Destination, DestinationServer};
pub use mailbox::{Mailbox, MwiParty};
pub use nearest::nearest;
pub use number::{AddressIncomplete, InvalidNumber, Number, NumberingPlan, SendNumbers, ValidNumber, emergency};
pub use pattern::{Pattern, PatternError};
pub use plan::{CallTarget, MatchResult, RoutePlan, RouteVerdict};
pub use quota::Quota;
pub use rate::TokenBucket;
pub use route::{
    CallInfo, HeaderCondition, LinePosition, LineSettings, Route, RouteFile, RouteIndex, RouteLines, RouteList,
    SEARCH_TIMEOUT, TrunkOrder,
};
pub use schedule::{Calendar, DateRange, HoursError, ScheduleHours};
pub use screen::{ScreeningReason, ScreeningRejection};
pub use sms::{SmsRecipients, SmsRule, TextOutcome, TextRejection};
pub use standing::{PerformanceFigures, TrunkPerformance, TrunkRank};
pub use table::{RoutingTable, TableDefinition};
pub use target::TargetSpec;
pub use transfer_to::{TransferRule, TransferTarget};
pub use trunk::{
    DEFAULT_CODECS, DtmfMode, HoldMode, NUMBER_PARAMETERS, Peer, RedirectMode, ReferMode, ReferTo,
    RegistrationSettings, ReinviteMode, SiprecSettings, Trunk, is_busy,
};
pub use trunkgate_terms::{Credentials, DigestHash, OwnHosts, Srtp, Suite, Transport, UrlOrigin};
