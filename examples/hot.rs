//! The functions that every redirect takes, and the one that every page of a scan takes, each called a number of times, so that
//! `scripts/instructions` can count what they cost under callgrind. It looks for the functions of `measured` by their names.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::HeaderMap;
use jiff::Timestamp;
use redirector::config::Config;
use redirector::decide::Rules;
use redirector::inventory::{Holdings, MirrorSet, MirrorState, Snapshot};
use redirector::model::{
    Abilities, ByteSize, FileRecord, FileState, Fingerprint, Health, Place, Point, RequestPath, Span, TreePath, VersionNumber,
};
use redirector::selection::{Selector, Tiers};
use roaring::RoaringBitmap;

/// How often each function of a request is called.
const CALLS: u32 = 100;
/// How often a page is read.
const PAGES: u32 = 2;
const FILES: u32 = 2000;
const MIRRORS: usize = 60;
/// Real cities with coordinates.
const CITIES: &str = include_str!("../tests/data/mirrors.tsv");
const PAGE: &[u8] = include_bytes!("../tests/data/listings/many/nginx-html.html");

/// What is counted. Each calls one function, and is called from `main` only.
mod measured {
    use std::hint::black_box;
    use std::net::IpAddr;

    use http::header::HeaderMap;
    use redirector::decide::{self, Decision, Request, Rules, Standing};
    use redirector::http::Trust;
    use redirector::http::hints::Hints;
    use redirector::http::redirect::Redirect;
    use redirector::inventory::{FileEntry, MirrorSet, Snapshot};
    use redirector::model::{ClientNetwork, RequestPath, Scheme, TreePath};
    use redirector::scan::listing::{self, Base};
    use redirector::selection::{Ranking, Tiers};

    #[inline(never)]
    pub(super) fn path(raw: &str) -> RequestPath<'_> {
        RequestPath::parse(black_box(raw)).expect("a path")
    }

    #[inline(never)]
    pub(super) fn client(trust: &Trust, headers: &HeaderMap) -> IpAddr {
        trust.client(IpAddr::from([127, 0, 0, 1]), Scheme::Http, black_box(headers)).address
    }

    #[inline(never)]
    pub(super) fn lookup(snapshot: &Snapshot, path: &TreePath<'_>) -> FileEntry {
        snapshot.file(black_box(path)).expect("it is there")
    }

    #[inline(never)]
    pub(super) fn decide(entry: FileEntry, rules: &Rules, path: &TreePath<'_>, address: IpAddr) -> Decision<(), ()> {
        let request = Request { path, address, user_agent: Some(b"Wget/1.21.3"), media_type: |_| "application/x-iso" };
        let standing = black_box(Standing::Public { entry, as_recorded: true });
        decide::decide(standing, rules, &request, 1_800_000_000, (|_: &FileEntry| Some(()), || None))
    }

    #[inline(never)]
    pub(super) fn rank(tiers: &Tiers, address: IpAddr, mirrors: &MirrorSet, entry: &FileEntry) -> Ranking {
        let usable = |index: usize| mirrors.offer(index).is_some_and(|offer| offer.holds(entry.version));
        tiers.draw(ClientNetwork::of(black_box(address)), usable, 5)
    }

    #[inline(never)]
    pub(super) fn respond(ranking: &Ranking, mirrors: &MirrorSet, path: &TreePath<'_>) -> usize {
        let path = black_box(path);
        let (hints, scheme) = (Hints::default(), Scheme::Http);
        let mut lines = Vec::new();
        Redirect { ranking, mirrors, scheme, path, hints, stamp: None, mirrorbrain: false }.lines_into(&mut lines);
        black_box(lines).len()
    }

    #[inline(never)]
    pub(super) fn listing(page: &[u8], base: &Base) -> usize {
        listing::parse(black_box(page), None, base).expect("a listing").entries.len()
    }
}

