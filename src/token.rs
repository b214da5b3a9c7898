//! `isopod token`: bootstrap tokens, kept as Secrets the way kubeadm keeps them.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use api::{DeleteOptions, ListOptions, User};
use bootstrap::data_dir::DataDir;
use bootstrap::token::{AGENT_USER, SERVER_USER, Token, TokenFile, generate_bootstrap};
use bootstrap::{data_dir, pki};
use client::Https;
use client::{Client, kinds};
use jiff::{Span, Timestamp, ToSpan};
use serde_json::json;

use crate::cli::{TokenArgs, TokenCommand};
use crate::println;
use crate::settings::Paths;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers:isopod:default-node-token";

/// Carries out one command against the server's API.
pub(crate) async fn run(args: TokenArgs) -> Result<()> {
    if matches!(args.command, TokenCommand::Generate) {
        let (id, secret) = generate_bootstrap();
        println(&format!("{id}.{secret}"));
        return Ok(());
    }
    let paths = Paths::new(&args.data_dir)?;
    if let TokenCommand::Rotate { new_token } = &args.command {
        return rotate(&paths.data, new_token.as_deref());
    }
    let kubeconfig = args.kubeconfig.unwrap_or_else(|| paths.kubeconfig());
    let https = Https::from_kubeconfig(&kubeconfig).await;
    let https = https.with_context(|| format!("cannot use the kubeconfig {}", kubeconfig.display()))?;
    let client = Client::new(Arc::new(https), User::default());
    match args.command {
        TokenCommand::Create { ttl, description, print_join_command } => {
            let ca = ca(&paths.data)?;
            let token = create(&client, &ttl, description.as_deref(), &ca).await?;
            let rendered = token.render();
            println(&if print_join_command {
                format!("isopod agent --server {} --token {rendered}", advertised(&client).await?)
            } else {
                rendered
            });
        }
        TokenCommand::Delete { tokens } => {
            for token in tokens {
                let id = Token::parse(&token).map(|t| t.user).ok().filter(|id| id.len() == 6).unwrap_or(token);
                let name = format!("bootstrap-token-{id}");
                let deleted = client.delete(&kinds::secrets(), NAMESPACE, &name, DeleteOptions::default()).await;
                deleted.with_context(|| format!("cannot delete token {id}"))?;
                println(&format!("token {id} deleted"));
            }
        }
        TokenCommand::Generate | TokenCommand::Rotate { .. } => {}
        TokenCommand::List => list(&client).await?,
    }
    Ok(())
}

fn ca(data: &DataDir) -> Result<String> {
    let ca = data_dir::read(&data.server("tls/ca.crt"))?;
    ca.context("tokens are made on a server: there is no CA below this --data-dir")
}

/// Workers that have joined keep their certificates; whoever joins from now on needs the new token.
fn rotate(data: &DataDir, wanted: Option<&str>) -> Result<()> {
    let ca = ca(data)?;
    let (path, user) =
        if data.agent_token().exists() { (data.agent_token(), AGENT_USER) } else { (data.token(), SERVER_USER) };
    let token = TokenFile::rotate(&path, user, &ca, wanted)?;
    println(&token.render());
    Ok(())
}

/// Where workers reach the API server. The administrator's kubeconfig says where this machine does, which may be loopback.
async fn advertised(client: &Client) -> Result<String> {
    let endpoints = client.get(&kinds::endpoints(), "default", "kubernetes").await;
    let endpoints = endpoints.context("cannot look up the API server's address")?.to_value()?;
    let at = |pointer: &str| endpoints.pointer(pointer);
    let ip = at("/subsets/0/addresses/0/ip").and_then(serde_json::Value::as_str);
    let port = at("/subsets/0/ports/0/port").and_then(serde_json::Value::as_u64).and_then(|p| u16::try_from(p).ok());
    let address = ip.and_then(|ip| Some(SocketAddr::new(ip.parse().ok()?, port?)));
    Ok(format!("https://{}", address.context("the Service default/kubernetes has no endpoint yet")?))
}

async fn create(client: &Client, ttl: &str, description: Option<&str>, ca: &str) -> Result<Token> {
    let (id, secret) = generate_bootstrap();
    let mut data = json!({
        "token-id": id, "token-secret": secret,
        "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
        "auth-extra-groups": GROUP,
    });
    if let Some(description) = description {
        data["description"] = description.into();
    }
    if let Some(span) = duration(ttl)? {
        let expires = Timestamp::now().checked_add(span).context("--ttl is too long")?;
        data["expiration"] = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": TYPE, "stringData": data,
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": NAMESPACE},
    });
    client.create(&kinds::secrets(), NAMESPACE, object).await.context("cannot make the token")?;
    Ok(Token { ca_hash: Some(pki::hash(ca)), user: id, password: secret })
}

async fn list(client: &Client) -> Result<()> {
    let options = ListOptions { field_selector: format!("type={TYPE}"), ..ListOptions::default() };
    let secrets = client.list(&kinds::secrets(), NAMESPACE, options).await.context("cannot list the tokens")?;
    println(&format!("{:<24} {:<22} {}", "TOKEN", "EXPIRES", "DESCRIPTION"));
    for secret in secrets.items {
        let value = secret.to_value()?;
        let field = |name: &str| {
            let text = value.pointer(&format!("/data/{name}")).and_then(serde_json::Value::as_str)?;
            pki::decode_base64(text)
        };
        let id = field("token-id").unwrap_or_default();
        let expires = field("expiration").unwrap_or_else(|| "<never>".into());
        println(&format!(
            "{:<24} {:<22} {}",
            format!("{id}.<hidden>"),
            expires,
            field("description").unwrap_or_default()
        ));
    }
    Ok(())
}

/// `30m`, `24h`, `7d`; `None` for 0, which is for ever.
fn duration(text: &str) -> Result<Option<Span>> {
    if text == "0" {
        return Ok(None);
    }
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: i64 =
        number.parse().ok().filter(|n| *n > 0).with_context(|| format!("--ttl {text:?} is no duration such as 24h"))?;
    Ok(Some(match unit {
        "s" => number.seconds(),
        "m" => number.minutes(),
        "h" => number.hours(),
        "d" => (number * 24).hours(),
        _ => bail!("--ttl {text:?} is no duration such as 30m, 24h or 7d"),
    }))
}
