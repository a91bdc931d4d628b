//! Which list of which repository a request is for.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Kind, REPOMD, Settings};
use crate::model::{Glob, TreePath};

/// The repositories of an instance, read once.
#[derive(Debug, Default)]
pub struct Repositories {
    list: Vec<Repository>,
}

#[derive(Debug)]
struct Repository {
    root: TreePath<'static>,
    kind: Kind,
    markers: Vec<TreePath<'static>>,
    accept_old: Duration,
    arguments: Vec<(String, Vec<Glob>)>,
    directory: Vec<Part>,
}

/// A piece of the directory that arguments choose.
#[derive(Debug)]
enum Part {
    Text(String),
    /// The value of the argument of this number.
    Value(usize),
}

/// A list that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// In which form.
    pub list: List,
    /// The directory that the list's URLs lead to.
    pub directory: TreePath<'static>,
    /// What a mirror must hold to be listed.
    pub markers: Vec<TreePath<'static>>,
    /// How long replaced versions are accepted.
    pub accept_old: Duration,
    /// Whether it is asked for by a name that a real file may have; that one wins.
    pub is_name: bool,
}

/// The forms of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// For apt's `mirror+http`.
    Apt,
    /// One base URL a line: `mirrorlist=` of dnf, yum and zypper.
    Rpm,
    /// `metalink=` of dnf, with the digests of `repomd.xml`.
    Metalink,
}

/// The name of a list in its directory.
const LIST_NAME: &[u8] = b"mirrorlist.txt";
/// What makes the metalink of a file.
const METALINK_SUFFIX: &[u8] = b".metalink";
/// A value that chooses a directory: longer ones are no name.
const MAX_VALUE_BYTES: usize = 255;

