//! Tests of the dashboard, by HTTP and in Chromium.

mod client;
mod deployment;
mod http;
mod scripted;
mod served;
