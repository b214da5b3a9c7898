//! What to do about a job and how to count its pods: pure functions of the job, its pods and the time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use api::{Object, ObjectError};
use jiff::{SignedDuration, Timestamp};

use super::backoff::{Record, remaining_of_index};
use super::indexes::Indexes;
use super::pod::JobPod;
use super::policy::Handling;
use super::view::{Job, JobStatus};
use crate::pods;

/// At most so many pods are created or deleted in one go.
const BURST: usize = 500;
/// With so many pods in `status.uncountedTerminatedPods` counting pauses until they are settled.
const UNCOUNTED_MAX: usize = 500;

/// How a job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) kind: Kind,
    pub(super) reason: String,
    pub(super) message: String,
}

/// Which condition a verdict leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It fails: `FailureTarget` first, then `Failed` when all pods have ended.
    Fails,
    /// It succeeds: `SuccessCriteriaMet`, then `Complete`.
    Succeeds,
}

impl Verdict {
    fn new(kind: Kind, reason: &str, message: &str) -> Self {
        Self { kind, reason: reason.to_owned(), message: message.to_owned() }
    }

    fn fails(reason: &str, message: &str) -> Option<Self> {
        Some(Self::new(Kind::Fails, reason, message))
    }

    /// Every completion asked for has come.
    pub(super) fn complete() -> Self {
        Self::new(Kind::Succeeds, "CompletionsReached", "Reached expected number of succeeded pods")
    }

    /// The condition that announces the end, and the one that seals it.
    pub(super) fn conditions(&self) -> (&'static str, &'static str) {
        match self.kind {
            Kind::Fails => ("FailureTarget", "Failed"),
            Kind::Succeeds => ("SuccessCriteriaMet", "Complete"),
        }
    }
}

/// What to do with the pods; numbers are positions in the list of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing.
    Rest,
    /// Delete active pods: the job is over, and they are still counted.
    Stop(Vec<usize>),
    /// Delete active pods that are not wanted now, without counting them.
    Discard(Vec<usize>),
    /// Create so many pods.
    Create(usize),
    /// Create pods for these indexes.
    CreateIndexes(Vec<i64>),
}

/// A job as it stands, and what follows.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) verdict: Option<Verdict>,
    pub(super) act: Act,
    /// How many pods (or indexes) have succeeded, those not counted yet included.
    pub(super) succeeded: i64,
    /// With a backoff limit per index: the indexes that failed for good.
    pub(super) failed_indexes: Option<Indexes>,
    /// With a backoff limit per index: the failed pods (by index) whose count the next pod of the index takes over. They
    /// keep their finalizer until that one exists.
    pub(super) predecessors: BTreeMap<i64, usize>,
    pub(super) record: Record,
    /// When to look again if nothing happens.
    pub(super) again: Option<Duration>,
}

