//! meshwright-translate
