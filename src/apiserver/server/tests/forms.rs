//! The same objects in every form clients ask for, in lists of many pieces and in watches.

use api::protobuf;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::MAPS;
use crate::testing::TestServer;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

async fn fill(server: &TestServer, objects: usize) {
    for at in 0..objects {
        // What YAML has to take care of: lines, spaces at their ends, what looks like something else.
        let data =
            json!({"a": "x".repeat(7000), "lines": "  one\n\ntwo \n", "no": "no", "e": "é - \"q\": #", "empty": ""});
        let map = json!({"metadata": {"name": format!("m{at}"), "labels": {"at": at.to_string()}}, "data": data});
        let answer = server.admin().send(&format!("POST {MAPS}"), map.to_string()).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
    }
}

#[tokio::test]
async fn lists_say_the_same_in_every_form() {
    let server = TestServer::start().await;
    fill(&server, 30).await;
    for query in ["?labelSelector=at", "?limit=20&labelSelector=at", "?labelSelector=at%3D3", "?labelSelector=none"] {
        let path = format!("{MAPS}{query}");
        let list = |accept: &'static str| {
            let (client, path) = (server.admin().with("accept", accept), path.clone());
            async move { client.get(&path).await }
        };
        let plain = list("application/json").await.json();
        // The second list finds the objects measured.
        for _ in 0..2 {
            let mut decoded = protobuf::decode(&list(PROTOBUF).await.body).unwrap();
            for item in decoded.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
                let map = item.as_object_mut().unwrap();
                map.remove("kind");
                map.remove("apiVersion");
            }
            let mut expect = plain.clone();
            for item in expect["items"].as_array_mut().unwrap() {
                let map = item.as_object_mut().unwrap();
                map.remove("kind");
                map.remove("apiVersion");
            }
            if expect["items"] == json!([]) {
                expect.as_object_mut().unwrap().remove("items");
            }
            assert_eq!(decoded, expect, "{query}");
        }
        for (yaml, json) in [
            ("application/yaml".to_owned(), "application/json"),
            (METADATA.replace("json", "yaml"), METADATA),
            (TABLE.replace("json", "yaml"), TABLE),
        ] {
            let answer = server.admin().with("accept", &yaml).get(&path).await;
            assert_eq!(answer.headers["content-type"], "application/yaml");
            let mut read: Value = serde_saphyr::from_str(&answer.text()).unwrap();
            let mut expect = list(json).await.json();
            // Ages go on between one list and the other.
            for list in [&mut read, &mut expect] {
                for row in list.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
                    row["cells"].as_array_mut().unwrap().pop();
                }
            }
            assert_eq!(read, expect, "{yaml} {query}");
            let whole = crate::http::yaml::text(read.clone()).unwrap();
            let again: Value = serde_saphyr::from_str(&whole).unwrap();
            assert_eq!(again, expect, "{yaml} {query}");
            if !yaml.contains("Table") {
                assert_eq!(answer.text(), whole, "{yaml} {query}");
            }
        }
    }
}

