//! `paceline plugin push` and `pull`, and rulebooks that name plugins of a registry.

mod registry;

use std::path::Path;
use std::process::Command;

use paceline_engine::Digest;
use paceline_testbed::assertions::assert_contains;
use paceline_testbed::{http, plugins, require, rules};
use serde_json::Value;
use tempfile::TempDir;

use self::registry::{PASSWORD, Registry, USER, proxy_to, server};
use crate::support::{DedupMode, Workspace, fail, joined, paceline, simulate, succeed};

/// A command without Docker's configuration of whoever runs the tests, and without a proxy.
fn plugin(arguments: &[&str]) -> Command {
    let mut command = paceline(&["plugin"]);
    command.args(arguments).env("DOCKER_CONFIG", "/nowhere").env("NO_PROXY", "*");
    command
}

/// The references that a push prints: by the plugin's digest, and by the manifest's.
fn pushed(command: &mut Command) -> (String, String) {
    let printed: Value = serde_json::from_str(&succeed(command.arg("--json"))).unwrap();
    (printed["plugin"].as_str().unwrap().to_owned(), printed["manifest"].as_str().unwrap().to_owned())
}

fn push(reference: &str, name: &str) -> (String, String) {
    pushed(plugin(&["push", reference]).arg(plugins::file(name)))
}

fn digest_of(reference: &str) -> &str {
    reference.split_once('@').unwrap().1
}

/// What a registry answers to a GET of this type.
fn get(address: &str, path: &str) -> Value {
    let (status, body) = http::get(address, path).unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn a_plugin_is_pulled_by_its_digest_by_its_manifest_s_and_by_its_tag() {
    require!(Plugins, OciRegistry, UtilLinux);
    let (registry, folder) = (Registry::open(), TempDir::new().unwrap());
    let wasm = std::fs::read(plugins::file("output")).unwrap();
    let (by_plugin, by_manifest) = push(&registry.reference("alleycat/output:1.0"), "output");
    assert_eq!(by_plugin, registry.reference(&format!("alleycat/output@{}", Digest::of(&wasm))));
    let tag = registry.reference("alleycat/output:1.0");
    let both = registry.reference(&format!("alleycat/output:0.9@{}", digest_of(&by_plugin)));
    for reference in [&by_plugin, &by_manifest, &tag, &both] {
        let file = folder.path().join("pulled.wasm");
        let printed = succeed(plugin(&["pull", reference, "--out"]).arg(&file));
        assert!(printed.contains(digest_of(&by_plugin)), "{printed}");
        assert!(std::fs::read(&file).unwrap() == wasm, "{reference}");
        std::fs::remove_file(file).unwrap();
    }
    // The same plugin once more, under another tag, is the same artifact.
    assert_eq!(push(&registry.reference("alleycat/output"), "output"), (by_plugin, by_manifest));
}

#[test]
fn an_artifact_has_the_types_of_wkg() {
    require!(Plugins, OciRegistry, UtilLinux);
    let registry = Registry::open();
    let (by_plugin, by_manifest) = push(&registry.reference("output:1"), "output");
    let manifest = registry.blob(digest_of(&by_manifest));
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
    assert_eq!(manifest["layers"][0]["digest"], digest_of(&by_plugin));
    let config = manifest["config"]["digest"].as_str().unwrap();
    let config = get(&registry.address, &format!("/v2/output/blobs/{config}"));
    assert_eq!((&config["architecture"], &config["os"]), (&"wasm".into(), &"wasip2".into()));
    assert_eq!(config["layerDigests"][0], digest_of(&by_plugin));
    assert_eq!(config["component"]["exports"][0], "paceline:plugin/scoring@0.2.0");
    // By its digest, the configuration can be fetched, and is no plugin.
    let config = registry.reference(&format!("output@{}", manifest["config"]["digest"].as_str().unwrap()));
    let error = fail(&mut plugin(&["pull", &config, "--out", "/dev/null"]));
    assert_contains(&error, &["is no plugin: its manifest is not that of an artifact"]);
}

#[test]
fn what_can_t_be_had_is_explained() {
    require!(Plugins, OciRegistry, UtilLinux);
    let (registry, folder) = (Registry::open(), TempDir::new().unwrap());
    let file = folder.path().join("pulled.wasm");
    let pull = |reference: &str, more: &[&str]| {
        let error = fail(plugin(&["pull", reference]).args(more).arg("--out").arg(&file));
        assert!(!file.exists(), "{error}");
        error
    };
    let (by_plugin, by_manifest) = push(&registry.reference("output:1"), "output");
    let nothing = registry.reference(&format!("output@{}", Digest::of(b"nothing")));
    for reference in [&*nothing, &registry.reference("output:2"), &registry.reference("other")] {
        assert_contains(&pull(reference, &[]), &["the registry has no oci://", "check repository, tag and digest"]);
    }
    for reference in [&by_plugin, &by_manifest] {
        let error = pull(reference, &["--max-bytes", "1000"]);
        assert_contains(&error, &[&by_plugin, "has more than 1000 bytes", "--max-bytes"]);
    }
    // Somebody has changed the file in the registry's storage; its length is the same.
    let blob = registry.blob(digest_of(&by_plugin));
    let mut bytes = std::fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&blob, &bytes).unwrap();
    for reference in [&by_plugin, &by_manifest] {
        let found = Digest::of(&bytes).to_string();
        assert_contains(&pull(reference, &[]), &["the registry returned other bytes for oci://", &found]);
    }
}

