//! The configuration as administrators meet it: what is told about a file that is wrong, and the example that is shipped.

use std::path::{Path, PathBuf};

use redirector::config::{self, Config};

/// All that is told about a text, as it is printed.
fn told(text: &str) -> String {
    match Config::parse(Path::new("mirrors.toml"), text.to_owned()) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

#[track_caller]
fn assert_told(text: &str, parts: &[&str]) {
    let told = told(text);
    for part in parts {
        assert!(told.contains(part), "not told: {part}\nof\n{text}\nbut:\n{told}");
    }
}

#[test]
fn all_problems_are_told_at_once_each_where_it_stands() {
    let text = "\
min-age = \"3m\"
[servr]
[tree]
public = 5
min-sise = \"4KiB\"
symlinks = \"insde\"
hosts = []
hidden = [\".*\", \"a/b\"]
[probe]
timeout = 5
failures = -1
[[mirror]]
name = \"a b\"
https = \"https://x.example/y\"
latitude = 5
";
    let expected = "\
mirrors.toml:1:1: `min-age` stands outside of its section
 1 | min-age = \"3m\"
   | ^^^^^^^ it is a key of [tree]

mirrors.toml:2:2: unknown section [servr]
 2 | [servr]
   |  ^^^^^ did you mean [server]?

mirrors.toml:4:10: tree.public: integer `5` where a path should be
 4 | public = 5
   |          ^ write it in quotes: \"5\"

mirrors.toml:5:1: unknown key `min-sise` in [tree]
 5 | min-sise = \"4KiB\"
   | ^^^^^^^^ did you mean `min-size`?

mirrors.toml:6:12: tree.symlinks: \"insde\" is none of deny, inside
 6 | symlinks = \"insde\"
   |            ^^^^^^^ did you mean \"inside\"?

mirrors.toml:7:1: unknown key `hosts` in [tree]
 7 | hosts = []
   | ^^^^^ it is `hosts` of [server], move it there

mirrors.toml:8:17: tree.hidden: \"a/b\" hides nothing: it has a slash that is not at its end; a pattern is one name, which is hidden at any depth
 8 | hidden = [\".*\", \"a/b\"]
   |                 ^^^^^

mirrors.toml:10:11: probe.timeout: integer `5` where a duration in quotes, like \"30m\", should be
 10 | timeout = 5
    |           ^

mirrors.toml:11:12: probe.failures: integer `-1` where a whole number from 0 to 4,294,967,295 should be
 11 | failures = -1
    |            ^^

mirrors.toml:12:1: mirror.longitude: missing beside `latitude`
 12 | [[mirror]]
    | ^^^^^^^^^^

mirrors.toml:13:8: mirror.name: \"a b\" is no mirror name; use 1 to 64 letters, digits, '-', '_' and '.'
 13 | name = \"a b\"
    |        ^^^^^

mirrors.toml:14:9: mirror.https: \"https://x.example/y\" can't be used: it does not end with a slash
 14 | https = \"https://x.example/y\"
    |         ^^^^^^^^^^^^^^^^^^^^^";
    assert_eq!(told(text), expected);
}

#[test]
fn a_mistake_in_the_language_hides_no_other() {
    let text = "[tree]\npublic = \"/srv/a\"\nmin-age = 30m\nmin-size = \"4KiB\nsymlink = \"deny\"\n[scan\ninterval = \"1h\"\n[probe]\nfailure = 3\n";
    assert_told(
        text,
        &[
            "mirrors.toml:3:11:",
            "write it in quotes: \"30m\"",
            "mirrors.toml:4:",
            "`symlinks`",
            "mirrors.toml:6:",
            "`failures`",
        ],
    );
    assert_told("[tree]\npublic = '/a'\npublic = '/b'\n", &["mirrors.toml:3:1: duplicate key"]);
}

#[test]
fn a_section_of_the_wrong_shape_is_told() {
    assert_told("[tree]\npublic = '/a'\n[[scan]]\n", &["[[scan]] is one section", "write [scan], once"]);
    assert_told(
        "[tree]\npublic = '/a'\n[mirror]\nname = 'a'\nhttp = 'http://a/'\n",
        &["[mirror] is a list", "write [[mirror]]"],
    );
    assert_told("tree = '/a'\n", &["`tree` is a section"]);
    assert_told("[mirrors]\n[tree]\npublic = '/a'", &["did you mean [[mirror]]?"]);
    assert_told("", &["[tree] is missing", "public ="]);
    assert_told("[tree]\n", &["[tree]: missing key `public`"]);
    // What can't be done without, and is wrong, is told once, also where no text could stand in its place.
    let repository = told("[tree]\npublic = '/a'\n[[repository]]\npath = 'x'\nkind = 'pacman'\nmarkers = 5");
    assert_eq!(repository.matches("mirrors.toml:").count(), 2, "{repository}");
    assert!(repository.contains("\"pacman\" is none of apt, dnf") && repository.contains("repository.markers"), "{repository}");
    let mirror = told("[tree]\npublic = 5\n[[mirror]]\nname = 5\nhttp = 5");
    assert_eq!(mirror.matches("mirrors.toml:").count(), 3, "{mirror}");
    assert_told("[colour]\n[tree]\npublic = '/a'", &["unknown section [colour]"]);
}

#[test]
fn each_bad_value_is_told_where_it_stands() {
    let with = |section: &str, keys: &str| match section {
        "tree" => format!("[tree]\npublic = '/a'\n{keys}\n"),
        "mirror" => format!("[tree]\npublic = '/a'\n[[mirror]]\nname = 'm'\nhttps = 'https://m.example/'\n{keys}\n"),
        _ => format!("[tree]\npublic = '/a'\n[{section}]\n{keys}\n"),
    };
    for (section, keys, parts) in [
        (
            "server",
            "listen = ['1.2.3.4', 'x', '0.0.0.0:1']",
            ["4:11: server.listen: '1.2.3.4' is no address with a port", "4:22:", "[::]:8080"],
        ),
        ("server", "listen = []", ["4:10:", "server.listen", "nothing is listened to"]),
        ("server", "trusted-proxies = ['10.0.0.0/99']", ["4:20:", "'10.0.0.0/99' is no network", "192.0.2.0/24"]),
        ("server", "max-connections = 0", ["4:19:", "server.max-connections", "0 is not between 1 and"]),
        ("server", "max-header-size = '5 parsecs'", ["4:19:", "is no size", "4KiB"]),
        ("server", "max-header-size = '1kB'", ["4:19:", "max-header-size", "not between"]),
        ("server", "public-url = 'download.example'", ["4:14:", "public-url", "scheme, host and perhaps port"]),
        ("server", "public-url = 'https://a.example/b'", ["4:14:", "public-url", "scheme, host and perhaps port"]),
        ("server", "public-url = 'https://[::1'", ["4:14:", "public-url", "scheme, host and perhaps port"]),
        ("server", "public-url = 'https://a.example:99999'", ["4:14:", "public-url", "scheme, host and perhaps port"]),
        ("server", "public-url = 'https://a\"b'", ["4:14:", "public-url", "scheme, host and perhaps port"]),
        ("server", "hosts = ['a.example:80']", ["4:10:", "hosts", "no host name"]),
        ("server", "hosts = ['[::1]:80']", ["4:10:", "hosts", "no host name"]),
        ("server", "max-connections = -5", ["4:19:", "max-connections", "whole number from 0 on"]),
        ("tree", "min-age = '999999999999h'", ["3:11:", "tree.min-age", "longer than ten years"]),
        ("scan", "interval = '999999d'", ["4:12:", "scan.interval", "longer than ten years"]),
        ("mirror", "http = 'http://m.example:99999/'", ["6:8:", "mirror.http", "host or port"]),
        ("server", "hosts = ['https://a.example']", ["4:10:", "hosts", "no host name"]),
        ("server", "header-timeout = '0'", ["4:18:", "header-timeout", "no time at all"]),
        ("server", "port = 80", ["4:1:", "unknown key `port`", "here it is called `listen`"]),
        ("tree", "walk-interval = '0'", ["3:17:", "walk-interval", "too often"]),
        ("tree", "prefix = 'activities'", ["3:10:", "tree.prefix", "slash"]),
        ("tree", "min-age = '30'", ["3:11:", "is no duration", "30m"]),
        ("tree", "index = 'yes'", ["3:9:", "tree.index", "true or false"]),
        ("inventory", "database = 'postgres://h/db'", ["4:12:", "inventory.database", "is a URL"]),
        ("hash", "threads = 0", ["4:11:", "hash.threads", "between 1 and 256"]),
        ("hash", "piece-length = '300KiB'", ["4:16:", "hash.piece-length", "not a power of two between 16 KiB and 64 MiB"]),
        ("hash", "max-pieces = 0", ["4:14:", "hash.max-pieces", "every file has a piece"]),
        ("hash", "zsync-max-size = '1TiB'", ["4:18:", "hash.zsync-max-size", "more than 128 GiB"]),
        ("hash", "piece-lenght = '1MiB'", ["4:1:", "unknown key `piece-lenght` in [hash]", "did you mean `piece-length`?"]),
        ("scan", "parallel = 0", ["4:12:", "scan.parallel", "between 1 and 1000"]),
        ("scan", "interval = '0s'", ["4:12:", "scan.interval", "too often"]),
        ("scan", "contact = 'a b'", ["4:11:", "scan.contact", "can't stand in a header"]),
        ("probe", "successes = 1000000", ["4:13:", "probe.successes", "between"]),
        ("keep", "paths = ['a//b']", ["4:9:", "keep.paths", "no pattern of paths"]),
        ("keep", "types = ['']", ["4:9:", "keep.types", "1 to 256 bytes"]),
        ("keep", "networks = ['10.0.0.0/40']", ["4:13:", "keep.networks", "no network"]),
        ("answers", "trace = 'me'", ["4:9:", "\"me\" is none of open, trusted, deny", "trace"]),
        ("answers", "stamp-key-file = 'k'\nstamp-key-variable = 'V'", ["5:22:", "answers.stamp-key-variable", "already"]),
        ("mirror", "url = 'https://m/'", ["6:1:", "unknown key `url` in [[mirror]]", "`https`"]),
        ("mirror", "country = 'germany'", ["6:11:", "mirror.country", "ISO 3166-1"]),
        ("mirror", "also-countries = ['nl', 'holland']", ["6:25:", "mirror.also-countries", "\"holland\""]),
        ("mirror", "score = 1000001", ["6:9:", "mirror.score", "more than 1000000"]),
        ("mirror", "score = -5", ["6:9:", "mirror.score", "whole number"]),
        ("mirror", "latitude = 91.0\nlongitude = 0", ["6:12:", "mirror.latitude", "between -90 and 90"]),
        ("mirror", "longitude = 0", ["3:1:", "mirror.latitude", "missing beside `longitude`"]),
        ("mirror", "networks = ['10.0.0.0/40']", ["6:13:", "mirror.networks", "no network"]),
        ("mirror", "only = 'world'", ["6:8:", "\"world\" is none of network, as, country, continent", "only"]),
        ("mirror", "max-file-size = '0'", ["6:17:", "max-file-size", "empty files"]),
        ("mirror", "rsync = 'm::module/'", ["6:9:", "mirror.rsync", "rsync://"]),
        ("mirror", "asn = 0", ["6:7:", "mirror.asn", "RFC 7607"]),
        ("mirror", "min_age = '5m'", ["6:1:", "unknown key `min_age`", "`min-age` of [tree]"]),
        ("mirror", "also-countries = ['nl']\nexclude-countries = ['nl']", ["6:18:", "also-countries", "has nl too"]),
    ] {
        assert_told(&with(section, keys), &parts);
    }
}

#[test]
fn mirrors_are_told_apart_by_name() {
    let text =
        "[tree]\npublic = '/a'\n[[mirror]]\nname = 'm'\nhttp = 'http://m/'\n[[mirror]]\nname = 'M'\nhttp = 'http://n/'\n";
    assert_told(text, &["mirrors.toml:7:8: mirror.name: the name `M` is taken already, in line 4"]);
    assert_told("[tree]\npublic = '/a'\n[[mirror]]\nname = 'm'\n", &["nowhere to send clients"]);
}

#[test]
fn relative_paths_start_at_the_files_own_folder() {
    let text = "[tree]\npublic = 'a'\napplication = '/b'\nlink-roots = ['../c']\n[geoip]\nasn = 'asn.mmdb'\n";
    let config = Config::parse(Path::new("/etc/redirector/x.toml"), text.to_owned()).expect("valid");
    assert_eq!(config.name, "x");
    assert_eq!(config.tree.public, Path::new("/etc/redirector/a"));
    assert_eq!(config.tree.application.as_deref(), Some(Path::new("/b")));
    assert_eq!(config.tree.link_roots, [Path::new("/etc/redirector/../c")]);
    assert_eq!(config.inventory.database, Path::new("/etc/redirector/redirector.sqlite"));
    assert_eq!(config.geoip.asn.as_deref(), Some(Path::new("/etc/redirector/asn.mmdb")));
}

#[test]
fn files_that_are_no_text_are_told_and_no_file_is_too_large() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        redirector::durable::write(&path, bytes).expect("written");
        path
    };
    let told = |path: &Path| Config::read(path).expect_err("no configuration").to_string();
    assert!(told(&folder.path().join("none.toml")).contains("none.toml: can't read the configuration: No such file"));
    assert!(told(folder.path()).contains("can't read the configuration: it is no regular file"));
    // A pipe without a writer would never be opened.
    let pipe = folder.path().join("pipe.toml");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).expect("made");
    assert!(told(&pipe).contains("can't read the configuration: it is no regular file"));
    assert!(told(&write("latin1.toml", b"[tree]\npublic = '/\xe4'")).contains("line 2 is not UTF-8"));
    assert!(told(&write("large.toml", &vec![b'#'; (4 << 20) + 1])).contains("larger than 4 MiB"));
    assert!(told(&write("deep.toml", format!("a = {}", "[".repeat(100_000)).as_bytes())).contains("deep.toml:1:"));
}

