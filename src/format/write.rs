//! Small things that several descriptions write.

/// Appends bytes in hexadecimal.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    // As long as the longest digest.
    let mut digits = [[0; 2]; 64];
    for bytes in bytes.chunks(digits.len()) {
        digits.iter_mut().zip(bytes).for_each(|(pair, byte)| *pair = [digit(byte >> 4), digit(byte & 15)]);
        out.extend_from_slice(digits[..bytes.len()].as_flattened());
    }
}

/// Computed, not looked up: so many are computed at once.
const fn digit(value: u8) -> u8 {
    let letter = if value > 9 { b'a' - b'0' - 10 } else { 0 };
    value + b'0' + letter
}

/// Bytes in hexadecimal.
pub(super) fn hex_text(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    hex(&mut out, bytes);
    String::from_utf8(out).expect("digits are ASCII")
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, number: u64) {
    if number < 100 {
        // As nearly all are.
        let digits = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        return out.extend_from_slice(&digits[usize::from(number < 10)..]);
    }
    let mut digits = [0; 20];
    let (mut at, mut rest) = (digits.len(), number);
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_are_written_out() {
        let mut out = Vec::new();
        for value in [0, 7, 10, 99, 100, 1234, u64::MAX] {
            number(&mut out, value);
            out.push(b' ');
        }
        hex(&mut out, &[0, 0x7f, 0xff]);
        assert_eq!(out, b"0 7 10 99 100 1234 18446744073709551615 007fff");
        assert_eq!(hex_text(&[1, 0xab]), "01ab");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(hex_text(&all), all.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
}
