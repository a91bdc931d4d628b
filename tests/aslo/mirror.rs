//! A mirror: nginx with a folder that rsync fills, as mirrors are run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::servers::{Folder, Server};

/// A mirror of one site.
pub struct Mirror {
    pub name: String,
    folder: Folder,
    /// Where the copy lies below the server's root: `sugar/activities`.
    base: String,
    server: Option<Server>,
    /// Keys of its entry, besides name and URL.
    keys: String,
}

/// What nginx is told besides: listings, and a media type that says nothing, as on mirrors that do not know bundles.
const OPTIONS: &str = "autoindex on; default_type application/octet-stream;";

impl Mirror {
    /// A mirror in a country, with an empty copy at `/sugar/activities/`.
    pub fn new(name: &str, country: &str) -> Self {
        Self::with(name, "sugar/activities", &format!("country = \"{country}\"\n"), OPTIONS)
    }

    /// A mirror with other keys, another base or other ways of its server.
    pub fn with(name: &str, base: &str, keys: &str, options: &str) -> Self {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.path().join(base)).expect("a folder");
        let server = Server::nginx(folder.path(), options);
        Self { name: name.to_owned(), folder, base: base.to_owned(), server: Some(server), keys: keys.to_owned() }
    }

    /// Where its copy of the tree lies.
    pub fn copy(&self) -> PathBuf {
        self.folder.path().join(&self.base)
    }

    /// The URL of its copy.
    pub fn url(&self) -> String {
        let server = self.server.as_ref().expect("it runs");
        format!("{}{}/", server.url(), self.base)
    }

    /// Whether its server runs.
    pub fn is_up(&self) -> bool {
        self.server.is_some()
    }

    /// Ends its server.
    pub fn break_down(&mut self) {
        self.server = None;
    }

    /// Its entry in `mirrors.toml`.
    pub fn entry(&self) -> String {
        format!("\n[[mirror]]\nname = \"{}\"\nhttp = \"{}\"\n{}", self.name, self.url(), self.keys)
    }

    /// Copies what the tree has, with its times, and leaves what the tree no longer has: the wiki's `rsync -a`.
    pub fn sync(&self, tree: &Path) {
        self.rsync(tree, &[]);
    }

    /// Runs rsync with more options.
    pub fn rsync(&self, tree: &Path, options: &[&str]) {
        let run = Command::new("rsync").arg("-a").args(options).arg(slashed(tree)).arg(slashed(&self.copy())).output();
        let run = run.expect("rsync (scripts/test installs it)");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }

    /// Puts a file there by other means than a sync.
    pub fn put(&self, path: &str, content: &[u8], mtime: i64) {
        self.folder.write_bytes(&format!("{}/{path}", self.base), content, mtime);
    }

    /// Loses a file.
    pub fn lose(&self, path: &str) {
        self.folder.remove(&format!("{}/{path}", self.base));
    }
}

/// rsync copies what is in a folder when its name ends with a slash.
fn slashed(folder: &Path) -> String {
    format!("{}/", folder.display())
}
