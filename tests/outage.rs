//! What outages must not do. First: kill -9 at any moment of indexing and scanning (promise 5), after which no mirror may be
//! taken to hold what it was not seen with (promise 1). Then: databases, disks, mirrors and trees that fail under a server that
//! runs (promise 3).
//!
//! The first test starts itself again as a child that writes to a database as fast as it can, keeps a diary of what it did, and
//! is killed. The diary is written with plain `write`, so whatever was written before the kill can be read after it.

mod running;
mod servers;
mod until;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use redirector::clock::Clock;
use redirector::inventory::{Counts, Hold, Inventory, Observation, Protocol, ScanRecord, Seen, Settings};
use redirector::model::{BaseUrl, FileRecord, FileState, Fingerprint, Health, Mirror, MirrorName, Scheme, Sha256, TreePath};
use running::{OLD, Running, Site, serve, until};
use rustix::process::Signal;
use servers::{Odd, listing, respond};

/// How often children are killed; oftener where the machine has so much to do that they hardly get to work.
const ROUNDS: u32 = 36;
const MOST_ROUNDS: u32 = 10 * ROUNDS;
/// The latest moment of a kill: enough for a hundred transactions on a quick disk, and for a few on a slow one. Further rounds take
/// more time.
const LATEST: Duration = Duration::from_millis(300);
const MIRRORS: [&str; 3] = ["one", "two", "three"];
const PATHS: u64 = 120;

