//! Tests of the audio cache: hits, revalidation and eviction.

use std::sync::Arc;

use super::server::{Act, Seen, Server, answer, redirect};
use super::*;
use crate::webhooks::media::{CacheLimits, MediaCache, MediaSource};
use trunkgate_system::limits::MEDIA_FETCHES_OF_SERVER;
use trunkgate_system::shares::FairShares;

fn cache(bytes: usize) -> Arc<MediaCache> {
    Arc::new(MediaCache::new(Arc::new(client()), CacheLimits { bytes, files: 8 }))
}

fn audio(headers: &str, body: &str) -> Act {
    Act::Send(answer("200 OK", &format!("Content-Type: audio/x-wav\r\n{headers}"), body))
}

/// Fetches a file of a server through the cache; returns its origin and text.
async fn got(cache: &Arc<MediaCache>, server: &Server, path: &str) -> (MediaSource, String) {
    let media = cache.get(&server.url(path), &lax(), None, &"a".into()).await.unwrap();
    assert_eq!(&*media.media_type, "audio/x-wav");
    assert_eq!(media.attempts.is_empty(), media.source == MediaSource::Kept);
    (media.source, String::from_utf8(media.bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn fresh_audio_is_not_asked_for_again() {
    let server = Server::always(audio("Cache-Control: max-age=600\r\n", "tone")).await;
    let cache = cache(1000);
    assert_eq!(got(&cache, &server, "/a").await, (MediaSource::Fetched, "tone".into()));
    assert_eq!(got(&cache, &server, "/a").await, (MediaSource::Kept, "tone".into()));
    assert_eq!(got(&cache, &server, "/b").await.0, MediaSource::Fetched);
    assert_eq!((server.seen().len(), cache.held()), (2, (2, 8)));
    assert_eq!(server.seen()[0].method, "GET");
    // A file from a private address is not given to an application that may not reach it.
    let strict = cache.get(&server.url("/a"), &ReachRules::default(), None, &"a".into()).await.unwrap_err();
    assert_eq!(strict.code, 11_205);
}

#[tokio::test]
async fn audio_is_asked_for_again_by_its_validators() {
    let etag = "ETag: \"v1\"\r\n";
    let date = "Last-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n";
    for (line, condition) in [(etag, "if-none-match"), (date, "if-modified-since")] {
        let server = Server::start(move |number, seen: &Seen| match number {
            0 => audio(line, "old"),
            1 if seen.headers.get(condition) == Some(&line.split_once(": ").unwrap().1.trim().to_owned()) => {
                Act::Send(b"HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n".to_vec())
            }
            _ => audio(line, "new"),
        })
        .await;
        let cache = cache(1000);
        assert_eq!(got(&cache, &server, "/").await, (MediaSource::Fetched, "old".into()));
        assert_eq!(got(&cache, &server, "/").await, (MediaSource::Revalidated, "old".into()));
        assert_eq!(got(&cache, &server, "/").await, (MediaSource::Fetched, "new".into()));
        assert_eq!(cache.held(), (1, 3));
    }
}

#[tokio::test]
async fn audio_outlives_an_outage_of_its_server() {
    let server = Server::start(|number, _| match number {
        0 => audio("ETag: \"v1\"\r\n", "tone"),
        1 => Act::Send(answer("503 Busy", "", "")),
        2 => Act::Last(b"HTTP".to_vec()),
        _ => Act::Send(answer("404 Not Found", "", "")),
    })
    .await;
    let cache = cache(1000);
    assert_eq!(got(&cache, &server, "/").await.0, MediaSource::Fetched);
    for _ in 0..2 {
        assert_eq!(got(&cache, &server, "/").await, (MediaSource::Stale, "tone".into()));
    }
    assert_eq!(
        cache.get(&server.url("/"), &lax(), None, &"a".into()).await.unwrap_err().answer.as_ref().unwrap().status,
        404
    );
    let server = Server::start(|number, _| match number {
        0 => audio("ETag: \"v1\"\r\nCache-Control: must-revalidate\r\n", "tone"),
        _ => Act::Send(answer("503 Busy", "", "")),
    })
    .await;
    assert_eq!(got(&cache, &server, "/").await.0, MediaSource::Fetched);
    assert_eq!(
        cache.get(&server.url("/"), &lax(), None, &"a".into()).await.unwrap_err().answer.as_ref().unwrap().status,
        503
    );
}

#[tokio::test]
async fn what_may_not_be_kept_or_cannot_be_asked_for_again_is_not() {
    for headers in ["", "Cache-Control: no-store\r\nETag: \"v1\"\r\n", "Vary: *\r\nETag: \"v1\"\r\n"] {
        let server = Server::always(audio(headers, "tone")).await;
        let cache = cache(1000);
        for _ in 0..2 {
            assert_eq!(got(&cache, &server, "/").await.0, MediaSource::Fetched);
        }
        assert_eq!(cache.held(), (0, 0), "{headers}");
    }
}

#[tokio::test]
async fn what_a_redirect_led_to_is_asked_for_each_time() {
    let server = Server::start(|number, seen| match (number, seen.target.as_str()) {
        (0, "/") => Act::Send(redirect(302, "/one")),
        (_, "/") => Act::Send(redirect(302, "/two")),
        (_, _) if seen.headers.contains_key("if-none-match") => {
            Act::Send(b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n".to_vec())
        }
        (_, other) => audio("Cache-Control: max-age=600\r\nETag: \"1\"\r\n", other),
    })
    .await;
    let cache = cache(1000);
    assert_eq!(got(&cache, &server, "/").await, (MediaSource::Fetched, "/one".into()));
    // Another file has the same validator.
    assert_eq!(got(&cache, &server, "/").await, (MediaSource::Fetched, "/two".into()));
    assert_eq!(got(&cache, &server, "/").await, (MediaSource::Revalidated, "/two".into()));
}

#[tokio::test]
async fn the_file_that_was_not_used_for_longest_goes() {
    let server = Server::always(audio("Cache-Control: max-age=600\r\n", "0123456789")).await;
    let cache = cache(25);
    for path in ["/a", "/b", "/a", "/c"] {
        got(&cache, &server, path).await;
    }
    assert_eq!(cache.held(), (2, 20));
    assert_eq!(got(&cache, &server, "/a").await.0, MediaSource::Kept);
    assert_eq!(got(&cache, &server, "/b").await.0, MediaSource::Fetched);
    let large = Server::always(audio("Cache-Control: max-age=600\r\n", &"x".repeat(26))).await;
    assert_eq!(got(&cache, &large, "/").await.0, MediaSource::Fetched);
    assert_eq!(cache.held(), (2, 20));
    for at in 0..9 {
        let empty = Server::always(audio("Cache-Control: max-age=600\r\n", "")).await;
        got(&cache, &empty, &format!("/{at}")).await;
    }
    assert_eq!(cache.held().0, 8);
}

#[tokio::test]
async fn calls_that_want_the_same_at_once_wait_for_one_fetch() {
    let server = Server::always(audio("Cache-Control: no-store\r\n", "tone")).await;
    let (cache, url, reach, asker) = (cache(1000), server.url("/"), lax(), "a".into());
    let all = futures_util::future::join_all((0..50).map(|_| cache.get(&url, &reach, None, &asker))).await;
    assert!(all.iter().all(|media| media.as_ref().is_ok_and(|media| *media.bytes == *b"tone")));
    assert_eq!(server.seen().len(), 1);
}

/// Waits until a server has received `count` requests.
async fn seen(server: &Server, count: usize) {
    while server.seen().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn hanging_files_of_one_server_leave_room_for_other_servers_and_applications() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/tone" => audio("", "tone"),
        _ => Act::Silence,
    })
    .await;
    let (cache, url) = (cache(1000), server.url("/tone"));
    let hanging: Vec<_> = (0..MEDIA_FETCHES_OF_SERVER + 1)
        .map(|number| {
            let (cache, url) = (cache.clone(), server.url(&format!("/{number}")));
            tokio::spawn(async move { cache.get(&url, &lax(), None, &"a".into()).await })
        })
        .collect();
    seen(&server, MEDIA_FETCHES_OF_SERVER).await;
    let other = cache.get(&url, &lax(), None, &"b".into()).await.unwrap();
    assert_eq!(&*other.bytes, b"tone");
    let elsewhere = Server::always(audio("", "tone")).await;
    assert!(cache.get(&elsewhere.url("/"), &lax(), None, &"a".into()).await.is_ok(), "another server of its own");
    let refused = cache.get(&server.url("/tone#tt=100"), &lax(), None, &"a".into()).await.unwrap_err();
    assert!(refused.what.contains("too many other requests"), "{}", refused.what);
    assert_eq!(refused.attempts[0].url, url, "the trace names what was not asked for");
    // A fetch that no call waits for is cancelled and releases its share.
    hanging.iter().for_each(|one| one.abort());
    assert!(cache.get(&url, &lax(), None, &"a".into()).await.is_ok());
}

/// Returns a cache with 8 MiB of memory: at most 4 MiB for each application, and 1 MiB guaranteed.
fn narrow_cache() -> (Arc<MediaCache>, FairShares) {
    let memory = FairShares::new(1, 4, 8);
    let client = Arc::new(client().sharing(memory.clone()));
    (Arc::new(MediaCache::new(client, CacheLimits { bytes: 1, files: 1 })), memory)
}

#[tokio::test]
async fn files_that_drip_leave_memory_for_other_applications() {
    let server = Server::start(|_, seen| match seen.target.as_str() {
        "/tone" => audio("", "tone"),
        "/large" => audio("", &"x".repeat(3 << 20)),
        // Only the first part of a file of 60 MiB is sent.
        _ => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: audio/x-wav\r\nContent-Length: 62914560\r\n\r\n";
            Act::Send([head.as_bytes(), &vec![0; 5 << 19]].concat())
        }
    })
    .await;
    let (cache, memory) = narrow_cache();
    let get = |path: &str, app: &'static str| {
        let (cache, url) = (cache.clone(), server.url(path));
        async move { cache.get(&url, &lax(), None, &app.into()).await }
    };
    let dripping = ["a", "b"].map(|app| memory.take(&app.into(), 3).unwrap());
    let refused = get("/drips", "a").await.unwrap_err();
    assert!(refused.what.starts_with("no memory for the answer"), "{}", refused.what);
    drop(refused);
    for app in ["a", "b", "c"] {
        assert_eq!(&*get("/tone", app).await.unwrap().bytes, b"tone", "a small one is granted to each");
    }
    assert!(get("/large", "c").await.is_err());
    drop(dripping);
    assert_eq!(get("/large", "c").await.unwrap().bytes.len(), 3 << 20, "memory of what is given up is free");
}

