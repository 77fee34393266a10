//! A policy of IAM, as a file has it, and what it allows.

use std::collections::BTreeSet;

use paceline_testbed::environment::checkout;
use paceline_testbed::proxy::Access;
use serde_json::Value;

/// A policy of `examples/alleycat/policies`.
pub(super) struct Policy {
    pub(super) name: String,
    statements: Vec<Statement>,
}

struct Statement {
    sid: String,
    actions: Vec<String>,
    /// The ends of ARNs, after region and account.
    resources: Vec<String>,
    /// Patterns of the partition keys that a query may be for; without any, it may be for all.
    leading_keys: Vec<String>,
}

/// The names of a deployment, in place of the placeholders.
pub(super) type Names<'a> = [(&'a str, &'a str)];

impl Policy {
    /// Reads a policy, and puts names in place of its placeholders.
    pub(super) fn read(name: &str, names: &Names<'_>) -> Self {
        let mut text = read(name);
        for (placeholder, value) in names {
            text = text.replace(&format!("${{{placeholder}}}"), value);
        }
        let document: Value = serde_json::from_str(&text).unwrap();
        let statements = document["Statement"].as_array().unwrap().iter().map(Statement::of).collect();
        Self { name: name.to_owned(), statements }
    }

    /// What of these is not allowed.
    pub(super) fn refused<'a>(&self, accesses: &'a BTreeSet<Access>) -> Vec<&'a Access> {
        let allowed = |access: &Access| self.statements.iter().any(|statement| statement.allows(access));
        accesses.iter().filter(|access| !allowed(access)).collect()
    }

    /// The actions that none of these needs, as `SID ACTION`.
    pub(super) fn unused(&self, accesses: &BTreeSet<Access>) -> BTreeSet<String> {
        let unused = |statement: &Statement| {
            let needs =
                |action: &String| accesses.iter().any(|access| access.action == *action && statement.allows(access));
            let unused = statement.actions.iter().filter(|action| !needs(action));
            unused.map(|action| format!("{} {action}", statement.sid)).collect::<Vec<_>>()
        };
        self.statements.iter().flat_map(unused).collect()
    }
}

impl Statement {
    fn of(json: &Value) -> Self {
        let end = |arn: &str| if arn == "*" { arn.to_owned() } else { arn.splitn(6, ':').last().unwrap().to_owned() };
        let leading = &json["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
        Self {
            sid: json["Sid"].as_str().unwrap().to_owned(),
            actions: texts(&json["Action"]),
            resources: texts(&json["Resource"]).iter().map(|arn| end(arn)).collect(),
            leading_keys: if leading.is_null() { Vec::new() } else { texts(leading) },
        }
    }

    fn allows(&self, access: &Access) -> bool {
        // The condition holds for a request without keys; one for a single item names its key elsewhere.
        let key = access.leading_key.as_ref().filter(|_| !self.leading_keys.is_empty());
        let by_key = key.is_none_or(|key| self.leading_keys.iter().any(|pattern| matches(pattern, key)));
        let of = |resource: &String| access.resource.as_ref().is_none_or(|found| matches(resource, found));
        by_key && self.actions.contains(&access.action) && self.resources.iter().any(of)
    }
}

/// The values of a member that is a text or a list of texts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        list => list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
    }
}

/// Whether a text matches a pattern, in which `*` stands for any text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(after, &rest[at..]))
        }),
    }
}

fn read(name: &str) -> String {
    let path = checkout().join(format!("examples/alleycat/policies/{name}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all policies.
pub(super) fn all() -> BTreeSet<String> {
    let files = std::fs::read_dir(checkout().join("examples/alleycat/policies")).unwrap();
    let name = |file: std::io::Result<std::fs::DirEntry>| {
        file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
    };
    files.map(name).collect()
}

/// The largest policy that IAM manages, without white space.
const MANAGED_BYTES: usize = 6_144;

/// Asserts that a policy has the form that IAM takes, and allows nothing by a pattern but what it has to.
pub(super) fn check_shape(name: &str, placeholders: &[&str]) {
    let text = read(name);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["Version"], "2012-10-17", "{name}");
    assert!(document.to_string().len() <= MANAGED_BYTES, "{name}");
    let mut sids = BTreeSet::new();
    for statement in document["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow", "{name}: {statement}");
        let sid = statement["Sid"].as_str().unwrap();
        assert!(sids.insert(sid.to_owned()) && sid.chars().all(|char| char.is_ascii_alphanumeric()), "{name}: {sid}");
        let members: Vec<&String> = statement.as_object().unwrap().keys().collect();
        let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
        assert!(members.iter().all(|member| known.contains(&member.as_str())), "{name}: {members:?}");
        let actions = texts(&statement["Action"]);
        assert!(actions.is_sorted_by(|one, other| one < other), "{name}: {actions:?}");
        let is_action = |action: &String| {
            let (service, operation) = action.split_once(':').unwrap();
            let letters = |text: &str| !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric());
            letters(service) && letters(operation)
        };
        assert!(actions.iter().all(is_action), "{name}: {actions:?}");
        let resources = texts(&statement["Resource"]);
        // CloudWatch's actions and the list of mappings have no resources.
        let has_none =
            |action: &String| action.starts_with("cloudwatch:") || action == "lambda:ListEventSourceMappings";
        for resource in &resources {
            let whole = resource == "*" && actions.iter().all(has_none);
            assert!(whole || resource.starts_with("arn:aws:"), "{name}: {resource}");
        }
    }
    for part in text.split("${").skip(1) {
        let placeholder = part.split('}').next().unwrap();
        assert!(placeholders.contains(&placeholder), "{name}: {placeholder}");
    }
}
