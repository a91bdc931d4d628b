//! How far the scans are, on a terminal: a bar for each mirror that is being scanned, and one for all of them.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::command::output::grouped;
use crate::model::MirrorName;
use crate::scan::{Progress, Step};

/// The bars; none where standard error is no terminal.
pub(super) struct Bars {
    all: Option<MultiProgress>,
    total: Option<ProgressBar>,
    bars: Mutex<HashMap<MirrorName, (ProgressBar, u64)>>,
}

impl Bars {
    /// Bars for the scans of so many mirrors.
    pub(super) fn new(mirrors: usize) -> Self {
        let all = std::io::stderr().is_terminal().then(MultiProgress::new);
        let total = all.as_ref().filter(|_| mirrors > 1).map(|all| {
            let bar = all.add(ProgressBar::new(mirrors as u64));
            bar.set_style(style("{prefix:16} {wide_bar}  {pos} of {len} mirrors  {elapsed}"));
            bar.set_prefix("all");
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { all, total, bars: Mutex::default() }
    }

    fn begin(&self, all: &MultiProgress, mirror: &MirrorName, files: u64) {
        let bar = ProgressBar::new(files);
        let bar = self.total.as_ref().map_or_else(|| all.add(bar.clone()), |total| all.insert_before(total, bar.clone()));
        bar.set_style(style("{prefix:16.16} {wide_bar}  {files} files  {rate}  {msg}"));
        bar.set_prefix(mirror.to_string());
        bar.enable_steady_tick(TICK);
        self.bars.lock().unwrap_or_else(PoisonError::into_inner).insert(mirror.clone(), (bar, 0));
    }

    /// Takes all bars away, for what is printed next.
    pub(super) fn clear(&self) {
        // Of scans that have ended, there are none any more.
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        bars.drain().for_each(|(_, (bar, _))| bar.finish_and_clear());
        self.total.iter().for_each(ProgressBar::finish_and_clear);
    }
}

/// How often a bar is drawn anew while nothing happens: its clock goes on.
const TICK: Duration = Duration::from_millis(200);

fn style(template: &str) -> ProgressStyle {
    let files = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        _ = write!(out, "{}/{}", grouped(state.pos()), grouped(state.len().unwrap_or(0)));
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| _ = write!(out, "{}/s", grouped(state.per_sec() as u64));
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("━╸─").with_key("files", files).with_key("rate", rate)
}

impl Progress for Bars {
    fn step(&self, mirror: &MirrorName, step: Step) {
        let Some(all) = &self.all else { return };
        if let Step::Began { files } = step {
            return self.begin(all, mirror, files);
        }
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((bar, directories)) = bars.get_mut(mirror) else { return };
        match step {
            Step::Began { .. } => {}
            Step::Directory => {
                *directories += 1;
                bar.set_message(format!("{} dirs", grouped(*directories)));
            }
            Step::Files(count) => bar.inc(count),
            Step::Verifying => bar.set_message("asking for some of them again"),
            Step::Ended => {
                bar.finish_and_clear();
                self.total.iter().for_each(|total| total.inc(1));
            }
        }
    }
}
