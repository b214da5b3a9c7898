//! Configuration, quotas, and devices.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use serde_json::Value;

use super::Kind;
use super::column::{AGE, NAME, text};
use super::row::row;
use super::text::{age, name};
use super::view::{self, view};

pub(super) const NAME_AND_AGE: Kind = (&[NAME, AGE], |object| row![name(object), age(object)]);

pub(super) const CONFIG_MAP: Kind = (&[NAME, text("Data", "How many entries there are."), AGE], |object| {
    view! { ConfigMap { data: view::Count, binary_data: view::Count } }
    let map: ConfigMap = view::read(object)?;
    row![name(object), map.data.0 + map.binary_data.0, age(object)]
});

pub(super) const SECRET: Kind =
    (&[NAME, text("Type", "What the secret is for."), text("Data", "How many entries there are."), AGE], |object| {
        view! { Secret { r#type: String, data: view::Count } }
        let secret: Secret = view::read(object)?;
        row![name(object), secret.r#type, secret.data.0, age(object)]
    });

pub(super) const RESOURCE_QUOTA: Kind = (
    &[
        NAME,
        text("Request", "What is used of what may be requested."),
        text("Limit", "What is used of what limits may add up to."),
        AGE,
    ],
    |object| {
        view! {
            ResourceQuota { status: Status }
            Status { hard: BTreeMap<String, Value>, used: BTreeMap<String, Value> }
        }
        let ResourceQuota { status } = view::read(object)?;
        let amount = |amounts: &BTreeMap<String, Value>, name: &str| {
            let amount = amounts.get(name).and_then(|amount| Quantity::from_json(amount).ok());
            amount.unwrap_or_else(Quantity::zero).to_string()
        };
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for name in status.hard.keys() {
            let entry = format!("{name}: {}/{}", amount(&status.used, name), amount(&status.hard, name));
            if name.starts_with("limits.") { &mut limits } else { &mut requests }.push(entry);
        }
        row![name(object), requests.join(", "), limits.join(", "), age(object)]
    },
);

pub(super) const RESOURCE_CLAIM: Kind = (&[NAME, text("State", "How far the claim has come."), AGE], |object| {
    view! {
        ResourceClaim { status: Status }
        Status { allocation: Option<Allocation>, reserved_for: view::Count }
        Allocation {}
    }
    let ResourceClaim { status } = view::read(object)?;
    let states = [
        (object.meta.is_deleting(), "deleted"),
        (!object.meta.is_deleting() && status.allocation.is_none(), "pending"),
        (status.allocation.is_some(), "allocated"),
        (status.allocation.is_some() && status.reserved_for.0 > 0, "reserved"),
    ];
    let states: Vec<&str> = states.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    row![name(object), states.join(","), age(object)]
});

pub(super) const RESOURCE_SLICE: Kind = (
    &[
        NAME,
        text("Node", "The node that has the devices."),
        text("Driver", "The driver of the devices."),
        text("Pool", "The pool the devices are of."),
        AGE,
    ],
    |object| {
        view! {
            ResourceSlice { spec: Spec }
            Spec { node_name: String, driver: String, pool: Pool }
            Pool { name: String }
        }
        let ResourceSlice { spec } = view::read(object)?;
        row![name(object), spec.node_name, spec.driver, spec.pool.name, age(object)]
    },
);
