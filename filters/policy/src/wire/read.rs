//! The plugin configurations from JSON, as the module reads them: as strictly as serde does, which reads the same types from documents.

use std::ops::Range;

use super::json::{Fields, InvalidJson, Reader, fields};
use super::{
    AccessLogConfig, Action, AuthorizationPolicy, AuthzConfig, ClaimToHeader, Condition, DeniedPeers, Direction, From, JwtHeader, JwtRule,
    MutualTls, Operation, Protocol, RequestAuthentication, Rule, Source, To,
};

type Result<T> = std::result::Result<T, InvalidJson>;

impl AuthzConfig {
    /// # Errors
    /// When the text is not JSON of the wire format; what it says is not looked at.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let mut documents = Documents::default();
        let config = Self::from_json_beside(text, &mut documents)?;
        Ok(Self { authorization: documents.0, ..config })
    }

    /// The same without its AuthorizationPolicies, which `documents` is given.
    pub(crate) fn from_json_beside(text: &[u8], documents: &mut dyn KnownDocuments) -> Result<Self> {
        Reader::whole(text, |reader| authz(reader, documents))
    }
}

/// Whom a configuration's AuthorizationPolicies are given to, who may know some of them by their text.
pub(crate) trait KnownDocuments {
    /// How long the known document is with which `rest` begins, the text from `start` on; it is not read then.
    fn skip(&mut self, rest: &[u8], start: usize) -> Option<usize>;

    /// One that is not known, and its place in the text.
    fn read(&mut self, policy: AuthorizationPolicy, text: Range<usize>);
}

/// Who knows none.
#[derive(Default)]
struct Documents(Vec<AuthorizationPolicy>);

impl KnownDocuments for Documents {
    fn skip(&mut self, _: &[u8], _: usize) -> Option<usize> {
        None
    }

    fn read(&mut self, policy: AuthorizationPolicy, _: Range<usize>) {
        self.0.push(policy);
    }
}

impl AccessLogConfig {
    /// # Errors
    /// When the text is not JSON of the wire format.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        Reader::whole(text, access_log)
    }
}

fn protocol(reader: &mut Reader<'_>) -> Result<Protocol> {
    reader.one_of(&[("http", Protocol::Http), ("tcp", Protocol::Tcp)])
}

fn authz(reader: &mut Reader<'_>, documents: &mut dyn KnownDocuments) -> Result<AuthzConfig> {
    const FIELDS: Fields = fields(
        3,
        &[
            "version",
            "protocol",
            "trust_domain",
            "policy_version",
            "trust_domain_aliases",
            "denied_peers",
            "mutual_tls",
            "request_authentication",
            "authorization",
            "log_in_vm",
        ],
    );
    let mut config = AuthzConfig {
        version: 0,
        protocol: Protocol::Http,
        trust_domain: String::new(),
        log_in_vm: false,
        policy_version: String::new(),
        trust_domain_aliases: Vec::new(),
        denied_peers: DeniedPeers::default(),
        mutual_tls: MutualTls::default(),
        request_authentication: Vec::new(),
        authorization: Vec::new(),
    };
    reader.object(FIELDS, &mut |reader, field| {
        match field {
            0 => config.version = reader.number()?,
            1 => config.protocol = protocol(reader)?,
            2 => config.trust_domain = reader.string()?,
            3 => config.policy_version = reader.string()?,
            4 => config.trust_domain_aliases = reader.strings()?,
            5 => config.denied_peers = denied_peers(reader)?,
            6 => config.mutual_tls = mutual_tls(reader)?,
            7 => config.request_authentication = reader.list(request_authentication)?,
            8 => reader.each(&mut |reader| document(reader, documents))?,
            _ => config.log_in_vm = reader.boolean()?,
        }
        Ok(())
    })?;
    Ok(config)
}

fn document(reader: &mut Reader<'_>, documents: &mut dyn KnownDocuments) -> Result<()> {
    let (rest, start) = reader.next_value();
    if let Some(length) = documents.skip(rest, start) {
        reader.skip(length);
        return Ok(());
    }
    let policy = authorization(reader)?;
    documents.read(policy, start..reader.place());
    Ok(())
}

fn denied_peers(reader: &mut Reader<'_>) -> Result<DeniedPeers> {
    let mut lists = [Vec::new(), Vec::new()];
    reader.object(fields(0, &["identities", "serials"]), &mut |reader, field| set(&mut lists, field, reader.strings()?))?;
    let [identities, serials] = lists;
    Ok(DeniedPeers { identities, serials })
}

