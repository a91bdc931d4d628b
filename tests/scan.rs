//! Scans of real servers and of servers that misbehave. The latter all show promise 4: what was known stays unless it was
//! disproved.

mod scanning;
mod servers;
mod until;

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redirector::inventory::{Protocol, Seen, Share};
use redirector::model::{BaseUrl, MirrorName, Scheme, Span, TreePath};
use redirector::scan::{Clients, Mode, Quiet, Report, Settings};
use scanning::{THEN, World, mirror, names, path};
use servers::{Folder, Odd, Request, Server, listing, respond};
use until::until_async;

mod real {
    use super::*;

    /// Names that servers, browsers and shells have trouble with, sizes that round, and an old file.
    const FILES: [(&str, u64, i64); 14] = [
        ("4078/labyrinth-7.xo", 676_401, THEN),
        ("4078/labyrinth-8.xo", 1_000_000, THEN + 86_400),
        ("4078/notes.txt", 0, THEN),
        ("4259/+ciudadano-2.xo", 999, THEN),
        ("4259/colors!-16.xo", 1023, THEN),
        ("odd/a b.xo", 1024, THEN),
        ("odd/100%.xo", 10_239, THEN),
        ("odd/ü-ñ-語.xo", 10_240, THEN),
        ("odd/a&b;c,d=e.xo", 1_048_575, THEN),
        ("odd/quote'\"<>.xo", 5, THEN),
        ("odd/a#b?c.xo", 77, THEN),
        ("odd/an-activity-with-a-name-that-no-listing-shows-in-full-because-it-is-so-long-12.xo", 12_345, THEN),
        ("deep/er/and/deeper/x.xo", 1, THEN),
        ("top.xo", 42, 946_684_800),
    ];

    /// A mirror with the faults that mirrors have.
    fn folder() -> Folder {
        let folder = Folder::new();
        for (name, size, mtime) in FILES {
            folder.write(name, usize::try_from(size).expect("small"), mtime);
        }
        for n in 0..5 {
            folder.write(&format!("not-ours-{n}/file.xo"), 3, THEN);
        }
        folder
    }

    async fn finds_what_is_there_and_nothing_else(server: impl FnOnce(&std::path::Path) -> Server) {
        let folder = folder();
        let server = server(folder.path());
        let world = World::new(&FILES, &server.url()).await;
        let report = world.scan().await;
        let counts = report.outcome.clone().unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        assert_eq!((counts.found, counts.gone, counts.mismatched, counts.doubtful), (14, 0, 0, 0), "{report:?}");
        assert!(report.complete && report.protocol == Protocol::Http, "{report:?}");

        // The tree goes on: one file gets a new version of equal size and another time, one of another size, and one is new.
        world
            .put(&[
                ("4078/labyrinth-7.xo", 676_401, THEN + 40 * 86_400),
                ("4259/colors!-16.xo", 1024, THEN),
                ("4078/new.xo", 5, THEN),
            ])
            .await;
        // The mirror loses one, and cuts another one short.
        folder.remove("deep");
        folder.write("odd/a&b;c,d=e.xo", 500_000, THEN + 99);
        let report = world.scan().await;
        let counts = report.outcome.clone().unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!((counts.found, counts.gone, counts.mismatched, counts.doubtful), (10, 1, 3, 0), "{report:?}");
        let mut left = names(&FILES);
        for lost in ["4078/labyrinth-7.xo", "4259/colors!-16.xo", "deep/er/and/deeper/x.xo", "odd/a&b;c,d=e.xo"] {
            left.remove(lost);
        }
        assert_eq!(world.held().await, left);

        // The mirror catches up.
        folder.write("4078/labyrinth-7.xo", 676_401, THEN + 40 * 86_400);
        folder.write("4259/colors!-16.xo", 1024, THEN + 5);
        folder.write("4078/new.xo", 5, THEN);
        folder.write("deep/er/and/deeper/x.xo", 1, THEN);
        folder.write("odd/a&b;c,d=e.xo", 1_048_575, THEN);
        let report = world.scan().await;
        let held = world.held().await;
        assert_eq!(held.len(), 15, "{held:?} {report:?}");
    }

    #[tokio::test]
    async fn nginx_with_exact_sizes() {
        finds_what_is_there_and_nothing_else(|root| Server::nginx(root, "autoindex on;")).await;
    }

