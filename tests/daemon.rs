//! `redirector serve` as an administrator meets it: signals, several instances, orders beside it, restarts, metrics.

mod running;
mod servers;
mod until;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use md5::Digest as _;
use running::{OLD, Reply, Running, Site, Stream, ask, get, mirror, serve, text, until};
use rustix::process::Signal;
use servers::{Odd, Server, free_address, listing, respond};

/// More than the kernel buffers for a client that does not read.
const LARGE: usize = 32 << 20;

fn nginx(site: &Site) -> Server {
    Server::nginx(&site.tree(), "autoindex on;")
}

// Fallback mirrors.

#[test]
fn a_fallback_that_is_down_is_not_used_until_it_is_back_and_redirects_are_stamped() {
    let site = Site::with_a_file("site");
    let well = |request: &servers::Request, out: &mut TcpStream| respond(request, out, "200 OK", &[], b"a page");
    let ill = |request: &servers::Request, out: &mut TcpStream| respond(request, out, "503 Away", &[], b"");
    let fallback = Odd::start(well);
    site.folder.write_bytes("key", b"secret\n", OLD);
    let answers = "[answers]\nstamp-key-file = \"key\"\nmirrorbrain-headers = true\n";
    site.configure("", "", &format!("{answers}[[fallback]]\nhttp = \"{}pub/\"\n", fallback.url()));
    let running = Running::start(&[&site]);
    until("the file is known, or old enough as it lies there", || site.get("/old.xo").status == 302);
    let reply = site.get("/old.xo");
    let host = fallback.address().ip().to_string();
    assert_eq!(reply.header("x-redirector"), Some(&*format!("mirror={host}; why=fallback")));
    assert_eq!(reply.header("x-mirrorbrain-mirror"), Some(&*host));
    let location = reply.header("location").expect("a location");
    let stamped = location.strip_prefix(&format!("{}pub/old.xo?time=", fallback.url())).expect("the fallback's URL");
    let (time, digest) = stamped.split_once("&stamp=").expect("a stamp");
    assert!(time.parse::<i64>().is_ok_and(|time| time > OLD) && digest.len() == 32, "{location}");

    fallback.turn_into(ill);
    until("the fallback is down", || site.get("/old.xo").status == 200);
    assert_eq!(site.get("/old.xo").header("x-redirector"), Some("local; why=no-mirror"));
    fallback.turn_into(well);
    until("the fallback is back", || site.get("/old.xo").status == 302);
    site.folder.write_bytes("key", b"another secret\n", OLD);
    running.reload();
    until("a fallback is used", || site.get("/old.xo").status == 302);
    let location = site.get("/old.xo").header("location").expect("a location").to_owned();
    let (time, digest) = location.split_once("?time=").and_then(|(_, stamp)| stamp.split_once("&stamp=")).expect("a stamp");
    let expected = md5::Md5::digest(format!("{time} another secret"));
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, expected, "the new key is taken, though the configuration is the same");
    running.assert_well();
}

// What is not public.