#[tokio::test]
async fn whenever_it_is_killed_the_last_commit_stands_and_no_wrong_mirror_is_known() {
    let seed = std::env::var("OUTAGE_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut dice = Dice(seed.unwrap_or_else(|| RandomState::new().hash_one(0)));
    println!("OUTAGE_SEED={}", dice.0);
    let folder = tempfile::tempdir().expect("a folder for tests");
    let database = folder.path().join("test.sqlite");
    let mut truth = Truth::default();
    let mut round = 0;
    while round < ROUNDS || !truth.is_rich() {
        assert!(round < MOST_ROUNDS, "the children hardly worked");
        // Every third round two processes write to the database, like `scan` beside `serve`.
        let writers = if round % 3 == 2 { 2 } else { 1 };
        let mut children: Vec<Writer> =
            (0..writers).map(|number| Writer::start(&database, folder.path(), 2 * round + number, dice.next())).collect();
        // Not for a condition: the moment shall be any.
        std::thread::sleep((LATEST * (1 + round / ROUNDS)).mul_f64(dice.below(1000) as f64 / 1000.0));
        children.iter_mut().for_each(Writer::kill);
        let mut acknowledged = Acknowledged::default();
        for child in &children {
            truth.read(&child.diary, &mut acknowledged);
        }
        check_file(&database);
        truth.check(&database, &acknowledged, round).await;
        round += 1;
    }
    println!("{} versions, {} sightings on mirrors", truth.versions.len(), truth.sightings.len());
}

/// A child process that writes to the database.
struct Writer {
    child: Child,
    diary: PathBuf,
}

impl Writer {
    fn start(database: &Path, folder: &Path, number: u32, seed: u64) -> Self {
        let diary = folder.join(format!("diary-{number}"));
        let child = Command::new(std::env::current_exe().expect("a test has a file"))
            .args(["--exact", "the_child_that_is_killed", "--nocapture"])
            .env("OUTAGE_CHILD", database)
            .env("OUTAGE_DIARY", &diary)
            .env("OUTAGE_NUMBER", number.to_string())
            .env("OUTAGE_SEED", seed.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        Self { child, diary }
    }

    fn kill(&mut self) {
        self.child.kill().expect("is killed");
        let status = self.child.wait().expect("is waited for");
        assert!(status.code().is_none(), "the child ended by itself: {status}");
    }
}

/// Everything that the children ever did, as their diaries and the database tell.
#[derive(Default)]
struct Truth {
    /// Which content of which path a version is.
    versions: BTreeMap<u32, (String, u64)>,
    /// With which content of which path a mirror was seen.
    sightings: BTreeSet<(String, String, u64)>,
}

/// What one round's children know to be committed.
#[derive(Default)]
struct Acknowledged {
    /// The newest version of a path.
    versions: BTreeMap<String, u32>,
    /// Paths that they may have forgotten.
    forgotten: BTreeSet<String>,
}

impl Truth {
    /// Whether enough was written for kills to have met writes of all kinds.
    fn is_rich(&self) -> bool {
        self.versions.len() > 500 && self.sightings.len() > 100
    }

    /// Reads a diary; its last line may be cut off.
    fn read(&mut self, diary: &Path, acknowledged: &mut Acknowledged) {
        let text = std::fs::read_to_string(diary).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["version", number, path, content] => {
                    let number = number.parse().expect("a number");
                    self.note(number, path, content.parse().expect("a number"));
                    let newest = acknowledged.versions.entry(path.to_owned()).or_default();
                    *newest = (*newest).max(number);
                }
                ["forget", path] => drop(acknowledged.forgotten.insert(path.to_owned())),
                ["seen", mirror, path, content] => {
                    self.sightings.insert((mirror.to_owned(), path.to_owned(), content.parse().expect("a number")));
                }
                _ => panic!("a line {line:?} in a diary"),
            }
        }
    }

    fn note(&mut self, number: u32, path: &str, content: u64) {
        let is = (path.to_owned(), content);
        let was = self.versions.entry(number).or_insert_with(|| is.clone());
        assert_eq!(*was, is, "the number {number} was used twice");
    }

    /// Opens the database as the program would, and compares it with what is known.
    async fn check(&mut self, database: &Path, acknowledged: &Acknowledged, round: u32) {
        let inventory = open(database).await;
        let records = inventory.files(TreePath::root(), None, 10_000).await.expect("is read");
        assert_eq!(inventory.snapshot().file_count(), records.len() as u64);
        for record in records.iter().filter(|record| record.state == FileState::Settled) {
            self.note(record.version.0, &record.path.to_string(), content_of(&record.fingerprint));
        }
        for (path, number) in &acknowledged.versions {
            let record = records.iter().find(|record| record.path.to_string() == *path);
            let kept = record.is_some_and(|record| record.version.0 >= *number) || acknowledged.forgotten.contains(path);
            assert!(kept, "round {round}: version {number} of {path} was committed, and now there is {record:?}");
        }
        self.check_holdings(&inventory, &records);
        let look = look(u64::MAX / 2000 - u64::from(round), 0, 9);
        let new = inventory.observe(vec![observation("new", look)]).await.expect("it can be written to")[0].version.0;
        assert!(self.versions.keys().all(|used| *used < new), "{new} may have been used");
        self.note(new, "new", content_of(&look));
        inventory.close().await.expect("closes");
    }

    fn check_holdings(&self, inventory: &Inventory, records: &[FileRecord]) {
        for member in &inventory.snapshot().mirrors().members {
            for record in records.iter().filter(|record| member.holds(record.version)) {
                let (path, content) = self.versions.get(&record.version.0).expect("what was scanned was in a diary");
                assert_eq!(*path, record.path.to_string());
                let sighting = (member.mirror.name.to_string(), path.clone(), *content);
                assert!(self.sightings.contains(&sighting), "never seen: {sighting:?}");
            }
        }
    }
}

fn check_file(database: &Path) {
    if !database.exists() {
        return; // killed before it was made
    }
    let connection = rusqlite::Connection::open(database).expect("opens");
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("is checked");
    assert_eq!(verdict, "ok");
}

async fn open(database: &Path) -> Inventory {
    let settings = Settings { database: database.to_owned(), ..Settings::default() };
    Inventory::open(&settings, MIRRORS.into_iter().map(mirror).collect(), Clock::system()).await.expect("opens after a kill")
}

fn mirror(name: &str) -> Arc<Mirror> {
    Arc::new(Mirror {
        http: Some(BaseUrl::parse(&format!("http://{name}.example/"), Scheme::Http).expect("a good URL")),
        ..Mirror::new(MirrorName::parse(name).expect("a good name"))
    })
}

