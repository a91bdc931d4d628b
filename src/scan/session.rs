//! One mirror, asked politely: few connections, redirects within its own URLs, pauses where it asks for them, second tries
//! where a failure may pass.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED, LOCATION, RETRY_AFTER};
use reqwest::tls::TlsInfo;
use reqwest::{Response, StatusCode, Url};
use tokio::sync::Semaphore;

use super::answer::{Answer, Copy, Failure, copy, failure, http_date, retry_after, text};
use super::client::Clients;
use super::etiquette::Manners;
use super::fetched::{Fetched, Page, SmallFile};
use super::inquiry::{LAST, Question};
use super::limits::Limits;
use super::reach::Reach;
use super::validators::Validators;
use crate::clock::Clock;
use crate::model::{BaseUrl, Mirror, Ranges, TreePath};

/// A conversation with one mirror over one of its URLs.
#[derive(Debug)]
pub struct Session {
    clients: Clients,
    base: BaseUrl,
    /// The base URL, read once.
    root: OnceLock<Url>,
    reach: Reach,
    limits: Limits,
    clock: Clock,
    connections: usize,
    slots: Semaphore,
    manners: Arc<Manners>,
    /// For how long this conversation may still wait when the mirror asks for it; `None`: no longer at all.
    patience: Mutex<Option<Duration>>,
    refuses_head: AtomicBool,
    /// Seconds by which the mirror's clock is ahead.
    skew: AtomicI64,
    received: AtomicU64,
    failures_in_a_row: AtomicU32,
    /// The server's certificate, where the client looks at it.
    certificate: OnceLock<Vec<u8>>,
}

/// Not to read so many bytes is worth a new connection: an answer that is left unread closes the old one.
const WORTH_A_CONNECTION: u64 = 64 << 10;

impl Session {
    /// Begins a conversation over one of the mirror's URLs.
    #[must_use]
    pub fn new(clients: &Clients, mirror: &Mirror, base: &BaseUrl, connections: usize, limits: &Limits, clock: &Clock) -> Self {
        Self {
            clients: clients.clone(),
            base: base.clone(),
            root: OnceLock::new(),
            reach: Reach::of(mirror, clients.allow_private_addresses),
            limits: limits.clone(),
            clock: clock.clone(),
            connections: connections.max(1),
            slots: Semaphore::new(connections.max(1)),
            manners: clients.manners(mirror),
            patience: Mutex::new(Some(limits.patience)),
            refuses_head: AtomicBool::new(false),
            skew: AtomicI64::new(0),
            received: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            certificate: OnceLock::new(),
        }
    }

    /// Where it goes.
    #[must_use]
    pub const fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// The limits of this conversation.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How many questions are under way at once, at most.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// The present time.
    #[must_use]
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The bytes of all pages so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts bytes that came another way.
    pub(super) fn note_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the mirror's clock is so far off that its times are no evidence.
    #[must_use]
    pub fn is_clock_off(&self) -> bool {
        u128::from(self.skew.load(Ordering::Relaxed).unsigned_abs()) > u128::from(self.limits.clock.as_secs())
    }

    /// Gets the page of a directory. `query` is what the server family needs to show sizes and times, mostly nothing.
    ///
    /// # Errors
    /// When no whole page came.
    pub async fn page(&self, directory: &TreePath<'_>, query: Option<&str>) -> Result<Page, Failure> {
        self.page_at(self.page_url(directory, query)?).await
    }

    /// Gets the page of a directory, unless it is still in a known state.
    ///
    /// # Errors
    /// When neither the server says so nor a whole page came.
    pub async fn page_unless(
        &self,
        directory: &TreePath<'_>,
        query: Option<&str>,
        known: &Validators,
    ) -> Result<Fetched, Failure> {
        self.fetch(self.page_url(directory, query)?, known).await
    }

    /// Gets any page of the mirror's server.
    ///
    /// # Errors
    /// When no whole page came.
    pub(super) async fn page_at(&self, url: Url) -> Result<Page, Failure> {
        match self.fetch(url, &Validators::default()).await? {
            Fetched::Page(page) => Ok(page),
            Fetched::Unchanged => Err(Failure::Status(StatusCode::NOT_MODIFIED)),
        }
    }

    fn page_url(&self, directory: &TreePath<'_>, query: Option<&str>) -> Result<Url, Failure> {
        let mut url = match self.root.get() {
            Some(root) => root.clone(),
            None => parse(self.base.as_str()).map(|root| self.root.get_or_init(|| root).clone())?,
        };
        if !directory.is_root() {
            url.set_path(&format!("{}{}/", url.path(), directory.encoded()));
        }
        url.set_query(query);
        Ok(url)
    }

