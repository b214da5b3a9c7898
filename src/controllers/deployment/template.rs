//! Pod templates: which set has which, and a short name for each.

use serde_json::Value;

use super::HASH_LABEL;
use super::plan::Set;

/// The oldest set whose template is this one, the hash label aside.
pub(super) fn find(template: &Value, sets: &[Set]) -> Option<usize> {
    let wanted = plain(template);
    let same = (0..sets.len()).filter(|at| plain(&sets[*at].template) == wanted);
    same.min_by_key(|at| (sets[*at].object.meta.creation_timestamp, sets[*at].object.meta.name.clone()))
}

fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("creationTimestamp");
        if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
            labels.remove(HASH_LABEL);
        }
    }
    template
}

/// A hash of the template for names and labels; `collisions` salts it.
pub(crate) fn hash(template: &Value, collisions: i64) -> String {
    let mut hash = Fnv(0x811c_9dc5);
    hash.value(&plain(template));
    if collisions > 0 {
        hash.bytes(&collisions.to_le_bytes());
    }
    // Letters that spell no words: upstream's alphabet.
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.0.to_string().bytes().map(|digit| ALPHABET[usize::from(digit) % ALPHABET.len()] as char).collect()
}

/// FNV-1a over a tree, whatever the order of its keys.
struct Fnv(u32);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<&String> = map.keys().collect();
                keys.sort();
                for key in keys {
                    self.bytes(b"{");
                    self.bytes(key.as_bytes());
                    self.value(&map[key]);
                }
                self.bytes(b"}");
            }
            Value::Array(list) => {
                self.bytes(b"[");
                list.iter().for_each(|element| self.value(element));
                self.bytes(b"]");
            }
            plain => self.bytes(plain.to_string().as_bytes()),
        }
    }
}
