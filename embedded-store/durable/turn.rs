//! When the committer gets the processor: at once for one writer, in its turn where there are many.
//!
//! A thread that wakes up preempts who works. Where several write, that cuts their work short for a commit of two or three of
//! them, and each commit costs a sync; in its turn the committer finds more of them in its queue. Where a processor is free
//! nobody waits either way.

/// After how many commits of one write in a row the committer takes it that there is one writer.
const ALONE: u32 = 16;

/// How the committer's thread is scheduled.
#[derive(Default)]
pub(super) struct Turn {
    /// Whether it waits for its turn.
    waits: bool,
    /// Commits of one write since the last one of several.
    alone: u32,
}

impl Turn {
    /// Learns how many writes a commit had. Called on the committer's thread.
    pub(super) fn learn(&mut self, writes: usize) {
        if let Some(waits) = self.change(writes) {
            schedule(waits);
        }
    }

    /// What to change, if anything.
    fn change(&mut self, writes: usize) -> Option<bool> {
        self.alone = if writes > 1 { 0 } else { self.alone.saturating_add(1) };
        let waits = if self.waits { self.alone < ALONE } else { self.alone == 0 };
        (waits != self.waits).then(|| {
            self.waits = waits;
            waits
        })
    }
}

/// Whether this thread is to preempt nobody when it wakes up. A kernel that refuses changes nothing but how fast many writes are.
fn schedule(waits: bool) {
    let policy = if waits { libc::SCHED_BATCH } else { libc::SCHED_OTHER };
    // All zero: the one priority there is in these policies.
    let priority: libc::c_int = 0;
    // SAFETY: the kernel reads a `sched_param`, which is this one number, during the call; 0 is the calling thread. The call itself,
    // because musl's function refuses to make it.
    #[allow(unsafe_code)]
    let refused = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const priority) } != 0;
    if refused {
        tracing::debug!(error = %std::io::Error::last_os_error(), "the committer's scheduling stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_writers_make_it_wait_and_one_does_not() {
        let check = |commits: &[usize], expect: &[Option<bool>]| {
            let mut turn = Turn::default();
            let changes: Vec<_> = commits.iter().map(|writes| turn.change(*writes)).collect();
            assert_eq!(changes, expect, "{commits:?}");
        };
        check(&[1, 1], &[None, None]);
        check(&[1, 2, 5, 1], &[None, Some(true), None, None]);
        let ones = [1; ALONE as usize];
        let mut expect = [None; ALONE as usize + 1];
        (expect[0], expect[ALONE as usize]) = (Some(true), Some(false));
        check(&[&[2][..], &ones].concat(), &expect);
        check(&[&[2][..], &ones[1..], &[3, 1]].concat(), &[&[Some(true)][..], &[None; ALONE as usize + 1]].concat());
    }

    #[test]
    fn the_kernel_does_as_it_is_told() {
        let policy = || {
            // SAFETY: no memory is involved; 0 is the calling thread.
            #[allow(unsafe_code)]
            unsafe {
                libc::syscall(libc::SYS_sched_getscheduler, 0)
            }
        };
        let thread = std::thread::spawn(move || {
            [true, false].map(|waits| {
                schedule(waits);
                policy()
            })
        });
        assert_eq!(thread.join().unwrap(), [libc::SCHED_BATCH, libc::SCHED_OTHER].map(libc::c_long::from));
    }
}
