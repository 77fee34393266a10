//! The store's head item: how far the hosts of a store have followed which log.
//!
//! It only moves forward. A registry says of itself what is newest; a copy of it from last week says so, too. The head
//! item is beside the items that the rules wrote, so a host that finds a log behind it, or off its chain, does not work by
//! that log.

use super::error::RegistryError;
use super::head_error::{HeadError, MAX_ATTEMPTS};
use super::log::{Author, Read, Tail};
use super::position::{Head, Position};
use super::registry::Registry;
use crate::store::{Expected, Notice, NoticeStore};

/// The topic and the name of the head item.
const TOPIC: &str = "head";
const NAME: &str = "rules";

/// The head item, and the version of its notice. `None` before a host has followed a log.
async fn read<S: NoticeStore>(store: &S) -> Result<Option<(Head, u64)>, HeadError> {
    let notices = store.list_notices(TOPIC).await?;
    let Some(notice) = notices.into_iter().find(|notice| notice.name == NAME) else { return Ok(None) };
    let head = serde_json::from_str(&notice.body).map_err(|error| HeadError::Invalid(error.to_string()))?;
    Ok(Some((head, notice.version)))
}

/// The head item. `None` before a host has followed a log.
pub async fn read_head<S: NoticeStore>(store: &S) -> Result<Option<Head>, HeadError> {
    Ok(read(store).await?.map(|(head, _)| head))
}

/// Writes the head item, unless somebody else did since it had this version.
async fn write<S: NoticeStore>(store: &S, head: &Head, version: Option<u64>) -> Result<bool, HeadError> {
    let body = serde_json::to_string(head).expect("a head has only types that JSON has");
    let expected = version.map_or(Expected::Nothing, Expected::Version);
    let notice = Notice { name: NAME.to_owned(), body, version: version.unwrap_or(0) + 1, expires: None };
    Ok(store.put_notice(TOPIC, &notice, expected).await?)
}

/// Sets the head to where a log is, whatever it was. Returns what it was.
pub async fn adopt_head<S: NoticeStore>(store: &S, tail: &Tail, author: &Author) -> Result<Option<Head>, HeadError> {
    let (Some(registry), Some(position)) = (tail.registry.clone(), tail.newest()) else {
        return Err(HeadError::Invalid("the registry has no valid entry".to_owned()));
    };
    let head = Head { registry, position, by: Some(author.by.clone()), why: author.why.clone() };
    for _ in 0..MAX_ATTEMPTS {
        let (before, version) = match read(store).await {
            Ok(found) => found.map_or((None, None), |(head, version)| (Some(head), Some(version))),
            // One that can't be decoded is replaced.
            Err(HeadError::Invalid(_)) => (None, version_of(store).await?),
            Err(error) => return Err(error),
        };
        if write(store, &head, version).await? {
            return Ok(before);
        }
    }
    Err(HeadError::Contended)
}

/// The version of the head's notice, whatever its content is.
async fn version_of<S: NoticeStore>(store: &S) -> Result<Option<u64>, HeadError> {
    let notices = store.list_notices(TOPIC).await?;
    Ok(notices.into_iter().find(|notice| notice.name == NAME).map(|notice| notice.version))
}

/// Compares a log with the head item, and moves the head on to where the log is. `verified` is what this host took over
/// last. Reads the log on where another host has done so, and from the head on where its chain is not known yet.
pub(super) async fn advance<S: NoticeStore>(
    store: &S,
    registry: &Registry,
    tail: &mut Tail,
    verified: Option<Position>,
) -> Result<Vec<Read>, RegistryError> {
    let mut reads = Vec::new();
    for _ in 0..MAX_ATTEMPTS {
        let Some(position) = tail.newest() else {
            // There is nothing to follow. Hosts of this store had something.
            return match read(store).await? {
                Some((head, _)) => Err(behind(registry, tail, head).into()),
                None => Ok(reads),
            };
        };
        let (head, version) = read(store).await?.map_or((None, None), |(head, version)| (Some(head), Some(version)));
        if let Some(head) = head {
            reads.extend(align(registry, tail, verified, &head).await?);
            if tail.newest() == Some(head.position) {
                return Ok(reads);
            }
        }
        let position = tail.newest().unwrap_or(position);
        let registry = tail.registry.clone().unwrap_or_default();
        if write(store, &Head { registry, position, by: None, why: None }, version).await? {
            return Ok(reads);
        }
    }
    Err(HeadError::Contended.into())
}

/// Makes sure that a log continues the head.
async fn align(
    registry: &Registry,
    tail: &mut Tail,
    verified: Option<Position>,
    head: &Head,
) -> Result<Vec<Read>, RegistryError> {
    let location = || registry.location().to_owned();
    if tail.registry.as_deref() != Some(&*head.registry) {
        let ours = tail.registry.clone().unwrap_or_default();
        return Err(HeadError::OtherRegistry { location: location(), ours, head: head.clone() }.into());
    }
    let mut reads = Vec::new();
    if tail.newest_revision() < head.position.revision {
        // Another host was quicker.
        reads = tail.read_on(registry).await?;
    }
    let newest = tail.newest();
    if newest == Some(head.position) {
        return Ok(reads);
    }
    let forked = || HeadError::Forked { location: location(), head: head.clone() };
    match tail.newest_revision() {
        revision if revision < head.position.revision => return Err(behind(registry, tail, head.clone()).into()),
        revision if revision == head.position.revision => return Err(forked().into()),
        // What was read since is of one chain with it.
        _ if verified == Some(head.position) => return Ok(reads),
        _ => {}
    }
    // The log began at its newest entry, or another host stopped in between: it is read from the head on.
    match Tail::open_at(registry, &head.registry, head.position).await? {
        Some((chained, more)) => {
            reads.extend(more);
            *tail = chained;
            Ok(reads)
        }
        None => Err(forked().into()),
    }
}

fn behind(registry: &Registry, tail: &Tail, head: Head) -> HeadError {
    HeadError::Behind { location: registry.location().to_owned(), ours: tail.newest_revision(), head }
}
