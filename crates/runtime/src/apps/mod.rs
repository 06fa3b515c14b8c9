//! Application queries that calls wait for: documents, speech and sounds. They run outside of the signalling thread,
//! with limits on time and size; a failure is a result with Twilio's error code.

pub(super) mod answers;
pub mod callbacks;
mod sounds;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use trunkgate_call::trace::TraceItem;
use trunkgate_call::{AppAnswer, AppPlace, AppQuestion, AppResource, DocumentRequest, GatewayInput, QueryId};
use trunkgate_cookies::CookieJar;
use trunkgate_route::{App, AppDocument, WebhookMethod};

use crate::handle::EdgeHandle;
use crate::own_recordings::OwnRecordings;
use answers::{AppQueryResult, AppQuerySettings, NOT_FETCHED, failed, refused, taken};
use sounds::AppSounds;
use trunkgate_config::Config;
use trunkgate_config::file_name::{self, filled};
use trunkgate_delivery::webhooks::client::WebhookClient;
use trunkgate_delivery::webhooks::outcome::take_cookies;
pub use trunkgate_delivery::webhooks::request::{RequestContent, RequestMethod, WebhookPurpose, WebhookRequest};
use trunkgate_delivery::webhooks::shown_url;
use trunkgate_system::below::below;
use trunkgate_system::files;
use trunkgate_system::limits::{APP_LAST_SECONDS, APP_QUESTIONS_AT_ONCE, WEBHOOK_DOCUMENT_BYTES};
use trunkgate_system::shares::FairShares;
use trunkgate_system::web;

/// Media type of a document that is a file or text of the configuration.
const XML: &str = "text/xml";
/// Media type assumed for a recording; playback determines the actual one.
const RECORDING: &str = "audio/wav";

/// Channels from the signalling loop to the threads that query applications and send callbacks.
#[derive(Debug)]
pub struct AppSender {
    /// Commands to run or cancel application queries of calls.
    pub questions: mpsc::Sender<AppCommand>,
    /// Callbacks to be delivered.
    pub callbacks: trunkgate_delivery::sinks::callbacks::CallbackSender,
}

/// Command of the signalling loop to the query thread.
#[derive(Debug)]
pub enum AppCommand {
    /// Run a query.
    Ask(Box<AppQuestion>),
    /// Cancel a query.
    GiveUp(QueryId),
}

/// Runner of application queries for all calls.
pub struct AppQueryRunner {
    asking: mpsc::Receiver<AppCommand>,
    means: Arc<AppQueryResources>,
}

/// Resources shared by all queries.
struct AppQueryResources {
    handle: EdgeHandle,
    client: Arc<WebhookClient>,
    sounds: AppSounds,
}

impl AppQueryRunner {
    /// Creates a runner for the commands in `asking`.
    pub fn new(handle: EdgeHandle, asking: mpsc::Receiver<AppCommand>) -> AppQueryRunner {
        let client = Arc::new(WebhookClient::new());
        let sounds = AppSounds::new(client.clone());
        AppQueryRunner { asking, means: Arc::new(AppQueryResources { handle, client, sounds }) }
    }

    /// Runs queries until the signalling loop has ended; queries in progress then have [`APP_LAST_SECONDS`] to
    /// complete.
    pub async fn keep(mut self) {
        if self.means.handle.shared.running(|running| asks_by_https(&running.config)) {
            // The first query does not wait for this; if it fails, that query reports it.
            tokio::spawn(web::trusting_system());
        }
        let mut under_way = RunningQueries::default();
        loop {
            tokio::select! {
                asking = self.asking.recv() => match asking {
                    Some(AppCommand::Ask(question)) => under_way.begin(self.means.clone(), *question),
                    Some(AppCommand::GiveUp(query)) => under_way.give_up(query),
                    None => break,
                },
                Some(ended) = under_way.tasks.join_next() => under_way.ended(ended),
            }
        }
        let last = async { while under_way.tasks.join_next().await.is_some() {} };
        let _ = timeout(Duration::from_secs(APP_LAST_SECONDS), last).await;
    }
}

/// Queries in progress.
struct RunningQueries {
    /// Limit of concurrent queries, shared fairly between applications.
    places: FairShares,
    /// Task of each query; returns the id of the query.
    tasks: JoinSet<Option<QueryId>>,
    /// Sender that cancels the task of each query.
    wanted: HashMap<QueryId, oneshot::Sender<()>>,
}

