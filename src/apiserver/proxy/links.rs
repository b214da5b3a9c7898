//! Links of pages that are served through the proxy: those that lead to the page's own server lead back through the proxy.
//!
//! Upstream writes every tag anew; here all but the links themselves stays as it came.

use std::io::{self, Read, Write};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::bufread::{DeflateDecoder, GzDecoder};
use flate2::write::{DeflateEncoder, GzEncoder};
use futures::{StreamExt, stream};
use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};
use http::{HeaderMap, header};

/// The largest page whose links are followed up, compressed or not. Bytes; a larger one is passed on as it is. A page is held until it
/// is whole, and hundreds may be at once.
const LARGEST: usize = 1 << 20;

/// The attributes that hold a link, by element, as upstream knows them.
const LINKS: &[(&[u8], &[&[u8]])] = &[
    (b"a", &[b"href"]),
    (b"applet", &[b"codebase"]),
    (b"area", &[b"href"]),
    (b"audio", &[b"src"]),
    (b"base", &[b"href"]),
    (b"blockquote", &[b"cite"]),
    (b"body", &[b"background"]),
    (b"button", &[b"formaction"]),
    (b"command", &[b"icon"]),
    (b"del", &[b"cite"]),
    (b"embed", &[b"src"]),
    (b"form", &[b"action"]),
    (b"frame", &[b"longdesc", b"src"]),
    (b"head", &[b"profile"]),
    (b"html", &[b"manifest"]),
    (b"iframe", &[b"longdesc", b"src"]),
    (b"img", &[b"longdesc", b"src", b"usemap"]),
    (b"input", &[b"src", b"usemap", b"formaction"]),
    (b"ins", &[b"cite"]),
    (b"link", &[b"href"]),
    (b"object", &[b"classid", b"codebase", b"data", b"usemap"]),
    (b"q", &[b"cite"]),
    (b"script", &[b"src"]),
    (b"source", &[b"src"]),
    (b"video", &[b"poster", b"src"]),
];

/// What is needed to know which links lead to the proxied server, and what becomes of them.
pub(super) struct Place<'a> {
    /// The path of the proxy, without a slash at its end.
    pub below: &'a str,
    /// `host:port` of the proxied server.
    pub authority: &'a str,
    /// The host that the client asked, which is what the server believes to be.
    pub host: &'a str,
}

impl Place<'_> {
    /// Where a link has to lead; `None` where it leads already, and for what is relative or elsewhere.
    pub(super) fn lead(&self, link: &str) -> Option<String> {
        let (scheme, rest) = match link.split_once("//") {
            Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => (scheme, rest),
            _ => return self.path(link),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = self.path(path)?;
        match authority {
            ours if ours == self.host => Some(format!("{scheme}//{ours}{path}")),
            theirs if theirs == self.authority => Some(path),
            _ => None,
        }
    }

    fn path(&self, path: &str) -> Option<String> {
        (path.starts_with('/') && !path.starts_with(self.below)).then(|| format!("{}{path}", self.below))
    }
}

/// Lets the links of a page lead through the proxy. What is no page, too large, compressed in a way unknown or broken is
/// passed on as it came.
pub(super) async fn follow(headers: &mut HeaderMap, body: Body, place: &Place<'_>) -> Body {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let Some(packing) = Packing::of(text(header::CONTENT_ENCODING)).filter(|_| kind == "text/html") else {
        return body;
    };
    let whole = match gather(body).await {
        Ok(whole) => whole,
        Err(body) => return body,
    };
    match rewritten(&whole, packing, place) {
        Ok(Some(page)) => {
            headers.remove(header::CONTENT_LENGTH);
            Body::from(page)
        }
        Ok(None) => Body::from(whole),
        Err(error) => {
            tracing::debug!(%error, "the links of a proxied page stay as they are");
            Body::from(whole)
        }
    }
}

