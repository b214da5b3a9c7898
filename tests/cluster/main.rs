//! The real binary, real kubectl, real containerd, on machines that are network namespaces of this one.
//!
//! Each scenario is a user's work from beginning to end. Scenarios wait on conditions, and whatever happens, the lab is
//! torn down at the end: processes, mounts, namespaces and data.

mod bad_input;
mod computer;
mod images;
mod install;
mod kubectl;
mod lab;
mod restart;
mod workloads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use lab::Lab;

fn main() {
    let arguments = Arguments::from_args();
    let lab = Arc::new(Lab::new());
    let trial = |name: &'static str, scenario: fn(&Lab)| {
        let lab = lab.clone();
        Trial::test(name, move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| scenario(&lab)));
            outcome.map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Failed::from(format!("{}\n{}", text.unwrap_or_default(), lab.evidence()))
            })
        })
    };
    let trials = vec![
        trial("bad_input_is_named_and_changes_nothing", bad_input::is_named_and_changes_nothing),
        trial("a_worker_with_a_wrong_token_or_ca_is_refused", bad_input::wrong_credentials_are_refused),
        trial("one_server_and_a_worker_become_ready", workloads::both_nodes_become_ready),
        trial("a_deployment_runs_on_both_nodes_and_answers", workloads::deployment_from_create_to_delete),
        trial("pods_get_configuration_volumes_and_probes", workloads::configuration_volumes_and_probes),
        trial("jobs_and_daemonsets_do_their_work", workloads::jobs_and_daemonsets),
        trial("a_killed_server_comes_back_and_containers_go_on", restart::containers_go_on),
        trial("install_upgrade_kill_and_uninstall_a_server", install::server_from_install_to_uninstall),
        trial("install_a_worker_by_environment", install::worker_joins_by_environment),
        trial("install_says_what_is_wrong", install::mistakes_are_named),
    ];
    // One after the other: two cores, and the scenarios share two machines.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(lab);
    images::forget();
    conclusion.exit();
}
