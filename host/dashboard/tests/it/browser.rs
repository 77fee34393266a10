//! Chromium without a window, driven by its DevTools protocol over a pipe.
//!
//! A test that needs it is skipped with a message if it is missing. With `PACELINE_TEST_STRICT=1` the test fails instead.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// No answer of the browser takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that the browser may send before it waits for the test.
const MESSAGES: usize = 4_096;

/// The program of the browser, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    let named = std::env::var_os("PACELINE_TEST_CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| {
        let path = std::env::var_os("PATH")?;
        let names = ["chromium", "chromium-browser", "google-chrome"];
        names
            .iter()
            .find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|it| it.is_file()))
    })
}

/// Whether a test can't run for lack of a browser.
pub(crate) fn is_missing(test: &str) -> bool {
    if program().is_some() {
        return false;
    }
    let strict = std::env::var_os("PACELINE_TEST_STRICT").is_some_and(|value| !value.is_empty() && value != "0");
    assert!(!strict, "there is no Chromium: `scripts/chromium` installs it. PACELINE_TEST_STRICT is set");
    let line = format!("skipped: paceline-dashboard {test}: there is no Chromium: `scripts/chromium` installs it\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    true
}

/// Skips the test if there is no browser. It is the first line of the test's function.
macro_rules! require_chromium {
    () => {{
        fn marker() {}
        if $crate::browser::is_missing(std::any::type_name_of_val(&marker).trim_end_matches("::marker")) {
            return;
        }
    }};
}
pub(crate) use require_chromium;

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) dark: bool,
    pub(crate) javascript: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1_600, dark: false, javascript: true }
    }
}

/// A browser. It ends when dropped.
pub(crate) struct Browser {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    next: u64,
    _profile: TempDir,
}

/// A page that is open.
pub(crate) struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The browser reads its file descriptor 3 and writes 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(program().unwrap())
            .args(["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, messages) = sync_channel(MESSAGES);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|bytes| bytes > 0) {
                message.pop();
                let Ok(message) = serde_json::from_slice(&std::mem::take(&mut message)) else { break };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Self { child, input, messages, events: VecDeque::new(), next: 0, _profile: profile }
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str, look: Look) -> Page<'_> {
        self.events.clear();
        let target = self.call(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call(None, "Target.attachToTarget", attach)["sessionId"].as_str().unwrap().to_owned();
        let mut page = Page { browser: self, session };
        for domain in ["Page", "Runtime", "Log"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.call("Performance.enable", json!({ "timeDomain": "threadTicks" }));
        let metrics = json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        page.call("Emulation.setDeviceMetricsOverride", metrics);
        page.set_dark(look.dark);
        page.call("Emulation.setScriptExecutionDisabled", json!({ "value": !look.javascript }));
        let watch = "window.violations = []; document.addEventListener('securitypolicyviolation', \
                     (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));";
        page.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": watch }));
        page.go(url);
        page
    }

    fn call(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input.as_mut().unwrap().write_all(&bytes).unwrap();
        loop {
            let mut message = self.receive();
            if message["id"] == self.next {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }

    fn receive(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("Chromium answers")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when the pipe does.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

impl Page<'_> {
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// Goes to an address and waits until it is loaded.
    pub(crate) fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.wait_for("Page.loadEventFired");
    }

    /// Waits for an event that comes from now on or has come since the page was opened.
    pub(crate) fn wait_for(&mut self, method: &str) {
        let session = self.session.clone();
        let is_it = |event: &Value| event["method"] == method && event["sessionId"] == *session;
        if let Some(at) = self.browser.events.iter().position(is_it) {
            self.browser.events.remove(at);
            return;
        }
        loop {
            let event = self.browser.receive();
            if is_it(&event) {
                return;
            }
            self.browser.events.push_back(event);
        }
    }

    pub(crate) fn set_dark(&mut self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The value of an expression, of what a promise becomes.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Waits until the page, as it is or after an update, fulfils a condition.
    pub(crate) fn until(&mut self, condition: &str) {
        self.evaluate(&format!(
            "new Promise((resolve) => {{
                const check = () => {{
                    if (!({condition})) return;
                    document.removeEventListener('paceline:update', check);
                    resolve();
                }};
                document.addEventListener('paceline:update', check);
                check();
            }})"
        ));
    }

    /// Waits for this number of updates.
    pub(crate) fn updates(&mut self, number: usize) {
        self.evaluate("window.updates = -1");
        self.until(&format!("++window.updates >= {number}"));
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            other => panic!("the code of the key {other} is not known here"),
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Moves the pointer.
    pub(crate) fn point(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({ "type": "mouseMoved", "x": x, "y": y }));
    }

    /// The processor time of the page's main thread, in seconds.
    pub(crate) fn processor_seconds(&mut self) -> f64 {
        let metrics = self.call("Performance.getMetrics", json!({}));
        let metrics = metrics["metrics"].as_array().unwrap();
        metrics.iter().find(|metric| metric["name"] == "TaskDuration").unwrap()["value"].as_f64().unwrap()
    }

    /// Closes the page. Nothing may have violated the policy, thrown, or been logged as a warning or an error.
    pub(crate) fn close(mut self) {
        let violations = self.evaluate("window.violations || []");
        assert_eq!(violations, json!([]), "violations of the policy");
        self.call("Page.close", json!({}));
        // A page that was closed before can still log that its server ended.
        for event in self.browser.events.iter().filter(|event| event["sessionId"] == *self.session) {
            let params = &event["params"];
            let is_bad = match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => ["error", "warning", "assert"].iter().any(|kind| params["type"] == *kind),
                "Log.entryAdded" => ["error", "warning"].iter().any(|level| params["entry"]["level"] == *level),
                _ => false,
            };
            assert!(!is_bad, "{event}");
        }
    }
}
