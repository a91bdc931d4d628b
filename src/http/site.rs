//! One instance as requests see it, and one request of it from end to end.
//!
//! A request is answered from the snapshot and one look at the file, without waiting, wherever a mirror may take it. All
//! else opens files, on threads that may wait.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::RANGE;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::body::Body;
use super::client::{Client, Trust};
use super::hints::Hints;
use super::listener::Origin;
use super::look::{Seen, see};
use super::metrics::{Counts, Other};
use super::mirrors_page::{Pages, Refusal, Wanted};
use super::missing::Missing;
use super::page::{Index, Room, Row};
use super::range::{self, Wanted as WantedPart};
use super::ranker::{Portion, Ranked, Ranker};
use super::route::Route;
use super::threads::Threads;
use super::{local, response};
use crate::clock::Clock;
use crate::decide::{self, Decision, Rules, Standing, Why};
use crate::geo::{Credit, Locator};
use crate::inventory::{FileEntry, Inventory, Snapshot};
use crate::model::{Prefix, TreePath};
use crate::tree::{ApplicationAccess, Item, Kind, LookError, Trees};

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
    pub application_access: ApplicationAccess,
    /// Whether directories are listed.
    pub index: bool,
    /// When mirrors may be used.
    pub rules: Rules,
    /// What keeps the history of mirrors, for the pages on them; `None`: there are no such pages.
    pub mirror_pages: Option<Inventory>,
    /// What is known of files and mirrors.
    pub snapshot: Arc<Snapshot>,
    /// Where clients are.
    pub locator: Arc<Locator>,
    /// What is counted; the same before and after a reload.
    pub counts: Arc<Counts>,
    /// Where paths go of files that are not as the inventory says, to be looked at.
    pub nudge: mpsc::Sender<TreePath<'static>>,
    /// Where questions go about what mirrors hold.
    pub hints: Arc<Hints>,
    /// What time it is.
    pub clock: Clock,
}

/// One instance as requests see it. A reload makes a new one.
#[derive(Debug)]
pub struct Site {
    makings: Makings,
    ranker: Ranker,
    missing: Missing,
    threads: Threads,
    /// Long lists take their time; those who ask for many at once must not take the threads from those who want files.
    listers: Threads,
    pages: Room,
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
}

/// The most entries of a directory that are listed.
const MAX_ENTRIES: usize = 10_000;
/// How many directories are read at once: as many as a disk has use for.
const MAX_LISTERS: usize = 4;