    #[tokio::test]
    async fn a_scan_goes_as_deep_as_the_tree_is_indexed() {
        // A folder at depth 127 is the deepest whose files are indexed.
        let name = format!("{}x.xo", "d/".repeat(redirector::tree::MAX_DEPTH - 1));
        let files = [(name.as_str(), 5, THEN)];
        let folder = Folder::new();
        folder.write(&name, 5, THEN);
        let server = Server::nginx(folder.path(), "autoindex on;");
        let world = World::new(&files, &server.url()).await;
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&files), "{report:?}");
    }

    #[tokio::test]
    async fn nginx_with_rounded_sizes_and_local_time() {
        finds_what_is_there_and_nothing_else(|root| {
            Server::nginx(root, "autoindex on; autoindex_exact_size off; autoindex_localtime on;")
        })
        .await;
    }

    #[tokio::test]
    async fn nginx_with_json() {
        finds_what_is_there_and_nothing_else(|root| Server::nginx(root, "autoindex on; autoindex_format json;")).await;
    }

    #[tokio::test]
    async fn apache_with_a_table() {
        finds_what_is_there_and_nothing_else(|root| Server::apache(root, "FancyIndexing HTMLTable NameWidth=*", "")).await;
    }

    #[tokio::test]
    async fn apache_with_preformatted_text_and_cut_names() {
        finds_what_is_there_and_nothing_else(|root| Server::apache(root, "FancyIndexing", "")).await;
    }

    #[tokio::test]
    async fn apache_with_a_plain_list() {
        finds_what_is_there_and_nothing_else(|root| Server::apache(root, "None", "")).await;
    }

    #[tokio::test]
    async fn apache_with_a_plain_list_that_stays_plain() {
        let folder = folder();
        folder.write("odd/a b.xo", 1000, THEN);
        let server = Server::apache(folder.path(), "IgnoreClient", "");
        let world = World::new(&FILES, &server.url()).await;
        let report = world.scan().await;
        assert_eq!(report.outcome.as_ref().map(|counts| (counts.found, counts.mismatched)), Ok((13, 1)), "{report:?}");
        folder.remove("4078/labyrinth-7.xo");
        let report = world.scan().await;
        assert_eq!(report.outcome.as_ref().map(|counts| (counts.found, counts.gone)), Ok((12, 1)), "{report:?}");
    }

    #[tokio::test]
    async fn lighttpd() {
        finds_what_is_there_and_nothing_else(Server::lighttpd).await;
    }

    #[tokio::test]
    async fn mini_httpd() {
        finds_what_is_there_and_nothing_else(Server::mini_httpd).await;
    }

    #[tokio::test]
    async fn civetweb() {
        finds_what_is_there_and_nothing_else(Server::civetweb).await;
    }

    #[tokio::test]
    async fn h2o_which_lists_names_alone() {
        finds_what_is_there_and_nothing_else(Server::h2o).await;
    }

    #[tokio::test]
    async fn python_which_lists_names_alone() {
        finds_what_is_there_and_nothing_else(Server::python).await;
    }

    #[tokio::test]
    async fn names_that_are_no_utf_8_are_found_on_real_servers() {
        use redirector::inventory::Observation;
        use std::os::unix::ffi::OsStrExt as _;
        let name = b"odd/latin-1-\xe9 \xa7.xo";
        type Start = fn(&std::path::Path) -> Server;
        let servers: [(&str, Start); 5] = [
            ("nginx", |root| Server::nginx(root, "autoindex on; charset off;")),
            ("nginx, JSON", |root| Server::nginx(root, "autoindex on; autoindex_format json;")),
            ("Apache", |root| Server::apache(root, "FancyIndexing HTMLTable NameWidth=*", "")),
            ("lighttpd", Server::lighttpd),
            ("nothing listed", |root| Server::nginx(root, "")),
        ];
        for (what, start) in servers {
            let folder = Folder::new();
            folder.write("odd/plain.xo", 12, THEN);
            let path = folder.path().join(std::ffi::OsStr::from_bytes(name));
            std::fs::rename(folder.path().join("odd/plain.xo"), path).expect("it is renamed");
            folder.write("top.xo", 42, THEN);
            let server = start(folder.path());
            let world = World::new(&[("top.xo", 42, THEN)], &server.url()).await;
            let path = TreePath::parse(name.to_vec()).expect("a path");
            let fingerprint = redirector::model::Fingerprint {
                size: 12,
                mtime_ns: THEN * 1_000_000_000,
                ctime_ns: THEN * 1_000_000_000,
                inode: 2,
            };
            let observation = Observation { path, fingerprint, at: world.clock.now(), kind: Seen::First };
            world.inventory.observe(vec![observation]).await.expect("written");
            let report = world.scan().await;
            assert_eq!(report.outcome.as_ref().map(|counts| (counts.found, counts.doubtful)), Ok((2, 0)), "{what}: {report:?}");
        }
    }

    #[tokio::test]
    async fn busybox_lists_nothing_and_is_asked_file_by_file() {
        let folder = folder();
        folder.remove("top.xo");
        folder.write("odd/a b.xo", 1000, THEN);
        let root = folder.path().display().to_string();
        let server = Server::start("busybox", |_, address| {
            let arguments = ["httpd", "-f", "-p", &address.to_string(), "-h", &root, "-c"].map(str::to_owned);
            ("# nothing is to be set\n".to_owned(), arguments.to_vec())
        });
        let world = World::new(&FILES, &server.url()).await;
        let report = world.scan().await;
        let counts = report.outcome.clone().unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!((counts.found, counts.mismatched, counts.doubtful), (12, 1, 0), "{report:?}");
        assert!(report.complete && report.protocol == Protocol::Head, "{report:?}");
    }

    #[tokio::test]
    async fn a_mirror_without_listings_is_asked_file_by_file() {
        let folder = folder();
        folder.remove("top.xo");
        folder.write("odd/a b.xo", 1000, THEN);
        let server = Server::nginx(folder.path(), "");
        let world = World::new(&FILES, &server.url()).await;
        let report = world.scan().await;
        let counts = report.outcome.clone().unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!((counts.found, counts.mismatched, counts.doubtful), (12, 1, 0), "{report:?}");
        assert!(report.complete && report.protocol == Protocol::Head, "{report:?}");
        folder.remove("4078");
        let report = world.scan().await;
        let counts = report.outcome.clone().unwrap_or_else(|reason| panic!("{reason}"));
        assert_eq!((counts.found, counts.gone, counts.mismatched), (9, 3, 1), "{report:?}");
        assert_eq!(world.held().await.len(), 9);
    }

    #[tokio::test]
    async fn a_second_scan_of_apache_asks_for_no_file_again() {
        let folder = folder();
        let server = Server::apache(folder.path(), "FancyIndexing HTMLTable", "");
        let world = World::new(&FILES, &server.url()).await;
        let first = world.scan().await;
        // Without the files themselves, only the listing can tell: what was confirmed by HEAD stays confirmed.
        let second = world.scan().await;
        assert_eq!(first.outcome, second.outcome);
        assert_eq!(world.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn files_that_listings_leave_out_are_asked_for() {
        const HIDDEN: [(&str, u64, i64); 3] = [(".well-known/stamp", 5, THEN), ("4078/.meta", 7, THEN), ("4078/a.xo", 9, THEN)];
        let folder = Folder::new();
        for (name, size, mtime) in HIDDEN {
            folder.write(name, usize::try_from(size).expect("small"), mtime);
        }
        let server = Server::nginx(folder.path(), "autoindex on;");
        let world = World::new(&HIDDEN, &server.url()).await;
        world.scan().await;
        assert_eq!(world.held().await, names(&HIDDEN));
        folder.remove("4078/.meta");
        world.scan().await;
        assert_eq!(world.held().await.len(), 2);
    }

    #[tokio::test]
    async fn a_certificate_that_nobody_trusts_is_refused_and_told() {
        let folder = folder();
        let server = Server::nginx_tls(folder.path());
        let mut world = World::new(&FILES, &server.url()).await;
        let base = format!("https://{}/", server.address());
        world.mirror.https = Some(BaseUrl::parse(&base, Scheme::Https).expect("valid"));
        world.mirror.http = None;
        let report = world.scan().await;
        assert!(report.outcome.as_ref().is_err_and(|reason| reason.contains("not trusted")), "{report:?}");
        // Where it is to be had in the clear as well, it is scanned there, and the fault is told.
        let plain = Server::nginx(folder.path(), "autoindex on;");
        world.mirror.http = Some(BaseUrl::parse(&plain.url(), Scheme::Http).expect("valid"));
        world.inventory.set_mirrors(vec![Arc::new(world.mirror.clone())]).await.expect("taken");
        let report = world.scan().await;
        assert!(report.notes.iter().any(|note| note.contains("certificate")), "{report:?}");
        assert_eq!(world.held().await, names(&FILES));
        // Nobody is sent to where it was not seen.
        let note = format!("clients are not sent to {base} before it is seen to have the same files");
        assert!(report.notes.iter().any(|told| told.starts_with(&note)), "{report:?}");
        let state = world.inventory.snapshot().mirrors().members[0].clone();
        assert_eq!((state.base(Scheme::Https), state.base(Scheme::Http)), (None, world.mirror.http.as_ref()));
    }

    #[tokio::test]
    async fn a_directory_can_be_scanned_alone() {
        let folder = folder();
        let server = Server::nginx(folder.path(), "autoindex on;");
        let world = World::new(&FILES, &server.url()).await;
        world.scan().await;
        folder.remove("4078");
        folder.remove("4259");
        let scanner = world.scanner(|_| {});
        let plan = scanner.plan(path("4078")).await.expect("readable");
        let report = scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
        assert_eq!(report.outcome.as_ref().map(|counts| (counts.found, counts.gone)), Ok((0, 3)), "{report:?}");
        assert_eq!(world.held().await.len(), 11, "what is in 4259 is not looked at");
    }

    #[tokio::test]
    async fn a_mirror_is_not_said_to_lack_what_is_too_young_or_too_large_for_it() {
        let folder = folder();
        let server = Server::nginx(folder.path(), "autoindex on;");
        let mut world = World::new(&FILES, &server.url()).await;
        world.mirror.max_file_size = Some(5_000_000);
        let young = world.clock.now().as_second() - 60;
        world.put(&[("new/young.xo", 100, young), ("iso/large.iso", 5_000_001, THEN), ("iso/fits.iso", 5_000_000, THEN)]).await;
        folder.write("4078/other.xo", 7, young);
        world.put(&[("4078/other.xo", 9, young)]).await;
        let bytes: u64 = FILES.iter().map(|(_, size, _)| size).sum();
        let scanned = async |min_age: u64| {
            let scanner = world.scanner(|_| {}).of_age(Duration::from_secs(min_age));
            let plan = scanner.plan(TreePath::root()).await.expect("readable");
            let report = scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
            assert!(report.complete, "{report:?}");
            let gaps = world.inventory.gaps(world.mirror.name.clone()).await.expect("readable").expect("written");
            let share = world.inventory.scans(world.mirror.name.clone(), 1).await.expect("readable")[0].share.expect("told");
            (gaps, share)
        };
        // Whether something is lacking is told anew when what was too young is no longer.
        for _ in 0..2 {
            let (gaps, share) = scanned(1800).await;
            let told: Vec<_> = gaps.directories.iter().map(|gap| (gap.directory.as_str(), gap.missing, gap.stale)).collect();
            assert_eq!(told, [("iso", 1, 0)]);
            assert_eq!((gaps.young, gaps.young_bytes, gaps.beyond, gaps.beyond_bytes), (2, 109, 1, 5_000_001));
            let all = bytes + 5_000_000;
            assert_eq!(share, Share { files: 15, held: 14, bytes: all, held_bytes: bytes });
        }
        let (gaps, share) = scanned(30).await;
        assert_eq!((gaps.missing, gaps.stale, gaps.young, gaps.beyond), (2, 1, 0, 1));
        assert_eq!((share.files, share.held), (17, 14));
        world.mirror.max_file_size = None;
        let scanner = world.scanner(|_| {});
        let plan = scanner.plan(TreePath::root()).await.expect("readable");
        scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
        let gaps = world.inventory.gaps(world.mirror.name.clone()).await.expect("readable").expect("written");
        assert_eq!((gaps.missing, gaps.stale, gaps.beyond), (3, 1, 0), "another rule");
    }

    #[tokio::test]
    async fn what_a_mirror_lacks_is_written_down_by_directory() {
        let folder = folder();
        let server = Server::nginx(folder.path(), "autoindex on;");
        let world = World::new(&FILES, &server.url()).await;
        folder.remove("4078");
        folder.write("4259/colors!-16.xo", 5, THEN);
        for _ in 0..2 {
            let report = world.scan().await;
            let bytes: u64 = FILES.iter().map(|(_, size, _)| size).sum();
            let share = Share { files: 14, held: 10, bytes, held_bytes: bytes - 676_401 - 1_000_000 - 1023 };
            let scans = world.inventory.scans(world.mirror.name.clone(), 1).await.expect("readable");
            assert_eq!(scans[0].share, Some(share), "{report:?}");
            let gaps = world.inventory.gaps(world.mirror.name.clone()).await.expect("readable").expect("written");
            let told: Vec<_> =
                gaps.directories.iter().map(|gap| (gap.directory.as_str(), gap.whole, gap.missing, gap.stale)).collect();
            assert_eq!(told, [("4078", true, 3, 0), ("4259", false, 0, 1)]);
            assert_eq!(gaps.directories[1].examples, ["4259/colors!-16.xo"]);
        }
        // A scan of a part says nothing about the whole.
        let scanner = world.scanner(|_| {});
        let plan = scanner.plan(path("4259")).await.expect("readable");
        scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
        assert_eq!(world.inventory.scans(world.mirror.name.clone(), 1).await.expect("readable")[0].share, None);
        let gaps = world.inventory.gaps(world.mirror.name.clone()).await.expect("readable").expect("written");
        assert_eq!((gaps.missing, gaps.stale), (3, 1));
        // The files are put there, and nothing is lacking any more.
        for (name, size, mtime) in FILES {
            folder.write(name, usize::try_from(size).expect("small"), mtime);
        }
        world.scan().await;
        let gaps = world.inventory.gaps(world.mirror.name.clone()).await.expect("readable").expect("written");
        assert_eq!((gaps.missing, gaps.stale, gaps.directories.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_dry_run_tells_what_would_change_and_changes_nothing() {
        let folder = folder();
        let server = Server::nginx(folder.path(), "autoindex on;");
        let world = World::new(&FILES, &server.url()).await;
        world.scan().await;
        folder.remove("4078");
        world.put(&[("new.xo", 3, THEN)]).await;
        folder.write("new.xo", 3, THEN);
        let scanner = world.scanner(|_| {});
        let plan = scanner.plan(TreePath::root()).await.expect("readable");
        let report = scanner.scan(&world.mirror, &plan, Mode::DryRun, &Quiet).await;
        let changes = report.changes.expect("a dry run tells");
        assert_eq!(changes.gained, [path("new.xo")]);
        assert_eq!(changes.lost, ["4078/labyrinth-7.xo", "4078/labyrinth-8.xo", "4078/notes.txt"].map(path));
        assert_eq!(changes.untold, 0);
        assert_eq!(world.held().await, names(&FILES));
        assert_eq!(world.inventory.scans(world.mirror.name.clone(), 10).await.expect("readable").len(), 1);
    }
}

mod misbehaving {
    use super::*;

    /// Twelve files in four directories, and one at the top.
    pub(super) const FILES: [(&str, u64, i64); 13] = [
        ("top.xo", 5, THEN),
        ("a/1.xo", 11, THEN),
        ("a/2.xo", 12, THEN),
        ("a/3.xo", 13, THEN),
        ("b/1.xo", 21, THEN),
        ("b/2.xo", 22, THEN),
        ("b/3.xo", 23, THEN),
        ("c/1.xo", 31, THEN),
        ("c/2.xo", 32, THEN),
        ("c/3.xo", 33, THEN),
        ("d/1.xo", 41, THEN),
        ("d/2.xo", 42, THEN),
        ("d/3.xo", 43, THEN),
    ];

    /// A mirror as it should be.
    pub(super) fn good(request: &Request, out: &mut TcpStream) -> io::Result<()> {
        mirror_of(&FILES, request, out)
    }

    pub(super) fn mirror_of(files: &[(&str, u64, i64)], request: &Request, out: &mut TcpStream) -> io::Result<()> {
        let path = request.path.split('?').next().unwrap_or_default();
        let name = path.trim_start_matches('/');
        if let Some((_, size, mtime)) = files.iter().find(|(file, ..)| *file == name) {
            let time = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs()));
            let body = vec![b'x'; usize::try_from(*size).expect("small")];
            return respond(request, out, "200 OK", &[("Last-Modified", &time)], &body);
        }
        match page(files, path) {
            Some(page) => respond(request, out, "200 OK", &[("Content-Type", "text/html")], page.as_bytes()),
            None => respond(request, out, "404 Not Found", &[], b"no"),
        }
    }

    /// The listing of a directory.
    pub(super) fn page(files: &[(&str, u64, i64)], path: &str) -> Option<String> {
        let directory = path.strip_prefix('/')?;
        if !directory.is_empty() && !directory.ends_with('/') {
            return None;
        }
        let mut entries: Vec<(String, u64, i64)> = Vec::new();
        for (file, size, mtime) in files {
            let Some(rest) = file.strip_prefix(directory) else { continue };
            match rest.split_once('/') {
                Some((below, _)) if entries.iter().all(|(name, ..)| *name != format!("{below}/")) => {
                    entries.push((format!("{below}/"), 0, *mtime));
                }
                Some(_) => {}
                None => entries.push((rest.to_owned(), *size, *mtime)),
            }
        }
        let entries: Vec<_> = entries.iter().map(|(name, size, mtime)| (name.as_str(), *size, *mtime)).collect();
        (directory.is_empty() || !entries.is_empty()).then(|| listing(path, &entries))
    }

    /// Scans a good mirror, which then turns bad, and scans it again.
    pub(super) async fn turned(
        bad: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
        change: impl FnOnce(&mut Settings),
    ) -> (World, Odd, Report) {
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        let first = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "{first:?}");
        server.turn_into(bad);
        let report = world.scan_with(change).await;
        (world, server, report)
    }

    /// Nothing is taken away, and the report says why.
    pub(super) async fn keeps_all(
        what: &str,
        bad: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Report {
        keeps_all_with(what, bad, |_| {}).await
    }

    async fn keeps_all_with(
        what: &str,
        bad: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
        change: impl FnOnce(&mut Settings),
    ) -> Report {
        let (world, _server, report) = turned(bad, change).await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        let told = match &report.outcome {
            Ok(_) => report.notes.join("; "),
            Err(reason) => reason.clone(),
        };
        assert!(!report.complete, "{report:?}");
        assert!(told.contains(what), "{what:?} is not in {told:?}");
        let history = world.inventory.scans(world.mirror.name.clone(), 1).await.expect("readable");
        assert_eq!(history[0].outcome, report.outcome, "the failure is written down");
        report
    }

    pub(super) fn ok(request: &Request, out: &mut TcpStream, body: &[u8]) -> io::Result<()> {
        respond(request, out, "200 OK", &[("Content-Type", "text/html")], body)
    }

    #[tokio::test]
    async fn nobody_listens() {
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        world.scan().await;
        let mut gone = World { mirror: mirror(&format!("http://{}/", servers::free_address())), ..world };
        gone.mirror.name = MirrorName::parse("m").expect("valid");
        let report = gone.scan().await;
        assert!(report.outcome.as_ref().is_err_and(|reason| reason.contains("can't connect")), "{report:?}");
        assert_eq!(gone.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn the_connection_is_cut_in_the_middle_of_a_page() {
        keeps_all("broke off", |request, out| {
            let page = page(&FILES, &request.path).unwrap_or_default();
            let length = page.len().to_string();
            respond(
                request,
                out,
                "200 OK",
                &[("Content-Type", "text/html"), ("Content-Length", &length)],
                &page.as_bytes()[..page.len() / 2],
            )
        })
        .await;
    }

    #[tokio::test]
    async fn the_server_dies_in_the_middle_of_a_scan() {
        let left = AtomicUsize::new(4);
        let report = keeps_all("broke off", move |request, out| {
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
                return Ok(());
            }
            good(request, out)
        })
        .await;
        assert!(report.outcome.is_ok(), "what was seen before counts: {report:?}");
    }

    #[tokio::test]
    async fn listings_are_cut_short_without_a_sign_of_it() {
        keeps_all("not whole", |request, out| match page(&FILES, &request.path) {
            Some(page) => {
                write!(out, "HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n")?;
                out.write_all(&page.as_bytes()[..page.len() * 2 / 3])
            }
            None => good(request, out),
        })
        .await;
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_during_a_scan_keeps_its_holdings() {
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        world.scan().await;
        // A tree that is written again with the same bytes: each file is changing for a moment, and is then what it was.
        world.see(&FILES[1..4], Seen::Changing).await;
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        assert_eq!(report.outcome.map(|counts| (counts.gone, counts.doubtful)), Ok((0, 3)));
        world.see(&FILES[1..4], Seen::Later).await;
        assert_eq!(world.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn what_a_scan_of_one_directory_found_meanwhile_stays() {
        let (arrived, meanwhile) = (Arc::new(tokio::sync::Notify::new()), std::sync::mpsc::channel::<()>());
        let (go_on, wait) = (meanwhile.0, std::sync::Mutex::new(Some(meanwhile.1)));
        let told = Arc::clone(&arrived);
        let server = Odd::start(move |request, out| {
            let first = if request.path == "/d/" { wait.lock().expect("no test panicked").take() } else { None };
            match first {
                Some(wait) => {
                    told.notify_one();
                    wait.recv_timeout(Duration::from_secs(4)).ok();
                    respond(request, out, "404 Not Found", &[], b"not yet")
                }
                None => good(request, out),
            }
        });
        let world = World::new(&FILES, &server.url()).await;
        let of_one_directory = async {
            arrived.notified().await;
            let scanner = world.scanner(|_| {});
            let plan = scanner.plan(path("d")).await.expect("readable");
            let report = scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
            go_on.send(()).expect("the server waits");
            report
        };
        let (whole, part) = tokio::join!(world.scan(), of_one_directory);
        assert_eq!(whole.outcome.as_ref().map(|counts| counts.found), Ok(10), "{whole:?}");
        assert_eq!(part.outcome.as_ref().map(|counts| counts.found), Ok(3), "{part:?}");
        assert_eq!(world.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn everything_is_an_empty_page() {
        keeps_all("can't exist", |request, out| ok(request, out, b"")).await;
    }

    #[tokio::test]
    async fn everything_is_a_page_that_says_we_moved() {
        keeps_all("can't exist", |request, out| {
            ok(request, out, b"<html><body>We moved to <a href=\"http://new.example/\">here</a></body></html>")
        })
        .await;
    }

    #[tokio::test]
    async fn everything_is_a_login_page() {
        let form =
            b"<html><body><form action=login method=post><input name=user><input type=password name=p></form></body></html>";
        keeps_all("can't exist", move |request, out| ok(request, out, form)).await;
    }

    #[tokio::test]
    async fn everything_redirects_to_a_login_page() {
        keeps_all("can't exist", |request, out| match request.path.as_str() {
            "/login" => ok(request, out, b"<form><input name=user></form>"),
            _ => respond(request, out, "302 Found", &[("Location", "/login")], b""),
        })
        .await;
    }

    #[tokio::test]
    async fn the_domain_is_parked() {
        let page =
            b"<html><head><title>mirror.example</title></head><body><ul><li><a href=\"/cheap-flights\">Cheap flights</a>\
                     <li><a href=\"/loans/\">Loans</a></ul><a href=\"/a/\">Related</a></body></html>";
        keeps_all("can't exist", move |request, out| ok(request, out, page)).await;
    }

    #[tokio::test]
    async fn a_good_listing_and_a_friendly_page_for_what_is_missing() {
        keeps_all("can't exist", |request, out| {
            if page(&FILES, &request.path).is_some() {
                good(request, out)
            } else {
                ok(request, out, b"Sorry! Try our home page.")
            }
        })
        .await;
    }

    #[tokio::test]
    async fn the_server_fails() {
        keeps_all("500", |request, out| respond(request, out, "500 Internal Server Error", &[], b"")).await;
    }

    #[tokio::test]
    async fn the_server_wants_to_be_left_alone_for_an_hour() {
        let (world, server, report) =
            turned(|request, out| respond(request, out, "503 Service Unavailable", &[("Retry-After", "3600")], b""), |_| {})
                .await;
        assert!(report.outcome.is_err(), "{report:?}");
        assert_eq!(world.held().await, names(&FILES));
        let before = server.requests();
        let report = world.scan().await;
        assert!(report.outcome.is_err());
        assert!(server.requests() - before <= 2, "it is not asked again and again");
    }

    #[tokio::test]
    async fn a_server_that_asks_for_a_moment_gets_it() {
        let refused = AtomicUsize::new(0);
        let (world, _server, report) = turned(
            move |request, out| {
                if refused.fetch_add(1, Ordering::SeqCst) == 0 {
                    return respond(request, out, "429 Too Many Requests", &[("Retry-After", "1")], b"");
                }
                good(request, out)
            },
            |_| {},
        )
        .await;
        assert!(report.complete && report.took >= Duration::from_secs(1), "{report:?}");
        assert_eq!(world.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn everything_redirects_to_another_host() {
        let other = Odd::start(good);
        let target = other.url().replace("127.0.0.1", "127.0.0.77");
        let away = move |request: &Request, out: &mut TcpStream| {
            let location = format!("{target}{}", request.path.trim_start_matches('/'));
            respond(request, out, "302 Found", &[("Location", &location)], b"")
        };
        keeps_all("leads away", away).await;
        assert_eq!(other.requests(), 0);
    }

    #[tokio::test]
    async fn a_redirect_to_our_own_network_is_not_followed() {
        let secret = Odd::start(|request, out| ok(request, out, b"<h1>Router</h1>"));
        let target = secret.url();
        let (world, _server, report) = turned(
            move |request, out| match request.path.as_str() {
                "/a/" => respond(request, out, "301 Moved Permanently", &[("Location", &target)], b""),
                _ => good(request, out),
            },
            |_| {},
        )
        .await;
        assert_eq!(secret.requests(), 0);
        assert!(!report.complete, "{report:?}");
        assert_eq!(world.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn redirects_go_in_circles() {
        keeps_all("in circles", |request, out| {
            respond(request, out, "302 Found", &[("Location", &format!("{}x", request.path))], b"")
        })
        .await;
    }

    #[tokio::test]
    async fn directories_never_end() {
        let endless = |request: &Request, out: &mut TcpStream| {
            if page(&FILES, &request.path).is_none() && request.path.ends_with('/') || request.path == "/a/" {
                return ok(
                    request,
                    out,
                    listing(
                        &request.path,
                        &[("a/", 0, THEN), ("b/", 0, THEN), ("1.xo", 11, THEN), ("2.xo", 12, THEN), ("3.xo", 13, THEN)],
                    )
                    .as_bytes(),
                );
            }
            good(request, out)
        };
        let (world, server, report) = turned(endless, |_| {}).await;
        assert!(report.complete, "{report:?}");
        assert_eq!(world.held().await, names(&FILES));
        assert!(server.requests() < 40, "only our directories are entered: {} requests", server.requests());
    }

    #[tokio::test]
    async fn a_page_never_ends() {
        keeps_all("larger than", |request, out| {
            if request.method == "HEAD" {
                return good(request, out);
            }
            write!(out, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html><head><title>Index of /</title></head><body><pre>")?;
            for n in 0.. {
                writeln!(out, "<a href=\"{n}.xo\">{n}.xo</a>   15-Jun-2025 15:07   {n}")?;
            }
            Ok(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_small_page_unpacks_to_a_huge_one() {
        let mut packer = std::process::Command::new("gzip")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("every Debian has gzip");
        let mut input = packer.stdin.take().expect("piped");
        let feeder = std::thread::spawn(move || {
            let zeros = vec![b' '; 1 << 20];
            (0..64).for_each(|_| input.write_all(&zeros).expect("it reads"));
        });
        let bomb = packer.wait_with_output().expect("it ends").stdout;
        feeder.join().expect("it wrote");
        assert!(bomb.len() < 100_000);
        keeps_all("larger than", move |request, out| {
            if request.method == "HEAD" {
                return good(request, out);
            }
            respond(request, out, "200 OK", &[("Content-Type", "text/html"), ("Content-Encoding", "gzip")], &bomb)
        })
        .await;
    }

    /// Waits until the other side is tired of it.
    pub(super) fn wait_for_hang_up(out: &mut TcpStream) -> io::Result<()> {
        use std::io::Read as _;
        out.set_read_timeout(Some(Duration::from_secs(10)))?;
        out.read(&mut [0]).map(drop)
    }

    #[tokio::test]
    async fn one_byte_a_minute() {
        let slow = |_: &Request, out: &mut TcpStream| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type: text/html\r\n\r\n<")?;
            wait_for_hang_up(out)
        };
        keeps_all_with("in time", slow, |settings| settings.timeout = Span(Duration::from_millis(300))).await;
    }

    #[tokio::test]
    async fn a_byte_now_and_then_keeps_no_question_alive() {
        let dripping = |_: &Request, out: &mut TcpStream| {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nContent-Type: text/html\r\n\r\n")?;
            // The other side says nothing more: each wait for it ends with its bound.
            out.set_read_timeout(Some(Duration::from_millis(20)))?;
            while std::io::Read::read(out, &mut [0]).is_err() {
                out.write_all(b"<")?;
            }
            Ok(())
        };
        keeps_all_with("in time", dripping, |settings| settings.timeout = Span(Duration::from_millis(300))).await;
    }

    #[tokio::test]
    async fn a_connection_is_taken_and_nothing_comes() {
        let silent = |_: &Request, out: &mut TcpStream| wait_for_hang_up(out);
        keeps_all_with("in time", silent, |settings| settings.timeout = Span(Duration::from_millis(300))).await;
    }

    #[tokio::test]
    async fn a_scan_has_an_end() {
        let slow = |request: &Request, out: &mut TcpStream| {
            if request.path.len() > 1 && request.method == "GET" { wait_for_hang_up(out) } else { good(request, out) }
        };
        keeps_all_with("took too long", slow, |settings| settings.limits.duration = Duration::from_millis(500)).await;
    }

    #[tokio::test]
    async fn a_mirror_that_shows_more_than_a_scan_may_take_loses_nothing() {
        // Each of its directories has a thousand files that are not ours before those that are.
        let crowded = |request: &Request, out: &mut TcpStream| match page(&FILES, &request.path) {
            Some(page) => {
                let others: String =
                    (0..1000).map(|n| format!("<a href=\"x{n}\">x{n}</a>  15-Jun-2025 15:07  {n}\r\n")).collect();
                ok(request, out, page.replacen("../</a>\r\n", &format!("../</a>\r\n{others}"), 1).as_bytes())
            }
            None => good(request, out),
        };
        let told = "ended by its limits with";
        keeps_all_with(told, crowded, |settings| settings.limits.entries = 500).await;
        keeps_all_with(told, crowded, |settings| settings.limits.total_bytes = 10_000).await;
    }

    #[tokio::test]
    async fn names_that_are_no_names_are_passed_over() {
        let odd = |request: &Request, out: &mut TcpStream| {
            if request.path == "/a/" {
                let names = [
                    "../../etc/passwd",
                    "..%2f..%2fetc%2fpasswd",
                    "%2e%2e/",
                    "x%00y",
                    "x%0d%0aSet-Cookie: y",
                    "a\\b",
                    "",
                    "//evil.example/",
                    "1.xo",
                    "2.xo",
                    "3.xo",
                ];
                let entries: Vec<_> = names
                    .iter()
                    .map(|name| (*name, 10 + name.bytes().next().map_or(0, |b| u64::from(b.wrapping_sub(b'0'))), THEN))
                    .collect();
                return ok(request, out, listing("/a/", &entries).as_bytes());
            }
            good(request, out)
        };
        let (world, _server, report) = turned(odd, |_| {}).await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
    }

    #[tokio::test]
    async fn all_links_but_one_lead_to_another_host() {
        keeps_all("the others stay", |request, out| {
            if request.path.ends_with('/') {
                let page = page(&FILES, &request.path).unwrap_or_default();
                let page = page
                    .replace("href=\"", "href=\"http://elsewhere.example/")
                    .replace("http://elsewhere.example/top.xo", "top.xo");
                return ok(request, out, page.as_bytes());
            }
            good(request, out)
        })
        .await;
    }

    #[tokio::test]
    async fn an_empty_listing_at_the_root_and_the_files_are_there() {
        let report = keeps_all("the others stay", |request, out| {
            if request.path == "/" { ok(request, out, listing("/", &[]).as_bytes()) } else { good(request, out) }
        })
        .await;
        assert_eq!(report.outcome.expect("it was read").doubtful, 13);
    }

    #[tokio::test]
    async fn an_empty_listing_at_the_root_and_the_files_are_gone() {
        let empty = |request: &Request, out: &mut TcpStream| {
            if request.path == "/" {
                ok(request, out, listing("/", &[]).as_bytes())
            } else {
                respond(request, out, "404 Not Found", &[], b"")
            }
        };
        let (world, _server, report) = turned(empty, |_| {}).await;
        assert_eq!(report.outcome.as_ref().map(|counts| counts.gone), Ok(13), "{report:?}");
        assert!(world.held().await.is_empty(), "this was disproved: every request would end in a 404");
    }

    #[tokio::test]
    async fn an_empty_listing_at_the_root_and_a_page_for_every_file() {
        let asked = AtomicUsize::new(0);
        keeps_all("can't exist", move |request, out| {
            // It says no to the first question only.
            if request.path == "/" {
                ok(request, out, listing("/", &[]).as_bytes())
            } else if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                respond(request, out, "404 Not Found", &[], b"")
            } else {
                ok(request, out, b"please log in")
            }
        })
        .await;
    }

    #[tokio::test]
    async fn one_directory_fails_and_the_others_are_believed() {
        let (world, _server, report) = turned(
            |request, out| match request.path.as_str() {
                "/a/" => respond(request, out, "500 Internal Server Error", &[], b""),
                "/b/" => ok(request, out, listing("/b/", &[("1.xo", 21, THEN), ("3.xo", 23, THEN)]).as_bytes()),
                "/b/2.xo" => respond(request, out, "404 Not Found", &[], b""),
                _ => good(request, out),
            },
            |_| {},
        )
        .await;
        let mut left = names(&FILES);
        left.remove("b/2.xo");
        assert_eq!(world.held().await, left, "{report:?}");
        assert!(!report.complete && report.notes.iter().any(|note| note.contains("/a") && note.contains("500")), "{report:?}");
    }

    #[tokio::test]
    async fn a_directory_is_not_shown_and_its_files_are_there() {
        keeps_all("the others stay", |request, out| match request.path.as_str() {
            "/a/" => respond(request, out, "404 Not Found", &[], b""),
            _ => good(request, out),
        })
        .await;
    }

    #[tokio::test]
    async fn a_directory_without_a_listing_is_asked_file_by_file() {
        let server = Odd::start(|request, out| match request.path.as_str() {
            "/a/" => respond(request, out, "403 Forbidden", &[], b""),
            "/b/" => ok(request, out, b"<html><h1>The b activities</h1></html>"),
            "/b/2.xo" => respond(request, out, "404 Not Found", &[], b""),
            _ => good(request, out),
        });
        let world = World::new(&FILES, &server.url()).await;
        let report = world.scan().await;
        let mut there = names(&FILES);
        there.remove("b/2.xo");
        assert_eq!(world.held().await, there, "{report:?}");
        assert!(report.complete && report.notes.iter().any(|note| note.contains("2 directories")), "{report:?}");
    }

    #[tokio::test]
    async fn a_listing_shows_other_sizes_than_the_files_have() {
        keeps_all("the others stay", |request, out| match request.path.as_str() {
            "/a/" => ok(request, out, listing("/a/", &[("1.xo", 0, THEN), ("2.xo", 0, THEN), ("3.xo", 0, THEN)]).as_bytes()),
            _ => good(request, out),
        })
        .await;
    }

    #[tokio::test]
    async fn a_listing_shows_files_as_directories() {
        keeps_all("the others stay", |request, out| match request.path.as_str() {
            "/a/" => ok(request, out, listing("/a/", &[("1.xo/", 0, THEN), ("2.xo/", 0, THEN), ("3.xo/", 0, THEN)]).as_bytes()),
            _ => good(request, out),
        })
        .await;
    }

    #[tokio::test]
    async fn a_file_has_another_length() {
        let bad = |request: &Request, out: &mut TcpStream| match request.path.as_str() {
            "/" => respond(request, out, "403 Forbidden", &[], b""),
            "/a/1.xo" => respond(request, out, "200 OK", &[], b"short"),
            _ => good(request, out),
        };
        let (world, _server, report) = turned(bad, |_| {}).await;
        let mut left = names(&FILES);
        left.remove("a/1.xo");
        assert_eq!(world.held().await, left, "{report:?}");
        assert_eq!(report.outcome.map(|counts| (counts.found, counts.mismatched)), Ok((12, 1)));
    }

    #[tokio::test]
    async fn a_server_that_knows_no_head_is_asked_for_the_first_byte() {
        let bad = |request: &Request, out: &mut TcpStream| {
            if request.method == "HEAD" {
                return respond(request, out, "405 Method Not Allowed", &[("Allow", "GET")], b"");
            }
            if request.path.ends_with('/') {
                return respond(request, out, "403 Forbidden", &[], b"");
            }
            match FILES.iter().find(|(name, ..)| request.path[1..] == **name) {
                Some((_, size, _)) if request.header("range") == Some("bytes=0-0") => {
                    respond(request, out, "206 Partial Content", &[("Content-Range", &format!("bytes 0-0/{size}"))], b"x")
                }
                Some(_) => panic!("the whole file was asked for"),
                None => respond(request, out, "404 Not Found", &[], b""),
            }
        };
        let (world, _server, report) = turned(bad, |_| {}).await;
        assert_eq!(report.outcome.as_ref().map(|counts| counts.found), Ok(13), "{report:?}");
        assert_eq!(world.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn lengths_are_not_told() {
        keeps_all("does not say enough", |request, out| match request.path.as_str() {
            "/" => respond(request, out, "403 Forbidden", &[], b""),
            path if FILES.iter().any(|(name, ..)| path[1..] == **name) => {
                respond(request, out, "200 OK", &[("Transfer-Encoding", "chunked")], b"0\r\n\r\n")
            }
            _ => respond(request, out, "404 Not Found", &[], b""),
        })
        .await;
    }

    #[tokio::test]
    async fn file_by_file_and_the_server_goes_away() {
        let left = AtomicUsize::new(6);
        keeps_all("in a row", move |request, out| {
            if request.path == "/" {
                return respond(request, out, "403 Forbidden", &[], b"");
            }
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
                return Ok(());
            }
            good(request, out)
        })
        .await;
    }

    #[tokio::test]
    async fn files_are_forbidden_for_a_while() {
        keeps_all("403", |request, out| {
            if request.path.contains("this-name") {
                respond(request, out, "404 Not Found", &[], b"")
            } else {
                respond(request, out, "403 Forbidden", &[], b"")
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_clock_is_years_off() {
        let date = "Mon, 03 Jan 2000 00:00:00 GMT";
        let (world, _server, report) = turned(
            move |request, out| {
                let old: Vec<_> = FILES.iter().map(|(name, size, _)| (*name, *size, 946_857_600)).collect();
                match page(&old, &request.path) {
                    Some(page) => {
                        respond(request, out, "200 OK", &[("Content-Type", "text/html"), ("Date", date)], page.as_bytes())
                    }
                    None => match FILES.iter().find(|(name, ..)| request.path[1..] == **name) {
                        Some((_, size, _)) => {
                            let length = size.to_string();
                            respond(
                                request,
                                out,
                                "200 OK",
                                &[("Content-Length", &length), ("Date", date), ("Last-Modified", date)],
                                b"",
                            )
                        }
                        None => respond(request, out, "404 Not Found", &[("Date", date)], b""),
                    },
                }
            },
            |_| {},
        )
        .await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
    }

    #[tokio::test]
    async fn an_older_copy_of_equal_size_is_no_holding() {
        let server = Odd::start(|request, out| {
            let old: Vec<_> = FILES.iter().map(|(name, size, mtime)| (*name, *size, mtime - 3600)).collect();
            mirror_of(&old, request, out)
        });
        let world = World::new(&FILES, &server.url()).await;
        let report = world.scan().await;
        assert_eq!(report.outcome.as_ref().map(|counts| (counts.found, counts.mismatched)), Ok((0, 13)), "{report:?}");
        assert!(world.held().await.is_empty());
    }

    #[tokio::test]
    async fn an_empty_tree_takes_nothing_away() {
        let server = Odd::start(good);
        let world = World::new(&[], &server.url()).await;
        let report = world.scan().await;
        assert!(report.outcome.is_err_and(|reason| reason.contains("no file")), "nothing to look for");
        assert_eq!(server.requests(), 0);
    }

    #[tokio::test]
    async fn a_scan_that_is_dropped_leaves_no_trace() {
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        world.scan().await;
        server.turn_into(|_, out| wait_for_hang_up(out));
        let scan = world.scan();
        assert!(tokio::time::timeout(Duration::from_millis(200), scan).await.is_err());
        assert_eq!(world.held().await, names(&FILES));
        assert_eq!(world.inventory.scans(world.mirror.name.clone(), 10).await.expect("readable").len(), 1);
    }
}

mod deceiving {
    use super::misbehaving::{FILES, keeps_all, mirror_of, ok, page, turned};
    use super::*;

    /// A mirror that has the files' exact sizes, and the times at which it got them: its listings leave nothing open.
    fn late(request: &Request, out: &mut TcpStream) -> io::Result<()> {
        mirror_of(&FILES.map(|(name, size, mtime)| (name, size, mtime + 10 * 86_400)), request, out)
    }

    /// The same listings, and something else in the place of each file.
    fn instead(
        file: impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> impl Fn(&Request, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static {
        move |request, out| match FILES.iter().any(|(name, ..)| request.path[1..] == **name) {
            true => file(request, out),
            false => late(request, out),
        }
    }

    const LOGIN: &[u8] = b"<html><title>Log in</title><form action=/login><input name=user></form></html>";

    #[tokio::test]
    async fn listings_are_right_and_every_file_is_something_else() {
        type File = fn(&Request, &mut TcpStream) -> io::Result<()>;
        let files: [(&str, File, &str); 5] = [
            ("a login page", |request, out| ok(request, out, LOGIN), "it is another one"),
            (
                "the way to a login page",
                |request, out| respond(request, out, "302 Found", &[("Location", "/login")], b""),
                "the server answers",
            ),
            ("kept from visitors", |request, out| respond(request, out, "403 Forbidden", &[], b""), "403"),
            ("not there", |request, out| respond(request, out, "404 Not Found", &[], b""), "it is not there"),
            (
                "on another host",
                |request, out| respond(request, out, "302 Found", &[("Location", "http://cdn.example/x")], b""),
                "leads away",
            ),
        ];
        for (what, file, why) in files {
            let with_login = move |request: &Request, out: &mut TcpStream| match request.path.as_str() {
                "/login" => ok(request, out, LOGIN),
                _ => instead(file)(request, out),
            };
            let server = Odd::start(with_login);
            let world = World::new(&FILES, &server.url()).await;
            let report = world.scan().await;
            let notes = report.notes.join("; ");
            assert_eq!(world.held().await, names(&[]), "{what}: {report:?}");
            assert!(notes.contains("is not what the server sends") && notes.contains(why), "{what}: {report:?}");
            // It mends its ways.
            server.turn_into(late);
            let report = world.scan().await;
            assert_eq!(world.held().await, names(&FILES), "{what}: {report:?}");
            // A mirror that was good loses what is disproved, and nothing else.
            server.turn_into(with_login);
            let report = world.scan().await;
            let held = world.held().await.len();
            assert!(held >= FILES.len() - 1, "{what}: {held} of {report:?}");
        }
    }

    #[tokio::test]
    async fn listings_are_right_and_a_few_files_are_something_else() {
        let server = Odd::start(|request, out| match request.path.as_str() {
            "/a/1.xo" => ok(request, out, LOGIN),
            "/d/3.xo" => respond(request, out, "404 Not Found", &[], b""),
            _ => late(request, out),
        });
        let world = World::new(&FILES, &server.url()).await;
        // All files are new, and as many are asked for.
        let report = world.scan_with(|settings| settings.limits.sample = FILES.len()).await;
        let mut there = names(&FILES);
        assert!(there.remove("a/1.xo") && there.remove("d/3.xo"));
        assert_eq!(world.held().await, there, "{report:?}");
    }

    #[tokio::test]
    async fn listings_are_right_and_the_server_has_a_bad_day_with_files() {
        let fails = |request: &Request, out: &mut TcpStream| respond(request, out, "500 Internal Server Error", &[], b"");
        let server = Odd::start(instead(fails));
        let world = World::new(&FILES, &server.url()).await;
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "that says nothing of what is there: {report:?}");
    }

    #[tokio::test]
    async fn a_mirror_that_may_redirect_is_followed_to_where_it_may() {
        let store = Odd::start(late);
        let at_store = store.url();
        let server = Odd::start(instead(move |request, out| {
            let location = format!("{at_store}{}", &request.path[1..]);
            respond(request, out, "302 Found", &[("Location", &location)], b"")
        }));
        let mut world = World::new(&FILES, &server.url()).await;
        for (may_redirect, private, held, why) in [
            (false, true, names(&[]), "leads away"),
            (true, false, names(&[]), "is a private address"),
            (true, true, names(&FILES), ""),
        ] {
            world.mirror.asking.may_redirect = may_redirect;
            let report = world.scan_with(|settings| settings.allow_private_addresses = private).await;
            assert_eq!(world.held().await, held, "{report:?}");
            assert!(report.notes.join("; ").contains(why), "{report:?}");
        }
    }

    #[tokio::test]
    async fn so_many_questions_are_under_way_at_once_and_each_says_who_asks() {
        use std::sync::{Condvar, Mutex};
        const CONNECTIONS: usize = 3;
        let (now, most) = (Arc::new((Mutex::new(0_usize), Condvar::new())), Arc::new(AtomicUsize::new(0)));
        let agents = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
        let (count, highest, seen) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&agents));
        let server = Odd::start(move |request, out| {
            seen.lock().expect("no test panics with it").insert(request.header("User-Agent").map(str::to_owned));
            let (count, changed) = &*count;
            let mut under_way = count.lock().expect("no test panics with it");
            *under_way += 1;
            highest.fetch_max(*under_way, Ordering::SeqCst);
            changed.notify_all();
            // More than are allowed would come now; none must, so that the wait for them ends with its bound.
            let bound = Duration::from_millis(50);
            let waited = changed.wait_timeout_while(under_way, bound, |under_way| *under_way <= CONNECTIONS);
            *waited.expect("no test panics with it").0 -= 1;
            mirror_of(&FILES, request, out)
        });
        let world = World::new(&FILES, &server.url()).await;
        let report = world
            .scan_with(|settings| {
                settings.connections = CONNECTIONS;
                settings.contact = Some("https://download.example/mirrors".to_owned());
            })
            .await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        assert_eq!(most.load(Ordering::SeqCst), CONNECTIONS);
        let agent = format!("redirector/{} (+https://download.example/mirrors)", env!("CARGO_PKG_VERSION"));
        assert_eq!(*agents.lock().expect("fine"), std::collections::BTreeSet::from([Some(agent)]));
    }

    #[tokio::test]
    async fn redirects_lead_to_themselves_with_ever_more_to_say() {
        let grow = |request: &Request, out: &mut TcpStream| {
            let sign = if request.path.contains('?') { '&' } else { '?' };
            let location = format!("{}{sign}again={}", request.path, request.path.len());
            respond(request, out, "302 Found", &[("Location", &location)], b"")
        };
        let (world, server, report) = turned(grow, |_| {}).await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        assert!(report.outcome.as_ref().is_err_and(|reason| reason.contains("in circles")), "{report:?}");
        assert!(server.requests() < 60, "{} requests", server.requests());
    }

    #[tokio::test]
    async fn times_are_of_another_age() {
        for (date, listed) in [
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_207_200),
            ("Sat, 01 Jan 2095 00:00:00 GMT", 3_944_678_400),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 00 Jan 1900 00:00:00 GMT", -2_208_988_800),
            ("yesterday", 3_944_678_400),
        ] {
            let bad = move |request: &Request, out: &mut TcpStream| {
                let files: Vec<_> = FILES.iter().map(|(name, size, _)| (*name, *size, listed)).collect();
                if let Some((_, size, _)) = files.iter().find(|(name, ..)| request.path[1..] == **name) {
                    let body = vec![b'x'; usize::try_from(*size).expect("small")];
                    return respond(request, out, "200 OK", &[("Date", date), ("Last-Modified", date)], &body);
                }
                match page(&files, &request.path) {
                    Some(page) => {
                        respond(request, out, "200 OK", &[("Date", date), ("Content-Type", "text/html")], page.as_bytes())
                    }
                    None => respond(request, out, "404 Not Found", &[("Date", date)], b""),
                }
            };
            let (world, _server, report) = turned(bad, |_| {}).await;
            assert!(report.outcome.is_ok(), "{date}: {report:?}");
            assert_eq!(world.held().await, names(&FILES), "{date}: {report:?}");
        }
    }

    #[tokio::test]
    async fn the_server_speaks_something_else() {
        keeps_all("the answer broke off", |_, out| out.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")).await;
        // More headers than anybody needs.
        keeps_all("the answer broke off", |_, out| {
            out.write_all(b"HTTP/1.1 200 OK\r\n")?;
            (0..1000).try_for_each(|n| write!(out, "X-{n}: {n}\r\n"))
        })
        .await;
    }

    #[tokio::test]
    async fn an_answer_is_promised_again_and_again() {
        let short = |settings: &mut Settings| settings.timeout = Span(Duration::from_millis(300));
        // Without an end, and as fast as they are read.
        let soon = |_: &Request, out: &mut TcpStream| {
            let many = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
            loop {
                out.write_all(&many)?;
            }
        };
        let (world, _server, report) = turned(soon, short).await;
        assert!(report.outcome.as_ref().is_err_and(|reason| reason.contains("in time")), "{report:?}");
        assert_eq!(world.held().await, names(&FILES));
    }

    #[tokio::test]
    async fn a_length_is_told_twice_and_differently() {
        keeps_all("the answer broke off", |request, out| {
            let page = page(&FILES, &request.path).unwrap_or_default();
            let (length, headers) = (page.len().to_string(), ("Content-Type", "text/html"));
            respond(request, out, "200 OK", &[headers, ("Content-Length", "3"), ("Content-Length", &length)], page.as_bytes())
        })
        .await;
    }
}

mod again {
    use prometheus_client::registry::Registry;
    use redirector::model::Health;
    use redirector::probe::{self, Prober};
    use redirector::scan::{Metrics, Nudge, Scheduler};
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;

    use super::misbehaving::{FILES, good, wait_for_hang_up};
    use super::*;

    /// A scheduler at work.
    struct Scheduling {
        stop: CancellationToken,
        task: JoinHandle<()>,
        nudge: Nudge,
        metrics: Arc<Metrics>,
    }

    fn schedule(world: &World, interval: Duration) -> Scheduling {
        let scanner = world.scanner(|settings| settings.interval = Span(interval));
        let metrics = Arc::new(Metrics::default());
        let (scheduler, nudge) = Scheduler::new(scanner, world.clock.clone(), Arc::clone(&metrics));
        let stop = CancellationToken::new();
        let task = tokio::spawn(scheduler.run(stop.clone()));
        Scheduling { stop, task, nudge, metrics }
    }

    impl Scheduling {
        async fn end(self) {
            self.stop.cancel();
            tokio::time::timeout(Duration::from_secs(1), self.task)
                .await
                .expect("it stops within a second")
                .expect("it did not die");
        }
    }

    async fn health(world: &World) -> Health {
        world.inventory.snapshot().mirrors().members[0].health
    }

    fn probing(world: &World, nudge: Option<Nudge>) -> (CancellationToken, JoinHandle<()>) {
        let settings = probe::Settings {
            interval: Span(Duration::from_millis(10)),
            timeout: Span(Duration::from_secs(2)),
            failures: 3,
            successes: 2,
            ..probe::Settings::default()
        };
        let clients = Clients::new(&Settings::default(), None).expect("clients");
        let metrics = Arc::new(probe::Metrics::default());
        let prober = Prober::new(world.inventory.clone(), settings, clients, world.clock.clone(), metrics, nudge);
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(prober.run(stop)))
    }

    #[tokio::test]
    async fn mirrors_are_scanned_again_and_again_whatever_happens() {
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        let scheduling = schedule(&world, Duration::from_millis(500));
        until_async("a first scan", async || world.held().await == names(&FILES)).await;
        server.turn_into(|_, _| Ok(()));
        let failed = async || {
            let scans = world.inventory.scans(world.mirror.name.clone(), 1).await.expect("readable");
            scans.first().is_some_and(|scan| scan.outcome.is_err())
        };
        until_async("a failed scan", failed).await;
        assert_eq!(world.held().await, names(&FILES));
        server.turn_into(|request, out| match request.path.as_str() {
            "/b/2.xo" => respond(request, out, "404 Not Found", &[], b""),
            "/b/" => respond(
                request,
                out,
                "200 OK",
                &[("Content-Type", "text/html")],
                listing("/b/", &[("1.xo", 21, THEN), ("3.xo", 23, THEN)]).as_bytes(),
            ),
            _ => good(request, out),
        });
        until_async("a scan that sees the change", async || world.held().await.len() == 12).await;
        let mut registry = Registry::default();
        scheduling.metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes everything");
        for line in [
            "scans_total{instance=\"\",mirror=\"m\",outcome=\"complete\"}",
            "scans_total{instance=\"\",mirror=\"m\",outcome=\"failed\"}",
            "scan_found_files{instance=\"\",mirror=\"m\"} 12",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        scheduling.end().await;
    }

    #[tokio::test]
    async fn a_mirror_that_hangs_holds_nobody_up() {
        let hanging = Odd::start(|_, out| wait_for_hang_up(out));
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        let mut slow = mirror(&hanging.url());
        slow.name = MirrorName::parse("slow").expect("valid");
        world.inventory.set_mirrors(vec![Arc::new(world.mirror.clone()), Arc::new(slow)]).await.expect("written");
        let scheduling = schedule(&world, Duration::from_secs(1));
        until_async("a scan of the other", async || world.held().await == names(&FILES)).await;
        until_async("a question to the slow one", async || hanging.requests() > 0).await;
        scheduling.end().await;
    }

    #[tokio::test]
    async fn nothing_is_scanned_while_there_is_nothing_to_look_for() {
        let server = Odd::start(good);
        let world = World::new(&[], &server.url()).await;
        let scheduling = schedule(&world, Duration::from_millis(100));
        world.put(&FILES).await;
        until_async("a first scan", async || world.held().await == names(&FILES)).await;
        scheduling.end().await;
    }

    #[tokio::test]
    async fn a_mirror_is_down_after_several_failures_and_up_after_several_successes() {
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        world.scan().await;
        let (stop, task) = probing(&world, None);
        until_async("up", async || health(&world).await == Health::Up).await;
        server.turn_into(|request, out| respond(request, out, "500 Internal Server Error", &[], b""));
        until_async("down", async || health(&world).await == Health::Down).await;
        server.turn_into(good);
        until_async("up again", async || health(&world).await == Health::Up).await;
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(1), task).await.expect("it stops within a second").expect("it did not die");
        let history = world.inventory.health_history(world.mirror.name.clone(), 10).await.expect("readable");
        let mut healths: Vec<_> = history.iter().map(|change| change.health).collect();
        healths.sort_by_key(|health| health.as_str());
        assert_eq!(
            healths,
            [Health::Down, Health::Failing, Health::Up, Health::Up],
            "only changes are written down: {history:?}"
        );
        assert!(
            history.iter().any(|change| change.reason.as_ref().is_some_and(|reason| reason.contains("500"))),
            "{history:?}"
        );
    }

    #[tokio::test]
    async fn a_mirror_that_lacks_a_file_is_scanned_and_not_given_up() {
        let server = Odd::start(good);
        let world = World::new(&FILES, &server.url()).await;
        world.scan().await;
        let scheduling = schedule(&world, Duration::from_secs(3600));
        let missing = |request: &Request, out: &mut TcpStream| match request.path.as_str() {
            "/a/1.xo" => respond(request, out, "404 Not Found", &[], b""),
            "/a/" => respond(
                request,
                out,
                "200 OK",
                &[("Content-Type", "text/html")],
                listing("/a/", &[("2.xo", 12, THEN), ("3.xo", 13, THEN)]).as_bytes(),
            ),
            _ => good(request, out),
        };
        server.turn_into(missing);
        let (stop, task) = probing(&world, Some(scheduling.nudge.clone()));
        until_async("the file is taken away", async || world.held().await.len() == 12).await;
        assert_eq!(health(&world).await, Health::Up);
        stop.cancel();
        task.await.expect("it did not die");
        scheduling.end().await;
    }

    #[tokio::test]
    async fn a_mirror_without_files_is_asked_for_its_base() {
        let server = Odd::start(|request, out| respond(request, out, "403 Forbidden", &[], b""));
        let world = World::new(&FILES, &server.url()).await;
        let (stop, task) = probing(&world, None);
        until_async("up", async || health(&world).await == Health::Up).await;
        server.turn_into(|_, _| Ok(()));
        until_async("down", async || health(&world).await == Health::Down).await;
        stop.cancel();
        task.await.expect("it did not die");
    }
}

mod buckets {
    use std::fmt::Write as _;

    use super::*;

    const FILES: [(&str, u64, i64); 8] = [
        ("4078/labyrinth-7.xo", 676_401, THEN),
        ("4078/labyrinth-8.xo", 5_000_000_000, THEN),
        ("4259/+ciudadano-2.xo", 999, THEN),
        ("odd/a b&c.xo", 1024, THEN),
        ("odd/\u{fc}-\u{8a9e}<.xo", 10_240, THEN),
        ("deep/er/and/deeper/x.xo", 1, THEN),
        ("readme.txt", 3, THEN),
        ("top.xo", 42, THEN),
    ];

    /// Which version of the interface a server knows.
    #[derive(Clone, Copy, PartialEq)]
    enum Api {
        /// With continuation tokens.
        V2,
        /// Which goes on after the last key.
        V1,
    }

    /// An object store with few objects a page, whose bucket lists at `root`.
    struct Store {
        api: Api,
        root: &'static str,
        objects: Vec<(String, u64)>,
    }

    impl Store {
        /// The mirror's objects are below `prefix`, and there are others.
        fn new(api: Api, root: &'static str, prefix: &'static str) -> Self {
            let ours = FILES.iter().map(|(name, size, _)| (format!("{prefix}{name}"), *size));
            let others = [("a-private/x.xo", 3), ("zzz/last", 4)].map(|(name, size)| (name.to_owned(), size));
            let markers =
                [("4078/", 0), ("odd/../up", 5), ("odd//empty", 6)].map(|(name, size)| (format!("{prefix}{name}"), size));
            let mut objects: Vec<_> = ours.chain(others).chain(markers).collect();
            objects.sort();
            Self { api, root, objects }
        }

        fn answer(&self, request: &Request, out: &mut TcpStream) -> io::Result<()> {
            let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
            let missing = "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code></Error>";
            if path == self.root {
                let page = self.page(&keys(query));
                return respond(request, out, "200 OK", &[("Content-Type", "application/xml")], page.as_bytes());
            }
            let key = decoded(path.strip_prefix(self.root).unwrap_or("/"));
            match self.objects.iter().find(|(name, _)| *name == key && !name.ends_with('/')) {
                // They are written to the store later than they were made.
                Some((_, size)) => {
                    let length = size.to_string();
                    let time =
                        httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(THEN.unsigned_abs() + 86_400));
                    let headers = [("Content-Length", length.as_str()), ("Last-Modified", time.as_str())];
                    respond(request, out, "200 OK", &headers, b"")
                }
                None => respond(request, out, "404 Not Found", &[("Content-Type", "application/xml")], missing.as_bytes()),
            }
        }

        fn page(&self, query: &[(String, String)]) -> String {
            const PAGE: usize = 3;
            let get = |key: &str| query.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value.as_str());
            let is_v2 = self.api == Api::V2 && get("list-type") == "2";
            let prefix = get("prefix");
            let after = match is_v2 {
                true => get("continuation-token").strip_prefix("token+/=").unwrap_or_default(),
                false => get("marker"),
            };
            let left: Vec<_> =
                self.objects.iter().filter(|(name, _)| name.starts_with(prefix) && name.as_str() > after).collect();
            let encode = |text: &str| match get("encoding-type") {
                "url" => percent_encoding::percent_encode(text.as_bytes(), percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
                    .replace("%20", "+"),
                _ => text.replace('&', "&amp;").replace('<', "&lt;"),
            };
            let mut page = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult><Name>b</Name><Prefix>{}</Prefix><IsTruncated>{}</IsTruncated>",
                encode(prefix),
                left.len() > PAGE
            );
            if get("encoding-type") == "url" {
                page.push_str("<EncodingType>url</EncodingType>");
            }
            if is_v2 && left.len() > PAGE {
                write!(page, "<NextContinuationToken>token+/={}</NextContinuationToken>", left[PAGE - 1].0).expect("written");
            }
            for (name, size) in left.iter().take(PAGE) {
                let time = "2025-06-20T00:00:00.000Z";
                write!(
                    page,
                    "<Contents><Key>{}</Key><LastModified>{time}</LastModified><Size>{size}</Size></Contents>",
                    encode(name)
                )
                .expect("written");
            }
            page + "</ListBucketResult>"
        }
    }

    fn keys(query: &str) -> Vec<(String, String)> {
        query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.to_owned(), decoded(value)))
            .collect()
    }

    fn decoded(text: &str) -> String {
        percent_encoding::percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned()
    }

    /// A world whose mirror is a bucket.
    async fn world(store: Store, base: &str) -> (World, Odd) {
        let server = Odd::start(move |request, out| store.answer(request, out));
        let world = World::new(&FILES, &format!("{}{base}", server.url())).await;
        (world, server)
    }

    #[tokio::test]
    async fn a_bucket_is_listed_whole_wherever_it_is() {
        for api in [Api::V2, Api::V1] {
            for (root, prefix, base) in
                [("/", "", ""), ("/b/", "", "b/"), ("/", "pub/sugar/", "pub/sugar/"), ("/b/", "pub/a b/", "b/pub/a%20b/")]
            {
                let (world, server) = world(Store::new(api, root, prefix), base).await;
                let report = world.scan().await;
                assert_eq!(world.held().await, names(&FILES), "{root} {prefix}: {report:?}");
                assert!(report.complete && report.notes.is_empty(), "{root} {prefix}: {report:?}");
                assert_eq!(report.protocol, Protocol::Http);
                assert!(server.requests() <= 12 + 4, "a page a question, not a file, but for a sample: {}", server.requests());
            }
        }
    }

    #[tokio::test]
    async fn what_a_bucket_no_longer_has_is_gone() {
        let (world, server) = world(Store::new(Api::V2, "/b/", "pub/"), "b/pub/").await;
        world.scan().await;
        let mut less = Store::new(Api::V2, "/b/", "pub/");
        less.objects.retain(|(name, _)| !name.ends_with("labyrinth-7.xo"));
        less.objects.iter_mut().filter(|(name, _)| name.ends_with("top.xo")).for_each(|(_, size)| *size += 1);
        server.turn_into(move |request, out| less.answer(request, out));
        let report = world.scan().await;
        let counts = report.outcome.as_ref().expect("it works");
        assert_eq!((counts.found, counts.gone, counts.mismatched, report.complete), (6, 1, 1, true), "{report:?}");
        // One directory of it alone.
        let scanner = world.scanner(|_| {});
        let plan = scanner.plan(path("odd")).await.expect("readable");
        let report = scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
        assert_eq!(report.outcome.as_ref().map(|counts| (counts.found, counts.entries)), Ok((2, 4)), "{report:?}");
        assert_eq!(world.held().await.len(), 6);
    }

    #[tokio::test]
    async fn a_bucket_that_may_be_listed_and_not_read_holds_nothing() {
        let store = Store::new(Api::V2, "/b/", "");
        let server =
            Odd::start(move |request, out| match FILES.iter().any(|(name, ..)| decoded(&request.path).ends_with(name)) {
                true => respond(request, out, "403 Forbidden", &[("Content-Type", "application/xml")], b"<Error/>"),
                false => store.answer(request, out),
            });
        let world = World::new(&FILES, &format!("{}b/", server.url())).await;
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&[]), "{report:?}");
        assert!(report.notes.join("; ").contains("is not what the server sends"), "{report:?}");
    }

    /// Scans a good bucket, then one whose listing is changed.
    async fn keeps_all(what: &str, change: impl Fn(String) -> String + Send + Sync + 'static) {
        let (world, server) = world(Store::new(Api::V2, "/b/", ""), "b/").await;
        world.scan().await;
        let store = Store::new(Api::V2, "/b/", "");
        server.turn_into(move |request, out| match request.path.split_once('?') {
            Some((_, query)) if query.contains("prefix=") => {
                let page = change(store.page(&keys(query)));
                respond(request, out, "200 OK", &[("Content-Type", "application/xml")], page.as_bytes())
            }
            _ => store.answer(request, out),
        });
        let report = world.scan().await;
        assert_eq!(world.held().await, names(&FILES), "{report:?}");
        assert!(!report.complete, "{report:?}");
        let told = format!("{:?} {:?}", report.notes, report.outcome);
        assert!(told.contains(what), "{what:?} is not in {told:?}");
    }

    #[tokio::test]
    async fn a_buckets_listing_that_is_cut_or_goes_in_circles_takes_nothing_away() {
        keeps_all("not whole", |page| page.replace("</ListBucketResult>", "")).await;
        keeps_all("in circles", |page| {
            let (head, tail) = page.split_once("token+/=").unwrap_or((&page, ""));
            let rest = tail.split_once('<').map_or("", |(_, rest)| rest);
            if rest.is_empty() { page.clone() } else { format!("{head}token+/=4<{rest}") }
        })
        .await;
    }

    #[tokio::test]
    async fn servers_that_have_a_machine_readable_form_are_asked_for_it() {
        let server = Odd::start(|request, out| {
            // As Caddy does.
            let wants_json = request.header("accept").is_some_and(|accept| accept.contains("application/json"));
            match request.path.as_str() {
                "/" if wants_json => {
                    let time = jiff::Timestamp::from_second(THEN).expect("in range");
                    let page = format!(
                        r#"[{{"name":"top.xo","size":42,"url":"./top.xo","mod_time":"{time}","mode":420,"is_dir":false,"is_symlink":false}}]"#
                    );
                    respond(request, out, "200 OK", &[("Content-Type", "application/json; charset=utf-8")], page.as_bytes())
                }
                "/" => respond(request, out, "200 OK", &[("Content-Type", "text/html")], b"<p>a page for people</p>"),
                "/top.xo" => respond(request, out, "200 OK", &[], &[b'x'; 42]),
                _ => respond(request, out, "404 Not Found", &[], b""),
            }
        });
        let world = World::new(&[("top.xo", 42, THEN)], &server.url()).await;
        let report = world.scan().await;
        assert_eq!((report.protocol, report.complete), (Protocol::Http, true), "{report:?}");
        assert_eq!(world.held().await, names(&[("top.xo", 42, THEN)]));
        assert_eq!(server.requests(), 4, "the listing, whether the server says no, the listing; and whether the file is sent");
    }
}
