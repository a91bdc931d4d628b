//! Which instance a request is for: by the name that it was sent to and its path. The only list of routes.

use crate::model::{Prefix, RequestPath, TreePath};

/// What one instance answers to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Host names, in lower case and without port; none: any.
    hosts: Vec<String>,
    prefix: Prefix,
}

impl Route {
    /// A route for `server.hosts` and `tree.prefix`.
    #[must_use]
    pub fn new(hosts: &[String], prefix: Prefix) -> Self {
        Self { hosts: hosts.iter().map(|host| bare_host(host).to_ascii_lowercase()).collect(), prefix }
    }

    /// The prefix.
    #[must_use]
    pub const fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    fn answers_to(&self, host: Option<&str>) -> bool {
        let is_own = |host: &str| self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        self.hosts.is_empty() || host.is_some_and(|host| is_own(bare_host(host)))
    }
}

/// The route that answers, and the path below its prefix: the longest prefix wins, and of two instances with the same
/// prefix the one that names the host.
pub fn find<'r, 'p>(
    routes: impl Iterator<Item = &'r Route>,
    host: Option<&str>,
    path: &'p RequestPath<'_>,
) -> Option<(usize, TreePath<'p>)> {
    routes
        .enumerate()
        .filter(|(_, route)| route.answers_to(host))
        .filter_map(|(index, route)| Some((route, index, path.below(&route.prefix)?)))
        .max_by_key(|(route, index, _)| (route.prefix.len(), !route.hosts.is_empty(), std::cmp::Reverse(*index)))
        .map(|(_, index, below)| (index, below))
}

/// A host without port and without the dot at the end of a full name.
fn bare_host(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Vec<Route> {
        [
            (&[][..], "/"),
            (&[], "/activities"),
            (&[], "/activities-devel"),
            (&["download.example.org"], "/activities"),
            (&["Other.Example.ORG", "[2001:db8::1]"], "/activities/deep"),
        ]
        .into_iter()
        .map(|(hosts, prefix)| {
            let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
            Route::new(&hosts, Prefix::parse(prefix).expect("a prefix"))
        })
        .collect()
    }

    fn found(host: Option<&str>, path: &str) -> Option<(usize, String)> {
        let path = RequestPath::parse(path).expect("a path");
        find(routes().iter(), host, &path).map(|(index, below)| (index, below.to_string()))
    }

    #[test]
    fn the_longest_prefix_wins_at_a_segment_boundary() {
        let host = Some("a.example");
        assert_eq!(found(host, "/x"), Some((0, "x".to_owned())));
        assert_eq!(found(host, "/activities/1/x.xo"), Some((1, "1/x.xo".to_owned())));
        assert_eq!(found(host, "/activities-devel/1/x.xo"), Some((2, "1/x.xo".to_owned())));
        assert_eq!(found(host, "/activities%2ddevel/1/x.xo"), Some((2, "1/x.xo".to_owned())));
        assert_eq!(found(host, "//activities//1/x.xo"), Some((1, "1/x.xo".to_owned())));
        assert_eq!(found(host, "/activities-other/x"), Some((0, "activities-other/x".to_owned())));
        assert_eq!(found(None, "/activities"), Some((1, String::new())));
    }

    #[test]
    fn a_named_host_comes_before_any_host() {
        for host in ["download.example.org", "DOWNLOAD.example.org:8080", "download.example.org."] {
            assert_eq!(found(Some(host), "/activities/x"), Some((3, "x".to_owned())), "{host}");
        }
        assert_eq!(found(Some("other.example.org:80"), "/activities/deep/x"), Some((4, "x".to_owned())));
        assert_eq!(found(Some("[2001:db8::1]:8080"), "/activities/deep/x"), Some((4, "x".to_owned())));
        assert_eq!(found(Some("[2001:db8::1]"), "/activities/deep/x"), Some((4, "x".to_owned())));
        assert_eq!(found(Some("a.example"), "/activities/deep/x"), Some((1, "deep/x".to_owned())));
    }

    #[test]
    fn what_no_instance_answers_to_is_none() {
        let only = [Route::new(&["a.example".to_owned()], Prefix::parse("/activities").expect("a prefix"))];
        let path = RequestPath::parse("/activities/x").expect("a path");
        assert!(find(only.iter(), Some("a.example"), &path).is_some());
        assert!(find(only.iter(), Some("b.example"), &path).is_none());
        assert!(find(only.iter(), None, &path).is_none());
        assert!(find(only.iter(), Some("a.example"), &RequestPath::parse("/other").expect("a path")).is_none());
    }
}
