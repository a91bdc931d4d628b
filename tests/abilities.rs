//! What mirrors can do for clients is tried by probes, kept to, and remembered.

mod running;
mod scanning;
mod servers;
mod until;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redirector::inventory::{Inventory, Observation, Seen};
use redirector::model::{Abilities, BaseUrl, Checkup, Health, Mirror, Ranges, Reached, Scheme, Span, TreePath, Trust};
use redirector::probe::{self, Prober};
use redirector::scan::{Clients, Mode, Quiet, Report, Settings};
use redirector::tree::{self, Root, Trees};
use scanning::{THEN, World};
use servers::{Folder, Odd, Request, Server, respond};
use tokio_util::sync::CancellationToken;
use until::{look_async, until_async};

fn prober(world: &World, settings: probe::Settings) -> Prober {
    let scan = Settings { allow_private_addresses: true, ..Settings::default() };
    let clients = Clients::new(&scan, None).expect("clients");
    let metrics = Arc::new(probe::Metrics::default());
    Prober::new(world.inventory.clone(), settings, clients, world.clock.clone(), metrics, None)
}

/// Probes a mirror that was scanned, until something is so of what is known of it.
async fn probed(world: &World, what: &str, mut is_so: impl FnMut(&Abilities, Health) -> bool) -> Checkup {
    let settings = probe::Settings {
        interval: Span(Duration::from_millis(20)),
        timeout: Span(Duration::from_secs(10)),
        failures: 3,
        successes: 1,
        ..probe::Settings::default()
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(prober(world, settings).run(stop.clone()));
    let came = look_async(async || {
        let state = world.inventory.snapshot().mirrors().members[0].clone();
        is_so(&state.abilities, state.health).then_some(())
    })
    .await
    .is_some();
    let known = world.inventory.checkup(world.mirror.name.clone()).await.expect("it is read");
    assert!(came, "{what}: not within 60 s, but {known:?}");
    stop.cancel();
    task.await.expect("it did not die");
    known.expect("it was tried")
}

async fn scanned(files: &[(&str, u64, i64)], mirror: impl FnOnce(Mirror) -> Mirror, url: &str) -> World {
    let mut world = World::new(files, url).await;
    world.mirror = mirror(world.mirror.clone());
    world.inventory.set_mirrors(vec![Arc::new(world.mirror.clone())]).await.expect("taken");
    let scanner = world.scanner(|settings| settings.allow_private_addresses = true);
    let plan = scanner.plan(TreePath::root()).await.expect("the inventory can be read");
    let report = scanner.scan(&world.mirror, &plan, Mode::Record, &Quiet).await;
    assert!(report.outcome.is_ok(), "{report:?}");
    world
}

fn http(url: &str) -> Option<BaseUrl> {
    Some(BaseUrl::parse(url, Scheme::Http).expect("valid"))
}

const GIB: u64 = 1 << 30;
const LARGE: [(&str, u64, i64); 3] = [("small.iso", 1000, THEN), ("medium.iso", 3 * GIB, THEN), ("large.iso", 5 * GIB, THEN)];

/// The same files on a mirror; large ones are holes.
fn large_files() -> Folder {
    let folder = Folder::new();
    for (name, size, mtime) in LARGE {
        folder.write(name, 0, mtime);
        let file = fs::File::options().write(true).open(folder.path().join(name)).expect("it is there");
        file.set_len(size).expect("holes take no room");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs())).expect("the time can be set");
    }
    folder
}

#[tokio::test]
async fn a_server_that_can_count_is_used_for_large_files() {
    let folder = large_files();
    let server = Server::nginx(folder.path(), "autoindex on;");
    let world = scanned(&LARGE, |mirror| mirror, &server.url()).await;
    assert_eq!(world.held().await, scanning::names(&LARGE));
    let known = probed(&world, "it is tried", |abilities, _| abilities.ranges == Ranges::Kept).await;
    assert_eq!((known.abilities.largest, known.notes.len()), (None, 0), "{known:?}");
    assert_eq!((known.abilities.ipv4, known.abilities.ipv6), (Reached::Yes, Reached::No), "its address is one of IPv4");
    assert_eq!(known.abilities.certificate, Trust::Unknown, "it has none");
}

