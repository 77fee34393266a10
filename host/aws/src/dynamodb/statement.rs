//! Conditional writes as PartiQL statements.

use std::collections::HashSet;
use std::fmt::Write as _;

use aws_sdk_dynamodb::types::{AttributeValue, BatchStatementRequest, ReturnValuesOnConditionCheckFailure};
use paceline_pipeline::store::Write;

use super::cache::CachedItem;
use super::item::{self, PARTITION, REVISION, SORT};

/// DynamoDB's limit for the characters of a statement.
const MAX_STATEMENT_CHARS: usize = 8192;

/// A write as a PartiQL statement; `None` if only `PutItem` supports it. The statement results in the same item as
/// `PutItem`: it removes, by name, the attributes that the new item does not have. Therefore the present item must be
/// known.
pub(super) fn encode_statement(
    table: &str,
    write: &Write,
    before: Option<&CachedItem>,
) -> Option<BatchStatementRequest> {
    let Write { key, expected, item } = write;
    let attributes = item::attributes(item);
    if !attributes.iter().all(|(name, _)| is_attribute_supported(name)) {
        return None;
    }
    let keys = [AttributeValue::S(key.partition.to_string()), AttributeValue::S(key.sort.to_string())];
    let mut text = String::with_capacity(512);
    let (text, parameters): (String, Vec<AttributeValue>) = match expected {
        None => {
            let _ = write!(text, "INSERT INTO \"{table}\" VALUE {{'{PARTITION}':?,'{SORT}':?");
            for (name, _) in &attributes {
                let _ = write!(text, ",'{name}':?");
            }
            text.push('}');
            (text, keys.into_iter().chain(attributes.into_iter().map(|(_, value)| value)).collect())
        }
        Some(revision) => {
            let before = before.filter(|before| before.revision() == Some(*revision))?;
            let had = before.item.iter().flat_map(item::removable_names);
            let had = had.chain(before.unknown.iter().map(String::as_str));
            let has: HashSet<&str> = attributes.iter().map(|(name, _)| *name).collect();
            let removed: Vec<&str> = had.filter(|name| !has.contains(name)).collect();
            if !removed.iter().all(|name| is_attribute_supported(name)) {
                return None;
            }
            let _ = write!(text, "UPDATE \"{table}\"");
            for (name, _) in &attributes {
                let _ = write!(text, " SET \"{name}\"=?");
            }
            for name in removed {
                let _ = write!(text, " REMOVE \"{name}\"");
            }
            let _ = write!(text, " WHERE \"{PARTITION}\"=? AND \"{SORT}\"=? AND \"{REVISION}\"=?");
            let values = attributes.into_iter().map(|(_, value)| value);
            let condition = keys.into_iter().chain([AttributeValue::N(revision.to_string())]);
            (text, values.chain(condition).collect())
        }
    };
    if text.len() > MAX_STATEMENT_CHARS {
        return None;
    }
    let request = BatchStatementRequest::builder()
        .statement(text)
        .set_parameters(Some(parameters))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    Some(request.build().expect("the statement is set"))
}

/// Whether a statement can contain the name of this table. These are all characters that such a name can have.
pub(super) fn is_table_supported(name: &str) -> bool {
    has_only(name, "_-.")
}

/// Whether a statement can contain the name of this attribute. The documentation does not specify which other characters
/// a quoted name can contain.
fn is_attribute_supported(name: &str) -> bool {
    has_only(name, "_-@ ")
}

/// Whether a name consists of ASCII letters, digits and these characters.
fn has_only(name: &str, others: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || others.contains(char))
}

#[cfg(test)]
mod tests {

    use paceline_pipeline::dedup::{DedupState, OrdinalSet};
    use paceline_pipeline::model::{Attribute, Item, Key};

    use super::*;

    fn item(revision: u64, names: &[&str]) -> Item {
        let provenance = item::test_provenance();
        let attributes = names.iter().map(|name| ((*name).into(), Attribute::Integer(1))).collect();
        let dedup = DedupState::Ordinal(OrdinalSet::default());
        Item { revision, state: vec![], dedup, attributes, provenance, reruled: false }
    }

    fn text(expected: Option<u64>, names: &[&str], before: Option<CachedItem>) -> Option<String> {
        let key = Key::new("p", "s");
        let write = Write { key, expected, item: item(expected.unwrap_or(0) + 1, names) };
        encode_statement("races", &write, before.as_ref()).map(|statement| statement.statement)
    }

    #[test]
    fn a_new_item_is_inserted_and_an_old_one_updated() {
        assert_eq!(
            text(None, &["GSI"], None).unwrap(),
            "INSERT INTO \"races\" VALUE {'PK':?,'SK':?,'@revision':?,'@state':?,'@dedup':?,'@rulebook':?,\
             '@rules':?,'@state-format':?,'@dedup-rule':?,'@plugins':?,'GSI':?}"
        );
        let mut before = CachedItem::present(item(4, &["GSI", "old"]));
        before.unknown.push("tags".into());
        assert_eq!(
            text(Some(4), &["GSI", "new one"], Some(before)).unwrap(),
            "UPDATE \"races\" SET \"@revision\"=? SET \"@state\"=? SET \"@dedup\"=? SET \"@rulebook\"=? \
             SET \"@rules\"=? SET \"@state-format\"=? SET \"@dedup-rule\"=? SET \"@plugins\"=? SET \"GSI\"=? SET \"new one\"=? REMOVE \"old\" REMOVE \"tags\" WHERE \"PK\"=? AND \
             \"SK\"=? AND \"@revision\"=?"
        );
    }

    #[test]
    fn a_mark_that_the_new_item_does_not_have_is_removed() {
        let marked = Item { reruled: true, ..item(4, &[]) };
        let update = text(Some(4), &[], Some(CachedItem::present(marked))).unwrap();
        assert!(update.contains("REMOVE \"@reruled\""), "{update}");
    }

    #[test]
    fn a_write_that_statements_do_not_support_is_left_to_put_item() {
        for name in ["it's", "say \"so\"", "#1", "a.b", "naïve", ""] {
            assert_eq!(text(None, &[name], None), None, "{name}");
            let before = Some(CachedItem::present(item(4, &[name])));
            assert_eq!(text(Some(4), &["GSI"], before), None, "{name}");
        }
        let many: Vec<String> = (0..100).map(|number| format!("{number:0100}")).collect();
        assert_eq!(text(None, &many.iter().map(String::as_str).collect::<Vec<_>>(), None), None);
        // Without the present item, the attributes to remove are not known.
        assert_eq!(text(Some(4), &["GSI"], None), None);
        assert_eq!(text(Some(4), &["GSI"], Some(CachedItem::present(item(3, &["GSI"])))), None);
    }
}