#[tokio::test]
async fn watchers_of_every_form_see_the_same_change() {
    let server = TestServer::start().await;
    let watch = format!("GET {MAPS}?watch=1&fieldSelector=metadata.name%3Dm0");
    let mut streams = Vec::new();
    // Two of each: the second one finds the frame that the first one made.
    let metadata = METADATA.replace("List;", ";");
    for accept in ["application/json", PROTOBUF, &*metadata, TABLE].into_iter().flat_map(|accept| [accept; 2]) {
        let answer = server.admin().with("accept", accept).open(&watch, "").await;
        streams.push((accept, answer.into_body(), Vec::new()));
    }
    fill(&server, 1).await;
    let patch = server.admin().with("content-type", "application/merge-patch+json");
    let answer = patch.send(&format!("PATCH {MAPS}/m0"), r#"{"data":{"a":"changed"}}"#).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    let version = answer.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    for (accept, stream, seen) in &mut streams {
        // The field as it stands there: such digits may stand in a uid as well.
        let wanted = match *accept {
            PROTOBUF => format!("\x32{}{version}", char::from(version.len() as u8)),
            _ => format!("resourceVersion\":\"{version}"),
        };
        while !seen.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
            let frame = tokio::time::timeout(std::time::Duration::from_secs(20), stream.frame()).await;
            let frame = frame.unwrap().unwrap().unwrap().into_data().unwrap();
            seen.extend_from_slice(&frame);
        }
        match *accept {
            PROTOBUF => {
                let (mut rest, mut events) = (&seen[..], 0);
                while let Some((length, after)) = rest.split_first_chunk::<4>() {
                    rest = &after[u32::from_be_bytes(*length) as usize..];
                    events += 1;
                }
                assert_eq!(events, 2);
            }
            accept => {
                let events: Vec<Value> =
                    serde_json::Deserializer::from_slice(seen).into_iter().map(Result::unwrap).collect();
                assert_eq!(events.iter().map(|e| &e["type"]).collect::<Vec<_>>(), ["ADDED", "MODIFIED"], "{accept}");
                if accept == TABLE {
                    let columns = |event: &Value| event["object"]["columnDefinitions"].as_array().map_or(0, Vec::len);
                    assert!(columns(&events[0]) > 0 && columns(&events[1]) == 0);
                    assert_eq!(events[1]["object"]["rows"][0]["cells"][0], "m0");
                }
            }
        }
    }
    // Ages go on.
    for pair in streams.chunks(2).filter(|pair| pair[0].0 != TABLE) {
        assert_eq!(pair[0].2, pair[1].2, "{}", pair[0].0);
    }
}

#[tokio::test]
async fn many_watches_of_one_connection_are_told_together() {
    let server = TestServer::start().await;
    let mut connection = server.admin().http2().await;
    let request = |method: &str, path: &str, body: String| {
        let request = hyper::Request::builder().method(method).uri(format!("https://localhost{path}"));
        request.header("content-type", "application/json").body(axum::body::Body::from(body)).unwrap()
    };
    let mut watches = Vec::new();
    for _ in 0..50 {
        let path = format!("{MAPS}?watch=1&fieldSelector=metadata.name%3Dm");
        watches.push(connection.send_request(request("GET", &path, String::new())).await.unwrap().into_body());
    }
    let large = "x".repeat(20_000);
    let map = json!({"metadata": {"name": "m"}, "data": {"a": large}}).to_string();
    let created = connection.send_request(request("POST", MAPS, map)).await.unwrap();
    assert_eq!(created.status(), 201);
    for watch in &mut watches {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\n") {
            let frame = tokio::time::timeout(std::time::Duration::from_secs(20), watch.frame()).await;
            seen.extend_from_slice(&frame.unwrap().unwrap().unwrap().into_data().unwrap());
        }
        let event: Value = serde_json::from_slice(&seen).unwrap();
        assert_eq!(event["object"]["data"]["a"].as_str().unwrap().len(), 20_000);
    }
    drop(watches);
    // The connection goes on, and answers of several windows arrive whole.
    let list = connection.send_request(request("GET", MAPS, String::new())).await.unwrap();
    assert!(list.into_body().collect().await.unwrap().to_bytes().len() > 20_000);
}

/// client-go asks so whether requests are queued fairly, and takes a body for a broken protocol.
#[tokio::test]
async fn answers_to_head_have_no_body() {
    let server = TestServer::start().await;
    let mut connection = server.admin().http2().await;
    for (path, code, length) in
        [("/healthz", 200, Some("2")), ("/", 200, None), (MAPS, 405, None), ("/nope", 404, Some("19"))]
    {
        let request = hyper::Request::builder().method("HEAD").uri(format!("https://localhost{path}"));
        let answer = connection.send_request(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let said = answer.headers().get("content-length").map(|length| length.to_str().unwrap().to_owned());
        assert_eq!(answer.status().as_u16(), code, "{path}");
        assert!(length.is_none() || said.as_deref() == length, "{path}: {said:?}");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), 0, "{path}");
    }
}
