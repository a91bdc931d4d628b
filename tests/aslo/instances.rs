//! Instances side by side, which share nothing (scenarios 19 to 25).

use std::fs;
use std::os::unix::fs::symlink;

use jiff::SignedDuration;
use rustix::process::Signal;

use super::curl::status_of;
use super::mirror::Mirror;
use super::site::{BROWSE, PRODUCTION, Site, bundle, sha256, until, write};

const THREE: [&str; 3] = ["activities", "activities-testing", "activities-devel"];
const FILE: &str = "4078/labyrinth-7.xo";
const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Three instances, each with its own Labyrinth 7 of the same size, and mirrors of its own that hold it.
fn three_sites() -> Site {
    let mut site = Site::of(&THREE);
    for (seed, name) in (1..).zip(THREE) {
        let old = site.clock.now() - MONTH;
        write(&site.instance(name).public().join(FILE), &bundle(seed, 5000), old);
        let mirror = Mirror::with(&format!("leiden-{seed}"), name, "country = \"nl\"\n", "autoindex on;");
        mirror.sync(&site.instance(name).public());
        site.instance(name).add(mirror);
    }
    site
}

/// Scenario 19.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_path_in_three_instances_is_three_files() {
    let mut site = three_sites();
    site.start().await;
    for (seed, name) in (1..).zip(THREE) {
        let url = format!("/{name}/{FILE}");
        let answer = site.expect(&url, &format!("302 leiden-{seed}")).await;
        let copy = site.fetch("GET", answer.location(), &[]).await;
        assert_eq!(copy.body, bundle(seed, 5000));
        until("it is hashed", async || site.record(name, FILE).await.is_some_and(|record| record.sha256.is_some())).await;
        let record = site.record(name, FILE).await.expect("known");
        assert_eq!(record.sha256.map(|digest| digest.0), Some(sha256(&bundle(seed, 5000))));
    }
    let mut before = Vec::new();
    for name in THREE {
        before.push(site.requests(name, "redirect", "world").await);
    }
    site.get("/activities-testing/4078/labyrinth-7.xo").await;
    for (name, (before, more)) in THREE.into_iter().zip(before.into_iter().zip([0, 1, 0])) {
        assert_eq!(site.requests(name, "redirect", "world").await, before + more, "{name}");
    }
}

/// Scenario 20.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_way_of_writing_a_path_leads_from_one_instance_to_another() {
    let mut site = Site::of(&THREE);
    for name in THREE {
        write(&site.instance(name).public().join(FILE), name.as_bytes(), site.clock.now() - MONTH);
    }
    site.start().await;
    for (path, expected) in [
        ("/activities/4078/labyrinth-7.xo", Ok("activities")),
        ("/activities-devel/4078/labyrinth-7.xo", Ok("activities-devel")),
        ("/activities%2ddevel/4078/labyrinth-7.xo", Ok("activities-devel")),
        ("/activities%2Ddevel//4078/labyrinth-7.xo", Ok("activities-devel")),
        ("//activities-devel/4078/labyrinth-7.xo", Ok("activities-devel")),
        ("/activities/../activities-devel/4078/labyrinth-7.xo", Err(400)),
        ("/activities/%2e%2e/activities-devel/4078/labyrinth-7.xo", Err(400)),
        ("/activities%2f4078/labyrinth-7.xo", Err(400)),
        ("/activities/-devel/4078/labyrinth-7.xo", Err(404)),
        ("/activities/activities-devel/4078/labyrinth-7.xo", Err(404)),
        ("/activities-dev/4078/labyrinth-7.xo", Err(404)),
        ("/activities-devel-2/4078/labyrinth-7.xo", Err(404)),
        ("/Activities/4078/labyrinth-7.xo", Err(404)),
    ] {
        let (status, body) = status_of(&site.url(""), path, &[]);
        match expected {
            Ok(name) => assert_eq!((status, body.as_slice()), (200, name.as_bytes()), "{path}"),
            Err(expected) => assert_eq!(status, expected, "{path}"),
        }
    }
}

