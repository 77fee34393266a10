//! The queue of batches that an event source mapping gave up.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use paceline_doctor::history::Queue;

use crate::failure::Failure;

/// Where a queue is.
pub(crate) enum Place<'a> {
    Url(&'a str),
    Arn(&'a str),
}

/// Reads a queue; `None` if the ARN is not of one.
pub(crate) async fn read(client: &Client, place: Place<'_>) -> Result<Option<Queue>, Failure> {
    let url = match place {
        Place::Url(url) => url.to_owned(),
        Place::Arn(arn) => {
            let Some((owner, name)) = arn.split_once(":sqs:").and_then(|(_, rest)| {
                let mut parts = rest.split(':').skip(1);
                Some((parts.next()?, parts.next()?))
            }) else {
                return Ok(None);
            };
            let request = client.get_queue_url().queue_name(name).queue_owner_aws_account_id(owner);
            let failed = |error| Failure::new("looking the queue up", "sqs:GetQueueUrl", error);
            request.send().await.map_err(failed)?.queue_url.unwrap_or_default()
        }
    };
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let request = client.get_queue_attributes().queue_url(&url).attribute_names(name.clone());
    let failed = |error| Failure::new("reading the queue", "sqs:GetQueueAttributes", error);
    let response = request.send().await.map_err(failed)?;
    let messages = response.attributes().and_then(|attributes| attributes.get(&name)?.parse().ok());
    Ok(Some(Queue { url, messages: messages.unwrap_or_default() }))
}
