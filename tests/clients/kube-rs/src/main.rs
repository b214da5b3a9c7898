//! What an operator written with kube-rs does: derives its CRD and applies it, reconciles with a finalizer, applies children
//! that name their owner, reports status, waits on conditions, streams lists, reads logs, runs commands in a container.
//!
//! Usage: cart-operator NAMESPACE IMAGE, with KUBECONFIG in the environment. Ends with an error where anything fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{AttachParams, DeleteParams, ListParams, LogParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Error, Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client, CustomResource, CustomResourceExt, Resource, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

const MANAGER: &str = "cart-operator";
const PATIENCE: Duration = Duration::from_secs(90);

/// What is to be bought.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[kube(
    group = "carts.example.org",
    version = "v1",
    kind = "Cart",
    namespaced,
    status = "CartStatus",
    shortname = "crt"
)]
#[serde(rename_all = "camelCase")]
struct CartSpec {
    /// Names of things.
    items: Vec<String>,
    /// How many at most.
    #[serde(default = "three")]
    limit: u32,
}

fn three() -> u32 {
    3
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default)]
struct CartStatus {
    counted: usize,
}

type Unfinished = Error<kube::Error>;

async fn reconcile(cart: Arc<Cart>, client: Arc<Client>) -> Result<Action, Unfinished> {
    let namespace = cart.namespace().unwrap_or_default();
    let carts: Api<Cart> = Api::namespaced((*client).clone(), &namespace);
    let outcome = finalizer(&carts, "carts.example.org/cleanup", cart, |event| async {
        match event {
            Event::Apply(cart) => count(&client, &namespace, &cart).await,
            Event::Cleanup(cart) => {
                let notes: Api<ConfigMap> = Api::namespaced((*client).clone(), &namespace);
                let metadata = ObjectMeta { name: Some(format!("gone-{}", cart.name_any())), ..ObjectMeta::default() };
                notes.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await?;
                Ok(Action::await_change())
            }
        }
    });
    outcome.await
}

async fn count(client: &Client, namespace: &str, cart: &Cart) -> Result<Action, kube::Error> {
    let lists: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let name = cart.name_any();
    let list = ConfigMap {
        metadata: ObjectMeta {
            name: Some(format!("list-{name}")),
            owner_references: cart.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("items".into(), cart.spec.items.join(","))])),
        ..ConfigMap::default()
    };
    let apply = PatchParams::apply(MANAGER).force();
    lists.patch(&format!("list-{name}"), &apply, &Patch::Apply(&list)).await?;
    let carts: Api<Cart> = Api::namespaced(client.clone(), namespace);
    let status = json!({
        "apiVersion": Cart::api_version(&()), "kind": Cart::kind(&()), "status": CartStatus { counted: cart.spec.items.len() },
    });
    carts.patch_status(&name, &apply, &Patch::Apply(&status)).await?;
    Ok(Action::await_change())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (namespace, image) = (arguments.next().context("NAMESPACE")?, arguments.next().context("IMAGE")?);
    let client = Client::try_default().await?;
    let discovered = kube::discovery::Discovery::new(client.clone()).run().await?;
    ensure!(discovered.groups().any(|group| group.name() == "apps"), "discovery does not show apps");

    let spaces: Api<Namespace> = Api::all(client.clone());
    let space = Namespace {
        metadata: ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    spaces.create(&PostParams::default(), &space).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    timeout(PATIENCE, await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some()))
        .await??;

    custom_resources(&client, &namespace).await.context("custom resources")?;
    containers(&client, &namespace, &image).await.context("containers")?;

    spaces.delete(&namespace, &DeleteParams::default()).await?;
    println!("ok");
    Ok(())
}

