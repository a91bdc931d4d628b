//! The share that a mirror held over its last scans, drawn as SVG that stands in a page: numbers only, nothing from outside.

use std::fmt::Write as _;

use jiff::Timestamp;

/// One scan.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// When it ended.
    pub(super) at: Timestamp,
    /// The part of the files that the mirror held, from 0 to 1. `None`: the scan failed.
    pub(super) held: Option<f64>,
}

/// A line for a row of a table: from nothing at the bottom to everything at the top. Points come in the order of time.
pub(super) fn small(points: &[Point]) -> String {
    const FRAME: Frame = Frame { left: 2.0, top: 3.0, width: 116.0, height: 22.0, low: 0.0 };
    let mut svg = begin("spark", 120.0, 30.0, points);
    FRAME.draw(points, &mut svg);
    svg + "</svg>"
}

/// A plot with axes, from as high above nothing as the line allows, so that the last per mille can be seen. Points come in the order
/// of time.
pub(super) fn large(points: &[Point]) -> String {
    let least = points.iter().filter_map(|point| point.held).fold(1.0, f64::min);
    let is_told = points.iter().any(|point| point.held.is_some());
    let low = [0.99, 0.9, 0.5].into_iter().find(|low| is_told && least >= *low).unwrap_or(0.0);
    let frame = Frame { left: 54.0, top: 12.0, width: 576.0, height: 110.0, low };
    let mut svg = begin("plot", 640.0, 152.0, points);
    for line in [low, low.midpoint(1.0), 1.0] {
        let y = frame.y(line);
        let digits = usize::from(low >= 0.99);
        _ = write!(svg, r#"<path class="grid" d="M{:.1} {y:.1}h{:.1}"/>"#, frame.left, frame.width);
        _ = write!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{:.digits$} %</text>"#,
            frame.left - 6.0,
            y + 4.0,
            line * 100.0
        );
    }
    if let [first, .., last] = points {
        for (x, anchor, at) in [(frame.left, "start", first.at), (frame.left + frame.width, "end", last.at)] {
            let date = at.strftime("%Y-%m-%d %H:%M UTC");
            _ = write!(svg, r#"<text x="{x:.1}" y="146" text-anchor="{anchor}">{date}</text>"#);
        }
    }
    frame.draw(points, &mut svg);
    svg + "</svg>"
}

/// Opens the picture, with a sentence for those who don't see it.
fn begin(class: &str, width: f64, height: f64, points: &[Point]) -> String {
    let failed = points.iter().filter(|point| point.held.is_none()).count();
    let held = points.iter().filter_map(|point| point.held);
    let (least, most) = held.fold((1.0_f64, 0.0_f64), |(least, most), held| (least.min(held), most.max(held)));
    let range =
        if failed == points.len() { String::new() } else { format!(": {:.1} to {:.1} % held", least * 100.0, most * 100.0) };
    let failures = if failed == 0 { String::new() } else { format!(", {failed} failed") };
    format!(
        r#"<svg class="{class}" viewBox="0 0 {width} {height}" role="img" aria-label="{} scans{range}{failures}">"#,
        points.len()
    )
}

/// Where the line is drawn.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    /// What is at the bottom.
    low: f64,
}

impl Frame {
    fn y(&self, held: f64) -> f64 {
        self.top + self.height * (1.0 - ((held - self.low) / (1.0 - self.low)).clamp(0.0, 1.0))
    }

    fn draw(&self, points: &[Point], svg: &mut String) {
        let Some((first, last)) = points.first().zip(points.last()) else { return };
        let span = (last.at.as_second() - first.at.as_second()).max(1) as f64;
        let x = |at: Timestamp| {
            if points.len() == 1 {
                self.left + self.width
            } else {
                self.left + self.width * (at.as_second() - first.at.as_second()) as f64 / span
            }
        };
        let line: Vec<(f64, f64)> = points.iter().filter_map(|point| Some((x(point.at), self.y(point.held?)))).collect();
        if line.len() > 1 {
            svg.push_str(r#"<polyline points=""#);
            line.iter().for_each(|(x, y)| _ = write!(svg, "{x:.1},{y:.1} "));
            svg.push_str(r#""/>"#);
        }
        if let Some((x, y)) = line.last() {
            _ = write!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="2.2"/>"#);
        }
        let failures = points.iter().filter(|point| point.held.is_none());
        let marks = failures
            .fold(String::new(), |marks, point| format!("{marks}M{:.1} {:.1}v-5", x(point.at), self.top + self.height + 2.0));
        if !marks.is_empty() {
            _ = write!(svg, r#"<path class="failed" d="{marks}"/>"#);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(held: &[Option<f64>]) -> Vec<Point> {
        let at = |hour: i64| Timestamp::from_second(1_790_000_000 + hour * 3600).expect("in range");
        (0..).zip(held).map(|(hour, held)| Point { at: at(hour), held: *held }).collect()
    }

    #[test]
    fn a_line_rises_to_the_top_where_everything_is_held() {
        let svg = small(&points(&[Some(0.0), None, Some(0.5), Some(1.0)]));
        assert!(svg.contains(r#"points="2.0,25.0 79.3,14.0 118.0,3.0 ""#), "{svg}");
        assert!(svg.contains(r#"<path class="failed" d="M40.7 27.0v-5"/>"#), "{svg}");
        assert!(svg.contains(r#"aria-label="4 scans: 0.0 to 100.0 % held, 1 failed""#), "{svg}");
    }

    #[test]
    fn the_last_per_mille_can_be_seen() {
        let svg = large(&points(&[Some(0.995), Some(1.0)]));
        assert!(
            svg.contains(">99.0 %<") && svg.contains(">100.0 %<") && svg.contains(r#"points="54.0,67.0 630.0,12.0 ""#),
            "{svg}"
        );
        assert!(large(&points(&[Some(0.2), Some(1.0)])).contains(">0 %<"));
    }

    #[test]
    fn few_scans_make_a_picture_too() {
        for held in [&[][..], &[None], &[None, None], &[Some(1.0)], &[Some(f64::NAN), None]] {
            for svg in [small(&points(held)), large(&points(held))] {
                assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && !svg.contains("NaN,"), "{svg}");
            }
        }
        assert!(small(&points(&[Some(1.0)])).contains("<circle"));
    }
}
