//! Real clients, as Debian has them, against the real program and mirrors that misbehave: who describes files must be understood.
//! Success is the right content on the disk and never an exit status, for some of these end well without it.

mod running;
mod servers;
mod until;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use redirector::model::Sha256;
use running::{OLD, Running, Site, text, until};
use servers::{Folder, Server};

/// Twelve pieces of 256 KiB, the last one shorter.
const SIZE: usize = 3_000_000;
/// What stands in URLs otherwise than in names. All else that is awkward has a test of its own.
const NAME: &str = "big + bold.iso";
const ENCODED: &str = "big%20+%20bold.iso";

/// Bytes that don't repeat themselves, always the same.
fn content() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut word).take(SIZE / 8).flatten().collect();
    bytes.resize(SIZE, 7);
    bytes
}

fn sha256(bytes: &[u8]) -> Sha256 {
    use sha2::Digest as _;
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// A site whose file is hashed and held by all its mirrors.
struct Rig {
    site: Site,
    running: Running,
    /// They end with the rig, and so does what one of them serves.
    _mirrors: (Vec<Server>, Folder),
    /// Where clients save what they get.
    home: Folder,
}

/// What is wrong with the mirrors that are asked first.
#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    /// Nothing.
    None,
    /// One is dead.
    Dead,
    /// One is dead, and one sends other bytes.
    DeadAndCorrupt,
}

impl Rig {
    fn new(trouble: Trouble, describe: &str) -> Self {
        let site = Site::new("site");
        site.folder.write_bytes(&format!("tree/{NAME}"), &content(), OLD);
        let other = Folder::new();
        let mut corrupt = content();
        corrupt[SIZE / 2..SIZE / 2 + 1000].fill(0);
        other.write_bytes(NAME, &corrupt, OLD);

        let nginx = |root: &Path| Server::nginx(root, "autoindex on; autoindex_exact_size on;");
        let good = [nginx(&site.tree()), nginx(&site.tree())];
        let (dead, corrupt) = (nginx(&site.tree()), nginx(other.path()));
        let first = "networks = [\"127.0.0.0/8\"]\n";
        let mirror = |name: &str, server: &Server, more: &str| running::mirror(name, &server.url()) + more;
        let mut mirrors = mirror("good", &good[0], "") + &mirror("better", &good[1], "");
        if trouble != Trouble::None {
            mirrors += &mirror("dead", &dead, first);
        }
        if trouble == Trouble::DeadAndCorrupt {
            mirrors += &mirror("corrupt", &corrupt, first);
        }
        // Nobody may find out that the dead one is dead.
        let rest = format!("failures = 1000\n[hash]\nzsync = true\nzsync-min-size = \"0\"\n[describe]\n{describe}{mirrors}");
        site.configure(&format!("public-url = \"http://{}\"\n", site.listen), "min-age = \"0s\"\n", &rest);
        let running = Running::start(&[&site]);
        let rig = Self { site, running, _mirrors: (good.into_iter().chain([corrupt]).collect(), other), home: Folder::new() };
        let expected = mirrors.matches("[[mirror]]").count();
        until("all mirrors hold the file, and it is hashed", || {
            let list = rig.site.get(&format!("/{ENCODED}.meta4"));
            list.status == 200 && text(&list.body).matches("<url ").count() == expected && text(&list.body).contains("<pieces")
        });
        drop(dead);
        rig
    }

    fn url(&self, suffix: &str) -> String {
        format!("http://{}/{ENCODED}{suffix}", self.site.listen)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A client that works in the rig's folder, knows nothing of proxies and of its user, and is ended where it does not end.
    fn client(&self, program: &str) -> Command {
        let mut command = self.endless_client("timeout");
        command.args(["--kill-after=1", "40", program]);
        command
    }

    fn endless_client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.home.path()).env("HOME", self.home.path()).env("no_proxy", "*").stdin(Stdio::null());
        for proxy in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        command
    }

    /// Runs a client to its end, and tells what it said.
    #[track_caller]
    fn run(&self, command: &mut Command) -> String {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?} (scripts/test installs it): {error}"));
        format!("{}{}{:?}\n{}", text(&output.stdout), text(&output.stderr), output.status, self.running.log())
    }

    #[track_caller]
    fn assert_whole(&self, name: &str, said: &str) {
        let found = fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}\n{said}"));
        assert_eq!(sha256(&found), sha256(&content()), "{name} has other bytes: {said}");
    }

    fn aria2(&self) -> Command {
        let mut aria2 = self.client("aria2c");
        aria2.args([
            "--no-conf",
            "--file-allocation=none",
            "--summary-interval=0",
            "--console-log-level=info",
            "--max-tries=2",
            "--connect-timeout=5",
            "--timeout=10",
            "--min-split-size=1M",
            "--enable-dht=false",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
            "--seed-time=0",
            "--stop=60",
        ]);
        aria2
    }
}

