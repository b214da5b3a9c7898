//! serviceaccount-controller: every namespace has a service account named `default`.
//!
//! Watches: namespaces, service accounts.
//! Writes: creates the account where it is missing.
//! Invariant: pods that name no service account find one.

use std::sync::Arc;

use api::meta::key;
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result, itself};
use client::kinds;
use client::queue::Key;
use serde_json::json;
use watch_cache::{Cache, Change, ChangeKind};

use crate::Setup;
use crate::expectations::seen;
use crate::pod_control::is_namespace_terminating;

const NAME: &str = "default";

pub(crate) fn controller(setup: &Setup) -> Controller<Accounts> {
    let client = setup.client.clone();
    let state = Accounts {
        namespaces: client.cache(&kinds::namespaces()),
        accounts: client.cache(&kinds::service_accounts()),
        client,
    };
    Controller::new("serviceaccount-controller", Arc::new(state), reconcile)
        .workers(2)
        .watch(&kinds::namespaces(), itself)
        .watch(&kinds::service_accounts(), when_deleted)
}

pub(crate) struct Accounts {
    client: Client,
    namespaces: Arc<Cache>,
    accounts: Arc<Cache>,
}

fn when_deleted(_: &Accounts, change: &Change, keys: &mut Keys<'_>) {
    if change.kind == ChangeKind::Deleted && &*change.object.meta.name == NAME {
        keys.named("", &change.object.meta.namespace);
    }
}

async fn reconcile(state: Arc<Accounts>, namespace: Key) -> Result {
    let alive = state.namespaces.get_key(&namespace).is_some_and(|found| !found.meta.is_deleting());
    if !alive || state.accounts.get_key(&key(&namespace, NAME)).is_some() {
        return Ok(Outcome::Done);
    }
    let account = json!({ "kind": "ServiceAccount", "apiVersion": "v1", "metadata": { "name": NAME } });
    match state.client.create(state.accounts.resource(), &namespace, account).await {
        Ok(account) => seen(&state.accounts, &account).await,
        Err(status) if status.is_already_exists() || is_namespace_terminating(&status) => {}
        Err(status) => return Err(status.into()),
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Running;
    use api::DeleteOptions;
    use client::testing::Cluster;

    #[tokio::test(start_paused = true)]
    async fn every_namespace_gets_its_account_again_and_again() {
        let cluster = Cluster::new();
        let (client, accounts) = (cluster.client(), kinds::service_accounts());
        client.create(&kinds::namespaces(), "", json!({ "metadata": { "name": "a" } })).await.unwrap();
        let running = Running::start(&cluster, &["serviceaccount-controller"], Options::default());
        let first = running.until(&accounts, |all| all.len() == 1).await;
        assert_eq!(cluster.keys(&accounts), ["a/default"]);
        client.delete(&accounts, "a", NAME, DeleteOptions::default()).await.unwrap();
        let old = &first[0]["metadata"]["uid"];
        running.until(&accounts, |all| all.len() == 1 && all[0]["metadata"]["uid"] != *old).await;
        running.stop().await;
    }
}