/// How a file with this content looks after having been written again so many times. Only a few sizes occur, so that many
/// contents can't be told from each other by their size.
fn look(content: u64, rewrite: u64, sizes: u64) -> Fingerprint {
    let time = (content * 1000 + rewrite % 1000).cast_signed();
    Fingerprint { size: 1000 + content % sizes, mtime_ns: time, ctime_ns: time, inode: 1 }
}

fn content_of(fingerprint: &Fingerprint) -> u64 {
    fingerprint.mtime_ns.cast_unsigned() / 1000
}

fn digest_of(fingerprint: &Fingerprint) -> Sha256 {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&content_of(fingerprint).to_le_bytes());
    Sha256(digest)
}

fn observation(path: &str, fingerprint: Fingerprint) -> Observation {
    let path = TreePath::parse(path.as_bytes().to_vec()).expect("a good path");
    Observation { path, fingerprint, at: Timestamp::from_second(2_000_000_000).expect("in range"), kind: Seen::Later }
}

// The child.

/// Not a test: what the test above starts and kills. It ends only if it is not meant.
#[tokio::test]
async fn the_child_that_is_killed() {
    let Some(database) = std::env::var_os("OUTAGE_CHILD") else { return };
    let text = |name| std::env::var(name).expect("is set by the parent");
    let diary = OpenOptions::new().create(true).append(true).open(text("OUTAGE_DIARY")).expect("opens");
    let mut work = Work {
        inventory: open(Path::new(&database)).await,
        diary,
        dice: Dice(text("OUTAGE_SEED").parse().expect("a number")),
        contents: text("OUTAGE_NUMBER").parse::<u64>().expect("a number") * 1_000_000,
    };
    loop {
        work.step().await;
    }
}

struct Work {
    inventory: Inventory,
    diary: File,
    dice: Dice,
    /// The last content that was made; every child has its own range.
    contents: u64,
}

impl Work {
    async fn step(&mut self) {
        match self.dice.below(10) {
            0..4 => self.write_files().await,
            4..6 => self.hash_files().await,
            6..8 => self.scan_a_mirror().await,
            8 => self.remove_files().await,
            _ => self.change_the_rest().await,
        }
    }

    /// A line in the diary: one `write`, so that a kill leaves it whole or cut off at the end of the file.
    fn note(&mut self, line: &str) {
        self.diary.write_all(format!("{line}\n").as_bytes()).expect("is written");
    }

    fn note_versions(&mut self, records: &[FileRecord]) {
        for record in records.iter().filter(|record| record.state == FileState::Settled) {
            self.note(&format!("version {} {} {}", record.version.0, record.path, content_of(&record.fingerprint)));
        }
    }

    async fn records(&self) -> Vec<FileRecord> {
        self.inventory.files(TreePath::root(), None, 10_000).await.expect("is read")
    }

    /// New contents, and old ones that are written again.
    async fn write_files(&mut self) {
        let known = self.records().await;
        let mut batch = Vec::new();
        for _ in 0..=self.dice.below(30) {
            self.contents += 1;
            let again = known.get(usize::try_from(self.dice.below(PATHS)).expect("is small"));
            batch.push(match again.filter(|_| self.dice.below(3) == 0) {
                Some(old) => observation(&old.path.to_string(), look(content_of(&old.fingerprint), self.dice.next(), 3)),
                None => observation(&format!("dir/{}", self.dice.below(PATHS)), look(self.contents, 0, 3)),
            });
        }
        let records = self.inventory.observe(batch).await.expect("is kept");
        self.note_versions(&records);
    }

    async fn hash_files(&mut self) {
        for record in self.inventory.unhashed(None, 10).await.expect("is read") {
            let digest = digest_of(&record.fingerprint);
            let record = self.inventory.record_digest(record.path, record.fingerprint, digest).await.expect("is kept");
            self.note_versions(record.kept().as_slice());
        }
    }

