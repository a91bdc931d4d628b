//! What a path on the command line means: what a client asks for, as a URL, as a path with the prefix, or as the path
//! below the prefix.

use anyhow::{Context as _, bail};

use crate::config::Config;
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
    let answers = |config: &&Config| host.is_none_or(|host| answers_to(config, host));
    let best = configs
        .iter()
        .filter(answers)
        .filter_map(|config| request.below(&config.tree.prefix).map(|path| (config, path.into_owned())))
        .max_by_key(|(config, _)| config.tree.prefix.len());
    match best {
        Some((config, path)) => Ok(Target { config, path, scheme, is_directory: request.is_directory() }),
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
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, port)| if port.bytes().all(|b| b.is_ascii_digit()) { host } else { authority });
    Ok((scheme, Some(host), path))
}

fn answers_to(config: &Config, host: &str) -> bool {
    config.server.hosts.is_empty() || config.server.hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
}
