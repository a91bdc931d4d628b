//! The first questions to a mirror: whether its word can be relied on at all, and in which way it can be listed.

use super::answer::{Answer, Failure};
use super::bucket::{self, Door};
use super::findings::{Finding, Word};
use super::ground::Ground;
use super::http::{Unread, parse};
use super::listing::{Family, Kind, Listing};
use super::session::Session;
use crate::model::TreePath;

/// How a mirror can be listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// By its listings; with this query, if one is needed to see sizes.
    Listing(Option<&'static str>),
    /// Whole, as a bucket.
    Bucket(Door),
    /// File by file, because its base shows no listing.
    Heads(String),
}

/// Finds out how a mirror can be listed.
///
/// # Errors
/// When it can't be scanned, with the reason for people.
pub(super) async fn open(ground: &Ground<'_>, session: &Session) -> Result<Opening, String> {
    let root = TreePath::root();
    let read = match session.page(&root, None).await {
        Ok(page) => parse(page).await,
        Err(failure) => Err(Unread::Failure(failure)),
    };
    let opening = match read {
        Ok(listing) if listing.family == Family::S3 => {
            by_bucket(session, "the base page is a bucket's, which is empty".to_owned()).await
        }
        Ok(listing) if is_strange(ground, &listing) => {
            by_bucket(session, "the base page shows nothing of ours".to_owned()).await
        }
        Ok(listing) if lacks_sizes(&listing) => Opening::Listing(better_form(session).await),
        Ok(_) => Opening::Listing(None),
        Err(Unread::NoListing(error)) => by_bucket(session, format!("the base page is {error}")).await,
        Err(unread) if unread.shows_no_listing() || is_absent(&unread) => {
            by_bucket(session, format!("the base page: {unread}")).await
        }
        Err(unread) => return Err(unread.to_string()),
    };
    check_refusal(session).await?;
    Ok(opening)
}

/// What shows no listing may be a bucket, which lists in a way of its own; else its files are asked for one by one, for that reason.
async fn by_bucket(session: &Session, why: String) -> Opening {
    bucket::find(session).await.map_or(Opening::Heads(why), Opening::Bucket)
}

/// Whether the server says that there is nothing at the base: some that list nothing say so of every directory.
fn is_absent(unread: &Unread) -> bool {
    matches!(unread, Unread::Failure(Failure::Status(status)) if matches!(status.as_u16(), 404 | 410))
}

/// A name that no tree has: it says what it is for, for those who read their logs.
const IMPOSSIBLE: &[u8] = b"this-name-does-not-exist-redirector-asks-whether-you-say-so-5d1e0c2f.none";

/// Checks that the server says so when it has no file. One that answers 200 for everything (a login page, a parked domain, a
/// friendly error page) can't be believed about any file.
///
/// # Errors
/// When it is one of those.
pub(super) async fn check_refusal(session: &Session) -> Result<(), String> {
    let Ok(path) = TreePath::parse(IMPOSSIBLE) else { return Ok(()) };
    match session.look(&path).await {
        Answer::Copy(_) => {
            Err("the server answers 200 for a file that can't exist, so that its answers prove nothing".to_owned())
        }
        Answer::Unclear(
            failure @ (Failure::LeftAlone | Failure::GivenUp | Failure::Timeout | Failure::Untrusted(_) | Failure::Connect(_)),
        ) => Err(failure.to_string()),
        Answer::Missing | Answer::Unclear(_) => Ok(()),
    }
}

/// Whether a page of unknown make shows nothing of ours: any page with links looks like that.
fn is_strange(ground: &Ground<'_>, listing: &Listing) -> bool {
    let is_ours = |name: &[u8]| {
        TreePath::root().join(name).is_ok_and(|path| ground.sought(&path).is_some() || ground.plan.has_directory(&path))
    };
    listing.family == Family::Generic && !listing.entries.iter().any(|entry| is_ours(&entry.name))
}

/// Whether this is Apache without sizes and times: a query may bring them.
fn lacks_sizes(listing: &Listing) -> bool {
    let bare = |entry: &super::listing::Entry| entry.size.is_none() && entry.time.is_none();
    listing.family == Family::Apache && !listing.entries.is_empty() && listing.entries.iter().all(bare)
}

/// Asks Apache for the form with sizes and times (`mod_autoindex`, "Autoindex Request Query Arguments"), where the administrator
/// has not forbidden that.
async fn better_form(session: &Session) -> Option<&'static str> {
    const FANCY: &str = "F=1";
    let page = session.page(&TreePath::root(), Some(FANCY)).await.ok()?;
    let listing = parse(page).await.ok()?;
    let shows_times =
        listing.entries.iter().any(|entry| entry.time.is_some() || entry.kind == Kind::File && entry.size.is_some());
    (listing.complete && shows_times).then_some(FANCY)
}

/// Whether a finding is the server's word that a version is not there.
pub(super) const fn is_disproof(finding: &Finding) -> bool {
    matches!(finding.word, Word::Missing | Word::Server(super::matching::Verdict::Mismatched))
}
