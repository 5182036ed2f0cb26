/// The attributes of the stream that a callback is about; a seam, so that what is read from them is tested without a host.
pub(crate) trait Properties {
    /// The value as the host encodes it; `None` when the stream does not have it.
    fn get(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// `None` also for what is not UTF-8.
    fn text(&self, path: &[&str]) -> Option<String> {
        String::from_utf8(self.get(path)?).ok()
    }

    /// Envoy encodes a boolean in one byte.
    fn is_true(&self, path: &[&str]) -> bool {
        self.get(path).is_some_and(|value| value == [1])
    }
}
