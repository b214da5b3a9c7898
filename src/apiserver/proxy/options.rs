//! What a connection is asked for: the query, read as upstream's `PodLogOptions`, `PodExecOptions` … Complaints are upstream's.

use api::quote::quote;
use api::validation::field::{Error, ErrorList, Path};
use api::{Cause, Status, time};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::unreached;
use crate::http::path::RequestInfo;
use crate::http::query::{self, Query};

/// What a connection is asked for.
#[derive(Debug)]
pub(super) enum ConnectOptions {
    Log(LogOptions),
    /// `exec` and `attach`.
    Streams(StreamOptions),
    /// The ports.
    PortForward(Vec<u16>),
    Proxy,
}

/// `PodLogOptions`.
#[derive(Debug)]
pub(super) struct LogOptions {
    pub(super) container: String,
    /// Whether whoever answers for the kubelet is believed.
    pub(super) insecure: bool,
    /// What the kubelet is asked, names and values.
    asked: Vec<(&'static str, String)>,
}

/// `PodExecOptions` and `PodAttachOptions`.
#[derive(Debug)]
pub(super) struct StreamOptions {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    tty: bool,
    pub(super) container: String,
    /// `None` for an attach.
    command: Option<Vec<String>>,
}

impl ConnectOptions {
    pub(super) fn read(info: &RequestInfo, query: &Query) -> Result<Self, Status> {
        Ok(match &*info.subresource {
            "log" => Self::Log(LogOptions::read(&info.name, query)?),
            "exec" | "attach" => Self::Streams(StreamOptions {
                stdin: query.flag("stdin"),
                stdout: query.flag("stdout"),
                stderr: query.flag("stderr"),
                tty: query.flag("tty"),
                container: container(query),
                command: (info.subresource == "exec").then(|| query.all("command").map(str::to_owned).collect()),
            }),
            "portforward" => {
                let ports = query.all("ports").flat_map(|ports| ports.split(','));
                Self::PortForward(ports.map(port).collect::<Result<_, _>>()?)
            }
            _ => Self::Proxy,
        })
    }

    /// The options as an object of their kind, as admission sees them.
    pub(super) fn to_value(&self, version: &str, kind: &str, info: &RequestInfo) -> Value {
        let mut object = Map::new();
        object.insert("kind".into(), kind.into());
        object.insert("apiVersion".into(), version.into());
        match self {
            Self::Streams(options) => {
                let streams = ["stdin", "stdout", "stderr", "tty"];
                let wanted = [options.stdin, options.stdout, options.stderr, options.tty];
                for (stream, _) in streams.into_iter().zip(wanted).filter(|(_, wanted)| *wanted) {
                    object.insert(stream.into(), true.into());
                }
                if !options.container.is_empty() {
                    object.insert("container".into(), options.container.as_str().into());
                }
                if let Some(command) = &options.command {
                    // A slice that Go made of nothing.
                    let command = if command.is_empty() { Value::Null } else { json!(command) };
                    object.insert("command".into(), command);
                }
            }
            Self::PortForward(ports) if !ports.is_empty() => drop(object.insert("ports".into(), json!(ports))),
            Self::Proxy if !info.rest.is_empty() => drop(object.insert("path".into(), info.rest.as_str().into())),
            _ => {}
        }
        Value::Object(object)
    }
}

impl LogOptions {
    fn read(pod: &str, query: &Query) -> Result<Self, Status> {
        let (tail, limit) = (query.number("tailLines")?, query.number("limitBytes")?);
        let (since, time) = (query.number("sinceSeconds")?, query.get("sinceTime"));
        let time = time.map(since_time).transpose()?;
        let mut errors = ErrorList::new();
        if let Some(tail) = tail.filter(|tail| *tail < 0) {
            errors.push(Error::invalid(&Path::root("tailLines"), tail, "must be greater than or equal to 0"));
        }
        if let Some(limit) = limit.filter(|limit| *limit < 1) {
            errors.push(Error::invalid(&Path::root("limitBytes"), limit, "must be greater than 0"));
        }
        match (since, time) {
            (Some(_), Some(_)) => {
                let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
                // A field without a name, as Go writes it.
                errors.push(Error::forbidden(&Path::root("[]"), why));
            }
            (Some(since), None) if since < 1 => {
                errors.push(Error::invalid(&Path::root("sinceSeconds"), since, "must be greater than 0"));
            }
            _ => {}
        }
        if query.get("stream").is_some() {
            // A feature that 1.35 has off by default.
            errors.push(Error::forbidden(&Path::root("stream"), "may not be specified"));
        }
        if !errors.is_empty() {
            let cause = |e: Error| Cause { reason: e.kind.reason().into(), message: e.body(), field: e.field };
            return Err(Status::invalid("", "PodLogOptions", pod, errors.into_iter().map(cause).collect()));
        }
        let flag = |name| query.flag(name).then(|| (name, "true".to_owned()));
        let number = |name, value: Option<i64>| value.map(|value| (name, value.to_string()));
        let asked = [
            flag("follow"),
            number("limitBytes", limit),
            flag("previous"),
            number("sinceSeconds", since),
            time.flatten().map(|time| ("sinceTime", time::format(time))),
            number("tailLines", tail),
            flag("timestamps"),
        ];
        Ok(Self {
            container: container(query),
            insecure: query.flag("insecureSkipTLSVerifyBackend"),
            asked: asked.into_iter().flatten().collect(),
        })
    }

