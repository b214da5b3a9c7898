//! Pod traffic that leaves the cluster takes on the node's address; pod traffic may be forwarded.

use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Result};
use crate::forward;
use crate::netlink::Socket;
use crate::nft::{self, Batch, Chain, Field, Hook, HookPoint, Statement, Table};

/// The table's name.
pub(crate) const TABLE: &str = "isopod-network";
const MULTICAST: Ipv4Cidr = Ipv4Cidr { address: std::net::Ipv4Addr::new(224, 0, 0, 0), prefix: 4 };

/// What the table depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) cluster: Ipv4Cidr,
    /// This node's pod CIDR.
    pub(crate) subnet: Ipv4Cidr,
    pub(crate) masquerade: bool,
    /// Whether bridged packets pass the IPv4 hooks; see [`crate::sysctl::prepare_node`].
    pub(crate) bridge_filter: bool,
}

/// Puts the table in place, in one transaction, unless it stands and was made for the same scope. Sees to it that no
/// other software's default stops forwarded pod traffic.
pub(crate) fn ensure(scope: &Scope, last: Option<&Scope>) -> Result<()> {
    let mut socket = Socket::netfilter().doing(|| "opening a netfilter socket".into())?;
    forward::open(&mut socket, scope.cluster)?;
    let stands =
        nft::table_handle(&mut socket, TABLE).doing(|| format!("reading nftables table ip {TABLE}"))?.is_some();
    if stands && last == Some(scope) {
        return Ok(());
    }
    Batch::replace(&plan(scope)).commit(&mut socket)
}

/// The table there should be.
pub(crate) fn plan(scope: &Scope) -> Table {
    use Field::{DestinationAddress, SourceAddress};
    let Scope { cluster, subnet, .. } = *scope;
    let subnet = subnet.network();
    let mut postrouting = Vec::new();
    if !scope.bridge_filter {
        // The answer between two pods on the bridge would never pass here to be translated back.
        postrouting.push(vec![
            Statement::within(SourceAddress, subnet),
            Statement::within(DestinationAddress, subnet),
            Statement::Translated(true),
            Statement::Masquerade,
        ]);
    }
    if scope.masquerade {
        postrouting.extend([
            vec![
                Statement::within(SourceAddress, cluster),
                Statement::within(DestinationAddress, cluster),
                Statement::Return,
            ],
            vec![
                Statement::within(SourceAddress, cluster),
                Statement::outside(DestinationAddress, MULTICAST),
                Statement::Masquerade,
            ],
            vec![Statement::within(DestinationAddress, subnet), Statement::Return],
            // From outside to a pod of another node through this one: the answer must come back the same way.
            vec![
                Statement::outside(SourceAddress, cluster),
                Statement::within(DestinationAddress, cluster),
                Statement::Masquerade,
            ],
        ]);
    }
    Table {
        name: TABLE,
        sets: Vec::new(),
        chains: vec![
            Chain::new("postrouting", Hook::nat(HookPoint::Postrouting, 100), postrouting),
            Chain::new(
                "forward",
                Hook::filter(HookPoint::Forward, 0),
                vec![
                    vec![Statement::within(SourceAddress, cluster), Statement::Accept],
                    vec![Statement::within(DestinationAddress, cluster), Statement::Accept],
                ],
            ),
        ],
        elements: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
