//! The report in 80 columns.

use std::collections::BTreeMap;

use super::{ReaderLag, Report, lag};
use crate::causes::Diagnosis;
use crate::finding::{Evidence, Remedy, Severity};
use crate::history::Timestamp;
use crate::words::{duration, number};

const COLUMNS: usize = 80;
/// The width of the labels `seen`, `sums` and so on.
const LABEL: usize = 8;

/// What is being written.
struct Page {
    text: String,
    colour: bool,
    until: Timestamp,
    /// Commands, and the checks that named them.
    named: BTreeMap<String, &'static str>,
}

pub(super) fn render(report: &Report, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour, until: report.until, named: BTreeMap::new() };
    page.lines("", "", &report.verdict);
    let span = format!("{} to {}", page.second(report.since, true), page.second(report.until, true));
    let subjects = report.subjects.join(", ");
    page.lines("", "", &if subjects.is_empty() { span } else { format!("{span}: {subjects}") });
    if !report.findings.is_empty() {
        page.blank();
        report.findings.iter().for_each(|diagnosis| page.outline(diagnosis, 0));
    }
    for diagnosis in &report.findings {
        page.diagnosis(diagnosis, None);
    }
    page.lag(&report.lag);
    page.list("Healthy", report.healthy.iter().map(|it| (it.check, it.line.as_str())));
    page.list("Not checked", report.not_checked.iter().map(|it| (it.check, it.line.as_str())));
    if !report.unavailable.is_empty() {
        page.blank();
        page.lines("", "", "Could not be read");
        for it in &report.unavailable {
            let permission =
                it.permission.as_ref().map(|action| format!("no permission for {action}: ")).unwrap_or_default();
            page.lines("  ", "    ", &format!("{}: {permission}{}", it.what, it.reason));
        }
    }
    page.text
}

impl Page {
    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// Words in lines, with an indent for the first line and one for the others.
    fn lines(&mut self, first: &str, others: &str, words: &str) {
        for (index, line) in wrap(words, COLUMNS - others.chars().count().max(first.chars().count())).iter().enumerate()
        {
            self.text.push_str(if index == 0 { first } else { others });
            self.text.push_str(line);
            self.blank();
        }
    }

    /// A labelled paragraph.
    fn labelled(&mut self, label: &str, words: &str) {
        let first = format!("  {label:LABEL$}");
        self.lines(&first, &" ".repeat(LABEL + 2), words);
    }

    fn severity(&self, severity: Severity) -> String {
        let code = match severity {
            Severity::Note => "36",
            Severity::Warning => "33",
            Severity::Critical => "31",
        };
        let word = word(severity);
        if self.colour { format!("\u{1b}[1;{code}m{word}\u{1b}[0m") } else { word.to_owned() }
    }

    /// One line of the overview.
    fn outline(&mut self, diagnosis: &Diagnosis, depth: usize) {
        let name = format!("{}{}", "  ".repeat(depth), diagnosis.check);
        let line = format!("{name:30} {}", diagnosis.finding.subject);
        let severity = self.severity(diagnosis.finding.severity);
        let padding = " ".repeat(9 - word(diagnosis.finding.severity).len());
        let cut: String = line.chars().take(COLUMNS - 9).collect();
        self.text.push_str(&format!("{severity}{padding}{}\n", cut.trim_end()));
        diagnosis.consequences.iter().for_each(|it| self.outline(it, depth + 1));
    }

    fn diagnosis(&mut self, diagnosis: &Diagnosis, cause: Option<&str>) {
        let finding = &diagnosis.finding;
        self.blank();
        let (plain, coloured) = (word(finding.severity), self.severity(finding.severity));
        let heading = wrap(&format!("{plain} {}: {}", diagnosis.check, finding.subject), COLUMNS - 2).join("\n  ");
        self.text.push_str(&heading.replacen(plain, &coloured, 1));
        self.blank();
        let over = if finding.ongoing { "" } else { " It is over." };
        self.lines("  ", "  ", &format!("{}{over}", finding.reason));
        if let (Some(because), Some(cause)) = (diagnosis.because, cause) {
            self.labelled("follows", &format!("from {cause}: {because}"));
        }
        if !diagnosis.also_because.is_empty() {
            self.labelled("also", &format!("from {}", diagnosis.also_because.join(", ")));
        }
        for (index, evidence) in finding.evidence.iter().enumerate() {
            let words = self.evidence(evidence);
            self.labelled(if index == 0 { "seen" } else { "" }, &words);
        }
        for (index, line) in finding.arithmetic.iter().enumerate() {
            self.labelled(if index == 0 { "that is" } else { "" }, line);
        }
        self.remedies(diagnosis.check, &finding.remedies);
        diagnosis.consequences.iter().for_each(|it| self.diagnosis(it, Some(diagnosis.check)));
    }