    /// The query that tells the kubelet; with its question mark, or empty.
    pub(super) fn parameters(&self) -> String {
        self.asked.iter().fold(String::new(), |query, (name, value)| append(query, name, value))
    }
}

impl StreamOptions {
    /// The channel that a session is said to be open at: the first that is written to.
    pub(super) fn first_output(&self) -> u8 {
        match (self.stdout, self.stderr) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => unreached::ERRORS,
        }
    }

    /// The query that tells the kubelet, under the kubelet's names; with its question mark, or empty.
    pub(super) fn parameters(&self) -> String {
        let commands = self.command.iter().flatten();
        let query = commands.fold(String::new(), |query, command| append(query, "command", command));
        let streams = [("error", self.stderr), ("input", self.stdin), ("output", self.stdout), ("tty", self.tty)];
        let wanted = streams.into_iter().filter(|(_, wanted)| *wanted);
        wanted.fold(query, |query, (name, _)| append(query, name, "1"))
    }
}

/// The query that tells the kubelet of the ports; with its question mark, or empty.
pub(super) fn port_parameters(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    if ports.is_empty() { String::new() } else { append(String::new(), "port", &ports.join(",")) }
}

fn container(query: &Query) -> String {
    query.get("container").unwrap_or_default().to_owned()
}

/// A moment; `None` for the one that is before all logs.
fn since_time(text: &str) -> Result<Option<Timestamp>, Status> {
    // Upstream's reader of queries takes these for no time at all.
    if matches!(text, "" | "null") {
        return Ok(None);
    }
    time::parse(text).map(Some).map_err(|error| Status::bad_request(error.to_string()))
}

fn port(text: &str) -> Result<u16, Status> {
    // Go's reader of numbers without a sign takes none.
    let read = if text.starts_with('+') { "".parse() } else { text.parse::<u16>() };
    read.map_err(|error| {
        let why = if text.starts_with('-') { "invalid syntax" } else { query::number_error(&error) };
        Status::bad_request(format!("cannot convert to []int32: strconv.ParseUint: parsing {}: {why}", quote(text)))
    })
}

/// Adds one parameter to a query.
fn append(mut query: String, name: &str, value: &str) -> String {
    query.push(if query.is_empty() { '?' } else { '&' });
    query.push_str(name);
    query.push('=');
    for byte in value.bytes() {
        match byte {
            b' ' => query.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => query.push(byte as char),
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(subresource: &str, query: &str) -> Result<ConnectOptions, Status> {
        let info = RequestInfo { name: "p".into(), subresource: subresource.into(), ..RequestInfo::default() };
        ConnectOptions::read(&info, &Query::parse(query))
    }

    #[test]
    fn kubelets_are_asked_in_their_own_words() {
        for (subresource, query, expect) in [
            ("log", "", ""),
            ("log", "tailLines=3&follow=1&previous=0&container=a", "?follow=true&tailLines=3"),
            ("log", "sinceTime=2020-01-01T01:00:00%2B01:00", "?sinceTime=2020-01-01T00%3A00%3A00Z"),
            ("log", "sinceTime=&limitBytes=7&timestamps=true&previous", "?limitBytes=7&previous=true&timestamps=true"),
            (
                "exec",
                "stdin=1&command=echo&command=a%20b&tty=true&stdout=1",
                "?command=echo&command=a+b&input=1&output=1&tty=1",
            ),
            ("attach", "stderr=1&command=no&container=x", "?error=1"),
            ("attach", "", ""),
            ("portforward", "ports=80,81&ports=82", "?port=80%2C81%2C82"),
            ("portforward", "", ""),
        ] {
            let got = match read(subresource, query).unwrap() {
                ConnectOptions::Log(options) => options.parameters(),
                ConnectOptions::Streams(options) => options.parameters(),
                ConnectOptions::PortForward(ports) => port_parameters(&ports),
                ConnectOptions::Proxy => unreachable!("{subresource}"),
            };
            assert_eq!(got, expect, "{subresource}?{query}");
        }
    }

    #[test]
    fn options_are_refused_in_upstreams_words() {
        let layout = "2006-01-02T15:04:05Z07:00";
        for (subresource, query, expect) in [
            ("log", "tailLines=x", "strconv.ParseInt: parsing \"x\": invalid syntax".to_owned()),
            ("log", "tailLines=", "strconv.ParseInt: parsing \"\": invalid syntax".to_owned()),
            ("log", "limitBytes=99999999999999999999", "strconv.ParseInt: parsing \"99999999999999999999\": value out of range".to_owned()),
            ("log", "sinceTime=x", format!("parsing time \"x\" as \"{layout}\": cannot parse \"x\" as \"2006\"")),
            ("log", "stream=All", "PodLogOptions \"p\" is invalid: stream: Forbidden: may not be specified".to_owned()),
            ("log", "sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z", "PodLogOptions \"p\" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned()),
            ("log", "sinceSeconds=0", "PodLogOptions \"p\" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0".to_owned()),
            ("portforward", "ports=70000", "cannot convert to []int32: strconv.ParseUint: parsing \"70000\": value out of range".to_owned()),
            ("portforward", "ports=80,x", "cannot convert to []int32: strconv.ParseUint: parsing \"x\": invalid syntax".to_owned()),
            ("portforward", "ports=-1", "cannot convert to []int32: strconv.ParseUint: parsing \"-1\": invalid syntax".to_owned()),
            ("portforward", "ports=", "cannot convert to []int32: strconv.ParseUint: parsing \"\": invalid syntax".to_owned()),
        ] {
            assert_eq!(read(subresource, query).unwrap_err().message, expect, "{subresource}?{query}");
        }
    }
}
