//! `redirector demo`: every command that it prints does what it says.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// The demo, ended by SIGTERM when the test ends, however it ends.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id().try_into().unwrap_or(0)) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        self.0.wait().ok();
    }
}

/// Reads JSON documents that follow each other, each over several lines.
fn next_document(lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Value {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.expect("the demo prints UTF-8"));
        text.push('\n');
        if let Ok(value) = serde_json::from_str(&text) {
            return value;
        }
    }
    panic!("the demo ended with {text:?}");
}

#[test]
fn every_command_that_the_demo_prints_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let site = folder.path().join("site");
    let child = Command::new(env!("CARGO_BIN_EXE_redirector"))
        .args(["demo", "--json", "--port", "0", "--directory"])
        .arg(&site)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut demo = Demo(child);
    let mut lines = BufReader::new(demo.0.stdout.take().unwrap()).lines();

    let scans = next_document(&mut lines);
    let found = |name: &str| {
        let scan = scans.as_array().unwrap().iter().find(|scan| scan["mirror"] == name);
        scan.and_then(|scan| scan["found"].as_u64())
    };
    let all = found("enschede").expect("the complete mirror was scanned");
    assert!(all > 50, "{scans}");
    assert_eq!(found("brisbane"), Some(all));
    assert_eq!(found("rochester"), Some(all.div_ceil(2)));
    assert!(found("frankfurt").is_some_and(|found| found < all));
    assert_eq!(found("tokyo"), None, "a broken mirror's scan fails");

    let told = next_document(&mut lines);
    let steps = told["steps"].as_array().unwrap();
    assert!(steps.len() > 15);
    for step in steps {
        let command = step["command"].as_str().unwrap();
        let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).to_lowercase();
        for expected in step["expect"].as_array().unwrap() {
            let expected = expected.as_str().unwrap().to_lowercase();
            assert!(
                printed.contains(&expected),
                "{command}\nshould print {expected:?} and printed\n{printed}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }

    drop(lines);
    drop(demo);
    assert!(site.join("mirrors.toml").exists(), "a folder that was named is kept");
}

#[test]
fn the_demo_ends_and_cleans_up_when_it_is_interrupted() {
    let temporary = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_redirector"))
        .args(["demo", "--port", "0"])
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut demo = Demo(child);
    let mut out = BufReader::new(demo.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("Ctrl-C ends it.") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the demo ended by itself");
    }
    let pid = rustix::process::Pid::from_raw(demo.0.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    out.read_to_end(&mut Vec::new()).unwrap();
    assert!(demo.0.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "nothing is left behind");
}
