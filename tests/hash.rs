//! Digests against the tools that people check files with, and `redirector files hash` as an administrator runs it.

mod until;

use std::fs::{self, File, FileTimes};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::UNIX_EPOCH;

use redirector::durable;
use redirector::hash::{Crew, Settings, digest};
use redirector::model::{ByteSize, Digests};
use serde_json::Value;
use tempfile::TempDir;
use until::until;

/// Bytes without any order, the same ones each time.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..size.div_ceil(8)).flat_map(|_| next()).take(size).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn describe(file: &Path, settings: &Settings, threads: usize) -> Digests {
    let open = File::open(file).expect("opens");
    let size = open.metadata().expect("is there").len();
    let crew = Crew::new(threads);
    let made = digest::describe(&open, &settings.plan(size), &crew, |_| ControlFlow::Continue(()));
    made.expect("is read").expect("was not stopped").0
}

/// The first word that a program prints.
fn word(program: &str, file: &Path) -> String {
    let Output { stdout, status, .. } = Command::new(program).arg(file).output().expect("it is installed");
    assert!(status.success(), "{program}");
    String::from_utf8(stdout).expect("text").split_whitespace().next().expect("a word").to_owned()
}

#[test]
fn digests_are_those_of_the_tools_that_people_check_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    for (seed, size) in
        [0, 1, 55, 56, 111, 112, 262_143, 262_144, 262_145, 4_194_304, 4_194_305, 9_000_001].into_iter().enumerate()
    {
        durable::write(&file, &noise(size, seed as u64 + 1)).expect("written");
        let told = ["md5sum", "sha1sum", "sha256sum", "sha512sum"].map(|program| word(program, &file));
        for threads in [0, 4] {
            let made = describe(&file, &Settings::default(), threads);
            let found = [hex(&made.md5), hex(&made.sha1), made.sha256.to_string(), hex(&made.sha512)];
            assert_eq!(found, told, "{size} bytes");
        }
    }
}

#[test]
fn block_sums_are_those_of_zsyncmake() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, made) = (folder.path().join("file"), folder.path().join("file.zsync"));
    let settings = Settings { zsync: true, zsync_min_size: ByteSize(0), ..Settings::default() };
    for (seed, size) in [1, 2047, 2048, 2049, 4096, 100_000, 1_048_576, 5_000_003].into_iter().enumerate() {
        durable::write(&file, &noise(size, seed as u64 + 100)).expect("written");
        let status = Command::new("zsyncmake").arg("-o").arg(&made).args(["-u", "http://127.0.0.1/file"]).arg(&file).status();
        assert!(status.expect("it is installed").success());
        let theirs = fs::read(&made).expect("is read");
        let head = theirs.windows(2).position(|pair| pair == b"\n\n").expect("a header") + 2;
        let header = String::from_utf8_lossy(&theirs[..head]).into_owned();
        let ours = describe(&file, &settings, 3).zsync.expect("asked for");
        let lengths = [ours.sequence_matches, ours.rsum_bytes, ours.checksum_bytes].map(|length| length.to_string()).join(",");
        assert!(header.contains(&format!("Hash-Lengths: {lengths}\n")), "{size}: {lengths} is not in {header}");
        assert!(header.contains(&format!("Blocksize: {}\n", ours.block_size)), "{size}: {header}");
        assert_eq!(hex(&ours.sums), hex(&theirs[head..]), "{size} bytes");
    }
}

#[test]
fn pieces_are_those_of_a_torrent() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, made) = (folder.path().join("file"), folder.path().join("file.torrent"));
    durable::write(&file, &noise(3_000_001, 7)).expect("written");
    let status =
        Command::new("transmission-create").args(["-s", "256", "-o"]).arg(&made).arg(&file).stdout(Stdio::null()).status();
    assert!(status.expect("it is installed").success());
    let ours = describe(&file, &Settings::default(), 4).pieces;
    let mut key = format!("6:pieces{}:", ours.sha1.len()).into_bytes();
    key.extend_from_slice(&ours.sha1);
    let theirs = fs::read(&made).expect("is read");
    assert!(theirs.windows(key.len()).any(|window| window == key), "the torrent has other pieces");
    assert!(theirs.windows(24).any(|window| window == b"12:piece lengthi262144e6"), "the torrent has longer pieces");
}