    /// A mirror that has some of the present contents.
    async fn scan_a_mirror(&mut self) {
        let mirror = MIRRORS[usize::try_from(self.dice.below(3)).expect("is small")];
        let mut records = self.records().await;
        records.retain(|record| record.state == FileState::Settled && self.dice.below(2) == 0);
        self.note_versions(&records);
        for record in &records {
            self.note(&format!("seen {mirror} {} {}", record.path, content_of(&record.fingerprint)));
        }
        let now = Timestamp::UNIX_EPOCH;
        let record = ScanRecord {
            mirror: MirrorName::parse(mirror).expect("a good name"),
            began: now,
            ended: now,
            protocol: Protocol::Rsync,
            outcome: Ok(Counts { found: records.len() as u64, ..Counts::default() }),
            complete: true,
            notes: String::new(),
            holdings: Some(records.iter().map(|record| record.version.0).collect()),
            before: None,
            unseen: None,
            share: None,
            gaps: None,
            listed: None,
        };
        self.inventory.record_scan(record).await.expect("is kept");
    }

    async fn remove_files(&mut self) {
        let mut records = self.records().await;
        records.retain(|_| self.dice.below(8) == 0);
        for record in &records {
            self.note(&format!("forget {}", record.path));
        }
        self.inventory.forget(records.into_iter().map(|record| record.path).collect()).await.expect("is kept");
    }

    async fn change_the_rest(&mut self) {
        let path = TreePath::parse(format!("dir/{}", self.dice.below(PATHS)).into_bytes()).expect("a good path");
        let at = Timestamp::UNIX_EPOCH;
        if self.dice.below(2) == 0 {
            self.inventory.hold(Hold { path: path.clone(), because: "test".into(), at }).await.expect("is kept");
        } else {
            self.inventory.release(path, "test".into(), at).await.expect("is kept");
        }
        let mirror = MirrorName::parse(MIRRORS[0]).expect("a good name");
        let health = if self.dice.below(2) == 0 { Health::Up } else { Health::Down };
        self.inventory.record_health(mirror, health, at, None).await.expect("is kept");
    }
}

/// Pseudo-random numbers (SplitMix64), the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

// What goes wrong around a server that runs.

/// A site with two old files, one of which the mirror has, served and all well.
struct Outage {
    site: Site,
    mirror: Odd,
    running: Running,
}

impl Outage {
    fn new() -> Self {
        Self::served_by(serve)
    }

    fn served_by(command: impl Fn(&[&Site]) -> Command) -> Self {
        let outage = Self::started_by(command);
        until("all is well", || outage.is_well());
        outage
    }

    fn started_by(command: impl Fn(&[&Site]) -> Command) -> Self {
        let site = Site::with_a_file("site");
        site.folder.write("tree/home.xo", 5000, OLD);
        let mirror = Odd::start(good_mirror);
        site.configure("", "", &running::mirror("one", &mirror.url()));
        let running = Running::spawn(command(&[&site]));
        running.wait_for_log("serving");
        Self { site, mirror, running }
    }

    fn is_well(&self) -> bool {
        self.site.get("/old.xo").mirror() == Some("one") && self.site.degraded().is_empty()
    }

    /// Downloads go on, from the mirror and from here.
    #[track_caller]
    fn assert_goes_on(&self) {
        assert_eq!(self.site.get("/old.xo").mirror(), Some("one"));
        let home = self.site.get("/home.xo");
        assert_eq!((home.status, home.body.len()), (200, 5000));
        self.running.assert_well();
    }

    #[track_caller]
    fn until_degraded(&self, what: &str) {
        until(what, || {
            self.assert_goes_on();
            self.site.is_degraded(what)
        });
    }

    #[track_caller]
    fn until_well(&self) {
        let well = until::look(|| self.is_well().then_some(()));
        assert!(well.is_some(), "not all is well again: {:?}\n{}", self.site.degraded(), self.running.log());
        self.running.assert_well();
    }

    /// The database and what belongs to it.
    fn files(&self) -> Vec<PathBuf> {
        let database = self.site.database().display().to_string();
        ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{database}{end}"))).to_vec()
    }

