//! HTTP client for a request to an application, with redirects, retries and time limits.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::AcquireError;
use tokio::time::{Instant, sleep, timeout_at};
use trunkgate_call::trace::CookieChanges;

use super::connection::{ExchangeFailure, HttpConnection, ResponseLimits};
use super::cookies::RequestCookies;
use super::names::HostLookups;
use super::outcome::{AttemptFault, AttemptFaultKind, WebhookAttempt, WebhookFailure, WebhookReply, WebhookResponse};
use super::overrides::ConnectionOverrides;
use super::pool::{Pool, PoolLifetimes};
use super::redirects::RedirectChain;
use super::request::{RequestHop, WebhookPurpose, WebhookRequest};
use super::target::{HttpOrigin, Target};
use trunkgate_system::connector::Connector;
use trunkgate_system::limits::{
    MEDIA_FETCHED_BYTES, MEDIA_FETCHED_BYTES_ALWAYS, MEDIA_FETCHED_BYTES_OF_ONE, MEDIA_FETCHES, MEDIA_FETCHES_OF_ONE,
    MEDIA_FETCHES_OF_SERVER, WEBHOOK_ADDRESSES, WEBHOOK_CALLBACKS_AT_ONCE, WEBHOOK_CALLBACKS_AT_ONCE_OF_ONE,
    WEBHOOK_RETRY_PAUSE_MILLISECONDS, WEBHOOKS_AT_ONCE, WEBHOOKS_AT_ONCE_OF_ONE, WEBHOOKS_RESERVED_ONE_IN,
};
use trunkgate_system::log::LogThrottle;
use trunkgate_system::reach::ReachRules;
use trunkgate_system::shares::{FairShares, ShareGrant, SlotPermit, SlotShares};
use trunkgate_system::web;

/// HTTP client for applications. One client serves all calls and reuses its connections.
pub struct WebhookClient {
    /// Trusted certificates as TLS configuration; `None` selects the system's roots.
    tls: Option<Arc<ClientConfig>>,
    pool: Arc<Pool>,
    /// Concurrency limits of document requests, by application.
    documents: SlotShares,
    callbacks: SlotShares,
    audio: SlotShares,
    /// Concurrency limits of audio requests, by application and server.
    audio_of_server: SlotShares,
    /// Memory for audio files that are being fetched, in MiB.
    audio_memory: FairShares,
    names: HostLookups,
    /// Rate limit of log entries about redirects from https to http.
    complaint: Mutex<LogThrottle>,
}

impl Default for WebhookClient {
    fn default() -> WebhookClient {
        WebhookClient::new()
    }
}

impl WebhookClient {
    /// Creates a client that trusts the system's root certificates, which are read at its first https request.
    pub fn new() -> WebhookClient {
        WebhookClient::with(None, PoolLifetimes::default())
    }

    /// Creates a client with other trusted certificates and other lifetimes of idle connections.
    pub(super) fn with(tls: Option<Arc<ClientConfig>>, keeping: PoolLifetimes) -> WebhookClient {
        let shares = |each: usize, all| SlotShares::reserving(each.div_ceil(WEBHOOKS_RESERVED_ONE_IN), each, all);
        WebhookClient {
            tls,
            pool: Arc::new(Pool::new(keeping)),
            documents: shares(WEBHOOKS_AT_ONCE_OF_ONE, WEBHOOKS_AT_ONCE),
            callbacks: shares(WEBHOOK_CALLBACKS_AT_ONCE_OF_ONE, WEBHOOK_CALLBACKS_AT_ONCE),
            audio: shares(MEDIA_FETCHES_OF_ONE, MEDIA_FETCHES),
            audio_of_server: SlotShares::new(MEDIA_FETCHES_OF_SERVER, MEDIA_FETCHES),
            audio_memory: FairShares::new(
                MEDIA_FETCHED_BYTES_ALWAYS >> 20,
                MEDIA_FETCHED_BYTES_OF_ONE >> 20,
                MEDIA_FETCHED_BYTES >> 20,
            ),
            names: HostLookups::new(),
            complaint: Mutex::default(),
        }
    }

    /// Requests a URL of an application. Follows redirects, each to an address that the rules of the request permit,
    /// and retries according to the policy in the URL: by default once, and only if no TCP connection was opened.
    ///
    /// # Errors
    /// Returns a failure if there is no response with a success status.
    pub async fn fetch(&self, request: &WebhookRequest) -> Result<WebhookReply, WebhookFailure> {
        let (mut attempts, mut cookies) = (Vec::new(), RequestCookies::of(request));
        let result = self.follow(request, &mut attempts, &mut cookies).await;
        let cookies = cookies.into_set();
        match result {
            Ok((answer, final_url, redirects)) => Ok(WebhookReply { answer, final_url, redirects, attempts, cookies }),
            Err(fault) => Err(fault.into_failure(request.purpose, attempts, cookies)),
        }
    }

