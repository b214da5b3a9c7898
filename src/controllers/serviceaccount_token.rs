//! serviceaccount-token-controller: Secrets of type `kubernetes.io/service-account-token` get what they stand for.
//!
//! Watches: such Secrets, service accounts.
//! Writes: the Secret's token, CA bundle and namespace, and the account's uid; deletes Secrets whose account is gone.
//! Invariant: such a Secret holds a token of the account it names, and none once the account is another one.

use std::sync::Arc;

use api::{DeleteOptions, Object, User};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::Client;
use client::controller::{Controller, Error, Keys, Outcome, Result};
use client::kinds;
use client::queue::Key;
use serde_json::{Value, json};
use watch_cache::{Cache, Change};

use crate::{SecretTokens, Setup};

const KIND: &str = "kubernetes.io/service-account-token";
const NAME: &str = "kubernetes.io/service-account.name";
const UID: &str = "kubernetes.io/service-account.uid";

pub(crate) fn controller(setup: &Setup) -> Controller<Tokens> {
    // As upstream, by the controller manager itself: no service account may write every Secret.
    let manager = User::new("system:kube-controller-manager", Vec::<String>::new());
    let client = setup.client.acting_as(manager, "kube-controller-manager");
    let state = Tokens {
        secrets: client.cache(&kinds::secrets()),
        accounts: client.cache(&kinds::service_accounts()),
        root_ca: setup.options.root_ca_pem.clone(),
        make: setup.options.secret_tokens.clone(),
        client,
    };
    Controller::new("serviceaccount-token-controller", Arc::new(state), reconcile)
        .workers(2)
        .watch(&kinds::secrets(), when_a_token)
        .watch(&kinds::service_accounts(), when_an_account)
}

pub(crate) struct Tokens {
    client: Client,
    secrets: Arc<Cache>,
    accounts: Arc<Cache>,
    root_ca: String,
    make: Option<SecretTokens>,
}

/// The row's selectable field is the Secret's type.
fn is_token(secret: &Object) -> bool {
    secret.meta.fields.iter().any(|kind| &**kind == KIND)
}

fn when_a_token(_: &Tokens, change: &Change, keys: &mut Keys<'_>) {
    if is_token(&change.object) {
        keys.object(&change.object);
    }
}

fn when_an_account(state: &Tokens, change: &Change, keys: &mut Keys<'_>) {
    // There are few of them in a namespace, and which account each is of stands in its body.
    let secrets = state.secrets.list(&change.object.meta.namespace);
    secrets.iter().filter(|secret| is_token(secret)).for_each(|secret| keys.object(secret));
}

async fn reconcile(state: Arc<Tokens>, key: Key) -> Result {
    let secret = state.secrets.get_key(&key).filter(|secret| is_token(secret) && !secret.meta.is_deleting());
    let (Some(secret), Some(make)) = (secret, &state.make) else { return Ok(Outcome::Done) };
    let (namespace, name) = (&*secret.meta.namespace, &*secret.meta.name);
    let value = secret.to_value()?;
    let annotation = |key: &str| value["metadata"]["annotations"][key].as_str().unwrap_or_default();
    let account_name = annotation(NAME);
    let mut account = state.accounts.get(namespace, account_name);
    if account.is_none() {
        // The cache may not show it yet; a Secret is not deleted on a rumour.
        account = match state.client.get(state.accounts.resource(), namespace, account_name).await {
            Ok(account) => Some(account),
            Err(status) if status.is_not_found() => None,
            Err(status) => return Err(status.into()),
        };
    }
    let account =
        account.filter(|account| matches!(annotation(UID), uid if uid.is_empty() || *uid == *account.meta.uid));
    let Some(account) = account else { return delete(&state, &secret).await };
    let Some(data) =
        missing(&value, namespace, &state.root_ca, || (make.0)(namespace, &account.meta.name, &account.meta.uid, name))
            .map_err(Error::Other)?
    else {
        return Ok(Outcome::Done);
    };
    let mut wanted = value.clone();
    wanted["data"] = data;
    wanted["metadata"]["annotations"][UID] = (&*account.meta.uid).into();
    wanted["metadata"]["resourceVersion"] = secret.meta.resource_version.to_string().into();
    match state.client.update(state.secrets.resource(), namespace, name, "", wanted).await {
        Err(status) if !status.is_not_found() => Err(status.into()),
        _ => Ok(Outcome::Done),
    }
}

async fn delete(state: &Tokens, secret: &Object) -> Result {
    tracing::info!(secret = secret.meta.key(), "deleting a token whose service account is gone");
    let options = DeleteOptions {
        uid: Some(secret.meta.uid.to_string()),
        resource_version: Some(secret.meta.resource_version.to_string()),
        ..DeleteOptions::default()
    };
    let deleted =
        state.client.delete(state.secrets.resource(), &secret.meta.namespace, &secret.meta.name, options).await;
    match deleted {
        Err(status) if !status.is_not_found() => Err(status.into()),
        _ => Ok(Outcome::Done),
    }
}

/// The data a Secret should have; `None` when it has it.
fn missing(
    secret: &Value,
    namespace: &str,
    root_ca: &str,
    token: impl FnOnce() -> std::result::Result<String, String>,
) -> std::result::Result<Option<Value>, String> {
    let had = secret.get("data").filter(|data| data.is_object()).cloned().unwrap_or_else(|| json!({}));
    let mut data = had.clone();
    if !root_ca.is_empty() {
        data["ca.crt"] = STANDARD.encode(root_ca).into();
    }
    if data["namespace"].as_str().unwrap_or_default().is_empty() {
        data["namespace"] = STANDARD.encode(namespace).into();
    }
    if data["token"].as_str().unwrap_or_default().is_empty() {
        data["token"] = STANDARD.encode(token()?).into();
    }
    let named = secret["metadata"]["annotations"].get(UID).is_some();
    Ok((data != had || !named).then_some(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Running;
    use api::tree::Tree;
    use client::testing::Cluster;

    #[tokio::test(start_paused = true)]
    async fn a_secret_gets_its_token_and_goes_with_its_account() {
        let cluster = Cluster::new();
        let client = cluster.client();
        let make = SecretTokens(Arc::new(|namespace, name, _, secret| Ok(format!("{namespace}/{name}/{secret}"))));
        let options = Options { root_ca_pem: "PEM".into(), secret_tokens: Some(make), ..Options::default() };
        let running = Running::start(&cluster, &["serviceaccount-token-controller"], options);
        let (accounts, secrets) = (kinds::service_accounts(), kinds::secrets());
        let account = client.create(&accounts, "a", json!({ "metadata": { "name": "bot" } })).await.unwrap();
        let secret = json!({ "metadata": { "name": "s", "annotations": { NAME: "bot" } }, "type": KIND });
        client.create(&secrets, "a", secret).await.unwrap();
        let filled = running.until(&secrets, |all| all.len() == 1 && !all[0].text("data.token").is_empty()).await;
        let expect = |text: &str| Value::from(STANDARD.encode(text));
        assert_eq!(
            filled[0]["data"],
            json!({ "ca.crt": expect("PEM"), "namespace": expect("a"), "token": expect("a/bot/s") })
        );
        assert_eq!(filled[0]["metadata"]["annotations"][UID], *account.meta.uid);
        client.delete(&accounts, "a", "bot", DeleteOptions::default()).await.unwrap();
        running.until(&secrets, <[Value]>::is_empty).await;
        running.stop().await;
    }
}
