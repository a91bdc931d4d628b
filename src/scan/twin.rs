//! A mirror's other base URL: whether it leads to the same files as the one that was scanned.
//!
//! A mirror with `http` and `https` is scanned over one of them. What is found counts for the other one only when a sample of it,
//! asked for there, is there as well (promise 1): a certificate may be another host's, a plain site may be an old one.

use super::ground::{Ground, Questions};
use super::lots::Lots;
use super::opening::{check_refusal, is_disproof};
use super::plan::Pages;
use super::session::Session;
use crate::inventory::{self, Inventory};
use roaring::RoaringBitmap;

/// What a sample says about the other base URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It has what was asked for.
    Same,
    /// It has not, or has something else.
    Different(String),
    /// It can't be told now.
    Unclear(String),
}

/// Asks over the `session` of the other base URL for some of `holdings`.
///
/// # Errors
/// When the inventory can't be read.
pub(super) async fn compare(
    ground: &Ground<'_>,
    session: &Session,
    inventory: &Inventory,
    holdings: &RoaringBitmap,
) -> Result<Likeness, inventory::Error> {
    let sample = draw(ground, session.limits().sample, inventory, holdings).await?;
    let asked = sample.drawn().len();
    if asked == 0 {
        return Ok(Likeness::Unclear("the mirror holds nothing to ask for".to_owned()));
    }
    if let Err(reason) = check_refusal(session).await {
        return Ok(Likeness::Unclear(reason));
    }
    let mut questions = Questions::new(session, sample.drawn());
    let mut same = 0;
    while let Some(answered) = questions.next().await {
        if is_disproof(&answered.finding) {
            return Ok(Likeness::Different(format!("/{} is missing there, or is another one", answered.path)));
        }
        same += usize::from(answered.finding.is_holding());
    }
    Ok(if same * 2 > asked {
        Likeness::Same
    } else {
        Likeness::Unclear(format!("of {asked} files that were asked for only {same} had a clear answer"))
    })
}

/// Some of what the mirror holds, from as many pages of the inventory as it takes.
async fn draw(
    ground: &Ground<'_>,
    wanted: usize,
    inventory: &Inventory,
    holdings: &RoaringBitmap,
) -> Result<Lots, inventory::Error> {
    let mut sample = Lots::new(wanted, 0);
    let mut pages = Pages::new(ground.plan.scope().clone());
    while !sample.is_full()
        && let Some(page) = pages.next(inventory).await?
    {
        for (path, version, _) in page.files() {
            let sought = holdings.contains(version.0).then(|| ground.sought(&path)).flatten();
            if let Some(sought) = sought.filter(|sought| holdings.contains(sought.version.0)) {
                sample.put(&path, sought);
            }
        }
    }
    Ok(sample)
}
