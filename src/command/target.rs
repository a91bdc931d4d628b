//! What a path on the command line means: what a client asks for, as a URL, as a path with the prefix, or as the path
//! below the prefix.

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::http::route::{self, Route};
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
    let absolute = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let request = RequestPath::parse(&absolute).with_context(|| format!("{text:?} is no path that a client could ask for"))?;
    if host.is_none() && !rest.starts_with('/') {
        let [config] = configs else {
            bail!("{text:?} could be in any of {} instances; write it with its prefix, like /activities/{text}", configs.len());
        };
        return Ok(Target { config, path: request.whole().clone().into_owned(), scheme, is_directory: request.is_directory() });
    }
    // A path alone says nothing about names.
    let hosts = |config: &'a Config| if host.is_some() { config.server.hosts.as_slice() } else { &[] };
    let routes: Vec<Route> = configs.iter().map(|config| Route::new(hosts(config), config.tree.prefix.clone())).collect();
    match route::find(routes.iter(), host, &request) {
        Some((index, path)) => {
            let (config, path) = (&configs[index], path.into_owned());
            Ok(Target { config, path, scheme, is_directory: request.is_directory() })
        }
        None => {
            let prefixes: Vec<String> = configs.iter().map(|config| config.tree.prefix.encoded()).collect();
            bail!("no instance answers for {text:?}; the configured prefixes are {}", prefixes.join(", "))
        }
    }
}

fn split(text: &str) -> anyhow::Result<(Scheme, Option<&str>, &str)> {
    let (scheme, rest) = match text.split_once("://") {
        None => return Ok((Scheme::Http, None, text)),
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        Some((other, _)) => bail!("{text:?} is a {other} URL; clients ask by http or https"),
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    Ok((scheme, Some(authority), path))
}
