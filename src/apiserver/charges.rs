//! What is charged to quotas and not written yet. A sum of what a namespace uses, made between the charge and the write, would
//! lack the object, and take the charge back for what comes the next moment: more would come in than may. So whoever sums up
//! waits first until what was charged before is there to be counted. Nobody waits for the sum: a charge made meanwhile
//! changes the quota, and the sum is refused as one of an old version.

use parking_lot::Mutex;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The charges underway.
#[derive(Debug)]
pub(crate) struct Charges {
    /// Those that came since the last wait, behind those that somebody waits for.
    ages: Mutex<Vec<TaskTracker>>,
}

impl Default for Charges {
    fn default() -> Self {
        Self { ages: Mutex::new(vec![TaskTracker::new()]) }
    }
}

impl Charges {
    /// A charge begins; the token is kept until what it is for was written, or will never be.
    pub(crate) fn begin(&self) -> TaskTrackerToken {
        let mut ages = self.ages.lock();
        if ages.is_empty() {
            ages.push(TaskTracker::new());
        }
        ages[ages.len() - 1].token()
    }

    /// Waits for the charges that have begun before.
    pub(crate) async fn settled(&self) {
        let before = {
            let mut ages = self.ages.lock();
            ages.retain(|age| !age.is_empty());
            let before = ages.clone();
            ages.push(TaskTracker::new());
            before
        };
        for age in before {
            age.close();
            age.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn all_that_began_before_is_waited_for_and_nothing_else() {
        let charges = Charges::default();
        charges.settled().await;
        let first = charges.begin();
        let mut one = Box::pin(charges.settled());
        assert!((&mut one).now_or_never().is_none());
        let second = charges.begin();
        let mut two = Box::pin(charges.settled());
        assert!((&mut two).now_or_never().is_none());
        let third = charges.begin();
        drop(second);
        assert!((&mut two).now_or_never().is_none(), "the first one began before, too");
        drop(first);
        one.await;
        two.await;
        drop(third);
        charges.settled().await;
    }
}
