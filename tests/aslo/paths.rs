//! Symbolic links, awkward names, and paths that are none (scenarios 26 to 30).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use jiff::SignedDuration;

use super::curl::status_of;
use super::mirror::Mirror;
use super::site::{BROWSE, PRODUCTION, Site, write};

const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);
const FILE: &str = "4078/labyrinth-7.xo";
const LABYRINTH: &str = "/activities/4078/labyrinth-7.xo";

/// Scenario 26, variant A of the bug of 2009: the folder that the configuration names is a link, or lies behind one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrors_are_found_when_the_root_is_a_link_or_lies_behind_one() {
    let mut site = Site::of(&["activities", "activities-testing"]);
    for name in ["activities", "activities-testing"] {
        let (tree, disk) = (site.instance(name).public(), site.path().join("disk").join(name).join("upload"));
        fs::create_dir_all(disk.parent().expect("it has one")).expect("a folder");
        fs::rename(&tree, &disk).expect("it is there");
        write(&disk.join(FILE), name.as_bytes(), site.clock.now() - MONTH);
        if name == "activities" {
            symlink(&disk, &tree).expect("a link");
        } else {
            let link = site.path().join("srv");
            symlink(disk.parent().expect("it has one"), &link).expect("a link");
            site.instance(name).set("tree", "public = \"srv/upload\"");
        }
        let mirror = Mirror::new("leiden", "nl");
        mirror.sync(&disk);
        site.instance(name).add(mirror);
    }
    site.start().await;
    for name in ["activities", "activities-testing"] {
        let answer = site.expect(&format!("/{name}/{FILE}"), "302 leiden").await;
        assert!(answer.location().ends_with("/sugar/activities/4078/labyrinth-7.xo"), "{answer:?}");
        assert_eq!(site.fetch("GET", answer.location(), &[]).await.body, name.as_bytes());
    }
}

/// A download area whose `activities` is a link to the application tree, as in October 2009.
fn linked_site(name: &str, site: &mut Site, symlinks: &str) {
    let old = site.clock.now() - MONTH;
    let instance = site.instance(name);
    instance.set("tree", &format!("symlinks = \"{symlinks}\"\nhidden = [\"temp/\", \"extracted/\", \".*\"]"));
    let (public, application) = (instance.public(), instance.application());
    for (file, content) in [(FILE, "labyrinth"), ("temp/upload-1.xo", "half"), ("extracted/7/activity.info", "info")] {
        write(&application.join(file), content.as_bytes(), old);
    }
    symlink(&application, public.join("activities")).expect("a link");
    // What lies beside the trees is nobody's business.
    let secret = public.with_file_name("config-local.php");
    write(&secret, b"the password", old);
    symlink(&secret, public.join("config.php")).expect("a link");
    symlink("/etc", public.join("etc")).expect("a link");
    symlink("..", public.join("up")).expect("a link");

    let mirror = Mirror::with(&format!("{name}-leiden"), "sugar", "country = \"nl\"\n", "autoindex on;");
    // It copies what links lead to, since links of the site lead nowhere on a mirror.
    mirror.rsync(&public, &["--copy-unsafe-links", "--exclude=etc", "--exclude=up", "--exclude=config.php"]);
    assert!(mirror.copy().join("activities").join(FILE).exists());
    instance.add(mirror);
}

/// Scenario 27, variant B: every download came from the origin, and the sand box was open to all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_the_application_tree_is_refused_or_redirected_by_the_requested_path() {
    let mut site = Site::of(&["deny", "inside"]);
    linked_site("deny", &mut site, "deny");
    linked_site("inside", &mut site, "inside");
    site.start().await;

    let answer = site.expect("/inside/activities/4078/labyrinth-7.xo", "302 inside-leiden").await;
    assert!(answer.location().ends_with("/sugar/activities/4078/labyrinth-7.xo"), "{answer:?}");
    assert_eq!(site.fetch("GET", answer.location(), &[]).await.body, b"labyrinth");
    assert_eq!(site.get("/deny/activities/4078/labyrinth-7.xo").await.gist(), "404");
    for name in ["deny", "inside"] {
        for path in [
            "activities/temp/upload-1.xo",
            "activities/extracted/7/activity.info",
            "temp/upload-1.xo",
            "config.php",
            "etc/hostname",
            "up/config-local.php",
        ] {
            let answer = site.get(&format!("/{name}/{path}")).await;
            assert_eq!((answer.status, answer.location()), (404, ""), "{name}: {path}");
        }
    }
    // That both trees are one is told before it goes wrong.
    let public = site.instance("deny").public();
    fs::rename(&public, public.with_file_name("aside")).expect("it is there");
    symlink("application", &public).expect("a link");
    let told = site.fail("deny", &["check"]);
    assert!(told.contains("is the same folder as"), "{told}");
}

/// Scenario 28.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_within_the_tree_is_a_file_of_its_own_that_mirrors_hold_or_do_not() {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join(FILE), b"seven", site.clock.now() - MONTH);
    symlink("labyrinth-7.xo", tree.join("4078/latest.xo")).expect("a link");
    let mirror = Mirror::new("leiden", "nl");
    // It copies no links.
    mirror.rsync(&tree, &["--no-links"]);
    site.production().add(mirror);
    site.start().await;
    site.expect(LABYRINTH, "302 leiden").await;
    let answer = site.expect("/activities/4078/latest.xo", "200 no-mirror").await;
    assert_eq!(answer.body, b"seven");

    site.mirror("leiden").sync(&tree);
    site.minutes_later(6).await;
    let answer = site.expect("/activities/4078/latest.xo", "302 leiden").await;
    assert!(answer.location().ends_with("/4078/latest.xo"), "{answer:?}");
    assert_eq!(site.fetch("GET", answer.location(), &[]).await.body, b"seven");
}

