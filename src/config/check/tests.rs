use super::*;

/// Configurations from texts, in files `a.toml`, `b.toml` of a folder of their own.
fn configs(texts: &[&str]) -> Vec<Config> {
    let name = |index: usize| PathBuf::from(format!("/etc/redirector/{}.toml", ["a", "b", "c"][index]));
    let parse =
        |(index, text): (usize, &&str)| Config::parse(&name(index), (*text).to_owned()).unwrap_or_else(|e| panic!("{e}"));
    texts.iter().enumerate().map(parse).collect()
}

fn found(texts: &[&str]) -> Vec<String> {
    let findings = all(&configs(texts), &|path| path.to_owned());
    findings.iter().map(|f| format!("{} {} {}: {}", f.severity, f.instance, f.key, f.text)).collect()
}

/// The findings have one that starts with `start` and contains `part`.
#[track_caller]
fn assert_found(texts: &[&str], start: &str, part: &str) {
    let found = found(texts);
    assert!(
        found.iter().any(|text| text.starts_with(start) && text.contains(part)),
        "no {start:?} with {part:?} in {found:#?}"
    );
}

const MIRROR: &str = "\n[[mirror]]\nname = 'm'\nhttps = 'https://m.example/pub/'\n";

fn with_mirror(text: &str) -> String {
    format!("{text}{MIRROR}")
}

/// Three instances side by side, as ASLO has them.
const PRODUCTION: &str = "[server]\npublic-url = 'https://download.example'\n[tree]\nprefix = '/activities'\n\
    public = '/srv/upload/activities'\napplication = '/srv/www/activities/files'\n[inventory]\ndatabase = '/var/lib/r/a.sqlite'";
const TESTING: &str = "[server]\npublic-url = 'https://download.example'\n[tree]\nprefix = '/activities-testing'\n\
    public = '/srv/upload/activities-testing'\napplication = '/srv/www/activities-testing/files'\n[inventory]\ndatabase = '/var/lib/r/b.sqlite'";

#[test]
fn instances_side_by_side_are_fine() {
    let testing = with_mirror(TESTING).replace("m.example/pub/", "m.example/testing/");
    assert_eq!(found(&[&with_mirror(PRODUCTION), &testing]), Vec::<String>::new());
}

#[test]
fn ways_to_scan_that_lead_nowhere_are_told() {
    let find = |more: &str, start: &str, part: &str| assert_found(&[&format!("{PRODUCTION}{MIRROR}{more}")], start, part);
    find("scan-by = ['rsync']", "error a mirror.scan-by", "there is no `rsync`");
    find("rsync = 'rsync://m.example/p/'\nscan-by = ['http']", "hint a mirror.rsync", "`scan-by` does not name it");
    find("rsync-password-file = 'x'", "warning a mirror.rsync-password-file", "there is no `rsync`");
    let rsync = "rsync = 'rsync://m.example/p/'\nrsync-password-file = 'x'";
    find(rsync, "warning a mirror.rsync-password-file", "`rsync` has no user");
    find("ftp = 'ftp://me@m.example/p/'\nftp-password-file = 'x'", "hint a mirror.ftp", "in the clear");
    let fine = format!(
        "{PRODUCTION}{MIRROR}rsync = 'rsync://m.example/p/'\nftp = 'ftps://me@m.example/p/'\nftp-password-file = 'x'\n"
    );
    assert_eq!(found(&[&fine]), Vec::<String>::new());
}

#[test]
fn overlapping_trees_are_found() {
    let other = |public: &str| format!("[tree]\nprefix = '/other'\npublic = '{public}'\n[inventory]\ndatabase = '/x.sqlite'");
    for (public, start, part) in [
        ("/srv/upload/activities/sub", "error b tree.public", "lies inside tree.public"),
        ("/srv/upload/activities", "error b tree.public", "is the same folder as tree.public"),
        ("/srv/upload", "error a tree.public", "lies inside tree.public (/srv/upload) of instance `b`"),
        ("/srv/www/activities/files/4078", "error b tree.public", "lies inside tree.application"),
        ("/srv/www", "error a tree.application", "lies inside tree.public (/srv/www) of instance `b`"),
    ] {
        assert_found(&[PRODUCTION, &other(public)], start, part);
    }
    let alone = |public: &str, application: &str| format!("[tree]\npublic = '{public}'\napplication = '{application}'");
    assert_found(&[&alone("/srv/a", "/srv/a")], "error a tree.application", "is the same folder as tree.public");
    assert_found(&[&alone("/srv/a/public", "/srv/a")], "error a tree.public", "lies inside tree.application");
    assert_found(&[&alone("/srv/a", "/srv/a/files")], "error a tree.application", "lies inside tree.public");
}

