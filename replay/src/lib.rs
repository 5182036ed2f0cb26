//! What a change of policies would have done to the requests of a log: each record of `access-log` is decided once more, and what is decided
//! otherwise is listed by rule. A log does not hold everything that a rule may look at; what depends on what is not there stays undecided.
//!
//! It reads what it is given, once, in bounded memory, on several threads; it prints nothing.

mod blocks;
mod compare;
mod decision;
mod known;
mod record;
mod report;
mod run;
mod side;
mod tally;

pub use blocks::open;
pub use decision::{Decision, Word};
pub use report::{human, json};
pub use run::{Options, ReplayError, replay};
pub use side::{InvalidMesh, Mesh};
pub use tally::{BadLine, Flip, Gap, Skipped, Tally};
