//! Package managers as they are, with small real repositories: apt with `mirror+http`, dnf, librepo and zypper with mirror lists
//! and metalinks. Each repository has a mirror that is current, one that is stale, and one that dies after it was scanned.

mod running;
mod servers;
mod until;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use running::{OLD, Running, Site, mirror, text, until};
use servers::{Folder, Server};

/// The system's own, which has librepo.
const PYTHON: &str = "/usr/bin/python3";

/// Runs a program to its end; it must do well.
#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    output
}

/// Sets the mtime of everything below a folder.
fn age(folder: &Path, mtime: i64) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            age(&path, mtime);
        } else {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(mtime).expect("after 1970"));
            let file = fs::File::options().append(true).open(&path).expect("it is ours");
            file.set_modified(time).expect("the time can be set");
        }
    }
}

/// Copies what is in a folder, with its times.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folders");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("there is room");
            let time = entry.metadata().and_then(|data| data.modified()).expect("a time");
            fs::File::options().append(true).open(&target).and_then(|file| file.set_modified(time)).expect("it is ours");
        }
    }
}

/// A site with a repository, a mirror that is current, a stale one, and one that is dead after the scan.
struct Mirrored {
    site: Site,
    current: Server,
    stale: Server,
    _folders: [Folder; 3],
    running: Running,
}

impl Mirrored {
    /// `outdate` makes the stale mirror's copy of the tree an older one.
    fn new(make: impl Fn(&Path), repository: &str, outdate: impl Fn(&Path)) -> Self {
        let site = Site::new("packages");
        make(&site.tree());
        age(&site.tree(), OLD);
        let folders = [Folder::new(), Folder::new(), Folder::new()];
        for folder in &folders {
            copy(&site.tree(), folder.path());
        }
        outdate(folders[1].path());
        let [current, stale, dying] = folders.each_ref().map(|folder| Server::nginx(folder.path(), "autoindex on;"));
        let mirrors = [mirror("current", &current.url()), mirror("stale", &stale.url()), mirror("dead", &dying.url())].concat();
        let server = format!("public-url = \"http://{}\"\n", site.listen);
        site.configure(&server, "", &format!("{mirrors}[[repository]]\n{repository}\n"));
        site.run_well(&["scan"]);
        let running = Running::start(&[&site]);
        // It dies when it is on the lists already.
        drop(dying);
        Self { site, current, stale, _folders: folders, running }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.site.listen)
    }

    #[track_caller]
    fn list(&self, path: &str) -> String {
        let reply = self.site.get(path);
        assert_eq!(reply.status, 200, "{}", reply.head);
        text(&reply.body)
    }

    /// What is counted of an answer.
    fn counted(&self, answer: &str, why: &str) -> u64 {
        let metrics = self.site.metrics();
        let mut lines = metrics.lines().filter(|line| line.starts_with("redirector_requests_total"));
        let labels = [format!("answer=\"{answer}\""), format!("why=\"{why}\"")];
        let line = lines.find(|line| labels.iter().all(|label| line.contains(label.as_str())));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{answer} {why}:\n{metrics}"))
    }

    fn redirects(&self) -> u64 {
        ["network", "as", "country", "also-country", "continent", "world"].iter().map(|why| self.counted("redirect", why)).sum()
    }
}

/// `debian/`: one package for every machine, unsigned.
fn make_apt_repository(tree: &Path) {
    let root = tree.join("debian");
    let package = tree.join("../hello");
    fs::create_dir_all(package.join("DEBIAN")).expect("folders");
    fs::create_dir_all(package.join("usr/share/hello")).expect("folders");
    let control =
        "Package: hello\nVersion: 1.0\nArchitecture: all\nMaintainer: A Test <test@example.org>\nDescription: a test\n";
    redirector::durable::write(&package.join("DEBIAN/control"), control.as_bytes()).expect("written");
    redirector::durable::write(&package.join("usr/share/hello/text"), &[b'h'; 50_000]).expect("written");
    fs::create_dir_all(root.join("pool")).expect("folders");
    fs::create_dir_all(root.join("dists/sid/main/binary-amd64")).expect("folders");
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "-Znone", "--build"])
        .arg(&package)
        .arg(root.join("pool/hello.deb")));
    let packages = run(Command::new("apt-ftparchive").args(["packages", "pool"]).current_dir(&root)).stdout;
    redirector::durable::write(&root.join("dists/sid/main/binary-amd64/Packages"), &packages).expect("written");
    let release = run(Command::new("apt-ftparchive")
        .args(["-o", "APT::FTPArchive::Release::Suite=sid", "-o", "APT::FTPArchive::Release::Codename=sid"])
        .args(["-o", "APT::FTPArchive::Release::Components=main", "-o", "APT::FTPArchive::Release::Architectures=amd64"])
        .args(["release", "dists/sid"])
        .current_dir(&root));
    redirector::durable::write(&root.join("dists/sid/Release"), &release.stdout).expect("written");
}

