//! The order of the house: who may use whom, which modules are pure, how long a file may get. The table below is the one
//! that is meant where the architecture page (`src/lib.rs`) says "a module uses modules below it only".

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module of the crate with the modules that it may use, from top to bottom. `*`: all but `command`.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["command"]),
    ("lib", &[]),
    ("command", &["command", "daemon", "*"]),
    ("daemon", &["*"]),
    (
        "config",
        &[
            "http",
            "decide",
            "repository",
            "scan",
            "probe",
            "hash",
            "index",
            "inventory",
            "tree",
            "geo",
            "format",
            "selection",
            "model",
            "file",
        ],
    ),
    ("http", &["decide", "repository", "format", "selection", "inventory", "tree", "geo", "metrics", "model", "clock", "file"]),
    ("decide", &["selection", "inventory", "model"]),
    ("repository", &["model", "durable", "file"]),
    ("probe", &["scan", "inventory", "tree", "metrics", "model", "clock", "cause"]),
    ("scan", &["inventory", "tree", "metrics", "model", "clock", "file", "cause"]),
    ("index", &["hash", "inventory", "tree", "metrics", "model", "clock", "cause"]),
    ("hash", &["inventory", "tree", "metrics", "model", "clock", "cause"]),
    ("inventory", &["model", "durable", "metrics", "clock", "file", "cause"]),
    ("tree", &["model", "durable", "metrics"]),
    ("geo", &["model", "durable", "metrics", "file", "cause"]),
    ("format", &["model"]),
    ("selection", &["model"]),
    ("model", &[]),
    ("metrics", &[]),
    ("file", &[]),
    ("durable", &[]),
    ("clock", &[]),
    ("cause", &[]),
];

/// What another module may use of one that it may use only for some things.
const ONLY: &[(&str, &str, &[&str])] = &[
    // `config` composes settings; the one check that it borrows is pure.
    ("config", "http", &["Settings", "AnswerSettings", "uri"]),
    ("config", "decide", &["Settings", "Keep"]),
    ("config", "repository", &["Settings", "Repositories"]),
    ("config", "selection", &["Fallback"]),
    ("config", "scan", &["Settings"]),
    ("config", "probe", &["Settings"]),
    ("config", "hash", &["Settings", "MAX_PIECE_BYTES", "MIN_PIECE_BYTES"]),
    ("config", "index", &["Settings"]),
    ("config", "inventory", &["Settings"]),
    ("config", "tree", &["Settings", "ApplicationAccess", "Hidden"]),
    ("config", "geo", &["Settings"]),
    ("config", "format", &["Settings"]),
    // `decide` sees what is in the snapshot, never the store behind it.
    ("decide", "inventory", &["snapshot", "Snapshot", "FileEntry", "MirrorSet", "MirrorState"]),
];

/// Modules that turn values into values: no I/O, no waiting, no clock, no randomness, no logging of their own.
const PURE: &[&str] = &[
    "config/check",
    "config/limits.rs",
    "config/names.rs",
    "config/rules.rs",
    "decide",
    "format",
    "http/client.rs",
    "http/conditional.rs",
    "http/range.rs",
    "http/route.rs",
    "inventory/versioning.rs",
    "model",
    "probe/health.rs",
    "repository/find.rs",
    "repository/list.rs",
    "repository/metalink.rs",
    "scan/ftp/human.rs",
    "scan/ftp/machine.rs",
    "scan/listing",
    "scan/matching.rs",
    "scan/rsync/line.rs",
    "selection",
];

/// What a pure module can't have.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "tokio",
    "reqwest",
    "rusqlite",
    "rustix",
    "tracing",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "clock::",
    "rand::",
    "println!",
    "eprintln!",
    "async fn",
    ".await",
];

/// Lines that a file may have, its tests apart: it should be read in one sitting.
const MAX_LINES: usize = 400;

/// Files that are longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// A file of `src/` without comments and tests.
struct File {
    /// Below `src/`, with slashes.
    path: String,
    code: String,
}

impl File {
    /// The module of the crate that it belongs to.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().expect("a split has a first part");
        first.trim_end_matches(".rs")
    }

    /// How many `super::` lead from here to the crate.
    fn depth(&self) -> usize {
        let parts = self.path.trim_end_matches("mod.rs").trim_end_matches('/');
        parts.split('/').count()
    }
}

