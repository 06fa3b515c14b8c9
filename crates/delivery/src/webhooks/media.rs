//! Audio files named by documents, fetched once for many calls. The cache is keyed by URL, limited in bytes, and
//! revalidates files with the validators of their servers (RFC 9111).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{
    AGE, CACHE_CONTROL, ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY,
};
use tokio::time::Instant;

use super::client::WebhookClient;
use super::outcome::{WebhookAttempt, WebhookFailure, WebhookReply};
use super::request::{RequestContent, RequestMethod, WebhookPurpose, WebhookRequest};
use trunkgate_config::Secret;
use trunkgate_system::limits::{MEDIA_CACHE_BYTES, MEDIA_CACHE_FILES, MEDIA_FRESH_SECONDS};
use trunkgate_system::reach::ReachRules;
use trunkgate_system::shares::ShareGrant;

/// Audio file as received; the caller decodes it.
#[derive(Debug, Clone)]
pub struct FetchedMedia {
    /// Undecoded contents of the file.
    pub bytes: Bytes,
    /// Media type in lower case, without parameters.
    pub media_type: Arc<str>,
    /// Whether the contents come from the cache or from the server.
    pub source: MediaSource,
    /// Attempts of the request for this file; empty if the cached file was fresh.
    pub attempts: Arc<[WebhookAttempt]>,
    /// Memory reserved for a newly fetched file until it is decoded.
    pub memory: Option<Arc<ShareGrant>>,
}

/// Whether an audio file comes from the cache or from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaSource {
    /// From the cache, and fresh according to its caching rules.
    Kept,
    /// From the cache, confirmed by the server.
    Revalidated,
    /// From the server, with a new body.
    Fetched,
    /// From the cache although stale, because the server could not be reached.
    Stale,
}

/// Limits of the audio cache.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    pub(crate) bytes: usize,
    pub(crate) files: usize,
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { bytes: MEDIA_CACHE_BYTES, files: MEDIA_CACHE_FILES }
    }
}

/// URL of a file, and `allow_private`: a file from a private address is not given to an application that may not reach
/// that address.
type MediaKey = (String, bool);
type FetchResult = Result<FetchedMedia, Arc<WebhookFailure>>;
type SharedFetch = Shared<BoxFuture<'static, FetchResult>>;

/// Cache of audio files. Concurrent requests for the same URL wait for one fetch, which is cancelled when none of them
/// waits any more.
pub struct MediaCache {
    client: Arc<WebhookClient>,
    room: CacheLimits,
    state: Mutex<CacheState>,
}

#[derive(Default)]
struct CacheState {
    kept: HashMap<MediaKey, CachedFile>,
    bytes: usize,
    /// Number of requests served, which orders the files by their last use.
    uses: u64,
    under_way: HashMap<MediaKey, WeakShared<BoxFuture<'static, FetchResult>>>,
}

/// Audio file in the cache, with its caching rules.
#[derive(Clone)]
struct CachedFile {
    bytes: Bytes,
    media_type: Arc<str>,
    /// Application for which the file was fetched.
    asker: Arc<str>,
    /// URL of the file after redirects.
    final_url: String,
    validators: CacheValidators,
    freshness: Freshness,
    used: u64,
}

/// Validators of a file, sent to its server for revalidation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct CacheValidators {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

/// Caching rules from a response.
#[derive(Debug, Clone, Copy)]
struct Freshness {
    lifetime: Duration,
    until: Instant,
    /// Whether the file may be used stale while its server cannot be reached.
    may_be_stale: bool,
}

impl MediaCache {
    /// Creates an empty cache that fetches with this client.
    pub fn new(client: Arc<WebhookClient>, room: CacheLimits) -> MediaCache {
        MediaCache { client, room, state: Mutex::default() }
    }

    /// Returns the file of a URL: from the cache if it is fresh, otherwise from its server.
    ///
    /// # Errors
    /// Returns a failure if the server does not provide the file and the cache has no usable copy.
    pub async fn get(
        self: &Arc<Self>,
        url: &str,
        reach: &ReachRules,
        auth_token: Option<&Secret>,
        asker: &Arc<str>,
    ) -> FetchResult {
        let key = (url.to_owned(), reach.allow_private);
        if let Some(media) = self.fresh(&key) {
            return Ok(media);
        }
        let mut request =
            WebhookRequest::new(url, RequestContent::Form(Vec::new()), WebhookPurpose::Audio, reach.clone());
        request.method = RequestMethod::Get;
        request.auth_token = auth_token.cloned();
        request.asker = Arc::clone(asker);
        self.join(key, request).await
    }

