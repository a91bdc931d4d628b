//! The share that a mirror held over its last scans, as a small plot of block characters.

/// How many scans one plot shows: with its labels it fits into 80 columns.
pub(super) const WIDTH: usize = 64;
const ROWS: usize = 4;
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A column for each scan, oldest first: the part of the files that was held, from 0 to 1; `None` is a scan that failed. The bottom is as
/// high above nothing as the columns allow, so that the last per mille can be seen.
pub(super) fn plot(held: &[Option<f64>]) -> String {
    let held = &held[held.len().saturating_sub(WIDTH)..];
    let least = held.iter().flatten().fold(1.0, |least: f64, held| least.min(*held));
    let is_told = held.iter().any(Option::is_some);
    let low = [0.99, 0.9, 0.5].into_iter().find(|low| is_told && least >= *low).unwrap_or(0.0);
    let mut text = String::new();
    for row in (0..ROWS).rev() {
        let label = match row {
            0 => format!("{:.0} %", low * 100.0),
            _ if row == ROWS - 1 => "100 %".to_owned(),
            _ => String::new(),
        };
        let columns: String = held.iter().map(|held| cell(*held, low, row)).collect();
        text.push_str(format!("{label:>6} {columns}").trim_end());
        text.push('\n');
    }
    text
}

/// What of a column is in a row; the lowest is 0.
fn cell(held: Option<f64>, low: f64, row: usize) -> char {
    let Some(held) = held else { return if row == 0 { '×' } else { ' ' } };
    let steps = (ROWS * (LEVELS.len() - 1)) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 32; a NaN becomes 0")]
    let height = (((held - low) / (1.0 - low)).clamp(0.0, 1.0) * steps).floor() as usize;
    // A scan that went well shows, even with nothing held.
    let height = height.max(1);
    LEVELS[height.saturating_sub(row * (LEVELS.len() - 1)).min(LEVELS.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_columns_are_full_and_failures_are_marked() {
        let text = plot(&[Some(0.0), Some(0.5), None, Some(0.999), Some(1.0)]);
        assert_eq!(text, " 100 %    ▇█\n          ██\n        █ ██\n   0 % ▁█×██\n");
    }

    #[test]
    fn what_is_near_to_all_is_seen_from_near() {
        assert_eq!(plot(&[Some(0.995), Some(1.0)]), " 100 %  █\n        █\n       ██\n  99 % ██\n");
        assert_eq!(plot(&[None, Some(0.9)]).lines().last(), Some("  90 % ×▁"));
        assert!(plot(&[Some(1.0); 500]).lines().all(|line| line.chars().count() <= WIDTH + 7));
        assert_eq!(plot(&[]).lines().count(), ROWS);
    }
}
