//! What each host notes in the store about the rules that it follows, for operators.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use paceline_engine::Digest;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::error::ErrorChain;
use crate::store::{Expected, Notice, NoticeStore, StoreError};

/// The topic of acknowledgements. The name of each is the host's id.
const TOPIC: &str = "hosts";

/// How long an acknowledgement holds without being renewed. A host that was killed is shown until then.
const EXPIRES_AFTER: Duration = Duration::from_secs(40 * 60);

/// An unchanged acknowledgement is written again after this time: one write in twenty minutes for each host.
const RENEW_AFTER: Duration = Duration::from_secs(20 * 60);

/// The least time between two writes.
const LEAST_INTERVAL: Duration = Duration::from_secs(10);

/// The maximum length of a reason, in characters. A host may refuse many rulebooks, and an item has at most 400 KB.
const MAX_REASON_CHARS: usize = 500;

/// The maximum number of refusals.
const MAX_REFUSALS: usize = 32;

/// Who follows the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostIdentity {
    /// The id, the same as long as the process runs.
    pub id: String,
    /// What kind of host it is, such as `run`.
    pub kind: &'static str,
}

/// What a host has acknowledged of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Acknowledgement {
    /// The host's id.
    pub host: String,
    /// What kind of host it is, such as `run`.
    pub kind: String,
    /// The version of the program.
    pub program: String,
    /// The registry's id; `None` before it has followed one.
    pub registry: Option<String>,
    /// The revision that it follows.
    pub revision: u64,
    /// Since when it follows it, in RFC 3339.
    pub since: String,
    /// What it refuses.
    #[serde(default)]
    pub refusals: Vec<RefusedRulebook>,
    /// Why it can't follow the rules at present.
    #[serde(default)]
    pub problem: Option<String>,
}

/// A rulebook that a host refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedRulebook {
    /// The race type that should run it; `None` if it was only published.
    pub race_type: Option<String>,
    /// Name and version.
    pub name: String,
    /// The digest.
    pub rulebook: Digest,
    /// Why.
    pub reason: String,
}

impl fmt::Display for RefusedRulebook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { race_type, name, reason, .. } = self;
        match race_type {
            Some(race_type) => write!(f, "race type {race_type}: {name} is refused: {reason}"),
            None => write!(f, "{name} is refused: {reason}"),
        }
    }
}

/// What a host has followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostState {
    pub(crate) registry: Option<String>,
    pub(crate) revision: u64,
    pub(crate) refusals: Vec<RefusedRulebook>,
    pub(crate) problem: Option<String>,
}

/// Writes a host's acknowledgements: on change, and before the last one expires.
#[derive(Debug)]
pub(crate) struct Acknowledger {
    identity: HostIdentity,
    clock: Clock,
    written: Mutex<Written>,
}

#[derive(Clone, Debug, Default)]
struct Written {
    /// What was last written, and when. An attempt that failed counts: a store that is down is not asked at each poll.
    last: Option<(HostState, Instant)>,
    /// The revision that is followed, and since when.
    since: Option<(Option<String>, u64, String)>,
    writes: u64,
    /// Whether the last attempt failed: that is logged once.
    failed: bool,
}

impl Acknowledger {
    pub(crate) fn new(identity: HostIdentity) -> Self {
        Self { identity, clock: Clock::default(), written: Mutex::default() }
    }

    pub(crate) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Writes what the host follows, if that is due. A store that fails is a warning.
    pub(crate) async fn acknowledge<S: NoticeStore>(&self, store: &S, state: HostState) {
        self.acknowledge_at(store, state, Instant::now()).await;
    }

    async fn acknowledge_at<S: NoticeStore>(&self, store: &S, mut state: HostState, now: Instant) {
        state.refusals.truncate(MAX_REFUSALS);
        for refusal in &mut state.refusals {
            shorten(&mut refusal.reason);
        }
        state.problem.iter_mut().for_each(shorten);
        let Some(notice) = self.due(&state, now) else { return };
        let failed = match store.put_notice(TOPIC, &notice, Expected::Anything).await {
            Ok(_) => false,
            Err(error) => {
                if !self.lock().failed {
                    tracing::warn!(
                        "the rules that this host follows can't be noted in the store: {}",
                        ErrorChain(&error)
                    );
                }
                true
            }
        };
        self.lock().failed = failed;
    }