    fn move_database(&self, from: &str, to: &str) {
        for file in self.files() {
            let name = file.display().to_string();
            std::fs::rename(format!("{name}{from}"), format!("{name}{to}")).ok();
        }
    }
}

/// Has `old.xo`, and shows it.
fn good_mirror(request: &servers::Request, out: &mut TcpStream) -> std::io::Result<()> {
    let html = [("Server", "nginx"), ("Content-Type", "text/html")];
    let time = [("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")];
    match request.path.as_str() {
        "/" => respond(request, out, "200 OK", &html, listing("/", &[("old.xo", 100_000, OLD)]).as_bytes()),
        "/old.xo" => respond(request, out, "200 OK", &time, &vec![b'x'; 100_000]),
        _ => respond(request, out, "404 Not Found", &[], b""),
    }
}

#[test]
fn a_database_that_is_deleted_stops_no_download_and_is_taken_again_when_it_is_back() {
    let outage = Outage::new();
    outage.move_database("", ".away");
    outage.until_degraded("database");
    // A reload meanwhile fails as a whole: the mirrors of before stay.
    outage.site.configure("", "prefix = \"/x\"\n", &running::mirror("other", &outage.mirror.url()));
    outage.running.reload_in_vain();
    outage.assert_goes_on();
    outage.move_database(".away", "");
    outage.until_well();
    outage.site.folder.write("tree/later.xo", 10, OLD);
    until("a new file is indexed", || outage.site.metrics().contains("redirector_files{instance=\"site\"} 3"));
    assert_eq!(outage.site.get("/later.xo").status, 200);
}

#[test]
fn a_database_that_is_replaced_by_garbage_stops_no_download() {
    let outage = Outage::new();
    outage.move_database("", ".away");
    outage.site.folder.write_bytes("state/redirector.sqlite", &[7; 100_000], OLD);
    outage.until_degraded("database");
    assert_eq!(std::fs::read(outage.site.database()).expect("it is there"), vec![7; 100_000], "it was left alone");
    std::fs::remove_file(outage.site.database()).expect("it was there");
    outage.move_database(".away", "");
    outage.until_well();
}

#[test]
fn a_backup_that_takes_the_databases_place_is_taken_as_it_is() {
    let outage = Outage::new();
    let hold = |path: &str| outage.site.run_well(&["files", "hold", path, "--because", "a test"]);
    hold("before.xo");
    let (database, backup) = (outage.site.database(), outage.site.folder.path().join("state/backup.sqlite"));
    let copy = rusqlite::Connection::open(&database).expect("opens");
    copy.execute("VACUUM INTO ?", [backup.to_str().expect("UTF-8")]).expect("copied");
    drop(copy);
    hold("after.xo");
    until("the order is known", || outage.site.get("/after.xo").status == 410);
    // What was written since lies in the log beside it, which is no part of the backup.
    std::fs::rename(&backup, &database).expect("moved");
    until("the backup is taken", || outage.site.get("/after.xo").status == 404);
    assert_eq!(outage.site.get("/before.xo").status, 410);
    outage.until_well();
    let check = rusqlite::Connection::open(&database).expect("opens");
    let sound: String = check.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("is checked");
    let holds: i64 = check.query_row("SELECT count(*) FROM hold", [], |row| row.get(0)).expect("is read");
    assert_eq!((sound.as_str(), holds), ("ok", 1));
}

#[test]
fn a_database_that_is_damaged_in_its_place_stops_no_download() {
    let outage = Outage::new();
    let file = OpenOptions::new().write(true).open(outage.site.database()).expect("it is there");
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xA5; 200_000], 0).expect("written");
    // Whether that is noticed at once depends on what is in the log and in memory; it must not matter.
    outage.site.folder.write("tree/later.xo", 10, OLD);
    until("the new file is served", || outage.site.get("/later.xo").status == 200);
    for _ in 0..20 {
        outage.assert_goes_on();
    }
}

