//! Server-sent events, byte by byte: what a stream says, however it was cut on the way.
//!
//! Pure and incremental. Only the `data` of events is kept: the three providers say everything
//! there. Line ends may be LF, CRLF or CR; comments, other fields and a byte-order mark are
//! skipped. A character that is split between two pieces is whole again here.

/// Reads events from pieces of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventReader {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// A line has ended: a byte-order mark can only stand before.
    begun: bool,
}

impl EventReader {
    /// Takes the next piece and gives the data of each event that it completes. Bytes that are no
    /// UTF-8 become U+FFFD.
    pub fn push(&mut self, piece: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for &byte in piece {
            let ends_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if ends_cr => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    /// The stream has ended. An event that lacks only its closing empty line is given; whether it
    /// is whole, its content must tell.
    pub fn finish(&mut self) -> Option<String> {
        self.end_line().or_else(|| self.end_line())
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        let is_first = !std::mem::replace(&mut self.begun, true);
        let line = if is_first {
            line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&line)
        } else {
            &line
        };
        if line.is_empty() {
            let data = self.data.take()?;
            return Some(String::from_utf8_lossy(&data).into_owned());
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = line.split_at(colon.unwrap_or(line.len()));
        if field == b"data" {
            let value = value.strip_prefix(b":").unwrap_or(value);
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(stream: &[u8]) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut events = reader.push(stream);
        events.extend(reader.finish());
        events
    }

    #[test]
    fn only_data_is_kept() {
        let stream = "\u{feff}: hello\n\nevent: ping\nid: 7\nretry: 3\ndata: {\"a\":1}\n\n\
                      data:no space\n\ndata:  two spaces\n\ndata: x\ndata: y\n\ndata\n\n\n\n";
        let expected = ["{\"a\":1}", "no space", " two spaces", "x\ny", ""];
        assert_eq!(read(stream.as_bytes()), expected);
    }

    #[test]
    fn an_event_that_lacks_its_empty_line_is_given_at_the_end() {
        assert_eq!(read(b"data: a\n\ndata: b\n"), ["a", "b"]);
        assert_eq!(read(b"data: a\n\ndata: b"), ["a", "b"]);
        assert_eq!(read(b"data: a\n\n: end"), ["a"]);
        assert!(read(b"").is_empty());
    }

    #[test]
    fn bytes_that_are_no_text_are_marked() {
        assert_eq!(read(b"data: a\xffb\n\n"), ["a\u{fffd}b"]);
    }

    proptest! {
        #[test]
        fn line_ends_and_cuts_change_nothing(
            texts in prop::collection::vec(prop::collection::vec("[^\r\n]{0,12}", 1..4), 1..6),
            line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            piece in 1_usize..9,
        ) {
            let mut stream = String::new();
            for lines in &texts {
                stream += &format!(": c{line_end}");
                for line in lines {
                    stream += &format!("data: {line}{line_end}");
                }
                stream += line_end;
            }
            let mut reader = EventReader::default();
            let mut events: Vec<String> =
                stream.as_bytes().chunks(piece).flat_map(|piece| reader.push(piece)).collect();
            events.extend(reader.finish());
            let expected: Vec<String> = texts.iter().map(|lines| lines.join("\n")).collect();
            prop_assert_eq!(events, expected);
        }
    }
}