#[test]
fn trees_overlap_by_where_links_lead_and_not_by_their_names() {
    let resolve = |path: &Path| match path.strip_prefix("/srv/upload") {
        Ok(rest) => Path::new("/srv/www").join(rest).join("files"),
        Err(_) => path.to_owned(),
    };
    let findings = all(&configs(&[PRODUCTION]), &resolve);
    assert!(
        findings.iter().any(|f| f
            .text
            .ends_with("is the same folder as tree.public (/srv/upload/activities, really /srv/www/activities/files)")),
        "{findings:#?}"
    );
}

#[test]
fn what_nobody_should_download_is_not_in_a_tree() {
    let text = "[tree]\npublic = '/srv/a'\n[inventory]\ndatabase = '/srv/a/.r.sqlite'";
    assert_found(&[text], "error a inventory.database", "lies inside tree.public");
    assert_found(&["[tree]\npublic = '/etc'"], "warning a tree.public", "this configuration lies inside tree.public");
    let denied =
        "[tree]\npublic = '/srv/a'\napplication = '/srv/b'\napplication-access = 'deny'\n[inventory]\ndatabase = '/srv/b/x'";
    assert_found(&[denied], "warning a inventory.database", "lies inside tree.application");
    let both = [PRODUCTION, &TESTING.replace("b.sqlite", "a.sqlite")];
    assert_found(&both, "error b inventory.database", "is the database of instance `a` too");
    assert_eq!(conflicts(&configs(&both)).len(), 1);
}

#[test]
fn each_name_and_prefix_has_one_instance() {
    let with =
        |hosts: &str| format!("[server]\nhosts = [{hosts}]\n{}", TESTING.split_once("[tree]").map_or("", |(_, rest)| rest));
    let instance = |hosts: &str, prefix: &str| {
        with(hosts).replace("]\n\nprefix", "]\n[tree]\nprefix").replacen("/activities-testing'", &format!("{prefix}'"), 1)
    };
    for (first, second, collide) in [
        (("", "/a"), ("", "/a"), true),
        (("", "/a"), ("", "/a/b"), false),
        (("'x.example'", "/a"), ("", "/a"), false),
        (("'x.example'", "/a"), ("'X.example', 'y.example'", "/a/"), true),
        (("'x.example'", "/a"), ("'y.example'", "/a"), false),
    ] {
        let configs = configs(&[&instance(first.0, first.1), &instance(second.0, second.1)]);
        let mut findings = Vec::new();
        server::together(&configs, &mut findings);
        let twice = findings.iter().any(|f| f.text.contains("answers for"));
        assert_eq!(twice, collide, "{first:?} {second:?}: {findings:#?}");
    }
}

#[test]
fn sockets_that_collide_are_found() {
    let server = |keys: &str| format!("[server]\n{keys}\n[tree]\npublic = '/srv/a'");
    for keys in [
        "listen = ['0.0.0.0:80']\nadmin-listen = '127.0.0.1:80'",
        "listen = ['127.0.0.1:80', '127.0.0.1:80']",
        "listen = ['[::]:80']\nlisten-proxy-protocol = ['[::1]:80']",
    ] {
        assert_found(&[&server(keys)], "error a server.", "is taken already");
    }
    let fine = found(&[&server("listen = ['0.0.0.0:80', '[::]:80']\nadmin-listen = '127.0.0.1:81'")]);
    assert!(!fine.iter().any(|text| text.contains("taken")), "{fine:?}");
    let testing = TESTING.replace("[server]", "[server]\nlisten = ['127.0.0.1:8080']");
    assert_found(
        &[&PRODUCTION.replace("[server]", "[server]\nlisten = ['0.0.0.0:8080']"), &testing],
        "error b server.listen",
        "of instance `a`",
    );
}

#[test]
fn doors_that_are_open_to_everybody_are_found() {
    let server = |keys: &str| format!("[server]\n{keys}\n[tree]\npublic = '/srv/a'");
    for (keys, key, part) in [
        ("admin-listen = '0.0.0.0:9'", "server.admin-listen", "reached by everybody"),
        ("trusted-proxies = ['0.0.0.0/0']", "server.trusted-proxies", "believes everybody"),
        ("listen = ['127.0.0.1:0']", "server.listen", "another one at each start"),
        ("public-url = 'https://a.example'\nhosts = ['b.example']", "server.public-url", "not among"),
    ] {
        assert_found(&[&server(keys)], &format!("warning a {key}"), part);
    }
    let fine = found(&[&with_mirror(&server(
        "admin-listen = '10.1.2.3:9'\npublic-url = 'https://a.example:8443'\nhosts = ['A.example']",
    ))]);
    assert_eq!(fine, Vec::<String>::new());
    assert_found(&["[tree]\npublic = '/srv/a'\nmin-age = '0'\nlink-roots = ['/']"], "hint a tree.min-age", "not kept home");
    assert_found(&["[tree]\npublic = '/srv/a'\nlink-roots = ['/']"], "warning a tree.link-roots", "anywhere");
    assert_found(
        &["[tree]\npublic = '/srv/a'\n[probe]\ninterval = '5s'"],
        "warning a probe.timeout",
        "longer than the interval",
    );
    assert_found(&[&with_mirror("[tree]\npublic = '/srv/a'")], "hint a scan.contact", "not told");
}