#[test]
fn a_database_that_another_process_keeps_locked_stops_no_download() {
    let outage = Outage::new();
    let other = rusqlite::Connection::open(outage.site.database()).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("is locked");
    outage.site.folder.write("tree/later.xo", 10, OLD);
    outage.until_degraded("database");
    assert_eq!(outage.site.get("/later.xo").status, 200, "what can't be written down is served");
    // What happens to the tree is noticed although the database hangs.
    let (tree, away) = (outage.site.tree(), outage.site.folder.path().join("away"));
    std::fs::rename(&tree, &away).expect("moved");
    until("the tree is away", || outage.site.get("/home.xo").status == 503);
    std::fs::rename(&away, &tree).expect("moved");
    until("the tree is back", || outage.site.get("/home.xo").status == 200);
    other.execute_batch("ROLLBACK").expect("is unlocked");
    outage.until_well();
}

#[test]
fn an_end_while_the_database_is_locked_comes_soon() {
    let mut outage = Outage::new();
    let other = rusqlite::Connection::open(outage.site.database()).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("is locked");
    outage.site.folder.write("tree/later.xo", 10, OLD);
    outage.until_degraded("database");
    outage.running.signal(Signal::TERM);
    assert!(outage.running.end().success());
    outage.running.assert_well();
}

#[test]
fn a_folder_that_may_not_be_written_stops_no_download() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    let outage = Outage::new();
    let folder = outage.site.folder.path().join("state");
    outage.files().iter().filter(|file| file.exists()).for_each(|file| mode(file, 0o444));
    mode(&folder, 0o555);
    outage.site.folder.write("tree/later.xo", 10, OLD);
    until("the new file is served", || outage.site.get("/later.xo").status == 200);
    for _ in 0..20 {
        outage.assert_goes_on();
    }
    mode(&folder, 0o755);
    outage.files().iter().filter(|file| file.exists()).for_each(|file| mode(file, 0o644));
    outage.until_well();
}

/// Serves as somebody who may not read everything, also where root does it.
fn without_privileges(sites: &[&Site]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all"]).arg(running::PROGRAM).arg("-c").arg(sites[0].path()).arg("serve");
    command
}

#[test]
fn a_file_that_may_not_be_read_is_unavailable_and_the_log_says_why() {
    use std::os::unix::fs::PermissionsExt as _;
    let is_root = rustix::process::geteuid().is_root();
    let outage = Outage::served_by(if is_root { without_privileges } else { serve });
    let mode = |path: &str, mode| {
        let path = outage.site.tree().join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    outage.site.folder.write("tree/closed/file.xo", 10, OLD);
    mode("home.xo", 0o000);
    mode("closed", 0o000);
    for path in ["/home.xo", "/closed/file.xo", "/closed/"] {
        let since = outage.running.log().len();
        until("it is unavailable", || outage.site.get(path).status == 503);
        outage.running.wait_for_more_log(since, "a file was asked for that can't be read");
    }
    let log = outage.running.log();
    assert!(log.contains("path=\"home.xo\" error=Permission denied"), "{log}");
    mode("home.xo", 0o644);
    mode("closed", 0o755);
    outage.assert_goes_on();
}

/// Serves with the state on a small file system of its own.
fn on_a_small_disk(sites: &[&Site]) -> Command {
    let state = sites[0].folder.path().join("state");
    let script = format!("mount -t tmpfs -o size=32m none {} && exec \"$0\" \"$@\"", state.display());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).arg(running::PROGRAM).arg("-c").arg(sites[0].path()).arg("serve");
    command
}

#[test]
fn a_full_disk_stops_no_download() {
    let may = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a_full_disk_stops_no_download: this user may not mount a small file system (root may)");
        return;
    }
    let outage = Outage::served_by(on_a_small_disk);
    let state = format!("/proc/{}/root{}", outage.running.pid(), outage.site.folder.path().join("state").display());
    let filler = Path::new(&state).join("filler");
    let mut full = File::create(&filler).expect("there is room yet");
    while full.write_all(&[0; 1024]).is_ok() {}
    for number in 0..5000 {
        outage.site.folder.write(&format!("tree/{}/a_file_with_a_long_name_{number}", number % 50), 10, OLD);
    }
    outage.until_degraded("database");
    std::fs::remove_file(&filler).expect("it was there");
    drop(full);
    outage.until_well();
    assert!(outage.running.log().contains("no space left"), "{}", outage.running.log());
}