/// A server of the large files that knows as many bits of positions, and sends rubbish beyond them.
fn counts_to(bits: u32) -> impl Fn(&Request, &mut std::net::TcpStream) -> std::io::Result<()> {
    move |request, out| {
        let modified = ("Last-Modified", "Wed, 14 Jan 2026 00:00:00 GMT");
        let found = LARGE.iter().find(|(name, ..)| request.path == format!("/{name}"));
        if request.path == "/" {
            let entries = LARGE.map(|(name, size, time)| (name, size, time));
            return respond(
                request,
                out,
                "200 OK",
                &[("Content-Type", "text/html")],
                servers::listing("/", &entries).as_bytes(),
            );
        }
        let Some((_, size, _)) = found else { return respond(request, out, "404 Not Found", &[], b"") };
        let Some(range) = request.header("Range").and_then(|range| range.strip_prefix("bytes=")) else {
            return respond(request, out, "200 OK", &[modified, ("Content-Length", &size.to_string())], b"");
        };
        let ends: Vec<u64> = range.split('-').map(|end| end.parse().expect("a number")).collect();
        let counted = |number: u64| number & ((1 << bits) - 1);
        let told = format!("bytes {}-{}/{}", counted(ends[0]), counted(ends[1]), counted(*size));
        let body = vec![0; usize::try_from(ends[1] - ends[0] + 1).expect("few")];
        respond(request, out, "206 Partial Content", &[modified, ("Content-Range", &told)], &body)
    }
}

#[tokio::test]
async fn a_server_that_can_not_count_beyond_32_bits_gets_no_clients_for_larger_files() {
    for (bits, largest) in [(32, 4 * GIB), (31, 2 * GIB)] {
        let server = Odd::start(counts_to(bits));
        let world = scanned(&LARGE, |mirror| mirror, &server.url()).await;
        let known = probed(&world, "it is found out", |abilities, _| abilities.largest.is_some()).await;
        assert_eq!(known.abilities.largest, Some(largest), "{known:?}");
        assert!(known.notes.iter().any(|note| note.contains("/large.iso: asked for its last bytes, it sends")), "{known:?}");
        assert_eq!(world.held().await, scanning::names(&LARGE), "what it holds is another question");
        // A server that was mended is used again.
        server.turn_into(counts_to(63));
        probed(&world, "it is mended", |abilities, _| abilities.largest.is_none()).await;
    }
}

#[tokio::test]
async fn a_server_that_sends_other_parts_than_were_asked_for_gets_no_requests_for_parts() {
    const FILES: [(&str, u64, i64); 1] = [("a.xo", 1000, THEN)];
    // What it says of the part, and how many bytes come; HEAD has the right length each time.
    for (told, bytes, expected) in [
        ("bytes 984-999/1000", 16, Ranges::Kept),
        ("bytes 984-999/*", 16, Ranges::Kept),
        ("bytes 0-15/1000", 16, Ranges::Ignored),
        ("bytes 984-999/999", 16, Ranges::Ignored),
        ("bytes 984-999/1000", 15, Ranges::Ignored),
        ("bytes 984-999/1000", 1000, Ranges::Ignored),
        ("", 16, Ranges::Ignored),
    ] {
        let server = Odd::start(move |request, out| match (request.path.as_str(), request.header("Range")) {
            ("/", _) => {
                let page = servers::listing("/", &FILES);
                respond(request, out, "200 OK", &[("Content-Type", "text/html")], page.as_bytes())
            }
            ("/a.xo", None) => respond(request, out, "200 OK", &[], &[b'x'; 1000]),
            ("/a.xo", Some(_)) => respond(request, out, "206 Partial Content", &[("Content-Range", told)], &vec![b'x'; bytes]),
            _ => respond(request, out, "404 Not Found", &[], b""),
        });
        let world = scanned(&FILES, |mirror| mirror, &server.url()).await;
        let what = format!("{told:?} and {bytes} bytes");
        let known = probed(&world, &what, |abilities, _| abilities.ranges == expected).await;
        assert_eq!(known.notes.is_empty(), expected == Ranges::Kept, "{what}: {known:?}");
        assert_eq!(world.held().await, scanning::names(&FILES), "{what}: what it holds is another question");
    }
}

