//! The ways in which a mirror can be asked what it has.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::path::TreePath;

/// How a mirror is scanned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// By rsync.
    Rsync,
    /// By FTP.
    Ftp,
    /// By its listings over HTTP.
    Http,
    /// File by file, by HEAD requests.
    Head,
    /// By a file that changes with the mirror: while it does not, nothing else is asked.
    Stamp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Rsync, Self::Ftp, Self::Http, Self::Head, Self::Stamp];
    /// Those that find out what a mirror has, the cheapest first.
    pub const WAYS: [Self; 4] = [Self::Rsync, Self::Ftp, Self::Http, Self::Head];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsync => "rsync",
            Self::Ftp => "ftp",
            Self::Http => "http",
            Self::Head => "head",
            Self::Stamp => "stamp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One of [`Protocol::WAYS`]: a stamp alone tells nothing.
impl<'de> Deserialize<'de> for Protocol {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let word = String::deserialize(d)?;
        let known = Self::WAYS.into_iter().find(|way| way.as_str() == word);
        known.ok_or_else(|| {
            de::Error::custom(format!("{word:?} is no way to scan; there are \"rsync\", \"ftp\", \"http\", \"head\""))
        })
    }
}

/// What the configuration says about scanning one mirror, besides its URLs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scanning {
    /// The ways to try, in this order. Empty: all that the mirror has, the cheapest first.
    pub by: Vec<Protocol>,
    /// A file with the password of the user in the rsync URL.
    pub rsync_password_file: Option<PathBuf>,
    /// A file with the password of the user in the FTP URL.
    pub ftp_password_file: Option<PathBuf>,
    /// A file below the base URL that changes whenever the mirror does.
    pub stamp: Option<TreePath<'static>>,
}

impl Scanning {
    /// The ways to try, in order.
    #[must_use]
    pub fn ways(&self) -> &[Protocol] {
        if self.by.is_empty() { &Protocol::WAYS } else { &self.by }
    }
}

/// Reads the path of a file below a base URL.
///
/// # Errors
/// When it is no path.
pub fn path_below<'de, D: Deserializer<'de>>(d: D) -> Result<Option<TreePath<'static>>, D::Error> {
    let text = String::deserialize(d)?;
    match TreePath::parse(text.clone().into_bytes()) {
        Ok(path) if !path.is_root() => Ok(Some(path)),
        Ok(_) => Err(de::Error::custom("an empty path; name a file below the mirror's URL, like \"project/trace/main\"")),
        Err(error) => Err(de::Error::custom(format!("{text:?} is no path below the mirror's URL: {error}"))),
    }
}
