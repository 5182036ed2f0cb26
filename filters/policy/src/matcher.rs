//! What one value of a rule compiles to. Every pattern is parsed here, once; matching allocates nothing and uses no regular expression.

pub(crate) mod glob;
pub(crate) mod identity;
pub(crate) mod path;
pub(crate) mod principal;
pub(crate) mod spiffe;
pub(crate) mod text;
