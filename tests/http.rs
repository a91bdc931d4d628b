//! HTTP behaviour: the scripts of `tests/http`, and what no script can show: connections, time limits, HTTP/2, the drain.

#[path = "http/framing.rs"]
mod framing;
mod world;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use redirector::http::body::Body;
use redirector::http::listener::{Handler, Origin};
use redirector::http::plain::Head;
use redirector::http::{Admin, Limits, Problem, Server, Settings, Start, Workers, bind};
use redirector::inventory::{Gap, Gaps, Inventory, Protocol, ScanRecord, Share};
use redirector::model::{Health, Mirror, MirrorName, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use world::{Content, World, until};

/// One test for each script, named as the file is, and one that no script is forgotten.
macro_rules! scripts {
    ($($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let name = stringify!($name);
                world::script::run(name, include_str!(concat!("http/", stringify!($name), ".txt"))).await;
            }
        )*

        #[test]
        fn every_script_is_run() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http");
            let mut found: Vec<String> = std::fs::read_dir(folder)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
                .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
                .collect();
            found.sort();
            assert_eq!(found, [$(stringify!($name)),*]);
        }
    };
}

scripts! {
    arguments
    away
    changes
    conditions
    descriptions
    directories
    doubts
    errors
    fallback
    forwarded
    holds
    https
    instances
    keep
    links
    methods
    names
    not_public
    packages
    proxy_protocol
    queries
    ranges
    redirects
    stability
    types
    withdrawn_mirrors
    young
}

const GET: &str = "GET /activities/a.txt HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A world with one small file, which no mirror has.
async fn world(settings: &Settings) -> World {
    let mut world = World::with_limits(settings).await;
    put(&mut world, "a.txt", &Content::Text("0123456789".to_owned()));
    world
}

fn put(world: &mut World, path: &str, content: &Content) {
    let yesterday = world.clock.now() - Duration::from_secs(86_400);
    world.instance().write("public", path, content, yesterday);
    world.instance().index(path, yesterday);
    world.publish();
}

/// What describes a file, by suffix or query, and whether it tells of mirrors (and so is this client's alone).
const DESCRIPTIONS: [(&str, bool); 23] = [
    (".meta4", true),
    ("?meta4", true),
    (".metalink", true),
    ("?metalink", true),
    (".mirrorlist", true),
    ("?mirrorlist", true),
    ("?mirrorlist&format=json", true),
    ("?mirrorlist&format=text", true),
    (".zsync", true),
    ("?zsync", true),
    (".torrent", true),
    ("?torrent", true),
    (".magnet", true),
    ("?magnet", true),
    (".md5", false),
    ("?md5", false),
    (".sha1", false),
    (".sha256", false),
    ("?sha256&only_hash", false),
    (".sha512", false),
    ("?sha512", false),
    (".btih", false),
    ("?btih", false),
];

/// Head (without the date) and body of an answer.
async fn exchange(world: &World, method: &str, target: &str, header: &str) -> (String, Vec<u8>) {
    let mut stream = connect(world).await;
    let request =
        format!("{method} /activities/a.txt{target} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let answer = rest(&mut stream).await;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let head = head.lines().filter(|line| !line.starts_with("date:")).map(|line| line.to_owned() + "\n").collect();
    (head, answer[end..].to_vec())
}

#[tokio::test]
async fn whatever_describes_a_file_knows_head_and_conditions_and_says_who_may_keep_it() {
    let mut world = world(&Settings::default()).await;
    world.instance().hash("a.txt");
    world.instance().sum_blocks("a.txt");
    world.instance().add_mirror(world::mirror("berlin", "de", &std::collections::BTreeMap::new()));
    world.instance().let_hold("berlin", "a.txt");
    world.publish();
    for (target, has_mirrors) in DESCRIPTIONS {
        let (head, body) = exchange(&world, "GET", target, "").await;
        assert!(head.starts_with("http/1.1 200 ") && !body.is_empty(), "{target}: {head}");
        let line = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let kept = if has_mirrors { "private, no-cache" } else { "no-cache" };
        assert_eq!(line("cache-control"), Some(kept), "{target}");
        assert_eq!(line("content-length"), Some(body.len().to_string().as_str()), "{target}");
        assert_eq!(line("last-modified").is_some(), !has_mirrors, "{target}: mirrors come and go without a new time");
        let is_negotiated = target.contains("mirrorlist");
        assert_eq!(line("vary"), is_negotiated.then_some("accept"), "{target}");
        assert_eq!(exchange(&world, "HEAD", target, "").await, (head.clone(), Vec::new()), "{target}");
        let tag = line("etag").expect("a tag");
        for condition in [tag, "*", &format!("\"other\", W/{tag}")] {
            let (head, body) = exchange(&world, "GET", target, &format!("If-None-Match: {condition}\r\n")).await;
            assert!(head.starts_with("http/1.1 304 ") && body.is_empty(), "{target} {condition}: {head}");
            assert!(head.contains(&format!("etag: {tag}\n")) && head.contains(&format!("cache-control: {kept}\n")), "{head}");
            assert_eq!(head.contains("vary: accept\n"), is_negotiated, "{target}: {head}");
        }
        let (head, _) = exchange(&world, "HEAD", target, "If-Match: \"other\"\r\n").await;
        assert!(head.starts_with("http/1.1 412 "), "{target}: {head}");
        let (head, again) = exchange(&world, "GET", target, "If-None-Match: \"other\"\r\n").await;
        assert!(head.starts_with("http/1.1 200 ") && again == body, "{target}: {head}");
    }
}

fn span(milliseconds: u64) -> Span {
    Span(Duration::from_millis(milliseconds))
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.address).await.expect("connected")
}