fn source_files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let read = |path: &PathBuf| fs::read_to_string(path).expect("a source file is readable");
    let tests: BTreeSet<PathBuf> = paths.iter().flat_map(|path| test_files(path, &read(path))).collect();
    let below = |path: &PathBuf| path.strip_prefix(&root).expect("it was found there").to_string_lossy().into_owned();
    let files: Vec<File> = paths
        .iter()
        .filter(|path| !tests.iter().any(|test| is_of(test, path)))
        .map(|path| File { path: below(path), code: code(&read(path)) })
        .collect();
    assert!(files.len() > 50, "the sources were not found");
    files
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => walk(&path, paths),
            false if path.extension().is_some_and(|ending| ending == "rs") => paths.push(path),
            false => {}
        }
    }
    paths.sort();
}

/// The files that `text` declares as modules for tests only.
fn test_files(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().expect("a name").to_string_lossy();
    let folder = match &*stem {
        "mod" | "lib" | "main" => path.parent().expect("a folder").to_owned(),
        stem => path.with_file_name(stem),
    };
    let mut lines = text.lines().map(str::trim);
    let mut files = Vec::new();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            continue;
        }
        let Some(next) = lines.next() else { break };
        let given = next.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]"));
        let declaration = if given.is_some() { lines.next().unwrap_or("") } else { next };
        if let Some(name) = declaration.split_once("mod ").and_then(|(_, rest)| rest.strip_suffix(';')) {
            files.extend([folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]);
            files.extend(given.map(|given| path.with_file_name(given)));
        }
    }
    files
}

/// Whether a file is this module for tests, or a part of it.
fn is_of(test: &Path, file: &Path) -> bool {
    file == test || file.starts_with(test.with_extension(""))
}

/// The text without comments, and without what stands from the module of its tests on (tests come last).
fn code(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_tests =
        |pair: &[&str]| pair[0].trim() == "#[cfg(test)]" && pair[1].trim_start().starts_with("mod ") && pair[1].ends_with('{');
    let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
    let bare = |line: &&str| match line.trim_start().starts_with("//") {
        true => String::new(),
        // A comment behind code; `://` in a text is none.
        false => line.split(" // ").next().unwrap_or("").to_owned(),
    };
    lines[..end].iter().map(bare).collect::<Vec<_>>().join("\n")
}

/// The names that follow each `marker` in the code, groups in braces taken apart.
fn names_after(code: &str, marker: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(marker) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
            continue;
        }
        found.extend(leading_names(&code[at + marker.len()..]));
    }
    found
}

