//! Asking one mirror for single versions, and keeping what it says.

use std::sync::Arc;
use std::time::Duration;

use roaring::RoaringBitmap;

use crate::cause::chain;
use crate::clock::Clock;
use crate::inventory::{Adjustment, Inventory, MirrorState};
use crate::model::{BaseUrl, MirrorName, Scheme, TreePath, VersionNumber};
use crate::scan::findings::Word;
use crate::scan::ground::{Questions, Sought};
use crate::scan::matching::{Before, Verdict};
use crate::scan::opening::{check_refusal, is_disproof};
use crate::scan::session::Session;
use crate::scan::{Clients, Limits};

/// What is asked for: a version, and where it is.
pub(super) type Item = (TreePath<'static>, VersionNumber);

/// What it takes to ask.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) inventory: Inventory,
    pub(super) clients: Clients,
    pub(super) clock: Clock,
}

/// What became of the questions to one mirror.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// How many versions were asked for.
    pub(super) questions: u64,
    /// Versions that it was not known to hold and does.
    pub(super) found: u64,
    /// Versions that it was known to hold and does not.
    pub(super) gone: u64,
    /// Questions that had no clear answer.
    pub(super) unclear: u64,
    /// Why nothing that it said counts.
    pub(super) failure: Option<String>,
}

/// How many connections are used for one mirror: small questions, and scans use some too.
const CONNECTIONS: usize = 2;
/// How long all questions of one round may take: a mirror that is slower is left to scans.
const TIME: Duration = Duration::from_secs(120);

impl Asker {
    /// Asks over the mirror's URLs in order; the first over which it answers counts.
    pub(super) async fn ask(self, state: MirrorState, items: Vec<Item>) -> (MirrorName, Asked) {
        let mut asked = Asked::default();
        let bases = [&state.mirror.https, &state.mirror.http].into_iter().flatten();
        for base in bases.filter(|base| state.unseen != Some(base.scheme())) {
            asked = match tokio::time::timeout(TIME, self.ask_over(base, &state, &items)).await {
                Ok(asked) => asked,
                Err(_) => Asked { failure: Some("no answers in time".to_owned()), ..Asked::default() },
            };
            if asked.failure.is_none() {
                break;
            }
        }
        (state.mirror.name.clone(), asked)
    }

    async fn ask_over(&self, base: &BaseUrl, state: &MirrorState, items: &[Item]) -> Asked {
        let began = self.clock.now();
        // One question, one try: what stays open is asked again soon. Whoever asks to be left alone is.
        let limits = Limits { retries: 0, failures_in_a_row: 3, pause: Duration::ZERO, ..Limits::default() };
        let session = Session::new(&self.clients, &state.mirror, base, CONNECTIONS, &limits, &self.clock);
        let (mut gained, mut lost) = (RoaringBitmap::new(), RoaringBitmap::new());
        let mut asked = Asked::default();
        for answered in Questions::new(&session, self.sought(state, items)).all().await {
            let version = answered.finding.version;
            asked.questions += 1;
            match answered.finding.word {
                Word::Server(Verdict::Holds) if !state.holds(version) => _ = gained.insert(version.0),
                _ if is_disproof(&answered.finding) && state.holds(version) => _ = lost.insert(version.0),
                Word::Server(Verdict::Doubtful) => asked.unclear += 1,
                _ => {}
            }
        }
        if asked.questions > 0 && asked.unclear == asked.questions {
            asked.failure = Some("no clear answer".to_owned());
        }
        if gained.is_empty() && lost.is_empty() {
            return asked;
        }
        // One that says yes to everything says nothing, be it yes or "this is another file".
        if let Err(reason) = check_refusal(&session).await {
            return Asked { failure: Some(reason), ..asked };
        }
        (asked.found, asked.gone) = (gained.len(), lost.len());
        let unseen = unseen(state, base);
        let adjustment = Adjustment { gained, lost, unseen, ..Adjustment::of(state.mirror.name.clone(), began) };
        if let Err(error) = self.inventory.adjust_holdings(adjustment).await {
            return Asked { failure: Some(format!("the inventory refuses: {}", chain(&error))), found: 0, gone: 0, ..asked };
        }
        asked
    }

    /// What is asked for, as far as it is still what the tree has.
    fn sought(&self, state: &MirrorState, items: &[Item]) -> Vec<(TreePath<'static>, Sought)> {
        let snapshot = Arc::clone(self.inventory.snapshot());
        let sought = |(path, version): &Item| {
            let entry = snapshot.file(path).filter(|entry| entry.version == *version)?;
            let before = if state.holds(*version) { Before::Confirmed } else { Before::Unknown };
            Some((path.clone(), Sought::of(&entry, before)?))
        };
        items.iter().filter_map(sought).collect()
    }
}

/// The base URL that nothing is known of, where only one was asked and nothing was known before.
fn unseen(state: &MirrorState, asked: &BaseUrl) -> Option<Scheme> {
    let mut bases = [&state.mirror.https, &state.mirror.http].into_iter().flatten().map(BaseUrl::scheme);
    if state.holdings.is_empty() { bases.find(|scheme| *scheme != asked.scheme()) } else { state.unseen }
}