/// Sends a request and reads what comes until there are `bodies` copies of the small file's content.
async fn ask(stream: &mut TcpStream, request: &str, bodies: usize) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let read = async {
        while String::from_utf8_lossy(&answer).matches("0123456789").count() < bodies {
            assert_ne!(stream.read_buf(&mut answer).await.expect("readable"), 0, "closed early");
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer in time");
    String::from_utf8(answer).expect("UTF-8")
}

/// All that comes until the connection ends.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an end in time");
    // A reset is an end as well.
    drop(end);
    bytes
}

const PATIENCE: Duration = Duration::from_secs(20);

fn length(answer: &[u8]) -> u64 {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    (answer.len() - head - 4) as u64
}

/// A world with the pages on mirrors, two of which have a history.
async fn world_with_history() -> (World, Inventory) {
    let mut world = world(&Settings::default()).await;
    let at = |hour: i64| {
        "2026-11-01T00:00:00Z".parse::<Timestamp>().expect("a time") + Duration::from_secs(hour.unsigned_abs() * 3600)
    };
    let keys = std::collections::BTreeMap::from([("also-countries", "be"), ("max-file-size", "2GiB")]);
    let mirror = |name: &str, operator: &str| {
        let rsync = Some("rsync://secret.example/sugar/".to_owned());
        Mirror { operator: Some(operator.to_owned()), rsync, ..world::mirror(name, "nl", &keys) }
    };
    let off = Mirror { enabled: false, ..mirror("off", "Nobody") };
    let mirrors = vec![mirror("nluug", "NLUUG <b>"), mirror("new", "New"), off];
    let inventory =
        Inventory::temporary(mirrors.into_iter().map(Arc::new).collect(), world.clock.clone()).await.expect("opens");
    let name = MirrorName::parse("nluug").expect("a name");
    for hour in 0..5_i64 {
        let share = Share { files: 1000, held: 990 + hour.unsigned_abs(), bytes: 5 << 20, held_bytes: 4 << 20 };
        let gap =
            Gap { directory: "4078/<x>".into(), whole: true, missing: 5, stale: 1, examples: vec!["4078/<x>/a&b.xo".into()] };
        let excused = Gaps { young: 2, young_bytes: 1 << 10, beyond: 1, beyond_bytes: 3 << 30, ..Gaps::default() };
        let gaps = Gaps { missing: 5, missing_bytes: 1 << 20, stale: 1, directories: vec![gap], more: 3, ..excused };
        let outcome = match hour {
            3 => Err("ftp://joe:secret@ftp.example/: <timed out>".to_owned()),
            _ => Ok(redirector::inventory::Counts { found: 990, ..Default::default() }),
        };
        let share = outcome.is_ok().then_some(share);
        let record = ScanRecord {
            mirror: name.clone(),
            began: at(hour),
            ended: at(hour) + Duration::from_millis(2500),
            protocol: Protocol::Http,
            outcome,
            complete: true,
            notes: String::new(),
            holdings: None,
            before: None,
            unseen: None,
            share,
            gaps: share.map(|_| gaps),
            listed: None,
        };
        inventory.record_scan(record).await.expect("kept");
    }
    inventory.record_health(name, Health::Down, at(5), Some("503 <sorry>".to_owned())).await.expect("kept");
    world.instance().mirror_pages = Some(inventory.clone());
    world.publish();
    (world, inventory)
}