    async fn fetch(&self, url: Url, known: &Validators) -> Result<Fetched, Failure> {
        self.persist(|| async {
            let (response, url) = self.ask(Question::Page(known), url.clone()).await?;
            let validators = Validators::of(&response);
            // Apache names the state of a listing, and sends it all the same.
            let is_same = !known.is_empty() && validators == *known;
            let is_long = response.content_length().is_none_or(|length| length > WORTH_A_CONNECTION);
            if response.status() == StatusCode::NOT_MODIFIED || is_same && is_long {
                return Ok(Fetched::Unchanged);
            }
            let content_type = text(&response, &CONTENT_TYPE);
            let body = self.body(response).await?;
            Ok(Fetched::Page(Page { body, content_type, url, validators }))
        })
        .await
    }

    /// Gets a small file.
    ///
    /// # Errors
    /// When it did not come whole.
    pub(super) async fn file(&self, path: &TreePath<'_>) -> Result<SmallFile, Failure> {
        let url = parse(&self.base.url(path))?;
        self.persist(|| async {
            let (response, _) = self.ask(Question::Page(&Validators::default()), url.clone()).await?;
            let (modified, tag) = (text(&response, &LAST_MODIFIED), text(&response, &ETAG));
            Ok(SmallFile { body: self.body(response).await?, modified, tag })
        })
        .await
    }

    /// Asks what the server has at a path, without its content.
    pub async fn look(&self, path: &TreePath<'_>) -> Answer {
        self.look_at(&self.base.url(path)).await
    }

    /// Asks for the base URL itself: for a mirror of which no file is known.
    pub async fn look_at_base(&self) -> Answer {
        self.look_at(self.base.as_str()).await
    }