#[tokio::test]
async fn a_refused_certificate_costs_a_mirror_its_https_clients_and_no_others() {
    let folder = Folder::new();
    folder.write("a.xo", 1000, THEN);
    let (plain, tls) = (Server::nginx(folder.path(), "autoindex on;"), Server::nginx_tls(folder.path()));
    let https = BaseUrl::parse(&format!("https://{}/", tls.address()), Scheme::Https).expect("valid");
    let with_both = |mirror| Mirror { https: Some(https.clone()), ..mirror };
    let world = scanned(&[("a.xo", 1000, THEN)], with_both, &plain.url()).await;
    let known = probed(&world, "it is told", |abilities, _| abilities.certificate == Trust::Refused).await;
    assert!(known.notes.iter().any(|note| note.starts_with(https.as_str()) && note.contains("not trusted")), "{known:?}");
    let state = world.inventory.snapshot().mirrors().members[0].clone();
    assert_eq!((state.base(Scheme::Https), state.base(Scheme::Http)), (None, world.mirror.http.as_ref()));
    assert!(state.health.is_usable(), "it goes on for who may come in the clear");
    probed(&world, "it is up", |_, health| health == Health::Up).await;
}

#[tokio::test]
async fn a_mirror_that_has_nothing_but_a_bad_certificate_is_down() {
    let folder = Folder::new();
    folder.write("a.xo", 1000, THEN);
    let tls = Server::nginx_tls(folder.path());
    let world = World::new(&[("a.xo", 1000, THEN)], "http://unused.invalid/").await;
    let https = BaseUrl::parse(&format!("https://{}/", tls.address()), Scheme::Https).ok();
    let mirror = Mirror { http: None, https, ..world.mirror.clone() };
    world.inventory.set_mirrors(vec![Arc::new(mirror)]).await.expect("taken");
    let known = probed(&world, "it is down", |_, health| health == Health::Down).await;
    assert_eq!(known.abilities.certificate, Trust::Refused);
}

#[tokio::test]
async fn a_name_with_two_kinds_of_addresses_of_which_one_is_dead_is_found_out() {
    let folder = Folder::new();
    folder.write("a.xo", 1000, THEN);
    let server = Server::nginx_at_localhost(folder.path());
    let url = format!("http://localhost:{}/", server.address().port());
    let world = scanned(&[("a.xo", 1000, THEN)], |mirror| mirror, &url).await;
    let known = probed(&world, "both are tried", |abilities, _| abilities.ipv4 != Reached::Unknown).await;
    assert_eq!((known.abilities.ipv4, known.abilities.ipv6), (Reached::Yes, Reached::No), "{known:?}");
}

/// Bytes that differ from file to file, and from place to place.
fn content(name: &str, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251 + name.len() + usize::from(name.as_bytes()[0])) as u8).collect()
}

const BYTES: usize = 10_000;

/// A tree of files and a mirror that lists them all; those for which `is_right` does not hold have other bytes there.
async fn copied(names: &[&str], is_right: impl Fn(&str) -> bool) -> (World, Root, [Folder; 2], Server) {
    let (tree, mirror) = (Folder::new(), Folder::new());
    for name in names {
        tree.write_bytes(name, &content(name, BYTES), THEN);
        let copy = if is_right(name) { content(name, BYTES) } else { content("!", BYTES) };
        mirror.write_bytes(name, &copy, THEN);
    }
    let server = Server::nginx(mirror.path(), "autoindex on;");
    let (world, root) = known_tree(&tree, names, &server.url()).await;
    (world, root, [tree, mirror], server)
}

/// What an inventory knows of a tree, with a mirror that was scanned.
async fn known_tree(tree: &Folder, names: &[&str], url: &str) -> (World, Root) {
    let root = Trees::open(&tree::Settings::of(tree.path())).expect("a tree").public;
    let world = World::new(&[], url).await;
    let seen = |name: &&str| {
        let path = scanning::path(name);
        let fingerprint = root.look(&path).expect("it is there").fingerprint;
        Observation { path, fingerprint, at: world.clock.now(), kind: Seen::First }
    };
    world.inventory.observe(names.iter().map(seen).collect()).await.expect("written");
    rescanned(&world).await;
    (world, root)
}

async fn rescanned(world: &World) -> Report {
    world.scan_with(|settings| settings.allow_private_addresses = true).await
}

/// Probes that compare bytes with a tree.
fn comparing(world: &World, root: &Root) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    comparing_or_not(world, root, true)
}

fn comparing_or_not(world: &World, root: &Root, compare_bytes: bool) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let settings = probe::Settings {
        compare_bytes,
        interval: Span(Duration::from_millis(10)),
        timeout: Span(Duration::from_secs(10)),
        successes: 1,
        ..probe::Settings::default()
    };
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(prober(world, settings).comparing(root.clone()).run(stop)))
}

