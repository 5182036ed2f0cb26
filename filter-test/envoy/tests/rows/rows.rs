//! All rows, one file a part of the tables.

mod buffers;
mod callbacks;
mod calls;
mod expressions;
mod headers;
mod memory;
mod metrics;
mod names;
mod properties;
mod replies;
mod root;
mod shared;
mod streams;
mod tcp;
mod tls;

use crate::row::Row;

pub(crate) fn all() -> Vec<Row> {
    [
        root::rows(),
        buffers::rows(),
        headers::rows(),
        properties::rows(),
        streams::rows(),
        calls::rows(),
        expressions::rows(),
        shared::rows(),
        metrics::rows(),
        names::rows(),
        callbacks::rows(),
        replies::rows(),
        tcp::rows(),
        tls::rows(),
        memory::rows(),
    ]
    .concat()
}
