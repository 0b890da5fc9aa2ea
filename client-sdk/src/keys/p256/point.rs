//! Points of P-256 as bytes (SEC 1, section 2.3): a compressed one has x and whether y is odd. Keys are
//! public, so nothing here has to take the same time for each.

use num_bigint::BigUint;

/// The field's prime and the curve's b (FIPS 186-5 / SP 800-186, section 3.2.1.3); a is -3.
const P: &[u8] = b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
const B: &[u8] = b"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b";

/// The uncompressed form, `04 x y`. Whether an uncompressed point lies on the curve is checked with each
/// signature.
///
/// # Errors
/// The problem, in words.
pub(super) fn uncompressed(point: &[u8]) -> Result<[u8; 65], &'static str> {
    match point {
        [4, ..] => point.try_into().map_err(|_| "a point of another length"),
        [parity @ (2 | 3), x @ ..] if x.len() == 32 => {
            let y = root(x, parity & 1 == 1).ok_or("its point is not on the curve")?;
            let mut out = [0; 65];
            out[0] = 4;
            out[1..33].copy_from_slice(x);
            // Leading zeros are none of the number's bytes.
            out[65 - y.len()..].copy_from_slice(&y);
            Ok(out)
        }
        _ => Err("its point is neither compressed nor uncompressed"),
    }
}

/// The y of this parity for an x: a square root of x^3 - 3x + b, which is its (p + 1) / 4 th power
/// because p is 3 modulo 4 (SEC 1, section 2.3.4). At most 32 bytes.
fn root(x: &[u8], odd: bool) -> Option<Vec<u8>> {
    let p = BigUint::parse_bytes(P, 16)?;
    let b = BigUint::parse_bytes(B, 16)?;
    let x = BigUint::from_bytes_be(x);
    if x >= p {
        return None;
    }
    // p - 3 for -3: no number here is negative.
    let square = (&x * &x * &x + (&p - 3u32) * &x + b) % &p;
    let y = square.modpow(&((&p + 1u32) >> 2), &p);
    if &y * &y % &p != square {
        return None;
    }
    let y = match y.bit(0) == odd {
        true => y,
        false => &p - y,
    };
    Some(y.to_bytes_be())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// The base point (SP 800-186, section 3.2.1.3), and the point of RFC 6979, A.2.5.
    #[test]
    fn compressed_points() {
        for (x, y) in [
            (
                "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
                "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
            ),
            (
                "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
                "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
            ),
        ] {
            let whole = bytes(&format!("04{x}{y}"));
            assert_eq!(uncompressed(&whole).unwrap().to_vec(), whole);
            assert_eq!(
                uncompressed(&bytes(&format!("03{x}"))).unwrap().to_vec(),
                whole
            );
            // The other root is the negative.
            let other = uncompressed(&bytes(&format!("02{x}"))).unwrap();
            assert_eq!(other[..33], whole[..33]);
            assert_ne!(other[33..], whole[33..]);
            let p = BigUint::parse_bytes(P, 16).unwrap();
            let sum = BigUint::from_bytes_be(&other[33..]) + BigUint::from_bytes_be(&whole[33..]);
            assert_eq!(sum, p);
        }
    }

    #[test]
    fn what_is_no_point() {
        let x = "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6";
        // The prime itself is too large.
        let prime = format!("02{}", std::str::from_utf8(P).unwrap());
        for bad in [
            String::new(),
            "00".into(),
            "04".into(),
            format!("04{x}"),
            format!("05{x}"),
            format!("02{}", &x[2..]),
            format!("02{x}00"),
            format!("06{x}{x}"),
            prime,
        ] {
            assert!(uncompressed(&bytes(&bad)).is_err(), "{bad}");
        }
        // About half of all x have no root.
        let none = (1..40u8).filter(|n| {
            let mut point = [0; 33];
            (point[0], point[32]) = (2, *n);
            uncompressed(&point).is_err()
        });
        let none = none.count();
        assert!((8..32).contains(&none), "{none} of 39");
    }
}
