use tonic::service::Interceptor;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Status};

/// SPIFFE Workload Endpoint section 3: who cannot set it has been tricked into asking.
const HEADER: &str = "workload.spiffe.io";

/// Who is answered: those of certain users, who ask as the specification says.
#[derive(Debug, Clone)]
pub(super) struct Callers {
    uids: Vec<u32>,
}

impl Callers {
    /// No user: this process's own.
    pub(super) fn new(uids: &[u32]) -> Self {
        Self { uids: if uids.is_empty() { vec![nix::unistd::geteuid().as_raw()] } else { uids.to_vec() } }
    }

    /// `uid`: what the kernel says of the process that connected (`SO_PEERCRED`).
    fn check(&self, header: Option<&[u8]>, uid: Option<u32>) -> Result<(), Status> {
        if header != Some(b"true") {
            return Err(Status::invalid_argument(format!("the metadata `{HEADER}: true` is missing")));
        }
        match uid {
            Some(uid) if self.uids.contains(&uid) => Ok(()),
            Some(uid) => {
                tracing::warn!(uid, "a user that is not the workload's asked the workload API");
                Err(Status::permission_denied(format!("no identity issued: the user {uid} is not the workload's (--workload-api-uid)")))
            }
            None => Err(Status::permission_denied("no identity issued: the user is not known")),
        }
    }
}

impl Interceptor for Callers {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let uid = request.extensions().get::<UdsConnectInfo>().and_then(|connection| connection.peer_cred).map(|peer| peer.uid());
        self.check(request.metadata().get(HEADER).map(|value| value.as_encoded_bytes()), uid)?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn who_is_answered() {
        let (own, named) = (Callers::new(&[]), Callers::new(&[1001, 1002]));
        let this = nix::unistd::geteuid().as_raw();
        let code = |callers: &Callers, header: Option<&str>, uid| {
            callers.check(header.map(str::as_bytes), uid).map_err(|status| status.code()).err()
        };
        assert_eq!(code(&own, Some("true"), Some(this)), None);
        assert_eq!(code(&named, Some("true"), Some(1002)), None);
        assert_eq!(code(&own, Some("true"), Some(this.wrapping_add(1))), Some(Code::PermissionDenied));
        assert_eq!(code(&named, Some("true"), Some(1003)), Some(Code::PermissionDenied), "the own user too, once others are named");
        assert_eq!(code(&own, Some("true"), None), Some(Code::PermissionDenied));
        for header in [None, Some(""), Some("True"), Some("1"), Some("true ")] {
            assert_eq!(code(&own, header, Some(this)), Some(Code::InvalidArgument), "{header:?}");
            assert_eq!(code(&named, header, Some(1003)), Some(Code::InvalidArgument), "{header:?}");
        }
    }
}