/// Serves from a disk that was filled after the database was closed in good order.
fn on_a_disk_that_is_full(sites: &[&Site]) -> Command {
    let state = sites[0].folder.path().join("state");
    let script = format!(
        "mount -t tmpfs -o size=2m none {state} && \"$0\" \"$@\" scan && ls {state} && \
         ! dd if=/dev/zero of={state}/filler bs=1024 2>&1 && exec \"$0\" \"$@\" serve",
        state = state.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]).arg(running::PROGRAM).arg("-c").arg(sites[0].path());
    command
}

#[test]
fn a_start_on_a_full_disk_serves_what_is_known_and_writes_when_there_is_room() {
    let may = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a_start_on_a_full_disk_...: this user may not mount a small file system (root may)");
        return;
    }
    let outage = Outage::started_by(on_a_disk_that_is_full);
    outage.assert_goes_on();
    outage.until_degraded("database");
    outage.site.folder.write("tree/new.xo", 10, OLD);
    until("the new file is served", || outage.site.get("/new.xo").status == 200);
    outage.assert_goes_on();
    let log = outage.running.log();
    assert!(log.contains("no space is left for the database"), "{log}");
    let state = format!("/proc/{}/root{}", outage.running.pid(), outage.site.folder.path().join("state").display());
    std::fs::remove_file(Path::new(&state).join("filler")).expect("it was there");
    outage.until_well();
    until("the new file is known", || {
        outage.site.get("/new.xo").header("x-redirector").is_some_and(|why| why.contains("young"))
    });
}

#[test]
fn while_no_mirror_can_be_reached_all_is_served_from_here() {
    let outage = Outage::new();
    for broken in [
        (|_: &servers::Request, _: &mut TcpStream| Ok(())) as fn(&servers::Request, &mut TcpStream) -> std::io::Result<()>,
        |request, out| respond(request, out, "500 Broken", &[], b""),
        hang,
    ] {
        outage.mirror.turn_into(broken);
        until("the mirror is known to be down", || outage.site.is_degraded("mirrors"));
        let local = outage.site.get("/old.xo");
        assert_eq!((local.status, local.body.len()), (200, 100_000));
        outage.mirror.turn_into(good_mirror);
        outage.until_well();
    }
}

/// Says nothing until the other side gives up.
fn hang(_: &servers::Request, stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.read_exact(&mut [0])
}

#[test]
fn a_mirror_that_hangs_holds_up_neither_the_others_nor_the_end() {
    let mut outage = Outage::new();
    let hanging = Odd::start(hang);
    let mirrors = [running::mirror("slow", &hanging.url()), running::mirror("one", &outage.mirror.url())].concat();
    outage.site.configure("", "", &mirrors);
    outage.running.reload();
    until("it was asked", || hanging.requests() > 0);
    outage.site.folder.write("tree/later.xo", 10, OLD);
    let asked = outage.mirror.requests();
    until("the other mirror is asked again", || outage.mirror.requests() > asked + 5);
    outage.assert_goes_on();
    outage.running.signal(Signal::TERM);
    assert!(outage.running.end().success());
}

#[test]
fn a_tree_whose_handle_is_stale_is_opened_again() {
    let outage = Outage::new();
    let (tree, away) = (outage.site.tree(), outage.site.folder.path().join("away"));
    std::fs::rename(&tree, &away).expect("moved");
    until("it is away", || outage.site.get("/home.xo").status == 503);
    assert!(outage.site.get("/old.xo").header("retry-after").is_some());
    assert!(outage.site.is_degraded("public-tree"));
    // Another folder in its place, as after a remount.
    outage.site.folder.write("tree/home.xo", 6000, OLD);
    outage.site.folder.write("tree/old.xo", 100_000, OLD);
    std::fs::remove_dir_all(&away).expect("removed");
    until("the new one is served", || outage.site.get("/home.xo").body.len() == 6000);
    outage.until_well();
}
