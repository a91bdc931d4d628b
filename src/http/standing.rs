//! How a requested path stands: by its name, the snapshot and the trees. A file that the snapshot knows is glanced at without
//! waiting; all else is looked at on threads that may wait.

use super::look::{Seen, see};
use super::signature::Access;
use super::site::{Asked, Makings, Site};
use crate::decide::Standing;
use crate::format::Kind;
use crate::inventory::Sought;
use crate::model::TreePath;
use crate::tree::{Glance, LookError};

impl Site {
    /// How the path stands: by its name, the snapshot and the trees.
    pub async fn standing(&self, asked: Asked<'_>) -> Standing {
        match self.standing_by_a_glance(asked.path, asked.is_directory) {
            Some(standing) => standing,
            None => self.standing_by_a_look(asked).await,
        }
    }

    /// What the names alone say: whether nobody is shown this, or it is on hold.
    fn standing_by_name(&self, path: &TreePath<'_>, is_directory: bool) -> Option<Standing> {
        let Makings { trees, snapshot, .. } = &self.makings;
        let hidden = if is_directory { trees.hidden.matches_directory(path) } else { trees.hidden.matches(path) };
        match () {
            () if hidden => Some(Standing::Hidden),
            () if snapshot.is_held(path) => Some(Standing::Held),
            () => None,
        }
    }

    /// How the path stands, where that can be told without waiting: by memory and one call to the local file system.
    fn standing_by_a_glance(&self, path: &TreePath<'_>, is_directory: bool) -> Option<Standing> {
        if is_directory {
            return self.standing_by_name(path, true);
        }
        self.standing_of_file(path, self.makings.snapshot.seek(path))
    }

    /// The same for a file that is sought already: what is known of it comes from memory while it is looked at.
    pub(super) fn standing_of_file(&self, path: &TreePath<'_>, sought: Sought) -> Option<Standing> {
        if let Some(standing) = self.standing_by_name(path, false) {
            return Some(standing);
        }
        let unknown = || self.could_describe(path).then_some(Standing::Absent);
        let Some(found) = sought.find() else { return unknown() };
        let glance = self.makings.trees.public.glance(path);
        let Some(entry) = found.entry() else { return unknown() };
        let as_recorded = match glance {
            Glance::File(seen) => entry.matches(&seen),
            // There the index notices changes later.
            Glance::Remote => true,
            Glance::NoFile => return None,
            Glance::Away => return Some(Standing::Away),
        };
        if !as_recorded {
            self.nudge(path);
        }
        Some(Standing::Public { entry, as_recorded })
    }

    /// Whether a path is that of a known file with the suffix of a description, and no file has this name: so one call to each local
    /// file system says.
    fn could_describe(&self, path: &TreePath<'_>) -> bool {
        let Makings { trees, snapshot, application_access, describe, .. } = &self.makings;
        let is_suffixed =
            || Kind::of_suffix(path).is_some_and(|(kind, of)| describe.gives(kind) && snapshot.file(&of).is_some());
        let application = trees.application.as_ref().filter(|_| !matches!(application_access, Access::Deny));
        describe.suffixes
            && is_suffixed()
            && trees.public.lacks_at_a_glance(path)
            && application.is_none_or(|root| root.lacks_at_a_glance(path))
    }

    async fn standing_by_a_look(&self, asked: Asked<'_>) -> Standing {
        let Makings { trees, snapshot, application_access, .. } = &self.makings;
        let application = trees.application.clone().filter(|_| !matches!(application_access, Access::Deny));
        let (public, path, is_directory) = (trees.public.clone(), asked.path.clone().into_owned(), asked.is_directory);
        let look = move || see(&public, application.as_ref(), &path, is_directory);
        let seen = match self.threads.run_in_time(look).await.unwrap_or(Err(LookError::Away)) {
            Ok(seen) => seen,
            Err(error) => {
                self.tell_unreadable(asked.path, &error);
                return Standing::Away;
            }
        };
        let entry = if asked.is_directory { None } else { snapshot.file(asked.path) };
        let standing = match (seen, entry) {
            (Seen::Public(seen), Some(entry)) => Standing::Public { entry, as_recorded: entry.matches(&seen) },
            (Seen::Public(seen), None) => Standing::NotIndexed { seen },
            // Its name shows only now that it is one of those which hide directories.
            (Seen::Directory, _) if trees.hidden.matches_directory(asked.path) => Standing::Hidden,
            (Seen::Directory, _) => Standing::Directory,
            (Seen::NotPublic, _) => Standing::NotPublic,
            (Seen::Nothing, _) => Standing::Absent,
        };
        let is_as_known = match standing {
            Standing::Public { as_recorded, .. } => as_recorded,
            Standing::NotIndexed { .. } => false,
            _ => entry.is_none(),
        };
        if !is_as_known {
            self.nudge(asked.path);
        }
        standing
    }

    /// Asks the index to look at a path. When it has its hands full, it finds out later by itself.
    fn nudge(&self, path: &TreePath<'_>) {
        self.makings.nudge.try_send(path.clone().into_owned()).ok();
    }
}
