//! CertificateSigningRequests.

use std::collections::HashSet;

use api::certificate_request::CertificateRequest;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1123_label, dns1123_subdomain};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::pem::Pem;

use super::Strategy;
use crate::tree::Tree;

const SUBDOMAIN_MAX: usize = 253;
/// A domain, a slash, and a name of a resource in a namespace.
const SIGNER_MAX: usize = SUBDOMAIN_MAX + 1 + SUBDOMAIN_MAX + 1 + 63;

/// What a certificate may be for, sorted.
pub(crate) const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

pub(super) const SIGNING_REQUEST: Strategy = Strategy {
    name: |_| Vec::new(),
    status: Some("{}"),
    prepare_create: |request, creation| {
        let user = creation.user;
        // Whose request it is, is not for the client to say.
        request.put("spec.username", user.name.as_str());
        request.put_or_remove("spec.uid", (!user.uid.is_empty()).then(|| user.uid.as_str().into()));
        request.put("spec.groups", json!(user.groups));
        request.put_or_remove("spec.extra", (!user.extra.is_empty()).then(|| json!(user.extra)));
    },
    prepare_update: |new, old| new.put_or_remove("spec", old.at("spec").cloned()),
    validate: |request, errors| {
        let spec = Path::root("spec");
        let text = request.text("spec.request");
        let read = STANDARD.decode(text).map_err(|_| "illegal base64 data".to_owned());
        if let Err(why) = read.and_then(|pem| CertificateRequest::parse(&pem)) {
            let shown = request.at("spec.request").cloned().unwrap_or_default();
            errors.push(Error::invalid(&spec.child("request"), shown, why));
        }
        let usages = request.items("spec.usages");
        if usages.is_empty() {
            errors.push(Error::required(&spec.child("usages"), ""));
        }
        let mut seen = HashSet::new();
        for (at, usage) in usages.iter().enumerate() {
            let path = spec.child("usages").index(at);
            let name = usage.as_str().unwrap_or_default();
            if !USAGES.contains(&name) {
                errors.push(Error::not_supported(&path, name, &USAGES));
            }
            if !seen.insert(usage) {
                errors.push(Error::duplicate(&path, name));
            }
        }
        match request.text("spec.signerName") {
            signer @ "kubernetes.io/legacy-unknown" => {
                let why = "the legacy signerName is not allowed via this API version";
                errors.push(Error::invalid(&spec.child("signerName"), signer, why));
            }
            signer => validate_signer(&spec.child("signerName"), signer, errors),
        }
        if let Some(seconds) = request.int("spec.expirationSeconds").filter(|seconds| *seconds < 600) {
            let why = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.push(Error::invalid(&spec.child("expirationSeconds"), seconds, why));
        }
    },
    ..Strategy::DEFAULT
};

fn validate_signer(path: &Path, signer: &str, errors: &mut ErrorList) {
    if signer.is_empty() {
        errors.push(Error::required(path, ""));
        return;
    }
    let (domain, name) = match signer.split('/').collect::<Vec<_>>().as_slice() {
        [domain, name] => (*domain, *name),
        _ => {
            let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
            errors.push(Error::invalid(path, signer, why));
            return;
        }
    };
    if domain.len() > SUBDOMAIN_MAX {
        errors.push(Error::too_long(path, SUBDOMAIN_MAX));
    }
    let mut each = |part: &str, check: fn(&str) -> Vec<String>| {
        // One bad label is enough: more would be told in the same words.
        let bad = part.split('.').find_map(|label| Some((label, check(label))).filter(|(_, why)| !why.is_empty()));
        let Some((label, whys)) = bad else { return };
        let label = api::quote::quote(label);
        for why in whys {
            errors.push(Error::invalid(path, part, format!("validating label {label}: {why}")));
        }
    };
    each(domain, dns1123_label);
    each(name, dns1123_subdomain);
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(path, domain, why));
    }
    if signer.len() > SIGNER_MAX {
        errors.push(Error::too_long(path, SIGNER_MAX));
    }
}

