//! Reads JSON (RFC 8259) by asking for what is expected next. The code that serde derives for every type is four times as large, and code is
//! what most of a proxy's memory for the module goes to.

mod number;

use std::borrow::Cow;

pub(crate) use number::Number;

pub(crate) type Result<T> = std::result::Result<T, InvalidJson>;

/// Reads the value of a member, of which it is told the name, and the place behind that.
type ReadMember<'f, 'a> = &'f mut dyn FnMut(&mut Reader<'a>, Cow<'a, str>, usize) -> Result<()>;

/// Where text is not JSON, or not what is expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {at}")]
pub struct InvalidJson {
    message: String,
    at: usize,
}

/// The members that an object may have, at most 32; the first `required` must be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    required: usize,
    names: &'static [&'static str],
}

pub(crate) const fn fields(required: usize, names: &'static [&'static str]) -> Fields {
    Fields { required, names }
}

#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// All of `text`.
    pub(crate) fn whole<T>(text: &'a [u8], read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let mut reader = Self { text, at: 0 };
        let value = read(&mut reader)?;
        if reader.peek().is_some() { Err(reader.error("trailing characters")) } else { Ok(value) }
    }

    /// Calls `read` for the value of each member with the place of its name in `fields`; none comes twice.
    pub(crate) fn object(&mut self, fields: Fields, read: &mut dyn FnMut(&mut Self, usize) -> Result<()>) -> Result<()> {
        let mut seen = 0_u32;
        self.members(&mut |reader, name, _| {
            let Some(field) = fields.names.iter().position(|known| *known == name) else {
                return Err(reader.error(&["unknown field `", &name, "`"].concat()));
            };
            if seen & bit(field) != 0 {
                return Err(reader.error(&["duplicate field `", &name, "`"].concat()));
            }
            seen |= bit(field);
            read(reader, field)
        })?;
        match fields.names.iter().take(fields.required).enumerate().find(|(field, _)| seen & bit(*field) == 0) {
            Some((_, name)) => Err(self.error(&["missing field `", name, "`"].concat())),
            None => Ok(()),
        }
    }

    /// Calls `read` for each member, whatever its name is and however often it comes.
    pub(crate) fn members(&mut self, read: ReadMember<'_, 'a>) -> Result<()> {
        self.expect(b'{')?;
        let mut more = !self.take(b'}');
        while more {
            let (name, end) = (self.text()?, self.at);
            self.expect(b':')?;
            read(self, name, end)?;
            more = self.continues(b'}')?;
        }
        Ok(())
    }

    pub(crate) fn list<T>(&mut self, read: fn(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut list = Vec::new();
        self.each(&mut |reader| {
            list.push(read(reader)?);
            Ok(())
        })?;
        Ok(list)
    }

    /// Calls `read` for each item of a list.
    pub(crate) fn each(&mut self, read: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.expect(b'[')?;
        let mut more = !self.take(b']');
        while more {
            read(self)?;
            more = self.continues(b']')?;
        }
        Ok(())
    }

    /// The text from the next value on, and where that is.
    pub(crate) fn next_value(&mut self) -> (&'a [u8], usize) {
        self.peek();
        (self.rest(), self.at)
    }

    pub(crate) fn place(&self) -> usize {
        self.at
    }

    pub(crate) fn skip(&mut self, length: usize) {
        self.at = self.at.saturating_add(length);
    }

    /// `null` is none.
    pub(crate) fn optional<T>(&mut self, read: fn(&mut Self) -> Result<T>) -> Result<Option<T>> {
        if self.word(b"null") { Ok(None) } else { read(self).map(Some) }
    }

    pub(crate) fn string(&mut self) -> Result<String> {
        self.text().map(Cow::into_owned)
    }

    pub(crate) fn strings(&mut self) -> Result<Vec<String>> {
        self.list(Self::string)
    }

    pub(crate) fn optional_strings(&mut self) -> Result<Option<Vec<String>>> {
        self.optional(Self::strings)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool> {
        let found = self.word(b"true");
        if found || self.word(b"false") { Ok(found) } else { Err(self.error("expected `true` or `false`")) }
    }

    /// A number without sign, fraction and exponent.
    pub(crate) fn number(&mut self) -> Result<u32> {
        self.peek();
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = self.rest().get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
        let is_whole = !self.rest().get(digits).is_some_and(|next| matches!(next, b'.' | b'e' | b'E'));
        match text.parse() {
            Ok(number) if is_whole && (digits == 1 || !text.starts_with('0')) => {
                self.at = self.at.saturating_add(digits);
                Ok(number)
            }
            Ok(_) | Err(_) => Err(self.error("expected a whole number below 4294967296")),
        }
    }

    /// One of the names, as what stands beside it.
    pub(crate) fn one_of<T: Copy>(&mut self, names: &[(&str, T)]) -> Result<T> {
        let text = self.text()?;
        let known = names.iter().find(|(name, _)| *name == text);
        known.map(|(_, value)| *value).ok_or_else(|| self.error(&["unknown variant `", &text, "`"].concat()))
    }

    /// A string, without copying it where it has no escapes.
    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"')?;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..=0x1f)).unwrap_or(rest.len());
            let piece = rest.get(..length).unwrap_or_default();
            let piece = std::str::from_utf8(piece).map_err(|_| self.error("expected UTF-8"))?;
            self.at = self.at.saturating_add(length);
            if text.is_empty() {
                text = Cow::Borrowed(piece);
            } else {
                text.to_mut().push_str(piece);
            }
            match self.next() {
                Some(b'"') => return Ok(text),
                Some(b'\\') => text.to_mut().push(self.escaped()?),
                Some(_) => return Err(self.error("found a control character in a string")),
                None => return Err(self.error("found the end in a string")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char> {
        Ok(match self.next() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                // Only the first half of a pair has another behind it.
                let pair = matches!(first, 0xd800..0xdc00) && self.next() == Some(b'\\') && self.next() == Some(b'u');
                let second = if pair { Some(self.unit()?) } else { None };
                let mut decoded = char::decode_utf16([first].into_iter().chain(second));
                decoded.next().and_then(std::result::Result::ok).ok_or_else(|| self.error("found half a surrogate pair"))?
            }
            Some(_) | None => return Err(self.error("found an unknown escape in a string")),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u16> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u16::try_from(digit).ok());
            unit = unit << 4 | digit.ok_or_else(|| self.error("expected four hexadecimal digits"))?;
        }
        Ok(unit)
    }

    /// After a member or an item: whether there is another.
    fn continues(&mut self, end: u8) -> Result<bool> {
        if self.take(end) {
            return Ok(false);
        }
        self.expect(b',').map(|()| true)
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) {
            return Ok(());
        }
        let expected = char::from(byte).encode_utf8(&mut [0; 4]).to_owned();
        Err(self.error(&["expected `", &expected, "`"].concat()))
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at = self.at.saturating_add(usize::from(found));
        found
    }

    pub(crate) fn word(&mut self, word: &[u8]) -> bool {
        self.peek();
        let found = self.rest().starts_with(word);
        self.at = self.at.saturating_add(if found { word.len() } else { 0 });
        found
    }

    /// The next byte that is no space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at = self.at.saturating_add(1);
        }
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied();
        self.at = self.at.saturating_add(usize::from(byte.is_some()));
        byte
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    #[cold]
    pub(crate) fn error(&self, message: &str) -> InvalidJson {
        InvalidJson { message: message.to_owned(), at: self.at }
    }
}

