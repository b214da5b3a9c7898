use crate::testing::TestServer;

/// What monitoring looks for, in the words of the classic format.
#[tokio::test]
async fn the_server_tells_of_itself() {
    let server = TestServer::start().await;
    let admin = server.admin();
    admin.get("/api/v1/namespaces/default").await;
    admin.get("/api/v1/namespaces?limit=1").await;
    let text = admin.get("/metrics").await.text();
    for line in [
        "# TYPE process_cpu_seconds_total counter",
        "# TYPE process_resident_memory_bytes gauge",
        "# TYPE kubernetes_build_info gauge",
        "# TYPE apiserver_response_sizes histogram",
        "# TYPE authorization_attempts_total counter",
        "apiserver_storage_objects{resource=\"deployments.apps\"} 0",
        "apiserver_resource_objects{group=\"apps\",resource=\"deployments\"} 0",
        "aggregator_unavailable_apiservice{name=\"v1.apps\"} 0",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
    }
    let build = text.lines().find(|line| line.starts_with("kubernetes_build_info{")).unwrap();
    assert!(build.contains("major=\"1\",minor=\"35\"") && build.ends_with("} 1"), "{build}");
    let sizes = |verb: &str| {
        let start = format!(
            "apiserver_response_sizes_count{{verb=\"{verb}\",group=\"\",version=\"v1\",resource=\"namespaces\""
        );
        text.lines().any(|line| line.starts_with(&start))
    };
    assert!(sizes("GET") && sizes("LIST"), "{text}");
    let slis = admin.get("/metrics/slis").await.text();
    assert!(slis.lines().any(|line| line == "kubernetes_healthcheck{name=\"ping\",type=\"livez\"} 1"), "{slis}");
}
