//! Scanning a mirror again: what has not changed costs next to nothing, and what has is noticed, whatever the server says of it.

mod scanning;
mod servers;
mod until;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use redirector::clock::Clock;
use redirector::inventory::{Counts, Inventory};
use redirector::model::TreePath;
use redirector::scan::{Mode, Quiet, Report, Scanner};
use scanning::{World, mirror, names, quick};
use servers::{Folder, Odd, Server, listing, respond};

const THEN: i64 = 1_750_000_027;
const FILES: [(&str, u64, i64); 4] =
    [("a/b/one.xo", 1000, THEN), ("a/two.xo", 2000, THEN), ("c/three.xo", 3000, THEN), ("top.xo", 4000, THEN)];

fn folder() -> Folder {
    let folder = Folder::new();
    for (name, size, mtime) in FILES {
        folder.write(name, usize::try_from(size).expect("small"), mtime);
    }
    folder
}

async fn scan(world: &World, scanner: &Scanner) -> (Report, Counts) {
    let plan = scanner.plan(TreePath::root()).await.expect("the inventory can be read");
    let report = scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
    let counts = report.outcome.clone().unwrap_or_else(|reason| panic!("{reason}"));
    (report, counts)
}

/// A scanner that reads a directory anew only when it has changed.
fn trusting(world: &World) -> Scanner {
    world.scanner(|settings| settings.limits.reread = 1 << 40)
}

#[tokio::test]
async fn apache_names_the_state_of_each_directory() {
    let folder = folder();
    // Apache names the state of a listing, but sends it all the same: a long one is not read then.
    let many: Vec<String> = (0..600).map(|number| format!("many/file-{number:05}.xo")).collect();
    many.iter().for_each(|name| folder.write(name, 10, THEN));
    // Of what changed less than a second ago it names the state otherwise.
    date_folders(&folder, &["many", "a/b", "a", "c", ""]);
    let server = Server::apache(folder.path(), "FancyIndexing HTMLTable NameWidth=* TrackModified", "");
    let world = World::new(&FILES, &server.url()).await;
    world.put(&many.iter().map(|name| (name.as_str(), 10, THEN)).collect::<Vec<_>>()).await;
    let scanner = trusting(&world);
    let (_, first) = scan(&world, &scanner).await;
    let known = world.inventory.snapshot().mirrors().clone();
    let (report, second) = scan(&world, &scanner).await;
    assert!(report.complete, "{report:?}");
    assert_eq!((first.found, second.found, second.gone, second.entries), (604, 604, 0, first.entries));
    assert!(second.bytes * 3 < first.bytes, "the long page is not read again: {} of {} bytes", second.bytes, first.bytes);
    assert!(Arc::ptr_eq(&known, &world.inventory.snapshot().mirrors()), "nothing changed in memory");

    // What is new below is noticed, and what goes, too.
    folder.write("c/four.xo", 5000, THEN);
    folder.remove("a/two.xo");
    world.put(&[("c/four.xo", 5000, THEN)]).await;
    let (report, third) = scan(&world, &scanner).await;
    assert_eq!((third.found, third.gone), (604, 1), "{report:?}");
    let mut left = names(&FILES);
    left.extend(many);
    left.remove("a/two.xo");
    left.insert("c/four.xo".to_owned());
    assert_eq!(world.held().await, left);
}

#[tokio::test]
async fn a_page_that_is_the_same_as_before_is_not_judged_again() {
    let folder = folder();
    // Rounded sizes leave doubts: at the first scan each file is asked for.
    let server = Server::nginx(folder.path(), "autoindex on; autoindex_exact_size off; autoindex_localtime on;");
    let world = World::new(&FILES, &server.url()).await;
    let scanner = trusting(&world);
    let (_, first) = scan(&world, &scanner).await;
    let (report, second) = scan(&world, &scanner).await;
    assert_eq!((first.found, second.found, second.gone, second.mismatched, second.doubtful), (4, 4, 0, 0, 0), "{report:?}");
    // A file is replaced here and not there: the page is the same, and says something else now.
    world.put(&[("a/two.xo", 9000, THEN + 60)]).await;
    for round in 0..2 {
        let (report, counts) = scan(&world, &scanner).await;
        assert_eq!((counts.found, counts.mismatched), (3, 1), "round {round}: {report:?}");
    }
    assert!(!world.held().await.contains("a/two.xo"));
}

