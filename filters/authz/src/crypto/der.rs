/// Longest half of a JOSE signature that is converted: P-521's.
const LONGEST_INTEGER: usize = 66;
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// An ECDSA signature as JOSE writes it (`r || s`, RFC 7518 section 3.4) in the form that Envoy's `verify_signature` wants: the DER of
/// `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 section 2.2.3). `None` when it does not have two equal halves of a possible length.
pub(super) fn ecdsa_signature(jose: &[u8]) -> Option<Vec<u8>> {
    let half = jose.len() / 2;
    if half == 0 || half > LONGEST_INTEGER || !jose.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = jose.split_at_checked(half)?;
    let (r, s) = (Integer::of(r)?, Integer::of(s)?);
    let length = u8::try_from(r.size().checked_add(s.size())?).ok()?;
    let mut out = Vec::with_capacity(usize::from(length) + 3);
    out.push(SEQUENCE);
    match length {
        short @ 0..=0x7f => out.push(short),
        long => out.extend([0x81, long]),
    }
    r.push_to(&mut out);
    s.push_to(&mut out);
    Some(out)
}

/// Unsigned and minimal: leading zeros go, one comes back where the first bit would mean a minus.
struct Integer<'d> {
    length: u8,
    is_negative: bool,
    digits: &'d [u8],
}

impl<'d> Integer<'d> {
    fn of(digits: &'d [u8]) -> Option<Self> {
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        let digits = digits.get(zeros..).filter(|digits| !digits.is_empty()).unwrap_or(&[0]);
        let is_negative = digits.first().is_some_and(|first| first & 0x80 != 0);
        Some(Self { length: u8::try_from(digits.len() + usize::from(is_negative)).ok()?, is_negative, digits })
    }

    /// With tag and length.
    fn size(&self) -> usize {
        usize::from(self.length) + 2
    }

    fn push_to(&self, out: &mut Vec<u8>) {
        out.extend([INTEGER, self.length]);
        if self.is_negative {
            out.push(0);
        }
        out.extend_from_slice(self.digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_minimal_unsigned_integers() {
        let jose = |r: &[u8], s: &[u8]| [r, s].concat();
        assert_eq!(ecdsa_signature(&jose(&[1, 2], &[3, 4])).unwrap(), [0x30, 8, 2, 2, 1, 2, 2, 2, 3, 4]);
        assert_eq!(ecdsa_signature(&jose(&[0x80, 2], &[0, 4])).unwrap(), [0x30, 8, 2, 3, 0, 0x80, 2, 2, 1, 4]);
        assert_eq!(ecdsa_signature(&jose(&[0, 0], &[0, 0x80])).unwrap(), [0x30, 7, 2, 1, 0, 2, 2, 0, 0x80]);
    }

    #[test]
    fn writes_long_lengths() {
        let der = ecdsa_signature(&[0xff; 132]).unwrap();
        assert_eq!(der[..5], [0x30, 0x81, 138, 2, 67]);
        assert_eq!(der.len(), 3 + 138);
        let der = ecdsa_signature(&[0x7f; 64]).unwrap();
        assert_eq!(der[..4], [0x30, 68, 2, 32]);
    }

    #[test]
    fn refuses_impossible_lengths() {
        for length in [0, 1, 63, 134, 1000] {
            assert_eq!(ecdsa_signature(&vec![1; length]), None, "{length}");
        }
    }
}
