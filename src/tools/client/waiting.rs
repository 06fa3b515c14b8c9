//! Waiting for an edge that takes long to answer: what is said on stderr meanwhile.

use std::time::Duration;

use hyper::Method;
use tokio::time::timeout;

use super::{Target, parsed, request};
use crate::system::terminal;

/// Wait for an answer after which a verb says what it waits for.
const NOTICED: Duration = Duration::from_secs(1);

/// Waits for an answer; says on stderr what for where it takes long.
pub(super) async fn with_notice<T>(edge: &Target, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = timeout(NOTICED, &mut answer).await {
        return answer;
    }
    eprintln!("waiting for the edge at {}, which has not answered for {} s …", edge.base, NOTICED.as_secs());
    answer.await
}

/// Waits for the answer to a reload; says on stderr each second how far the edge has read a large file.
pub(super) async fn with_progress<T>(edge: &Target, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    let mut said = None;
    loop {
        if let Ok(answer) = timeout(NOTICED, &mut answer).await {
            return answer;
        }
        let status = request(edge, Method::GET, "/v1/status", None);
        let reading = tokio::select! {
            answer = &mut answer => return answer,
            status = status => status.and_then(|text| parsed(&text)).ok().and_then(|status| status["config"]["reading"].as_str().map(str::to_owned)),
        };
        let text = match reading {
            None if said.is_some() => continue,
            None => {
                format!("waiting for the edge at {}, which has not answered for {} s …", edge.base, NOTICED.as_secs())
            }
            Some(reading) => terminal::harmless(&reading),
        };
        if said.as_ref() != Some(&text) {
            eprintln!("{text}");
        }
        said = Some(text);
    }
}
