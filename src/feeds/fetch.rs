//! Fetching a list: what a thread of its own does, so that a slow server holds up nobody.

use super::background::BackgroundExecutor;
use super::load::{LoadError, LoadedFeed};
use super::source::cache::Meta;
use super::source::memory::Body;
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
    /// It sent the same bytes again, as is known of them now.
    Same(Meta),
    /// Another list.
    New {
        /// As it was read.
        good: Box<LoadedFeed>,
        /// As it came.
        bytes: Arc<Body>,
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
        Answer::Fetched { body, mut meta } => {
            if let Some(known) = known.filter(|known| known.digest == meta.digest) {
                meta.as_of = known.as_of;
                return Ok(Fetch::Same(meta));
            }
            let bytes = Arc::new(body);
            let (list, body) = (feed.clone(), Arc::clone(&bytes));
            let as_of = meta.as_of.unwrap_or(now);
            let read = background.run(move || {
                let read = load::read_bytes(&list, &body, as_of, now);
                read.map(|good| good.keeping(&body))
            });
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
