//! The pins of races, cached: a pin never changes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::retry::RetryBudget;
use crate::store::{Pin, PinKey, PinStore, StoreError};

/// Bytes of a pinned value. Records choose the values, and each becomes an item.
pub(crate) const MAX_PIN_BYTES: usize = 256;

/// Bytes of race types and pinned values that are cached: some 100,000 races.
const CACHED_BYTES: usize = 8 << 20;

/// What a cached pin takes beside its texts.
const PIN_BYTES: usize = 96;

/// The pins of races that were resolved before.
#[derive(Debug, Default)]
pub(crate) struct PinCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    pins: HashMap<PinKey, Pin>,
    bytes: usize,
}

impl PinCache {
    /// The pins of these races, in the same order; `None` for a race that has none yet.
    pub(crate) async fn get<S: PinStore>(
        &self,
        store: &S,
        budget: RetryBudget<'_>,
        keys: &[PinKey],
    ) -> Result<Vec<Option<Pin>>, StoreError> {
        let mut pins: Vec<Option<Pin>> = {
            let cached = self.lock();
            keys.iter().map(|key| cached.pins.get(key).copied()).collect()
        };
        let unknown: Vec<PinKey> =
            keys.iter().zip(&pins).filter(|(_, pin)| pin.is_none()).map(|(key, _)| key.clone()).collect();
        if !unknown.is_empty() {
            let found = budget.retry(|| store.get_pins(&unknown)).await?;
            self.add(unknown.iter().zip(&found).filter_map(|(key, pin)| Some((key.clone(), (*pin)?))));
            let mut found = found.into_iter();
            pins.iter_mut().filter(|pin| pin.is_none()).for_each(|pin| *pin = found.next().flatten());
        }
        Ok(pins)
    }

    /// Pins each race that has no pin yet. Returns the pins that hold, in the same order.
    pub(crate) async fn put<S: PinStore>(
        &self,
        store: &S,
        budget: RetryBudget<'_>,
        pins: &[(PinKey, Pin)],
    ) -> Result<Vec<Pin>, StoreError> {
        let held = budget.retry(|| store.put_pins(pins)).await?;
        self.add(pins.iter().zip(&held).map(|((key, _), pin)| (key.clone(), *pin)));
        Ok(held)
    }

    fn add(&self, pins: impl Iterator<Item = (PinKey, Pin)>) {
        let mut cached = self.lock();
        for (key, pin) in pins {
            let bytes = key.race_type.len() + key.value.len() + PIN_BYTES;
            if cached.bytes + bytes > CACHED_BYTES {
                *cached = Cached::default();
            }
            if cached.pins.insert(key, pin).is_none() {
                cached.bytes += bytes;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cached> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