    /// Connects to the server of a URL, including the TLS handshake, and closes the connection without a request.
    /// Returns the server as `https://HOST:PORT` and the connected address.
    ///
    /// # Errors
    /// Returns the failure that a request would have had before it was sent.
    pub async fn reach(&self, url: &str, reach: &ReachRules) -> Result<(String, SocketAddr), WebhookFailure> {
        let connect = async {
            let target = Target::parse(url)?;
            let connection = self.connect(&target, reach, &"".into(), &mut None).await?;
            Ok((target.url().origin().ascii_serialization(), connection.remote))
        };
        connect
            .await
            .map_err(|fault: AttemptFault| fault.into_failure(WebhookPurpose::Document, Vec::new(), Vec::new()))
    }

    /// Waits until the concurrency limits permit a request. An audio request first waits for its server, so that an
    /// unresponsive server takes no room from others.
    async fn place(
        &self,
        request: &WebhookRequest,
        target: &Target,
    ) -> Result<(SlotPermit, Option<SlotPermit>), AcquireError> {
        let asker = &request.asker;
        match request.purpose {
            WebhookPurpose::Document => Ok((self.documents.take(asker).await?, None)),
            WebhookPurpose::Callback => Ok((self.callbacks.take(asker).await?, None)),
            WebhookPurpose::Audio => {
                let HttpOrigin { host, port, .. } = target.origin();
                let of_server = self.audio_of_server.take(&format!("{asker} {host}:{port}").into()).await?;
                Ok((self.audio.take(asker).await?, Some(of_server)))
            }
        }
    }

    /// Reserves memory for a local audio file of an application, shared with fetched files; `None` if there is not
    /// enough.
    pub fn take_audio_memory(&self, asker: &Arc<str>, bytes: u64) -> Option<ShareGrant> {
        self.audio_memory.take(asker, usize::try_from(bytes >> 20).unwrap_or(usize::MAX).saturating_add(1))
    }

    async fn follow(
        &self,
        request: &WebhookRequest,
        attempts: &mut Vec<WebhookAttempt>,
        cookies: &mut RequestCookies,
    ) -> Result<(WebhookResponse, String, u32), AttemptFault> {
        let target = Target::parse(&request.url)?;
        let ConnectionOverrides { total, mut retries, policy, .. } = target.overrides;
        let (began, total) = (Instant::now(), total.min(request.within));
        let deadline = began + total;
        let timed_out = |what: String| AttemptFault::new(AttemptFaultKind::TotalTimeout, what);
        let Ok(Ok(_place)) = timeout_at(deadline, self.place(request, &target)).await else {
            let what = format!("not begun within {} s: too many other requests are in progress", total.as_secs_f32());
            let (url, result) = (target.shown(), Err(what.clone()));
            let (duration, cookies) = (began.elapsed(), CookieChanges::default());
            attempts.push(WebhookAttempt { url, remote: None, result, refused_redirect: None, duration, cookies });
            return Err(timed_out(what));
        };
        let mut hop = request.first_hop(target);
        let mut redirects = RedirectChain::of(&hop, cookies);
        loop {
            let (began, mut remote) = (Instant::now(), None);
            let header = cookies.header_for(&hop.target);
            let tried = timeout_at(deadline, self.try_once(&hop, request, header.as_deref(), &mut remote)).await;
            let late = || timed_out(format!("not complete within {} s", total.as_secs_f32()));
            let tried = tried.unwrap_or_else(|_| Err(late()));
            let result = match &tried {
                Ok(answer) => Ok(answer.status),
                Err(fault) => Err(fault.what.clone()),
            };
            let answer = tried.as_ref().ok().or_else(|| tried.as_ref().err()?.answer.as_deref());
            let changes = answer.map(|answer| cookies.store(answer, &hop.target)).unwrap_or_default();
            let (url, duration) = (hop.target.shown(), began.elapsed());
            attempts.push(WebhookAttempt { url, remote, result, refused_redirect: None, duration, cookies: changes });
            let fault = match tried {
                Ok(answer) if is_success(&answer, request) => {
                    return Ok((answer, hop.target.url().to_string(), redirects.count()));
                }
                Ok(answer) if (300..400).contains(&answer.status) => {
                    let next = redirects.follow(&hop, &answer, request.plain_rule(), cookies);
                    let next = next.map_err(|fault| {
                        if let Some(last) = attempts.last_mut() {
                            last.refused_redirect = Some(fault.what.clone());
                        }
                        fault.with(answer)
                    })?;
                    self.warn_of_plain(&next, hop.target.is_https());
                    hop = next;
                    continue;
                }
                Ok(answer) => {
                    let what = format!("the application answered {}", answer.status);
                    AttemptFault::new(AttemptFaultKind::Status(answer.status), what).with(answer)
                }
                // The redirect is named, because the requested URL itself may be fine.
                Err(fault) if redirects.count() > 0 => {
                    AttemptFault { what: format!("redirected to {}: {}", hop.target.shown(), fault.what), ..fault }
                }
                Err(fault) => fault,
            };
            if retries == 0 || !fault.is_retried(policy) {
                return Err(fault);
            }
            retries -= 1;
            let pause = sleep(Duration::from_millis(WEBHOOK_RETRY_PAUSE_MILLISECONDS));
            if timeout_at(deadline, pause).await.is_err() {
                return Err(fault);
            }
        }
    }

