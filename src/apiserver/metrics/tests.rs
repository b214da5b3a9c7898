use crate::testing::TestServer;

/// What monitoring looks for, in the words of the classic format.
#[tokio::test]
async fn the_server_tells_of_itself() {
    let server = TestServer::start().await;
    let admin = server.admin();
    admin.get("/api/v1/namespaces/default").await;
    admin.get("/api/v1/namespaces?limit=1").await;
    admin.get("/livez").await;
    let apply = server.admin().with("content-type", "application/apply-patch+yaml");
    let map = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}"#;
    let maps = "/api/v1/namespaces/default/configmaps";
    apply.send(&format!("PATCH {maps}/m?fieldManager=t&dryRun=All"), map).await;
    apply.send(&format!("PATCH {maps}/m?fieldManager=t"), map).await;
    admin.get(&format!("{maps}?watch=1&timeoutSeconds=1")).await;
    admin.get("/api/v1/componentstatuses").await;
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
        "apiserver_watch_events_total{group=\"\",version=\"v1\",resource=\"configmaps\"} 1",
        "apiserver_requested_deprecated_apis{group=\"\",version=\"v1\",resource=\"componentstatuses\",subresource=\"\",removed_release=\"\"} 1",
        "# TYPE apiserver_admission_controller_admission_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in {text}");
    }
    let counted = |name: &str, labels: &[&str]| {
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")) && labels.iter().all(|l| line.contains(l)));
        lines.count()
    };
    assert_eq!(counted("etcd_request_duration_seconds_count", &["operation=\"create\"", "resource=\"configmaps\""]), 1);
    let applied = ["verb=\"APPLY\"", "resource=\"configmaps\"", "scope=\"resource\""];
    for dry_run in ["dry_run=\"\"", "dry_run=\"All\""] {
        let labels = [&applied[..], &[dry_run, "code=\"201\""]].concat();
        assert_eq!(counted("apiserver_request_total", &labels), 1, "{dry_run} {text}");
        let labels = [&applied[..], &[dry_run, "le=\"1\""]].concat();
        assert_eq!(counted("apiserver_request_duration_seconds_bucket", &labels), 1, "{dry_run} {text}");
    }
    assert_eq!(counted("apiserver_request_sli_duration_seconds_count", &applied), 1, "{text}");
    assert_eq!(counted("apiserver_request_total", &["subresource=\"/livez\"", "component=\"\""]), 1, "{text}");
    assert_eq!(counted("apiserver_longrunning_requests", &["verb=\"WATCH\"", "resource=\"configmaps\""]), 1, "{text}");
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