#[test]
fn what_no_host_would_load_is_not_pushed() {
    require!(Plugins);
    let (address, heads) = server(|_| ("500 Internal Server Error", vec![], vec![]));
    let to = format!("oci://{address}/evil:1");
    let error = fail(plugin(&["push", &to]).arg(plugins::file("evil-wasi")));
    assert_contains(&error, &["is refused, and nothing was pushed", "wasi:cli/environment"]);
    let error = fail(plugin(&["push", &to, "--max-bytes", "10"]).arg(plugins::file("output")));
    assert_contains(&error, &["more than the 10 of --max-bytes"]);
    let pinned = format!("{to}@{}", Digest::of(b""));
    let error = fail(plugin(&["push", &pinned]).arg(plugins::file("output")));
    assert_contains(&error, &["a plugin gets a tag when it is pushed"]);
    assert!(heads.try_recv().is_err(), "the registry was asked");
}

#[test]
fn another_machine_is_reached_by_tls_unless_told_otherwise() {
    let pull = |more: &[&str]| {
        let reference = "oci://127.0.0.1.registry.invalid/output:1";
        fail(plugin(&["pull", reference, "--out", "/dev/null"]).args(more))
    };
    assert_contains(&pull(&[]), &["https://127.0.0.1.registry.invalid can't be used as a registry: "]);
    assert_contains(&pull(&["--plain-http"]), &["http://127.0.0.1.registry.invalid can't be used as a registry: "]);
}

#[test]
fn a_registry_is_reached_by_tls_with_the_machine_s_authorities_or_those_of_a_file() {
    require!(Plugins, OciRegistry, UtilLinux);
    let registry = Registry::with_tls("registry.test");
    let (proxy, asked) = proxy_to(registry.address.clone());
    let folder = TempDir::new().unwrap();
    let through_proxy = |arguments: &[&str]| {
        let mut command = plugin(arguments);
        command.env_remove("NO_PROXY").env_remove("no_proxy").env("HTTPS_PROXY", format!("http://{proxy}"));
        command
    };
    let mut push = through_proxy(&["push", "oci://registry.test/output:1"]);
    push.arg(plugins::file("output"));
    let error = fail(push.env_remove("SSL_CERT_FILE"));
    assert_contains(&error, &["https://registry.test can't be used as a registry", "certificate"]);
    let (by_plugin, _) = pushed(push.env("SSL_CERT_FILE", registry.file("certificate")));
    let file = folder.path().join("pulled.wasm");
    let mut pull = through_proxy(&["pull", &by_plugin, "--out"]);
    succeed(pull.arg(&file).env("SSL_CERT_FILE", registry.file("certificate")));
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(plugins::file("output")).unwrap());
    assert!(asked.try_iter().all(|line| line.starts_with("CONNECT registry.test:443 ")));
}

/// Docker's configuration with a password for a registry.
fn credentials(folder: &Path, registry: &str, password: &str) {
    let auths = serde_json::json!({ "auths": { registry: { "username": USER, "password": password } } });
    std::fs::write(folder.join("config.json"), auths.to_string()).unwrap();
}

