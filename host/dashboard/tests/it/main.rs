//! Tests of the dashboard, by HTTP and in Chromium.

mod browser;
mod budget;
mod client;
mod deployment;
mod equal;
mod figures;
mod http;
mod page;
mod scripted;
mod served;
