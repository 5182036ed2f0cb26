//! What the tables have, and the proof that the rows asked for all of it.