fn mutual_tls(reader: &mut Reader<'_>) -> Result<MutualTls> {
    let mut read = MutualTls::default();
    reader.object(fields(0, &["required", "except"]), &mut |reader, field| {
        match field {
            0 => read.required = reader.boolean()?,
            _ => read.except = reader.list(port)?,
        }
        Ok(())
    })?;
    Ok(read)
}

fn port(reader: &mut Reader<'_>) -> Result<u16> {
    let number = reader.number()?;
    u16::try_from(number).map_err(|_| reader.error("expected a port"))
}

fn request_authentication(reader: &mut Reader<'_>) -> Result<RequestAuthentication> {
    let (mut names, mut jwt_rules) = <([String; 2], Vec<JwtRule>)>::default();
    reader.object(fields(3, &["namespace", "name", "jwt_rules"]), &mut |reader, field| {
        match field {
            2 => jwt_rules = reader.list(jwt_rule)?,
            _ => set(&mut names, field, reader.string()?)?,
        }
        Ok(())
    })?;
    let [namespace, name] = names;
    Ok(RequestAuthentication { namespace, name, jwt_rules })
}

fn jwt_rule(reader: &mut Reader<'_>) -> Result<JwtRule> {
    const FIELDS: Fields = fields(
        1,
        &[
            "issuer",
            "audiences",
            "jwksUri",
            "jwks",
            "fromHeaders",
            "fromParams",
            "fromCookies",
            "outputPayloadToHeader",
            "outputClaimToHeaders",
            "forwardOriginalToken",
            "spaceDelimitedClaims",
            "timeout",
        ],
    );
    let mut rule = JwtRule::default();
    reader.object(FIELDS, &mut |reader, field| {
        match field {
            0 => rule.issuer = reader.string()?,
            1 => rule.audiences = reader.optional_strings()?,
            2 => rule.jwks_uri = reader.optional(Reader::string)?,
            3 => rule.jwks = reader.optional(Reader::string)?,
            4 => rule.from_headers = reader.optional(|reader| reader.list(jwt_header))?,
            5 => rule.from_params = reader.optional_strings()?,
            6 => rule.from_cookies = reader.optional_strings()?,
            7 => rule.output_payload_to_header = reader.optional(Reader::string)?,
            8 => rule.output_claim_to_headers = reader.optional(|reader| reader.list(claim_to_header))?,
            9 => rule.forward_original_token = reader.optional(Reader::boolean)?,
            10 => rule.space_delimited_claims = reader.optional_strings()?,
            _ => rule.timeout = reader.optional(Reader::string)?,
        }
        Ok(())
    })?;
    Ok(rule)
}

fn jwt_header(reader: &mut Reader<'_>) -> Result<JwtHeader> {
    let mut header = JwtHeader { name: String::new(), prefix: None };
    reader.object(fields(1, &["name", "prefix"]), &mut |reader, field| {
        match field {
            0 => header.name = reader.string()?,
            _ => header.prefix = reader.optional(Reader::string)?,
        }
        Ok(())
    })?;
    Ok(header)
}

fn claim_to_header(reader: &mut Reader<'_>) -> Result<ClaimToHeader> {
    let mut names = <[String; 2]>::default();
    reader.object(fields(2, &["header", "claim"]), &mut |reader, field| set(&mut names, field, reader.string()?))?;
    let [header, claim] = names;
    Ok(ClaimToHeader { header, claim })
}

fn authorization(reader: &mut Reader<'_>) -> Result<AuthorizationPolicy> {
    const ACTIONS: [(&str, Action); 4] =
        [("ALLOW", Action::Allow), ("DENY", Action::Deny), ("AUDIT", Action::Audit), ("CUSTOM", Action::Custom)];
    let mut policy = AuthorizationPolicy {
        namespace: String::new(),
        name: String::new(),
        action: Action::Deny,
        provider: None,
        dry_run: false,
        rules: Vec::new(),
    };
    reader.object(fields(3, &["namespace", "name", "action", "provider", "dry_run", "rules"]), &mut |reader, field| {
        match field {
            0 => policy.namespace = reader.string()?,
            1 => policy.name = reader.string()?,
            2 => policy.action = reader.one_of(&ACTIONS)?,
            3 => policy.provider = reader.optional(Reader::string)?,
            4 => policy.dry_run = reader.boolean()?,
            _ => policy.rules = reader.list(rule)?,
        }
        Ok(())
    })?;
    Ok(policy)
}

