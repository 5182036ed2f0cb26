//! How large a mesh is.

use std::str::FromStr;

/// The named sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    W1,
    W2,
    W3,
    W4,
    W5,
    W6,
    W7,
}

impl Workload {
    pub const ALL: [Self; 7] = [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5, Self::W6, Self::W7];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W4 => "w4",
            Self::W5 => "w5",
            Self::W6 => "w6",
            Self::W7 => "w7",
        }
    }

    /// What it stands for.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::W1 => "small: one endpoint flip a second",
            Self::W2 => "Istio's documented size: cold connect, then 10 endpoint flips a second",
            Self::W3 => "5 pods in 10 s and a route change in 5 s",
            Self::W4 => "failover: the server is killed and comes back",
            Self::W5 => "a tenth of a service of 1000 endpoints is replaced",
            Self::W6 => "a policy of the whole mesh is edited, and an edit that changes nothing",
            Self::W7 => "W2 where each proxy calls 5 services (`Sidecar`)",
        }
    }

    #[must_use]
    pub fn shape(self) -> Shape {
        let (services, endpoints, proxies) = match self {
            Self::W1 | Self::W5 => (100, 10, 1000),
            Self::W2 | Self::W7 => (1000, 2, 2000),
            Self::W3 => (50, 10, 500),
            Self::W4 => (1000, 10, 5000),
            Self::W6 => (500, 4, 2000),
        };
        let shape = Shape::new(services, endpoints, proxies);
        match self {
            Self::W5 => Shape { hot: 1000, ..shape },
            Self::W7 => Shape { scoped: true, ..shape },
            Self::W1 | Self::W2 | Self::W3 | Self::W4 | Self::W6 => shape,
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|workload| workload.name() == text).ok_or_else(|| format!("found `{text}`, allowed: w1 to w7"))
    }
}

/// A mesh's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub services: usize,
    /// Of each service.
    pub endpoints: usize,
    /// How many of the endpoints have a proxy that connects.
    pub proxies: usize,
    /// Endpoints of one more service, which have no proxies; 0 for no such service.
    pub hot: usize,
    /// Each service has a `Sidecar` that names what it calls.
    pub scoped: bool,
}

impl Shape {
    #[must_use]
    pub fn new(services: usize, endpoints: usize, proxies: usize) -> Self {
        Self { services, endpoints, proxies, hot: 0, scoped: false }
    }

    /// A fraction of it, for a look.
    #[must_use]
    pub fn divided(self, by: usize) -> Self {
        let less = |number: usize| if number == 0 { 0 } else { number.checked_div(by).unwrap_or(number).max(1) };
        Self { services: less(self.services), proxies: less(self.proxies), hot: less(self.hot), ..self }
    }
}
