//! Answers that took a while, kept for the next time they are asked for.

use rustc_hash::FxHashMap;
use std::{
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// Answers by question.
pub(super) struct Cache<K, V> {
    known: Mutex<FxHashMap<K, V>>,
    most: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// Nothing kept yet.
    pub fn new() -> Cache<K, V> {
        Cache::of(usize::MAX)
    }

    /// Nothing kept yet, and never more than `most` answers: all are let go
    /// of then.
    pub fn of(most: usize) -> Cache<K, V> {
        Cache { known: Mutex::default(), most }
    }

    /// The answer that is kept, or the one that `make` finds. The lock is not
    /// held meanwhile: two that ask at once may both find it.
    pub fn get(&self, key: K, make: impl FnOnce() -> V) -> V {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let made = make();
        let mut known = lock();
        if known.len() >= self.most {
            known.clear();
        }
        known.insert(key, made.clone());
        made
    }
}