#[test]
fn aria2_gets_the_file_by_a_metalink_although_one_mirror_is_dead_and_one_corrupt() {
    let rig = Rig::new(Trouble::DeadAndCorrupt, "");
    for kind in ["meta4", "metalink"] {
        let said = rig.run(rig.aria2().arg(rig.url(&format!(".{kind}"))));
        rig.assert_whole(NAME, &said);
        assert!(said.contains("Good chunk checksum"), "{said}");
        fs::remove_file(rig.path(NAME)).expect("it was there");
    }
    // The plain URL: it says in Accept that it reads metalinks, and is given one under a name of its own.
    let said = rig.run(rig.aria2().arg(rig.url("")));
    rig.assert_whole(NAME, &said);
    assert!(rig.path(&format!("{NAME}.meta4")).exists() || said.contains("meta4"), "{said}");
}

#[test]
fn aria2_finds_other_mirrors_and_the_digest_in_a_redirect() {
    let rig = Rig::new(Trouble::Dead, "negotiate = false\n");
    let said = rig.run(rig.aria2().arg(rig.url("")));
    rig.assert_whole(NAME, &said);
    assert!(said.contains("Valid hash found in Digest") && said.contains("Verification finished successfully"), "{said}");
}

#[test]
fn aria2_needs_no_peer_for_a_torrent() {
    let rig = Rig::new(Trouble::DeadAndCorrupt, "");
    let said = rig.run(rig.aria2().arg("--follow-torrent=mem").arg(rig.url(".torrent")));
    rig.assert_whole(NAME, &said);
}

#[test]
fn transmission_needs_no_peer_for_a_torrent() {
    let rig = Rig::new(Trouble::Dead, "");
    let torrent = rig.site.get(&format!("/{ENCODED}.torrent"));
    rig.home.write_bytes("it.torrent", &torrent.body, OLD);
    let settings = "{\"dht-enabled\": false, \"lpd-enabled\": false, \"pex-enabled\": false, \"utp-enabled\": false, \
                    \"port-forwarding-enabled\": false, \"bind-address-ipv4\": \"127.0.0.1\", \"rpc-enabled\": false}";
    rig.home.write_bytes("config/settings.json", settings.as_bytes(), OLD);
    let mut transmission = rig.endless_client("transmission-cli");
    transmission.args(["-g", "config", "-w", ".", "-M", "it.torrent"]).stdout(Stdio::null()).stderr(Stdio::null());
    // It goes on to be a peer.
    let _client = Killed(transmission.spawn().expect("transmission-cli (scripts/test installs it)"));
    until("the file is whole", || fs::read(rig.path(NAME)).is_ok_and(|found| sha256(&found) == sha256(&content())));
}

/// Ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn wget2_checks_what_it_gets_by_the_metalink_that_a_redirect_leads_to() {
    let rig = Rig::new(Trouble::None, "");
    for suffix in ["", ".meta4"] {
        let said = rig.run(rig.client("wget2").args(["--no-config", "--tries=2", "--timeout=10"]).arg(rig.url(suffix)));
        rig.assert_whole(NAME, &said);
        assert!(said.contains("Checksum OK"), "{said}");
        fs::remove_file(rig.path(NAME)).expect("it was there");
    }
}

