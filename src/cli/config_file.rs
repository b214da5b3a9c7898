//! The configuration file: flags without their dashes, as YAML.
//!
//! `config.yaml`, then `config.yaml.d/*.yaml` in order. A later file replaces a key, `key+` adds to a list. The outcome is
//! turned into arguments in front of the command line's, so a key is checked exactly as its flag is.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Where the file lies unless `--config` says otherwise.
pub(crate) const DEFAULT: &str = "/etc/isopod/config.yaml";

/// The arguments with those of the configuration files put in front, for `server` and `agent`.
/// `env_set` tells whether a flag's environment variable is set: it wins over the files.
pub(crate) fn expand(
    args: Vec<OsString>,
    command: &clap::Command,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>> {
    let Some(at) = args.iter().skip(1).position(|arg| arg == "server" || arg == "agent").map(|at| at + 1) else {
        return Ok(args);
    };
    let Some(command) = command.find_subcommand(&args[at]) else { return Ok(args) };
    let named = named_file(&args[at + 1..]).or_else(|| env("ISOPOD_CONFIG_FILE").map(PathBuf::from));
    let required = named.is_some();
    let path = named.unwrap_or_else(|| DEFAULT.into());
    let values = read_all(&path, required)?;
    let mut expanded = args[..=at].to_vec();
    for (key, value) in values {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(key.as_str()));
        let Some(arg) = arg.filter(|_| key != "config") else {
            bail!(
                "{}: unknown key {key:?}: the keys are the flags of \"isopod {}\"",
                path.display(),
                command.get_name()
            );
        };
        if arg.get_env().and_then(|name| name.to_str()).and_then(&env).is_some() {
            continue;
        }
        let takes_value = arg.get_action().takes_values();
        for text in flatten(&value).with_context(|| format!("{}: key {key:?}", path.display()))? {
            match (takes_value, text.as_str()) {
                (true, _) => expanded.push(format!("--{key}={text}").into()),
                (false, "true") => expanded.push(format!("--{key}").into()),
                (false, "false") => {}
                (false, other) => bail!("{}: key {key:?}: expected true or false, not {other:?}", path.display()),
            }
        }
    }
    expanded.extend_from_slice(&args[at + 1..]);
    Ok(expanded)
}

fn named_file(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_str()?;
        if text == "--config" || text == "-c" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = text.strip_prefix("--config=") {
            return Some(path.into());
        }
    }
    None
}

fn read_all(path: &Path, required: bool) -> Result<BTreeMap<String, Value>> {
    let mut values = BTreeMap::new();
    match std::fs::read_to_string(path) {
        Ok(text) => merge(&mut values, path, &text)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => {}
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    }
    let mut folder = path.as_os_str().to_owned();
    folder.push(".d");
    let mut files: Vec<PathBuf> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries.filter_map(|e| e.ok().map(|e| e.path())).collect(),
        Err(_) => Vec::new(),
    };
    files.retain(|file| file.extension().is_some_and(|e| e == "yaml" || e == "yml"));
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        merge(&mut values, &file, &text)?;
    }
    Ok(values)
}

fn merge(values: &mut BTreeMap<String, Value>, path: &Path, text: &str) -> Result<()> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let file: BTreeMap<String, Value> =
        serde_saphyr::from_str(text).with_context(|| format!("{} is not a YAML map of flags", path.display()))?;
    for (key, value) in file {
        match key.strip_suffix('+') {
            Some(key) => {
                let mut all = values.remove(key).map(list).unwrap_or_default();
                all.extend(list(value));
                values.insert(key.to_owned(), Value::Array(all));
            }
            None => {
                values.insert(key, value);
            }
        }
    }
    Ok(())
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        one => vec![one],
    }
}

fn flatten(value: &Value) -> Result<Vec<String>> {
    Ok(match value {
        Value::Array(values) => values.iter().map(flatten).collect::<Result<Vec<_>>>()?.concat(),
        Value::String(text) => vec![text.clone()],
        Value::Null => Vec::new(),
        Value::Object(_) => bail!("expected a value or a list, not a map"),
        plain => vec![plain.to_string()],
    })
}
