//! `redirector check` as an administrator runs it: what it finds on a real machine, and how it ends.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redirector::durable;
use tempfile::TempDir;

/// A folder with a tree, a place for a database, and configurations.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// One with `public/4078/labyrinth-7.xo`.
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().expect("a folder") };
        machine.file("public/4078/labyrinth-7.xo", b"bundle");
        machine.make("state");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, name: &str) -> PathBuf {
        fs::create_dir_all(self.path(name)).expect("made");
        self.path(name)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        durable::write(&path, content).expect("written");
        path
    }

    /// A configuration in which all is well, and more keys of `[tree]` and what follows.
    fn config(&self, name: &str, more: &str) -> PathBuf {
        let text = format!(
            "[server]\npublic-url = \"https://download.example\"\nmax-connections = 100\n\
             [inventory]\ndatabase = \"state/{name}.sqlite\"\n\
             [[mirror]]\nname = \"m\"\nhttps = \"https://m.example/{name}/\"\n\
             [tree]\nprefix = \"/{name}\"\n{more}\n"
        );
        self.file(&format!("{name}.toml"), text.as_bytes())
    }
}

/// Runs `check` on these files.
fn check(configs: &[&Path], arguments: &[&str]) -> (i32, String) {
    run(Command::new(env!("CARGO_BIN_EXE_redirector")), configs, arguments)
}

/// The program as somebody whom nothing is allowed in particular, also where root runs the tests.
fn without_privileges() -> Command {
    let program = env!("CARGO_BIN_EXE_redirector");
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-all", program]);
    command
}

fn run(mut command: Command, configs: &[&Path], arguments: &[&str]) -> (i32, String) {
    for path in configs {
        command.arg("-c").arg(path);
    }
    let Output { status, stdout, stderr } =
        command.arg("check").args(arguments).env_remove("REDIRECTOR_CONFIG").output().expect("it runs");
    let told = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code().expect("it ends by itself"), told)
}

#[track_caller]
fn assert_tells(machine: &Machine, more: &str, status: i32, parts: &[&str]) {
    let (code, told) = check(&[&machine.config("a", more)], &[]);
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    assert_eq!(code, status, "{told}");
}

const PUBLIC: &str = "public = \"public\"";

#[test]
fn all_is_well_where_it_is() {
    let machine = Machine::new();
    let config = machine.config("a", PUBLIC);
    let (code, told) = check(&[&config], &["--strict"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("/a/ with 1 mirror\n") && told.contains("no errors, no warnings"), "{told}");
    assert!(!machine.path("state/a.sqlite").exists(), "a check leaves nothing behind");
}

#[test]
fn the_shipped_configuration_passes_in_a_fresh_clone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mirrors.toml");
    durable::write(&path, include_bytes!("../mirrors.toml")).expect("written");
    let (code, told) = check(&[&path], &[]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("there is no folder"), "{told}");
    assert_eq!(check(&[&path], &["--strict"]).0, 1);
}

#[test]
fn a_configuration_that_can_not_be_read_ends_with_78_and_hides_no_other() {
    let machine = Machine::new();
    let bad = machine.file("bad.toml", b"[tree]\npublik = \"x\"\nmin-age = 5\n");
    let other = machine.config("a", "public = \"nothing\"");
    let (code, told) = check(&[&bad, &other], &[]);
    assert_eq!(code, 78, "{told}");
    for part in ["bad.toml:2:1: unknown key `publik`", "did you mean `public`?", "bad.toml:3:11:", "there is no folder"] {
        assert!(told.contains(part), "{part:?} is not in\n{told}");
    }
    assert_eq!(check(&[&machine.path("none.toml")], &[]).0, 78);
}

#[test]
fn a_variable_that_is_set_to_nothing_is_as_good_as_none() {
    let machine = Machine::new();
    let config = machine.config("mirrors", PUBLIC);
    let mut command = Command::new(env!("CARGO_BIN_EXE_redirector"));
    let folder = config.parent().expect("a folder");
    let output = command.current_dir(folder).env("REDIRECTOR_CONFIG", "").env("RUST_LOG", "").arg("check").output();
    let output = output.expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.starts_with("mirrors.toml: /mirrors/"), "{told}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn trees_are_looked_at() {
    let machine = Machine::new();
    machine.make("empty");
    machine.make("only/folders");
    machine.file("plain", b"x");
    for (public, status, part) in [
        ("nothing", 0, "warning  tree.public, line 11: there is no folder"),
        ("empty", 0, "is empty"),
        ("only", 0, "no file in them"),
        ("plain", 1, "is no folder"),
    ] {
        assert_tells(&machine, &format!("public = \"{public}\""), status, &[part]);
    }
    assert_tells(&machine, &format!("{PUBLIC}\nlink-roots = [\"nothing\"]"), 0, &["tree.link-roots", "there is no folder"]);
}

