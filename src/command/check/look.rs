//! What only a look at this machine tells: folders, databases, addresses, limits, the clock.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};

use super::survey;
use crate::cause::chain;
use crate::command::output::grouped;
use crate::config::check::{Finding, Severity};
use crate::config::{Config, MirrorSettings};
use crate::geo::{Locator, Source};
use crate::http::Stamp;
use crate::http::signature::Key;
use crate::inventory::sqlite::{Inspection, Sqlite};
use crate::model::{Protocol, TreePath};
use crate::tree::{ApplicationAccess, Hidden, LookError, Root, Trees};

/// Looks at everything that a configuration names.
pub(super) fn all(config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut look = Look { config, findings: Vec::new() };
    look.clock(now);
    look.trees(now);
    look.key();
    look.stamp();
    look.database();
    look.geoip(now);
    look.sockets();
    look.ways();
    look.open_files();
    look.findings
}

/// When this program was written; no right clock is behind it. 2026-11-01.
const WRITTEN: i64 = 1_793_491_200;
/// A configured GeoIP database older than this sends clients of moved networks to the wrong mirrors. In seconds.
const OLD_DATABASE: i64 = 180 * 24 * 3600;
/// Files that are open besides one for each connection: listeners, database, downloads from disk, mirrors being asked.
const OTHER_FILES: u64 = 1_000;

struct Look<'a> {
    config: &'a Config,
    findings: Vec<Finding>,
}

