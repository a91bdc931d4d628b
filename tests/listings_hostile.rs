//! Pages that were cut, damaged, made up or are no listings at all: nothing panics, nothing leaves the directory, what is said is true.

use std::path::Path;

use proptest::prelude::*;
use redirector::model::TreePath;
use redirector::scan::listing::{Base, Error, Family, Kind, Listing, Size, Zone, parse};

fn base(url: &str) -> Base {
    Base::parse(url).expect("a base")
}

fn here() -> Base {
    base("http://mirror.example/pub/dir/")
}

fn recorded(directory: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/listings").join(directory);
    let mut pages: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|item| {
            let path = item.expect("an item").path();
            (path.file_name().and_then(|n| n.to_str()).expect("UTF-8").to_owned(), std::fs::read(&path).expect("a page"))
        })
        .collect();
    pages.sort();
    pages
}

fn names(listing: &Listing) -> Vec<String> {
    listing.entries.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect()
}

fn names_in(page: &str) -> Vec<String> {
    names(&parse(page.as_bytes(), Some("text/html"), &here()).expect("a listing"))
}

/// What holds for every listing, wherever it came from.
fn assert_sound(listing: &Listing) {
    let mut seen = std::collections::HashSet::new();
    for entry in &listing.entries {
        let path = TreePath::root().join(&entry.name);
        assert!(path.is_ok(), "{:?}: {path:?}", String::from_utf8_lossy(&entry.name));
        assert!(seen.insert(&entry.name), "{:?} comes twice", String::from_utf8_lossy(&entry.name));
        assert!(entry.size.is_none_or(|size| size.least <= size.most));
        assert!(entry.time.is_none_or(|time| time.earliest() <= time.latest()));
        assert!(entry.kind != Kind::Directory || entry.size.is_none());
    }
}

/// At how many places each page is cut.
const CUTS: usize = 50;

