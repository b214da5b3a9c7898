//! The static token file: one `token,user,uid[,"group1,group2"]` a line.

use std::collections::HashMap;

use api::User;
use aws_lc_rs::digest::{SHA256, digest};

/// A line of a token file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {0} of the token file does not have at least three columns: token, user name, user uid")]
pub struct TokenFileError(usize);

/// Tokens an administrator wrote down. Kept by digest, so that looking one up takes the same time whatever is asked.
#[derive(Clone, Default)]
pub struct TokenFile(HashMap<[u8; 32], User>);

impl std::fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFile").field("tokens", &self.0.len()).finish()
    }
}

impl TokenFile {
    /// Reads the content of a token file.
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut tokens = HashMap::new();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        for (at, line) in lines {
            let columns = columns(line);
            let [token, name, uid, rest @ ..] = columns.as_slice() else { return Err(TokenFileError(at + 1)) };
            if token.is_empty() {
                return Err(TokenFileError(at + 1));
            }
            let groups = rest.first().map_or("", String::as_str).split(',').map(str::trim).filter(|g| !g.is_empty());
            let user = User { uid: uid.clone(), ..User::new(name, groups) };
            tokens.insert(hash(token), user);
        }
        Ok(Self(tokens))
    }

    /// Adds one token.
    pub fn insert(&mut self, token: &str, user: User) {
        self.0.insert(hash(token), user);
    }

    /// Whose a token is.
    pub(super) fn user(&self, token: &str) -> Option<User> {
        self.0.get(&hash(token)).cloned()
    }
}

fn hash(token: &str) -> [u8; 32] {
    digest(&SHA256, token.as_bytes()).as_ref().try_into().unwrap_or_default()
}

/// Splits at commas outside double quotes.
fn columns(line: &str) -> Vec<String> {
    let (mut out, mut quoted) = (vec![String::new()], false);
    for c in line.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => out.push(String::new()),
            c => {
                if let Some(last) = out.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::TokenFile;

    #[test]
    fn tokens_name_their_users() {
        let file = TokenFile::parse("t1,alice,1,\"dev, ops\"\n\n# no\nt2,bob,2\n").unwrap();
        assert_eq!(file.user("t1").unwrap().groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(file.user("t2").unwrap().name, "bob");
        assert!(file.user("t3").is_none());
        assert_eq!(TokenFile::parse("t1,alice").unwrap_err().to_string().split_whitespace().nth(1), Some("1"));
    }
}
