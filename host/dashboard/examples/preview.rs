//! Serves the dashboard of a scripted deployment: `cargo run -p paceline-dashboard --example preview -- trouble 8080`.

#[path = "../tests/it/deployment.rs"]
mod deployment;
#[path = "../tests/it/scripted.rs"]
mod scripted;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use paceline_dashboard::{Dashboard, Hosts, Options, serve};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let status = match arguments.next().as_deref() {
        Some("trouble") => deployment::trouble(),
        Some("many") => deployment::many(200),
        _ => deployment::healthy(),
    };
    let port = arguments.next().map_or(Ok(8080), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let hosts = Hosts::of(listener.local_addr()?);
    let refresh = Duration::from_secs(2);
    let options = Options { refresh, leaderboard: refresh, max_listeners: 8, hosts };
    let dashboard = Dashboard::new(Arc::new(scripted::Scripted::new(status)), options);
    serve(listener, Arc::new(dashboard), std::future::pending()).await;
    Ok(())
}
