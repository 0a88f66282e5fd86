//! Reading a request's body within a bounded size and time.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use futures_util::StreamExt;
use thiserror::Error;

use crate::limits::{BODY_READ_TIMEOUT, DISCARDED_BYTES_MAX};

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unread {
    #[error("the body is too large")]
    TooLarge,
    #[error("the body did not arrive within {} s", BODY_READ_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the body ended early")]
    Broken,
}

/// Reads the whole body.
///
/// # Errors
/// [`Unread`]. After [`Unread::TooLarge`] the client has usually been heard out, so that it reads the answer.
pub(crate) async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    // A client that asks first has not sent the body yet, and need not.
    if headers.contains_key(EXPECT) && declared_bytes(headers).is_some_and(|declared| declared > bytes_max) {
        return Err(Unread::TooLarge);
    }
    tokio::time::timeout(BODY_READ_TIMEOUT, collect(body, bytes_max)).await.map_err(|_| Unread::TooSlow)?
}

async fn collect(body: Body, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut discarded = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        if discarded == 0 && bytes.len() + chunk.len() <= bytes_max {
            bytes.extend_from_slice(&chunk);
        } else {
            discarded += chunk.len();
            if discarded > DISCARDED_BYTES_MAX {
                break;
            }
        }
    }
    if discarded == 0 { Ok(bytes) } else { Err(Unread::TooLarge) }
}

fn declared_bytes(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