fn main() -> anyhow::Result<()> {
    let mirrors = mirrors()?;
    let tiers = tiers(&mirrors);
    let paths: Vec<String> =
        (0..FILES).map(|n| format!("pool/main/p/package-{n:05}/package-{n:05}_1.{n}-1_amd64.deb")).collect();
    let snapshot = snapshot(&paths, &mirrors)?;
    let mirrors = snapshot.mirrors();
    let trust = redirector::http::Trust { proxies: vec!["127.0.0.0/8".parse()?], ..Default::default() };
    let rules = Rules::new(Span(Duration::from_secs(1800)), ByteSize(0));
    let base = redirector::scan::listing::Base::parse("http://127.0.0.1/many/").context("a URL")?;
    for (number, text) in (0..CALLS).zip(paths.iter().cycle()) {
        let address = IpAddr::from((number.wrapping_mul(0x9e37_79b9) | 1).to_be_bytes());
        let headers = [
            (http::header::HOST, "download.example".to_owned()),
            (http::header::USER_AGENT, "Wget/1.21.3".to_owned()),
            (http::header::ACCEPT, "*/*".to_owned()),
            (http::HeaderName::from_static("x-forwarded-for"), address.to_string()),
        ];
        let headers = headers.into_iter().map(|(name, value)| Ok((name, value.try_into()?)));
        measured::client(&trust, &headers.collect::<anyhow::Result<HeaderMap>>()?);
        let raw = format!("/{text}");
        let path: RequestPath<'_> = measured::path(&raw);
        let entry = measured::lookup(&snapshot, path.whole());
        measured::decide(entry, &rules, path.whole(), address);
        let ranking = measured::rank(&tiers, address, &mirrors, &entry);
        measured::respond(&ranking, &mirrors, path.whole());
    }
    for _ in 0..PAGES {
        measured::listing(PAGE, &base);
    }
    Ok(())
}

fn mirrors() -> anyhow::Result<MirrorSet> {
    let cities = CITIES.lines().filter(|line| !line.starts_with('#')).skip(1).cycle().take(MIRRORS);
    let mut text = "[tree]\npublic = \"/\"\n".to_owned();
    for (number, line) in cities.enumerate() {
        let [name, _, country, _, latitude, longitude] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        text += &format!(
            "[[mirror]]\nname = \"{name}-{number}\"\nhttp = \"http://{name}-{number}.example/debian/\"\ncountry = \"{country}\"\nlatitude = {latitude}\nlongitude = {longitude}\n"
        );
    }
    let config = Config::parse(Path::new("hot.toml"), text).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let holdings = Holdings::from(&(0..FILES).collect::<RoaringBitmap>());
    let members = config.mirrors(&|_| None).into_iter().map(|mirror| MirrorState {
        mirror,
        holdings: holdings.clone(),
        unseen: None,
        health: Health::Up,
        abilities: Abilities::default(),
    });
    Ok(MirrorSet::new(1, members.collect()))
}

fn tiers(set: &MirrorSet) -> Tiers {
    let mirrors: Vec<_> = set.members.iter().map(|member| Arc::clone(&member.mirror)).collect();
    let place = Place { country: "de".parse().ok(), continent: "EU".parse().ok(), point: Point::new(52.5, 13.4), asn: None };
    Selector::new(&mirrors).tiers(&place, IpAddr::from([192, 0, 2, 1]))
}

fn snapshot(paths: &[String], mirrors: &MirrorSet) -> anyhow::Result<Snapshot> {
    let fingerprint = Fingerprint { size: 1_000_000, mtime_ns: 1, ctime_ns: 1, inode: 1 };
    let record = |(number, path): (u32, &String)| -> anyhow::Result<FileRecord> {
        Ok(FileRecord {
            path: TreePath::parse(path.clone().into_bytes())?,
            version: VersionNumber(number),
            fingerprint,
            sha256: None,
            version_mtime_ns: 1,
            exact_time: false,
            public_since: Timestamp::UNIX_EPOCH,
            state: FileState::Settled,
        })
    };
    let records = (0..).zip(paths).map(record).collect::<anyhow::Result<Vec<_>>>()?;
    let mirrors = MirrorSet::new(mirrors.generation, mirrors.members.to_vec());
    Ok(Snapshot::for_test(records, mirrors, Vec::new()))
}
