//! Reading every file, from both ends at once: with ten million of them a start waits for nothing else.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, Transaction};

use super::changes;
use super::fault::Fault;
use super::files::{Facts, columns, fact_columns, path_bytes, sha256};
use super::numbers::next_version;
use super::open::{self, Identity, Missing};
use crate::inventory::store::Sink;

/// Where a second connection finds the same database.
pub(super) struct Twin<'a> {
    pub(super) path: &'a Path,
    pub(super) identity: Identity,
}

/// Gives every file to one of two sinks: those from the front to the first, those from the back to the second, until the
/// two readers meet. Where there can be no second reader, the first reads all.
pub(super) fn from_both_ends(
    transaction: &Transaction<'_>,
    twin: Option<Twin<'_>>,
    front: &mut Sink<'_>,
    back: Option<&mut Sink<'_>>,
) -> Result<(), Fault> {
    let meeting = Meeting::default();
    let number = changes::latest(transaction)?;
    let worthwhile = next_version(transaction)? > WORTHWHILE;
    std::thread::scope(|scope| {
        let thread = twin.zip(back).filter(|_| worthwhile).map(|(twin, back)| {
            let meeting = &meeting;
            scope.spawn(move || help(&twin, number, meeting, back))
        });
        let read = Reader { end: End::Front, meeting: &meeting }.read(transaction, front);
        let joined = thread.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        read.and(joined)
    })
}

/// From so many files on, a second connection pays.
const WORTHWHILE: i64 = 20_000;
/// After so many rows a reader looks how far the other one is.
const STRIDE: usize = 1000;

/// Reads from the back, if it sees the very same state of the database.
fn help(twin: &Twin<'_>, number: i64, meeting: &Meeting, sink: &mut Sink<'_>) -> Result<(), Fault> {
    let Some(mut connection) = second(twin) else { return Ok(()) };
    let transaction = connection.transaction()?;
    if changes::latest(&transaction)? != number {
        return Ok(());
    }
    Reader { end: End::Back, meeting }.read(&transaction, sink)
}

fn second(twin: &Twin<'_>) -> Option<Connection> {
    let opened = open::file(twin.path, Missing::Refuse);
    let (connection, identity) = opened.inspect_err(|error| tracing::debug!(%error, "loading with one reader")).ok()?;
    (identity == twin.identity).then_some(connection)
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

/// How far the two have got: up to and including these paths they have read everything.
#[derive(Default)]
struct Meeting {
    front: Mutex<Option<Vec<u8>>>,
    back: Mutex<Option<Vec<u8>>>,
}

struct Reader<'a> {
    end: End,
    meeting: &'a Meeting,
}

impl Reader<'_> {
    fn read(&self, transaction: &Transaction<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let next = next_version(transaction)?;
        let mut statement = transaction.prepare(match self.end {
            End::Front => concat!("SELECT ", columns!(), " FROM file ORDER BY path"),
            End::Back => concat!("SELECT ", columns!(), " FROM file ORDER BY path DESC"),
        })?;
        let mut rows = statement.query([])?;
        let mut until_look = STRIDE;
        while let Some(row) = rows.next()? {
            let (path, facts) = (path_bytes(row)?, Facts::of(row)?);
            if i64::from(facts.version.0) >= next {
                return Err(Fault::Damaged(format!("the version number {}, which was never given out", facts.version.0)));
            }
            sink(path, &facts.entry(sha256(row)?));
            until_look -= 1;
            if until_look == 0 {
                if self.has_met(path) {
                    break;
                }
                until_look = STRIDE;
            }
        }
        Ok(())
    }

    /// Tells the other how far this one is, and whether the other has read what lies beyond.
    fn has_met(&self, path: &[u8]) -> bool {
        let place = |place: &Mutex<Option<Vec<u8>>>| place.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (own, other) = match self.end {
            End::Front => (&self.meeting.front, place(&self.meeting.back)),
            End::Back => (&self.meeting.back, place(&self.meeting.front)),
        };
        *own.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_vec());
        other.is_some_and(|other| match self.end {
            End::Front => path >= other.as_slice(),
            End::Back => path <= other.as_slice(),
        })
    }
}