#[test]
fn a_page_that_was_cut_says_so_and_what_it_gives_is_true() {
    for directory in ["awkward", "plain"] {
        let base = base(&format!("http://127.0.0.1:8080/{directory}/"));
        for (file, page) in recorded(directory) {
            let whole = parse(&page, None, &base).unwrap_or_else(|error| panic!("{file}: {error}"));
            let step = (page.len() / CUTS).max(1);
            for cut in (0..page.len()).step_by(step).map(|at| at + at % 7).filter(|at| *at < page.len()) {
                let Ok(part) = parse(&page[..cut], None, &base) else { continue };
                assert_sound(&part);
                if part.complete && part.family == whole.family {
                    assert_eq!(part.entries, whole.entries, "{file} cut at {cut}");
                }
                assert!(!part.complete || part.family == whole.family, "{file} cut at {cut} is a complete {}", part.family);
                for entry in &part.entries {
                    let known = whole.entries.iter().find(|known| known.name == entry.name);
                    let known = known.unwrap_or_else(|| panic!("{file} cut at {cut} invents {entry:?}"));
                    // Where the whole page contradicts itself it says less.
                    let same = (known.size == entry.size || known.size.is_none())
                        && (known.time == entry.time || known.time.is_none())
                        && (known.kind == entry.kind || known.kind == Kind::Unknown);
                    assert!(part.family != whole.family || same, "{file} cut at {cut}: {entry:?}, not {known:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_listing_is_refused() {
    for (what, page) in [
        ("nothing", ""),
        ("white space", " \r\n\t "),
        (
            "a login page",
            r#"<html><head><title>Log in</title></head><body><form action="login"><input name="user"></form><a href="forgot">Forgot?</a></body></html>"#,
        ),
        (
            "a parking page",
            r#"<html><title>example.org is for sale</title><body><a href="buy/">Buy it</a> <a href="related1.html">Linux</a></body></html>"#,
        ),
        (
            "a soft 404",
            "<html><title>Oops</title><body><h1>Not found</h1><p>Back to the <a href='/'>start</a></p></body></html>",
        ),
        ("a 404 that mentions an index", "<html><body>Not found. See the <a href='/'>index of</a> all files.</body></html>"),
        ("an application", r#"<!DOCTYPE html><html><body><div id="app"></div><script src="/app.js"></script></body></html>"#),
        ("an index that can't be shown", "<html><title>Index of /pub/dir/</title><body><h1>Forbidden</h1></body></html>"),
        ("JSON of an API", r#"{"status":"ok","items":[]}"#),
        ("JSON items of another kind", r#"[{"id":1,"title":"x"}]"#),
        ("a number", "42"),
        ("XML of another kind", "<?xml version='1.0'?><rss><item><title>index of</title></item></rss>"),
        ("an S3 error", "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"),
        ("a file", "#!/bin/sh\necho hello\n"),
        (
            "a table with the id of another's",
            r#"<html><body><table id="list"><tr><td><a href="x">x</a></td></tr></table></body></html>"#,
        ),
        ("a list with the id of another's", r#"<html><body><ul id="files"><li><a href="x">x</a></li></ul></body></html>"#),
    ] {
        let parsed = parse(page.as_bytes(), Some("text/html"), &here());
        assert!(matches!(parsed, Err(Error::NotAListing(_))), "{what}: {parsed:?}");
    }
    let page = b"<title>Index of /</title><a href='../'>Parent Directory</a> <a href='x'>x</a></body>";
    assert!(parse(page, Some("text/html;charset=utf-8"), &here()).is_ok());
    for content_type in ["application/octet-stream", "image/png", "application/zip", "video/mp4"] {
        assert!(parse(page, Some(content_type), &here()).is_err(), "{content_type}");
    }
    assert!(parse(b"\x7fELF\0\0\0\x01", None, &here()).is_err());
}

#[test]
fn an_unknown_servers_page_gives_names_only_and_is_marked() {
    let page = r#"<html><head><title>Directory listing of /pub/dir</title></head><body>
        <a href="../">Up</a> <a href="?sort=size">Size</a> <a href="https://vendor.example/">Made by</a>
        <a href="a.iso">a.iso</a> 1.0M 2026-11-20 <a href='sub/'>sub</a> <a href=plain.txt>plain.txt</a>
        <a href="/pub/dir/absolute.txt">x</a> <a href="http://mirror.example/pub/dir/whole.txt">x</a></body></html>"#;
    let listing = parse(page.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.family, listing.complete, listing.dropped), (Family::Generic, true, 1));
    assert_eq!(names(&listing), ["a.iso", "sub", "plain.txt", "absolute.txt", "whole.txt"]);
    assert_eq!(listing.entries[1].kind, Kind::Directory);
    assert!(listing.entries.iter().all(|entry| entry.size.is_none() && entry.time.is_none()));
}

/// A page of nginx with these links, in its own form.
fn nginx(links: &[&str]) -> String {
    let line = |href: &&str| format!("<a href=\"{href}\">name</a>   29-Mar-2026 01:30   77\r\n");
    let lines: String = links.iter().map(line).collect();
    format!(
        "<html>\r\n<head><title>Index of /pub/dir/</title></head>\r\n<body>\r\n<h1>Index of /pub/dir/</h1><hr><pre><a href=\"../\">../</a>\r\n{lines}</pre><hr></body>\r\n</html>\r\n"
    )
}

#[test]
fn no_link_leads_out_of_the_directory() {
    let hostile = [
        "../secret",
        "..",
        "../../etc/passwd",
        "%2e%2e/secret",
        "%2e%2e",
        "..%2fsecret",
        "a/b",
        "a%2fb",
        "/etc/passwd",
        "/pub/other/file",
        "/pub/dirty/file",
        "//evil.example/pub/dir/file",
        "http://evil.example/pub/dir/file",
        "https://mirror.example/pub/dir/file",
        "http://mirror.example:8080/pub/dir/file",
        "http:relative",
        "javascript:alert(1)",
        "mailto:a@b.c",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://mirror.example/pub/dir/file",
        "bad%00name",
        "bad%0aname",
        "bad%0d%0aHeader:x",
        "bad%1bname",
        "bad%7fname",
        "back%5cslash",
        "back\\slash",
        "./../x",
        "x/../../y",
        "//",
        "///",
        "./",
        ".",
        "",
        "#top",
        "?C=N;O=D",
        "/",
        "/pub/",
        "/pub/dir",
        "/pub/dir/",
        "/pub/dir/?x",
    ];
    let long = "x".repeat(redirector::model::path::MAX_SEGMENT_BYTES + 1);
    let links: Vec<&str> = hostile.into_iter().chain([long.as_str()]).collect();
    let listing = parse(nginx(&links).as_bytes(), None, &here()).expect("a listing");
    assert_eq!(names(&listing), [""; 0], "nothing of it is below the directory");
    assert!(listing.dropped > 20 && !listing.complete, "{listing:?}");
    // The same, each alone beside a good one.
    for link in links {
        assert_eq!(names_in(&nginx(&[link, "good.txt"])), ["good.txt"], "{link}");
    }
}

#[test]
fn links_are_resolved_as_a_browser_does() {
    for (link, name) in [
        ("plain.txt", "plain.txt"),
        ("./http:evil.txt", "http:evil.txt"),
        ("a+b.txt", "a+b.txt"),
        ("a%2Bb.txt", "a+b.txt"),
        ("100%25.txt", "100%.txt"),
        ("100%.txt", "100%.txt"),
        ("%zz", "%zz"),
        ("a&amp;b", "a&b"),
        ("a&amp;amp;b", "a&amp;b"),
        ("q%3Fx", "q?x"),
        ("file?query", "file"),
        ("file#fragment", "file"),
        ("dir/?C=S&amp;O=D", "dir"),
        ("&#x41;&#66;", "AB"),
        ("%C3%A9", "é"),
        ("x/../y", "y"),
        ("sub/../sub2/", "sub2"),
        ("../dir/z", "z"),
        ("/pub/dir/z", "z"),
        ("/pub/%64ir/z", "z"),
        ("//mirror.example/pub/dir/z", "z"),
        ("HTTP://MIRROR.example:80/pub/dir/z", "z"),
        ("...", "..."),
        ("..two", "..two"),
        (" padded ", "padded"),
    ] {
        assert_eq!(names_in(&nginx(&[link])), [name], "{link}");
    }
}

#[test]
fn a_base_address_in_the_page_counts() {
    let page = |base: &str, link: &str| {
        format!(
            "<html><head>{base}<title>Index of</title></head><body><a href='..'>Parent directory</a><a href='{link}'>x</a></body></html>"
        )
    };
    let listed = |base: &str, link: &str| {
        parse(page(base, link).as_bytes(), None, &here()).map(|listing| names(&listing)).unwrap_or_default()
    };
    assert_eq!(listed("<base href='/pub/dir/'>", "x.txt"), ["x.txt"]);
    assert_eq!(listed("<base href='/pub/'>", "dir/x.txt"), ["x.txt"]);
    assert_eq!(listed("<base href='/pub/'>", "x.txt"), [""; 0]);
    assert_eq!(listed("<base href='http://evil.example/pub/dir/'>", "x.txt"), [""; 0]);
}

#[test]
fn the_site_of_a_mirror_may_be_at_the_root_and_anywhere() {
    let page = nginx(&["file.txt", "/file2.txt", "dir/"]);
    let at_root = parse(page.as_bytes(), None, &base("https://mirror.example/")).expect("a listing");
    assert_eq!(names(&at_root), ["file.txt", "file2.txt", "dir"]);
    let asked = base("https://mirror.example:443/pub/./a%20b/?F=1#x");
    let page = nginx(&["/pub/a b/one", "/pub/a%20b/two", "https://mirror.example/pub/a%20b/three"]);
    assert_eq!(names(&parse(page.as_bytes(), None, &asked).expect("a listing")), ["one", "two", "three"]);
    for url in ["", "/pub/", "mirror.example/pub/", "ftp://mirror.example/", "http://", "http:///pub/"] {
        assert!(matches!(Base::parse(url), Err(Error::BadBase(_))), "{url}");
    }
}

#[test]
fn an_empty_directory_at_the_root_of_apache_is_an_empty_listing() {
    let page =
        "<html>\n <head>\n  <title>Index of /</title>\n </head>\n <body>\n<h1>Index of /</h1>\n<ul></ul>\n</body></html>\n";
    let listing = parse(page.as_bytes(), None, &base("http://mirror.example/")).expect("a listing");
    assert_eq!((listing.family, listing.complete, listing.entries.len()), (Family::Apache, true, 0));
}

#[test]
fn a_description_with_links_of_its_own_adds_no_entries() {
    let page = concat!(
        "<title>Index of /pub/dir</title><h1>Index of /pub/dir</h1>\n<pre><a href=\"?C=N;O=D\">Name</a>  <a href=\"?C=M;O=A\">Last modified</a>      ",
        "<a href=\"?C=S;O=A\">Size</a>  <a href=\"?C=D;O=A\">Description</a><hr><a href=\"/pub/\">Parent Directory</a>     -   \n",
        "<a href=\"a.iso\">a.iso</a>  2026-03-29 01:30  4.3G  see <a href=\"decoy.iso\">decoy</a> 2020-01-01 00:00  1.0K\n",
        "<a href=\"b.iso\">b.iso</a>  2026-03-29 01:30   77   \n<hr></pre>\n</body></html>"
    );
    let listing = parse(page.as_bytes(), None, &here()).expect("a listing");
    assert_eq!(names(&listing), ["a.iso", "b.iso"]);
    assert_eq!(listing.entries[1].size, Some(Size::exactly(77)));
}

#[test]
fn thttpd_and_darkhttpd_are_read() {
    let page = "<HTML>\n<HEAD><TITLE>Index of /pub/dir/</TITLE></HEAD>\n<BODY BGCOLOR=\"#99cc99\">\n<H2>Index of /pub/dir/</H2>\n<PRE>\nmode  links  bytes  last-changed  name\n<HR>drwxr-xr-x   2        4096  Nov 20 14:03  <A HREF=\"/pub/dir/./\">.</A>/\ndrwxr-xr-x   2        4096  Mar 29  2024  <A HREF=\"/pub/dir/sub/\">sub</A>/\n-rw-r--r--   1  4631560192  Oct 10  2010  <A HREF=\"/pub/dir/big.iso\">big.iso</A>\n-rw-r--r--   1          77  Nov 20 14:03  <A HREF=\"/pub/dir/new\">new</A>\n</PRE></BODY>\n</HTML>\n";
    let listing = parse(page.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.family, listing.complete), (Family::Thttpd, true));
    assert_eq!(names(&listing), ["sub", "big.iso", "new"]);
    let big = &listing.entries[1];
    assert_eq!((big.kind, big.size), (Kind::File, Some(Size::exactly(4_631_560_192))));
    let time = big.time.expect("a time");
    assert!(time.zone == Zone::Unknown && time.allows("2010-10-10T10:10:10Z".parse().expect("a timestamp")));
    assert_eq!((listing.entries[2].size, listing.entries[2].time), (Some(Size::exactly(77)), None));

    let page = "<!DOCTYPE html>\n<html>\n<head>\n<title>/pub/dir/</title>\n</head>\n<body>\n<h1>/pub/dir/</h1>\n<pre>\n<a href=\"../\">..</a>/\n<a href=\"sub/\">sub</a>/\n<a href=\"big.iso\">big.iso</a>            4631560192\n</pre>\n<hr>\nGenerated by darkhttpd/1.14 on Mon, 23 Nov 2026 01:14:32 GMT\n</body>\n</html>\n";
    let listing = parse(page.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.family, listing.complete), (Family::Darkhttpd, true));
    assert_eq!(names(&listing), ["sub", "big.iso"]);
    assert_eq!(listing.entries[1].size, Some(Size::exactly(4_631_560_192)));
}

#[test]
fn older_jetty_and_newer_caddy_are_read() {
    let page = "<HTML><HEAD><TITLE>Directory: /pub/dir/</TITLE></HEAD><BODY>\n<H1>Directory: /pub/dir/</H1>\n<TABLE BORDER=0>\n<TR><TD><A HREF=\"/pub/dir/../\">Parent Directory</A></TD><TD></TD><TD></TD></TR>\n<TR><TD><A HREF=\"/pub/dir/a.txt\">a.txt&nbsp;</TD><TD ALIGN=right>1234 bytes&nbsp;</TD><TD>Nov 20, 2026 2:03:27 PM</TD></TR></TABLE>\n</BODY></HTML>\n";
    let listing = parse(page.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.family, names(&listing)), (Family::Jetty, vec!["a.txt".to_owned()]));
    assert_eq!(listing.entries[0].size, Some(Size::exactly(1234)));
    assert!(listing.entries[0].time.is_some());

    let page = "<!DOCTYPE html><html><head><title>dir</title></head><body><table aria-describedby=\"summary\"><thead><tr><th></th><th><a href=\"?sort=name&order=asc\">Name</a></th></tr></thead><tbody>\n<tr class=\"file\"><td></td><td><a href=\"./a.txt\"><span class=\"name\">a.txt</span></a></td><td class=\"size\" data-size=\"1234\"><div class=\"sizebar\"><div class=\"sizebar-bar\"></div><div class=\"sizebar-text\">1.2 KiB</div></div></td><td class=\"timestamp hideable\"><time datetime=\"2026-11-20T14:03:27Z\">11/20/2026 02:03:27 PM +00:00</time></td><td class=\"hideable\"></td></tr>\n</tbody></table></body></html>";
    let listing = parse(page.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.family, listing.entries[0].size), (Family::Caddy, Some(Size::exactly(1234))));
    assert_eq!(listing.entries[0].time.map(|time| time.zone), Some(Zone::Known));
}

const BUCKET: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>mirror</Name><Prefix>pub/dir/</Prefix><KeyCount>5</KeyCount><MaxKeys>5</MaxKeys><Delimiter>/</Delimiter><IsTruncated>true</IsTruncated><NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>
<Contents><Key>pub/dir/</Key><LastModified>2026-11-20T14:03:27.000Z</LastModified><Size>0</Size></Contents>
<Contents><Key>pub/dir/a &amp; b.txt</Key><LastModified>2026-11-20T14:03:27.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>5000000000</Size><Owner><ID>1</ID></Owner></Contents>
<Contents><Key>pub/dir/deep/er.txt</Key><Size>1</Size></Contents>
<Contents><Key>elsewhere.txt</Key><Size>1</Size></Contents>
<CommonPrefixes><Prefix>pub/dir/sub/</Prefix></CommonPrefixes></ListBucketResult>"#;

#[test]
fn a_bucket_is_read_page_by_page() {
    let listing = parse(BUCKET.as_bytes(), Some("application/xml"), &here()).expect("a listing");
    assert_eq!((listing.family, listing.complete, listing.dropped), (Family::S3, false, 2), "there is more");
    assert_eq!(listing.next.as_deref(), Some("1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM="));
    assert_eq!(names(&listing), ["a & b.txt", "sub"]);
    assert_eq!(listing.entries[0].size, Some(Size::exactly(5_000_000_000)));
    assert_eq!(listing.entries[0].time.map(|time| (time.at.as_second(), time.zone)), Some((1_795_183_407, Zone::Known)));
    assert_eq!(listing.entries[1].kind, Kind::Directory);

    let last = BUCKET.replace("<IsTruncated>true", "<IsTruncated>false");
    assert!(!parse(last.as_bytes(), None, &here()).expect("a listing").complete, "some keys are not of this directory");
    let own = last.replace("pub/dir/deep/er.txt", "pub/dir/deep.txt").replace("elsewhere.txt", "pub/dir/else.txt");
    let listing = parse(own.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.complete, listing.next, listing.dropped), (true, None, 0));

    let lost = BUCKET.replace("NextContinuationToken", "Forgotten");
    assert!(!parse(lost.as_bytes(), None, &here()).expect("a listing").complete, "it goes on, and does not say where");

    let encoded = BUCKET.replace("<MaxKeys>", "<EncodingType>url</EncodingType><MaxKeys>").replace("a &amp; b", "a+%26%20b%2B");
    assert_eq!(names(&parse(encoded.as_bytes(), None, &here()).expect("a listing")), ["a & b+.txt", "sub"]);

    let empty =
        "<ListBucketResult><Name>mirror</Name><Prefix>pub/dir/</Prefix><IsTruncated>false</IsTruncated></ListBucketResult>";
    let listing = parse(empty.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.family, listing.complete, listing.entries.len()), (Family::S3, true, 0));
}

#[test]
fn the_same_name_twice_is_one_entry() {
    let page = nginx(&["a", "a", "b", "%61"]);
    let listing = parse(page.as_bytes(), None, &here()).expect("a listing");
    assert_eq!((names(&listing), listing.dropped), (vec!["a".to_owned(), "b".to_owned()], 2));
    assert_eq!(listing.entries[0].size, Some(Size::exactly(77)));
    // The page contradicts itself.
    let listing = parse(page.replacen("77", "78", 1).as_bytes(), None, &here()).expect("a listing");
    assert_eq!((listing.entries[0].size, listing.entries[1].size), (None, Some(Size::exactly(77))));
}

/// Beginnings that make a parser listen.
const STARTS: [&str; 12] = [
    "",
    "<title>Index of /</title><pre><a href=\"../\">../</a>\n",
    "<title>Index of /</title><table><tr><th>Name</th><th>Size</th></tr>",
    "<title>Directory listing for /</title><ul>",
    "<title>Files within</title><ul id=files>",
    "<title>listing directory /</title><ul id=files>",
    "<table aria-describedby=\"summary\">",
    "<?xml version='1.0'?><list>",
    "<ListBucketResult>",
    "[",
    "[{\"name\":\"",
    "cb([",
];

/// What comes again and again after them.
const PIECES: [&str; 52] = [
    "<",
    "</",
    "<!",
    "<!--",
    "<?",
    "<a ",
    "<a href=",
    "<a href=\"",
    "<a href='x",
    "<a href=x>",
    "<a href=x>y</a>",
    "</a>",
    "<pre>",
    "<pre>x",
    "<th>",
    "<tr>",
    "<tr><th>",
    "<tr><td>",
    "<td>",
    "<table>",
    "<table id=list>",
    "<ul>",
    "<ul id=files>",
    "<ul><li>",
    "<script>",
    "<script></",
    "<title>",
    "<title>x",
    "<base href=x>",
    "&",
    "&amp;",
    "&#",
    "\n",
    " ",
    "%",
    "../",
    "a",
    "[",
    "{",
    "[[",
    "{\"a\":",
    "\"x\",",
    "<a title=x href=x>",
    "<span class=size>",
    "<a href=x><span class=size>1</span>",
    "<Contents>",
    "<Key>x</Key>",
    "<file>",
    "<pre><a><a>",
    "\0",
    "(",
    ",",
];

/// A debug build takes seconds for all of them where time grows with the page, and hours where it grows with its square: then this
/// test does not end.
#[test]
fn pages_made_to_be_slow_are_read_all_the_same() {
    const SIZE: usize = 96 << 10;
    for start in STARTS {
        for piece in PIECES {
            let page = format!("{start}{}", piece.repeat(SIZE / piece.len()));
            if let Ok(listing) = parse(page.as_bytes(), None, &here()) {
                assert_sound(&listing);
            }
        }
    }
}

/// A change to a page, where it is and what it puts there.
fn change(page: &mut Vec<u8>, (at, length, put): (usize, usize, Vec<u8>)) {
    let start = at % (page.len() + 1);
    let end = (start + length).min(page.len());
    page.splice(start..end, put);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_do_no_harm(page in proptest::collection::vec(any::<u8>(), 0..4096), tail in 0..6_usize) {
        let start: &[u8] = [&b""[..], b"<", b"[", b"<title>Index of</title><pre><a href=\"../\">", b"<ListBucketResult>", b"<?xml version='1.0'?><list>"][tail];
        if let Ok(listing) = parse(&[start, &page].concat(), None, &here()) {
            assert_sound(&listing);
        }
    }

    #[test]
    fn damaged_pages_do_no_harm(
        which in 0..400_usize,
        changes in proptest::collection::vec((any::<usize>(), 0..64_usize, proptest::collection::vec(any::<u8>(), 0..16)), 1..12),
    ) {
        let mut pages = recorded("plain");
        pages.extend(recorded("evil"));
        let count = pages.len();
        let (_, mut page) = pages.swap_remove(which % count);
        for each in changes {
            change(&mut page, each);
        }
        if let Ok(listing) = parse(&page, None, &base("http://127.0.0.1/plain/")) {
            assert_sound(&listing);
        }
    }
}