/// Asks for the root with a query; the status line, the headers and the body.
async fn page(world: &World, query: &str, accept: &str) -> String {
    let mut stream = connect(world).await;
    let request =
        format!("GET /activities/?{query} HTTP/1.1\r\nHost: a.example\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    String::from_utf8(rest(&mut stream).await).expect("UTF-8")
}

fn contains_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[tokio::test]
async fn who_runs_a_mirror_can_see_what_the_site_thinks_of_it() {
    let (world, _inventory) = world_with_history().await;
    let all = page(&world, "mirrors", "text/html").await;
    let head = ["200 OK", "content-type: text/html", "content-security-policy", "x-redirector: local; why=mirrors"];
    contains_all(&all, &head);
    let links =
        [r#"href="/activities/?mirror=nluug""#, r#"href="/activities/?mirror=new""#, r#"href="/activities/?mirrors&amp;json""#];
    contains_all(&all, &links);
    contains_all(&all, &["NLUUG &#60;b&#62;", "Netherlands", "99.40 %", ">down<", "not known yet", "<polyline", "2 mirrors"]);
    assert!(!all.contains("?mirror=off") && !all.contains("<script"), "{all}");

    let one = page(&world, "mirror=nluug", "text/html").await;
    contains_all(&one, &["200 OK", "https://nluug.example/sugar/", "Also clients in Belgium", "Files up to 2.0 GiB"]);
    contains_all(&one, &["99.40 % of the files (994 of 1,000)", "80.00 % of the bytes (4.0 MiB of 5.0 MiB)"]);
    contains_all(
        &one,
        &["5 files missing (1.0 MiB)", "1 copy is not ours", "/4078/&#60;x&#62;", "all of it", "a&#38;b.xo", "And 3 more"],
    );
    contains_all(
        &one,
        &[
            "<dt>Need not have</dt><dd>2 files that are too new for any mirror (1.0 KiB), 1 file that is larger than it takes (3.0 GiB)",
        ],
    );
    contains_all(&one, &["2026-11-01 03:00", "ftp://ftp.example/: &#60;timed out&#62;", "503 &#60;sorry&#62;", "2.5 s"]);
    assert!(!one.contains("secret") && !one.contains("<sorry>"), "nothing private, nothing unescaped: {one}");

    contains_all(&page(&world, "mirror=off", "text/html").await, &["200 OK", "Nobody: it is switched off."]);
    contains_all(&page(&world, "mirror=new", "text/html").await, &["200 OK", "<dt>Last scan</dt><dd>never</dd>"]);
    contains_all(&page(&world, "mirror=none", "text/html").await, &["404 Not Found", "no mirror of this name"]);
    contains_all(&page(&world, "mirrorlist", "text/html").await, &["200 OK", "Index of /activities/"]);
}

#[tokio::test]
async fn programs_get_the_pages_on_mirrors_as_json() {
    let (world, _inventory) = world_with_history().await;
    let json = async |query: &str, accept: &str| -> serde_json::Value {
        let answer = page(&world, query, accept).await;
        contains_all(&answer, &["200 OK", "content-type: application/json"]);
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    };
    let all = json("mirrors&json", "text/html").await;
    assert_eq!((&all["mirrors"][0]["name"], &all["mirrors"][0]["share"]["held"]), (&"nluug".into(), &994.into()), "{all}");
    assert_eq!((&all["mirrors"][1]["share"], all["mirrors"].as_array().map(Vec::len)), (&serde_json::Value::Null, Some(2)));
    let one = json("mirror=nluug", "application/json").await;
    assert_eq!(
        (&one["health"], &one["country"], &one["scans"][1]["share"]),
        (&"down".into(), &"nl".into(), &serde_json::Value::Null)
    );
    assert_eq!(one["scans"][1]["failure"], "ftp://ftp.example/: <timed out>");
    assert_eq!((&one["gaps"]["young"], &one["gaps"]["beyond_bytes"]), (&2.into(), &(3_u64 << 30).into()));
    assert_eq!(
        (&one["gaps"]["directories"][0]["missing"], &one["health_changes"][0]["reason"]),
        (&5.into(), &"503 <sorry>".into())
    );
}

#[tokio::test]
async fn pages_on_mirrors_outlive_the_database_and_can_be_switched_off() {
    let (mut world, inventory) = world_with_history().await;
    contains_all(&page(&world, "mirror=nluug", "text/html").await, &["200 OK"]);
    inventory.close().await.expect("closed");
    contains_all(&page(&world, "mirror=nluug", "text/html").await, &["200 OK", "99.40 %"]);
    contains_all(&page(&world, "mirrors", "text/html").await, &["503 Service Unavailable", "retry-after"]);
    world.instance().mirror_pages = None;
    world.publish();
    contains_all(&page(&world, "mirrors", "text/html").await, &["200 OK", "Index of /activities/"]);
}

#[tokio::test]
async fn a_connection_takes_many_requests_also_at_once() {
    let world = world(&Settings::default()).await;
    let mut stream = connect(&world).await;
    assert!(ask(&mut stream, GET, 1).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(ask(&mut stream, &GET.repeat(5), 5).await.matches("HTTP/1.1 200 OK").count(), 5);
}

#[tokio::test]
async fn a_client_that_dawdles_with_its_headers_is_cut_and_an_idle_one_later() {
    let settings = Settings { header_timeout: span(100), idle_timeout: span(400), ..Settings::default() };
    let world = world(&settings).await;
    let mut silent = connect(&world).await;
    assert_eq!(rest(&mut silent).await, b"");
    let mut half = connect(&world).await;
    half.write_all(b"GET /activities/a.txt HTTP/1.1\r\nHos").await.expect("sent");
    assert_eq!(rest(&mut half).await, b"");

    let mut idle = connect(&world).await;
    ask(&mut idle, GET, 1).await;
    let began = redirector::clock::instant();
    assert_eq!(rest(&mut idle).await, b"");
    assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
    until("all are closed", || world.connections() == 0).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let mut world = world(&Settings { write_timeout: span(200), ..Settings::default() }).await;
    put(&mut world, "large.bin", &Content::Size(30_000_000));
    let mut stream = connect(&world).await;
    stream.write_all(GET.replace("a.txt", "large.bin").as_bytes()).await.expect("sent");
    until("it is served", || world.connections() == 1).await;
    until("it is cut", || world.connections() == 0).await;
    assert!(length(&rest(&mut stream).await) < 30_000_000);
}

#[tokio::test]
async fn large_files_come_whole_to_several_clients_at_once() {
    let mut world = world(&Settings::default()).await;
    put(&mut world, "large.bin", &Content::Size(3_000_000));
    let request = GET.replace("a.txt", "large.bin").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let download = || async {
        let mut stream = connect(&world).await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let answer = rest(&mut stream).await;
        let body = &answer[answer.len() - 3_000_000..];
        assert_eq!(length(&answer), 3_000_000);
        assert!(body.chunks(world::PATTERN.len()).all(|piece| world::PATTERN.starts_with(piece)));
    };
    tokio::join!(download(), download(), download(), download());
    assert_eq!(world.instance().counts().offload(), Some(0.0));
}

#[tokio::test]
async fn a_file_that_gets_shorter_while_it_is_sent_ends_the_connection() {
    let mut world = world(&Settings::default()).await;
    put(&mut world, "large.bin", &Content::Size(30_000_000));
    let mut stream = connect(&world).await;
    stream.write_all(GET.replace("a.txt", "large.bin").as_bytes()).await.expect("sent");
    let mut start = [0; 1000];
    stream.read_exact(&mut start).await.expect("the start");
    assert!(String::from_utf8_lossy(&start).contains("content-length: 30000000"));
    let file = std::fs::File::options().write(true).open(world.instance().tree("public").join("large.bin")).expect("open");
    file.set_len(1000).expect("cut");
    assert!(rest(&mut stream).await.len() < 29_000_000);
}

/// A version that is known by its digest is sent by the kernel.
fn put_hashed(world: &mut World, path: &str, size: u64) -> Vec<u8> {
    put(world, path, &Content::Size(size));
    world.instance().hash(path);
    world.publish();
    std::fs::read(world.instance().tree("public").join(path)).expect("written")
}

/// Asks for the large file over one connection, and gives the bodies of the answers.
async fn bodies(world: &World, requests: &[(&str, usize)]) -> Vec<Vec<u8>> {
    let mut stream = connect(world).await;
    let asked: String = requests.iter().map(|(request, _)| *request).collect();
    stream.write_all(asked.as_bytes()).await.expect("sent");
    let answers = rest(&mut stream).await;
    let mut left = answers.as_slice();
    let body = |(_, size): &(&str, usize)| {
        let head = left.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        let body = left[head..head + size].to_vec();
        left = &left[head + size..];
        body
    };
    let bodies = requests.iter().map(body).collect();
    assert!(left.is_empty(), "{} bytes too many", left.len());
    bodies
}

#[tokio::test]
async fn requests_one_after_the_other_get_what_the_kernel_sends_byte_by_byte() {
    let mut world = world(&Settings::default()).await;
    let content = put_hashed(&mut world, "large.bin", 3_000_001);
    let line = |method: &str, more: &str| {
        format!("{method} /activities/large.bin HTTP/1.1\r\nHost: a.example\r\nConnection: {more}\r\n\r\n")
    };
    let whole = line("GET", "keep-alive");
    let (head, part) = (line("HEAD", "keep-alive"), line("GET", "keep-alive\r\nRange: bytes=100000-1999999"));
    let (small, last) = (line("GET", "keep-alive\r\nRange: bytes=7-9"), line("GET", "close"));
    let requests =
        [(whole.as_str(), 3_000_001), (&part, 1_900_000), (&head, 0), (&small, 3), (&whole, 3_000_001), (&last, 3_000_001)];
    let bodies = bodies(&world, &requests).await;
    assert!(bodies[0] == content && bodies[4] == content && bodies[5] == content);
    assert!(bodies[1] == content[100_000..2_000_000]);
    assert!(bodies[2].is_empty() && bodies[3] == content[7..10]);
}

#[tokio::test]
async fn several_parts_and_answers_to_http_1_0_are_sent_by_the_kernel_as_well() {
    let mut world = world(&Settings::default()).await;
    let content = put_hashed(&mut world, "large.bin", 3_000_000);
    let old = bodies(&world, &[("GET /activities/large.bin HTTP/1.0\r\n\r\n", 3_000_000)]).await;
    assert!(old[0] == content);
    let request = GET
        .replace("a.txt", "large.bin")
        .replace("\r\n\r\n", "\r\nConnection: close\r\nRange: bytes=0-999999,1000001-1000003,2000000-2999999\r\n\r\n");
    let mut stream = connect(&world).await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    let answer = rest(&mut stream).await;
    let mut at = 0;
    for part in [0..1_000_000, 1_000_001..1_000_004, 2_000_000..3_000_000] {
        at += answer[at..].windows(17).position(|window| window == b"\r\nContent-Range: ").expect("a part") + 17;
        at += answer[at..].windows(4).position(|window| window == b"\r\n\r\n").expect("its head") + 4;
        assert!(answer[at..].starts_with(&content[part.clone()]), "{part:?}");
        at += part.len();
    }
    assert!(answer[at..].starts_with(b"\r\n--") && answer.ends_with(b"--\r\n"));
}

#[tokio::test]
async fn of_a_file_that_gets_shorter_while_the_kernel_sends_it_nothing_wrong_is_sent() {
    let mut world = world(&Settings::default()).await;
    let content = put_hashed(&mut world, "large.bin", 30_000_000);
    let mut stream = connect(&world).await;
    stream.write_all(GET.replace("a.txt", "large.bin").as_bytes()).await.expect("sent");
    let mut answer = vec![0; 1000];
    stream.read_exact(&mut answer).await.expect("the start");
    let file = std::fs::File::options().write(true).open(world.instance().tree("public").join("large.bin")).expect("open");
    file.set_len(20_000_001).expect("cut");
    answer.extend(rest(&mut stream).await);
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    // Sockets hold less than what is left of the file.
    assert!(answer.len() - head <= 20_000_001 && answer[head..] == content[..answer.len() - head]);
}

#[tokio::test]
async fn a_stop_lets_downloads_end_and_takes_no_more() {
    let mut world = world(&Settings::default()).await;
    put(&mut world, "large.bin", &Content::Size(30_000_000));
    let address = world.address;
    let mut idle = connect(&world).await;
    ask(&mut idle, GET, 1).await;
    let mut download = connect(&world).await;
    download.write_all(GET.replace("a.txt", "large.bin").as_bytes()).await.expect("sent");
    let mut start = [0; 1000];
    download.read_exact(&mut start).await.expect("the start");
    let stopping = tokio::spawn(world.stop());
    assert_eq!(rest(&mut idle).await, b"");
    let taken = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, taken).await.expect("refused in time");
    assert!(!stopping.is_finished());
    assert!(rest(&mut download).await.len() > 29_999_000);
    tokio::time::timeout(PATIENCE, stopping).await.expect("stopped in time").expect("no panic");
}

#[tokio::test]
async fn a_stop_cuts_what_does_not_end_in_time() {
    let mut world = world(&Settings { drain_timeout: span(200), ..Settings::default() }).await;
    put(&mut world, "large.bin", &Content::Size(30_000_000));
    let mut download = connect(&world).await;
    download.write_all(GET.replace("a.txt", "large.bin").as_bytes()).await.expect("sent");
    let mut start = [0; 1000];
    download.read_exact(&mut start).await.expect("the start");
    tokio::time::timeout(PATIENCE, world.stop()).await.expect("stopped in time");
    assert!(rest(&mut download).await.len() < 29_999_000);
}

#[tokio::test]
async fn more_clients_than_may_connect_wait_for_their_turn() {
    let world = world(&Settings { max_connections: 2, ..Settings::default() }).await;
    let (mut one, mut two) = (connect(&world).await, connect(&world).await);
    ask(&mut one, GET, 1).await;
    ask(&mut two, GET, 1).await;
    let mut three = connect(&world).await;
    three.write_all(GET.as_bytes()).await.expect("sent");
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), three.read(&mut byte)).await;
    assert!(early.is_err(), "answered although two are connected");
    drop(one);
    assert!(ask(&mut three, "", 1).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn headers_that_are_too_large_or_too_many_are_refused() {
    let world = world(&Settings::default()).await;
    for request in [
        GET.replace("Host", &format!("X-Large: {}\r\nHost", "x".repeat(17_000))),
        GET.replace("Host", &format!("{}Host", "X-Many: y\r\n".repeat(200))),
        GET.replace("a.txt", &"x".repeat(20_000)),
    ] {
        let mut stream = connect(&world).await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let answer = String::from_utf8_lossy(&rest(&mut stream).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 "), "{answer:.200}");
    }
}

#[tokio::test]
async fn who_sends_a_body_hears_that_it_is_not_wanted() {
    let world = world(&Settings::default()).await;
    let mut stream = connect(&world).await;
    let body = "x".repeat(100_000);
    let head = "POST /activities/a.txt HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n";
    stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes()).await.expect("sent");
    assert!(rest(&mut stream).await.starts_with(b"HTTP/1.1 405 "));

    // Who asks first is not encouraged.
    let mut stream = connect(&world).await;
    stream.write_all(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes()).await.expect("sent");
    assert!(rest(&mut stream).await.starts_with(b"HTTP/1.1 405 "));
}

#[tokio::test]
async fn http_2_in_the_clear_is_spoken_on_the_same_port() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut world = world(&Settings::default()).await;
    let content = put_hashed(&mut world, "large.bin", 3_000_000);
    put(&mut world, "mirrored.bin", &Content::Size(10));
    world.instance().add_mirror(world::mirror("leiden", "nl", &std::collections::BTreeMap::new()));
    world.instance().let_hold("leiden", "mirrored.bin");
    world.publish();
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    let url = |path: &str| format!("http://{}/activities/{path}", world.address);
    let redirect = client.get(url("mirrored.bin")).send().await.expect("an answer");
    assert_eq!((redirect.version(), redirect.status().as_u16()), (reqwest::Version::HTTP_2, 302));
    assert_eq!(redirect.headers()["location"], "http://leiden.example/sugar/mirrored.bin");
    let whole = client.get(url("large.bin")).send().await.expect("an answer").bytes().await.expect("a body");
    assert!(whole == content);
    let part = client.get(url("large.bin")).header("range", "bytes=23-45").send().await.expect("an answer");
    assert_eq!(part.text().await.expect("text"), "abcdefghijklmnopqrstuvw");
    let head = client.head(url("large.bin")).send().await.expect("an answer");
    assert_eq!(head.headers()["content-length"], "3000000");
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn an_http_2_client_that_opens_no_window_is_cut() {
    let mut world = world(&Settings { write_timeout: span(200), ..Settings::default() }).await;
    put(&mut world, "b.bin", &Content::Size(100_000));
    let mut stream = connect(&world).await;
    let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let path = b"/activities/b.bin";
    // :method GET, :scheme http, :path and :authority as literals (RFC 7541 section 6.2.2).
    let fields = [&[0x82, 0x86, 0x04, path.len() as u8][..], path, &[0x01, 1, b'a']].concat();
    let request = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), no_window, frame(1, 5, 1, &fields)].concat();
    stream.write_all(&request).await.expect("sent");
    let answer = rest(&mut stream).await;
    assert!(answer.windows(5).any(|window| window == [1, 4, 0, 0, 0]), "no head of an answer in {answer:?}");
    assert!(answer.len() < 1_000, "{} bytes in spite of the closed window", answer.len());
    until("it is cut", || world.connections() == 0).await;
}