#[test]
fn a_file_that_is_not_public_is_handed_out_by_signed_links_only() {
    let site = Site::with_a_file("site");
    site.folder.write("work/4078/new one.xo", 1000, OLD);
    let tree = "prefix = \"/activities\"\napplication = \"work\"\napplication-access = \"signed\"\n";
    site.configure("", tree, "");
    let told = text(&site.run(&["check"]).stderr) + &text(&site.run(&["check"]).stdout);
    assert!(told.contains("needs `application-key-file`"), "{told}");

    site.folder.write_bytes("key", b"5f0c7d1e9ab3424c8f5d\n", OLD);
    site.configure("", &format!("{tree}application-key-file = \"key\"\n"), "");
    let running = Running::start(&[&site]);
    let link = |arguments: &[&str]| {
        let output = site.run(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).trim_end().to_owned()
    };
    let address = "/activities/4078/new%20one.xo";
    let good = link(&["files", "sign", "4078/new one.xo", "--for", "1h"]);
    assert!(good.starts_with(&format!("{address}?expires=")), "{good}");
    assert_eq!((site.get(address).status, site.get(&good).status, site.get("/activities/old.xo").status), (403, 200, 200));
    let other = good.replace("new%20one", "new%20two");
    assert_eq!(site.get(&other).status, 404);
    let short = link(&["files", "sign", address, "--for", "1s"]);
    until("the link has expired", || site.get(&short).status == 403);
    let whole = link(&["files", "sign", &format!("https://download.example.org{address}")]);
    assert!(whole.starts_with(&format!("https://download.example.org{address}?expires=")), "{whole}");
    assert!(!site.run(&["files", "sign", "4078/"]).status.success(), "a directory");

    site.folder.write_bytes("key", b"short", OLD);
    let refused = site.run(&["files", "sign", "4078/new one.xo"]);
    assert!(text(&refused.stderr).contains("has 5 bytes"), "{}", text(&refused.stderr));
    assert_eq!(site.get(&good).status, 200, "a running server keeps its key");
    let log = running.reload_in_vain();
    assert!(log.contains("has 5 bytes") && site.get(&good).status == 200, "and does so where the new one is none: {log}");
    site.folder.write_bytes("key", b"another key, which is long enough\n", OLD);
    running.reload();
    assert_eq!(site.get(&good).status, 403, "a new key is taken where the configuration is the same");
    assert_eq!(site.get(&link(&["files", "sign", "4078/new one.xo", "--for", "1h"])).status, 200);
}

// Reload.

#[test]
fn a_new_configuration_takes_effect_without_a_failed_request() {
    let site = Site::with_a_file("site");
    let (one, two) = (nginx(&site), nginx(&site));
    site.configure("", "", &mirror("one", &one.url()));
    let running = Running::start(&[&site]);
    until("the first mirror is used", || site.get("/old.xo").mirror() == Some("one"));
    let stream = Stream::start(site.listen, "/old.xo");

    site.configure("", "", &mirror("two", &two.url()));
    running.reload();
    until("the new mirror is used", || site.get("/old.xo").mirror() == Some("two"));
    assert!(!site.metrics().contains("redirector_mirror_up{instance=\"site\",mirror=\"one\"}"), "one is gone");

    site.folder.write("tree2/old.xo", 100_000, OLD);
    site.folder.write("tree2/new.xo", 1000, OLD);
    site.configure("", "public = \"tree2\"\n", &mirror("two", &two.url()));
    running.reload();
    assert_eq!(site.get("/new.xo").status, 200);

    let (more, listen) = (free_address(), site.listen);
    site.configure(&format!("listen = [\"{listen}\", \"{more}\"]\n"), "public = \"tree2\"\n", "");
    running.reload();
    assert_eq!(get(more, "/new.xo", "").expect("the new address is listened at").status, 200);

    site.configure("max-connections = 100\n", "public = \"tree2\"\n", "");
    let log = running.reload();
    assert!(log.contains("no longer listening"), "{log}");
    // With other limits, who listens is another one each time.
    for most in 101..121 {
        site.configure(&format!("max-connections = {most}\n"), "public = \"tree2\"\n", "");
        running.reload();
    }
    stream.assert_good();
    let refused = TcpStream::connect(more).expect_err("the old address is not");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(site.get("/old.xo").status, 200);
    running.assert_well();
}

#[test]
fn an_address_that_contains_one_of_before_is_listened_at() {
    let site = Site::with_a_file("site");
    site.configure("", "", "");
    let running = Running::start(&[&site]);
    let all = SocketAddr::from(([0, 0, 0, 0], site.listen.port()));
    site.configure(&format!("listen = [\"{all}\"]\n"), "", "");
    let log = running.reload();
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(site.get("/old.xo").status, 200);
}

