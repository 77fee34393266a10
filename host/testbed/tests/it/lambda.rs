//! The Lambda service, with a small program in Python that speaks the runtime API.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::mapping::Mapping;
use paceline_testbed::require;
use serde_json::json;
use tempfile::TempDir;

use crate::mapping::numbered;

/// Time enough for anything that is not meant to time out.
const LONG: Duration = Duration::from_secs(60);

/// A function in Python. Its events contain what it has to do.
const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import base64, json, os, signal, sys, urllib.error, urllib.request

API = "http://%s/2018-06-01/runtime/" % os.environ["AWS_LAMBDA_RUNTIME_API"]

def post(path, body):
    try:
        urllib.request.urlopen(urllib.request.Request(API + path, body, method="POST")).read()
    except urllib.error.HTTPError as error:
        print("rejected with", error.code, flush=True)

def numbers(event):
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]

if os.environ.get("FAIL_INIT"):
    post("init/error", json.dumps({"errorMessage": "no settings", "errorType": "Init"}).encode())
    signal.pause()
while True:
    with urllib.request.urlopen(API + "invocation/next") as response:
        headers, event = response.headers, json.load(response)
    invocation = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    if "Records" in event:
        for number in numbers(event):
            print("<%s>" % number, flush=True)
        post(invocation + "/response", b"{}")
    elif event["do"] == "respond":
        print("to stdout", flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        post(invocation + "/response", json.dumps({
            "cwd": os.getcwd(),
            "pid": os.getpid(),
            "environment": dict(os.environ),
            "deadline": int(headers["Lambda-Runtime-Deadline-Ms"]),
            "arn": headers["Lambda-Runtime-Invoked-Function-Arn"],
        }).encode())
    elif event["do"] == "fail":
        post(invocation + "/error", json.dumps({"errorMessage": "on purpose"}).encode())
    elif event["do"] == "hang":
        print("hanging", flush=True)
        signal.pause()
    elif event["do"] == "die":
        sys.exit(1)
    elif event["do"] == "exceed":
        post(invocation + "/response", b'"' + b"x" * 6291556 + b'"')
    elif event["do"] == "no-json":
        post(invocation + "/response", b"no JSON")
"#;

/// The function in a new folder, which must outlive it.
fn function(configure: impl FnOnce(Configuration) -> Configuration) -> (Function, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let bootstrap = folder.path().join("bootstrap");
    fs::write(&bootstrap, BOOTSTRAP).unwrap();
    fs::set_permissions(&bootstrap, fs::Permissions::from_mode(0o755)).unwrap();
    (Function::new(configure(Configuration::new(bootstrap))).unwrap(), folder)
}

fn invoke(function: &Function, action: &str, timeout: Duration) -> Invocation {
    function.invoke(json!({"do": action}).to_string().into(), timeout)
}

#[test]
fn a_function_responds_fails_hangs_and_dies() {
    require!(Python, UtilLinux);
    let (function, folder) = function(|configuration| configuration.env("RACE", "5403307"));
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let before = now();
    let Invocation::Ok(answer) = invoke(&function, "respond", LONG) else { panic!("{}", function.logs()) };
    let deadline = answer["deadline"].as_u64().unwrap();
    assert!((before + 60_000..=now() + 60_000).contains(&deadline), "{deadline}");
    assert_eq!(answer["arn"], "arn:aws:lambda:us-east-1:123456789012:function:paceline");
    let root = fs::canonicalize(folder.path()).unwrap().to_str().unwrap().to_owned();
    assert_eq!(answer["cwd"], *root);
    let names: BTreeSet<_> = answer["environment"].as_object().unwrap().keys().map(String::as_str).collect();
    for name in ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_LOG_STREAM_NAME", "PATH"] {
        assert!(names.contains(name), "{name}");
    }
    assert!(!names.contains("CARGO_MANIFEST_DIR"));
    assert_eq!(answer["environment"]["RACE"], "5403307");
    assert_eq!(answer["environment"]["LAMBDA_TASK_ROOT"], *root);

    assert_eq!(invoke(&function, "fail", LONG), Invocation::FunctionError(json!({"errorMessage": "on purpose"})));
    let Invocation::FunctionError(exceeded) = invoke(&function, "exceed", LONG) else { panic!("{}", function.logs()) };
    assert_eq!(exceeded["errorType"], "Function.ResponseSizeTooLarge");
    let Invocation::FunctionError(invalid) = invoke(&function, "no-json", LONG) else { panic!("{}", function.logs()) };
    assert_eq!(invalid["errorType"], "Runtime.InvalidResponse");
    // One process handled all of these.
    let Invocation::Ok(again) = invoke(&function, "respond", LONG) else { panic!("{}", function.logs()) };
    assert_eq!((&again["pid"], function.started()), (&answer["pid"], 1));

    assert_eq!(invoke(&function, "hang", Duration::from_millis(100)), Invocation::TimedOut);
    assert_eq!(invoke(&function, "die", LONG), Invocation::Died);
    let Invocation::Ok(again) = invoke(&function, "respond", LONG) else { panic!("{}", function.logs()) };
    assert_ne!(again["pid"], answer["pid"]);
    assert_eq!(function.started(), 3);
    for line in ["to stdout", "to stderr", "hanging", "rejected with 413"] {
        assert!(function.wait_for_log(line, LONG), "{line} is not in\n{}", function.logs());
    }
}

