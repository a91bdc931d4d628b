//! The life of a file: from the sand box to the mirrors, replaced, withdrawn, deleted (scenarios 1 to 18).

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use jiff::SignedDuration;
use redirector::model::FileState;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::mirror::Mirror;
use super::site::{PRODUCTION, Site, bundle, sha256, until, write};

const LABYRINTH: &str = "/activities/4078/labyrinth-7.xo";
const FILE: &str = "4078/labyrinth-7.xo";

/// A site with one mirror, in the Netherlands.
fn site_with_leiden() -> Site {
    let mut site = Site::new();
    site.production().add(Mirror::new("leiden", "nl"));
    site
}

/// Copies the public tree to a mirror.
fn sync(site: &mut Site, mirror: &str) {
    let tree = site.production().public();
    site.mirror(mirror).sync(&tree);
}

/// A site where Labyrinth 7 is public, old enough, and on the mirror in Leiden.
async fn site_with_labyrinth_at_leiden() -> Site {
    let mut site = site_with_leiden();
    site.start().await;
    site.publish(FILE, &bundle(7, 30_000)).await;
    sync(&mut site, "leiden");
    site.minutes_later(31).await;
    site.expect(LABYRINTH, "302 leiden").await;
    site
}

/// Scenario 1. Here, what only the application tree has is served from there, marked; with `application-access = "deny"`
/// it is as the library's scenario says: 404.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_to_the_sand_box_alone_is_never_sent_to_a_mirror() {
    let mut site = Site::of(&["activities", "activities-testing"]);
    site.instance("activities-testing").set("tree", "application-access = \"deny\"");
    let content = bundle(7, 20_000);
    for name in ["activities", "activities-testing"] {
        let mirror = Mirror::new("leiden", "nl");
        // It has the bundle, wherever it got it from.
        mirror.put(FILE, &content, site.clock.now().as_second());
        site.instance(name).add(mirror);
        write(&site.instance(name).application().join(FILE), &content, site.clock.now());
    }
    site.start().await;
    site.minutes_later(31).await;

    let answer = site.get(LABYRINTH).await;
    assert_eq!(answer.gist(), "200 not-public");
    assert_eq!(answer.body, content);
    assert!(answer.header("cache-control").contains("private"), "{answer:?}");
    for method in ["GET", "HEAD"] {
        let answer = site.ask(method, "/activities-testing/4078/labyrinth-7.xo", &[]).await;
        assert_eq!(answer.gist(), "404");
        assert_eq!((answer.location(), answer.links()), ("", Vec::new()));
        assert!(!answer.header("content-type").contains("html"), "a program gets no page: {answer:?}");
    }
}

/// Scenario 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_copied_to_the_tree_at_once_is_served_and_listed_only_where_listings_are_on() {
    let mut site = Site::of(&["activities", "activities-testing"]);
    site.instance("activities").set("tree", "index = false");
    for name in ["activities", "activities-testing"] {
        write(&site.instance(name).application().join(FILE), b"a bundle", site.clock.now());
    }
    site.start().await;
    for name in ["activities", "activities-testing"] {
        site.publish_in(name, FILE, b"a bundle").await;
        let answer = site.get(&format!("/{name}/{FILE}")).await;
        assert_eq!((answer.gist().as_str(), answer.body.as_slice()), ("200 young", b"a bundle".as_slice()));
    }
    assert_eq!(site.get("/activities/4078/").await.status, 404);
    let listing = site.get("/activities-testing/4078/").await;
    assert!(String::from_utf8_lossy(&listing.body).contains("labyrinth-7.xo"), "{listing:?}");
}

/// Scenarios 3 and 44: the updaters' links, and rows whose date is 0000-00-00, know of no 30 minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_first_second_a_new_file_is_served_whole_from_the_tree() {
    let mut site = site_with_leiden();
    site.start().await;
    let content = bundle(7, 676_401);
    site.copy(PRODUCTION, FILE, &content);
    let answer = site.get(LABYRINTH).await;
    assert_eq!(answer.status, 200);
    assert!(["not-indexed", "changing", "young"].contains(&answer.why()), "{}", answer.gist());
    assert_eq!(answer.header("content-length"), "676401");
    assert_eq!(answer.header("content-type"), "application/vnd.olpc-sugar");
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.body, content);
}