#[test]
fn a_broken_configuration_is_told_and_changes_nothing() {
    let site = Site::with_a_file("site");
    let server = nginx(&site);
    site.configure("", "", &mirror("one", &server.url()));
    let running = Running::start(&[&site]);
    until("the mirror is used", || site.get("/old.xo").mirror() == Some("one"));
    let stream = Stream::start(site.listen, "/old.xo");
    let good = fs::read_to_string(site.path()).expect("it is there");
    for (bad, why) in [
        (good.replace("[probe]", "[prob]"), "prob"),
        (good.replace("http = ", "htp = "), "htp"),
        ("listen = [".to_owned(), "site.toml"),
        (good.replace("interval = \"5s\"", "interval = \"soon\""), "soon"),
    ] {
        site.write(&bad);
        let log = running.reload_in_vain();
        assert!(log.contains(why), "{log}");
        assert_eq!(site.get("/old.xo").mirror(), Some("one"), "{why}");
    }
    fs::remove_file(site.path()).expect("it was there");
    let log = running.reload_in_vain();
    assert!(log.contains("can't read the configuration"), "{log}");
    site.write(&good.replace("\"one\"", "\"renamed\""));
    running.reload();
    until("the mended one is taken", || site.get("/old.xo").mirror() == Some("renamed"));
    stream.assert_good();
    running.assert_well();
}

#[test]
fn what_can_not_be_opened_leaves_the_old_instance_at_work() {
    let site = Site::with_a_file("site");
    site.configure("", "", "");
    let running = Running::start(&[&site]);
    until("the tree is indexed", || site.degraded().is_empty());
    site.folder.write_bytes("garbage", &[7; 10_000], OLD);
    let more = free_address();
    site.configure(&format!("listen = [\"{more}\"]\n"), "prefix = \"/x\"\n", "[inventory]\ndatabase = \"garbage\"\n");
    let log = running.reload_in_vain();
    assert!(log.contains("is not an SQLite database"), "{log}");
    assert_eq!(site.get("/old.xo").status, 200, "the old prefix at the old address");
    TcpStream::connect(more).expect_err("the new address is not listened at");
    // Its tasks are alive: what is new is indexed.
    site.folder.write("tree/later.xo", 10, OLD);
    until("a new file is indexed", || site.metrics().contains("redirector_files{instance=\"site\"} 2"));

    // Another good database is taken, and the counts go on.
    let walks = series(&site.metrics(), "redirector_index_walks_total{instance=\"site\"}");
    site.configure("", "", "[inventory]\ndatabase = \"another.sqlite\"\n");
    running.reload();
    until("the tree is indexed again", || site.degraded().is_empty());
    assert!(site.folder.path().join("another.sqlite").exists());
    assert!(series(&site.metrics(), "redirector_index_walks_total{instance=\"site\"}") > walks);
    assert_eq!(site.get("/later.xo").status, 200);
    running.assert_well();
}

#[test]
fn an_address_that_can_not_be_had_leaves_the_old_one_open() {
    let site = Site::with_a_file("site");
    site.configure("", "", "");
    let running = Running::start(&[&site]);
    let (taken, more) = (TcpListener::bind("127.0.0.1:0").expect("bound"), free_address());
    let occupied = taken.local_addr().expect("bound");
    // In use by another program, and not this machine's.
    for address in [occupied, SocketAddr::from(([192, 0, 2, 1], 8080))] {
        site.configure(&format!("listen = [\"{more}\", \"{address}\"]\n"), "prefix = \"/x\"\n", "");
        let log = running.reload_in_vain();
        assert!(log.contains(&format!("can't listen at {address}")), "{log}");
        assert_eq!(site.get("/old.xo").status, 200, "the old prefix at the old address");
        TcpStream::connect(more).expect_err("nobody listens at the other new one");
    }
    drop(taken);
    site.configure(&format!("listen = [\"{more}\", \"{occupied}\"]\n"), "prefix = \"/x\"\n", "");
    running.reload();
    for address in [more, occupied] {
        assert_eq!(get(address, "/x/old.xo", "").expect("it is listened at").status, 200);
    }
    TcpStream::connect(site.listen).expect_err("the old one is closed");
    running.assert_well();
}

#[test]
fn two_servers_do_not_serve_from_one_database() {
    let (site, copy) = (Site::with_a_file("site"), Site::new("copy"));
    site.configure("", "", "");
    let mut running = Running::start(&[&site]);
    // Another tree, and the database that was forgotten.
    let inventory = format!("[inventory]\ndatabase = \"{}\"\n", site.database().display());
    copy.configure("", "", &inventory);
    let second = Running::spawn(serve(&[&copy]));
    second.wait_for_log("another redirector serves from this database");
    assert!(!second.log().contains("serving instances"), "{}", second.log());
    assert_eq!(site.get("/old.xo").status, 200);
    // Another name for the same database is no other one.
    site.configure("", "", &inventory);
    assert!(running.reload().contains("took the new configuration"));
    running.signal(Signal::TERM);
    assert!(running.end().success());
    second.wait_for_log("serving instances");
}

