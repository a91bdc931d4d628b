//! curl, where a real client matters or a path must be sent as it is written.

use std::process::{Command, Output, Stdio};

/// Runs curl, quietly.
pub fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "30", "--noproxy", "*"]).args(arguments);
    command.stdin(Stdio::null()).output().expect("curl (scripts/test installs it)")
}

/// Runs curl, which has to succeed; what it prints.
pub fn curled(arguments: &[&str]) -> String {
    let output = curl(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Status and body for a path that is sent byte by byte.
pub fn status_of(origin: &str, path: &str, more: &[&str]) -> (u16, Vec<u8>) {
    let url = format!("{origin}{path}");
    let mut arguments = vec!["--path-as-is", "--write-out", "\n%{http_code}", url.as_str()];
    arguments.extend(more);
    let mut out = curl(&arguments).stdout;
    let end = out.iter().rposition(|&byte| byte == b'\n').expect("a status");
    let status = String::from_utf8_lossy(&out[end + 1..]).parse().expect("a number");
    out.truncate(end);
    (status, out)
}
