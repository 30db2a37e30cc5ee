//! What the comments of a list say about it: `# Category : attacks`.
//!
//! ```text
//!  # Source File Date: Fri Nov 20 12:03:38 UTC 2026     FireHOL: when the source changed
//!  # This File Date  : Fri Nov 20 12:05:00 UTC 2026     FireHOL: when the file was made
//!  # Category        : attacks
//!  # Entries         : 4530 subnets, 611765537 unique IPs
//!  ; Last-Modified: Fri, 20 Nov 2026 12:03:38 GMT       Spamhaus
//!  ; Expires: Sat, 21 Nov 2026 14:12:05 GMT
//! ```

use super::moment;
use super::output::Output;
use super::word;

/// The most comments that are looked at: a header stands at the start.
const COMMENTS_MAX: u32 = 200;

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Header {
    names_category: bool,
    category: Option<String>,
    /// The date of the source counts more than the date of the file.
    has_source_date: bool,
    comments: u32,
}

impl Header {
    /// Nothing yet. Whether the category that it will state is that of the entries.
    pub(super) fn new(names_category: bool) -> Self {
        Self {
            names_category,
            ..Self::default()
        }
    }

    /// The category of the entries that follow.
    #[inline]
    pub(super) fn category(&self) -> Option<&str> {
        self.category.as_deref()
    }

    /// Reads a comment.
    pub(super) fn comment(&mut self, text: &[u8], output: &mut Output<'_>) {
        self.comments = self.comments.saturating_add(1);
        let text = str::from_utf8(text).unwrap_or_default();
        let Some((key, value)) = text
            .split_once(':')
            .filter(|_| self.comments <= COMMENTS_MAX)
        else {
            return;
        };
        self.field(&key.trim().to_ascii_lowercase(), value.trim(), output);
    }

    fn field(&mut self, key: &str, value: &str, output: &mut Output<'_>) {
        let report = &mut output.report;
        match key {
            "category" if self.names_category => {
                self.category = word(value.as_bytes()).map(str::to_owned);
            }
            "entries" => report.declared = leading_number(value),
            "expires" => report.expires = moment::in_comment(value),
            "source file date" | "last-modified" => {
                let date = moment::in_comment(value);
                self.has_source_date |= date.is_some();
                report.as_of = date.or(report.as_of);
            }
            "this file date" if !self.has_source_date => {
                report.as_of = moment::in_comment(value).or(report.as_of);
            }
            _ => {}
        }
    }
}

fn leading_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}
