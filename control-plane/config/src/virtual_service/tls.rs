//! A VirtualService's `tls`: where what passes through a gateway goes.

use super::read::read_destinations;
use super::{GatewayRef, TlsMatch, TlsRoute};
use crate::host::Host;
use crate::reader::Reader;

/// `hosts` and `gateways`: those of the VirtualService.
pub(super) fn read(field: &Reader<'_>, hosts: &[Host], gateways: &[GatewayRef]) -> Vec<TlsRoute> {
    if !field.is_present() {
        return Vec::new();
    }
    if gateways.contains(&GatewayRef::Mesh) {
        field.fail("is only supported for gateways yet: `gateways` must name them, and not `mesh`, which is also what none means");
    }
    let mut routes = Vec::new();
    // What earlier matches take, with their ports and places.
    let mut taken: Vec<(Host, Option<u16>, String)> = Vec::new();
    for route in field.required_items() {
        let mut matches = Vec::new();
        for field in route.get("match").required_items() {
            let port = field.get("port").port();
            let sni_hosts =
                field.get("sniHosts").required_items().iter().filter_map(|item| sni_host(item, port, hosts, &mut taken)).collect();
            matches.push(TlsMatch { sni_hosts, port });
        }
        routes.push(TlsRoute { matches, route: read_destinations(&route.get("route")) });
    }
    routes
}

fn sni_host(field: &Reader<'_>, port: Option<u16>, hosts: &[Host], taken: &mut Vec<(Host, Option<u16>, String)>) -> Option<Host> {
    let host = field.host()?;
    if !hosts.iter().any(|known| known.covers(&host)) {
        field.fail(format!("`{host}` is none of the VirtualService's `hosts`, nor below one"));
    }
    let hides = |(earlier, of, _): &&(Host, Option<u16>, String)| earlier.covers(&host) && (of.is_none() || *of == port);
    if let Some((earlier, _, place)) = taken.iter().find(hides) {
        field.fail(format!("is never reached: `{earlier}` in `{place}` takes it before"));
    }
    taken.push((host.clone(), port, field.path().to_owned()));
    Some(host)
}
