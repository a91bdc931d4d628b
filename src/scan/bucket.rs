//! The lister for buckets (S3's ListObjectsV2, or ListObjects): all that lies below a prefix comes page by page, a thousand files
//! each, without a question for each directory.
//!
//! A bucket lists at its own root, which may lie above the mirror's base URL: there, `prefix` names the base.

use std::time::Instant;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::findings::{Extent, Findings, Word};
use super::ground::{Ground, Questions, Sought};
use super::http::Unread;
use super::judge::Sample;
use super::listing::{self, Bucket, Family, Next, Object, Zone};
use super::matching::{Listed, Time, Verdict, judge_listed};
use super::progress::Step;
use super::session::Session;
use crate::model::TreePath;

/// Where a bucket lists, and what of it the mirror is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Door {
    root: Url,
    /// What the keys of the mirror's files begin with: empty, or with a slash at the end.
    prefix: Vec<u8>,
}

/// How a page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    Start,
    Token(String),
    After(Vec<u8>),
}

impl Door {
    /// Where buckets list whose files are below `base`: at the base itself, at the server's root (each bucket has a name of its own),
    /// at the first directory (each bucket is a directory).
    fn candidates(base: &Url) -> Vec<Self> {
        let segments: Vec<&str> = base.path().split('/').filter(|segment| !segment.is_empty()).collect();
        // A base at one of these places names it twice.
        let depths = [Some(segments.len()), Some(0).filter(|_| !segments.is_empty()), Some(1).filter(|_| segments.len() > 1)];
        let door = |depth: usize| {
            let (above, below) = segments.split_at_checked(depth)?;
            let mut root = base.clone();
            root.set_path(&above.iter().fold("/".to_owned(), |path, segment| path + segment + "/"));
            let prefix = below.iter().flat_map(|segment| percent_decode_str(segment).chain([b'/'])).collect();
            Some(Self { root, prefix })
        };
        depths.into_iter().flatten().filter_map(door).collect()
    }

    /// The URL of a page of what lies below `scope`.
    fn page(&self, scope: &TreePath<'_>, from: &From) -> Url {
        let mut prefix = self.prefix.clone();
        prefix.extend_from_slice(scope.as_bytes());
        if !scope.is_root() {
            prefix.push(b'/');
        }
        let encode = |bytes: &[u8]| percent_encoding::percent_encode(bytes, percent_encoding::NON_ALPHANUMERIC).to_string();
        let further = match from {
            From::Start => "list-type=2".to_owned(),
            From::Token(token) => format!("list-type=2&continuation-token={}", encode(token.as_bytes())),
            From::After(key) => format!("marker={}", encode(key)),
        };
        let mut url = self.root.clone();
        url.set_query(Some(&format!("{further}&encoding-type=url&prefix={}", encode(&prefix))));
        url
    }

    /// Gets a page. One that speaks of something else than what was asked for is none.
    async fn get(&self, session: &Session, scope: &TreePath<'_>, from: &From) -> Result<Bucket, Unread> {
        let page = session.page_at(self.page(scope, from)).await?;
        let read = move || listing::bucket(&page.body);
        let bucket = tokio::task::spawn_blocking(read).await.map_err(|_| Unread::Died)??;
        let asked = self.prefix.iter().chain(scope.as_bytes()).chain(if scope.is_root() { None } else { Some(&b'/') });
        if bucket.prefix.iter().ne(asked) {
            return Err(Unread::NoListing(listing::Error::NotAListing("it is another prefix's")));
        }
        Ok(bucket)
    }
}

/// Finds the bucket that the mirror is a part of, if it is one: it has at least one object there.
pub(super) async fn find(session: &Session) -> Option<Door> {
    let base = Url::parse(session.base().as_str()).ok()?;
    for door in Door::candidates(&base) {
        if door.get(session, &TreePath::root(), &From::Start).await.is_ok_and(|bucket| !bucket.objects.is_empty()) {
            return Some(door);
        }
    }
    None
}

