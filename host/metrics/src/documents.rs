//! The files that are made from the lists: tables, alarms and dashboards.
//!
//! - `tables`: the tables of `docs/metrics.md`.
//! - [`cost`]: what CloudWatch bills for the metrics of a function.
//! - `template`: the alarms and the dashboard of `examples/alleycat/template.yaml`.
//! - `grafana`: `examples/alleycat/grafana.json`.

pub mod cost;
mod grafana;
mod tables;
mod template;

pub use grafana::grafana;
pub use tables::{alarm_table, cloudwatch_table, prometheus_table};
pub use template::{alarms, dashboard};

/// A file's text with another content between the lines that begin and end a section. The lines contain
/// `begin NAME` and `end NAME`; a comment in the file's syntax is around them.
///
/// Returns `None` if the file has no such section.
pub fn with_section(text: &str, name: &str, content: &str) -> Option<String> {
    let begin = text.find(&format!("begin {name}"))?;
    let from = begin + text[begin..].find('\n')? + 1;
    let end = from + text[from..].find(&format!("end {name}"))?;
    let until = text[..end].rfind('\n')? + 1;
    (from <= until).then(|| format!("{}{content}{}", &text[..from], &text[until..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_what_is_between_its_lines() {
        let text = "a\n<!-- begin x -->\nold\nold\n<!-- end x -->\nb\n";
        let new = "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n";
        assert_eq!(with_section(text, "x", "new\n").as_deref(), Some(new));
        assert_eq!(with_section(text, "y", ""), None);
    }
}