/// apt with everything that it keeps below `home`.
fn apt(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    for (key, value) in [
        ("Dir::Etc::sourcelist", "sources.list"),
        ("Dir::Etc::sourceparts", "none"),
        ("Dir::Etc::trusted", "none"),
        ("Dir::Etc::trustedparts", "none"),
        ("Dir::Etc::preferencesparts", "none"),
        ("Dir::State", "state"),
        ("Dir::State::status", "status"),
        ("Dir::Cache", "cache"),
    ] {
        command.arg("-o").arg(format!("{key}={}", home.join(value).display()));
    }
    for setting in [
        "APT::Architecture=amd64",
        "APT::Architectures::=amd64",
        "APT::Sandbox::User=root",
        "Acquire::Languages=none",
        "Acquire::http::Proxy=DIRECT",
        "Acquire::Retries=0",
        "APT::Update::Error-Mode=any",
    ] {
        command.args(["-o", setting]);
    }
    command.args(arguments).current_dir(home).env_remove("http_proxy").env("LC_ALL", "C");
    command
}

#[test]
fn apt_takes_indexes_from_the_origin_and_packages_from_current_mirrors() {
    let repository = "path = \"debian\"\nkind = \"apt\"\nmarkers = [\"dists/sid/Release\"]";
    let outdate = |folder: &Path| {
        let release = folder.join("debian/dists/sid/Release");
        fs::File::options().append(true).open(release).and_then(|file| file.set_len(100)).expect("cut");
    };
    let mirrored = Mirrored::new(make_apt_repository, repository, outdate);
    let list = mirrored.list("/debian/mirrorlist.txt");
    let current = format!("{}debian/\tpriority:", mirrored.current.url());
    assert!(list.contains(&current) && !list.contains(&mirrored.stale.url()), "{list}");
    assert!(list.starts_with(&mirrored.url("debian/\tpriority:1 type:index\n")), "{list}");

    let home = Folder::new();
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(home.path().join(folder)).expect("folders");
    }
    home.write_bytes("status", b"", OLD);
    let source = format!("deb [trusted=yes arch=amd64] mirror+{} sid main\n", mirrored.url("debian/mirrorlist.txt"));
    home.write_bytes("sources.list", source.as_bytes(), OLD);
    run(&mut apt(home.path(), &["update"]));
    assert!(mirrored.counted("local", "metadata") >= 2, "Release and Packages come from the origin");
    run(&mut apt(home.path(), &["download", "hello"]));
    let got = fs::read(home.path().join("hello_1.0_all.deb")).expect("it was downloaded");
    assert_eq!(got, fs::read(mirrored.site.tree().join("debian/pool/hello.deb")).expect("it is there"));
    assert_eq!(
        (mirrored.redirects(), mirrored.counted("local", "no-mirror")),
        (0, 0),
        "the package came from a mirror of the list"
    );
    mirrored.running.assert_well();
}

/// `fedora/8/`: one package for every machine.
fn make_rpm_repository(tree: &Path) {
    let root = tree.join("fedora/8");
    fs::create_dir_all(&root).expect("folders");
    make_rpm(&root, "hello");
    run(Command::new("createrepo_c").args(["--quiet", "--revision=1"]).arg(&root));
}

fn make_rpm(root: &Path, name: &str) {
    let home = Folder::new();
    let spec = format!(
        "Name: {name}\nVersion: 1\nRelease: 1\nSummary: a test\nLicense: MIT\nBuildArch: noarch\n\
         %description\na test\n%install\nmkdir -p %{{buildroot}}/usr/share/{name}\nseq 9999 > %{{buildroot}}/usr/share/{name}/text\n\
         %files\n/usr/share/{name}/text\n"
    );
    home.write_bytes("test.spec", spec.as_bytes(), OLD);
    let define = |key: &str, value: &Path| format!("{key} {}", value.display());
    run(Command::new("rpmbuild")
        .args(["-bb", "--quiet", "--define", &define("_topdir", home.path()), "--define", &define("_rpmdir", root)])
        .args(["--define", "_rpmfilename %{NAME}.rpm"])
        .arg(home.path().join("test.spec")));
}