/// Lists what is below the plan's scope, until all is seen or `deadline` has come; some of what counts as held by the bucket's word alone
/// goes into the `sample`.
pub(super) async fn list(
    ground: &Ground<'_>,
    session: &Session,
    door: &Door,
    deadline: Instant,
    (findings, sample): (&mut Findings, &mut Sample),
) {
    let scope = ground.plan.scope();
    findings.coverage.set(scope, Extent::Unknown);
    let limits = session.limits();
    let mut from = From::Start;
    loop {
        if session.received() >= limits.total_bytes || findings.entries >= limits.entries {
            return findings.troubles.add(|| "the scan was ended by its limits before the bucket's end".to_owned());
        }
        let Ok(got) = tokio::time::timeout_at(deadline.into(), door.get(session, scope, &from)).await else {
            return findings.troubles.add(|| "the scan took too long".to_owned());
        };
        let bucket = match got {
            Ok(bucket) => bucket,
            Err(unread) => return findings.troubles.add(|| format!("the bucket's listing: {unread}")),
        };
        ground.step(Step::Directory);
        let taken = take(ground, session, door, &bucket.objects, (findings, sample));
        if tokio::time::timeout_at(deadline.into(), taken).await.is_err() {
            return findings.troubles.add(|| "the scan took too long".to_owned());
        }
        let next = match bucket.next {
            Next::End => return findings.coverage.set(scope, Extent::Complete(Family::S3)),
            Next::Token(token) => From::Token(token),
            Next::After(key) => From::After(key),
            Next::Lost => return findings.troubles.add(|| "the bucket's listing is not whole".to_owned()),
        };
        if next == from || bucket.objects.is_empty() {
            return findings.troubles.add(|| "the bucket's listing goes in circles".to_owned());
        }
        from = next;
    }
}

/// Judges the objects of a page: by the listing, and where that leaves doubt, by asking.
async fn take(
    ground: &Ground<'_>,
    session: &Session,
    door: &Door,
    objects: &[Object],
    (findings, sample): (&mut Findings, &mut Sample),
) {
    findings.entries += objects.len() as u64;
    let mut doubts: Vec<(TreePath<'static>, Sought)> = Vec::new();
    let mut judged = 0;
    for object in objects {
        // A key that is no path, or a directory's marker, leads nowhere.
        let below = object.key.strip_prefix(door.prefix.as_slice());
        let Some(path) = below.and_then(|below| TreePath::parse(below.to_vec()).ok()) else { continue };
        let Some(sought) = ground.sought(&path) else {
            ground.unsettled(&path).iter().for_each(|finding| findings.note(finding));
            continue;
        };
        judged += 1;
        match judge_listed(&sought.wanted, &listed(object, session)) {
            Verdict::Doubtful => doubts.push((path, sought)),
            verdict => {
                if verdict == Verdict::Holds {
                    sample.put(&path, sought);
                }
                findings.note(&sought.finding(Word::Listing(verdict)));
            }
        }
    }
    for answered in Questions::new(session, doubts).all().await {
        findings.note(&answered.finding);
    }
    ground.step(Step::Files(judged));
}

/// What a bucket says of an object, as evidence. Times of a mirror whose clock is far off are none.
fn listed(object: &Object, session: &Session) -> Listed {
    let time = object.time.filter(|_| !session.is_clock_off()).map(|time| Time {
        seconds: time.at.as_second(),
        precision: i64::try_from(time.precision.as_secs()).unwrap_or(i64::MAX / 4),
        offset: (time.zone == Zone::Known).then_some(0),
        doubt: 0,
    });
    Listed { size: object.size.map(|size| (size.least, size.most)), time }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(base: &str) -> Vec<(String, String)> {
        let doors = Door::candidates(&Url::parse(base).expect("a URL"));
        doors.into_iter().map(|door| (door.root.into(), String::from_utf8_lossy(&door.prefix).into_owned())).collect()
    }

    #[test]
    fn a_bucket_lists_at_its_own_root() {
        let door = |root: &str, prefix: &str| (root.to_owned(), prefix.to_owned());
        assert_eq!(doors("https://b.s3.example/"), [door("https://b.s3.example/", "")]);
        assert_eq!(
            doors("https://s3.example:8443/b/"),
            [door("https://s3.example:8443/b/", ""), door("https://s3.example:8443/", "b/"),]
        );
        assert_eq!(
            doors("https://s3.example/b/pub/a%20b/"),
            [
                door("https://s3.example/b/pub/a%20b/", ""),
                door("https://s3.example/", "b/pub/a b/"),
                door("https://s3.example/b/", "pub/a b/"),
            ]
        );
    }

    #[test]
    fn pages_are_asked_for_by_token_or_by_key() {
        let door = Door { root: Url::parse("https://s3.example/b/").expect("a URL"), prefix: b"pub/".to_vec() };
        let scope = TreePath::parse(&b"a b"[..]).expect("a path");
        let page = |from| door.page(&scope, &from).query().expect("a query").to_owned();
        assert_eq!(page(From::Start), "list-type=2&encoding-type=url&prefix=pub%2Fa%20b%2F");
        assert!(page(From::Token("1+/=".to_owned())).starts_with("list-type=2&continuation-token=1%2B%2F%3D&"));
        assert!(page(From::After(b"pub/a&b".to_vec())).starts_with("marker=pub%2Fa%26b&"));
    }
}