/// Scenario 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_later_nobody_has_synced_and_the_counters_say_why_it_is_served_from_here() {
    let mut site = Site::of(&["activities", "activities-testing"]);
    site.instance("activities-testing").set("tree", "min-age = \"0s\"");
    for name in ["activities", "activities-testing"] {
        site.instance(name).add(Mirror::new("leiden", "nl"));
    }
    site.start().await;
    for name in ["activities", "activities-testing"] {
        site.publish_in(name, FILE, b"a bundle").await;
    }
    site.minutes_later(10).await;
    for (name, why) in [("activities", "young"), ("activities-testing", "no-mirror")] {
        let before = site.requests(name, "local", why).await;
        assert_eq!(site.get(&format!("/{name}/{FILE}")).await.gist(), format!("200 {why}"));
        assert_eq!(site.requests(name, "local", why).await, before + 1);
    }
}

/// Scenario 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_minutes_later_a_mirror_that_has_it_is_used_unless_a_minimum_age_says_otherwise() {
    let mut site = Site::of(&["activities", "activities-testing"]);
    site.instance("activities-testing").set("tree", "min-age = \"0s\"");
    for name in ["activities", "activities-testing"] {
        site.instance(name).add(Mirror::new("leiden", "nl"));
    }
    site.start().await;
    for name in ["activities", "activities-testing"] {
        site.publish_in(name, FILE, b"a bundle").await;
        let tree = site.instance(name).public();
        site.instance(name).mirrors[0].sync(&tree);
    }
    site.minutes_later(10).await;
    site.expect("/activities-testing/4078/labyrinth-7.xo", "302 leiden").await;
    until("leiden is known to have it", async || site.holds(PRODUCTION, "leiden", FILE).await).await;
    assert_eq!(site.get(LABYRINTH).await.gist(), "200 young");
    site.minutes_later(21).await;
    site.expect(LABYRINTH, "302 leiden").await;
}

/// Scenario 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_31_minutes_two_mirrors_hold_it_and_one_hop_leads_to_the_very_bytes() {
    let mut site = site_with_leiden();
    site.production().add(Mirror::new("rochester", "us"));
    site.start().await;
    let content = bundle(7, 676_401);
    site.publish(FILE, &content).await;
    sync(&mut site, "leiden");
    sync(&mut site, "rochester");
    site.minutes_later(31).await;
    until("both are known to have it", async || {
        site.holds(PRODUCTION, "leiden", FILE).await && site.holds(PRODUCTION, "rochester", FILE).await
    })
    .await;

    let client = [("X-Forwarded-For", super::site::NETHERLANDS)];
    let answer = site.ask("GET", LABYRINTH, &client).await;
    assert_eq!(answer.gist(), "302 leiden");
    assert_eq!(
        answer.links(),
        [format!("{}{FILE}", site.mirror("leiden").url()), format!("{}{FILE}", site.mirror("rochester").url())]
    );
    for url in answer.links() {
        let copy = site.fetch("GET", url, &[]).await;
        assert_eq!(copy.status, 200, "no further hop");
        assert_eq!(sha256(&copy.body), sha256(&content));
    }
    let known = site.record(PRODUCTION, FILE).await.expect("known");
    assert_eq!(known.sha256.map(|digest| digest.0), Some(sha256(&content)));
}

/// Scenario 7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_31_minutes_a_file_that_no_mirror_holds_is_served_from_here() {
    let mut site = site_with_leiden();
    site.start().await;
    site.publish(FILE, b"a bundle").await;
    site.minutes_later(31).await;
    let answer = site.expect(LABYRINTH, "200 no-mirror").await;
    assert_eq!(answer.body, b"a bundle");
}

/// Scenario 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_lacks_one_file_keeps_the_others() {
    let mut site = site_with_leiden();
    site.production().add(Mirror::new("rochester", "us"));
    site.start().await;
    for path in [FILE, "4030/etoys-113.xo", "4027/turtle_blocks-171.xo"] {
        site.publish(path, path.as_bytes()).await;
    }
    sync(&mut site, "leiden");
    sync(&mut site, "rochester");
    site.mirror("leiden").lose(FILE);
    site.minutes_later(31).await;
    let client = [("X-Forwarded-For", super::site::NETHERLANDS)];
    site.expect(LABYRINTH, "302 rochester").await;
    for (path, mirror) in [(FILE, "rochester"), ("4030/etoys-113.xo", "leiden"), ("4027/turtle_blocks-171.xo", "leiden")] {
        assert_eq!(site.ask("GET", &format!("/activities/{path}"), &client).await.mirror(), mirror, "{path}");
    }
}

