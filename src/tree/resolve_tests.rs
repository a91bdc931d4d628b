//! Both ways to resolve a path, by the kernel and by the walk, over trees with every kind of link.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;

/// `public`, `application`, `linked` (a link root) and `outside`, side by side; each with `4078/file` that holds its name.
struct World {
    _folder: tempfile::TempDir,
    base: PathBuf,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Without links, so that each test makes its own.
        let base = folder.path().canonicalize().expect("it is there");
        for tree in ["public", "application", "linked", "outside"] {
            fs::create_dir_all(base.join(tree).join("4078")).expect("a folder");
            fs::File::create(base.join(tree).join("4078/file"))
                .and_then(|mut file| std::io::Write::write_all(&mut file, tree.as_bytes()))
                .expect("a file");
        }
        Self { _folder: folder, base }
    }

    fn link(&self, from: &str, target: impl AsRef<Path>) {
        symlink(target, self.base.join(from)).expect("a link");
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    fn bounds(&self, symlinks: Symlinks) -> Bounds {
        let anchors = ["public", "application", "linked"].map(|tree| anchor(&self.base.join(tree)));
        Bounds { symlinks, anchors: anchors.into() }
    }

    /// What is read at a path below `public`; both ways must give the same.
    fn read(&self, path: &str, symlinks: Symlinks) -> String {
        let bounds = self.bounds(symlinks);
        let path = TreePath::parse(path.as_bytes()).expect("valid");
        let state = bounds.anchors[0].state();
        let State::Here(opened) = &**state else { return "away".to_owned() };
        let start = opened.handle.as_fd();
        let by_kernel = told(open(start, &path, &bounds, For::Reading));
        let by_walk = told(open_by_walk(start, &path, &bounds, For::Reading));
        assert_eq!(by_kernel, by_walk, "{path}");
        let looked_at = told_of_look(open(start, &path, &bounds, For::Looking));
        assert_eq!(looked_at, told_of_look(open_by_walk(start, &path, &bounds, For::Looking)), "{path}");
        by_walk
    }
}

fn anchor(path: &Path) -> Arc<Anchor> {
    Anchor::open_all(&[path]).pop().expect("as many as paths")
}

fn told(opened: Result<OwnedFd, LookError>) -> String {
    match opened {
        Ok(handle) => {
            let mut text = String::new();
            match fs::File::from(handle).read_to_string(&mut text) {
                Ok(_) => text,
                Err(error) => format!("{:?}", error.kind()),
            }
        }
        Err(error) => format!("{error:?}"),
    }
}

fn told_of_look(opened: Result<OwnedFd, LookError>) -> String {
    match opened {
        Ok(handle) => format!("{:?}", stat::of(handle).expect("open").identity),
        Err(error) => format!("{error:?}"),
    }
}

const INSIDE: Symlinks = Symlinks::Inside;
const DENY: Symlinks = Symlinks::Deny;

#[test]
fn plain_files_are_read_by_every_policy() {
    let world = World::new();
    for policy in [INSIDE, DENY] {
        assert_eq!(world.read("4078/file", policy), "public");
        assert_eq!(world.read("4078/none", policy), "Absent");
        assert_eq!(world.read("4078/file/none", policy), "Absent");
        assert_eq!(world.read("none/file", policy), "Absent");
    }
}

#[test]
fn links_within_the_tree_are_followed_unless_denied() {
    let world = World::new();
    world.link("public/4078/latest", "file");
    world.link("public/4079", "4078");
    world.link("public/4078/up", "../4078/file");
    world.link("public/absolute", world.absolute("public/4078/file"));
    for path in ["4078/latest", "4079/file", "4079/latest", "4078/up", "absolute"] {
        assert_eq!(world.read(path, INSIDE), "public", "{path}");
        assert_eq!(world.read(path, DENY), "Forbidden", "{path}");
    }
}

#[test]
fn links_that_end_in_another_allowed_folder_are_followed() {
    let world = World::new();
    world.link("public/a", world.absolute("application/4078/file"));
    world.link("public/b", "../application/4078/file");
    world.link("public/c", world.absolute("linked"));
    world.link("public/d", "../linked/4078");
    for (path, text) in [("a", "application"), ("b", "application"), ("c/4078/file", "linked"), ("d/file", "linked")] {
        assert_eq!(world.read(path, INSIDE), text, "{path}");
        assert_eq!(world.read(path, DENY), "Forbidden", "{path}");
    }
}

#[test]
fn links_that_end_elsewhere_are_not_followed() {
    let world = World::new();
    world.link("public/a", world.absolute("outside/4078/file"));
    world.link("public/b", "../outside/4078/file");
    world.link("public/c", world.absolute("outside"));
    world.link("public/d", world.absolute("public/../outside"));
    world.link("public/e", "/etc/passwd");
    world.link("public/f", "../../../../../../../../../../etc/passwd");
    world.link("public/g", "/");
    world.link("public/h", world.absolute("publicity"));
    world.link("application/onward", world.absolute("outside/4078/file"));
    world.link("public/i", world.absolute("application/onward"));
    fs::create_dir(world.absolute("publicity")).expect("a folder whose name starts like the tree's");
    for path in ["a", "b", "c/4078/file", "d/4078/file", "e", "f", "g/etc/passwd", "h", "i"] {
        assert_eq!(world.read(path, INSIDE), "Forbidden", "{path}");
    }
}

