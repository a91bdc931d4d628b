//! Pages: the list of a directory, and errors; each as HTML, JSON or text.

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::accept::Form;
use crate::geo::Credit;
use crate::model::ByteSize;

/// The list of a directory.
#[derive(Template, Serialize, Debug)]
#[template(path = "index.html", config = "src/http/templates/askama.toml")]
pub struct Index {
    /// The path as people read it, with slashes at both ends.
    pub path: String,
    /// Whether there is a directory above it that is listed too.
    #[serde(skip)]
    pub has_parent: bool,
    /// What is in it.
    #[serde(rename = "entries")]
    pub rows: Vec<Row>,
    /// Whether there is more in it.
    pub truncated: bool,
    /// What the licence of a GeoIP database wants pages to say.
    #[serde(skip)]
    pub credit: Option<Credit>,
}

/// An entry of a directory.
#[derive(Serialize, Debug)]
pub struct Row {
    /// The name as people read it.
    pub name: String,
    /// The link to it, relative to the directory and percent-encoded; with a slash at the end if it is a directory.
    pub href: String,
    #[serde(rename = "directory")]
    /// Whether it is a directory itself.
    pub is_directory: bool,
    /// Bytes, of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it was last written.
    pub modified: Timestamp,
}

impl Row {
    fn size_for_people(&self) -> String {
        self.size.map_or_else(String::new, |size| ByteSize(size).to_string())
    }

    fn time_for_people(&self) -> String {
        self.modified.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

impl Index {
    /// The list in a form.
    #[must_use]
    pub fn render(&self, form: Form) -> String {
        match form {
            Form::Html => self.to_string(),
            Form::Json => serde_json::to_string(self).unwrap_or_default(),
            Form::Text => self.rows.iter().fold(String::new(), |text, row| text + &row.href + "\n"),
        }
    }
}

/// Room in memory for lists that are under way to clients: a list is many times larger than its request, and who asks for
/// hundreds at once and reads none must not fill the memory.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

/// What the lists of one instance that nobody has read yet may take together: about 40 of directories with 10,000 entries.
const ROOM_BYTES: usize = 64 * 1024 * 1024;
/// Room is given in pieces of this size.
const PIECE_BYTES: usize = 1024;

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_BYTES / PIECE_BYTES)))
    }
}

/// A list, and its room for as long as it is in memory.
struct Kept {
    text: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Room {
    /// A list that takes its room until it is sent or given up; `None` where too many are under way.
    #[must_use]
    pub fn keep(&self, text: impl Into<Vec<u8>>) -> Option<Bytes> {
        let text = text.into();
        let pieces = u32::try_from(text.len().div_ceil(PIECE_BYTES)).ok()?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(pieces).ok()?;
        Some(Bytes::from_owner(Kept { text, _room: permit }))
    }
}

#[derive(Template)]
#[template(path = "error.html", config = "src/http/templates/askama.toml")]
struct ErrorPage<'a> {
    status: u16,
    title: &'a str,
    detail: &'a str,
}

/// An error in a form.
#[must_use]
pub fn error(status: StatusCode, detail: &str, form: Form) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    match form {
        Form::Html => ErrorPage { status: status.as_u16(), title, detail }.to_string(),
        Form::Json => json!({ "status": status.as_u16(), "error": title, "detail": detail }).to_string(),
        Form::Text => format!("{} {title}: {detail}\n", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let row = |name: &str, size: Option<u64>| Row {
            name: name.to_owned(),
            href: name.replace('<', "%3C"),
            is_directory: size.is_none(),
            size,
            modified: Timestamp::UNIX_EPOCH,
        };
        let rows = vec![row("4078", None), row("a<b.xo", Some(676_401))];
        Index {
            path: "/activities/".to_owned(),
            has_parent: true,
            rows,
            truncated: true,
            credit: Some(Credit { text: "IP data & more", url: "https://geo.example/?a&b" }),
        }
    }

    #[test]
    fn names_in_a_page_are_escaped() {
        let page = index().render(Form::Html);
        assert!(page.contains(r#"<a href="./a%3Cb.xo">a&#60;b.xo</a>"#), "{page}");
        assert!(page.contains("660.5 KiB") && page.contains("1970-01-01 00:00") && page.contains("only the first 2"), "{page}");
        assert!(page.contains("IP data &#38; more") && page.contains(r#"<a href="../">"#), "{page}");
        assert!(!page.contains("<script"), "{page}");
        assert!(error(StatusCode::NOT_FOUND, "no <file>", Form::Html).contains("no &#60;file&#62;"));
    }

    #[test]
    fn lists_that_nobody_reads_take_a_limited_room() {
        let room = Room::default();
        let list = || room.keep("x".repeat(ROOM_BYTES / 2));
        let (first, second) = (list(), list());
        assert!(first.is_some() && second.is_some() && list().is_none());
        let part = first.map(|list| list.slice(..10));
        assert!(list().is_none(), "a part that is not sent yet keeps the whole in memory");
        drop(part);
        assert!(list().is_some());
    }

    #[test]
    fn programs_get_the_list_as_json() {
        let list: serde_json::Value = serde_json::from_str(&index().render(Form::Json)).expect("JSON");
        assert_eq!(
            list["entries"][1],
            json!({ "name": "a<b.xo", "href": "a%3Cb.xo", "directory": false, "size": 676_401, "modified": "1970-01-01T00:00:00Z" })
        );
        assert_eq!(list["path"], "/activities/");
        assert_eq!(list["truncated"], true);
    }
}
