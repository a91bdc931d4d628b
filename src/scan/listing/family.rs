//! The server families, and what a listing of each leaves out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who wrote a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Family {
    /// Apache httpd's `mod_autoindex`, in any of its forms.
    Apache,
    /// nginx's `autoindex` as HTML.
    Nginx,
    /// nginx's `autoindex` as JSON or JSONP.
    NginxJson,
    /// nginx's `autoindex` as XML.
    NginxXml,
    /// nginx's third-party `fancyindex`.
    Fancyindex,
    /// lighttpd's `mod_dirlisting`.
    Lighttpd,
    /// Caddy's `file_server browse` as HTML, and `rclone serve`, whose page is made after it.
    Caddy,
    /// Caddy's `file_server browse` as JSON.
    CaddyJson,
    /// h2o's `file.dirlisting`.
    H2o,
    /// Python's `http.server`.
    Python,
    /// Apache Tomcat's default servlet.
    Tomcat,
    /// Eclipse Jetty.
    Jetty,
    /// Twisted Web.
    Twisted,
    /// Ruby's WEBrick.
    Webrick,
    /// ACME's `mini_httpd` and `micro_httpd`.
    MiniHttpd,
    /// ACME's `thttpd` and what goes by its example.
    Thttpd,
    /// darkhttpd.
    Darkhttpd,
    /// merecat, a successor of `thttpd`.
    Merecat,
    /// webfs.
    Webfs,
    /// CivetWeb and its forerunner Mongoose.
    Civetweb,
    /// Erlang's inets.
    Inets,
    /// npm's `http-server`.
    HttpServer,
    /// npm's `serve`, HTML or JSON.
    Serve,
    /// npm's `serve-index`, HTML or JSON.
    ServeIndex,
    /// S3's ListObjectsV2, or the older ListObjects.
    S3,
    /// No page at all: what rsync lists.
    Rsync,
    /// No page at all: what an FTP server lists.
    Ftp,
    /// Not known: names only, and only because the page says that it is a listing.
    Generic,
}

impl Family {
    /// Whether a file of this name may be there although a complete listing does not show it.
    ///
    /// nginx and lighttpd leave out names with a leading dot, Apache by default also what editors and RCS leave behind, and
    /// whatever it shows above and below the list (`HEADER`, `README`).
    #[must_use]
    pub fn may_leave_out(self, name: &[u8]) -> bool {
        let hidden = name.first() == Some(&b'.');
        let left_behind =
            || matches!(name.last(), Some(b'~' | b'#')) || [&b",v"[..], b",t"].iter().any(|end| name.ends_with(end));
        let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
        let shown_elsewhere = || begins(b"HEADER") || begins(b"README") || matches!(name, b"RCS" | b"CVS");
        match self {
            Self::CaddyJson | Self::S3 | Self::Rsync => false,
            Self::Apache | Self::Lighttpd | Self::Generic => hidden || left_behind() || shown_elsewhere(),
            _ => hidden,
        }
    }

    /// Whether the times that it shows of directories are those of the file system: they change with what is directly in them.
    #[must_use]
    pub const fn shows_times_of_directories(self) -> bool {
        matches!(
            self,
            Self::Apache | Self::Nginx | Self::NginxJson | Self::NginxXml | Self::Fancyindex | Self::Lighttpd | Self::Caddy
        )
    }

    /// The family's name, as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apache => "Apache",
            Self::Nginx => "nginx",
            Self::NginxJson => "nginx JSON",
            Self::NginxXml => "nginx XML",
            Self::Fancyindex => "nginx fancyindex",
            Self::Lighttpd => "lighttpd",
            Self::Caddy => "Caddy",
            Self::CaddyJson => "Caddy JSON",
            Self::H2o => "h2o",
            Self::Python => "Python http.server",
            Self::Tomcat => "Tomcat",
            Self::Jetty => "Jetty",
            Self::Twisted => "Twisted",
            Self::Webrick => "WEBrick",
            Self::MiniHttpd => "mini_httpd",
            Self::Thttpd => "thttpd",
            Self::Darkhttpd => "darkhttpd",
            Self::Merecat => "merecat",
            Self::Webfs => "webfs",
            Self::Civetweb => "CivetWeb",
            Self::Inets => "inets",
            Self::HttpServer => "http-server",
            Self::Serve => "serve",
            Self::ServeIndex => "serve-index",
            Self::S3 => "S3",
            Self::Rsync => "rsync",
            Self::Ftp => "FTP",
            Self::Generic => "unknown",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
