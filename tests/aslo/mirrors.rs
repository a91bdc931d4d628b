//! Mirrors near and far, partial, failing and gone; restarts; clocks that jump (scenarios 39 to 45).

use std::collections::BTreeSet;

use jiff::SignedDuration;
use rustix::process::Signal;

use super::mirror::Mirror;
use super::site::{AUSTRALIA, BROWSE, NETHERLANDS, PRODUCTION, Site, URUGUAY, bundle, until, write};

const FILE: &str = "4078/labyrinth-7.xo";
const LABYRINTH: &str = "/activities/4078/labyrinth-7.xo";
const CASTLE: &str = "/activities/4397/castle-23.xo";
const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);
const OPTIONS: &str = "autoindex on;";

/// A site with Labyrinth 7, old enough, and two mirrors in the Netherlands that hold it.
async fn site_with_two_mirrors() -> Site {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join(FILE), &bundle(7, 5000), site.clock.now() - MONTH);
    for name in ["leiden", "utrecht"] {
        let mirror = Mirror::new(name, "nl");
        mirror.sync(&tree);
        site.production().add(mirror);
    }
    site.start().await;
    for name in ["leiden", "utrecht"] {
        until("both hold it", async || site.holds(PRODUCTION, name, FILE).await).await;
    }
    site
}

/// Where clients of many networks are sent for Labyrinth.
async fn chosen(site: &Site) -> BTreeSet<String> {
    let mut chosen = BTreeSet::new();
    for n in 0..24 {
        let address = format!("145.97.{n}.155");
        let answer = site.ask("GET", LABYRINTH, &[("X-Forwarded-For", &address)]).await;
        assert!(answer.status < 500, "{answer:?}");
        chosen.insert(answer.gist());
    }
    chosen
}

/// Lets a probe of each of these mirrors fail, and waits until it has.
async fn let_probes_fail(site: &Site, mirrors: &[&str]) {
    let failures = async |mirror: &str| {
        let labels = [("mirror", mirror), ("outcome", "failure")];
        site.metric("redirector_probes_total", &labels).await.unwrap_or_default()
    };
    let mut before = Vec::new();
    for mirror in mirrors {
        before.push(failures(mirror).await);
    }
    site.pass(SignedDuration::from_secs(70));
    for (mirror, before) in mirrors.iter().zip(before) {
        until("the probe fails", async || failures(mirror).await > before).await;
    }
}

/// Scenario 39.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn australia_is_served_by_its_own_mirror_and_uruguay_by_any_rather_than_from_here() {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join("4397/castle-23.xo"), b"castle", site.clock.now() - MONTH);
    for (name, base, country) in [
        ("aarnet", "pub/sugarlabs/activities", "au"),
        ("rochester", "sugarlabs/activities", "us"),
        ("leiden", "sugar/activities", "nl"),
    ] {
        let mirror = Mirror::with(name, base, &format!("country = \"{country}\"\n"), OPTIONS);
        mirror.sync(&tree);
        site.production().add(mirror);
    }
    site.start().await;
    for name in ["aarnet", "rochester", "leiden"] {
        until("all hold it", async || site.holds(PRODUCTION, name, "4397/castle-23.xo").await).await;
    }
    let answer = site.ask("GET", CASTLE, &[("X-Forwarded-For", AUSTRALIA)]).await;
    assert_eq!((answer.gist().as_str(), answer.why()), ("302 aarnet", "country"));
    assert!(answer.location().ends_with("/pub/sugarlabs/activities/4397/castle-23.xo"), "{answer:?}");
    assert_eq!(site.fetch("GET", answer.location(), &[]).await.body, b"castle");
    let answer = site.ask("GET", CASTLE, &[("X-Forwarded-For", URUGUAY)]).await;
    assert_eq!((answer.status, answer.why()), (302, "world"));
    assert_eq!(answer.links().len(), 3);
}

