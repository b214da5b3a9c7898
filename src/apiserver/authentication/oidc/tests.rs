//! An identity provider of our own, and a server that believes it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{ClaimMapping, JwtIssuer};
use crate::testing::{Ca, TestServer};
use crate::webhook::tests::{Hook, answer};

/// A key, and what the provider says of it.
struct Key {
    signing: EncodingKey,
    public: Value,
    id: String,
}

impl Key {
    fn new(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let der = pair.serialize_der();
        let public = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
        let (x, y) = public.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let public = json!({"kty": "EC", "use": "sig", "crv": "P-256", "alg": "ES256", "kid": id, "x": x, "y": y});
        Self { signing: EncodingKey::from_ec_der(&der), public, id: id.to_owned() }
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}

/// A provider on a port of its own.
struct Provider {
    url: String,
    ca: Ca,
    keys: Arc<Mutex<Vec<Value>>>,
    _hook: Hook,
}

impl Provider {
    async fn start(key: &Key) -> Self {
        let ca = Ca::new("provider-ca");
        let keys = Arc::new(Mutex::new(vec![key.public.clone()]));
        let shown = keys.clone();
        let hook = Hook::serve(&ca, "127.0.0.1", move |asked| {
            let url = format!("https://{}", asked.headers["host"].to_str().unwrap());
            let document = match &*asked.line {
                "GET /.well-known/openid-configuration" => json!({"issuer": url, "jwks_uri": format!("{url}/keys")}),
                "GET /keys" => json!({ "keys": *shown.lock() }),
                other => panic!("{other} is not served"),
            };
            std::future::ready(answer(&document))
        })
        .await;
        Self { url: format!("https://{}", hook.address), ca, keys, _hook: hook }
    }

    fn issuer(&self) -> JwtIssuer {
        JwtIssuer {
            certificate_authority: Some(self.ca.pem.clone()),
            groups: Some(ClaimMapping { claim: "groups".into(), prefix: "oidc:".into() }),
            algorithms: vec![Algorithm::ES256],
            ..JwtIssuer::new(&self.url, "me")
        }
    }

    fn claims(&self) -> Value {
        let until = jiff::Timestamp::now().as_second() + 600;
        json!({"iss": self.url, "aud": "me", "sub": "jane", "groups": ["dev"], "exp": until})
    }
}

/// The name and groups of a token's bearer, or the code of the refusal.
async fn who(server: &TestServer, token: &str) -> Result<(String, Vec<String>), u16> {
    let client = server.nobody().with("authorization", &format!("Bearer {token}"));
    let answer = client.send("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", "{}").await;
    if answer.code != 201 {
        return Err(answer.code);
    }
    let info = &answer.json()["status"]["userInfo"];
    let groups = info["groups"].as_array().unwrap().iter().map(|group| group.as_str().unwrap().to_owned());
    Ok((info["username"].as_str().unwrap().to_owned(), groups.collect()))
}

async fn until_known(server: &TestServer, token: &str) -> (String, Vec<String>) {
    let known = async {
        loop {
            match who(server, token).await {
                Ok(user) => return user,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), known).await.expect("the token is never accepted")
}

#[tokio::test]
async fn tokens_of_a_provider_are_good_and_its_keys_are_followed() {
    let key = Key::new("one");
    let provider = Provider::start(&key).await;
    let server = TestServer::with(|config| config.authentication.issuers = vec![provider.issuer()]).await;
    let (name, groups) = until_known(&server, &key.sign(&provider.claims())).await;
    assert_eq!(name, format!("{}#jane", provider.url));
    assert_eq!(groups, ["oidc:dev", "system:authenticated"]);
    let refused = |change: fn(&mut Value)| {
        let mut claims = provider.claims();
        change(&mut claims);
        key.sign(&claims)
    };
    assert_eq!(who(&server, &refused(|claims| claims["aud"] = json!(["other"]))).await, Err(401));
    assert_eq!(who(&server, &refused(|claims| claims["exp"] = json!(1_000_000))).await, Err(401));
    assert_eq!(who(&server, &refused(|claims| claims["iss"] = json!("https://other"))).await, Err(401));
    let other = Key::new("two");
    let rotated = other.sign(&provider.claims());
    assert_eq!(who(&server, &rotated).await, Err(401));
    *provider.keys.lock() = vec![other.public.clone()];
    until_known(&server, &rotated).await;
    // And a key that was taken back signs nothing any more.
    let mut late = provider.claims();
    late["sub"] = json!("late");
    assert_eq!(who(&server, &key.sign(&late)).await, Err(401));
}

/// Whatever JSON there is.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("\\PC{0,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[tokio::test]
async fn whatever_a_token_says_it_is_taken_or_refused() {
    let key = Key::new("one");
    let provider = Provider::start(&key).await;
    let server = TestServer::with(|config| config.authentication.issuers = vec![provider.issuer()]).await;
    until_known(&server, &key.sign(&provider.claims())).await;
    let mut runner = TestRunner::deterministic();
    let claim =
        prop_oneof![Just("iss"), Just("aud"), Just("sub"), Just("groups"), Just("exp"), Just("nbf"), Just("iat")];
    let signed = (claim, any_json());
    for _ in 0..200 {
        let (claim, value) = signed.new_tree(&mut runner).unwrap().current();
        let mut claims = provider.claims();
        claims[claim] = value;
        let answer = who(&server, &key.sign(&claims)).await;
        assert!(matches!(answer, Ok(_) | Err(401)), "{claims}: {answer:?}");
    }
    // What nobody signed, in the form of tokens and in none; and more depth than anybody reads.
    let segment = proptest::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let header = any_json().prop_map(|header| URL_SAFE_NO_PAD.encode(header.to_string()));
    let unsigned =
        prop_oneof![(header, segment.clone(), segment).prop_map(|(a, b, c)| format!("{a}.{b}.{c}")), "[!-~]{1,80}",];
    let deep = URL_SAFE_NO_PAD.encode(format!("{}{}", "[".repeat(2000), "]".repeat(2000)));
    let mut tokens = vec![format!("{deep}.{deep}.x"), "..".to_owned(), ".".to_owned()];
    tokens.extend((0..200).map(|_| unsigned.new_tree(&mut runner).unwrap().current()));
    for token in tokens {
        assert_eq!(who(&server, &token).await, Err(401), "{token}");
    }
}
