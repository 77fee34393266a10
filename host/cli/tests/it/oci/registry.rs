//! A real registry of container images, and a server that behaves as no registry should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};

use paceline_testbed::environment;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;

use crate::support::Process;

/// CNCF Distribution on a free port of 127.0.0.1, with its storage in a folder. It ends when dropped.
pub(super) struct Registry {
    process: Option<Process>,
    pub(super) address: String,
    storage: TempDir,
}

/// A user of a registry, and the line of its password file: `ana`, whose password is `open sesame`.
pub(super) const USER: &str = "ana";
pub(super) const PASSWORD: &str = "open sesame";
const PASSWORD_FILE: &str = "ana:$2b$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW\n";

impl Registry {
    /// One that lets everybody read and write.
    pub(super) fn open() -> Self {
        Self::start(|_| (String::new(), String::new()))
    }

    /// One that asks for the password of the user.
    pub(super) fn with_password() -> Self {
        Self::start(|folder| {
            let file = folder.join("passwords");
            std::fs::write(&file, PASSWORD_FILE).unwrap();
            (String::new(), format!("auth: {{htpasswd: {{realm: plugins, path: {file:?}}}}}\n"))
        })
    }

    /// One that speaks TLS, as the host of this name. Its certificate is in the file `certificate` of its folder.
    pub(super) fn with_tls(host: &str) -> Self {
        Self::start(|folder| {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host.to_owned()]).unwrap();
            let (certificate, key) = (folder.join("certificate"), folder.join("key"));
            std::fs::write(&certificate, cert.pem()).unwrap();
            std::fs::write(&key, signing_key.serialize_pem()).unwrap();
            (format!(", tls: {{certificate: {certificate:?}, key: {key:?}}}"), String::new())
        })
    }

    /// Starts it. The function gets its folder, and returns more of the configuration: of `http`, and at the end.
    fn start(more: impl FnOnce(&Path) -> (String, String)) -> Self {
        let storage = TempDir::new().unwrap();
        let config = storage.path().join("config.yml");
        let data = storage.path().join("data");
        let (http, more) = more(storage.path());
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {data:?}}}}}\n\
             http: {{addr: \"127.0.0.1:0\", secret: a{http}}}\n{more}"
        );
        std::fs::write(&config, text).unwrap();
        let program = std::env::var_os(environment::OCI_REGISTRY).expect("the test requires it");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).arg("serve").arg(config);
        let process = Process::start(command);
        let line = process.wait_for("listening on ");
        let (_, address) = line.split_once("listening on ").unwrap();
        let address = address.split(['"', ',']).next().unwrap().to_owned();
        Self { process: Some(process), address, storage }
    }

    /// A reference into it.
    pub(super) fn reference(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.address)
    }

    /// A file of its folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.storage.path().join(name)
    }

    /// The file of a blob in its storage.
    pub(super) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.storage.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}

/// A proxy for HTTPS that connects to this server, whichever one it is asked for. Returns its address, and the servers that
/// it was asked for.
pub(super) fn proxy_to(server: String) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // As many as a test makes.
    let (sender, asked) = sync_channel(64);
    // It ends with the test's process, and so do the connections.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut client = connection.unwrap();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            let lines = reader.by_ref().lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let _ = sender.send(head[0].clone());
            let server = TcpStream::connect(&server).unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || copy(reader, server));
            std::thread::spawn(move || copy(server_too, client_too));
        }
    });
    (address, asked)
}

fn copy(mut from: impl Read, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A response: the status with its reason, more headers, the body.
pub(super) type Response = (&'static str, Vec<String>, Vec<u8>);

/// A server that answers each request as this function of its head says. Returns its address, and the heads.
pub(super) fn server(answer: impl Fn(&str) -> Response + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // As many as a test makes.
    let (sender, heads) = sync_channel(64);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let lines = reader.by_ref().lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
            let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let _ = std::io::copy(&mut reader.take(length.unwrap_or(0)), &mut std::io::sink());
            let head = head.join("\n");
            let (status, headers, body) = answer(&head);
            let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
            let length = body.len();
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
            );
            let _ = connection.write_all(&body);
            let _ = sender.send(head);
        }
    });
    (address, heads)
}