#[tokio::test]
async fn ipv4_and_ipv6_are_listened_at_side_by_side() {
    let any_v4 = bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).expect("bound");
    let port = any_v4.local_addr().expect("bound").port();
    let any_v6 = bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).expect("bound beside it");
    let world = world(&Settings::default()).await;
    let server = Server::new(Limits::new(&Settings::default()), Workers::here());
    server.serve(any_v4, Start::Request, &world.router).expect("served");
    server.serve(any_v6, Start::Request, &world.router).expect("served");
    for address in ["127.0.0.1", "[::1]"] {
        let mut stream = TcpStream::connect(format!("{address}:{port}")).await.expect("connected");
        ask(&mut stream, GET, 1).await;
    }
    server.stop().await;
    assert!(bind(world.address).is_err_and(|error| error.to_string().contains("127.0.0.1")));
}

#[tokio::test]
async fn connections_on_all_threads_are_answered_and_drained() {
    let world = world(&Settings::default()).await;
    let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound");
    let address = socket.local_addr().expect("bound");
    let server = Server::new(Limits::new(&Settings::default()), Workers::start(3).expect("threads"));
    server.serve(socket, Start::Request, &world.router).expect("served");
    let mut streams = Vec::new();
    for _ in 0..7 {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        ask(&mut stream, GET, 1).await;
        streams.push(stream);
    }
    for stream in &mut streams {
        ask(stream, GET, 1).await;
    }
    assert_eq!(server.connections(), 7);
    server.stop().await;
    for stream in &mut streams {
        assert_eq!(rest(stream).await, b"", "it was closed between requests");
    }
}