impl Default for RunningQueries {
    fn default() -> RunningQueries {
        let places = FairShares::new(1, APP_QUESTIONS_AT_ONCE, APP_QUESTIONS_AT_ONCE);
        RunningQueries { places, tasks: JoinSet::new(), wanted: HashMap::new() }
    }
}

impl RunningQueries {
    fn begin(&mut self, means: Arc<AppQueryResources>, question: AppQuestion) {
        let (give_up, given_up) = oneshot::channel();
        self.wanted.extend(question.query.map(|query| (query, give_up)));
        let place = self.places.take(&question.app.name, 1);
        self.tasks.spawn(async move {
            let has_room = place.is_some();
            let (query, call, began) = (question.query, question.call.clone(), Instant::now());
            let what = shown(&question.wanted);
            tokio::select! {
                () = answer(&means, question, has_room) => {}
                Ok(()) = given_up => {
                    let text = format!("{what}: given up after {} ms: no longer needed", began.elapsed().as_millis());
                    means.note(&call, TraceItem::decision(text)).await;
                }
            }
            query
        });
    }

    fn give_up(&mut self, query: QueryId) {
        if let Some(give_up) = self.wanted.remove(&query) {
            let _ = give_up.send(());
        }
    }

    fn ended(&mut self, task: Result<Option<QueryId>, JoinError>) {
        match task {
            Ok(query) => drop(query.and_then(|query| self.wanted.remove(&query))),
            // A task that panicked has no id.
            Err(_) => self.wanted.retain(|_, give_up| !give_up.is_closed()),
        }
    }
}

/// Describes a query for the trace.
fn shown(wanted: &AppResource) -> String {
    let place = |place: &AppPlace| match place {
        AppPlace::Url(url) => shown_url(url),
        AppPlace::File(name) => name.clone(),
    };
    match wanted {
        AppResource::Document(request) => format!("{} request to {}", request.purpose, place(&request.place)),
        AppResource::Sound(sound) => format!("play {}", place(sound)),
        AppResource::Speech { .. } => "speech of a text".to_owned(),
    }
}

async fn answer(means: &AppQueryResources, question: AppQuestion, has_room: bool) {
    let AppQuestion { query, call, app, wanted, cookies } = question;
    let settings = means.settings(&app);
    let (answer, webhook) = match wanted {
        _ if !has_room => (failed(NOT_FETCHED, "too many requests to applications are in progress".to_owned()), None),
        AppResource::Document(request) => {
            means.document((&call, cookies), &app, settings, request, query.is_some()).await
        }
        AppResource::Sound(place) => means.sounds.play(settings, place).await,
        AppResource::Speech { text, ssml, voice, language } => {
            (means.sounds.say(settings, text, ssml, (voice, language)).await, None)
        }
    };
    if let Some(webhook) = webhook {
        means.note(&call, TraceItem::webhook(webhook)).await;
    }
    match (query, answer) {
        (Some(query), answer) => {
            let _ = means.handle.input(GatewayInput::AppAnswered { query, answer: Box::new(answer) }).await;
        }
        (None, AppAnswer::Failed { code, text }) => {
            means.note(&call, TraceItem::decision(format!("warning {code}: {text}"))).await;
        }
        (None, AppAnswer::Document { .. } | AppAnswer::Sound { .. }) => {}
    }
}

impl AppQueryResources {
    fn settings(&self, app: &App) -> AppQuerySettings {
        let shared = &self.handle.shared;
        shared.running(|running| AppQuerySettings {
            app: app.name.clone(),
            auth_token: running.config.api.auth_token.clone(),
            speech: running.config.speech.clone(),
            folder: running.config.path.parent().map(Path::to_path_buf).unwrap_or_default(),
            sound: match &app.document {
                AppDocument::Sound(name) => running.config.sounds.get(name).cloned(),
                AppDocument::Mailbox(mailbox) => {
                    mailbox.greeting.as_ref().and_then(|name| running.config.sounds.get(name).cloned())
                }
                AppDocument::Url { .. } | AppDocument::File(_) | AppDocument::Text(_) => None,
                AppDocument::Conference(_) => None,
            },
            reach: shared.own.borrow().reach(app.allow_private, &running.interfaces),
            own: OwnRecordings::of(&self.handle, running),
        })
    }

    /// Adds an event to the trace of a call.
    async fn note(&self, call: &str, item: TraceItem) {
        self.handle.note(call, item).await;
    }