impl Look<'_> {
    fn tell(&mut self, severity: Severity, key: &str, text: impl Into<String>, advice: &str) {
        self.findings.push(Finding::new(severity, self.config, key, text, advice));
    }

    fn clock(&mut self, now: Timestamp) {
        if now.as_second() < WRITTEN {
            let text = format!("this machine's clock says {now}, which is past");
            self.tell(Severity::Error, "tree.min-age", text, "set the clock: the age of files is counted by it");
        }
    }

    fn trees(&mut self, now: Timestamp) {
        let trees = match Trees::open(&self.config.tree) {
            Ok(trees) => trees,
            Err(error) => return self.tell(Severity::Error, "tree", error.to_string(), ""),
        };
        let is_public_there = self.folder("tree.public", &trees.public);
        if is_public_there {
            self.application_in_disguise(trees.public.path());
        }
        if let Some(application) = &trees.application
            && self.folder("tree.application", application)
        {
            self.hidden_parts(application.path(), &trees.hidden);
        }
        for folder in &self.config.tree.link_roots {
            if !folder.is_dir() {
                let text = format!("there is no folder {}", folder.display());
                self.tell(Severity::Warning, "tree.link-roots", text, "links that end in it are answered with 404");
            }
        }
        if is_public_there {
            self.content(&trees.public, &trees.hidden, now);
        }
    }

    /// Whether a tree's folder can be looked into.
    fn folder(&mut self, key: &str, root: &Root) -> bool {
        let path = root.path();
        if let Err(error) = std::fs::metadata(path) {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            if missing {
                let text = format!("there is no folder {}", path.display());
                self.tell(
                    Severity::Warning,
                    key,
                    text,
                    "what lies in it is answered with 503 until it is there (mounted, or made)",
                );
            } else {
                self.tell(Severity::Error, key, format!("{} can't be looked at: {error}", path.display()), ACCESS);
            }
            return false;
        }
        if !path.is_dir() {
            self.tell(Severity::Error, key, format!("{} is no folder", path.display()), "name the folder that holds the files");
            return false;
        }
        match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {
                let text = format!("{} is empty", path.display());
                self.tell(Severity::Warning, key, text, "if it should not be: is its file system mounted?");
                false
            }
            Ok(false) => true,
            Err(error) => {
                self.tell(Severity::Error, key, format!("{} can't be read: {error}", path.display()), ACCESS);
                false
            }
        }
    }

    /// ASLO's application tree has `temp/` and `extracted/` at its top; one that is published by mistake is a leak.
    fn application_in_disguise(&mut self, public: &Path) {
        let real = public.canonicalize().unwrap_or_else(|_| public.to_owned());
        if let Some(top) = real.ancestors().find(|folder| is_application(folder)) {
            let how = if top == real { "looks like" } else { "lies inside what looks like" };
            let text = format!("{} {how} an application tree: {} has temp/ and extracted/", public.display(), top.display());
            self.tell(Severity::Error, "tree.public", text, LEAK);
        }
    }

    fn hidden_parts(&mut self, application: &Path, hidden: &Hidden) {
        let shown = |name: &str| {
            let path = TreePath::parse(name.as_bytes()).ok();
            application.join(name).is_dir() && !path.is_some_and(|path| hidden.matches_directory(&path))
        };
        let open: Vec<&str> = ["temp", "extracted"].into_iter().filter(|name| shown(name)).collect();
        if !open.is_empty() && self.config.tree.application_access != ApplicationAccess::Deny {
            let text = format!("{}/ of the application tree is not hidden", open.join("/ and "));
            self.tell(Severity::Warning, "tree.hidden", text, "write hidden = [\"temp/\", \"extracted/\", \".*\"]");
        }
    }

    /// The key of signed links: usable, and not for everyone to read.
    fn key(&mut self) {
        const KEY: &str = "tree.application-key-file";
        let Some(path) = &self.config.tree.application_key_file else { return };
        if let Err(error) = Key::read(path) {
            return self.tell(Severity::Error, KEY, chain(&error), "signed links can't be checked without it");
        }
        self.readable_by_all(KEY, path, "who has the key can make links");
    }

    /// The key of stamps, without which the server does not start.
    fn stamp(&mut self) {
        let answers = &self.config.answers;
        if let Err(error) = Stamp::of(answers) {
            let key = if answers.stamp_key_file.is_some() { "answers.stamp-key-file" } else { "answers.stamp-key-variable" };
            self.tell(
                Severity::Error,
                key,
                chain(&error),
                "redirects can't be stamped without it, and the server does not start",
            );
        }
        if let Some(path) = answers.stamp_key_file.clone() {
            self.readable_by_all("answers.stamp-key-file", &path, "who has the key can make stamps");
        }
    }

    fn readable_by_all(&mut self, key: &str, path: &Path, why: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        if std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0) {
            let text = format!("every user of this machine can read the key {}", path.display());
            self.tell(Severity::Warning, key, text, &format!("chmod o-r: {why}"));
        }
    }

    /// What stands in the way within the public tree.
    fn content(&mut self, public: &Root, hidden: &Hidden, now: Timestamp) {
        let survey = match survey::of(public, hidden, now) {
            Ok(survey) => survey,
            Err(LookError::Away) => return,
            Err(error) => return self.tell(Severity::Error, "tree.public", format!("it can't be walked: {error}"), ACCESS),
        };
        let at_least = if survey.is_whole { "" } else { "at least " };
        let mut some = |seen: &survey::Seen, severity, key: &str, what: &str, advice: &str| {
            if seen.count > 0 {
                let text = format!("{what}: {at_least}{}, the first is {}", grouped(seen.count), seen.first);
                self.tell(severity, key, text, advice);
            }
        };
        some(&survey.unreadable, Severity::Error, "tree.public", "files or folders that can't be read", ACCESS);
        let links = "they are answered with 404; name the folders where they end in tree.link-roots, if that is meant";
        some(&survey.forbidden, Severity::Warning, "tree.symlinks", "links that lead where none may, or nowhere", links);
        some(
            &survey.bad_names,
            Severity::Hint,
            "tree.public",
            "names that can't stand in a URL",
            "nobody can ask for them; rename them",
        );
        let future =
            "they count as new from the moment at which they are noticed; is this machine's clock, or the uploader's, right?";
        some(&survey.future, Severity::Hint, "tree.public", "files from the future", future);
        if survey.files == 0 && survey.is_whole {
            self.tell(
                Severity::Warning,
                "tree.public",
                "there are folders, but no file in them",
                "is something mounted elsewhere?",
            );
        }
        self.watches(survey.directories);
    }

    /// Each folder that is watched takes one of a limited number of the kernel's.
    fn watches(&mut self, directories: u64) {
        let limit =
            std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok().and_then(|text| text.trim().parse().ok());
        if let Some(limit) = limit.filter(|&limit: &u64| directories > limit) {
            let text = format!("{} folders, but the kernel watches {} at most", grouped(directories), grouped(limit));
            let advice = "changes in the others are found by the walk only; raise it: sysctl fs.inotify.max_user_watches";
            self.tell(Severity::Hint, "tree.walk-interval", text, advice);
        }
    }

    fn database(&mut self) {
        let path = &self.config.inventory.database;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        match Sqlite::inspect(path) {
            Err(error) => {
                let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
                self.tell(Severity::Error, "inventory.database", format!("{error}{source}"), "");
            }
            Ok(Inspection::Schema(_)) if access(path, Access::WRITE_OK).is_err() => {
                self.tell(Severity::Error, "inventory.database", format!("{} can't be written to", path.display()), ACCESS);
            }
            Ok(_) if !folder.is_dir() => {
                let text = format!("there is no folder {} for the database", folder.display());
                self.tell(
                    Severity::Error,
                    "inventory.database",
                    text,
                    "make it, and give it to the user that the server runs as",
                );
            }
            Ok(_) if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() => {
                self.tell(
                    Severity::Error,
                    "inventory.database",
                    format!("nothing can be created in {}", folder.display()),
                    ACCESS,
                );
            }
            Ok(_) => {}
        }
    }

    fn geoip(&mut self, now: Timestamp) {
        let (locator, problems) = match Locator::open(&self.config.geoip) {
            Ok(opened) => opened,
            Err(error) => return self.tell(Severity::Error, "geoip", error.to_string(), "install the program again"),
        };
        for problem in problems {
            self.tell(Severity::Error, problem.key, problem.reason, "until that is mended, the built-in database is used");
        }
        for database in locator.describe() {
            let old = database.built.filter(|built| now.as_second().saturating_sub(built.as_second()) > OLD_DATABASE);
            if let (Some(built), Source::File(path)) = (old, &database.source) {
                let text = format!("{} is of {}", path.display(), built.strftime("%Y-%m-%d"));
                self.tell(
                    Severity::Hint,
                    &format!("geoip.{}", database.role),
                    text,
                    "networks move; fetch a new one now and then",
                );
            }
        }
    }

    /// Whether the addresses are this machine's, and its ports open to this user. They may be taken: by the server that runs already.
    fn sockets(&mut self) {
        let server = &self.config.server;
        let of = |key: &'static str, addresses: &[SocketAddr]| addresses.iter().map(|a| (key, *a)).collect::<Vec<_>>();
        let mut all = of("server.listen", &server.listen);
        all.extend(of("server.listen-proxy-protocol", &server.listen_proxy_protocol));
        all.extend(of("server.admin-listen", server.admin_listen.as_slice()));
        for (key, address) in all {
            let ip = address.ip();
            if let Err(error) = TcpListener::bind((ip, 0)) {
                let text = format!("{ip} can't be listened to: {error}");
                self.tell(Severity::Error, key, text, "is it an address of this machine?");
            } else if address.port() < FIRST_FREE_PORT
                && let Err(error) = TcpListener::bind(address)
                && error.kind() == std::io::ErrorKind::PermissionDenied
            {
                let text = format!("this user may not listen at {address}: {error}");
                self.tell(Severity::Error, key, text, PORTS);
            }
        }
    }

    /// Whether what scans need besides the network is there: the program for rsync, files with passwords.
    fn ways(&mut self) {
        let mirrors = &self.config.mirrors;
        let by_rsync = |mirror: &&MirrorSettings| {
            mirror.enabled && mirror.rsync.is_some() && (mirror.scan_by.is_empty() || mirror.scan_by.contains(&Protocol::Rsync))
        };
        let program = &self.config.scan.rsync_program;
        if let Some(mirror) = mirrors.iter().find(by_rsync)
            && !is_there(program)
        {
            let text = format!("there is no program {}, which asks {} and others over rsync", program.display(), mirror.name);
            self.tell(
                Severity::Warning,
                "scan.rsync-program",
                text,
                "install rsync; until then, they are scanned by their next way",
            );
        }
        for (index, mirror) in mirrors.iter().enumerate() {
            let secrets =
                [("rsync-password-file", &mirror.rsync_password_file), ("ftp-password-file", &mirror.ftp_password_file)];
            for (key, path) in secrets.into_iter().filter_map(|(key, path)| Some((key, path.as_ref()?))) {
                self.secret(&format!("mirror[{index}].{key}"), path);
            }
        }
    }

    fn secret(&mut self, key: &str, path: &Path) {
        use std::os::unix::fs::PermissionsExt as _;
        match std::fs::metadata(path) {
            Err(error) => {
                self.tell(Severity::Error, key, format!("{} can't be read: {error}", path.display()), ACCESS);
            }
            Ok(_) if access(path, Access::READ_OK).is_err() => {
                self.tell(Severity::Error, key, format!("{} can't be read", path.display()), ACCESS);
            }
            Ok(metadata) if metadata.permissions().mode() & 0o007 != 0 => {
                let text = format!("everybody on this machine can read the password in {}", path.display());
                self.tell(Severity::Warning, key, text, "chmod o= it");
            }
            Ok(_) => {}
        }
    }

    fn open_files(&mut self) {
        let wanted = (self.config.server.max_connections as u64).saturating_add(OTHER_FILES);
        let Some(most) = getrlimit(Resource::Nofile).maximum.filter(|&most| most < wanted) else { return };
        let text =
            format!("{} connections, but a process may open {} files only", grouped(wanted - OTHER_FILES), grouped(most));
        let advice = "raise the limit (systemd: LimitNOFILE=) where the server runs, or lower this";
        self.tell(Severity::Hint, "server.max-connections", text, advice);
    }
}

/// From here on, ports are everybody's.
const FIRST_FREE_PORT: u16 = 1024;
const PORTS: &str = "run `check` as the user that the server runs as; for ports below 1024 it needs CAP_NET_BIND_SERVICE, as the systemd unit says";
const ACCESS: &str = "run `check` as the user that the server runs as; that user needs to get at it";
const LEAK: &str = "files that are not public would be handed out and sent to mirrors; name the folder that mirrors copy";

/// Whether a program can be found as the system finds it.
fn is_there(program: &Path) -> bool {
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.components().count() > 1 {
        return runs(program);
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| runs(&folder.join(program))))
}

fn is_application(folder: &Path) -> bool {
    folder.join("temp").is_dir() && folder.join("extracted").is_dir()
}
