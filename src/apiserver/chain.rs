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

use api::{Object, Operation, Reply, Request, Status, User, WriteOptions};
use bytes::Bytes;
use futures::FutureExt;
use http::HeaderMap;
use serde_json::Value;

use crate::Registry;
use crate::admission::{self, Verb};
use crate::audit::{Audit, Origin, Trail};
use crate::authentication::Authenticator;
use crate::authentication::x509::Peer;
use crate::authorization::{Attributes, Authorizer, review};
use crate::fairness::{Asked, Fairness, FlowHeaders, Permit};
use crate::http::REQUEST_TIME;
use crate::http::respond::{self, Form};
use crate::impersonation;
use crate::metrics::Metrics;
use crate::notes;
use crate::registry;
use crate::tree::Tree;

/// Everything a request passes.
pub(crate) struct Chain {
    pub(crate) registry: Arc<Registry>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) authorizer: Arc<Authorizer>,
    pub(crate) fairness: Arc<Fairness>,
    /// `None` where nothing is recorded.
    pub(crate) audit: Option<Arc<Audit>>,
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
    /// Its record, where one is kept.
    pub(crate) trail: Option<&'a Trail>,
}

/// What is answered at once, and warnings.
type Answer = Result<(Value, Vec<String>), Status>;

impl Chain {
    /// Step 1 for everything inside `work`, which an `async fn` would hold twice.
    pub(crate) fn guard<T>(
        &self,
        trail: Option<&Trail>,
        work: impl Future<Output = Result<T, Status>>,
    ) -> impl Future<Output = Result<T, Status>> {
        AssertUnwindSafe(work).catch_unwind().map(move |outcome| {
            outcome.unwrap_or_else(|_| {
                // The panic hook has logged where.
                self.metrics.panics.inc();
                if let Some(trail) = trail {
                    trail.panicked();
                }
                Err(Status::internal("the request ended in a panic"))
            })
        })
    }

    /// Steps 3 to 7. Waits where a webhook or an identity provider has to be asked, and where there is no room. `flow` is told
    /// which flow the request belongs to, even if it is turned away.
    pub(crate) async fn enter(
        &self,
        caller: Caller<'_>,
        asking: Asking<'_>,
        flow: &mut Option<FlowHeaders>,
    ) -> Result<Pass, Status> {
        let (what, trail) = (asking.what, asking.trail);
        let user = match caller {
            Caller::InProcess(user) => {
                trail.map_or(Ok(()), |trail| trail.authenticated(user, what))?;
                user.clone()
            }
            Caller::Wire(peer, headers) => {
                let asker = self.authenticator.authenticate(peer, headers, what.path).await;
                let asker = asker.inspect_err(|refusal| {
                    self.metrics.unauthenticated();
                    if let Some(trail) = trail {
                        trail.unauthenticated(what, refusal);
                    }
                })?;
                self.metrics.authenticated(peer);
                tracing::Span::current().record("user", asker.name.as_str());
                trail.map_or(Ok(()), |trail| trail.authenticated(&asker, what))?;
                let user = impersonation::apply(&self.authorizer, asker.clone(), headers).await?;
                if let Some(trail) = trail.filter(|_| !Arc::ptr_eq(&user, &asker)) {
                    trail.impersonated(&user);
                }
                user
            }
        };
        let permit = self.fairness.admit(&self.registry, &user, asking, flow).await?;
        let decision = self.authorizer.decide(&user, what).await;
        self.metrics.authorized(&decision);
        if let Some(trail) = trail {
            trail.authorized(&decision);
        }
        decision.into_permission(&user, what)?;
        Ok(Pass { user, permit })
    }

    /// Step 8. Not for watches over HTTP, which want to share their frames.
    pub(crate) async fn act(&self, request: &Request) -> Result<Reply, Status> {
        if let Operation::Create(body, options) = &request.operation
            && let Some(answer) = self.answer_at_once(request, body, options).await
        {
            let (value, warnings) = answer?;
            let object =
                Object::received(Bytes::from(value.to_string()), &request.resource).map_err(Status::internal)?;
            return Ok(Reply::Object { object: Arc::new(object), created: true, warnings });
        }
        self.registry.call(request).await
    }