/// All of a body, or the same body again if it is too large or breaks off.
async fn gather(body: Body) -> Result<Bytes, Body> {
    let mut held = BytesMut::new();
    let mut rest = body.into_data_stream();
    while let Some(chunk) = rest.next().await {
        let failed = match chunk {
            Ok(chunk) => {
                held.extend_from_slice(&chunk);
                None
            }
            Err(error) => Some(error),
        };
        if failed.is_some() || held.len() > LARGEST {
            let again = stream::iter(std::iter::once(Ok(held.freeze())).chain(failed.map(Err)));
            return Err(Body::from_stream(again.chain(rest)));
        }
    }
    Ok(held.freeze())
}

/// How a page is compressed.
#[derive(Clone, Copy)]
enum Packing {
    None,
    Gzip,
    Deflate,
}

impl Packing {
    fn of(encoding: &str) -> Option<Self> {
        match encoding {
            "" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }
}

/// The page with other links, packed as it was; `None` if it has none that change.
fn rewritten(page: &[u8], packing: Packing, place: &Place<'_>) -> io::Result<Option<Vec<u8>>> {
    let plain = match packing {
        Packing::None => return Ok(replace(page, place)),
        Packing::Gzip => unpack(GzDecoder::new(page))?,
        Packing::Deflate => unpack(DeflateDecoder::new(page))?,
    };
    let Some(new) = replace(&plain, place) else { return Ok(None) };
    let mut packed = Vec::new();
    match packing {
        Packing::Gzip => GzEncoder::new(&mut packed, Compression::fast()).write_all(&new)?,
        _ => DeflateEncoder::new(&mut packed, Compression::fast()).write_all(&new)?,
    }
    Ok(Some(packed))
}

fn unpack(packed: impl Read) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    packed.take(LARGEST as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > LARGEST { Err(io::Error::other("the page is too large")) } else { Ok(plain) }
}

/// The page with other links; `None` if it has none that change.
fn replace(page: &[u8], place: &Place<'_>) -> Option<Vec<u8>> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    // What looks like a tag within a script is none.
    emitter.naively_switch_states(true);
    let (mut new, mut done) = (Vec::new(), 0);
    for token in Tokenizer::new_with_emitter(page, emitter) {
        let Ok(Token::StartTag(tag)) = token else { continue };
        let Some((_, names)) = LINKS.iter().find(|(element, _)| **element == **tag.name) else { continue };
        let mut links: Vec<_> = tag.attributes.iter().filter(|(name, _)| names.contains(&name.as_slice())).collect();
        links.sort_by_key(|(_, value)| value.span.start);
        for (_, value) in links {
            let Some(link) = std::str::from_utf8(&value.value).ok().and_then(|link| place.lead(link)) else { continue };
            let Some((start, end, quoted)) = page.get(value.span.start..value.span.end).and_then(place_of_value) else {
                continue;
            };
            let quote = if quoted { "" } else { "\"" };
            new.extend_from_slice(&page[done..value.span.start + start]);
            new.extend_from_slice(format!("{quote}{}{quote}", escaped(&link)).as_bytes());
            done = value.span.start + end;
        }
    }
    (done > 0).then(|| [&new, &page[done..]].concat())
}

/// Where in `name="value"` the value lies, and whether it stands in quotes.
fn place_of_value(attribute: &[u8]) -> Option<(usize, usize, bool)> {
    let equals = attribute.iter().position(|byte| *byte == b'=')?;
    let start = attribute[equals + 1..].iter().position(|byte| !byte.is_ascii_whitespace())? + equals + 1;
    let quote = attribute[start];
    if matches!(quote, b'"' | b'\'') {
        let end = attribute[start + 1..].iter().position(|byte| *byte == quote)? + start + 1;
        return Some((start + 1, end, true));
    }
    let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
    let end = attribute[start..].iter().position(ends).map_or(attribute.len(), |length| start + length);
    Some((start, end, false))
}

/// A link as it stands in an attribute.
fn escaped(link: &str) -> String {
    link.replace('&', "&amp;").replace('"', "&#34;").replace('\'', "&#39;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { below: "/api/v1/x/proxy", authority: "10.42.0.7:80", host: "localhost:8001" };

    #[test]
    fn links_lead_through_the_proxy() {
        let check =
            |link: &str, expect: &str| assert_eq!(PLACE.lead(link).as_deref().unwrap_or(link), expect, "{link}");
        check("/a?b#c", "/api/v1/x/proxy/a?b#c");
        check("/", "/api/v1/x/proxy/");
        check("/api/v1/x/proxy/a", "/api/v1/x/proxy/a");
        check("a/b", "a/b");
        check("", "");
        check("#top", "#top");
        check("mailto:a@b", "mailto:a@b");
        check("http://10.42.0.7:80/a", "/api/v1/x/proxy/a");
        check("//10.42.0.7:80/a", "/api/v1/x/proxy/a");
        check("http://localhost:8001/a", "http://localhost:8001/api/v1/x/proxy/a");
        check("https://example.com/a", "https://example.com/a");
        check("//example.com/a", "//example.com/a");
        check("a//b", "a//b");
        check("/a//b", "/api/v1/x/proxy/a//b");
    }

    #[test]
    fn only_links_of_pages_change() {
        let check = |page: &str, expect: &str| {
            let new =
                replace(page.as_bytes(), &PLACE).map_or_else(|| page.to_owned(), |new| String::from_utf8(new).unwrap());
            assert_eq!(new, expect);
        };
        check(r#"<a href="/rewriteme">test</a>"#, r#"<a href="/api/v1/x/proxy/rewriteme">test</a>"#);
        check(
            "<p>é\r\n<A  class=x HREF = '/a&amp;b'\r\n>",
            "<p>é\r\n<A  class=x HREF = '/api/v1/x/proxy/a&amp;b'\r\n>",
        );
        check("<img src=/x><img src=/y alt=z>", r#"<img src="/api/v1/x/proxy/x"><img src="/api/v1/x/proxy/y" alt=z>"#);
        check(r#"<video src="/a" poster='/b'>"#, r#"<video src="/api/v1/x/proxy/a" poster='/api/v1/x/proxy/b'>"#);
        check(r#"<div href="/a" title="/b">/c</div>"#, r#"<div href="/a" title="/b">/c</div>"#);
        check(r#"<script>if (a<b) '<a href="/no">'</script>"#, r#"<script>if (a<b) '<a href="/no">'</script>"#);
        check(r#"<!-- <a href="/no"> --><a href><a href="">"#, r#"<!-- <a href="/no"> --><a href><a href="">"#);
        check("<a href=\"/a", "<a href=\"/a");
        check("", "");
    }

    #[tokio::test]
    async fn compressed_pages_stay_compressed_and_large_ones_as_they_are() {
        async fn sent(encoding: &'static str, page: Vec<u8>) -> Bytes {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, "text/html; charset=utf-8".parse().unwrap());
            headers.insert(header::CONTENT_ENCODING, encoding.parse().unwrap());
            let body = follow(&mut headers, Body::from(page), &PLACE).await;
            axum::body::to_bytes(body, usize::MAX).await.unwrap()
        }
        let page = br#"<a href="/a">"#;
        let expect = br#"<a href="/api/v1/x/proxy/a">"#;
        let mut packed = Vec::new();
        GzEncoder::new(&mut packed, Compression::fast()).write_all(page).unwrap();
        assert_eq!(unpack(GzDecoder::new(&*sent("gzip", packed).await)).unwrap(), expect);
        let mut packed = Vec::new();
        DeflateEncoder::new(&mut packed, Compression::fast()).write_all(page).unwrap();
        assert_eq!(unpack(DeflateDecoder::new(&*sent("deflate", packed).await)).unwrap(), expect);
        assert_eq!(sent("gzip", page.to_vec()).await, page.as_slice(), "what is not what it says is passed on");
        assert_eq!(sent("br", page.to_vec()).await, page.as_slice());
        let large = [page.as_slice(), &vec![b' '; LARGEST]].concat();
        assert_eq!(sent("", large.clone()).await, large);
        // A small body that would be a very large page.
        let mut bomb = Vec::new();
        GzEncoder::new(&mut bomb, Compression::best()).write_all(&large).unwrap();
        assert_eq!(sent("gzip", bomb.clone()).await, bomb);
    }
}
