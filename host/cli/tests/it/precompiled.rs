//! Compiled code in the registry: who uses it, and when it is not used.

use std::path::{Path, PathBuf};

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
    // A bundle can be compiled for by itself.
    signed.rules(&["bundle", "rulebooks", "--out", "other", "--precompile", std::env::consts::ARCH]);
    assert_eq!(signed.compiled("other").len(), 4);
}

#[test]
fn compiled_code_needs_a_key_and_a_compiler_for_the_architecture() {
    require!(Plugins);
    let workspace = Workspace::new(DedupMode::Ordinal);
    rules::map(&workspace.path("rulebooks"));
    let apply = |more: &[&str], folder: &Path| {
        let mut command = paceline(&["rules", "apply"]);
        fail(command.arg(folder).args(more).arg("--config").arg(workspace.path("paceline.toml")))
    };
    let folder = workspace.path("rulebooks");
    let error = apply(&["--precompile", std::env::consts::ARCH], &folder);
    assert!(error.contains("hosts use compiled code only if it is signed: give a key with --key FILE"), "{error}");
    let key = workspace.path("operator.key");
    succeed(paceline(&["rules", "keygen"]).arg(&key));
    let other = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" };
    let error = apply(&["--precompile", other, "--key", key.to_str().unwrap()], &folder);
    let advice = format!("can't compile for {other}: run the command on a machine of that architecture");
    assert!(error.contains(&advice), "{error}");
}
