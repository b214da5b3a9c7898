//! Indents JSON for people, as it streams by.

/// Two spaces a level, as Go's `json.Indent`. Keeps its place between chunks, wherever they were cut.
#[derive(Debug, Default)]
pub(crate) struct Indenter {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// An opening bracket was written and nothing behind it yet.
    opened: bool,
}

impl Indenter {
    /// Appends the indented form of `json` to `out`.
    pub(crate) fn write(&mut self, json: &[u8], out: &mut Vec<u8>) {
        for &byte in json {
            if self.in_text {
                out.push(byte);
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if !std::mem::take(&mut self.opened) {
                        self.line(out);
                    }
                    out.push(byte);
                    continue;
                }
                _ => {}
            }
            if std::mem::take(&mut self.opened) {
                self.line(out);
            }
            match byte {
                b'{' | b'[' => {
                    self.depth += 1;
                    self.opened = true;
                    out.push(byte);
                }
                b',' => {
                    out.push(byte);
                    self.line(out);
                }
                b':' => out.extend_from_slice(b": "),
                _ => {
                    self.in_text = byte == b'"';
                    out.push(byte);
                }
            }
        }
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + 2 * self.depth, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::Indenter;

    #[test]
    fn json_is_indented_wherever_it_is_cut() {
        let json = br#"{"a":[],"b":{},"c":[1,{"d":"x\"{,"}],"e":null}"#;
        let expect = "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n      \"d\": \"x\\\"{,\"\n    }\n  ],\n  \"e\": null\n}";
        for cut in 0..json.len() {
            let (mut indenter, mut out) = (Indenter::default(), Vec::new());
            indenter.write(&json[..cut], &mut out);
            indenter.write(&json[cut..], &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expect);
        }
    }
}
