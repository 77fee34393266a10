//! `paceline healthcheck`, which container engines call.

use paceline_testbed::require;
use std::io::{BufRead, BufReader, Write};

use crate::dynamo::Deployment;

/// Starts a server that answers one request and returns its port.
fn serve_once(answer: &'static str) -> u16 {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut client, _) = server.accept().unwrap();
        let mut request = BufReader::new(client.try_clone().unwrap());
        let mut line = String::new();
        request.read_line(&mut line).unwrap();
        assert_eq!(line, "GET /healthz HTTP/1.0\r\n");
        while line != "\r\n" {
            line.clear();
            request.read_line(&mut line).unwrap();
        }
        client.write_all(answer.as_bytes()).unwrap();
    });
    port
}

#[test]
fn the_health_check_reports_the_consumers_status() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::without_tables();
    let listening = |port: u16| {
        deployment.configure("stream = \"alleycat\"", &format!("[serve]\nlisten = \"0.0.0.0:{port}\"\n"));
    };
    listening(serve_once("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"));
    assert_eq!(deployment.workspace.ok(&["healthcheck"]), "");
    listening(serve_once("HTTP/1.1 503 Service Unavailable\r\n\r\nshard 3 is failing\n"));
    let error = deployment.workspace.fails(&["healthcheck"]);
    assert!(error.contains("503") && error.contains("shard 3 is failing"), "{error}");
    listening(serve_once("SSH-2.0-OpenSSH_9.2\r\n"));
    assert!(deployment.workspace.fails(&["healthcheck"]).contains("is not HTTP"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    listening(free);
    assert!(deployment.workspace.fails(&["healthcheck"]).contains("refused"));
    listening(0);
    assert!(deployment.workspace.fails(&["healthcheck"]).contains("port 0"));
    deployment.configure("stream = \"alleycat\"", "");
    assert!(deployment.workspace.fails(&["healthcheck"]).contains("[serve] listen"));
}
