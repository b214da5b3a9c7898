//! What components of this process ask: upstream's `rest_client_requests_total`, whose components are clients of their own.

use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use api::Resource;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::table::{Row, Shown, Table, family};

/// The codes that are told apart: the others are rare, and counted as the first of their hundred.
const CODES: [u16; 14] = [200, 201, 400, 403, 404, 405, 409, 410, 422, 429, 500, 503, 504, 0];

/// Requests from this process.
#[derive(Debug, Default)]
pub(super) struct InProcess(Table<4, [AtomicU64; CODES.len()]>);

impl InProcess {
    pub(super) fn count(&self, verb: &str, resource: &Resource, code: u16) {
        let place = |code: u16| CODES.iter().position(|known| *known == code);
        let place = place(code).or_else(|| place(code / 100 * 100)).unwrap_or(CODES.len() - 1);
        let counts = self.0.get([verb, &resource.group, &resource.version, &resource.plural], Default::default);
        counts[place].fetch_add(1, Ordering::Relaxed);
    }
}

/// The method that the verb is over HTTP.
fn method(verb: &str) -> &'static str {
    match verb {
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        _ => "GET",
    }
}

impl Collector for InProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let all = self.0.all();
        let codes = CODES.map(|code| code.to_string());
        let mut rows: Vec<Row<'_>> = Vec::new();
        let mut methods = std::collections::BTreeMap::<_, u64>::new();
        for (labels, counts) in &all {
            for (code, count) in codes.iter().zip(counts.iter()) {
                let count = count.load(Ordering::Relaxed);
                if count == 0 {
                    continue;
                }
                *methods.entry((&**code, method(&labels[0]))).or_default() += count;
                let names =
                    ["verb", "group", "version", "resource"].into_iter().zip(labels.iter().map(|label| &**label));
                rows.push((names.chain([("code", &**code)]).collect(), Shown::Counter(count)));
            }
        }
        let help = "Requests from components of this process";
        family(&mut encoder, "isopod_in_process_requests", help, rows.into_iter())?;
        let rows = methods.into_iter().map(|((code, method), count)| -> Row<'_> {
            (vec![("code", code), ("host", "in-process"), ("method", method)], Shown::Counter(count))
        });
        family(&mut encoder, "rest_client_requests", help, rows)
    }
}
