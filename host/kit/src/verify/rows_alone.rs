//! What a scorer or a validator makes of a row does not depend on its neighbours, its place, or where batches are cut.

use super::calls::{RowCalls, Tried, Verdict};
use super::lab::Lab;
use super::report::{Check, Checked, Law};
use super::rows::{Row, parts};
use super::rule::{Breach, Deal, Rule};
use super::same_bytes::verdicts;
use super::search::first;

const ADVICE: &str = "A batch is cut wherever the stream happens to be, and repeated in other cuts. Look for the first row of \
                      a call, the row before, sums over the batch and numbers of rows. What spans records is for an \
                      aggregator.";

pub(crate) fn check(lab: &Lab<'_>) -> Checked {
    let deal = Deal { groups: 1, parts: 4 };
    let alone = |rows: &[Row]| alone(lab, rows);
    let cut = |rows: &[Row]| cut(lab, rows);
    let permuted = |rows: &[Row]| permuted(lab, rows);
    let mut findings = Vec::new();
    for (name, holds, what, part) in [
        (
            "rows-alone alone",
            &alone as &dyn Fn(&[Row]) -> Tried<Option<Breach>>,
            "the result for a record depends on the other records of the call",
            "",
        ),
        ("rows-alone cut", &cut, "the result for a record depends on where the batch is cut", "call"),
        ("rows-alone order", &permuted, "the result for a record depends on its place in the call", ""),
    ] {
        findings.extend(lab.verify(&Rule { name, deal, holds }, what, ADVICE, part)?);
    }
    let holds = "the result for a record depends on no other record, on no order and on no cut of batches".to_owned();
    Ok(Check { law: Law::RowsAlone, holds, findings: first(findings) })
}

fn call(lab: &Lab<'_>, rows: &[Row]) -> Tried<Vec<Verdict>> {
    RowCalls::new(lab.subject).map_or(Ok(Vec::new()), |mut calls| calls.call(rows))
}

fn alone(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let together = call(lab, rows)?;
    let mut apart = Vec::with_capacity(rows.len());
    for row in rows {
        apart.extend(call(lab, std::slice::from_ref(row))?);
    }
    Ok(verdicts(&[("all in one call", together), ("in a call of its own", apart)]))
}

fn cut(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let together = call(lab, rows)?;
    let mut apart = Vec::with_capacity(rows.len());
    for part in parts(rows) {
        apart.extend(call(lab, part)?);
    }
    Ok(verdicts(&[("in one call", together), ("in several calls", apart)]))
}

fn permuted(lab: &Lab<'_>, rows: &[Row]) -> Tried<Option<Breach>> {
    let in_order = call(lab, rows)?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row].place);
    let permuted: Vec<Row> = order.iter().map(|&row| rows[row].clone()).collect();
    let mut back = vec![Verdict::Accepted; rows.len()];
    for (verdict, row) in call(lab, &permuted)?.into_iter().zip(order) {
        back[row] = verdict;
    }
    Ok(verdicts(&[("in this order", in_order), ("in another order", back)]))
}