    /// Joins the fetch of a file that is in progress, or starts one.
    fn join(self: &Arc<Self>, key: MediaKey, request: WebhookRequest) -> SharedFetch {
        let mut state = self.lock();
        state.under_way.retain(|_, fetch| fetch.upgrade().is_some_and(|fetch| fetch.peek().is_none()));
        let same = state.under_way.get(&key).and_then(WeakShared::upgrade);
        same.unwrap_or_else(|| {
            let this = Arc::clone(self);
            let of = key.clone();
            let new = async move { this.fetch(of, request).await }.boxed().shared();
            state.under_way.extend(new.downgrade().map(|fetch| (key, fetch)));
            new
        })
    }

    async fn fetch(&self, key: MediaKey, mut request: WebhookRequest) -> FetchResult {
        let kept = self.lock().kept.get(&key).cloned();
        request.conditions = kept.as_ref().map(|kept| kept.validators.conditions()).unwrap_or_default();
        let mut reply = self.client.fetch(&request).await;
        if let (Ok(WebhookReply { answer, final_url, .. }), Some(kept)) = (&reply, &kept)
            && answer.status == 304
            && *final_url != kept.final_url
        {
            // The validator is that of a file on another server.
            request.conditions.clear();
            reply = self.client.fetch(&request).await;
        }
        match (reply, kept) {
            (Ok(reply), Some(kept)) if reply.answer.status == 304 => Ok(self.confirm(key, kept, reply)),
            (Ok(reply), _) => Ok(self.keep(key, reply, &request.asker)),
            (Err(failure), Some(kept)) if kept.freshness.may_be_stale && is_outage(&failure) => {
                Ok(kept.media(MediaSource::Stale, failure.attempts))
            }
            (Err(failure), _) => Err(Arc::new(failure)),
        }
    }

    fn fresh(&self, key: &MediaKey) -> Option<FetchedMedia> {
        let mut state = self.lock();
        let CacheState { kept, uses, .. } = &mut *state;
        let kept = kept.get_mut(key).filter(|kept| Instant::now() < kept.freshness.until)?;
        *uses += 1;
        kept.used = *uses;
        Some(kept.media(MediaSource::Kept, Vec::new()))
    }

    /// Returns a cached file that its server has confirmed, and extends its freshness.
    fn confirm(&self, key: MediaKey, mut kept: CachedFile, reply: WebhookReply) -> FetchedMedia {
        let headers = &reply.answer.headers;
        // Directives that the response omits keep their values (RFC 9111 §4.3.4).
        let said = if headers.contains_key(CACHE_CONTROL) {
            freshness(headers, reply.redirects > 0)
        } else {
            Some(Freshness { until: Instant::now() + kept.freshness.lifetime, ..kept.freshness })
        };
        if let Some(freshness) = said {
            kept.freshness = freshness;
            self.insert(key, kept.clone());
        }
        kept.media(MediaSource::Revalidated, reply.attempts)
    }

    /// Returns a fetched file, after adding it to the cache if its response permits that.
    fn keep(&self, key: MediaKey, reply: WebhookReply, asker: &Arc<str>) -> FetchedMedia {
        let is_redirected = reply.redirects > 0;
        let headers = &reply.answer.headers;
        let media_type: Arc<str> = reply.answer.media_type().into();
        let (validators, freshness) = (CacheValidators::of(headers), freshness(headers, is_redirected));
        let mut body = reply.answer.body;
        // A body of unknown length has reserved more than it needs.
        if body.len() < body.capacity() / 2 {
            body.shrink_to_fit();
        }
        let bytes = Bytes::from(body);
        let media = FetchedMedia {
            bytes: bytes.clone(),
            media_type: Arc::clone(&media_type),
            source: MediaSource::Fetched,
            attempts: reply.attempts.into(),
            memory: reply.answer.memory.map(Arc::from),
        };
        match freshness {
            Some(freshness) if validators != CacheValidators::default() || Instant::now() < freshness.until => {
                let (asker, final_url) = (Arc::clone(asker), reply.final_url);
                self.insert(key, CachedFile { bytes, media_type, asker, final_url, validators, freshness, used: 0 });
            }
            _ => self.lock().remove(&key),
        }
        media
    }

    fn insert(&self, key: MediaKey, kept: CachedFile) {
        let mut state = self.lock();
        state.remove(&key);
        if kept.bytes.len() > self.room.bytes {
            return;
        }
        state.uses += 1;
        let used = state.uses;
        state.bytes += kept.bytes.len();
        state.kept.insert(key, CachedFile { used, ..kept });
        while state.bytes > self.room.bytes || state.kept.len() > self.room.files {
            let Some(last) = state.first_to_go(self.room) else { return };
            state.remove(&last);
        }
    }

    fn lock(&self) -> MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of cached files and their total size in bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let state = self.lock();
        (state.kept.len(), state.bytes)
    }
}

