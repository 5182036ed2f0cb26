//! Whether a point is on a curve. That of P-384 is asked of numbers, since the code of the curve itself is large.

use rsa::BigUint;

/// The prime and `b` of P-384 (NIST SP 800-186 section 3.2.1.4).
const PRIME: &[u8; 96] = b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff";
const B: &[u8; 96] = b"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef";

/// Whether `y² = x³ - 3x + b`, of coordinates below the prime.
pub(super) fn is_on_p384(x: &[u8], y: &[u8]) -> bool {
    let number = |hexadecimal: &[u8]| BigUint::parse_bytes(hexadecimal, 16);
    let (Some(prime), Some(b)) = (number(PRIME), number(B)) else { return false };
    let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
    // With the negative term on the other side: these numbers have no sign.
    x < prime && y < prime && (&y * &y + &x * 3_u32) % &prime == (&x * &x * &x + b) % &prime
}

#[cfg(test)]
mod tests {
    use p384::elliptic_curve::sec1::ToEncodedPoint as _;
    use p384::{ProjectivePoint, Scalar};

    use super::*;

    #[test]
    fn is_what_the_curve_says() {
        for multiple in 1_u64..40 {
            let point = (ProjectivePoint::GENERATOR * Scalar::from(multiple)).to_encoded_point(false);
            let (x, y): (&[u8], &[u8]) = (point.x().unwrap(), point.y().unwrap());
            assert!(is_on_p384(x, y), "{multiple}");
            for place in [0, 20, 47] {
                let mut wrong = y.to_vec();
                wrong[place] ^= 1;
                assert!(!is_on_p384(x, &wrong) && !is_on_p384(&wrong, y), "{multiple}");
                let bytes = [&[4], x, &wrong].concat();
                assert!(p384::PublicKey::from_sec1_bytes(&bytes).is_err());
            }
        }
    }

    #[test]
    fn coordinates_are_below_the_prime() {
        // x = 0 has two points; with the prime added, a coordinate has another name, which is none.
        let prime = BigUint::parse_bytes(PRIME, 16).unwrap();
        let half = (&prime + 1_u32) / 4_u32;
        let y = BigUint::parse_bytes(B, 16).unwrap().modpow(&half, &prime).to_bytes_be();
        assert!(is_on_p384(&[0], &y));
        assert!(!is_on_p384(&prime.to_bytes_be(), &y));
        assert!(!is_on_p384(&[], &[]));
    }
}
