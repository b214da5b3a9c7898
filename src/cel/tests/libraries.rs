//! The libraries.

use super::{check, holds};

#[test]
fn strings() {
    check(&[
        ("'tacocat'.charAt(3)", r#""o""#),
        ("'tacocat'.charAt(7)", r#""""#),
        ("'tacocat'.charAt(8)", "error: index out of range: 8"),
        ("'tacocat'.indexOf('ac')", "1"),
        ("'tacocat'.indexOf('a', 2)", "5"),
        ("'tacocat'.indexOf('x')", "-1"),
        ("'tacocat'.indexOf('', 3)", "3"),
        ("'ta©o©αT'.indexOf('©')", "2"),
        ("'ta©o©αT'.indexOf('©', 3)", "4"),
        ("'ta©o©αT'.lastIndexOf('©')", "4"),
        ("'tacocat'.lastIndexOf('a', 4)", "1"),
        ("'tacocat'.lastIndexOf('at')", "5"),
        ("'tacocat'.lastIndexOf('none')", "-1"),
        ("'tacocat'.lastIndexOf('')", "7"),
        ("'TacÓ'.lowerAscii()", r#""tacÓ""#),
        ("'tacó'.upperAscii()", r#""TACó""#),
        ("'12 days 12 hours'.replace('12', '2')", r#""2 days 2 hours""#),
        ("'12 days 12 hours'.replace('12', '2', 1)", r#""2 days 12 hours""#),
        ("'ab'.replace('', '-')", r#""-a-b-""#),
        ("'a b c'.split(' ')", r#"["a", "b", "c"]"#),
        ("'a b c'.split(' ', 2)", r#"["a", "b c"]"#),
        ("'a b c'.split(' ', 0)", "[]"),
        ("'abc'.split('')", r#"["a", "b", "c"]"#),
        ("''.split(' ')", r#"[""]"#),
        ("'tacocat'.substring(4)", r#""cat""#),
        ("'tacocat'.substring(0, 4)", r#""taco""#),
        ("'tacocat'.substring(5, 4)", "error: invalid substring range. start: 5, end: 4"),
        ("'tacocat'.substring(9)", "error: index out of range: 9"),
        (r"' \t\na '.trim()", r#""a""#),
        ("['a', 'b'].join()", r#""ab""#),
        ("['a', 'b'].join(', ')", r#""a, b""#),
        (r#"strings.quote('a"b\n')"#, r#""\"a\\\"b\\n\"""#),
        ("'ab'.contains('b') && 'ab'.startsWith('a') && 'ab'.endsWith('b')", "true"),
        ("'hello'.matches('^h.*o$')", "true"),
        ("matches('hello', 'ell')", "true"),
        ("'x'.matches('(')", "compile: invalid matches argument"),
        ("'abc 123'.find('[0-9]+')", r#""123""#),
        ("'abc'.find('[0-9]+')", r#""""#),
        ("'1 22 333'.findAll('[0-9]+')", r#"["1", "22", "333"]"#),
        ("'1 22 333'.findAll('[0-9]+', 2)", r#"["1", "22"]"#),
        ("jsonpatch.escapeKey('a/b~c')", r#""a~1b~0c""#),
    ]);
}

#[test]
fn formatting() {
    check(&[
        ("'%s is %d'.format([dyn('x'), 3])", r#""x is 3""#),
        ("'%.2f %e'.format([1.0, 1234.5])", r#""1.00 1.234500e+03""#),
        ("'%b %o %x %X'.format([5, 8, 255, 255])", r#""101 10 ff FF""#),
        ("'%x'.format(['ab'])", r#""6162""#),
        ("'%s'.format([[dyn(1), 'a', 1.5]])", r#""[1, \"a\", 1.500000]""#),
        ("'%s'.format([{'b': 1, 'a': 2}])", r#""{\"a\":2, \"b\":1}""#),
        ("'100%%'.format([])", r#""100%""#),
        ("'%d'.format(dyn([]))", "error: index 0 out of range"),
        (
            "'%d'.format(dyn(['a']))",
            "error: error during formatting: decimal clause can only be converted from integers, was given string",
        ),
        (
            "'%.99999999999f'.format(dyn([1.0]))",
            "error: could not parse formatting clause: error while parsing precision: unable to convert precision modifier to integer",
        ),
    ]);
}

#[test]
fn lists() {
    check(&[
        ("[1, 3, 3].isSorted()", "true"),
        ("['b', 'a'].isSorted()", "false"),
        ("[1, 2].sum()", "3"),
        ("[1.5, 2.5].sum()", "4.0"),
        ("[duration('1s'), duration('2s')].sum()", "3s"),
        ("[1, 3, 2].max() - [1, 3, 2].min()", "2"),
        ("[].max()", "error: max called on empty list"),
        ("[1, 2, 2].indexOf(2)", "1"),
        ("[1, 2, 2].lastIndexOf(2)", "2"),
        ("['a'].indexOf('b')", "-1"),
        ("[1, 2, 3, 4].slice(1, 3)", "[2, 3]"),
        ("[1].slice(0, 2)", "error: cannot slice(0, 2), list is length 1"),
        ("[[1], [2, 3]].flatten()", "[1, 2, 3]"),
        ("[dyn([dyn(1), dyn([2])])].flatten(2)", "[1, 2]"),
        ("[3, 1, 2].sort()", "[1, 2, 3]"),
        ("[{'n': 2}, {'n': 1}].sortBy(e, e.n)", r#"[{"n": 1}, {"n": 2}]"#),
        ("lists.range(3)", "[0, 1, 2]"),
        ("lists.range(3).reverse()", "[2, 1, 0]"),
        ("[1, 2, 1].distinct()", "[1, 2]"),
        ("lists.range(100000000)", "error: operation cancelled: actual cost limit exceeded"),
    ]);
    holds(&[
        "sets.contains([1, 2], [2])",
        "!sets.contains([1], [2])",
        "sets.contains([], [])",
        "sets.equivalent([1, 2], [2, 1, 1])",
        "sets.intersects([1, 2], [2, 3])",
        "!sets.intersects([1], [])",
    ]);
}

#[test]
fn urls() {
    check(&[
        ("url('https://example.com:8080/a%20b?x=1&x=2#f').getScheme()", r#""https""#),
        ("url('https://example.com:8080/a').getHost()", r#""example.com:8080""#),
        ("url('https://example.com:8080/a').getHostname()", r#""example.com""#),
        ("url('https://[::1]:80/').getHostname()", r#""::1""#),
        ("url('https://[::1]:80/').getPort()", r#""80""#),
        ("url('https://example.com/').getPort()", r#""""#),
        ("url('https://example.com/a b').getEscapedPath()", r#""/a%20b""#),
        ("url('https://example.com/?a=1&a=b%20c').getQuery()", r#"{"a": ["1", "b c"]}"#),
        ("url('/path').getHost()", r#""""#),
        ("isURL('https://a/b')", "true"),
        ("isURL('../relative')", "false"),
        ("isURL('https://a:x/')", "false"),
        ("isURL('')", "false"),
        ("url('https://a/') == url('https://a/')", "true"),
        ("url('x')", r#"error: URL parse error during conversion from string: parse "x": invalid URI for request"#),
    ]);
}

#[test]
fn addresses() {
    check(&[
        ("ip('127.0.0.1').family()", "4"),
        ("ip('::1').family()", "6"),
        ("isIP('1.2.3.4') && !isIP('1.2.3') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')", "true"),
        ("ip('::ffff:1.2.3.4')", r#"error: IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed"#),
        ("ip('fe80::1%eth0')", r#"error: IP address "fe80::1%eth0" with zone value is not allowed"#),
        ("ip.isCanonical('2001:db8::abcd')", "true"),
        ("ip.isCanonical('2001:DB8::ABCD')", "false"),
        ("ip('127.0.0.1').isLoopback() && ip('0.0.0.0').isUnspecified()", "true"),
        ("ip('224.0.0.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()", "true"),
        ("ip('169.254.0.1').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()", "true"),
        ("ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()", "true"),
        ("string(ip('::1'))", r#""::1""#),
        ("cidr('192.168.0.0/24').containsIP('192.168.0.7')", "true"),
        ("cidr('192.168.0.0/24').containsIP(ip('192.168.1.7'))", "false"),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"),
        ("cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))", "false"),
        ("cidr('10.0.0.0/8').containsIP('::1')", "false"),
        ("cidr('192.168.0.1/24').ip()", "192.168.0.1"),
        ("cidr('192.168.0.1/24').masked()", "192.168.0.0/24"),
        ("cidr('192.168.0.1/24').prefixLength()", "24"),
        ("isCIDR('10.0.0.0/33') || isCIDR('10.0.0.0') || isCIDR('10.0.0.0/08')", "false"),
        ("string(cidr('::/0'))", r#""::/0""#),
        ("cidr('10.0.0.0/8') == cidr('10.0.0.0/8')", "true"),
    ]);
}

#[test]
fn quantities_and_versions() {
    check(&[
        ("quantity('50Mi')", "50Mi"),
        (
            "quantity('x')",
            "error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("isQuantity('1.5G') && !isQuantity('1,5')", "true"),
        ("quantity('200M') == quantity('0.2G')", "true"),
        ("quantity('50M').isLessThan(quantity('50Mi'))", "true"),
        ("quantity('50Mi').isGreaterThan(quantity('50M'))", "true"),
        ("quantity('200M').compareTo(quantity('0.2G'))", "0"),
        ("quantity('50k').add(quantity('20')) == quantity('50.02k')", "true"),
        ("quantity('50k').sub(20) == quantity('49980')", "true"),
        ("quantity('50k').asInteger()", "50000"),
        ("quantity('500m').asInteger()", "error: cannot convert value to integer"),
        ("quantity('50').isInteger() && !quantity('50m').isInteger()", "true"),
        ("quantity('50.703k').asApproximateFloat()", "50703.0"),
        ("sign(quantity('-1'))", "-1"),
        ("semver('1.2.3').major()", "1"),
        ("semver('1.2.3') < 1", "compile: found no matching overload for '_<_' applied to '(kubernetes.Semver, int)'"),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", "true"),
        ("semver('1.0.0-rc.1').compareTo(semver('1.0.0'))", "-1"),
        ("semver('1.0.0-rc.2').isGreaterThan(semver('1.0.0-rc.1'))", "true"),
        ("semver('1.0.0-alpha').isLessThan(semver('1.0.0-alpha.1'))", "true"),
        ("semver('1.0.0+a') == semver('1.0.0+b')", "true"),
        ("isSemver('v1.0') || isSemver('01.0.0')", "false"),
        ("isSemver('v1.0', true)", "true"),
        ("semver('v01.2', true).minor()", "2"),
        ("semver('1')", "error: No Major.Minor.Patch elements found"),
    ]);
}

#[test]
fn formats() {
    check(&[
        ("format.dns1123Label().validate('a-b')", "none"),
        ("format.dns1123Label().validate('A').value().size()", "1"),
        ("format.named('dns1035Label').value().validate('1a').hasValue()", "true"),
        ("format.named('nothing')", "none"),
        ("format.uuid().validate('123e4567-e89b-12d3-a456-426614174000')", "none"),
        ("format.uuid().validate('x').value()", r#"["does not match the UUID format"]"#),
        ("format.date().validate('2021-02-30').value()", r#"["invalid date"]"#),
        ("format.datetime().validate('2021-02-03T04:05:06Z')", "none"),
        ("format.byte().validate('aGVsbG8=')", "none"),
        ("format.uri().validate('http://example.com')", "none"),
        ("format.qualifiedName().validate('example.com/a')", "none"),
        ("format.labelValue().validate('-').hasValue()", "true"),
        ("format.dns1123LabelPrefix().validate('a-')", "none"),
        ("format.named('uuid') == format.named('uuid')", "true"),
    ]);
}
