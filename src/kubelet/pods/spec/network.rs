//! Host name, resolv.conf and /etc/hosts of a pod: pure.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use runtime::types::DnsConfig;

use crate::error::{Result, invalid};
use crate::pods::pod::Pod;

/// The host name inside the pod, and its domain (empty without a subdomain).
pub(crate) fn hostname(pod: &Pod, node_name: &str, cluster_domain: &str) -> Result<(String, String)> {
    let spec = &pod.spec;
    if let Some(name) = &spec.hostname_override {
        return Ok((name.clone(), String::new()));
    }
    if pod.host_network() {
        return Ok((node_name.to_owned(), String::new()));
    }
    let mut name = match spec.hostname.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => pod.name.clone(),
    };
    // The kernel's limit; a pod's name may be longer.
    if name.len() > 63 {
        name.truncate(63);
        name.truncate(name.trim_end_matches(['-', '.']).len());
    }
    let domain = match spec.subdomain.as_deref() {
        Some(sub) if !sub.is_empty() => format!("{sub}.{}.svc.{cluster_domain}", pod.namespace),
        _ => String::new(),
    };
    if spec.set_hostname_as_fqdn.unwrap_or(false) && !domain.is_empty() {
        let full = format!("{name}.{domain}");
        if full.len() > 64 {
            return invalid(format!(
                "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long (64 characters is the max, {} characters requested)",
                full.len()
            ));
        }
        return Ok((full, domain));
    }
    Ok((name, domain))
}

/// A resolv.conf, read.
pub(crate) fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut dns = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split(['#', ';']).next().unwrap_or_default().split_whitespace();
        match words.next() {
            Some("nameserver") => dns.servers.extend(words.next().map(str::to_owned)),
            // The last of several search lines counts, and `domain` is one.
            Some("search" | "domain") => {
                dns.searches = words.map(|w| if w == "." { w } else { w.trim_end_matches('.') }.to_owned()).collect()
            }
            Some("options") => dns.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    dns
}

/// The pod's resolv.conf by its dnsPolicy and dnsConfig, and whether the cluster's DNS was asked for and there is none.
pub(crate) fn dns(pod: &Pod, cluster_dns: &[IpAddr], cluster_domain: &str, host: DnsConfig) -> (DnsConfig, bool) {
    const NONE: &str = "None";
    let policy = pod.spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = policy == "ClusterFirstWithHostNet" || (policy == "ClusterFirst" && !pod.host_network());
    let missing = cluster && cluster_dns.is_empty();
    let mut dns = if policy == NONE {
        DnsConfig::default()
    } else if cluster && !missing {
        let mut searches = vec![
            format!("{}.svc.{cluster_domain}", pod.namespace),
            format!("svc.{cluster_domain}"),
            cluster_domain.to_owned(),
        ];
        searches.extend(host.searches);
        DnsConfig {
            servers: cluster_dns.iter().map(ToString::to_string).collect(),
            searches,
            options: vec!["ndots:5".into()],
        }
    } else {
        let servers = if host.servers.is_empty() { vec!["127.0.0.1".into()] } else { host.servers };
        DnsConfig { servers, ..host }
    };
    if let Some(own) = &pod.spec.dns_config {
        dns.servers.extend(own.nameservers.iter().flatten().cloned());
        dns.searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            let text = match option.value.as_deref() {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name.clone(),
            };
            match dns.options.iter_mut().find(|o| o.split(':').next() == Some(name)) {
                Some(present) => *present = text,
                None => dns.options.push(text),
            }
        }
    }
    unique(&mut dns.servers);
    unique(&mut dns.searches);
    (dns, missing)
}

fn unique(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

/// The managed /etc/hosts. `host` is the node's own file, shown to pods on its network.
pub(crate) fn hosts_file(pod: &Pod, ips: &[IpAddr], hostname: &str, domain: &str, host: &str) -> String {
    let mut text = if pod.host_network() {
        format!("# Kubernetes-managed hosts file (host network).\n{host}")
    } else {
        let mut text = String::from(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
             fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        for ip in ips {
            let short = hostname.split('.').next().unwrap_or(hostname);
            match domain {
                "" => text.push_str(&format!("{ip}\t{hostname}\n")),
                domain => text.push_str(&format!("{ip}\t{short}.{domain}\t{short}\n")),
            }
        }
        text
    };
    let aliases: Vec<_> = pod.spec.host_aliases.iter().flatten().collect();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.clone().unwrap_or_default().join("\t")));
        }
    }
    text
}
