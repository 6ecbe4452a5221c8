//! The report as a plot of horizontal bars: a panel per group and unit.

use std::fmt::Write;

use super::axis::Axis;
use super::{Report, title};
use crate::scenario::{Scenario, Unit};

const WIDTH: f64 = 960.0;
/// Where bars start; scenario names are left of it.
pub(super) const LEFT: f64 = 280.0;
/// Where the axis ends; the longest bar's value is right of it.
pub(super) const RIGHT: f64 = 860.0;
const BAR: f64 = 15.0;
const GAP: f64 = 9.0;
const MARGIN: f64 = 20.0;

/// Colours that stay apart for most kinds of colour blindness, on white and on black.
const STYLE: &str = "\
  text { font: 12px system-ui, sans-serif; fill: #1c2024; }\n\
  .title { font-size: 15px; font-weight: 600; }\n\
  .paper { fill: #ffffff; } .grid { stroke: #d5d9de; } .target { stroke: #1c2024; stroke-width: 2.5; }\n\
  .bar0 { fill: #e69f00; } .bar1 { fill: #56a5d8; } .bar2 { fill: #009e73; } .bar3 { fill: #cc79a7; }\n\
  .bar4 { fill: #a08ce0; } .bar5 { fill: #8a8f96; }\n\
  @media (prefers-color-scheme: dark) {\n\
  text { fill: #e6e9ec; } .paper { fill: #14171a; } .grid { stroke: #3a4047; } .target { stroke: #e6e9ec; }\n\
  }\n";

/// The whole picture.
pub(super) fn text(report: &Report) -> String {
    let mut labels: Vec<&str> = Vec::new();
    for scenario in &report.scenarios {
        let all = std::iter::once(&scenario.ours).chain(scenario.peers.iter().map(|peer| &peer.series));
        for label in all.map(|series| series.label.as_str()) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
    }
    let mut body = String::new();
    let mut y = MARGIN + legend(&mut body, &labels);
    for group in report.groups() {
        for unit in [Unit::Seconds, Unit::Bytes] {
            let of_panel = |scenario: &&Scenario| scenario.group == group && scenario.unit == unit;
            let scenarios: Vec<_> = report.scenarios.iter().filter(of_panel).collect();
            if !scenarios.is_empty() {
                y = panel(&mut body, y + MARGIN, title(group), unit, &scenarios, &labels);
            }
        }
    }
    let height = y + MARGIN;
    let subtitle = format!("{} cores, {}", report.machine.cores, report.machine.rustc);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" role=\"img\">\n<title>cargo xtask beside its peers ({})</title>\n<style>\n{STYLE}\
         </style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        escape(&subtitle)
    )
}

/// Draws the legend and gives its height.
fn legend(body: &mut String, labels: &[&str]) -> f64 {
    let mut x = MARGIN;
    for (class, label) in labels.iter().enumerate() {
        let _ =
            writeln!(body, "<rect class=\"bar{}\" x=\"{x:.0}\" y=\"{MARGIN}\" width=\"12\" height=\"12\"/>", class % 6);
        text_at(body, x + 17.0, MARGIN + 10.0, "", label);
        x += 40.0 + 6.6 * label.chars().count() as f64;
    }
    let _ =
        writeln!(body, "<line class=\"target\" x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"{MARGIN}\" y2=\"{}\"/>", MARGIN + 12.0);
    text_at(body, x + 8.0, MARGIN + 10.0, "", "target for cargo xtask");
    12.0
}

/// Draws one panel from `top` on, and gives where it ends.
fn panel(body: &mut String, top: f64, title: &str, unit: Unit, scenarios: &[&Scenario], labels: &[&str]) -> f64 {
    let values = scenarios.iter().flat_map(|scenario| {
        let peers = scenario.peers.iter().map(|peer| peer.series.median());
        peers.chain([scenario.ours.median()]).chain(scenario.limit())
    });
    let axis = Axis::new(unit, values);
    let title = match unit {
        Unit::Seconds => title.to_owned(),
        Unit::Bytes => format!("{title}: images"),
    };
    text_at(body, MARGIN, top + 12.0, " class=\"title\"", &title);
    let start = top + 26.0;
    let bars: usize = scenarios.iter().map(|scenario| 1 + scenario.peers.len()).sum();
    let end = start + BAR * bars as f64 + GAP * scenarios.len() as f64;
    for tick in &axis.ticks {
        let x = axis.x(*tick);
        let _ = writeln!(body, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{start:.1}\" y2=\"{end:.1}\"/>");
        text_at(body, x, end + 14.0, " text-anchor=\"middle\"", &axis.tick(*tick));
    }
    text_at(body, f64::midpoint(LEFT, RIGHT), end + 30.0, " text-anchor=\"middle\"", axis.label());
    let mut y = start + GAP / 2.0;
    for scenario in scenarios {
        text_at(body, LEFT - 10.0, y + BAR - 4.0, " text-anchor=\"end\"", &scenario.name);
        let peers = scenario.peers.iter().map(|peer| &peer.series);
        for (row, series) in std::iter::once(&scenario.ours).chain(peers).enumerate() {
            let value = series.median();
            let class = labels.iter().position(|label| *label == series.label).unwrap_or_default() % 6;
            let width = (axis.x(value) - LEFT).max(1.0);
            let thick = BAR - 2.0;
            let _ = writeln!(
                body,
                "<rect class=\"bar{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{thick}\"/>"
            );
            let mut after = LEFT + width;
            if let Some(limit) = scenario.limit().filter(|_| row == 0) {
                let x = axis.x(limit);
                // The value must not lie under the mark.
                if (x - after).abs() < 55.0 {
                    after = after.max(x);
                }
                let (above, below) = (y - 1.0, y + thick + 1.0);
                let _ = writeln!(
                    body,
                    "<line class=\"target\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{above:.1}\" y2=\"{below:.1}\"/>"
                );
            }
            text_at(body, after + 6.0, y + BAR - 5.0, "", &unit.show(value));
            y += BAR;
        }
        y += GAP;
    }
    end + 34.0
}

fn text_at(body: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\"{attributes}>{}</text>", escape(text));
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_per_value_and_escaped_names() {
        let text = text(&super::super::example());
        assert_eq!(text.matches("<rect class=\"bar").count(), 3 + 4);
        assert_eq!(text.matches("<line class=\"target\"").count(), 1 + 2);
        assert!(text.contains("cold &lt;all&gt;") && text.contains("MiB, compressed"));
    }
}
