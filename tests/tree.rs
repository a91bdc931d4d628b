//! Trees on a real file system: links, hidden names, unmounted folders, walks and file events.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use redirector::model::TreePath;
use redirector::tree::{
    Absence, Directory, Event, Found, Glance, Hidden, Item, Kind, LookError, Outcome, Root, Settings, Trees, Trouble, Visitor,
    Watch, walk,
};

/// A folder with a public tree, an application tree, and whatever else a test puts beside them.
struct World {
    _folder: tempfile::TempDir,
    base: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it is there");
        let world = Self { _folder: folder, base };
        world.write("upload/activities/4078/labyrinth-7.xo", "public labyrinth");
        world.write("files/4078/labyrinth-7.xo", "sandbox labyrinth");
        world.write("files/temp/secret.xo", "secret");
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        redirector::durable::write(&path, text.as_bytes()).expect("a file");
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        symlink(target, self.path(path)).expect("a link");
    }

    fn trees(&self, more: &str) -> Trees {
        trees_at(&self.path("upload/activities"), more)
    }

    fn application(&self) -> String {
        format!("application = {:?}\n", self.path("files"))
    }
}

fn trees_at(public: &Path, more: &str) -> Trees {
    let settings: Settings = toml::from_str(&format!("public = {public:?}\n{more}")).expect("good settings");
    Trees::open(&settings).expect("good settings")
}

fn path(text: &str) -> TreePath<'static> {
    TreePath::parse(text.as_bytes().to_vec()).expect("valid")
}

