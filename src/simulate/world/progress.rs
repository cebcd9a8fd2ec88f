//! Tells somebody outside how many jobs have ended: now and then, because a call for each would cost time.

use std::fmt;

/// So many that telling costs nothing, so few that a person sees it move.
const AT_ONCE: usize = 4096;

/// Who is told, if anybody, and what is still to tell. The rest is told when the world is gone.
#[derive(Default)]
pub(super) struct Progress<'t> {
    told: Option<&'t (dyn Fn(usize) + Sync)>,
    untold: usize,
}

impl<'t> Progress<'t> {
    pub(super) fn to(told: &'t (dyn Fn(usize) + Sync)) -> Self {
        Self {
            told: Some(told),
            untold: 0,
        }
    }

    /// One more job has ended.
    pub(super) fn count(&mut self) {
        self.untold += 1;
        if self.untold >= AT_ONCE {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        if let Some(told) = self.told
            && untold > 0
        {
            told(untold);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("untold", &self.untold).finish()
    }
}
