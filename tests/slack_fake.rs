//! The workspace that tests pretend is Slack's, tried itself: it answers, refuses and delivers as the documents say.

#[path = "support/slack/mod.rs"]
mod slack;

#[path = "slack_fake/app.rs"]
mod app;
#[path = "slack_fake/blocks.rs"]
mod blocks;
#[path = "slack_fake/client.rs"]
mod client;
#[path = "slack_fake/faults.rs"]
mod faults;
#[path = "slack_fake/people.rs"]
mod people;
#[path = "slack_fake/requests.rs"]
mod requests;
#[path = "slack_fake/sockets.rs"]
mod sockets;
#[path = "slack_fake/web.rs"]
mod web;