/// Scenario 40.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_mirror_is_used_for_what_it_has_and_for_nothing_else() {
    const ISO: &str = "soas/releases/soas-2-blueberry.iso";
    let mut site = Site::of(&["download"]);
    site.instance("download").set("tree", "prefix = \"/\"");
    let tree = site.instance("download").public();
    for path in ["activities/4078/labyrinth-7.xo", ISO] {
        write(&tree.join(path), path.as_bytes(), site.clock.now() - MONTH);
    }
    let (partial, whole) = (
        Mirror::with("leiden", "sugar", "country = \"nl\"\n", OPTIONS),
        Mirror::with("rochester", "sugar", "country = \"us\"\n", OPTIONS),
    );
    partial.rsync(&tree, &["--include=/activities/***", "--exclude=*"]);
    whole.sync(&tree);
    site.instance("download").add(partial).add(whole);
    site.start().await;
    site.expect(&format!("/{ISO}"), "302 rochester").await;
    let client = [("X-Forwarded-For", NETHERLANDS)];
    until("leiden is scanned", async || site.holds("download", "leiden", "activities/4078/labyrinth-7.xo").await).await;
    assert_eq!(site.ask("GET", LABYRINTH, &client).await.gist(), "302 leiden");
    let iso = site.ask("GET", &format!("/{ISO}"), &client).await;
    assert_eq!((iso.gist().as_str(), iso.links().len()), ("302 rochester", 1));
}

/// Scenario 41. Three failed probes make a mirror down; until then, answers name the other mirrors beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_dies_gets_no_more_clients_after_three_probes_and_others_are_named_meanwhile() {
    let mut site = site_with_two_mirrors().await;
    assert_eq!(chosen(&site).await, BTreeSet::from(["302 leiden".to_owned(), "302 utrecht".to_owned()]));
    let utrecht = site.mirror("utrecht").url();
    site.mirror("leiden").break_down();
    for _ in 0..2 {
        let_probes_fail(&site, &["leiden"]).await;
        for n in 0..24 {
            let answer = site.ask("GET", LABYRINTH, &[("X-Forwarded-For", &format!("145.97.{n}.155"))]).await;
            assert!(
                answer.links().contains(&format!("{utrecht}{FILE}").as_str()),
                "whoever tries again finds another: {answer:?}"
            );
        }
    }
    let_probes_fail(&site, &["leiden"]).await;
    until("nobody is sent there", async || chosen(&site).await == BTreeSet::from(["302 utrecht".to_owned()])).await;
    assert_eq!(site.metric("redirector_mirror_up", &[("mirror", "leiden")]).await, Some(0.0));
    assert_eq!(site.metric("redirector_mirror_up", &[("mirror", "utrecht")]).await, Some(1.0));
}

/// Scenario 42.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_mirrors_are_down_everything_comes_from_here_and_an_alarm_is_raised() {
    let mut site = site_with_two_mirrors().await;
    for name in ["leiden", "utrecht"] {
        site.mirror(name).break_down();
    }
    for _ in 0..3 {
        let_probes_fail(&site, &["leiden", "utrecht"]).await;
    }
    until("nobody is sent away", async || chosen(&site).await == BTreeSet::from(["200 no-mirror".to_owned()])).await;
    assert_eq!(site.get(LABYRINTH).await.body, bundle(7, 5000));
    let readiness = site.readyz().await;
    let told = String::from_utf8_lossy(&readiness.body);
    assert!(readiness.status == 200 && told.contains("all 2 mirrors are down"), "{told}");
    assert_eq!(site.metric("redirector_mirror_up", &[]).await, Some(0.0));
    assert_eq!(site.requests(PRODUCTION, "unavailable", "").await, 0);
}

