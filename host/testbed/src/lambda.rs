//! The Lambda service around a function: starts the program that Lambda would start, gives it events through the
//! [runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), and kills it as Lambda does.
//!
//! # Layout
//!
//! - `instance`: one process, and the runtime API that it uses.
//! - `logs`: the output of the processes.
//! - `configuration`: what a function is started with.
//! - `invocation`: the outcome of an invocation.
//!
//! Not simulated: the freeze between invocations, the memory limit, extensions, streamed responses.

mod configuration;
mod instance;
mod invocation;
mod logs;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, io};

use tokio::runtime::{self, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};

pub use self::configuration::{ACCOUNT, Configuration, Deadline, REGION};
use self::instance::{Assignment, Instance};
pub use self::invocation::{Invocation, MAX_RESPONSE_BYTES};
use self::logs::Logs;

/// The time within which an instance must ask for its first event. Lambda allows 10 s; a test's machine may be busy.
const INIT_TIMEOUT: Duration = Duration::from_secs(60);

/// A function and its instances. They are killed when it is dropped, and when the process that holds it dies.
#[derive(Debug)]
pub struct Function {
    service: Arc<Service>,
    handle: Handle,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    /// Starts the instances. They die with the *thread* that started them, so it must outlive every invocation.
    thread: Option<JoinHandle<()>>,
}

/// What the service's thread and its callers share.
#[derive(Debug)]
struct Service {
    configuration: Configuration,
    logs: Arc<Logs>,
    /// One for each concurrent invocation. Idle instances are used first, so that there are never more instances.
    permits: Semaphore,
    instances: Mutex<Vec<Arc<Instance>>>,
    started: AtomicUsize,
}

/// Progress of an invocation, for its caller.
enum InvocationUpdate {
    /// The function took the event.
    Started,
    Finished(Invocation),
    /// No process could be started.
    NotStarted(io::Error),
}

impl Function {
    /// Creates a function. Its first invocation starts its first instance.
    ///
    /// # Errors
    ///
    /// If the program or its folder is missing.
    pub fn new(mut configuration: Configuration) -> io::Result<Self> {
        // Both are resolved now, since the program runs in another folder.
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
        let served = service.clone();
        let thread = thread::Builder::new().name("lambda".to_owned()).spawn(move || {
            runtime.block_on(async {
                // It returns an error when the sender is dropped: that is the signal.
                let _ = ended.await;
                let instances = served.instances().clone();
                for instance in instances {
                    instance.kill().await;
                }
            });
        })?;
        Ok(Self { service, handle, running: Some(running), thread: Some(thread) })
    }

    /// Invokes the function in an idle instance, or in a new one, or waits for one if the reserved concurrency is
    /// reached; blocks until the outcome. Any number of threads may call it at once, but no asynchronous task may.
    ///
    /// `timeout` begins when the function takes the event.
    ///
    /// # Panics
    ///
    /// If no process can be started at all.
    pub fn invoke(&self, event: Vec<u8>, timeout: Duration) -> Invocation {
        self.invoke_with(event, timeout, &mut || ())
    }

    /// As [`Function::invoke`]; calls `on_start` when the function has taken the event.
    ///
    /// # Panics
    ///
    /// As [`Function::invoke`].
    pub fn invoke_with(&self, event: Vec<u8>, timeout: Duration, on_start: &mut dyn FnMut()) -> Invocation {
        // It holds all updates of an invocation: the start and the end.
        let (sender, updates) = mpsc::sync_channel(2);
        let service = self.service.clone();
        self.handle.spawn(async move { service.invoke(event, timeout, sender).await });
        loop {
            match updates.recv().expect("the service's thread, which lives as long as the function") {
                InvocationUpdate::Started => on_start(),
                InvocationUpdate::Finished(outcome) => return outcome,
                InvocationUpdate::NotStarted(error) => {
                    panic!("`setpriv`, which starts the function, can't be started: {error}: install util-linux")
                }
            }
        }
    }

