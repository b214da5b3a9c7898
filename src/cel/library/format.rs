//! Named formats of text: `format.dns1123Label().validate(name)`.

use api::validation;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::core::text;
use super::{Context, time, url};
use crate::error::Error;
use crate::value::Value;

/// One format.
#[derive(Debug)]
pub struct Format {
    name: &'static str,
    /// What is wrong with a text.
    check: fn(&str) -> Vec<String>,
    /// The length of a regular expression that would be as much work.
    pub(crate) regex_size: u64,
}

/// The names are those of `format.named`; upstream's estimates of the work.
static FORMATS: [Format; 13] = [
    Format { name: "dns1123Label", check: validation::dns1123_label, regex_size: 30 },
    Format { name: "dns1123Subdomain", check: validation::dns1123_subdomain, regex_size: 60 },
    Format { name: "dns1035Label", check: validation::dns1035_label, regex_size: 30 },
    Format { name: "qualifiedName", check: validation::qualified_name, regex_size: 60 },
    Format {
        name: "dns1123LabelPrefix",
        check: |text| validation::prefix(validation::dns1123_label, text),
        regex_size: 30,
    },
    Format {
        name: "dns1123SubdomainPrefix",
        check: |text| validation::prefix(validation::dns1123_subdomain, text),
        regex_size: 60,
    },
    Format {
        name: "dns1035LabelPrefix",
        check: |text| validation::prefix(validation::dns1035_label, text),
        regex_size: 30,
    },
    Format { name: "labelValue", check: validation::label_value, regex_size: 40 },
    Format { name: "uri", check: uri, regex_size: 1103 },
    Format { name: "uuid", check: |text| unless(is_uuid(text), "does not match the UUID format"), regex_size: 77 },
    Format { name: "byte", check: |text| unless(STANDARD.decode(text).is_ok(), "invalid base64"), regex_size: 84 },
    Format { name: "date", check: |text| unless(is_date(text), "invalid date"), regex_size: 102 },
    Format { name: "datetime", check: |text| unless(is_time(text), "invalid datetime"), regex_size: 102 },
];

fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

pub(super) fn constant<'a>(name: &str) -> Result<Value<'a>, Error> {
    find(name).map(Value::Format).ok_or_else(Error::no_overload)
}

pub(super) fn named<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(find(text(&args[0])?).map_or(Value::Optional(None), |format| Value::some(Value::Format(format))))
}

/// Complaints; none when there is nothing to complain about.
pub(super) fn validate<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Value::Format(format) = &args[0] else { return Err(Error::no_overload()) };
    let complaints = (format.check)(text(&args[1])?);
    if complaints.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::from(complaints.into_iter().map(Value::from).collect::<Vec<_>>())))
}

fn unless(valid: bool, complaint: &str) -> Vec<String> {
    if valid { Vec::new() } else { vec![complaint.to_owned()] }
}

fn uri(text: &str) -> Vec<String> {
    url::parse(text).err().into_iter().collect()
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|b| b.is_ascii_hexdigit());
    match groups.len() {
        // Dashes may be left out.
        1 => text.len() == 32 && hex(&text),
        5 => groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(hex),
        _ => false,
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_time(text: &str) -> bool {
    time::timestamp(&text.replace(['t', ' '], "T").replace('z', "Z")).is_some()
}
