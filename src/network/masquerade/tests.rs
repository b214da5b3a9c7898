use super::*;

fn scope(masquerade: bool, bridge_filter: bool) -> Scope {
    Scope {
        cluster: "10.42.0.0/16".parse().unwrap(),
        subnet: "10.42.1.0/24".parse().unwrap(),
        masquerade,
        bridge_filter,
    }
}

#[test]
fn rules_follow_the_scope() {
    let check = |scope: Scope, expect: &[&str]| {
        let text = plan(&scope).to_string();
        let rules = text.split("}\n").next().unwrap().lines().skip(2).map(str::trim).collect::<Vec<_>>();
        assert_eq!(rules, expect);
    };
    check(
        scope(true, true),
        &[
            "ip saddr 10.42.0.0/16 ip daddr 10.42.0.0/16 return",
            "ip saddr 10.42.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random",
            "ip daddr 10.42.1.0/24 return",
            "ip saddr != 10.42.0.0/16 ip daddr 10.42.0.0/16 masquerade fully-random",
        ],
    );
    check(scope(false, true), &[]);
    check(scope(false, false), &["ip saddr 10.42.1.0/24 ip daddr 10.42.1.0/24 ct status dnat masquerade fully-random"]);
}