    /// Logs a redirect from https to http, at a limited rate.
    fn warn_of_plain(&self, hop: &RequestHop, was_https: bool) {
        if !was_https || hop.target.is_https() {
            return;
        }
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = complaint.due(std::time::Instant::now()) {
            let url = hop.target.shown();
            tracing::warn!("webhooks: followed a redirect from https to {url}: requests there are not encrypted{more}");
        }
    }

    /// Requests one URL once.
    ///
    /// A request on a reused connection that the server is closing is sent again on a new one, on these conditions: the
    /// connection has served a request before, it was closed rather than timed out, and no byte has arrived since.
    /// There was then no response, and none is pending. The server may have read the request nevertheless (RFC 9110
    /// §9.2.2), so the idempotency token lets the application recognise the repetition.
    async fn try_once(
        &self,
        hop: &RequestHop,
        request: &WebhookRequest,
        cookies: Option<&str>,
        remote: &mut Option<SocketAddr>,
    ) -> Result<WebhookResponse, AttemptFault> {
        let (origin, overrides) = (hop.target.origin(), &hop.target.overrides);
        let bounds = ResponseLimits {
            read: overrides.read,
            most: request.most,
            cut: matches!(request.purpose, WebhookPurpose::Callback),
            cuts_audio: matches!(request.purpose, WebhookPurpose::Document),
            memory: matches!(request.purpose, WebhookPurpose::Audio).then_some((&self.audio_memory, &request.asker)),
        };
        let written =
            || hop.request(request, cookies).map_err(|what| AttemptFault::new(AttemptFaultKind::BadUrl, what));
        if let Some(mut connection) = self.pool.take(&origin, &request.reach) {
            *remote = Some(connection.remote);
            match connection.exchange(written()?, bounds).await {
                Err(ExchangeFailure::Unanswered(_)) => {}
                done => return self.settle(connection, done),
            }
        }
        let mut connection = self.connect(&hop.target, &request.reach, &request.asker, remote).await?;
        let done = connection.exchange(written()?, bounds).await;
        self.settle(connection, done)
    }

    /// Keeps a reusable connection for the next request, and returns the result of this one.
    fn settle(
        &self,
        connection: HttpConnection,
        done: Result<(WebhookResponse, bool), ExchangeFailure>,
    ) -> Result<WebhookResponse, AttemptFault> {
        let (answer, is_free) = done.map_err(ExchangeFailure::fault)?;
        if is_free {
            self.pool.put(connection);
        }
        Ok(answer)
    }

    /// Connects to a permitted address of the URL's host. Only addresses that were checked are used, since the name may
    /// resolve differently a moment later. The public name of a local application is connected to directly, without
    /// TLS.
    async fn connect(
        &self,
        target: &Target,
        reach: &ReachRules,
        asker: &Arc<str>,
        remote: &mut Option<SocketAddr>,
    ) -> Result<HttpConnection, AttemptFault> {
        let origin = target.origin();
        let public_name = reach.public_name_of(&origin.host);
        let (host, port) =
            public_name.map_or((origin.host.as_str(), origin.port), |name| (name.host.as_str(), name.port));
        let found = self.names.find(host, asker).await?;
        let found: Vec<SocketAddr> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let mut addresses = reach.select(&found)?;
        addresses.truncate(WEBHOOK_ADDRESSES);
        *remote = addresses.first().copied();
        let within = target.overrides.connect;
        let share = within / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let connector =
            Connector { connect_within: Some(share), handshake_within: Some(within), ..Connector::default() };
        let unconnected = |error: std::io::Error| {
            AttemptFault::new(AttemptFaultKind::NotConnected, format!("not reachable: {error}"))
        };
        let stream = connector.first(&addresses).await.map_err(unconnected)?;
        let at = stream.peer_addr().map_err(unconnected)?;
        *remote = Some(at);
        if !origin.is_https || public_name.is_some() {
            return HttpConnection::over(stream, origin, at).await;
        }
        let tls = match &self.tls {
            Some(tls) => Arc::clone(tls),
            None => web::trusting_system().await.map_err(|what| AttemptFault::new(AttemptFaultKind::Tls, what))?,
        };
        let stream = connector.tls(tls, &origin.host, stream).await?;
        HttpConnection::over(stream, origin, at).await
    }

    /// Returns the client with other memory for audio.
    #[cfg(test)]
    pub(super) fn sharing(self, audio_memory: FairShares) -> WebhookClient {
        WebhookClient { audio_memory, ..self }
    }

    /// Returns the number of idle connections.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.pool.len()
    }
}

fn is_success(answer: &WebhookResponse, request: &WebhookRequest) -> bool {
    (200..300).contains(&answer.status) || answer.status == 304 && !request.conditions.is_empty()
}
