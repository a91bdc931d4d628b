//! What mirrors can do for clients is tried by probes, kept to, and remembered.

mod running;
mod scanning;
mod servers;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use redirector::inventory::Inventory;
use redirector::model::{Abilities, BaseUrl, Checkup, Health, Mirror, Ranges, Reached, Scheme, Span, TreePath, Trust};
use redirector::probe::{self, Prober};
use redirector::scan::{Clients, Mode, Quiet, Settings};
use scanning::{THEN, World};
use servers::{Folder, Odd, Request, Server, respond};
use tokio_util::sync::CancellationToken;

/// Probes a mirror that was scanned, until something is so of what is known of it.
async fn probed(world: &World, what: &str, mut is_so: impl FnMut(&Abilities, Health) -> bool) -> Checkup {
    let settings = probe::Settings {
        interval: Span(Duration::from_millis(20)),
        timeout: Span(Duration::from_secs(10)),
        failures: 3,
        successes: 1,
    };
    let scan = Settings { allow_private_addresses: true, ..Settings::default() };
    let clients = Clients::new(&scan, None).expect("clients");
    let metrics = Arc::new(probe::Metrics::default());
    let prober = Prober::new(world.inventory.clone(), settings, clients, world.clock.clone(), metrics, None);
    let stop = CancellationToken::new();
    let task = tokio::spawn(prober.run(stop.clone()));
    let wait = async {
        loop {
            let state = world.inventory.snapshot().mirrors().members[0].clone();
            if is_so(&state.abilities, state.health) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok();
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
    serving.signal(rustix::process::Signal::HUP);
    running::until("it is scanned as well", || sent_to(new).as_deref() == Some("six"));
}