/// Complaints about what approvers and signers have written.
pub(crate) fn validate_status(request: &Value, old: &Value, errors: &mut ErrorList) {
    let path = Path::root("status").child("conditions");
    for kind in ["Approved", "Denied", "Failed"] {
        let has = |request: &Value| request.items("status.conditions").iter().any(|c| c.text("type") == kind);
        if has(old) && !has(request) {
            let kind = api::quote::quote(kind);
            errors.push(Error::forbidden(&path, format!("updates may not remove a condition of type {kind}")));
        }
    }
    let conditions = request.items("status.conditions");
    let had = |kind: &str| old.items("status.conditions").iter().any(|condition| condition.text("type") == kind);
    let had_both = had("Approved") && had("Denied");
    let mut seen = HashSet::new();
    let list = path;
    for (at, condition) in conditions.iter().enumerate() {
        let path = list.index(at);
        let kind = condition.text("type");
        if kind.is_empty() {
            errors.push(Error::required(&path.child("type"), ""));
        }
        let both = (kind == "Approved" && seen.contains("Denied")) || (kind == "Denied" && seen.contains("Approved"));
        if both && !had_both {
            let why = "Approved and Denied conditions are mutually exclusive";
            errors.push(Error::invalid(&list, kind, why));
        }
        let known: &[&str] = match kind {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        match condition.text("status") {
            "" => errors.push(Error::required(&path.child("status"), "")),
            status if !known.contains(&status) => {
                errors.push(Error::not_supported(&path.child("status"), status, known));
            }
            _ => {}
        }
        if !seen.insert(kind) {
            errors.push(Error::duplicate(&path.child("type"), kind));
        }
    }
    if let Some(why) = certificate_complaint(request.text("status.certificate")) {
        errors.push(Error::invalid(&Path::root("status").child("certificate"), "<certificate data>", why));
    }
}

/// Complaints about a write by who signs: approvals are not theirs, and a certificate is given once.
pub(crate) fn validate_signing(request: &Value, old: &Value, errors: &mut ErrorList) {
    let status = Path::root("status");
    for kind in ["Approved", "Denied"] {
        let count =
            |request: &Value| request.items("status.conditions").iter().filter(|c| c.text("type") == kind).count();
        if count(request) > count(old) {
            let why = format!("updates may not add a condition of type {}", api::quote::quote(kind));
            errors.push(Error::forbidden(&status.child("conditions"), why));
        }
    }
    let before = old.text("status.certificate");
    if !before.is_empty() && request.text("status.certificate") != before {
        let why = "updates may not modify existing certificate content";
        errors.push(Error::forbidden(&status.child("certificate"), why));
    }
}

fn certificate_complaint(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let Ok(pem) = STANDARD.decode(text) else { return Some("illegal base64 data".into()) };
    let mut any = false;
    for block in Pem::iter_from_buffer(&pem) {
        let Ok(block) = block else { break };
        if block.label != "CERTIFICATE" {
            let label = api::quote::quote(&block.label);
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {label}"));
        }
        if block.parse_x509().is_err() {
            return Some("found CERTIFICATE PEM block containing 0 certificates, must contain at least one".into());
        }
        any = true;
    }
    (!any).then(|| "must contain at least one CERTIFICATE PEM block".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signers_are_named_by_domain_and_path() {
        let check = |signer: &str, expect: &str| {
            let mut errors = ErrorList::new();
            validate_signer(&Path::root("spec.signerName"), signer, &mut errors);
            let seen: Vec<String> = errors.iter().map(|error| error.body()).collect();
            assert!(
                if expect.is_empty() { seen.is_empty() } else { seen.join("; ").contains(expect) },
                "{signer}: {seen:?}"
            );
        };
        check("example.com/x", "");
        check("example.com/x.y-z", "");
        check("", "Required value");
        check("x", "must be a fully qualified domain and path");
        check("a.b/c/d", "must be a fully qualified domain and path");
        check("local/x", "at least two segments");
        check("Exam_ple.com/x", "validating label \"Exam_ple\"");
        check("example.com/X", "validating label \"X\"");
    }

    #[test]
    fn a_request_is_approved_or_denied() {
        let request = json!({"status": {"conditions": [
            {"type": "Approved", "status": "True"}, {"type": "Denied", "status": "False"}, {"type": "x", "status": "No"},
            {"type": "x"},
        ], "certificate": "LS0t"}});
        let mut errors = ErrorList::new();
        validate_status(&request, &Value::Null, &mut errors);
        let seen: Vec<&str> = errors.iter().map(|error| &*error.field).collect();
        assert_eq!(
            seen,
            [
                "status.conditions",
                "status.conditions[1].status",
                "status.conditions[2].status",
                "status.conditions[3].status",
                "status.conditions[3].type",
                "status.certificate",
            ]
        );
    }
}