/// The content of a file, or the error in one word.
fn read(root: &Root, at: &str) -> String {
    match root.open_file(&path(at)) {
        Ok(open) => {
            let text = std::io::read_to_string(&open.file).expect("readable");
            assert_eq!(open.fingerprint.size, text.len() as u64);
            assert_eq!(root.look(&path(at)).expect("it is there").fingerprint, open.fingerprint);
            assert_eq!(root.glance(&path(at)), Glance::File(open.fingerprint));
            assert_eq!(open.fingerprint_now().expect("open"), open.fingerprint);
            text
        }
        Err(LookError::Other(error)) => format!("{:?}", error.kind()),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn a_tree_whose_folder_is_a_symlink_works() {
    // Variant A: the path of the configuration is, or has in it, a symlink.
    let world = World::new();
    world.link("srv", world.path("upload"));
    world.link("direct", "upload/activities");
    for public in ["srv/activities", "direct"] {
        let trees = trees_at(&world.path(public), "");
        assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "public labyrinth");
        // A link that names the tree by its configured path, or by its real one.
        for target in ["srv/activities", "upload/activities"] {
            world.link("upload/activities/latest.xo", world.path(target).join("4078/labyrinth-7.xo"));
            assert_eq!(read(&trees.public, "latest.xo"), "public labyrinth");
            fs::remove_file(world.path("upload/activities/latest.xo")).expect("removed");
        }
    }
}

#[test]
fn a_symlink_in_the_tree_to_the_application_tree_works_only_where_that_is_allowed() {
    // Variant B: a link below /upload points at files/.
    let world = World::new();
    world.link("upload/link", world.path("files"));
    let public = world.path("upload");
    let forbidden = trees_at(&public, "");
    assert_eq!(read(&forbidden.public, "link/4078/labyrinth-7.xo"), "Forbidden");
    assert_eq!(read(&forbidden.public, "link/temp/secret.xo"), "Forbidden");
    let denied = trees_at(&public, &format!("symlinks = \"deny\"\n{}", world.application()));
    assert_eq!(read(&denied.public, "link/4078/labyrinth-7.xo"), "Forbidden");
    let allowed = trees_at(&public, &format!("{}hidden = [\"temp/\", \".*\"]\n", world.application()));
    assert_eq!(read(&allowed.public, "link/4078/labyrinth-7.xo"), "sandbox labyrinth");
    assert!(allowed.hidden.matches(&path("link/temp/secret.xo")));
    let linked = trees_at(&public, &format!("link-roots = [{:?}]\n", world.path("files")));
    assert_eq!(read(&linked.public, "link/4078/labyrinth-7.xo"), "sandbox labyrinth");
}

#[test]
fn the_configured_folders_are_told_apart() {
    let world = World::new();
    let trees = world.trees(&world.application());
    let application = trees.application.as_ref().expect("configured");
    assert_eq!(read(application, "4078/labyrinth-7.xo"), "sandbox labyrinth");
    assert_eq!(read(application, "temp/secret.xo"), "secret");
    assert_eq!(read(&trees.public, "temp/secret.xo"), "Absent");
    assert_eq!(read(&trees.public, "4078"), "Absent", "a directory is no file");
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo/more"), "Absent");
    assert_eq!(trees.public.look(&path("4078")).expect("there").kind, Kind::Directory);
    assert_eq!(trees.public.look(&TreePath::root()).expect("there").kind, Kind::Directory);
    assert_eq!(trees.public.glance(&path("4078")), Glance::NoFile);
    assert!(!trees.public.is_remote());
}

#[test]
fn a_bad_pattern_is_told() {
    let settings: Settings = toml::from_str("public = \"/srv\"\nhidden = [\"a/b\"]").expect("good settings");
    let error = Trees::open(&settings).expect_err("no pattern");
    assert_eq!(
        error.to_string(),
        "can't hide \"a/b\": it has a slash that is not at its end; a pattern is one name, which is hidden at any depth"
    );
}

#[test]
fn a_directory_is_listed_as_clients_could_see_it() {
    let world = World::new();
    for name in ["b", "a b", "ü"] {
        world.write(&format!("upload/activities/list/{name}"), name);
    }
    world.write("upload/activities/list/back\\slash", "no URL can name it");
    fs::create_dir(world.path("upload/activities/list/sub")).expect("a folder");
    world.link("upload/activities/list/link", "b");
    world.link("upload/activities/list/leak", "/etc/passwd");
    world.link("upload/activities/list/dangling", "none");
    let trees = world.trees("");
    let items = trees.public.list(&path("list"), 100, |_| true).expect("listed");
    let told: Vec<(&str, Kind, Option<u64>)> = items
        .iter()
        .map(|Item { name, kind, size, .. }| {
            (std::str::from_utf8(name).expect("UTF-8"), *kind, (*kind == Kind::File).then_some(*size))
        })
        .collect();
    let file = |name, size| (name, Kind::File, Some(size));
    assert_eq!(told, [file("a b", 3), file("b", 1), file("link", 1), ("sub", Kind::Directory, None), file("ü", 2)]);
    assert_eq!(trees.public.list(&path("list"), 2, |_| true).expect("listed").len(), 2);
    assert!(matches!(trees.public.list(&path("none"), 2, |_| true), Err(LookError::Absent)));
    assert!(matches!(trees.public.list(&path("list/b"), 2, |_| true), Err(LookError::Absent)));
}

#[test]
fn a_tree_that_is_not_there_is_away_and_comes_back_by_itself() {
    let world = World::new();
    let trees = world.trees("");
    let (public, aside) = (world.path("upload/activities"), world.path("aside"));
    let visit = trees.public.visit();
    assert!(trees.public.is_still(&visit));
    fs::rename(&public, &aside).expect("moved");
    assert!(trees.refresh());
    assert!(!trees.public.is_still(&visit));
    assert_eq!(trees.public.absence(), Some(Absence::Missing));
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "Away");
    assert_eq!(read(&trees.public, "none"), "Away");
    fs::create_dir(&public).expect("an empty mount point");
    trees.refresh();
    assert_eq!(trees.public.absence(), Some(Absence::Emptied));
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "Away");
    fs::remove_dir(&public).expect("removed");
    fs::rename(&aside, &public).expect("back");
    assert!(trees.refresh());
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "public labyrinth");
    assert!(!trees.refresh());
}

#[test]
fn a_tree_whose_folder_was_deleted_is_away_even_before_it_is_looked_at_again() {
    let world = World::new();
    let trees = world.trees("");
    fs::remove_dir_all(world.path("upload/activities")).expect("deleted");
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "Away");
}

#[test]
fn a_tree_that_is_replaced_by_another_is_re_opened() {
    let world = World::new();
    let trees = world.trees("");
    fs::rename(world.path("upload/activities"), world.path("old")).expect("moved");
    world.write("upload/activities/4078/labyrinth-7.xo", "another tree");
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "public labyrinth");
    assert!(trees.refresh());
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "another tree");
}