    /// Requests a document for a call, with the call's cookies.
    async fn document(
        &self,
        (call, cookies): (&str, Arc<CookieJar>),
        app: &App,
        settings: AppQuerySettings,
        request: DocumentRequest,
        is_wanted: bool,
    ) -> AppQueryResult {
        let url = match &request.place {
            AppPlace::Url(url) => url,
            AppPlace::File(name) => return (self.file(&settings.folder, name, &request.parameters), None),
        };
        if let Some(recording) = settings.own.named_by(url, &settings.reach).filter(|_| is_wanted)
            && settings.own.has(&recording).await
        {
            // The audio is read when it is played.
            let told = format!("{}: {} of the edge itself", request.purpose, recording.sid);
            let content_type = Some(RECORDING.to_owned());
            return (AppAnswer::Document { url: None, content_type, body: Vec::new(), told }, None);
        }
        let purpose = if is_wanted { WebhookPurpose::Document } else { WebhookPurpose::Callback };
        let mut asked = WebhookRequest::new(url, RequestContent::Form(request.parameters), purpose, settings.reach);
        asked.asker = settings.app;
        asked.auth_token = settings.auth_token;
        asked.cookies = Some(cookies);
        asked.insecure_redirects = app.insecure_redirects;
        asked.method = match request.method {
            WebhookMethod::Post => RequestMethod::Post,
            WebhookMethod::Get => RequestMethod::Get,
        };
        let mut result = self.client.fetch(&asked).await;
        let cookies = take_cookies(&mut result);
        if !cookies.is_empty() {
            let _ = self.handle.input(GatewayInput::CookiesSet { call: call.to_owned(), cookies }).await;
        }
        let (attempts, code) = match &result {
            Ok(reply) => (&reply.attempts, None),
            Err(failure) => (&failure.attempts, Some(failure.code)),
        };
        self.handle.shared.webhooks.count(&app.name, attempts.iter().map(|attempt| attempt.duration).sum(), code);
        match result {
            Ok(reply) => taken(request.purpose, asked.method.name(), reply),
            Err(failure) => refused(request.purpose, asked.method.name(), &failure),
        }
    }

    /// Returns a document from the folder of the configuration; a document that the configuration names is returned as
    /// of the last load. `{{NAME}}` in the file name is replaced by request parameters; if that file does not exist,
    /// the name without parameters is tried.
    fn file(&self, folder: &Path, named: &str, parameters: &[(String, String)]) -> AppAnswer {
        let (mut name, general) = (filled(named, parameters), filled(named, &[]));
        if name != general && below(folder, &name).is_err() && below(folder, &general).is_ok() {
            name.clone_from(&general);
        }
        let loaded = self.handle.shared.running(|running| loaded(&running.config, &name));
        let read = match loaded {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => read(folder, &name),
        };
        match read {
            Ok(body) => {
                let shown = if name == general { general } else { file_name::shown(named, parameters) };
                let told = format!("{shown}: {} bytes", body.len());
                AppAnswer::Document { url: None, content_type: Some(XML.to_owned()), body, told }
            }
            // Also logged, with the name as in the document, without digits.
            Err(what) => failed(NOT_FETCHED, format!("{named}: {what}")),
        }
    }
}

/// Returns whether any application of the configuration uses an https URL.
fn asks_by_https(config: &Config) -> bool {
    let asks = |app: &App| {
        let first = match &app.document {
            AppDocument::Url { url, .. } => Some(url),
            AppDocument::File(_) | AppDocument::Sound(_) | AppDocument::Mailbox(_) | AppDocument::Text(_) => None,
            AppDocument::Conference(_) => None,
        };
        let callback = app.status_callback.as_ref().map(|callback| &callback.url);
        [first, app.fallback_url.as_ref(), callback].into_iter().flatten().any(|url| url.starts_with("https:"))
    };
    config.apps.iter().any(asks)
}

/// Reads a document from a folder.
///
/// # Errors
/// Returns the reason why it cannot be read.
fn read(folder: &Path, name: &str) -> Result<Vec<u8>, String> {
    let path = below(folder, name).map_err(|error| error.to_string())?;
    let body = files::read(&path, WEBHOOK_DOCUMENT_BYTES).map_err(|error| error.to_string())?;
    let is_short = body.len() as u64 <= WEBHOOK_DOCUMENT_BYTES;
    is_short.then_some(body).ok_or_else(|| format!("more than {} KiB", WEBHOOK_DOCUMENT_BYTES >> 10))
}

/// Returns the text of an application's file as of the last load; `None` if no application has this file.
fn loaded(config: &Config, name: &str) -> Option<Arc<str>> {
    let is_it = |app: &&App| matches!(&app.document, AppDocument::File(file) if file == name);
    let app = config.apps.iter().find(is_it)?;
    config.app_settings.get(&app.name)?.document.clone()
}