#[test]
fn a_busy_instance_is_killed_from_another_thread() {
    require!(Python, UtilLinux);
    let (function, _folder) = function(|configuration| configuration);
    assert!(!function.kill_busy());
    let killed = AtomicUsize::new(0);
    let event = json!({"do": "hang"}).to_string().into_bytes();
    let outcome = function.invoke_with(event, LONG, &mut || {
        killed.fetch_add(usize::from(function.kill_busy()), Ordering::Relaxed);
    });
    assert_eq!((outcome, killed.into_inner()), (Invocation::Died, 1));
}

#[test]
fn an_initialization_error_is_the_error_of_its_invocation() {
    require!(Python, UtilLinux);
    let (function, _folder) = function(|configuration| configuration.env("FAIL_INIT", "1"));
    let Invocation::FunctionError(error) = invoke(&function, "respond", LONG) else { panic!("{}", function.logs()) };
    assert_eq!(error["errorMessage"], "no settings");
    assert!(Function::new(Configuration::new("/nowhere/bootstrap")).unwrap_err().to_string().contains("/nowhere"));
}

#[test]
fn instances_run_concurrently_up_to_the_reserved_concurrency() {
    require!(Python, UtilLinux);
    let (function, _folder) = function(|configuration| Configuration { max_instances: 2, ..configuration });
    std::thread::scope(|scope| {
        let hanging = scope.spawn(|| invoke(&function, "hang", LONG));
        assert!(function.wait_for_log("hanging", LONG));
        // The other instance handles all of these, one after the other.
        let others: Vec<_> = (0..6).map(|_| scope.spawn(|| invoke(&function, "respond", LONG))).collect();
        assert!(others.into_iter().all(|other| matches!(other.join().unwrap(), Invocation::Ok(_))));
        assert_eq!(function.started(), 2);
        assert!(function.kill_all());
        assert_eq!(hanging.join().unwrap(), Invocation::Died);
    });
}

#[test]
fn a_mapping_delivers_all_records_to_a_function_that_is_killed_at_random() {
    require!(Python, UtilLinux);
    let (function, _folder) = function(|configuration| Configuration { max_instances: 2, ..configuration });
    let stream = numbered(60);
    let mapping = Mapping {
        batch_size: 5,
        parallelization_factor: 2,
        max_concurrency: 2,
        seed: 7,
        chaos: Some(Arc::new(|function: &Function, rng: &mut fastrand::Rng| {
            if rng.u8(..5) == 0 {
                function.kill_busy();
            }
        })),
        ..Mapping::default()
    };
    let report = mapping.run(&stream, &function);
    assert_eq!(report.invocations, report.batches + report.deaths);
    assert!(report.deaths > 0, "{report:?}");
    for record in 0..60 {
        assert!(function.wait_for_log(&format!("<{record}>"), LONG), "{record} is not in\n{}", function.logs());
    }
}