/// The derived definition, and a controller of its objects.
async fn custom_resources(client: &Client, namespace: &str) -> Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = Cart::crd_name();
    definitions.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(Cart::crd())).await?;
    timeout(PATIENCE, await_condition(definitions.clone(), name, conditions::is_crd_established())).await??;

    let carts: Api<Cart> = Api::namespaced(client.clone(), namespace);
    let lists: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let streaming = watcher::Config::default().streaming_lists();
    let operator = Controller::new(carts.clone(), streaming.clone())
        .owns(lists.clone(), streaming)
        .run(reconcile, |_, _, _| Action::requeue(Duration::from_secs(1)), Arc::new(client.clone()))
        .for_each(|outcome| async move {
            if let Err(error) = outcome {
                eprintln!("the controller: {error:?}");
            }
        });
    let operator = tokio::spawn(operator);

    let wrong = json!({
        "apiVersion": "carts.example.org/v1", "kind": "Cart", "metadata": {"name": "wrong"}, "spec": {"items": "milk"},
    });
    let refused = carts.patch("wrong", &PatchParams::apply("user"), &Patch::Apply(&wrong)).await;
    let Err(kube::Error::Api(status)) = refused else { anyhow::bail!("a cart against its schema was taken") };
    ensure!(status.message.contains("items"), "the refusal does not say why: {}", status.message);

    let cart = Cart::new("one", CartSpec { items: vec!["milk".into(), "bread".into()], limit: 2 });
    carts.patch("one", &PatchParams::apply("user"), &Patch::Apply(&cart)).await?;
    let counted =
        |cart: Option<&Cart>| cart.and_then(|cart| cart.status.as_ref()).is_some_and(|status| status.counted == 2);
    timeout(PATIENCE, await_condition(carts.clone(), "one", counted)).await.context("the count")??;
    // Another manager's claim of the same field is a conflict.
    let mut other = cart.clone();
    other.spec.items = vec!["wine".into()];
    let conflict = carts.patch("one", &PatchParams::apply("rival"), &Patch::Apply(&other)).await;
    ensure!(matches!(&conflict, Err(kube::Error::Api(status)) if status.code == 409), "no conflict: {conflict:?}");

    let uid = carts.get("one").await?.uid().context("uid")?;
    carts.delete("one", &DeleteParams::foreground()).await?;
    timeout(PATIENCE, await_condition(carts, "one", conditions::is_deleted(&uid))).await.context("the end")??;
    lists.get("gone-one").await.context("the finalizer's note")?;
    let gone = |list: Option<&ConfigMap>| list.is_none();
    timeout(PATIENCE, await_condition(lists, "list-one", gone)).await.context("the child's end")??;
    operator.abort();
    definitions.delete(name, &DeleteParams::default()).await?;
    Ok(())
}

/// A pod, its log and a command in it.
async fn containers(client: &Client, namespace: &str, image: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = serde_json::from_value(json!({
        "metadata": {"name": "main", "labels": {"by": "kube-rs"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": image, "command": ["sh", "-c", "echo up; sleep 100000"]}],
        },
    }))?;
    pods.create(&PostParams::default(), &pod).await?;
    timeout(PATIENCE, await_condition(pods.clone(), "main", conditions::is_pod_running())).await??;
    ensure!(
        pods.list(&ListParams::default().labels("by=kube-rs")).await?.items.len() == 1,
        "the label selects one pod"
    );
    let mut lines = pods.log_stream("main", &LogParams { follow: true, ..LogParams::default() }).await?;
    let mut line = [0; 3];
    timeout(PATIENCE, futures::AsyncReadExt::read_exact(&mut lines, &mut line)).await??;
    ensure!(&line == b"up\n", "the log says {line:?}");
    let mut inside = pods.exec("main", ["echo", "hi"], &AttachParams::default().stderr(false)).await?;
    let mut said = String::new();
    inside.stdout().context("stdout")?.read_to_string(&mut said).await?;
    inside.join().await?;
    ensure!(said == "hi\n", "the command said {said:?}");
    let events: Vec<_> = watcher::watcher(pods.clone(), watcher::Config::default()).take(2).try_collect().await?;
    ensure!(events.len() == 2, "a watch begins with what is there");
    pods.delete("main", &DeleteParams::default()).await?;
    Ok(())
}
