//! The Lambda service around a function: starts the program that Lambda would start, hands it events through the
//! [runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), and kills it as Lambda does.
//!
//! # Layout
//! - `instance`: one process, and the runtime API that it talks to.
//! - `logs`: what the processes print.
//!
//! Not played: the freeze between invocations, the memory limit, extensions, streamed responses.

mod instance;
mod logs;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use serde_json::Value;
use tokio::runtime::{self, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};

use self::instance::{Instance, Job};
use self::logs::Logs;

/// The region that ARNs name.
pub const REGION: &str = "us-east-1";
/// The account that ARNs name.
pub const ACCOUNT: &str = "123456789012";
/// The longest response that Lambda takes: 6 MB and a little, the number in its own error message.
pub const MAX_RESPONSE_BYTES: usize = 6_291_556;
/// How long an instance may take until it asks for an event. Lambda gives 10 s; the machine of a test may be busy.
const INIT_LIMIT: Duration = Duration::from_secs(60);

/// What Lambda is told of a function.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its name.
    pub name: String,
    /// The program that Lambda starts.
    pub bootstrap: PathBuf,
    /// The folder that it is started in, and that `LAMBDA_TASK_ROOT` names.
    pub task_root: PathBuf,
    /// What it is told of its memory; not enforced.
    pub memory_mb: u32,
    /// Variables besides Lambda's own, `PATH` and `HOME`; they win.
    pub environment: Vec<(String, String)>,
    /// How many processes may run at once: the reserved concurrency.
    pub max_instances: usize,
}

impl Configuration {
    /// Of a program in its own folder, with up to 10 instances.
    pub fn new(bootstrap: impl Into<PathBuf>) -> Self {
        let bootstrap = bootstrap.into();
        let task_root = bootstrap.parent().unwrap_or(Path::new("/")).to_owned();
        let name = "paceline".to_owned();
        Self { name, bootstrap, task_root, memory_mb: 1024, environment: Vec::new(), max_instances: 10 }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }
}

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Invocation {
    /// The function's answer; null where it was empty.
    Ok(Value),
    /// The error that the function reported, or that Lambda reports in its place.
    FunctionError(Value),
    /// The deadline passed; the instance was killed.
    TimedOut,
    /// The instance was killed or crashed.
    Died,
}

/// A function and its instances. They are killed when it is dropped, and when the process that holds it dies.
#[derive(Debug)]
pub struct Function {
    service: Arc<Service>,
    handle: Handle,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    /// Starts the processes: they die with the *thread* that started them, so it must outlive every invocation.
    thread: Option<JoinHandle<()>>,
}

/// What the service's thread and its callers share.
#[derive(Debug)]
struct Service {
    configuration: Configuration,
    logs: Arc<Logs>,
    /// One for each instance that may be at work. Idle instances are taken first, so that there are never more.
    permits: Semaphore,
    instances: Mutex<Vec<Arc<Instance>>>,
    started: AtomicUsize,
}

/// What a caller hears of its invocation.
enum News {
    /// The function has taken the event.
    Begun,
    /// It is over.
    Over(Invocation),
    /// No process could be started.
    NotStarted(io::Error),
}

impl Function {
    /// Makes a function; its first instance is started when it is first invoked.
    ///
    /// # Errors
    /// Where the program or its folder is missing.
    pub fn new(mut configuration: Configuration) -> io::Result<Self> {
        // Both are resolved now, since the program is started in another folder.
        for path in [&mut configuration.bootstrap, &mut configuration.task_root] {
            *path = fs::canonicalize(&*path).map_err(|error| {
                let message = format!("{}: {error}: build the function first", path.display());
                io::Error::new(error.kind(), message)
            })?;
        }
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let service = Arc::new(Service {
            permits: Semaphore::new(configuration.max_instances.max(1)),
            configuration,
            logs: Arc::default(),
            instances: Mutex::default(),
            started: AtomicUsize::new(0),
        });
        let (running, ended) = oneshot::channel();
        let kept = service.clone();
        let thread = thread::Builder::new().name("lambda".to_owned()).spawn(move || {
            runtime.block_on(async {
                // An error is the sign: the sender was dropped.
                let _ = ended.await;
                let instances = kept.instances().clone();
                for instance in instances {
                    instance.kill().await;
                }
            });
        })?;
        Ok(Self { service, handle, running: Some(running), thread: Some(thread) })
    }

    /// Hands an event to an idle instance, or to a new one, or waits for one where there may be no more, and waits for
    /// the outcome. May be called from many threads at once, but not from an asynchronous task that others wait for.
    ///
    /// `timeout` runs from the moment at which the function takes the event.
    ///
    /// # Panics
    /// Where no process can be started at all.
    pub fn invoke(&self, event: Vec<u8>, timeout: Duration) -> Invocation {
        self.invoke_with(event, timeout, &mut || ())
    }