impl CacheState {
    /// Returns the file to evict: the least recently used one of the application with the most bytes, or with the most
    /// files if their number is the limit.
    fn first_to_go(&self, room: CacheLimits) -> Option<MediaKey> {
        let mut of: HashMap<&Arc<str>, usize> = HashMap::new();
        let is_too_large = self.bytes > room.bytes;
        for kept in self.kept.values() {
            *of.entry(&kept.asker).or_default() += if is_too_large { kept.bytes.len() } else { 1 };
        }
        let most = of.values().copied().max()?;
        let is_of_most = |kept: &CachedFile| of.get(&kept.asker).is_some_and(|has| *has == most);
        let candidates = self.kept.iter().filter(|(_, kept)| is_of_most(kept));
        candidates.min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone())
    }

    fn remove(&mut self, key: &MediaKey) {
        if let Some(gone) = self.kept.remove(key) {
            self.bytes -= gone.bytes.len();
        }
    }
}

impl CachedFile {
    fn media(&self, source: MediaSource, attempts: Vec<WebhookAttempt>) -> FetchedMedia {
        let (bytes, media_type) = (self.bytes.clone(), Arc::clone(&self.media_type));
        FetchedMedia { bytes, media_type, source, attempts: attempts.into(), memory: None }
    }
}

impl CacheValidators {
    fn of(headers: &HeaderMap) -> CacheValidators {
        CacheValidators { etag: headers.get(ETAG).cloned(), last_modified: headers.get(LAST_MODIFIED).cloned() }
    }

    fn conditions(&self) -> Vec<(HeaderName, HeaderValue)> {
        // A server ignores the second header if it supports the first one (RFC 9110 §13.2.2).
        let etag = self.etag.clone().map(|etag| (IF_NONE_MATCH, etag));
        let since = self.last_modified.clone().map(|date| (IF_MODIFIED_SINCE, date));
        etag.into_iter().chain(since).collect()
    }
}

/// Returns how long a response may be used without revalidation; `None` if it must not be cached. A response without
/// directives is revalidated each time, and so is a redirected one, because the redirect may change.
fn freshness(headers: &HeaderMap, is_redirected: bool) -> Option<Freshness> {
    let (mut seconds, mut shared, mut may_be_stale, mut ask) = (0, None, true, is_redirected);
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|line| line.to_str().ok());
    for directive in lines.flat_map(|line| line.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let number = || value.trim().trim_matches('"').parse::<u64>().unwrap_or(0);
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" => return None,
            "no-cache" => (ask, may_be_stale) = (true, false),
            "must-revalidate" | "proxy-revalidate" => may_be_stale = false,
            "max-age" => seconds = number(),
            "s-maxage" => shared = Some(number()),
            _ => {}
        }
    }
    if headers.get_all(VARY).iter().any(|line| line.as_bytes().contains(&b'*')) {
        return None;
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok()).unwrap_or(0);
    let seconds = shared.unwrap_or(seconds).saturating_sub(age).min(MEDIA_FRESH_SECONDS);
    let lifetime = Duration::from_secs(if ask { 0 } else { seconds });
    Some(Freshness { lifetime, until: Instant::now() + lifetime, may_be_stale })
}

/// Returns whether a failure means that the server could not be reached or has failed; only then may a stale file be
/// used.
fn is_outage(failure: &WebhookFailure) -> bool {
    failure.answer.as_ref().is_none_or(|answer| answer.status >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_may_be_used() {
        let seconds = |lines: &[(HeaderName, &'static str)]| {
            let lines = lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            let now = Instant::now();
            let found = freshness(&lines.collect(), false)?;
            assert!(found.until >= now + found.lifetime);
            Some((found.lifetime.as_secs(), found.may_be_stale))
        };
        for (lines, expected) in [
            (&[][..], Some((0, true))),
            (&[(CACHE_CONTROL, "max-age=60")], Some((60, true))),
            (&[(CACHE_CONTROL, "public, Max-Age=\"60\", must-revalidate")], Some((60, false))),
            (&[(CACHE_CONTROL, "max-age=60, s-maxage=90")], Some((90, true))),
            (&[(CACHE_CONTROL, "max-age=60"), (AGE, "50")], Some((10, true))),
            (&[(CACHE_CONTROL, "max-age=60"), (AGE, "70")], Some((0, true))),
            (&[(CACHE_CONTROL, "max-age=99999999")], Some((MEDIA_FRESH_SECONDS, true))),
            (&[(CACHE_CONTROL, "max-age=-1")], Some((0, true))),
            (&[(CACHE_CONTROL, "no-cache, max-age=60")], Some((0, false))),
            (&[(CACHE_CONTROL, "max-age=60, no-store")], None),
            (&[(CACHE_CONTROL, "max-age=60"), (VARY, "*")], None),
            (&[(CACHE_CONTROL, "max-age=60"), (VARY, "Accept-Encoding")], Some((60, true))),
        ] {
            assert_eq!(seconds(lines), expected, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        assert!(freshness(&headers, true).unwrap().until <= Instant::now());
    }
}
