//! Which stream and which shard an event's records are of: the names in dedup state and in the ids of dead letters.
//!
//! Test events and emulators have ARNs and ids in formats of their own. Evaluation does not need the names, so an event
//! never fails for a name that can't be read: the one that is nearest to it is assumed.

use serde_json::value::RawValue;

use super::error::{EventError, beginning};
use super::record::{kind, string};
use super::remark::Remarks;

/// The names where the event has nothing to derive one from.
const UNKNOWN: (&str, &str) = ("unknown-stream", "unknown-shard");

/// The names that an event has so far.
#[derive(Default)]
pub(super) struct Origin {
    /// In the format of Lambda.
    stream: Option<String>,
    shard: Option<String>,
    /// Derived from an ARN in another format.
    assumed_stream: Option<String>,
}

impl Origin {
    /// Takes the stream's name from an ARN.
    pub(super) fn stream(
        &mut self,
        arn: Option<&RawValue>,
        path: impl Fn() -> String,
        remarks: &mut Remarks,
    ) -> Result<(), EventError> {
        let Some(raw) = arn else { return Ok(()) };
        let arn = string(raw);
        // The ARN of an enhanced fan-out consumer has more after the name: `stream/NAME/consumer/…`.
        let name =
            arn.as_deref().and_then(|arn| arn.split_once(":stream/")).and_then(|(_, name)| name.split('/').next());
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            return set_or_compare(&mut self.stream, name, path);
        }
        let last = arn.as_deref().and_then(|arn| arn.rsplit([':', '/']).next()).filter(|last| !last.is_empty());
        let assumed = last.unwrap_or(UNKNOWN.0);
        remarks.add("eventSourceARN", || {
            let found = arn.as_deref().map_or_else(|| kind(raw).to_owned(), |arn| format!("`{}`", beginning(arn)));
            format!(
                "{} is {found}, not the ARN of a stream, arn:aws:kinesis:REGION:ACCOUNT:stream/NAME: the name `{}` is \
                 assumed",
                path(),
                beginning(assumed)
            )
        });
        self.assumed_stream.get_or_insert_with(|| assumed.to_owned());
        Ok(())
    }

    /// Takes the shard's name from a record's id. Returns the id's other half, the sequence number.
    pub(super) fn id<'r>(
        &mut self,
        id: Option<(&RawValue, Option<&'r str>)>,
        path: impl Fn() -> String,
        remarks: &mut Remarks,
    ) -> Result<Option<&'r str>, EventError> {
        let Some((raw, id)) = id else { return Ok(None) };
        if let Some((shard, sequence)) = id.and_then(|id| id.split_once(':')).filter(|(shard, _)| !shard.is_empty()) {
            return set_or_compare(&mut self.shard, shard, path).map(|()| Some(sequence));
        }
        remarks.add("eventID", || {
            let found = id.map_or_else(|| kind(raw).to_owned(), |id| format!("`{}`", beginning(id)));
            format!("{} is {found}, not shardId-…:SEQUENCE-NUMBER: it is ignored", path())
        });
        Ok(None)
    }

    /// Takes the shard's name from a window's event.
    pub(super) fn shard(&mut self, shard: Option<&RawValue>, remarks: &mut Remarks) -> Result<(), EventError> {
        let Some(raw) = shard else { return Ok(()) };
        if let Some(shard) = string(raw).filter(|shard| !shard.is_empty()) {
            return set_or_compare(&mut self.shard, &shard, || "shardId".to_owned());
        }
        remarks.add("shardId", || format!("shardId is {}, not a text: it is ignored", kind(raw)));
        Ok(())
    }

    /// The name of the shard, which contains the stream's.
    pub(super) fn name(self, remarks: &mut Remarks) -> String {
        let Self { stream, shard, assumed_stream } = self;
        let stream = stream.or(assumed_stream).unwrap_or_else(|| {
            remarks
                .add("eventSourceARN", || format!("no `eventSourceARN` names the stream: `{}` is assumed", UNKNOWN.0));
            UNKNOWN.0.to_owned()
        });
        let shard = shard.unwrap_or_else(|| {
            remarks.add("shard", || format!("no `eventID` names the shard: `{}` is assumed", UNKNOWN.1));
            UNKNOWN.1.to_owned()
        });
        format!("{stream}/{shard}")
    }
}

/// Sets the stream or shard of an event at its first occurrence, and compares it at all others.
fn set_or_compare(known: &mut Option<String>, found: &str, path: impl Fn() -> String) -> Result<(), EventError> {
    match known {
        None => *known = Some(found.to_owned()),
        Some(known) if known == found => {}
        Some(known) => {
            return Err(EventError::TwoShards { path: path(), known: beginning(known), found: beginning(found) });
        }
    }
    Ok(())
}
