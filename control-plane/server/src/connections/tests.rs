use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2;

use super::*;

/// Bounds what can hang; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

struct Serving {
    address: std::net::SocketAddr,
    stop: watch::Sender<bool>,
    served: tokio::task::JoinHandle<()>,
}

async fn serving(lifetimes: Lifetimes) -> Serving {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let routes = tonic::service::RoutesBuilder::default().routes();
    let served = tokio::spawn(serve(listener, Protection::Plaintext, routes, stopped, lifetimes));
    Serving { address, stop, served }
}

/// A connection that has been answered; the task ends with it.
async fn connected(address: std::net::SocketAddr) -> tokio::task::JoinHandle<()> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut requests, connection) = http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let request = http::Request::get(format!("http://{address}/")).body(Empty::new()).unwrap();
    let ended = tokio::spawn(async move {
        // Told to go or cut off: it is over.
        let _how = connection.await;
    });
    requests.send_request(request).await.unwrap();
    tokio::spawn(async move {
        // An idle client that would stay for ever.
        std::future::pending::<()>().await;
        drop(requests);
    });
    ended
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.unwrap()
}

#[tokio::test]
async fn a_connection_that_is_old_enough_is_told_to_go() {
    let serving = serving(Lifetimes { age: Duration::from_millis(50), ..Lifetimes::default() }).await;
    in_time(connected(serving.address).await).await.unwrap();
    in_time(connected(serving.address).await).await.unwrap();
    assert!(!serving.served.is_finished(), "and others may come");
}

#[tokio::test]
async fn at_a_shutdown_all_connections_end_and_then_the_server() {
    let serving = serving(Lifetimes { between: Duration::from_millis(1), ..Lifetimes::default() }).await;
    let mut connections = Vec::new();
    for _ in 0..20 {
        connections.push(connected(serving.address).await);
    }
    assert!(connections.iter().all(|connection| !connection.is_finished()));
    serving.stop.send_replace(true);
    in_time(serving.served).await.unwrap();
    for connection in connections {
        in_time(connection).await.unwrap();
    }
    assert!(TcpStream::connect(serving.address).await.is_err(), "nobody listens");
}

#[test]
fn ages_differ_by_a_tenth_and_the_window_grows_with_the_connections() {
    let lifetimes = Lifetimes::default();
    let ages = [0.0, 0.5, 1.0].map(|luck| lifetimes.age_with(luck).as_secs());
    assert_eq!(ages, [1_620, 1_800, 1_980]);
    let windows = [0, 1, 100, 1_000_000].map(|connections| lifetimes.spread(connections).as_millis());
    assert_eq!(windows, [0, 10, 1_000, 10_000], "few end at once, and no shutdown takes for ever");
}