#[test]
fn a_link_may_pass_through_the_outside_if_it_ends_inside() {
    let world = World::new();
    world.link("outside/door", world.absolute("application"));
    world.link("public/a", world.absolute("outside/door/4078/file"));
    world.link("public/b", "../outside/../public/4078/file");
    world.link("public/c", world.absolute("outside/4078/../../linked/4078/file"));
    assert_eq!(world.read("a", INSIDE), "application");
    assert_eq!(world.read("b", INSIDE), "public");
    assert_eq!(world.read("c", INSIDE), "linked");
}

#[test]
fn links_without_end_are_not_followed() {
    let world = World::new();
    world.link("public/a", "b");
    world.link("public/b", "a");
    world.link("public/self", world.absolute("public/self"));
    for path in ["a", "b", "self", "self/file"] {
        assert_eq!(world.read(path, INSIDE), "Forbidden", "{path}");
    }
    world.link("public/0", "4078/file");
    for number in 1..=45 {
        world.link(&format!("public/{number}"), format!("{}", number - 1));
    }
    assert_eq!(world.read("39", INSIDE), "public");
    assert_eq!(world.read("45", INSIDE), "Forbidden");
}

#[test]
fn links_to_nowhere_are_absent() {
    let world = World::new();
    world.link("public/a", "none");
    world.link("public/b", world.absolute("public/none"));
    world.link("public/c", "4078/file/");
    for path in ["a", "b", "c"] {
        assert_eq!(world.read(path, INSIDE), "Absent", "{path}");
    }
}

#[test]
fn magic_links_are_only_text() {
    let world = World::new();
    let file = fs::File::open(world.absolute("outside/4078/file")).expect("there");
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    world.link("public/a", format!("/proc/self/fd/{number}"));
    world.link("public/b", "/proc/self/root/etc/passwd");
    world.link("public/c", "/proc/self/cwd");
    for path in ["a", "b", "c"] {
        assert_eq!(world.read(path, INSIDE), "Forbidden", "{path}");
    }
}

#[test]
fn a_fifo_is_never_waited_for() {
    let world = World::new();
    rustix::fs::mknodat(CWD, world.absolute("public/fifo"), rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o666), 0)
        .expect("a FIFO");
    let bounds = world.bounds(INSIDE);
    let state = bounds.anchors[0].state();
    let State::Here(opened) = &**state else { panic!("the tree is there") };
    let path = TreePath::parse(&b"fifo"[..]).expect("valid");
    assert!(matches!(open_by_walk(opened.handle.as_fd(), &path, &bounds, For::Reading), Err(LookError::Absent)));
    let root = super::super::Root { anchor: Arc::clone(&bounds.anchors[0]), bounds: Arc::new(world.bounds(INSIDE)) };
    assert!(matches!(root.open_file(&path), Err(LookError::Absent)));
    assert!(matches!(root.look(&path), Err(LookError::Absent)));
    assert_eq!(root.glance(&path), super::super::Glance::NoFile);
}

#[test]
fn a_tree_below_a_link_root_may_link_up_to_it() {
    let world = World::new();
    let outer = anchor(&world.base);
    let deep = world.absolute("public/4078");
    world.link("public/4078/up", "../../outside/4078/file");
    let tree = anchor(&deep);
    let bounds = Bounds { symlinks: INSIDE, anchors: vec![Arc::clone(&tree), outer] };
    let state = tree.state();
    let State::Here(opened) = &**state else { panic!("the tree is there") };
    let path = TreePath::parse(&b"up"[..]).expect("valid");
    assert_eq!(told(open(opened.handle.as_fd(), &path, &bounds, For::Reading)), "outside");
}

#[test]
fn a_chain_of_deep_directories_has_an_end() {
    let world = World::new();
    let deep = "d/".repeat(MAX_DEPTH + 10);
    fs::create_dir_all(world.absolute("public").join(&deep)).expect("deep folders");
    world.link("public/a", world.absolute("public").join(&deep));
    assert_eq!(world.read("a", INSIDE), "Forbidden");
}

#[test]
fn replacing_a_directory_by_a_link_never_opens_the_outside() {
    let world = World::new();
    world.link("swap", world.absolute("outside/4078"));
    let bounds = world.bounds(INSIDE);
    let state = bounds.anchors[0].state();
    let State::Here(opened) = &**state else { panic!("the tree is there") };
    let path = TreePath::parse(&b"4078/file"[..]).expect("valid");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (here, there) = (world.absolute("public/4078"), world.absolute("swap"));
            while !done.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, &here, CWD, &there, exchange).expect("exchanged");
            }
        });
        for _ in 0..2000 {
            for opened in [
                open(opened.handle.as_fd(), &path, &bounds, For::Reading),
                open_by_walk(opened.handle.as_fd(), &path, &bounds, For::Reading),
            ] {
                let text = told(opened);
                assert!(matches!(&*text, "public" | "Forbidden" | "Absent"), "{text}");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