    /// Takes the acknowledgement back: the host ends.
    pub(crate) async fn sign_off<S: NoticeStore>(&self, store: &S) {
        let Some((state, _)) = self.lock().last.clone() else { return };
        let expired = Notice { expires: Some(self.clock.since_epoch().as_secs()), ..self.notice(&state) };
        if let Err(error) = store.put_notice(TOPIC, &expired, Expected::Anything).await {
            tracing::warn!("the end of this host can't be noted in the store: {}", ErrorChain(&error));
        }
    }

    fn due(&self, state: &HostState, now: Instant) -> Option<Notice> {
        {
            let mut written = self.lock();
            if let Some((last, at)) = &written.last {
                let wait = if last == state && !written.failed { RENEW_AFTER } else { LEAST_INTERVAL };
                if now.duration_since(*at) < wait {
                    return None;
                }
            }
            written.last = Some((state.clone(), now));
            written.writes += 1;
        }
        Some(self.notice(state))
    }

    fn notice(&self, state: &HostState) -> Notice {
        let mut written = self.lock();
        let HostState { registry, revision, refusals, problem } = state.clone();
        let is_same = written.since.as_ref().is_some_and(|(of, at, _)| (of, *at) == (&registry, revision));
        if !is_same {
            let now = humantime::format_rfc3339_seconds(self.clock.now()).to_string();
            written.since = Some((registry.clone(), revision, now));
        }
        let since = written.since.as_ref().map(|(_, _, since)| since.clone()).unwrap_or_default();
        let acknowledgement = Acknowledgement {
            host: self.identity.id.clone(),
            kind: self.identity.kind.to_owned(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            registry,
            revision,
            since,
            refusals,
            problem,
        };
        Notice {
            name: self.identity.id.clone(),
            body: serde_json::to_string(&acknowledgement).expect("it has only types that JSON has"),
            version: written.writes,
            expires: Some((self.clock.since_epoch() + EXPIRES_AFTER).as_secs()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shorten(reason: &mut String) {
    if let Some((end, _)) = reason.char_indices().nth(MAX_REASON_CHARS) {
        reason.truncate(end);
        reason.push('…');
    }
}

/// What the hosts of a store have acknowledged, by host. Notes that can't be decoded are left out: they are of another
/// version of the program.
pub async fn acknowledgements<S: NoticeStore>(store: &S) -> Result<Vec<Acknowledgement>, StoreError> {
    let notices = store.list_notices(TOPIC).await?;
    Ok(notices.iter().filter_map(|notice| serde_json::from_str(&notice.body).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn state(revision: u64) -> HostState {
        HostState { registry: Some("r".into()), revision, ..HostState::default() }
    }

    async fn revision(store: &MemoryStore) -> Vec<u64> {
        acknowledgements(store).await.unwrap().iter().map(|host| host.revision).collect()
    }

    #[tokio::test]
    async fn it_is_written_on_change_at_most_every_ten_seconds_and_renewed() {
        let (store, host) =
            (MemoryStore::default(), Acknowledger::new(HostIdentity { id: "host/1".into(), kind: "run" }));
        let writes = || host.lock().writes;
        let mut now = Instant::now();
        host.acknowledge_at(&store, state(1), now).await;
        assert_eq!(revision(&store).await, [1]);
        host.acknowledge_at(&store, state(2), now).await;
        assert_eq!(revision(&store).await, [1], "too early");
        now += LEAST_INTERVAL;
        host.acknowledge_at(&store, state(2), now).await;
        assert_eq!((revision(&store).await, writes()), (vec![2], 2));
        for _ in 0..100 {
            now += LEAST_INTERVAL;
            host.acknowledge_at(&store, state(2), now).await;
        }
        assert_eq!(writes(), 2, "nothing changed");
        now += RENEW_AFTER;
        host.acknowledge_at(&store, state(2), now).await;
        assert_eq!(writes(), 3);
        host.sign_off(&store).await;
        assert!(revision(&store).await.is_empty());
    }

    #[test]
    fn a_long_reason_is_shortened_at_a_character() {
        let mut reason = "é".repeat(600);
        shorten(&mut reason);
        assert_eq!(reason.chars().count(), MAX_REASON_CHARS + 1);
        let mut reason = "no".to_owned();
        shorten(&mut reason);
        assert_eq!(reason, "no");
    }
}
