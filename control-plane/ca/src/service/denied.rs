use meshwright_identity::SpiffeId;

/// Who is issued nothing, whatever they prove. Asked for each certificate anew.
pub trait DenyList: Send + Sync {
    /// Why not, in words for whoever asked; none: it may. `serial`: of the certificate that is shown, in hexadecimal digits.
    fn denies(&self, identity: &SpiffeId, serial: Option<&str>) -> Option<String>;
}
