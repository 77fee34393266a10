//! Counts the instructions of a run of this program by Valgrind's cachegrind, with the same environment everywhere.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output};

use paceline_testbed::environment;

/// The C library chooses its variants of `memcpy` and the like by the processor, and by the size of its caches where copies
/// are long. With these it takes the same ones everywhere. Names that a version does not know are ignored.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX2,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM:\
                        glibc.cpu.x86_non_temporal_threshold=0x40000000:\
                        glibc.cpu.x86_rep_movsb_threshold=0x40000000:\
                        glibc.cpu.x86_rep_stosb_threshold=0x40000000";

pub(super) struct Valgrind {
    program: PathBuf,
}

impl Valgrind {
    /// The program that the environment names, or that is on the path.
    pub(super) fn find() -> Self {
        let program = std::env::var_os(environment::VALGRIND).filter(|program| !program.is_empty());
        Self { program: program.unwrap_or_else(|| "valgrind".into()).into() }
    }

    pub(super) fn version(&self) -> String {
        let output = self.output(Command::new(&self.program).arg("--version"));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Does the work of a part without counting. It compiles plugins that are not in the cache yet: what one of two runs
    /// compiles would be taken for the cost of its records. Valgrind shows programs a processor of its own, so that the code
    /// that the tests compile is not for these runs.
    pub(super) fn warm_up(&self, part: &str, size: usize) {
        self.output(self.command("none").args(work(part, size)));
    }

    /// The instructions of a run with this size, preparation included.
    pub(super) fn count(&self, part: &str, size: usize) -> u64 {
        let options = ["--cache-sim=no", "--cachegrind-out-file=/dev/null"];
        let program = work(part, size);
        let output = self.output(self.command("cachegrind").args(options).args(program));
        let report = String::from_utf8_lossy(&output.stderr);
        collected(&report).unwrap_or_else(|| panic!("Valgrind reports no instructions:\n{report}"))
    }

    /// Without the caller's environment: a program spends instructions on its variables.
    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(format!("--tool={tool}")).env_clear().env("GLIBC_TUNABLES", TUNABLES);
        for name in ["HOME", "PATH", "TMPDIR", environment::PLUGINS] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    fn output(&self, command: &mut Command) -> Output {
        let failed = |error| panic!("{}: {error}; `scripts/valgrind` installs it", self.program.display());
        let output = command.output().unwrap_or_else(failed);
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

/// This program, at the work of a part.
fn work(part: &str, size: usize) -> [OsString; 4] {
    let own = std::env::current_exe().expect("a program knows its file");
    [own.into(), "count".into(), part.into(), size.to_string().into()]
}

/// The count in a report of Valgrind: `==7== I   refs:      5,684,521,019`.
fn collected(report: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains("refs:"))?;
    line.rsplit(':').next()?.trim().replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::collected;

    #[test]
    fn the_count_is_read_from_the_report_of_valgrind() {
        let report = "==7== Command: paceline-bench count kpl_unpack 1\n==7== \n==7== I   refs:      5,684,521,019\n";
        assert_eq!(collected(report), Some(5_684_521_019));
        assert_eq!(collected("==7== Valgrind cannot continue\n"), None);
    }
}