#[test]
fn a_reload_of_one_instance_leaves_the_others_alone() {
    let (one, two) = (Site::with_a_file("one"), Site::with_a_file("two"));
    two.folder.write("tree/large", LARGE, OLD);
    one.configure("", "", "");
    two.configure("", "prefix = \"/two\"\n", "");
    let running = Running::start(&[&one, &two]);
    until("both are indexed", || one.degraded().is_empty());
    let mut download = ask(two.listen, "/two/large", "").expect("it begins");
    download.read_exact(&mut [0; 1000]).expect("it begins");
    let stream = Stream::start(two.listen, "/two/old.xo");
    one.configure("", "prefix = \"/x\"\n", "");
    let log = running.reload();
    assert!(log.contains("instance=\"one\"") && !log.contains("instance=\"two\""), "{log}");
    assert_eq!((one.get("/old.xo").status, one.get("/x/old.xo").status), (404, 200));
    stream.assert_good();
    let mut rest = Vec::new();
    download.read_to_end(&mut rest).expect("it goes on");
    assert!(rest.len() + 1000 > LARGE, "{}", rest.len());

    // What would contradict another instance is refused as a whole.
    one.configure("", "prefix = \"/two\"\n", "");
    running.reload_in_vain();
    assert_eq!(one.get("/x/old.xo").status, 200);
    running.assert_well();
}

#[test]
fn where_one_instance_can_not_take_its_new_configuration_no_other_takes_its_own() {
    let (one, two) = (Site::with_a_file("one"), Site::with_a_file("two"));
    let servers = [nginx(&one), nginx(&one)];
    let [before, after] = ["before", "after"].map(|name| mirror(name, &servers[usize::from(name == "after")].url()));
    one.configure("", "prefix = \"/one\"\n", &before);
    two.configure("", "prefix = \"/two\"\n", "");
    let running = Running::start(&[&one, &two]);
    until("the mirror is used", || one.get("/one/old.xo").mirror() == Some("before"));

    // The one is to have the prefix that the other gives up; but that one has to keep it.
    one.configure("", "prefix = \"/two\"\n", &after);
    two.folder.write_bytes("garbage", &[7; 10_000], OLD);
    two.configure("", "prefix = \"/three\"\n", "[inventory]\ndatabase = \"garbage\"\n");
    let log = running.reload_in_vain();
    assert!(log.contains("is not an SQLite database"), "{log}");
    assert_eq!((one.get("/one/old.xo").mirror(), two.get("/two/old.xo").status), (Some("before"), 200));

    // The database of another one is no database yet.
    two.configure("", "prefix = \"/three\"\n", &format!("[inventory]\ndatabase = \"{}\"\n", one.database().display()));
    one.configure("", "prefix = \"/two\"\n", &format!("[inventory]\ndatabase = \"another.sqlite\"\n{after}"));
    let log = running.reload_in_vain();
    assert!(log.contains("still the database of instance one"), "{log}");
    assert_eq!((one.get("/one/old.xo").mirror(), two.get("/two/old.xo").status), (Some("before"), 200));

    two.configure("", "prefix = \"/three\"\n", "");
    running.reload();
    until("the new mirror is used", || one.get("/two/old.xo").mirror() == Some("after"));
    assert_eq!((one.get("/one/old.xo").status, two.get("/three/old.xo").status), (404, 200));
    running.assert_well();
}

