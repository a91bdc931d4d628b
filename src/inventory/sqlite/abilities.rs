//! What mirrors can do for clients, as it was last tried.

use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::changes::Change;
use super::fault::Fault;
use super::mirrors::{cut, id, time};
use crate::model::{Abilities, Checkup, MirrorName, Ranges, Reached, Trust};

/// Keeps what came of trying. Only what requests are held against is a change that snapshots show.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    mirror: &MirrorName,
    checkup: &Checkup,
    bases: &str,
) -> Result<((), Option<Change>), Fault> {
    let before = read(transaction, mirror, bases)?.map(|before| before.abilities);
    let Checkup { at, abilities: Abilities { ranges, largest, certificate, ipv4, ipv6 }, certificate_until, notes } = checkup;
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO ability (mirror, bases, at_ms, ranges, largest, certificate, certificate_until_ms, ipv4, ipv6, \
             notes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            id(transaction, mirror)?,
            bases,
            at.as_millisecond(),
            ranges.as_str(),
            largest.map(u64::cast_signed),
            certificate.as_str(),
            certificate_until.map(|until| until.as_millisecond()),
            ipv4.as_str(),
            ipv6.as_str(),
            cut(&notes.join("\n")),
        ])?;
    let is_news = before != Some(checkup.abilities);
    Ok(((), is_news.then(|| Change::Mirror(mirror.clone()))))
}

/// What came of trying, if that was at the URLs `bases`.
pub(super) fn read(transaction: &Transaction<'_>, mirror: &MirrorName, bases: &str) -> Result<Option<Checkup>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT ranges, largest, certificate, ipv4, ipv6, at_ms, certificate_until_ms, notes FROM ability \
         WHERE mirror = (SELECT id FROM mirror WHERE name = ?) AND bases = ?",
    )?;
    let found = statement.query_row([mirror.as_str(), bases], |row| Ok(checkup(row))).optional()?;
    found.transpose()
}

fn checkup(row: &Row<'_>) -> Result<Checkup, Fault> {
    let notes: String = row.get(7)?;
    Ok(Checkup {
        at: time(row.get(5)?)?,
        abilities: of(row, 0)?,
        certificate_until: row.get::<_, Option<i64>>(6)?.map(time).transpose()?,
        notes: notes.lines().map(str::to_owned).collect(),
    })
}

/// The five columns from `first` on.
pub(super) fn of(row: &Row<'_>, first: usize) -> Result<Abilities, Fault> {
    Ok(Abilities {
        ranges: word(row, first, Ranges::parse)?,
        largest: row.get::<_, Option<i64>>(first + 1)?.map(i64::cast_unsigned),
        certificate: word(row, first + 2, Trust::parse)?,
        ipv4: word(row, first + 3, Reached::parse)?,
        ipv6: word(row, first + 4, Reached::parse)?,
    })
}

fn word<T>(row: &Row<'_>, column: usize, parse: impl Fn(&str) -> Option<T>) -> Result<T, Fault> {
    let word: String = row.get(column)?;
    parse(&word).ok_or_else(|| Fault::Damaged(format!("the word {word:?} for what a mirror can do")))
}
