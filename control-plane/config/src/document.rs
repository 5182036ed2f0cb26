//! From the bytes of a file to documents, each of which is taken or rejected on its own.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::age::Age;
use crate::authorization_policy::AuthorizationPolicy;
use crate::credential::Credential;
use crate::deny_list::IdentityDenyList;
use crate::destination_rule::DestinationRule;
use crate::error::{DocumentError, Rejected};
use crate::gateway::Gateway;
use crate::key::{DocumentKey, Kind, Origin};
use crate::mesh::Mesh;
use crate::peer_authentication::PeerAuthentication;
use crate::reader::{Problem, Reader, Report};
use crate::request_authentication::RequestAuthentication;
use crate::schema;
use crate::service::ServiceEntry;
use crate::sidecar::Sidecar;
use crate::virtual_service::VirtualService;
use crate::workload::Workload;
use crate::yaml::{self, Chunk, Node, Position};

/// Larger than any object that a cluster would store (etcd's limit is 1.5 MiB).
pub const LARGEST_DOCUMENT: usize = 2 * 1024 * 1024;
/// As in Kubernetes.
const DEFAULT_NAMESPACE: &str = "default";
const LONGEST_NAME: usize = 253;

/// A document that is right in itself; whether it fits the others is known when the state is assembled.
#[derive(Clone)]
pub struct Document {
    key: DocumentKey,
    origin: Origin,
    content: Content,
    /// As it was written, for errors that are found later: a tree of it is ten times as large, and rarely asked for.
    text: Arc<str>,
}

/// What a document says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Mesh(Mesh),
    IdentityDenyList(IdentityDenyList),
    AuthorizationPolicy(AuthorizationPolicy),
    RequestAuthentication(RequestAuthentication),
    PeerAuthentication(PeerAuthentication),
    ServiceEntry(ServiceEntry),
    WorkloadEntry(Workload),
    DestinationRule(DestinationRule),
    VirtualService(VirtualService),
    Gateway(Gateway),
    Sidecar(Sidecar),
    Secret(Credential),
}

impl Document {
    #[must_use]
    pub fn key(&self) -> &DocumentKey {
        &self.key
    }

    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Why it would be no good to replace what is in force by it at `now`: a certificate that has ended, or has not begun.
    #[must_use]
    pub fn untimely(&self, now: SystemTime) -> Option<DocumentError> {
        let Content::Secret(credential) = &self.content else { return None };
        credential.untimely(now.into()).map(|(field, why)| self.error(field, why))
    }

    /// What in it should be replaced before long, or has ended without that being [`Document::untimely`]: certificates of a Secret.
    #[must_use]
    pub fn ending(&self, now: SystemTime) -> Vec<DocumentError> {
        let Content::Secret(credential) = &self.content else { return Vec::new() };
        credential.ending(now.into()).map(|(field, why)| self.error(field, why)).collect()
    }

    /// An error of this document, at the field `path`.
    pub(crate) fn error(&self, path: &str, message: impl Into<String>) -> DocumentError {
        let report = Report::default();
        let problem = match yaml::parse(&self.text, self.origin.line) {
            Ok(Some(tree)) => {
                Reader::new(&tree, &report).fail_below(path, message);
                report.into_problems().pop()
            }
            // It has been read before.
            Ok(None) | Err(_) => None,
        };
        let nothing =
            || Problem { position: Position { line: self.origin.line, column: 1 }, path: path.to_owned(), message: String::new() };
        let problem = problem.unwrap_or_else(nothing);
        let names = Names {
            kind: Some(self.key.kind().to_string()),
            namespace: Some(self.key.namespace().to_owned()),
            name: Some(self.key.name().to_owned()),
        };
        names.error(&self.origin, problem)
    }
}

impl fmt::Debug for Document {
    /// Without the text, which may hold a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("key", &self.key).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// One document as it was found in a file, before it is parsed.
#[derive(Debug, Clone, Copy)]
pub struct RawDocument<'a> {
    chunk: Chunk<'a>,
}

