//! What came of a question, as it came.

use reqwest::Url;

use super::validators::Validators;

/// A page as it came.
#[derive(Debug)]
pub struct Page {
    /// The body, unpacked.
    pub body: Vec<u8>,
    /// The `Content-Type`.
    pub content_type: Option<String>,
    /// Where it was found in the end.
    pub url: Url,
    /// What the server calls this state of it.
    pub validators: Validators,
}

/// What became of a question for a page of which some state is known.
#[derive(Debug)]
pub enum Fetched {
    /// It came.
    Page(Page),
    /// The server says that it is still the same.
    Unchanged,
}

/// A file as it came.
#[derive(Debug)]
pub(super) struct SmallFile {
    /// Its content, unpacked.
    pub(super) body: Vec<u8>,
    /// The `Last-Modified`.
    pub(super) modified: Option<String>,
    /// The `ETag`.
    pub(super) tag: Option<String>,
}