    /// Kills the instance that has been busy longest and waits for its end; whether there was one.
    pub fn kill_busy(&self) -> bool {
        let instances = self.service.instances();
        let busy = instances.iter().filter_map(|instance| Some((instance.busy_since()?, instance.clone())));
        let longest = busy.min_by_key(|(since, _)| *since);
        drop(instances);
        longest.is_some_and(|(_, instance)| self.kill(vec![instance]))
    }

    /// Kills all instances, busy and idle, and waits for their end; whether there were any.
    pub fn kill_all(&self) -> bool {
        let instances = self.service.instances().clone();
        self.kill(instances)
    }

    fn kill(&self, instances: Vec<Arc<Instance>>) -> bool {
        let (sender, killed) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let mut any = false;
            for instance in instances {
                any |= instance.kill().await;
            }
            // The caller waits for it, unless its thread has panicked.
            let _ = sender.send(any);
        });
        killed.recv().expect("the service's thread, which lives as long as the function")
    }

    /// The number of instances started so far: the cold starts.
    pub fn started(&self) -> usize {
        self.service.started.load(Ordering::Relaxed)
    }

    /// The processor time of all threads of all living instances.
    pub fn processor_time(&self) -> Duration {
        self.service.instances().iter().map(|instance| instance.processor_time()).sum()
    }

    /// The output of the instances so far, of both streams; the latest 16 MiB. Output that an instance wrote before its
    /// response may arrive after it: see [`Function::wait_for_log`].
    pub fn logs(&self) -> String {
        self.service.logs.text()
    }

    /// Waits until an instance has printed a line that contains `text`; whether it did in time.
    pub fn wait_for_log(&self, text: &str, timeout: Duration) -> bool {
        self.service.logs.wait_for(text, timeout)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was printed already.
            let _ = thread.join();
        }
    }
}

impl Service {
    fn instances(&self) -> MutexGuard<'_, Vec<Arc<Instance>>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn invoke(&self, event: Vec<u8>, timeout: Duration, updates: mpsc::SyncSender<InvocationUpdate>) {
        let permit = self.permits.acquire().await.expect("a semaphore that is never closed");
        let last = match self.reserve().await {
            Ok(instance) => InvocationUpdate::Finished(self.run(&instance, event, timeout, &updates).await),
            Err(error) => InvocationUpdate::NotStarted(error),
        };
        drop(permit);
        // The receiver is gone only if the caller's thread has panicked.
        let _ = updates.send(last);
    }

    /// Reserves an idle instance, or starts one.
    async fn reserve(&self) -> io::Result<Arc<Instance>> {
        {
            let mut instances = self.instances();
            instances.retain(|instance| !instance.is_dead());
            // Lambda does not document which one it takes. Each has a cache of its own, and some caches are stale.
            let mut in_any_order: Vec<&Arc<Instance>> = instances.iter().collect();
            fastrand::shuffle(&mut in_any_order);
            if let Some(instance) = in_any_order.into_iter().find(|instance| instance.reserve()) {
                return Ok(Arc::clone(instance));
            }
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let instance = Instance::start(&self.configuration, number, self.logs.clone()).await?;
        self.instances().push(instance.clone());
        Ok(instance)
    }

    /// Runs one event in a reserved instance, then frees the instance.
    async fn run(
        &self,
        instance: &Instance,
        event: Vec<u8>,
        timeout: Duration,
        updates: &mpsc::SyncSender<InvocationUpdate>,
    ) -> Invocation {
        let (start_sender, mut started) = oneshot::channel();
        let (outcome_sender, mut outcome) = oneshot::channel();
        let event = event.into();
        instance.assign(Assignment { event, timeout, started: start_sender, outcome: outcome_sender });
        let deadline = sleep(INIT_TIMEOUT);
        tokio::pin!(deadline);
        let mut is_started = false;
        loop {
            tokio::select! {
                // A response that the function gave before it died counts.
                biased;
                Ok(outcome) = &mut outcome => {
                    instance.free();
                    return outcome;
                }
                Ok(()) = &mut started, if !is_started => {
                    is_started = true;
                    deadline.as_mut().reset(Instant::now() + timeout);
                    let _ = updates.send(InvocationUpdate::Started);
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
