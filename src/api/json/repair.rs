//! Characters that are none: Go's parser reads them as the replacement character.

/// The text with replacement characters where it is no UTF-8 and where an escape is half of a pair; `None` where there is nothing to
/// replace.
pub(super) fn characters(text: &[u8]) -> Option<Vec<u8>> {
    let whole = String::from_utf8_lossy(text);
    let mut out = whole.clone().into_owned().into_bytes();
    let mut at = 0;
    let mut replaced = whole.as_bytes() != text;
    while at < out.len() {
        if out[at] != b'\\' {
            at += 1;
            continue;
        }
        at += match (escaped(&out, at), escaped(&out, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out[at..at + 6].copy_from_slice(b"\\ufffd");
                replaced = true;
                6
            }
            // An escaped backslash begins no escape.
            _ => 2,
        };
    }
    replaced.then_some(out)
}

/// The number of an escape of four digits that stands here.
fn escaped(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