#[test]
fn a_registry_with_a_password_takes_that_of_docker_s_configuration() {
    require!(Plugins, OciRegistry, UtilLinux);
    let (registry, folder) = (Registry::with_password(), TempDir::new().unwrap());
    let tag = registry.reference("output:1");
    let push = || {
        let mut command = plugin(&["push", &tag]);
        command.arg(plugins::file("output")).env("DOCKER_CONFIG", folder.path());
        command
    };
    let login = format!("docker login {}", registry.address);
    assert_contains(&fail(&mut push()), &["refuses to let anybody without credentials push to output", &login]);
    // The password is that of another registry, whose name begins in the same way.
    credentials(folder.path(), &format!("{}0", registry.address), PASSWORD);
    assert_contains(&fail(&mut push()), &["refuses to let anybody without credentials push to output"]);
    credentials(folder.path(), &registry.address, "wrong");
    assert_contains(&fail(&mut push()), &["refuses to let ana push to output", "log in again", &login]);
    credentials(folder.path(), &registry.address, PASSWORD);
    let (by_plugin, by_manifest) = pushed(&mut push());
    let file = folder.path().join("pulled.wasm");
    for reference in [by_plugin, by_manifest, tag.clone()] {
        let mut pull = plugin(&["pull", &reference, "--out"]);
        pull.arg(&file).env("DOCKER_CONFIG", folder.path());
        succeed(&mut pull);
        let error = fail(pull.env("DOCKER_CONFIG", "/nowhere"));
        assert_contains(&error, &["refuses to let anybody without credentials pull from output", &login]);
    }
    std::fs::write(folder.path().join("config.json"), "{").unwrap();
    assert_contains(&fail(&mut push()), &["the credentials for ", "in Docker's configuration can't be used"]);
}

/// A registry with a password, which sends whoever has it to another server.
fn that_sends_to(other: String) -> String {
    let (address, _) = server(move |head| match head.contains("authorization: basic ") {
        false => ("401 Unauthorized", vec!["WWW-Authenticate: Basic realm=\"plugins\"".to_owned()], vec![]),
        true if head.starts_with("post ") => ("202 Accepted", vec![format!("Location: http://{other}/upload")], vec![]),
        true => ("307 Temporary Redirect", vec![format!("Location: http://{other}/blob")], vec![]),
    });
    address
}

#[test]
fn the_password_is_not_sent_to_another_server() {
    require!(Plugins);
    let folder = TempDir::new().unwrap();
    let wasm = std::fs::read(plugins::file("output")).unwrap();
    let bytes = wasm.clone();
    let (other, heads) = server(move |head| match head.starts_with("get ") {
        true => ("200 OK", vec![], bytes.clone()),
        false => ("401 Unauthorized", vec!["WWW-Authenticate: Basic realm=\"plugins\"".to_owned()], vec![]),
    });
    let address = that_sends_to(other);
    credentials(folder.path(), &address, PASSWORD);
    let file = folder.path().join("pulled.wasm");
    let reference = format!("oci://{address}/output@{}", Digest::of(&wasm));
    let mut pull = plugin(&["pull", &reference, "--out"]);
    succeed(pull.arg(&file).env("DOCKER_CONFIG", folder.path()));
    assert!(std::fs::read(&file).unwrap() == wasm);
    let head = heads.recv().unwrap();
    assert!(head.starts_with("get /blob") && !head.contains("authorization"), "{head}");

    let mut push = plugin(&["push", &format!("oci://{address}/output:1")]);
    fail(push.arg(plugins::file("output")).env("DOCKER_CONFIG", folder.path()));
    let head = heads.recv().unwrap();
    assert!(head.contains(" /upload") && !head.contains("authorization"), "{head}");
}