/// Decides. `job.status.startTime` has to be set unless the job is suspended.
pub(super) fn plan(
    job: &Job,
    deleting: bool,
    pods: &[JobPod],
    record: &Record,
    now: Timestamp,
) -> Result<Plan, ObjectError> {
    let completions = job.indexed();
    let uncounted = job.status.uncounted_terminated_pods.clone().unwrap_or_default();
    let fresh = |counted: &[String], ended: &dyn Fn(&JobPod) -> bool| -> Vec<&JobPod> {
        let counts = |pod: &&JobPod| {
            pod.is_tracked() && is_valid(pod, completions) && ended(pod) && !counted.iter().any(|uid| uid == pod.uid())
        };
        pods.iter().filter(counts).collect()
    };
    let new_succeeded = fresh(&uncounted.succeeded, &|pod| pod.has_succeeded());
    let new_failed = fresh(&uncounted.failed, &|pod| pod.has_failed(job));
    let record = record.with(&new_succeeded, &new_failed);
    let counted = new_failed.iter().filter(|pod| job.handling(pod) != Handling::Ignore).count();
    let failed = job.status.failed + (counted + uncounted.failed.len()) as i64;
    let mut succeeded = job.status.succeeded + (new_succeeded.len() + uncounted.succeeded.len()) as i64;

    let mut again = None;
    let mut verdict = standing_verdict(job, pods);
    if verdict.is_none() {
        if failed > job.backoff_limit() || restarts_exceed(job, pods) {
            verdict = Verdict::fails("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        } else if let Some(left) = deadline_in(job, now) {
            if left.is_zero() {
                verdict = Verdict::fails("DeadlineExceeded", "Job was active longer than specified deadline");
            } else {
                again = Some(left);
            }
        }
    }
    let (mut failed_indexes, mut predecessors, mut done) = (None, BTreeMap::new(), Indexes::default());
    if let Some(completions) = completions {
        done = succeeded_indexes(job, completions, pods);
        succeeded = done.len();
        if job.spec.backoff_limit_per_index.is_some() {
            let lost = lost_indexes(job, completions, pods);
            if verdict.is_none() {
                verdict = verdict_of_indexes(job, completions, &done, &lost);
            }
            predecessors = predecessors_of(job, completions, pods, &done, &lost);
            failed_indexes = Some(lost);
        }
        if verdict.is_none() {
            let met = job.spec.success_policy.as_ref().and_then(|policy| policy.met(completions, &done));
            verdict = met.map(|message| Verdict::new(Kind::Succeeds, "SuccessPolicy", &message));
        }
    }
    let mut plan = Plan { verdict, act: Act::Rest, succeeded, failed_indexes, predecessors, record, again };
    if plan.verdict.is_some() {
        plan.act = Act::Stop((0..pods.len()).filter(|at| pods[*at].is_active()).collect());
    } else if !deleting {
        plan.manage(job, pods, &done, now)?;
    }
    Ok(plan)
}

/// Pods of an indexed job count only with an index it has.
fn is_valid(pod: &JobPod, completions: Option<i64>) -> bool {
    completions.is_none_or(|completions| pod.index.is_some_and(|index| index < completions))
}

/// The verdict that was announced before, or that the failure policy demands.
fn standing_verdict(job: &Job, pods: &[JobPod]) -> Option<Verdict> {
    let announced = |condition: &str, kind| {
        let condition = job.status.has(condition)?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Some(Verdict { kind, reason: text(&condition.reason), message: text(&condition.message) })
    };
    announced("SuccessCriteriaMet", Kind::Succeeds).or_else(|| announced("FailureTarget", Kind::Fails)).or_else(|| {
        let fatal = |pod: &JobPod| match pod.has_failed(job).then(|| job.handling(pod)) {
            Some(Handling::FailJob(message)) => Verdict::fails("PodFailurePolicy", &message),
            _ => None,
        };
        pods.iter().find_map(fatal)
    })
}

/// Containers restarted in place count as failures too, while their pods live.
fn restarts_exceed(job: &Job, pods: &[JobPod]) -> bool {
    let living = pods.iter().filter(|pod| matches!(&*pod.status.phase, "Running" | "Pending"));
    let limit = job.backoff_limit();
    job.restarts_in_place() && living.map(JobPod::restarts).sum::<i64>() >= limit.max(1)
}

/// How long the job may still be active: zero when its time is up, `None` when there is no limit.
fn deadline_in(job: &Job, now: Timestamp) -> Option<Duration> {
    let limit = SignedDuration::from_secs(job.spec.active_deadline_seconds.filter(|_| !job.spec.suspend)?);
    let left = limit - now.duration_since(job.status.start_time?);
    Some(Duration::try_from(left).unwrap_or_default())
}

/// The indexes done: those of the status and those of pods not counted yet.
fn succeeded_indexes(job: &Job, completions: i64, pods: &[JobPod]) -> Indexes {
    let new = pods.iter().filter(|pod| pod.has_succeeded() && pod.is_tracked() && is_valid(pod, Some(completions)));
    job.completed_before(completions).with(new.filter_map(|pod| pod.index))
}

/// The indexes that failed for good.
fn lost_indexes(job: &Job, completions: i64, pods: &[JobPod]) -> Indexes {
    let limit = job.spec.backoff_limit_per_index.unwrap_or(i64::MAX);
    let lost = |pod: &&JobPod| {
        let ended = pod.is_tracked() && is_valid(pod, Some(completions)) && pod.has_failed(job);
        ended
            && match job.handling(pod) {
                Handling::FailIndex => true,
                Handling::Ignore => false,
                Handling::Count | Handling::FailJob(_) => pod.failures >= limit,
            }
    };
    job.failed_before(completions).with(pods.iter().filter(lost).filter_map(|pod| pod.index))
}

fn verdict_of_indexes(job: &Job, completions: i64, done: &Indexes, lost: &Indexes) -> Option<Verdict> {
    if job.spec.max_failed_indexes.is_some_and(|most| lost.len() > most) {
        let message = "Job has exceeded the specified maximal number of failed indexes";
        return Verdict::fails("MaxFailedIndexesExceeded", message);
    }
    let over = !lost.is_empty() && lost.len() + done.len() >= completions;
    if over { Verdict::fails("FailedIndexes", "Job has failed indexes") } else { None }
}

fn predecessors_of(
    job: &Job,
    completions: i64,
    pods: &[JobPod],
    done: &Indexes,
    lost: &Indexes,
) -> BTreeMap<i64, usize> {
    let active: BTreeSet<i64> = pods.iter().filter(|pod| pod.is_active()).filter_map(|pod| pod.index).collect();
    let mut last: BTreeMap<i64, usize> = BTreeMap::new();
    for (at, pod) in pods.iter().enumerate() {
        let Some(index) = pod.index.filter(|index| *index < completions) else { continue };
        let settled = done.contains(index) || lost.contains(index) || active.contains(&index);
        if settled || !pod.is_tracked() || !pod.has_failed(job) {
            continue;
        }
        let total = |pod: &JobPod| pod.failures + pod.ignored;
        let later = |before: &JobPod| total(before) <= total(pod) && pod.finished_at() >= before.finished_at();
        if last.get(&index).is_none_or(|before| later(&pods[*before])) {
            last.insert(index, at);
        }
    }
    last
}

impl Plan {
    /// As many active pods as the job wants now.
    fn manage(&mut self, job: &Job, pods: &[JobPod], done: &Indexes, now: Timestamp) -> Result<(), ObjectError> {
        let active: Vec<usize> = (0..pods.len()).filter(|at| pods[*at].is_active()).collect();
        if job.spec.suspend {
            self.act = match active.is_empty() {
                true => Act::Rest,
                false => Act::Discard(active),
            };
            return Ok(());
        }
        let wanted = match job.spec.completions {
            None if self.succeeded > 0 => active.len(),
            None => usize::try_from(job.parallelism()).unwrap_or(0),
            Some(completions) => usize::try_from((completions - self.succeeded).min(job.parallelism())).unwrap_or(0),
        };
        let mut surplus = surplus(job, pods, &active, active.len().saturating_sub(wanted))?;
        surplus.truncate(BURST);
        if !surplus.is_empty() {
            self.act = Act::Discard(surplus);
            return Ok(());
        }
        let terminating =
            if job.replaces_only_failed() { pods.iter().filter(|pod| pod.is_terminating()).count() } else { 0 };
        let missing = wanted.saturating_sub(terminating + active.len()).min(BURST);
        if missing == 0 {
            return Ok(());
        }
        let per_index = job.spec.backoff_limit_per_index.is_some();
        let wait = if per_index { Duration::ZERO } else { self.record.remaining(now) };
        if !wait.is_zero() {
            self.look_again(wait);
            return Ok(());
        }
        let Some(completions) = job.indexed() else {
            self.act = Act::Create(missing);
            return Ok(());
        };
        let taken = pods.iter().filter(|pod| pod.is_active() || job.replaces_only_failed() && pod.is_terminating());
        let mut settled = done.with(taken.filter_map(|pod| pod.index));
        if let Some(lost) = &self.failed_indexes {
            settled = settled.union(lost);
        }
        let waits = |index: &i64| remaining_of_index(self.predecessors.get(index).map(|at| &pods[*at]), now);
        let (ready, waiting): (Vec<i64>, Vec<i64>) =
            settled.first_missing(missing, completions).into_iter().partition(|index| waits(index).is_zero());
        if let Some(wait) = waiting.iter().map(waits).min() {
            self.look_again(wait);
        }
        if !ready.is_empty() {
            self.act = Act::CreateIndexes(ready);
        }
        Ok(())
    }

    fn look_again(&mut self, wait: Duration) {
        self.again = Some(self.again.map_or(wait, |again| again.min(wait)));
    }
}

/// The active pods to discard: those without a valid index, all but one of an index, and more until there are `at_least`
/// so many, those first that have come least far.
fn surplus(job: &Job, pods: &[JobPod], active: &[usize], at_least: usize) -> Result<Vec<usize>, ObjectError> {
    let (mut surplus, mut left) = (Vec::new(), active.to_vec());
    if let Some(completions) = job.indexed() {
        let mut groups: BTreeMap<Option<i64>, Vec<usize>> = BTreeMap::new();
        for at in left.drain(..) {
            groups.entry(pods[at].index.filter(|index| *index < completions)).or_default().push(at);
        }
        for (index, group) in groups {
            let mut ranked = rank(pods, &group)?;
            if index.is_some() {
                left.extend(ranked.pop());
            }
            surplus.extend(ranked);
        }
    }
    if surplus.len() < at_least {
        let more = at_least - surplus.len();
        surplus.extend(rank(pods, &left)?.into_iter().take(more));
    }
    Ok(surplus)
}

fn rank(pods: &[JobPod], positions: &[usize]) -> Result<Vec<usize>, ObjectError> {
    if positions.len() < 2 {
        return Ok(positions.to_vec());
    }
    let objects: Vec<Arc<Object>> = positions.iter().map(|at| pods[*at].object.clone()).collect();
    let ranked = pods::rank_for_deletion(&objects, &HashMap::new(), Timestamp::now())?;
    let place: HashMap<&str, usize> = positions.iter().map(|at| (pods[*at].uid(), *at)).collect();
    Ok(ranked.iter().filter_map(|pod| place.get(&*pod.meta.uid).copied()).collect())
}

/// Which pods have ended and may lose their finalizer once the status is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) release: Vec<usize>,
    /// There are more: they wait for the next turn.
    pub(super) more: bool,
}

