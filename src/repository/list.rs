//! Lists of mirrors as package managers read them: text, one URL a line.

use std::fmt::Write as _;

/// The list that apt's `mirror+http` method reads (apt-transport-mirror(1)), for apt 1.6 and later.
///
/// Indexes come from `origin`, packages from `mirrors`, in this order, and from the origin where no mirror has them. The last
/// line fits every type of file: apt waits for ever for a type that no line fits. All are base URLs, percent-encoded.
#[must_use]
pub fn apt(origin: &str, mirrors: &[String]) -> String {
    let mut list = format!("{origin}\tpriority:1 type:index\n");
    let (mut last, mut priority) = (LAST_PRIORITY, FIRST_MIRROR);
    for mirror in mirrors {
        writeln!(list, "{mirror}\tpriority:{priority} type:deb").expect("a text takes all");
        priority += 1;
        last = last.max(priority);
    }
    writeln!(list, "{origin}\tpriority:{last}").expect("a text takes all");
    list
}

const FIRST_MIRROR: usize = 2;
const LAST_PRIORITY: usize = 99;

/// The list that `mirrorlist=` of dnf, yum and zypper means: base URLs, best first, and the origin for when they all fail.
#[must_use]
pub fn rpm(origin: &str, mirrors: &[String]) -> String {
    let mut list = String::new();
    for url in mirrors.iter().map(String::as_str).chain([origin]) {
        list.push_str(url);
        list.push('\n');
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_gets_indexes_from_the_origin_and_packages_from_mirrors() {
        let mirrors = ["http://a.example/debian/".to_owned(), "http://b.example/debian/".to_owned()];
        let expected = "http://origin.example/debian/\tpriority:1 type:index\n\
                        http://a.example/debian/\tpriority:2 type:deb\n\
                        http://b.example/debian/\tpriority:3 type:deb\n\
                        http://origin.example/debian/\tpriority:99\n";
        assert_eq!(apt("http://origin.example/debian/", &mirrors), expected);
        let alone = "http://o.example/\tpriority:1 type:index\nhttp://o.example/\tpriority:99\n";
        assert_eq!(apt("http://o.example/", &[]), alone);
        let many = vec!["http://m.example/".to_owned(); 150];
        assert!(apt("http://o.example/", &many).ends_with("priority:151 type:deb\nhttp://o.example/\tpriority:152\n"));
    }

    #[test]
    fn the_origin_is_the_last_of_plain_lists() {
        assert_eq!(
            rpm("http://o.example/8/", &["http://a.example/8/".to_owned()]),
            "http://a.example/8/\nhttp://o.example/8/\n"
        );
        assert_eq!(rpm("http://o.example/8/", &[]), "http://o.example/8/\n");
    }
}
