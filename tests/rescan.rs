//! Scanning a mirror again: what has not changed costs next to nothing, and what has is noticed, whatever the server says of it.

mod scanning;
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redirector::inventory::Counts;
use redirector::model::TreePath;
use redirector::scan::{Mode, Quiet, Report, Scanner};
use scanning::{World, names, quick};
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
    assert_eq!(world.held().await, ["a/two.xo".to_owned()].into());
    assert!(unchanged.load(Ordering::SeqCst) > 0, "it did lie");
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
