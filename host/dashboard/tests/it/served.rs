//! The dashboard of a scripted source, served on 127.0.0.1.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use paceline_dashboard::{Dashboard, Hosts, Options, Status, serve};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::scripted::Scripted;

/// How often the pages of tests are updated.
const REFRESH: Duration = Duration::from_millis(50);
/// How many pages of tests are updated at once.
pub(crate) const MAX_LISTENERS: usize = 2;

/// A served dashboard. It ends when dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) source: Arc<Scripted>,
    _runtime: Runtime,
}

impl Served {
    pub(crate) fn new(status: Status) -> Self {
        Self::with_refresh(status, REFRESH)
    }

    pub(crate) fn with_refresh(status: Status, refresh: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let source = Arc::new(Scripted::new(status));
        let options =
            Options { refresh, leaderboard: refresh, max_listeners: MAX_LISTENERS, hosts: Hosts::of(address) };
        let dashboard = Arc::new(Dashboard::new(Arc::<Scripted>::clone(&source), options));
        runtime.spawn(serve(listener, dashboard, std::future::pending()));
        Self { address, source, _runtime: runtime }
    }

    /// The address of a page.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}
