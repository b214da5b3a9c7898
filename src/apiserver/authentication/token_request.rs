//! `serviceaccounts/token`: makes a token for a service account, bound to the object it is for.

use api::validation::field::{Error, Path};
use api::{Cause, Object, Status};
use serde::Deserialize;
use serde_json::{Value, json};

use super::service_account::{Bound, Reference, ServiceAccounts};
use crate::notes;
use crate::tree::Tree;

const SHORTEST_SECONDS: i64 = 600;
const LONGEST_SECONDS: i64 = 1 << 32;
/// How long a token is good for that was asked for without saying so.
pub(crate) const DEFAULT_SECONDS: i64 = 3600;
/// What the kubelet asks for a pod's own token, and nobody else would: old clients never reload it, so it lives on.
const KUBELET_SECONDS: i64 = 3607;
const EXTENDED_SECONDS: i64 = 365 * 24 * 3600;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Request {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    audiences: Option<Vec<String>>,
    expiration_seconds: i64,
    bound_object_ref: Option<ObjectReference>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    kind: String,
    api_version: String,
    name: String,
    uid: String,
}

#[derive(Deserialize)]
struct Pod {
    spec: PodSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
    #[serde(default)]
    service_account_name: String,
}

impl ServiceAccounts {
    /// Answers a `TokenRequest` with the token filled in, and warnings.
    pub(crate) fn request_token(
        &self,
        namespace: &str,
        name: &str,
        body: &Value,
    ) -> Result<(Value, Vec<String>), Status> {
        let request: Request = Deserialize::deserialize(body).map_err(Status::internal)?;
        check_name(&request.metadata.name, name)?;
        let account =
            self.accounts.get(namespace, name).ok_or_else(|| Status::not_found("", "serviceaccounts", name))?;
        check_uid(&request.metadata.uid, &account)?;
        let audiences = request.spec.audiences.filter(|a| !a.is_empty()).unwrap_or_else(|| self.api_audiences.clone());
        let mut asked = request.spec.expiration_seconds;
        check_expiration(asked)?;
        let mut warnings = Vec::new();
        let longest = self.limits.longest.map_or(i64::MAX, |longest| longest.as_secs() as i64);
        if asked > longest {
            warnings.push(format!("requested expiration of {asked} seconds shortened to {longest} seconds"));
            asked = longest;
        }
        let mut bound = Bound {
            namespace: namespace.to_owned(),
            serviceaccount: Reference { name: name.to_owned(), uid: account.meta.uid.to_string() },
            ..Bound::default()
        };
        if let Some(reference) = &request.spec.bound_object_ref {
            self.bind(namespace, name, reference, &mut bound)?;
        }
        let now = jiff::Timestamp::now().as_second();
        let mut expires = now + asked;
        if self.limits.extend
            && asked == KUBELET_SECONDS
            && bound.pod.is_some()
            && audiences.iter().all(|a| self.api_audiences.contains(a))
        {
            bound.warnafter = Some(expires);
            expires = now + EXTENDED_SECONDS;
        }
        let id = uuid::Uuid::new_v4().to_string();
        notes::annotate("authentication.kubernetes.io/issued-credential-id".to_owned(), format!("JTI={id}"));
        let claims = json!({
            "aud": audiences,
            "exp": expires,
            "iat": now,
            "iss": self.issuer(),
            "jti": id,
            "kubernetes.io": bound,
            "nbf": now,
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
        });
        let token = self.keys.sign(&claims).map_err(|error| {
            tracing::error!(%error, "a service-account token cannot be signed");
            Status::internal("the token cannot be signed")
        })?;
        let told = jiff::Timestamp::from_second(now + asked).map(api::time::format).unwrap_or_default();
        let mut spec = json!({ "audiences": audiences, "expirationSeconds": asked });
        spec["boundObjectRef"] = body.pointer("/spec/boundObjectRef").cloned().unwrap_or(Value::Null);
        let mut metadata = body.at("metadata").filter(|metadata| metadata.is_object()).cloned().unwrap_or(json!({}));
        metadata["name"] = json!(name);
        metadata["namespace"] = json!(namespace);
        metadata["uid"] = json!(account.meta.uid);
        metadata["creationTimestamp"] = json!(api::time::format(jiff::Timestamp::now()));
        let answer = json!({
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": metadata,
            "spec": spec,
            "status": { "token": token, "expirationTimestamp": told },
        });
        Ok((answer, warnings))
    }

