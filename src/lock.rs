//! Lock: a mutex is taken whatever became of who had it before.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whoever panicked with it left it whole: what is kept under a lock here is changed at one stroke, or is only a cache.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