#[test]
fn a_really_unmounted_tree_is_away_and_a_remounted_one_is_noticed() {
    // In a mount namespace of its own, so that nothing is left behind; the test binary calls itself in it.
    const INNER: &str = "REDIRECTOR_TEST_MOUNT_POINT";
    if let Some(mount_point) = std::env::var_os(INNER) {
        return inside_a_mount_namespace(Path::new(&mount_point));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let permitted = std::process::Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none"])
        .arg(folder.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !permitted {
        eprintln!("skipped: no file system can be mounted here");
        return;
    }
    let output = std::process::Command::new("unshare")
        .arg("-m")
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_really_unmounted_tree_is_away_and_a_remounted_one_is_noticed", "--nocapture"])
        .env(INNER, folder.path())
        .output()
        .expect("it ran above");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

fn inside_a_mount_namespace(mount_point: &Path) {
    let run = |program: &str, arguments: &[&str]| {
        let status = std::process::Command::new(program).args(arguments).arg(mount_point).status().expect("it runs");
        assert!(status.success(), "{program} {arguments:?}");
    };
    let write = |text: &str| redirector::durable::write(&mount_point.join("file"), text.as_bytes()).expect("a file");
    run("mount", &["-t", "tmpfs", "none"]);
    write("first");
    let trees = trees_at(mount_point, "");
    assert_eq!(read(&trees.public, "file"), "first");
    // The handle that is kept open makes a plain unmount fail; a lazy one leaves the handle with the files.
    run("umount", &["-l"]);
    assert_eq!(read(&trees.public, "file"), "first");
    assert!(trees.refresh(), "a lazily unmounted handle is noticed");
    assert_eq!(trees.public.absence(), Some(Absence::Emptied));
    assert_eq!(read(&trees.public, "file"), "Away");
    run("mount", &["-t", "tmpfs", "none"]);
    trees.refresh();
    assert_eq!(trees.public.absence(), Some(Absence::Emptied), "still without the files");
    write("second");
    assert!(trees.refresh());
    assert_eq!(read(&trees.public, "file"), "second");
    // Mounted over: the old one is still below, and not what the path means any more.
    run("mount", &["-t", "tmpfs", "none"]);
    write("third");
    assert!(trees.refresh());
    assert_eq!(read(&trees.public, "file"), "third");
}

/// Notes all that a walk comes by.
#[derive(Default)]
struct Notes {
    files: BTreeMap<String, u64>,
    empty: Vec<String>,
    troubles: BTreeMap<String, String>,
    stop_after: Option<usize>,
}

impl Visitor for Notes {
    fn enter(&mut self, directory: &Directory<'_>) -> ControlFlow<()> {
        assert!(!directory.is_mount_point);
        ControlFlow::Continue(())
    }

    fn file(&mut self, found: &Found<'_>) -> ControlFlow<()> {
        let before = self.files.insert(found.path.to_string(), found.fingerprint.size);
        assert_eq!(before, None, "{} was visited twice", found.path);
        if Some(self.files.len()) == self.stop_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn empty(&mut self, directory: &Directory<'_>) -> ControlFlow<()> {
        self.empty.push(directory.path.to_string());
        ControlFlow::Continue(())
    }

    fn trouble(&mut self, path: &TreePath<'_>, trouble: Trouble) -> ControlFlow<()> {
        self.troubles.insert(path.to_string(), trouble.to_string());
        ControlFlow::Continue(())
    }
}

fn walked(trees: &Trees, below: &str) -> Notes {
    let mut notes = Notes::default();
    assert_eq!(walk(&trees.public, &path(below), &trees.hidden, &mut notes).expect("walked"), Outcome::Whole);
    notes
}

#[test]
fn a_walk_finds_every_file_and_tells_what_it_leaves_out() {
    let world = World::new();
    world.write("upload/activities/4078/.hidden", "no");
    world.write("upload/activities/4078/temp/deep/file", "no");
    world.write("upload/activities/4079/ü ö", "fives");
    world.write("upload/activities/4079/new\nline", "no");
    fs::create_dir(world.path("upload/activities/4080")).expect("an empty folder");
    world.link("upload/activities/link", "4079/ü ö");
    world.link("upload/activities/4078/directory", "../4079");
    world.link("upload/activities/4078/circle", "..");
    world.link("upload/activities/leak", "/etc");
    world.link("upload/activities/dangling", "nowhere");
    let trees = world.trees("hidden = [\".*\", \"temp/\"]");
    let notes = walked(&trees, "");
    let files: Vec<(&str, u64)> = notes.files.iter().map(|(path, size)| (&**path, *size)).collect();
    assert_eq!(files, [("4078/directory/ü ö", 5), ("4078/labyrinth-7.xo", 16), ("4079/ü ö", 5), ("link", 5)]);
    assert_eq!(notes.empty, ["4080"]);
    let troubles: Vec<&str> = notes.troubles.keys().map(String::as_str).collect();
    assert_eq!(troubles, ["4078/circle", "4078/directory", "4079", "leak"]);
    assert!(notes.troubles["4078/circle"].contains("leads back"));
    assert!(notes.troubles["4079"].contains("new\\nline"));
    assert_eq!(walked(&trees, "4079").files.len(), 1);
    assert!(matches!(walk(&trees.public, &path("none"), &trees.hidden, &mut Notes::default()), Err(LookError::Absent)));
    assert!(matches!(walk(&trees.public, &path("4078/temp"), &trees.hidden, &mut Notes::default()), Err(LookError::Absent)));
    let none = Hidden::default();
    assert!(walk(&trees.public, &path("4078/temp"), &none, &mut Notes::default()).is_ok());
}

#[test]
fn a_walk_ends_when_it_is_told_to() {
    let world = World::new();
    for number in 0..50 {
        world.write(&format!("upload/activities/many/{number}"), "x");
    }
    let mut notes = Notes { stop_after: Some(7), ..Notes::default() };
    let trees = world.trees("");
    assert_eq!(walk(&trees.public, &TreePath::root(), &trees.hidden, &mut notes).expect("walked"), Outcome::Stopped);
    assert_eq!(notes.files.len(), 7);
}

#[test]
fn links_at_each_others_directories_do_not_make_a_walk_endless() {
    let world = World::new();
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"), ("f", "a")] {
        world.write(&format!("upload/activities/{from}/file"), "x");
        world.link(&format!("upload/activities/{from}/next"), format!("../{to}"));
        world.link(&format!("upload/activities/{from}/same"), format!("../{to}"));
    }
    let notes = walked(&world.trees(""), "");
    assert_eq!(notes.files.len(), 1 + 6 * (1 + 2 + 4 + 8 + 16));
    assert!(notes.files.contains_key("a/next/same/file"));
}

#[test]
fn very_deep_directories_are_left_out_and_told() {
    let world = World::new();
    let deep = vec!["d"; 140].join("/");
    world.write(&format!("upload/activities/{deep}/file"), "x");
    let notes = walked(&world.trees(""), "");
    assert_eq!((notes.files.len(), notes.troubles.len()), (1, 1));
}

#[test]
fn a_directory_that_may_not_be_read_is_told() {
    let world = World::new();
    world.write("upload/activities/closed/file", "x");
    let closed = world.path("upload/activities/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).expect("closed");
    let notes = walked(&world.trees(""), "");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).expect("opened");
    if notes.files.contains_key("closed/file") {
        eprintln!("skipped: this user may read everything");
        return;
    }
    assert_eq!(notes.troubles["closed"], "it can't be read");
}

/// Watches what it walks through.
struct Watching<'a>(&'a Watch);

impl Visitor for Watching<'_> {
    fn enter(&mut self, directory: &Directory<'_>) -> ControlFlow<()> {
        self.0.add(directory.path, directory.handle).expect("it can be watched");
        ControlFlow::Continue(())
    }
    fn file(&mut self, _: &Found<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn empty(&mut self, _: &Directory<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn trouble(&mut self, _: &TreePath<'_>, _: Trouble) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

fn watch(trees: &Trees, watch: &Watch, below: &str) {
    walk(&trees.public, &path(below), &trees.hidden, &mut Watching(watch)).expect("walked");
}

/// Events are there when the call that makes them returns.
fn events(watch: &Watch) -> Vec<Event> {
    watch.read().expect("readable")
}

#[test]
fn changes_are_told_by_path() {
    let world = World::new();
    let trees = world.trees("");
    let watcher = Watch::new().expect("it can be watched");
    watch(&trees, &watcher, "");
    assert_eq!((watcher.len(), events(&watcher)), (2, vec![]));
    assert_eq!(read(&trees.public, "4078/labyrinth-7.xo"), "public labyrinth");
    assert_eq!(events(&watcher), [], "reading is no change");

    let file = |text| Event::File(path(text));
    let directory = |text| Event::Directory(path(text));
    let base = world.path("upload/activities");
    drop(fs::File::create(base.join("4078/new")).expect("a file"));
    assert_eq!(events(&watcher), [file("4078/new")]);
    fs::set_permissions(base.join("4078/new"), fs::Permissions::from_mode(0o600)).expect("changed");
    assert_eq!(events(&watcher), [file("4078/new")]);
    fs::rename(base.join("4078/new"), base.join("moved")).expect("moved");
    assert_eq!(events(&watcher), [file("4078/new"), file("moved")]);
    fs::remove_file(base.join("moved")).expect("removed");
    assert_eq!(events(&watcher), [file("moved")]);

    fs::create_dir(base.join("4079")).expect("a folder");
    assert_eq!(events(&watcher), [directory("4079")]);
    watch(&trees, &watcher, "4079");
    drop(fs::File::create(base.join("4079/file")).expect("a file"));
    assert_eq!(events(&watcher), [file("4079/file")]);
    fs::rename(base.join("4079"), base.join("4080")).expect("moved");
    assert_eq!(events(&watcher), [directory("4079"), directory("4080")]);
    assert_eq!(watcher.len(), 2);
    drop(fs::File::create(base.join("4080/unseen")).expect("a file"));
    assert_eq!(events(&watcher), [], "under the old name nothing is told");
    watch(&trees, &watcher, "4080");
    fs::remove_dir_all(base.join("4080")).expect("removed");
    assert_eq!(events(&watcher).last(), Some(&directory("4080")));
    assert_eq!(watcher.len(), 2);
}

#[test]
fn a_directory_that_two_paths_lead_to_is_told_by_both() {
    let world = World::new();
    world.link("upload/activities/alias", "4078");
    let trees = world.trees("");
    let watcher = Watch::new().expect("it can be watched");
    watch(&trees, &watcher, "");
    drop(fs::File::create(world.path("upload/activities/4078/new")).expect("a file"));
    let file = |text| Event::File(path(text));
    let told = events(&watcher);
    assert!(told.contains(&file("4078/new")) && told.contains(&file("alias/new")), "{told:?}");
    fs::remove_file(world.path("upload/activities/alias")).expect("removed");
    assert_eq!(events(&watcher), [file("alias")]);
    assert_eq!(watcher.len(), 2);
    fs::remove_file(world.path("upload/activities/4078/new")).expect("removed");
    assert_eq!(events(&watcher), [file("4078/new")]);
}

#[test]
fn lost_events_are_told() {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("there");
    let limit: usize = limit.trim().parse().expect("a number");
    if limit > 100_000 {
        eprintln!("skipped: it would take too many events");
        return;
    }
    let world = World::new();
    let trees = world.trees("");
    let watcher = Watch::new().expect("it can be watched");
    watch(&trees, &watcher, "");
    let base = world.path("upload/activities");
    let (a, b) = (base.join("4078/labyrinth-7.xo"), base.join("4078/other"));
    for _ in 0..limit / 4 + 10 {
        fs::rename(&a, &b).expect("moved");
        fs::rename(&b, &a).expect("moved back");
    }
    let mut all = Vec::new();
    loop {
        let more = watcher.read().expect("readable");
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    assert_eq!(all.last(), Some(&Event::Lost));
}

#[test]
fn a_list_that_is_cut_off_has_the_first_names_of_those_that_are_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..300 {
        std::fs::File::create(folder.path().join(format!("{number:03}.xo"))).expect("a file");
        std::fs::File::create(folder.path().join(format!(".hidden{number}"))).expect("a file");
    }
    let trees = Trees::open(&Settings::of(folder.path())).expect("a tree");
    let items = trees.public.list(&TreePath::root(), 5, |path| !trees.hidden.matches(path)).expect("listed");
    let names: Vec<_> = items.iter().map(|item| String::from_utf8_lossy(&item.name).into_owned()).collect();
    assert_eq!(names, ["000.xo", "001.xo", "002.xo", "003.xo", "004.xo"]);
}
