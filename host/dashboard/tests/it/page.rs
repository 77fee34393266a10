//! How the page behaves in a browser.

use std::time::Duration;

use serde_json::{Value, json};

use paceline_dashboard::status::{Part, Severity};

use crate::browser::{Browser, Look, Page, require_chromium};
use crate::client::get;
use crate::deployment::{healthy, many, trouble};
use crate::served::Served;

const LOOKS: [Look; 4] = [
    Look { width: 400, dark: false, javascript: true },
    Look { width: 400, dark: true, javascript: true },
    Look { width: 1_600, dark: false, javascript: true },
    Look { width: 1_600, dark: true, javascript: true },
];

/// For pages whose updates do not matter.
const SELDOM: Duration = Duration::from_secs(2);

#[test]
fn it_is_as_wide_as_the_window_and_readable_in_every_look() {
    require_chromium!();
    let mut browser = Browser::start();
    let page_only = ["/"].as_slice();
    let all = ["/", "/dead-letters/hostile:1", "/dead-letters/none"].as_slice();
    for (status, paths) in [(healthy(), page_only), (trouble(), all), (many(200), page_only)] {
        let served = Served::with_refresh(status, SELDOM);
        for look in LOOKS {
            for &path in paths {
                let mut page = browser.open(&served.url(path), look);
                assert_eq!(page.evaluate("innerWidth"), look.width);
                let beyond =
                    page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
                assert_eq!(beyond, 0, "{path} in {look:?}");
                let faint = page.evaluate(FAINT_TEXTS);
                assert_eq!(faint, json!([]), "{path} in {look:?}");
                if path == "/dead-letters/none" {
                    // The browser logs that the page has the status 404.
                    page.call("Page.close", json!({}));
                } else {
                    page.close();
                }
            }
        }
    }
}

/// Texts with a contrast below 4.5, which WCAG wants at least.
const FAINT_TEXTS: &str = r"(() => {
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = channels(colour).map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (node) => {
        for (; node; node = node.parentElement) {
            const colour = getComputedStyle(node).backgroundColor;
            if ((channels(colour)[3] ?? 1) > 0) return colour;
        }
    };
    const faint = [];
    for (const node of document.body.querySelectorAll('*')) {
        if (['SCRIPT', 'NOSCRIPT'].includes(node.nodeName) || !node.checkVisibility()) continue;
        if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim())) continue;
        const [a, b] = [getComputedStyle(node).color, ground(node)].map(luminance).sort((a, b) => b - a);
        if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(node.textContent.trim().slice(0, 40));
    }
    return faint;
})()";

#[test]
fn dark_and_light_differ_and_charts_follow() {
    require_chromium!();
    let served = Served::with_refresh(trouble(), SELDOM);
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    let grounds = |page: &mut Page<'_>| page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
    // The colour of a pixel of a stacked chart that is painted. It is read from a copy: Chromium warns of a canvas that is read
    // several times.
    let painted = "(() => {
        const canvas = document.querySelector('[data-chart=throttles] canvas');
        const copy = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, canvas.width - 40, canvas.height - 40, 1, 1, 0, 0, 1, 1);
        return [...copy.getImageData(0, 0, 1, 1).data].join();
    })()";
    let (light, light_chart) = (grounds(&mut page), page.evaluate(painted));
    page.set_dark(true);
    assert_ne!(light, grounds(&mut page));
    // Charts follow when the page hears of it, some frames later.
    page.evaluate(&format!(
        "new Promise((resolve) => {{
            const look = () => ({painted} !== {light_chart} ? resolve() : requestAnimationFrame(look));
            look();
        }})"
    ));
    assert!(light_chart.as_str().unwrap().ends_with(",255"), "{light_chart}");
    page.close();
}

#[test]
fn it_changes_when_the_source_does() {
    require_chromium!();
    let served = Served::new(healthy());
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    page.until("document.getElementById('live').textContent === 'live'");
    assert_eq!(page.evaluate("document.title"), "alleycat: sound – paceline");
    served.source.change(|status| *status = trouble());
    page.until("document.getElementById('verdict').textContent.includes('throttles writes')");
    assert_eq!(page.evaluate("document.title"), "alleycat: critical – paceline");
    assert_eq!(page.evaluate("document.querySelectorAll('.findings > li').length"), 3);
    assert_eq!(page.evaluate("document.querySelectorAll('.shards tbody tr').length"), 2);
    assert_eq!(page.evaluate("document.querySelector('.newest a').textContent"), json!(newest_id()));
    // A chart that became unknown is gone.
    assert_eq!(page.evaluate("document.querySelectorAll('[data-chart=concurrency]').length"), 0);
    served.source.change(|status| *status = healthy());
    page.until("document.getElementById('verdict').textContent.includes('within a second')");
    page.until("document.querySelector('[data-chart=concurrency] canvas') !== null");
    page.close();
}

