//! `make troubleshooting`: the article on this machine, and what each remedy changes. `make plan-check`: what
//! `paceline plan` predicts, beside what is measured here.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use paceline_doctor::examine;
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::environment::checkout;
use paceline_troubleshooting::{
    Compared, Line, Measures, Parts, Setting, TOLERANCE, article, compare, comparison_table, effects, history, line,
    print_line, remedies, run, settings, sound,
};

/// The article on troubleshooting, on this machine.
#[derive(Parser)]
struct Arguments {
    /// The compiled function.
    #[arg(long, default_value = "target/debug/bootstrap")]
    bootstrap: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the article and each remedy.
    Article {
        /// The folder for the histories.
        #[arg(long, default_value = "target/troubleshooting")]
        histories: PathBuf,
        /// Run only the phases with these names.
        #[arg(long)]
        only: Vec<String>,
        /// Slow the clocks down, on a machine that is slower than they need: 0.5 is half their speed.
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
        /// Seconds of each race, instead of its own.
        #[arg(long)]
        seconds: Option<u32>,
    },
    /// Compare what `paceline plan` predicts with what is measured.
    Plan,
}

fn main() -> ExitCode {
    let Arguments { bootstrap, command } = Arguments::parse();
    let cache = checkout().join("target/troubleshooting/compiled");
    let parts = Parts { bootstrap, cache, dynamodb: endpoint() };
    match command {
        Command::Article { histories, only, speed, seconds } => {
            let wanted = |setting: &Setting| only.is_empty() || only.iter().any(|name| name == setting.name);
            let changed = |setting: Setting| {
                let seconds = seconds.unwrap_or(setting.seconds);
                Setting { speed: setting.speed * speed, seconds, ..setting }
            };
            let all = [article()].into_iter().chain(remedies()).chain([sound()]);
            the_article(&parts, &histories, all.filter(wanted).map(changed));
            ExitCode::SUCCESS
        }
        Command::Plan => {
            let compared = compare(&parts, &settings(), &mut |setting| print_line(setting.change));
            print_line("\npredicted / measured");
            print_line(&comparison_table(&compared));
            let misses: Vec<String> = compared.iter().flat_map(Compared::misses).collect();
            misses.iter().for_each(|miss| print_line(&format!("{miss}, of at most {:.0} %", TOLERANCE * 100.0)));
            if misses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn the_article(parts: &Parts, histories: &Path, settings: impl Iterator<Item = Setting>) {
    let began = Instant::now();
    std::fs::create_dir_all(histories).expect("the folder of the histories can be made");
    let mut phases: Vec<(Setting, Measures)> = Vec::new();
    for setting in settings {
        print_line(&line(&Line::Heading(&setting)));
        let measures = run(parts, &setting, &mut |period| print_line(&line(&Line::Period(&setting, period))));
        let file = histories.join(setting.name).with_extension("json");
        let history = history(&setting, &measures);
        std::fs::write(&file, history.to_json()).expect("the folder of the histories can be written");
        let report = examine(&history).text(false);
        // The verdict, the tree of findings, and of the article the first finding with its remedies.
        let parts = if phases.is_empty() { 3 } else { 2 };
        let shown: Vec<&str> = report.split("\n\n").take(parts).collect();
        print_line(&format!("\npaceline doctor --from {}\n\n{}", file.display(), shown.join("\n\n")));
        phases.push((setting, measures));
    }
    print_line("\nWhat each of them changed\n");
    print_line(&effects(&phases));
    let seconds = began.elapsed().as_secs();
    print_line(&format!("{} phases in {}:{:02} minutes", phases.len(), seconds / 60, seconds % 60));
}
