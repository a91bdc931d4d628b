//! Reading every file: with ten million of them a start waits for nothing else. One thread reads, another takes in what was read.

use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Transaction;

use super::fault::Fault;
use super::files::{Facts, columns, fact_columns, path_bytes, sha256};
use super::leaves;
use super::numbers::next_version;
use crate::inventory::error::Error;
use crate::inventory::store::Sink;
use crate::model::Sha256;

/// Has a thread read files, and gives them to a sink meanwhile.
pub(super) fn beside<T: Send>(sink: &mut dyn Sink, read: impl FnOnce(Outbox) -> Result<T, Error> + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let (to, batches) = sync_channel(WAITING);
        let outbox = Outbox { batch: Batch::default(), to };
        let reader = std::thread::Builder::new().name("inventory-read".to_owned());
        let reader = reader.spawn_scoped(scope, move || read(outbox)).map_err(Error::Thread)?;
        batches.into_iter().for_each(|batch| batch.give(sink));
        sink.end();
        reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Files of a batch: enough that handing it over costs nothing beside them.
const BATCH: usize = 1024;
/// Batches that may wait: enough that neither thread waits for the other where both are equally quick.
const WAITING: usize = 8;

#[derive(Default)]
struct Batch {
    paths: Vec<u8>,
    /// Where the path of each ends, and what is known of it.
    files: Vec<(usize, Facts, Option<Sha256>)>,
}

impl Batch {
    fn give(self, sink: &mut dyn Sink) {
        let mut begin = 0;
        for (end, facts, sha256) in self.files {
            sink.take(&self.paths[begin..end], &facts.entry(sha256));
            begin = end;
        }
    }
}

/// What the thread that reads leaves files in. What is in it is handed over at the end, too.
pub(super) struct Outbox {
    batch: Batch,
    to: SyncSender<Batch>,
}

impl Outbox {
    fn add(&mut self, path: &[u8], facts: Facts, sha256: Option<Sha256>) {
        self.batch.paths.extend_from_slice(path);
        self.batch.files.push((self.batch.paths.len(), facts, sha256));
        if self.batch.files.len() == BATCH {
            let next = Batch { paths: Vec::with_capacity(self.batch.paths.len()), files: Vec::with_capacity(BATCH) };
            self.hand_over(next);
        }
    }

    fn hand_over(&mut self, next: Batch) {
        // Nobody takes them where all is given up.
        self.to.send(std::mem::replace(&mut self.batch, next)).ok();
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.hand_over(Batch::default());
    }
}

/// Reads every file.
pub(super) fn files(transaction: &Transaction<'_>, mut outbox: Outbox) -> Result<(), Fault> {
    let next = next_version(transaction)?;
    match leaves::each(transaction, next, &mut |path, facts, sha256| outbox.add(path, facts, sha256)) {
        // Of pages that are not read again. What is read next can take their memory.
        Ok(()) => Ok(transaction.execute_batch("PRAGMA shrink_memory")?),
        Err(why) => {
            tracing::debug!(error = &why as &dyn std::error::Error, "files are read row by row");
            rows(transaction, next, &mut outbox)
        }
    }
}

/// Reads every file by a statement.
fn rows(transaction: &Transaction<'_>, next: i64, outbox: &mut Outbox) -> Result<(), Fault> {
    let mut statement = transaction.prepare(concat!("SELECT ", columns!(), " FROM file"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (path, facts) = (path_bytes(row)?, Facts::of(row)?);
        if i64::from(facts.version.0) >= next {
            return Err(Fault::Damaged(format!("the version number {}, which was never given out", facts.version.0)));
        }
        outbox.add(path, facts, sha256(row)?);
    }
    Ok(())
}