fn newest_id() -> String {
    trouble().dead_letters.known().unwrap().newest[0].id.clone()
}

#[test]
fn an_update_moves_nothing_and_keeps_focus_and_what_is_open() {
    require_chromium!();
    let served = Served::new(many(200));
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    page.until("document.getElementById('live').textContent === 'live'");
    page.updates(2);
    page.evaluate(
        "document.getElementById('all-shards').open = true;
         document.querySelector('.newest a').focus({ preventScroll: true });
         window.focused = document.activeElement;
         window.shifts = [];
         new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.shifts.push(
            [entry.value, ...entry.sources.map(({ node }) => node && (node.className || node.nodeName))].join()
         ))).observe({ type: 'layout-shift' });",
    );
    // Frames pass until the page has settled after the details were opened.
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))");
    page.evaluate("window.shifts.length = 0");
    served.source.change(|status| {
        let Part::Known(stream) = &mut status.stream else { return };
        for shard in &mut stream.shards {
            shard.age_seconds = shard.age_seconds.map(|age| age * 1.7 + 0.3);
            shard.records_per_second = shard.records_per_second.map(|rate| rate / 40.0);
        }
        let Part::Known(letters) = &mut status.dead_letters else { return };
        let mut newer = letters.newest[0].clone();
        newer.id = "shardId-000000000001:9".to_owned();
        newer.message = "short".to_owned();
        letters.newest.insert(0, newer);
        letters.newest.pop();
    });
    page.until("document.querySelector('.newest a').textContent.endsWith(':9')");
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))");
    assert_eq!(page.evaluate("document.activeElement === window.focused && focused.textContent"), json!(newest_id()));
    assert_eq!(page.evaluate("document.getElementById('all-shards').open"), true);
    // The rows of the table have moved down by the new one; nothing else has moved.
    let shifts = page.evaluate("window.shifts.filter((shift) => !/,TR|,newest/.test(shift))");
    assert_eq!(shifts, json!([]));
    page.close();
}

#[test]
fn the_keyboard_reaches_everything() {
    require_chromium!();
    let served = Served::with_refresh(many(200), SELDOM);
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    page.until("document.getElementById('live').textContent === 'live'");
    page.press("Tab");
    assert_eq!(page.evaluate("document.activeElement.className"), "skip");
    page.press("Enter");
    assert_eq!(page.evaluate("document.activeElement.id"), "main");
    page.go(&served.url("/"));
    page.evaluate(
        "window.wanted = new Set([...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')]
            .filter((node) => node.checkVisibility())); window.unseen = []",
    );
    let count = page.evaluate("wanted.size").as_u64().unwrap();
    assert!(count > 20, "{count}");
    for _ in 0..count {
        page.press("Tab");
        page.evaluate(
            "wanted.delete(document.activeElement);
             getComputedStyle(document.activeElement).outlineStyle === 'none' && unseen.push(document.activeElement.outerHTML)",
        );
    }
    assert_eq!(page.evaluate("[...wanted].map((node) => node.outerHTML)"), json!([]), "out of the keyboard's reach");
    assert_eq!(page.evaluate("unseen"), json!([]), "focus that is not visible");
    // Enter opens what is closed.
    page.evaluate("document.querySelector('#all-shards summary').focus()");
    page.press("Enter");
    assert_eq!(page.evaluate("document.getElementById('all-shards').open"), true);
    page.close();
}

#[test]
fn tables_have_captions_and_scopes_and_the_verdict_is_announced() {
    require_chromium!();
    let served = Served::with_refresh(many(20), SELDOM);
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    assert_eq!(page.evaluate("document.querySelectorAll('table:not(:has(caption))').length"), 0);
    assert_eq!(page.evaluate("document.querySelectorAll('th:not([scope])').length"), 0);
    assert_eq!(page.evaluate("document.querySelectorAll('section:not([aria-labelledby], [aria-label])').length"), 0);
    assert_eq!(page.evaluate("document.querySelectorAll('h1').length"), 1);
    let live = page.evaluate("document.querySelector('#verdict [role=status]').textContent");
    assert!(live.as_str().unwrap().contains("critical"), "{live}");
    let ids = page.evaluate("(() => { const ids = [...document.querySelectorAll('[id]')].map((it) => it.id); return ids.length - new Set(ids).size; })()");
    assert_eq!(ids, 0);
    page.close();
}

