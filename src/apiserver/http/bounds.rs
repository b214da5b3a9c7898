//! What clients can ask too much of, and what they are told then.

use std::convert::Infallible;
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::accept::{Offer, negotiate};
use super::body;
use super::path::RequestInfo;
use super::query::Query;
use crate::testing::TestServer;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const REVIEWS: &str = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// YAML that would be 10^9 strings if its aliases were followed.
fn laughs() -> String {
    let mut text = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
    for level in 1..9 {
        let before = vec![format!("*a{}", level - 1); 10].join(",");
        text.push_str(&format!("a{level}: &a{level} [{before}]\n"));
    }
    text
}

#[tokio::test]
async fn bodies_are_bounded_in_size_depth_and_growth() {
    let server = TestServer::start().await;
    let check = async |request: &str, media_type: &str, body: Vec<u8>, code: u16, told: &str| {
        let began = Instant::now();
        let answer = server.admin().with("content-type", media_type).send(request, body).await;
        assert_eq!(answer.code, code, "{request} {media_type}: {}", answer.text());
        assert!(answer.text().contains(told), "{request} {media_type}: {}", answer.text());
        assert!(began.elapsed().as_secs() < 20, "{request} {media_type} took {:?}", began.elapsed());
    };
    let post = format!("POST {MAPS}");
    let map = json!({"metadata": {"name": "a"}, "data": {"a": "b"}}).to_string();
    check(&post, "application/json", map.clone().into(), 201, "").await;

    let large = format!("{{\"data\":{{\"a\":\"{}\"}}}}", "x".repeat(3 << 20));
    let limit = "Request entity too large: limit is 3145728";
    check(&post, "application/json", large.clone().into(), 413, limit).await;
    check(&post, "application/yaml", large.clone().into(), 413, limit).await;
    check(&format!("PATCH {MAPS}/a"), "application/merge-patch+json", large.into(), 413, limit).await;

    // Requests are not unpacked, so that nothing small becomes large.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &vec![b' '; 4 << 20]).unwrap();
    check(&post, "application/json", gzip.finish().unwrap(), 400, "").await;

    check(&post, "application/yaml", laughs().into_bytes(), 400, "yaml: document contains excessive aliasing").await;
    let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    check(&post, "application/json", deep.clone().into(), 400, "").await;
    let strategic = "application/strategic-merge-patch+json";
    check(&format!("PATCH {MAPS}/a"), strategic, deep.into(), 400, "").await;

    let patch = format!("PATCH {MAPS}/a");
    let double =
        json!([{"op": "copy", "from": "/data", "path": "/data/c"}, {"op": "copy", "from": "/data", "path": "/data/d"}]);
    let doubled: Vec<_> = double.as_array().unwrap().iter().cycle().take(9_000).cloned().collect();
    let body = serde_json::Value::from(doubled).to_string().into_bytes();
    // What is copied into itself grows in depth, and that has an end.
    check(&patch, "application/json-patch+json", body, 422, "").await;
    let many = serde_json::Value::from(vec![json!({"op": "test", "path": "/a", "value": 1}); 10_001]);
    check(
        &patch,
        "application/json-patch+json",
        many.to_string().into(),
        413,
        "The allowed maximum operations in a JSON patch is 10000, got 10001",
    )
    .await;
    check(&format!("GET {MAPS}/a"), "", Vec::new(), 200, "\"a\"").await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = TestServer::start().await;
    let selector = format!("{MAPS}?labelSelector={}", "a,".repeat(15_000));
    let began = Instant::now();
    assert!(matches!(server.admin().get(&selector).await.code, 200 | 400));
    assert!(began.elapsed().as_secs() < 20);
    let token = format!("Bearer {0}.{0}.{0}", "a".repeat(200_000));
    assert_eq!(server.nobody().with("authorization", &token).get(MAPS).await.code, 401);
    let huge = "x".repeat(2 << 20);
    let refused = tokio::spawn({
        let client = server.admin().with("x-large", &huge);
        async move { client.get(MAPS).await.code }
    });
    assert!(refused.await.map_or(true, |code| code >= 400));
    assert_eq!(server.admin().get(MAPS).await.code, 200);
}

#[tokio::test]
async fn requests_end_when_their_time_is_over() {
    let server = TestServer::start().await;
    let (never, content) = futures::channel::mpsc::unbounded::<Result<Bytes, Infallible>>();
    let answer = server.admin().send(&format!("{REVIEWS}?timeout=50ms"), Body::from_stream(content)).await;
    assert_eq!(answer.code, 504);
    assert_eq!(answer.json()["message"], "Timeout: request did not complete within the allotted timeout");
    assert_eq!(answer.json()["reason"], "Timeout");
    drop(never);
    let answer = server.admin().get(&format!("{MAPS}?timeout=soon")).await;
    assert_eq!(answer.code, 400, "{}", answer.text());
    assert!(answer.text().contains("invalid timeout specified in the request URL"), "{}", answer.text());
    assert_eq!(server.admin().get(&format!("{MAPS}?timeout=0")).await.code, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (_never, content) = futures::channel::mpsc::unbounded::<Result<Bytes, Infallible>>();
    let refused = body::read(Body::from_stream(content)).await.unwrap_err();
    assert_eq!(refused.code, 504);
}

proptest! {
    #[test]
    fn whatever_is_sent_is_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        yaml in "[-&*a: \\n{}\\[\\],'\"|>!%@#?0-9]{0,80}",
        text in "\\PC{0,80}",
        header in "[a-z/;=,.*+ 0-9q]{0,60}",
    ) {
        for media_type in ["application/json", "application/yaml", "application/apply-patch+yaml"] {
            for body in [&bytes, yaml.as_bytes()] {
                let _ = body::object(body, media_type, |bytes| super::protobuf::decode(bytes, ("", "v1", "Pod")));
                let _ = body::patch(body, media_type, true);
            }
        }
        let _ = negotiate(&header, Offer { protobuf: true, table: true, metadata: true, route: None });
        let query = Query::parse(&text);
        let _ = (query.list(), query.watch(), query.delete(None), query.write("PatchOptions", &text, true));
        for path in [&text, &format!("/api/v1/{text}"), &format!("/apis/{text}/namespaces/{text}")] {
            let _ = RequestInfo::read(&http::Method::GET, path, &query);
        }
    }
}