/// Scenario 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_with_an_older_size_is_not_used_until_it_has_synced() {
    let mut site = site_with_labyrinth_at_leiden().await;
    // Delete, and upload the same version again.
    fs::remove_file(site.production().public().join(FILE)).expect("it is there");
    site.publish(FILE, &bundle(8, 31_000)).await;
    assert_eq!(site.get(LABYRINTH).await.gist(), "200 young");
    site.minutes_later(31).await;
    assert_eq!(site.get(LABYRINTH).await.gist(), "200 no-mirror");
    let last = site.last_scan("leiden").await;
    assert_eq!((last.found, last.mismatched), (1, 1), "{last:?}");
    assert_eq!(site.metric("redirector_scan_mismatched_files", &[("mirror", "leiden")]).await, Some(1.0));

    sync(&mut site, "leiden");
    site.minutes_later(6).await;
    let answer = site.expect(LABYRINTH, "302 leiden").await;
    assert_eq!(site.fetch("GET", answer.location(), &[]).await.body, bundle(8, 31_000));
}

/// Scenario 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_of_the_same_size_make_all_mirrors_lose_the_file_at_once() {
    let mut site = site_with_labyrinth_at_leiden().await;
    let before = site.record(PRODUCTION, FILE).await.expect("known");
    fs::remove_file(site.production().public().join(FILE)).expect("it is there");
    let content = bundle(8, 30_000);
    site.copy(PRODUCTION, FILE, &content);
    // Before the index or the hash know of it: the fingerprint has changed.
    let answer = site.get(LABYRINTH).await;
    assert_eq!(answer.gist(), "200 changing");
    assert_eq!(answer.body, content);
    let after = site.settle(PRODUCTION, FILE).await;
    assert_ne!(after.version, before.version);
    assert_eq!(site.get(LABYRINTH).await.gist(), "200 young");
    site.minutes_later(31).await;
    let answer = site.get(LABYRINTH).await;
    assert_eq!(answer.gist(), "200 no-mirror", "the mirror has the old bytes, of the same size");
    assert_eq!(answer.body, content);
    sync(&mut site, "leiden");
    site.minutes_later(6).await;
    site.expect(LABYRINTH, "302 leiden").await;
}

/// Scenario 11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_in_the_middle_of_its_sync_is_not_used_for_what_it_has_in_part() {
    let mut site = site_with_leiden();
    site.start().await;
    let content = bundle(7, 30_000);
    site.publish(FILE, &content).await;
    site.publish("4030/etoys-113.xo", b"etoys").await;
    let now = site.clock.now().as_second();
    // Cut short under its own name, and whole under rsync's temporary one.
    site.mirror("leiden").put(FILE, &content[..20_000], now + 5);
    site.mirror("leiden").put("4030/.etoys-113.xo.Xa3f5K", b"etoys", now);
    site.minutes_later(31).await;
    assert_eq!(site.get(LABYRINTH).await.gist(), "200 no-mirror");
    assert_eq!(site.get("/activities/4030/etoys-113.xo").await.gist(), "200 no-mirror");
    assert_eq!(site.get("/activities/4030/.etoys-113.xo.Xa3f5K").await.status, 404);
    sync(&mut site, "leiden");
    site.minutes_later(6).await;
    site.expect(LABYRINTH, "302 leiden").await;
    site.expect("/activities/4030/etoys-113.xo", "302 leiden").await;
}

/// How soon an order takes effect.
const WITHIN: Duration = Duration::from_secs(1);

/// Scenarios 12 and 13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_add_on_is_gone_within_a_second_and_back_as_soon_as_it_is_enabled() {
    let mut site = site_with_labyrinth_at_leiden().await;
    site.publish("4030/etoys-113.xo", b"etoys").await;
    // On a machine that is busy with other things, the first try may be slow.
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= WITHIN) {
        assert!(took.len() < 5, "{took:?}");
        if !took.is_empty() {
            site.command(PRODUCTION, &["files", "release", "/activities/4078/", "--because", "to try again"]);
            site.expect(LABYRINTH, "302 leiden").await;
        }
        site.command(PRODUCTION, &["files", "hold", "/activities/4078/", "--because", "a developer asked for it"]);
        let ordered = redirector::clock::instant();
        site.expect(LABYRINTH, "410").await;
        took.push(ordered.elapsed());
    }
    let answer = site.ask("HEAD", LABYRINTH, &[]).await;
    assert_eq!((answer.status, answer.location()), (410, ""));
    assert_eq!(site.get("/activities/4030/etoys-113.xo").await.status, 200, "another add-on");
    assert!(site.production().public().join(FILE).exists());
    assert!(!String::from_utf8_lossy(&site.get("/activities/").await.body).contains("4078"), "it is not listed");
    assert!(site.command(PRODUCTION, &["files", "holds"]).contains("a developer asked for it"));

    site.command(PRODUCTION, &["files", "release", "/activities/4078/", "--because", "it was a mistake"]);
    site.expect(LABYRINTH, "302 leiden").await;
}

