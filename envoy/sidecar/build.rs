//! Compiles the SPIFFE Workload API, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    println!("cargo::rerun-if-changed={root}/spiffe");
    let descriptors = protox::compile(["spiffe/workload.proto"], [root])?;
    tonic_prost_build::configure().build_client(false).build_transport(false).skip_debug(["X509SVID"]).compile_fds(descriptors)?;
    Ok(())
}
