//! Listens at the cluster DNS address and turns answers into DNS messages.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::resource;
use client::Client;
use hickory_proto::op::{Message, Metadata, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::index::Index;
use super::records::{Answer, Asked, Data, answer};
use super::{Config, Error, forward};

/// How long clients may keep an answer, in seconds: as upstream's cluster DNS.
const TTL: u32 = 5;

pub(super) async fn run(config: Config, client: Client, shutdown: CancellationToken) -> Result<(), Error> {
    let domain = Name::from_ascii(&config.domain).map_err(|_| Error::Domain(config.domain.clone()))?;
    let address = config.address;
    let failed = |source| Error::Listen { address, source };
    let udp = UdpSocket::bind((address, 53)).await.map_err(failed)?;
    let tcp = TcpListener::bind((address, 53)).await.map_err(failed)?;
    let cache = |group, version, plural| resource::find(group, version, plural).map(|row| client.cache(row));
    let (Some(services), Some(slices)) =
        (cache("", "v1", "services"), cache("discovery.k8s.io", "v1", "endpointslices"))
    else {
        return Err(Error::Domain(config.domain));
    };
    // Until the caches are filled nothing is known, and "no such name" would be a lie that clients keep.
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = async { services.synced().await; slices.synced().await } => {}
    }
    let handler = Handler { config, domain, index: Arc::new(Mutex::new(Index::new(services, slices))) };
    let mut server = Server::new(handler);
    server.register_socket(udp);
    server.register_listener(tcp, Duration::from_secs(10), 32);
    tracing::info!(%address, "cluster DNS answers");
    shutdown.cancelled().await;
    let _ = server.shutdown_gracefully().await;
    Ok(())
}

struct Handler {
    config: Config,
    domain: Name,
    index: Arc<Mutex<Index>>,
}

/// An answer on its way out.
struct Outcome {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut reply: R) -> ResponseInfo {
        let outcome = self.outcome(request).await;
        let builder = MessageResponseBuilder::from_message_request(request);
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = outcome.code;
        metadata.authoritative = outcome.authoritative;
        metadata.recursion_available = true;
        let response = builder.build(metadata, &outcome.answers, &outcome.authorities, [], &outcome.additionals);
        match reply.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "an answer could not be sent");
                ResponseInfo::from(hickory_proto::op::Header { metadata, counts: Default::default() })
            }
        }
    }
}

impl Handler {
    async fn outcome(&self, request: &Request) -> Outcome {
        let Ok(info) = request.request_info() else { return Outcome::failure(ResponseCode::FormErr) };
        let (name, kind) = (Name::from(info.query.name()), info.query.query_type());
        let text = name.to_ascii().to_ascii_lowercase();
        let text = text.trim_end_matches('.');
        let found = answer(self.index.lock().current(), &self.config.domain, text, asked(kind));
        match found {
            Answer::Found { records, additional } => {
                let mut answers: Vec<Record> = records.iter().filter_map(|(name, data)| record(name, data)).collect();
                if let [(_, Data::Cname(target))] = records.as_slice()
                    && matches!(kind, RecordType::A | RecordType::AAAA)
                {
                    answers.extend(self.resolve(target, kind).await);
                }
                let mut authorities = Vec::new();
                if kind == RecordType::SOA && text == self.config.domain {
                    answers.push(self.soa());
                } else if answers.is_empty() {
                    authorities.push(self.soa());
                }
                let additionals = additional.iter().filter_map(|(name, data)| record(name, data)).collect();
                Outcome { code: ResponseCode::NoError, authoritative: true, answers, authorities, additionals }
            }
            Answer::NoSuchName => Outcome {
                code: ResponseCode::NXDomain,
                authoritative: true,
                answers: Vec::new(),
                authorities: vec![self.soa()],
                additionals: Vec::new(),
            },
            Answer::NotOurs => self.forward(request).await,
        }
    }

    /// Follows an ExternalName, so that clients that do not chase aliases get an address too.
    async fn resolve(&self, target: &str, kind: RecordType) -> Vec<Record> {
        let Ok(name) = Name::from_ascii(format!("{target}.")) else { return Vec::new() };
        let found = answer(self.index.lock().current(), &self.config.domain, target, asked(kind));
        if let Answer::Found { records, .. } = found {
            return records.iter().filter_map(|(name, data)| record(name, data)).collect();
        }
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(hickory_proto::op::Query::query(name, kind));
        let servers = forward::name_servers(&self.config.resolv_conf, self.config.address);
        forward::ask(&servers, &question).await.map(|answer| answer.answers).unwrap_or_default()
    }

    async fn forward(&self, request: &Request) -> Outcome {
        // Read each time: resolvers come and go with the node's own network.
        let servers = forward::name_servers(&self.config.resolv_conf, self.config.address);
        let Ok(question) = Message::from_vec(request.as_slice()) else {
            return Outcome::failure(ResponseCode::FormErr);
        };
        match forward::ask(&servers, &question).await {
            Some(answer) => Outcome {
                code: answer.metadata.response_code,
                authoritative: false,
                answers: answer.answers,
                authorities: answer.authorities,
                additionals: answer.additionals,
            },
            None => Outcome::failure(ResponseCode::ServFail),
        }
    }

    fn soa(&self) -> Record {
        let below = |label: &str| {
            Name::from_ascii(format!("{label}.{}.", self.config.domain)).unwrap_or_else(|_| self.domain.clone())
        };
        let soa = SOA::new(below("ns.dns"), below("hostmaster"), 1, 7200, 1800, 86400, TTL);
        let mut name = self.domain.clone();
        name.set_fqdn(true);
        Record::from_rdata(name, TTL, RData::SOA(soa))
    }
}

impl Outcome {
    fn failure(code: ResponseCode) -> Self {
        Self { code, authoritative: false, answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new() }
    }
}

fn asked(kind: RecordType) -> Asked {
    match kind {
        RecordType::A => Asked::A,
        RecordType::AAAA => Asked::Aaaa,
        RecordType::SRV => Asked::Srv,
        RecordType::PTR => Asked::Ptr,
        RecordType::CNAME => Asked::Cname,
        RecordType::SOA => Asked::Soa,
        RecordType::NS => Asked::Ns,
        RecordType::TXT => Asked::Txt,
        RecordType::ANY => Asked::Any,
        _ => Asked::Other,
    }
}

fn record(name: &str, data: &Data) -> Option<Record> {
    let absolute = |name: &str| Name::from_ascii(format!("{name}.")).ok();
    let data = match data {
        Data::Address(IpAddr::V4(ip)) => RData::A(A(*ip)),
        Data::Address(IpAddr::V6(ip)) => RData::AAAA(AAAA(*ip)),
        Data::Cname(target) => RData::CNAME(CNAME(absolute(target)?)),
        Data::Srv { port, target } => RData::SRV(SRV::new(0, 100, *port, absolute(target)?)),
        Data::Ptr(target) => RData::PTR(PTR(absolute(target)?)),
        Data::Text(text) => RData::TXT(TXT::new(vec![text.clone()])),
    };
    Some(Record::from_rdata(absolute(name)?, TTL, data))
}
