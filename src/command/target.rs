//! What a path on the command line means: what a client asks for, as a URL, as a path with the prefix, or as the path
//! below the prefix.

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::http::{Route, route};
use crate::model::{RequestPath, Scheme, TreePath};

/// A path on the command line, found in one of the configurations.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// The configuration of the instance that answers for it.
    pub(crate) config: &'a Config,
    /// The path below the instance's prefix.
    pub(crate) path: TreePath<'static>,
    /// How the client asks; a URL says so, else `Http`.
    pub(crate) scheme: Scheme,
    /// Whether it was written with a slash at the end.
    pub(crate) is_directory: bool,
}

/// Finds the instance and the path below its prefix.
pub(crate) fn find<'a>(configs: &'a [Config], text: &str) -> anyhow::Result<Target<'a>> {
    let (scheme, host, rest) = split(text)?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // Most likely a variable of a shell that was not set; the whole tree must not be put on hold for that.
    if host.is_none() && rest.trim().is_empty() {
        bail!("the path is empty; the whole tree is its prefix, like /");
    }
    let absolute = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let request = RequestPath::parse(&absolute).with_context(|| format!("{text:?} is no path that a client could ask for"))?;
    if host.is_none() && !rest.starts_with('/') {
        let [config] = configs else {
            bail!("{text:?} could be in any of {} instances; write it with its prefix, like /activities/{text}", configs.len());
        };
        return Ok(Target { config, path: request.whole().clone().into_owned(), scheme, is_directory: request.is_directory() });
    }
    // Without a host, any will do.
    let hosts = |config: &Config| if host.is_some() { config.server.hosts.clone() } else { Vec::new() };
    let routes: Vec<Route> = configs.iter().map(|config| Route::new(&hosts(config), config.tree.prefix.clone())).collect();
    match route::find(routes.iter(), host, &request) {
        Some((index, _)) if host.is_none() && routes.iter().filter(|route| **route == routes[index]).count() > 1 => {
            bail!("{text:?} could be in several instances with that prefix; write it as a URL, like http://HOST{absolute}")
        }
        Some((index, path)) => {
            Ok(Target { config: &configs[index], path: path.into_owned(), scheme, is_directory: request.is_directory() })
        }
        None => {
            let prefixes: Vec<String> = configs.iter().map(|config| config.tree.prefix.encoded()).collect();
            bail!("no instance answers for {text:?}; the configured prefixes are {}", prefixes.join(", "))
        }
    }
}

/// Reads the reason of an order. One that says nothing is none.
pub(crate) fn reason(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("say why; whoever looks into it later wants to know") } else { Ok(text.to_owned()) }
}

fn split(text: &str) -> anyhow::Result<(Scheme, Option<&str>, &str)> {
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.contains('/')) else {
        return Ok((Scheme::Http, None, text));
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => bail!("{text:?} is a {other} URL; clients ask by http or https"),
    };
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, "/"), |at| rest.split_at(at));
    let path = if path.starts_with('/') { path } else { "/" };
    Ok((scheme, Some(authority), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_finds_the_instance_that_the_server_would_find() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = |name: &str, hosts: &str| {
            let path = folder.path().join(name);
            let text = format!("[server]\nhosts = [{hosts}]\n[tree]\nprefix = '/activities'\npublic = '/nowhere'\n");
            crate::durable::write(&path, text.as_bytes()).expect("written");
            path
        };
        let paths = [config("named.toml", "'a.example', '[::1]'"), config("any.toml", "")];
        let configs = crate::config::read_all(&paths).expect("good");
        for (text, expected) in [
            ("http://a.example/activities/x.xo", Some("named")),
            ("HTTP://A.example.:8080/activities/x.xo?query", Some("named")),
            ("https://[::1]:8443/activities/", Some("named")),
            ("http://b.example/activities/x.xo", Some("any")),
            ("/activities/x.xo", None),
            ("x.xo", None),
            ("http://a.example?/activities/x.xo", None),
            ("ftp://a.example/activities/x.xo", None),
            ("", None),
            (" ", None),
            ("?x", None),
        ] {
            let found = find(&configs, text).ok().map(|target| target.config.name.clone());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        assert!(find(&configs[..1], "x.xo").is_ok_and(|target| target.path.to_string() == "x.xo"));
        assert!(find(&configs[..1], "/activities/").is_ok_and(|target| target.path.is_root()));
        assert!(find(&configs[..1], "").expect_err("nothing").to_string().contains("is empty"));
        assert!(find(&configs, "/activities/x.xo").expect_err("two").to_string().contains("several"));
    }
}