#[tokio::test]
async fn a_copy_with_other_bytes_is_left_out_until_it_is_right() {
    let (world, root, [_tree, mirror], _server) = copied(&["a.xo", "b.xo"], |name| name == "a.xo").await;
    assert_eq!(world.held().await.len(), 2, "size and time are right");
    let wrong = async || world.inventory.wrong(world.mirror.name.clone()).await.expect("readable");
    let (stop, task) = comparing(&world, &root);
    until_async("it is found out", async || world.held().await.len() == 1).await;
    assert_eq!(wrong().await.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>(), ["b.xo"]);
    // What a scan sees does not make it right.
    let report = rescanned(&world).await;
    let counts = report.outcome.clone().expect("it was scanned");
    assert_eq!((counts.found, counts.mismatched), (1, 1), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("other bytes than they should, like /b.xo")), "{report:?}");
    assert!(!world.held().await.contains("b.xo"));
    let gaps = world.inventory.gaps(world.mirror.name.clone()).await.expect("readable").expect("told");
    assert_eq!((gaps.missing, gaps.stale), (0, 1), "its operator is told");
    assert!(world.inventory.snapshot().mirrors().members[0].health.is_usable(), "one bad file is no bad mirror");
    mirror.write_bytes("b.xo", &content("b.xo", BYTES), THEN);
    until_async("it is seen to be right", async || wrong().await.is_empty()).await;
    rescanned(&world).await;
    assert_eq!(world.held().await.len(), 2);
    stop.cancel();
    task.await.expect("it did not die");
}

#[tokio::test]
async fn no_bytes_are_compared_where_that_is_switched_off() {
    const LISTED: [(&str, u64, i64); 1] = [("a.xo", BYTES as u64, THEN)];
    // How often the last bytes were asked for, as at each try of what a mirror can do, and how often other parts.
    let (tried, compared) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (tries, comparisons) = (Arc::clone(&tried), Arc::clone(&compared));
    let server = Odd::start(move |request, out| {
        let own = content("a.xo", BYTES);
        match (request.path.as_str(), request.header("Range").and_then(|range| range.strip_prefix("bytes="))) {
            ("/", _) => {
                let page = servers::listing("/", &LISTED);
                respond(request, out, "200 OK", &[("Content-Type", "text/html")], page.as_bytes())
            }
            ("/a.xo", None) => respond(request, out, "200 OK", &[], &own),
            ("/a.xo", Some(range)) => {
                let ends: Vec<usize> = range.split('-').map(|end| end.parse().expect("a number")).collect();
                let part = &own[ends[0]..=ends[1]];
                let counter = if part.len() == 16 { &tries } else { &comparisons };
                counter.fetch_add(1, Ordering::SeqCst);
                let told = format!("bytes {range}/{BYTES}");
                respond(request, out, "206 Partial Content", &[("Content-Range", &told)], part)
            }
            _ => respond(request, out, "404 Not Found", &[], b""),
        }
    });
    let tree = Folder::new();
    tree.write_bytes("a.xo", &content("a.xo", BYTES), THEN);
    let (world, root) = known_tree(&tree, &["a.xo"], &server.url()).await;
    for compare_bytes in [false, true] {
        let (stop, task) = comparing_or_not(&world, &root, compare_bytes);
        let before = tried.load(Ordering::SeqCst);
        // Its first try may have ended before the bytes of it are compared; two more have not.
        until_async("its ways were tried", async || tried.load(Ordering::SeqCst) >= before + 3).await;
        assert_eq!(compared.load(Ordering::SeqCst) > 0, compare_bytes);
        stop.cancel();
        task.await.expect("it did not die");
    }
}

#[tokio::test]
async fn a_mirror_of_which_most_bytes_are_wrong_does_not_work() {
    let names = ["1.xo", "2.xo", "3.xo", "4.xo", "5.xo", "6.xo"];
    let (world, root, [_tree, mirror], _server) = copied(&names, |_| false).await;
    assert_eq!(world.held().await.len(), 6);
    let health = || world.inventory.snapshot().mirrors().members[0].health;
    let (stop, task) = comparing(&world, &root);
    until_async("it is down", async || health() == Health::Down).await;
    let history = world.inventory.health_history(world.mirror.name.clone(), 1).await.expect("readable");
    assert!(
        history[0].reason.as_ref().is_some_and(|reason| reason.contains("have other bytes than they should")),
        "{history:?}"
    );
    assert!(world.held().await.is_empty(), "each of them was seen to be wrong");
    names.iter().for_each(|name| mirror.write_bytes(name, &content(name, BYTES), THEN));
    until_async("it is up", async || health() == Health::Up).await;
    stop.cancel();
    task.await.expect("it did not die");
}