/// Scenario 14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_version_is_gone_at_once_although_mirrors_still_have_it() {
    let mut site = site_with_labyrinth_at_leiden().await;
    site.publish("4078/labyrinth-8.xo", b"eight").await;
    fs::remove_file(site.production().public().join(FILE)).expect("it is there");
    for method in ["GET", "HEAD"] {
        let answer = site.ask(method, LABYRINTH, &[]).await;
        assert_eq!((answer.status, answer.location()), (404, ""));
    }
    // The mirror is synced without --delete.
    sync(&mut site, "leiden");
    assert!(site.mirror("leiden").copy().join(FILE).exists());
    site.minutes_later(31).await;
    site.expect("/activities/4078/labyrinth-8.xo", "302 leiden").await;
    assert_eq!(site.get(LABYRINTH).await.status, 404);
    until("it is forgotten", async || site.record(PRODUCTION, FILE).await.is_none()).await;
}

/// Scenario 15.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_add_on_leaves_an_empty_folder_that_is_listed_as_such() {
    let mut site = site_with_labyrinth_at_leiden().await;
    site.publish("4078/labyrinth-8.xo", b"eight").await;
    site.publish("4030/etoys-113.xo", b"etoys").await;
    for file in [FILE, "4078/labyrinth-8.xo"] {
        fs::remove_file(site.production().public().join(file)).expect("it is there");
    }
    for file in [FILE, "4078/labyrinth-8.xo"] {
        assert_eq!(site.get(&format!("/activities/{file}")).await.status, 404);
    }
    let listing = site.ask("GET", "/activities/4078/", &[("Accept", "application/json")]).await;
    assert_eq!(listing.status, 200);
    assert!(!String::from_utf8_lossy(&listing.body).contains(".xo"), "{listing:?}");
    for file in [FILE, "4078/labyrinth-8.xo"] {
        until("it is forgotten", async || site.record(PRODUCTION, file).await.is_none()).await;
    }
    site.minutes_later(6).await;
    assert_eq!(site.get("/activities/4030/etoys-113.xo").await.status, 200);
}

/// Scenario 16. ASLO writes one file after the other; what it is not just writing stays with the mirrors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_of_publish_files_leaves_all_but_the_file_in_flux_with_the_mirrors() {
    const FILES: u64 = 24;
    let mut site = site_with_leiden();
    let path = |n: u64| format!("{}/activity-{n}.xo", 4030 + n);
    let content = |n: u64| bundle(n, 10_000);
    for n in 0..FILES {
        write(&site.production().public().join(path(n)), &content(n), site.clock.now() - SignedDuration::from_hours(24 * 30));
    }
    sync(&mut site, "leiden");
    site.start().await;
    for n in 0..FILES {
        site.settle(PRODUCTION, &path(n)).await;
    }
    site.minutes_later(6).await;
    site.expect(&format!("/activities/{}", path(0)), "302 leiden").await;

    let versions = async |site: &Site| {
        let mut versions = Vec::new();
        for n in 0..FILES {
            versions.push(site.record(PRODUCTION, &path(n)).await.expect("known").version);
        }
        versions
    };
    let before = versions(&site).await;
    let (mut home, mut away) = (0, 0);
    for rewritten in 0..FILES {
        site.copy(PRODUCTION, &path(rewritten), &content(rewritten));
        for n in 0..FILES {
            let answer = site.get(&format!("/activities/{}", path(n))).await;
            match answer.status {
                302 => away += 1,
                200 if n == rewritten => {
                    home += 1;
                    assert_eq!(answer.body, content(n));
                }
                _ => panic!("{} while {} is rewritten: {}", path(n), path(rewritten), answer.gist()),
            }
        }
        site.settle(PRODUCTION, &path(rewritten)).await;
    }
    assert!(f64::from(away) / f64::from(away + home) >= 0.95, "{away} of {}", away + home);
    assert_eq!(versions(&site).await, before, "the same bytes are the same version");

    // The mirror has the older times until its next sync, and holds everything all the same.
    site.minutes_later(6).await;
    for n in 0..FILES {
        assert_eq!(site.get(&format!("/activities/{}", path(n))).await.gist(), "302 leiden");
    }
    sync(&mut site, "leiden");
    site.minutes_later(6).await;
    for n in 0..FILES {
        assert_eq!(site.get(&format!("/activities/{}", path(n))).await.gist(), "302 leiden");
    }
}

