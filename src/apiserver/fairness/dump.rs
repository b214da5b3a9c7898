//! `/debug/api_priority_and_fairness/dump_*`: who waits where, in upstream's tables. Requests that found a seat at once
//! are counted, not listed.

use std::fmt::Write;

use super::Fairness;
use super::level::Waiter;
use super::queues::Waiting;

/// The paths' common beginning.
pub(crate) const PREFIX: &str = "/debug/api_priority_and_fairness/";

impl Fairness {
    /// The table of a path below [`PREFIX`]; `None` where there is none. `details` adds who asks for what.
    pub(crate) fn dump(&self, table: &str, details: bool) -> Option<String> {
        let rows = match table {
            "dump_priority_levels" => self.dump_levels(),
            "dump_queues" => self.dump_queues(),
            "dump_requests" => self.dump_requests(details),
            _ => return None,
        };
        Some(aligned(&rows))
    }

    fn dump_levels(&self) -> Vec<Vec<String>> {
        let mut rows = vec![words(&[
            "PriorityLevelName",
            "ActiveQueues",
            "IsIdle",
            "IsQuiescing",
            "WaitingRequests",
            "ExecutingRequests",
            "DispatchedRequests",
            "RejectedRequests",
            "TimedoutRequests",
            "CancelledRequests",
        ])];
        for entry in self.flows.now().levels.values() {
            let numbers = entry.level.numbers();
            let mut active = 0;
            entry.level.with_queues(|queues| active = queues.dump().filter(|queue| !queue.waiting.is_empty()).count());
            rows.push(vec![
                entry.level.name.to_string(),
                active.to_string(),
                entry.level.is_idle().to_string(),
                entry.quiescing.to_string(),
                numbers.waiting.to_string(),
                numbers.executing.to_string(),
                numbers.dispatched.to_string(),
                numbers.refused.to_string(),
                numbers.timed_out.to_string(),
                numbers.cancelled.to_string(),
            ]);
        }
        rows
    }

    fn dump_queues(&self) -> Vec<Vec<String>> {
        let mut rows = vec![words(&[
            "PriorityLevelName",
            "Index",
            "PendingRequests",
            "ExecutingRequests",
            "SeatsInUse",
            "NextDispatchR",
            "InitialSeatsSum",
            "MaxSeatsSum",
            "TotalWorkSum",
        ])];
        for entry in self.flows.now().levels.values() {
            entry.level.with_queues(|queues| {
                for (index, queue) in queues.dump().enumerate() {
                    let seats: u64 = queue.waiting.iter().map(|request| request.seats).sum();
                    let work: f64 = queue.waiting.iter().map(|request| request.work).sum();
                    rows.push(vec![
                        entry.level.name.to_string(),
                        index.to_string(),
                        queue.waiting.len().to_string(),
                        queue.executing.to_string(),
                        queue.seats.to_string(),
                        format!("{:.8}ss", queue.next),
                        seats.to_string(),
                        seats.to_string(),
                        format!("{work:.8}ss"),
                    ]);
                }
            });
        }
        rows
    }

    fn dump_requests(&self, details: bool) -> Vec<Vec<String>> {
        let mut head = words(&[
            "PriorityLevelName",
            "FlowSchemaName",
            "QueueIndex",
            "RequestIndexInQueue",
            "FlowDistingsher",
            "ArriveTime",
            "InitialSeats",
            "FinalSeats",
            "AdditionalLatency",
            "StartTime",
        ]);
        if details {
            let more = ["UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"];
            head.extend(words(&more));
        }
        let mut rows = vec![head];
        for entry in self.flows.now().levels.values() {
            entry.level.with_queues(|queues| {
                for (queue_index, queue) in queues.dump().enumerate() {
                    for (index, request) in queue.waiting.iter().enumerate() {
                        rows.push(request_row(&entry.level.name, queue_index, index, request, details));
                    }
                }
            });
        }
        rows
    }
}

fn request_row(level: &str, queue: usize, index: usize, request: &Waiting<Waiter>, details: bool) -> Vec<String> {
    let told = &request.what.told;
    let mut row = vec![
        level.to_owned(),
        told.schema.to_string(),
        queue.to_string(),
        index.to_string(),
        told.distinguisher.clone(),
        told.arrived.to_string(),
        request.seats.to_string(),
        if told.lingering.is_zero() { 0 } else { request.seats }.to_string(),
        format!("{}s", told.lingering.as_secs_f64()),
        "0001-01-01T00:00:00Z".to_owned(),
    ];
    if details {
        row.extend(told.details.iter().cloned());
    }
    row
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Go's tabwriter with upstream's settings: a comma behind each cell but the last, cells of at least eight, one space
/// between.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count() + 2).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0).max(8)).collect();
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = match at + 1 == row.len() {
                true => writeln!(text, "{cell}"),
                false => write!(text, "{:width$}", format!("{cell},"), width = widths[at]),
            };
        }
    }
    text
}
