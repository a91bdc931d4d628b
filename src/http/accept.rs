//! `Accept` (RFC 9110 section 12.5.1): in which form an answer that has several is wanted.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

use crate::format::Kind;

/// A form of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A page for people.
    Html,
    /// For programs.
    Json,
    /// Plain text.
    Text,
}

impl Form {
    /// Its media type, with its charset where it has one.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        }
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Html => ("text/html", "text/*"),
            Self::Json => ("application/json", "application/*"),
            Self::Text => ("text/plain", "text/*"),
        }
    }
}

/// The form that the client likes best; among equals, and where it likes none, the one that comes first.
#[must_use]
pub fn best(headers: &HeaderMap, forms: &[Form; 3]) -> Form {
    if !headers.contains_key(ACCEPT) {
        return forms[0];
    }
    let mut best = (forms[0], 0);
    for &form in forms {
        let quality = quality(headers, form);
        if quality > best.1 {
            best = (form, quality);
        }
    }
    best.0
}

/// The metalink that a client would rather have than the file itself: one that it names and likes no less. `*/*` alone asks
/// for the file. What type the file is of is asked only where a metalink is named, which hardly any request does.
#[must_use]
pub fn metalink(headers: &HeaderMap, of_file: impl FnOnce() -> &'static str) -> Option<Kind> {
    let mentions = |line: &HeaderValue| line.as_bytes().windows(METALINK.len()).any(|part| part.eq_ignore_ascii_case(METALINK));
    if !headers.get_all(ACCEPT).iter().any(mentions) {
        return None;
    }
    let of_file = of_file();
    let wide = of_file.split('/').next().map_or_else(String::new, |kind| format!("{kind}/*"));
    let (_, file) = weigh(headers, of_file, &wide);
    let liked = |kind: Kind| match weigh(headers, kind.media_type(), "") {
        (EXACT, quality) if quality > 0 && quality >= file => quality,
        _ => 0,
    };
    let (version_4, version_3) = (liked(Kind::Meta4), liked(Kind::Metalink));
    match () {
        () if version_4 > 0 && version_4 >= version_3 => Some(Kind::Meta4),
        () if version_3 > 0 => Some(Kind::Metalink),
        () => None,
    }
}

const METALINK: &[u8] = b"metalink";
/// How specific a range is that names one type.
const EXACT: u32 = 3;

fn quality(headers: &HeaderMap, form: Form) -> u32 {
    let (exact, wide) = form.names();
    weigh(headers, exact, wide).1
}

/// How much a type is liked, in thousandths, by the most specific range that takes it in; and how specific that is.
fn weigh(headers: &HeaderMap, exact: &str, wide: &str) -> (u32, u32) {
    let mut found = (0, 0);
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';');
        let name = parts.next().unwrap_or("").trim();
        let specific = match name {
            _ if name.eq_ignore_ascii_case(exact) => EXACT,
            _ if name.eq_ignore_ascii_case(wide) => 2,
            "*/*" => 1,
            _ => continue,
        };
        let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).and_then(|q| q.trim().parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000; a NaN becomes 0")]
        let thousandths = (weight.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32;
        if specific >= found.0 {
            found = (specific, thousandths);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_form_is_chosen() {
        let page = [Form::Html, Form::Json, Form::Text];
        let plain = [Form::Text, Form::Json, Form::Html];
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, of_page, of_plain) in [
            ("*/*", Form::Html, Form::Text),
            (browser, Form::Html, Form::Html),
            ("application/json", Form::Json, Form::Json),
            ("Application/JSON", Form::Json, Form::Json),
            ("application/json, text/plain, */*", Form::Html, Form::Text),
            ("application/json;q=0.9, text/html;q=0.2", Form::Json, Form::Json),
            ("text/html;q=0, */*", Form::Json, Form::Text),
            ("text/*;q=0.5", Form::Html, Form::Text),
            ("image/png", Form::Html, Form::Text),
            ("", Form::Html, Form::Text),
            (";;,q=,text/html;q=x", Form::Html, Form::Html),
            ("application/json;q=NaN", Form::Html, Form::Text),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().expect("a header value"));
            assert_eq!(best(&headers, &page), of_page, "{accept}");
            assert_eq!(best(&headers, &plain), of_plain, "{accept}");
        }
        assert_eq!(best(&HeaderMap::new(), &page), Form::Html);
    }

    #[test]
    fn a_metalink_is_for_who_names_it_and_likes_it_no_less_than_the_file() {
        let file = "application/octet-stream";
        for (accept, expected) in [
            ("*/*", None),
            ("application/*", None),
            ("text/html,application/xhtml+xml,*/*;q=0.8", None),
            ("*/*,application/metalink4+xml,application/metalink+xml", Some(Kind::Meta4)),
            ("*/*, application/metalink+xml, application/metalink4+xml", Some(Kind::Meta4)),
            ("application/metalink+xml", Some(Kind::Metalink)),
            ("Application/Metalink4+XML", Some(Kind::Meta4)),
            ("application/metalink4+xml;q=0.5, application/metalink+xml;q=0.7, */*;q=0.6", Some(Kind::Metalink)),
            ("application/metalink4+xml;q=0.5, */*", None),
            ("application/metalink4+xml;q=0", None),
            ("application/metalink4+xml;q=0, application/metalink+xml", Some(Kind::Metalink)),
            ("application/metalink4+xml, application/octet-stream", Some(Kind::Meta4)),
            ("application/metalink4+xml;q=0.9, application/octet-stream, */*;q=0.1", None),
            ("application/metalink4+xmlx", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().expect("a header value"));
            assert_eq!(metalink(&headers, || file), expected, "{accept}");
        }
        assert_eq!(metalink(&HeaderMap::new(), || file), None);
    }
}