    fn evidence(&self, evidence: &Evidence) -> String {
        let unit = if evidence.unit.is_empty() || evidence.unit.starts_with('%') {
            evidence.unit.clone()
        } else {
            format!(" {}", evidence.unit)
        };
        let seconds = evidence.unit == "seconds" || evidence.unit == "s";
        let show = |value: f64| match seconds {
            true => duration(value),
            false if evidence.unit == "seconds a second" => format!("{value:.2}"),
            false => number(value),
        };
        let unit = if seconds { String::new() } else { agreeing(&unit, &show(evidence.value)) };
        let space = if unit.starts_with('%') { " " } else { "" };
        let mut words = format!("{}: {}{space}{unit}", evidence.what, show(evidence.value));
        if let Some(threshold) = evidence.threshold {
            words.push_str(&format!(", threshold {}", show(threshold)));
        }
        if let Some(at) = evidence.at {
            words.push_str(&format!(", at {}", self.second(at, false)));
        }
        words
    }

    /// Remedies that another finding has named are not repeated.
    fn remedies(&mut self, check: &'static str, remedies: &[Remedy]) {
        let mut others = Vec::new();
        for remedy in remedies {
            match self.named.get(&remedy.command) {
                Some(other) if others.contains(other) => {}
                Some(other) => others.push(*other),
                None => {
                    self.remedy(remedy);
                    self.named.insert(remedy.command.clone(), check);
                }
            }
        }
        if !others.is_empty() {
            let words = match others.as_slice() {
                [other] if *other == check => "the same as above".to_owned(),
                [other] => format!("what {other} names"),
                others => format!("what {} name", others.join(" and ")),
            };
            self.labelled("do", &words);
        }
    }

    fn remedy(&mut self, remedy: &Remedy) {
        for (index, line) in shell_lines(&remedy.command).iter().enumerate() {
            let label = if index == 0 { "do" } else { "" };
            self.text.push_str(format!("  {label:LABEL$}{line}").trim_end());
            self.blank();
        }
        let indent = " ".repeat(LABEL + 2);
        self.lines(&indent, &indent, &remedy.effect);
        self.lines(&indent, &indent, &format!("Cost a month: {}.", remedy.cost));
        if let Some(breaks) = &remedy.breaks {
            self.lines(&indent, &indent, &format!("Mind: {breaks}"));
        }
    }

    fn lag(&mut self, readers: &[ReaderLag]) {
        if readers.is_empty() {
            return;
        }
        self.blank();
        self.lines("", "", "Lag");
        for line in lag::lines(readers) {
            self.lines("  ", "    ", &line);
        }
    }

    fn list<'a>(&mut self, title: &str, lines: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut lines = lines.peekable();
        if lines.peek().is_none() {
            return;
        }
        self.blank();
        self.lines("", "", title);
        for (check, line) in lines {
            self.lines("  ", "    ", &format!("{check}: {line}"));
        }
    }

    /// A time, with its date if that is not the report's.
    fn second(&self, at: Timestamp, with_date: bool) -> String {
        let text = Timestamp(at.0 / 1_000 * 1_000).to_string();
        let (date, time) = text.split_once('T').unwrap_or(("", &text));
        let time = time.split('.').next().unwrap_or(time);
        let today = self.until.to_string();
        if with_date || !today.starts_with(date) { format!("{date} {time}") } else { time.to_owned() }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "NOTE",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    }
}

/// A unit such as ` batches a period`, in the singular after 1.
fn agreeing(unit: &str, value: &str) -> String {
    let (noun, rest) = unit.trim_start().split_once(' ').unwrap_or((unit.trim_start(), ""));
    let singular = match noun.strip_suffix('s') {
        Some(stem) if value == "1" && noun.len() > 2 => {
            stem.strip_suffix("che").map_or(stem.to_owned(), |it| format!("{it}ch"))
        }
        _ => return unit.to_owned(),
    };
    format!(" {singular} {rest}").trim_end().to_owned()
}

/// Words in lines of at most so many columns. A longer word has a line of its own. What producers sent may have control
/// characters, and must not speak to the terminal.
fn wrap(words: &str, columns: usize) -> Vec<String> {
    let words = words.replace(char::is_control, "\u{fffd}");
    let mut lines = vec![String::new()];
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > columns {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A command in lines that a shell joins, split before options.
fn shell_lines(command: &str) -> Vec<String> {
    let columns = COLUMNS - LABEL - 2 - 2;
    let mut lines: Vec<String> = Vec::new();
    for (index, part) in command.split(" --").enumerate() {
        let part = if index == 0 { part.to_owned() } else { format!("--{part}") };
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + part.chars().count() <= columns => {
                line.push(' ');
                line.push_str(&part);
            }
            // A list of words, none of them quoted.
            Some(_) if part.chars().count() > columns && !part.contains('\'') => {
                lines.extend(
                    wrap(&part, columns - 6)
                        .iter()
                        .enumerate()
                        .map(|(index, line)| if index == 0 { format!("    {line}") } else { format!("      {line}") }),
                );
            }
            Some(_) => lines.push(format!("    {part}")),
            None => lines.push(part),
        }
    }
    let last = lines.len() - 1;
    lines.iter_mut().take(last).for_each(|line| line.push_str(" \\"));
    lines
}