/// Redirects, and keeps its thread busy for that.
struct Slow {
    turned_away: AtomicUsize,
}

impl Handler for Slow {
    async fn answer(&self, _: &http::request::Parts, _: Origin) -> http::Response<Body> {
        http::Response::new(Body::empty())
    }

    fn answer_at_once(&self, _: &Head<'_>, _: Origin, _: Instant, out: &mut Vec<u8>) -> Option<Body> {
        // What it costs: nothing is waited for.
        std::thread::sleep(Duration::from_millis(2));
        out.extend_from_slice(b"HTTP/1.1 302 Found\r\nlocation: http://m.example/\r\ncontent-length: 0\r\n");
        Some(Body::empty())
    }

    fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    fn trusts(&self, _: IpAddr) -> bool {
        false
    }
}

/// One answer, to a request by a connection that is kept.
async fn answer_to(stream: &mut TcpStream) -> Option<String> {
    stream.write_all(GET.as_bytes()).await.ok()?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await.ok()?;
    String::from_utf8(answer[..length].to_vec()).ok().filter(|answer| !answer.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_more_is_asked_than_can_be_answered_some_are_turned_away_until_it_is_over() {
    let slow = Arc::new(Slow { turned_away: AtomicUsize::new(0) });
    let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound");
    let address = socket.local_addr().expect("bound");
    let settings = Settings { max_queue_delay: Span(Duration::from_millis(20)), ..Settings::default() };
    let server = Server::new(Limits::new(&settings), Workers::start(1).expect("a thread"));
    server.serve(socket, Start::Request, &slow).expect("served");

    // A hundred who ask all the time wait 200 ms each time. None of them loses its connection.
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let crowd: Vec<_> = (0..100)
        .map(|_| {
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("connected");
                loop {
                    let answer = answer_to(&mut stream).await.expect("an answer");
                    if !answer.starts_with("HTTP/1.1 302 ") {
                        told.lock().expect("no panic").push(answer);
                    }
                }
            })
        })
        .collect();
    until("some are turned away", || !told.lock().expect("no panic").is_empty()).await;

    // Who comes anew is not even listened to.
    let newcomer = loop {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        match answer_to(&mut stream).await {
            Some(answer) if !answer.starts_with("HTTP/1.1 302 ") && answer.contains("connection: close") => break answer,
            _ => {}
        }
    };
    assert!(crowd.iter().all(|one| !one.is_finished()), "they keep their connections");
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
    let answer = told.lock().expect("no panic")[0].to_lowercase();
    for line in ["http/1.1 503 ", "retry-after: 1\r\n", "why=overloaded\r\n"] {
        assert!(answer.contains(line), "{line} is missing in {answer}");
        assert!(newcomer.to_lowercase().contains(line), "{line} is missing in {newcomer}");
    }
    assert!(!answer.contains("connection: close"), "{answer}");
    assert!(slow.turned_away.load(Ordering::Relaxed) > 0, "they are counted");

    // Those who come later find an idle server.
    let mut in_a_row = 0;
    while in_a_row < 5 {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let is_served = answer_to(&mut stream).await.is_some_and(|answer| answer.starts_with("HTTP/1.1 302 "));
        in_a_row = if is_served { in_a_row + 1 } else { 0 };
    }
    server.stop().await;
}

