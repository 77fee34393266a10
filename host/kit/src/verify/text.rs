//! The report for people: lines of at most 80 columns.

use super::report::{Example, Finding, Law, Report, Severity};

/// The width of a line.
const WIDTH: usize = 80;

/// Where the sentences begin: after the outcome and the name of the law.
const INDENT: usize = 24;

impl Report {
    /// The report for people.
    pub fn to_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for check in &self.checks {
            let worst = check.severity().filter(|severity| *severity > Severity::Fact);
            if worst.is_none() && !check.holds.is_empty() {
                sentence(&mut lines, &head("passed", check.law), &check.holds);
            }
            for finding in &check.findings {
                if worst.is_some() && finding.severity == Severity::Fact {
                    continue;
                }
                sentence(&mut lines, &head(finding.severity.word(), check.law), &finding.what);
                details(&mut lines, finding);
            }
        }
        for law in &self.unchecked {
            sentence(&mut lines, &head("-", *law), "not checked: calls on the sample events fail");
        }
        lines.push(String::new());
        lines.push(self.summary());
        lines
    }

    fn summary(&self) -> String {
        let (checked, violated) = (self.checks.len(), self.violations());
        let kept = match violated {
            0 => format!("{checked} laws kept"),
            1 => format!("1 of {checked} laws violated"),
            some => format!("{some} of {checked} laws violated"),
        };
        let warnings = match self.warnings() {
            0 => String::new(),
            1 => ", 1 with a warning".to_owned(),
            some => format!(", {some} with warnings"),
        };
        format!("{kept}{warnings}; {} cases a law, --seed {}", self.cases, self.seed)
    }
}

fn head(outcome: &str, law: Law) -> String {
    format!("{outcome:8}  {:12}  ", law.id())
}

/// A sentence after its head, wrapped.
fn sentence(lines: &mut Vec<String>, head: &str, text: &str) {
    for (at, line) in wrapped(text, WIDTH - INDENT).into_iter().enumerate() {
        lines.push(format!("{:INDENT$}{line}", if at == 0 { head } else { "" }));
    }
}

fn details(lines: &mut Vec<String>, finding: &Finding) {
    // A fact is no fault that must be understood.
    if let Some(example) = finding.example.as_ref().filter(|_| finding.severity > Severity::Fact) {
        lines.push(String::new());
        lines.extend(self::example(example).into_iter().map(|line| format!("    {line}").trim_end().to_owned()));
        lines.push(String::new());
    }
    if !finding.advice.is_empty() {
        let advice = wrapped(&finding.advice, WIDTH - INDENT - 2);
        let line = |(at, line): (usize, String)| format!("{:INDENT$}{}{line}", "", if at == 0 { "→ " } else { "  " });
        lines.extend(advice.into_iter().enumerate().map(line));
    }
}

/// The rows, what is the same in all of them, and the results.
fn example(example: &Example) -> Vec<String> {
    let Example { header, rows, results } = example;
    let mut lines = Vec::new();
    let is_alike = |column: &usize| rows.len() > 1 && rows.iter().all(|row| row[*column] == rows[0][*column]);
    let (alike, differing): (Vec<usize>, Vec<usize>) = (0..header.len()).partition(is_alike);
    let pick = |row: &Vec<String>| differing.iter().map(|&column| row[column].clone()).collect::<Vec<_>>();
    let mut table = vec![pick(header)];
    table.extend(rows.iter().map(pick));
    let aligned = aligned(&table);
    match aligned.iter().map(|line| line.chars().count()).max() {
        Some(0) | None => lines.push(format!("{} records that are alike", rows.len())),
        Some(width) if width <= WIDTH - 4 => lines.extend(aligned),
        // Too wide for a table: each record in lines of its own.
        Some(_) => {
            for (at, row) in table[1..].iter().enumerate() {
                let pairs: Vec<String> =
                    table[0].iter().zip(row).map(|(name, cell)| format!("{name} {cell}")).collect();
                lines.extend(wrapped(&format!("record {}: {}", at + 1, pairs.join(", ")), WIDTH - 4));
            }
        }
    }
    if !alike.is_empty() && !rows.is_empty() {
        let pairs: Vec<String> =
            alike.iter().map(|&column| format!("{} {}", header[column], rows[0][column])).collect();
        lines.extend(wrapped(&format!("in each: {}", pairs.join(", ")), WIDTH - 4));
    }
    if !results.is_empty() && !lines.is_empty() {
        lines.push(String::new());
    }
    let width = results.iter().map(|(of, _)| of.chars().count()).max().unwrap_or(0).min(36);
    for (of, result) in results {
        for (at, line) in wrapped(result, WIDTH - 4 - width - 2).into_iter().enumerate() {
            lines.push(format!("{:width$}  {line}", if at == 0 { of } else { "" }));
        }
    }
    lines
}

fn aligned(table: &[Vec<String>]) -> Vec<String> {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

/// Lines of at most this width, broken between words; a longer word is broken as it is.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        for (at, piece) in letters.chunks(width).enumerate() {
            let last = lines.last_mut().expect("there is a line");
            let used = last.chars().count();
            if at == 0 && (used == 0 || used + 1 + piece.len() <= width) {
                if used > 0 {
                    last.push(' ');
                }
                last.extend(piece);
            } else {
                lines.push(piece.iter().collect());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_too_long_are_broken() {
        assert_eq!(wrapped("ab cd efghij k", 5), ["ab cd", "efghi", "j k"]);
    }
}
