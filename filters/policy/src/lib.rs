//! The policy core: from the wire format to a compiled policy, and from a request to a decision with its reason. It decides the same
//! wherever it runs. No I/O, no clock, no randomness: time and crypto are given to it.
//!
//! The meaning of every field is Istio's; where Istio would silently weaken a policy (unknown keys, unparsable values), it is refused.

mod audit;
mod check;
mod decision;
mod denied;
mod evaluation;
mod facts;
mod field_path;
mod headers;
mod index;
mod invalid;
pub mod jwt;
mod layer;
mod matcher;
mod metadata;
mod partial;
mod policy;
mod request;
mod rule;
mod view;
pub mod wire;

pub use audit::{AuditRecord, AuditedCustom, AuditedDecision, AuditedMiss, AuditedRule};
pub use decision::{Decision, Reason, Verdict, decide};
pub use evaluation::{Considered, CustomCheck, Evaluation, NearestMiss, RuleRef, evaluate, trace};
pub use facts::Fact;
pub use headers::{Headers, InvalidHeaders};
pub use invalid::{Invalid, InvalidPolicy};
pub use jwt::{
    Algorithm, Authentication, Claims, Crypto, CryptoError, GoodUntil, HeaderChange, HeaderValue, InvalidJwks, JwtError, NO_KEYS,
    PublicKey, Refusal, SoftwareCrypto, TokenCache, TokenCounts, UnknownKey, check_key_url, parse_jwks, refused_key_server,
};
pub use metadata::{Metadata, MetadataKey};
pub use partial::{Attribute, Knowledge, Open, Partially, decide_partially};
pub use policy::{Policy, validate_jwt_rules, validate_rules};
pub use request::{Connection, HttpRequest, Peer, Request};