impl Site {
    /// A site.
    #[must_use]
    pub fn new(makings: Makings) -> Self {
        let ranker = Ranker::new(&makings.snapshot, &makings.counts);
        let prefix = makings.route.prefix();
        let mirror_pages = makings.mirror_pages.clone().map(|inventory| Pages::new(inventory, prefix.clone()));
        Self {
            makings,
            ranker,
            missing: Missing::default(),
            threads: Threads::default(),
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
    pub fn client(&self, from: Origin, request: &Parts) -> Client {
        self.makings.trust.client(from.address, from.scheme, &request.headers)
    }

    /// Answers a request for a path of this instance.
    pub async fn answer(&self, asked: Asked<'_>) -> Response<Body> {
        let now = self.makings.clock.now();
        if asked.path.is_root()
            && let (Some(pages), Some(query)) = (&self.mirror_pages, asked.request.uri.query())
            && let Some(wanted) = Wanted::parse(query)
        {
            return self.tell_of_mirrors(asked, pages, &wanted, now).await;
        }
        let standing = self.standing(asked).await;
        let decision = decide::decide(standing, self.makings.rules, now.as_second(), |entry| self.rank(asked, entry));
        tracing::debug!(
            instance = self.makings.name,
            path = %asked.path,
            client = %asked.client.address,
            standing = ?standing,
            "answering"
        );
        if standing == Standing::Absent && !asked.is_directory {
            self.missing.tell(&self.makings.name, asked.path, now);
        }
        self.makings.hints.take(asked, &standing, &decision, now);
        match decision {
            Decision::Redirect { ranking, entry } => self.redirect(asked, &ranking, &entry),
            Decision::Local(why) => self.serve(asked, why, now).await,
            Decision::Index => self.list(asked).await,
            Decision::NotFound => self.not_found(asked),
            Decision::Gone => self.error(asked, Other::Gone, "This file was withdrawn by the administrators of this site."),
            Decision::Unavailable => self.unavailable(asked),
        }
    }

    /// How the path stands: by its name, the snapshot and the trees.
    pub async fn standing(&self, asked: Asked<'_>) -> Standing {
        match self.standing_by_a_glance(asked) {
            Some(standing) => standing,
            None => self.standing_by_a_look(asked).await,
        }
    }

    /// What the names alone say: whether nobody is shown this, or it is on hold.
    fn standing_by_name(&self, asked: Asked<'_>) -> Option<Standing> {
        let Makings { trees, snapshot, .. } = &self.makings;
        let hidden =
            if asked.is_directory { trees.hidden.matches_directory(asked.path) } else { trees.hidden.matches(asked.path) };
        match () {
            () if hidden => Some(Standing::Hidden),
            () if snapshot.is_held(asked.path) => Some(Standing::Held),
            () => None,
        }
    }

    /// How the path stands, where that can be told without waiting: by memory and one call to the local file system.
    fn standing_by_a_glance(&self, asked: Asked<'_>) -> Option<Standing> {
        let Makings { trees, snapshot, .. } = &self.makings;
        if let Some(standing) = self.standing_by_name(asked) {
            return Some(standing);
        }
        if asked.is_directory {
            return None;
        }
        let entry = snapshot.file(asked.path)?;
        if trees.public.is_away() {
            return Some(Standing::Away);
        }
        // A remote file system may let us wait; there the index notices changes later.
        let as_recorded = trees.public.is_remote() || entry.matches(&trees.public.glance(asked.path)?);
        if !as_recorded {
            self.nudge(asked.path);
        }
        Some(Standing::Public { entry, as_recorded })
    }

    async fn standing_by_a_look(&self, asked: Asked<'_>) -> Standing {
        let Makings { trees, snapshot, application_access, .. } = &self.makings;
        let application = trees.application.clone().filter(|_| *application_access == ApplicationAccess::Open);
        let (public, path, is_directory) = (trees.public.clone(), asked.path.clone().into_owned(), asked.is_directory);
        let look = move || see(&public, application.as_ref(), &path, is_directory);
        let seen = self.threads.run_in_time(look).await.unwrap_or(Seen::Away);
        let entry = if asked.is_directory { None } else { snapshot.file(asked.path) };
        let standing = match (seen, entry) {
            (Seen::Public(seen), Some(entry)) => Standing::Public { entry, as_recorded: entry.matches(&seen) },
            (Seen::Public(_), None) => Standing::NotIndexed,
            // Its name shows only now that it is one of those which hide directories.
            (Seen::Directory, _) if trees.hidden.matches_directory(asked.path) => Standing::Hidden,
            (Seen::Directory, _) => Standing::Directory,
            (Seen::NotPublic, _) => Standing::NotPublic,
            (Seen::Nothing, _) => Standing::Absent,
            (Seen::Away, _) => Standing::Away,
        };
        let is_as_known = match standing {
            Standing::Public { as_recorded, .. } => as_recorded,
            Standing::Away => true,
            Standing::NotIndexed => false,
            _ => entry.is_none(),
        };
        if !is_as_known {
            self.nudge(asked.path);
        }
        standing
    }

    /// Asks the index to look at a path. When it has its hands full, it finds out later by itself.
    fn nudge(&self, path: &TreePath<'_>) {
        self.makings.nudge.try_send(path.clone().into_owned()).ok();
    }

    fn rank(&self, asked: Asked<'_>, entry: &FileEntry) -> Option<Ranked> {
        let Makings { snapshot, counts, locator, .. } = &self.makings;
        let place = locator.locate(asked.client.address);
        let is_part = asked.request.method == Method::GET && asked.request.headers.contains_key(RANGE);
        let portion = if is_part { Portion::Part } else { Portion::Whole };
        self.ranker.rank((snapshot, counts), (asked.client, &place), (entry, portion), response::MAX_LINES)
    }

    fn redirect(&self, asked: Asked<'_>, ranked: &Ranked, entry: &FileEntry) -> Response<Body> {
        if let (Some(best), Some(counts)) = (ranked.ranking.first(), ranked.counts_of_best()) {
            self.makings.counts.redirected(best.class, wanted_bytes(asked.request, entry.size), counts);
        }
        response::redirect(&ranked.ranking, &ranked.mirrors, asked.client.scheme, asked.path)
    }

    async fn serve(&self, asked: Asked<'_>, why: Why, now: Timestamp) -> Response<Body> {
        let Makings { trees, counts, .. } = &self.makings;
        let root = if why == Why::NotPublic { trees.application.as_ref() } else { Some(&trees.public) };
        let Some(root) = root.cloned() else { return self.not_found(asked) };
        let path = asked.path.clone().into_owned();
        match self.threads.run_in_time(move || root.open_file(&path)).await.unwrap_or(Err(LookError::Away)) {
            Ok(opened) => {
                counts.local(why);
                let head = (&asked.request.method, &asked.request.headers);
                local::answer(opened, asked.path, why, head, (counts, &self.threads), now)
            }
            Err(LookError::Absent | LookError::Forbidden) => self.not_found(asked),
            Err(LookError::Away | LookError::Other(_)) => self.unavailable(asked),
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
            Err(LookError::Away | LookError::Other(_)) => self.unavailable(asked),
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

    fn not_found(&self, asked: Asked<'_>) -> Response<Body> {
        self.error(asked, Other::NotFound, "There is no such file here.")
    }

    fn unavailable(&self, asked: Asked<'_>) -> Response<Body> {
        self.error(asked, Other::Unavailable, "The files are not available right now. Please try again in a moment.")
    }

    fn error(&self, asked: Asked<'_>, other: Other, detail: &str) -> Response<Body> {
        self.makings.counts.other(other);
        let status = match other {
            Other::Gone => StatusCode::GONE,
            Other::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NOT_FOUND,
        };
        response::error(status, detail, &asked.request.headers)
    }
}

/// What the list of a directory is made of. It is made where waiting harms nobody: a long one takes its time.
struct Lister {
    trees: Trees,
    snapshot: Arc<Snapshot>,
    prefix: Prefix,
    credit: Option<Credit>,
}

impl Lister {
    fn list(&self, directory: &TreePath<'_>) -> Result<Index, LookError> {
        let Trees { public, hidden, .. } = &self.trees;
        let is_shown = |path: &TreePath<'_>| !hidden.matches(path) && !self.snapshot.is_held(path);
        let mut items = public.list(directory, MAX_ENTRIES + 1, is_shown)?;
        let truncated = items.len() > MAX_ENTRIES;
        items.truncate(MAX_ENTRIES);
        let slash = if directory.is_root() { "" } else { "/" };
        Ok(Index {
            path: format!("{}/{directory}{slash}", self.prefix).replace("//", "/"),
            has_parent: !directory.is_root(),
            rows: items.iter().filter_map(|item| self.row(directory, item)).collect(),
            truncated,
            credit: self.credit,
        })
    }

    /// An entry of a directory; `None` for what nobody is shown.
    fn row(&self, directory: &TreePath<'_>, item: &Item) -> Option<Row> {
        let Self { trees, snapshot, .. } = self;
        let path = directory.join(&item.name).ok()?;
        let is_directory = item.kind == Kind::Directory;
        let hidden = if is_directory { trees.hidden.matches_directory(&path) } else { trees.hidden.matches(&path) };
        if hidden || snapshot.is_held(&path) {
            return None;
        }
        let name = TreePath::parse(&item.name[..]).ok()?;
        Some(Row {
            name: name.to_string(),
            href: name.encoded() + if is_directory { "/" } else { "" },
            is_directory,
            size: (!is_directory).then_some(item.size),
            modified: Timestamp::from_nanosecond(item.mtime_ns.into()).unwrap_or_default(),
        })
    }
}

/// How many bytes the client will fetch of a file, as far as its request tells.
fn wanted_bytes(request: &Parts, size: u64) -> u64 {
    if request.method == Method::HEAD {
        return 0;
    }
    match range::wanted(&request.headers, size) {
        WantedPart::Whole => size,
        WantedPart::Parts(parts) => parts.iter().map(|part| part.end - part.start).sum(),
        WantedPart::Nothing => 0,
    }
}
