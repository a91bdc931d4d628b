//! One instance as requests see it, and one request of it from end to end.
//!
//! A request is answered from the snapshot and one look at the file, without waiting, wherever a mirror may take it. All
//! else opens files, on threads that may wait.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::body::Body;
use super::client::{Client, Lines, Trust};
use super::describe::Records;
use super::doubts::Doubts;
use super::fallback::Fallbacks;
use super::listener::Origin;
use super::lister::Lister;
use super::metrics::{Counts, MirrorCounts, Other};
use super::mirrors_page::{Pages, Refusal, Wanted};
use super::missing::Missing;
use super::page::Room;
use super::range;
use super::ranker::Ranker;
use super::repository::Packages;
use super::route::Route;
use super::sending::Sending;
use super::signature::{Access, Verdict};
use super::stamp::Stamp;
use super::threads::Threads;
use super::wishes::{self, Wishes};
use super::{local, response};
use crate::clock::Clock;
use crate::decide::{Decision, Rules, Standing, Why};
use crate::format;
use crate::geo::Locator;
use crate::inventory::{Inventory, Snapshot};
use crate::model::TreePath;
use crate::selection::Class;
use crate::tree::{LookError, Trees};

/// What a [`Site`] is made of.
#[derive(Debug, Clone)]
pub struct Makings {
    /// The instance's name in metrics and logs.
    pub name: String,
    /// What it answers to.
    pub route: Route,
    /// Whose word on a client's address is believed.
    pub trust: Trust,
    /// The trees.
    pub trees: Trees,
    /// Who gets files that only the application tree has.
    pub application_access: Access,
    /// Whether directories are listed.
    pub index: bool,
    /// When mirrors may be used.
    pub rules: Rules,
    /// Where clients go that no mirror can take.
    pub fallbacks: Arc<Fallbacks>,
    /// What of a query is heeded, and what answers say besides.
    pub answers: wishes::Settings,
    /// Makes stamps on redirects.
    pub stamp: Option<Stamp>,
    /// How this server is reached, for links to ourselves; none: as each request says.
    pub public_url: Option<String>,
    /// Repositories of packages.
    pub packages: Packages,
    /// What keeps the history of mirrors, for the pages on them; `None`: there are no such pages.
    pub mirror_pages: Option<Inventory>,
    /// Which descriptions of files there are.
    pub describe: format::Settings,
    /// Where digests are found.
    pub records: Arc<dyn Records>,
    /// What is known of files and mirrors.
    pub snapshot: Arc<Snapshot>,
    /// Where clients are.
    pub locator: Arc<Locator>,
    /// What is counted; the same before and after a reload.
    pub counts: Arc<Counts>,
    /// Where paths go of files that are not as the inventory says, to be looked at.
    pub nudge: mpsc::Sender<TreePath<'static>>,
    /// Where questions go about what mirrors hold.
    pub doubts: Arc<Doubts>,
    /// What time it is.
    pub clock: Clock,
}

/// One instance as requests see it. A reload makes a new one.
#[derive(Debug)]
pub struct Site {
    pub(super) makings: Makings,
    /// The prefix as links have it.
    pub(super) own_prefix: String,
    pub(super) ranker: Ranker,
    /// The descriptions that redirects link to.
    pub(super) linked: Vec<format::Kind>,
    fallback_counts: Vec<Arc<MirrorCounts>>,
    missing: Missing,
    pub(super) threads: Threads,
    /// Files of the public tree that are being sent.
    pub(super) sending: Sending,
    /// Long lists take their time; those who ask for many at once must not take the threads from those who want files.
    listers: Threads,
    pub(super) pages: Room,
    mirror_pages: Option<Pages>,
}

/// A request, as far as it is understood.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its head. The method is GET or HEAD.
    pub request: &'a Parts,
    /// The path below the instance's prefix.
    pub path: &'a TreePath<'a>,
    /// Whether it ends with a slash.
    pub is_directory: bool,
    /// Who asks.
    pub client: Client,
    /// What the query wishes.
    pub wishes: Wishes<'a>,
}

/// How many directories are read at once: as many as a disk has use for.
const MAX_LISTERS: usize = 4;

impl Site {
    /// A site.
    #[must_use]
    pub fn new(makings: Makings) -> Self {
        let ranker = Ranker::new(&makings.snapshot, &makings.counts, makings.answers.ip_version);
        let fallback_counts = makings.fallbacks.counts(&makings.counts);
        let prefix = makings.route.prefix();
        let mirror_pages = makings.mirror_pages.clone().map(|inventory| Pages::new(inventory, prefix.clone()));
        Self {
            own_prefix: prefix.encoded(),
            linked: makings.describe.linked(),
            makings,
            ranker,
            fallback_counts,
            missing: Missing::default(),
            threads: Threads::default(),
            sending: Sending::default(),
            listers: Threads::new(MAX_LISTERS),
            pages: Room::default(),
            mirror_pages,
        }
    }