#[test]
fn tables_work_without_javascript() {
    require_chromium!();
    let served = Served::with_refresh(many(200), SELDOM);
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look { javascript: false, ..Look::default() });
    assert_eq!(page.evaluate("document.querySelectorAll('#all-shards tbody tr').length"), 200);
    assert_eq!(
        page.evaluate("[...document.querySelectorAll('[data-chart]')].some((plot) => plot.checkVisibility())"),
        false
    );
    assert_eq!(page.evaluate("document.querySelectorAll('canvas').length"), 0);
    assert_eq!(page.evaluate("document.querySelectorAll('.legend tbody tr').length > 10"), true);
    assert!(page.evaluate("document.getElementById('live').innerText").as_str().unwrap().contains("reload"));
    page.close();
}

#[test]
fn each_known_chart_is_drawn_and_its_legend_follows_the_pointer() {
    require_chromium!();
    let served = Served::new(trouble());
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    page.until("document.getElementById('live').textContent === 'live'");
    assert_eq!(page.evaluate("document.querySelectorAll('.plot canvas').length"), 9);
    let status: Value = serde_json::from_str(&get(served.address, "/status.json").body).unwrap();
    let place = page.evaluate(
        "(() => { const { left, top, width, height } = document.querySelector('[data-chart=duration] .u-over')
            .getBoundingClientRect(); return [left, top + scrollY, width, height]; })()",
    );
    let [left, top, width, height] = [0, 1, 2, 3].map(|at| place[at].as_f64().unwrap());
    page.evaluate(&format!("scrollTo({{ top: {}, behavior: 'instant' }})", top - 200.0));
    let now = "[...document.querySelectorAll('[data-legend=duration] .now')].map((it) => it.textContent)";
    let before = page.evaluate(now);
    let y = page.evaluate(&format!("{top} - scrollY")).as_f64().unwrap() + height / 2.0;
    page.point(left + 1.0, y);
    let first = page.evaluate(now);
    let time = status["history"]["times"][0].as_u64().unwrap() % 86_400;
    assert_eq!(first[0], format!("{:02}:{:02}:{:02}", time / 3_600, time / 60 % 60, time % 60));
    assert_eq!((&first[1], &first[2]), (&"400 ms".into(), &"900 ms".into()));
    page.point(left + width - 1.0, y);
    assert_eq!(page.evaluate(now)[1], before[1]);
    // It stays while the page is updated, and goes with the pointer.
    page.updates(2);
    assert_eq!(page.evaluate(now)[1], before[1]);
    assert_ne!(page.evaluate(now)[0], before[0]);
    page.point(1.0, y);
    assert_eq!(page.evaluate(now), before);
    page.close();
}

#[test]
fn a_race_is_chosen_by_a_link() {
    require_chromium!();
    let served = Served::new(trouble());
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/"), Look::default());
    assert_eq!(page.evaluate("document.querySelector('.races [aria-current]').textContent"), "class 3, race 5403307");
    page.evaluate("document.querySelector('.races li:nth-child(2) a').focus()");
    page.wait_for("Page.frameStoppedLoading");
    page.press("Enter");
    page.wait_for("Page.loadEventFired");
    assert_eq!(page.evaluate("document.querySelector('.races [aria-current]').textContent"), "class 5, race 5403307");
    assert_eq!(page.evaluate("document.querySelectorAll('.board tbody tr').length"), 10);
    page.until("document.getElementById('live').textContent === 'live'");
    page.updates(2);
    assert_eq!(page.evaluate("document.querySelector('.races [aria-current]').textContent"), "class 5, race 5403307");
    page.close();
}

#[test]
fn what_a_dead_letter_holds_is_text() {
    require_chromium!();
    let served = Served::new(trouble());
    let mut browser = Browser::start();
    let mut page = browser.open(&served.url("/dead-letters/hostile:1"), Look::default());
    assert_eq!(page.evaluate("document.getElementById('payload').textContent"), crate::scripted::HOSTILE);
    assert_eq!(page.evaluate("document.title"), "Dead letter hostile:1 – paceline");
    page.close();
    // So is what comes by an update.
    let mut page = browser.open(&served.url("/"), Look::default());
    page.until("document.getElementById('live').textContent === 'live'");
    served.source.change(|status| {
        let Part::Known(verdict) = &mut status.verdict else { return };
        verdict.severity = Severity::Warning;
        verdict.line = crate::scripted::HOSTILE.to_owned();
    });
    page.until("document.getElementById('verdict').classList.contains('warning')");
    let line = page.evaluate("document.getElementById('verdict-line').textContent");
    assert!(line.as_str().unwrap().contains(crate::scripted::HOSTILE), "{line}");
    page.close();
}
