//! Compiles the protocol between sidecars and the control plane, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    println!("cargo::rerun-if-changed={root}/meshwright/v1alpha1");
    let descriptors = protox::compile(["meshwright/v1alpha1/identity.proto", "meshwright/v1alpha1/keys.proto"], [root])?;
    tonic_prost_build::configure().build_transport(false).bytes(".meshwright.v1alpha1.Chunk.data").compile_fds(descriptors)?;
    Ok(())
}
