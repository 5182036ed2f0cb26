//! The key service, server side: checks who reports and how much, and hands the report on. What is done about it is somebody else's.

use std::fmt;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::authority::Authority;
use crate::proto;
use crate::proto::key_service_server::{KeyService, KeyServiceServer};
use crate::service::{Clock, Refusal, caller};

const LONGEST_ISSUER: usize = 2048;
const LONGEST_KID: usize = 128;
/// Both, and what is around them.
const MAX_REQUEST: usize = 4096;

/// Takes reports.
pub trait UnknownKeys: Send + Sync + 'static {
    /// A proxy saw a token of `issuer` that names the key `kid`, which it does not have. Must not wait.
    fn unknown_key(&self, issuer: String, kid: String);
}

/// The service's state; see [`key_service`].
pub struct KeyServer<U> {
    authority: Arc<Authority>,
    clock: Clock,
    keys: U,
}

impl<U> fmt::Debug for KeyServer<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyServer").finish_non_exhaustive()
    }
}

/// The tonic service, to be added beside the identity service.
pub fn key_service<U: UnknownKeys>(authority: Arc<Authority>, clock: Clock, keys: U) -> KeyServiceServer<KeyServer<U>> {
    KeyServiceServer::new(KeyServer { authority, clock, keys }).max_decoding_message_size(MAX_REQUEST)
}

#[tonic::async_trait]
impl<U: UnknownKeys> KeyService for KeyServer<U> {
    async fn report_unknown_key(
        &self,
        request: Request<proto::ReportUnknownKeyRequest>,
    ) -> Result<Response<proto::ReportUnknownKeyResponse>, Status> {
        let identity = caller(&self.authority, &self.clock, &request)?;
        let proto::ReportUnknownKeyRequest { issuer, kid } = request.into_inner();
        if issuer.len() > LONGEST_ISSUER || !(1..=LONGEST_KID).contains(&kid.len()) {
            return Err(Refusal::ReportMalformed.status("the report's issuer or kid is not as long as it may be"));
        }
        tracing::info!(%identity, issuer, kid, "a token names a key that its proxy does not have");
        self.keys.unknown_key(issuer, kid);
        Ok(Response::new(proto::ReportUnknownKeyResponse {}))
    }
}