    /// Asks for the last bytes of a file of this size: whether these come, and nothing else. `Unknown` when no answer tells.
    pub async fn look_for_ranges(&self, path: &TreePath<'_>, size: u64) -> Ranges {
        let Ok(url) = parse(&self.base.url(path)) else { return Ranges::Unknown };
        let Ok((mut response, _)) = self.ask(Question::LastBytes(size), url).await else { return Ranges::Unknown };
        if response.status() != StatusCode::PARTIAL_CONTENT || !is_end_of(&response, size) {
            return Ranges::Ignored;
        }
        let mut left = LAST.min(size);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => match left.checked_sub(chunk.len() as u64) {
                    Some(rest) => left = rest,
                    None => return Ranges::Ignored,
                },
                Ok(None) if left == 0 => return Ranges::Kept,
                Ok(None) => return Ranges::Ignored,
                Err(_) => return Ranges::Unknown,
            }
        }
    }

    /// Asks for the last bytes of a large file: whether the server can count so far.
    pub(super) async fn look_at_end(&self, path: &TreePath<'_>, size: u64) -> Result<Response, Failure> {
        let url = parse(&self.base.url(path))?;
        self.persist(|| async { Ok(self.ask(Question::LastBytes(size), url.clone()).await?.0) }).await
    }

    async fn look_at(&self, url: &str) -> Answer {
        let url = match parse(url) {
            Ok(url) => url,
            Err(failure) => return Answer::Unclear(failure),
        };
        match self.persist(|| self.describe(url.clone())).await {
            Ok(copy) => Answer::Copy(copy),
            Err(Failure::Status(StatusCode::NOT_FOUND | StatusCode::GONE)) => Answer::Missing,
            Err(failure) => Answer::Unclear(failure),
        }
    }

    /// Asks by HEAD, and for the first byte where that says too little: some servers know no HEAD, Apache answers it without a
    /// length for empty files.
    async fn describe(&self, url: Url) -> Result<Copy, Failure> {
        if !self.refuses_head.load(Ordering::Relaxed) {
            match self.ask(Question::Head, url.clone()).await {
                Err(Failure::Status(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)) => {
                    self.refuses_head.store(true, Ordering::Relaxed);
                }
                Err(failure) => return Err(failure),
                Ok((response, found)) => {
                    let copy = copy(&response, found != url);
                    if copy.size.is_some() {
                        return Ok(copy);
                    }
                }
            }
        }
        let (response, found) = self.ask(Question::FirstByte, url.clone()).await?;
        Ok(copy(&response, found != url))
    }

    /// Repeats a question whose failure may pass, a bounded number of times, with growing waits.
    async fn persist<T, F: Future<Output = Result<T, Failure>>>(&self, attempt: impl Fn() -> F) -> Result<T, Failure> {
        let mut wait = self.limits.back_off;
        for _ in 0..self.limits.retries {
            match attempt().await {
                Err(failure) if failure.may_pass() && !self.is_paused_for_good() => {
                    tracing::debug!(base = %self.base, error = %failure, "asking again");
                }
                done => return self.note_outcome(done),
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        self.note_outcome(attempt().await)
    }

    /// Counts failures of the server in a row.
    fn note_outcome<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        match &outcome {
            Err(failure) if failure.is_of_the_server() => {
                self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.failures_in_a_row.store(0, Ordering::Relaxed),
        }
        outcome
    }

    /// Whether the mirror went away: it is not asked any more.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.failures_in_a_row.load(Ordering::Relaxed) >= self.limits.failures_in_a_row
    }

    /// Sends one question and follows redirects. What comes back has a status that is an answer.
    pub(super) async fn ask(&self, question: Question<'_>, url: Url) -> Result<(Response, Url), Failure> {
        if self.is_given_up() {
            return Err(Failure::GivenUp);
        }
        let _slot = self.slots.acquire().await.map_err(|closed| Failure::Broken(closed.to_string()))?;
        let mut url = url;
        for _ in 0..=self.limits.redirects {
            self.wait_for_turn().await?;
            let response = question.request(&self.clients, url.clone()).send().await.map_err(|error| failure(&error))?;
            self.note_clock(&response);
            self.note_certificate(&response);
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                let target = text(&response, &LOCATION).and_then(|target| url.join(&target).ok()).ok_or(Failure::Circles)?;
                self.reach.check(&target)?;
                url = target;
                continue;
            }
            if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
                self.note_pause(&response);
            }
            return if question.is_answered_by(status) { Ok((response, url)) } else { Err(Failure::Status(status)) };
        }
        Err(Failure::Circles)
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let limit = self.limits.page_bytes;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            if body.len() + chunk.len() > limit {
                return Err(Failure::TooLarge(limit));
            }
            self.received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Waits until the mirror may be asked: while it wants to be left alone, unless that is too long for this conversation, and for
    /// its turn among all who ask it.
    async fn wait_for_turn(&self) -> Result<(), Failure> {
        while let Some(rest) = self.manners.rest() {
            if self.is_paused_for_good() || rest.left() > self.limits.pause {
                return Err(Failure::LeftAlone);
            }
            rest.over().await;
        }
        if self.is_paused_for_good() {
            return Err(Failure::LeftAlone);
        }
        self.manners.turn().await;
        Ok(())
    }

    /// Takes note of how long the server wants to be left alone; when that is too long for this conversation, it is over.
    fn note_pause(&self, response: &Response) {
        let asked = text(response, &RETRY_AFTER).and_then(|value| retry_after(&value, self.clock.now())).unwrap_or_default();
        if !asked.is_zero() {
            self.manners.leave_alone(asked, response.status());
        }
        let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        *patience = patience.and_then(|left| left.checked_sub(asked)).filter(|_| asked <= self.limits.pause);
    }

    /// Whether the server wants to be left alone for longer than this conversation can wait.
    fn is_paused_for_good(&self) -> bool {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn note_certificate(&self, response: &Response) {
        let seen = response.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
        seen.map(|certificate| self.certificate.get_or_init(|| certificate.to_vec()));
    }

    /// The server's certificate as it came (DER), where the client looks at it.
    #[must_use]
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        self.certificate.get().map(Vec::as_slice)
    }

    fn note_clock(&self, response: &Response) {
        if let Some(date) = text(response, &DATE).and_then(|date| http_date(&date)) {
            self.skew.store(date.as_second() - self.clock.now().as_second(), Ordering::Relaxed);
        }
    }
}

/// Whether an answer says that it is what was asked for: the last bytes of a file of this size (RFC 9110 section 14.4).
pub(super) fn is_end_of(response: &Response, size: u64) -> bool {
    let part = format!("bytes {}-{}/", size.saturating_sub(LAST), size.saturating_sub(1));
    let range = text(response, &CONTENT_RANGE).unwrap_or_default();
    range.trim().strip_prefix(&*part).is_some_and(|whole| whole == "*" || whole.parse() == Ok(size))
}

/// A URL that was put together here.
pub(super) fn parse(url: &str) -> Result<Url, Failure> {
    Url::parse(url).map_err(|error| Failure::Broken(format!("{url:?} is no URL: {error}")))
}