#[test]
fn the_password_is_not_sent_to_a_foreign_service_for_tokens() {
    let folder = TempDir::new().unwrap();
    let (other, heads) = server(|_| ("200 OK", vec![], br#"{"token":"t"}"#.to_vec()));
    let realm = format!("WWW-Authenticate: Bearer realm=\"http://{other}/token\",service=\"plugins\"");
    let (address, _) = server(move |_| ("401 Unauthorized", vec![realm.clone()], vec![]));
    credentials(folder.path(), &address, PASSWORD);
    let mut pull = plugin(&["pull", &format!("oci://{address}/output:1"), "--out", "/dev/null"]);
    let error = fail(pull.env("DOCKER_CONFIG", folder.path()));
    assert_contains(&error, &["asks for its password to be sent to http://", "nothing was sent"]);
    assert!(heads.try_recv().is_err(), "the service was asked");
}

#[test]
fn a_registry_that_gives_tokens_gets_them() {
    require!(Plugins);
    let folder = TempDir::new().unwrap();
    let wasm = std::fs::read(plugins::file("output")).unwrap();
    let bytes = wasm.clone();
    let (address, heads) = server(move |head| {
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let realm = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"plugins\"");
        match () {
            () if head.starts_with("get /token?scope=repository%3aoutput%3apull") => {
                ("200 OK", vec![], br#"{"token":"seven"}"#.to_vec())
            }
            () if head.contains("authorization: bearer seven") => ("200 OK", vec![], bytes.clone()),
            () => ("401 Unauthorized", vec![realm], vec![]),
        }
    });
    credentials(folder.path(), &address, PASSWORD);
    let file = folder.path().join("pulled.wasm");
    let mut pull = plugin(&["pull", &format!("oci://{address}/output@{}", Digest::of(&wasm)), "--out"]);
    succeed(pull.arg(&file).env("DOCKER_CONFIG", folder.path()));
    assert!(std::fs::read(&file).unwrap() == wasm);
    let heads: Vec<String> = heads.try_iter().collect();
    let with_password = heads.iter().filter(|head| head.contains("authorization: basic"));
    assert!(with_password.clone().count() == 1 && with_password.clone().all(|head| head.starts_with("get /token")));
}

#[test]
fn a_rulebook_names_plugins_of_a_registry() {
    require!(Plugins, OciRegistry, UtilLinux);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let registry = Registry::open();
    let (scorer, _) = push(&registry.reference("output:1"), "output");
    let (_, aggregator) = push(&registry.reference("alleycat/best-output:1"), "best-output");
    let file = workspace.path("rulebooks/class-3.toml");
    let with_names = std::fs::read_to_string(&file).unwrap();
    let named = with_names.replace("\"output\"", &format!("\"{scorer}\""));
    let named = named.replace("\"best-output\"", &format!("\"{aggregator}\""));
    std::fs::write(&file, &named).unwrap();
    rules::map(&workspace.path("rulebooks"));
    let rules = |arguments: &[&str]| {
        let mut command = paceline(&["rules"]);
        command.args(arguments).current_dir(workspace.path(".")).arg("--config").arg(workspace.path("paceline.toml"));
        command.env("DOCKER_CONFIG", "/nowhere").env("NO_PROXY", "*");
        command
    };
    succeed(&mut rules(&["apply", "rulebooks"]));
    // What was published names the plugins by their own digests, as if they had been files.
    let shown = succeed(&mut rules(&["show", "class-3@1"]));
    for name in ["output", "best-output"] {
        let digest = Digest::of(&std::fs::read(plugins::file(name)).unwrap()).to_string();
        assert!(shown.contains(&digest) && !shown.contains("oci://"), "{shown}");
    }
    let folder = plugins::folder();
    workspace.write("plain.toml", &with_names);
    let dry = rules(&["publish", "plain.toml", "--dry-run", "--plugins", folder.to_str().unwrap()]).output().unwrap();
    let said = String::from_utf8([dry.stdout, dry.stderr].concat()).unwrap();
    assert!(said.contains("nothing to change"), "it is the same rulebook: {said}");
    workspace.write("messages.ndjson", joined(&simulate("--racers 2 --seconds 3 --class 3 --race 131 --seed 1")));
    succeed(paceline(&["run", "--config"]).arg(workspace.path("paceline.toml")));
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]).as_array().unwrap().len(), 2);

    let without_digest = named.replace(&scorer, scorer.split('@').next().unwrap());
    std::fs::write(&file, without_digest).unwrap();
    let error = fail(&mut rules(&["apply", "rulebooks"]));
    assert_contains(&error, &["a rulebook names the plugin of a registry by a digest", "add @sha256:"]);

    // A plugin that the rules' registry has is not fetched again; one of a manifest's digest has to be.
    let address = registry.address.clone();
    drop(registry);
    std::fs::write(&file, named.replace(&aggregator, "best-output")).unwrap();
    succeed(rules(&["apply", "rulebooks", "--dry-run"]).env("RUST_LOG", "error"));
    std::fs::write(&file, &named).unwrap();
    let error = fail(&mut rules(&["apply", "rulebooks"]));
    assert_contains(&error, &[&format!("http://{address} can't be used as a registry")]);
}
