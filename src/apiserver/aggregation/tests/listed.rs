//! What `/apis` and `/apis/GROUP` say when APIServices are changed, made and taken away.

use super::*;

#[tokio::test]
async fn groups_are_listed_as_their_api_services_say() {
    let (server, _) = server().await;
    let client = admin(&server);
    let groups = async || {
        let list = client.get("/apis").await.json();
        let line = |group: &Value| {
            let versions: Vec<&str> = group.items("versions").iter().map(|version| version.text("version")).collect();
            assert_eq!(group.text("preferredVersion.version"), versions[0]);
            format!("{}:{}", group.text("name"), versions.join(","))
        };
        list.items("groups").iter().map(line).collect::<Vec<_>>()
    };
    let before = groups().await;
    assert_eq!(before[..3], ["apiregistration.k8s.io:v1", "apps:v1", "events.k8s.io:v1"]);
    // Only what is registered can be taken away.
    let began = std::time::Instant::now();
    while client.send(&format!("DELETE {SERVICES}/v1.apps"), String::new()).await.code != 200 {
        assert!(began.elapsed().as_secs() < 30);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let patching = server.admin().with("content-type", "application/merge-patch+json");
    for (name, spec) in
        [("v1.autoscaling", json!({"versionPriority": 90})), ("v1.batch", json!({"groupPriorityMinimum": 100}))]
    {
        loop {
            let change = json!({"spec": spec}).to_string();
            let answer = patching.send(&format!("PATCH {SERVICES}/{name}"), change).await;
            if answer.code == 200 {
                break;
            }
            assert_eq!(answer.code, 404, "{}", answer.text());
        }
    }
    let alone = json!({"metadata": {"name": "v1.foo.example"},
        "spec": {"group": "foo.example", "version": "v1", "groupPriorityMinimum": 50, "versionPriority": 5}});
    create(&client, SERVICES, alone).await;
    let mut expect = before;
    expect.retain(|group| !group.starts_with("apps:") && !group.starts_with("batch:"));
    expect
        .iter_mut()
        .filter(|group| *group == "autoscaling:v2,v1")
        .for_each(|group| *group = "autoscaling:v1,v2".into());
    expect.extend(["batch:v1".to_owned(), "foo.example:v1".to_owned()]);
    let began = std::time::Instant::now();
    // The last of them may be on their way still.
    while groups().await != expect {
        assert!(began.elapsed().as_secs() < 30, "{:?} {expect:?}", groups().await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (path, code, preferred) in [
        // Nothing says otherwise, so what is served is told.
        ("/apis/apps", 200, "apps/v1"),
        ("/apis/autoscaling", 200, "autoscaling/v1"),
        ("/apis/foo.example", 200, "foo.example/v1"),
        ("/apis/apiregistration.k8s.io", 200, "apiregistration.k8s.io/v1"),
        ("/apis/bar.example", 404, ""),
    ] {
        let answer = client.get(path).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.text());
        if code == 200 {
            assert_eq!(answer.json().text("preferredVersion.groupVersion"), preferred, "{path}");
        }
    }
    assert_eq!(client.get("/apis/apps/v1/deployments").await.code, 200);
}