#[tokio::test]
async fn a_copy_that_was_disproved_by_a_question_is_asked_for_again_although_the_page_is_the_same() {
    let folder = folder();
    // Apache shows 2.9K of both, in a time zone that nobody knows.
    folder.write("c/three.xo", 2950, THEN);
    let server = Server::apache(folder.path(), "FancyIndexing HTMLTable NameWidth=*", "");
    let world = World::new(&FILES, &server.url()).await;
    let scanner = trusting(&world);
    for _ in 0..2 {
        let (report, counts) = scan(&world, &scanner).await;
        assert_eq!((counts.found, counts.mismatched), (3, 1), "{report:?}");
    }
    let opened = std::fs::File::options().write(true).open(folder.path().join("c/three.xo")).expect("it is there");
    opened.set_len(3000).expect("it grows");
    opened.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(THEN.cast_unsigned())).expect("the time can be set");
    let (report, counts) = scan(&world, &scanner).await;
    assert_eq!((counts.found, counts.mismatched), (4, 0), "{report:?}");
}

#[tokio::test]
async fn a_listing_is_not_sent_again_by_a_server_that_knows_either_name_of_its_state() {
    for (names_it, asks) in
        [(("ETag", "\"one\""), "if-none-match"), (("Last-Modified", "Sun, 15 Jun 2025 15:07:07 GMT"), "if-modified-since")]
    {
        let sent = Arc::new(AtomicUsize::new(0));
        let pages = Arc::clone(&sent);
        let server = Odd::start(move |request, out| {
            if request.header(asks) == Some(names_it.1) {
                return respond(request, out, "304 Not Modified", &[names_it], b"");
            }
            let page = match request.path.as_str() {
                "/" => listing("/", &[("a/", 0, THEN)]),
                "/a/" => listing("/a/", &[("one.xo", 1000, THEN)]),
                "/a/one.xo" => return respond(request, out, "200 OK", &[], &[0; 1000]),
                _ => return respond(request, out, "404 Not Found", &[], b""),
            };
            pages.fetch_add(1, Ordering::SeqCst);
            respond(request, out, "200 OK", &[("Content-Type", "text/html"), names_it], page.as_bytes())
        });
        let world = World::new(&[("a/one.xo", 1000, THEN)], &server.url()).await;
        // What the listing above shows of a directory's time is not believed.
        let scanner = trusting(&world);
        let (_, first) = scan(&world, &scanner).await;
        let (before, asked) = (sent.load(Ordering::SeqCst), server.requests());
        scanner.distrust(&world.mirror.name);
        let (report, second) = scan(&world, &scanner).await;
        assert_eq!((first.found, second.found, second.gone, report.complete), (1, 1, 0, true), "{asks}: {report:?}");
        assert!(server.requests() - asked >= 3, "{asks}: both directories were asked for, and what can't exist");
        // The base is asked for once more: whether there is a listing at all.
        assert_eq!(sent.load(Ordering::SeqCst) - before, 1, "{asks}");
    }
}

