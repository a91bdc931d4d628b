//! Holds, and who lifted them.

use jiff::Timestamp;
use rusqlite::{Transaction, params};

use super::changes::Change;
use super::fault::Fault;
use super::mirrors::{cut, time};
use crate::inventory::record::{Hold, HoldAction, HoldEvent};
use crate::inventory::store::{MAX_HOLD_EVENTS, MAX_HOLDS};
use crate::model::TreePath;

/// All holds, in the order of their paths.
pub(super) fn all(transaction: &Transaction<'_>) -> Result<Vec<Hold>, Fault> {
    let mut statement = transaction.prepare_cached("SELECT path, because, at_ms FROM hold ORDER BY path")?;
    let mut rows = statement.query([])?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next()? {
        holds.push(Hold { path: path(row.get(0)?)?, because: row.get(1)?, at: time(row.get(2)?)? });
    }
    Ok(holds)
}

fn path(bytes: Vec<u8>) -> Result<TreePath<'static>, Fault> {
    TreePath::parse(bytes).map_err(|error| Fault::Damaged(format!("a path that is none: {error}")))
}

pub(super) fn hold(transaction: &Transaction<'_>, hold: &Hold) -> Result<((), Option<Change>), Fault> {
    transaction.prepare_cached("INSERT OR REPLACE INTO hold (path, because, at_ms) VALUES (?, ?, ?)")?.execute(params![
        hold.path.as_bytes(),
        cut(&hold.because),
        hold.at.as_millisecond()
    ])?;
    let count: i64 = transaction.query_row("SELECT count(*) FROM hold", [], |row| row.get(0))?;
    if usize::try_from(count).is_ok_and(|count| count > MAX_HOLDS) {
        return Err(Fault::TooManyHolds);
    }
    note(transaction, &hold.path, HoldAction::Held, &hold.because, hold.at)?;
    Ok(((), Some(Change::Holds)))
}

pub(super) fn release(
    transaction: &Transaction<'_>,
    path: &TreePath<'static>,
    because: &str,
    at: Timestamp,
) -> Result<(bool, Option<Change>), Fault> {
    let released = transaction.prepare_cached("DELETE FROM hold WHERE path = ?")?.execute([path.as_bytes()])? > 0;
    if !released {
        return Ok((false, None));
    }
    note(transaction, path, HoldAction::Released, because, at)?;
    Ok((true, Some(Change::Holds)))
}

fn note(
    transaction: &Transaction<'_>,
    path: &TreePath<'static>,
    action: HoldAction,
    because: &str,
    at: Timestamp,
) -> Result<(), Fault> {
    transaction
        .prepare_cached("INSERT INTO hold_event (path, action, because, at_ms) VALUES (?, ?, ?, ?)")?
        .execute(params![path.as_bytes(), action.as_str(), cut(because), at.as_millisecond()])?;
    transaction
        .prepare_cached("DELETE FROM hold_event WHERE id <= (SELECT id FROM hold_event ORDER BY id DESC LIMIT 1 OFFSET ?)")?
        .execute([i64::try_from(MAX_HOLD_EVENTS).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The newest events, newest first.
pub(super) fn history(transaction: &Transaction<'_>, limit: usize) -> Result<Vec<HoldEvent>, Fault> {
    let mut statement =
        transaction.prepare_cached("SELECT path, action, because, at_ms FROM hold_event ORDER BY id DESC LIMIT ?")?;
    let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let word: String = row.get(1)?;
        let action = [HoldAction::Held, HoldAction::Released]
            .into_iter()
            .find(|action| action.as_str() == word)
            .ok_or_else(|| Fault::Damaged(format!("the event {word:?} of a hold")))?;
        events.push(HoldEvent { path: path(row.get(0)?)?, action, because: row.get(2)?, at: time(row.get(3)?)? });
    }
    Ok(events)
}