/// Scenario 43, with the program killed as hard as can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_program_knows_what_it_knew_and_answers_within_a_second() {
    const FILES: u64 = 50;
    let mut site = Site::new();
    let tree = site.production().public();
    let path = |n: u64| format!("{}/activity-{n}.xo", 4030 + n);
    for n in 0..FILES {
        write(&tree.join(path(n)), &bundle(n, 20_000), site.clock.now() - MONTH);
    }
    let mirror = Mirror::new("leiden", "nl");
    mirror.sync(&tree);
    site.production().add(mirror);
    site.spawn(&[]).await;
    site.command(PRODUCTION, &["scan"]);
    site.command(PRODUCTION, &["files", "hold", "/activities/4030/", "--because", "disabled"]);
    site.expect(&format!("/activities/{}", path(0)), "410").await;
    site.expect(&format!("/activities/{}", path(1)), "302 leiden").await;
    until("all is hashed", async || {
        let mut hashed = 0;
        for n in 0..FILES {
            hashed += u64::from(site.record(PRODUCTION, &path(n)).await.is_some_and(|record| record.sha256.is_some()));
        }
        hashed == FILES
    })
    .await;

    // The mirror can't be asked any more: all that is known is what was known.
    site.mirror("leiden").break_down();
    let (address, admin) = (site.address(), site.admin());
    let mut took = Vec::new();
    for signal in [Signal::KILL, Signal::TERM, Signal::KILL] {
        site.signal(signal);
        site.end().await;
        let began = redirector::clock::instant();
        site.spawn_again_at(address, admin).await;
        let first = site.get(&format!("/activities/{}", path(1))).await;
        took.push(began.elapsed());
        assert_eq!(first.gist(), "302 leiden");
        assert_eq!(site.get(&format!("/activities/{}", path(0))).await.gist(), "410");
        until("the tree is walked", async || {
            site.metric("redirector_index_walks_total", &[]).await.is_some_and(|walks| walks > 0.0)
        })
        .await;
        assert_eq!(site.metric("redirector_hashed_files_total", &[]).await, Some(0.0), "nothing is hashed again");
        for n in 1..FILES {
            assert_eq!(site.get(&format!("/activities/{}", path(n))).await.gist(), "302 leiden");
        }
    }
    // On a machine that is busy with other things, one or the other may be slow.
    assert!(took.iter().any(|took| took.as_secs_f64() < 1.0), "{took:?}");
}

/// Scenario 45: a night on which the clocks change, and clocks that jump by more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_makes_no_file_unavailable_and_admits_no_mirror_by_itself() {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join(FILE), &bundle(7, 5000), site.clock.now() - MONTH);
    let mirror = Mirror::new("leiden", "nl");
    mirror.sync(&tree);
    site.production().add(mirror);
    site.start().await;
    site.expect(LABYRINTH, "302 leiden").await;
    site.publish("4030/etoys-113.xo", b"etoys").await;
    let etoys = "/activities/4030/etoys-113.xo";

    let year = SignedDuration::from_hours(24 * 365);
    let hour = SignedDuration::from_hours(1);
    let start = site.clock.now();
    for (jump, gist) in [
        (-hour, "200 young"),
        (hour, "200 young"),
        (hour, "200 no-mirror"),
        (year, "200 no-mirror"),
        (-year, "200 no-mirror"),
        (-hour, "200 young"),
    ] {
        site.pass(jump);
        if jump == year {
            // By now, the next scan is planned for then.
            site.scanned().await;
        }
        assert_eq!(site.get(etoys).await.gist(), gist, "after {jump:?}");
        assert_eq!(site.get(LABYRINTH).await.gist(), "302 leiden", "after {jump:?}");
        assert_eq!(site.get(&format!("/activities/{BROWSE}")).await.gist(), "302 leiden", "after {jump:?}");
    }
    assert_eq!(site.clock.now(), start);

    // Scans and walks go on after the jump back of a year.
    site.mirror("leiden").sync(&tree);
    until("the mirror is scanned again", async || {
        site.pass(SignedDuration::from_secs(30));
        site.get(etoys).await.gist() == "302 leiden"
    })
    .await;
    assert!(site.clock.now() < start + SignedDuration::from_hours(24), "within a day, not after a year");
    site.publish("4030/etoys-114.xo", b"etoys 114").await;
    assert_eq!(site.get("/activities/4030/etoys-114.xo").await.gist(), "200 young");
}
