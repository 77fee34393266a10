//! No file of a crate imports one that imports it, by whatever way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use paceline_testbed::environment::checkout;

/// A module, or an item in one, from the crate's root on.
type Names = Vec<String>;

/// A module's imports: whether they are handed on, and what they name.
type Imports = BTreeMap<Names, Vec<(bool, Names)>>;

fn names(text: &str) -> Names {
    text.split("::").map(|name| name.split(" as ").next().unwrap_or_default().trim().to_owned()).collect()
}

/// The files below a folder, by module. Tests are no part of the house.
fn files(folder: &Path, module: &[String], found: &mut BTreeMap<Names, PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let own = [module, std::slice::from_ref(&name)].concat();
        match path.extension() {
            _ if name == "tests" => {}
            None => files(&path, &own, found),
            Some(end) if end == "rs" => {
                let own = if ["lib", "main"].contains(&&*name) { module.to_vec() } else { own };
                found.insert(own, path);
            }
            Some(_) => {}
        }
    }
}

/// The paths of a tree such as `a::{b, c::{d, e}}`.
fn paths(tree: &str) -> Vec<String> {
    let Some((head, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = &rest[..rest.rfind('}').expect("a tree is closed")];
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for char in inner.chars() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => parts.push(String::new()),
            _ => {}
        }
        if char != ',' || depth > 0 {
            parts.last_mut().expect("there is one").push(char);
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(|part| paths(part)).map(|path| format!("{}{path}", head.trim())).collect()
}

/// The `use` items of a file, but for those of its tests.
fn imports(text: &str) -> Vec<(bool, String)> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut all = Vec::new();
    for item in code.split(';') {
        let line = item.rsplit_once("\nuse ").or_else(|| item.strip_prefix("use ").map(|tree| ("", tree)));
        let handed_on = item.rfind("\npub").map(|at| &item[at..]).and_then(|item| item.split_once(" use "));
        if let Some((_, tree)) = handed_on.filter(|(visibility, _)| !visibility.contains(['{', '='])) {
            all.extend(paths(tree).into_iter().map(|path| (true, path)));
        } else if let Some((_, tree)) = line {
            all.extend(paths(tree).into_iter().map(|path| (false, path)));
        }
    }
    all
}

/// Where in the crate a path leads that a module imports; `None` for one of another crate.
fn absolute(module: &[String], path: &[String], files: &BTreeMap<Names, PathBuf>) -> Option<Names> {
    let up = path.iter().take_while(|name| *name == "super").count();
    match &*path[0] {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([&module[..module.len() - up], &path[up..]].concat()),
        _ => {
            let child = [module, &path[..1]].concat();
            files.contains_key(&child).then(|| [module, path].concat())
        }
    }
}

/// What each file of a crate imports, where items that a module hands on belong to the file that has them.
fn graph(source: &Path) -> BTreeMap<Names, BTreeSet<Names>> {
    let mut found = BTreeMap::new();
    files(source, &[], &mut found);
    let mut all: Imports = BTreeMap::new();
    for (module, file) in &found {
        let text = std::fs::read_to_string(file).unwrap();
        let own = imports(&text).into_iter();
        let own = own.filter_map(|(is_handed_on, path)| Some((is_handed_on, absolute(module, &names(&path), &found)?)));
        all.insert(module.clone(), own.collect());
    }
    let mut handed_on = BTreeMap::new();
    for (module, imports) in &all {
        for (_, target) in imports.iter().filter(|(is_handed_on, _)| *is_handed_on) {
            let name = [&module[..], &target[target.len() - 1..]].concat();
            if name != *target {
                handed_on.insert(name, target.clone());
            }
        }
    }
    let file_of = |target: &Names| {
        let mut target = target;
        while let Some(next) = handed_on.get(target) {
            target = next;
        }
        (0..=target.len()).rev().map(|count| target[..count].to_vec()).find(|module| found.contains_key(module))
    };
    let edges = |(module, imports): (&Names, &Vec<(bool, Names)>)| {
        let targets = imports.iter().filter(|(is_handed_on, _)| !is_handed_on);
        let targets = targets.filter_map(|(_, target)| file_of(target)).filter(|target| target != module);
        (module.clone(), targets.collect())
    };
    all.iter().map(edges).collect()
}

/// The files that can be reached from one.
fn reached(graph: &BTreeMap<Names, BTreeSet<Names>>, from: &Names) -> BTreeSet<Names> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        next.extend(graph.get(module).into_iter().flatten().filter(|target| seen.insert((*target).clone())));
    }
    seen
}

#[test]
fn no_file_imports_one_that_imports_it() {
    let (mut circles, mut edges) = (Vec::new(), 0);
    for crate_folder in checkout().join("host").read_dir().unwrap() {
        let source = crate_folder.unwrap().path().join("src");
        if !source.is_dir() {
            continue;
        }
        let graph = graph(&source);
        edges += graph.values().map(BTreeSet::len).sum::<usize>();
        let in_circle = graph.keys().filter(|module| reached(&graph, module).contains(*module));
        circles.extend(in_circle.map(|module| format!("{}: {}", source.display(), module.join("::"))));
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
    assert!(edges > 1_000, "only {edges} imports are seen");
}

#[test]
fn a_circle_is_seen_through_what_a_module_hands_on() {
    let folder = tempfile::TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod rules;\nmod store;\n\npub use rules::Rules;\n");
    write("rules.rs", "mod log;\n\npub(crate) use log::{Entry, Log as Journal};\nuse std::fmt;\n");
    write("rules/log.rs", "use crate::store::{self, Store};\n\npub struct Entry;\n");
    write("store.rs", "// use crate::rules::Entry;\nuse std::sync::{\n    Arc,\n    Mutex,\n};\n");
    let store = vec!["store".to_owned()];
    assert!(!reached(&graph(folder.path()), &store).contains(&store));
    write("store.rs", "use crate::rules::{\n    Entry,\n};\n");
    assert!(reached(&graph(folder.path()), &store).contains(&store));
}
