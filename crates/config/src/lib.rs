//! Parser of the configuration file: typed values, or all errors with their positions.
//!
//! Only this crate reads TOML; values keep their positions, so that later checks can point at a line. The stages are
//! `load` (bytes to a TOML tree), `schema`, `trunks` (with the defaults of `preset`), `agents`, `apps`, `numbers` and
//! `routes` (tree to values, each error at its position), and `checks` (across tables).

#![allow(clippy::disallowed_methods, reason = "the shell has clocks, threads and sockets")]

mod acme;
mod agents;
mod alerts;
mod api;
mod apps;
mod caller_id;
mod cdr;
mod changes;
mod checks;
mod clients;
pub mod code;
mod cover;
mod credentials;
mod csv_text;
mod data;
mod diagnostic;
mod documents;
mod draft;
mod elsewhere;
mod emergency;
mod encoding;
pub mod file_name;
mod headers;
mod hep;
mod hold;
mod hours;
mod json_schema;
mod keys;
mod load;
mod mail;
mod messages;
mod number_form;
mod numbers;
mod otel;
mod overrides;
mod own;
mod parts;
mod pieces;
mod places;
pub mod preset;
pub mod preset_diff;
mod queue;
mod quotas;
mod raw;
mod receiver;
mod recognition;
mod recording;
mod reference;
mod register;
mod route_files;
mod routes;
mod schema;
mod secrets;
mod section;
mod show;
pub mod signature;
mod sms;
mod sounds;
mod speech;
mod spreadsheet;
mod syntax;
mod targets;
mod tls;
mod transcription;
mod trunks;
mod types;
mod unquoted;
mod values;
mod voicemail;
mod webhook_url;

pub use acme::AcmeSettings;
pub use apps::AppSettings;
pub use cdr::CDR_HELP;
pub use cdr::{CdrFile, CdrFormat, CdrRetention, CdrSettings, CdrUrl};
pub use changes::{ConfigDifference, differences};
pub use csv_text::reading;
pub use data::DataDirectory;
pub use diagnostic::{Diagnostic, Excerpt, brief, render, summary, to_json};
pub use diagnostic::{in_line, in_lines};
pub use hep::HepSettings;
pub use json_schema::json_schema;
pub use load::text;
pub use load::{find, is_of_service, load, load_http, load_to_look, parse, unread};
pub use mail::MailSettings;
pub use messages::MessageSettings;
pub use messages::permits;
pub use numbers::{NumberRoute, PhoneNumber, SmsWebhook};
pub use otel::OtelSettings;
pub use overrides::judge_url;
pub use overrides::{NumberOverride, NumberOverrides, NumberParameter, OverrideReport, ParameterKind};
pub use places::ConfigLines;
pub use receiver::WebhookReceiver;
pub use recording::{AnnounceTo, OnFull, RecordingSettings};
pub use recording::{DirectoryProblem, announcement as recording_announcement, links as recording_links};
pub use reference::markdown;
pub use show::ConfigDisplay;
pub use sms::{OptOutReplies, SmsSettings};
pub use sms::{is_service, is_short_code};
pub use transcription::TranscriptionSettings;
pub use trunkgate_route::nearest;
pub use trunks::sip_address;
pub use types::{
    AgentAnnouncement, ApiSettings, Config, EdgeConfig, HttpSettings, HttpTls, LimitSettings, ListenSettings,
    ListenTls, MediaSettings, ProxyMode, Secret, SpeechEndpoint, SpeechEngine, SpeechSettings, TrunkTls,
};
pub use values::parse_duration;