/// Scenario 29: real names, names by the rule, and what a strange version brings. Each with a way to ask for it, and how it has
/// to stand in `Location`.
const NAMES: [(&str, &str, &str); 16] = [
    ("+ciudadano-2.xo", "+ciudadano-2.xo", "+ciudadano-2.xo"),
    ("+ciudadano-2.xo", "%2Bciudadano-2.xo", "+ciudadano-2.xo"),
    ("colors!-16.xo", "colors!-16.xo", "colors!-16.xo"),
    ("colors!-16.xo", "colors%21-16.xo", "colors!-16.xo"),
    ("conozco_elementos_qui__micos-1.xo", "conozco_elementos_qui__micos-1.xo", "conozco_elementos_qui__micos-1.xo"),
    ("vp__vonskeet_productions_-1.xo", "vp%5F%5Fvonskeet%5Fproductions%5F%2D1%2Exo", "vp__vonskeet_productions_-1.xo"),
    ("jamedialector.-1.xo", "jamedialector.-1.xo", "jamedialector.-1.xo"),
    ("2048-1.xo", "2048-1.xo", "2048-1.xo"),
    ("maze-1 beta.xo", "maze-1%20beta.xo", "maze-1%20beta.xo"),
    ("maze-100%.xo", "maze-100%25.xo", "maze-100%25.xo"),
    ("maze-%41.xo", "maze-%2541.xo", "maze-%2541.xo"),
    ("maze-#1.xo", "maze-%231.xo", "maze-%231.xo"),
    ("maze-1?.xo", "maze-1%3F.xo", "maze-1%3F.xo"),
    ("maze-1;2.xo", "maze-1;2.xo", "maze-1%3B2.xo"),
    ("maze-ü.xo", "maze-%c3%bc.xo", "maze-%C3%BC.xo"),
    ("maze-ü.xo", "maze-ü.xo", "maze-%C3%BC.xo"),
];

/// Scenario 29.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awkward_names_are_found_and_escaped_right() {
    let mut site = Site::new();
    let tree = site.production().public();
    for (name, ..) in NAMES {
        write(&tree.join("4259").join(name), name.as_bytes(), site.clock.now() - MONTH);
    }
    let mirror = Mirror::new("leiden", "nl");
    mirror.sync(&tree);
    let base = mirror.url();
    site.production().add(mirror);
    site.start().await;
    site.expect(&format!("/activities/{BROWSE}"), "302 leiden").await;
    for (name, asked, location) in NAMES {
        let answer = site.get(&format!("/activities/4259/{asked}")).await;
        assert_eq!(answer.location(), format!("{base}4259/{location}"), "{asked}");
        assert_eq!(site.fetch("GET", answer.location(), &[]).await.body, name.as_bytes(), "{asked}");
    }
    for other in [
        "%20ciudadano-2.xo",
        "+Ciudadano-2.xo",
        "COLORS!-16.XO",
        "maze-A.xo",
        "maze-1+beta.xo",
        "conozco_elementos_qui_micos-1.xo",
    ] {
        assert_eq!(site.get(&format!("/activities/4259/{other}")).await.status, 404, "{other}");
    }
}

/// Scenario 30.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_path_is_never_a_file() {
    let mut site = Site::new();
    let tree = site.production().public();
    write(&tree.join(FILE), b"seven", site.clock.now() - MONTH);
    write(&tree.with_file_name("secret"), b"secret", site.clock.now() - MONTH);
    assert!(Path::new("/etc/hostname").exists() || Path::new("/etc/passwd").exists());
    site.start().await;
    for (path, expected) in [
        ("/activities/../secret", 400),
        ("/activities/4078/../../secret", 400),
        ("/activities/4078/../4078/labyrinth-7.xo", 400),
        ("/activities/./4078/labyrinth-7.xo", 400),
        ("/activities/%2e%2e/secret", 400),
        ("/activities/%2e%2e%2fsecret", 400),
        ("/activities/..%2fsecret", 400),
        ("/activities/..%5csecret", 400),
        ("/activities/..\\secret", 400),
        ("/activities/%252e%252e/secret", 404),
        ("/activities/4078%2flabyrinth-7.xo", 400),
        ("/activities/4078/labyrinth-7.xo%00", 400),
        ("/activities/4078/labyrinth-7.xo%00.txt", 400),
        ("/activities/4078/labyrinth-7.xo%", 400),
        ("/activities/4078/labyrinth-7.xo/", 404),
        ("/activities/4078/labyrinth-7.xo/more", 404),
        ("/activities/4078/labyrinth-7.xo%20", 404),
        ("/activities//etc/passwd", 404),
        ("//etc/passwd", 404),
        ("/../../../../etc/passwd", 400),
    ] {
        for method in ["GET", "HEAD"] {
            let more: &[&str] = if method == "HEAD" { &["--head"] } else { &[] };
            let (status, body) = status_of(&site.url(""), path, more);
            assert_eq!(status, expected, "{method} {path}");
            let body = String::from_utf8_lossy(&body);
            assert!(!body.contains("seven") && !body.contains("root:"), "{method} {path}: {body}");
        }
    }
    assert_eq!(site.get(LABYRINTH).await.gist(), "200 no-mirror");
    assert!(site.record(PRODUCTION, FILE).await.is_some());
}