    fn bind(&self, namespace: &str, account: &str, to: &ObjectReference, bound: &mut Bound) -> Result<(), Status> {
        let found = |cache: &watch_cache::Cache, namespace: &str| -> Result<std::sync::Arc<Object>, Status> {
            let plural = cache.resource().plural.to_string();
            let object = cache.get(namespace, &to.name).ok_or_else(|| Status::not_found("", &plural, &to.name))?;
            if !to.uid.is_empty() && *object.meta.uid != *to.uid {
                let why = format!(
                    "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                    to.uid
                );
                return Err(Status::conflict("", &to.kind, &to.name, why));
            }
            Ok(object)
        };
        let reference =
            |object: &Object| Reference { name: object.meta.name.to_string(), uid: object.meta.uid.to_string() };
        // Whatever version of the core group it is: only kinds are told apart.
        let group = to.api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, &*to.kind) {
            ("", "Pod") => {
                let object = found(&self.pods, namespace)?;
                let pod: Pod = object.view().map_err(|_| Status::internal("the pod cannot be read"))?;
                if pod.spec.service_account_name != account {
                    return Err(Status::bad_request(format!(
                        "cannot bind token for serviceaccount \"{account}\" to pod running with different serviceaccount name."
                    )));
                }
                bound.pod = Some(reference(&object));
                if !pod.spec.node_name.is_empty() {
                    let node = self.nodes.get("", &pod.spec.node_name);
                    let uid = node.map(|node| node.meta.uid.to_string()).unwrap_or_default();
                    bound.node = Some(Reference { name: pod.spec.node_name, uid });
                }
            }
            ("", "Secret") => bound.secret = Some(reference(&*found(&self.secrets, namespace)?)),
            ("", "Node") => bound.node = Some(reference(&*found(&self.nodes, "")?)),
            (group, kind) => {
                let slash = if group.is_empty() { "/" } else { "" };
                let kind = format!("{slash}{}, Kind={kind}", to.api_version);
                return Err(Status::bad_request(format!("cannot bind token to object of type {kind}")));
            }
        }
        Ok(())
    }
}

/// A body that names its account has to name this one.
fn check_name(said: &str, name: &str) -> Result<(), Status> {
    if said.is_empty() || said == name {
        return Ok(());
    }
    let why = "must match the service account name if specified";
    let error = Error::invalid(&Path::root("metadata").child("name"), said, why);
    let cause = Cause { reason: error.kind.reason().into(), message: error.body(), field: error.field };
    Err(Status::invalid("authentication.k8s.io", "TokenRequest", name, vec![cause]))
}

/// A body that says which account it means has to mean the one there is.
fn check_uid(said: &str, account: &Object) -> Result<(), Status> {
    let uid = &*account.meta.uid;
    if said.is_empty() || said == uid {
        return Ok(());
    }
    let why = format!("the UID in the token request ({said}) does not match the UID of the service account ({uid})");
    Err(Status::conflict("authentication.k8s.io", "TokenRequest", &account.meta.name, why))
}

fn check_expiration(seconds: i64) -> Result<(), Status> {
    let why = match seconds {
        ..SHORTEST_SECONDS => "may not specify a duration less than 10 minutes",
        SHORTEST_SECONDS..=LONGEST_SECONDS => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let error = Error::invalid(&Path::root("spec.expirationSeconds"), seconds, why);
    let cause = Cause { reason: error.kind.reason().into(), message: error.body(), field: error.field };
    Err(Status::invalid("authentication.k8s.io", "TokenRequest", "", vec![cause]))
}