    /// The instance's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.makings.name
    }

    /// What it answers to.
    #[must_use]
    pub const fn route(&self) -> &Route {
        &self.makings.route
    }

    /// Its trees.
    #[must_use]
    pub const fn trees(&self) -> &Trees {
        &self.makings.trees
    }

    /// What it counts.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.makings.counts
    }

    /// What it knows.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.makings.snapshot
    }

    /// What time it is there.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.makings.clock.now()
    }

    /// Whether a peer is one of its trusted proxies.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.makings.trust.trusts(peer)
    }

    /// Who asks.
    #[must_use]
    pub fn client(&self, from: Origin, lines: &(impl Lines + ?Sized)) -> Client {
        self.makings.trust.client(from.address, from.scheme, lines)
    }

    /// Answers a request for a path of this instance.
    pub async fn answer(&self, asked: Asked<'_>) -> Response<Body> {
        let asked = match asked.request.uri.query() {
            Some(query) if self.makings.answers.arguments => match self.heed(asked, query) {
                Ok(asked) => asked,
                Err(detail) => return self.error(asked, Other::BadRequest, detail),
            },
            _ => asked,
        };
        let now = self.makings.clock.now();
        if asked.path.is_root()
            && let (Some(pages), Some(query)) = (&self.mirror_pages, asked.request.uri.query())
            && let Some(wanted) = Wanted::parse(query)
        {
            return self.tell_of_mirrors(asked, pages, &wanted, now).await;
        }
        let standing = self.standing(asked).await;
        if let Some(wanted) = self.wanted_list(asked, standing) {
            // Apart, so that what is kept of every other request while it waits stays small.
            return Box::pin(self.packages(asked, &wanted, now)).await;
        }
        if let Some(wanted) = self.wants_description(asked, standing)
            && let Some(description) = Box::pin(self.describe(asked, &wanted, standing, now)).await
        {
            return description;
        }
        let errand = asked.into();
        let decision = self.decide_errand(standing, &errand, now);
        self.tell_of(&errand, &standing);
        if standing == Standing::Absent && !asked.is_directory {
            self.missing.tell(&self.makings.name, asked.path, now);
        }
        self.makings.doubts.take(&errand, &standing, &decision, now);
        if asked.wishes.trace && self.may_trace(asked.client) {
            self.makings.counts.other(Other::Trace);
            let mut explanation = self.explain(asked, standing, &decision);
            explanation.keep_public();
            return response::trace(&explanation);
        }
        match decision {
            Decision::Redirect { ranking, entry } => {
                let size = range::wanted_bytes(&asked.request.method, &asked.request.headers, entry.size);
                self.count_redirect(&ranking, size);
                let has_signature = || self.has_signature(errand.path);
                self.redirect(&errand, &ranking, (&entry, has_signature), now).response()
            }
            Decision::Fallback { to, size } => self.fall_back(asked, to, size, now),
            Decision::Local(Why::NotPublic) if let Some(detail) = self.objection(asked, now) => {
                self.error(asked, Other::Forbidden, detail)
            }
            Decision::Local(why) => self.serve(asked, standing, why, now).await,
            Decision::Index => self.list(asked).await,
            Decision::NotFound => self.not_found(asked),
            Decision::Gone => self.gone(asked),
            Decision::Unavailable => self.unavailable(asked),
        }
    }

    fn fall_back(&self, asked: Asked<'_>, to: usize, size: u64, now: Timestamp) -> Response<Body> {
        let Makings { fallbacks, counts, .. } = &self.makings;
        let Some(mut response) = fallbacks.redirect(to, asked.client, asked.path) else { return self.unavailable(asked) };
        if let Some(fallback) = self.fallback_counts.get(to) {
            counts.fell_back(range::wanted_bytes(&asked.request.method, &asked.request.headers, size), fallback);
        }
        if let (Some(fallback), true) = (fallbacks.list().get(to), self.makings.answers.mirrorbrain_headers) {
            response::add_mirrorbrain_headers(&mut response, fallback.name.as_str(), Class::World);
        }
        self.stamp(&mut response, now);
        response
    }

    fn stamp(&self, response: &mut Response<Body>, now: Timestamp) {
        if let Some(stamp) = &self.makings.stamp {
            response::stamp(response, stamp, now.as_second());
        }
    }

    async fn serve(&self, asked: Asked<'_>, standing: Standing, why: Why, now: Timestamp) -> Response<Body> {
        let Makings { trees, counts, .. } = &self.makings;
        let root = if why == Why::NotPublic { trees.application.as_ref() } else { Some(&trees.public) };
        let Some(root) = root.cloned() else { return self.not_found(asked) };
        // It was just looked at, so that the kernel has in memory what opening it takes.
        let is_at_hand = matches!(standing, Standing::Public { as_recorded: true, .. }) && !root.is_remote();
        let opened = if is_at_hand {
            root.open_file(asked.path)
        } else {
            let path = asked.path.clone().into_owned();
            self.threads.run_in_time(move || root.open_file(&path)).await.unwrap_or(Err(LookError::Away))
        };
        match opened {
            Ok(opened) => {
                counts.local(why);
                let head = (&asked.request.method, &asked.request.headers);
                let digest = match standing {
                    Standing::Public { entry, .. } if entry.matches(&opened.fingerprint) => entry.sha256,
                    _ => None,
                };
                local::answer(opened, asked.path, (why, digest), head, (counts, &self.threads, &self.sending), now)
            }
            Err(LookError::Absent | LookError::Forbidden) => self.not_found(asked),
            Err(error @ (LookError::Away | LookError::Other(_))) => {
                self.tell_unreadable(asked.path, &error);
                self.unavailable(asked)
            }
        }
    }

    /// Why a client may not have a file that only the application tree has.
    pub(super) fn objection(&self, asked: Asked<'_>, now: Timestamp) -> Option<&'static str> {
        let Access::Signed(key) = &self.makings.application_access else { return None };
        let query = asked.request.uri.query().unwrap_or("");
        match key.judge(self.route().prefix(), asked.path, query, now) {
            Verdict::Good => None,
            Verdict::Expired => Some("This link has expired. Please get a new one where you found it."),
            Verdict::Unsigned => Some("This file is not public. It can be had by a signed link only."),
        }
    }

    async fn list(&self, asked: Asked<'_>) -> Response<Body> {
        if !self.makings.index {
            return self.not_found(asked);
        }
        if !asked.is_directory {
            self.makings.counts.other(Other::Slash);
            return response::slash(
                &format!("{}{}/", self.route().prefix().encoded(), asked.path.encoded()).replace("//", "/"),
            );
        }
        let Makings { trees, snapshot, locator, .. } = &self.makings;
        let lister = Lister {
            trees: trees.clone(),
            snapshot: Arc::clone(snapshot),
            prefix: self.route().prefix().clone(),
            credit: locator.credit(),
        };
        let (path, form) = (asked.path.clone().into_owned(), response::index_form(&asked.request.headers));
        let list = move || lister.list(&path).map(|page| page.render(form));
        match self.listers.run_in_time(list).await.unwrap_or(Err(LookError::Away)) {
            Ok(text) => {
                let Some(response) = response::index(text, form, &self.pages) else { return self.unavailable(asked) };
                self.makings.counts.other(Other::Index);
                response
            }
            Err(LookError::Absent | LookError::Forbidden) => self.not_found(asked),
            Err(error @ (LookError::Away | LookError::Other(_))) => {
                self.tell_unreadable(asked.path, &error);
                self.unavailable(asked)
            }
        }
    }

    /// A page on mirrors.
    async fn tell_of_mirrors(&self, asked: Asked<'_>, pages: &Pages, wanted: &Wanted, now: Timestamp) -> Response<Body> {
        let form = response::index_form(&asked.request.headers);
        match pages.page(wanted, form, now, self.makings.locator.credit()).await {
            Ok((text, form)) => {
                self.makings.counts.other(Other::Index);
                response::mirrors(text, form)
            }
            Err(Refusal::NoSuchMirror) => self.error(asked, Other::NotFound, "There is no mirror of this name."),
            Err(Refusal::Unavailable) => self.error(
                asked,
                Other::Unavailable,
                "The history of the mirrors can't be read right now. Please try again in a moment.",
            ),
        }
    }

    /// Says in the log why a client does not get what is there.
    pub(super) fn tell_unreadable(&self, path: &TreePath<'_>, error: &LookError) {
        self.missing.tell_unreadable(&self.makings.name, path, error, self.now());
    }

    pub(super) fn gone(&self, asked: Asked<'_>) -> Response<Body> {
        self.error(asked, Other::Gone, "This file was withdrawn by the administrators of this site.")
    }

    pub(super) fn not_found(&self, asked: Asked<'_>) -> Response<Body> {
        self.error(asked, Other::NotFound, "There is no such file here.")
    }

    pub(super) fn unavailable(&self, asked: Asked<'_>) -> Response<Body> {
        self.error(asked, Other::Unavailable, "The files are not available right now. Please try again in a moment.")
    }

    pub(super) fn error(&self, asked: Asked<'_>, other: Other, detail: &str) -> Response<Body> {
        self.makings.counts.other(other);
        let status = match other {
            Other::BadRequest => StatusCode::BAD_REQUEST,
            Other::Forbidden => StatusCode::FORBIDDEN,
            Other::Gone => StatusCode::GONE,
            Other::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NOT_FOUND,
        };
        response::error(status, detail, &asked.request.headers)
    }
}
