use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use super::{Cli, Command, ServerArgs, config_file};

fn expand(files: &[(&str, &str)], args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Vec<OsString>> {
    let dir = tempfile::tempdir()?;
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap())?;
        std::fs::write(path, text)?;
    }
    let mut all: Vec<OsString> =
        vec!["isopod".into(), args[0].into(), "--config".into(), dir.path().join("config.yaml").into()];
    all.extend(args[1..].iter().map(OsString::from));
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
    config_file::expand(all, &Cli::command(), env)
}

fn server(files: &[(&str, &str)], args: &[&str], env: &[(&str, &str)]) -> Box<ServerArgs> {
    let args = expand(files, args, env).unwrap();
    match Cli::try_parse_from(args).unwrap().command {
        Command::Server(server) => server,
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_read_in_order_and_the_command_line_wins() {
    let files = [
        ("config.yaml", "cluster-cidr: 10.1.0.0/16\nnode-label: [a=1]\ndisable-agent: true\nmax-pods: 7\n"),
        ("config.yaml.d/10.yaml", "node-label+: [b=2]\ncluster-domain: x.y\n"),
        ("config.yaml.d/20.yaml", "cluster-domain: z\n"),
    ];
    let args = server(&files, &["server", "--max-pods", "9"], &[("ISOPOD_CLUSTER_CIDR", "ignored here")]);
    assert_eq!(args.node.node_label, ["a=1", "b=2"]);
    assert_eq!(args.cluster_domain, "z");
    assert!(args.disable_agent);
    assert_eq!(args.node.max_pods, 9);
    assert_eq!(args.cluster_cidr, "10.42.0.0/16", "a set environment variable wins over the file");
}

#[test]
fn scripts_for_k3s_work_or_are_told_why_not() {
    let check = |flag: &str, expect: Option<&str>| {
        let args = server(&[("config.yaml", "")], &["server", flag], &[]);
        match (args.familiar.check(), expect) {
            (Ok(()), None) => {}
            (Err(error), Some(why)) if error.to_string().contains(why) => {}
            (outcome, _) => panic!("{flag}: {outcome:?}"),
        }
    };
    check("--disable-network-policy", None);
    check("--disable-cloud-controller", None);
    check("--disable-helm-controller", None);
    check("--system-default-registry=registry.example.org", None);
    check("--default-local-storage-path=/data", Some("--default-local-storage-path /data: there is no"));
    check("--cluster-init", Some("one server"));
    check("--datastore-endpoint=https://u:secret@host", Some("--datastore-endpoint https://…: there is no driver"));
}

#[test]
fn bad_files_are_named() {
    let check = |text: &str, expect: &str| {
        let error = format!("{:#}", expand(&[("config.yaml", text)], &["server"], &[]).unwrap_err());
        assert!(error.contains(expect) && error.contains("config.yaml"), "{error}");
    };
    check("no-such-flag: 1\n", "unknown key \"no-such-flag\"");
    check("disable-agent: perhaps\n", "expected true or false");
    check("tls-san: {a: b}\n", "not a map");
    check("- a\n", "not a YAML map");
    check("a: [\n", "not a YAML map");
    let missing = expand(&[], &["server"], &[]).unwrap_err();
    assert!(format!("{missing:#}").contains("cannot read"));
}

#[test]
fn the_commands_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_of_a_service_has_an_environment_variable_and_its_help() {
    let cli = Cli::command();
    for name in ["server", "agent"] {
        let command = cli.find_subcommand(name).unwrap();
        for arg in command.get_arguments() {
            let long = arg.get_long().unwrap();
            assert!(arg.get_help().is_some(), "{name} --{long} has no help");
            let expect = match long {
                "config" => "ISOPOD_CONFIG_FILE".to_owned(),
                // As install.sh has it.
                "server" => "ISOPOD_URL".to_owned(),
                "verbose" => continue,
                long => format!("ISOPOD_{}", long.replace('-', "_").to_uppercase()),
            };
            assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(&*expect), "{name} --{long}");
            // Its URL has a password in it.
            let secret = long.ends_with("token") || long == "datastore-endpoint";
            assert_eq!(arg.is_hide_env_values_set(), secret, "{name} --{long}");
        }
    }
}
