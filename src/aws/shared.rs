//! What many readings need and one of them asks for.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::daemon::cloud::Read;
use crate::units::{Span, Time};

/// A failure is kept so long: what is denied would else be asked for once by everybody.
const FAILED_FOR: Span = Span::from_seconds(50);

/// When it was asked for, and what was told.
type Told<T> = (Time, Read<T>);

/// An answer that is asked for by whoever comes first, and kept for a while. The lock is never held while it is asked for: who
/// forgets the answer, or does not wait for it any longer, waits for nobody.
#[derive(Debug)]
pub(super) struct Shared<T> {
    cell: Mutex<Arc<OnceCell<Told<T>>>>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { cell: Mutex::default() }
    }
}

impl<T: Clone> Shared<T> {
    /// Whoever comes next asks anew.
    pub(super) fn forget(&self) {
        *self.cell.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }

    /// What was told less than `kept` ago, else what `ask` tells.
    pub(super) async fn get(
        &self,
        now: Time,
        kept: impl Fn(&T) -> Span,
        ask: impl Future<Output = Read<T>>,
    ) -> Read<T> {
        let cell = {
            let mut cell = self.cell.lock().unwrap_or_else(PoisonError::into_inner);
            let is_old = |(at, told): &Told<T>| *at > now || now.since(*at) >= told.as_ref().map_or(FAILED_FOR, &kept);
            if cell.get().is_some_and(is_old) {
                *cell = Arc::default();
            }
            Arc::clone(&cell)
        };
        let (_, told) = cell.get_or_init(|| async { (now, ask.await) }).await;
        told.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::errors::failed;

    const NOW: Time = Time::from_seconds(1_000);
    const SPAN: Span = Span::from_seconds(60);

    fn told(what: u32) -> impl Future<Output = Read<u32>> {
        std::future::ready(Ok(what))
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_a_while_and_a_failure_for_less() {
        let shared = Shared::default();
        let failed = async { Err(failed("no")) };
        shared.get(NOW - FAILED_FOR, |_| SPAN, failed).await.unwrap_err();
        let soon = NOW - Span::from_seconds(1);
        shared.get(soon, |_| SPAN, told(0)).await.unwrap_err();
        assert_eq!(shared.get(NOW, |_| SPAN, told(1)).await, Ok(1));
        let later = NOW + Span::from_seconds(59);
        assert_eq!(shared.get(later, |_| SPAN, told(2)).await, Ok(1));
        assert_eq!(shared.get(NOW + SPAN, |_| SPAN, told(3)).await, Ok(3));
        shared.forget();
        assert_eq!(shared.get(NOW + SPAN, |_| SPAN, told(4)).await, Ok(4));
        // The clock was set back.
        assert_eq!(shared.get(NOW, |_| SPAN, told(5)).await, Ok(5));
    }

    #[tokio::test]
    async fn a_call_that_hangs_keeps_nobody_from_forgetting_it() {
        let shared = Arc::new(Shared::default());
        let hanging = Arc::clone(&shared);
        let hangs = tokio::spawn(async move { hanging.get(NOW, |_| SPAN, std::future::pending()).await });
        tokio::task::yield_now().await;
        shared.forget();
        assert_eq!(shared.get(NOW, |_| SPAN, told(1)).await, Ok(1));
        hangs.abort();
    }
}
