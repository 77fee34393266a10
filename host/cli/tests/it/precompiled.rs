//! Compiled code in the registry: who uses it, and when it is not used.

use std::path::PathBuf;

use paceline_testbed::{require, rules};

use crate::support::{DedupMode, Workspace, fail, joined, paceline, simulate, succeed};

/// A workspace whose hosts trust a key, with rules and compiled code, both signed by it.
struct Signed {
    workspace: Workspace,
    key: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let workspace = Workspace::new(DedupMode::Ordinal);
        let key = workspace.path("operator.key");
        let public = succeed(paceline(&["rules", "keygen"]).arg(&key));
        workspace.write("messages.ndjson", joined(&simulate("--racers 5 --seconds 3 --class 3 --race 131 --seed 1")));
        rules::map(&workspace.path("rulebooks"));
        let signed = Self { workspace, key };
        signed.trust(public.trim_end());
        let applied = signed.rules(&["apply", "rulebooks", "--precompile", std::env::consts::ARCH]);
        assert!(applied.starts_with(&format!("compiled 4 plugins for {}\n", std::env::consts::ARCH)), "{applied}");
        signed
    }

    /// Lets hosts trust this key, or none.
    fn trust(&self, public: &str) {
        self.workspace.configure("[source]\nfile = \"messages.ndjson\"\n", "");
        let config = std::fs::read_to_string(self.workspace.path("paceline.toml")).unwrap();
        let trusted = format!("[rules]\ntrusted-keys = [\"{public}\"]\n");
        let trusted = if public.is_empty() { "[rules]\n".to_owned() } else { trusted };
        self.workspace.write("paceline.toml", config.replace("[rules]\n", &trusted));
    }

    /// Changes the rules, signed.
    fn rules(&self, arguments: &[&str]) -> String {
        let mut command = paceline(&["rules"]);
        command.args(arguments).arg("--key").arg(&self.key).current_dir(self.workspace.path("."));
        succeed(command.arg("--config").arg(self.workspace.path("paceline.toml")))
    }

    /// The files of compiled code in a registry, one for each plugin.
    fn compiled(&self, registry: &str) -> Vec<PathBuf> {
        let folders = std::fs::read_dir(self.workspace.path(registry).join("compiled")).unwrap();
        let files = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        folders.flat_map(|folder| files(folder.unwrap().path())).collect()
    }

    /// Runs the messages on a host without a cache. Returns how many plugins it has compiled, and what it has logged.
    fn run(&self) -> (usize, String) {
        let cache = tempfile::tempdir().unwrap();
        let _ = std::fs::remove_file(self.workspace.path("store.redb"));
        let mut command = paceline(&["run", "--config"]);
        let command = command.arg(self.workspace.path("paceline.toml")).env("PACELINE_CACHE", cache.path());
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{stderr}");
        assert!(!self.workspace.items().is_empty());
        (std::fs::read_dir(cache.path()).unwrap().count(), stderr)
    }
}

#[test]
fn a_host_that_trusts_the_key_compiles_nothing_and_others_compile() {
    require!(Plugins);
    let signed = Signed::new();
    let (compiled, log) = signed.run();
    assert!(compiled == 0 && !log.contains("WARN"), "{compiled}: {log}");
    signed.trust("");
    let (compiled, log) = signed.run();
    assert!(compiled == 4 && !log.contains("WARN"), "{compiled}: {log}");
}

#[test]
fn code_that_was_altered_or_signed_by_another_key_is_not_used() {
    require!(Plugins);
    let signed = Signed::new();
    let not_used = |why: &str| {
        let (compiled, log) = signed.run();
        assert_eq!(compiled, 1, "{log}");
        assert!(log.contains("is not used; compiling the plugin: ") && log.contains(why), "{log}");
    };
    let file = signed.compiled("registry").remove(0);
    let intact = std::fs::read(&file).unwrap();
    let with = |at: usize, write: &mut dyn FnMut(&mut [u8])| {
        let mut bytes = intact.clone();
        write(&mut bytes[at..]);
        std::fs::write(&file, bytes).unwrap();
    };
    let not_of_this = "its signature is not of this code, this plugin and this version of the compiler";
    with(intact.len() - 1, &mut |end| end[0] ^= 1);
    not_used(not_of_this);
    with(40, &mut |signature| signature[0] ^= 1);
    not_used(not_of_this);
    with(0, &mut |key| key[0] ^= 1);
    not_used("it is not signed by a trusted key");
    std::fs::write(&file, &intact[..50]).unwrap();
    not_used("it is cut off");
    // The code of another plugin, which is signed as that plugin's.
    std::fs::copy(&signed.compiled("registry")[1], &file).unwrap();
    not_used(not_of_this);
}

#[test]
fn code_of_another_version_of_the_compiler_is_passed_over() {
    require!(Plugins);
    let signed = Signed::new();
    for file in signed.compiled("registry") {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("{}-", std::env::consts::ARCH)), "{name}");
        std::fs::rename(&file, file.with_file_name(name.replace('-', "-0"))).unwrap();
    }
    let (compiled, log) = signed.run();
    assert!(compiled == 4 && !log.contains("WARN"), "{compiled}: {log}");
    // Publishing what is published adds what is missing.
    let applied = signed.rules(&["apply", "rulebooks", "--precompile", std::env::consts::ARCH]);
    assert!(applied.ends_with("nothing to change (revision 1)\n"), "{applied}");
    assert_eq!(signed.run().0, 0);
}

