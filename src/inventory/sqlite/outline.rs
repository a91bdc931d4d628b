//! Reading files for an outline.

use rusqlite::Transaction;

use super::fault::Fault;
use super::files::{path, visit};
use crate::inventory::outline::Outline;
use crate::inventory::store::Page;
use crate::model::VersionNumber;

/// A page of the files below a directory, in the order of their paths' bytes.
pub(super) fn page(transaction: &Transaction<'_>, page: &Page) -> Result<Outline, Fault> {
    let mut outline = Outline::default();
    visit(transaction, "path, version, size", "", page, &mut |row| {
        outline.push(&path(row)?, VersionNumber(row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned());
        Ok(())
    })?;
    Ok(outline)
}
