//! The picture: bars on a logarithmic scale, drawn as text.

use std::fmt::Write as _;

/// Bars of one row.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) label: String,
    /// Milliseconds, by series; None where it was not measured.
    pub(crate) bars: Vec<Option<f64>>,
}

/// Pixels.
const WIDTH: f64 = 860.0;
const LEFT: f64 = 170.0;
const RIGHT: f64 = 80.0;
const BAR: f64 = 11.0;
const GAP: f64 = 12.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 34.0;

/// Of the series, in their order; told apart by brightness too.
const COLOURS: [&str; 4] = ["#9aa5b1", "#1f6feb", "#79b8ff", "#d9822b"];

/// A picture of the groups. Its background is its own, so that it can be read
/// on a dark page.
pub(crate) fn picture(title: &str, series: &[&str], groups: &[Group]) -> String {
    let values = || {
        groups
            .iter()
            .flat_map(|group| &group.bars)
            .flatten()
            .copied()
    };
    let least = values().fold(f64::INFINITY, f64::min).max(1e-6);
    let most = values().fold(least, f64::max);
    let scale = Scale::new(least, most);
    let height_of = |group: &Group| BAR * group.bars.iter().flatten().count() as f64 + GAP;
    let height = TOP + groups.iter().map(height_of).sum::<f64>() + BOTTOM;

    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "{text}").expect("a String takes everything");
    };
    line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" role=\"img\">"
    ));
    line(format_args!("<title>{}</title>", escaped(title)));
    line(format_args!(
        "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"
    ));
    line(format_args!(
        "<text x=\"16\" y=\"24\" font-size=\"15\" fill=\"#111111\">{}</text>",
        escaped(title)
    ));
    let mut x = 16.0;
    for (name, colour) in series.iter().zip(COLOURS) {
        line(format_args!(
            "<rect x=\"{x}\" y=\"36\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"45\" fill=\"#333333\">{}</text>",
            x + 15.0,
            escaped(name)
        ));
        x += 32.0 + 7.0 * name.chars().count() as f64;
    }
    for decade in scale.decades() {
        let x = scale.x(decade);
        line(format_args!(
            "<line x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{}\" stroke=\"#e3e6ea\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#666666\">{} ms</text>",
            TOP - 8.0,
            height - BOTTOM,
            height - BOTTOM + 16.0,
            decade
        ));
    }
    let mut y = TOP;
    for group in groups {
        let middle = y + (height_of(group) - GAP) / 2.0 + 4.0;
        line(format_args!(
            "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\" fill=\"#111111\">{}</text>",
            LEFT - 8.0,
            escaped(&group.label)
        ));
        for (value, colour) in group.bars.iter().zip(COLOURS) {
            let Some(value) = *value else { continue };
            let end = scale.x(value);
            line(format_args!(
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" fill=\"#333333\">{}</text>",
                (end - LEFT).max(1.0),
                BAR - 1.0,
                end + 4.0,
                y + BAR - 2.5,
                crate::table::figure(value)
            ));
            y += BAR;
        }
        y += GAP;
    }
    line(format_args!("</svg>"));
    out
}

/// From a power of ten to a power of ten.
struct Scale {
    from: i32,
    to: i32,
}

impl Scale {
    fn new(least: f64, most: f64) -> Self {
        let from = least.log10().floor() as i32;
        let to = (most.log10().ceil() as i32).max(from + 1);
        Scale { from, to }
    }

    fn decades(&self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|power| 10_f64.powi(power))
    }

    fn x(&self, value: f64) -> f64 {
        let (from, to) = (f64::from(self.from), f64::from(self.to));
        let part = ((value.log10() - from) / (to - from)).clamp(0.0, 1.0);
        LEFT + part * (WIDTH - LEFT - RIGHT)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_whole_decades() {
        let scale = Scale::new(0.13, 700.0);
        let decades: Vec<_> = scale.decades().collect();
        assert_eq!(decades.len(), 5);
        assert!((scale.x(0.1) - LEFT).abs() < 1e-9);
        assert!((scale.x(1000.0) - (WIDTH - RIGHT)).abs() < 1e-9);
        // Equal values still have a scale.
        assert_eq!(Scale::new(1.0, 1.0).decades().count(), 2);
    }

    #[test]
    fn every_value_has_its_bar() {
        let groups = [Group {
            label: "a < b".into(),
            bars: vec![Some(0.1), None, Some(30.0)],
        }];
        let picture = picture("Cost", &["one", "two", "three"], &groups);
        assert_eq!(picture.matches("height=\"10\" fill=\"#1f6feb\"").count(), 1);
        assert_eq!(picture.matches(COLOURS[0]).count(), 2);
        assert!(picture.contains("a &lt; b") && picture.ends_with("</svg>\n"));
    }
}
