//! Small things that several descriptions write.

/// Appends bytes in hexadecimal.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend(bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]));
}

/// Bytes in hexadecimal.
pub(super) fn hex_text(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    hex(&mut out, bytes);
    String::from_utf8(out).expect("digits are ASCII")
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_written_out() {
        let mut out = Vec::new();
        for value in [0, 7, 10, 1234, u64::MAX] {
            number(&mut out, value);
            out.push(b' ');
        }
        hex(&mut out, &[0, 0x7f, 0xff]);
        assert_eq!(out, b"0 7 10 1234 18446744073709551615 007fff");
        assert_eq!(hex_text(&[1, 0xab]), "01ab");
    }
}