#[test]
fn several_files_are_several_instances_and_all_their_problems_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        redirector::durable::write(&path, text.as_bytes()).expect("written");
        path
    };
    let good = [write("a/mirrors.toml", "[tree]\npublic = 'p'"), write("b/mirrors.toml", "[tree]\npublic = 'p'")];
    let names: Vec<String> = config::read_all(&good).expect("valid").into_iter().map(|config| config.name).collect();
    assert_eq!(names, ["a/mirrors", "b/mirrors"], "told apart by their folders");
    let alike = [write("a/one.toml", "[tree]\npublic = 'p'"), write("a/one.conf", "[tree]\npublic = 'p'")];
    let names: Vec<String> = config::read_all(&alike).expect("valid").into_iter().map(|config| config.name).collect();
    assert!(names[0].ends_with("/a/one.toml") && names[1].ends_with("/a/one.conf"), "else by their whole paths: {names:?}");
    let bad = [write("c.toml", "x = 1"), write("d.toml", "y = 1")];
    let told = config::read_all(&bad).expect_err("bad").to_string();
    assert!(told.contains("c.toml:1:1:") && told.contains("d.toml:1:1:"), "{told}");
    assert_eq!(config::find(&good).expect("given"), good);
}

// ---- The example that is shipped

const EXAMPLE: &str = include_str!("../mirrors.toml");

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("mirrors.toml")
}

