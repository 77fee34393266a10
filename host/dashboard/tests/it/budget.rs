//! What a page of 200 shards costs: bytes, and processor time on the server and in the browser.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::header::HOST;
use paceline_dashboard::{Dashboard, Hosts, Options};

use crate::browser::{Browser, Look, require_chromium};
use crate::client::get;
use crate::deployment::many;
use crate::scripted::Scripted;
use crate::served::Served;

const SHARDS: usize = 200;
const MAX_PAGE_BYTES: usize = 200_000;
const MAX_REFRESH: Duration = Duration::from_millis(50);
/// Enough for a mean that one interruption does not move.
const REFRESHES: u32 = 20;

#[test]
fn a_page_with_all_its_files_is_below_200_kb() {
    let served = Served::new(many(SHARDS));
    let page = get(served.address, "/").body;
    let files = page.split('"').filter(|text| text.starts_with("/static/"));
    let files: usize = files.map(|file| get(served.address, file).body.len()).sum();
    assert!(page.len() + files < MAX_PAGE_BYTES, "{} of the page, {files} of its files", page.len());
    // The page without shards is small, and so is a shard.
    let small = get(Served::new(many(20)).address, "/").body.len();
    assert!(small < 60_000 && (page.len() - small) / (SHARDS - 20) < 400, "{small}, {}", page.len());
}

#[test]
fn a_refresh_takes_below_50_ms_of_the_server_s_processor() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = Options { refresh: Duration::ZERO, leaderboard: Duration::ZERO, max_listeners: 1, hosts: Hosts::Any };
    let dashboard = Dashboard::new(Arc::new(Scripted::new(many(SHARDS))), options);
    let request = |path: &str| Request::get(path).header(HOST, "localhost").body(()).unwrap();
    for path in ["/", "/status.json"] {
        let before = processor_time();
        for _ in 0..REFRESHES {
            let response = runtime.block_on(dashboard.answer(&request(path))).unwrap();
            assert_eq!(response.status(), 200);
            black_box(response);
        }
        check(path, before);
    }
    runtime.block_on(async {
        let mut events = dashboard.answer(&request("/events")).await.unwrap().into_body();
        let before = processor_time();
        for _ in 0..REFRESHES {
            black_box(events.frame().await.unwrap().unwrap());
        }
        check("/events", before);
    });
}

fn check(path: &str, before: Duration) {
    let each = (processor_time() - before) / REFRESHES;
    assert!(each < MAX_REFRESH, "{path}: {each:?}");
}

/// The processor time of this thread, where the system has it; else the time that has passed.
fn processor_time() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = statistics.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

#[test]
fn a_refresh_takes_below_50_ms_of_the_browser_s_processor() {
    require_chromium!();
    let served = Served::new(many(SHARDS));
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    page.until("document.getElementById('live').textContent === 'live'");
    page.updates(3);
    let before = page.processor_seconds();
    let mut changed = 0;
    page.evaluate(
        "window.changed = 0; window.last = '';
         document.addEventListener('paceline:update', () => {
             const text = document.querySelector('.shards td:nth-child(3)').textContent;
             if (text !== window.last) window.changed++;
             window.last = text;
         });",
    );
    while changed < REFRESHES {
        // Every figure of every shard changes.
        served.source.change(|status| {
            let paceline_dashboard::status::Part::Known(stream) = &mut status.stream else { return };
            for shard in &mut stream.shards {
                shard.age_seconds = shard.age_seconds.map(|age| age * 1.01 + 1.0);
                shard.records_per_second = shard.records_per_second.map(|rate| rate + 1.0);
                shard.bytes_per_second = shard.bytes_per_second.map(|rate| rate + 1_024.0);
            }
        });
        changed += 1;
        page.until(&format!("window.changed >= {changed}"));
    }
    let each = (page.processor_seconds() - before) / f64::from(REFRESHES);
    assert!(each < MAX_REFRESH.as_secs_f64(), "{each} s");
    page.close();
}
