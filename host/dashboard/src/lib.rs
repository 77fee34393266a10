//! The dashboard: one page that shows a deployment and changes nothing.
//!
//! # Layout
//!
//! - `status`: what is shown, which is also the document `/status.json`.
//! - `source`: where the figures come from.
//! - `snapshot`: the newest status with its page, shared by everybody who looks.
//! - `format`, `page`: figures, sections and charts as HTML.
//! - `assets`, `security`, `body`: static files, headers and checks of requests, bodies of responses.
//! - `events`: the updates of an open page.
//! - `dashboard`: which request gets which answer.
//! - `serve`: a server with nothing but the dashboard.
#![forbid(unsafe_code)]

mod assets;
mod body;
mod dashboard;
mod events;
mod format;
mod page;
mod query;
mod security;
mod serve;
mod snapshot;
mod source;
pub mod status;

pub use body::Body;
pub use dashboard::{Dashboard, Options};
pub use security::Hosts;
pub use serve::serve;
pub use source::Source;
pub use status::Status;