/// Scenario 21.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devel_neither_falls_back_to_production_nor_uses_its_mirrors() {
    let mut site = Site::of(&THREE);
    let old = site.clock.now() - MONTH;
    for (name, path) in [(PRODUCTION, FILE), (PRODUCTION, "4030/etoys-113.xo"), ("activities-devel", "4030/etoys-113.xo")] {
        write(&site.instance(name).public().join(path), b"the same bytes", old);
    }
    let mirror = Mirror::new("leiden", "nl");
    mirror.sync(&site.production().public());
    site.production().add(mirror);
    site.start().await;
    site.expect("/activities/4078/labyrinth-7.xo", "302 leiden").await;
    let missing = site.get("/activities-devel/4078/labyrinth-7.xo").await;
    assert_eq!((missing.status, missing.location()), (404, ""));
    let shared = site.expect("/activities-devel/4030/etoys-113.xo", "200 no-mirror").await;
    assert!(shared.links().is_empty(), "{shared:?}");
}

/// Scenario 22: ASLO's database of production was copied to devel, its files were not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wave_of_links_to_files_that_devel_lacks_gets_404s_that_are_counted_and_production_feels_nothing() {
    const LINKS: u64 = 100;
    let mut site = three_sites();
    site.start().await;
    site.expect("/activities/4078/labyrinth-7.xo", "302 leiden-1").await;
    let before = site.requests("activities-devel", "not-found", "").await;
    for n in 0..LINKS {
        let answer = site.get(&format!("/activities-devel/{}/activity-{n}.xo", 4030 + n)).await;
        assert_eq!((answer.gist().as_str(), answer.location()), ("404", ""));
        assert_eq!(site.get("/activities/4078/labyrinth-7.xo").await.gist(), "302 leiden-1");
    }
    assert_eq!(site.requests("activities-devel", "not-found", "").await, before + LINKS);
    assert_eq!(site.requests("activities", "not-found", "").await, 0);
}

/// Scenario 23.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_without_a_repo_tree_is_none_and_one_whose_tree_is_missing_is_told_by_check() {
    let mut site = Site::of(&THREE);
    let missing = site.instance("activities-devel").public();
    fs::remove_dir_all(&missing).expect("it was there");
    site.start().await;
    assert_eq!(site.get(&format!("/activities-stable/{FILE}")).await.status, 404, "a prefix that nobody answers for");
    assert_eq!(site.get(&format!("/activities-devel/{FILE}")).await.status, 503);
    for name in ["activities", "activities-testing"] {
        assert_eq!(site.get(&format!("/{name}/{BROWSE}")).await.status, 200);
    }
    let told = site.command("activities-devel", &["check"]);
    assert!(told.contains("tree.public") && told.contains(&missing.display().to_string()), "{told}");
    site.fail("activities-devel", &["check", "--strict"]);

    site.instance("activities-devel").unset("tree", "public");
    let (address, admin) = (site.address(), site.admin());
    site.configure(address, admin);
    let told = site.fail("activities-devel", &["check"]);
    assert!(told.contains("public"), "{told}");
}

