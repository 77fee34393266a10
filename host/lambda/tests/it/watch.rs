//! The compiled function with another implementation of the runtime API: `cargo lambda watch`.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::environment::checkout;
use paceline_testbed::http::post;
use paceline_testbed::lambda::Configuration;
use paceline_testbed::poll::pause;
use paceline_testbed::require;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{DedupMode, Deployment, Message, all_committed, beat, event_of, messages};

/// A process that is killed with this value, and with the test's process.
struct Running(Child);

impl Running {
    fn start(program: &Path, adapt: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
        Self(adapt(&mut command).spawn().expect("setpriv can be started"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The emulator and its address.
struct Emulator {
    address: String,
    _process: Running,
    /// It runs in the folder of a package, of which it reads the name.
    _package: TempDir,
}

/// How long it may take from its line in the log to the socket.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

impl Emulator {
    /// Starts it without a function: it would build one with `cargo run`, with other features than the workspace's,
    /// which takes many minutes. The test starts the compiled one instead.
    fn start() -> Self {
        let package = TempDir::new().unwrap();
        let manifest = "[package]\nname = \"function\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";
        std::fs::write(package.path().join("Cargo.toml"), manifest).unwrap();
        std::fs::create_dir(package.path().join("src")).unwrap();
        std::fs::write(package.path().join("src/main.rs"), "fn main() {}\n").unwrap();
        let script = checkout().join("scripts/cargo-lambda");
        let mut output = String::new();
        // Another process may take the free port first.
        for _ in 0..3 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port().to_string();
            drop(listener);
            // Both outputs in one stream.
            let mut process = Running::start(Path::new("sh"), |command| {
                let command = command.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(&script).arg("watch");
                command
                    .args(["--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port", &port])
                    .current_dir(package.path())
                    .stdout(Stdio::piped())
            });
            let mut lines = BufReader::new(process.0.stdout.take().expect("it is piped")).lines();
            let listens = lines.by_ref().map_while(Result::ok).any(|line| {
                output.push_str(&line);
                output.push('\n');
                line.contains("starting Runtime server")
            });
            if listens {
                // It would block on a full pipe.
                std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
                let address = format!("127.0.0.1:{port}");
                // It says so before it does.
                let began = Instant::now();
                while let Err(error) = TcpStream::connect(&address) {
                    assert!(began.elapsed() < LISTENS_WITHIN, "nobody listens at {address}: {error}\n{output}");
                    pause(Duration::from_millis(20));
                }
                return Self { address, _process: process, _package: package };
            }
        }
        panic!("`scripts/cargo-lambda watch` does not listen:\n{output}");
    }

    /// Invokes the function; returns status and response.
    fn invoke(&self, event: &[u8]) -> (u16, Value) {
        // `_` is the only function.
        let (status, body) = post(&self.address, "/2015-03-31/functions/_/invocations", &[], event).unwrap();
        let response = serde_json::from_slice(&body);
        (status, response.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body))))
    }
}

/// Starts the compiled function with the emulator as its runtime API.
fn function(emulator: &Emulator, deployment: &Deployment) -> Running {
    let Configuration { bootstrap, task_root, environment, .. } = deployment.configuration(&endpoint());
    Running::start(&bootstrap, |command| {
        command
            .env_clear()
            .envs(["PATH", "HOME"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("AWS_LAMBDA_RUNTIME_API", format!("http://{}/.rt", emulator.address))
            .env("AWS_LAMBDA_FUNCTION_NAME", "_")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")
            .env("LAMBDA_TASK_ROOT", &task_root)
            .envs(environment)
            .current_dir(task_root)
    })
}

#[test]
fn the_function_works_with_cargo_lambda_watch() {
    require!(Plugins, DynamoDbLocal, UtilLinux, Python);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let emulator = Emulator::start();
    let _function = function(&emulator, &deployment);

    let mut sent: Vec<Message> = Vec::new();
    let mut payloads: Vec<Vec<u8>> =
        (0..40).map(|at| beat(at % 10, 1 + at / 10, 60).to_string().into_bytes()).collect();
    payloads.push(b"no JSON".to_vec());
    sent.extend(messages(payloads.iter().map(Vec::as_slice)));
    // The emulator sends the deadline 600,000, ten minutes after 1970, which the function ignores.
    assert_eq!(emulator.invoke(&event_of(payloads.iter().map(Vec::as_slice))), (200, all_committed()));
    deployment.outcome().must_be(&deployment.local(&sent), "forty messages");

    // The example of AWS's documentation: two records that are not JSON.
    let example = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/two-records.json"));
    let example = example.unwrap();
    assert_eq!(emulator.invoke(&example), (200, all_committed()));
    for record in serde_json::from_slice::<Value>(&example).unwrap()["Records"].as_array().unwrap() {
        let data = record["kinesis"]["data"].as_str().unwrap();
        sent.extend(messages([&*paceline_aws::base64::decode(data.as_bytes()).unwrap()]));
    }
    deployment.outcome().must_be(&deployment.local(&sent), "and the example of AWS");

    let (status, error) = emulator.invoke(b"{\"key1\":\"value1\"}");
    assert_eq!(status, 500);
    assert!(error["errorMessage"].as_str().is_some_and(|text| text.contains("the event has no `Records`")), "{error}");
    assert_eq!(
        emulator.invoke(&event_of(payloads.iter().map(Vec::as_slice))),
        (200, all_committed()),
        "and it continues"
    );
    deployment.outcome().must_be(&deployment.local(&sent), "the same forty again");
}