#[test]
fn a_published_application_tree_is_found() {
    let machine = Machine::new();
    machine.make("files/temp");
    machine.make("files/extracted");
    machine.file("files/4078/labyrinth-7.xo", b"bundle");
    assert_tells(&machine, "public = \"files\"", 1, &["looks like an application tree"]);
    assert_tells(&machine, "public = \"files/4078\"", 1, &["lies inside what looks like an application tree"]);
    symlink(machine.path("files"), machine.path("linked")).expect("linked");
    assert_tells(&machine, "public = \"linked\"", 1, &["linked looks like an application tree"]);
    let both = format!("{PUBLIC}\napplication = \"files\"");
    assert_tells(&machine, &both, 0, &["warning  tree.hidden", "temp/ and extracted/ of the application tree is not hidden"]);
    assert_tells(&machine, &format!("{both}\nhidden = [\"temp/\", \"extracted/\"]"), 0, &["all is well"]);
}

#[test]
fn a_link_from_the_public_to_the_application_tree_makes_them_one() {
    let machine = Machine::new();
    machine.file("files/4078/secret-1.xo", b"bundle");
    symlink(machine.path("files"), machine.path("upload")).expect("linked");
    assert_tells(&machine, "public = \"upload\"\napplication = \"files\"", 1, &["is the same folder as tree.public", "really"]);
}

#[test]
fn what_stands_in_the_way_inside_a_tree_is_counted() {
    let machine = Machine::new();
    symlink(machine.file("outside", b"x"), machine.path("public/out")).expect("linked");
    symlink("labyrinth-7.xo", machine.path("public/4078/in")).expect("linked");
    machine.file("public/back\\slash", b"x");
    let late = fs::File::options().write(true).open(machine.path("public/4078/labyrinth-7.xo")).expect("opened");
    late.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(4_000_000_000)).expect("set");
    let parts = [
        "links that lead where none may, or nowhere: 1, the first is out",
        "names that can't stand in a URL: 1,",
        // The link to it is one, too.
        "files from the future: 2,",
    ];
    assert_tells(&machine, PUBLIC, 0, &parts);
    // An application tree that is empty, or a folder for links that is missing, is told as well and not instead.
    machine.make("empty");
    let others = format!("{PUBLIC}\napplication = \"empty\"\nlink-roots = [\"nothing\"]");
    assert_tells(&machine, &others, 0, &[&parts[..], &["empty is empty", "there is no folder"]].concat());
}

#[test]
fn what_can_not_be_read_is_found() {
    let machine = Machine::new();
    let (closed, file) = (machine.make("public/closed"), machine.file("public/private.xo", b"x"));
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    mode(&closed, 0o000);
    let config = machine.config("a", PUBLIC);
    let told = || run(without_privileges(), &[&config], &[]);
    let (status, text) = told();
    assert!(text.contains("files or folders that can't be read: 1, the first is closed: Permission denied"), "{text}");
    assert_eq!(status, 1, "{text}");
    mode(&closed, 0o755);
    assert_eq!(told().0, 0);
    mode(&file, 0o000);
    let (status, text) = told();
    assert!(text.contains("files or folders that can't be read: 1, the first is private.xo: Permission denied"), "{text}");
    assert_eq!(status, 1, "{text}");
}

