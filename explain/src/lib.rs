//! What the mesh would do with a request, and why, without a mesh: documents and a case in, an answer out. The same module decides, or the
//! same library, that decides in Envoy; what Envoy itself does to a request before is done here too (`hcm`).
//!
//! No I/O but reading a directory of documents, when a case names one. Time is given to it.

mod answer;
mod batch;
mod case;
mod documents;
mod engine;
mod explainer;
mod hcm;
mod lru;
mod silent;
mod story;

pub use answer::{Answer, Verdict};
pub use case::{Case, InvalidCase};
pub use engine::{Decided, Decider, Engine, EngineError, NativeEngine, Stream, WasmEngine};
pub use explainer::Explainer;
pub use story::{Story, ToldRule};
