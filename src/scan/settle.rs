//! What is taken away from a mirror, and what stays: nothing goes that was not disproved (promise 4).
//!
//! What a listing leaves out is only a suspicion. Before anything is taken away, a sample of it is asked for file by file: one file
//! that is there after all, or a server that now says yes to everything, and all the rest stays.

use roaring::RoaringBitmap;

use super::findings::Findings;
use super::ground::{Ground, Questions};
use super::lots::Lots;
use super::opening::{check_refusal, is_disproof};
use super::plan::Pages;
use super::progress::Step;
use super::session::Session;
use crate::inventory::{self, Inventory};

/// What a scan comes to.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    /// What the mirror holds now.
    pub(super) holdings: RoaringBitmap,
    /// What it held and no longer holds.
    pub(super) lost: RoaringBitmap,
    /// What it was known to hold, was not seen with now, and keeps.
    pub(super) kept: u64,
    /// Why something stays that looked lost.
    pub(super) objection: Option<String>,
}

/// Decides what the mirror holds now.
///
/// # Errors
/// When the inventory can't be read.
pub(super) async fn settle(
    ground: &Ground<'_>,
    session: &Session,
    inventory: &Inventory,
    findings: &Findings,
) -> Result<Settlement, inventory::Error> {
    let plan = ground.plan;
    let mut settlement = Settlement { holdings: ground.before | &findings.seen, ..Settlement::default() };
    if plan.scope().is_root() {
        // Numbers of versions that the tree no longer has; those that came after the plan was made are larger.
        settlement.holdings -= &(ground.before - plan.versions()) - &newer(plan.versions());
    }
    let unseen = &(ground.before & plan.versions()) - &(&findings.seen | &findings.rested);
    if unseen.is_empty() {
        return Ok(settlement);
    }
    let suspects = Suspects::gather(ground, session, inventory, findings, &unseen).await?;
    settlement.lost = match suspects.verify(ground, session).await {
        Ruling::All => suspects.lost,
        Ruling::Only(some, objection) => {
            settlement.objection = Some(objection);
            some
        }
    };
    settlement.holdings -= &settlement.lost;
    settlement.kept = unseen.len() - settlement.lost.len();
    Ok(settlement)
}

/// All numbers above those of a set.
fn newer(versions: &RoaringBitmap) -> RoaringBitmap {
    let mut numbers = RoaringBitmap::new();
    numbers.insert_range(versions.max().map_or(0, |last| last.saturating_add(1))..);
    numbers
}

/// What seems to be lost.
struct Suspects {
    /// The versions, those included that are certainly lost.
    lost: RoaringBitmap,
    /// Those that the server itself has disproved.
    certain: RoaringBitmap,
    /// Some of the others, drawn by lot.
    sample: Lots,
}

/// What was found out about the suspects.
enum Ruling {
    All,
    Only(RoaringBitmap, String),
}

impl Suspects {
    async fn gather(
        ground: &Ground<'_>,
        session: &Session,
        inventory: &Inventory,
        findings: &Findings,
        unseen: &RoaringBitmap,
    ) -> Result<Self, inventory::Error> {
        let sample = Lots::new(session.limits().sample, 0);
        let mut found = Self { lost: RoaringBitmap::new(), certain: RoaringBitmap::new(), sample };
        let mut pages = Pages::new(ground.plan.scope().clone());
        while let Some(page) = pages.next(inventory).await? {
            for (path, version, _) in page.files().filter(|(_, version, _)| unseen.contains(version.0)) {
                let number = version.0;
                if findings.disproved.contains(number) {
                    found.certain.insert(number);
                    found.lost.insert(number);
                } else if findings.mismatched.contains(number)
                    || (!findings.doubtful.contains(number) && findings.coverage.shows_absence(&path))
                {
                    // What is being written was not looked for, and can't be asked for.
                    let Some(sought) = ground.sought(&path).filter(|sought| sought.version == version) else {
                        continue;
                    };
                    found.lost.insert(number);
                    found.sample.put(&path, sought);
                }
            }
        }
        Ok(found)
    }

    /// Asks for the sample, and asks once more whether the server says no when it should.
    async fn verify(&self, ground: &Ground<'_>, session: &Session) -> Ruling {
        if self.lost.is_empty() {
            return Ruling::All;
        }
        ground.step(Step::Verifying);
        let answers = Questions::new(session, self.sample.drawn()).all().await;
        let asked = answers.len();
        let mut gone = self.certain.clone();
        let mut decided = 0;
        for answered in answers.iter().filter(|answered| is_disproof(&answered.finding)) {
            gone.insert(answered.finding.version.0);
            decided += 1;
        }
        if let Err(reason) = check_refusal(session).await {
            return Ruling::Only(RoaringBitmap::new(), format!("{} files seem to be gone, but {reason}", self.lost.len()));
        }
        if decided == asked {
            return Ruling::All;
        }
        let suspected = self.lost.len() - self.certain.len();
        let objection = format!(
            "{suspected} files are not listed or look different, but of {asked} that were asked for only {decided} are; the others stay"
        );
        Ruling::Only(gone, objection)
    }
}
