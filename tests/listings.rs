//! Recorded listings of real servers against what was really there: every name, kind, size and time.
//!
//! `data/listings/DIRECTORY/SERVER-VARIANT.*` are pages as the servers sent them, `truth.json` says what the directories held.

mod truth;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use redirector::scan::listing::{Base, Entry, Error, Family, Kind, Listing, Zone, parse};
use truth::{Fact, Truth, data, read_truth};

/// What a page of one server and variant is expected to be.
struct Expected {
    /// The file's name without its ending.
    stem: &'static str,
    family: Family,
    sizes: Sizes,
    times: Times,
    /// Whether links are shown as what they lead to, or as themselves.
    links: Links,
    kinds: Kinds,
    /// What the server itself gets wrong in `awkward`.
    faults: &'static [(&'static str, Fault)],
}

/// A server's fault with one name. Each is checked to be there: a parser that does better has to be told from one that does worse.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    /// The file is missing: its link, in which `&`, `:` or `?` is not escaped, leads elsewhere, or there is none.
    Missing,
    /// The name that such a link leads to: no such file.
    Invented,
    /// The name is given, the size and time can't be read.
    Bare,
    /// The size can't be read.
    NoSize,
    /// The time is 1970-01-01, or there is none, for a file that is older.
    Epoch,
    /// What `&amp;` in the name of another file is read as: it comes twice, with two sizes or times, and so with none.
    Twice,
    /// A link to a directory is shown as a file.
    LinkAsFile,
    /// A link to a directory is shown as a directory, others as themselves.
    Followed,
    /// The name is too long for the server, which cuts it short.
    Cut,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Sizes {
    None,
    Exact,
    Rounded,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Times {
    None,
    /// To the day, and only for files that are not of the last half year or the future.
    OldDays,
    Minute,
    Second,
    Utc,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Links {
    Followed,
    Bare,
    /// The time is the link's own, the size its target's.
    Mixed,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kinds {
    Told,
    NotTold,
    /// Directories are told, files may be links to directories.
    Directories,
}

const fn expected(stem: &'static str, family: Family, sizes: Sizes, times: Times) -> Expected {
    Expected { stem, family, sizes, times, links: Links::Followed, kinds: Kinds::Told, faults: NO_FAULTS }
}

const NO_FAULTS: &[(&str, Fault)] = &[];
const EPOCH: &[(&str, Fault)] = &[("mtime-pre1970.txt", Fault::Epoch)];
const APACHE: Expected = expected("", Family::Apache, Sizes::Rounded, Times::Minute);
const FANCY: Expected = Expected { faults: EPOCH, ..expected("", Family::Fancyindex, Sizes::Exact, Times::Minute) };
const NGINX: Expected = Expected { faults: EPOCH, ..expected("", Family::Nginx, Sizes::Exact, Times::Minute) };

/// Every server and variant that was recorded.
const EXPECTED: &[Expected] = &[
    Expected { stem: "apache-debian-default", ..APACHE },
    Expected { stem: "apache-debian-default-tz-newyork", ..APACHE },
    Expected { stem: "apache-debian-sortmtime", faults: EPOCH, ..APACHE },
    expected("apache-fancy-nosize-nomtime", Family::Apache, Sizes::None, Times::None),
    Expected { stem: "apache-fancy-nosort", ..APACHE },
    Expected { stem: "apache-fancy-pre", ..APACHE },
    Expected { stem: "apache-fancy-pre-header-readme", ..APACHE },
    Expected { stem: "apache-fancy-pre-namewidth", ..APACHE },
    Expected { stem: "apache-fancy-pre-sortsize", ..APACHE },
    expected("apache-plain-ul", Family::Apache, Sizes::None, Times::None),
    expected("apache-query-F0", Family::Apache, Sizes::None, Times::None),
    Expected { stem: "apache-query-F1", ..APACHE },
    Expected { stem: "apache-query-F2", ..APACHE },
    Expected { stem: "apache-olddate-description", ..APACHE },
    Expected { stem: "apache-pre-nomtime-description", times: Times::None, ..APACHE },
    Expected { stem: "apache-pre-norules-noicons", ..APACHE },
    Expected { stem: "apache-table", ..APACHE },
    Expected { stem: "apache-table-bare-iconlinks", ..APACHE },
    Expected { stem: "apache-table-header-readme", ..APACHE },
    Expected { stem: "apache-table-xhtml-foldersfirst", ..APACHE },
    Expected { links: Links::Mixed, ..expected("caddy-browse", Family::Caddy, Sizes::Exact, Times::Utc) },
    Expected { links: Links::Mixed, ..expected("caddy-browse-json", Family::CaddyJson, Sizes::Exact, Times::Utc) },
    expected("civetweb", Family::Civetweb, Sizes::Rounded, Times::Minute),
    expected("darkhttpd", Family::Darkhttpd, Sizes::Exact, Times::Minute),
    Expected { kinds: Kinds::NotTold, ..expected("h2o", Family::H2o, Sizes::None, Times::None) },
    Expected {
        // The column is seven digits wide.
        faults: &[("size-10737418240.iso", Fault::Bare), ("size-1099511627776.iso", Fault::NoSize)],
        ..expected("inets", Family::Inets, Sizes::Rounded, Times::Minute)
    },
    Expected { faults: EPOCH, ..expected("jetty9", Family::Jetty, Sizes::Exact, Times::Second) },
    Expected { links: Links::Mixed, ..expected("jetty12", Family::Jetty, Sizes::Exact, Times::Second) },
    expected("lighttpd", Family::Lighttpd, Sizes::Rounded, Times::Second),
    expected("lighttpd-utf8-dotfiles", Family::Lighttpd, Sizes::Rounded, Times::Second),
    Expected {
        links: Links::Bare,
        faults: &[("link-to-dir", Fault::Followed)],
        ..expected("merecat", Family::Merecat, Sizes::Rounded, Times::Minute)
    },
    Expected {
        kinds: Kinds::NotTold,
        links: Links::Bare,
        faults: &[("less<than.txt", Fault::Bare)],
        ..expected("micro-httpd", Family::MiniHttpd, Sizes::Exact, Times::Minute)
    },
    Expected {
        kinds: Kinds::NotTold,
        links: Links::Bare,
        faults: &[("less<than.txt", Fault::Bare)],
        ..expected("mini-httpd", Family::MiniHttpd, Sizes::Exact, Times::Minute)
    },
    Expected { stem: "nginx-fancyindex", ..FANCY },
    Expected { stem: "nginx-fancyindex-sortsize", ..FANCY },
    Expected { stem: "nginx-fancyindex-timefmt", times: Times::Second, ..FANCY },
    Expected { stem: "nginx-fancyindex-header-nopath", sizes: Sizes::Rounded, ..FANCY },
    Expected { stem: "nginx-html", ..NGINX },
    Expected { stem: "nginx-html-addition", ..NGINX },
    Expected { stem: "nginx-html-utf8", ..NGINX },
    Expected { stem: "nginx-html-sizeoff", sizes: Sizes::Rounded, ..NGINX },
    Expected { stem: "nginx-html-localtime-sizeoff", sizes: Sizes::Rounded, ..NGINX },
    Expected { stem: "nginx-json", family: Family::NginxJson, times: Times::Utc, ..NGINX },
    Expected { stem: "nginx-jsonp", family: Family::NginxJson, times: Times::Utc, ..NGINX },
    Expected { stem: "nginx-xml", family: Family::NginxXml, times: Times::Utc, ..NGINX },
    expected("npm-http-server", Family::HttpServer, Sizes::Rounded, Times::Minute),
    Expected {
        kinds: Kinds::Directories,
        faults: &[
            ("a&amp;b.txt", Fault::Missing),
            ("a&lt;b.txt", Fault::Missing),
            ("a<b.txt", Fault::Invented),
            ("link-to-dir", Fault::LinkAsFile),
        ],
        ..expected("npm-serve", Family::Serve, Sizes::None, Times::None)
    },
    Expected {
        kinds: Kinds::Directories,
        links: Links::Bare,
        ..expected("npm-serve-json", Family::Serve, Sizes::Rounded, Times::None)
    },
    expected("npm-serve-index-details", Family::ServeIndex, Sizes::Exact, Times::Second),
    Expected { kinds: Kinds::NotTold, ..expected("npm-serve-index-json", Family::ServeIndex, Sizes::None, Times::None) },
    expected("python-http-server", Family::Python, Sizes::None, Times::None),
    Expected {
        faults: &[("tab\u{2409}name.txt", Fault::Invented)],
        ..expected("rclone-serve", Family::Caddy, Sizes::Exact, Times::Utc)
    },
    Expected {
        faults: &[
            ("a&amp;b.txt", Fault::Missing),
            ("a&b.txt", Fault::Twice),
            ("a&lt;b.txt", Fault::Missing),
            ("a<b.txt", Fault::Invented),
        ],
        ..expected("tomcat", Family::Tomcat, Sizes::Rounded, Times::Utc)
    },
    Expected {
        links: Links::Bare,
        faults: &[
            ("link to space", Fault::Bare),
            ("link-abs-outside", Fault::Bare),
            ("link-to-file", Fault::Bare),
            ("link-to-dir", Fault::Followed),
            (
                "長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前長い名前.txt",
                Fault::Cut,
            ),
        ],
        ..expected("thttpd", Family::Thttpd, Sizes::Exact, Times::OldDays)
    },
    expected("twisted", Family::Twisted, Sizes::Rounded, Times::None),
    Expected {
        faults: &[
            ("a&amp;b.txt", Fault::Missing),
            ("a&b.txt", Fault::Twice),
            ("a&lt;b.txt", Fault::Missing),
            ("a<b.txt", Fault::Invented),
            ("colon:name.txt", Fault::Missing),
            ("http:evil.txt", Fault::Missing),
            ("javascript:alert(1)", Fault::Missing),
        ],
        ..expected("webfs", Family::Webfs, Sizes::Rounded, Times::OldDays)
    },
    Expected {
        faults: &[
            ("a&amp;b.txt", Fault::Missing),
            ("a&b.txt", Fault::Twice),
            ("a&lt;b.txt", Fault::Missing),
            ("a<b.txt", Fault::Invented),
            ("colon:name.txt", Fault::Missing),
            ("http:evil.txt", Fault::Missing),
            ("javascript:alert(1)", Fault::Missing),
            ("question?mark.txt", Fault::Missing),
            ("question", Fault::Invented),
            ("q?C=N;O=D", Fault::Missing),
            ("q", Fault::Invented),
            ("trailing-space.txt ", Fault::Missing),
        ],
        ..expected("webrick", Family::Webrick, Sizes::Exact, Times::Minute)
    },
];

/// The recorded pages of a directory: stem and content.
fn pages(directory: &str) -> Vec<(String, Vec<u8>)> {
    let folder = std::fs::read_dir(data().join(directory)).expect("the folder is there");
    let mut pages: Vec<_> = folder
        .map(|item| {
            let path = item.expect("an item").path();
            let stem = path.file_stem().and_then(|s| s.to_str()).expect("a name in UTF-8").to_owned();
            (stem, std::fs::read(&path).expect("the page can be read"))
        })
        .collect();
    pages.sort();
    pages
}

fn base(directory: &str) -> Base {
    Base::parse(&format!("http://127.0.0.1:8080/{directory}/")).expect("a base")
}

fn expectation(stem: &str) -> &'static Expected {
    EXPECTED.iter().find(|e| e.stem == stem).unwrap_or_else(|| panic!("no expectation covers the recorded page {stem}"))
}

/// Names that no tree path can hold; they are dropped.
fn impossible(name: &[u8]) -> bool {
    name.iter().any(|b| *b < 0x20 || *b == 0x7f || *b == b'\\')
}

/// Everything in which a listing differs from the truth, in words.
fn differences(listing: &Listing, truth: &[Truth], expected: &Expected, faults: &[(&str, Fault)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut listed: BTreeMap<&[u8], &Entry> = listing.entries.iter().map(|entry| (entry.name.as_slice(), entry)).collect();
    for truth in truth {
        let text = String::from_utf8_lossy(&truth.name);
        let fault = faults.iter().find(|(name, _)| name.as_bytes() == truth.name).map(|(_, fault)| *fault);
        let nowhere = truth.link && truth.followed.is_none();
        if fault == Some(Fault::Cut) {
            let beginning = listed.keys().find(|name| name.len() > 100 && truth.name.starts_with(name)).copied();
            if beginning.and_then(|name| listed.remove(name)).is_none() || listed.contains_key(&*truth.name) {
                wrong.push(format!("{text:?} should be cut short"));
            }
            continue;
        }
        match listed.remove(truth.name.as_slice()) {
            Some(_) if impossible(&truth.name) => wrong.push(format!("{text:?} should be dropped")),
            Some(entry) => match (fault, entry_differences(entry, truth, expected)) {
                (None, found) => wrong.extend(found),
                (Some(Fault::Epoch), found) if found.len() == 1 && entry.time.is_none_or(|t| t.at == Timestamp::UNIX_EPOCH) => {
                }
                (Some(Fault::Bare), _) if entry.size.is_none() && entry.time.is_none() => {}
                (Some(Fault::NoSize), found) if found.len() == 1 && entry.size.is_none() => {}
                (Some(Fault::LinkAsFile), found) if found.len() == 1 && truth.link => {}
                (Some(Fault::Followed), _) if truth.link && entry.kind == Kind::Directory => {}
                (Some(Fault::Twice), _) if entry.time.is_none() => {}
                (Some(fault), found) => wrong.push(format!("{text:?} should suffer from {fault:?}; found {found:?}")),
            },
            None if fault == Some(Fault::Missing) || impossible(&truth.name) || nowhere => {}
            None if listing.family.may_leave_out(&truth.name) => {}
            None => wrong.push(format!("{text:?} is missing")),
        }
    }
    for (name, _) in faults.iter().filter(|(_, fault)| *fault == Fault::Invented) {
        if listed.remove(name.as_bytes()).is_none() {
            wrong.push(format!("{name:?} should be invented"));
        }
    }
    wrong.extend(listed.into_keys().map(|name| format!("{:?} is invented", String::from_utf8_lossy(name))));
    wrong
}

/// What the server says about an entry, if it is right.
fn fact(truth: &Truth, expected: &Expected) -> Fact {
    let own = truth.own.expect("truth.json has a time for everything");
    let followed = truth.followed.unwrap_or(own);
    match expected.links {
        Links::Followed => followed,
        Links::Bare => own,
        Links::Mixed => Fact { time: own.time, ..followed },
    }
}

fn entry_differences(entry: &Entry, truth: &Truth, expected: &Expected) -> Vec<String> {
    if truth.link && truth.followed.is_none() {
        return Vec::new(); // a link to nothing is shown as anything
    }
    let text = String::from_utf8_lossy(&truth.name);
    let fact = fact(truth, expected);
    let mut wrong = Vec::new();
    let kind = match expected.kinds {
        Kinds::NotTold => Kind::Unknown,
        Kinds::Directories if !fact.directory => Kind::Unknown,
        _ if fact.directory => Kind::Directory,
        _ => Kind::File,
    };
    if entry.kind != kind {
        wrong.push(format!("{text:?} is {:?}, not {kind:?}", entry.kind));
    }
    if !fact.directory {
        match (expected.sizes, entry.size) {
            (Sizes::None, None) => {}
            (Sizes::Exact, Some(size)) if size.is_exact() && size.allows(fact.size) => {}
            (Sizes::Rounded, Some(size)) if size.allows(fact.size) => {}
            (want, have) => wrong.push(format!("{text:?} has {} bytes ({want:?}), not {have:?}", fact.size)),
        }
    }
    let allowed = |precision: u64, zone: Zone| {
        entry.time.is_some_and(|time| time.precision.as_secs() == precision && time.zone == zone && time.allows(fact.time))
    };
    let right = match expected.times {
        Times::None => entry.time.is_none(),
        Times::OldDays => entry.time.is_none_or(|time| time.precision.as_secs() == 86_400 && time.allows(fact.time)),
        Times::Minute => allowed(60, Zone::Unknown),
        Times::Second => allowed(1, Zone::Unknown),
        Times::Utc => allowed(1, Zone::Known),
    };
    if !right {
        wrong.push(format!("{text:?} is of {} ({:?}), not {:?}", fact.time, expected.times, entry.time));
    }
    wrong
}

/// Whether a link leads elsewhere because the server does not escape colons: then the listing may not count as complete.
fn misled(stem: &str, directory: &str) -> bool {
    directory == "awkward" && ["webfs", "webrick"].contains(&stem)
}

fn check(directory: &str) {
    let truth = read_truth(directory);
    let mut wrong = Vec::new();
    for (stem, page) in pages(directory) {
        let expected = expectation(&stem);
        let faults = if directory == "awkward" { expected.faults } else { NO_FAULTS };
        match parse(&page, None, &base(directory)) {
            Ok(listing) => {
                // An empty array is the same from Caddy and from serve-index.
                let same = listing.family == expected.family || directory == "empty" && stem == "npm-serve-index-json";
                if !same || listing.complete == misled(&stem, directory) || listing.next.is_some() {
                    let Listing { family, complete, next, .. } = &listing;
                    wrong.push(format!("{stem}: {family:?}, complete: {complete}, next: {next:?}"));
                }
                wrong.extend(differences(&listing, &truth, expected, faults).into_iter().map(|text| format!("{stem}: {text}")));
            }
            Err(error) => wrong.push(format!("{stem}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{directory}:\n{}", wrong.join("\n"));
}

#[test]
fn every_recorded_page_of_the_awkward_directory_gives_the_truth() {
    check("awkward");
}

#[test]
fn every_recorded_page_of_the_plain_directory_gives_the_truth() {
    check("plain");
}

#[test]
fn every_recorded_page_of_a_thousand_files_gives_the_truth() {
    check("many");
}

#[test]
fn every_recorded_page_of_the_empty_directory_is_an_empty_listing() {
    check("empty");
}

#[test]
fn every_recorded_page_is_covered_in_every_directory() {
    for directory in ["awkward", "plain", "empty", "evil"] {
        let recorded: BTreeSet<String> = pages(directory).into_iter().map(|(stem, _)| stem).collect();
        let expected: BTreeSet<String> = EXPECTED.iter().map(|expected| expected.stem.to_owned()).collect();
        assert_eq!(recorded, expected, "{directory}");
    }
}

/// What servers that fail on the `evil` directory (bad names, a link to itself) send instead.
const FAIL_ON_EVIL: [&str; 6] =
    ["npm-serve", "npm-serve-json", "npm-serve-index-details", "npm-serve-index-json", "twisted", "webrick"];

#[test]
fn a_directory_of_evil_names_gives_the_possible_ones_and_drops_the_others() {
    let truth = read_truth("evil");
    for (stem, page) in pages("evil") {
        let parsed = parse(&page, None, &base("evil"));
        if FAIL_ON_EVIL.contains(&stem.as_str()) {
            assert!(matches!(parsed, Err(Error::NotAListing(_))), "{stem}: {parsed:?}");
            continue;
        }
        let listing = parsed.unwrap_or_else(|error| panic!("{stem}: {error}"));
        assert_eq!(listing.family, expectation(&stem).family, "{stem}");
        let normal = listing.entries.iter().find(|entry| entry.name == b"normal.txt");
        assert!(normal.is_some(), "{stem}: {listing:?}");
        assert!(listing.entries.iter().all(|entry| !impossible(&entry.name)), "{stem}");
        // Some servers put U+FFFD, surrogates or control pictures in the place of bytes that they can't show; the rest is exact.
        let replaced =
            |name: &[u8]| [&[0xed][..], &[0xef, 0xbf, 0xbd], &[0xe2, 0x90], b"?"].iter().any(|mark| contains(name, mark));
        for entry in listing.entries.iter().filter(|entry| !replaced(&entry.name)) {
            assert!(truth.iter().any(|truth| truth.name == entry.name), "{stem}: {:?}", String::from_utf8_lossy(&entry.name));
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
