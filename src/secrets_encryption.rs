//! Secrets encrypted at rest without a configuration of one's own, as k3s has it: `--secrets-encryption` makes a
//! configuration with a random key and keeps it; `isopod secrets-encrypt` shows it and changes its key.
//!
//! The running server reads the file again when it changes. A key is changed by putting a new one before it and writing every
//! Secret anew. Old keys stay in the file: backups of the store need them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use api::{ListOptions, Operation, Patch, User, WriteOptions};
use apiserver::Encryption;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bootstrap::data_dir::{self, DataDir, create_private};
use client::{Client, Https, kinds};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::{SecretsEncryptArgs, SecretsEncryptCommand};
use crate::println;
use crate::settings::Paths;

/// Secrets are written anew so many at a time.
const PAGE: usize = 500;

fn path(data: &DataDir) -> PathBuf {
    data.server("cred/encryption-config.json")
}

/// The server's own configuration: made if it is `wanted` and not there, and kept for good, because without it nothing that
/// was encrypted could be read.
pub(crate) fn ensure(data: &DataDir, wanted: bool) -> Result<Option<PathBuf>> {
    let path = path(data);
    if path.exists() {
        return Ok(Some(path));
    }
    if !wanted {
        return Ok(None);
    }
    create_private(&data.server("cred"))?;
    write(
        &path,
        &json!({
            "kind": "EncryptionConfiguration",
            "apiVersion": "apiserver.config.k8s.io/v1",
            "resources": [{
                "resources": ["secrets"],
                "providers": [{"secretbox": {"keys": [new_key()]}}, {"identity": {}}],
            }],
        }),
    )?;
    Ok(Some(path))
}

/// Carries out one command.
pub(crate) async fn run(args: SecretsEncryptArgs) -> Result<()> {
    let paths = Paths::new(&args.data_dir)?;
    let path = path(&paths.data);
    match args.command {
        SecretsEncryptCommand::Status => status(&path),
        SecretsEncryptCommand::Reencrypt => reencrypt(&client(&paths, args.kubeconfig).await?).await,
        SecretsEncryptCommand::RotateKeys => {
            let client = client(&paths, args.kubeconfig).await?;
            let mut config = read(&path)?;
            keys(&mut config)?.insert(0, new_key());
            write(&path, &config)?;
            println("a new key is in place, waiting for the server to read it");
            tokio::time::sleep(Encryption::RELOAD + Duration::from_secs(2)).await;
            reencrypt(&client).await
        }
    }
}

async fn client(paths: &Paths, kubeconfig: Option<PathBuf>) -> Result<Client> {
    let kubeconfig = kubeconfig.unwrap_or_else(|| paths.kubeconfig());
    let https = Https::from_kubeconfig(&kubeconfig).await;
    let https = https.with_context(|| format!("cannot use the kubeconfig {}", kubeconfig.display()))?;
    Ok(Client::new(Arc::new(https), User::default()))
}

fn status(path: &Path) -> Result<()> {
    if !path.exists() {
        println("Encryption Status: Disabled, no configuration file found");
        return Ok(());
    }
    let mut config = read(path)?;
    println("Encryption Status: Enabled");
    println("");
    println("Active  Key Type   Name");
    println("------  --------   ----");
    for (at, key) in keys(&mut config)?.iter().enumerate() {
        let active = if at == 0 { " *" } else { "  " };
        println(&format!("{active}      Secretbox  {}", key["name"].as_str().unwrap_or_default()));
    }
    Ok(())
}

/// Writes every Secret as it is: the server then encrypts it with the key that counts now.
async fn reencrypt(client: &Client) -> Result<()> {
    let secrets = kinds::secrets();
    let mut options = ListOptions { limit: PAGE, ..ListOptions::default() };
    let mut written = 0;
    loop {
        let page = client.list(&secrets, "", options.clone()).await.context("cannot list Secrets")?;
        for secret in &page.items {
            let (namespace, name) = (&*secret.meta.namespace, &*secret.meta.name);
            let patch = Operation::Patch(Patch::Merge(json!({})), WriteOptions::default());
            match client.call(&secrets, namespace, name, "", patch).await {
                Ok(_) => written += 1,
                Err(status) if status.is_not_found() => {}
                Err(status) => bail!("Secret {namespace}/{name} cannot be written anew: {status}"),
            }
        }
        if page.continue_token.is_empty() {
            break;
        }
        options.continue_token = page.continue_token;
    }
    println(&format!("{written} Secrets are encrypted with the present key"));
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = data_dir::read(path)?;
    let text =
        text.with_context(|| format!("there is no {}: start the server with --secrets-encryption", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

fn write(path: &Path, config: &Value) -> Result<()> {
    Ok(data_dir::write(path, config.to_string().as_bytes(), 0o600)?)
}

/// The keys of the configuration, the one that writes first.
fn keys(config: &mut Value) -> Result<&mut Vec<Value>> {
    let keys = config.pointer_mut("/resources/0/providers/0/secretbox/keys").and_then(Value::as_array_mut);
    keys.filter(|keys| !keys.is_empty()).context("the encryption configuration has no secretbox keys")
}

fn new_key() -> Value {
    let secret: [u8; 32] = rand::random();
    let name = format!("secretboxkey-{}", Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S"));
    json!({"name": name, "secret": BASE64_STANDARD.encode(secret)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        create_private(&data.server("")).unwrap();
        assert_eq!(ensure(&data, false).unwrap(), None);
        let made = ensure(&data, true).unwrap().unwrap();
        let text = std::fs::read_to_string(&made).unwrap();
        Encryption::parse(&text).unwrap();
        assert_eq!(ensure(&data, false).unwrap(), Some(made.clone()));
        assert_eq!(std::fs::read_to_string(&made).unwrap(), text);
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
        let mut config = read(&made).unwrap();
        keys(&mut config).unwrap().insert(0, new_key());
        write(&made, &config).unwrap();
        Encryption::load(&made).unwrap();
    }
}