/// The first name of `a::b`, or of each entry of `{a::{b, c}, d}`.
fn leading_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let (mut depth, mut start, mut names) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(name(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The modules of the crate that a file names.
fn used_modules(file: &File) -> BTreeSet<String> {
    let up = "super::".repeat(file.depth());
    let own = if file.module() == "main" { "redirector::" } else { "crate::" };
    let mut used: BTreeSet<String> = names_after(&file.code, own).into_iter().collect();
    used.extend(names_after(&file.code, &up));
    used.remove(file.module());
    used.retain(|name| MAY_USE.iter().any(|(module, _)| module == name));
    used
}

#[test]
fn a_module_uses_modules_below_it_only() {
    let mut wrong = Vec::new();
    for file in source_files() {
        let module = file.module();
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("src/{} belongs to a module that is not in the table", file.path));
            continue;
        };
        for used in used_modules(&file) {
            let all = allowed.contains(&"*") && used != "command";
            if !all && !allowed.contains(&used.as_str()) {
                wrong.push(format!("src/{} uses {used}, which {module} may not", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_has_no_circles() {
    for (upper, (module, may_use)) in MAY_USE.iter().enumerate() {
        for used in may_use.iter().filter(|used| !matches!(**used, "*" | "command" | "daemon")) {
            let lower = MAY_USE.iter().position(|(name, _)| name == used);
            assert!(lower.is_some_and(|lower| lower > upper), "{module} may use {used}, which does not stand below it");
        }
    }
}

#[test]
fn some_things_only_are_used_of_some_modules() {
    let files = source_files();
    let mut wrong = Vec::new();
    for (module, part, names) in ONLY {
        for file in files.iter().filter(|file| file.module() == *module) {
            let marker = format!("{part}::");
            let direct = names_after(&file.code, &marker);
            let by_crate = names_after(&file.code, &format!("crate::{marker}"));
            for name in direct.into_iter().chain(by_crate).filter(|name| name != "self" && !names.contains(&name.as_str())) {
                wrong.push(format!("src/{} uses {part}::{name}", file.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_modules_touch_nothing_outside() {
    let files = source_files();
    let mut wrong = Vec::new();
    for pure in PURE {
        let inside = |path: &str| path == *pure || path.strip_prefix(pure).is_some_and(|rest| rest.starts_with('/'));
        let mut members = files.iter().filter(|file| inside(&file.path)).peekable();
        assert!(members.peek().is_some(), "src/{pure} is not there: correct the list");
        for file in members {
            let found = IMPURE.iter().filter(|word| file.code.contains(*word));
            wrong.extend(found.map(|word| format!("src/{} has {word:?}", file.path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in source_files() {
        let lines = file.code.lines().count();
        let excused = LONG_FILES.iter().any(|(path, _)| *path == file.path);
        if lines > MAX_LINES && !excused {
            wrong.push(format!("src/{} has {lines} lines without its tests; {MAX_LINES} is the most", file.path));
        }
        if excused && lines <= MAX_LINES {
            wrong.push(format!("src/{} needs no excuse any more", file.path));
        }
        let text = fs::read_to_string(root.join(&file.path)).expect("it was read before");
        if !text.starts_with("//! ") {
            wrong.push(format!("src/{} does not begin with what it is", file.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// All Rust texts below a folder, one after the other.
fn texts_below(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder of this repository").map(|entry| entry.expect("an entry").path());
    let text = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => texts_below(&path),
        Some(suffix) if suffix == "rs" => fs::read_to_string(path).expect("a text"),
        _ => String::new(),
    };
    entries.map(text).collect()
}

/// Where tests may sleep, each with the reason.
const SLEEPERS: &[(&str, &str)] = &[
    ("until/mod.rs", "the one place where something is waited for"),
    ("outage.rs", "a process is killed at any moment"),
    ("http.rs", "a handler takes its time"),
    ("layers.rs", "this one names it"),
];

#[test]
fn tests_wait_for_conditions_and_do_so_in_one_place() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let sleeps = |path: &&PathBuf| fs::read_to_string(path).expect("a text").contains("::sleep(");
    let below = |path: &PathBuf| path.strip_prefix(&root).expect("it was found there").to_string_lossy().into_owned();
    let found: BTreeSet<String> = paths.iter().filter(sleeps).map(below).collect();
    let excused: BTreeSet<String> = SLEEPERS.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(found, excused);
}

#[test]
fn what_the_architecture_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("src/lib.rs")).expect("it is there");
    let all = texts_below(&root.join("src")) + &texts_below(&root.join("tests"));
    let (mut wrong, mut tests) = (Vec::new(), 0);
    for name in page.split('`').skip(1).step_by(2).filter(|name| !name.contains(char::is_whitespace)) {
        if ["src/", "tests/", "scripts/"].iter().any(|folder| name.starts_with(folder)) && !root.join(name).exists() {
            wrong.push(name);
        } else if name.matches('_').count() > 2 {
            tests += 1;
            if !all.contains(&format!("fn {name}(")) && !all.contains(&format!("{name} => ")) {
                wrong.push(name);
            }
        }
    }
    assert!(wrong.is_empty() && tests > 10, "{tests} tests are named, and these are not there: {wrong:#?}");
}

#[test]
fn the_reader_of_these_laws_sees_what_is_there() {
    let file = |path: &str, code: &str| File { path: path.to_owned(), code: self::code(code) };
    let used = |file: &File| used_modules(file).into_iter().collect::<Vec<_>>().join(" ");
    let group =
        file("tree/walk.rs", "use crate::{geo::{a, http}, model};\nuse crate::clock::Clock; // crate::probe\n// crate::scan\n");
    assert_eq!(used(&group), "clock geo model");
    assert_eq!(used(&file("tree/walk.rs", "use super::super::inventory::X;\nuse super::scan::Y;")), "inventory");
    assert_eq!(used(&file("tree/mod.rs", "use super::inventory::X;")), "inventory");
    assert_eq!(used(&file("tree.rs", "fn a() { crate::http::b() }\n#[cfg(test)]\nmod tests {\nuse crate::geo;\n}")), "http");
    let found = test_files(Path::new("/s/tree/mod.rs"), "mod a;\n#[cfg(test)]\nmod b;\n");
    assert_eq!(found, [Path::new("/s/tree/b.rs"), Path::new("/s/tree/b/mod.rs")]);
    let is_test = |path: &str| found.iter().any(|test| is_of(test, Path::new(path)));
    assert!(is_test("/s/tree/b.rs") && is_test("/s/tree/b/mod.rs") && is_test("/s/tree/b/part.rs"));
    assert!(!is_test("/s/tree/a.rs") && !is_test("/s/tree/bb.rs") && !is_test("/s/tree/a/b.rs"));
}
