//! What a server calls a state of a page, and asking whether the page is still in that state.

use reqwest::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::{RequestBuilder, Response};
use serde::{Deserialize, Serialize};

use super::answer::text;

/// What a server calls a state of a page (RFC 9110 section 8.8): to be asked whether it is still the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    etag: Option<Box<str>>,
    modified: Option<Box<str>>,
}

impl Validators {
    /// The longest that is remembered, in bytes: others are a waste of memory, or meant to be one.
    const LONGEST: usize = 200;

    pub(super) fn of(response: &Response) -> Self {
        let short = |name| text(response, name).filter(|value| value.len() <= Self::LONGEST).map(String::into_boxed_str);
        Self { etag: short(&ETAG), modified: short(&LAST_MODIFIED) }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.etag.is_none() && self.modified.is_none()
    }

    /// Makes a question conditional (RFC 9110 section 13.1: a server that knows both headers goes by the first).
    pub(super) fn ask(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, &**etag);
        }
        if let Some(modified) = &self.modified {
            request = request.header(IF_MODIFIED_SINCE, &**modified);
        }
        request
    }
}