#[test]
fn where_one_database_does_not_answer_all_instances_keep_their_mirrors() {
    let (one, two) = (Site::with_a_file("one"), Site::with_a_file("two"));
    let server = nginx(&one);
    let mirrors = ["before", "after"].map(|name| mirror(name, &server.url()));
    one.configure("", "prefix = \"/one\"\n", &mirrors[0]);
    two.configure("", "prefix = \"/two\"\n", "");
    let running = Running::start(&[&one, &two]);
    until("the mirror is used", || one.get("/one/old.xo").mirror() == Some("before"));
    let away = two.folder.path().join("state/away");
    fs::rename(two.database(), &away).expect("moved");
    until("that is noticed", || two.is_degraded("database"));
    one.configure("", "prefix = \"/one\"\n", &mirrors[1]);
    two.configure("", "prefix = \"/three\"\n", "");
    running.reload_in_vain();
    assert_eq!((one.get("/one/old.xo").mirror(), two.get("/two/old.xo").status), (Some("before"), 200));
    fs::rename(&away, two.database()).expect("moved");
    until("that is noticed", || !two.is_degraded("database"));
    running.reload();
    until("the new mirror is used", || one.get("/one/old.xo").mirror() == Some("after"));
    assert_eq!(two.get("/three/old.xo").status, 200);
    running.assert_well();
}

// The end.

#[test]
fn at_the_end_a_slow_client_gets_its_whole_file() {
    let site = Site::with_a_file("site");
    site.folder.write("tree/large", LARGE, OLD);
    site.configure("", "", "");
    let mut running = Running::start(&[&site]);
    let mut slow = ask(site.listen, "/large", "").expect("it begins");
    slow.read_exact(&mut [0; 1000]).expect("it begins");
    running.signal(Signal::TERM);
    running.wait_for_log("stopping");
    until("nobody else is let in", || TcpStream::connect(site.listen).is_err());
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("it goes on");
    assert!(rest.len() + 1000 > LARGE, "{}", rest.len());
    assert!(running.end().success());
    assert!(running.log().contains("stopped"));
    running.assert_well();
}

#[test]
fn a_client_that_does_not_read_is_cut_after_the_drain_timeout_or_by_a_second_signal() {
    for (timeout, signals) in [("1s", 1), ("1h", 2)] {
        let site = Site::with_a_file("site");
        site.folder.write("tree/large", LARGE, OLD);
        site.configure(&format!("drain-timeout = \"{timeout}\"\n"), "", "");
        let mut running = Running::start(&[&site]);
        let mut stuck = ask(site.listen, "/large", "").expect("it begins");
        stuck.read_exact(&mut [0; 1000]).expect("it begins");
        running.signal(Signal::TERM);
        running.wait_for_log("stopping");
        if signals == 2 {
            running.signal(Signal::TERM);
        }
        assert!(running.end().success());
        let mut rest = Vec::new();
        stuck.read_to_end(&mut rest).ok();
        assert!(rest.len() < LARGE, "it was cut");
        running.assert_well();
    }
}

// Several instances, and starts that fail.

#[test]
fn two_instances_on_one_port_are_told_apart_by_prefix_and_by_host() {
    let sites = ["one", "two", "three"].map(Site::new);
    for site in &sites {
        site.folder.write_bytes("tree/who", site.name.as_bytes(), OLD);
    }
    let listen = format!("listen = [\"{}\"]\n", sites[0].listen);
    sites[0].configure(&listen, "prefix = \"/activities\"\n", "");
    sites[1].configure(&listen, "prefix = \"/activities-devel\"\n", "");
    sites[2].configure(&format!("{listen}hosts = [\"other.example\"]\n"), "prefix = \"/activities\"\n", "");
    let _running = Running::start(&sites.each_ref());
    let who = |path, host| {
        let Reply { status, body, .. } = get(sites[0].listen, path, &format!("Host: {host}\r\n")).expect("an answer");
        if status == 200 { text(&body) } else { status.to_string() }
    };
    assert_eq!(who("/activities/who", "a.example"), "one");
    assert_eq!(who("/activities-devel/who", "a.example"), "two");
    assert_eq!(who("/activities/who", "other.example"), "three");
    assert_eq!(who("/activities-devel/who", "other.example"), "two");
    assert_eq!(who("/activities-test/who", "a.example"), "404");
    assert_eq!(who("/who", "a.example"), "404");
}