/// Asks librepo for the repository by a list, and then for a package; says which bytes it took for `repomd.xml`.
fn librepo(key: &str, url: &str) -> (Vec<u8>, Option<Vec<u8>>) {
    const SCRIPT: &str = "
import librepo, sys
key, url, home = sys.argv[1:]
handle = librepo.Handle()
handle.repotype = librepo.LR_YUMREPO
handle.destdir = home
handle.checksum = True
handle.connecttimeout = 5
setattr(handle, key, url)
result = librepo.Result()
handle.perform(result)
try:
    librepo.download_packages([librepo.PackageTarget('hello.rpm', handle=handle, dest=home)], failfast=True)
except librepo.LibrepoException as error:
    print(error, file=sys.stderr)
";
    let home = Folder::new();
    run(Command::new(PYTHON).args(["-c", SCRIPT, key, url]).arg(home.path()).env_remove("http_proxy"));
    let repomd = fs::read(home.path().join("repodata/repomd.xml")).expect("librepo has it");
    (repomd, fs::read(home.path().join("hello.rpm")).ok())
}

/// Packages that dnf finds.
fn dnf(key: &str, url: &str) -> String {
    let home = Folder::new();
    let at = |name: &str| home.path().join(name).display().to_string();
    home.write_bytes("dnf.conf", b"[main]\nplugins=0\n", OLD);
    home.write_bytes("repos/test.repo", format!("[test]\nname=test\n{key}={url}\ngpgcheck=0\nenabled=1\n").as_bytes(), OLD);
    fs::create_dir_all(at("log")).expect("a folder");
    let set = |key: &str, value: &str| format!("--setopt={key}={value}");
    let output = run(Command::new("dnf")
        .args(["--quiet", "-c", &at("dnf.conf"), &set("reposdir", &at("repos")), &set("cachedir", &at("cache"))])
        .args([&set("logdir", &at("log")), &set("persistdir", &at("state")), &set("varsdir", &at("vars")), "--releasever=8"])
        .args(["--installroot", &at("root"), "repoquery", "--queryformat=%{name}"])
        .env_remove("http_proxy"));
    text(&output.stdout)
}

#[test]
fn dnf_and_librepo_take_metadata_and_packages_from_current_mirrors() {
    let outdate = |folder: &Path| age(&folder.join("fedora/8/repodata"), OLD - 86_400);
    let mirrored = Mirrored::new(make_rpm_repository, "path = \"fedora\"\nkind = \"dnf\"", outdate);
    let repomd = mirrored.site.tree().join("fedora/8/repodata/repomd.xml");
    let first = fs::read(&repomd).expect("it is there");
    let package = fs::read(mirrored.site.tree().join("fedora/8/hello.rpm")).ok();

    let list = mirrored.list("/fedora/8/mirrorlist.txt");
    assert!(list.contains(&format!("{}fedora/8/\n", mirrored.current.url())), "{list}");
    assert!(!list.contains(&mirrored.stale.url()) && list.ends_with(&mirrored.url("fedora/8/\n")), "{list}");
    let metalink = mirrored.list("/fedora/8/repodata/repomd.xml.metalink");
    assert!(metalink.contains(&mirrored.current.url()) && !metalink.contains(&mirrored.stale.url()), "{metalink}");
    for (key, list) in [("mirrorlisturl", "mirrorlist.txt"), ("metalinkurl", "repodata/repomd.xml.metalink")] {
        assert_eq!(librepo(key, &mirrored.url(&format!("fedora/8/{list}"))), (first.clone(), package.clone()), "{key}");
    }
    assert_eq!(dnf("metalink", &mirrored.url("fedora/8/repodata/repomd.xml?metalink")).trim(), "hello");
    assert_eq!(dnf("mirrorlist", &mirrored.url("fedora/8/?mirrorlist")).trim(), "hello");

    // A new version is published, which no mirror has yet: clients go on with the old one where the mirrors have it.
    make_rpm(&mirrored.site.tree().join("fedora/8"), "world");
    run(Command::new("createrepo_c").args(["--quiet", "--revision=2"]).arg(mirrored.site.tree().join("fedora/8")));
    let second = fs::read(&repomd).expect("it is there");
    until("the new version is told, with the old one", || {
        mirrored.list("/fedora/8/repodata/repomd.xml.metalink").contains("<mm0:alternates>")
    });
    let url = mirrored.url("fedora/8/repodata/repomd.xml.metalink");
    let (taken, _) = librepo("metalinkurl", &url);
    assert!(taken == first || taken == second);
    let old_is_known = mirrored.list("/fedora/8/repodata/repomd.xml.metalink").contains(&mirrored.current.url());
    assert!(!old_is_known || taken == first, "the mirror comes first, and what it has is accepted");

    // A security update: nobody is to go on with the old one.
    mirrored.site.run_well(&["repositories", "expire", "/fedora/", "--because", "a hole"]);
    let metalink = mirrored.list("/fedora/8/repodata/repomd.xml.metalink");
    assert!(!metalink.contains("alternate") && !metalink.contains(&mirrored.current.url()), "{metalink}");
    assert_eq!(librepo("metalinkurl", &url).0, second);
    assert_eq!(dnf("metalink", &url).split_whitespace().collect::<Vec<_>>(), ["hello", "world"]);
    mirrored.running.assert_well();
}