#[tokio::test]
async fn who_has_just_come_is_answered_although_the_server_stops() {
    let mut world = world(&Settings::default()).await;
    put_hashed(&mut world, "m.bin", 100_000);
    world.instance().add_mirror(world::mirror("leiden", "nl", &std::collections::BTreeMap::new()));
    world.instance().let_hold("leiden", "m.bin");
    world.publish();
    let redirect = GET.replace("a.txt", "m.bin");
    let requests =
        [redirect.clone(), GET.to_owned(), GET.replace("a.txt", ""), GET.replace("a.txt", "a.txt?x"), redirect.repeat(3)];
    let mut streams = Vec::new();
    for _ in &requests {
        streams.push(connect(&world).await);
    }
    let mut proxied = TcpStream::connect(world.proxied).await.expect("connected");
    let mut idle = connect(&world).await;
    ask(&mut idle, GET, 1).await;
    until("all are accepted", || world.connections() == requests.len() + 2).await;
    // A socket is closed last of all, when no connection needs it any more.
    let (address, stop) = (world.address, tokio::spawn(world.stop()));
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(rest(&mut idle).await, b"", "who has been answered and idles is let go");
    for (stream, request) in streams.iter_mut().zip(&requests) {
        stream.write_all(request.as_bytes()).await.expect("sent");
    }
    let introduced = format!("PROXY TCP4 192.0.2.1 127.0.0.1 4711 80\r\n{GET}");
    proxied.write_all(introduced.as_bytes()).await.expect("sent");
    for (stream, request) in streams.iter_mut().zip(&requests) {
        let answer = String::from_utf8_lossy(&rest(stream).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 302 "), "{request}: {answer:?}");
    }
    assert!(rest(&mut proxied).await.starts_with(b"HTTP/1.1 200 "));
    stop.await.expect("stopped");
}

#[tokio::test]
async fn administrators_see_what_is_counted_and_what_is_wrong() {
    let mut world = world(&Settings::default()).await;
    put(&mut world, "mirrored.bin", &Content::Size(1_000));
    world.instance().add_mirror(world::mirror("leiden", "nl", &std::collections::BTreeMap::new()));
    world.instance().let_hold("leiden", "mirrored.bin");
    world.publish();
    let mut stream = connect(&world).await;
    ask(&mut stream, GET, 1).await;
    ask(&mut stream, &(GET.replace("a.txt", "mirrored.bin") + &GET.replace("a.txt", "nothing") + GET), 1).await;

    // As a connection does for which there is no time.
    world.router.turn_away();
    let geoip = Problem { instance: None, what: "geoip", detail: "the file is broken".to_owned() };
    let admin = Arc::new(Admin::new(Arc::clone(&world.router), Vec::new(), Box::new(move || vec![geoip.clone()])));
    let server = Server::new(Limits::new(&Settings::default()), Workers::here());
    let socket = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bound");
    let address = socket.local_addr().expect("bound");
    server.serve(socket, Start::Request, &admin).expect("served");
    let fetch = |path: &'static str| async move {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        String::from_utf8(rest(&mut stream).await).expect("UTF-8")
    };

    assert!(fetch("/healthz").await.ends_with("ok\n"));
    assert!(fetch("/nothing").await.starts_with("HTTP/1.1 404 "));
    let ready = fetch("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(ready.contains(r#"{"ready":true,"degraded":[{"what":"geoip","detail":"the file is broken"}]}"#), "{ready}");
    let metrics = fetch("/metrics").await;
    for line in [
        r#"redirector_requests_total{instance="activities",answer="local",why="no-mirror"} 2"#,
        r#"redirector_requests_total{instance="activities",answer="redirect",why="world"} 1"#,
        r#"redirector_requests_total{instance="activities",answer="not-found",why=""} 1"#,
        r#"redirector_requests_total{instance="",answer="overloaded",why=""} 1"#,
        r#"redirector_redirected_bytes_total{instance="activities"} 1000"#,
        r#"redirector_served_bytes_total{instance="activities"} 20"#,
        r#"redirector_mirror_redirects_total{instance="activities",mirror="leiden"} 1"#,
        r#"redirector_mirror_redirected_bytes_total{instance="activities",mirror="leiden"} 1000"#,
        r#"redirector_mirror_health{instance="activities",mirror="leiden",health="up"} 1"#,
        r#"redirector_mirror_files{instance="activities",mirror="leiden"} 1"#,
        r#"redirector_files{instance="activities"} 2"#,
        r#"redirector_request_duration_seconds_count{instance="activities"} 4"#,
    ] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line} is missing in\n{metrics}");
    }
    assert!(
        metrics.contains(r#"redirector_offload_ratio{instance="activities"} 0.98"#) && metrics.ends_with("# EOF\n"),
        "{metrics}"
    );

    world.instance().set_health("leiden", redirector::model::Health::Down);
    world.publish();
    assert!(fetch("/readyz").await.contains("all 1 mirrors are down"));
    world.instance().unmount("public");
    let ready = fetch("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200 ") && ready.contains("public-tree"), "{ready}");
    world.instance().unmount("application");
    assert!(fetch("/readyz").await.starts_with("HTTP/1.1 503 "));
    server.stop().await;
}