#[test]
fn a_seed_carries_compiled_code() {
    require!(Plugins);
    let signed = Signed::new();
    let onto = signed.workspace.path("registry");
    signed.rules(&["bundle", "rulebooks", "--out", "seed", "--onto", onto.to_str().unwrap()]);
    assert_eq!(signed.compiled("seed").len(), 4);
    // The registry has the rules, and its compiled code is lost.
    std::fs::remove_dir_all(signed.workspace.path("registry/compiled")).unwrap();
    let config = std::fs::read_to_string(signed.workspace.path("paceline.toml")).unwrap();
    signed.workspace.write("paceline.toml", config.replace("[rules]\n", "[rules]\nseed = \"seed\"\n"));
    assert_eq!(signed.run().0, 0);
}

#[test]
fn a_host_runs_its_packages_code_without_a_signature_if_it_trusts_its_seed() {
    require!(Plugins);
    let signed = Signed::new();
    std::fs::remove_dir_all(signed.workspace.path("registry/compiled")).unwrap();
    let bundled = signed.rules(&["bundle", "rulebooks", "--out", "seed", "--precompile", "x86_64,aarch64"]);
    assert!(bundled.ends_with("compiled 4 plugins for x86_64 and aarch64\n"), "{bundled}");
    rules::let_only_the_owner_write(&signed.workspace.path("seed"));
    let files = signed.compiled("seed");
    assert!(files.len() == 8 && files.iter().all(|file| file.extension().is_some_and(|elf| elf == "elf")), "{files:?}");
    let config = std::fs::read_to_string(signed.workspace.path("paceline.toml")).unwrap();
    let with = |keys: &str| signed.workspace.write("paceline.toml", config.replace("[rules]\n", keys));
    let runs = |compiled: usize, logged: &str| {
        let (found, log) = signed.run();
        assert!(found == compiled && log.contains(logged), "{found}: {log}");
        assert_eq!(log.contains("WARN"), logged.starts_with("the package"), "{log}");
    };
    with("[rules]\nseed = \"seed\"\n");
    runs(4, "the registry has no code of it for this host");
    with("[rules]\nseed = \"seed\"\ntrust-seed = true\n");
    runs(0, "");
    // A seed outside the configuration's folder is not of the package.
    let outside = tempfile::tempdir().unwrap();
    let elsewhere = outside.path().join("seed");
    std::fs::rename(signed.workspace.path("seed"), &elsewhere).unwrap();
    with(&format!("[rules]\nseed = {elsewhere:?}\ntrust-seed = true\n"));
    runs(4, "the package's compiled code in ");
    std::fs::rename(&elsewhere, signed.workspace.path("seed")).unwrap();
    // Code of the other architecture under this one's name, and no code of this one.
    with("[rules]\nseed = \"seed\"\ntrust-seed = true\n");
    let (own, other): (Vec<_>, Vec<_>) = files.iter().partition(|file| {
        file.file_name().is_some_and(|name| name.to_str().unwrap().starts_with(std::env::consts::ARCH))
    });
    let first_other = other.iter().find(|file| file.parent() == own[0].parent()).unwrap();
    std::fs::rename(first_other, own[0]).unwrap();
    std::fs::remove_file(own[1]).unwrap();
    runs(2, "the package's compiled code of plugin ");
    let (_, log) = signed.run();
    assert!(log.contains("Module was compiled for architecture"), "{log}");
    assert!(log.contains("it is for another architecture or of another version of paceline"), "{log}");
}

#[test]
fn a_seed_that_is_trusted_and_not_named_is_refused() {
    let workspace = Workspace::new(DedupMode::Ordinal);
    workspace.configure("[source]\nstdin = true\n", "");
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    workspace.write("paceline.toml", config.replace("[rules]\n", "[rules]\ntrust-seed = true\n"));
    let error = fail(paceline(&["rules", "list", "--config"]).arg(workspace.path("paceline.toml")));
    assert!(error.contains("[rules] `trust-seed` is set, and there is no `seed`"), "{error}");
}

#[test]
fn code_is_published_for_both_architectures_and_a_package_does_not_inherit_what_is_not_signed() {
    require!(Plugins);
    let signed = Signed::new();
    let applied = signed.rules(&["apply", "rulebooks", "--precompile", "x86_64,aarch64"]);
    assert!(applied.starts_with("compiled 4 plugins for x86_64 and aarch64\n"), "{applied}");
    assert_eq!(signed.compiled("registry").len(), 8);
    let (compiled, log) = signed.run();
    assert!(compiled == 0 && !log.contains("WARN"), "{compiled}: {log}");

    let onto = |out: &str, onto: &str, more: &[&str]| {
        let onto = signed.workspace.path(onto);
        let bundle = ["bundle", "rulebooks", "--out", out, "--onto", onto.to_str().unwrap()];
        signed.rules(&[&bundle[..], more].concat());
        signed.compiled(out).len()
    };
    assert_eq!(onto("first", "registry", &["--precompile", "x86_64"]), 8 + 4);
    assert_eq!(onto("second", "first", &[]), 8);
}

#[test]
fn signed_code_needs_a_key() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    rules::map(&workspace.path("rulebooks"));
    let mut command = paceline(&["rules", "apply"]);
    command.arg(workspace.path("rulebooks")).args(["--precompile", std::env::consts::ARCH]);
    let error = fail(command.arg("--config").arg(workspace.path("paceline.toml")));
    assert!(error.contains("hosts use compiled code only if it is signed: give a key with --key FILE"), "{error}");
}
