//! The likeliest right name for one that nobody knows: a slip of the pen, a neighbour's key, another program's word.

/// What people who come from elsewhere write, and what it is called here: section, their word, ours.
const SYNONYMS: [(&str, &str, &str); 22] = [
    ("server", "port", "listen"),
    ("server", "bind", "listen"),
    ("server", "address", "listen"),
    ("server", "admin", "admin-listen"),
    ("server", "metrics", "admin-listen"),
    ("server", "url", "public-url"),
    ("server", "server-name", "hosts"),
    ("server", "domains", "hosts"),
    ("tree", "root", "public"),
    ("tree", "path", "public"),
    ("tree", "repository", "public"),
    ("tree", "exclude", "hidden"),
    ("tree", "delay", "min-age"),
    ("inventory", "path", "database"),
    ("inventory", "file", "database"),
    ("geoip", "database", "location"),
    ("geoip", "city", "location"),
    ("geoip", "country", "location"),
    ("mirror", "identifier", "name"),
    ("mirror", "url", "https"),
    ("mirror", "weight", "score"),
    ("mirror", "region", "continent"),
];

/// The candidate that `word` was most likely meant to be, if one is close.
pub(super) fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = normal(word);
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &normal(candidate));
    // A third of the letters may be wrong; in a word of three or four letters, one.
    let close = |candidate: &str| distance(candidate) <= (word.chars().count().max(candidate.len()) / 3).max(1);
    let best = candidates.iter().copied().filter(|c| close(c)).min_by_key(|c| distance(c));
    best.or_else(|| {
        let contains = |c: &str| word.len() >= 4 && (normal(c).contains(&word) || (c.len() >= 4 && word.contains(&normal(c))));
        let mut holders = candidates.iter().copied().filter(|c| contains(c));
        holders.next().filter(|_| holders.next().is_none())
    })
}

/// What another program's word is called in `section`.
pub(super) fn translate(section: &str, word: &str) -> Option<&'static str> {
    let word = normal(word);
    SYNONYMS.iter().find(|(place, theirs, _)| *place == section && *theirs == word).map(|(_, _, ours)| *ours)
}

fn normal(word: &str) -> String {
    word.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 6] = ["min-age", "min-size", "public", "application", "http", "exclude-countries"];

    #[test]
    fn a_slip_of_the_pen_finds_its_word() {
        for (word, right) in [
            ("min-agee", Some("min-age")),
            ("min_age", Some("min-age")),
            ("Min-Size", Some("min-size")),
            ("pulbic", Some("public")),
            ("aplication", Some("application")),
            ("exclude-country", Some("exclude-countries")),
            ("htp", Some("http")),
            ("countries", Some("exclude-countries")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &KEYS), right, "{word}");
        }
    }

    #[test]
    fn words_of_other_programs_are_translated() {
        assert_eq!(translate("mirror", "weight"), Some("score"));
        assert_eq!(translate("server", "server_name"), Some("hosts"));
        assert_eq!(translate("tree", "weight"), None);
    }
}