/// Puts the pods that have ended into the status: the first half of counting them. `pods` are in the order of their
/// indexes.
pub(super) fn tally(job: &Job, status: &mut JobStatus, deleting: bool, pods: &[JobPod], plan: &Plan) -> Tally {
    let tracked: HashSet<&str> = pods.iter().filter(|pod| pod.is_tracked()).map(JobPod::uid).collect();
    settle(status, |uid| tracked.contains(uid));
    let completions = job.indexed();
    let before = completions.map(|completions| job.completed_before(completions));
    let known = job.status.uncounted_terminated_pods.clone().unwrap_or_default();
    let fails = plan.verdict.as_ref().is_some_and(|verdict| verdict.kind == Kind::Fails);
    let (mut release, mut new_indexes, mut more) = (Vec::new(), Vec::new(), false);
    for (at, pod) in pods.iter().enumerate().filter(|(_, pod)| pod.is_tracked()) {
        let failed = pod.has_failed(job);
        let awaited = pod.index.is_some_and(|index| plan.predecessors.get(&index) == Some(&at));
        let over = deleting || plan.verdict.is_some() || pod.has_succeeded();
        if !over && (!failed || awaited) {
            continue;
        }
        release.push(at);
        let uid = pod.uid().to_owned();
        let uncounted = status.uncounted();
        if pod.has_succeeded() && !known.failed.contains(&uid) {
            match &before {
                // An index counts once, whatever number of pods did it: no uid has to be remembered.
                Some(before) => {
                    new_indexes
                        .extend(pod.index.filter(|index| is_valid(pod, completions) && !before.contains(*index)));
                }
                None if !uncounted.succeeded.contains(&uid) => uncounted.succeeded.push(uid),
                None => {}
            }
        } else if (failed || fails)
            && is_valid(pod, completions)
            && !known.failed.contains(&uid)
            && job.handling(pod) != Handling::Ignore
        {
            // Of a job that fails every pod has failed that has not succeeded.
            uncounted.failed.push(uid);
        }
        if new_indexes.len() + uncounted.succeeded.len() + uncounted.failed.len() >= UNCOUNTED_MAX {
            more = true;
            break;
        }
    }
    if let Some(before) = before {
        let done = before.with(new_indexes);
        status.succeeded = done.len();
        status.completed_indexes = (!done.is_empty()).then(|| done.to_string());
        status.failed_indexes = plan.failed_indexes.as_ref().map(Indexes::to_string);
    }
    Tally { release, more }
}

/// The second half: what has lost its finalizer moves from the list to the counters.
pub(super) fn settle(status: &mut JobStatus, tracked: impl Fn(&str) -> bool) {
    let uncounted = status.uncounted();
    let settled = |list: &mut Vec<String>| {
        let before = list.len();
        list.retain(|uid| tracked(uid));
        (before - list.len()) as i64
    };
    let (succeeded, failed) = (settled(&mut uncounted.succeeded), settled(&mut uncounted.failed));
    status.succeeded += succeeded;
    status.failed += failed;
}

/// Whether the end can be sealed: every pod is counted and none is still ending.
pub(super) fn may_finish(status: &JobStatus) -> bool {
    let uncounted = status.uncounted_terminated_pods.as_ref();
    uncounted.is_none_or(|all| all.succeeded.is_empty() && all.failed.is_empty())
        && status.terminating.unwrap_or(0) == 0
}
