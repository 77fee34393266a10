//! The chart of the documentation: an SVG of two panels, readable on a light and on a dark page.

use std::fmt::Write;

use super::growth::{Growth, Point};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 330.0;
/// The plots' top and bottom.
const TOP: f64 = 40.0;
const BOTTOM: f64 = 260.0;
/// The left edge of each panel's plot, and the width of both.
const LEFT: [f64; 2] = [50.0, 430.0];
const PLOT_WIDTH: f64 = 300.0;

/// Of medium lightness, so that they stand out from white and from black; dashes tell them apart without colours.
const SERIES: [(&str, &str); 5] =
    [("#3b82d6", ""), ("#d97b1f", "6 3"), ("#22a06b", "2 3"), ("#d0529a", "10 3"), ("#8b6fe0", "8 3 2 3")];

/// A panel: what it shows of each point.
struct Panel<'g> {
    title: &'static str,
    left: f64,
    growths: &'g [Growth],
    value: fn(&Point) -> f64,
}

/// Draws processor time and memory by size.
pub(super) fn draw(growths: &[Growth]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Processor time a record, and memory, by size\">\n<style>\n\
         text {{ font: 11px sans-serif; fill: #333 }}\n.grid {{ stroke: #ccc }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} .grid {{ stroke: #444 }} }}\n</style>\n"
    );
    let panels = [
        Panel { title: "processor time, ns a record", left: LEFT[0], growths, value: |point| point.cpu_ns_per_record },
        Panel { title: "memory, MB", left: LEFT[1], growths, value: |point| point.memory_mb },
    ];
    panels.iter().for_each(|panel| panel.draw(&mut svg));
    for (at, (growth, (stroke, dash))) in growths.iter().zip(SERIES).enumerate() {
        let (x, y) = (LEFT[0] + at as f64 * 140.0, HEIGHT - 20.0);
        line(&mut svg, &format!("{x},{y} {},{y}", x + 28.0), stroke, dash);
        text(&mut svg, (x + 34.0, y + 4.0), "start", growth.axis.name);
    }
    svg + "</svg>\n"
}

impl Panel<'_> {
    fn draw(&self, svg: &mut String) {
        let points = || self.growths.iter().flat_map(|growth| &growth.points);
        let (columns, rows) = (decades(points().map(|point| point.size as f64)), decades(points().map(self.value)));
        let x = |value: f64| self.left + position(value, columns) * PLOT_WIDTH;
        let y = |value: f64| BOTTOM - position(value, rows) * (BOTTOM - TOP);
        text(svg, (self.left, TOP - 14.0), "start", self.title);
        for decade in columns.0..=columns.1 {
            let (value, label) = power(decade);
            grid(svg, [x(value), TOP, x(value), BOTTOM]);
            text(svg, (x(value), BOTTOM + 16.0), "middle", &label);
        }
        for decade in rows.0..=rows.1 {
            let (value, label) = power(decade);
            grid(svg, [self.left, y(value), self.left + PLOT_WIDTH, y(value)]);
            text(svg, (self.left - 6.0, y(value) + 4.0), "end", &label);
        }
        for (growth, (stroke, dash)) in self.growths.iter().zip(SERIES) {
            let place = |point: &Point| (x(point.size as f64), y((self.value)(point)));
            let places: Vec<(f64, f64)> = growth.points.iter().map(place).collect();
            let corners: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            line(svg, &corners.join(" "), stroke, dash);
            for (x, y) in places {
                let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{stroke}\"/>");
            }
        }
    }
}

/// The powers of ten that enclose all values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let logarithms: Vec<f64> = values.map(f64::log10).collect();
    let least = logarithms.iter().copied().fold(f64::INFINITY, f64::min).floor();
    let most = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max).ceil();
    (least as i32, (most as i32).max(least as i32 + 1))
}

/// Where a value is between two powers of ten, from 0 to 1.
fn position(value: f64, (least, most): (i32, i32)) -> f64 {
    (value.log10() - f64::from(least)) / f64::from(most - least)
}

/// A power of ten and its label.
fn power(decade: i32) -> (f64, String) {
    let value = 10_f64.powi(decade);
    let label = if decade >= 3 { format!("{},000", 10_u32.pow(decade as u32 - 3)) } else { value.to_string() };
    (value, label)
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, content: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

fn grid(svg: &mut String, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = writeln!(svg, "<line class=\"grid\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

fn line(svg: &mut String, points: &str, stroke: &str, dash: &str) {
    let _ = writeln!(
        svg,
        "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\"/>"
    );
}

#[cfg(test)]
mod tests {
    use super::super::axis::AXES;
    use super::*;

    #[test]
    fn the_chart_has_a_line_of_each_axis_in_both_panels_and_in_the_legend() {
        let growth = |axis| {
            let point = |at: usize| Point {
                size: 10_usize.pow(at as u32),
                records: 10,
                cpu_ns_per_record: 900.0,
                memory_mb: 2.0 * at as f64 + 1.0,
            };
            Growth { axis, points: (0..3).map(point).collect(), control: 1.0 }
        };
        let svg = draw(&AXES.iter().map(growth).collect::<Vec<_>>());
        assert_eq!(svg.matches("<polyline").count(), 3 * AXES.len(), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2 * 3 * AXES.len(), "{svg}");
        assert!(AXES.iter().all(|axis| svg.contains(&format!(">{}</text>", axis.name))), "{svg}");
        // From 100 to 1,000, whose logarithms are 2 and 3: 900 is near the top of the first panel.
        assert!(svg.contains("cx=\"50.0\" cy=\"50.1\""), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
