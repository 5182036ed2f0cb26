use std::pin::Pin;
use std::time::SystemTime;

use futures::Stream;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::feed::{Feed, Known};
use super::proto::spiffe_workload_api_server::SpiffeWorkloadApi;
use super::proto::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest, ValidateJwtsvidResponse,
    X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use crate::identity::sleep_until;

/// The specification's service, of what is known.
#[derive(Debug)]
pub(super) struct Service {
    feed: Feed,
}

impl Service {
    pub(super) fn new(feed: Feed) -> Self {
        Self { feed }
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl SpiffeWorkloadApi for Service {
    type FetchX509SVIDStream = Answers<X509svidResponse>;
    type FetchX509BundlesStream = Answers<X509BundlesResponse>;
    type FetchJWTBundlesStream = Answers<JwtBundlesResponse>;

    async fn fetch_x509svid(&self, _request: Request<X509svidRequest>) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        Ok(Response::new(answers(self.feed.subscribe(), |known| known.certificates(SystemTime::now()))))
    }

    async fn fetch_x509_bundles(&self, _request: Request<X509BundlesRequest>) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        Ok(Response::new(answers(self.feed.subscribe(), |known| Ok(known.bundles()))))
    }

    async fn fetch_jwtsvid(&self, _request: Request<JwtsvidRequest>) -> Result<Response<JwtsvidResponse>, Status> {
        Err(no_tokens())
    }

    async fn fetch_jwt_bundles(&self, _request: Request<JwtBundlesRequest>) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        Err(no_tokens())
    }

    async fn validate_jwtsvid(&self, _request: Request<ValidateJwtsvidRequest>) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        Err(no_tokens())
    }
}

fn no_tokens() -> Status {
    Status::unimplemented("this mesh issues X.509-SVIDs only: there are no JWT-SVIDs and no keys for them")
}

/// The answer of now, and another one whenever it is another, until `answer` refuses: the last item says why.
fn answers<T: Send + 'static>(known: watch::Receiver<Option<Known>>, answer: fn(&Known) -> Result<T, Status>) -> Answers<T> {
    let first = Some(Stage { known, told: None });
    Box::pin(futures::stream::unfold(first, move |stage| async move {
        let mut stage = stage?;
        let next = stage.next(answer).await;
        let rest = next.is_ok().then_some(stage);
        Some((next, rest))
    }))
}

/// How far a stream is.
struct Stage {
    known: watch::Receiver<Option<Known>>,
    told: Option<Known>,
}

impl Stage {
    async fn next<T>(&mut self, answer: fn(&Known) -> Result<T, Status>) -> Result<T, Status> {
        loop {
            let known = self.known.borrow_and_update().clone();
            let known = known.ok_or_else(|| Status::unavailable("the workload has no certificate yet: try again"))?;
            // After its end a certificate is told of no more; bundles stay what they are.
            let answered = answer(&known);
            if answered.is_err() || !self.told.as_ref().is_some_and(|told| told.is(&known)) {
                self.told = Some(known);
                return answered;
            }
            let changed = async |receiver: &mut watch::Receiver<_>| receiver.changed().await;
            let alive = tokio::select! {
                changed = changed(&mut self.known) => changed.is_ok(),
                () = end_of(&known) => true,
            };
            if !alive {
                return Err(Status::unavailable("the sidecar ends"));
            }
        }
    }
}

/// Never, once it has ended: then only another certificate changes anything.
async fn end_of(known: &Known) {
    if SystemTime::now() >= known.not_after() {
        std::future::pending::<()>().await;
    }
    sleep_until(known.not_after()).await;
}
