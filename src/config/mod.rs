//! The configuration: one file is one instance. Each part owns its settings; this one reads them, tells all that is wrong
//! with the place where it stands, and looks at what no part can see alone.

pub mod check;
mod fallback;
mod limits;
mod mirror;
mod names;
mod read;
mod rules;
mod section;
mod source;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::{Mirror, Place};
use crate::{decide, file, format, geo, hash, http, inventory, probe, repository, scan, tree};

pub use fallback::FallbackSettings;
pub use mirror::MirrorSettings;
pub use read::keys;
pub use source::{Position, Problem, Problems, Source};

/// One instance, as its file describes it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// What the instance is called in logs and metrics: the file's name without its ending.
    pub name: String,
    /// `[server]`.
    pub server: http::Settings,
    /// `[tree]`.
    pub tree: tree::Settings,
    /// `[describe]`.
    pub describe: format::Settings,
    /// `[inventory]`.
    pub inventory: inventory::Settings,
    /// `[hash]`.
    pub hash: hash::Settings,
    /// `[geoip]`.
    pub geoip: geo::Settings,
    /// `[scan]`.
    pub scan: scan::Settings,
    /// `[probe]`.
    pub probe: probe::Settings,
    /// `[keep]`.
    pub keep: decide::Settings,
    /// `[answers]`.
    pub answers: http::AnswerSettings,
    /// `[[mirror]]`, in the file's order.
    pub mirrors: Vec<MirrorSettings>,
    /// `[[fallback]]`, in the file's order.
    pub fallbacks: Vec<FallbackSettings>,
    /// `[[repository]]`, in the file's order.
    pub repositories: Vec<repository::Settings>,
    /// The text, to say where a key stands.
    pub source: Source,
}

/// A configuration is text that somebody wrote; 4,000 mirrors with every key fit in this.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Where the configuration is looked for when nobody says where it is.
pub const DEFAULT_PATHS: [&str; 2] = ["mirrors.toml", "/etc/redirector/mirrors.toml"];

/// The files to read: those that are given, else the first of [`DEFAULT_PATHS`] that is there.
///
/// # Errors
/// When none is given and none is there.
pub fn find(given: &[PathBuf]) -> Result<Vec<PathBuf>, Problems> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    match DEFAULT_PATHS.iter().map(PathBuf::from).find(|path| path.exists()) {
        Some(path) => Ok(vec![path]),
        None => {
            let text = format!("no configuration: there is neither {} here nor {}", DEFAULT_PATHS[0], DEFAULT_PATHS[1]);
            let mut problem = Problem::of_file(Path::new("redirector"), text);
            problem.advice = Some("name one with -c FILE or in REDIRECTOR_CONFIG".to_owned());
            Err(Problems(vec![problem]))
        }
    }
}

/// Reads several configurations: one instance each.
///
/// # Errors
/// All problems of all files.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Config>, Problems> {
    let (mut configs, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        match Config::read(path) {
            Ok(config) => configs.push(config),
            Err(more) => problems.extend(more.0),
        }
    }
    tell_apart(&mut configs);
    if problems.is_empty() { Ok(configs) } else { Err(Problems(problems)) }
}

/// Gives instances whose files have the same name longer ones: `a/mirrors` and `b/mirrors`, or else their whole paths.
pub(crate) fn tell_apart(configs: &mut [Config]) {
    let with_folder = |config: &Config| {
        let folder = config.path.parent().and_then(Path::file_name).unwrap_or_default();
        format!("{}/{}", folder.to_string_lossy(), config.name)
    };
    let whole = |config: &Config| config.path.display().to_string();
    for longer in [&with_folder as &dyn Fn(&Config) -> String, &whole] {
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        configs.iter().for_each(|config| *used.entry(config.name.clone()).or_default() += 1);
        for config in configs.iter_mut().filter(|config| used.get(&config.name).is_some_and(|&n| n > 1)) {
            config.name = longer(config);
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it, not only the first.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let text = read_text(path).map_err(|text| Problems(vec![Problem::of_file(path, text)]))?;
        Self::parse(path, text)
    }

    /// Takes the text of a file that is, or might be, at `path`.
    ///
    /// # Errors
    /// All that is wrong with it, not only the first.
    pub fn parse(path: &Path, text: String) -> Result<Self, Problems> {
        let mut config = read::config(path, text)?;
        config.rebase();
        Ok(config)
    }

    /// The mirrors, with what the file leaves out filled by what `locate` knows of each one's host.
    #[must_use]
    pub fn mirrors(&self, locate: &dyn Fn(&str) -> Option<Place>) -> Vec<Arc<Mirror>> {
        self.mirrors.iter().map(|mirror| Arc::new(mirror.complete(locate(mirror.host()).as_ref()))).collect()
    }

    /// Relative paths start at the file's own folder.
    fn rebase(&mut self) {
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let rebase = |path: &mut PathBuf| *path = folder.join(&*path);
        rebase(&mut self.tree.public);
        self.tree.application.iter_mut().for_each(rebase);
        self.tree.application_key_file.iter_mut().for_each(rebase);
        self.tree.link_roots.iter_mut().for_each(rebase);
        rebase(&mut self.inventory.database);
        self.answers.stamp_key_file.iter_mut().for_each(rebase);
        let secrets =
            self.mirrors.iter_mut().flat_map(|mirror| [&mut mirror.rsync_password_file, &mut mirror.ftp_password_file]);
        secrets.flatten().for_each(rebase);
        [&mut self.geoip.location, &mut self.geoip.location_ipv6, &mut self.geoip.asn].into_iter().flatten().for_each(rebase);
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let bytes = file::read_start(path, MAX_FILE_BYTES + 1).map_err(|error| format!("can't read the configuration: {error}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("larger than {} MiB, so this is no configuration", MAX_FILE_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })
}

/// Whether an address can be reached from this machine or a private network only (RFC 1918, 4193, 3927, 6598).
fn is_inside(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
