//! What we depend on: licences that we may pass on, one source, a reason for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// All packages that go into a build on this machine, as cargo describes them. What other systems need is not even there.
fn packages() -> Vec<Value> {
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo says what it runs on");
    let text = cargo(&["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]);
    let metadata: Value = serde_json::from_str(&text).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages").clone();
    assert!(packages.len() > 100);
    packages
}

fn allowed_licences() -> BTreeSet<String> {
    let rules: toml::Table = toml::from_str(&read("scripts/deny.toml")).expect("TOML");
    let allow = rules["licenses"]["allow"].as_array().expect("a list");
    allow.iter().map(|licence| licence.as_str().expect("a text").to_owned()).collect()
}

/// Whether an SPDX expression can be met with these licences. `/` is an old way to write `OR`.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let met = any(&mut rest, allowed);
    met && rest.is_empty()
}

/// `all OR all OR ...`
fn any(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all(words, allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all(words, allowed);
    }
    met
}

/// `one AND one AND ...`, which binds tighter.
fn all(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let (met, rest) = match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any(words, allowed);
            assert_eq!(words.first(), Some(&")"), "a bracket is closed");
            (met, &words[1..])
        }
        [licence, "WITH", exception, rest @ ..] => (allowed.contains(&format!("{licence} WITH {exception}")), rest),
        [licence, rest @ ..] => (allowed.contains(*licence), rest),
        [] => (false, *words),
    };
    *words = rest;
    met
}

#[test]
fn licence_expressions_are_read_right() {
    let allowed: BTreeSet<String> = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only/MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("ISC AND MIT", true),
        ("GPL-3.0-only OR ISC AND MIT", true),
        ("(GPL-3.0-only OR ISC) AND MIT", true),
        ("(GPL-3.0-only OR ISC) AND Zlib", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("", false),
        ("MIT MIT", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_we_may_pass_on() {
    let allowed = allowed_licences();
    let name = |package: &Value| format!("{} {}", package["name"], package["version"]);
    let wrong: Vec<String> = packages()
        .iter()
        .filter(|package| !is_met(package["license"].as_str().unwrap_or(""), &allowed))
        .map(|package| format!("{}: {}", name(package), package["license"]))
        .collect();
    assert!(wrong.is_empty(), "not in scripts/deny.toml: {wrong:#?}");
}

#[test]
fn every_dependency_comes_from_one_registry() {
    let mut sources: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        if ![env!("CARGO_PKG_NAME"), "redirector-fuzz"].iter().any(|ours| package["name"] == *ours) {
            let source = package["source"].as_str().unwrap_or("a path").to_owned();
            sources.entry(source).or_default().push(package["name"].to_string());
        }
    }
    assert!(sources.len() == 1 && sources.keys().all(|source| source.starts_with("registry+")), "{sources:#?}");
    let lock = read("Cargo.lock");
    let other = lock.lines().filter(|line| line.starts_with("source = ") && !line.contains("\"registry+")).count();
    assert_eq!(other, 0, "Cargo.lock names another source, for another system perhaps");
}

/// The direct dependencies, each with its line and whether a reason stands beside it or above its block.
fn direct() -> Vec<(String, bool)> {
    let manifest = read("Cargo.toml");
    let (mut inside, mut block_has_reason, mut all) = (false, false, Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
            block_has_reason = false;
        } else if line.trim().is_empty() {
            block_has_reason = false;
        } else if inside && line.starts_with('#') {
            block_has_reason = true;
        } else if inside && let Some((name, value)) = line.split_once(" = ") {
            all.push((name.to_owned(), block_has_reason || value.contains(" # ")));
        }
    }
    assert!(all.len() > 30);
    all
}

#[test]
fn every_direct_dependency_has_a_reason() {
    let without: Vec<String> = direct().into_iter().filter(|(_, reason)| !reason).map(|(name, _)| name).collect();
    assert!(without.is_empty(), "in Cargo.toml without a reason beside them or above their block: {without:?}");
}

#[test]
fn every_direct_dependency_is_used() {
    let mut text = String::new();
    for folder in ["src", "tests", "benches", "fuzz"] {
        sources(&root().join(folder), &mut text);
    }
    let used = |name: &str| {
        // A package whose library is called otherwise.
        let name = if name == "md-5" { "md5".to_owned() } else { name.replace('-', "_") };
        [format!("{name}::"), format!("use {name} "), format!("{name}!")].iter().any(|use_of| text.contains(use_of))
    };
    let idle: Vec<String> = direct().into_iter().map(|(name, _)| name).filter(|name| !used(name)).collect();
    assert!(idle.is_empty(), "nothing uses {idle:?}");
}

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("a source file is readable"));
        }
    }
}