fn bit(field: usize) -> u32 {
    u32::try_from(field).ok().and_then(|field| 1_u32.checked_shl(field)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// What serde_json makes of the same text, if it makes anything of it.
    fn agrees<'a, T: DeserializeOwned + PartialEq + std::fmt::Debug>(text: &'a [u8], read: fn(&mut Reader<'a>) -> Result<T>) {
        let (own, expected) = (Reader::whole(text, read).ok(), serde_json::from_slice::<T>(text).ok());
        assert_eq!(own, expected, "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn strings_are_what_serde_reads() {
        for text in [
            r#""""#,
            r#""a""#,
            r#" "aä😀" "#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u0041\u00e4\u20ac\ud83d\ude00x""#,
            r#""a\nb\nc""#,
            r#""\n""#,
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\ud83dx""#,
            r#""\ud83d\n""#,
            r#""\u+041""#,
            r#""\u00""#,
            r#""\x""#,
            r#""\"#,
            r#"""#,
            r#""a"#,
            "\"\u{1f}\"",
            "\"\u{7f}\"",
            "\"\n\"",
            r#""a""b""#,
            "a",
            "",
            " ",
            "null",
            "\u{feff}\"\"",
            "\"\0\"",
            "'a'",
        ] {
            agrees(text.as_bytes(), Reader::string);
        }
        for bytes in [&b"\"\xff\""[..], b"\"\xc3\"", b"\"\xed\xa0\x80\"", b"\xff"] {
            agrees(bytes, Reader::string);
        }
    }

    #[test]
    fn numbers_and_words_are_what_serde_reads() {
        for text in
            ["0", "1", " 42\n", "4294967295", "4294967296", "01", "00", "-1", "-0", "1.0", "1e0", "1E0", "1.", "+1", "", "a", "1a", "1 1"]
        {
            agrees(text.as_bytes(), Reader::number);
        }
        for text in ["true", "false", "truefalse", "TRUE", "tru", "null", "1", "true,", " false "] {
            agrees(text.as_bytes(), Reader::boolean);
        }
    }

    #[test]
    fn lists_are_what_serde_reads() {
        for text in [
            "[]",
            "[ ]",
            r#"["a"]"#,
            r#"[ "a" , "b" ]"#,
            r#"["a",]"#,
            r#"[,"a"]"#,
            r#"["a" "b"]"#,
            r#"["a""#,
            "[",
            "]",
            "{}",
            "null",
            "nullnull",
            r#"["a",null]"#,
            r#"["a"]]"#,
            "nul",
            r#"["a";"b"]"#,
        ] {
            agrees(text.as_bytes(), Reader::optional_strings);
        }
    }

    #[test]
    fn errors_say_what_and_where() {
        let read = |text: &str| Reader::whole(text.as_bytes(), Reader::strings).unwrap_err().to_string();
        assert_eq!(read(r#"["a"; "b"]"#), "expected `,` at byte 4");
        assert_eq!(read(""), "expected `[` at byte 0");
        assert_eq!(read("[] x"), "trailing characters at byte 3");
    }
}