#[test]
fn a_database_that_is_none_and_a_place_for_none_are_found() {
    let machine = Machine::new();
    machine.file("state/a.sqlite", b"this is no database, however long it may be, and it has to be told as that");
    assert_tells(&machine, PUBLIC, 1, &["error    inventory.database, line 5"]);
    fs::remove_file(machine.path("state/a.sqlite")).expect("it was there");
    machine.make("state/a.sqlite");
    assert_tells(&machine, PUBLIC, 1, &["error    inventory.database, line 5", "is no regular file"]);
    let elsewhere =
        fs::read_to_string(machine.config("a", PUBLIC)).expect("read").replace("state/a.sqlite", "nowhere/a.sqlite");
    let (code, told) = check(&[&machine.file("b.toml", elsewhere.as_bytes())], &[]);
    assert!(code == 1 && told.contains("there is no folder") && told.contains("for the database"), "{told}");
}

#[test]
fn a_geoip_file_that_is_none_is_found() {
    let machine = Machine::new();
    machine.file("city.mmdb", b"<html>moved</html>");
    let more = format!("{PUBLIC}\n[geoip]\nlocation = \"city.mmdb\"\nasn = \"nothing.mmdb\"");
    assert_tells(&machine, &more, 1, &["error    geoip.location, line 13", "error    geoip.asn, line 14", "built-in database"]);
}

#[test]
fn a_key_for_stamps_that_is_missing_or_everybodys_is_found() {
    let machine = Machine::new();
    let more = format!("{PUBLIC}\n[answers]\nstamp-key-file = \"key\"");
    assert_tells(&machine, &more, 1, &["error    answers.stamp-key-file, line 13", "the server does not start"]);
    let key = machine.file("key", b"a secret");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert_tells(&machine, &more, 0, &["warning  answers.stamp-key-file, line 13", "chmod o-r"]);
    let more = format!("{PUBLIC}\n[answers]\nstamp-key-variable = \"NOBODY_SETS_THIS\"");
    assert_tells(&machine, &more, 1, &["error    answers.stamp-key-variable, line 13", "NOBODY_SETS_THIS"]);
}

#[test]
fn an_address_of_another_machine_is_found() {
    let machine = Machine::new();
    let text = fs::read_to_string(machine.config("a", PUBLIC)).expect("read");
    let foreign = text.replace("[server]", "[server]\nlisten = [\"192.0.2.1:8080\"]");
    let (code, told) = check(&[&machine.file("a.toml", foreign.as_bytes())], &[]);
    assert!(code == 1 && told.contains("192.0.2.1 can't be listened to"), "{told}");
}

#[test]
fn a_port_that_this_user_may_not_have_is_found() {
    let machine = Machine::new();
    let text = fs::read_to_string(machine.config("a", PUBLIC)).expect("read");
    let low = machine.file("a.toml", text.replace("[server]", "[server]\nlisten = [\"127.0.0.1:1\"]").as_bytes());
    let may = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").is_ok_and(|first| first.trim() != "1024");
    let (code, told) = run(without_privileges(), &[&low], &[]);
    assert_eq!(
        (code, told.contains("this user may not listen at 127.0.0.1:1: Permission denied")),
        (i32::from(!may), !may),
        "{told}"
    );
    if rustix::process::geteuid().is_root() {
        assert_eq!(check(&[&low], &[]).0, 0);
    }
}

#[test]
fn instances_that_get_in_each_others_way_are_found() {
    let machine = Machine::new();
    machine.file("other/1/a.xo", b"bundle");
    let one = machine.config("a", PUBLIC);
    let (code, told) = check(&[&one, &machine.config("b", "public = \"other\"")], &[]);
    assert_eq!(code, 0, "{told}");
    let (code, told) = check(&[&one, &machine.config("c", "public = \"public/4078\"")], &[]);
    assert!(code == 1 && told.contains("of instance `a`"), "{told}");
    symlink(machine.path("public"), machine.path("alias")).expect("linked");
    let (code, told) = check(&[&one, &machine.config("d", "public = \"alias\"")], &[]);
    assert!(code == 1 && told.contains("is the same folder as tree.public"), "{told}");
}

#[test]
fn programs_read_json() {
    let machine = Machine::new();
    let config = machine.config("a", "public = \"nothing\"");
    let bad = machine.file("bad.toml", b"x = 1");
    let (code, told) = check(&[&config, &bad], &["--json"]);
    let report: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(code, 78);
    assert_eq!(report["problems"][0]["position"]["line"], 1);
    assert_eq!(report["findings"][0]["severity"], "warning");
    assert_eq!(report["findings"][0]["key"], "tree.public");
    assert_eq!(report["findings"][0]["position"]["line"], 11);
}
