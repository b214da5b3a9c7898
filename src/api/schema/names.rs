//! Fields by their JSON name: a small open table of hashes, because every key of every object that is read, patched or
//! written as protobuf asks it.

use super::Field;

/// Marks a place that holds no field.
const FREE: u32 = u32::MAX;

/// Places of fields in their message, by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// A power of two of them, at least twice as many as there are fields; none for a message without fields.
    places: Box<[u32]>,
}

impl Names {
    pub(super) fn of(fields: &[Field]) -> Self {
        if fields.is_empty() {
            return Self::default();
        }
        let mut names = Self { places: vec![FREE; (fields.len() * 2).next_power_of_two()].into() };
        for (at, field) in fields.iter().enumerate() {
            let place = names.walk(field.name.as_bytes()).find(|place| names.places[*place] == FREE);
            // Half of the places stay free, so there is one.
            if let Some(place) = place {
                names.places[place] = at as u32;
            }
        }
        names
    }

    /// The place of the field with this name in `fields`, which are those the table was made of.
    pub(super) fn find(&self, name: &[u8], fields: &[Field]) -> Option<usize> {
        for place in self.walk(name) {
            match self.places[place] {
                FREE => return None,
                at if fields[at as usize].name.as_bytes() == name => return Some(at as usize),
                _ => {}
            }
        }
        None
    }

    /// The places a name may be at, the likeliest first.
    fn walk(&self, name: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (hash(name), self.places.len());
        (0..count).map(move |step| (first.wrapping_add(step)) & (count - 1))
    }
}

/// All bytes count, eight at a time: names of custom kinds are anybody's.
fn hash(name: &[u8]) -> usize {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = name.as_chunks::<8>();
    let hash = words.iter().fold(name.len() as u64, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let tail = match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)),
        _ => rest.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)),
    };
    (mix(hash, tail) >> 7) as usize
}
