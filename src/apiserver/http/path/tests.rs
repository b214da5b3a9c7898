use super::*;

fn check(request: &str, expect: &str) {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let info = RequestInfo::read(&method.parse().unwrap(), path, &Query::parse(query));
    let seen = if info.is_resource {
        let at = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        [
            &info.verb,
            &info.group,
            &info.version,
            &info.namespace,
            &info.resource,
            &info.name,
            &info.subresource,
            &info.rest,
        ]
        .map(|text| at(text))
        .join(" ")
    } else {
        format!("{} {}", info.verb, info.path)
    };
    assert_eq!(seen, expect, "{request}");
}

#[test]
fn paths_read_as_upstream_reads_them() {
    for (request, expect) in [
        ("GET /", "get /"),
        ("GET /healthz", "get /healthz"),
        ("GET /api", "get /api"),
        ("GET /api/v1", "get /api/v1"),
        ("GET /api/v1/", "get /api/v1/"),
        ("GET /apis/apps", "get /apis/apps"),
        ("GET /apis/apps/v1", "get /apis/apps/v1"),
        ("GET /api/v1/pods", "list - v1 - pods - - -"),
        ("GET /api/v1/pods?watch=1", "watch - v1 - pods - - -"),
        ("GET /api/v1/pods?watch", "watch - v1 - pods - - -"),
        ("GET /api/v1/pods?watch=false", "list - v1 - pods - - -"),
        ("GET /api/v1/watch/pods", "watch - v1 - pods - - -"),
        ("GET /api/v1/proxy/nodes/x/a", "proxy - v1 - nodes x - -"),
        ("GET /api/v1/watch/namespaces/a/pods/x", "watch - v1 a pods x - -"),
        ("GET /api/v1/namespaces", "list - v1 - namespaces - - -"),
        ("GET /api/v1/namespaces/a", "get - v1 a namespaces a - -"),
        ("PUT /api/v1/namespaces/a/finalize", "update - v1 a namespaces a finalize -"),
        ("GET /api/v1/namespaces/a/pods", "list - v1 a pods - - -"),
        ("DELETE /api/v1/namespaces/a/pods", "deletecollection - v1 a pods - - -"),
        ("GET /api/v1/namespaces/a/pods/x/log", "get - v1 a pods x log -"),
        ("GET /api/v1/namespaces/a/pods/x:80/proxy/b%2Fc/d", "get - v1 a pods x:80 proxy /b%2Fc/d"),
        ("GET /api/v1/namespaces/a/pods/x%2Fproxy%2Fb%2Fc/d", "get - v1 a pods x proxy /b%2Fc/d"),
        ("GET //api/v1/namespaces/a/pods/x/proxy/%zz//", "get - v1 a pods x proxy /%zz//"),
        ("GET /%61pi/v1/namespaces/a%2fpods%2fx", "get - v1 a pods x - -"),
        ("GET /api/v1/namespaces/a/pods/%2561", "get - v1 a pods %61 - -"),
        ("GET /api/v1/namespaces/a/services/https:x:p/proxy/", "get - v1 a services https:x:p proxy /"),
        ("PATCH /apis/apps/v1/namespaces/a/deployments/x/scale", "patch apps v1 a deployments x scale -"),
        (
            "POST /apis/rbac.authorization.k8s.io/v1/clusterroles",
            "create rbac.authorization.k8s.io v1 - clusterroles - - -",
        ),
        (
            "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            "get rbac.authorization.k8s.io v1 - clusterroles system:node - -",
        ),
        ("GET /api/v1/namespaces/a/secrets?fieldSelector=metadata.name%3Dx", "list - v1 a secrets x - -"),
        ("OPTIONS /api/v1/pods", "- - v1 - pods - - -"),
        ("GET //apis//v1/pods", "get //apis//v1/pods"),
    ] {
        check(request, expect);
    }
}