/// Scenario 17. What a file that grows or shrinks had when it was opened is announced, and never delivered in full, unless
/// it stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_reads_in_the_middle_of_a_copy_takes_a_part_for_the_whole() {
    // More than the kernel keeps between the two of us.
    const SIZE: usize = 40 << 20;
    let mut site = Site::new();
    site.start().await;
    let content = vec![7; SIZE];
    let file = site.production().public().join(FILE);

    // The copy goes on while a slow client reads.
    site.copy(PRODUCTION, FILE, &content[..SIZE / 2]);
    let mut reader = Reader::open(&site, LABYRINTH).await;
    assert_eq!(reader.length, SIZE as u64 / 2);
    let mut out = fs::File::options().append(true).open(&file).expect("it is there");
    out.write_all(&content[SIZE / 2..]).expect("there is room");
    assert!(reader.rest().await < reader.length, "it can't be taken for whole");
    assert!(site.record(PRODUCTION, FILE).await.is_none(), "half a file is no version");
    out.set_modified(site.clock.now().into()).expect("the time can be set");
    let known = site.settle(PRODUCTION, FILE).await;
    assert_eq!(known.fingerprint.size, SIZE as u64);
    assert_eq!(known.sha256.map(|digest| digest.0), Some(sha256(&content)));

    // It is copied anew: first it gets empty.
    let mut reader = Reader::open(&site, LABYRINTH).await;
    assert_eq!(reader.length, SIZE as u64);
    site.copy(PRODUCTION, FILE, &content[..1000]);
    assert!(reader.rest().await < reader.length);
    let answer = site.get(LABYRINTH).await;
    assert_eq!((answer.gist().as_str(), answer.body.len()), ("200 changing", 1000));
    until("it is seen to be changing", async || {
        site.record(PRODUCTION, FILE).await.is_some_and(|record| record.state == FileState::Changing)
    })
    .await;
    let during = site.record(PRODUCTION, FILE).await.expect("known");
    assert_eq!((during.fingerprint, during.version), (known.fingerprint, known.version), "the part is not recorded");
    site.copy(PRODUCTION, FILE, &content);
    let after = site.settle(PRODUCTION, FILE).await;
    assert_eq!(after.version, known.version, "the same bytes again");
}

/// A client that reads as slowly as a test wants.
struct Reader {
    stream: TcpStream,
    /// What was announced.
    length: u64,
}

impl Reader {
    /// Asks, and reads the head of the answer.
    async fn open(site: &Site, path: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 << 10).expect("a small one");
        let mut stream = socket.connect(site.address()).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: download.sugarlabs.org\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head").into());
        }
        let length = head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        Self { stream, length: length.expect("a length") }
    }

    /// How many bytes of the body come before the connection ends, well or not.
    async fn rest(&mut self) -> u64 {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.ok();
        bytes.len() as u64
    }
}

/// Scenario 18. ASLO's copy failed without a word, and after half an hour it sends people here all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_failed_silently_is_told_by_a_metric_and_a_line_in_the_log() {
    let mut site = Site::new();
    site.production().unset("tree", "application");
    site.spawn(&[]).await;
    let before = site.requests(PRODUCTION, "not-found", "").await;
    assert_eq!(site.get(LABYRINTH).await.gist(), "404");
    assert_eq!(site.requests(PRODUCTION, "not-found", "").await, before + 1);
    until("the log tells", async || {
        site.log().lines().any(|line| line.contains(&format!("instance=\"{PRODUCTION}\"")) && line.contains(FILE))
    })
    .await;
    // Where there is an application tree, the file is served from there instead.
    site.stop().await;
    site.production().set("tree", "application = \"activities/application\"");
    let application = site.production().application();
    write(&application.join(FILE), b"a bundle", site.clock.now());
    site.spawn(&[]).await;
    assert_eq!(site.get(LABYRINTH).await.gist(), "200 not-public");
}
