//! Recorded lists of real rsync and FTP servers against what was really there: every name, kind, size and time.
//!
//! `data/listings/rsync/*` is what the program prints for a server, `data/listings/ftp/SERVER.DIRECTORY.COMMAND.txt` what servers send;
//! `truth.json` says what the directories held. Listings over HTTP have tests of their own (`listings.rs`).

mod truth;

use std::collections::BTreeMap;

use redirector::model::TreePath;
use redirector::scan::entry::Kind;
use redirector::scan::ftp::{self, human, machine};
use redirector::scan::rsync::line;
use truth::{Truth, data, read_truth};

fn recorded(folder: &str) -> Vec<(String, Vec<u8>)> {
    let items = std::fs::read_dir(data().join(folder)).expect("the folder is there").map(|item| {
        let path = item.expect("an item").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
        (name, std::fs::read(&path).expect("the list can be read"))
    });
    let mut lists: Vec<_> = items.collect();
    lists.sort();
    lists
}

fn own_kind(truth: &Truth) -> Kind {
    match truth.own {
        _ if truth.link => Kind::Link,
        Some(fact) if fact.directory => Kind::Directory,
        _ => Kind::File,
    }
}

fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

#[test]
fn every_recorded_list_of_rsync_gives_the_truth() {
    // What it is, and of which directories it tells.
    let lists = [
        ("awkward-links", &["awkward"][..]),
        ("plain-with-motd", &["plain"]),
        ("recursive-default", &["awkward", "evil", "many", "plain", "empty"]),
        ("recursive-links-8bit-no-h", &["awkward", "evil", "many", "plain", "empty"]),
        ("recursive-no-h", &["awkward", "evil", "many", "plain", "empty"]),
    ];
    let recorded = recorded("rsync");
    assert_eq!(recorded.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), lists.map(|(name, _)| name));
    for ((name, directories), (_, text)) in lists.into_iter().zip(&recorded) {
        let lines = text.split(|&byte| byte == b'\n').filter_map(line::parse);
        let mut listed: BTreeMap<Vec<u8>, line::Line<'_>> = BTreeMap::new();
        for line in lines.filter(|line| *line.name != *b".") {
            let bare = line.without_target().unwrap_or(&line.name).to_vec();
            assert!(listed.insert(bare.clone(), line).is_none(), "{name}: {} comes twice", shown(&bare));
        }
        for directory in directories {
            if let [_, _, ..] = directories {
                let line = listed.remove(directory.as_bytes()).unwrap_or_else(|| panic!("{name}: {directory} is missing"));
                assert_eq!(line.kind, Kind::Directory, "{name}: {directory}");
            }
            for truth in read_truth(directory) {
                let prefix = if directories.len() > 1 { format!("{directory}/") } else { String::new() };
                let path = [prefix.as_bytes(), &truth.name].concat();
                // This one was recorded without them.
                if name == "awkward-links" && path.ends_with(b".iso") {
                    continue;
                }
                let line = listed.remove(&path).unwrap_or_else(|| panic!("{name}: {} is missing", shown(&path)));
                let own = truth.own.expect("truth.json has a time for everything");
                let said = (line.kind, line.modified);
                assert_eq!(said, (own_kind(&truth), Some(own.time.as_second())), "{name}: {}", shown(&path));
                assert!(line.kind == Kind::Directory || line.size == own.size, "{name}: {}: {line:?}", shown(&path));
            }
        }
        assert!(listed.is_empty(), "{name}: invented: {listed:?}");
    }
}

/// What a server's clock on the wall is ahead of UTC, in winter and in summer.
type Offsets = [i64; 2];

/// Whether a time is what a server says of a file; recorded in UTC, or in the server's zone.
fn tells(line: &ftp::Line, truth: &Truth, offsets: Offsets) -> bool {
    let Some(time) = line.time else { return false };
    let own = truth.own.expect("truth.json has a time for everything").time.as_second();
    offsets.iter().any(|offset| (time.seconds..time.seconds + time.precision).contains(&(own + offset)))
}

#[test]
fn every_recorded_list_of_ftp_servers_gives_the_truth() {
    let now = "2026-11-23T06:30:00Z".parse().expect("a time");
    let (mut machines, mut people) = (0, 0);
    for (name, text) in recorded("ftp") {
        let (server, rest) = name.split_once('.').expect("SERVER.DIRECTORY.COMMAND");
        let (directory, command) = rest.split_once('.').expect("SERVER.DIRECTORY.COMMAND");
        let offsets = if server.ends_with("newyork") { [-5 * 3600, -4 * 3600] } else { [0, 0] };
        let read = |line| if command == "mlsd" { machine::parse(line) } else { human::parse(line, now) };
        let lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let mut listed: BTreeMap<Vec<u8>, ftp::Line> = lines.filter_map(read).map(|line| (line.name.clone(), line)).collect();
        if directory == "evil" {
            // A name with the end of a line in it is told as another name, and a line that is none.
            assert!(listed.remove(b"new".as_slice()).is_some(), "{name}");
        }
        for truth in read_truth(directory) {
            let is_possible = TreePath::root().join(&truth.name).is_ok();
            let Some(line) = listed.remove(&truth.name) else {
                // LIST tells of those that begin with a dot only where it is told to.
                let is_left_out = command == "list" && truth.name.starts_with(b".");
                // ProFTPD's MLSD says nothing of links that lead nowhere, or out of what it serves.
                let leads_nowhere = command == "mlsd" && (truth.followed.is_none() || truth.name == b"link-abs-outside");
                assert!(!is_possible || is_left_out || leads_nowhere, "{name}: {} is missing", shown(&truth.name));
                continue;
            };
            let own = truth.own.expect("truth.json has a time for everything");
            let what = format!("{name}: {}: {line:?}", shown(&truth.name));
            assert_eq!(line.kind, own_kind(&truth), "{what}");
            assert!(line.kind != Kind::File || line.size == Some(own.size), "{what}");
            // ProFTPD's LIST shows the time of day without a year for what is to come, as for what is of this year.
            let is_to_come = own.time > now && server == "proftpd" && command != "mlsd";
            assert!(tells(&line, &truth, offsets) != is_to_come, "{what}, and it is of {}", own.time);
            machines += usize::from(command == "mlsd");
            people += usize::from(command != "mlsd");
        }
        assert!(listed.is_empty(), "{name}: invented: {listed:?}");
    }
    assert!(machines > 150 && people > 600, "{machines} lines for programs and {people} for people");
}
