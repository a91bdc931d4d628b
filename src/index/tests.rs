//! The index on a real tree, with a clock that is set by hand.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use tokio::task::JoinHandle;

use super::*;
use crate::hash::{self, Hasher};
use crate::model::{FileRecord, FileState, VersionNumber};

struct World {
    folder: tempfile::TempDir,
    clock: Clock,
    settings: Settings,
    trees: Trees,
    inventory: Inventory,
    running: Option<Running>,
}

struct Running {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    nudges: mpsc::Sender<TreePath<'static>>,
    watcher: Watcher,
}

/// Longer than any of these tests takes on a busy machine.
const BOUND: Duration = Duration::from_secs(20);
const OLD: u64 = 1_000_000_000;

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("tree")).expect("a tree");
        Self::in_folder(folder).await
    }

    async fn in_folder(folder: tempfile::TempDir) -> Self {
        let clock = Clock::manual(Clock::system().now());
        let settings = Settings::of(folder.path().join("tree"));
        let trees = Trees::open(&settings).expect("good settings");
        let database = inventory::Settings { database: folder.path().join("database"), ..inventory::Settings::default() };
        let inventory = Inventory::open(&database, Vec::new(), clock.clone()).await.expect("an inventory");
        Self { folder, clock, settings, trees, inventory, running: None }
    }

    /// Ends this process's part and begins anew, as after a restart.
    async fn restart(mut self) -> Self {
        self.stop().await;
        self.inventory.close().await.expect("it was open");
        Self::in_folder(self.folder).await
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("tree").join(path)
    }

    /// Writes a file as an upload does: in place.
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("folders");
        File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
    }

    fn set_mtime(&self, path: &str, seconds: u64) {
        let file = OpenOptions::new().append(true).open(self.path(path)).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).expect("its time");
    }

    fn write_old(&self, path: &str, text: &str) {
        self.write(path, text);
        self.set_mtime(path, OLD);
    }

    /// Real time goes on by itself; this is what the clock of the index says.
    fn pass(&self, seconds: i64) {
        let now = Clock::system().now().max(self.clock.now());
        self.clock.set(now + SignedDuration::from_secs(seconds));
    }

    fn start(&mut self) {
        let (nudges, nudged) = mpsc::channel(16);
        let (hasher, orders) =
            Hasher::new(self.trees.clone(), self.inventory.clone(), hash::Settings::default(), self.clock.clone());
        let index = Index::new(self.trees.clone(), self.inventory.clone(), &self.settings, self.clock.clone(), nudged, orders);
        let (stop, watcher) = (CancellationToken::new(), index.watcher());
        let tasks = vec![tokio::spawn(index.run(stop.clone())), tokio::spawn(hasher.run(stop.clone()))];
        self.running = Some(Running { stop, tasks, nudges, watcher });
    }

    async fn start_and_walk(&mut self) {
        self.start();
        let watcher = self.running().watcher.clone();
        until("the first walk", || watcher.last_walk().is_some()).await;
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it was started")
    }

    async fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.stop.cancel();
        for task in running.tasks {
            tokio::time::timeout(Duration::from_secs(5), task).await.expect("it stops soon").expect("it did not panic");
        }
    }

    async fn walk_once(&self) -> Report {
        self.pass(0);
        walk_once(&self.trees, &self.inventory, &self.settings, &self.clock).await.expect("the inventory works")
    }

    async fn file(&self, at: &str) -> Option<FileRecord> {
        self.inventory.file(path(at)).await.expect("the inventory works")
    }

    /// Waits until a file's record is as wanted.
    async fn wait_for(&self, at: &str, wanted: impl Fn(&FileRecord) -> bool) -> FileRecord {
        let began = crate::clock::instant();
        loop {
            match self.file(at).await {
                Some(record) if wanted(&record) => return record,
                last => assert!(began.elapsed() < BOUND, "{at} is {last:?}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_until_gone(&self, at: &str) {
        // What was recorded in the very moment when a walk began is not forgotten by it.
        self.pass(1);
        let snapshot = self.inventory.snapshot();
        until(at, || snapshot.file(&path(at)).is_none()).await;
    }

    async fn hashed(&self, at: &str) -> FileRecord {
        self.wait_for(at, |record| record.sha256.is_some() && record.state == FileState::Settled).await
    }

    /// Waits for two further whole walks to end: one may have begun before.
    async fn wait_for_walks(&self) {
        for _ in 0..2 {
            let last = self.running().watcher.last_walk().map(|report| report.ended);
            self.pass(3600);
            until("a walk", || self.running().watcher.last_walk().map(|report| report.ended) != last).await;
        }
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = crate::clock::instant();
    while !condition() {
        assert!(began.elapsed() < BOUND, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn path(text: &str) -> TreePath<'static> {
    TreePath::parse(text.as_bytes().to_vec()).expect("valid")
}

fn seconds(at: Timestamp) -> i64 {
    at.as_second()
}

#[tokio::test]
async fn an_old_tree_is_as_old_as_its_files_say_when_it_is_first_indexed() {
    let world = World::new().await;
    world.write_old("4078/labyrinth-7.xo", "old");
    world.write_old("4079/ü.xo", "old too");
    world.write_old(".hidden", "no");
    let report = world.walk_once().await;
    assert_eq!((report.files, report.changed, report.forgotten, report.moving), (2, 2, 0, 0));
    assert_eq!(report.ending, Ending::Complete);
    assert_eq!(seconds(world.file("4079/ü.xo").await.expect("known").public_since), 1_000_000_000);
    assert!(world.inventory.is_indexed().await.expect("it works"));
    assert_eq!(world.file(".hidden").await, None);
    let again = world.walk_once().await;
    assert_eq!((again.files, again.changed), (2, 0));
}

#[tokio::test]
async fn a_file_that_comes_later_is_young_whatever_its_mtime() {
    let mut world = World::new().await;
    world.start_and_walk().await;
    let before = seconds(Clock::system().now());
    world.write_old("4078/copied-with-its-time.xo", "cp -p");
    world.pass(0);
    let record = world.wait_for("4078/copied-with-its-time.xo", |_| true).await;
    assert!(seconds(record.public_since) >= before, "{record:?}");
    world.stop().await;
}

#[tokio::test]
async fn what_came_while_nobody_looked_is_young_as_well() {
    let world = World::new().await;
    world.write_old("old", "old");
    world.walk_once().await;
    let world = world.restart().await;
    world.write_old("new", "new");
    world.walk_once().await;
    assert_eq!(seconds(world.file("old").await.expect("known").public_since), 1_000_000_000);
    assert!(seconds(world.file("new").await.expect("known").public_since) > 1_000_000_000);
}

#[tokio::test]
async fn a_new_file_is_taken_in_when_it_has_stood_still() {
    let mut world = World::new().await;
    world.start_and_walk().await;
    world.write("4078/upload.xo", "first half");
    world.pass(1);
    let watched = world.running().watcher.clone();
    until("the new folder is watched", || matches!(watched.watching(), Watching::All(_))).await;
    world.write("4078/upload.xo", "first half, second half");
    world.write("4078/other.xo", "other");
    assert_eq!(world.file("4078/upload.xo").await, None);
    world.pass(3);
    let record = world.wait_for("4078/upload.xo", |_| true).await;
    assert_eq!((record.fingerprint.size, record.state), (23, FileState::Settled));
    world.wait_for("4078/other.xo", |_| true).await;
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_is_being_written_is_changing_until_it_stands_still() {
    let mut world = World::new().await;
    world.write_old("bundle.xo", "the old content");
    world.start_and_walk().await;
    let old = world.hashed("bundle.xo").await;
    let mut file = OpenOptions::new().write(true).truncate(true).open(world.path("bundle.xo")).expect("the file");
    let changing = world.wait_for("bundle.xo", |record| record.state == FileState::Changing).await;
    assert_eq!((changing.version, changing.fingerprint), (old.version, old.fingerprint), "an empty file is never a version");
    file.write_all(b"the new").expect("written");
    world.pass(3);
    // It shrank: it must stand still for longer than others.
    world.wait_for("bundle.xo", |record| record.state == FileState::Changing).await;
    file.write_all(b" content, which is longer").expect("written");
    drop(file);
    world.pass(3);
    let new = world.wait_for("bundle.xo", |record| record.state == FileState::Settled).await;
    assert!(new.version != old.version && new.fingerprint.size == 32, "{new:?}");
    assert!(new.public_since > old.public_since);
    assert_ne!(world.hashed("bundle.xo").await.sha256, old.sha256);
    world.stop().await;
}

#[tokio::test]
async fn a_folder_that_is_moved_into_the_tree_is_young_however_old_its_files_are() {
    let mut world = World::new().await;
    world.write_old("here", "text");
    world.start_and_walk().await;
    world.write_old("../staged/deep/file", "text");
    // Two hours later it is published, which nothing shows at the file itself.
    world.pass(7200);
    let before = world.clock.now();
    fs::rename(world.path("../staged"), world.path("release")).expect("moved");
    let record = world.wait_for("release/deep/file", |_| true).await;
    assert!(record.public_since >= before, "{record:?}");
    assert_eq!(seconds(record.version_time()), OLD.cast_signed());

    // Another tree takes the place of the whole one.
    world.write_old("../next/other", "text");
    world.pass(7200);
    let before = world.clock.now();
    let at = |name| world.folder.path().join(name);
    fs::rename(at("tree"), at("last")).expect("moved");
    fs::rename(at("next"), at("tree")).expect("moved");
    let record = world.wait_for("other", |_| true).await;
    assert!(record.public_since >= before, "{record:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_tree_that_is_rewritten_with_the_same_bytes_keeps_its_versions() {
    // publish_files: every file anew, in place, with new times.
    let mut world = World::new().await;
    let names: Vec<String> = (0..20).map(|number| format!("{}/bundle-{number}.xo", 4000 + number)).collect();
    for name in &names {
        world.write_old(name, name);
    }
    world.start_and_walk().await;
    let mut before = Vec::new();
    for name in &names {
        before.push(world.hashed(name).await);
    }
    for name in &names {
        world.write(name, name);
    }
    world.pass(40);
    for (name, before) in names.iter().zip(before) {
        let after =
            world.wait_for(name, |record| record.state == FileState::Settled && record.fingerprint != before.fingerprint).await;
        assert_eq!((after.version, after.sha256, after.public_since), (before.version, before.sha256, before.public_since));
        assert_eq!(after.version_mtime_ns, before.version_mtime_ns);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_is_replaced_by_one_of_equal_size_and_time_is_another_version() {
    let mut world = World::new().await;
    world.write_old("4078/labyrinth-7.xo", "first version");
    world.start_and_walk().await;
    let old = world.hashed("4078/labyrinth-7.xo").await;
    fs::remove_file(world.path("4078/labyrinth-7.xo")).expect("deleted");
    world.write_old("4078/labyrinth-7.xo", "other version");
    world.pass(3);
    let new = world.wait_for("4078/labyrinth-7.xo", |record| record.version != old.version).await;
    assert_eq!(new.fingerprint.size, old.fingerprint.size);
    assert_eq!(new.fingerprint.mtime_ns, old.fingerprint.mtime_ns);
    assert!(new.version_time() >= new.public_since, "copies that are as old as both may be of the other one: {new:?}");
    assert_ne!(world.hashed("4078/labyrinth-7.xo").await.sha256, old.sha256);
    world.stop().await;
}

#[tokio::test]
async fn a_file_that_is_replaced_before_it_was_read_starts_from_nothing() {
    let world = World::new().await;
    let replace = |name: &str, text: &str, mtime| {
        world.write("../next", text);
        world.set_mtime("../next", mtime);
        fs::rename(world.path("../next"), world.path(name)).expect("replaced");
    };
    for name in ["time", "older", "chmod", "a", "b"] {
        replace(name, name, OLD);
    }
    replace("b", "c", OLD + 7000);
    world.walk_once().await;
    let mut before = Vec::new();
    for name in ["time", "older", "chmod"] {
        before.push(world.file(name).await.expect("it is known"));
    }
    let noticed = world.clock.now();

    replace("time", "same", OLD);
    replace("older", "oldie", OLD - 5000);
    fs::set_permissions(world.path("chmod"), fs::Permissions::from_mode(0o600)).expect("changed");
    world.pass(3);
    world.walk_once().await;
    for (name, before) in ["time", "older", "chmod"].into_iter().zip(before) {
        let now = world.file(name).await.expect("it is known");
        assert_ne!(now.version, before.version, "{name}: nobody knows that it has the same bytes");
        assert_eq!(now.public_since == before.public_since, name == "chmod", "{name}");
        let time = now.copies().time_ns / 1_000_000_000;
        match name {
            "time" => assert!(time >= noticed.as_second() - 1, "copies of both look alike: {now:?}"),
            "older" => assert_eq!((time, now.exact_time), (OLD.cast_signed() - 5000, true)),
            _ => assert_eq!((time, now.exact_time), (OLD.cast_signed(), false), "as nobody writes and sets back the time"),
        }
    }

    // Two files of equal size change places, with a walk in between.
    fs::rename(world.path("a"), world.path("../next")).expect("moved");
    world.pass(3);
    world.walk_once().await;
    fs::rename(world.path("b"), world.path("a")).expect("moved");
    fs::rename(world.path("../next"), world.path("b")).expect("moved");
    world.pass(6);
    world.walk_once().await;
    let (a, b) = (world.file("a").await.expect("it is known"), world.file("b").await.expect("it is known"));
    assert_eq!((seconds(a.version_time()), a.exact_time), (OLD.cast_signed() + 7000, true));
    assert_eq!((seconds(b.version_time()), b.exact_time), (OLD.cast_signed(), true));
}

#[tokio::test]
async fn who_puts_the_clock_on_makes_no_file_older() {
    // As on a machine that starts in 1970 and hears the right time later.
    let mut world = World::new().await;
    world.write_old("old", "text");
    world.start_and_walk().await;
    world.write("young", "text");
    world.write("cut", "text");
    world.pass(3);
    world.wait_for("young", |record| record.sha256.is_some()).await;
    let before = world.hashed("young").await;
    let half_an_hour = SignedDuration::from_mins(30);
    assert!(before.public_since > world.clock.now() - half_an_hour);
    let year = SignedDuration::from_hours(24 * 365);
    world.clock.put_on(year);
    let moved = world.wait_for("young", |record| record.public_since > before.public_since).await;
    assert_eq!((moved.version, moved.sha256), (before.version, before.sha256));
    assert_eq!(moved.public_since, before.public_since + year, "it is as young as before");
    assert_eq!(world.file("old").await.map(|old| seconds(old.public_since)), Some(OLD.cast_signed()), "what is old stays so");
    let entry = || world.inventory.snapshot().file(&path("young")).expect("is known");
    until("requests know it", || entry().public_since >= seconds(moved.public_since)).await;

    // What came shortly before the leap, and is noticed after it: its times were made by the clock as it was.
    world.write("late", "text");
    let late = world.wait_for("late", |_| true).await;
    assert!(late.public_since >= world.clock.now() - SignedDuration::from_mins(1), "{late:?}");

    // Put back by an hour, and on again.
    world.clock.put_on(-SignedDuration::from_hours(1));
    world.write("before", "text");
    world.wait_for("before", |_| true).await;
    world.write("between", "text");
    let between = world.wait_for("between", |record| record.state == FileState::Settled).await;
    world.clock.put_on(SignedDuration::from_hours(1));
    world.wait_for("between", |record| record.public_since > between.public_since).await;
    world.stop().await;
}

#[tokio::test]
async fn chmod_and_new_links_do_not_make_a_file_young() {
    let mut world = World::new().await;
    world.write_old("file", "content");
    world.start_and_walk().await;
    let old = world.hashed("file").await;
    fs::set_permissions(world.path("file"), fs::Permissions::from_mode(0o600)).expect("changed");
    world.pass(3);
    let moved = |record: &FileRecord| record.fingerprint != old.fingerprint && record.state == FileState::Settled;
    let new = world.wait_for("file", moved).await;
    assert_eq!((new.version, new.public_since), (old.version, old.public_since));
    fs::hard_link(world.path("file"), world.path("second")).expect("linked");
    world.pass(3);
    // The kernel tells of the new name only; the next request meets the new ctime.
    world.running().nudges.send(path("file")).await.expect("it runs");
    let newer = world.wait_for("file", |record| record.fingerprint != new.fingerprint && moved(record)).await;
    assert_eq!((newer.version, newer.public_since), (old.version, old.public_since));
    world.wait_for("second", |_| true).await;
    world.stop().await;
}

#[tokio::test]
async fn what_is_deleted_or_moved_is_followed() {
    let mut world = World::new().await;
    for name in ["one", "a/two", "a/b/three", "c/four"] {
        world.write_old(name, name);
    }
    world.start_and_walk().await;
    world.wait_for("c/four", |_| true).await;
    fs::remove_file(world.path("one")).expect("deleted");
    world.wait_until_gone("one").await;
    world.pass(2);
    fs::rename(world.path("a"), world.path("moved")).expect("moved");
    world.wait_until_gone("a/two").await;
    world.wait_until_gone("a/b/three").await;
    world.wait_for("moved/b/three", |_| true).await;
    world.write_old("moved/b/five", "in a folder that moved");
    world.wait_for("moved/b/five", |_| true).await;
    world.pass(3);
    fs::remove_dir_all(world.path("moved")).expect("deleted");
    world.wait_until_gone("moved/b/three").await;
    world.wait_until_gone("moved/two").await;
    fs::remove_file(world.path("c/four")).expect("deleted");
    world.wait_until_gone("c/four").await;
    assert_eq!(world.inventory.snapshot().file_count(), 0);
    world.stop().await;
}

#[tokio::test]
async fn a_tree_that_goes_away_takes_nothing_along() {
    let mut world = World::new().await;
    world.write_old("4078/labyrinth-7.xo", "content");
    world.start_and_walk().await;
    let known = world.hashed("4078/labyrinth-7.xo").await;
    let (tree, aside) = (world.folder.path().join("tree"), world.folder.path().join("aside"));
    fs::rename(&tree, &aside).expect("unmounted");
    until("the tree is away", || world.trees.public.is_away()).await;
    assert_eq!(world.walk_once().await.ending, Ending::Away(Some(crate::tree::Absence::Missing)));
    fs::create_dir(&tree).expect("an empty mount point");
    until("it is empty", || world.trees.public.absence() == Some(crate::tree::Absence::Emptied)).await;
    assert!(matches!(world.walk_once().await.ending, Ending::Away(_)));
    world.running().nudges.send(path("4078/labyrinth-7.xo")).await.expect("it runs");
    world.pass(4000);
    assert_eq!(world.file("4078/labyrinth-7.xo").await, Some(known.clone()));
    fs::remove_dir(&tree).expect("removed");
    fs::rename(&aside, &tree).expect("mounted again");
    until("the tree is back", || !world.trees.public.is_away()).await;
    world.wait_for_walks().await;
    assert_eq!(world.hashed("4078/labyrinth-7.xo").await.version, known.version);
    world.write_old("4078/new", "new");
    world.wait_for("4078/new", |_| true).await;
    world.stop().await;
}

#[tokio::test]
async fn a_tree_that_is_empty_at_the_start_is_not_believed() {
    let world = World::new().await;
    world.write_old("file", "content");
    world.walk_once().await;
    fs::remove_file(world.path("file")).expect("deleted");
    let world = world.restart().await;
    assert!(matches!(world.walk_once().await.ending, Ending::Away(Some(crate::tree::Absence::Emptied))));
    assert!(world.trees.public.is_away());
    assert!(world.file("file").await.is_some());
}

#[tokio::test]
async fn a_tree_with_folders_and_no_file_is_not_believed_either() {
    let world = World::new().await;
    world.write_old("4078/file", "content");
    world.walk_once().await;
    fs::remove_file(world.path("4078/file")).expect("deleted");
    let mut world = world.restart().await;
    assert_eq!(world.walk_once().await.ending, Ending::Empty(1));
    world.start_and_walk().await;
    assert!(world.file("4078/file").await.is_some());
    let problem = world.running().watcher.problem().expect("it is told");
    assert!(problem.contains("no file where 1 were"), "{problem}");
    world.write_old("4078/other", "content");
    world.wait_for("4078/other", |_| true).await;
    world.wait_for_walks().await;
    world.wait_until_gone("4078/file").await;
    assert_eq!(world.running().watcher.problem(), None);
    world.stop().await;
}

#[tokio::test]
async fn a_file_system_that_is_missing_within_the_tree_takes_nothing_along() {
    let world = World::new().await;
    for name in ["big/iso", "small"] {
        world.write_old(name, name);
    }
    world.walk_once().await;
    fs::remove_file(world.path("big/iso")).expect("what was mounted is not there");
    let orders = Orders::for_nobody();
    let (trees, inventory) = (world.trees.clone(), world.inventory.clone());
    let mut intake = Intake::new(trees, inventory, world.clock.clone(), patience(&world.settings), orders);
    intake.mounts.insert(path("big"));
    intake.look(vec![path("big/iso")], Why::Request).await.expect("it works");
    assert!(world.file("big/iso").await.is_some());
    for _ in 0..2 {
        let mut round = Round::begin(&mut intake, TreePath::root(), None, &CancellationToken::new());
        assert!(round.next().await.is_none());
        let (report, _) = round.finish(&mut intake).await.expect("it works");
        assert_eq!((report.ending, report.forgotten), (Ending::Complete, 0));
        assert!(world.file("big/iso").await.is_some());
    }
}

#[tokio::test]
async fn a_request_that_met_another_file_than_known_makes_the_index_look() {
    let world = World::new().await;
    world.write_old("file", "content");
    world.walk_once().await;
    let old = world.file("file").await.expect("known");
    // No watch and no walk: as on NFS between two walks.
    let (trees, inventory) = (world.trees.clone(), world.inventory.clone());
    let mut intake = Intake::new(trees, inventory, world.clock.clone(), patience(&world.settings), Orders::for_nobody());
    world.write("file", "longer content");
    intake.look(vec![path("file"), path("none")], Why::Request).await.expect("it works");
    assert_eq!(world.file("file").await.expect("known").state, FileState::Changing);
    world.pass(3);
    intake.look_at_moving().await.expect("it works");
    let new = world.file("file").await.expect("known");
    assert!(new.version != old.version && new.state == FileState::Settled, "{new:?}");
    fs::remove_file(world.path("file")).expect("deleted");
    intake.look(vec![path("file")], Why::Request).await.expect("it works");
    assert_eq!(world.file("file").await, None);
}

#[tokio::test]
async fn a_walk_finds_what_no_event_told() {
    let mut world = World::new().await;
    world.write_old("file", "content");
    world.write_old("gone", "content");
    world.start_and_walk().await;
    world.stop().await;
    world.write_old("new", "content");
    fs::remove_file(world.path("gone")).expect("deleted");
    world.pass(1);
    world.start_and_walk().await;
    world.wait_for("new", |_| true).await;
    world.wait_until_gone("gone").await;
    let report = world.running().watcher.last_walk().expect("walked");
    assert_eq!((report.files, report.changed, report.forgotten), (2, 1, 1));
    world.stop().await;
}

#[tokio::test]
async fn an_unchanged_tree_costs_no_store_work() {
    let world = World::new().await;
    for number in 0..100 {
        world.write_old(&format!("{number}"), "x");
    }
    world.walk_once().await;
    let before: Vec<VersionNumber> = versions(&world).await;
    let report = world.walk_once().await;
    assert_eq!((report.changed, report.forgotten), (0, 0));
    assert_eq!(versions(&world).await, before);
}

async fn versions(world: &World) -> Vec<VersionNumber> {
    let files = world.inventory.files(TreePath::root(), None, 1000).await.expect("it works");
    files.iter().map(|file| file.version).collect()
}

#[tokio::test]
async fn a_directory_that_can_not_be_read_any_more_keeps_its_files() {
    // As root nothing is unreadable; so the test calls itself as another user.
    const INNER: &str = "REDIRECTOR_TEST_AS_NOBODY";
    const NAME: &str = "index::tests::a_directory_that_can_not_be_read_any_more_keeps_its_files";
    if rustix::process::geteuid().is_root() && std::env::var_os(INNER).is_none() {
        let output = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(std::env::current_exe().expect("this test"))
            .args(["--exact", NAME, "--nocapture"])
            .env(INNER, "1")
            .output();
        match output {
            Ok(output) if output.status.code() == Some(126 | 127) => eprintln!("skipped: another user may not run this test"),
            Ok(output) => assert!(
                output.status.success(),
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => eprintln!("skipped: setpriv: {error}"),
        }
        return;
    }
    let world = World::new().await;
    for name in ["closed/deep/file", "closed/other", "open/file", "open/gone"] {
        world.write_old(name, name);
    }
    world.walk_once().await;
    let before = world.file("closed/deep/file").await;
    fs::remove_file(world.path("open/gone")).expect("deleted");
    fs::set_permissions(world.path("closed"), fs::Permissions::from_mode(0o0)).expect("closed");
    let report = world.walk_once().await;
    fs::set_permissions(world.path("closed"), fs::Permissions::from_mode(0o755)).expect("opened");
    assert_eq!((report.ending, report.unreadable, report.forgotten), (Ending::Complete, 1, 1));
    assert_eq!(report.troubles[0].0, path("closed"));
    assert_eq!(world.file("closed/deep/file").await, before);
    assert!(world.file("closed/other").await.is_some());
}

#[tokio::test]
async fn it_stops_within_a_second_while_it_walks() {
    let mut world = World::new().await;
    for number in 0..2000 {
        world.write_old(&format!("{}/{number}", number % 40), "x");
    }
    world.start();
    let began = crate::clock::instant();
    world.stop().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    let again = world.walk_once().await;
    assert_eq!((again.files, again.ending), (2000, Ending::Complete));
    assert_eq!(seconds(world.file("0/0").await.expect("known").public_since), 1_000_000_000, "still the first indexing");
}