/// Starts it, and returns its exit status and what it told.
fn fail(sites: &[&Site]) -> (Option<i32>, String) {
    let output = serve(sites).output().expect("it runs");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn an_address_that_a_killed_server_still_has_for_a_moment_is_waited_for() {
    let site = Site::with_a_file("site");
    let taken = TcpListener::bind(site.listen).expect("it was free");
    site.configure("", "", "");
    let mut server = serve(&[&site]).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut told = BufReader::new(server.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(told.any(|line| line.contains("the address is in use")));
    drop(taken);
    assert!(told.any(|line| line.contains("listening")));
    server.kill().expect("it runs");
    server.wait().expect("it has ended");
}

#[test]
fn what_makes_a_start_impossible_is_told_with_the_right_exit_status() {
    let site = Site::with_a_file("site");
    let taken = TcpListener::bind(site.listen).expect("it was free");
    site.configure("", "", "");
    let (status, told) = fail(&[&site]);
    assert!(told.contains(&format!("can't listen at {}", site.listen)) && told.contains("in use"), "{told}");
    assert_eq!(status, Some(1));
    drop(taken);

    site.folder.write_bytes(
        "state/redirector.sqlite",
        "this is no database, and it is long enough to be seen as none".repeat(100).as_bytes(),
        OLD,
    );
    let (status, told) = fail(&[&site]);
    assert!(told.contains("is not an SQLite database") && told.contains("redirector.sqlite"), "{told}");
    assert_eq!(status, Some(1));
    fs::remove_file(site.database()).expect("it was there");

    site.configure("", "minimum-age = \"1h\"\n", "");
    let (status, told) = fail(&[&site]);
    assert!(told.contains("minimum-age") && told.contains("site.toml"), "{told}");
    assert_eq!(status, Some(78));

    site.configure("", "", "");
    let twin = Site::new("twin");
    twin.configure("", "", "");
    let (status, told) = fail(&[&site, &twin]);
    assert!(told.contains("twin") && told.contains("tree.prefix"), "{told}");
    assert_eq!(status, Some(78));

    fs::remove_file(site.path()).expect("it was there");
    let (status, told) = fail(&[&site]);
    assert!(told.contains("can't read the configuration"), "{told}");
    assert_eq!(status, Some(78));
}

// Orders beside it.

#[test]
fn a_scan_and_a_hold_beside_it_take_effect_soon() {
    let site = Site::with_a_file("site");
    let refusing = |request: &servers::Request, out: &mut TcpStream| respond(request, out, "503 Busy", &[], b"");
    let odd = Odd::start(refusing);
    site.configure("", "", &mirror("one", &odd.url()));
    let running = Running::start(&[&site]);
    running.wait_for_log("can't scan a mirror");
    assert_eq!(site.get("/old.xo").status, 200);
    odd.turn_into(|request, out| match request.path.as_str() {
        "/" => respond(request, out, "200 OK", &[("Server", "nginx"), ("Content-Type", "text/html")], &page()),
        "/old.xo" => {
            let time = ("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT");
            respond(request, out, "200 OK", &[time], &vec![b'x'; 100_000])
        }
        _ => respond(request, out, "404 Not Found", &[], b""),
    });
    site.run_well(&["scan"]);
    let began = redirector::clock::instant();
    until("the scan is seen", || site.get("/old.xo").status == 302);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    // Within a second. A busy machine may add to that, but not to each of several orders.
    let mut times = Vec::new();
    for (order, status) in [("hold", 410), ("release", 302)].repeat(3) {
        site.run_well(&["files", order, "/old.xo", "--because", "a test"]);
        let began = redirector::clock::instant();
        until(order, || site.get("/old.xo").status == status);
        times.push(began.elapsed());
    }
    assert!(times.iter().filter(|time| **time <= Duration::from_secs(1)).count() >= 2, "{times:?}");
    running.assert_well();
}

fn page() -> Vec<u8> {
    listing("/", &[("old.xo", 100_000, OLD)]).into_bytes()
}

#[test]
fn after_a_restart_the_first_answer_is_the_last_one_of_before() {
    let site = Site::with_a_file("site");
    let server = nginx(&site);
    for number in 0..2000 {
        site.folder.write(&format!("tree/{}/{number}", number % 50), 10, OLD);
    }
    site.configure("", "", &mirror("one", &server.url()));
    let mut running = Running::start(&[&site]);
    until("the mirror is used", || site.get("/old.xo").mirror() == Some("one"));
    running.signal(Signal::TERM);
    assert!(running.end().success());

    let began = redirector::clock::instant();
    let _running = Running::spawn(serve(&[&site]));
    until("it listens", || TcpStream::connect(site.listen).is_ok());
    let first = site.get("/old.xo");
    let took = began.elapsed();
    assert_eq!(first.mirror(), Some("one"), "{}", first.head);
    println!("the first answer came after {took:?}");
    // Asked of a program that is built for speed: a second. This one is not, and other tests run beside it.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_restart_hashes_nothing_again() {
    let site = Site::with_a_file("site");
    for number in 0..300 {
        site.folder.write(&format!("tree/{}/{number}", number % 10), 10, OLD);
    }
    site.configure("", "", "");
    let series = |name: &str| series(&site.metrics(), &format!("redirector_{name}{{instance=\"site\"}}"));
    let mut running = Running::start(&[&site]);
    until("all is hashed", || series("hashed_files_total") >= 301.0);
    running.signal(Signal::TERM);
    assert!(running.end().success());

    let running = Running::start(&[&site]);
    running.wait_for_log("the public tree was walked");
    site.folder.write("tree/new", 10, OLD);
    until("what is new is hashed", || series("hashed_files_total") >= 1.0);
    assert!(series("hashed_files_total") < 2.0, "what was hashed before was hashed again");
}

// GeoIP.

fn database(kind: &str, country: &str) -> Vec<u8> {
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut writer = mmdb_writer::Writer::builder(kind).ip_version(mmdb_writer::IpVersion::V4).build_epoch(made).build();
    let record = mmdb_writer::Value::map([("country_code", country)]);
    writer.insert_value("8.8.8.0/24".parse::<ipnet::IpNet>().expect("a network"), record).expect("a good record");
    writer.to_bytes().expect("a database")
}

#[test]
fn a_geoip_database_is_replaced_and_broken_while_it_is_used() {
    let site = Site::with_a_file("site");
    let server = nginx(&site);
    let file = site.folder.path().join("geo.mmdb");
    let put = |content: &[u8]| redirector::durable::write(&file, content).expect("written");
    put(&database("country", "de"));
    let only =
        format!("{}country = \"nl\"\nonly = \"country\"\n[geoip]\nlocation = \"geo.mmdb\"\n", mirror("one", &server.url()));
    site.configure("", "", &only);
    let running = Running::start(&[&site]);
    running.wait_for_log("scanned a mirror");
    let client = || get(site.listen, "/old.xo", "X-Forwarded-For: 8.8.8.8\r\n").expect("an answer");
    assert_eq!(client().status, 200, "the client is in Germany");
    assert!(!text(&site.get("/").body).contains("db-ip.com"));

    put(&database("DBIP-Country-Lite", "nl"));
    until("the client is in the Netherlands", || client().mirror() == Some("one"));
    assert!(text(&site.get("/").body).contains("db-ip.com"), "the licence of the new one asks for a credit");

    put(b"garbage");
    until("it is told", || site.is_degraded("geoip"));
    assert_eq!(client().mirror(), Some("one"), "the old one stays in use");
    fs::remove_file(&file).expect("it was there");
    assert_eq!(client().mirror(), Some("one"));
    put(&database("country", "nl"));
    until("it is mended", || !site.is_degraded("geoip"));
    put(&database("country", "de"));
    // A reload looks at once.
    running.reload();
    assert_eq!(client().status, 200);
    running.assert_well();
}

// systemd.

#[test]
fn systemd_is_told_of_start_reload_and_end() {
    let site = Site::with_a_file("site");
    site.configure("", "", "");
    let path = site.folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(until::BOUND)).expect("it is ours");
    let next = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("a message");
        text(&buffer[..length])
    };
    let mut command = serve(&[&site]);
    command.env("NOTIFY_SOCKET", &path);
    let mut running = Running::spawn(command);
    assert_eq!(next().trim(), "READY=1");
    assert_eq!(site.get("/old.xo").status, 200, "it is ready when it says so");

    running.signal(Signal::HUP);
    let reloading = next();
    let lines: BTreeSet<&str> = reloading.lines().collect();
    assert!(lines.contains("RELOADING=1"), "{reloading}");
    let when = lines.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("a time");
    assert!(when.parse::<u64>().is_ok_and(|when| when > 0), "{when}");
    assert_eq!(next().trim(), "READY=1");

    running.signal(Signal::TERM);
    assert_eq!(next().trim(), "STOPPING=1");
    assert!(running.end().success());
}

