//! The messages of a queue in SQS.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;

use crate::sdk::{self, RequestFailure, describe_failure};

/// How long a message is hidden from others while its batch is worked at. Reading and storing a batch takes seconds.
const HIDDEN: Duration = Duration::from_secs(15 * 60);

/// How long a request waits for a message. Any longer wait finds all of a queue's messages.
const WAIT: Duration = Duration::from_secs(1);

/// Responses without a message after which a queue is empty. SQS may miss one in a single response.
const EMPTY_RESPONSES: u32 = 2;

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    url: String,
}

/// A message that is hidden from others.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its content.
    pub body: String,
    receipt: String,
}

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[error("the queue {url}: {message}")]
pub struct QueueError {
    url: String,
    message: String,
}

impl Queue {
    /// Loads region and credentials; sends no request to SQS yet.
    ///
    /// # Errors
    ///
    /// There is no region in the URL or elsewhere.
    pub async fn connect(url: &str) -> Result<Self, QueueError> {
        let place = Place::of(url);
        let loaded = sdk::load(place.region, place.endpoint, "the region in the queue's URL").await;
        let loaded = loaded.map_err(|error| QueueError { url: url.to_owned(), message: error.to_string() })?;
        let settings = aws_sdk_sqs::config::Builder::from(&loaded).retry_config(RetryConfig::standard());
        Ok(Self { client: Client::from_conf(settings.build()), url: url.to_owned() })
    }

    /// The next message, which is hidden from others for a quarter of an hour; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The request failed.
    pub async fn receive(&self) -> Result<Option<Message>, QueueError> {
        for _ in 0..EMPTY_RESPONSES {
            let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(1);
            let request = request.visibility_timeout(HIDDEN.as_secs() as i32).wait_time_seconds(WAIT.as_secs() as i32);
            let response = Box::pin(request.send()).await;
            let response = response.map_err(|error| self.failed(describe_failure("receiving a message", error)))?;
            if let Some(message) = response.messages.unwrap_or_default().pop() {
                return Ok(Some(Message {
                    id: message.message_id.unwrap_or_default(),
                    body: message.body.unwrap_or_default(),
                    receipt: message.receipt_handle.unwrap_or_default(),
                }));
            }
        }
        Ok(None)
    }

    /// Hides a message for another quarter of an hour.
    ///
    /// # Errors
    ///
    /// The request failed.
    pub async fn keep_hidden(&self, message: &Message) -> Result<(), QueueError> {
        self.hide(message, HIDDEN).await
    }

    /// Shows a message to others again.
    ///
    /// # Errors
    ///
    /// The request failed.
    pub async fn release(&self, message: &Message) -> Result<(), QueueError> {
        self.hide(message, Duration::ZERO).await
    }

    /// Deletes a message.
    ///
    /// # Errors
    ///
    /// The request failed.
    pub async fn delete(&self, message: &Message) -> Result<(), QueueError> {
        let request = self.client.delete_message().queue_url(&self.url).receipt_handle(&message.receipt);
        let response = Box::pin(request.send()).await;
        response.map_err(|error| self.failed(describe_failure("deleting a message", error)))?;
        Ok(())
    }

    async fn hide(&self, message: &Message, time: Duration) -> Result<(), QueueError> {
        let request = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(&message.receipt);
        let response = Box::pin(request.visibility_timeout(time.as_secs() as i32).send()).await;
        response.map_err(|error| self.failed(describe_failure("hiding or showing a message", error)))?;
        Ok(())
    }

    fn failed(&self, failure: RequestFailure) -> QueueError {
        let denied = failure.code.as_deref().is_some_and(|code| code.contains("AccessDenied"));
        let needs = match denied {
            true => ". The role needs sqs:ReceiveMessage, ChangeMessageVisibility and DeleteMessage",
            false => "",
        };
        QueueError { url: self.url.clone(), message: format!("{}{needs}", failure.message) }
    }
}

/// What the URL of a queue shows of where it is.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    region: Option<&'a str>,
    /// The address, if it is another one than the region's.
    endpoint: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(url: &'a str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let host = rest.split('/').next().unwrap_or_default();
        let region = host.strip_prefix("sqs.").and_then(|rest| Some(rest.split_once(".amazonaws.com")?.0));
        match region {
            Some(region) => Self { region: Some(region), endpoint: None },
            None if scheme.is_empty() => Self { region: None, endpoint: None },
            None => Self { region: None, endpoint: Some(&url[..scheme.len() + 3 + host.len()]) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_the_region_or_another_address() {
        let amazon = Place::of("https://sqs.eu-west-1.amazonaws.com/123456789012/failed");
        assert_eq!(amazon, Place { region: Some("eu-west-1"), endpoint: None });
        let china = Place::of("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/failed");
        assert_eq!(china, Place { region: Some("cn-north-1"), endpoint: None });
        let local = Place::of("http://127.0.0.1:5000/123456789012/failed");
        assert_eq!(local, Place { region: None, endpoint: Some("http://127.0.0.1:5000") });
        assert_eq!(Place::of("failed"), Place { region: None, endpoint: None });
    }
}