#[tokio::test]
async fn one_garbled_answer_disproves_nothing() {
    const LISTED: [(&str, u64, i64); 1] = [("a.xo", BYTES as u64, THEN)];
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = Odd::start(move |request, out| {
        let own = content("a.xo", BYTES);
        match (request.path.as_str(), request.header("Range").and_then(|range| range.strip_prefix("bytes="))) {
            ("/", _) => {
                let page = servers::listing("/", &LISTED);
                respond(request, out, "200 OK", &[("Content-Type", "text/html")], page.as_bytes())
            }
            ("/a.xo", None) => respond(request, out, "200 OK", &[], &own),
            ("/a.xo", Some(range)) => {
                let ends: Vec<usize> = range.split('-').map(|end| end.parse().expect("a number")).collect();
                let mut part = own[ends[0]..=ends[1]].to_vec();
                // Every second time, it is garbled, cut, or of another file.
                let number = if part.len() > 100 { count.fetch_add(1, Ordering::SeqCst) } else { 1 };
                let mut told = format!("bytes {range}/{BYTES}");
                match number % 6 {
                    0 => part[7] ^= 1,
                    2 => part.truncate(99),
                    4 => told = format!("bytes {range}/{}", BYTES + 1),
                    _ => {}
                }
                respond(request, out, "206 Partial Content", &[("Content-Range", &told)], &part)
            }
            _ => respond(request, out, "404 Not Found", &[], b""),
        }
    });
    let tree = Folder::new();
    tree.write_bytes("a.xo", &content("a.xo", BYTES), THEN);
    let (world, root) = known_tree(&tree, &["a.xo"], &server.url()).await;
    let (stop, task) = comparing(&world, &root);
    until_async("it was compared some times", async || asked.load(Ordering::SeqCst) >= 12).await;
    stop.cancel();
    task.await.expect("it did not die");
    assert_eq!(world.held().await.len(), 1);
    assert!(world.inventory.wrong(world.mirror.name.clone()).await.expect("readable").is_empty());
    assert!(world.inventory.snapshot().mirrors().members[0].health.is_usable());
}

#[tokio::test]
async fn what_was_tried_outlives_a_restart_and_not_a_move() {
    let folder = Folder::new();
    let world = World::new(&[], "http://m.example/").await;
    let settings = redirector::inventory::Settings {
        database: folder.path().join("test.sqlite"),
        ..redirector::inventory::Settings::default()
    };
    let abilities = Abilities {
        ranges: Ranges::Ignored,
        largest: Some(4 * GIB),
        certificate: Trust::Refused,
        ipv4: Reached::Yes,
        ipv6: Reached::No,
    };
    let at = world.clock.now().round(jiff::Unit::Second).expect("it is one");
    let notes = vec!["one".to_owned(), "two".to_owned()];
    let checkup = Checkup { at, abilities, certificate_until: Some(at), notes };
    let open = async |mirror: &Mirror| {
        Inventory::open(&settings, vec![Arc::new(mirror.clone())], world.clock.clone()).await.expect("it opens")
    };
    let inventory = open(&world.mirror).await;
    inventory.record_checkup(world.mirror.name.clone(), at, checkup.clone()).await.expect("written");
    assert_eq!(inventory.snapshot().mirrors().members[0].abilities, abilities);
    inventory.close().await.expect("it ends");
    let inventory = open(&world.mirror).await;
    assert_eq!(inventory.snapshot().mirrors().members[0].abilities, abilities, "requests keep to it from the start");
    assert_eq!(inventory.checkup(world.mirror.name.clone()).await.expect("it is read"), Some(checkup));
    inventory.close().await.expect("it ends");
    let moved = open(&Mirror { http: http("http://n.example/"), ..world.mirror.clone() }).await;
    assert_eq!(moved.snapshot().mirrors().members[0].abilities, Abilities::default());
    assert_eq!(moved.checkup(world.mirror.name.clone()).await.expect("it is read"), None);
}