fn rule(reader: &mut Reader<'_>) -> Result<Rule> {
    let mut rule = Rule::default();
    reader.object(fields(0, &["from", "to", "when"]), &mut |reader, field| {
        match field {
            0 => rule.from = reader.optional(|reader| reader.list(from))?,
            1 => rule.to = reader.optional(|reader| reader.list(to))?,
            _ => rule.when = reader.optional(|reader| reader.list(condition))?,
        }
        Ok(())
    })?;
    Ok(rule)
}

fn from(reader: &mut Reader<'_>) -> Result<From> {
    let mut from = From::default();
    reader.object(fields(0, &["source"]), &mut |reader, _| {
        from.source = reader.optional(source)?;
        Ok(())
    })?;
    Ok(from)
}

fn to(reader: &mut Reader<'_>) -> Result<To> {
    let mut to = To::default();
    reader.object(fields(0, &["operation"]), &mut |reader, _| {
        to.operation = reader.optional(operation)?;
        Ok(())
    })?;
    Ok(to)
}

fn source(reader: &mut Reader<'_>) -> Result<Source> {
    const FIELDS: Fields = fields(
        0,
        &[
            "principals",
            "notPrincipals",
            "requestPrincipals",
            "notRequestPrincipals",
            "namespaces",
            "notNamespaces",
            "serviceAccounts",
            "notServiceAccounts",
            "trustDomains",
            "notTrustDomains",
            "ipBlocks",
            "notIpBlocks",
            "remoteIpBlocks",
            "notRemoteIpBlocks",
        ],
    );
    let [
        principals,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        trust_domains,
        not_trust_domains,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
    ] = lists(reader, FIELDS)?;
    Ok(Source {
        principals,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        trust_domains,
        not_trust_domains,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
    })
}

fn operation(reader: &mut Reader<'_>) -> Result<Operation> {
    const FIELDS: Fields = fields(0, &["hosts", "notHosts", "ports", "notPorts", "methods", "notMethods", "paths", "notPaths"]);
    let [hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths] = lists(reader, FIELDS)?;
    Ok(Operation { hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths })
}

fn condition(reader: &mut Reader<'_>) -> Result<Condition> {
    let mut condition = Condition::default();
    reader.object(fields(1, &["key", "values", "notValues"]), &mut |reader, field| {
        match field {
            0 => condition.key = reader.string()?,
            1 => condition.values = reader.optional_strings()?,
            _ => condition.not_values = reader.optional_strings()?,
        }
        Ok(())
    })?;
    Ok(condition)
}

fn access_log(reader: &mut Reader<'_>) -> Result<AccessLogConfig> {
    const DIRECTIONS: [(&str, Direction); 3] =
        [("inbound", Direction::Inbound), ("outbound", Direction::Outbound), ("gateway", Direction::Gateway)];
    const FIELDS: Fields =
        fields(7, &["version", "direction", "protocol", "namespace", "workload", "principal", "trust_domain", "service"]);
    let mut config = AccessLogConfig {
        version: 0,
        direction: Direction::Inbound,
        protocol: Protocol::Http,
        namespace: String::new(),
        workload: String::new(),
        service: None,
        principal: String::new(),
        trust_domain: String::new(),
    };
    reader.object(FIELDS, &mut |reader, field| {
        match field {
            0 => config.version = reader.number()?,
            1 => config.direction = reader.one_of(&DIRECTIONS)?,
            2 => config.protocol = protocol(reader)?,
            3 => config.namespace = reader.string()?,
            4 => config.workload = reader.string()?,
            5 => config.principal = reader.string()?,
            6 => config.trust_domain = reader.string()?,
            _ => config.service = reader.optional(Reader::string)?,
        }
        Ok(())
    })?;
    Ok(config)
}

/// Objects of which every member is a list of strings, or `null`.
fn lists<const N: usize>(reader: &mut Reader<'_>, fields: Fields) -> Result<[Option<Vec<String>>; N]> {
    let mut lists = [const { None }; N];
    reader.object(fields, &mut |reader, field| set(&mut lists, field, reader.optional_strings()?))?;
    Ok(lists)
}

/// A reader gives only the places of the fields that it was given.
#[expect(clippy::unnecessary_wraps, reason = "what closures that read a member give back")]
fn set<T>(all: &mut [T], field: usize, value: T) -> Result<()> {
    if let Some(one) = all.get_mut(field) {
        *one = value;
    }
    Ok(())
}
