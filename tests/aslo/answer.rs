//! What the redirector answers, as far as the stories tell of it.

use reqwest::header::{HeaderMap, LOCATION};

/// An answer, with its body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("readable"))
    }

    pub fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    /// Why it was answered like that: `no-mirror`, `young`, `country`.
    pub fn why(&self) -> &str {
        self.named("why=")
    }

    /// The mirror that it sends to.
    pub fn mirror(&self) -> &str {
        self.named("mirror=")
    }

    fn named(&self, key: &str) -> &str {
        let words = self.header("x-redirector").split([';', ' ']);
        words.filter_map(|word| word.strip_prefix(key)).next().unwrap_or("")
    }

    /// The URLs of all mirrors that it names, best first.
    pub fn links(&self) -> Vec<&str> {
        let lines = self.headers.get_all("link").iter().map(|value| value.to_str().expect("readable"));
        let duplicates = lines.filter(|line| line.contains("; rel=duplicate"));
        duplicates.filter_map(|line| line.strip_prefix('<')?.split('>').next()).collect()
    }

    /// Status and reason in a word: `200 young`, `302 leiden`, `404`.
    pub fn gist(&self) -> String {
        let word = if self.mirror().is_empty() { self.why() } else { self.mirror() };
        format!("{} {word}", self.status).trim_end().to_owned()
    }
}
