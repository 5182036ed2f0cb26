//! The services of a mesh, who answers for them and who calls whom.

use crate::edit::{POLICY_FILE, PolicyEdit, policy_yaml, route_marker};
use crate::random::Random;
use crate::shape::Shape;
use crate::yaml;

/// Services that share a namespace.
const SERVICES_PER_NAMESPACE: usize = 50;
/// What each service calls.
const CALLS: usize = 5;

/// A generated mesh.
#[derive(Debug, Clone)]
pub struct Mesh {
    shape: Shape,
    services: Vec<Service>,
}

/// One service: a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) grpc: bool,
    /// Has a VirtualService.
    pub(crate) routed: bool,
    /// A path that its VirtualService routes, beside the others.
    pub(crate) route: Option<String>,
    /// Has a DestinationRule with limits.
    pub(crate) limited: bool,
    pub(crate) endpoints: usize,
    /// `<namespace>/<host>` of what it calls.
    pub(crate) calls: Vec<String>,
}

impl Mesh {
    pub const TRUST_DOMAIN: &str = "cluster.local";
    pub const ROOT_NAMESPACE: &str = "istio-system";

    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let names: Vec<(String, String)> = (0..shape.services).map(place).collect();
        let mut services: Vec<Service> = (0..shape.services)
            .map(|index| {
                let (name, namespace) = place(index);
                let mut calls: Vec<String> = Vec::new();
                for _ in 0..CALLS {
                    if let Some((name, namespace)) = names.get(random.below(names.len())) {
                        calls.push(format!("{namespace}/{}", host(name, namespace)));
                    }
                }
                calls.sort();
                calls.dedup();
                let [grpc, routed, limited] = [10, 20, 10].map(|one_in| random.below(one_in) == 0);
                Service { index, name, namespace, grpc, routed, route: None, limited, endpoints: shape.endpoints, calls }
            })
            .collect();
        if shape.hot > 0 {
            services.push(Service {
                index: shape.services,
                name: "hot".to_owned(),
                namespace: "ns-hot".to_owned(),
                grpc: false,
                routed: false,
                route: None,
                limited: false,
                endpoints: shape.hot,
                calls: Vec::new(),
            });
        }
        Self { shape, services }
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// By index; the hot one is the last.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Each file's name and text.
    pub fn files(&self) -> impl Iterator<Item = (String, String)> {
        let services = self.services.iter().map(|service| (service.file(), service.yaml(self.shape.scoped, None)));
        let common = [
            ("mesh.yaml".to_owned(), yaml::mesh()),
            ("policies.yaml".to_owned(), yaml::policies(&self.namespaces())),
            (POLICY_FILE.to_owned(), policy_yaml(PolicyEdit::default())),
        ];
        common.into_iter().chain(services)
    }

    fn namespaces(&self) -> Vec<&str> {
        let mut namespaces: Vec<&str> = self.services.iter().map(|service| service.namespace.as_str()).collect();
        namespaces.dedup();
        namespaces
    }
}

impl Service {
    /// Its file's name.
    #[must_use]
    pub fn file(&self) -> String {
        format!("services/{}.yaml", self.name)
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.endpoints
    }

    #[must_use]
    pub fn host(&self) -> String {
        host(&self.name, &self.namespace)
    }

    /// Its documents; `replaced` are the addresses of its last endpoints instead of their own.
    #[must_use]
    pub fn yaml(&self, scoped: bool, replaced: Option<&[String]>) -> String {
        yaml::service(self, scoped, replaced.unwrap_or_default())
    }

    /// One endpoint more than it has, at this address.
    #[must_use]
    pub fn yaml_with(&self, scoped: bool, address: &str) -> String {
        let more = Self { endpoints: self.endpoints.saturating_add(1), ..self.clone() };
        more.yaml(scoped, Some(&[address.to_owned()]))
    }
}

impl Service {
    /// With a route that stands for the edit `sequence`.
    #[must_use]
    pub fn routed(&self, sequence: usize) -> Self {
        Self { routed: true, route: Some(route_marker(sequence)), ..self.clone() }
    }
}

fn place(index: usize) -> (String, String) {
    (format!("svc-{index:05}"), format!("ns-{:03}", index / SERVICES_PER_NAMESPACE))
}

fn host(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.cluster.local")
}

/// The address of an endpoint: one that no other has, in 10.0.0.0/8 below 10.100.
pub(crate) fn address(service: usize, endpoint: usize) -> String {
    // A thousand endpoints a service, as the hot one has.
    let number = service.saturating_mul(1024).saturating_add(endpoint);
    let octet = |shift: u32| (number >> shift) & 0xff;
    if number >> 24 == 0 && octet(16) < 100 {
        return format!("10.{}.{}.{}", octet(16), octet(8), octet(0));
    }
    let number = number.saturating_sub(100 << 16);
    let octet = |shift: u32| (number >> shift) & 0xff;
    format!("172.{}.{}.{}", octet(16), octet(8), octet(0))
}