/// Scenario 24.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unmounted_tree_is_503_for_its_instance_alone_and_nothing_is_deleted() {
    let mut site = three_sites();
    site.start().await;
    for (seed, name) in (1..).zip(THREE) {
        site.expect(&format!("/{name}/{FILE}"), &format!("302 leiden-{seed}")).await;
    }
    let before = site.record(PRODUCTION, FILE).await.expect("known");
    let tree = site.production().public();
    let elsewhere = tree.with_file_name("unmounted");

    // Once the folder is gone altogether, once an empty one is left: the mount point.
    for is_mount_point_left in [false, true] {
        fs::rename(&tree, &elsewhere).expect("it is there");
        if is_mount_point_left {
            fs::create_dir(&tree).expect("a folder");
        }
        let answer = site.expect("/activities/4078/labyrinth-7.xo", "503").await;
        assert!(answer.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{answer:?}");
        assert_eq!(site.get("/activities/4078/never-was.xo").await.status, 503, "nobody can know");
        assert_eq!(site.get("/activities/").await.status, 503);
        for (seed, name) in (2..).zip(&THREE[1..]) {
            assert_eq!(site.get(&format!("/{name}/{FILE}")).await.gist(), format!("302 leiden-{seed}"));
        }
        assert!(String::from_utf8_lossy(&site.readyz().await.body).contains("public-tree"));
        // Walks and scans fall due meanwhile.
        site.pass(SignedDuration::from_mins(20));
        assert_eq!(site.get("/activities/4078/labyrinth-7.xo").await.status, 503);
        assert_eq!(site.record(PRODUCTION, FILE).await, Some(before.clone()));

        if is_mount_point_left {
            fs::remove_dir(&tree).expect("it is empty");
        }
        fs::rename(&elsewhere, &tree).expect("it is there");
        site.expect("/activities/4078/labyrinth-7.xo", "302 leiden-1").await;
        assert_eq!(site.record(PRODUCTION, FILE).await.map(|record| record.version), Some(before.version));
    }
}

/// Scenario 25.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_one_instance_drops_nothing_of_the_others() {
    let mut site = three_sites();
    site.spawn(&[]).await;
    for (seed, name) in (1..).zip(THREE) {
        site.command(name, &["scan"]);
        site.expect(&format!("/{name}/{FILE}"), &format!("302 leiden-{seed}")).await;
    }
    let counted = site.requests("activities", "redirect", "world").await;
    let (address, admin) = (site.address(), site.admin());
    let reloads = |site: &Site| site.log().matches(" reloaded").count();

    for round in 1..=3 {
        // Production loses its mirror and gets it back.
        let enabled = round % 2 == 0;
        site.instance(PRODUCTION).set("tree", &format!("min-size = \"{}\"", if enabled { "0" } else { "1MiB" }));
        site.configure(address, admin);
        site.signal(Signal::HUP);
        // Whoever asks meanwhile is answered, as ever.
        while reloads(&site) < round {
            for (seed, name) in (2..).zip(&THREE[1..]) {
                assert_eq!(site.get(&format!("/{name}/{FILE}")).await.gist(), format!("302 leiden-{seed}"));
            }
            assert!([200, 302].contains(&site.get("/activities/4078/labyrinth-7.xo").await.status));
        }
        site.expect("/activities/4078/labyrinth-7.xo", if enabled { "302 leiden-1" } else { "200 too-small" }).await;
    }
    assert!(site.requests("activities", "redirect", "world").await > counted, "counts go on over a reload");

    // A configuration that can't be read changes nothing.
    site.instance(PRODUCTION).set("tree", "min-size = \"very small\"");
    site.configure(address, admin);
    site.signal(Signal::HUP);
    until("it is told", async || site.log().contains("not reloaded: the old configuration stays")).await;
    assert_eq!(site.get("/activities/4078/labyrinth-7.xo").await.gist(), "200 too-small");
    assert_eq!(site.get(&format!("/activities-devel/{FILE}")).await.gist(), "302 leiden-3");
}

/// A tree that moved to another disk, with a symbolic link in its place, is noticed by a reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_moves_to_another_disk_goes_on_behind_a_link() {
    let mut site = three_sites();
    site.start().await;
    site.expect("/activities/4078/labyrinth-7.xo", "302 leiden-1").await;
    let tree = site.production().public();
    let disk = site.path().join("disk");
    fs::rename(&tree, &disk).expect("it is there");
    symlink(&disk, &tree).expect("a link");
    write(&tree.join("4078/labyrinth-8.xo"), b"eight", site.clock.now());
    site.settle(PRODUCTION, "4078/labyrinth-8.xo").await;
    assert_eq!(site.get("/activities/4078/labyrinth-7.xo").await.gist(), "302 leiden-1");
}