/// Status and lines of an answer's head, without what tells of the connection and the moment.
fn lines(answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(body.is_empty(), "{body}");
    let lines = head.lines().map(str::to_lowercase);
    let mut lines: Vec<_> = lines.filter(|line| !line.starts_with("date: ") && !line.starts_with("connection: ")).collect();
    // hyper has a place of its own for it.
    lines.sort_by_key(|line| line.starts_with("content-length: "));
    lines
}

#[tokio::test]
async fn a_redirect_is_the_same_whichever_way_it_is_answered() {
    let mut world = world(&Settings::default()).await;
    for path in ["a b.bin", "\u{e4}&'.bin", "100%.bin", "x.tar.gz"] {
        put_hashed(&mut world, path, 100_000);
    }
    let keys = std::collections::BTreeMap::new();
    for (name, country) in [("leiden", "nl"), ("york", "us"), ("kyoto", "jp")] {
        world.instance().add_mirror(world::mirror(name, country, &keys));
        world.instance().let_hold(name, "*");
    }
    world.place("192.0.2.0/24", "jp");
    world.publish();
    let (proxied, https) =
        ("X-Forwarded-For: 203.0.113.9, 192.0.2.7", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https");
    let mut seen = std::collections::BTreeSet::new();
    for path in ["a%20b.bin", "%C3%A4&'.bin", "%c3%a4%26%27.bin", "100%25.bin", "x.tar.gz"] {
        for method in ["GET", "HEAD"] {
            for more in [
                "Accept: */*",
                proxied,
                https,
                "Forwarded: for=192.0.2.7;proto=https",
                "User-Agent: curl/8",
                "If-None-Match: *",
            ] {
                let [(by_hyper, _), (plain, _)] = both_ways(&world, method, path, more).await;
                assert_eq!(by_hyper[0], "http/1.1 302 found", "{path} {more}");
                assert_eq!(by_hyper, plain, "{method} {path} {more}");
                seen.insert(by_hyper[1].clone());
            }
        }
    }
    assert_eq!(seen.len(), 8, "each file by both schemes: {seen:?}");
}

/// The answer to a request of more than the usual lines, by hyper and without it: the head as `lines` has it, and the body.
async fn both_ways(world: &World, method: &str, path: &str, more: &str) -> [(Vec<String>, Vec<u8>); 2] {
    let request =
        |end: &str| format!("{method} /activities/{path} HTTP/1.1\r\nHost: a.example\r\n{more}\r\n{end}\r\n").into_bytes();
    // `Connection: close` is nothing for the plain conversation. The other one ends with what is no request, which is told so.
    let (by_hyper, plain) = (request("Connection: close\r\n"), [request("").as_slice(), b"\r\n\x01"].concat());
    let mut answers = Vec::new();
    for asked in [by_hyper, plain] {
        let mut stream = connect(world).await;
        stream.write_all(&asked).await.expect("sent");
        answers.push(rest(&mut stream).await);
    }
    let told = answers[1].windows(20).rposition(|window| window == b"HTTP/1.1 400 Bad Req");
    answers[1].truncate(told.filter(|at| *at > 0).unwrap_or(usize::MAX));
    let taken_apart = answers.iter().map(|answer| {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        (lines(&answer[..end]), answer[end..].to_vec())
    });
    taken_apart.collect::<Vec<_>>().try_into().expect("two answers")
}

#[tokio::test]
async fn whatever_is_answered_is_the_same_whichever_way() {
    let mut world = world(&Settings::default()).await;
    put_hashed(&mut world, "b.bin", 300_000);
    put(&mut world, "sub/c d.txt", &Content::Text("c".to_owned()));
    let mut statuses = std::collections::BTreeSet::new();
    let paths =
        ["a.txt", "b.bin", "sub/c%20d.txt", "sub/", "sub", "", "none", "b.bin.meta4", "b.bin.sha256", "..", "%zz", "a.txt/"];
    for path in paths {
        for method in ["GET", "HEAD"] {
            for more in [
                "Accept: */*",
                "If-None-Match: *",
                "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT",
                "If-Match: \"x\"",
                "X-Forwarded-Proto: https",
            ] {
                let [by_hyper, plain] = both_ways(&world, method, path, more).await;
                assert_eq!(by_hyper, plain, "{method} {path} {more}");
                statuses.insert(by_hyper.0[0].clone());
            }
        }
    }
    assert!(statuses.len() >= 6, "{statuses:?}");
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_plain_conversation_cuts_no_answer() {
    let mut world = world(&Settings::default()).await;
    let keys = std::collections::BTreeMap::new();
    put_hashed(&mut world, "m.bin", 100_000);
    world.instance().add_mirror(world::mirror("leiden", "nl", &keys));
    world.instance().let_hold("leiden", "m.bin");
    let content = put_hashed(&mut world, "large.bin", 20_000_000);
    world.publish();
    let redirect = "GET /activities/m.bin HTTP/1.1\r\nHost: a.example\r\n\r\n";
    // One between two requests, one within a request, one in the middle of a file.
    let mut idle = connect(&world).await;
    idle.write_all(redirect.as_bytes()).await.expect("sent");
    let mut within = connect(&world).await;
    within.write_all([redirect, &redirect[..20]].concat().as_bytes()).await.expect("sent");
    for stream in [&mut idle, &mut within] {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 302 "));
    }
    let mut loading = connect(&world).await;
    loading
        .write_all(["GET /activities/large.bin HTTP/1.1\r\nHost: a.example\r\n\r\n", redirect].concat().as_bytes())
        .await
        .expect("sent");
    let mut start = vec![0; 1000];
    loading.read_exact(&mut start).await.expect("the start");
    let stop = tokio::spawn(world.stop());
    assert_eq!(rest(&mut idle).await, b"");
    assert_eq!(rest(&mut within).await, b"");
    start.extend(rest(&mut loading).await);
    let (head, body) = start.split_at(start.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4);
    assert!(head.starts_with(b"HTTP/1.1 200 "));
    assert!(body == content, "the whole file, and no answer to what was asked behind it");
    stop.await.expect("stopped");
}