// Metrics.

#[test]
fn the_metrics_of_two_instances_are_strict_openmetrics() {
    let (one, two) = (Site::with_a_file("one"), Site::with_a_file("two"));
    let server = nginx(&one);
    one.configure("", "", &mirror("mirror", &server.url()));
    two.configure("", "prefix = \"/two\"\n", &mirror("mirror", &server.url()));
    let _running = Running::start(&[&one, &two]);
    for (site, path) in [(&one, "/old.xo"), (&two, "/two/old.xo")] {
        until("the mirror is used", || site.get(path).mirror() == Some("mirror"));
        until("it was probed", || site.metrics().contains(&format!("mirror_up{{instance=\"{}\"", site.name)));
    }
    let text = one.metrics();
    let samples = parse_strictly(&text);
    for site in ["one", "two"] {
        let of = |name: &str, more: &str| samples[&format!("{name}{{instance=\"{site}\"{more}}}")];
        assert!(of("redirector_scans_total", ",mirror=\"mirror\",outcome=\"complete\"") >= 1.0);
        assert!(of("redirector_probes_total", ",mirror=\"mirror\",outcome=\"success\"") >= 1.0);
        assert!(of("redirector_scan_last_success_timestamp_seconds", ",mirror=\"mirror\"") > 1e9);
        assert!(of("redirector_index_walks_total", "") >= 1.0);
        assert!(of("redirector_index_changed_files_total", "") >= 1.0);
        assert!(of("redirector_hashed_files_total", "") >= 0.0);
        assert!(of("redirector_mirror_redirects_total", ",mirror=\"mirror\"") >= 1.0);
        assert!(of("redirector_request_duration_seconds_count", "") >= 1.0);
    }
}