/// Why settings make no repository: the key, and what is wrong.
type Wrong = (&'static str, String);

impl Repositories {
    /// Reads the settings.
    ///
    /// # Errors
    /// The number of the first section that is wrong, its key, and why.
    pub fn new(settings: &[Settings]) -> Result<Self, (usize, Wrong)> {
        let read = |(index, settings)| Repository::new(settings).map_err(|wrong| (index, wrong));
        Ok(Self { list: settings.iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The list that a request is for, by its path or its query.
    #[must_use]
    pub fn find(&self, path: &TreePath<'_>, is_directory: bool, query: Option<&str>) -> Option<Asked> {
        let by_arguments = |query: &str| self.list.iter().find_map(|repository| repository.by_arguments(query));
        if let Some(asked) = query.and_then(by_arguments) {
            return Some(asked);
        }
        // Of nested repositories, the inner one.
        let around = |repository: &&Repository| path.is_within(&repository.root);
        let repository = self.list.iter().filter(around).max_by_key(|repository| repository.root.as_bytes().len())?;
        repository.by_path(path, is_directory, query)
    }
}

impl Repository {
    fn new(settings: &Settings) -> Result<Self, Wrong> {
        let Settings { path, kind, markers, accept_old, arguments, directory, .. } = settings;
        let marker = |text: &String| {
            let marker = TreePath::parse(text.as_bytes().to_vec()).ok().filter(|marker| !marker.is_root());
            marker.ok_or_else(|| ("markers", format!("{text:?} is no file below the repository")))
        };
        let markers = markers.iter().map(marker).collect::<Result<Vec<_>, _>>()?;
        let markers = match (markers.is_empty(), kind.is_rpm()) {
            (true, true) => vec![TreePath::parse(REPOMD.as_bytes()).expect("it is a path")],
            (true, false) => {
                return Err(("markers", "an apt repository needs one, like \"dists/stable/InRelease\"".to_owned()));
            }
            _ => markers,
        };
        let names: Vec<&String> = arguments.keys().collect();
        if directory.is_some() == names.is_empty() {
            return Err(("directory", "`arguments` and `directory` go together".to_owned()));
        }
        let globs = |patterns: &Vec<String>| patterns.iter().map(|pattern| Glob::new(pattern)).collect();
        Ok(Self {
            root: path.clone(),
            kind: *kind,
            markers,
            accept_old: accept_old.0,
            directory: directory.as_deref().map_or_else(|| Ok(Vec::new()), |text| parts(text, &names))?,
            arguments: arguments.iter().map(|(name, patterns)| (name.clone(), globs(patterns))).collect(),
        })
    }

    fn by_path(&self, path: &TreePath<'_>, is_directory: bool, query: Option<&str>) -> Option<Asked> {
        let has = |word: &str| query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some(word)));
        if is_directory {
            return has("mirrorlist").then(|| self.list_of(path, false)).flatten();
        }
        if path.name() == LIST_NAME {
            return self.list_of(&path.parent()?, true);
        }
        let is_named = path.name().ends_with(METALINK_SUFFIX);
        if !self.kind.is_rpm() || !(is_named || has("metalink")) {
            return None;
        }
        let cut = path.as_bytes().len() - if is_named { METALINK_SUFFIX.len() } else { 0 };
        let file = TreePath::parse(&path.as_bytes()[..cut]).ok()?;
        let [marker] = &*self.markers else { return None };
        let directory = match file.as_bytes().strip_suffix(marker.as_bytes())? {
            [] => TreePath::root(),
            above => TreePath::parse(above.strip_suffix(b"/")?).ok()?,
        };
        directory.is_within(&self.root).then(|| self.asked(List::Metalink, &directory, is_named)).flatten()
    }

    /// The list of mirrors of a directory. An apt repository is one as a whole.
    fn list_of(&self, directory: &TreePath<'_>, is_name: bool) -> Option<Asked> {
        match self.kind {
            Kind::Apt => (*directory == self.root).then(|| self.asked(List::Apt, directory, is_name)).flatten(),
            Kind::Dnf | Kind::Zypper => {
                directory.is_within(&self.root).then(|| self.asked(List::Rpm, directory, is_name)).flatten()
            }
        }
    }

    fn asked(&self, list: List, directory: &TreePath<'_>, is_name: bool) -> Option<Asked> {
        let markers: Option<Vec<_>> = self.markers.iter().map(|marker| below(directory, marker)).collect();
        Some(Asked {
            list,
            directory: directory.borrowed().into_owned(),
            markers: markers?,
            accept_old: self.accept_old,
            is_name,
        })
    }

    /// The directory that the arguments of a query choose, if all are there and each fits its patterns.
    fn by_arguments(&self, query: &str) -> Option<Asked> {
        if self.arguments.is_empty() {
            return None;
        }
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.find(|(key, _)| *key == name)?;
            Some(Cow::from(percent_decode_str(value)))
        };
        let mut values = Vec::new();
        for (name, patterns) in &self.arguments {
            let value = value(name).filter(|value| value.len() <= MAX_VALUE_BYTES && !value.contains(&b'/'))?;
            if !patterns.iter().any(|pattern| pattern.matches(&value)) {
                return None;
            }
            values.push(value);
        }
        let mut chosen = Vec::new();
        for part in &self.directory {
            match part {
                Part::Text(text) => chosen.extend_from_slice(text.as_bytes()),
                Part::Value(number) => chosen.extend_from_slice(&values[*number]),
            }
        }
        // What values make of it need not be a path: then it is no directory of ours.
        let chosen = TreePath::parse(chosen).ok()?;
        let list = if self.kind.is_rpm() { List::Rpm } else { List::Apt };
        self.asked(list, &below(&self.root, &chosen)?, false)
    }
}

fn below(directory: &TreePath<'_>, path: &TreePath<'_>) -> Option<TreePath<'static>> {
    let joined = [directory.as_bytes(), path.as_bytes()].join(&b'/');
    let joined = if directory.is_root() { path.as_bytes().to_vec() } else { joined };
    let joined = if path.is_root() { directory.as_bytes().to_vec() } else { joined };
    TreePath::parse(joined).ok()
}

