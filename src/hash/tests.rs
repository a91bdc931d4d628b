//! The hash queue over real files and a real inventory.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::backlog::PAGE;
use super::*;
use crate::inventory::{Observation, Seen};
use crate::model::Sha256;
use crate::tree;

struct World {
    folder: tempfile::TempDir,
    clock: Clock,
    trees: Trees,
    inventory: Inventory,
}

/// Longer than any of these tests takes on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::manual(Clock::system().now());
        let trees = Trees::open(&tree::Settings::of(folder.path())).expect("good settings");
        let inventory = Inventory::temporary(Vec::new(), clock.clone()).await.expect("an inventory");
        Self { folder, clock, trees, inventory }
    }

    /// Writes a file and has the inventory know it.
    async fn add(&self, at: &str, text: &str) -> FileRecord {
        File::create(self.folder.path().join(at)).and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
        self.observe(at).await
    }

    async fn observe(&self, at: &str) -> FileRecord {
        let fingerprint = self.trees.public.look(&path(at)).expect("it is there").fingerprint;
        let seen = Observation { path: path(at), fingerprint, at: self.clock.now(), kind: Seen::Later };
        self.inventory.observe(vec![seen]).await.expect("it works").pop().expect("one")
    }

    fn hasher(&self) -> (Hasher, Orders) {
        Hasher::new(self.trees.clone(), self.inventory.clone(), one_thread(), self.clock.clone())
    }

    async fn digest(&self, at: &str) -> Option<Sha256> {
        self.inventory.file(path(at)).await.expect("it works").and_then(|record| record.sha256)
    }

    async fn wait_for_digest(&self, at: &str) -> String {
        let began = crate::clock::instant();
        loop {
            if let Some(digest) = self.digest(at).await {
                return digest.to_string();
            }
            assert!(began.elapsed() < BOUND, "{at} was not hashed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = crate::clock::instant();
    while !is_so() {
        assert!(began.elapsed() < BOUND, "{what}: not within {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn path(text: &str) -> TreePath<'static> {
    TreePath::parse(text.as_bytes().to_vec()).expect("valid")
}

fn one_thread() -> Settings {
    Settings { threads: Some(1), ..Settings::default() }
}

fn pool() -> Pool {
    Pool::start(2, Priority::Low, Counts::default().bytes, CancellationToken::new()).expect("threads")
}

/// The order in which a queue takes files, each hashed at once.
async fn order(hasher: &mut Hasher) -> Vec<String> {
    let pool = pool();
    let mut order = Vec::new();
    while let Some(record) = hasher.next().await.expect("it works") {
        order.push(record.path.to_string());
        hasher.begin(record, &pool);
        let (record, reading) = hasher.running.next().await.expect("one runs");
        hasher.end(record, reading).await;
        hasher.write_down().await.expect("it works");
    }
    pool.stop().await;
    order
}

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[tokio::test]
async fn requested_files_come_first_then_unconfirmed_ones_then_the_rest() {
    let world = World::new().await;
    let (mut hasher, _) = world.hasher();
    world.add("m-rewritten", "same").await;
    assert_eq!(order(&mut hasher).await, ["m-rewritten"]);
    world.add("m-rewritten", "same").await;
    for name in ["a", "b", "z-requested", "y-changed"] {
        world.add(name, name).await;
    }
    let (mut hasher, orders) = world.hasher();
    orders.confirm(path("y-changed"));
    orders.request(path("z-requested"));
    orders.request(path("unknown"));
    assert_eq!(order(&mut hasher).await, ["z-requested", "y-changed", "m-rewritten", "a", "b"]);
    assert_eq!(hasher.counts().files.get(), 5);
    orders.request(path("a"));
    let (mut again, _) = world.hasher();
    assert_eq!(order(&mut again).await, Vec::<String>::new(), "what is hashed is not hashed again");
    assert_eq!(order(&mut hasher).await, Vec::<String>::new());
}

#[tokio::test]
async fn more_files_than_a_page_are_all_hashed() {
    let world = World::new().await;
    for number in 0..PAGE + 20 {
        world.add(&format!("{number}"), "x").await;
    }
    let (mut hasher, _) = world.hasher();
    assert_eq!(order(&mut hasher).await.len(), PAGE + 20);
}

#[tokio::test]
async fn a_running_queue_hashes_what_is_ordered_and_what_comes() {
    let world = World::new().await;
    world.add("known before", "abc").await;
    let (hasher, orders) = world.hasher();
    let stop = CancellationToken::new();
    let task = tokio::spawn(hasher.run(stop.clone()));
    assert_eq!(world.wait_for_digest("known before").await, ABC);
    world.add("new", "abc").await;
    orders.wake();
    assert_eq!(world.wait_for_digest("new").await, ABC);
    world.add("requested", "abc").await;
    orders.request(path("requested"));
    assert_eq!(world.wait_for_digest("requested").await, ABC);
    stop.cancel();
    tokio::time::timeout(BOUND, task).await.expect("it stops").expect("it did not panic");
}

#[tokio::test]
async fn one_file_that_can_not_be_hashed_stops_nothing() {
    let world = World::new().await;
    for name in ["gone", "leads-out", "moved-on", "fine"] {
        world.add(name, "abc").await;
    }
    fs::remove_file(world.folder.path().join("gone")).expect("deleted");
    fs::remove_file(world.folder.path().join("leads-out")).expect("deleted");
    symlink("/etc/hostname", world.folder.path().join("leads-out")).expect("a link");
    fs::remove_file(world.folder.path().join("moved-on")).expect("deleted");
    File::create(world.folder.path().join("moved-on")).and_then(|mut file| file.write_all(b"xyz")).expect("a file");
    let (mut hasher, _) = world.hasher();
    order(&mut hasher).await;
    assert_eq!(world.wait_for_digest("fine").await, ABC);
    for name in ["gone", "leads-out", "moved-on"] {
        assert_eq!(world.digest(name).await, None, "{name}");
    }
    // What can't be read is left alone for a while, and tried again then.
    hasher.backlog = Backlog::default();
    assert_eq!(order(&mut hasher).await, Vec::<String>::new());
    world.observe("moved-on").await;
    hasher.backlog = Backlog::default();
    assert_eq!(order(&mut hasher).await, ["moved-on"], "what looks otherwise now is another matter");
    assert!(world.digest("moved-on").await.is_some());
    world.clock.set(world.clock.now() + TRY_AGAIN);
    hasher.backlog = Backlog::default();
    assert_eq!(order(&mut hasher).await, ["gone", "leads-out"]);
}

#[tokio::test]
async fn a_file_that_is_written_while_it_is_read_gets_no_digest() {
    let world = World::new().await;
    let sparse = File::create(world.folder.path().join("big")).expect("a file");
    sparse.set_len(64 << 20).expect("its size");
    let before = world.trees.public.look(&path("big")).expect("it is there").fingerprint;
    let pool = pool();
    let done = Arc::new(AtomicBool::new(false));
    let writing = tokio::task::spawn_blocking({
        let done = Arc::clone(&done);
        move || {
            let mut seconds = 0;
            while !done.load(Ordering::Relaxed) {
                seconds += 1;
                sparse.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).expect("its time");
            }
        }
    });
    let want = Want::All(Settings::default().plan(before.size));
    let read = pool.read(&world.trees.public, &path("big"), before, want).await;
    done.store(true, Ordering::Relaxed);
    writing.await.expect("it wrote");
    assert!(matches!(read, Reading::Changed), "{read:?}");
    pool.stop().await;
}

#[tokio::test]
async fn a_huge_file_does_not_put_the_end_off() {
    let world = World::new().await;
    File::create(world.folder.path().join("huge")).and_then(|file| file.set_len(1 << 40)).expect("a file with a hole");
    world.observe("huge").await;
    let (hasher, _) = world.hasher();
    let stop = CancellationToken::new();
    let task = tokio::spawn(hasher.run(stop.clone()));
    let is_open = || {
        let ours = fs::read_dir("/proc/self/fd").expect("our handles");
        ours.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok()).any(|file| file == world.folder.path().join("huge"))
    };
    until("it is read", is_open).await;
    let began = crate::clock::instant();
    stop.cancel();
    tokio::time::timeout(BOUND, task).await.expect("it stops").expect("it did not panic");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(world.digest("huge").await, None);
}

#[tokio::test]
async fn a_tree_that_is_away_is_waited_for() {
    let world = World::new().await;
    world.add("file", "abc").await;
    let (tree, aside) = (world.folder.path().to_owned(), world.folder.path().with_extension("aside"));
    fs::rename(&tree, &aside).expect("unmounted");
    world.trees.refresh();
    let (hasher, orders) = world.hasher();
    let (stop, counts) = (CancellationToken::new(), hasher.counts());
    let task = tokio::spawn(hasher.run(stop.clone()));
    orders.request(path("file"));
    fs::rename(&aside, &tree).expect("mounted again");
    world.trees.refresh();
    assert_eq!(world.wait_for_digest("file").await, ABC);
    assert_eq!(counts.failures.get(), 0);
    stop.cancel();
    tokio::time::timeout(BOUND, task).await.expect("it stops").expect("it did not panic");
}

#[tokio::test]
async fn every_version_gets_all_its_digests() {
    let world = World::new().await;
    let record = world.add("file", "abc").await;
    let (mut hasher, _) = world.hasher();
    assert_eq!(world.inventory.digests(&record.path, record.version).await.expect("it works"), None);
    assert_eq!(order(&mut hasher).await, ["file"]);
    let digests = world.inventory.digests(&record.path, record.version).await.expect("it works").expect("it is described");
    assert_eq!((digests.size, digests.sha256.to_string().as_str()), (3, ABC));
    assert_eq!(digests.pieces.sha1s().next(), Some(&digests.sha1));

    // Rewritten with other bytes: the old description goes with its version, the new version is described by and by.
    world.clock.set(world.clock.now() + SignedDuration::from_secs(5));
    let rewritten = world.add("file", "xyz").await;
    assert_eq!((rewritten.version, rewritten.state), (record.version, FileState::Unconfirmed));
    assert_eq!(order(&mut hasher_of(&world)).await, ["file", "file"], "a quick digest tells first, the rest follows");
    let now = world.inventory.file(path("file")).await.expect("it works").expect("it is there");
    assert!(now.version > record.version);
    assert!(world.inventory.digests(&now.path, now.version).await.expect("it works").is_some());
}

fn hasher_of(world: &World) -> Hasher {
    world.hasher().0
}

#[tokio::test]
async fn other_settings_have_files_described_again_and_the_old_description_stays_till_then() {
    let world = World::new().await;
    let record = world.add("file", &"x".repeat(70_000)).await;
    let mut hasher = hasher_of(&world);
    hasher.keep_up().await.expect("it works");
    assert_eq!(order(&mut hasher).await, ["file"]);
    let (mut same, _) = world.hasher();
    same.keep_up().await.expect("it works");
    assert_eq!(order(&mut same).await, Vec::<String>::new());

    let settings = Settings { piece_length: crate::model::ByteSize(16 << 10), ..one_thread() };
    let (mut other, _) = Hasher::new(world.trees.clone(), world.inventory.clone(), settings, world.clock.clone());
    other.keep_up().await.expect("it works");
    assert_eq!((other.counts.unhashed.get(), other.counts.undescribed.get()), (0, 1));
    let pieces = async || {
        let digests = world.inventory.digests(&record.path, record.version).await.expect("it works").expect("it is described");
        digests.pieces.sha1s().len()
    };
    assert_eq!(pieces().await, 1);
    assert_eq!(order(&mut other).await, ["file"]);
    assert_eq!(pieces().await, 5);
    assert_eq!(world.inventory.file(path("file")).await.expect("it works").map(|file| file.version), Some(record.version));
}

#[tokio::test]
async fn a_file_that_rots_is_no_new_version() {
    let world = World::new().await;
    let record = world.add("file", "abc").await;
    assert_eq!(order(&mut hasher_of(&world)).await, ["file"]);
    let rotten = Sha256([9; 32]);
    let found = world.inventory.record_digest(path("file"), record.fingerprint, rotten).await.expect("it works");
    assert!(matches!(&found, Recorded::Damaged(known) if known.version == record.version), "{found:?}");
    let damage = world.inventory.damage(record.version).await.expect("it works").expect("it is written down");
    assert_eq!((damage.found, damage.at.as_millisecond()), (rotten, world.clock.now().as_millisecond()));
    assert_eq!(world.digest("file").await.map(|digest| digest.to_string()).as_deref(), Some(ABC));
    let whole = Sha256(world.digest("file").await.expect("hashed").0);
    let found = world.inventory.record_digest(path("file"), record.fingerprint, whole).await.expect("it works");
    assert!(matches!(found, Recorded::Kept(_)));
    assert_eq!(world.inventory.damage(record.version).await.expect("it works"), None, "it is mended");
}

#[tokio::test]
async fn someone_who_waits_does_not_wait_for_a_huge_file() {
    let world = World::new().await;
    File::create(world.folder.path().join("huge")).and_then(|file| file.set_len(1 << 40)).expect("a file with a hole");
    world.observe("huge").await;
    let (hasher, orders) = world.hasher();
    let (stop, counts) = (CancellationToken::new(), hasher.counts());
    let task = tokio::spawn(hasher.run(stop.clone()));
    until("it is read", || counts.bytes.get() > 0).await;
    world.add("small", "abc").await;
    orders.request(path("small"));
    assert_eq!(world.wait_for_digest("small").await, ABC);
    stop.cancel();
    tokio::time::timeout(BOUND, task).await.expect("it stops").expect("it did not panic");
}