fn series(text: &str, name: &str) -> f64 {
    parse_strictly(text).get(name).copied().unwrap_or(0.0)
}

/// Reads a text as OpenMetrics 1.0 defines it, as far as it concerns us; anything else is a failure.
#[track_caller]
fn parse_strictly(text: &str) -> BTreeMap<String, f64> {
    let lines = text.strip_suffix("# EOF\n").expect("the text ends with its end mark");
    let (mut families, mut samples) = (BTreeMap::<String, String>::new(), BTreeMap::new());
    let (mut family, mut helped) = (String::new(), BTreeSet::new());
    for line in lines.lines() {
        assert!(!line.is_empty() && line == line.trim(), "{line:?}");
        if let Some(comment) = line.strip_prefix("# ") {
            let [what, name, rest] = comment.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
            assert!(name.starts_with("redirector_") && !name.ends_with("_total"), "{line:?}");
            match what {
                "HELP" => assert!(helped.insert(name.to_owned()), "a second HELP of {name}"),
                "TYPE" => {
                    assert!(["counter", "gauge", "histogram"].contains(&rest), "{line:?}");
                    assert!(families.insert(name.to_owned(), rest.to_owned()).is_none(), "a second TYPE of {name}");
                }
                "UNIT" => assert!(name.ends_with(rest), "{line:?}"),
                _ => panic!("{line:?}"),
            }
            assert!(family != name || what != "HELP", "{line:?}");
            family = name.to_owned();
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a name and a value");
        let (name, labels) = series.split_once('{').expect("all have labels");
        // Families are not interleaved: a sample belongs to the family that was named last.
        let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line:?} in family {family}"));
        let suffixes: &[&str] = match families[&family].as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            _ => &["_bucket", "_sum", "_count"],
        };
        assert!(suffixes.contains(&suffix), "{line:?} in family {family}");
        let labels = labels.strip_suffix('}').expect("a closing brace");
        let names: Vec<&str> = labels.split("\",").map(|label| label.split_once("=\"").expect("a label").0).collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "a label twice: {line:?}");
        assert!(names.contains(&"instance"), "{line:?}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line:?} has no number"));
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} twice");
    }
    assert!(families.keys().all(|family| helped.contains(family)), "a family without HELP");
    samples
}
