//! Header blocks: name-value pairs, zlib-compressed with one dictionary and one history for the whole connection.

use std::io;

use bytes::{Buf, BufMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// What the names and values of one block may take, names counted as often as they have values.
const LARGEST: usize = 256 << 10;

/// Headers of a stream. Names are lower case on the wire and compared so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// Adds one.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Headers {
        self.0.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut block = Vec::new();
        block.put_u32(self.0.len() as u32);
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.put_u32(text.len() as u32);
            block.put_slice(text.as_bytes());
        }
        block
    }

    fn decode(mut block: &[u8]) -> io::Result<Headers> {
        let text = |block: &mut &[u8]| {
            let len = block.try_get_u32().map_err(|_| malformed("a header block ends early"))? as usize;
            let (text, rest) =
                block.split_at_checked(len).ok_or_else(|| malformed("a header is longer than its block"))?;
            let text = std::str::from_utf8(text).map_err(|_| malformed("a header is not text"))?.to_owned();
            *block = rest;
            io::Result::Ok(text)
        };
        let count = block.try_get_u32().map_err(|_| malformed("a header block ends early"))?;
        let mut headers = Vec::new();
        let mut size = 0;
        // The count is not trusted with an allocation: the loop ends with the block.
        for _ in 0..count {
            let name = text(&mut block)?;
            let value = text(&mut block)?;
            if name.is_empty() {
                return Err(malformed("a header has no name"));
            }
            // Several values of one name are separated by NUL, and each is kept with the name: a long name of many empty values would
            // take the square of what was sent.
            size += name.len() * value.split('\0').count() + value.len();
            if size > LARGEST {
                return Err(malformed("headers are too large"));
            }
            headers.extend(value.split('\0').map(|value| (name.to_ascii_lowercase(), value.to_owned())));
        }
        Ok(Headers(headers))
    }
}

/// The sending side's compression state.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Deflater {
        let mut compress = Compress::new(Compression::fast(), true);
        compress.set_dictionary(&dictionary()).expect("a fresh deflate stream takes a dictionary");
        Deflater(compress)
    }

    pub(super) fn block(&mut self, headers: &Headers) -> io::Result<Vec<u8>> {
        let plain = headers.encode();
        let start = self.0.total_in();
        let mut out = Vec::with_capacity(plain.len() + 64);
        loop {
            let taken = (self.0.total_in() - start) as usize;
            self.0.compress_vec(&plain[taken..], &mut out, FlushCompress::Sync).map_err(io::Error::other)?;
            // With room left over, the flush is complete.
            if out.len() < out.capacity() && (self.0.total_in() - start) as usize == plain.len() {
                return Ok(out);
            }
            out.reserve(out.len());
        }
    }
}

/// The receiving side's compression state.
pub(super) struct Inflater {
    inflate: Decompress,
    limit: usize,
}

impl Inflater {
    pub(super) fn new(limit: usize) -> Inflater {
        Inflater { inflate: Decompress::new(true), limit }
    }

    /// Any error here ends the connection, for the history is lost with it.
    pub(super) fn headers(&mut self, block: &[u8]) -> io::Result<Headers> {
        let start = self.inflate.total_in();
        let mut plain = Vec::with_capacity(1024);
        loop {
            let taken = (self.inflate.total_in() - start) as usize;
            let before = plain.len();
            match self.inflate.decompress_vec(&block[taken..], &mut plain, FlushDecompress::Sync) {
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate
                        .set_dictionary(&dictionary())
                        .map_err(|_| malformed("headers use a foreign dictionary"))?;
                    continue;
                }
                Err(_) => return Err(malformed("headers do not decompress")),
            }
            if plain.len() > self.limit {
                return Err(malformed("headers are too large"));
            }
            let all_taken = (self.inflate.total_in() - start) as usize == block.len();
            if plain.len() == plain.capacity() {
                plain.reserve(plain.len().max(1024));
            } else if all_taken {
                return Headers::decode(&plain);
            } else if plain.len() == before && (self.inflate.total_in() - start) as usize == taken {
                return Err(malformed("headers do not decompress"));
            }
        }
    }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The dictionary the SPDY/3 specification fixes: words with their lengths, then running text. Its Adler-32 checksum is 0xe3c6a7c2.
fn dictionary() -> Vec<u8> {
    let mut dictionary = Vec::with_capacity(1423);
    for word in DICTIONARY_WORDS.split('|') {
        dictionary.put_u32(word.len() as u32);
        dictionary.put_slice(word.as_bytes());
    }
    dictionary.put_slice(DICTIONARY_TAIL.as_bytes());
    dictionary
}

const DICTIONARY_WORDS: &str = "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|\
allow|authorization|cache-control|connection|content-base|content-encoding|content-language|content-length|content-location|content-md5|\
content-range|content-type|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|if-unmodified-since|\
last-modified|location|max-forwards|pragma|proxy-authenticate|proxy-authorization|range|referer|retry-after|server|te|trailer|\
transfer-encoding|upgrade|user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|\
keep-alive|origin";

const DICTIONARY_TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found\
500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 \
Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_specifications() {
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in dictionary() {
            a = (a + u32::from(byte)) % 65521;
            b = (b + a) % 65521;
        }
        assert_eq!((b << 16) | a, 0xe3c6_a7c2);
        assert_eq!(dictionary().len(), 1423);
    }

    #[test]
    fn headers_survive_compression_over_one_history() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new(64 << 10));
        for round in 0..50 {
            let headers = Headers::new()
                .with("streamType", "stdin")
                .with("port", round.to_string())
                .with("x", "y".repeat(round * 100))
                .with("empty", "");
            let block = deflater.block(&headers).unwrap();
            assert_eq!(inflater.headers(&block).unwrap(), headers);
        }
    }

    #[test]
    fn header_bombs_and_garbage_are_refused() {
        let check = |block: &[u8]| {
            let error = Inflater::new(64 << 10).headers(block).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        };
        check(&Deflater::new().block(&Headers::new().with("a", "b".repeat(1 << 20))).unwrap());
        check(&Deflater::new().block(&Headers::new().with(&"a".repeat(30_000), "\0".repeat(30_000))).unwrap());
        check(b"not zlib at all");
        check(&[]);
        check(&[0x78, 0xbb, 1, 2, 3, 4, 5]);
        for lying in [&[0, 0, 0, 9][..], &[0, 0, 0, 1, 255, 255, 255, 255], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(Headers::decode(lying).is_err(), "{lying:?}");
        }
    }
}