/// An instance on the disk, without a server.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::create_dir(site.path("public")).expect("made");
        let text = "[server]\nlisten = ['127.0.0.1:0']\n[tree]\nprefix = '/pub'\npublic = 'public'\nsettle-shrunken = '0s'\n[hash]\nthreads = 2\n[[mirror]]\nname = 'm'\nhttp = 'http://127.0.0.1:9/'\n";
        durable::write(&site.path("mirrors.toml"), text.as_bytes()).expect("written");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A public file that was written long ago: nobody waits for it to settle.
    fn publish(&self, name: &str, content: &[u8]) {
        let path = self.path("public").join(name);
        durable::write(&path, content).expect("written");
        let file = File::options().append(true).open(&path).expect("opens");
        file.set_times(FileTimes::new().set_modified(UNIX_EPOCH)).expect("its time");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redirector"));
        command.arg("-c").arg(self.path("mirrors.toml")).args(arguments).env_remove("REDIRECTOR_CONFIG").env("NO_COLOR", "1");
        command
    }

    /// Runs it, and gives its exit status and what it says.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("it runs");
        (status.code().expect("it ended"), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    }

    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("it runs");
        let value = serde_json::from_slice(&stdout);
        let value = value.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
        (status.code().expect("it ended"), value)
    }

    /// Turns one byte, as a bad disk does: size and times stay.
    fn rot(&self, name: &str, at: u64) {
        let path = self.path(name);
        let mut file = File::options().read(true).write(true).open(&path).expect("opens");
        let mut byte = [0];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut byte)).expect("is read");
        file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&[byte[0] ^ 1])).expect("is written");
    }
}

#[test]
fn files_are_hashed_once_and_shown_with_all_their_digests() {
    let site = Site::new();
    site.publish("a b.iso", &noise(600_000, 1));
    site.publish("small", b"x");
    let (status, summary) = site.json(&["files", "hash", "--json"]);
    assert_eq!((status, &summary["hashed"], &summary["failed"]), (0, &2.into(), &0.into()), "{summary}");
    assert_eq!(summary["bytes"], 600_001);
    let (status, again) = site.json(&["files", "hash", "--json"]);
    assert_eq!((status, &again["hashed"], &again["bytes"]), (0, &0.into(), &0.into()), "{again}");

    let (_, shown) = site.json(&["files", "show", "/pub/a%20b.iso", "--json"]);
    let file = site.path("public/a b.iso");
    assert_eq!(shown["sha256"], word("sha256sum", &file));
    assert_eq!(shown["digests"]["md5"], word("md5sum", &file));
    assert_eq!(shown["digests"]["sha512"], word("sha512sum", &file));
    assert_eq!((&shown["digests"]["pieces"], &shown["digests"]["zsync"]), (&3.into(), &false.into()));
    let (_, text) = site.run(&["files", "show", "/pub/a%20b.iso"]);
    assert!(text.contains(&word("sha1sum", &file)) && text.contains("3 of 262,144 bytes"), "{text}");
    let (status, text) = site.run(&["files", "hash", "/pub/none"]);
    assert_eq!(status, 1);
    assert!(text.contains("has nothing at"), "{text}");
}

#[test]
fn of_a_file_that_looks_like_the_one_before_it_is_said_which_copies_count() {
    let site = Site::new();
    site.publish("disk.img", b"the first content");
    assert_eq!(site.run(&["files", "hash"]).0, 0);
    let (_, text) = site.run(&["files", "show", "/pub/disk.img"]);
    assert!(!text.contains("copies count"), "{text}");
    site.publish("disk.img", b"the other content");
    let (_, text) = site.run(&["scan"]);
    assert!(text.contains("m failed"), "only the tree is read: {text}");
    assert_eq!(site.run(&["files", "hash"]).0, 0);
    let (_, text) = site.run(&["files", "show", "/pub/disk.img"]);
    assert!(text.contains("copies count   from "), "{text}");
    let (_, shown) = site.json(&["files", "show", "/pub/disk.img", "--json"]);
    let at = |key: &str| shown[key].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()).expect("a time");
    assert!(at("copies_since") >= at("public_since"), "{shown}");
}