/// A server that has a file of a site and sends the whole of it, whatever part is asked for; of parts beyond what it can count, rubbish.
fn sends_no_parts(name: &'static str, size: u64) -> Odd {
    Odd::start(move |request, out| {
        let length = ("Content-Length", &*size.to_string());
        match request.path.trim_start_matches('/') {
            "" => {
                let page = servers::listing("/", &[(name, size, running::OLD)]);
                respond(request, out, "200 OK", &[("Content-Type", "text/html")], page.as_bytes())
            }
            path if path == name && request.method == "HEAD" => respond(request, out, "200 OK", &[length], b""),
            path if path == name => respond(request, out, "200 OK", &[("Content-Length", "5000")], &[b'x'; 5000]),
            _ => respond(request, out, "404 Not Found", &[], b""),
        }
    })
}

#[test]
fn who_asks_for_a_part_is_not_sent_to_a_server_that_sends_none() {
    let site = running::Site::with_a_file("parts");
    let server = sends_no_parts("old.xo", 100_000);
    // Its bytes are not what is at issue here.
    site.configure("", "", &format!("compare-bytes = false\n{}", running::mirror("whole", &server.url())));
    let _serving = running::Running::start(&[&site]);
    let part = || running::get(site.listen, "/old.xo", "Range: bytes=0-9\r\n").expect("it answers");
    running::until("it is scanned", || site.get("/old.xo").mirror() == Some("whole"));
    running::until("it is found out", || part().status == 206);
    assert_eq!((part().mirror(), part().body.len()), (None, 10), "{:?}", part());
    assert_eq!(site.get("/old.xo").mirror(), Some("whole"), "whole files are to be had there");
}

#[test]
fn nobody_is_sent_for_a_large_file_to_a_server_that_can_not_count_so_far() {
    let site = running::Site::new("large");
    for (name, size, mtime) in &LARGE[..2] {
        let name = format!("tree/{name}");
        site.folder.write(&name, 0, *mtime);
        let file = fs::File::options().write(true).open(site.folder.path().join(name)).expect("it is there");
        file.set_len(*size).expect("holes take no room");
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(mtime.unsigned_abs())).expect("the time can be set");
    }
    let server = Odd::start(counts_to(31));
    site.configure("", "", &format!("compare-bytes = false\n{}", running::mirror("short", &server.url())));
    let _serving = running::Running::start(&[&site]);
    let sent_to = |name: &str| {
        let reply = running::get(site.listen, name, "Range: bytes=0-9\r\n").expect("it answers");
        reply.mirror().map(str::to_owned)
    };
    running::until("it is scanned", || sent_to("/medium.iso").as_deref() == Some("short"));
    running::until("it is found out", || sent_to("/medium.iso").is_none());
    assert_eq!(sent_to("/small.iso").as_deref(), Some("short"));
}

#[test]
fn a_client_that_has_nothing_but_ipv6_gets_only_mirrors_that_answer_there() {
    let (site, folder) = (running::Site::with_a_file("v6"), Folder::new());
    folder.write("old.xo", 100_000, running::OLD);
    let four = Server::nginx(folder.path(), "autoindex on;");
    let mirrors = |more: &str| format!("[answers]\nip-version = \"require\"\n{}{more}", running::mirror("four", &four.url()));
    site.configure("trusted-proxies = [\"127.0.0.0/8\"]\n", "", &mirrors(""));
    let serving = running::Running::start(&[&site]);
    let sent_to = |client: &str| {
        let headers = format!("X-Forwarded-For: {client}\r\n");
        let reply = running::get(site.listen, "/old.xo", &headers).expect("it answers");
        reply.mirror().map(str::to_owned)
    };
    let (old, new) = ("145.97.39.155", "2001:610:1:80aa:192:87:30:59");
    running::until("it is scanned", || sent_to(old).as_deref() == Some("four"));
    running::until("it is found out", || sent_to(new).is_none());
    assert_eq!(sent_to(old).as_deref(), Some("four"));
    // One that answers there comes.
    let six = Server::nginx_at_ipv6(folder.path());
    site.configure("trusted-proxies = [\"127.0.0.0/8\"]\n", "", &mirrors(&running::mirror("six", &six.url())));
    serving.reload();
    running::until("it is scanned as well", || sent_to(new).as_deref() == Some("six"));
}
