//! The two protobuf messages of Envoy's `verify_signature` (`source/extensions/common/wasm/ext/verify_signature.proto`), by hand: five
//! fields do not need a library in every worker's memory.

const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

/// What is asked: does `signature` over `text` with hash `hash` verify with the key?
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments<'a> {
    pub(super) hash: &'a str,
    pub(super) public_key_der: &'a [u8],
    pub(super) signature: &'a [u8],
    pub(super) text: &'a [u8],
}

impl Arguments<'_> {
    /// Behind what is there.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        let Self { hash, public_key_der, signature, text } = self;
        out.reserve(hash.len() + public_key_der.len() + signature.len() + text.len() + 24);
        for (field, value) in [(1, hash.as_bytes()), (2, public_key_der), (3, signature), (4, text)] {
            out.push(field << 3 | LENGTH_DELIMITED);
            push_varint(out, value.len());
            out.extend_from_slice(value);
        }
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let low = value.to_le_bytes().first().copied().unwrap_or(0) & 0x7f;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Whether the reply says that the signature is valid: field 1 is a true `bool`. A reply that is not understood says nothing of the kind.
/// A `bool` that is false is left out, and with it usually the whole message.
pub(super) fn says_valid(reply: &[u8]) -> bool {
    reply.starts_with(&[1 << 3 | VARINT, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_fields_in_order_with_lengths() {
        let long = [7; 300];
        let mut encoded = Vec::new();
        Arguments { hash: "sha256", public_key_der: b"k", signature: &long, text: b"" }.encode(&mut encoded);
        let expected = [b"\x0a\x06sha256\x12\x01k\x1a\xac\x02".as_slice(), &long, b"\x22\x00"].concat();
        assert_eq!(encoded, expected);
    }

    #[test]
    fn only_a_true_first_field_is_valid() {
        assert!(says_valid(&[8, 1]));
        assert!(says_valid(&[8, 1, 0x12, 0]));
        for reply in [&[][..], &[8], &[8, 0], &[0x12, 1, b'x'], &[1, 8]] {
            assert!(!says_valid(reply), "{reply:?}");
        }
    }
}
