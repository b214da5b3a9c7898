//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may approve and sign for a signer is asked
//! of the authorizer, signer by signer; and the group that may do everything is nobody's to ask for.

use std::sync::Arc;

use api::Status;
use api::certificate_request::CertificateRequest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::authorization;
use crate::tree::Tree;

const GROUP: &str = "certificates.k8s.io";

pub(super) fn approval() -> Plugin {
    Plugin::validating(
        "CertificateApproval",
        Step::Later(Arc::new(|registry, write| Box::pin(approve(registry, write)))),
    )
}

pub(super) fn signing() -> Plugin {
    Plugin::validating("CertificateSigning", Step::Later(Arc::new(|registry, write| Box::pin(sign(registry, write)))))
}

pub(super) fn subject_restriction() -> Plugin {
    Plugin::validating("CertificateSubjectRestriction", Step::Now(restrict))
}

/// Whether the write is one of this part of a request.
fn is(write: &Attributes, verb: Verb, subresource: &str) -> bool {
    write.verb == verb
        && write.subresource == subresource
        && &*write.resource.group == GROUP
        && &*write.resource.plural == "certificatesigningrequests"
}

async fn approve(registry: &Registry, write: &mut Attributes) -> Result<(), Status> {
    if !is(write, Verb::Update, "approval") {
        return Ok(());
    }
    let signer = write.object.text("spec.signerName");
    if may(registry, write, "approve", signer).await {
        return Ok(());
    }
    let signer = api::quote::quote(signer);
    Err(write.forbidden(format!("user not permitted to approve requests with signerName {signer}")))
}

async fn sign(registry: &Registry, write: &mut Attributes) -> Result<(), Status> {
    let written = |field: &str| write.object.at(field) != write.old.at(field);
    if !is(write, Verb::Update, "status") || (!written("status.certificate") && !written("status.conditions")) {
        return Ok(());
    }
    let signer = write.old.text("spec.signerName");
    if may(registry, write, "sign", signer).await {
        return Ok(());
    }
    let signer = api::quote::quote(signer);
    Err(write.forbidden(format!("user not permitted to sign requests with signerName {signer}")))
}

/// Whether the writer may approve or sign for a signer, by its name or by its domain.
async fn may(registry: &Registry, write: &Attributes, verb: &str, signer: &str) -> bool {
    let Some(authorizer) = registry.authorizer() else { return true };
    let domain = format!("{}/*", signer.split('/').next().unwrap_or_default());
    for name in [signer, &domain] {
        let what = authorization::Attributes {
            verb,
            group: GROUP,
            version: "*",
            resource: "signers",
            name,
            is_resource: true,
            ..authorization::Attributes::default()
        };
        if authorizer.decide(&write.user, &what).await.allows() {
            return true;
        }
    }
    false
}

fn restrict(_: &Registry, write: &mut Attributes) -> Result<(), Status> {
    const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
    if !is(write, Verb::Create, "") || write.object.text("spec.signerName") != SIGNER {
        return Ok(());
    }
    let pem = STANDARD.decode(write.object.text("spec.request")).unwrap_or_default();
    let request =
        CertificateRequest::parse(&pem).map_err(|why| write.forbidden(format!("failed to parse CSR: {why}")))?;
    if request.organizations.iter().any(|group| group == api::user::MASTERS) {
        let why = format!("use of {SIGNER} signer with system:masters group is not allowed");
        return Err(write.forbidden(why));
    }
    Ok(())
}