/// A key that the example leaves out, with the line that would set it.
struct LeftOut<'a> {
    section: &'a str,
    key: &'a str,
    line: usize,
    /// Whether its value is an example and not the default.
    is_example: bool,
    /// Whether its whole section is left out; its lines make sense together only.
    is_off: bool,
}

fn left_out() -> Vec<LeftOut<'static>> {
    let (mut section, mut is_off) = ("", false);
    let mut all = Vec::new();
    for (line, text) in EXAMPLE.lines().enumerate() {
        if let Some(name) = text.strip_prefix("#[[").or_else(|| text.strip_prefix('[')) {
            section = name.trim_matches(['[', ']']);
            is_off = text.starts_with('#');
        } else if let Some((key, value)) = text.strip_prefix('#').and_then(|rest| rest.split_once(" = "))
            && key.starts_with(|c: char| c.is_ascii_lowercase())
        {
            all.push(LeftOut { section, key, line, is_example: value.ends_with("# example"), is_off });
        }
    }
    all
}

/// The example with the lines that `set` chooses made effective.
fn with(set: impl Fn(usize) -> bool) -> Config {
    let line = |(number, text): (usize, &'static str)| if set(number) { text.strip_prefix('#').unwrap_or(text) } else { text };
    let text: Vec<&str> = EXAMPLE.lines().enumerate().map(line).collect();
    Config::parse(&example(), text.join("\n")).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A section's settings as text.
fn settings(config: &Config, section: &str) -> String {
    match section {
        "server" => format!("{:?}", config.server),
        "tree" => format!("{:?}", config.tree),
        "describe" => format!("{:?}", config.describe),
        "inventory" => format!("{:?}", config.inventory),
        "hash" => format!("{:?}", config.hash),
        "geoip" => format!("{:?}", config.geoip),
        "scan" => format!("{:?}", config.scan),
        "probe" => format!("{:?}", config.probe),
        "keep" => format!("{:?}", config.keep),
        "answers" => format!("{:?}", config.answers),
        "mirror" => format!("{:?}", config.mirrors),
        "fallback" => format!("{:?}", config.fallbacks),
        "repository" => format!("{:?}", config.repositories),
        other => panic!("no section {other}"),
    }
}

#[test]
fn the_shipped_example_works() {
    let config = Config::read(&example()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.mirrors.len(), 3);
    let findings = config::check::all(std::slice::from_ref(&config), &|path| path.to_owned());
    let bad: Vec<_> = findings.iter().filter(|finding| finding.severity != config::check::Severity::Hint).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn the_shipped_example_works_with_every_line_that_it_offers() {
    let headers = EXAMPLE.lines().enumerate().filter(|(_, text)| text.starts_with("#[[")).map(|(line, _)| line);
    // A key can be in one place only; the other one is tried by itself.
    let keys = left_out().into_iter().filter(|key| key.key != "stamp-key-variable").map(|key| key.line);
    let lines: Vec<usize> = keys.chain(headers).collect();
    assert!(lines.len() > 20);
    with(|line| lines.contains(&line));
}

#[test]
fn the_shipped_example_mentions_every_key() {
    let offered = left_out();
    for (section, keys) in config::keys() {
        assert!(!keys.is_empty(), "[{section}] has no keys");
        for key in keys {
            let set = EXAMPLE.split("\n[").any(|part| {
                let (name, body) = part.split_once('\n').unwrap_or((part, ""));
                name.trim_matches(['[', ']']) == section && body.lines().any(|line| line.split(" = ").next() == Some(key))
            });
            let offered = offered.iter().any(|offer| offer.section == section && offer.key == *key);
            assert!(set || offered, "mirrors.toml does not mention `{key}` of [{section}]");
        }
    }
}

#[test]
fn the_defaults_that_the_shipped_example_names_are_the_real_ones() {
    let nothing_set = with(|_| false);
    for LeftOut { section, key, line, is_example, .. } in left_out().into_iter().filter(|key| !key.is_off) {
        let set = with(|number| number == line);
        let same = settings(&set, section) == settings(&nothing_set, section);
        assert_eq!(same, !is_example, "`{key}` of [{section}], line {}", line + 1);
    }
}
