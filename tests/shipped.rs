//! The files that are shipped for whoever puts `redirector` into service: each is what the program that reads it wants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redirector::durable;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a program. `None` when this machine has none of that name.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let path = format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    match Command::new(program).args(arguments).env("PATH", path).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{program} is not here; not tested");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[track_caller]
fn assert_accepted(program: &str, arguments: &[&str]) -> String {
    let Some(output) = run(program, arguments) else { return String::new() };
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {told}");
    told
}

#[test]
fn nginx_takes_the_front() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path();
    // nginx -t opens what it is to listen to.
    let socket = format!("listen unix:{}/socket;", own.display());
    let front = read("scripts/nginx.conf").replace("listen 80;", &socket).replace("listen [::]:80;", "");
    durable::write(&own.join("front.conf"), front.as_bytes()).expect("written");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {};\n", own.join(what).display()))
        .concat();
    let main = format!(
        "pid {own}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}include {own}/front.conf;\n}}\n",
        own = own.display()
    );
    durable::write(&own.join("nginx.conf"), main.as_bytes()).expect("written");
    let told = assert_accepted("nginx", &["-t", "-p", &own.to_string_lossy(), "-c", &own.join("nginx.conf").to_string_lossy()]);
    assert!(!told.contains("[warn]"), "{told}");
}

#[test]
fn haproxy_takes_the_front() {
    let told = assert_accepted("haproxy", &["-c", "-f", &shipped("scripts/haproxy.cfg").to_string_lossy()]);
    assert!(!told.contains("[WARNING]"), "{told}");
}

#[test]
fn systemd_takes_the_unit() {
    let folder = tempfile::tempdir().expect("a folder");
    let unit = read("scripts/redirector.service");
    // The program that it starts has to be there to be found good.
    let here = unit.replace("/usr/local/bin/redirector", env!("CARGO_BIN_EXE_redirector"));
    let path = folder.path().join("redirector.service");
    durable::write(&path, here.as_bytes()).expect("written");
    assert_accepted("systemd-analyze", &["verify", "--man=no", "--recursive-errors=no", &path.to_string_lossy()]);
    for line in
        ["ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectory=redirector", "ExecReload=/bin/kill -HUP $MAINPID"]
    {
        assert!(unit.lines().any(|own| own == line), "{line}");
    }
}

#[test]
fn scripts_are_good_bash() {
    for entry in fs::read_dir(shipped("scripts")).expect("a folder").chain(fs::read_dir(shipped(".ci")).expect("a folder")) {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        if !text.starts_with("#!/usr/bin/env bash\n") {
            continue;
        }
        let name = path.to_string_lossy();
        assert!(text.contains("\nset -euo pipefail\n"), "{name} goes on after an error");
        assert_accepted("bash", &["-n", &name]);
        assert_accepted("shellcheck", &["--severity=warning", &name]);
    }
}

#[test]
fn ci_calls_the_test_command_of_the_readme() {
    assert!(read(".ci/run").contains("scripts/test"));
    assert!(read("README.md").contains("\n$ scripts/test\n"));
}

#[test]
fn both_licences_are_there() {
    let manifest = read("Cargo.toml");
    assert!(manifest.contains("license = \"Apache-2.0 OR MIT\""));
    assert!(read("LICENSE-APACHE").contains("Apache License\n                           Version 2.0, January 2004"));
    assert!(read("LICENSE-MIT").starts_with("MIT License"));
    assert!(read("CHANGELOG.md").contains("\n## Unreleased\n"));
}

#[test]
fn what_tests_start_is_installed_before() {
    // Those of coreutils, util-linux, mount and other packages that every Debian has.
    const EVERYWHERE: [&str; 7] = ["sh", "bash", "gzip", "mkfifo", "unshare", "setpriv", "mount"];
    let script = read("scripts/test");
    let installed: Vec<&str> = script.lines().filter_map(|line| line.split_once(' ')).map(|(program, _)| program).collect();
    let (mut folders, mut started) = (vec![shipped("tests"), shipped("src")], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|suffix| suffix != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a text");
            for marker in [concat!("Command::new", "(\""), concat!("Server::start", "(\"")] {
                for program in text.split(marker).skip(1).filter_map(|rest| rest.split('"').next()) {
                    let known = EVERYWHERE.contains(&program) || installed.contains(&program);
                    assert!(known, "{} starts {program}, which scripts/test does not install", path.display());
                    started += 1;
                }
            }
        }
    }
    assert!(started > 5, "the tests start programs");
}
