//! The SPIFFE Workload API of a sidecar that has no certificate yet, and of one whose certificate ends.

use std::path::Path;
use std::time::Duration;

use meshwright_sidecar::{Ended, SidecarOptions, Signals, WorkloadApiOptions, run};
use nix::sys::signal::Signal;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

use crate::control_plane::{ControlPlane, Modules, SHORTEST_LIFE};
use crate::{HOUR, LONG, options};

async fn connected(socket: &Path) -> Grpc<Channel> {
    let endpoint = Endpoint::try_from(format!("unix:{}", socket.display())).unwrap();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Grpc::new(channel),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The answers to a call, whatever is in them.
async fn call(grpc: &mut Grpc<Channel>, method: &str) -> Result<Streaming<()>, tonic::Status> {
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    request.metadata_mut().insert("workload.spiffe.io", "true".parse().unwrap());
    let path = PathAndQuery::try_from(format!("/SpiffeWorkloadAPI/{method}")).unwrap();
    grpc.server_streaming(request, path, ProstCodec::<(), ()>::default()).await.map(tonic::Response::into_inner)
}

async fn first(grpc: &mut Grpc<Channel>, method: &str) -> Code {
    let first = match call(grpc, method).await {
        Ok(mut answers) => answers.message().await,
        Err(status) => Err(status),
    };
    first.map_or_else(|status| status.code(), |_answer| Code::Ok)
}

#[tokio::test]
async fn before_the_first_certificate_the_workload_api_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, HOUR).await;
    control_plane.away(true);
    let socket = folder.path().join("api/workload.sock");
    let workload_api = Some(WorkloadApiOptions { socket: socket.clone(), uids: Vec::new() });
    let options = SidecarOptions { workload_api, ..options(&control_plane, &folder.path().join("s")) };
    let (sender, signals) = Signals::by_hand();
    let meanwhile = async {
        let mut grpc = connected(&socket).await;
        for method in ["FetchX509SVID", "FetchX509Bundles"] {
            assert_eq!(first(&mut grpc, method).await, Code::Unavailable, "{method}");
        }
        assert_eq!(first(&mut grpc, "FetchJWTSVID").await, Code::Unimplemented);
        control_plane.away(false);
        while first(&mut grpc, "FetchX509SVID").await != Code::Ok {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(first(&mut grpc, "FetchX509Bundles").await, Code::Ok);
        sender.send(Signal::SIGTERM).await.unwrap();
    };
    let (ended, ()) = tokio::time::timeout(LONG, async { tokio::join!(run(options, signals), meanwhile) }).await.unwrap();
    assert_eq!(ended.unwrap(), Ended::Stopped);
}

#[tokio::test]
async fn when_the_certificate_ends_there_is_no_identity_but_still_the_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let control_plane = ControlPlane::start(folder.path(), Modules::Right, SHORTEST_LIFE).await;
    let socket = folder.path().join("api/workload.sock");
    let workload_api = Some(WorkloadApiOptions { socket: socket.clone(), uids: Vec::new() });
    let options = SidecarOptions { workload_api, ..options(&control_plane, &folder.path().join("s")) };
    let (sender, signals) = Signals::by_hand();
    let meanwhile = async {
        let mut grpc = connected(&socket).await;
        while first(&mut grpc, "FetchX509SVID").await != Code::Ok {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut certificates = call(&mut grpc, "FetchX509SVID").await.unwrap();
        let mut bundles = call(&mut grpc, "FetchX509Bundles").await.unwrap();
        assert!(bundles.message().await.unwrap().is_some());
        control_plane.away(true);
        let ended = loop {
            if let Err(status) = certificates.message().await {
                break status;
            }
        };
        assert_eq!((ended.code(), ended.message().starts_with("no identity issued: ")), (Code::PermissionDenied, true), "{ended:?}");
        assert_eq!(first(&mut grpc, "FetchX509SVID").await, Code::PermissionDenied);
        assert_eq!(first(&mut grpc, "FetchX509Bundles").await, Code::Ok);
        let more = tokio::time::timeout(Duration::from_millis(100), bundles.message()).await;
        assert!(more.is_err(), "the bundle is as it was: {more:?}");
        sender.send(Signal::SIGTERM).await.unwrap();
    };
    let (ended, ()) = tokio::time::timeout(LONG, async { tokio::join!(run(options, signals), meanwhile) }).await.unwrap();
    assert_eq!(ended.unwrap(), Ended::Stopped);
}
