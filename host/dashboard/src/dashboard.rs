//! Which request gets which answer.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::assets;
use crate::body::Body;
use crate::events;
use crate::page;
use crate::query;
use crate::security::{Hosts, harden};
use crate::snapshot::{RenderError, Snapshots, View};
use crate::source::Source;
use crate::status::{Leaderboard, Part, RaceKey, Status};

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// How the dashboard behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The source is asked at most once in this time, and an open page is updated as often.
    pub refresh: Duration,
    /// How long a leaderboard is shown before it is read again, at least `refresh`: it reads all items of its race.
    pub leaderboard: Duration,
    /// The most pages that are updated at once. Others show the figures of when they were loaded.
    pub max_listeners: usize,
    /// Under which names it answers.
    pub hosts: Hosts,
}

/// The dashboard of one deployment.
pub struct Dashboard {
    source: Arc<dyn Source>,
    snapshots: Arc<Snapshots>,
    listeners: Arc<Semaphore>,
    options: Options,
}

/// `/status.json`.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    status: &'a Status,
    leaderboard: Option<Chosen<'a>>,
}

/// The chosen race with its leaderboard.
#[derive(Serialize)]
struct Chosen<'a> {
    #[serde(flatten)]
    race: &'a RaceKey,
    standings: &'a Part<Leaderboard>,
}

impl Dashboard {
    /// A dashboard of what the source observes.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, options: Options) -> Self {
        let snapshots = Arc::new(Snapshots::new(Arc::clone(&source), options.refresh, options.leaderboard));
        Self { source, snapshots, listeners: Arc::new(Semaphore::new(options.max_listeners)), options }
    }

    /// The answer to a request; `None` if its path is none of the dashboard's.
    pub async fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let path = request.uri().path();
        let known = ["/", "/status.json", "/events"].contains(&path);
        if !known && !path.starts_with("/dead-letters/") && !path.starts_with("/static/") {
            return None;
        }
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let mut response = if !self.options.hosts.allow(host) {
            let text = "this dashboard listens on loopback: open it as localhost or 127.0.0.1\n";
            respond(StatusCode::MISDIRECTED_REQUEST, TEXT, text)
        } else if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are supported\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        } else {
            let answered = self.answer_path(path, request.uri().query(), request.method()).await;
            answered.unwrap_or_else(|error| respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")))
        };
        harden(response.headers_mut());
        Some(response)
    }

    async fn answer_path(
        &self,
        path: &str,
        query: Option<&str>,
        method: &Method,
    ) -> Result<Response<Body>, RenderError> {
        match path {
            "/" => {
                let View { snapshot, chosen, leaderboard, .. } = self.snapshots.view(query::race(query)).await?;
                let charts = snapshot.charts.get();
                let page = page::whole(&snapshot.status, &snapshot.sections, &leaderboard, charts, chosen.as_ref())?;
                Ok(respond(StatusCode::OK, HTML, page))
            }
            "/status.json" => {
                let view = self.snapshots.view(query::race(query)).await?;
                let chosen = view.chosen.as_ref().zip(view.board.as_ref());
                let leaderboard = chosen.map(|(race, board)| Chosen { race, standings: &board.part });
                let document = Document { status: &view.snapshot.status, leaderboard };
                Ok(respond(StatusCode::OK, JSON, serde_json::to_string(&document)?))
            }
            "/events" => Ok(self.events(query::race(query), method)),
            _ => match (path.strip_prefix("/dead-letters/"), path.strip_prefix("/static/")) {
                (Some(id), _) => self.dead_letter(id).await,
                (None, name) => Ok(asset(name.unwrap_or_default(), query)),
            },
        }
    }

    fn events(&self, chosen: Option<RaceKey>, method: &Method) -> Response<Body> {
        const EVENTS: &str = "text/event-stream";
        if method == Method::HEAD {
            return respond(StatusCode::OK, EVENTS, "");
        }
        match Arc::clone(&self.listeners).try_acquire_owned() {
            Ok(permit) => {
                let body = events::stream(Arc::clone(&self.snapshots), chosen, self.options.refresh, permit);
                respond(StatusCode::OK, EVENTS, body)
            }
            Err(_) => {
                let text = format!("{} pages are updated already\n", self.options.max_listeners);
                respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
            }
        }
    }

    async fn dead_letter(&self, id: &str) -> Result<Response<Body>, RenderError> {
        let missing = |what: &str| page::problem("There is no such dead letter", what);
        let Some(id) = query::decode(id) else {
            let page = missing("The address is not a dead letter's.")?;
            return Ok(respond(StatusCode::NOT_FOUND, HTML, page));
        };
        Ok(match self.source.dead_letter(&id).await {
            Part::Known(Some(letter)) => respond(StatusCode::OK, HTML, page::letter(&letter)?),
            Part::Known(None) => {
                let reason = format!("{id} was redriven or has expired, or never was one.");
                respond(StatusCode::NOT_FOUND, HTML, missing(&reason)?)
            }
            Part::Unknown(unknown) => {
                let page = page::problem("The dead letter can't be read", &unknown.reason)?;
                respond(StatusCode::SERVICE_UNAVAILABLE, HTML, page)
            }
        })
    }
}

fn asset(name: &str, query: Option<&str>) -> Response<Body> {
    let Some(asset) = assets::find(name) else {
        return respond(StatusCode::NOT_FOUND, TEXT, "there is no such file\n");
    };
    let mut response = respond(StatusCode::OK, asset.media_type, asset.bytes);
    // Under another version's address stands this version's file, which a browser must not keep.
    let version = query.and_then(|query| query::value(query, "v"));
    if version.as_deref() == Some(asset.version()) {
        let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
        response.headers_mut().insert(CACHE_CONTROL, for_ever);
    }
    response
}

fn respond(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    // What is shown is of now.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