#[test]
fn zsync_fetches_only_what_an_older_copy_lacks() {
    let rig = Rig::new(Trouble::Dead, "");
    let mut old = content();
    old[1_000_000..1_001_000].fill(1);
    old.truncate(2_900_000);
    rig.home.write_bytes("old.iso", &old, OLD);
    let said = rig.run(rig.client("zsync").args(["-i", "old.iso", "-o", "new.iso"]).arg(rig.url(".zsync")));
    rig.assert_whole("new.iso", &said);
    assert!(said.contains("checksum matches OK"), "{said}");
    // What it used of the old copy was not fetched: at most a fifteenth of the file was.
    let used = said.split("used ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|bytes| bytes.parse::<u64>().ok());
    assert!(used.is_some_and(|used| used > 2_800_000), "{said}");
}

/// Names and who saves the file under them, told by a metalink. Neither client undoes what XML demands of `&`, and wget2 undoes
/// nothing at all, and asks mirrors for other bytes than those that are not ASCII where the locale is not UTF-8. Whoever asks for a file of such a name itself, and not for its metalink, gets it right.
const AWKWARD: [(&str, &[&str]); 10] = [
    ("Conway's > life.iso", &["aria2c", "wget2"]),
    ("so \"called\".iso", &["aria2c", "wget2"]),
    ("\"both\" aren't.iso", &["aria2c"]),
    ("a < b.iso", &["aria2c"]),
    ("100% #1?.iso", &["aria2c", "wget2"]),
    ("a%20b.iso", &["aria2c", "wget2"]),
    ("\u{fc}\u{1f600}.iso", &["aria2c"]),
    ("c++ = ;,[x]{y}.iso", &["aria2c", "wget2"]),
    ("you & me.iso", &[]),
    ("&amp;.iso", &[]),
];

#[test]
fn clients_save_files_under_their_names_whatever_these_are() {
    let site = Site::new("site");
    for (name, _) in AWKWARD {
        site.folder.write_bytes(&format!("tree/{name}"), name.as_bytes(), OLD);
    }
    let mirror = Server::nginx(&site.tree(), "autoindex on; autoindex_exact_size on;");
    let server = format!("public-url = \"http://{}\"\n", site.listen);
    site.configure(&server, "min-age = \"0s\"\n", &running::mirror("good", &mirror.url()));
    let running = Running::start(&[&site]);
    let rig = Rig { site, running, _mirrors: (vec![mirror], Folder::new()), home: Folder::new() };
    for (name, savers) in AWKWARD {
        let path = format!("/{}", percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC));
        until("it is hashed, and on the mirror", || {
            let list = text(&rig.site.get(&format!("{path}?meta4")).body);
            list.contains("sha-512") && list.contains(&rig._mirrors.0[0].url())
        });
        for (program, suffix) in [("aria2c", ""), ("aria2c", "?meta4"), ("wget2", "?meta4")] {
            if !suffix.is_empty() && !savers.contains(&program) {
                continue;
            }
            let mut client = if program == "aria2c" { rig.aria2() } else { rig.client("wget2") };
            if program == "wget2" {
                client.args(["--no-config", "--tries=2", "--timeout=10"]);
            }
            let said = rig.run(client.arg(format!("http://{}{path}{suffix}", rig.site.listen)));
            let found = fs::read(rig.path(name)).unwrap_or_else(|error| panic!("{name}{suffix} by {program}: {error}\n{said}"));
            assert_eq!(found, name.as_bytes(), "{said}");
            fs::remove_file(rig.path(name)).expect("it was there");
        }
    }
}

#[test]
fn a_metalink_is_valid_by_its_schema_whatever_files_are_called() {
    let site = Site::new("site");
    let names = ["plain.iso", "a b & <c> \"d\" 'e'.iso", "\u{fc}\u{1f600}.iso", "100% #1?.iso", "say \"a\" > b.iso"];
    for name in names {
        site.folder.write_bytes(&format!("tree/{name}"), b"0123456789", OLD);
    }
    let armour = b"-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n";
    site.folder.write_bytes("tree/plain.iso.asc", armour, OLD);
    let mirror = Server::nginx(&site.tree(), "autoindex on;");
    let describe = "[describe]\npublisher = \"Oranges & Co\"\npublisher-url = \"https://oranges.example/?a&b\"\n\
                    trackers = [\"udp://tracker.example:6969/announce?a&b\"]\n";
    let mirror = running::mirror("good", &mirror.url()) + "country = \"de\"\n";
    site.configure("", "min-age = \"0s\"\n", &format!("{describe}{mirror}"));
    let _running = Running::start(&[&site]);
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/metalink4.rng");
    for name in names {
        let path = format!("/{}.meta4", percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC));
        until("it is hashed", || text(&site.get(&path).body).contains("sha-512"));
        site.folder.write_bytes("it.meta4", &site.get(&path).body, OLD);
        let file = site.folder.path().join("it.meta4");
        let output = Command::new("xmllint").args(["--noout", "--relaxng", schema]).arg(&file).output();
        let output = output.expect("xmllint (scripts/test installs it)");
        let document = fs::read_to_string(&file).expect("UTF-8");
        assert!(output.status.success(), "{name}: {}\n{document}", text(&output.stderr));
        assert!(document.contains("metaurl") && document.contains("<publisher"), "{document}");
        assert_eq!(document.contains("<signature"), name == "plain.iso", "{document}");
    }
}
