//! How large answers to reads are: `apiserver_response_sizes`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};

use super::requests::Series;

/// The answer, and its size counted: at once if it is known, else when the last piece of it was taken, or no more is.
pub(super) fn count(response: Response<Body>, series: Arc<Series>) -> Response<Body> {
    match response.body().size_hint().exact() {
        Some(size) => {
            series.sizes.observe(size as f64);
            response
        }
        None => response.map(|body| Body::new(Counted { body, size: 0, series })),
    }
}

/// A body in pieces. What was sent is counted when it is dropped.
struct Counted {
    body: Body,
    size: u64,
    series: Arc<Series>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            self.size += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.series.sizes.observe(self.size as f64);
    }
}
