//! Certificate requests (PKCS #10): what they ask for, read for validation, approval and signing alike; and what the
//! signers of Kubernetes sign.

use std::net::IpAddr;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

/// The group of every node.
const NODES: &str = "system:nodes";

/// A request, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The subject's common name; empty without one.
    pub common_name: String,
    /// The subject's organizations, in their order.
    pub organizations: Vec<String>,
    /// DNS names beside the subject.
    pub dns_names: Vec<String>,
    /// E-mail addresses beside the subject.
    pub emails: Vec<String>,
    /// URIs beside the subject.
    pub uris: Vec<String>,
    /// Addresses beside the subject.
    pub addresses: Vec<IpAddr>,
    /// The subject as it stands.
    pub subject_der: Vec<u8>,
    /// The public key with its kind, as it stands.
    pub public_key_der: Vec<u8>,
}

impl CertificateRequest {
    /// Reads the first block of a PEM text. The requester has to have signed it with the key it is about.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok);
        let block = block.filter(|block| block.label == "CERTIFICATE REQUEST");
        let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
        let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(|error| error.to_string())?;
        request.verify_signature().map_err(|_| "the signature is not that of the request's key".to_owned())?;
        let info = &request.certification_request_info;
        let mut read = Self {
            subject_der: info.subject.as_raw().to_vec(),
            public_key_der: info.subject_pki.raw.to_vec(),
            ..Self::default()
        };
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().map(str::to_owned);
        let unreadable = |_| "the subject cannot be read".to_owned();
        // As Go reads it, the last common name counts.
        for name in info.subject.iter_common_name() {
            read.common_name = text(name).map_err(unreadable)?;
        }
        for name in info.subject.iter_organization() {
            read.organizations.push(text(name).map_err(unreadable)?);
        }
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in &names.general_names {
                read.add(name)?;
            }
        }
        Ok(read)
    }

    fn add(&mut self, name: &GeneralName<'_>) -> Result<(), String> {
        match name {
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.emails.push((*name).to_owned()),
            GeneralName::URI(name) => self.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                self.addresses.push(address.map_err(|_| "an address is of no known length".to_owned())?);
            }
            // Nobody could be found by the others.
            _ => {}
        }
        Ok(())
    }

    /// Whether this is a node agent's request for its client certificate; else why not, in upstream's words.
    pub fn check_kubelet_client(&self, usages: &[&str]) -> Result<(), String> {
        self.check_node()?;
        if !self.dns_names.is_empty() {
            return Err("DNS subjectAltNames are not allowed".into());
        }
        if !self.addresses.is_empty() {
            return Err("IP subjectAltNames are not allowed".into());
        }
        self.check_usages(usages, "client auth")
    }

    /// Whether this is a node agent's request for its serving certificate; else why not, in upstream's words.
    pub fn check_kubelet_serving(&self, usages: &[&str]) -> Result<(), String> {
        if self.dns_names.is_empty() && self.addresses.is_empty() {
            return Err("DNS or IP subjectAltName is required".into());
        }
        self.check_node()?;
        self.check_usages(usages, "server auth")
    }

    fn check_node(&self) -> Result<(), String> {
        if self.organizations != [NODES] {
            return Err("subject organization is not system:nodes".into());
        }
        if !self.emails.is_empty() {
            return Err("Email subjectAltNames are not allowed".into());
        }
        if !self.uris.is_empty() {
            return Err("URI subjectAltNames are not allowed".into());
        }
        if !self.common_name.starts_with("system:node:") {
            return Err("subject common name does not begin with system:node: ".into());
        }
        Ok(())
    }

    /// RSA keys encipher, others do not: both sets of usages will do.
    fn check_usages(&self, usages: &[&str], role: &str) -> Result<(), String> {
        let mut given = usages.to_vec();
        given.sort_unstable();
        given.dedup();
        let mut wanted = vec![role, "digital signature"];
        wanted.sort_unstable();
        if given == wanted {
            return Ok(());
        }
        wanted.push("key encipherment");
        wanted.sort_unstable();
        if given == wanted { Ok(()) } else { Err(format!("usages did not match [{}]", wanted.join(" "))) }
    }
}

/// The usages of a client certificate that is signed for anybody; why others are not, in upstream's words.
pub fn check_client_usages(usages: &[&str]) -> Result<(), String> {
    let known = ["client auth", "digital signature", "key encipherment"];
    if let Some(other) = usages.iter().find(|usage| !known.contains(usage)) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    let client = usages.contains(&"client auth");
    if client { Ok(()) } else { Err("missing required usage for client certificate: client auth".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_ask_for_what_nodes_get() {
        let node = CertificateRequest {
            common_name: "system:node:n".into(),
            organizations: vec![NODES.into()],
            ..CertificateRequest::default()
        };
        let client = ["client auth", "digital signature", "key encipherment"];
        node.check_kubelet_client(&client).unwrap();
        node.check_kubelet_client(&client[..2]).unwrap();
        assert!(node.check_kubelet_client(&client[..1]).unwrap_err().starts_with("usages did not match"));
        assert_eq!(node.check_kubelet_serving(&client).unwrap_err(), "DNS or IP subjectAltName is required");
        let serving = CertificateRequest { dns_names: vec!["n".into()], ..node.clone() };
        serving.check_kubelet_serving(&["server auth", "digital signature"]).unwrap();
        assert_eq!(serving.check_kubelet_client(&client).unwrap_err(), "DNS subjectAltNames are not allowed");
        let other = CertificateRequest { organizations: vec!["x".into()], ..node.clone() };
        assert_eq!(other.check_kubelet_client(&client).unwrap_err(), "subject organization is not system:nodes");
        let alice = CertificateRequest { common_name: "alice".into(), ..node };
        assert!(alice.check_kubelet_client(&client).unwrap_err().starts_with("subject common name"));
        assert_eq!(
            check_client_usages(&["client auth", "server auth"]).unwrap_err(),
            "invalid usage for client certificate: server auth"
        );
        assert!(check_client_usages(&["digital signature"]).is_err());
    }

    #[test]
    fn other_texts_are_no_requests() {
        let expect = "PEM block type must be CERTIFICATE REQUEST";
        for text in ["", "-", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert_eq!(CertificateRequest::parse(text.as_bytes()).unwrap_err(), expect, "{text}");
        }
    }
}
