//! Base64 as Go reads it: line breaks say nothing, nor do bits that are left over at the end, and a complaint names the first
//! byte that does not fit.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const RAW_URL: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT.with_decode_padding_mode(DecodePaddingMode::RequireNone));

/// Where a text is no base64, in Go's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub struct Base64Error(usize);

/// Reads what is padded and of the usual alphabet.
pub fn decode(text: &str) -> Result<Vec<u8>, Base64Error> {
    read(&STANDARD, text, |text, padding| match (padding % 4, text.get(padding + 1)) {
        (2, None) => padding + 1,
        (2, Some(b'=')) => padding + 2,
        (3, _) => padding + 1,
        _ => padding,
    })
}

/// Reads what is not padded and of the alphabet for URLs.
pub fn decode_raw_url(text: &str) -> Result<Vec<u8>, Base64Error> {
    read(&RAW_URL, text, |_, padding| padding)
}

/// `misplaced` says what is wrong with padding that begins where it is told.
fn read(engine: &GeneralPurpose, text: &str, misplaced: fn(&[u8], usize) -> usize) -> Result<Vec<u8>, Base64Error> {
    if text.contains(['\r', '\n']) {
        let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        return read(engine, &joined, misplaced);
    }
    engine.decode(text).map_err(|problem| {
        Base64Error(match (problem, text.find('=')) {
            (base64::DecodeError::InvalidByte(at, _), padding) if padding.is_none_or(|padding| at < padding) => at,
            (_, Some(padding)) => misplaced(text.as_bytes(), padding),
            // Some characters are left over.
            (_, None) => text.len() / 4 * 4,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_as_in_go() {
        let check = |got: Result<Vec<u8>, Base64Error>, expect: Result<&str, usize>| {
            assert_eq!(got, expect.map(|text| text.as_bytes().to_vec()).map_err(Base64Error));
        };
        check(decode("YWJj"), Ok("abc"));
        check(decode("YW\r\nJj\n"), Ok("abc"));
        check(decode("YWJj*"), Err(4));
        check(decode("Y-=="), Err(1));
        // What Go says of each: padded, and not.
        for (text, padded, raw) in [
            ("YQ", Err(0), Ok("a")),
            ("YQ=", Err(3), Err(2)),
            ("YQ==", Ok("a"), Err(2)),
            ("YQ=x", Err(2), Err(2)),
            ("Y", Err(0), Err(0)),
            ("Y=", Err(1), Err(1)),
            ("Y==", Err(1), Err(1)),
            ("Y===", Err(1), Err(1)),
            ("YWJj=", Err(4), Err(4)),
            ("YWJj==", Err(4), Err(4)),
            ("YWJjY", Err(4), Err(4)),
            ("YWJjYQ", Err(4), Ok("abca")),
            ("YWJjYQ=", Err(7), Err(6)),
            ("YWJjYQ=a", Err(6), Err(6)),
            ("=", Err(0), Err(0)),
            ("====", Err(0), Err(0)),
            ("YQ==YQ==", Err(4), Err(2)),
            ("YQ==x", Err(4), Err(2)),
            ("YR==", Ok("a"), Err(2)),
            ("YWI", Err(0), Ok("ab")),
            ("YWJ==", Err(4), Err(3)),
            ("YR", Err(0), Ok("a")),
        ] {
            check(decode(text), padded);
            check(decode_raw_url(text), raw);
        }
    }
}
