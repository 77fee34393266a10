//! The pins of races, cached: a pin never changes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::catalog::Catalog;
use crate::retry::RetryBudget;
use crate::store::{Pin, PinKey, PinStore, StoreError};

/// Races whose pin is cached.
const CACHED_PINS: usize = 100_000;

/// The pins of races that were resolved before.
#[derive(Debug, Default)]
pub(crate) struct PinCache(Mutex<HashMap<PinKey, Pin>>);

impl PinCache {
    /// The pins of these races, in the same order. Races without a pin are pinned to the active rulebook of their race
    /// type, which the catalog must hold.
    pub(crate) async fn resolve<S: PinStore>(
        &self,
        store: &S,
        catalog: &Catalog,
        budget: RetryBudget<'_>,
        keys: &[PinKey],
    ) -> Result<Vec<Pin>, StoreError> {
        let mut pins: Vec<Option<Pin>> = {
            let cached = self.lock();
            keys.iter().map(|key| cached.get(key).copied()).collect()
        };
        let unknown: Vec<PinKey> =
            keys.iter().zip(&pins).filter(|(_, pin)| pin.is_none()).map(|(key, _)| key.clone()).collect();
        if !unknown.is_empty() {
            let found = resolve_unknown(store, catalog, budget, &unknown).await?;
            let mut resolved = found.iter().copied();
            pins.iter_mut().filter(|pin| pin.is_none()).for_each(|pin| *pin = resolved.next());
            let mut cached = self.lock();
            if cached.len() + unknown.len() > CACHED_PINS {
                cached.clear();
            }
            cached.extend(unknown.into_iter().zip(found));
        }
        Ok(pins.into_iter().map(|pin| pin.expect("each pin was read or written")).collect())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PinKey, Pin>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads pins, and writes those that are missing.
async fn resolve_unknown<S: PinStore>(
    store: &S,
    catalog: &Catalog,
    budget: RetryBudget<'_>,
    keys: &[PinKey],
) -> Result<Vec<Pin>, StoreError> {
    let mut found = budget.retry(|| store.get_pins(keys)).await?;
    let active = |key: &PinKey| {
        let rulebook = &catalog.active(&key.race_type).expect("records were routed by it").rulebook;
        Pin { version: rulebook.document.version, rulebook: *rulebook.digest.as_bytes() }
    };
    let fresh: Vec<(PinKey, Pin)> =
        keys.iter().zip(&found).filter(|(_, pin)| pin.is_none()).map(|(key, _)| (key.clone(), active(key))).collect();
    if !fresh.is_empty() {
        let mut written = budget.retry(|| store.put_pins(&fresh)).await?.into_iter();
        found.iter_mut().filter(|pin| pin.is_none()).for_each(|pin| *pin = written.next());
    }
    Ok(found.into_iter().flatten().collect())
}
