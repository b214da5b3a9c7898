//! What every request passes on its way to the registry, in one place and in one order:
//!
//! 1. panic guard: a panic ends the request, not the process ([`Chain::guard`])
//! 2. request info: what is asked for ([`crate::http::path::RequestInfo`], or the [`Request`] itself in process)
//! 3. authentication: who asks
//! 4. audit: the request gets its id and its span
//! 5. impersonation: whom the asker acts for
//! 6. priority and fairness: whether there is room
//! 7. authorization: whether they may
//! 8. the registry, or what is answered before it: reviews, tokens
//!
//! Requests over HTTP enter at 1, requests from this process at 1 too, with 3 and 5 settled by who calls.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Operation, Reply, Request, Status, User};
use bytes::Bytes;
use futures::FutureExt;
use http::HeaderMap;

use crate::Registry;
use crate::authentication::Authenticator;
use crate::authentication::x509::Peer;
use crate::authorization::{Attributes, Authorizer, review};
use crate::fairness::{Asked, Fairness, FlowHeaders, Permit};
use crate::http::REQUEST_TIME;
use crate::impersonation;
use crate::metrics::Metrics;

/// Everything a request passes.
pub(crate) struct Chain {
    pub(crate) registry: Arc<Registry>,
    pub(crate) authenticator: Authenticator,
    pub(crate) authorizer: Arc<Authorizer>,
    pub(crate) fairness: Arc<Fairness>,
    pub(crate) metrics: Arc<Metrics>,
}

/// How a request came.
#[derive(Clone, Copy)]
pub(crate) enum Caller<'a> {
    /// Over the network: the connection and the headers say who it is.
    Wire(&'a Peer, &'a HeaderMap),
    /// From this process, which is trusted to say who it is.
    InProcess(&'a Arc<User>),
}

/// What a request holds while it is carried out.
pub(crate) struct Pass {
    pub(crate) user: Arc<User>,
    /// Room in the server; given back when dropped.
    pub(crate) permit: Permit,
}

/// What a request is about, and how much of it.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) what: &'a Attributes<'a>,
    pub(crate) asked: Asked<'a>,
    /// How long it may take.
    pub(crate) time: Duration,
}

impl Chain {
    /// Step 1 for everything inside `work`.
    pub(crate) async fn guard<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(outcome) => outcome,
            Err(_) => {
                // The panic hook has logged where.
                self.metrics.panics.inc();
                Err(Status::internal("the request ended in a panic"))
            }
        }
    }

    /// Steps 3 to 7. Waits where a webhook or an identity provider has to be asked, and where there is no room. `flow` is told
    /// which flow the request belongs to, even if it is turned away.
    pub(crate) async fn enter(
        &self,
        caller: Caller<'_>,
        asking: Asking<'_>,
        flow: &mut Option<FlowHeaders>,
    ) -> Result<Pass, Status> {
        let what = asking.what;
        let user = match caller {
            Caller::InProcess(user) => user.clone(),
            Caller::Wire(peer, headers) => {
                let asker = self.authenticator.authenticate(peer, headers).await;
                let user = asker.inspect_err(|_| self.metrics.unauthenticated())?;
                self.metrics.authenticated();
                tracing::Span::current().record("user", user.name.as_str());
                impersonation::apply(&self.authorizer, user, headers).await?
            }
        };
        let permit = self.fairness.admit(&self.registry, &user, asking, flow).await?;
        self.authorizer.authorize(&user, what).await?;
        Ok(Pass { user, permit })
    }

    /// Step 8. Not for watches over HTTP, which want to share their frames.
    pub(crate) async fn act(&self, request: &Request) -> Result<Reply, Status> {
        if let Operation::Create(body, _) = &request.operation
            && let Some(answer) = self.answer_at_once(request, body).await
        {
            let object = answer.and_then(|value| {
                let bytes = Bytes::from(value.to_string());
                Object::received(bytes, &request.resource).map_err(Status::internal)
            })?;
            return Ok(Reply::Object { object: Arc::new(object), created: true, warnings: Vec::new() });
        }
        self.registry.call(request).await
    }

    /// What is no matter of the registry's: nothing of it is stored.
    async fn answer_at_once(
        &self,
        request: &Request,
        body: &serde_json::Value,
    ) -> Option<Result<serde_json::Value, Status>> {
        let resource = &request.resource;
        if resource.is_core() && &*resource.plural == "serviceaccounts" && request.subresource == "token" {
            return Some(self.authenticator.service_accounts.request_token(&request.namespace, &request.name, body));
        }
        if resource.stored || !request.subresource.is_empty() {
            return None;
        }
        review::answer(&self.authenticator, &self.authorizer, request, body).await
    }

    /// The whole chain for a request from this process.
    pub(crate) async fn call(&self, request: Request) -> Result<Reply, Status> {
        let verb = request.operation.verb();
        // The name of a new object stands in the object, not in the request line.
        let collection = matches!(request.operation, Operation::Create(..)) && request.subresource.is_empty();
        let selector = match &request.operation {
            Operation::List(list) | Operation::DeleteCollection(_, list) => &*list.field_selector,
            Operation::Watch(watch) => &*watch.list.field_selector,
            _ => "",
        };
        let what = Attributes {
            verb,
            group: &request.resource.group,
            version: &request.resource.version,
            resource: &request.resource.plural,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: if collection { "" } else { &request.name },
            is_resource: true,
            path: "",
            field_selector: selector,
        };
        let outcome = self
            .guard(async {
                let asking = Asking { what: &what, asked: Asked::Operation(&request.operation), time: REQUEST_TIME };
                let _pass = self.enter(Caller::InProcess(&request.user), asking, &mut None).await?;
                self.act(&request).await
            })
            .await;
        self.metrics.in_process(verb, &request.resource, outcome.as_ref().err().map_or(200, |status| status.code));
        outcome
    }
}
