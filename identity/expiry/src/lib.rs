//! When a certificate should have been replaced, and alarms that are told once. Reads no certificates and no clock.

mod told;
mod validity;

pub use told::Told;
pub use validity::{Standing, Validity, in_words};