#[test]
fn a_hold_of_a_path_where_nothing_is_says_so() {
    let site = Site::new();
    site.publish("file", b"content");
    for (path, is_there) in [("/pub/file", true), ("/pub/", true), ("/pub/flie", false), ("/pub/no/such/", false)] {
        let (status, text) = site.run(&["files", "hold", path, "--because", "a test"]);
        assert_eq!((status, text.contains("is it spelt right?")), (0, !is_there), "{text}");
    }
    let (_, holds) = site.run(&["files", "holds"]);
    assert!(holds.contains("/pub/flie"), "who says so gets it: {holds}");
}

#[test]
fn a_file_whose_bytes_changed_unnoticed_is_found_told_and_stays_the_version_that_it_was() {
    let site = Site::new();
    for name in ["good", "bad"] {
        site.publish(name, &noise(300_000, 3));
    }
    assert_eq!(site.run(&["files", "hash"]).0, 0);
    let (status, text) = site.run(&["files", "hash", "--verify"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.starts_with("2 files as they were"), "{text}");
    let (_, before) = site.json(&["files", "show", "/pub/bad", "--json"]);

    // A disk that rots leaves the inode's time alone; writing to the file does not. So the inventory is told what it looks like.
    site.rot("public/bad", 123_456);
    sight_again(&site, "bad");
    let (status, found) = site.json(&["files", "hash", "--verify", "--json"]);
    assert_eq!((status, &found["damaged"], &found["same"]), (1, &1.into(), &1.into()), "{found}");
    assert_eq!((&found["files"][0]["path"], &found["files"][0]["outcome"]), (&"/pub/bad".into(), &"damaged".into()));
    assert_eq!(found["files"][0]["expected"], before["sha256"]);
    let (status, text) = site.run(&["files", "hash", "/pub/bad", "--verify"]);
    assert_eq!(status, 1);
    assert!(text.contains("/pub/bad: DAMAGED: sha256 is ") && text.contains("; 1 damaged"), "{text}");

    let (_, shown) = site.json(&["files", "show", "/pub/bad", "--json"]);
    assert_eq!((&shown["version"], &shown["sha256"]), (&before["version"], &before["sha256"]));
    assert_eq!(shown["damage"]["found"], word("sha256sum", &site.path("public/bad")));
    assert!(site.run(&["files", "show", "/pub/bad"]).1.contains("DAMAGED"));

    site.rot("public/bad", 123_456);
    sight_again(&site, "bad");
    assert_eq!(site.run(&["files", "hash", "--verify"]).0, 0, "it is mended");
    assert_eq!(site.json(&["files", "show", "/pub/bad", "--json"]).1["damage"], Value::Null);
}

/// Has the database believe that the file looks as it does now, as if no write had touched its inode.
fn sight_again(site: &Site, name: &str) {
    use std::os::unix::fs::MetadataExt as _;
    let now = fs::metadata(site.path("public").join(name)).expect("is there");
    let database = rusqlite::Connection::open(site.path("redirector.sqlite")).expect("opens");
    let times = |seconds: i64, nanoseconds: i64| seconds * 1_000_000_000 + nanoseconds;
    let changed = database.execute(
        "UPDATE file SET mtime_ns = ?, ctime_ns = ? WHERE path = ?",
        (times(now.mtime(), now.mtime_nsec()), times(now.ctime(), now.ctime_nsec()), name.as_bytes()),
    );
    assert_eq!(changed.expect("is written"), 1);
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let site = Site::new();
    let sizes = 24_usize;
    for number in 0..sizes {
        let file = File::create(site.path("public").join(format!("{number:02}"))).expect("made");
        file.set_len(8 << 20).and_then(|()| file.set_times(FileTimes::new())).expect("its size");
    }
    let mut killed = 0;
    let mut done = 0;
    while killed < 3 && done < sizes {
        let mut child = site.command(&["files", "hash"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let before = done;
        wait_until(&mut child, || {
            done = hashed(&site);
            done > before + 1
        });
        child.kill().ok();
        killed += 1;
        child.wait().expect("is waited for");
        assert!(hashed(&site) >= done, "what was written down stays");
    }
    let done = hashed(&site);
    let (status, rest) = site.json(&["files", "hash", "--json"]);
    assert_eq!((status, rest["hashed"].as_u64()), (0, Some((sizes - done) as u64)), "nothing is hashed twice: {rest}");
    assert_eq!(hashed(&site), sizes);
}

#[test]
fn a_kill_in_the_middle_of_a_batch_leaves_right_digests_or_none() {
    /// Several batches of what is written down together.
    const FILES: usize = 3000;
    let site = Site::new();
    for number in 0..FILES {
        let name = format!("{number:04}");
        let file = File::create(site.path("public").join(&name));
        file.and_then(|mut file| file.write_all(name.as_bytes())).expect("written");
    }
    let (mut done, mut killed) = (0, 0);
    while done < FILES && killed < 4 {
        let mut child = site.command(&["files", "hash"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let before = done;
        wait_until(&mut child, || hashed(&site) > before);
        child.kill().ok();
        child.wait().expect("is waited for");
        killed += 1;
        done = hashed(&site);
        assert!(done > before, "what was written down stays: {done} after {before}");
    }
    let (status, rest) = site.json(&["files", "hash", "--json"]);
    assert_eq!((status, rest["hashed"].as_u64()), (0, Some((FILES - done) as u64)), "{rest}");
    let (status, text) = site.run(&["files", "hash", "--verify"]);
    assert!(status == 0 && text.starts_with("3,000 files as they were"), "{text}");
}

#[test]
fn a_server_hashes_when_nothing_else_wants_the_processor() {
    let site = Site::new();
    site.publish("file", &noise(300_000, 5));
    let mut child = site.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    wait_until(&mut child, || hashed(&site) == 1);
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("it runs").flatten();
    let threads: Vec<(String, i32)> = tasks.filter_map(|task| thread(&task.path())).collect();
    child.kill().ok();
    child.wait().expect("is waited for");
    let (hashing, others): (Vec<_>, Vec<_>) = threads.into_iter().partition(|(name, _)| name.starts_with("hash-"));
    // These tests may be nice themselves.
    let (_, own) = thread(Path::new("/proc/self")).expect("this process");
    assert!(hashing.len() > 2 && hashing.iter().all(|(_, nice)| *nice == (own + 10).min(MOST_NICE)), "{hashing:?}");
    assert!(!others.is_empty() && others.iter().all(|(_, nice)| *nice == own), "{others:?}");
}

/// The lowest priority that Linux knows.
const MOST_NICE: i32 = 19;

/// What a thread is called and how nice it is (proc_pid_stat(5)); `None` for one that ended.
fn thread(task: &Path) -> Option<(String, i32)> {
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    let (name, fields) = stat.split_once('(')?.1.rsplit_once(") ")?;
    Some((name.to_owned(), fields.split(' ').nth(16)?.parse().ok()?))
}

/// How many files have all their digests.
fn hashed(site: &Site) -> usize {
    let Ok(database) =
        rusqlite::Connection::open_with_flags(site.path("redirector.sqlite"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
    else {
        return 0;
    };
    database.query_row("SELECT count(*) FROM description", [], |row| row.get::<_, u32>(0)).map_or(0, |count| count as usize)
}

fn wait_until(child: &mut Child, mut is_so: impl FnMut() -> bool) {
    until("it gets on", || is_so() || child.try_wait().expect("can be asked").is_some());
}
