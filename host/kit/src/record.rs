//! Sample events from recorded payloads, without the members that no plugin reads: what is private stays where it is.

use paceline_engine::Field;
use paceline_pipeline::model::{NotAPointer, Pointer};
use serde_json::{Map, Value};

/// Which members of a payload are kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// All: the plugin reads the payload itself.
    All,
    /// These.
    Members(Vec<Pointer>),
}

impl Kept {
    /// The members that a plugin reads, and others.
    pub fn new(declared: &[Field], others: impl IntoIterator<Item = Pointer>) -> Result<Self, NotAPointer> {
        if declared.iter().any(|field| field.path == "@payload") {
            return Ok(Self::All);
        }
        let read = declared.iter().filter(|field| field.path.starts_with('/'));
        let read = read.map(|field| Pointer::parse(&field.path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::Members(read.into_iter().chain(others).collect()))
    }

    /// A payload as a line of a file of events. `None` if it is not a JSON object: no part of it can be left out.
    pub fn event(&self, payload: &[u8]) -> Option<String> {
        let payload = payload.strip_prefix("\u{feff}".as_bytes()).unwrap_or(payload);
        let event: Map<String, Value> = serde_json::from_slice(payload).ok()?;
        let event = match self {
            Self::All => event,
            Self::Members(pointers) => {
                let mut kept = Map::new();
                for pointer in pointers {
                    if let Some(value) = value(&event, pointer) {
                        insert(&mut kept, pointer.members(), value);
                    }
                }
                kept
            }
        };
        serde_json::to_string(&event).ok()
    }
}

fn value<'e>(event: &'e Map<String, Value>, pointer: &Pointer) -> Option<&'e Value> {
    let (first, rest) = pointer.members().split_first()?;
    rest.iter().try_fold(event.get(&**first)?, |value, member| value.as_object()?.get(&**member))
}

fn insert(object: &mut Map<String, Value>, members: &[Box<str>], value: &Value) {
    match members {
        [] => {}
        [last] => {
            // What a longer pointer has kept of it is a part of the whole value.
            object.insert(last.to_string(), value.clone());
        }
        [first, rest @ ..] => {
            if let Value::Object(inner) = object.entry(first.to_string()).or_insert_with(|| Value::Object(Map::new())) {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use paceline_engine::Kind;

    use super::*;

    fn kept(paths: &[&str]) -> Kept {
        let field = |path: &&str| Field { path: (*path).to_owned(), kind: Kind::Number, default: None };
        Kept::new(&paths.iter().map(field).collect::<Vec<_>>(), [Pointer::parse("/racerId").unwrap()]).unwrap()
    }

    #[test]
    fn only_members_that_are_read_are_kept() {
        let payload =
            r#"{"name":"Hubert","cadence":62.50,"bike":{"resistance":[1],"owner":"me"},"racerId":1,"x":null}"#;
        let event = |paths: &[&str]| kept(paths).event(payload.as_bytes()).unwrap();
        assert_eq!(event(&["/cadence"]), r#"{"cadence":62.5,"racerId":1}"#);
        assert_eq!(
            event(&["/bike/resistance", "/none", "/x", "@arrival-ms"]),
            r#"{"bike":{"resistance":[1]},"racerId":1,"x":null}"#
        );
        assert_eq!(event(&["/bike/resistance", "/bike"]), r#"{"bike":{"owner":"me","resistance":[1]},"racerId":1}"#);
        assert_eq!(event(&["/bike", "/bike/resistance"]), event(&["/bike/resistance", "/bike"]));
        assert_eq!(event(&["/cadence/below"]), r#"{"racerId":1}"#);
    }

    #[test]
    fn a_plugin_that_reads_the_payload_gets_all_of_it_and_what_is_no_object_is_left_out() {
        assert_eq!(kept(&["@payload"]).event(b"{\"a\": 1}").unwrap(), r#"{"a":1}"#);
        for payload in [&b"[1]"[..], b"\xff", b"{\"a\":", b""] {
            assert_eq!(kept(&["@payload"]).event(payload), None);
        }
    }
}
