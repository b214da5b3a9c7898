//! The real binary, real kubectl, real containerd, on machines that are network namespaces of this one.
//!
//! Each scenario is a user's work from beginning to end. Scenarios wait on conditions, and whatever happens, the lab is
//! torn down at the end: processes, mounts, namespaces and data.

mod aggregated;
mod bad_input;
mod bad_requests;
mod clients;
mod computer;
mod conformance;
mod gates;
mod images;
mod install;
mod kubectl;
mod lab;
mod looking;
mod private_registry;
#[path = "../../src/runtime/tests/registry/mod.rs"]
mod registry;
mod releases;
mod restart;
mod storage;
mod tools;
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
        trial("bodies_and_certificates_that_are_none_are_refused", bad_requests::bodies_and_certificates_are_refused),
        trial("people_webhooks_shares_and_keys_at_the_gates", gates::people_webhooks_shares_and_keys),
        trial("a_full_disk_is_said_and_loses_nothing", storage::full_disk_is_said_and_loses_nothing),
        trial("a_damaged_store_and_a_second_isopod_are_refused", storage::damage_and_rivals_are_refused),
        trial("one_server_and_a_worker_become_ready", workloads::both_nodes_become_ready),
        trial("a_deployment_runs_on_both_nodes_and_answers", workloads::deployment_from_create_to_delete),
        trial("pods_get_configuration_volumes_and_probes", workloads::configuration_volumes_and_probes),
        trial("jobs_and_daemonsets_do_their_work", workloads::jobs_and_daemonsets),
        trial("describe_top_and_set_image_tell_what_people_look_for", looking::describe_top_and_set_image),
        trial("every_kubectl_does_a_days_work", releases::every_kubectl_does_a_days_work),
        trial("tokens_admit_workers_until_they_end", tools::tokens_admit_workers_until_they_end),
        trial("images_come_from_a_private_registry", private_registry::mirrors_credentials_and_certificates),
        trial("images_completion_and_version", tools::images_and_the_rest),
        trial("helm_releases_a_chart_with_crds_and_hooks", clients::helm_releases_a_chart),
        trial("a_controller_runtime_operator_reconciles", clients::an_operator_reconciles),
        trial("a_kube_rs_operator_works", clients::a_kube_rs_operator_works),
        trial("a_python_program_works", clients::a_python_program_works),
        trial("an_aggregated_server_is_part_of_the_cluster", aggregated::an_aggregated_server_is_part_of_the_cluster),
        trial("a_killed_server_comes_back_and_containers_go_on", restart::containers_go_on),
        trial("install_upgrade_kill_and_uninstall_a_server", install::server_from_install_to_uninstall),
        trial("install_from_the_checkout", install::built_from_the_checkout),
        trial("install_a_service_of_systemd", install::service_of_systemd),
        trial("install_a_worker_by_environment", install::worker_joins_by_environment),
        trial("install_says_what_is_wrong", install::mistakes_are_named),
        trial("upstreams_conformance_tests", conformance::upstreams_tests_pass).with_ignored_flag(true),
    ];
    // One after the other: two cores, and the scenarios share two machines.
    let arguments = Arguments { test_threads: Some(1), ..arguments };
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(lab);
    images::forget();
    conclusion.exit();
}