#[tokio::test]
async fn a_server_that_says_falsely_that_nothing_changed_is_found_out() {
    let (emptied, unchanged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (is_emptied, count) = (Arc::clone(&emptied), Arc::clone(&unchanged));
    let server = Odd::start(move |request, out| {
        if request.header("if-none-match").is_some() {
            count.fetch_add(1, Ordering::SeqCst);
            return respond(request, out, "304 Not Modified", &[("ETag", "\"always\"")], b"");
        }
        let html = [("Content-Type", "text/html"), ("ETag", "\"always\"")];
        match request.path.as_str() {
            "/" => respond(request, out, "200 OK", &html, listing("/", &[("a/", 0, THEN)]).as_bytes()),
            "/a/" if is_emptied.load(Ordering::SeqCst) => {
                respond(request, out, "200 OK", &html, listing("/a/", &[("two.xo", 2000, THEN)]).as_bytes())
            }
            "/a/" => {
                let page = listing("/a/", &[("one.xo", 1000, THEN), ("two.xo", 2000, THEN)]);
                respond(request, out, "200 OK", &html, page.as_bytes())
            }
            "/a/one.xo" if !is_emptied.load(Ordering::SeqCst) => respond(request, out, "200 OK", &[], &[0; 1000]),
            "/a/two.xo" => respond(request, out, "200 OK", &[], &[0; 2000]),
            _ => respond(request, out, "404 Not Found", &[], b""),
        }
    });
    let world = World::new(&[("a/one.xo", 1000, THEN), ("a/two.xo", 2000, THEN)], &server.url()).await;
    let scanner = world.scanner(|settings| settings.limits = redirector::scan::Limits { reread: 3, ..quick() });
    scan(&world, &scanner).await;
    assert_eq!(world.held().await.len(), 2);
    emptied.store(true, Ordering::SeqCst);
    let mut rounds = 0;
    while world.held().await.len() == 2 {
        scan(&world, &scanner).await;
        rounds += 1;
        assert!(rounds <= 3, "each directory is read anew every third scan");
    }
    // Each directory's turn may have come at once; not at each of three scans.
    for _ in 0..3 {
        scan(&world, &scanner).await;
    }
    assert!(unchanged.load(Ordering::SeqCst) > 0, "it did lie");
    assert_eq!(world.held().await, ["a/two.xo".to_owned()].into());
}

#[tokio::test]
async fn what_a_dry_run_saw_is_not_taken_for_known() {
    let folder = folder();
    let server = Server::nginx(folder.path(), "autoindex on;");
    let world = World::new(&FILES, &server.url()).await;
    let scanner = trusting(&world);
    let plan = scanner.plan(TreePath::root()).await.expect("the inventory can be read");
    let report = scanner.scan(&world.mirror, &plan, Mode::DryRun, &Quiet).await;
    assert!(report.outcome.is_ok() && world.held().await.is_empty());
    let (_, counts) = scan(&world, &scanner).await;
    assert_eq!((counts.found, world.held().await), (4, names(&FILES)));
}

/// Gives folders a time of long ago, as mirrors do that keep times.
fn date_folders(folder: &Folder, names: &[&str]) {
    for name in names {
        let opened = std::fs::File::open(folder.path().join(name)).expect("it is there");
        let seconds = Duration::from_secs(THEN.cast_unsigned());
        opened.set_modified(SystemTime::UNIX_EPOCH + seconds).expect("the time can be set");
    }
}

/// nginx that writes down what it is asked.
fn talkative(folder: &Folder) -> Server {
    Server::nginx(folder.path(), "autoindex on; access_log access.log short;")
}

/// What a server was asked since it had been asked so much, without the protocol and the connection.
fn asked_since(server: &Server, before: usize) -> Vec<String> {
    let short = |line: &String| line.splitn(3, ' ').last().unwrap_or_default().to_owned();
    server.asked().iter().skip(before).map(short).collect()
}

/// A world whose inventory is in a file: as after a start of the program.
async fn started(database: &Path, url: &str) -> World {
    let (clock, mirror) = (Clock::system(), mirror(url));
    let settings = redirector::inventory::Settings { database: database.to_owned(), ..Default::default() };
    let inventory = Inventory::open(&settings, vec![Arc::new(mirror.clone())], clock.clone()).await.expect("it opens");
    World { inventory, clock, mirror }
}

/// The same, where nothing was known, with files in the tree.
async fn begun(database: &Path, url: &str, files: &[(&str, u64, i64)]) -> World {
    let world = started(database, url).await;
    world.put(files).await;
    world.inventory.set_indexed().await.expect("written");
    world
}

/// So many directories of long ago with a file each, and the names of the files.
fn one_file_each(count: usize) -> (Vec<String>, Folder) {
    let (names, folder): (Vec<String>, _) = ((0..count).map(|number| format!("d{number}/x.xo")).collect(), Folder::new());
    names.iter().for_each(|name| folder.write(name, 10, THEN));
    date_all(&folder, &names);
    (names, folder)
}

/// Gives the folders of these files a time of long ago.
fn date_all(folder: &Folder, names: &[String]) {
    date_folders(folder, &names.iter().map(|name| name.trim_end_matches("/x.xo")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_directory_that_shows_the_time_that_it_had_is_not_asked_for() {
    let folder = folder();
    date_folders(&folder, &["a/b", "a", "c"]);
    let server = talkative(&folder);
    let world = World::new(&FILES, &server.url()).await;
    let scanner = trusting(&world);
    let (_, first) = scan(&world, &scanner).await;
    let before = server.asked().len();
    let (report, second) = scan(&world, &scanner).await;
    assert!(report.complete, "{report:?}");
    assert_eq!((second.found, second.gone, second.entries), (4, 0, first.entries));
    let asked = asked_since(&server, before);
    let listings: Vec<&String> = asked.iter().filter(|line| line.starts_with("GET")).collect();
    assert_eq!(listings, ["GET /", "GET /", "GET /a/"], "what has directories below it, and nothing else: {asked:?}");

    // What goes changes its directory's time, and what the tree has elsewhere is looked for.
    folder.remove("c/three.xo");
    world.put(&[("a/b/new.xo", 10, THEN)]).await;
    folder.write("a/b/new.xo", 10, THEN);
    date_folders(&folder, &["a/b"]);
    let (report, third) = scan(&world, &scanner).await;
    assert_eq!((third.found, third.gone), (4, 1), "{report:?}");
    assert!(world.held().await.contains("a/b/new.xo") && !world.held().await.contains("c/three.xo"));
    // A probe has seen something: nothing is believed.
    let before = server.asked().len();
    scanner.distrust(&world.mirror.name);
    scan(&world, &scanner).await;
    assert!(asked_since(&server, before).contains(&"GET /a/b/".to_owned()));
}

#[tokio::test]
async fn a_directory_that_changed_and_shows_the_same_time_has_all_of_them_asked_for() {
    let (names, folder) = one_file_each(40);
    let files: Vec<(&str, u64, i64)> = names.iter().map(|name| (name.as_str(), 10, THEN)).collect();
    let server = talkative(&folder);
    let world = World::new(&files, &server.url()).await;
    let scanner = world.scanner(|settings| settings.limits.reread = 4);
    scan(&world, &scanner).await;
    assert_eq!(world.held().await.len(), 40);
    // Something takes files away, and sets the times of their directories to what they were.
    for name in names.iter().skip(1) {
        folder.remove(name);
    }
    date_all(&folder, &names);
    let before = server.asked().len();
    let (report, counts) = scan(&world, &scanner).await;
    assert_eq!((counts.found, counts.gone, counts.entries), (1, 39, 41), "{report:?}");
    assert_eq!(world.held().await, ["d0/x.xo".to_owned()].into());
    let listings = |asked: &[String]| asked.iter().filter(|line| line.starts_with("GET /d")).count();
    let asked = asked_since(&server, before);
    assert_eq!(listings(&asked), 40, "each of them once: {asked:?}");
    // Such times are not believed again soon.
    let before = server.asked().len();
    scan(&world, &scanner).await;
    assert_eq!(listings(&asked_since(&server, before)), 40);
}

#[tokio::test]
async fn what_was_learnt_outlives_a_restart_and_is_of_no_use_elsewhere() {
    let (folder, state) = (folder(), Folder::new());
    date_folders(&folder, &["a/b", "a", "c"]);
    let (server, database) = (talkative(&folder), state.path().join("test.sqlite"));
    let world = begun(&database, &server.url(), &FILES).await;
    scan(&world, &trusting(&world)).await;
    world.inventory.clone().close().await.expect("closes");

    let world = started(&database, &server.url()).await;
    let before = server.asked().len();
    let (report, counts) = scan(&world, &trusting(&world)).await;
    assert_eq!((counts.found, counts.gone), (4, 0), "{report:?}");
    let asked = asked_since(&server, before);
    assert!(!asked.iter().any(|line| line == "GET /a/b/" || line == "GET /c/"), "{asked:?}");
    // The tree has changed meanwhile: what the mirror has is another version now.
    world.put(&[("c/three.xo", 9000, THEN + 60)]).await;
    world.inventory.clone().close().await.expect("closes");
    let world = started(&database, &server.url()).await;
    let (report, counts) = scan(&world, &trusting(&world)).await;
    assert_eq!((counts.found, counts.mismatched), (3, 1), "{report:?}");
    assert!(!world.held().await.contains("c/three.xo"));
    world.inventory.clone().close().await.expect("closes");

    // The mirror moves to a server that shows the same times, and has less.
    let other = self::folder();
    other.remove("a/b/one.xo");
    date_folders(&other, &["a/b", "a", "c"]);
    let server = talkative(&other);
    let world = started(&database, &server.url()).await;
    scan(&world, &trusting(&world)).await;
    assert_eq!(world.held().await, ["a/two.xo".to_owned(), "top.xo".to_owned()].into());
    assert!(asked_since(&server, 0).contains(&"GET /a/b/".to_owned()));
}

#[tokio::test]
async fn a_rescan_of_an_unchanged_mirror_writes_next_to_nothing_and_changes_nothing_in_memory() {
    let (names, folder) = one_file_each(300);
    let files: Vec<(&str, u64, i64)> = names.iter().map(|name| (name.as_str(), 10, THEN)).collect();
    let state = Folder::new();
    let (server, database) = (talkative(&folder), state.path().join("test.sqlite"));
    let world = begun(&database, &server.url(), &files).await;
    let scanner = world.scanner(|settings| settings.limits.reread = 12);
    let (_, first) = scan(&world, &scanner).await;
    let log = || std::fs::metadata(state.path().join("test.sqlite-wal")).map_or(0, |log| log.len());
    let (_, asked_first) = (scan(&world, &scanner).await, server.asked().len());
    // With the log emptied, what it has afterwards is what was written.
    let connection = rusqlite::Connection::open(&database).expect("opens");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("is done");
    assert_eq!(log(), 0);
    let known = world.inventory.snapshot().mirrors().clone();
    let (report, third) = scan(&world, &scanner).await;
    assert!(report.complete, "{report:?}");
    assert_eq!((third.found, third.entries), (300, first.entries));
    // A line of history, and that it was one scan more; what was read anew and is what it was is not written again.
    const FEW: u64 = 5 * 4096;
    assert!(log() > 0 && log() <= FEW, "{} bytes", log());
    assert!(Arc::ptr_eq(&known, &world.inventory.snapshot().mirrors()), "nothing changed in memory");
    let asked = server.asked().len() - asked_first;
    // The root twice, a name that can't exist, and those whose turn it is: about a twelfth.
    assert!(asked < 70, "{asked} questions for 301 directories");

    // Where all of them are read anew and are what they were, no more is written.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("is done");
    let before = server.asked().len();
    let anew = world.scanner(|settings| settings.limits.reread = 1);
    let (report, fourth) = scan(&world, &anew).await;
    assert_eq!((fourth.found, report.complete), (300, true), "{report:?}");
    assert!(server.asked().len() - before > 300, "each was asked for");
    assert!(log() <= FEW, "{} bytes", log());
    assert!(Arc::ptr_eq(&known, &world.inventory.snapshot().mirrors()), "nothing changed in memory");
}

#[tokio::test]
async fn what_was_committed_before_a_kill_is_all_that_a_rescan_goes_by() {
    let (folder, state) = (folder(), Folder::new());
    date_folders(&folder, &["a/b", "a", "c"]);
    let (server, database) = (talkative(&folder), state.path().join("test.sqlite"));
    let world = begun(&database, &server.url(), &FILES).await;
    let scanner = trusting(&world);
    scan(&world, &scanner).await;
    // What lies on the disk when the program is killed now, and after one more scan of a mirror that has less.
    let left_behind = |name: &str| {
        let copy = state.path().join(name);
        std::fs::copy(&database, &copy).expect("is copied");
        let log = |database: &Path| database.with_file_name(format!("{}-wal", database.file_name().expect("a name").display()));
        std::fs::copy(log(&database), log(&copy)).expect("is copied");
        copy
    };
    let first = left_behind("first.sqlite");
    folder.remove("a/b/one.xo");
    scan(&world, &scanner).await;
    let second = left_behind("second.sqlite");
    let left = names(&FILES[1..]);
    for (copy, gone) in [(first, 1), (second, 0)] {
        let world = started(&copy, &server.url()).await;
        let (report, counts) = scan(&world, &trusting(&world)).await;
        assert_eq!((counts.found, counts.gone), (3, gone), "{report:?}");
        assert_eq!(world.held().await, left);
    }
}
