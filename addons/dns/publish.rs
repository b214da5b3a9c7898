//! The `kube-dns` Service: where the cluster's users look for their DNS.

use std::net::IpAddr;

use api::Status;
use client::{Client, kinds};
use serde_json::json;

const NAME: &str = "kube-dns";

/// Makes the Service, unless it is there. The service proxy leaves it alone: the address is the node's own, where DNS answers.
pub async fn publish(client: &Client, address: IpAddr) -> Result<(), Status> {
    // Asked first: creating it again would be refused for its address, not for its name.
    match client.get(&kinds::services(), "kube-system", NAME).await {
        Err(status) if status.is_not_found() => {}
        found => return found.map(drop),
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": NAME, "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS",
                "service.kubernetes.io/service-proxy-name": "isopod-dns",
            },
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": address.to_string(),
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    });
    match client.create(&kinds::services(), "kube-system", service).await {
        Err(status) if !status.is_already_exists() => Err(status),
        _ => Ok(()),
    }
}
