//! XML 1.0, as far as metalinks need it: elements on lines of their own, any bytes as text.

use super::write::{hex, number};

/// A document under construction.
pub(super) struct Writer {
    out: Vec<u8>,
    open: Vec<&'static str>,
}

impl Writer {
    /// A document with room for about so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes);
        out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        Self { out, open: Vec::new() }
    }

    fn indent(&mut self) {
        const BLANKS: &[u8] = b"          ";
        self.out.extend_from_slice(&BLANKS[..(2 * self.open.len()).min(BLANKS.len())]);
    }

    fn tag(&mut self, name: &'static str, attributes: &[(&str, &[u8])]) {
        self.indent();
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        for (key, value) in attributes {
            self.out.push(b' ');
            self.out.extend_from_slice(key.as_bytes());
            // Some clients (wget2) take attributes as they stand: what need not be escaped is not.
            let quote = if value.contains(&b'"') && !value.contains(&b'\'') { b'\'' } else { b'"' };
            self.out.extend_from_slice(&[b'=', quote]);
            escape(&mut self.out, value, Inside::Attribute { quote });
            self.out.push(quote);
        }
        self.out.push(b'>');
    }

    fn end_tag(&mut self, name: &str) {
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b">\n");
    }

    /// Opens an element that has others inside.
    pub(super) fn open(&mut self, name: &'static str, attributes: &[(&str, &[u8])]) {
        self.tag(name, attributes);
        self.out.push(b'\n');
        self.open.push(name);
    }

    /// Closes the element that was opened last.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.indent();
            self.end_tag(name);
        }
    }

    /// An element with text, which comes in parts.
    pub(super) fn element(&mut self, name: &'static str, attributes: &[(&str, &[u8])], text: &[&[u8]]) {
        self.tag(name, attributes);
        text.iter().for_each(|part| escape(&mut self.out, part, Inside::Text));
        self.end_tag(name);
    }

    /// A line of XML that somebody else writes, for what there are many of.
    pub(super) fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.indent();
        write(&mut self.out);
        self.out.push(b'\n');
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &'static str, attributes: &[(&str, &[u8])]) {
        self.tag(name, attributes);
        self.out.pop();
        self.out.extend_from_slice(b"/>\n");
    }

    /// An element with bytes in hexadecimal.
    pub(super) fn hex(&mut self, name: &'static str, attributes: &[(&str, &[u8])], bytes: &[u8]) {
        self.tag(name, attributes);
        hex(&mut self.out, bytes);
        self.end_tag(name);
    }

    /// An element with a number.
    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.tag(name, &[]);
        number(&mut self.out, value);
        self.end_tag(name);
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }
}

/// Appends any bytes as text between tags.
pub(super) fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    escape(out, bytes, Inside::Text);
}

/// Where text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Between tags.
    Text,
    /// Between two of these.
    Attribute { quote: u8 },
}

