//! Trees, databases and configurations that lie within one another.

use std::path::{Path, PathBuf};

use super::{Finding, Severity, pairs};
use crate::config::Config;
use crate::tree::ApplicationAccess;

/// A folder of an instance.
struct Folder<'a> {
    config: &'a Config,
    index: usize,
    key: &'static str,
    written: &'a Path,
    real: PathBuf,
}

pub(super) fn alone(config: &Config, findings: &mut Vec<Finding>) {
    let tree = &config.tree;
    if tree.min_age.0.is_zero() {
        findings.push(Finding::new(
            Severity::Hint,
            config,
            "tree.min-age",
            "new files are not kept home at all",
            "a mirror is used as soon as it is seen with a file; \"30m\" leaves time to take back a mistake",
        ));
    }
    if tree.link_roots.iter().any(|folder| folder.parent().is_none()) {
        findings.push(Finding::new(
            Severity::Warning,
            config,
            "tree.link-roots",
            "symbolic links may lead anywhere on this machine",
            "name the folders that links really lead to",
        ));
    }
}

pub(super) fn together(configs: &[Config], resolve: &dyn Fn(&Path) -> PathBuf, findings: &mut Vec<Finding>) {
    let folders: Vec<Folder<'_>> =
        configs.iter().enumerate().flat_map(|(index, config)| folders(config, index, resolve)).collect();
    pairs(&folders).filter_map(|(a, b)| overlap(a, b)).for_each(|finding| findings.push(finding));
    for config in configs {
        published(config, &folders, resolve, findings);
    }
    shared_databases(configs, resolve, findings);
}

fn folders<'a>(config: &'a Config, index: usize, resolve: &dyn Fn(&Path) -> PathBuf) -> Vec<Folder<'a>> {
    let folder = |key, written: &'a PathBuf| Folder { config, index, key, written, real: resolve(written) };
    let application = config.tree.application.as_ref().map(|path| folder("tree.application", path));
    std::iter::once(folder("tree.public", &config.tree.public)).chain(application).collect()
}

fn overlap(a: &Folder<'_>, b: &Folder<'_>) -> Option<Finding> {
    let (inner, outer) = match () {
        () if b.real.starts_with(&a.real) => (b, a),
        () if a.real.starts_with(&b.real) => (a, b),
        () => return None,
    };
    let whose = if inner.index == outer.index { String::new() } else { format!(" of instance `{}`", outer.config.name) };
    let how = if inner.real == outer.real { "is the same folder as" } else { "lies inside" };
    let shown = |folder: &Folder<'_>| {
        let link = if folder.written == folder.real { String::new() } else { format!(", really {}", folder.real.display()) };
        format!("{} ({}{link})", folder.key, folder.written.display())
    };
    let text = format!("{} {how} {}{whose}", shown(inner), shown(outer));
    let advice = match (inner.key, outer.key) {
        _ if inner.index != outer.index => {
            "instances share nothing: what is held, young or private in one is handed out by the other"
        }
        _ if inner.real == outer.real => "leave `application` out, or name the folder with the files that are not public yet",
        ("tree.application", "tree.public") => "files that are not public would be public, and sent to mirrors",
        _ => "public files would be found a second time, below another path; keep the two side by side",
    };
    Some(Finding::new(Severity::Error, inner.config, inner.key, text, advice))
}

/// Files that nobody should download, but everybody could.
fn published(config: &Config, folders: &[Folder<'_>], resolve: &dyn Fn(&Path) -> PathBuf, findings: &mut Vec<Finding>) {
    let database = resolve(&config.inventory.database);
    if let Some(folder) = folders.iter().find(|folder| database.starts_with(&folder.real)) {
        let open = folder.key == "tree.public" || folder.config.tree.application_access != ApplicationAccess::Deny;
        let severity = if open { Severity::Error } else { Severity::Warning };
        let text = format!("the database {} lies inside {}", config.inventory.database.display(), folder.key);
        findings.push(Finding::new(
            severity,
            config,
            "inventory.database",
            text,
            "it would be handed out, and indexed at every change of itself",
        ));
    }
    let file = resolve(&config.path);
    if let Some(folder) = folders.iter().find(|folder| file.starts_with(&folder.real)) {
        let text = format!("this configuration lies inside {} ({})", folder.key, folder.written.display());
        findings.push(Finding::new(
            Severity::Warning,
            config,
            folder.key,
            text,
            "everybody can download it; keep it elsewhere",
        ));
    }
}

pub(super) fn shared_databases(configs: &[Config], resolve: &dyn Fn(&Path) -> PathBuf, findings: &mut Vec<Finding>) {
    for (a, b) in pairs(configs) {
        if resolve(&a.inventory.database) == resolve(&b.inventory.database) {
            let text = format!("{} is the database of instance `{}` too", b.inventory.database.display(), a.name);
            findings.push(Finding::new(
                Severity::Error,
                b,
                "inventory.database",
                text,
                "each instance needs a file of its own",
            ));
        }
    }
}
