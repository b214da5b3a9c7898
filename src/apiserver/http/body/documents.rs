//! Texts of several YAML documents, of which the first one counts, as upstream reads them: what stands behind it is not looked at.

/// The first document of a text.
pub(super) fn first(text: &str) -> &str {
    let mut begun = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let marks = |mark: &str| {
            line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        if begun && (marks("---") || marks("...")) {
            return &text[..at];
        }
        // Directives and comments belong to what follows.
        begun |= marks("---") || !(line.trim().is_empty() || line.starts_with(['#', '%']));
        at += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn the_first_document_ends_where_another_mark_stands() {
        for (text, expect) in [
            ("a: 1\n", "a: 1\n"),
            ("a: 1\n---\nb: 2\n", "a: 1\n"),
            ("---\na: 1\n---\nb: [", "---\na: 1\n"),
            ("a: 1\n---", "a: 1\n"),
            ("a: 1\n...\nb: 2", "a: 1\n"),
            ("# x\n%YAML 1.1\n\n---\na: 1\n--- b\n", "# x\n%YAML 1.1\n\n---\na: 1\n"),
            ("---\n---\na: 1\n", "---\n"),
            ("a: |\n  ---\n  x\n---x: 1\n", "a: |\n  ---\n  x\n---x: 1\n"),
            ("--- {a: 1}\r\n---\r\nb", "--- {a: 1}\r\n"),
            ("", ""),
        ] {
            assert_eq!(first(text), expect, "{text:?}");
        }
    }
}
