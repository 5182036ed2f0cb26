//! Asks a gRPC service for a random byte when the request is a gRPC one, and lets it pass when it is even.

use std::time::Duration;

use log::info;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_http_context(|_, _| Box::new(Stream));
}}

struct Stream;

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.get_http_request_header("content-type") {
            Some(kind) if kind.starts_with("application/grpc") => {}
            _ => {
                self.send_http_response(503, vec![("Powered-By", "proxy-wasm")], Some(b"Service accessible only to gRPC clients.\n"));
                return Action::Pause;
            }
        }
        // A protobuf message whose field 1 is 1.
        let message = [0x08, 0x01];
        match self.dispatch_grpc_call("grpcbin", "grpcbin.GRPCBin", "RandomError", vec![], Some(&message), Duration::from_secs(1)) {
            Ok(_) => Action::Pause,
            Err(status) => {
                self.send_grpc_response(proxy_wasm::types::GrpcStatusCode::Unavailable, Some(&format!("no call: {status:?}")), vec![]);
                Action::Pause
            }
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header("Powered-By", Some("proxy-wasm"));
        Action::Continue
    }
}

impl Context for Stream {
    fn on_grpc_call_response(&mut self, _: u32, status: u32, _: usize) {
        if status.is_multiple_of(2) {
            info!("Access granted.");
            self.resume_http_request();
        } else {
            info!("Access forbidden.");
            self.send_grpc_response(
                proxy_wasm::types::GrpcStatusCode::Aborted,
                Some("Aborted by Proxy-Wasm!"),
                vec![("powered-by", b"proxy-wasm")],
            );
        }
    }
}
