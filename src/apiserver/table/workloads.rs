//! The kinds that make pods.

use std::collections::BTreeMap;

use api::selector::LabelSelector;
use api::{Object, ObjectError};
use jiff::Timestamp;
use serde_json::Value;

use super::Kind;
use super::column::{AGE, Column, NAME, flag, number, text, wide};
use super::duration;
use super::row::{Row, Words, row};
use super::text::{age, labels, name, or_none, selector};
use super::view::{self, view};

const CONTAINERS: Column = wide("Containers", "The names of the template's containers.");
const IMAGES: Column = wide("Images", "The images of the template's containers.");
const SELECTOR: Column = wide("Selector", "Which pods belong to the object.");

view! {
    Template { metadata: TemplateMeta, spec: PodSpec }
    TemplateMeta { labels: BTreeMap<String, String> }
    PodSpec { containers: Vec<Container>, node_selector: BTreeMap<String, String> }
    Container { name: String, image: String }
    Condition { r#type: String, status: String }
}

impl Template {
    fn names(&self) -> String {
        self.spec.containers.iter().map(|container| &*container.name).collect::<Vec<_>>().join(",")
    }

    fn images(&self) -> String {
        self.spec.containers.iter().map(|container| &*container.image).collect::<Vec<_>>().join(",")
    }
}

pub(super) const POD_TEMPLATE: Kind = (
    &[
        NAME,
        text("Containers", "The names of the template's containers."),
        text("Images", "The images of the template's containers."),
        text("Pod Labels", "The labels pods get."),
    ],
    |object| {
        view! { PodTemplate { template: Template } }
        let PodTemplate { template } = view::read(object)?;
        row![name(object), template.names(), template.images(), labels(&template.metadata.labels)]
    },
);

view! {
    Replicated { spec: ReplicatedSpec, status: ReplicatedStatus }
    ReplicatedSpec { replicas: Option<i64>, selector: Value, template: Template }
    ReplicatedStatus { replicas: i64, ready_replicas: i64, updated_replicas: i64, available_replicas: i64 }
}

impl ReplicatedSpec {
    /// One is the default, though it is written down when the object is made.
    fn replicas(&self) -> i64 {
        self.replicas.unwrap_or(1)
    }
}

const REPLICAS: &[Column] = &[
    NAME,
    number("Desired", "How many pods there should be."),
    number("Current", "How many pods there are."),
    number("Ready", "How many of the pods are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn replicas(object: &Object, selector: fn(&Value) -> String) -> Result<Row, ObjectError> {
    let Replicated { spec, status } = view::read(object)?;
    row![
        name(object),
        spec.replicas(),
        status.replicas,
        status.ready_replicas,
        age(object),
        spec.template.names(),
        spec.template.images(),
        selector(&spec.selector),
    ]
}

pub(super) const REPLICATION_CONTROLLER: Kind = (REPLICAS, |object| {
    replicas(object, |selector| labels(&serde_json::from_value(selector.clone()).unwrap_or_default()))
});

pub(super) const REPLICA_SET: Kind = (REPLICAS, |object| replicas(object, |object| selector(Some(object))));

pub(super) const DEPLOYMENT: Kind = (
    &[
        NAME,
        text("Ready", "How many of the pods are ready."),
        text("Up-to-date", "How many pods are of the current template."),
        text("Available", "How many pods have been ready for long enough."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |object| {
        let Replicated { spec, status } = view::read(object)?;
        let selector = LabelSelector::from_object(Some(&spec.selector));
        row![
            name(object),
            format!("{}/{}", status.ready_replicas, spec.replicas()),
            status.updated_replicas,
            status.available_replicas,
            age(object),
            spec.template.names(),
            spec.template.images(),
            selector.map_or_else(|_| "<invalid>".to_owned(), |selector| selector.to_string()),
        ]
    },
);

pub(super) const STATEFUL_SET: Kind =
    (&[NAME, text("Ready", "How many of the pods are ready."), AGE, CONTAINERS, IMAGES], |object| {
        let Replicated { spec, status } = view::read(object)?;
        let ready = format!("{}/{}", status.ready_replicas, spec.replicas());
        row![name(object), ready, age(object), spec.template.names(), spec.template.images()]
    });

pub(super) const DAEMON_SET: Kind = (
    &[
        NAME,
        number("Desired", "How many nodes should run the pod."),
        number("Current", "How many nodes run the pod, as they should."),
        number("Ready", "On how many nodes the pod is ready."),
        number("Up-to-date", "How many nodes run the current template."),
        number("Available", "On how many nodes the pod has been ready for long enough."),
        text("Node Selector", "Which nodes the pods run on."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |object| {
        view! {
            DaemonSet { spec: Spec, status: Status }
            Spec { selector: Value, template: Template }
            Status {
                desired_number_scheduled: i64,
                current_number_scheduled: i64,
                number_ready: i64,
                updated_number_scheduled: i64,
                number_available: i64,
            }
        }
        let DaemonSet { spec, status } = view::read(object)?;
        row![
            name(object),
            status.desired_number_scheduled,
            status.current_number_scheduled,
            status.number_ready,
            status.updated_number_scheduled,
            status.number_available,
            labels(&spec.template.spec.node_selector),
            age(object),
            spec.template.names(),
            spec.template.images(),
            selector(Some(&spec.selector)),
        ]
    },
);

view! {
    JobSpec { completions: Option<i64>, parallelism: Option<i64>, selector: Value, template: Template }
}

pub(super) const JOB: Kind = (
    &[
        NAME,
        text("Status", "How the job is doing."),
        text("Completions", "How many pods have succeeded, of how many."),
        text("Duration", "How long the job took, or has been running."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |object| {
        view! {
            Job { spec: JobSpec, status: Status }
            Status {
                succeeded: i64,
                start_time: Option<Timestamp>,
                completion_time: Option<Timestamp>,
                conditions: Vec<Condition>,
            }
        }
        let Job { spec, status } = view::read(object)?;
        let completions = match (spec.completions, spec.parallelism.unwrap_or_default()) {
            (Some(completions), _) => format!("{}/{completions}", status.succeeded),
            (None, parallelism) if parallelism > 1 => format!("{}/1 of {parallelism}", status.succeeded),
            (None, _) => format!("{}/1", status.succeeded),
        };
        let took = match (status.start_time, status.completion_time) {
            (Some(start), Some(end)) => Words::Fixed(duration::human(end.duration_since(start).as_secs())),
            (Some(start), None) => Words::since(Some(start)),
            (None, _) => Words::Fixed(String::new()),
        };
        // The first condition of a type counts.
        let is = |ty: &str| status.conditions.iter().find(|c| c.r#type == ty).is_some_and(|c| c.status == "True");
        let word = match () {
            () if is("Complete") => "Complete",
            () if is("Failed") => "Failed",
            () if object.meta.is_deleting() => "Terminating",
            () if is("Suspended") => "Suspended",
            () if is("FailureTarget") => "FailureTarget",
            () => "Running",
        };
        row![
            name(object),
            word,
            completions,
            took,
            age(object),
            spec.template.names(),
            spec.template.images(),
            selector(Some(&spec.selector)),
        ]
    },
);

pub(super) const CRON_JOB: Kind = (
    &[
        NAME,
        text("Schedule", "When jobs are made."),
        text("Timezone", "The time zone of the schedule."),
        flag("Suspend", "Whether no more jobs are made."),
        number("Active", "How many jobs are running."),
        text("Last Schedule", "The time since a job was made."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |object| {
        view! {
            CronJob { spec: Spec, status: Status }
            Spec { schedule: String, time_zone: Option<String>, suspend: Option<bool>, job_template: JobTemplate }
            JobTemplate { spec: JobSpec }
            Status { active: view::Count, last_schedule_time: Option<Timestamp> }
        }
        let CronJob { spec, status } = view::read(object)?;
        let suspend = spec.suspend.map_or("<unset>", |suspend| if suspend { "True" } else { "False" });
        let last = status.last_schedule_time.map(|last| Words::since(Some(last)));
        let job = spec.job_template.spec;
        row![
            name(object),
            spec.schedule,
            spec.time_zone.unwrap_or_else(|| "<none>".to_owned()),
            suspend,
            status.active.0,
            last.unwrap_or_else(|| Words::Fixed("<none>".to_owned())),
            age(object),
            job.template.names(),
            job.template.images(),
            selector(Some(&job.selector)),
        ]
    },
);

pub(super) const CONTROLLER_REVISION: Kind = (
    &[NAME, text("Controller", "Whose revision it is."), text("Revision", "The number of the revision."), AGE],
    |object| {
        view! { ControllerRevision { revision: i64 } }
        let ControllerRevision { revision } = view::read(object)?;
        let controller = object.meta.controller().map(|owner| {
            let kind = owner.kind.to_lowercase();
            match owner.api_version.split_once('/') {
                Some((group, _)) => format!("{kind}.{}/{}", group.to_lowercase(), owner.name),
                None => format!("{kind}/{}", owner.name),
            }
        });
        row![name(object), or_none(controller.unwrap_or_default()), revision, age(object)]
    },
);