impl<'a> RawDocument<'a> {
    /// Its text with its line in the file: what did not change here need not be parsed again.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.chunk.bytes
    }

    /// The line of the file on which it starts, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.chunk.line
    }

    /// The same text, as it once stood elsewhere: as document `index` on line `line` of its file, both counted from 1.
    #[must_use]
    pub fn moved(self, index: usize, line: usize) -> Self {
        Self { chunk: Chunk { index, line, ..self.chunk } }
    }

    /// # Errors
    /// [`Rejected`] with everything that is wrong with the document.
    pub fn parse(&self, file: &Arc<str>) -> Result<Document, Rejected> {
        let origin = Origin { file: Arc::clone(file), index: self.chunk.index, line: self.chunk.line };
        let reject = |problem: Problem| Rejected { errors: vec![Names::default().error(&origin, problem)], origin: origin.clone() };
        let (text, tree) = tree(&self.chunk).map_err(reject)?;
        read(text, &tree, &origin)
    }
}

/// Cuts a file into its documents; what holds nothing but comments is left out.
#[must_use]
pub fn split_file(file: &[u8]) -> Vec<RawDocument<'_>> {
    yaml::split(file).into_iter().map(|chunk| RawDocument { chunk }).collect()
}

/// Whether a file is a policy test, as `meshwright test` reads it: every YAML document in it has `tests` and neither `kind` nor `apiVersion`.
/// What is a document of the mesh is thus none, whatever its file is called.
#[must_use]
pub fn is_policy_test(file: &[u8]) -> bool {
    let is_test = |raw: &RawDocument<'_>| {
        let has = |tree: &Node, key| tree.get(key).is_some();
        tree(&raw.chunk).is_ok_and(|(_, tree)| has(&tree, "tests") && !has(&tree, "kind") && !has(&tree, "apiVersion"))
    };
    let found = split_file(file);
    !found.is_empty() && found.iter().all(is_test)
}

/// Parses every document of a file. One that is malformed does not take the others with it.
#[must_use]
pub fn parse_file(path: &str, text: &str) -> Vec<Result<Document, Rejected>> {
    let file: Arc<str> = path.into();
    split_file(text.as_bytes()).iter().map(|raw| raw.parse(&file)).collect()
}

fn tree<'a>(chunk: &Chunk<'a>) -> Result<(&'a str, Node), Problem> {
    let at = |line: usize, column, message: String| Problem { position: Position { line, column }, path: String::new(), message };
    if chunk.bytes.len() > LARGEST_DOCUMENT {
        return Err(at(chunk.line, 1, format!("a document has at most {LARGEST_DOCUMENT} bytes, found {}", chunk.bytes.len())));
    }
    let text = std::str::from_utf8(chunk.bytes).map_err(|error| {
        let before = chunk.bytes.get(..error.valid_up_to()).unwrap_or_default();
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count().saturating_add(1);
        at(chunk.line.saturating_add(lines), column, "not UTF-8".to_owned())
    })?;
    match yaml::parse(text, chunk.line) {
        Ok(Some(node)) => Ok((text, node)),
        Ok(None) => Err(at(chunk.line, 1, "the document holds nothing".to_owned())),
        Err(error) => Err(at(error.position.line, error.position.column, error.message)),
    }
}

/// What a document calls itself, as far as it could be read.
#[derive(Debug, Default, Clone)]
struct Names {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

impl Names {
    fn of(tree: &Node) -> Self {
        let text = |node: Option<&Node>| node.and_then(Node::text).map(str::to_owned);
        let metadata = tree.get("metadata").map(|entry| &entry.node);
        let field = |key: &str| metadata.and_then(|node| node.get(key)).map(|entry| &entry.node);
        let namespace = if field("namespace").is_some() { text(field("namespace")) } else { Some(DEFAULT_NAMESPACE.to_owned()) };
        Self { kind: text(tree.get("kind").map(|entry| &entry.node)), namespace, name: text(field("name")) }
    }

    fn error(&self, origin: &Origin, problem: Problem) -> DocumentError {
        DocumentError {
            origin: origin.clone(),
            line: problem.position.line,
            column: problem.position.column,
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            path: problem.path,
            message: problem.message,
            related: Vec::new(),
        }
    }
}

fn read(text: &str, tree: &Node, origin: &Origin) -> Result<Document, Rejected> {
    let names = Names::of(tree);
    let report = Report::default();
    let read = read_known(tree, &names, &report);
    let mut problems = report.into_problems();
    // The same finding by two readers is one finding.
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|problem| seen.insert((problem.path.clone(), problem.message.clone())));
    problems.sort_by_key(|problem| problem.position);
    match read {
        Some((key, content)) if problems.is_empty() => Ok(Document { key, origin: origin.clone(), content, text: text.into() }),
        _ => {
            if problems.is_empty() {
                problems.push(Problem { position: tree.position, path: String::new(), message: "cannot be read".to_owned() });
            }
            Err(Rejected { origin: origin.clone(), errors: problems.into_iter().map(|problem| names.error(origin, problem)).collect() })
        }
    }
}

