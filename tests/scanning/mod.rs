//! What tests of scans share: a tree as the inventory knows it, one mirror of it, and limits with which nothing waits.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of these")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redirector::clock::Clock;
use redirector::inventory::{Inventory, Observation, Seen};
use redirector::model::{BaseUrl, Fingerprint, Mirror, MirrorName, Scheme, Span, TreePath};
use redirector::scan::{Clients, Limits, Mode, Quiet, Report, Scanner, Settings};

/// When all files of the tree were last changed, unless a test says otherwise.
pub const THEN: i64 = 1_750_000_027;

/// A tree as the inventory knows it, and one mirror of it.
pub struct World {
    pub inventory: Inventory,
    pub clock: Clock,
    pub mirror: Mirror,
}

impl World {
    pub async fn new(files: &[(&str, u64, i64)], url: &str) -> Self {
        let clock = Clock::system();
        let mirror = mirror(url);
        let inventory = Inventory::temporary(vec![Arc::new(mirror.clone())], clock.clone()).await.expect("it opens");
        let world = Self { inventory, clock, mirror };
        world.put(files).await;
        world.inventory.set_indexed().await.expect("written");
        world
    }

    /// Has files in the tree, new or changed.
    pub async fn put(&self, files: &[(&str, u64, i64)]) {
        self.see(files, Seen::First).await;
    }

    /// Has files in the tree seen on some occasion.
    pub async fn see(&self, files: &[(&str, u64, i64)], kind: Seen) {
        let observations = files.iter().map(|(name, size, mtime)| Observation {
            path: path(name),
            fingerprint: Fingerprint {
                size: *size,
                mtime_ns: mtime * 1_000_000_000,
                ctime_ns: mtime * 1_000_000_000,
                inode: 1,
            },
            at: self.clock.now(),
            kind,
        });
        self.inventory.observe(observations.collect()).await.expect("written");
    }

    pub fn scanner(&self, change: impl FnOnce(&mut Settings)) -> Scanner {
        let mut settings = Settings { timeout: Span(Duration::from_secs(5)), limits: quick(), ..Settings::default() };
        change(&mut settings);
        let clients = Clients::new(&settings, None).expect("clients");
        Scanner::new(self.inventory.clone(), settings, clients, self.clock.clone())
    }

    pub async fn scan(&self) -> Report {
        self.scan_with(|_| {}).await
    }

    pub async fn scan_with(&self, change: impl FnOnce(&mut Settings)) -> Report {
        let scanner = self.scanner(change);
        let plan = scanner.plan(TreePath::root()).await.expect("the inventory can be read");
        scanner.scan(&self.mirror, &plan, Mode::Record, &Quiet).await
    }

    /// The paths that the mirror is known to hold.
    pub async fn held(&self) -> BTreeSet<String> {
        let files = self.inventory.files(TreePath::root(), None, 1000).await.expect("the inventory can be read");
        let mirrors = self.inventory.snapshot().mirrors();
        files.iter().filter(|file| mirrors.members[0].holds(file.version)).map(|file| file.path.to_string()).collect()
    }
}

pub fn path(text: &str) -> TreePath<'static> {
    TreePath::parse(text.as_bytes().to_vec()).expect("valid")
}

pub fn mirror(url: &str) -> Mirror {
    Mirror {
        http: Some(BaseUrl::parse(url, Scheme::Http).expect("valid")),
        ..Mirror::new(MirrorName::parse("m").expect("valid"))
    }
}

/// Limits with which a test does not wait, and each scan asks for everything.
pub fn quick() -> Limits {
    Limits {
        page_bytes: 1 << 20,
        duration: Duration::from_secs(20),
        retries: 1,
        back_off: Duration::from_millis(1),
        pause: Duration::from_secs(2),
        patience: Duration::from_secs(2),
        failures_in_a_row: 5,
        sample: 4,
        reread: 1,
        ..Limits::default()
    }
}

pub fn names(files: &[(&str, u64, i64)]) -> BTreeSet<String> {
    files.iter().map(|(name, ..)| (*name).to_owned()).collect()
}
