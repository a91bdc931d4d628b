//! Reading files page by page.

use std::ops::RangeInclusive;

use rusqlite::{Row, Statement, Transaction, params};

use super::fault::Fault;
use super::files::{columns, fact_columns, path, record, undescribed, unhashed};
use crate::inventory::outline::Outline;
use crate::inventory::store::{MAX_PAGE, Page, Which};
use crate::model::{FileRecord, TreePath, VersionNumber};

pub(super) fn page(transaction: &Transaction<'_>, page: &Page, which: Which) -> Result<Vec<FileRecord>, Fault> {
    let condition = match which {
        Which::All => "",
        Which::Unhashed => concat!("AND ", unhashed!()),
        Which::Undescribed => concat!("AND ", undescribed!()),
    };
    let mut records = Vec::new();
    visit(transaction, columns!(), condition, page, &mut |row| {
        records.push(record(row)?);
        Ok(())
    })?;
    Ok(records)
}

/// A page of the files below a directory, in the order of their paths' bytes.
pub(super) fn outline(transaction: &Transaction<'_>, page: &Page) -> Result<Outline, Fault> {
    let mut outline = Outline::default();
    visit(transaction, "path, version, size", "", page, &mut |row| {
        outline.push(&path(row)?, VersionNumber(row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned());
        Ok(())
    })?;
    Ok(outline)
}

/// The largest settled files of these sizes, out of those that the index `file_large` has: its condition is repeated word for word.
pub(super) fn large(
    transaction: &Transaction<'_>,
    sizes: &RangeInclusive<u64>,
    limit: usize,
) -> Result<Vec<FileRecord>, Fault> {
    const SQL: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM file WHERE size > 2147483648 AND size BETWEEN ?1 AND ?2 AND state = 0 ORDER BY size DESC LIMIT ?3"
    );
    let bound = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit.min(MAX_PAGE)).unwrap_or(0);
    let mut records = Vec::new();
    each_row(&mut *transaction.prepare_cached(SQL)?, params![bound(*sizes.start()), bound(*sizes.end()), limit], &mut |row| {
        records.push(record(row)?);
        Ok(())
    })?;
    Ok(records)
}

/// Visits the rows of a page in the order of their paths' bytes.
///
/// The directory's own path (then a file) comes first; between it and what lies below it, paths like `dir-2` may lie.
pub(super) fn visit(
    transaction: &Transaction<'_>,
    columns: &str,
    condition: &str,
    page: &Page,
    each: &mut dyn FnMut(&Row<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let limit = page.limit.min(MAX_PAGE);
    let within = page.within.as_bytes();
    let after = page.after.as_ref().map(TreePath::as_bytes);
    let mut count = 0;
    if limit > 0 && !within.is_empty() && after.is_none_or(|after| after < within) {
        let sql = format!("SELECT {columns} FROM file WHERE path = ?1 {condition}");
        count += each_row(&mut *transaction.prepare_cached(&sql)?, [within], each)?;
    }
    let (mut from, to) = match within {
        [] => (Vec::new(), None),
        _ => ([within, b"/"].concat(), Some([within, b"0"].concat())), // '0' is the byte after '/'
    };
    if let Some(after) = after.filter(|after| *after > from.as_slice()) {
        from = after.to_vec();
    }
    let left = i64::try_from(limit - count).unwrap_or(0);
    match to {
        Some(to) => {
            let sql = format!("SELECT {columns} FROM file WHERE path > ?1 AND path < ?2 {condition} ORDER BY path LIMIT ?3");
            each_row(&mut *transaction.prepare_cached(&sql)?, params![from, to, left], each)?;
        }
        None => {
            let sql = format!("SELECT {columns} FROM file WHERE path > ?1 {condition} ORDER BY path LIMIT ?2");
            each_row(&mut *transaction.prepare_cached(&sql)?, params![from, left], each)?;
        }
    }
    Ok(())
}

fn each_row(
    statement: &mut Statement<'_>,
    parameters: impl rusqlite::Params,
    each: &mut dyn FnMut(&Row<'_>) -> Result<(), Fault>,
) -> Result<usize, Fault> {
    let mut rows = statement.query(parameters)?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        each(row)?;
        count += 1;
    }
    Ok(count)
}