#[test]
fn a_client_with_the_old_version_alone_is_content_until_that_is_ended() {
    let mirrored = Mirrored::new(make_rpm_repository, "path = \"fedora\"\nkind = \"dnf\"", |_| {});
    let path = "/fedora/8/repodata/repomd.xml.metalink";
    let first = fs::read(mirrored.site.tree().join("fedora/8/repodata/repomd.xml")).expect("it is there");
    mirrored.list(path);
    run(Command::new("createrepo_c").args(["--quiet", "--revision=2"]).arg(mirrored.site.tree().join("fedora/8")));
    until("the new version is told, with the old one", || mirrored.list(path).contains("<mm0:alternates>"));
    // A list whose only mirror has the old version.
    let lists = Folder::new();
    let lists_server = Server::nginx(lists.path(), "");
    let with_one_mirror = |metalink: &str| {
        let (head, _) = metalink.split_once("<resources").expect("resources");
        let url = format!("{}fedora/8/repodata/repomd.xml", mirrored.current.url());
        let rest = format!(
            "<resources><url protocol=\"http\" type=\"http\" preference=\"100\">{url}</url></resources></file></files></metalink>"
        );
        lists.write_bytes("metalink", (head.to_owned() + &rest).as_bytes(), OLD);
    };
    with_one_mirror(&mirrored.list(path));
    let url = format!("{}metalink", lists_server.url());
    assert_eq!(librepo("metalinkurl", &url).0, first);
    mirrored.site.run_well(&["repositories", "expire", "/fedora/8/", "--because", "a hole"]);
    with_one_mirror(&mirrored.list(path));
    let script = "import librepo, sys\nh = librepo.Handle()\nh.repotype = librepo.LR_YUMREPO\nh.checksum = True\n\
                  h.metalinkurl, h.destdir = sys.argv[1:]\nh.perform(librepo.Result())";
    let home = Folder::new();
    let refused = Command::new(PYTHON).args(["-c", script, &url]).arg(home.path()).output().expect("it runs");
    assert!(!refused.status.success() && text(&refused.stderr).contains("repomd"), "{}", text(&refused.stderr));
}

/// zypper with everything that it keeps below `home`. It works for root only; others are root in a namespace of their own.
fn zypper(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(if rustix::process::geteuid().is_root() { "env" } else { "unshare" });
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["zypper", "--root"]).arg(home).args(["--non-interactive", "--no-gpg-checks"]).args(arguments);
    command.env_remove("http_proxy").env("no_proxy", "*").env("LC_ALL", "C");
    command
}

#[test]
fn zypper_takes_metadata_and_packages_from_current_mirrors() {
    let outdate = |folder: &Path| age(&folder.join("fedora/8/repodata"), OLD - 86_400);
    let mirrored = Mirrored::new(make_rpm_repository, "path = \"fedora\"\nkind = \"zypper\"", outdate);
    let package = fs::read(mirrored.site.tree().join("fedora/8/hello.rpm")).expect("it is there");
    let list = mirrored.list("/fedora/8/mirrorlist.txt");
    assert!(list.contains(&format!("{}fedora/8/\n", mirrored.current.url())), "{list}");
    assert!(!list.contains(&mirrored.stale.url()), "{list}");
    for (key, url) in [
        ("mirrorlist", "fedora/8/mirrorlist.txt"),
        ("metalink", "fedora/8/repodata/repomd.xml.metalink"),
        // What is asked for in the end is a file like any other, or a metalink of it by `Accept`.
        ("baseurl", "fedora/8/"),
    ] {
        let home = Folder::new();
        let repository = format!("[test]\nname=test\nenabled=1\ngpgcheck=0\n{key}={}\n", mirrored.url(url));
        home.write_bytes("etc/zypp/repos.d/test.repo", repository.as_bytes(), OLD);
        run(&mut zypper(home.path(), &["refresh"]));
        let before = (mirrored.redirects(), mirrored.counted("local", "no-mirror"));
        run(&mut zypper(home.path(), &["download", "hello"]));
        let got = fs::read(home.path().join("var/cache/zypp/packages/test/hello.rpm"));
        assert_eq!(got.unwrap_or_else(|error| panic!("{key}: {error}")), package, "{key}");
        if key != "baseurl" {
            let after = (mirrored.redirects(), mirrored.counted("local", "no-mirror"));
            assert_eq!(after, before, "{key}: the package came from a mirror of the list");
        }
    }
    mirrored.running.assert_well();
}

#[test]
fn what_these_tests_need_is_here() {
    for path in [PYTHON, "/usr/lib/python3/dist-packages/librepo"] {
        assert!(PathBuf::from(path).exists(), "{path} is missing (scripts/test installs it)");
    }
}