/// `$release/$arch` as text and values.
fn parts(text: &str, names: &[&String]) -> Result<Vec<Part>, Wrong> {
    let mut pieces = text.split('$');
    let mut parts = vec![Part::Text(pieces.next().unwrap_or("").trim_start_matches('/').to_owned())];
    for piece in pieces {
        // Of names that begin alike, the longest.
        let known = names.iter().enumerate().filter(|(_, name)| piece.starts_with(name.as_str()));
        let Some((number, name)) = known.max_by_key(|(_, name)| name.len()) else {
            return Err(("directory", format!("\"${piece}\" names none of `arguments`")));
        };
        parts.extend([Part::Value(number), Part::Text(piece[name.len()..].to_owned())]);
    }
    if let Some(Part::Text(last)) = parts.last_mut() {
        last.truncate(last.trim_end_matches('/').len());
    }
    // Whatever the values are: it is a path, or never one.
    let example = parts.iter().map(|part| if let Part::Text(text) = part { text } else { "x" });
    match TreePath::parse(example.collect::<String>().into_bytes()) {
        Ok(_) => Ok(parts),
        Err(error) => Err(("directory", format!("{text:?} is no directory below the repository: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repositories(text: &str) -> Repositories {
        #[derive(serde::Deserialize)]
        struct All {
            repository: Vec<Settings>,
        }
        let all: All = toml::from_str(text).expect("settings");
        Repositories::new(&all.repository).expect("repositories")
    }

    const SITE: &str = "
        [[repository]]
        path = '/debian/'
        kind = 'apt'
        markers = ['dists/sid/InRelease', 'dists/stable/InRelease']
        [[repository]]
        path = 'fedora'
        kind = 'dnf'
        arguments = { arch = ['x86_64', 'i?86'], release = ['8*'] }
        directory = '$release/os/$arch/'
    ";

    fn found(target: &str) -> Option<String> {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let is_directory = path.is_empty() || path.ends_with('/');
        let path = TreePath::parse(path.trim_end_matches('/').as_bytes()).expect("a path");
        let asked = repositories(SITE).find(&path, is_directory, query)?;
        let marker = asked.markers.last().expect("a marker").to_string();
        Some(format!("{:?} {} {marker}{}", asked.list, asked.directory, if asked.is_name { " by name" } else { "" }))
    }

    #[test]
    fn lists_have_names_and_queries() {
        for (target, expected) in [
            ("debian/mirrorlist.txt", Some("Apt debian debian/dists/stable/InRelease by name")),
            ("debian/?mirrorlist", Some("Apt debian debian/dists/stable/InRelease")),
            ("debian/pool/?mirrorlist", None),
            ("debian/dists/mirrorlist.txt", None),
            ("debian/dists/sid/InRelease.metalink", None),
            ("debian/", None),
            ("mirrorlist.txt", None),
            ("fedora/8/x86_64/mirrorlist.txt", Some("Rpm fedora/8/x86_64 fedora/8/x86_64/repodata/repomd.xml by name")),
            ("fedora/?mirrorlist&country=de", Some("Rpm fedora fedora/repodata/repomd.xml")),
            ("fedora/8/repodata/repomd.xml.metalink", Some("Metalink fedora/8 fedora/8/repodata/repomd.xml by name")),
            ("fedora/8/repodata/repomd.xml?metalink", Some("Metalink fedora/8 fedora/8/repodata/repomd.xml")),
            ("fedora/8/a.rpm.metalink", None),
            ("fedora/8/a.rpm?metalink", None),
            ("fedora/8/xrepodata/repomd.xml?metalink", None),
        ] {
            assert_eq!(found(target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn arguments_choose_a_directory_at_any_path() {
        let list = "Rpm fedora/8.4/os/i686 fedora/8.4/os/i686/repodata/repomd.xml";
        for (target, expected) in [
            ("?release=8.4&arch=i686", Some(list)),
            ("any/where?x=y&arch=i686&release=8%2E4", Some(list)),
            ("?release=8.4", None),
            ("?release=9&arch=i686", None),
            ("?release=8.4&arch=i6867", None),
            ("?release=8/../../secret&arch=i686", None),
            ("?release=8%2f..&arch=i686", None),
            ("?release=8%00&arch=i686", None),
            ("a.iso?src=x", None),
        ] {
            assert_eq!(found(target).as_deref(), expected, "{target}");
        }
    }

    #[test]
    fn settings_that_make_no_repository_say_why() {
        for (keys, key, part) in [
            ("kind = 'apt'", "markers", "needs one"),
            ("kind = 'apt'\nmarkers = ['../a']", "markers", "no file"),
            ("kind = 'dnf'\ndirectory = 'a'", "directory", "go together"),
            ("kind = 'dnf'\narguments = { a = ['*'] }", "directory", "go together"),
            ("kind = 'dnf'\narguments = { a = ['*'] }\ndirectory = '$b'", "directory", "names none"),
            ("kind = 'dnf'\narguments = { a = ['*'] }\ndirectory = '../$a'", "directory", "dot segment"),
            ("kind = 'dnf'\narguments = { a = ['*'] }\ndirectory = '$a//x'", "directory", "empty segment"),
        ] {
            let settings: Settings = toml::from_str(&format!("path = 'p'\n{keys}")).expect("settings");
            let (_, (wrong, text)) = Repositories::new(&[settings]).expect_err("wrong");
            assert!(wrong == key && text.contains(part), "{keys}: {wrong}: {text}");
        }
    }
}
