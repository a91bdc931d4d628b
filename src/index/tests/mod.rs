//! The index on a real tree, with a clock that is set by hand.

mod age;
mod away;
mod walks;

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
