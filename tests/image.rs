//! The image beside the database, when what writes it is killed or finds no room: the files are all there at the next start.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use redirector::clock::{self, Clock};
use redirector::inventory::sqlite::Sqlite;
use redirector::inventory::store::Store as _;
use redirector::inventory::{Inventory, Observation, Seen, Settings};
use redirector::model::{Fingerprint, TreePath};

/// Enough that writing the image takes some milliseconds.
const FILES: u32 = 30_000;
/// Longer than anything here takes on a busy machine.
const BOUND: Duration = Duration::from_secs(60);

fn path(number: u32) -> TreePath<'static> {
    TreePath::parse(format!("dir/{number}").into_bytes()).expect("a good path")
}

/// A folder with a database of many files and without an image.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().expect("a folder for tests") };
        let mut store = Sqlite::open(&site.database()).expect("opens");
        let seen = |number: u32| {
            let fingerprint = Fingerprint { size: number.into(), mtime_ns: 1, ctime_ns: 2, inode: 3 };
            Observation { path: path(number), fingerprint, at: Timestamp::UNIX_EPOCH, kind: Seen::Later }
        };
        store.observe(&(0..FILES).map(seen).collect::<Vec<_>>()).expect("is kept");
        store.close().expect("closes");
        site
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("test.sqlite")
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("test.sqlite-image")
    }

    fn next_image(&self) -> PathBuf {
        self.folder.path().join("test.sqlite-image.new")
    }

    /// A process that opens the database and keeps an image, run by `shell`.
    fn keeps_an_image(&self, shell: &str) -> Child {
        Command::new("sh")
            .args(["-c", &format!("{shell} exec \"$0\" the_child_that_keeps_an_image --exact --nocapture")])
            .arg(std::env::current_exe().expect("a test has a file"))
            .env("IMAGE_CHILD", self.database())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts")
    }

    /// Nothing is lost, whatever lies beside the database.
    async fn check(&self) {
        let inventory = open(&self.database()).await;
        let snapshot = inventory.snapshot();
        assert_eq!(snapshot.file_count(), u64::from(FILES));
        for number in (0..FILES).step_by(7) {
            assert_eq!(snapshot.file(&path(number)).map(|entry| entry.size), Some(u64::from(number)), "{number}");
        }
        assert!(!self.next_image().exists(), "what was left is taken away");
        inventory.close().await.expect("closes");
    }
}

async fn open(database: &Path) -> Inventory {
    let settings = Settings { database: database.to_owned(), ..Settings::default() };
    Inventory::open(&settings, Vec::new(), Clock::system()).await.expect("opens")
}

/// Not a test of its own: what the others start.
#[tokio::test]
async fn the_child_that_keeps_an_image() {
    let Some(database) = std::env::var_os("IMAGE_CHILD") else { return };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let inventory = open(Path::new(&database)).await;
    inventory.keep_image(1).await.expect("is heard");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn whoever_is_killed_while_it_writes_an_image_loses_nothing() {
    let site = Site::new();
    let (mut in_the_middle, mut rounds) = (0, 0);
    let began = clock::instant();
    while in_the_middle < 3 {
        assert!(began.elapsed() < BOUND, "in {rounds} rounds it was killed too late all but {in_the_middle} times");
        rounds += 1;
        std::fs::remove_file(site.image()).ok();
        let mut child = site.keeps_an_image("");
        while !site.next_image().exists() && !site.image().exists() {
            assert!(began.elapsed() < BOUND, "no image is written");
            std::thread::yield_now();
        }
        child.kill().expect("is killed");
        child.wait().expect("has ended");
        in_the_middle += u32::from(site.next_image().exists());
        site.check().await;
    }
}

#[tokio::test]
async fn an_image_that_finds_no_room_is_told_and_nothing_is_lost() {
    let site = Site::new();
    // The system's own limit: files of this process may have 64 KiB, which is enough for all but the image.
    let mut child = site.keeps_an_image("trap '' XFSZ; ulimit -f 128;");
    let log = BufReader::new(child.stderr.take().expect("is piped"));
    let told = log.lines().map_while(Result::ok).find(|line| line.contains("the image of the inventory can't be written"));
    child.kill().expect("is killed");
    child.wait().expect("has ended");
    let told = told.expect("it is told");
    assert!(told.contains("File too large"), "{told}");
    assert!(!site.image().exists() && !site.next_image().exists(), "no part of it stays");
    site.check().await;
}
