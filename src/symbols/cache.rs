//! Answers that took a while, kept for the next time they are asked for.

use rustc_hash::FxHashMap;
use std::{
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// Answers by question.
pub(super) struct Cache<K, V>(Mutex<FxHashMap<K, V>>);

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Nothing kept yet.
    pub fn new() -> Cache<K, V> {
        Cache(Mutex::default())
    }

    /// The answer that is kept, or the one that `make` finds. The lock is not
    /// held meanwhile: two that ask at once may both find it.
    pub fn get(&self, key: K, make: impl FnOnce() -> V) -> V {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let made = make();
        lock().insert(key, made.clone());
        made
    }
}
