//! `wit/` is a package: what `wkg build` makes of it is what a registry of WIT packages has.

use std::path::Path;

use wit_bindgen_core::wit_parser::Resolve;
use wit_bindgen_core::wit_parser::decoding::{DecodedWasm, decode};

#[test]
fn the_contract_is_a_package_in_its_binary_form_too() {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    let binary = wit_component::encode(&resolve, package).unwrap();
    let DecodedWasm::WitPackage(decoded, package) = decode(&binary).unwrap() else { panic!("it is no package") };
    let package = &decoded.packages[package];
    assert_eq!(
        package.name.to_string(),
        format!("{}@{}", paceline_engine::CONTRACT, paceline_engine::CONTRACT_VERSION)
    );
    let worlds: Vec<&str> = package.worlds.keys().map(String::as_str).collect();
    for world in ["validator", "scorer", "aggregator", "migrating-aggregator"] {
        assert!(worlds.contains(&world), "{world}: {worlds:?}");
    }
    // It is complete: nothing of another package is needed to build against it.
    assert_eq!(decoded.packages.len(), 1);
}
