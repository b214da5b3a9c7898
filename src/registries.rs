//! `registries.yaml`: which registries images are pulled from, in the form k3s gave it, for our containerd.
//!
//! Mirrors and certificates become a `hosts.toml` a registry, credentials a part of containerd's own configuration. Both are
//! made anew at every start.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bootstrap::data_dir;
use runtime::containerd::Credentials;
use runtime::containerd::toml_string as quote;
use serde::Deserialize;

/// Where the file lies unless `--private-registry` says otherwise.
pub(crate) const DEFAULT: &str = "/etc/isopod/registries.yaml";

/// The first line of every `hosts.toml` of ours: others are left alone.
const MARK: &str = "# Written at every start from registries.yaml; changes are lost.\n";

/// The file's content.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Registries {
    /// By registry, `*` for all others: where to pull from instead.
    mirrors: BTreeMap<String, Mirror>,
    /// By host, with its port where it has one: how to speak to it.
    configs: BTreeMap<String, Host>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mirror {
    endpoint: Vec<String>,
    rewrite: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Host {
    auth: Option<Auth>,
    tls: Option<Tls>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Auth {
    username: String,
    password: String,
    auth: String,
    identity_token: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("username", &self.username).finish_non_exhaustive()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    insecure_skip_verify: bool,
}

impl Registries {
    /// Reads the file. Nothing is said where there is none, unless it was asked for by name.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match data_dir::read(path)? {
            Some(text) => Self::parse(&text).with_context(|| format!("--private-registry {}", path.display())),
            None if path == Path::new(DEFAULT) => Ok(Self::default()),
            None => bail!("--private-registry {}: there is no such file", path.display()),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let registries: Self =
            serde_saphyr::from_str(text).context("it does not have the form of a registries.yaml")?;
        for (name, mirror) in &registries.mirrors {
            if !mirror.rewrite.is_empty() {
                bail!(
                    "mirrors: {name}: rewrite is not possible with a stock containerd: give the endpoint a path instead"
                );
            }
            is_host(name)?;
            mirror.endpoint.iter().try_for_each(|url| Endpoint::parse(url).map(drop)).with_context(|| name.clone())?;
        }
        registries.configs.keys().try_for_each(|name| is_host(name))?;
        Ok(registries)
    }

    /// The credentials for containerd's configuration, by host.
    pub(crate) fn credentials(&self) -> Vec<Credentials> {
        let with = |(host, config): (&String, &Host)| {
            let auth = config.auth.as_ref()?;
            Some(Credentials {
                host: host.clone(),
                username: auth.username.clone(),
                password: auth.password.clone(),
                auth: auth.auth.clone(),
                identity_token: auth.identity_token.clone(),
            })
        };
        self.configs.iter().filter_map(with).collect()
    }

    /// Makes the folder say what the file says: a `hosts.toml` a registry, none for those that are gone from it.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let files = self.files()?;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.path().join("hosts.toml");
            let name = entry.file_name();
            let kept = name.to_str().is_some_and(|name| files.contains_key(name));
            if !kept && data_dir::read(&file)?.is_some_and(|text| text.starts_with(MARK)) {
                std::fs::remove_dir_all(entry.path()).with_context(|| format!("cannot remove {}", file.display()))?;
            }
        }
        for (name, text) in files {
            data_dir::write(&folder.join(name).join("hosts.toml"), text.as_bytes(), 0o600)?;
        }
        Ok(())
    }

    /// The `hosts.toml` files by the name of their directory.
    fn files(&self) -> Result<BTreeMap<String, String>> {
        let tls = self.configs.iter().filter(|(_, config)| config.tls.is_some()).map(|(name, _)| name);
        let names: BTreeSet<&String> = self.mirrors.keys().chain(tls).collect();
        let nothing = Mirror::default();
        let mut files = BTreeMap::new();
        for name in names {
            let mirror = self.mirrors.get(name).unwrap_or(&nothing);
            let mut text = MARK.to_owned();
            let mut last = String::new();
            if name != "*" {
                let server = if name == "docker.io" { "registry-1.docker.io" } else { name };
                let base = format!("https://{server}");
                let _ = writeln!(text, "server = {}", quote(&base));
                let tls = self.tls(name, server)?;
                if !tls.is_empty() {
                    // containerd 1.6 and 1.7 read how to trust the server itself here only.
                    last = host(&base, false, &tls);
                }
            }
            for url in &mirror.endpoint {
                let endpoint = Endpoint::parse(url)?;
                text += &host(&endpoint.base, endpoint.overrides, &self.tls(&endpoint.host, &endpoint.host)?);
            }
            text += &last;
            files.insert(if name == "*" { "_default".to_owned() } else { name.clone() }, text);
        }
        Ok(files)
    }

    /// How to trust a host, and be trusted by it; said under either of two names of it.
    fn tls(&self, name: &str, other: &str) -> Result<String> {
        let mut text = String::new();
        let config = self.configs.get(name).or_else(|| self.configs.get(other));
        let Some(tls) = config.and_then(|config| config.tls.as_ref()) else { return Ok(text) };
        let path = |file: &Path| quote(&file.display().to_string());
        if let Some(ca) = &tls.ca_file {
            let _ = writeln!(text, "  ca = {}", path(ca));
        }
        match (&tls.cert_file, &tls.key_file) {
            (Some(cert), Some(key)) => {
                let _ = writeln!(text, "  client = [[{}, {}]]", path(cert), path(key));
            }
            (None, None) => {}
            _ => bail!("configs: {name}: cert_file and key_file belong together"),
        }
        if tls.insecure_skip_verify {
            text += "  skip_verify = true\n";
        }
        Ok(text)
    }
}

/// One place to pull from.
fn host(base: &str, overrides: bool, tls: &str) -> String {
    let path = if overrides { "  override_path = true\n" } else { "" };
    format!("[host.{}]\n  capabilities = [\"pull\", \"resolve\"]\n{path}{tls}", quote(base))
}

/// A mirror's URL, taken apart.
struct Endpoint {
    /// What `hosts.toml` calls it.
    base: String,
    /// Its host, with the port where one is said.
    host: String,
    /// Whether its path replaces the usual one.
    overrides: bool,
}

impl Endpoint {
    fn parse(url: &str) -> Result<Self> {
        let full = if url.contains("://") { url.to_owned() } else { format!("https://{url}") };
        let uri: http::Uri = full.parse().with_context(|| format!("endpoint {url:?} is no URL"))?;
        let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!("endpoint {url:?} must be of the form https://HOST[:PORT][/PATH]");
        };
        let path = uri.path().trim_end_matches('/');
        let scheme = uri.scheme_str().unwrap_or("https");
        let overrides = !matches!(path, "" | "/v2");
        let path = if overrides { path } else { "" };
        Ok(Self { base: format!("{scheme}://{authority}{path}"), host: authority.to_string(), overrides })
    }
}

/// A registry's name becomes that of a directory.
fn is_host(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if name == "*" || (!name.is_empty() && !name.starts_with('.') && name.chars().all(plain)) {
        return Ok(());
    }
    bail!("{name:?} is no registry: write HOST or HOST:PORT, or * for all others")
}
