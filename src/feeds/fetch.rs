//! Fetching a list: what a thread of its own does, so that a slow server holds up nobody.

use super::background::BackgroundExecutor;
use super::load::{LoadError, LoadedFeed};
use super::source::cache::Meta;
use crate::config::{Feed, Place};
use std::sync::Arc;

/// What came of it.
#[cfg_attr(
    not(feature = "http"),
    expect(dead_code, reason = "without the feature nothing comes of it")
)]
#[derive(Debug)]
pub(super) enum Fetch {
    /// The server has nothing newer.
    NotModified,
    /// Another list.
    New {
        /// As it was read.
        good: Box<LoadedFeed>,
        /// As it came.
        bytes: Arc<Vec<u8>>,
        /// What to ask with the next time.
        meta: Meta,
    },
}

/// Asks the URL of a feed and reads what comes.
#[cfg(feature = "http")]
pub(super) fn fetch(
    feed: &Feed,
    known: Option<&Meta>,
    now: u32,
    background: &BackgroundExecutor,
) -> Result<Fetch, LoadError> {
    use super::load;
    use super::source::SourceError;
    use super::source::http::{self, Answer};

    let Place::Url(url) = &feed.place else {
        return Err(SourceError::WithoutHttp.into());
    };
    match http::fetch(feed, url, known, now)? {
        Answer::NotModified => Ok(Fetch::NotModified),
        Answer::Fetched { bytes, meta } => {
            let bytes = Arc::new(bytes);
            let (list, body) = (feed.clone(), Arc::clone(&bytes));
            let read = background.run(move || load::read_bytes(&list, &body, now, now));
            let good = Box::new(read?);
            Ok(Fetch::New { good, bytes, meta })
        }
    }
}

/// A binary that cannot.
#[cfg(not(feature = "http"))]
pub(super) fn fetch(
    feed: &Feed,
    known: Option<&Meta>,
    now: u32,
    background: &BackgroundExecutor,
) -> Result<Fetch, LoadError> {
    let _ = (&feed.place, known, now, background, Place::Url);
    Err(super::source::SourceError::WithoutHttp.into())
}
