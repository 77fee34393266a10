//! The answers of all processes that one MultiLangDaemon has started, at one address.
//!
//! The daemon starts a process for each shard, and all have one configuration. Each process answers at a socket in a folder
//! of its own user, named for the address. Whoever is first listens at the address, and asks all sockets. When it ends,
//! another one takes the address.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::{ACCEPT_AGAIN_AFTER, View, accept, serve};

/// A process that does not answer within this time does not work. It answers beside its batch.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How often the address is tried while another process has it.
const TAKE_OVER_EVERY: Duration = Duration::from_millis(500);
/// The mode of the folder: nobody else connects.
const MODE: u32 = 0o700;

/// A process's socket, and its turn at the address. It ends when dropped.
pub(crate) struct Together {
    socket: PathBuf,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Together {
    /// Answers at this process's socket, and at the address when it is free.
    pub(crate) fn start(address: SocketAddr, view: impl View) -> anyhow::Result<Self> {
        let folder = folder(address)?;
        let socket = folder.join(format!("{}.sock", std::process::id()));
        // Of an earlier process with this id.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket);
        let listener = listener.with_context(|| format!("[serve] the socket {} can't be made", socket.display()))?;
        let own = tokio::spawn(accept_local(listener, Arc::new(view)));
        let all = tokio::spawn(take_turns(address, Arc::new(All { folder })));
        Ok(Self { socket, _tasks: [own, all].map(AbortOnDropHandle::new) })
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

async fn accept_local(listener: UnixListener, view: Arc<impl View>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(TokioIo::new(stream), Arc::clone(&view), None))),
            Err(_) => sleep(ACCEPT_AGAIN_AFTER).await,
        }
    }
}

/// Listens at the address as soon as nobody else does.
async fn take_turns(address: SocketAddr, all: Arc<All>) {
    let mut noted = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let address = listener.local_addr().unwrap_or(address);
                tracing::info!(%address, "serving /metrics, /healthz and /readyz of all shards of the daemon");
                return accept(listener, all, None).await;
            }
            Err(error) if !noted => {
                noted = true;
                match error.kind() {
                    io::ErrorKind::AddrInUse if all.has_others() => {}
                    _ => tracing::warn!("[serve] listen: {address} can't be listened on yet: {error}"),
                }
            }
            Err(_) => {}
        }
        sleep(TAKE_OVER_EVERY).await;
    }
}

/// The folder of the sockets of one address, which only this user can enter.
#[expect(clippy::disallowed_methods, reason = "all processes of a daemon find the folder, and check whose it is")]
fn folder(address: SocketAddr) -> anyhow::Result<PathBuf> {
    let own = fs::metadata("/proc/self").context("the own user is not known")?.uid();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let parent = match runtime {
        Some(folder) => PathBuf::from(folder).join("paceline"),
        None => std::env::temp_dir().join(format!("paceline-{own}")),
    };
    let folder = parent.join(address.to_string().replace([':', '[', ']', '%'], "-"));
    for folder in [&parent, &folder] {
        let failed = || format!("[serve] the folder {} for sockets: set XDG_RUNTIME_DIR to another", folder.display());
        DirBuilder::new().recursive(true).mode(MODE).create(folder).with_context(failed)?;
        let found = fs::symlink_metadata(folder).with_context(failed)?;
        if !found.is_dir() || found.uid() != own || found.mode() & 0o077 != 0 {
            bail!("{}: it is not a folder that only this user can enter", failed());
        }
    }
    Ok(folder)
}

/// All processes with sockets in a folder.
struct All {
    folder: PathBuf,
}

/// The answer of one process.
struct Answer {
    process: String,
    /// Status and text.
    answer: io::Result<(u16, String)>,
}

impl All {
    fn sockets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        let mut sockets: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        sockets.sort();
        sockets
    }

    fn has_others(&self) -> bool {
        let own = format!("{}.sock", std::process::id());
        self.sockets().iter().any(|socket| !socket.ends_with(&own) && UnixStream::connect(socket).is_ok())
    }

    /// Asks all processes at once.
    async fn ask(&self, path: &'static str) -> Vec<Answer> {
        let mut asked = JoinSet::new();
        for socket in self.sockets() {
            asked.spawn(async move {
                let process = socket.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let answer = spawn_blocking(move || ask(&socket, path)).await;
                Answer { process, answer: answer.unwrap_or_else(|error| Err(io::Error::other(error))) }
            });
        }
        let answers = asked.join_all().await.into_iter().filter(|answer| !answer.has_ended());
        let mut answers: Vec<Answer> = answers.collect();
        answers.sort_by(|a, b| a.process.cmp(&b.process));
        answers
    }

    /// What is wrong with any of the processes.
    async fn trouble(&self, path: &'static str) -> Option<String> {
        let wrong = self.ask(path).await.into_iter().filter_map(|Answer { process, answer }| match answer {
            Ok((200, _)) => None,
            Ok((_, text)) => Some(format!("process {process} is {}", text.trim_end())),
            Err(error) => Some(format!("process {process} does not answer: {error}")),
        });
        let wrong: Vec<String> = wrong.collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

impl Answer {
    /// Whether the process has ended. One that was killed leaves its socket.
    fn has_ended(&self) -> bool {
        let kind = self.answer.as_ref().err().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound))
    }
}

/// Status and text of a process's answer.
fn ask(socket: &Path, path: &str) -> io::Result<(u16, String)> {
    let mut stream = match UnixStream::connect(socket) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let _ = fs::remove_file(socket);
            return Err(error);
        }
        stream => stream?,
    };
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    // An answer to HTTP 1.0 ends with its connection.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: paceline\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| io::Error::other("the answer is not HTTP"))?, text.to_owned()))
}

impl View for All {
    async fn metrics(&self) -> String {
        let answers = self.ask("/metrics").await.into_iter();
        let texts: Vec<String> = answers.filter_map(|answer| Some(answer.answer.ok()?.1)).collect();
        paceline_metrics::merge(&texts)
    }

    async fn not_alive(&self) -> Option<String> {
        self.trouble("/healthz").await
    }

    async fn not_ready(&self) -> Option<String> {
        self.trouble("/readyz").await
    }
}
