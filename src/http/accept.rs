//! `Accept` (RFC 9110 section 12.5.1): in which form an answer that has several is wanted.

use http::HeaderMap;
use http::header::ACCEPT;

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

/// How much a form is liked, in thousandths, by the most specific range that takes it in.
fn quality(headers: &HeaderMap, form: Form) -> u32 {
    let (exact, wide) = form.names();
    let mut found = (0, 0);
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';');
        let name = parts.next().unwrap_or("").trim();
        let specific = match name {
            _ if name.eq_ignore_ascii_case(exact) => 3,
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
    found.1
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
}