    /// What is no matter of the registry's, because nothing of it is stored: the answer, and warnings.
    async fn answer_at_once(&self, request: &Request, body: &Value, options: &WriteOptions) -> Option<Answer> {
        let resource = &request.resource;
        if resource.is_core() && &*resource.plural == "serviceaccounts" && request.subresource == "token" {
            return Some(Box::pin(self.make_token(request, body, options)).await);
        }
        if !request.subresource.is_empty() || !review::is_review(resource) {
            return None;
        }
        Some(Box::pin(self.review(request, body, options)).await)
    }

    /// A review, answered if admission has nothing against it.
    async fn review(&self, request: &Request, body: &Value, options: &WriteOptions) -> Answer {
        let mut write = admission::Attributes::new(request, Verb::Create, admission::Options::Create(options.clone()));
        let (object, owners) = self.registry.read_review(request, body, options, &mut write.warnings).await?;
        (write.object, write.owners.new) = (object, Some(owners));
        admission::mutate(&self.registry, &mut write).await?;
        let mut asked = write.object.clone();
        put_owners(&mut asked, &write);
        let question = review::Question::read(request, &asked)?;
        admission::validate(&self.registry, &mut write).await?;
        let answer = question.answer(&self.authenticator, &self.authorizer, request, asked).await;
        Ok((answer, write.warnings))
    }

    /// A service account's token, if admission has nothing against it.
    async fn make_token(&self, request: &Request, body: &Value, options: &WriteOptions) -> Answer {
        let mut write = admission::Attributes::new(request, Verb::Create, admission::Options::Create(options.clone()));
        write.object = registry::read_sub_object(request, body, options, &mut write.warnings)?;
        write.object.cut("metadata.managedFields");
        write.owners.new = Some(registry::of_token_request(&write.object, options));
        admission::mutate(&self.registry, &mut write).await?;
        admission::validate(&self.registry, &mut write).await?;
        let accounts = &self.authenticator.service_accounts;
        let (mut answer, warnings) = accounts.request_token(&request.namespace, &request.name, &write.object)?;
        put_owners(&mut answer, &write);
        write.warnings.extend(warnings);
        Ok((answer, write.warnings))
    }

    /// The whole chain for a request from this process.
    pub(crate) async fn call(&self, request: Request) -> Result<Reply, Status> {
        let verb = request.operation.verb();
        // The name of a new object stands in the object, not in the request line.
        let collection = matches!(request.operation, Operation::Create(..)) && request.subresource.is_empty();
        let (field_selector, label_selector) = match &request.operation {
            Operation::List(list) | Operation::DeleteCollection(_, list) => {
                (&*list.field_selector, &*list.label_selector)
            }
            Operation::Watch(watch) => (&*watch.list.field_selector, &*watch.list.label_selector),
            _ => ("", ""),
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
            field_selector,
            label_selector,
        };
        let trail = self.audit.as_ref().map(|audit| audit.trail(Origin::in_process(&request), &what));
        let trail = trail.as_deref();
        let asked = Asked::Operation(&request.operation);
        let asking = Asking { what: &what, asked, time: REQUEST_TIME, trail };
        let work = self.guard(trail, async {
            let _pass = self.enter(Caller::InProcess(&request.user), asking, &mut None).await?;
            // What is recorded of an object is read out of it: in the guard's reach, and for those who may ask only.
            if let Some(trail) = trail {
                trail.request(&request, &self.registry);
            }
            self.act(&request).await
        });
        let outcome = match trail {
            None => work.await,
            Some(trail) => {
                let (outcome, notes) = Box::pin(notes::of(work)).await;
                trail.annotations(&notes.annotations);
                if let Ok(reply) = &outcome {
                    trail.reply(reply, || respond::recorded(&request.resource, reply, &Form::PLAIN));
                }
                trail.answered(outcome.as_ref().map_or_else(|status| status.code, |_| 200), outcome.as_ref().err());
                outcome
            }
        };
        self.metrics.in_process(verb, &request.resource, outcome.as_ref().err().map_or(200, |status| status.code));
        outcome
    }
}

/// Shows who owns what of an object that is answered and not stored.
fn put_owners(object: &mut Value, write: &admission::Attributes) {
    if let Some(owners) = write.owners.new.as_ref().filter(|owners| !owners.is_empty()) {
        object.put("metadata.managedFields", owners.to_value());
    }
}
