//! A configured file: looked at again and again, and read when it is another one.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::database::Database;
use super::file::{self, Identity};
use super::report::DatabaseInfo;
use super::{Error, Role, Source};
use crate::cause::chain;

/// The key of the configuration that names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Location,
    LocationIpv6,
    Asn,
}

impl Key {
    pub(super) const fn role(self) -> Role {
        match self {
            Self::Location | Self::LocationIpv6 => Role::Location,
            Self::Asn => Role::Asn,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Location => "geoip.location",
            Self::LocationIpv6 => "geoip.location-ipv6",
            Self::Asn => "geoip.asn",
        }
    }
}

/// A configured file and the database that came from it last.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) key: Key,
    path: PathBuf,
    /// What the file was when it was last tried; `None` to try again in any case.
    tried: Option<Identity>,
    pub(super) database: Option<Arc<Database>>,
    problem: Option<String>,
}

impl Slot {
    pub(super) const fn new(key: Key, path: PathBuf) -> Self {
        Self { key, path, tried: None, database: None, problem: None }
    }

    /// Opens the file if it isn't the one that was tried last. Tells each change once.
    pub(super) fn refresh(&mut self) -> Option<Change> {
        let identity = file::identify(&self.path);
        if let (Ok(now), Some(tried)) = (&identity, &self.tried)
            && now == tried
        {
            return None;
        }
        match identity.and_then(|identity| self.load(identity)) {
            Ok(database) => {
                self.problem = None;
                let built = database.built();
                self.database = Some(database);
                Some(Change::Replaced { key: self.key.as_str(), path: self.path.clone(), built })
            }
            Err(error) => {
                if error.is_passing() {
                    self.tried = None;
                }
                let reason = chain(&error);
                let is_news = self.problem.replace(reason) != self.problem;
                is_news.then(|| self.problem().map(Change::Refused)).flatten()
            }
        }
    }

    fn load(&mut self, identity: Identity) -> Result<Arc<Database>, Error> {
        self.tried = Some(identity);
        let opened = file::read(&self.path).and_then(|(bytes, read)| {
            self.tried = Some(read);
            Database::open(bytes, Source::File(self.path.clone()), self.key.role())
        });
        opened.map(Arc::new)
    }

    pub(super) fn problem(&self) -> Option<Problem> {
        let reason = self.problem.clone()?;
        Some(Problem { key: self.key.as_str(), path: self.path.clone(), reason, is_old_kept: self.database.is_some() })
    }

    pub(super) fn describe(&self) -> DatabaseInfo {
        let known = self.database.as_ref().map(|database| DatabaseInfo::new(self.key.role(), database));
        let mut info = known.unwrap_or_else(|| DatabaseInfo::missing(self.key.role(), &self.path));
        info.problem = self.problem.clone().or(info.problem);
        info
    }
}

/// Why a configured database is not in use, or not the file that is there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key of the configuration: `geoip.location`.
    pub key: &'static str,
    /// The configured path.
    pub path: PathBuf,
    /// What is wrong with the file.
    pub reason: String,
    /// Whether the database that was read from the file before stays in use; else the built-in one serves.
    pub is_old_kept: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instead = if self.is_old_kept { "the one read before stays in use" } else { "the built-in database is used" };
        write!(f, "{}: {}; {instead}", self.key, self.reason)
    }
}

/// What [`super::Locator::refresh`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A database is now in use that was not before.
    Replaced {
        /// The key of the configuration: `geoip.location`.
        key: &'static str,
        /// The configured path.
        path: PathBuf,
        /// When it was made.
        built: Option<Timestamp>,
    },
    /// A file became unusable.
    Refused(Problem),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced { key, path, built } => {
                write!(f, "{key}: {} is now in use", path.display())?;
                built.map_or(Ok(()), |built| write!(f, ", made {}", built.strftime("%Y-%m-%d")))
            }
            Self::Refused(problem) => problem.fmt(f),
        }
    }
}
