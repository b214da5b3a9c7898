//! What aggregated API servers say of themselves in OpenAPI.

use super::hostile::{Says, behind, well};
use super::*;

#[tokio::test]
async fn who_knows_version_2_alone_has_a_document_of_version_3() {
    let server = behind(|path, _| match path {
        "/openapi/v3" => Says::Bytes(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        "/openapi/v2" => {
            let thing = json!({"type": "object", "properties": {"other": {"$ref": "#/definitions/Other"}}});
            let document = json!({"swagger": "2.0", "paths": {}, "definitions": {"Thing": thing}});
            Says::Well("application/json", document.to_string())
        }
        _ => well(),
    })
    .await;
    let client = admin(&server);
    let listed = async || {
        let index = client.get("/openapi/v3").await.json();
        Some(index["paths"]["apis/agg.example.com/v1"]["serverRelativeURL"].as_str()?.to_owned())
    };
    let began = std::time::Instant::now();
    let url = loop {
        if let Some(url) = listed().await {
            break url;
        }
        assert!(began.elapsed().as_secs() < 30);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(url.starts_with("/openapi/v3/apis/agg.example.com/v1?hash="), "{url}");
    let answer = client.get(&url).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    let other = &answer.json()["components"]["schemas"]["Thing"]["properties"]["other"]["$ref"];
    assert_eq!(other, "#/components/schemas/Other");
}