#[test]
fn mirrors_that_are_ourselves_are_found() {
    let start = "[server]\nlisten = ['0.0.0.0:8080']\npublic-url = 'http://download.example'\nhosts = ['download.example', 'dl.example']\n\
        [tree]\nprefix = '/activities'\npublic = '/srv/a'\n[scan]\nallow-private-addresses = true";
    for (url, severity) in [
        ("http://download.example/activities/", Some("error")),
        ("http://DL.example:80/activities/", Some("error")),
        ("http://dl.example/activities-old/", Some("warning")),
        ("http://127.0.0.1:8080/anything/", Some("error")),
        ("http://localhost:8080/", Some("error")),
        ("http://localhost:8081/", None),
        ("http://mirror.example/activities/", None),
    ] {
        let found = found(&[&format!("{start}\n[[mirror]]\nname = 'm'\nhttp = '{url}'")]);
        let about: Vec<_> = found.iter().filter(|text| text.contains("mirror.http")).collect();
        let right = match severity {
            Some(severity) => about.len() == 1 && about[0].starts_with(severity),
            None => about.is_empty(),
        };
        assert!(right, "{url}: {found:#?}");
    }
}

#[test]
fn mirrors_that_can_serve_nobody_or_are_elsewhere_are_found() {
    let mirror = |keys: &str| format!("[server]\npublic-url = 'https://a.example'\n[tree]\npublic = '/srv/a'{MIRROR}{keys}");
    for (keys, start, part) in [
        ("only = 'network'", "error a mirror.only", "has none"),
        ("only = 'country'\ncountry = 'nl'\nexclude-countries = ['nl']", "error a mirror.exclude-countries", "excludes it"),
        ("country = 'uk'", "warning a mirror.country", "no country has the code uk"),
        ("country = 'nl'\ncontinent = 'as'", "warning a mirror.continent", "but on eu"),
        ("country = 'nl'\nlatitude = 5.0\nlongitude = 52.0", "warning a mirror.latitude", "km from nl's main city"),
        ("enabled = false", "warning a mirror", "all mirrors are disabled"),
    ] {
        assert_found(&[&mirror(keys)], start, part);
    }
    assert_eq!(found(&[&mirror("country = 'us'\nlatitude = 21.3\nlongitude = -157.8")]), Vec::<String>::new(), "Honolulu");
    assert_found(&["[tree]\npublic = '/srv/a'"], "warning a mirror", "there are no mirrors");
    let plain = mirror("").replace("https = 'https://m", "http = 'http://m");
    assert_found(&[&plain], "warning a mirror.http", "no `https`");
    let private = mirror("").replace("m.example", "192.168.1.5");
    assert_found(&[&private], "hint a mirror.https", "private network");
}

#[test]
fn two_mirrors_at_one_url_are_found() {
    let second = "\n[[mirror]]\nname = 'n'\nhttp = 'http://N.example:443/'\nhttps = 'https://M.example:443/pub/'";
    let twice = with_mirror(PRODUCTION) + second;
    assert_found(&[&twice], "warning a mirror.https", "is the URL of `m` too");
    assert_found(&[&with_mirror(PRODUCTION), &with_mirror(TESTING)], "warning b mirror.https", "of instance `a`");
}

#[test]
fn a_finding_says_where_it_stands_and_the_worst_comes_first() {
    let findings =
        all(&configs(&["[tree]\npublic = '/srv/a'\nmin-age = '0'\napplication = '/srv/a'"]), &|path| path.to_owned());
    assert_eq!(findings[0].position, Some(Position { line: 4, column: 15 }));
    let order: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn fallbacks_that_are_ourselves_and_lists_without_our_name_are_found() {
    let circle =
        "[server]\nlisten = ['127.0.0.1:8080']\n[tree]\npublic = '/srv/a'\n[[fallback]]\nhttp = 'http://127.0.0.1:8080/'\n";
    assert_found(&[circle], "error a fallback.http", "is this server");
    let lists = "[tree]\npublic = '/srv/a'\n[[repository]]\npath = '/'\nkind = 'dnf'\n";
    assert_found(&[lists], "hint a server.public-url", "name this server as each request does");
}
