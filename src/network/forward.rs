//! Pod traffic through other software's default: where the chain `FORWARD` of `ip filter` drops by default, as Docker has
//! it, an accept in a table of our own does not help. Two rules in front of that chain do.

use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Result};
use crate::netlink::Socket;
use crate::nft::{self, Batch, Field, Rule, Statement};

const TABLE: &str = "filter";
const CHAIN: &str = "FORWARD";
/// By which we know our rules again.
const COMMENT: &str = "isopod: traffic of pods";

/// Makes the chain accept what comes from pods or goes to them, if there is such a chain and it drops by default.
pub(crate) fn open(socket: &mut Socket, cluster: Ipv4Cidr) -> Result<()> {
    let reading = || format!("reading nftables chain ip {TABLE} {CHAIN}");
    if nft::drops_by_default(socket, TABLE, CHAIN).doing(reading)? != Some(true) {
        return Ok(());
    }
    if nft::rules_with_comment(socket, TABLE, CHAIN, COMMENT).doing(reading)?.len() == 2 {
        return Ok(());
    }
    close(socket)?;
    let mut batch = Batch::new(TABLE);
    for field in [Field::SourceAddress, Field::DestinationAddress] {
        let rule: Rule = vec![Statement::within(field, cluster), Statement::Counter, Statement::Accept];
        batch.insert_rule(CHAIN, &rule, COMMENT);
    }
    batch.commit(socket)?;
    tracing::info!(table = TABLE, chain = CHAIN, "drops by default: pod traffic accepted there");
    Ok(())
}

/// Removes our rules from the chain, if they are there.
pub(crate) fn close(socket: &mut Socket) -> Result<()> {
    let handles = nft::rules_with_comment(socket, TABLE, CHAIN, COMMENT)
        .doing(|| format!("reading nftables chain ip {TABLE} {CHAIN}"))?;
    let mut batch = Batch::new(TABLE);
    for handle in handles {
        batch.delete_rule(CHAIN, handle);
    }
    batch.commit(socket)
}