fn read_known(tree: &Node, names: &Names, report: &Report) -> Option<(DocumentKey, Content)> {
    let root = Reader::new(tree, report);
    let kind = read_kind(&root)?;
    schema::check(kind, tree, report);
    let metadata = root.get("metadata");
    check_name(&metadata.get("name").required()?);
    check_name(&metadata.get("namespace"));
    let key = DocumentKey::new(kind, names.namespace.clone()?, names.name.clone()?);
    let age = Age::new(read_created(&metadata.get("creationTimestamp")), key.name());
    let content = read_content(kind, &root, key.clone(), age)?;
    Some((key, content))
}

fn read_kind(root: &Reader<'_>) -> Option<Kind> {
    let field = root.get("kind");
    let Some(word) = field.required()?.text() else {
        field.fail("expected a text");
        return None;
    };
    let words = Kind::WORDS.join("`, `");
    let Some(kind) = Kind::from_word(&word) else {
        let suggestion =
            schema::closest(&word, Kind::WORDS.iter().copied()).map(|kind| format!(", did you mean `{kind}`?")).unwrap_or_default();
        field.fail(format!("unknown kind `{}`{suggestion} (allowed: `{words}`)", crate::yaml::shorten(&word)));
        return None;
    };
    let version = root.get("apiVersion");
    if let Some(found) = version.required()?.text()
        && !kind.api_versions().contains(&found.as_str())
    {
        let allowed = kind.api_versions().join("`, `");
        version.fail(format!("found `{}`, allowed for {kind}: `{allowed}`", crate::yaml::shorten(&found)));
        return None;
    }
    Some(kind)
}

/// Names go into resource names and identities, so they are what Kubernetes allows: RFC 1123.
fn check_name(field: &Reader<'_>) {
    let Some(name) = field.text() else { return };
    let outer = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = name.len() <= LONGEST_NAME
        && name.bytes().all(|b| outer(b) || b == b'-' || b == b'.')
        && name.bytes().next().is_some_and(outer)
        && name.bytes().next_back().is_some_and(outer);
    if !good {
        let shown = crate::yaml::shorten(&name);
        field.fail(format!(
            "found `{shown}`, expected 1 to {LONGEST_NAME} of `a-z`, `0-9`, `-` and `.`, starting and ending with a letter or digit"
        ));
    }
}

fn read_created(field: &Reader<'_>) -> Option<OffsetDateTime> {
    // `null` is what `kubectl create --dry-run` writes.
    let text = field.text()?;
    OffsetDateTime::parse(&text, &Rfc3339)
        .map_err(|_| field.fail(format!("found `{text}`, expected a time as in `2026-01-31T12:00:00Z`")))
        .ok()
}

fn read_content(kind: Kind, root: &Reader<'_>, key: DocumentKey, age: Age) -> Option<Content> {
    let spec = root.get("spec");
    match kind {
        Kind::Mesh => Mesh::read(&spec.required()?).map(Content::Mesh),
        Kind::IdentityDenyList => IdentityDenyList::read(&spec.required()?, key).map(Content::IdentityDenyList),
        Kind::AuthorizationPolicy => AuthorizationPolicy::read(root, key).map(Content::AuthorizationPolicy),
        Kind::RequestAuthentication => RequestAuthentication::read(&spec.required()?, key).map(Content::RequestAuthentication),
        Kind::PeerAuthentication => PeerAuthentication::read(&spec.required()?, key, age).map(Content::PeerAuthentication),
        Kind::ServiceEntry => ServiceEntry::read(&spec.required()?, key).map(Content::ServiceEntry),
        Kind::WorkloadEntry => {
            Workload::read(&spec.required()?, key, &root.get("metadata").get("labels").labels()).map(Content::WorkloadEntry)
        }
        Kind::DestinationRule => DestinationRule::read(&spec.required()?, key).map(Content::DestinationRule),
        Kind::VirtualService => VirtualService::read(&spec.required()?, key).map(Content::VirtualService),
        Kind::Gateway => Gateway::read(&spec.required()?, key).map(Content::Gateway),
        Kind::Sidecar => Sidecar::read(&spec.required()?, key, age).map(Content::Sidecar),
        Kind::Secret => Credential::read(root, key).map(Content::Secret),
    }
}
