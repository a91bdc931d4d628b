//! `redirector repositories`: orders about repositories of packages.

use anyhow::Context as _;
use clap::Subcommand;

use super::output::print;
use super::{Context, target};
use crate::repository::ledger;

/// Orders about repositories of packages.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Accept only the newest metadata from now on: clients of the metalink no longer take older versions from mirrors that lag.
    /// For the hour after a security update was published.
    #[command(after_help = "Example:\n  redirector repositories expire /packages/fedora/42/ --because 'openssl update'")]
    Expire {
        /// The directory with the repositories: a URL, a path as a client asks for it, or the path below the prefix.
        directory: String,
        /// The reason; it is written down with the time.
        #[arg(long, value_name = "REASON", value_parser = target::reason)]
        because: String,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    let Command::Expire { directory, because } = command;
    let target = target::find(&context.configs, &directory)?;
    let config = target.config;
    let is_concerned = |repository: &crate::repository::Settings| {
        repository.kind.is_rpm() && (target.path.is_within(&repository.path) || repository.path.is_within(&target.path))
    };
    anyhow::ensure!(
        config.repositories.iter().any(is_concerned),
        "{directory:?} has to do with no [[repository]] of kind dnf or zypper in {}",
        config.path.display()
    );
    let (database, path, now) = (config.inventory.database.clone(), target.path.clone(), context.clock.now().as_second());
    let written = tokio::task::spawn_blocking(move || ledger::expire(&database, &path, &because, now)).await?;
    written.with_context(|| format!("the order could not be written down beside {}", config.inventory.database.display()))?;
    print(&format!("only the newest metadata are accepted below {}{}", config.tree.prefix.encoded(), target.path))
}