#[tokio::test]
async fn a_file_has_its_memory_until_it_is_decoded() {
    let server = Server::always(audio("Cache-Control: no-store\r\n", &"x".repeat(5 << 19))).await;
    let (cache, _) = narrow_cache();
    let get = |path: &str, app: &'static str| {
        let (cache, url) = (cache.clone(), server.url(path));
        async move { cache.get(&url, &lax(), None, &app.into()).await }
    };
    let first = get("/1", "a").await.unwrap();
    assert!(get("/2", "a").await.unwrap_err().what.starts_with("no memory for the answer"));
    let of_another = get("/3", "b").await.unwrap();
    drop(first);
    assert!(get("/2", "a").await.is_ok());
    drop(of_another);
}

#[tokio::test]
async fn an_application_that_fetches_much_displaces_its_own_files() {
    let server = Server::always(audio("Cache-Control: max-age=600\r\n", "0123456789")).await;
    let cache = cache(35);
    let get = |path: &str, app: &'static str| {
        let (cache, url) = (cache.clone(), server.url(path));
        async move { cache.get(&url, &lax(), None, &app.into()).await.unwrap().source }
    };
    assert_eq!(get("/prompt", "good").await, MediaSource::Fetched);
    for at in 0..9 {
        assert_eq!(get(&format!("/{at}"), "hog").await, MediaSource::Fetched);
    }
    assert_eq!(get("/prompt", "good").await, MediaSource::Kept);
    assert_eq!(get("/8", "hog").await, MediaSource::Kept);
    assert_eq!(get("/0", "hog").await, MediaSource::Fetched);
}