/// Appends any bytes as text or as an attribute's value. What is no UTF-8, and what XML can't carry in any way (section 2.2),
/// becomes a replacement character.
fn escape(out: &mut Vec<u8>, bytes: &[u8], inside: Inside) {
    // Nearly all is plain ASCII: it is copied as a whole.
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '&' => out.extend_from_slice(b"&amp;"),
                '<' => out.extend_from_slice(b"&lt;"),
                '>' if inside == Inside::Text => out.extend_from_slice(b"&gt;"),
                '"' if inside == (Inside::Attribute { quote: b'"' }) => out.extend_from_slice(b"&quot;"),
                '\t' | '\n' if inside == Inside::Text => out.push(character as u8),
                // Readers would make spaces of them (section 3.3.3).
                '\t' => out.extend_from_slice(b"&#9;"),
                '\n' => out.extend_from_slice(b"&#10;"),
                '\0'..='\u{1f}' if character != '\r' => out.extend_from_slice("\u{fffd}".as_bytes()),
                '\u{fffe}' | '\u{ffff}' => out.extend_from_slice("\u{fffd}".as_bytes()),
                // As they stand, readers would change them (section 2.11), or terminals take them for orders: by number.
                '\r' | '\u{7f}'..='\u{9f}' => {
                    out.extend_from_slice(b"&#");
                    number(out, u64::from(u32::from(character)));
                    out.push(b';');
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Whether nothing of this is ever escaped: printable ASCII without `&`, `<`, `>` and quotes. Eight bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let are_plain = words.iter().fold(true, |plain, word| plain & is_plain_word(u64::from_le_bytes(*word)));
    // The rest with the bytes before it, where there are any: they are looked at again.
    let last = bytes.last_chunk::<8>().copied().unwrap_or_else(|| {
        let mut last = [b' '; 8];
        last[..rest.len()].copy_from_slice(rest);
        last
    });
    are_plain & is_plain_word(u64::from_le_bytes(last))
}

/// The same of a word. Each test sets the high bit of a byte that is wrong (H. S. Warren, "Hacker's Delight", section 6-1).
const fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    const fn has(word: u64, byte: u8) -> u64 {
        let zero = word ^ (ONES * byte as u64);
        zero.wrapping_sub(ONES) & !zero
    }
    let control = word.wrapping_sub(ONES * b' ' as u64) & !word;
    // `&` and `'` differ in the lowest bit alone, `<` and `>` in the one beside it.
    let marks = has(word | ONES, b'\'') | has(word | (ONES << 1), b'>') | has(word, b'"') | has(word, 0x7f);
    (word | control | marks) & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes, Inside::Text);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn an_attribute_stands_between_quotes_that_it_does_not_have() {
        for (value, expected) in [
            (&b"Conway's <Life>"[..], "<a k=\"Conway's &lt;Life>\"/>"),
            (b"say \"hello\"", "<a k='say \"hello\"'/>"),
            (b"\"both\" aren't", "<a k=\"&quot;both&quot; aren't\"/>"),
            (b"a&b\tc\nd", "<a k=\"a&amp;b&#9;c&#10;d\"/>"),
        ] {
            let mut xml = Writer::new(0);
            xml.empty("a", &[("k", value)]);
            let text = String::from_utf8(xml.finish()).expect("UTF-8");
            assert_eq!(text.lines().last(), Some(expected));
        }
    }

    #[test]
    fn whatever_a_name_has_the_document_stays_well_formed() {
        for (bytes, expected) in [
            (&b"plain-1.0.iso"[..], "plain-1.0.iso"),
            (b"a & b <c> \"d\" 'e'", "a &amp; b &lt;c&gt; \"d\" 'e'"),
            ("\u{fc}\u{1f600}".as_bytes(), "\u{fc}\u{1f600}"),
            (b"bad\xffutf", "bad\u{fffd}utf"),
            (b"cut\xe2\x82", "cut\u{fffd}"),
            (b"nul\0bell\x07tab\tline\n", "nul\u{fffd}bell\u{fffd}tab\tline\n"),
            ("\u{85}\u{fffe}\u{ffff}".as_bytes(), "&#133;\u{fffd}\u{fffd}"),
            (b"]]>", "]]&gt;"),
        ] {
            assert_eq!(escaped(bytes), expected);
        }
    }

    #[test]
    fn what_is_copied_as_a_whole_is_what_has_nothing_to_escape() {
        for byte in 0..=u8::MAX {
            let is_plain_byte = matches!(byte, b' '..=b'~') && !matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'');
            for length in [1, 7, 8, 9, 17] {
                for at in 0..length {
                    let mut bytes = vec![b'~'; length];
                    bytes[at] = byte;
                    assert_eq!(is_plain(&bytes), is_plain_byte, "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn elements_nest() {
        let mut xml = Writer::new(0);
        xml.open("a", &[("k", b"<v>")]);
        xml.element("b", &[], &[b"x", b"&"]);
        xml.empty("c", &[("d", b"1")]);
        xml.hex("h", &[], &[0xab]);
        xml.number("n", 12);
        xml.line(|out| {
            out.extend_from_slice(b"<u/>");
            super::text(out, b"<");
        });
        let text = String::from_utf8(xml.finish()).expect("UTF-8");
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a k=\"&lt;v>\">\n  <b>x&amp;</b>\n  <c d=\"1\"/>\n  <h>ab</h>\n  <n>12</n>\n  <u/>&lt;\n</a>\n";
        assert_eq!(text, expected);
    }
}
