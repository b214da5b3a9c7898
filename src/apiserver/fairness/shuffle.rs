//! Shuffle sharding: each flow is dealt a hand of queues, and its requests wait in the shortest of them. Two flows share
//! some queues but hardly ever all, so that one that floods its own leaves the others a way.

use aws_lc_rs::digest;

/// The entropy a flow's hash has, upstream's `MaxHashBits`.
pub(crate) const HASH_BITS: u32 = 60;

/// The hash of a flow, by which its hand is dealt.
pub(super) fn hash(schema: &str, distinguisher: &str) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(schema.as_bytes());
    context.update(&[0]);
    context.update(distinguisher.as_bytes());
    let sum = context.finish();
    sum.as_ref().iter().take(8).rev().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// How many bits of a hash it takes to deal a hand, upstream's slightly cautious estimate.
pub(crate) fn entropy_bits(deck: i64, hand: i64) -> u32 {
    ((deck as f64).log2() * hand as f64).ceil() as u32
}

/// Deals `hand` different numbers below `deck`.
pub(super) fn deal(mut hash: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut dealt: Vec<usize> = Vec::with_capacity(hand);
    for size in (deck.saturating_sub(hand) + 1..=deck).rev() {
        let size = size as u64;
        let mut card = (hash % size) as usize;
        hash /= size;
        // The card counts among those still in the deck: it moves up past each that was dealt before.
        let mut taken = dealt.clone();
        taken.sort_unstable();
        for before in taken {
            if card >= before {
                card += 1;
            }
        }
        dealt.push(card);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_hold_different_queues() {
        for hash in (0..2000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
            let mut hand = deal(hash, 16, 4);
            assert!(hand.iter().all(|queue| *queue < 16));
            hand.sort_unstable();
            hand.dedup();
            assert_eq!(hand.len(), 4, "{hash}");
        }
        assert_eq!(deal(7, 1, 1), [0]);
        let mut all = deal(u64::MAX, 5, 5);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn flows_are_told_apart() {
        assert_ne!(hash("a", "b"), hash("a", "c"));
        assert_ne!(hash("ab", "c"), hash("a", "bc"));
        assert_eq!(entropy_bits(128, 6), 42);
        assert!(entropy_bits(10_000_000, 8) > HASH_BITS);
    }
}