    /// As [`Function::invoke`]; calls `begun` as soon as the function has taken the event.
    ///
    /// # Panics
    /// As [`Function::invoke`].
    pub fn invoke_with(&self, event: Vec<u8>, timeout: Duration, begun: &mut dyn FnMut()) -> Invocation {
        let (sender, news) = mpsc::channel();
        let service = self.service.clone();
        self.handle.spawn(async move { service.invoke(event, timeout, sender).await });
        loop {
            match news.recv().expect("the service's thread lives as long as the function") {
                News::Begun => begun(),
                News::Over(outcome) => return outcome,
                News::NotStarted(error) => panic!("`setpriv`, which starts the function, can't be started: {error}"),
            }
        }
    }

    /// Kills the instance that has been at work longest, and returns when it is dead; whether there was one.
    pub fn kill_busy(&self) -> bool {
        let busy =
            self.service.instances().iter().filter_map(|i| Some((i.busy_since()?, i.clone()))).min_by_key(|b| b.0);
        busy.is_some_and(|(_, instance)| self.kill(vec![instance]))
    }

    /// Kills all instances, busy and idle, and returns when they are dead; whether there were any.
    pub fn kill_all(&self) -> bool {
        let instances = self.service.instances().clone();
        self.kill(instances)
    }

    fn kill(&self, instances: Vec<Arc<Instance>>) -> bool {
        let (sender, killed) = mpsc::channel();
        self.handle.spawn(async move {
            let mut any = false;
            for instance in instances {
                any |= instance.kill().await;
            }
            // The caller waits for it, unless its thread is gone, and then nobody does.
            let _ = sender.send(any);
        });
        killed.recv().expect("the service's thread lives as long as the function")
    }

    /// How many instances have been started since the beginning: the cold starts.
    pub fn started(&self) -> usize {
        self.service.started.load(Ordering::Relaxed)
    }

    /// How long the threads of all living instances have run on a processor.
    pub fn processor_time(&self) -> Duration {
        self.service.instances().iter().map(|instance| instance.processor_time()).sum()
    }

    /// What the instances have printed so far, on both streams; the latest lines only, where it was much. What an
    /// instance printed before its answer may come after it: see [`Function::wait_for_log`].
    pub fn logs(&self) -> String {
        self.service.logs.text()
    }

    /// Waits until an instance has printed a line that contains `text`; whether it came in time.
    pub fn wait_for_log(&self, text: &str, timeout: Duration) -> bool {
        self.service.logs.wait_for(text, timeout)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was printed already.
            let _ = thread.join();
        }
    }
}

impl Service {
    fn instances(&self) -> MutexGuard<'_, Vec<Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn invoke(&self, event: Vec<u8>, timeout: Duration, news: mpsc::Sender<News>) {
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let last = match self.reserve().await {
            Ok(instance) => News::Over(self.run(&instance, event, timeout, &news).await),
            Err(error) => News::NotStarted(error),
        };
        drop(permit);
        // Nobody listens any more only where the caller's thread has panicked.
        let _ = news.send(last);
    }

    /// An instance for the caller alone: an idle one or a new one.
    async fn reserve(&self) -> io::Result<Arc<Instance>> {
        {
            let mut instances = self.instances();
            instances.retain(|instance| !instance.is_dead());
            if let Some(instance) = instances.iter().find(|instance| instance.reserve()) {
                return Ok(instance.clone());
            }
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let instance = Instance::start(&self.configuration, number, self.logs.clone()).await?;
        self.instances().push(instance.clone());
        Ok(instance)
    }

    /// Runs one event on a reserved instance and frees it.
    async fn run(
        &self,
        instance: &Instance,
        event: Vec<u8>,
        timeout: Duration,
        news: &mpsc::Sender<News>,
    ) -> Invocation {
        let (begun_sender, mut begun) = oneshot::channel();
        let (outcome_sender, mut outcome) = oneshot::channel();
        instance.assign(Job { event: event.into(), timeout, begun: begun_sender, outcome: outcome_sender });
        let deadline = sleep(INIT_LIMIT);
        tokio::pin!(deadline);
        let mut has_begun = false;
        loop {
            tokio::select! {
                // What the function said before it died counts.
                biased;
                Ok(outcome) = &mut outcome => {
                    instance.free();
                    return outcome;
                }
                Ok(()) = &mut begun, if !has_begun => {
                    has_begun = true;
                    deadline.as_mut().reset(Instant::now() + timeout);
                    let _ = news.send(News::Begun);
                }
                () = instance.dead() => return Invocation::Died,
                () = &mut deadline => {
                    instance.kill().await;
                    return Invocation::TimedOut;
                }
            }
        }
    }
}
