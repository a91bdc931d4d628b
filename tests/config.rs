//! The configuration as administrators meet it: what is told about a file that is wrong, and the example that is shipped.

use std::path::Path;

use redirector::config::Config;

/// All that is told about a text, as it is printed.
fn told(text: &str) -> String {
    match Config::parse(Path::new("mirrors.toml"), text.to_owned()) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn show() {
    println!(
        "{}",
        told(
            r#"
min-age = "3m"
[servr]
listen = ["0.0.0.0:8080"]
[tree]
prefix = "/act"
public = 5
min-age = 30m
min-sise = "x"
symlinks = "insde"
hosts = []
hidden = [".*", "a/b", 5, "temp/"]
walk-interval = "0"
[[scan]]
interval = "0s"
[probe]
timeout = 5
failures = -1
successes = 1000000
[server]
listen = ["0.0.0.0:8080", "1.2.3.4", "nonsense"]
trusted-proxies = ["10.0.0.0/8", "10.0.0.0/99"]
max-connections = 0
max-header-size = "5 parsecs"
public-url = "download.example"
[[mirror]]
name = "a b"
https = "https://x/y"
latitude = 5
[[mirror]]
name = "a"
url = "https://x/y/"
country = "germany"
score = 99999999
[[mirror]]
name = "A"
http = "http://x/y/"
countrey = "de"
only = "world"
min_age = "5m"
listen = "x"
"#
        )
    );
}
