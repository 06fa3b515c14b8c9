//! Memory limit for responses that clients read slowly or not at all.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};

use super::ApiError;
use trunkgate_system::limits;

/// Number of bytes of large responses that are not written to their connections yet.
#[derive(Debug, Clone, Default)]
pub(super) struct ResponseBudget(Arc<AtomicUsize>);

/// Part of the limit that a response has reserved, released on drop.
#[derive(Debug)]
struct BudgetReservation {
    unread: ResponseBudget,
    bytes: usize,
}

impl Drop for BudgetReservation {
    fn drop(&mut self) {
        self.unread.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ResponseBudget {
    /// Reserves memory for a response; `None` if too little is left. A response larger than the limit reserves all of
    /// it.
    fn reserve(&self, bytes: usize) -> Option<BudgetReservation> {
        let bytes = bytes.min(limits::HTTP_UNREAD_BYTES);
        let reserved = self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            held.checked_add(bytes).filter(|held| *held <= limits::HTTP_UNREAD_BYTES)
        });
        reserved.is_ok().then(|| BudgetReservation { unread: self.clone(), bytes })
    }

    /// Counts a large response against the limit until it is written; without enough room, returns 503 in its place.
    pub(super) fn bound(&self, response: Response) -> Response {
        let size = response.body().size_hint().exact().and_then(|size| usize::try_from(size).ok());
        let Some(bytes) = size.filter(|size| *size > limits::HTTP_PART_BYTES) else { return response };
        match self.reserve(bytes) {
            Some(share) => response.map(|body| Body::new(ChunkedBody { body, rest: Bytes::new(), _share: share })),
            None => refused(),
        }
    }
}

fn refused() -> Response {
    let message = format!("clients have not read {} MiB of answers: try again later", limits::HTTP_UNREAD_BYTES >> 20);
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_answers", message);
    let mut response = error.into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

/// Response body that is written in small copies, so that its memory is freed when the last copy is handed to the
/// connection.
struct ChunkedBody {
    body: Body,
    rest: Bytes,
    _share: BudgetReservation,
}

impl HttpBody for ChunkedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other @ (Poll::Ready(Some(Err(_)) | None) | Poll::Pending) => return other,
            }
        }
        let length = self.rest.len().min(limits::HTTP_PART_BYTES);
        let part = Bytes::copy_from_slice(&self.rest.split_to(length));
        if self.rest.is_empty() {
            self.rest = Bytes::new();
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        hint.exact().map_or(hint, |exact| SizeHint::with_exact(exact + rest))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    fn answer(bytes: usize) -> Response {
        vec![b'x'; bytes].into_response()
    }

    #[tokio::test]
    async fn what_unread_answers_hold_is_bounded_and_given_back_once_they_are_read() {
        let unread = ResponseBudget::default();
        let bytes = limits::HTTP_UNREAD_BYTES / 4;
        let mut held: Vec<Response> = (0..4).map(|_| unread.bound(answer(bytes))).collect();
        assert!(held.iter().all(|response| response.status() == StatusCode::OK));
        let refused = unread.bound(answer(bytes));
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "5");
        assert_eq!(unread.bound(answer(limits::HTTP_PART_BYTES)).status(), StatusCode::OK, "a small one passes");
        let read = to_bytes(held.pop().unwrap().into_body(), usize::MAX).await.unwrap();
        assert!(read.len() == bytes && read.iter().all(|byte| *byte == b'x'));
        assert_eq!(unread.bound(answer(bytes)).status(), StatusCode::OK);
        drop(held);
        assert_eq!(unread.0.load(Ordering::Relaxed), 0);
        let whole = unread.bound(answer(2 * limits::HTTP_UNREAD_BYTES));
        assert_eq!((whole.status(), unread.0.load(Ordering::Relaxed)), (StatusCode::OK, limits::HTTP_UNREAD_BYTES));
    }

    #[tokio::test]
    async fn a_large_answer_is_handed_over_in_parts_of_its_exact_length() {
        let unread = ResponseBudget::default();
        let bytes = 3 * limits::HTTP_PART_BYTES + 7;
        let mut body = unread.bound(answer(bytes)).into_body();
        assert_eq!(body.size_hint().exact(), Some(bytes as u64));
        let mut lengths = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            lengths.push(frame.unwrap().into_data().unwrap().len());
            let left = bytes - lengths.iter().sum::<usize>();
            assert_eq!(body.size_hint().exact(), Some(left as u64));
        }
        assert_eq!(lengths, [limits::HTTP_PART_BYTES, limits::HTTP_PART_BYTES, limits::HTTP_PART_BYTES, 7]);
    }
}
