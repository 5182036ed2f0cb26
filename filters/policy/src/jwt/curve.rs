//! Whether a point is on a curve. Those of P-384 and P-521 are asked of numbers, since the code of the curves themselves is large.

use rsa::BigUint;

/// A curve `y² = x³ - 3x + b`, with the prime and `b` in hexadecimal.
pub(super) struct Curve {
    prime: &'static [u8],
    b: &'static [u8],
}

/// NIST SP 800-186 section 3.2.1.4.
pub(super) const P384: Curve = Curve {
    prime: b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
    b: b"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
};
/// NIST SP 800-186 section 3.2.1.5.
pub(super) const P521: Curve = Curve {
    prime: b"1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    b: b"051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
};

impl Curve {
    /// Whether the point is on it, of coordinates below the prime.
    pub(super) fn has(&self, x: &[u8], y: &[u8]) -> bool {
        let (Some(prime), Some(b)) = (BigUint::parse_bytes(self.prime, 16), BigUint::parse_bytes(self.b, 16)) else { return false };
        let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
        // With the negative term on the other side: these numbers have no sign.
        x < prime && y < prime && (&y * &y + &x * 3_u32) % &prime == (&x * &x * &x + b) % &prime
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Multiples of the generator as the curve's own library has them, and its word on points that are none.
    macro_rules! is_what_the_library_says {
        ($name:ident, $library:ident, $curve:expr) => {
            #[test]
            fn $name() {
                use $library::elliptic_curve::sec1::ToEncodedPoint as _;
                for multiple in 1_u64..40 {
                    let point = $library::ProjectivePoint::GENERATOR * $library::Scalar::from(multiple);
                    let point = point.to_affine().to_encoded_point(false);
                    let (x, y): (&[u8], &[u8]) = (point.x().unwrap(), point.y().unwrap());
                    assert!($curve.has(x, y), "{multiple}");
                    for place in [0, 20, 47] {
                        let mut wrong = y.to_vec();
                        wrong[place] ^= 1;
                        assert!(!$curve.has(x, &wrong) && !$curve.has(&wrong, y), "{multiple}");
                        let bytes = [&[4], x, &wrong].concat();
                        assert!($library::PublicKey::from_sec1_bytes(&bytes).is_err());
                    }
                }
            }
        };
    }
    is_what_the_library_says!(p384_is_what_its_library_says, p384, P384);
    is_what_the_library_says!(p521_is_what_its_library_says, p521, P521);

    #[test]
    fn coordinates_are_below_the_prime() {
        for curve in [P384, P521] {
            // x = 0 has two points, if b has a root; with the prime added, a coordinate has another name, which is none.
            let prime = BigUint::parse_bytes(curve.prime, 16).unwrap();
            let half = (&prime + 1_u32) / 4_u32;
            let y = BigUint::parse_bytes(curve.b, 16).unwrap().modpow(&half, &prime).to_bytes_be();
            assert!(curve.has(&[0], &y));
            assert!(!curve.has(&prime.to_bytes_be(), &y));
            assert!(!curve.has(&[], &[]));
        }
    }
}
